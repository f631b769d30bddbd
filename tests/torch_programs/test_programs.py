# SPDX-License-Identifier: BSD-3-Clause
"""The programs of this folder under fastnn, and under torch beside it from the same numbers."""

from __future__ import annotations

import importlib
import itertools
from typing import Any

import numpy as np
import pytest

import fastnn
from torch_programs.draws import FromGenerator, FromNumPy

PROGRAMS = [
    "custom_function", "custom_module", "dcgan", "dqn", "names_rnn", "seq2seq", "training_loop",
    "transfer", "transformer", "vae",
]  # fmt: skip
COMPARED = 20


def losses(program: Any, torch: Any, model: Any) -> list[float]:
    """The first losses of a program whose random numbers are NumPy's."""
    run = program.train(torch, model, FromNumPy(torch, seed=5))
    return list(itertools.islice(run, COMPARED))


@pytest.mark.torch
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_goes_the_way_it_goes_under_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    program = importlib.import_module(f"torch_programs.{name}")
    torch.manual_seed(3)
    theirs, ours = program.model(torch), program.model(fastnn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: fastnn.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    want, got = losses(program, torch, theirs), losses(program, fastnn, ours)
    assert len(want) == COMPARED
    np.testing.assert_allclose(got, want, rtol=1e-4)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_gets_where_its_head_says(name: str) -> None:
    program = importlib.import_module(f"torch_programs.{name}")
    draw = FromGenerator(fastnn, seed=1)
    model = program.model(fastnn)
    for loss in program.train(fastnn, model, draw):
        assert np.isfinite(loss)
    assert program.metric(fastnn, model, draw) >= program.AT_LEAST

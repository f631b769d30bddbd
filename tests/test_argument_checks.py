# SPDX-License-Identifier: BSD-3-Clause
"""Arguments of another kind than expected: the error names the call, what came and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.utils.data import DataLoader, IterableDataset, TensorDataset

ONES = fastnn.ones(4)
DATA = TensorDataset(fastnn.ones(10))


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(fastnn.ones(2))]


def delete(x: fastnn.Tensor) -> None:
    del x[0]


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: fastnn.zeros(2, dtype="float32"),
        TypeError,
        "zeros: expected a fastnn dtype, .* got 'float32'; pass fastnn.float32",
    ),
    (lambda: fastnn.zeros(2, dtype=np.float64), TypeError, "zeros: .*; pass fastnn.float64"),
    (
        lambda: fastnn.ones(2, dtype=3),
        TypeError,
        "ones: expected a fastnn dtype.* got 3; pass fastnn.float32 or another",
    ),
    (lambda: fastnn.tensor([1], dtype="x"), TypeError, "tensor: expected a fastnn dtype"),
    (lambda: ONES.to(dtype="float32"), TypeError, "to: expected a fastnn dtype"),
    (lambda: ONES.to(3), TypeError, "to: expected a dtype, a device or a tensor, got 3; "),
    (lambda: ONES.sum(dtype="float32"), TypeError, "sum: expected a fastnn dtype"),
    (lambda: ONES.softmax(0, dtype=np.float32), TypeError, "softmax: expected a fastnn dtype"),
    (lambda: fastnn.rand(2, dtype=np.float32), TypeError, "rand: expected a fastnn dtype"),
    (lambda: fastnn.promote_types(fastnn.int8, "a"), TypeError, "promote_types: .* as b, got 'a'"),
    (
        lambda: fastnn.set_default_dtype(np.float32),
        TypeError,
        "set_default_dtype: .*; pass fastnn.float32",
    ),
    (lambda: nn.Linear(2, 2).to("float64"), RuntimeError, "device: expected 'cpu'"),
    (lambda: nn.Linear(2, 2).to(np.float64), TypeError, "Module.to: .*; pass fastnn.float64"),
    (lambda: nn.Linear("a", 2), TypeError, "Linear: expected in_features as an int, got 'a'"),
    (lambda: nn.Linear(2, 2.5), TypeError, "Linear: expected out_features as an int, got 2.5"),
    (lambda: nn.Dropout("a"), TypeError, "Dropout: expected p as a number from 0 to 1, got 'a'"),
    (lambda: nn.functional.dropout(ONES, None), TypeError, "dropout: expected p as a number"),
    (
        lambda: nn.Linear(2, 2).load_state_dict({1: 2}),
        TypeError,
        r"Linear.load_state_dict: expected names \(str\) as keys, got 1",
    ),
    (lambda: nn.Sequential(nn.ReLU()) * 0, ValueError, "expected n >= 1 in .*, got 0"),
    (lambda: nn.Sequential(nn.ReLU()) * 2.5, TypeError, "n as an int, got float"),
    (
        lambda: ONES.split("a"),
        TypeError,
        "split: expected a size as an int, or a list of sizes, got 'a'",
    ),
    (lambda: fastnn.manual_seed(None), TypeError, "manual_seed: expected an int, got None"),
    (lambda: delete(ONES), TypeError, "got the index 0; join the parts that stay with fastnn.cat"),
    (lambda: fastnn.Generator("gpu"), RuntimeError, "device: expected 'cpu'"),
    (
        lambda: optim.Adam(parameters(), betas=(0.9,)),
        TypeError,
        r"Adam: expected betas as two numbers, got \(0.9,\)",
    ),
    (
        lambda: optim.AdamW(parameters(), betas=None),
        TypeError,
        "AdamW: expected betas as two numbers, got None",
    ),
    (
        lambda: optim.Adam(parameters(), betas=("a", 0.9)),
        TypeError,
        r"Adam: expected betas\[0\] as a number, got 'a'",
    ),
    (
        lambda: optim.Adam(parameters(), eps=None),
        TypeError,
        "Adam: expected eps as a number, got None",
    ),
    (
        lambda: optim.SGD(parameters(), momentum=None),
        TypeError,
        "SGD: expected momentum as a number, got None",
    ),
    (
        lambda: optim.SGD(parameters(), lr="a"),
        TypeError,
        "SGD: expected lr as a number, got 'a'; leave it out",
    ),
    (
        lambda: optim.SGD(parameters(), lr=float("nan")),
        ValueError,
        "SGD: Invalid learning rate: got nan, expected lr >= 0; leave it out",
    ),
    (
        lambda: DataLoader(None),
        TypeError,
        "DataLoader: expected dataset as .*, got NoneType; TensorDataset",
    ),
    (
        lambda: DataLoader(DATA, batch_size="a"),
        ValueError,
        "batch_size as a positive integer",
    ),
    (
        lambda: DataLoader(DATA, num_workers="a"),
        TypeError,
        "DataLoader: expected num_workers as an int, got 'a'",
    ),
    (
        lambda: DataLoader(DATA, num_workers=2.5),
        TypeError,
        "DataLoader: expected num_workers as an int, got 2.5",
    ),
    (
        lambda: DataLoader(DATA, num_workers=1, prefetch_factor="a"),
        TypeError,
        "expected prefetch_factor as an int",
    ),
    (
        lambda: DataLoader(DATA, timeout="a"),
        TypeError,
        "DataLoader: expected timeout as a number of seconds, got 'a'",
    ),
    (
        lambda: DataLoader(DATA, sampler=3),
        TypeError,
        "DataLoader: expected sampler as an iterable of indices, got 3",
    ),
    (
        lambda: DataLoader(DATA, batch_sampler=3),
        TypeError,
        "DataLoader: expected batch_sampler as an iterable",
    ),
    (
        lambda: DataLoader(DATA, shuffle=True, generator=3),
        TypeError,
        "expected generator as a fastnn.Generator or None, got 3",
    ),
    (
        lambda: DataLoader(DATA, collate_fn=3),
        TypeError,
        "DataLoader: expected collate_fn as a function or None, got 3",
    ),
    (
        lambda: DataLoader(DATA, worker_init_fn=3),
        TypeError,
        "DataLoader: expected worker_init_fn as a function",
    ),
]


@pytest.mark.parametrize(
    ("call", "error", "said"), REFUSED, ids=lambda x: x if isinstance(x, str) else ""
)
def test_refused(call: Callable[[], Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call()


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda _: 3, TypeError, "expected what state_dict.. returned, got int"),
        (lambda _: {}, ValueError, "expected the entries epoch, batch, "),
        (lambda s: {**s, "epoch": "a"}, ValueError, "expected epoch as an int >= 0, got 'a'"),
        (lambda s: {**s, "batch": -1}, ValueError, "expected batch as an int >= 0, got -1"),
        (lambda s: {**s, "batch": 6}, ValueError, "expected a batch of at most 5, .* got 6"),
        (lambda s: {**s, "sampler": {}}, ValueError, "RandomSampler.load_state_dict: expected"),
        (lambda s: {**s, "sampler": {"start": [1], "generator": None}}, ValueError, "two ints"),
    ],
)  # fmt: skip
def test_a_position_that_no_loader_gave_changes_nothing(
    change: Callable[[Any], Any], error: type[Exception], said: str
) -> None:
    loader = DataLoader(DATA, batch_size=2, shuffle=True)
    next(iter(loader))
    before = loader.state_dict()
    with pytest.raises(error, match=said):
        loader.load_state_dict(change(before))
    assert loader.state_dict() == before


def test_python_types_stand_for_the_widest_of_their_kind() -> None:
    for python, dtype in ((int, fastnn.int64), (float, fastnn.float64), (bool, fastnn.bool)):
        made = [
            fastnn.zeros(2, dtype=python), fastnn.ones(2, dtype=python),
            fastnn.empty(2, dtype=python),
            fastnn.full((2,), 1, dtype=python), fastnn.tensor([1], dtype=python),
            fastnn.as_tensor([1], dtype=python), fastnn.zeros_like(ONES, dtype=python),
            fastnn.full_like(ONES, 1, dtype=python), ONES.to(python), ONES.to(dtype=python),
            ONES.sum(dtype=python), fastnn.prod(ONES, dtype=python),
            fastnn.randint(2, (2,), dtype=python),
        ]  # fmt: skip
        assert [t.dtype for t in made] == [dtype] * len(made)
        assert fastnn.promote_types(python, fastnn.bool) is dtype
    assert ONES.softmax(0, dtype=float).dtype is fastnn.float64
    assert fastnn.rand(2, dtype=float).dtype is fastnn.float64
    assert fastnn.arange(3, dtype=float).dtype is fastnn.float64
    assert nn.Linear(2, 2, dtype=float).weight.dtype is fastnn.float64
    assert nn.Linear(2, 2).to(float).weight.dtype is fastnn.float64


def test_what_stays_allowed() -> None:
    assert nn.Linear(2, 2).half().weight.dtype is fastnn.float16
    optim.Adam(parameters(), betas=[0.9, 0.99], lr=fastnn.tensor(0.1))
    optim.SGD(parameters(), lr=np.float32(0.1), momentum=True)
    assert [len(b) for b in DataLoader([1, 2, 3], batch_size=2)] == [2, 1]

    class Numbers(IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter(range(3))

    assert len(list(DataLoader(Numbers()))) == 3


def test_a_repeated_sequence_shares_its_modules() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    twice = model * 2
    assert len(twice) == len(2 * model) == 4
    assert twice[2] is twice[0] is model[0]
    same = model
    model *= 2
    assert same is model
    assert len(model) == 4


def test_the_report_of_loading() -> None:
    model = nn.Linear(2, 1)
    assert repr(model.load_state_dict(model.state_dict())) == "<All keys matched successfully>"
    text = "_IncompatibleKeys(missing_keys=['weight', 'bias'], unexpected_keys=[])"
    assert repr(model.load_state_dict({}, strict=False)) == text


def test_a_generator_on_a_gpu_that_is_not_there() -> None:
    if fastnn._backend.name == "cuda":
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError, match="Generator: expected device 'cpu', got 'cuda': "):
        fastnn.Generator(device="cuda")

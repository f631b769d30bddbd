# SPDX-License-Identifier: BSD-3-Clause
"""Programs of views and in-place changes give the same bits whenever garbage is collected: nodes
and views hold what they need, and nothing is known by an address that something else had before."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from typing import Any

import pytest

import fastnn
from fastnn import autograd
from test_view_programs import failure, loss, run, started

PROGRAMS = 400
DROP, RETAIN, DIFFERENTIATE = 8, 9, 10


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()  # what other tests left is not looked at again and again
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


class Cycle:
    """Garbage that only the collector finds, with tensors and nodes in it."""

    def __init__(self, *held: Any) -> None:
        self.held = (self, *held)


def disturb(rng: random.Random, pool: list[Any]) -> None:
    kind = rng.randrange(4)
    if kind == 0:
        gc.collect(rng.randrange(3))
    elif kind == 1:
        gc.set_threshold(rng.choice([1, 2, 5, 50, 700]))
    elif kind == 2:
        Cycle(list(pool), [t._node for t in pool])
    else:
        Cycle([fastnn.zeros(2, 3, 2, dtype=fastnn.float64) for _ in range(rng.randint(1, 30))])


def advance(pool: list[Any], kept: list[Any], step: tuple[int, ...]) -> None:
    kind, _, i, j, mode = step
    t = pool[i % len(pool)]
    if kind < DROP:
        run(fastnn, pool, step)
    elif kind == DROP and len(pool) > 4:
        pool.pop(4 + i % (len(pool) - 4))
    elif kind == RETAIN and t.requires_grad and not t.is_leaf:
        t.retain_grad()
        kept.append(t)
    elif kind == DIFFERENTIATE and t.requires_grad:
        inputs = [p for p in (pool[0], pool[j % len(pool)]) if p.requires_grad]
        graph = mode == 2
        total = (t * t).sum()
        kept += autograd.grad(
            total, inputs, retain_graph=True, allow_unused=True, create_graph=graph
        )


def outcome(program: list[tuple[int, ...]], rng: random.Random | None) -> list[Any]:
    """What a program gives: values, gradients and errors; with rng among disturbances."""
    pool, kept, seen = started(fastnn), [], []
    for step in program:
        if rng is not None:
            disturb(rng, pool)
        error = failure(lambda step=step: advance(pool, kept, step))
        seen.append(None if error is None else str(error))
    seen.append(str(failure(lambda: loss(pool).backward())))
    for t in (*pool, *kept):
        if t is not None:
            grad = t.grad
            seen.append(
                (
                    t.detach().numpy().tobytes(),
                    None if grad is None else grad.detach().numpy().tobytes(),
                )
            )
    return seen


def test_programs_give_the_same_bits_whenever_garbage_is_collected() -> None:
    finished = 0
    for seed in range(PROGRAMS):
        rng = random.Random(seed)
        program = [
            (rng.randrange(11), *(rng.randrange(21) for _ in range(3)), rng.randrange(4))
            for _ in range(rng.randint(3, 16))
        ]
        want = outcome(program, None)
        assert outcome(program, random.Random(seed)) == want, (seed, program)
        finished += want[len(program)] == "None"
    assert finished > PROGRAMS // 2

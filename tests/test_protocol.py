# SPDX-License-Identifier: BSD-3-Clause
"""What Python asks of objects, asked of tensors: truth, length, numbers, containers, copies."""

from __future__ import annotations

import copy
import math
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn

SHAPES: list[Any] = [
    2.5, -3, True, 0, float("nan"), float("inf"), [1.5], [[7]], [True], [0], [], [1, 2],
    [[1.0], [2.0]],
    [[0.0, -1.0, 2.0], [3.0, 4.0, 5.0]],
]  # fmt: skip
QUESTIONS: dict[str, Any] = {
    "len": len,
    "bool": bool,
    "not": operator.not_,
    "float": float,
    "int": int,
    "index": operator.index,
    "complex": complex,
    "item": lambda t: t.item(),
    "tolist": lambda t: t.tolist(),
    "iter": lambda t: [part.tolist() for part in t],
    "reversed": lambda t: [part.tolist() for part in reversed(t)],
    "floor": math.floor,
    "list index": lambda t: [10, 20, 30][t],
    "range": lambda t: list(range(t)),
    "format": lambda t: f"{t:.2f}",
    "contains 2": lambda t: 2 in t,
    "contains none": lambda t: None in t,
    "contains str": lambda t: "a" in t,
    "contains self": lambda t: t.clone() in t,
    "array": lambda t: np.asarray(t).tolist(),
    "array f4": lambda t: np.asarray(t, dtype=np.float32).dtype.name,
    "array copy": lambda t: np.array(t, copy=True).shape,
    "if any": lambda t: bool((t == 1).any()),
    "chain": lambda t: bool(0 < t < 3),
    "in list": lambda t: t in [t],
    "eq none": lambda t: t == None,  # noqa: E711
    "unpack": lambda t: [int(v.sum()) for v in (*t,)],
    "sum": lambda t: sum(t).tolist() if len(t) else 0,
    "max": lambda t: max(t).tolist(),
    "sorted": lambda t: [v.item() for v in sorted(t)],
    "enumerate": lambda t: [(i, v.tolist()) for i, v in enumerate(t)],
    "zip": lambda t: [(a.tolist(), b.tolist()) for a, b in zip(t, t, strict=True)],
    "dict key": lambda t: {t: 1}[t],
    "set": lambda t: len({t, t.clone(), t}),
    "dlpack": lambda t: np.from_dlpack(t).tolist(),
    "deepcopy": lambda t: copy.deepcopy(t).tolist(),
    "pickle": lambda t: pickle.loads(pickle.dumps(t)).tolist(),
}


def answer(question: Any, t: Any) -> Any:
    try:
        return question(t)
    except Exception as error:
        return error


@pytest.mark.torch
@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_answers_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    for data in SHAPES:
        want = answer(QUESTIONS[name], torch.tensor(data))
        got = answer(QUESTIONS[name], fastnn.tensor(data))
        if isinstance(want, Exception):
            # torch has two types for a number of elements other than one.
            kinds = {RuntimeError, ValueError} if "one element" in str(want) else {type(want)}
            assert type(got) in kinds, (name, data, got, want)
        else:
            assert type(got) is type(want), (name, data, got, want)
            np.testing.assert_equal(got, want)


def test_truth_and_numbers_of_many_elements_are_ambiguous() -> None:
    for many in (fastnn.zeros(2), fastnn.zeros(0)):
        for ask, message in (
            (bool, "whose truth is ambiguous; use .any"),
            (float, "expected a tensor of one element"),
            (int, "expected a tensor of one element"),
        ):
            with pytest.raises(RuntimeError, match=message):
                ask(many)
    with pytest.raises(TypeError, match=r"index: expected an integer tensor .* with \.long"):
        operator.index(fastnn.tensor(1.0))
    with pytest.raises(TypeError, match="len: expected a tensor with dimensions"):
        len(fastnn.tensor(1.0))
    with pytest.raises(TypeError, match="iter: expected a tensor with dimensions"):
        iter(fastnn.tensor(1.0))


def test_membership() -> None:
    x = fastnn.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert 2 in x
    assert 2.5 not in x
    assert fastnn.tensor([3.0, 9.0]) in x
    for wrong in (None, "a", [1.0]):
        with pytest.raises(RuntimeError, match="in: expected a tensor or a number, got"):
            _ = wrong in x


def test_iteration_gives_the_rows_as_views() -> None:
    x = fastnn.zeros(3, 2)
    for i, row in enumerate(x):
        row.add_(i)
    assert x.tolist() == [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    assert [row.tolist() for row in reversed(x)] == x.flip(0).tolist()
    assert list(fastnn.zeros(0, 2)) == []
    first, *others = x
    assert len(others) == 2
    assert first.shape == (2,)


def test_hash_is_of_the_object() -> None:
    a, b = fastnn.ones(2), fastnn.ones(2)
    assert len({a, b, a}) == 2
    assert {a: "a", b: "b"}[b] == "b"


def test_copies_keep_attributes_gradients_and_what_is_shared() -> None:
    x = fastnn.ones(3, requires_grad=True)
    x.note = ["kept"]  # type: ignore[attr-defined]
    (x * 2.0).sum().backward()
    made = copy.deepcopy([x, x])
    assert made[0] is made[1]
    assert made[0].note == ["kept"]
    assert made[0].note is not x.note  # type: ignore[attr-defined]
    assert made[0].grad is not x.grad
    assert made[0].grad.tolist() == [2.0, 2.0, 2.0]
    weight, same = pickle.loads(pickle.dumps((x, x)))
    assert weight is same
    assert (weight.note, weight.requires_grad, weight.grad) == (["kept"], True, None)
    shallow = copy.copy(x.detach())
    shallow[0] = 5.0
    assert x[0].item() == 5.0
    p = nn.Parameter(fastnn.ones(2), requires_grad=False)
    for twin in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(twin) is nn.Parameter
        assert not twin.requires_grad


def test_results_of_operations_pickle_as_leaves_and_are_not_copied() -> None:
    x = fastnn.ones(3, requires_grad=True)
    y = x * 2.0
    with pytest.raises(RuntimeError, match=r"deepcopy: expected a leaf .* detach\(\)\.clone\(\)"):
        copy.deepcopy(y)
    made = pickle.loads(pickle.dumps(y[1:]))
    assert made.is_leaf
    assert made.requires_grad
    assert made.tolist() == [2.0, 2.0]


@pytest.mark.torch
def test_copies_of_results_as_torch() -> None:
    torch = pytest.importorskip("torch")
    for lib in (fastnn, torch):
        y = lib.ones(3, requires_grad=True) * 2.0
        with pytest.raises(RuntimeError):
            copy.deepcopy(y)
        made = pickle.loads(pickle.dumps(y))
        assert made.is_leaf
        assert made.requires_grad
        assert not pickle.loads(pickle.dumps(y.detach())).requires_grad
        buffer = lib.zeros(2)
        buffer.note = 3
        assert copy.deepcopy(buffer).note == pickle.loads(pickle.dumps(buffer)).note == 3


def test_arrays_share_memory_and_refuse_gradients() -> None:
    x = fastnn.arange(3.0)
    np.asarray(x)[0] = 7.0
    assert x[0].item() == 7.0
    assert np.from_dlpack(x).ctypes.data == x.data_ptr()
    assert fastnn.from_dlpack(x).data_ptr() == x.data_ptr()
    assert x.__dlpack_device__() == (1, 0)
    assert np.array(x, copy=True).ctypes.data != x.data_ptr()
    assert np.asarray(x, dtype=np.int64).tolist() == [7, 1, 2]
    x.requires_grad_()
    with pytest.raises(RuntimeError, match=r"\.detach\(\)\.numpy\(\)"):
        np.asarray(x)
    with pytest.raises(BufferError, match=r"use detach\(\)"):
        x.__dlpack__()

# SPDX-License-Identifier: BSD-3-Clause
"""In-place forms: of every case whose function has one, and what all of them refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import testing
from fastnn.ops._in_place import in_place
from fastnn.tensor import Tensor


def keeps_its_shape(case: testing.OpCase) -> bool:
    first = testing.make_arrays(case, np.float32)[0]
    if not isinstance(first, np.ndarray) or first.dtype != np.float32:
        return False
    (out, *_) = testing.call(case, testing.make_tensors(case, np.float32))
    return out.shape == first.shape and out.dtype is fastnn.float32


# Of the tensor itself they change the shape: test_shape_in_place.py.
OF_SHAPE = ("squeeze", "swapaxes", "t", "transpose", "unsqueeze")
CASES = [
    c
    for c in testing.all_cases(bench=False)
    if hasattr(Tensor, c.name + "_") and c.name not in OF_SHAPE and keeps_its_shape(c)
]
NAMES = ["exp_", "log_", "neg_", "relu_", "sigmoid_", "tanh_"]


def change(case: testing.OpCase, arguments: list[Any]) -> Any:
    return getattr(arguments[0], case.name + "_")(*arguments[1:], **case.kwargs)


def test_the_table_is_not_empty() -> None:
    assert {c.name + "_" for c in CASES} >= {
        *(*NAMES, "add_", "sub_", "mul_", "div_", "addmm_", "baddbmm_", "addmv_", "addbmm_"),
        *("addr_", "cumsum_", "cumprod_", "index_reduce_"),
    }


@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_in_place_gives_the_same_bits_in_the_same_memory(case: testing.OpCase, layout: str) -> None:
    (want,) = testing.call(case, testing.make_tensors(case, np.float32))
    arguments = testing.make_tensors(case, np.float32)
    if layout == "transposed":
        arguments[0] = Tensor._wrap(np.array(arguments[0].array.T, order="C").T)
    array, version = arguments[0].array, arguments[0]._version
    assert change(case, arguments) is arguments[0]
    assert arguments[0].array is array
    assert arguments[0]._version == version + 1
    np.testing.assert_array_equal(array, want.array)


@pytest.mark.parametrize("case", [c for c in CASES if c.grad], ids=lambda c: c.id)
def test_in_place_has_the_same_gradients(case: testing.OpCase) -> None:
    plain = testing.make_tensors(case, np.float64, requires_grad=True)
    changed = testing.make_tensors(case, np.float64, requires_grad=True)
    (want,) = testing.call(case, plain)
    (want * want).sum().backward()
    got = change(case, [changed[0].clone(), *changed[1:]])
    (got * got).sum().backward()
    for p, c in zip(plain, changed, strict=True):
        if isinstance(p, Tensor) and p.requires_grad:
            np.testing.assert_array_equal(c.grad.numpy(), p.grad.numpy())


@pytest.mark.parametrize("name", NAMES)
def test_a_value_that_backward_needs_is_guarded(name: str) -> None:
    x = fastnn.ones(3, requires_grad=True)
    y = x * 1.0
    z = y * y
    getattr(y, name)()
    with pytest.raises(RuntimeError, match="changed by an in-place"):
        z.sum().backward()


@pytest.mark.parametrize("name", [*NAMES, "zero_"])
def test_what_cannot_be_changed_is_refused(name: str) -> None:
    leaf = fastnn.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match=f"({name}|fill_): expected .* got a leaf"):
        getattr(leaf, name)()
    with fastnn.no_grad():
        assert getattr(leaf, name)() is leaf
    with pytest.raises(RuntimeError, match="clone"):
        getattr(fastnn.ones(1, 3).expand(2, 3), name)()
    memory = np.ones(3, np.float32)
    memory.flags.writeable = False
    with pytest.raises(RuntimeError, match="read-only"):
        getattr(Tensor._wrap(memory), name)()
    with pytest.raises(TypeError, match="as a Tensor"):
        getattr(Tensor, name)(3.0)


@pytest.mark.parametrize("name", ["exp_", "log_", "sigmoid_", "tanh_"])
def test_a_result_of_another_category_is_not_stored(name: str) -> None:
    x = fastnn.tensor([1, 2])
    with pytest.raises(RuntimeError, match=r"expected a result that fastnn\.int64 can hold, got"):
        getattr(x, name)()
    assert x.tolist() == [1, 2]
    assert x._version == 0


def test_a_function_with_options() -> None:
    def shifted(input: Tensor, by: Any, *, times: Any = 1) -> Tensor:
        """input + by times."""
        return input + by * times

    shifted_ = in_place(shifted)
    x = fastnn.tensor([1.0, 2.0])
    assert shifted_(x, 1, times=fastnn.tensor([2.0, 3.0])).tolist() == [3.0, 5.0]
    assert shifted_(x, x, times=2).tolist() == [9.0, 15.0]
    with pytest.raises(RuntimeError, match="shifted_: expected a result of shape"):
        shifted_(x, fastnn.ones(3, 1))
    weight = fastnn.ones(2, requires_grad=True)
    shifted_(x, weight)
    x.sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [1.0, 1.0]
    assert (shifted_.__name__, shifted_.__doc__.split()[0]) == ("shifted_", "`shifted`")

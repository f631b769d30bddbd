# SPDX-License-Identifier: BSD-3-Clause
"""add, sub, mul, div as kernels: types, layouts, wrapping, in place, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnn
from fastnn import _backend
from layouts import (
    DTYPES,
    FLOATS,
    INTEGERS,
    arrays,
    assert_same_bits,
    levels,
    native_only,
    shapes,
    values,
    with_threads,
)

FORMULAS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
VARIANTS = [
    (name, dtype)
    for name, dtypes in (
        ("add", DTYPES),
        ("sub", (*FLOATS, *INTEGERS)),
        ("mul", DTYPES),
        ("div", FLOATS),
    )
    for dtype in dtypes
]


def kernel(name: str) -> Any:
    return getattr(_backend.default_table(), name)


def plain(name: str, x: Any, y: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.asarray(FORMULAS[name](x, y))


@given(st.data(), st.sampled_from(VARIANTS), shapes)
def test_kernels_equal_numpy_in_every_layout(
    data: st.DataObject, variant: tuple[str, str], shape: tuple[int, ...]
) -> None:
    name, dtype = variant
    x, y = data.draw(arrays(shape, dtype)), data.draw(arrays(shape, dtype))
    want = plain(name, x, y)
    for level in levels():
        out = data.draw(arrays(shape, dtype, broadcast=False))
        with np.errstate(all="ignore"):
            kernel(name)(x, y, out)
        assert_same_bits(out, want, (variant, level))


@given(st.data(), st.sampled_from(VARIANTS), shapes, st.booleans())
def test_output_may_be_an_input(
    data: st.DataObject, variant: tuple[str, str], shape: tuple[int, ...], first: bool
) -> None:
    name, dtype = variant
    changed, other = (
        data.draw(arrays(shape, dtype, broadcast=False)),
        data.draw(arrays(shape, dtype)),
    )
    operands = (changed, other) if first else (other, changed)
    want = plain(name, *operands)
    with np.errstate(all="ignore"):
        kernel(name)(*operands, changed)
    assert_same_bits(changed, want, variant)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_wrap(dtype: str) -> None:
    info = np.iinfo(dtype)
    n = 100  # whole vectors and a rest
    low, high = np.full(n, info.min, dtype), np.full(n, info.max, dtype)
    one, out = np.ones(n, dtype), np.empty(n, dtype)
    for level in levels():
        kernel("add")(high, one, out)
        assert (out == info.min).all(), level
        kernel("sub")(low, one, out)
        assert (out == info.max).all(), level
        kernel("mul")(high, high, out)
        assert (out == 1).all(), level


@native_only
@pytest.mark.parametrize("name", ["add", "mul"])
def test_any_byte_but_zero_is_true(name: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.choice(np.array([0, 1, 2, 128, 255], np.uint8), 1000)
    y = rng.choice(np.array([0, 1, 2, 128, 255], np.uint8), 1000)
    out = np.empty(1000, bool)
    for _ in levels():
        kernel(name)(x.view(bool), y.view(bool), out)
        np.testing.assert_array_equal(out.view(np.uint8), FORMULAS[name](x != 0, y != 0))


@native_only
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "row", "column", "in place"])
@pytest.mark.parametrize("name", list(FORMULAS))
def test_threads_do_not_change_bits(name: str, layout: str) -> None:
    rng = np.random.default_rng(1)
    x, y = values(rng, (523, 611), "float32"), values(rng, (523, 611), "float32")
    if layout == "transposed":
        y = np.ascontiguousarray(y.T).T
    elif layout == "row":
        y = np.broadcast_to(y[0], y.shape)
    elif layout == "column":
        y = np.broadcast_to(y[:, :1], y.shape)
    want = plain(name, x, y)
    results = []
    for threads in (1, 2, 3, 4):
        out = x.copy() if layout == "in place" else np.empty_like(x)
        with_threads(threads, kernel(name), out if layout == "in place" else x, y, out)
        assert_same_bits(out, want, (name, layout, threads))
        results.append(out.tobytes())
    assert len(set(results)) == 1


@native_only
@pytest.mark.parametrize("name", list(FORMULAS))
def test_bits_do_not_depend_on_the_place_in_memory(name: str) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=77).astype("f4"), rng.normal(size=77).astype("f4")
    want = plain(name, x, y).tobytes()
    for _ in levels():
        for offset in range(32):
            room = np.zeros((3, 120), "f4")
            a, b, out = room[:, offset : offset + 77]
            a[:], b[:] = x, y
            kernel(name)(a, b, out)
            assert out.tobytes() == want
            assert not room[2, :offset].any()
            assert not room[2, offset + 77 :].any()


@native_only
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
def test_arrays_beyond_the_caches(dtype: str) -> None:
    """From 4 MiB on another loop serves: any layout, in place, nothing past the end."""
    item = np.dtype(dtype).itemsize
    rows, cols = 1031, (4 << 20) // item // 1024 + 3
    rng = np.random.default_rng(5)
    x, y = (rng.integers(1, 9, (rows, cols)).astype(dtype) for _ in range(2))
    add, copy = _backend.default_table().add, _backend.default_table().copy
    for _ in levels():
        for b in (
            y,
            np.broadcast_to(y[:1], x.shape),
            np.broadcast_to(y[:, :1], x.shape),
            np.ascontiguousarray(y.T).T,
        ):
            room = np.zeros(rows * cols + 64, dtype)
            out = room[: rows * cols].reshape(rows, cols)
            with_threads(3, add, x, b, out)
            np.testing.assert_array_equal(out, x + b)
            assert not room[rows * cols :].any()
        out = x.copy()
        with_threads(3, add, out, y, out)
        np.testing.assert_array_equal(out, x + y)
        for source in (x, x[:, 1:], x[::-1], np.ascontiguousarray(x.T).T):
            room = np.zeros(rows * cols + 64, dtype)
            out = room[: source.size].reshape(source.shape)
            with_threads(3, copy, source, out)
            np.testing.assert_array_equal(out, source)
            assert not room[source.size :].any()


@native_only
def test_output_that_overlaps_an_input_is_refused() -> None:
    memory = np.zeros(40, "f4")
    for out in (memory[1:21], memory[:20][::-1], memory[:40:2]):
        with pytest.raises(ValueError, match="shares memory with"):
            kernel("add")(memory[:20], np.ones(20, "f4"), out)


@native_only
def test_fast_entry_takes_equal_contiguous_operands_and_leaves_the_others() -> None:
    fast = _backend.default_table().fast.add
    x = np.arange(12, dtype="f4").reshape(3, 4)
    np.testing.assert_array_equal(fast(x, x), x + x)
    for other in (x.T, x[:1], x.astype("f8"), x[:, ::-1], np.float32(1)):
        assert fast(x, other) is NotImplemented
    assert fast(x.astype("f2"), x.astype("f2")) is NotImplemented


@pytest.mark.parametrize("dtype", ["float16", "longdouble", "int16"])
def test_types_without_a_native_kernel_take_the_reference(dtype: str) -> None:
    x, y = np.array([1, 2, 3], dtype), np.array([5, 7, 9], dtype)
    out = np.empty_like(x)
    kernel("mul")(x, y, out)
    assert out.tolist() == [5, 14, 27]


def test_nine_dimensions_take_the_reference() -> None:
    x = np.arange(512, dtype="f4").reshape((2,) * 9)
    out = np.empty_like(x)
    kernel("add")(x, x.T, out)
    np.testing.assert_array_equal(out, x + x.T)


def test_tensors_of_two_types_meet_in_the_promoted_one() -> None:
    whole = fastnn.tensor([1, 2, 3])
    assert (whole + fastnn.tensor([0.5, 0.5, 0.5])).dtype is fastnn.float32
    assert (whole / whole).dtype is fastnn.float32
    assert (fastnn.tensor([True, False]) + fastnn.tensor([True, False])).tolist() == [True, False]


def test_numbers_beyond_an_integer_type_wrap_around() -> None:
    u, i = fastnn.tensor([1, 2], dtype=fastnn.uint8), fastnn.tensor([1, 2], dtype=fastnn.int8)
    for got, want in (
        (u + -1, [0, 1]),
        (u - 3, [254, 255]),
        (-1 - u, [254, 253]),
        (u * -300, [212, 168]),
        (u + 300, [45, 46]),
        (i + 200, [-55, -54]),
        (i * 1000, [-24, -48]),
        (u.clone().sub_(3), [254, 255]),
        (u > -1, [False, False]),
        (u == 257, [True, False]),
    ):
        assert got.tolist() == want
        assert got.dtype in (u.dtype, i.dtype, fastnn.bool)
    assert (u / -1).tolist() == [-1.0, -2.0]
    big = fastnn.tensor([1]) + 2**63
    assert big.tolist() == [-(2**63) + 1]
    with pytest.raises(RuntimeError, match="choose a wider type"):
        fastnn.tensor([1]) + 2**64
    assert u.clone().fill_(-1).tolist() == [255, 255]
    for value in (300, -300):
        with pytest.raises(RuntimeError, match="choose a wider type"):
            u.clone().fill_(value)


def test_subtraction_refuses_bools() -> None:
    mask, whole = fastnn.tensor([True, False]), fastnn.tensor([1, 2])
    for a, b in ((mask, mask), (mask, 1), (1, mask), (whole, mask), (whole, True), (True, mask)):
        with pytest.raises(RuntimeError, match="bool operand"):
            fastnn.sub(a, b)
        with pytest.raises(RuntimeError, match="bool operand"):
            fastnn.sub(a, b, alpha=2)
    with pytest.raises(RuntimeError, match="bool operand"):
        whole.sub_(True)
    assert (mask + True).tolist() == [True, True]
    assert (mask + 1).tolist() == [2, 1]


def test_alpha_is_a_number_of_the_results_kind() -> None:
    mask, whole, real = (
        fastnn.tensor([True, False]),
        fastnn.tensor([1, 2]),
        fastnn.tensor([1.0, 2.0]),
    )
    byte = whole.to(fastnn.uint8)
    for got, want in (
        (fastnn.add(real, whole, alpha=2.5), [3.5, 7.0]),
        (fastnn.add(whole, real, alpha=2.5), [3.5, 7.0]),
        (fastnn.add(whole, 1.5, alpha=2), [4.0, 5.0]),
        (fastnn.add(mask, mask, alpha=True), [True, False]),
        (fastnn.add(mask, mask, alpha=2), [True, False]),
        (fastnn.add(mask, True, alpha=2), [True, True]),
        (fastnn.add(mask, 1, alpha=2), [3, 2]),
        (fastnn.add(byte, 3, alpha=-1), [254, 255]),
        (fastnn.sub(byte, byte, alpha=-1), [2, 4]),
        (fastnn.add(whole, whole, alpha=fastnn.tensor(2)), [3, 6]),
        (real.clone().add_(real, alpha=2.5), [3.5, 7.0]),
    ):
        assert got.tolist() == want
    for a, b, alpha in (
        (whole, whole, 2.0),
        (whole, 1, 2.5),
        (mask, 1, 2.5),
        (mask, mask, 2.5),
        (whole, real, True),
        (whole, whole, True),
        (byte, byte, 300),
    ):
        with pytest.raises(RuntimeError, match=r"add: expected (alpha|a number that fits)"):
            fastnn.add(a, b, alpha=alpha)
    for alpha in ("a", None, 1j):
        with pytest.raises(TypeError, match="alpha as a number"):
            fastnn.add(real, real, alpha=alpha)


def test_the_gradient_of_the_angle_of_no_point_is_zero() -> None:
    values = ([0.0, -0.0, 0.0, 3.0], [0.0, 0.0, 1e-30, 4.0])
    for graph in (False, True):
        y, x = (fastnn.tensor(v, requires_grad=True) for v in values)
        gy, gx = fastnn.autograd.grad(y.atan2(x).sum(), [y, x], create_graph=graph)
        np.testing.assert_allclose(gy.detach().numpy(), [0.0, 0.0, 0.0, 0.16], rtol=1e-6)
        np.testing.assert_allclose(gx.detach().numpy(), [0.0, 0.0, 0.0, -0.12], rtol=1e-6)
    y, x = (fastnn.zeros(1, requires_grad=True) for _ in range(2))
    nan = fastnn.tensor([float("nan")])
    assert all(g.isnan().item() for g in fastnn.autograd.grad(y.atan2(x), [y, x], nan))


def test_the_older_names_of_division() -> None:
    """torch keeps those of Python 2."""
    x = fastnn.tensor([1.0, 4.0])
    assert x.__rdiv__(2).tolist() == [2.0, 0.5]
    assert x.__idiv__(2) is x
    assert x.tolist() == [0.5, 2.0]


WORDS = (
    "add", "sub", "mul", "truediv", "mod", "floordiv", "pow", "and", "or", "xor", "lshift",
    "rshift",
)  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_a_method_of_an_operator_is_refused_to_what_is_no_tensor(word: str) -> None:
    """Not even where a tensor is the other operand, which Python itself never asks for."""
    whole = fastnn.tensor([1, 2])
    for other in (whole, whole.float(), 2, None):
        for prefix in ("", "r", "i"):
            name = f"__{prefix}{word}__"
            for owner in (2, 2.0, True, None, "a", np.ones(2), object):
                with pytest.raises(TypeError, match=r"expected .*, got"):
                    getattr(fastnn.Tensor, name)(owner, other)
            for arguments in ((), (whole,), (whole, 2, 3)):
                with pytest.raises(TypeError):
                    getattr(fastnn.Tensor, name)(*arguments)


@pytest.mark.parametrize("word", ["and", "or", "xor", "lshift", "rshift"])
def test_an_operator_of_integers_refuses_a_fraction_beside_a_number(word: str) -> None:
    x = fastnn.tensor([1.0, 2.0])
    for name in (f"__{word}__", f"__r{word}__", f"__i{word}__"):
        for other in (2, 2.0):
            with pytest.raises(RuntimeError, match="expected integers or bools, got floating"):
                getattr(x, name)(other)

# SPDX-License-Identifier: BSD-3-Clause
"""Elementwise families: errors in ulp, special values, bits, and what the case table cannot say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend
from fastnn.nn import functional as F
from layouts import FLOATS, INTEGERS, assert_same_bits, levels, native_only, values, with_threads

INF, NAN = float("inf"), float("nan")
WIDER = {"float32": np.float64, "float64": np.longdouble}
ROWS = sorted(
    name
    for name, kernel in _backend.native.items()
    if name.endswith("_forward") and kernel.is_allocating and kernel.spec == "x(...) y(...)"
)


def kernel(name: str) -> Any:
    return getattr(_backend.default_table(), name)


def run(name: str, *arrays: Any) -> Any:
    out = np.empty_like(arrays[0])
    kernel(name)(*arrays, out)
    return out


def ulps(got: Any, exact: Any) -> float:
    """The largest error in units in the last place."""
    info = np.finfo(got.dtype)
    size = np.maximum(np.abs(exact.astype(np.longdouble)), info.tiny)
    unit = np.exp2(np.floor(np.log2(size)) - info.nmant)
    return float((np.abs(got.astype(np.longdouble) - exact) / unit).max())


@native_only
@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no wider type than double")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("expm1", -30.0, 80.0),
        ("expm1", -1e-3, 1e-3),
        ("log1p", -0.999, 1e4),
        ("log1p", -1e-3, 1e-3),
        ("exp2", -120.0, 120.0),
        ("log2", 1e-6, 1e6),
        ("log2", 0.9, 1.1),
    ],
)
def test_errors_are_below_three_ulp(name: str, low: float, high: float, dtype: str) -> None:
    x = np.random.default_rng(0).uniform(low, high, 200_000).astype(dtype)
    exact = getattr(np, name)(x.astype(WIDER[dtype]))
    for level in levels():
        assert ulps(run(name + "_forward", x), exact) < 3, level


@native_only
@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no wider type than double")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("end", [80.0, 3.0, 1e-3])
def test_errors_of_softplus_are_below_three_ulp(end: float, dtype: str) -> None:
    x = np.random.default_rng(0).uniform(-end, end, 200_000).astype(dtype)
    wide = x.astype(WIDER[dtype])
    exact = np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide)))
    y = np.empty_like(x)
    for level in levels():
        kernel("softplus_forward")(x, y, 1.0, 100.0)
        assert ulps(y, exact) < 3, level


@native_only
def test_errors_of_gelu() -> None:
    """Of single precision, against double: of the normal distribution function and of the slope."""
    x = np.linspace(-14, 14, 40_001, dtype=np.float32)
    wide = x.astype(np.float64)
    cdf = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in wide])
    slope = cdf + wide * np.exp(-wide * wide / 2) / math.sqrt(2 * math.pi)
    for level in levels():
        error = np.abs(run("gelu_forward", x) - wide * cdf)
        assert (error <= np.abs(wide) * 2.0**-23 + np.abs(wide * cdf) * 2.0**-24).all(), level
        error = np.abs(run("gelu_backward", x, np.ones_like(x)) - slope)
        assert error.max() < 2.0**-22, level


@native_only
@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no wider type than double")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("base", "power"), [(3.0, 2.0), (1e4, 8.0), (1.01, 5000.0)])
def test_errors_of_powers_are_below_three_ulp(base: float, power: float, dtype: str) -> None:
    rng = np.random.default_rng(1)
    x = np.exp(rng.uniform(-np.log(base), np.log(base), 100_000)).astype(dtype)
    y = rng.uniform(-power, power, x.size).astype(dtype)
    exact = np.power(x.astype(WIDER[dtype]), y.astype(WIDER[dtype]))
    for level in levels():
        assert ulps(run("pow", x, y), exact) < 3, level


@pytest.mark.parametrize("dtype", FLOATS)
def test_powers_of_special_values(dtype: str) -> None:
    special = np.array(
        [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 2.5, INF, -INF, NAN, 1e30, -1e30],
        dtype,
    )
    x, y = (a.ravel().copy() for a in np.meshgrid(special, special))
    with np.errstate(all="ignore"):
        want = np.power(x, y)
    for level in levels():
        got = run("pow", x, y)
        np.testing.assert_allclose(got, want, rtol=1e-6, err_msg=level)
        zeros = want == 0
        np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(want[zeros]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_whole_logarithms_and_powers_are_exact(dtype: str) -> None:
    whole = np.arange(-100, 101).astype(dtype)
    for _ in levels():
        np.testing.assert_array_equal(run("exp2_forward", whole), 2.0**whole)
        np.testing.assert_array_equal(run("log2_forward", (2.0**whole).astype(dtype)), whole)
    assert fastnn.tensor([10.0, 100.0, 1000.0], dtype=fastnn.float64).log10().tolist() == [1, 2, 3]


@native_only
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ROWS)
def test_bits_depend_on_the_value_alone(name: str, dtype: str) -> None:
    """Not on the position, the length, the thread or whether the output is the input."""
    if name.startswith("bitwise"):
        dtype = "int64" if dtype == "float64" else "int32"
    x = np.random.default_rng(3).normal(scale=3, size=70_000).astype(dtype)
    for _ in levels():
        want = run(name, x)
        for offset in range(0, 32, 5):
            room = np.zeros(128, dtype)
            y = room[offset : offset + 1 + offset % 37]
            kernel(name)(x[: y.size].copy(), y)
            assert y.tobytes() == want[: y.size].tobytes()
            assert not room[offset + y.size :].any()
        for threads in (1, 3):
            y = x.copy()
            with_threads(threads, kernel(name), y, y)
            assert y.tobytes() == want.tobytes()


@native_only
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["relu_forward", "relu_backward", "gelu_forward", "gelu_backward"])
def test_bits_of_arrays_beyond_the_caches(name: str, dtype: str) -> None:
    """From 4 MiB on another loop serves: same bits, any threads, in place, nothing past the end."""
    n = (4 << 20) // np.dtype(dtype).itemsize + 77
    rng = np.random.default_rng(4)
    x, g = (rng.normal(scale=3, size=n).astype(dtype) for _ in range(2))
    inputs = (x, g) if name.endswith("backward") else (x,)
    for _ in levels():
        want = np.concatenate(
            [run(name, *(a[i : i + n // 5].copy() for a in inputs)) for i in range(0, n, n // 5)]
        )
        for threads in (1, 3):
            room = np.zeros(n + 64, dtype)
            with_threads(threads, kernel(name), *inputs, room[:n])
            assert room[:n].tobytes() == want.tobytes()
            assert not room[n:].any()
            y = x.copy()
            with_threads(threads, kernel(name), y, *inputs[1:], y)
            assert y.tobytes() == want.tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
def test_rounding_and_signs_of_special_values(dtype: str) -> None:
    x = np.array([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e30, INF, -INF, NAN], dtype)
    for _ in levels():
        for name in ("floor", "ceil", "trunc"):
            assert_same_bits(run(name + "_forward", x), getattr(np, name)(x), name)
        assert_same_bits(run("round_forward", x), np.rint(x))
        assert_same_bits(run("abs_forward", x), np.abs(x))
        signs = np.where(np.isnan(x), 0, np.sign(x))  # of NaN 0, as torch's
        np.testing.assert_array_equal(run("sign_forward", x), signs)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_wrap_around(dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, y = values(rng, (333,), dtype), values(rng, (333,), dtype)
    divisor = np.where(y == 0, 3, y).astype(dtype)
    for level in levels():
        with np.errstate(all="ignore"):
            assert_same_bits(run("abs_forward", x), np.abs(x), level)
            assert_same_bits(run("square_forward", x), x * x, level)
            assert_same_bits(run("pow", x, np.abs(y) % 9), np.power(x, np.abs(y) % 9), level)
            for name in ("fmod", "remainder", "floor_divide"):
                assert_same_bits(run(name, x, divisor), getattr(np, name)(x, divisor), name)
        for name in ("maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"):
            assert_same_bits(run(name, x, y), getattr(np, name)(x, y), name)


def test_a_divisor_of_zero_is_refused_before_anything_is_written() -> None:
    x, y = np.arange(6), np.array([1, 2, 3, 0, 5, 6])
    for name in ("fmod", "remainder", "floor_divide", "trunc_divide"):
        for level in levels():
            out = np.full(6, 7)
            with pytest.raises(ValueError, match=name):
                kernel(name)(x, y, out)
            assert (out == 7).all(), level
    with pytest.raises(RuntimeError, match="other than 0"):
        fastnn.tensor([1, 2]) // fastnn.tensor([1, 0])


def test_floor_divide_is_pythons() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=1000) * 10, rng.normal(size=1000)
    x[:100] = y[:100] * rng.integers(-9, 9, 100)
    for _ in levels():
        got = run("floor_divide", x, y)
        np.testing.assert_array_equal(got, [a // b for a, b in zip(x, y, strict=True)])
        np.testing.assert_array_equal(
            run("remainder", x, y), [a % b for a, b in zip(x, y, strict=True)]
        )


def test_operators() -> None:
    t = fastnn.tensor([5, -5])
    assert (t % 3).tolist() == [2, 1]
    assert (7 % t).tolist() == [2, -3]
    assert (t // 2).tolist() == [2, -3]
    assert (t**2).tolist() == [25, 25]
    assert (2 ** fastnn.tensor([1.0, 3.0])).tolist() == [2.0, 8.0]
    assert abs(t).tolist() == [5, 5]
    assert (~t).tolist() == [-6, 4]
    b = fastnn.tensor([True, False])
    assert [(b & True).tolist(), (b | ~b).tolist(), (b ^ b).tolist()] == [
        [True, False],
        [True, True],
        [False, False],
    ]
    t **= 2
    t //= 2
    t %= 10
    assert t.tolist() == [2, 2]


def test_gradients_where_formulas_have_no_value() -> None:
    x = fastnn.tensor([0.0, 2.0], requires_grad=True)
    (x**0.0).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0]
    e = fastnn.tensor([1.0, 2.0], requires_grad=True)
    fastnn.pow(fastnn.tensor([0.0, 1.0]), e).sum().backward()
    assert e.grad is not None
    assert e.grad.tolist() == [0.0, 0.0]
    a = fastnn.tensor([1.0, 2.0], requires_grad=True)
    fastnn.maximum(a, fastnn.tensor([1.0, 3.0])).sum().backward()
    assert a.grad is not None
    assert a.grad.tolist() == [0.5, 0.0]


@pytest.mark.parametrize("name", ["gelu", "silu", "mish", "softplus", "elu", "relu6", "hardswish"])
def test_half_precision_is_computed_in_single(name: str) -> None:
    x = np.linspace(-4, 4, 101).astype(np.float16)
    t = fastnn.tensor(x).requires_grad_()
    y = getattr(F, name)(t)
    assert y.dtype is fastnn.float16
    y.sum().backward()
    assert t.grad is not None
    assert t.grad.dtype is fastnn.float16
    wide = getattr(F, name)(fastnn.tensor(x.astype(np.float32))).numpy()
    np.testing.assert_allclose(y.detach().numpy(), wide, rtol=1e-3, atol=1e-6)


def test_clamp_takes_tensors_and_keeps_order_of_bounds() -> None:
    x = fastnn.tensor([-2.0, 0.5, 9.0])
    assert x.clamp(fastnn.tensor([0.0]), fastnn.tensor(1.0)).tolist() == [0.0, 0.5, 1.0]
    assert x.clamp(3, 1).tolist() == [1.0, 1.0, 1.0]
    assert fastnn.tensor([1, 7]).clamp(max=2.5).dtype is fastnn.float32
    assert np.isnan(fastnn.tensor([NAN]).clamp(0, 1).item())
    x.clamp_(0, 1)
    assert x.tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide", "pow"])
def test_a_bool_beside_a_number_is_a_number(name: str) -> None:
    function = getattr(fastnn, name)
    mask, whole = fastnn.tensor([True, True]), fastnn.tensor([2, 3])
    real = fastnn.tensor([2.0, 2.5])
    for a, b, dtype in (
        (whole, mask, fastnn.int64),
        (whole, True, fastnn.int64),
        (mask, whole, fastnn.int64),
        (mask, 2, fastnn.int64),
        (mask, 2.5, fastnn.float32),
        (real, mask, fastnn.float32),
        (whole.to(fastnn.uint8), mask, fastnn.uint8),
    ):
        got = function(a, b)
        wide = [t.to(fastnn.float64) if isinstance(t, fastnn.Tensor) else float(t) for t in (a, b)]
        assert got.dtype is dtype
        assert got.tolist() == pytest.approx(function(*wide).tolist())
    assert getattr(whole.clone(), name + "_")(mask).dtype is fastnn.int64
    with pytest.raises(RuntimeError, match=f"{name}: expected a number beside a bool"):
        function(mask, mask)
    with pytest.raises(RuntimeError, match="expected a result that"):
        getattr(mask.clone(), name + "_")(2)


def test_powers_of_bools() -> None:
    mask = fastnn.tensor([True, False])
    assert (mask**True).tolist() == [True, False]
    assert (mask**False).tolist() == [True, True]
    assert (2**mask).tolist() == [2, 1]
    assert (2 // fastnn.tensor([True])).tolist() == [2]


@pytest.mark.torch
@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide", "pow"])
def test_bools_beside_numbers_as_in_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    given: list[Any] = [True, 2, 2.5, [True, True, True], [1, 2, 3], [0.5, 1.0, 2.5]]

    def result(lib: Any, a: Any, b: Any) -> Any:
        pair = [lib.tensor(v) if isinstance(v, list) else v for v in (a, b)]
        try:
            out = getattr(lib, name)(*pair)
        except (RuntimeError, TypeError):  # torch's NotImplementedError is a RuntimeError
            return None
        return str(out.dtype).split(".")[1], out.tolist()

    for a in given:
        for b in given:
            if isinstance(a, list) or isinstance(b, list):
                ours, theirs = result(fastnn, a, b), result(torch, a, b)
                assert (ours is None) == (theirs is None), (a, b)
                if ours is not None:
                    assert ours[0] == theirs[0], (a, b)
                    assert ours[1] == pytest.approx(theirs[1], rel=1e-6), (a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mish_has_its_second_derivative_at_zero_and_far_out(dtype: str) -> None:
    x = fastnn.tensor([0.0, -0.0, 40.0, -40.0, 100.0, -100.0], dtype=getattr(fastnn, dtype))
    x.requires_grad_()
    (g,) = fastnn.autograd.grad(F.mish(x).sum(), [x], create_graph=True)
    (h,) = fastnn.autograd.grad(g.sum(), [x])
    np.testing.assert_allclose(g.detach().numpy(), [0.6, 0.6, 1.0, 0.0, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(h.numpy(), [0.64, 0.64, 0.0, 0.0, 0.0, 0.0], atol=1e-6)
    zero = fastnn.zeros(2, dtype=fastnn.float64, requires_grad=True)
    assert fastnn.autograd.gradgradcheck(F.mish, (zero,))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradient_of_mish_is_one_however_far_out(dtype: str) -> None:
    """The slope of its second factor is tiny there, not 0, and was multiplied by x."""
    values = [20.0, 30.0, 1e6, 1e10, 1e20, 3e38, math.inf]
    x = fastnn.tensor(values, dtype=getattr(fastnn, dtype), requires_grad=True)
    F.mish(x).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 1.0, rtol=1e-15 if dtype == "float64" else 1e-7)

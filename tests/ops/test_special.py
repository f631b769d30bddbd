# SPDX-License-Identifier: BSD-3-Clause
"""Native kernels of special functions and of pairs: errors in ulp, bits, layouts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend
from fastnn.ops import _special_arrays as arrays
from fastnn.ops._formulas import ArrayMath
from layouts import FLOATS, assert_same_bits, levels, native_only, with_threads

WIDE = np.longdouble
PI = np.arccos(-np.ones((), WIDE))
PAIRS = ("fmax", "fmin", "copysign", "hypot", "logaddexp", "logaddexp2", "xlogy")
wide_enough = pytest.mark.skipif(
    np.finfo(WIDE).nmant < 63, reason="no wider type than double to compare with"
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
    size = np.maximum(np.abs(exact.astype(WIDE)), info.tiny)
    unit = np.exp2(np.floor(np.log2(size)) - info.nmant)
    return float((np.abs(got.astype(WIDE) - exact) / unit).max())


def uniform(low: float, high: float, dtype: str, n: int = 20_000) -> Any:
    return np.random.default_rng(0).uniform(low, high, n).astype(dtype)


def each(function: Any, x: Any) -> Any:
    return np.array([function(v) for v in x.tolist()])


@native_only
@wide_enough
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("low", "high"), [(-6.0, 0.0), (0.0, 0.6), (0.4, 9.0), (9.0, 26.0)])
def test_errors_of_erfc(low: float, high: float, dtype: str) -> None:
    x = uniform(low, high, dtype)
    exact = each(math.erfc, x)
    for level in levels():
        got = run("erfc_forward", x)
        assert ulps(got, exact) <= 5, level  # one of which may be math.erfc's
        np.testing.assert_array_equal(run("erfc_forward", -np.abs(x)) > 0.9, True)


@native_only
@wide_enough
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("end", [1e-6, 0.5, 0.99])
def test_errors_of_erfinv(end: float, dtype: str) -> None:
    """What one step of Newton's method in higher precision changes."""
    y = uniform(-end, end, dtype)
    for level in levels():
        got = run("erfinv_forward", y)
        x = got.astype(WIDE)
        miss = ArrayMath(x).erf(x) - y.astype(WIDE)
        assert ulps(got, x - miss * np.sqrt(PI) / 2 * np.exp(x * x)) < 4, level


@native_only
@wide_enough
@pytest.mark.parametrize("dtype", FLOATS)
def test_errors_of_erfinv_next_to_one(dtype: str) -> None:
    digits = np.finfo(dtype).nmant + 1
    rest = np.exp2(-np.arange(4.0, digits + 0.5, 0.125))
    y = (1.0 - rest).astype(dtype)
    for level in levels():
        got = run("erfinv_forward", y)
        x = got.astype(np.float64)
        miss = (1.0 - y.astype(np.float64)) - each(math.erfc, x)
        step = miss.astype(WIDE) * math.sqrt(math.pi) / 2 * np.exp(x * x)
        assert ulps(got, x - step) < 4, level
        assert_same_bits(run("erfinv_forward", -y), -got, level)


@native_only
@wide_enough
@pytest.mark.parametrize("dtype", FLOATS)
def test_errors_of_logit_and_sinc(dtype: str) -> None:
    x = np.concatenate([uniform(0.0, 1.0, dtype), uniform(0.49, 0.51, dtype)])
    x = x[(x > 0) & (x < 1) & (x != 0.5)]
    wide = x.astype(WIDE)
    near = np.log1p((2 * wide - 1) / (1 - wide))
    exact = np.where(np.abs(wide - 0.5) < 0.3, near, np.log(wide) - np.log1p(-wide))
    y = np.empty_like(x)
    for level in levels():
        kernel("logit_forward")(x, y, -1.0)
        assert ulps(y, exact) < 4, level
    x = np.concatenate([uniform(-1.0, 1.0, dtype), uniform(-1e4, 1e4, dtype)])
    wide = x.astype(WIDE)
    parity = 1 - 2 * np.abs(np.rint(wide) % 2)
    sine = parity * np.sin(PI * (wide - np.rint(wide)))
    for level in levels():
        assert ulps(run("sinc_forward", x), sine / (PI * wide)) < 4, level
    whole = np.arange(1.0, 9.0).astype(dtype)
    assert not run("sinc_forward", whole).any()


@native_only
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("low", "high"), [(0.01, 4.0), (4.0, 40.0), (-6.0, 0.5), (40.0, 1e6)])
def test_errors_of_the_derivatives_of_the_logarithm_of_gamma(
    low: float, high: float, dtype: str
) -> None:
    """In units in the last place of the largest term; by the recurrence to 60 in the test."""
    x = uniform(low, high, dtype, 2000)
    x = x[np.abs(x - np.rint(x)) > 1e-3] if low < 0 else x
    wide = x.astype(np.float64)
    eps = float(np.finfo(dtype).eps)
    cot = np.zeros_like(wide)
    if low < 0.5:
        cot[x < 0.5] = math.pi / np.abs(np.tan(math.pi * (wide - np.rint(wide))[x < 0.5]))
    with np.errstate(all="ignore"):
        first = arrays.digamma(np, wide)
        second = arrays.polygamma(np, 1, wide)
    log = each(math.lgamma, x)
    for level in levels():
        error = np.abs(run("digamma_forward", x) - first)
        assert (error <= 8 * eps * (1.0 + np.abs(first) + cot)).all(), level
        error = np.abs(run("digamma_backward", x, np.ones_like(x)) - second)
        assert (error <= 16 * eps * (second + cot * cot)).all(), level
        error = np.abs(run("lgamma_backward", x, np.ones_like(x)) - first)
        assert (error <= 8 * eps * (1.0 + np.abs(first) + cot)).all(), level
        error = np.abs(run("lgamma_forward", x) - log)
        assert (error <= 8 * eps * (1.0 + np.abs(log))).all(), level


@native_only
@wide_enough
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["hypot", "logaddexp", "logaddexp2", "xlogy"])
def test_errors_of_pairs(name: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    x, y = (rng.uniform(0.1, 20.0, 50_000).astype(dtype) for _ in range(2))
    a, b = x.astype(WIDE), y.astype(WIDE)
    exact = a * np.log(b) if name == "xlogy" else getattr(np, name)(a, b)
    for level in levels():
        assert ulps(run(name, x, y), exact) < 3, level


@native_only
@wide_enough
@pytest.mark.parametrize("dtype", FLOATS)
def test_hypot_over_the_whole_range(dtype: str) -> None:
    rng = np.random.default_rng(2)
    info = np.finfo(dtype)
    exponent = rng.integers(info.minexp - info.nmant, info.maxexp, 20_000)
    x = np.ldexp(rng.uniform(0.5, 1.0, exponent.size).astype(dtype), exponent)
    y = np.ldexp(
        rng.uniform(0.5, 1.0, exponent.size).astype(dtype),
        np.minimum(exponent + rng.integers(-30, 30, exponent.size), info.maxexp - 1),
    )
    exact = np.hypot(x.astype(WIDE), y.astype(WIDE))
    inside = exact <= info.max
    for level in levels():
        got = run("hypot", x, y)
        assert ulps(got[inside], exact[inside]) < 1.5, level
        assert np.isinf(got[exact > 1.0001 * WIDE(info.max)]).all()


def _layouts(x: Any) -> list[Any]:
    """The same 12 x 70 numbers, laid out differently."""
    spread = np.zeros((12, 140), x.dtype)
    spread[:, ::2] = x
    return [x, np.asfortranarray(x), spread[:, ::2], x[::-1].copy()[::-1]]


@native_only
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [*PAIRS, "lerp"])
def test_bits_of_pairs_depend_on_the_operands_alone(name: str, dtype: str) -> None:
    """Not on layout, broadcasting, length, threads, and whether the output is an operand."""
    rng = np.random.default_rng(3)
    count = 3 if name == "lerp" else 2
    given = [np.abs(rng.normal(scale=2, size=(12, 70))).astype(dtype) for _ in range(count)]
    given[0][::3] *= -1
    for level in levels():
        want = run(name, *given)
        for k in range(4):
            same = [_layouts(a)[(k + i) % 4] for i, a in enumerate(given)]
            assert_same_bits(run(name, *same), want, level)
            out = np.zeros((70, 12), dtype).T
            kernel(name)(*same, out)
            assert_same_bits(out, want, level)
        for i in range(count):
            narrow = list(given)
            narrow[i] = np.broadcast_to(given[i][:, :1], (12, 70))
            full = [a.copy() for a in narrow]
            assert_same_bits(run(name, *narrow), run(name, *full), level)
        for n in (1, 3, 17):
            assert_same_bits(run(name, *(a[:, :n].copy() for a in given)), want[:, :n], level)
        for threads in (1, 3):
            wide = [np.tile(a, (60, 2)) for a in given]
            expected = np.tile(want, (60, 2))
            for target in wide:
                kept = [a.copy() if a is target else a for a in wide]
                with_threads(threads, kernel(name), *wide, target)
                assert_same_bits(target, expected, level)
                target[...] = next(a for a, b in zip(kept, wide, strict=True) if b is target)


@pytest.mark.parametrize("dtype", FLOATS)
def test_lerp_and_signs_are_their_references(dtype: str) -> None:
    rng = np.random.default_rng(4)
    x, y, w = (rng.normal(size=1000).astype(dtype) for _ in range(3))
    want = np.empty_like(x)
    _backend.references["lerp"](x, y, w, want)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1.0, -1.0], dtype)
    for level in levels():
        assert_same_bits(run("lerp", x, y, w), want, level)
        for array in (special, np.tile(special, 50)[3:-1], np.tile(special, (3, 2)).T):
            got = fastnn.signbit(fastnn.from_numpy(array)).numpy()
            np.testing.assert_array_equal(got, np.signbit(array))


@native_only
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["erfc", "erfinv", "lgamma", "digamma", "sinc", "logit"])
def test_bits_of_gradients_depend_on_the_values_alone(name: str, dtype: str) -> None:
    rng = np.random.default_rng(5)
    x, g = rng.uniform(-1, 1, 9000).astype(dtype), rng.normal(size=9000).astype(dtype)
    options = (0.1,) if name == "logit" else ()
    backward = kernel(name + "_backward")
    for _ in levels():
        want = np.empty_like(x)
        backward(x, g, want, *options)
        for n in range(1, 40, 7):
            out = np.empty(n, dtype)
            backward(x[5 : 5 + n].copy(), g[5 : 5 + n].copy(), out, *options)
            assert out.tobytes() == want[5 : 5 + n].tobytes()
        for threads in (1, 3):
            out = x.copy()
            with_threads(threads, backward, out, g, out, *options)
            assert out.tobytes() == want.tobytes()


def test_all_but_rare_elementwise_functions_are_native() -> None:
    if _backend.name != "cpu":
        pytest.skip("there are no native kernels")
    rows = ("erfc", "erfinv", "lgamma", "digamma", "sinc", "logit")
    names = [*PAIRS, "lerp", *(f"{n}_{way}" for n in rows for way in ("forward", "backward"))]
    assert [n for n in names if n not in _backend.native] == []


@pytest.mark.parametrize("n", [1, 2, 5])
def test_polygamma_next_to_its_poles(n: int) -> None:
    """There it is n! d^-(n+1) with the distance d from the pole, whose digits must not be lost."""
    for pole, d in ((0.0, -1e-8), (-1.0, 1e-9), (-1.0, -1e-9), (-5.0, 1e-7)):
        x = pole + d
        expected = math.factorial(n) * (pole - x) ** -(n + 1.0)
        got = fastnn.polygamma(n, fastnn.tensor([x], dtype=fastnn.float64)).item()
        assert got == pytest.approx(expected, rel=1e-12)

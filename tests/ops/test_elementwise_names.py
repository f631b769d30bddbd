# SPDX-License-Identifier: BSD-3-Clause
"""Special values, gradients where formulas meet and in-place forms of the elementwise functions,
as torch has them; the numbers are torch's."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import autograd

INF, NAN = math.inf, math.nan


def of(*values: Any, **options: Any) -> fastnn.Tensor:
    return fastnn.tensor(list(values), **options)


def same(got: fastnn.Tensor, *want: float) -> None:
    array = np.array(want)
    np.testing.assert_allclose(got.detach().numpy(), array, rtol=1e-6)
    # Zeros of both signs are told apart.
    zero = array == 0
    np.testing.assert_array_equal(np.signbit(got.detach().numpy()[zero]), np.signbit(array[zero]))


SPECIAL = [
    ("erfc", (0.0, -INF, INF, NAN, 30.0), (1.0, 2.0, 0.0, NAN, 0.0)),
    ("erfinv", (1.0, -1.0, 2.0, -0.0, NAN), (INF, -INF, NAN, -0.0, NAN)),
    ("lgamma", (0.0, -0.0, -1.0, INF, -INF, 1.0, 2.0), (INF, INF, INF, INF, INF, 0.0, 0.0)),
    ("digamma", (0.0, -0.0, -1.0, INF, -INF, 1.0), (-INF, INF, NAN, INF, NAN, -0.57721566)),
    ("sinc", (0.0, -0.0, 0.5), (1.0, 1.0, 2.0 / math.pi)),
    ("logit", (0.0, 1.0, -1.0, 2.0, 0.5), (-INF, INF, NAN, NAN, 0.0)),
    ("frac", (-0.0, INF, -2.5, 2.5), (0.0, NAN, -0.5, 0.5)),
    ("nan_to_num", (NAN, INF, -INF), (0.0, 3.4028234663852886e38, -3.4028234663852886e38)),
]


@pytest.mark.parametrize(("name", "values", "want"), SPECIAL, ids=[s[0] for s in SPECIAL])
def test_special_values(name: str, values: tuple[float, ...], want: tuple[float, ...]) -> None:
    same(getattr(fastnn, name)(of(*values)), *want)
    same(getattr(of(*values), name)(), *want)


PAIRS = [
    ("fmax", (NAN, 1.0, NAN, 2.0), (1.0, NAN, NAN, 3.0), (1.0, 1.0, NAN, 3.0)),
    ("fmin", (NAN, 1.0, NAN, 2.0), (1.0, NAN, NAN, 3.0), (1.0, 1.0, NAN, 2.0)),
    ("hypot", (3e38, INF, 3.0), (0.0, NAN, -4.0), (3e38, INF, 5.0)),
    ("copysign", (1.0, -2.0, 0.0, INF), (-0.0, 1.0, -1.0, -NAN), (-1.0, 2.0, -0.0, -INF)),
    ("logaddexp", (INF, -INF, 500.0, -INF), (INF, -INF, 500.0, 1.0), (INF, -INF, 500.693147, 1.0)),
    ("logaddexp2", (INF, -INF, 500.0), (INF, -INF, 500.0), (INF, -INF, 501.0)),
    ("xlogy", (0.0, 0.0, 0.0, 2.0), (0.0, NAN, INF, 0.0), (0.0, NAN, 0.0, -INF)),
    ("ldexp", (1.5, -0.0, INF), (3.0, 5.0, -2.0), (12.0, -0.0, INF)),
]


@pytest.mark.parametrize(("name", "x", "y", "want"), PAIRS, ids=[p[0] for p in PAIRS])
def test_special_values_of_pairs(name: str, x: Any, y: Any, want: Any) -> None:
    same(getattr(fastnn, name)(of(*x), of(*y)), *want)


def test_erfc_and_erfinv_have_their_digits_in_the_tails() -> None:
    x = of(0.5, 2.0, 5.0, 20.0, 26.0, dtype=fastnn.float64)
    want = [math.erfc(v) for v in x.tolist()]
    np.testing.assert_allclose(fastnn.erfc(x).numpy(), want, rtol=4e-14)
    y = of(1e-300, 1e-9, 0.3, 0.7, 1.0 - 1e-9, 1.0 - 2.0**-52, dtype=fastnn.float64)
    back = fastnn.erfinv(y).tolist()
    rest = [math.erfc(v) / (1.0 - p) - 1.0 for v, p in zip(back, y.tolist(), strict=True)]
    assert max(map(abs, rest)) < 1e-13
    assert max(abs(math.erf(v) / p - 1.0) for v, p in zip(back, y.tolist(), strict=True)) < 1e-15


def test_polygamma_at_known_arguments() -> None:
    x = of(1.0, 0.5, -0.5, dtype=fastnn.float64)
    want = [math.pi**2 / 6, math.pi**2 / 2, math.pi**2 / 2 + 4.0]
    np.testing.assert_allclose(fastnn.polygamma(1, x).numpy(), want, rtol=1e-14)
    assert fastnn.polygamma(3, of(0.5, dtype=fastnn.float64)).item() == pytest.approx(math.pi**4)
    same(fastnn.polygamma(2, of(0.0, -0.0, -1.0)), -INF, -INF, -INF)
    same(fastnn.polygamma(1, of(0.0, INF)), INF, 0.0)
    same(of(2.0).polygamma(0), 0.42278434)
    assert gradients(lambda t: fastnn.polygamma(170, t), of(1.0)) == [[INF]]
    assert fastnn.polygamma(170, of(1.0, dtype=fastnn.float64)).item() == pytest.approx(
        -7.257415615e306
    )


def gradients(function: Any, *operands: fastnn.Tensor) -> list[list[float]]:
    for t in operands:
        t.requires_grad_()
    return [g.tolist() for g in autograd.grad(function(*operands).sum(), operands)]


def test_gradients_of_equals_and_nan() -> None:
    assert gradients(fastnn.fmax, of(1.0, NAN, 2.0), of(1.0, 1.0, NAN)) == [[1, 0, 1], [0, 1, 0]]
    assert gradients(fastnn.fmin, of(1.0, NAN, 2.0), of(1.0, 1.0, NAN)) == [[1, 0, 1], [0, 1, 0]]
    assert gradients(fastnn.copysign, of(0.0, -2.0), of(-1.0, 1.0)) == [[0, -1], [0, 0]]
    got = gradients(fastnn.xlogy, of(0.0, 0.0), of(-1.0, 4.0))
    assert got[0] == [0.0, pytest.approx(math.log(4.0))]
    assert got[1] == [0.0, 0.0]
    assert math.isnan(gradients(fastnn.hypot, of(0.0), of(0.0))[0][0])


def test_gradients_of_logit_outside_of_its_interval() -> None:
    x = of(-0.5, 0.25, 1.5)
    (g,) = gradients(fastnn.logit, x)
    assert math.isnan(g[0])
    assert math.isnan(g[2])
    assert g[1] == pytest.approx(1.0 / (0.25 * 0.75))
    assert gradients(lambda t: fastnn.logit(t, 0.1), of(0.05, 0.5, 0.95)) == [[0.0, 4.0, 0.0]]


def test_derivatives_of_sinc_at_zero() -> None:
    x = of(0.0, 1e-4, dtype=fastnn.float64).requires_grad_()
    (g,) = autograd.grad(fastnn.sinc(x).sum(), x, create_graph=True)
    same(g, 0.0, -(math.pi**2) / 3 * 1e-4)
    (second,) = autograd.grad(g.sum(), x)
    np.testing.assert_allclose(second.numpy(), -(math.pi**2) / 3, rtol=1e-7)


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons_in_place(name: str) -> None:
    change = getattr(fastnn.Tensor, name + "_")
    x = of(1.0, 2.0, NAN)
    want = getattr(x, name)(2.0)
    assert change(x, 2.0) is x
    assert x.tolist() == [float(v) for v in want.tolist()]
    whole = of(1, 2, 3)
    assert change(whole, of(2)).dtype is fastnn.int64
    leaf = of(1.0, 2.0).requires_grad_()
    product = leaf * 3.0
    change(product, 3.0)
    product.sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match=f"{name}_: expected a result of shape"):
        change(of(1.0), of(1.0, 2.0))
    with pytest.raises(RuntimeError, match=f"{name}_: expected .* got a leaf"):
        change(leaf, 1.0)


def test_shifts_beyond_the_type() -> None:
    one, minus = of(1, 1, 1), of(-8, -8, 8)
    assert (one << of(-1, 63, 64)).tolist() == [0, -(2**63), 0]
    assert (minus >> of(-1, 63, 64)).tolist() == [-1, -1, 0]
    byte = of(255, 255, 255, dtype=fastnn.uint8)
    shifts = of(7, 8, 9, dtype=fastnn.uint8)
    assert (byte >> shifts).tolist() == [1, 0, 0]
    assert (byte << shifts).tolist() == [128, 0, 0]
    assert (2 << of(3)).tolist() == [16]
    assert (64 >> of(3)).tolist() == [8]
    x = of(3)
    x <<= 2
    assert x.bitwise_right_shift_(1).tolist() == [6]
    assert x.bitwise_left_shift_(of(2)).tolist() == [24]


def test_lerp_ends_where_it_should() -> None:
    x, y = of(0.1, 1e8), of(0.7, -3.0)
    assert fastnn.lerp(x, y, 1.0).tolist() == y.tolist()
    assert fastnn.lerp(x, y, 0.0).tolist() == x.tolist()
    assert fastnn.lerp(x, y, fastnn.tensor(0.5, dtype=fastnn.float64)).dtype is fastnn.float32


def test_types_of_mixtures_and_pairs() -> None:
    x, n = of(1.0), of(2)
    assert fastnn.addcmul(x, n, of(2.0, dtype=fastnn.float64)).dtype is fastnn.float64
    assert fastnn.addcdiv(x, n, of(4.0)).tolist() == [1.5]
    assert fastnn.copysign(n, -1).tolist() == [-2.0]
    assert fastnn.xlogy(n, 1).dtype is fastnn.float32
    assert fastnn.ldexp(n, of(3)).dtype is fastnn.float32
    assert fastnn.fmax(of(True), n).dtype is fastnn.int64
    assert fastnn.erfc(n).dtype is fastnn.float32
    assert fastnn.true_divide(n, 4).tolist() == [0.5]
    assert fastnn.rsub(n, 5, alpha=2).tolist() == [1]


def test_float_power_in_place_is_of_doubles() -> None:
    x = of(2.0, 3.0, dtype=fastnn.float64)
    assert x.float_power_(2).tolist() == [4.0, 9.0]
    with pytest.raises(RuntimeError, match=r"float_power_: expected a tensor of fastnn\.float64"):
        of(2.0).float_power_(2)


def test_closeness() -> None:
    x = of(1.0, INF, NAN, 1.0)
    y = of(1.0 + 1e-6, INF, NAN, INF)
    assert fastnn.isclose(x, y).tolist() == [True, True, False, False]
    assert x.isclose(y, equal_nan=True).tolist() == [True, True, True, False]
    assert fastnn.isclose(x, y, rtol=0, atol=0).tolist() == [False, True, False, False]
    assert fastnn.allclose(x[:2], y[:2]) is True
    assert x.allclose(y) is False
    assert fastnn.equal(of(1), of(1.0)) is True
    assert of(1.0).equal(of(1.0, 2.0)) is False
    assert fastnn.equal(of(NAN), of(NAN)) is False
    # Of integers the difference is one of floats: no wrap-around.
    assert fastnn.isclose(of(200, dtype=fastnn.uint8), of(201, dtype=fastnn.uint8)).tolist() == [
        False
    ]


def test_isin_of_numbers_and_types() -> None:
    assert fastnn.isin(of(1, 2), 2).tolist() == [False, True]
    assert fastnn.isin(2, of(1, 2)).tolist() is True
    assert fastnn.isin(of(1, 2), of(1.0, 5.0), assume_unique=True, invert=True).tolist() == [
        False, True,
    ]  # fmt: skip
    assert fastnn.isin(of(1), fastnn.tensor([])).tolist() == [False]


def test_signs() -> None:
    assert fastnn.signbit(of(-0.0, 1.0, -NAN, NAN)).tolist() == [True, False, True, False]
    assert fastnn.signbit(of(-3, 0)).tolist() == [True, False]
    assert fastnn.isposinf(of(INF, -INF, NAN)).tolist() == [True, False, False]
    assert fastnn.isneginf(of(INF, -INF, NAN)).tolist() == [False, True, False]
    assert of(NAN, 1.0).isreal().tolist() == [True, True]
    x = of(1.0)
    assert fastnn.positive(x) is x
    assert of(True, False).square().dtype is fastnn.int64


def test_reflected_methods_are_of_tensors() -> None:
    t = of(1, 2)
    assert (5 - t).tolist() == [4, 3]
    assert (3 % of(2.0)).tolist() == [1.0]
    for name in ("add", "sub", "mul", "truediv", "and", "xor", "lshift"):
        method = getattr(fastnn.Tensor, f"__r{name}__")
        with pytest.raises(TypeError, match=f"expected the owner of __r{name}__ as a Tensor, got"):
            method(2, t)


def test_second_names() -> None:
    x = of(0.5, -0.25)
    for name, first in (("arccos", "acos"), ("negative", "neg"), ("fix", "trunc"), ("sgn", "sign")):
        want = getattr(fastnn, first)(x).tolist()
        assert getattr(fastnn, name)(x).tolist() == want
        assert getattr(x, name)().tolist() == want
        changed = x.clone()
        assert getattr(changed, name + "_")() is changed
        assert changed.tolist() == want
    assert fastnn.divide(x, 0.5, rounding_mode="floor").tolist() == [1.0, -1.0]
    assert fastnn.subtract(x, 1.0, alpha=2).tolist() == [-1.5, -2.25]
    assert x.greater_equal(0.0).tolist() == [True, False]
    assert fastnn.multiply.__name__ == "multiply"


GRID = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.5, 30.0]
UNARY = [
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "deg2rad",
    "digamma", "erf", "erfc", "erfinv", "exp", "exp2", "expm1", "floor", "frac", "lgamma", "log",
    "log10", "log1p", "log2", "logit", "nan_to_num", "neg", "positive", "rad2deg", "reciprocal",
    "round", "rsqrt", "sigmoid", "sign", "sin", "sinc", "sinh", "sqrt", "square", "tan", "tanh",
    "trunc",
]  # fmt: skip
TWO = [
    "add", "atan2", "copysign", "div", "fmax", "fmin", "fmod", "hypot", "ldexp", "logaddexp",
    "logaddexp2", "maximum", "minimum", "mul", "pow", "remainder", "rsub", "sub", "true_divide",
    "xlogy",
]  # fmt: skip
TESTS_OF_ONE = [
    "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "logical_not", "signbit",
]  # fmt: skip
TESTS_OF_TWO = [
    "eq", "ge", "gt", "heaviside", "isclose", "isin", "le", "logical_and", "logical_or",
    "logical_xor", "lt", "ne",
]  # fmt: skip
# Where torch gives the rounding error of its formula: at poles, and beyond the functions' domain.
POLES = {"digamma": (-1.0, -INF), "lgamma": (-1.0, -INF)}
# torch's second derivative of ln gamma has about eight digits.
TOLERANCES = {"digamma": 1e-8}


def beside_torch(name: str, columns: list[list[float]]) -> None:
    """Values, and gradients of the sum, to a hundred units in the last place; NaN is NaN."""
    torch = pytest.importorskip("torch")
    ours = [of(*c, dtype=fastnn.float64) for c in columns]
    theirs = [torch.tensor(c, dtype=torch.float64) for c in columns]
    smooth = name in UNARY + TWO
    if smooth:
        ours, theirs = ([t.requires_grad_() for t in ts] for ts in (ours, theirs))
    got, want = getattr(fastnn, name)(*ours), getattr(torch, name)(*theirs)
    rows = [(got, want)]
    if smooth:
        grads = autograd.grad(got.sum(), ours), torch.autograd.grad(want.sum(), theirs)
        rows += zip(*grads, strict=True)
    for g, w in rows:
        assert f"torch.{g.dtype.name}" == str(w.dtype)
        np.testing.assert_allclose(
            g.detach().numpy(),
            w.detach().numpy(),
            rtol=TOLERANCES.get(name, 2e-14),
            atol=2e-16,  # of torch's sinc of whole numbers
            err_msg=name,
        )


@pytest.mark.torch
@pytest.mark.parametrize("name", UNARY + TESTS_OF_ONE)
def test_special_values_and_their_gradients_are_torchs(name: str) -> None:
    beside_torch(name, [[v for v in GRID if v not in POLES.get(name, ())]])


@pytest.mark.torch
@pytest.mark.parametrize("name", TWO + TESTS_OF_TWO)
def test_special_values_of_pairs_are_torchs(name: str) -> None:
    beside_torch(name, [list(c) for c in zip(*itertools.product(GRID, GRID), strict=True)])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_ldexp_by_integers_is_of_the_inputs_type(dtype: str) -> None:
    for shape in ((), (1,)):
        x = fastnn.full(shape, 0.1, dtype=fastnn.float64).to(getattr(fastnn, dtype))
        got = fastnn.ldexp(x, fastnn.tensor([3, -2]))
        assert got.dtype is x.dtype
        assert got.tolist() == [x.item() * 8.0, x.item() / 4.0]
    x.requires_grad_()
    fastnn.ldexp(x, fastnn.tensor([3, 1])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [10.0]

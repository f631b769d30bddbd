# SPDX-License-Identifier: BSD-3-Clause
"""Initial values: distributions, exact properties, fans."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import init


def filled(function: Any, shape: tuple[int, ...], *args: Any, **kwargs: Any) -> Any:
    tensor = nn.Parameter(fastnn.full(shape, 7.0, dtype=fastnn.float64))
    generator = fastnn.Generator().manual_seed(11)
    if function not in (init.constant_, init.ones_, init.zeros_, init.eye_, init.dirac_):
        kwargs["generator"] = generator
    assert function(tensor, *args, **kwargs) is tensor
    assert tensor.requires_grad
    assert tensor.is_leaf
    return tensor.detach().numpy()


def kolmogorov_distance(sample: Any, distribution: Any) -> float:
    """The largest difference between a sample's distribution function and another."""
    x = np.sort(sample.ravel())
    at = np.vectorize(distribution)(x)
    n = len(x)
    return float(max((np.arange(1, n + 1) / n - at).max(), (at - np.arange(n) / n).max()))


def normal_cdf(mean: float, std: float) -> Any:
    return lambda x: 0.5 * math.erfc((mean - x) / (std * math.sqrt(2)))


def uniform_cdf(a: float, b: float) -> Any:
    return lambda x: min(max((x - a) / (b - a), 0.0), 1.0)


def truncated_cdf(mean: float, std: float, a: float, b: float) -> Any:
    # In the upper tail from above: a difference of numbers near 1 would have no digits.
    sign = -1.0 if a > mean else 1.0

    def below(x: float) -> float:
        return 0.5 * math.erfc(sign * (mean - x) / (std * math.sqrt(2)))

    return lambda x: (below(x) - below(a)) / (below(b) - below(a))


WEIGHT = (40, 30, 3, 2)  # fan_in 180, fan_out 240
GAIN = math.sqrt(2.0 / (1 + 0.25))
TAIL = "ignore:trunc_normal_"
DISTRIBUTIONS = [
    (init.uniform_, (), uniform_cdf(0, 1)),
    (init.uniform_, (-2.0, 5.0), uniform_cdf(-2, 5)),
    (init.normal_, (), normal_cdf(0, 1)),
    (init.normal_, (3.0, 0.5), normal_cdf(3, 0.5)),
    (init.xavier_uniform_, (), uniform_cdf(-math.sqrt(6 / 420), math.sqrt(6 / 420))),
    (init.xavier_uniform_, (2.0,), uniform_cdf(-2 * math.sqrt(6 / 420), 2 * math.sqrt(6 / 420))),
    (init.xavier_normal_, (), normal_cdf(0, math.sqrt(2 / 420))),
    (init.kaiming_uniform_, (), uniform_cdf(-math.sqrt(6 / 180), math.sqrt(6 / 180))),
    (init.kaiming_uniform_, (0.5,), uniform_cdf(*(GAIN * s * math.sqrt(3 / 180) for s in (-1, 1)))),
    (init.kaiming_normal_, (0.0, "fan_out", "relu"), normal_cdf(0, math.sqrt(2 / 240))),
    (init.kaiming_normal_, (0.5,), normal_cdf(0, GAIN / math.sqrt(180))),
    (init.trunc_normal_, (), truncated_cdf(0, 1, -2, 2)),
    (init.trunc_normal_, (1.0, 0.5, 0.75, 3.0), truncated_cdf(1, 0.5, 0.75, 3)),
    (init.trunc_normal_, (0.0, 1.0, 0.5, 0.6), truncated_cdf(0, 1, 0.5, 0.6)),
    (init.trunc_normal_, (0.0, 1.0, 3.0, 50.0), truncated_cdf(0, 1, 3, 50)),
    (init.trunc_normal_, (0.0, 1.0, -50.0, -3.0), truncated_cdf(0, 1, -50, -3)),
]


@pytest.mark.filterwarnings(TAIL)
@pytest.mark.parametrize(
    ("function", "args", "cdf"), DISTRIBUTIONS, ids=lambda v: getattr(v, "__name__", None)
)
def test_distributions(function: Any, args: tuple[Any, ...], cdf: Any) -> None:
    sample = filled(function, WEIGHT, *args)
    # Kolmogorov: above 1.95 / sqrt(n) with probability 0.001.
    assert kolmogorov_distance(sample, cdf) < 1.95 / math.sqrt(sample.size)


def test_the_seed_of_the_generator_decides() -> None:
    for function in (init.uniform_, init.normal_, init.trunc_normal_, init.orthogonal_):
        first, second = filled(function, (8, 9)), filled(function, (8, 9))
        np.testing.assert_array_equal(first, second)


@pytest.mark.filterwarnings(TAIL)
@pytest.mark.parametrize("bounds", [(-2.0, 2.0), (0.1, 0.2), (2.5, 2.6), (4.0, 1e9), (0.3, 0.3)])
@pytest.mark.parametrize("dtype", [fastnn.float32, fastnn.float64])
def test_truncated_values_are_inside(bounds: tuple[float, float], dtype: Any) -> None:
    t = init.trunc_normal_(fastnn.empty(20_000, dtype=dtype), a=bounds[0], b=bounds[1])
    kind = t.numpy().dtype.type
    assert t.dtype is dtype
    assert t.numpy().min() >= kind(bounds[0])
    assert t.numpy().max() <= kind(bounds[1])


def test_truncated_normal_at_its_limits() -> None:
    t = fastnn.empty(5)
    assert init.trunc_normal_(t, 3.0, 0.0).tolist() == [2.0] * 5
    assert init.trunc_normal_(t, 0.5, 0.0).tolist() == [0.5] * 5
    with pytest.warns(UserWarning, match="2 std from"):
        init.trunc_normal_(t, 10.0, 1.0)
    assert init.trunc_normal_(fastnn.empty(0)).numel() == 0
    for args in ((0.0, 1.0, 2.0, -2.0), (0.0, -1.0), (0.0, 1.0, math.nan)):
        with pytest.raises(ValueError, match="trunc_normal_: expected a <= b"):
            init.trunc_normal_(t, *args)


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 3, 2, 2), (20, 2, 3), (1, 1)])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_orthogonal_matrices(shape: tuple[int, ...], gain: float) -> None:
    q = filled(init.orthogonal_, shape, gain).reshape(shape[0], -1)
    small = q if q.shape[0] <= q.shape[1] else q.T
    np.testing.assert_allclose(small @ small.T, gain**2 * np.eye(len(small)), atol=1e-13)


def test_orthogonal_matrices_are_uniform() -> None:
    """Of a uniform 2x2 rotation or reflection, the angle is uniform and half are reflections."""
    generator = fastnn.Generator().manual_seed(3)
    t = fastnn.empty(2, 2, dtype=fastnn.float64)
    drawn = np.array([init.orthogonal_(t, generator=generator).tolist() for _ in range(2000)])
    angles = np.arctan2(drawn[:, 1, 0], drawn[:, 0, 0])
    assert kolmogorov_distance(angles, uniform_cdf(-math.pi, math.pi)) < 1.95 / math.sqrt(2000)
    reflections = (np.linalg.det(drawn) < 0).mean()
    assert abs(reflections - 0.5) < 0.05


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (0, 3)])
def test_eye(shape: tuple[int, int]) -> None:
    np.testing.assert_array_equal(filled(init.eye_, shape), np.eye(*shape))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("shape", [(4, 2, 3), (2, 4, 3, 5), (6, 3, 3, 3, 3), (4, 1, 1)])
def test_dirac_copies_channels(shape: tuple[int, ...], groups: int) -> None:
    w = filled(init.dirac_, shape, groups)
    want = np.zeros(shape)
    each = shape[0] // groups
    for out in range(shape[0]):
        if out % each < shape[1]:
            want[(out, out % each, *(k // 2 for k in shape[2:]))] = 1
    np.testing.assert_array_equal(w, want)


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 1.0])
def test_sparse_columns(sparsity: float) -> None:
    w = filled(init.sparse_, (37, 60), sparsity, 0.5)
    zeros = math.ceil(sparsity * 37)
    assert ((w == 0).sum(0) == zeros).all()
    rest = w[w != 0]
    if rest.size:
        assert kolmogorov_distance(rest, normal_cdf(0, 0.5)) < 1.95 / math.sqrt(rest.size)
    if 0 < zeros < 37:
        assert (w == 0).any(1).all()  # no row is spared in every column


def test_constants() -> None:
    assert (filled(init.constant_, (2, 3), 0.25) == 0.25).all()
    assert (filled(init.ones_, (2, 3)) == 1).all()
    assert (filled(init.zeros_, (2, 3)) == 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.xavier_uniform_(fastnn.empty(3)), "2 or more dimensions for fan in"),
        (lambda: init.xavier_normal_(fastnn.empty(3)), "xavier_normal_: expected 2 or more"),
        (lambda: init.kaiming_normal_(fastnn.empty(3)), "kaiming_normal_: expected 2 or more"),
        (lambda: init.kaiming_uniform_(fastnn.empty(3, 2), mode="fan"), "'fan_in' or 'fan_out'"),
        (lambda: init.kaiming_normal_(fastnn.empty(3, 2), mode="fan"), "'fan_in' or 'fan_out'"),
        (lambda: init.eye_(fastnn.empty(3)), "eye_: expected a tensor of 2 dimensions"),
        (lambda: init.dirac_(fastnn.empty(3, 2)), "expected a tensor of 3 or 4 or 5"),
        (lambda: init.dirac_(fastnn.empty(3, 2, 1), 2), "groups that divide the 3"),
        (lambda: init.dirac_(fastnn.empty(3, 2, 1), 0), "groups that divide"),
        (lambda: init.orthogonal_(fastnn.empty(3)), "2 or more dimensions"),
        (lambda: init.sparse_(fastnn.empty(3), 0.1), "sparse_: expected a tensor of 2"),
        (lambda: init.sparse_(fastnn.empty(3, 2), 1.5), "sparsity between 0 and 1"),
        (lambda: init.calculate_gain("swish"), "sigmoid, got 'swish'"),
        (lambda: init.calculate_gain("leaky_relu", "a"), "negative slope as a number"),
    ],
)
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_nothing_to_fill() -> None:
    for function in (init.kaiming_uniform_, init.kaiming_normal_):
        with pytest.warns(UserWarning, match="no-op"):
            function(fastnn.empty(0, 3))
    assert init.orthogonal_(fastnn.empty(0, 3)).shape == (0, 3)
    assert init.xavier_normal_(fastnn.empty(0, 3)).shape == (0, 3)


OLD = [
    ("uniform", ((3, 2),), ()), ("normal", ((3, 2),), ()), ("constant", ((3, 2),), (2.0,)),
    ("eye", ((3, 2),), ()), ("dirac", ((3, 2, 1),), ()), ("xavier_uniform", ((3, 2),), ()),
    ("xavier_normal", ((3, 2),), ()), ("kaiming_uniform", ((3, 2),), ()),
    ("kaiming_normal", ((3, 2),), ()), ("orthogonal", ((3, 2),), ()), ("sparse", ((3, 2),), (0.5,)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "args"), OLD)
def test_old_names_warn(name: str, shape: tuple[Any], args: tuple[Any, ...]) -> None:
    with pytest.warns(FutureWarning, match=f"`nn.init.{name}` is now deprecated"):
        tensor = getattr(init, name)(fastnn.empty(*shape), *args)
    assert np.isfinite(tensor.numpy()).all()


@pytest.mark.torch
def test_names_gains_and_exact_functions_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    for name in init.__all__:
        assert hasattr(torch.nn.init, name), name
    for name, _, _ in OLD:
        assert hasattr(torch.nn.init, name), name
    for kind in ("linear", "conv1d", "conv_transpose3d", "sigmoid", "tanh", "relu", "selu"):
        assert init.calculate_gain(kind) == torch.nn.init.calculate_gain(kind)
    for slope in (None, 0.2, 1, 0):
        theirs = torch.nn.init.calculate_gain("leaky_relu", slope)
        assert init.calculate_gain("leaky_relu", slope) == theirs
    for shape, groups in (((4, 2, 3), 2), ((2, 4, 3, 5), 1), ((6, 3, 2, 2, 4), 3)):
        theirs = torch.nn.init.dirac_(torch.empty(shape), groups).numpy()
        np.testing.assert_array_equal(init.dirac_(fastnn.empty(shape), groups).numpy(), theirs)


def test_fans_under_the_name_that_layers_of_scripts_call() -> None:
    assert init._calculate_fan_in_and_fan_out(fastnn.zeros(6, 4)) == (4, 6)
    assert init._calculate_fan_in_and_fan_out(fastnn.zeros(6, 4, 3, 2)) == (24, 36)
    with pytest.raises(ValueError, match="2 or more dimensions"):
        init._calculate_fan_in_and_fan_out(fastnn.zeros(6))

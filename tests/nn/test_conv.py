# SPDX-License-Identifier: BSD-3-Clause
"""The convolution layers: initial values, representation, errors, and torch beside them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn

LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("Conv1d", (4, 6, 3), {}, (2, 4, 9)),
    ("Conv1d", (4, 6, 3), {"padding": "same", "dilation": 2}, (4, 9)),
    ("Conv2d", (3, 6, 3), {"padding": 1}, (2, 3, 8, 8)),
    ("Conv2d", (4, 6, (3, 2)), {"stride": 2, "dilation": 2, "groups": 2}, (2, 4, 9, 8)),
    ("Conv2d", (4, 4, 3), {"groups": 4, "bias": False}, (4, 6, 6)),
    ("Conv2d", (1, 2, 4), {"padding": "valid"}, (2, 1, 6, 6)),
    ("Conv3d", (2, 4, 3), {"padding": 1}, (2, 2, 3, 4, 5)),
    ("Conv3d", (4, 6, (1, 2, 3)), {"stride": 2, "groups": 2, "dilation": 2}, (4, 3, 5, 9)),
    ("Conv3d", (2, 3, 3), {"padding": "same", "bias": False}, (1, 2, 3, 4, 3)),
    ("Conv3d", (2, 3, 3), {"padding": (0, 1, 2), "padding_mode": "circular"}, (1, 2, 3, 4, 3)),
    ("Conv3d", (2, 3, 3), {"padding": 1, "padding_mode": "reflect"}, (2, 2, 3, 4, 3)),
    ("Conv3d", (2, 3, (3, 3, 2)), {"padding": "same", "padding_mode": "replicate"}, (2, 3, 4, 3)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2}, (2, 4, 5)),
    ("ConvTranspose2d", (4, 6, 3, 2, 1, 1), {}, (2, 4, 5, 5)),
    ("ConvTranspose2d", (4, 6, (2, 3)), {"groups": 2, "dilation": 2, "bias": False}, (4, 5, 5)),
    ("ConvTranspose3d", (4, 3, 3, 2, 1, 1), {}, (2, 4, 2, 3, 4)),
    ("ConvTranspose3d", (4, 6, (2, 3, 1)), {"groups": 2, "bias": False}, (4, 2, 3, 4)),
    ("Unfold", (3,), {"padding": 1}, (2, 3, 6, 6)),
    ("Fold", ((6, 7), 3), {"stride": (1, 2), "padding": 1}, (2, 18, 24)),
]


def ids(layer: Any) -> str:
    return f"{layer[0]}{layer[1]}{layer[2]}".replace(" ", "") if isinstance(layer, tuple) else ""


@pytest.mark.torch
@pytest.mark.parametrize("layer", LAYERS, ids=ids)
def test_torchs_state_dict_gives_torchs_results(layer: Any) -> None:
    torch = pytest.importorskip("torch")
    name, arguments, options, shape = layer
    theirs = getattr(torch.nn, name)(*arguments, **options)
    ours = getattr(nn, name)(*arguments, **options)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).normal(size=shape).astype("f4")
    a, b = torch.from_numpy(np.array(x)).requires_grad_(), fastnn.tensor(x).requires_grad_()
    want, got = theirs(a), ours(b)
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-5)
    want.square().sum().backward()
    (got * got).sum().backward()
    np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy(), rtol=1e-4, atol=1e-4)
    for p, q in zip(theirs.parameters(), ours.parameters(), strict=True):
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "shape", "sizes"),
    [
        ("ConvTranspose2d", (2, 2, 4, 4), ((12, 12), (2, 3, 14, 13))),
        ("ConvTranspose3d", (2, 2, 1, 4, 2), ((4, 12, 8), (2, 3, 5, 14, 6))),
    ],
)
def test_output_size_chooses_the_output_padding(name: str, shape: Any, sizes: Any) -> None:
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, name)(2, 3, 3, stride=3)
    ours = getattr(nn, name)(2, 3, 3, stride=3)
    ours.load_state_dict(theirs.state_dict())
    x = np.ones(shape, "f4")
    for size in sizes:
        want = theirs(torch.from_numpy(x), output_size=size).detach().numpy()
        got = ours(fastnn.tensor(x), output_size=size).detach().numpy()
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda: nn.Conv2d(6, 8, (3, 5), groups=2), 3 * 15),
        (lambda: nn.Conv1d(4, 8, 7), 28),
        (lambda: nn.Conv3d(4, 8, (3, 1, 2), groups=2), 2 * 6),
        (lambda: nn.ConvTranspose2d(6, 8, 3, groups=2), 4 * 9),
        (lambda: nn.ConvTranspose3d(4, 6, 2, groups=2), 3 * 8),
    ],
)
def test_initial_values_are_uniform_within_the_fan(layer: Any, fan_in: int) -> None:
    fastnn.manual_seed(0)
    made = layer()
    bound = 1 / math.sqrt(fan_in)
    for p in (made.weight, made.bias):
        values = np.abs(p.detach().numpy())
        assert values.max() <= bound
        assert values.max() > 0.7 * bound


def test_the_attributes_are_torchs() -> None:
    layer = nn.Conv2d(3, 4, 5, stride=2, padding=1)
    assert (layer.kernel_size, layer.stride, layer.padding) == ((5, 5), (2, 2), (1, 1))
    assert (layer.dilation, layer.output_padding, layer.groups) == ((1, 1), (0, 0), 1)
    assert layer.weight.shape == (4, 3, 5, 5)
    assert not layer.transposed
    assert nn.ConvTranspose1d(3, 4, 5).weight.shape == (3, 4, 5)
    volumes = nn.Conv3d(4, 6, (1, 2, 3), stride=2, groups=2)
    assert (volumes.weight.shape, volumes.stride) == ((6, 2, 1, 2, 3), (2, 2, 2))
    assert nn.ConvTranspose3d(4, 6, 3, groups=2).weight.shape == (4, 3, 3, 3, 3)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Conv2d(4, 6, 3, groups=3), "groups of at least 1 that divides"),
        (lambda: nn.Conv2d(4, 6, 3, groups=0), "groups of at least 1 that divides"),
        (lambda: nn.Conv2d(4, 6, 3, padding="full"), "'same', 'valid' or ints"),
        (lambda: nn.Conv2d(4, 6, 3, padding="same", stride=2), "a stride of 1"),
        (lambda: nn.Conv2d(4, 6, 3, padding_mode="mirror"), "padding_mode one of"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, padding_mode="reflect"), "padding_mode one of"),
        (lambda: nn.Conv3d(4, 6, 3, padding="same", stride=(1, 1, 2)), "Conv3d: .* a stride of 1"),
        (lambda: nn.ConvTranspose3d(4, 6, 3, groups=4), "ConvTranspose3d: .* that divides"),
    ],
)
def test_what_cannot_be_built_is_refused(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


def test_an_output_size_out_of_reach_is_refused() -> None:
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2)
    with pytest.raises(ValueError, match=r"output_size from \[9, 9\] to \[10, 10\]"):
        layer(fastnn.zeros(1, 2, 4, 4), output_size=(11, 9))
    with pytest.raises(ValueError, match="output_size of 2 or 4 elements"):
        layer(fastnn.zeros(1, 2, 4, 4), output_size=(9,))
    with pytest.raises(ValueError, match="output_size of 3 or 5 elements"):
        nn.ConvTranspose3d(2, 3, 3)(fastnn.zeros(1, 2, 4, 4, 4), output_size=(6, 6))

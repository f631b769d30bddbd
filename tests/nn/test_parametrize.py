# SPDX-License-Identifier: BSD-3-Clause
"""Parameters that are computed from others."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn.utils import parametrizations, parametrize


def close(a, b, atol=1e-6):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=atol)


def linear():
    fastnn.manual_seed(0)
    return nn.Linear(3, 4)


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).t()


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor

    def right_inverse(self, x):
        return x / self.factor


class Short(nn.Module):
    def forward(self, x):
        return x[:1]


def test_length_and_direction_of_a_weight():
    layer, x = linear(), fastnn.ones(2, 3)
    before, y = layer.weight.detach().clone(), layer(x)
    assert parametrizations.weight_norm(layer) is layer
    assert list(layer.state_dict()) == [
        "bias",
        "parametrizations.weight.original0",
        "parametrizations.weight.original1",
    ]
    g, v = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    assert g.shape == (4, 1)
    close(layer.weight, before)
    close(layer(x), y)
    layer(x).sum().backward()
    # The direction's gradient is at right angles to it.
    close((v.grad * v).sum(1), fastnn.zeros(4))
    assert g.grad is not None
    assert isinstance(layer, nn.Linear)
    with fastnn.no_grad():
        g.mul_(2.0)
    close(layer.weight, before * 2.0)


def test_which_lengths_there_are():
    for dim, shape in ((1, (1, 3)), (-2, (4, 1)), (None, ())):
        layer = parametrizations.weight_norm(linear(), dim=dim)
        assert layer.parametrizations.weight.original0.shape == shape
        close(layer.weight, linear().weight)
    conv = parametrizations.weight_norm(nn.Conv1d(2, 3, 5))
    assert conv.parametrizations.weight.original0.shape == (3, 1, 1)


def test_a_state_dict_of_the_older_form_loads():
    layer, w = parametrizations.weight_norm(linear()), fastnn.ones(4, 3)
    stack = nn.Sequential(layer)
    state = {"0.bias": fastnn.zeros(4), "0.weight_g": fastnn.full((4, 1), 6.0), "0.weight_v": w}
    stack.load_state_dict(state)
    close(layer.weight, w * (6.0 / 3**0.5))
    again = nn.Sequential(parametrizations.weight_norm(linear()))
    again.load_state_dict(stack.state_dict())
    close(again[0].weight, layer.weight)


def test_the_largest_singular_value_becomes_one():
    layer = parametrizations.spectral_norm(nn.Conv2d(3, 4, 2))
    for _ in range(60):
        layer.weight  # noqa: B018  (every use is a step of the iteration)
    layer.eval()
    values = np.linalg.svd(layer.weight.detach().numpy().reshape(4, -1), compute_uv=False)
    assert abs(values[0] - 1.0) < 1e-4
    u = layer.parametrizations.weight[0]._u
    layer(fastnn.ones(1, 3, 4, 4)).sum().backward()
    assert (layer.parametrizations.weight[0]._u == u).all()
    assert layer.parametrizations.weight.original.grad is not None
    assert list(layer.state_dict())[1:] == [
        f"parametrizations.weight.{n}" for n in ("original", "0._u", "0._v")
    ]
    turned = parametrizations.spectral_norm(nn.ConvTranspose2d(3, 4, 2))
    assert turned.parametrizations.weight[0]._u.shape == (4,)
    bias = parametrizations.spectral_norm(linear(), "bias")
    assert abs(bias.bias.norm().item() - 1.0) < 1e-6


def test_one_after_the_other_and_assignment():
    layer = nn.Linear(3, 3)
    parameter = layer.weight
    parametrize.register_parametrization(layer, "weight", Scaled(2.0))
    assert layer.parametrizations.weight.original is parameter
    parametrize.register_parametrization(layer, "weight", Scaled(-4.0))
    layer.weight = fastnn.full((3, 3), 8.0)
    assert (parameter == -1.0).all()
    assert (layer.weight == 8.0).all()
    assert parametrize.is_parametrized(layer)
    assert parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    symmetric = nn.Linear(3, 3)
    parametrize.register_parametrization(symmetric, "weight", Symmetric())
    close(symmetric.weight, symmetric.weight.t(), 0)
    with pytest.raises(RuntimeError, match="Symmetric: expected a method right_inverse"):
        symmetric.weight = fastnn.ones(3, 3)


def test_inside_of_cached_a_weight_is_computed_once():
    layer = parametrizations.weight_norm(linear())
    assert layer.weight is not layer.weight
    with parametrize.cached():
        with parametrize.cached():
            first = layer.weight
        assert layer.weight is first
    assert layer.weight is not first


def test_a_copy_is_changed_by_itself():
    layer = parametrizations.weight_norm(linear())
    twin = copy.deepcopy(layer)
    parametrizations.weight_norm(twin, "bias", None)
    assert not parametrize.is_parametrized(layer, "bias")
    assert "bias" in layer._parameters
    with fastnn.no_grad():
        twin.parametrizations.weight.original0.zero_()
    assert (twin.weight == 0).all()
    assert not (layer.weight == 0).all()


def test_taking_parametrizations_away():
    for leave in (True, False):
        layer = nn.Linear(3, 3)
        parameter, value = layer.weight, layer.weight.detach().clone()
        parametrize.register_parametrization(layer, "weight", Scaled(2.0))
        assert parametrize.remove_parametrizations(layer, "weight", leave) is layer
        assert layer.weight is parameter
        close(layer.weight, value if leave else value / 2.0)
        assert type(layer) is nn.Linear
        assert list(layer.state_dict()) == ["bias", "weight"]
    layer = parametrizations.weight_norm(linear())
    value = layer.weight.detach().clone()
    with pytest.raises(ValueError, match="leave_parametrized=True"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    parametrize.remove_parametrizations(layer, "weight")
    assert isinstance(layer.weight, nn.Parameter)
    close(layer.weight, value)


def test_a_buffer_stays_a_buffer():
    norm = nn.BatchNorm1d(3)
    parametrize.register_parametrization(norm, "running_var", Scaled(3.0))
    assert "parametrizations.running_var.original" in dict(norm.named_buffers())
    assert (norm.running_var == 1.0).all()
    parametrize.remove_parametrizations(norm, "running_var")
    assert (norm.running_var == 1.0).all()
    assert "running_var" in norm._buffers


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: parametrizations.weight_norm(linear(), "wait"), ValueError, "'wait'; 'weight'"),
        (lambda: parametrizations.weight_norm(linear(), dim=2), IndexError, "expected dim in"),
        (lambda: parametrizations.spectral_norm(linear(), "wait"), ValueError, "got 'wait'"),
        (lambda: parametrizations.spectral_norm(linear(), dim=3), IndexError, "expected dim in"),
        (
            lambda: parametrizations.spectral_norm(linear(), n_power_iterations=0),
            ValueError,
            "n_power_iterations >= 1, got 0",
        ),
        (
            lambda: parametrize.register_parametrization(linear(), "wait", Scaled(1.0)),
            ValueError,
            "got 'wait'; it has weight, bias",
        ),
        (
            lambda: parametrize.register_parametrization(linear(), "weight", Short()),
            ValueError,
            "(4, 3) from forward, as it was before, got fastnn.float32 (1, 3)",
        ),
        (
            lambda: parametrize.remove_parametrizations(linear(), "weight"),
            ValueError,
            "the name of a parametrised tensor, got 'weight'",
        ),
        (lambda: parametrize.ParametrizationList([], fastnn.ones(1)), ValueError, "got none"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)
    assert "; " in str(caught.value)


def test_shapes_may_change_where_that_is_allowed():
    layer = linear()
    parametrize.register_parametrization(layer, "weight", Short(), unsafe=True)
    assert layer.weight.shape == (1, 3)


@pytest.mark.filterwarnings("ignore:.*by hooks is the older form:FutureWarning")
def test_the_older_form_is_by_hooks():
    layer, x = linear(), fastnn.ones(2, 3)
    y = layer(x)
    assert nn.utils.weight_norm(layer) is layer
    assert sorted(layer.state_dict()) == ["bias", "weight_g", "weight_v"]
    close(layer(x), y)
    with fastnn.no_grad():
        layer.weight_g.mul_(2.0)
    close(layer(x) - layer.bias, (y - layer.bias) * 2.0)
    layer(x).sum().backward()
    assert layer.weight_g.grad is not None
    newer = parametrizations.weight_norm(linear())
    newer.load_state_dict(layer.state_dict())
    close(newer(x), layer(x))
    with pytest.raises(RuntimeError, match="expected one weight_norm of 'weight', got a second"):
        nn.utils.weight_norm(layer)
    value = layer(x)
    nn.utils.remove_weight_norm(layer)
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    close(layer(x), value)
    with pytest.raises(ValueError, match="remove_weight_norm: expected the name of a weight with"):
        nn.utils.remove_weight_norm(layer)


@pytest.mark.filterwarnings("ignore:.*by hooks is the older form:FutureWarning")
def test_the_older_form_of_the_spectral_norm():
    conv, x = nn.utils.spectral_norm(nn.Conv2d(3, 4, 2)), fastnn.ones(1, 3, 4, 4)
    assert sorted(conv.state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]
    for _ in range(60):
        conv(x)
    values = np.linalg.svd(conv.weight.detach().numpy().reshape(4, -1), compute_uv=False)
    assert abs(values[0] - 1.0) < 1e-4
    conv(x).sum().backward()
    assert conv.weight_orig.grad is not None
    conv.eval()
    y = conv(x)
    assert isinstance(nn.utils.remove_spectral_norm(conv).weight, nn.Parameter)
    close(conv(x), y)
    with pytest.raises(ValueError, match="of two or more dimensions"):
        nn.utils.spectral_norm(linear(), "bias")


def test_the_older_forms_warn():
    with pytest.warns(FutureWarning, match="use nn.utils.parametrizations.weight_norm instead"):
        nn.utils.weight_norm(linear())
    with pytest.warns(FutureWarning, match="spectral_norm by hooks is the older form"):
        nn.utils.spectral_norm(linear())


# ---- orthogonal weights --------------------------------------------------------------------------

MAPS = ("matrix_exp", "cayley", "householder")
SHAPES = ((3, 3), (5, 3), (2, 4), (2, 4, 3), (1, 1), (0, 2, 2), (3, 0))


def holder(*shape, dtype=None):
    module = nn.Module()
    module.weight = nn.Parameter(fastnn.randn(*shape, dtype=dtype))
    return module


def off(weight):
    """How far the columns, or the rows if there are fewer, are from orthonormal."""
    w = weight.detach().numpy()
    w = w if w.shape[-2] >= w.shape[-1] else w.swapaxes(-1, -2)
    return abs(w.swapaxes(-1, -2) @ w - np.eye(w.shape[-1])).max(initial=0.0)


@pytest.mark.parametrize("trivial", [True, False])
@pytest.mark.parametrize("kind", MAPS)
def test_orthogonal_weights(kind, trivial):
    fastnn.manual_seed(0)
    for shape in SHAPES:
        module = holder(*shape, dtype=fastnn.float64)
        before = module.weight.detach().clone()
        assert parametrizations.orthogonal(module, "weight", kind, use_trivialization=trivial)
        assert off(module.weight) < 1e-13
        if (trivial or kind == "householder") and shape[-2] == shape[-1]:
            # The nearest in the sense of QR: the triangle is what is left.
            rest = module.weight.detach().mT @ before
            close(rest.tril(-1), fastnn.zeros_like(rest), 1e-12)
            assert (rest.diagonal(0, -2, -1) >= 0).all()
        original = module.parametrizations.weight.original
        (module.weight * fastnn.randn_like(before)).sum().backward()
        with fastnn.no_grad():
            original -= 0.5 * original.grad
        assert off(module.weight) < 1e-13


@pytest.mark.parametrize("trivial", [True, False])
@pytest.mark.parametrize("kind", MAPS)
def test_the_gradients_of_orthogonal_weights(kind, trivial):
    fastnn.manual_seed(1)
    for shape in ((3, 3), (3, 2), (2, 3)):
        module = holder(*shape, dtype=fastnn.float64)
        parametrizations.orthogonal(module, "weight", kind, use_trivialization=trivial)
        held = module.parametrizations.weight
        signs = held.original.detach().triu().tril()  # cut to whole numbers: of no gradient
        lower = fastnn.randn(*shape, dtype=fastnn.float64).tril(-1).requires_grad_()
        assert fastnn.autograd.gradcheck(lambda x, s=signs, f=held[0]: f(x.tril(-1) + s), (lower,))


def test_assigning_to_an_orthogonal_weight():
    fastnn.manual_seed(2)
    for shape in ((3, 3), (4, 2), (2, 4)):
        for kind, trivial in ((k, t) for k in MAPS for t in (True, False)):
            module, other = holder(*shape), holder(*shape)
            parametrizations.orthogonal(module, "weight", kind, use_trivialization=trivial)
            nn.init.orthogonal_(other.weight)
            if kind != "householder" and not trivial:
                with pytest.raises(NotImplementedError, match="use_trivialization=True to assign"):
                    module.weight = other.weight.detach()
                continue
            module.weight = other.weight.detach()
            close(module.weight, other.weight)
            module.weight = other.weight.detach() * 3.0  # which is not orthogonal
            close(module.weight, other.weight)


def test_what_orthogonal_refuses():
    vector = linear()
    for call, text in (
        (lambda: parametrizations.orthogonal(linear(), "none"), "orthogonal: expected the name of"),
        (lambda: parametrizations.orthogonal(vector, "bias"), "a matrix, or a batch of matrices"),
        (
            lambda: parametrizations.orthogonal(linear(), orthogonal_map="qr"),
            "orthogonal_map as matrix_exp, cayley, householder, got 'qr'",
        ),
        (
            lambda: setattr(parametrizations.orthogonal(linear()), "weight", fastnn.ones(2, 2)),
            "a matrix or matrices of shape",
        ),
    ):
        with pytest.raises(ValueError, match=text):
            call()
    assert not parametrize.is_parametrized(vector)


def test_parametrizations_are_handed_over():
    a, b, c = nn.Linear(3, 3), nn.Linear(3, 3), nn.Module()
    parametrizations.orthogonal(a)
    parametrize.register_parametrization(a, "weight", Scaled(2.0))
    parametrizations.weight_norm(a, "bias", None)
    assert parametrize.transfer_parametrizations_and_params(a, b, "weight") is b
    assert parametrize.is_parametrized(b, "weight")
    assert not parametrize.is_parametrized(b, "bias")
    close(a.weight, b.weight)
    parametrize.transfer_parametrizations_and_params(a, c)
    for name in ("weight", "bias"):
        close(getattr(a, name), getattr(c, name))
    for p, q in zip(a.parameters(), c.parameters(), strict=True):
        assert p is q
    assert [*a.state_dict()] == [*c.state_dict()]
    plain = nn.Linear(3, 3)
    assert parametrize.transfer_parametrizations_and_params(nn.Linear(3, 3), plain) is plain
    assert not parametrize.is_parametrized(plain)
    with pytest.raises(ValueError, match="the name of a parametrised tensor, got 'bias'"):
        parametrize.transfer_parametrizations_and_params(b, plain, "bias")


@pytest.mark.torch
def test_orthogonal_weights_are_torchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    for shape in SHAPES[:5]:
        values = rng.normal(size=shape)
        for kind, trivial in ((k, t) for k in (None, *MAPS) for t in (True, False)):
            pair = []
            for lib, tensor in ((torch, torch.tensor(values)), (fastnn, fastnn.tensor(values))):
                module = lib.nn.Module()
                module.weight = lib.nn.Parameter(tensor)
                orthogonal = lib.nn.utils.parametrizations.orthogonal
                orthogonal(module, "weight", kind, use_trivialization=trivial)
                pair.append(module)
            theirs, ours = pair
            assert list(theirs.state_dict()) == list(ours.state_dict())
            assert repr(theirs) == repr(ours)
            if not trivial or shape[-2] == shape[-1]:  # no columns at random
                close(ours.weight, theirs.weight, 1e-12)
                close(*(m.parametrizations.weight.original for m in (ours, theirs)), 1e-12)
            changed = theirs.state_dict()
            lower = np.tril(rng.normal(size=shape), -1)
            changed["parametrizations.weight.original"] += torch.tensor(lower)
            theirs.load_state_dict(changed)
            ours.load_state_dict(theirs.state_dict())
            close(ours.weight, theirs.weight, 1e-12)
            weight = rng.normal(size=shape)
            (theirs.weight * torch.tensor(weight)).sum().backward()
            (ours.weight * fastnn.tensor(weight)).sum().backward()
            close(*(m.parametrizations.weight.original.grad for m in (ours, theirs)), 1e-11)


@pytest.mark.torch
def test_normalised_weights_are_torchs():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype("f4")
    for name, make in (
        ("weight_norm", lambda lib: lib.Conv2d(3, 4, 2)),
        ("spectral_norm", lambda lib: lib.Conv2d(3, 4, 2)),
        ("spectral_norm", lambda lib: lib.ConvTranspose2d(3, 4, 2)),
    ):
        theirs, ours = make(torch.nn), make(nn)
        getattr(torch.nn.utils.parametrizations, name)(theirs)
        getattr(parametrizations, name)(ours)
        assert repr(theirs) == repr(ours)
        assert list(theirs.state_dict()) == list(ours.state_dict())
        ours.load_state_dict(theirs.state_dict())
        for _ in range(2):
            a, b = theirs(torch.tensor(x)), ours(fastnn.tensor(x))
            np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), 1e-4, 1e-6)
        a.pow(2).sum().backward()
        b.pow(2).sum().backward()
        for p, q in zip(theirs.parameters(), ours.parameters(), strict=True):
            np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), 1e-3, 1e-4)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_older_forms_are_torchs():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype("f4")
    for name in ("weight_norm", "spectral_norm"):
        theirs = getattr(torch.nn.utils, name)(torch.nn.Conv2d(3, 4, 2))
        ours = getattr(nn.utils, name)(nn.Conv2d(3, 4, 2))
        assert list(theirs.state_dict()) == list(ours.state_dict())
        ours.load_state_dict(theirs.state_dict())
        for _ in range(3):
            a, b = theirs(torch.tensor(x)), ours(fastnn.tensor(x))
            np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), 1e-4, 1e-6)
        a.pow(2).sum().backward()
        b.pow(2).sum().backward()
        for p, q in zip(theirs.parameters(), ours.parameters(), strict=True):
            np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), 1e-3, 1e-4)

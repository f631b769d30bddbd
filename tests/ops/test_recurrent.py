# SPDX-License-Identifier: BSD-3-Clause
"""The recurrent layers: against steps of elementary operations, lengths, threads, hostile calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, autograd, ops
from fastnn.tensor import Tensor

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
LAYERS = {"rnn": ops.rnn_layer, "gru": ops.gru_layer, "lstm": ops.lstm_layer}
T, B, WIDTH, H = 5, 4, 3, 6


def leaf(rng: np.random.Generator, *shape: int, dtype: str = "f8", scale: float = 0.5) -> Tensor:
    return Tensor._wrap((rng.normal(size=shape) * scale).astype(dtype)).requires_grad_()


def inputs(
    kind: str, seed: int = 0, shape: Any = (T, B, WIDTH, H), dtype: str = "f8"
) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    t, b, i, h = shape
    g = GATES[kind] * h
    shapes = [(t, b, i), (g, i), (g, h), (g,), (g,), *[(b, h)] * (2 if kind == "lstm" else 1)]
    return [leaf(rng, *s, dtype=dtype, scale=1 / np.sqrt(h)) for s in shapes]


def step(kind: str, x: Tensor, w: list[Tensor], states: list[Tensor]) -> list[Tensor]:
    """One step as a user would write it."""
    w_ih, w_hh, b_ih, b_hh = w
    a, p = x @ w_ih.t() + b_ih, states[0] @ w_hh.t() + b_hh
    n = w_hh.shape[1]
    if kind == "rnn":
        return [(a + p).tanh()]
    if kind == "gru":
        r, z = ((a + p)[:, k : k + n].sigmoid() for k in (0, n))
        new = (a[:, 2 * n :] + r * p[:, 2 * n :]).tanh()
        return [(1.0 - z) * new + z * states[0]]
    i, f, g, o = (a + p).split(n, 1)
    c = f.sigmoid() * states[1] + i.sigmoid() * g.tanh()
    return [o.sigmoid() * c.tanh(), c]


def composed(
    kind: str, arguments: list[Tensor], lengths: list[int], reverse: bool
) -> tuple[dict[tuple[int, int], Tensor], list[list[Tensor]]]:
    """y by (time, row), and the last states of every row, each row by itself."""
    x, *w = arguments[:5]
    y, last = {}, []
    for row in range(x.shape[1]):
        states = [s[row : row + 1] for s in arguments[5:]]
        steps = range(lengths[row])
        for t in reversed(steps) if reverse else steps:
            states = step(kind, x[t, row : row + 1], w, states)
            y[t, row] = states[0]
        last.append(states)
    return y, last


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [2, 5, 0, 3]])
@pytest.mark.parametrize("kind", LAYERS)
def test_layer_is_its_steps(kind: str, lengths: list[int] | None, reverse: bool) -> None:
    arguments = inputs(kind)
    rng = np.random.default_rng(1)
    weight = Tensor._wrap(rng.normal(size=(T, B, H)))
    ends = [Tensor._wrap(rng.normal(size=(B, H))) for _ in arguments[5:]]
    y, *last = LAYERS[kind](*arguments, lengths, reverse=reverse)
    loss = (y * weight).sum()
    for state, e in zip(last, ends, strict=True):
        loss = loss + (state * e).sum()
    got = autograd.grad(loss, arguments)

    want_y, want_last = composed(kind, arguments, lengths or [T] * B, reverse)
    want_loss = Tensor._wrap(np.zeros(()))
    for row in range(B):
        for k, e in enumerate(ends):
            np.testing.assert_allclose(
                last[k][row].detach().numpy(), want_last[row][k][0].detach().numpy(), rtol=1e-12
            )
            want_loss = want_loss + (want_last[row][k] * e[row : row + 1]).sum()
        for t in range(T):
            if (t, row) not in want_y:
                assert not y[t, row].detach().numpy().any()
                continue
            want = want_y[t, row]
            np.testing.assert_allclose(
                y[t, row].detach().numpy(), want[0].detach().numpy(), rtol=1e-12
            )
            want_loss = want_loss + (want * weight[t, row : row + 1]).sum()
    for g, w in zip(got, autograd.grad(want_loss, arguments), strict=True):
        assert g is not None
        assert w is not None
        np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=1e-9, atol=1e-12)


# Rows enough for a share of them each, and few rows, where the steps' panels are shared out.
@pytest.mark.parametrize(
    "shape", [(6, 70, 20, 50), (5, 9, 40, 200), (3, 1, 30, 333), (4, 40, 8, 48)]
)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_bits_do_not_depend_on_the_threads(kind: str, reverse: bool, shape: Any) -> None:
    t, b = shape[:2]
    results = []
    before = fastnn.get_num_threads()
    try:
        for threads in (1, 2, 3, 8):
            fastnn.set_num_threads(threads)
            for lengths in (None, [1 + k % t for k in range(b)]):
                arguments = inputs(kind, shape=shape, dtype="f4")
                outs = LAYERS[kind](*arguments, lengths, reverse=reverse)
                grads = autograd.grad(list(outs), arguments, [o.detach() for o in outs])
                results.append(
                    [np.array(a.detach().numpy()) for a in (*outs, *grads) if a is not None]
                )
    finally:
        fastnn.set_num_threads(before)
    for k, found in enumerate(results[2:]):
        for a, want in zip(found, results[k % 2], strict=True):
            np.testing.assert_array_equal(a, want)


def test_bits_of_the_options_do_not_depend_on_the_threads() -> None:
    rng = np.random.default_rng(0)
    shapes = [(4, 40, 16), (128, 16), (128, 24), (128,), (128,), (40, 24), (40, 32)]
    options = [(24, 32), (3, 32), (10, 32)]
    results = []
    before = fastnn.get_num_threads()
    try:
        for threads in (1, 2, 5):
            rng = np.random.default_rng(0)
            fastnn.manual_seed(5)
            fastnn.set_num_threads(threads)
            arguments = [leaf(rng, *s, dtype="f4") for s in shapes]
            more = [leaf(rng, *s, dtype="f4") for s in options]
            outs = ops.lstm_variant_layer(*arguments, None, *more, zoneout=0.2)
            grads = autograd.grad(list(outs), [*arguments, *more], [o.detach() for o in outs])
            results.append([np.array(a.detach().numpy()) for a in (*outs, *grads) if a is not None])
    finally:
        fastnn.set_num_threads(before)
    for found in results[1:]:
        for a, want in zip(found, results[0], strict=True):
            np.testing.assert_array_equal(a, want)


@pytest.mark.parametrize("kind", LAYERS)
def test_padding_has_no_influence_and_no_gradient(kind: str) -> None:
    arguments = inputs(kind)
    lengths = [2, 5, 0, 3]
    outs = []
    for filling in (0.0, 1e6):
        x = np.array(arguments[0].detach().numpy())
        for row, n in enumerate(lengths):
            x[n:, row] = filling
        padded = Tensor._wrap(x).requires_grad_()
        y, *last = LAYERS[kind](padded, *arguments[1:], lengths)
        (gx,) = autograd.grad(y.sum() + last[0].sum(), [padded])
        assert gx is not None
        for row, n in enumerate(lengths):
            assert not gx.numpy()[n:, row].any()
        outs.append([a.detach().numpy() for a in (y, *last, gx)])
    for a, b in zip(*outs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(_backend.name != "cpu", reason="NumPy's BLAS rounds by the number of rows")
@pytest.mark.parametrize("kind", LAYERS)
def test_equal_rows_give_equal_bits_at_every_place_of_a_batch(kind: str) -> None:
    arguments = inputs(kind, shape=(3, 1, 7, 40), dtype="f4")
    one = LAYERS[kind](*arguments)[0].detach().numpy()
    for n in (2, 7, 25):
        many = [a if a.ndim == 1 else a.expand(3, n, 7) if a.ndim == 3 else a for a in arguments]
        many[5:] = [a.expand(n, 40) for a in arguments[5:]]
        y = LAYERS[kind](*many)[0].detach().numpy()
        np.testing.assert_array_equal(y, np.broadcast_to(one, y.shape))


@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_add_up_in_grad(kind: str) -> None:
    arguments = inputs(kind)
    LAYERS[kind](*arguments)[0].sum().backward()
    once = [np.array(a.grad.numpy()) for a in arguments if a.grad is not None]
    places = [a.grad.data_ptr() for a in arguments[1:5] if a.grad is not None]
    LAYERS[kind](*arguments)[0].sum().backward()
    for a, g in zip(arguments, once, strict=True):
        assert a.grad is not None
        np.testing.assert_allclose(a.grad.numpy(), 2 * g, rtol=1e-12)
    assert [a.grad.data_ptr() for a in arguments[1:5] if a.grad is not None] == places


@pytest.mark.parametrize("kind", LAYERS)
def test_only_the_gradients_that_are_needed(kind: str) -> None:
    arguments = inputs(kind)
    full = autograd.grad(LAYERS[kind](*arguments)[0].sum(), arguments)
    for k in range(len(arguments)):
        some = [a.detach() for a in arguments]
        some[k].requires_grad_()
        (g,) = autograd.grad(LAYERS[kind](*some)[0].sum(), [some[k]])
        want = full[k]
        assert g is not None
        assert want is not None
        np.testing.assert_array_equal(g.numpy(), want.numpy())


@pytest.mark.parametrize("kind", LAYERS)
def test_no_second_derivative_names_the_layer(kind: str) -> None:
    arguments = inputs(kind)
    y = LAYERS[kind](*arguments)[0].sum()
    with pytest.raises(RuntimeError, match=f"{kind}_layer: expected an operation with a second"):
        autograd.grad(y, arguments, create_graph=True)


@pytest.mark.parametrize("kind", LAYERS)
def test_changing_the_output_before_backward_is_refused(kind: str) -> None:
    arguments = inputs(kind)
    y = LAYERS[kind](*arguments)[0]
    loss = y.sum()
    with fastnn.no_grad():
        y.mul_(2.0)
    with pytest.raises(RuntimeError, match="changed by an in-place"):
        loss.backward()


def test_zoneout_keeps_its_share_of_the_states() -> None:
    fastnn.manual_seed(3)
    rng = np.random.default_rng(0)
    with fastnn.no_grad():
        x, w_ih, w_hh = (leaf(rng, *s) for s in ((1, 500, 2), (40, 2), (40, 10)))
        h0, c0 = leaf(rng, 500, 10), leaf(rng, 500, 10)
        y, hn, cn = ops.lstm_variant_layer(x, w_ih, w_hh, None, None, h0, c0, zoneout=0.25)
    for new, old in ((hn, h0), (cn, c0)):
        assert abs((new.numpy() == old.detach().numpy()).mean() - 0.25) < 0.03
    np.testing.assert_array_equal(y.numpy()[0], hn.numpy())


def test_half_precision_goes_to_the_references() -> None:
    arguments = [a.detach().to(fastnn.float16) for a in inputs("lstm")]
    y = ops.lstm_layer(*arguments)[0]
    want = ops.lstm_layer(*[a.to(fastnn.float32) for a in arguments])[0]
    assert y.dtype is fastnn.float16
    np.testing.assert_allclose(y.numpy(), want.numpy(), atol=5e-3)


def zeros(*shape: int) -> Any:
    return _backend.zeros(shape, np.float32)


@pytest.mark.parametrize("bad", ["workspace", "gates", "lengths", "states", "shape"])
def test_kernels_refuse_what_shapes_cannot_say(kernels: Any, bad: str) -> None:
    t, b, i, h = 3, 2, 4, 5
    arrays: dict[str, Any] = {
        "x": zeros(t, b, i), "h0": zeros(b, h), "c0": zeros(b, h), "w_ih": zeros(4 * h, i),
        "w_hh": zeros(4 * h, h), "b_ih": None, "b_hh": None, "lengths": None, "y": zeros(t, b, h),
        "states": None, "hn": zeros(b, h), "cn": zeros(b, h), "gates": zeros(t, b, 4 * h),
        "cells": zeros(t, b, h), "workspace": zeros(4 * h * 16),
    }  # fmt: skip
    kernels["lstm_forward"](*arrays.values(), False)
    error: type[Exception] = ValueError
    if bad == "workspace":
        arrays["workspace"] = zeros(4 * h * h - 1)
    elif bad == "gates":
        arrays |= {"w_ih": zeros(7, i), "w_hh": zeros(7, h), "gates": zeros(t, b, 7)}
    elif bad == "lengths":
        arrays |= {"lengths": np.array([1, t + 1]), "states": zeros(t, b, h)}
        error = IndexError
    elif bad == "states":
        arrays["lengths"] = np.array([1, 2])
    else:
        arrays["hn"] = zeros(b, h + 1)
    with pytest.raises(error, match="lstm_forward"):
        kernels["lstm_forward"](*arrays.values(), False)


@pytest.mark.parametrize("bad", ["workspace", "gates", "lengths", "grad_y"])
def test_backward_kernel_refuses_what_shapes_cannot_say(kernels: Any, bad: str) -> None:
    t, b, i, h = 3, 16, 4, 16
    arrays: dict[str, Any] = {
        "w_ih": zeros(4 * h, i), "w_hh": zeros(4 * h, h), "c0": zeros(b, h), "lengths": None,
        "cells": zeros(t, b, h), "gates": zeros(t, b, 4 * h), "grad_y": zeros(t, b, h),
        "grad_h": zeros(b, h), "grad_c": zeros(b, h), "grad_gates": zeros(t, b, 4 * h),
        "grad_x": zeros(t, b, i), "workspace": zeros(4 * h * (16 + 16)),
    }  # fmt: skip
    kernels["lstm_backward"](*arrays.values(), False)
    kernels["lstm_backward"](*{**arrays, "grad_x": None}.values(), False)
    error: type[Exception] = ValueError
    if bad == "workspace":
        arrays["workspace"] = zeros(4 * h * h)
    elif bad == "gates":
        arrays |= {"w_ih": zeros(7, i), "w_hh": zeros(7, h)}
        arrays |= {"gates": zeros(t, b, 7), "grad_gates": zeros(t, b, 7)}
    elif bad == "lengths":
        arrays["lengths"] = np.full(b, t + 1)
        error = IndexError
    else:
        arrays["grad_y"] = zeros(t, b, 2 * h)[..., ::2]
    with pytest.raises(error, match="lstm_backward"):
        kernels["lstm_backward"](*arrays.values(), False)


@pytest.mark.parametrize("shape", [(5, 18, 6, 32), (4, 3, 5, 7), (3, 20, 20, 16)])
@pytest.mark.parametrize("form", ["half", "every other", "one for all"])
def test_a_gradient_may_have_any_strides(shape: Any, form: str) -> None:
    t, b, _, h = shape
    wide = np.random.default_rng(1).normal(size=(t, b, 2 * h)).astype("f4")
    given = {"half": wide[..., h:], "every other": wide[..., ::2], "one for all": wide[:1, :1, :1]}
    grad = np.broadcast_to(given[form], (t, b, h))
    found = []
    for g in (grad, np.ascontiguousarray(grad)):
        arguments = inputs("lstm", shape=shape, dtype="f4")
        y = ops.lstm_layer(*arguments)[0]
        found.append(autograd.grad([y], arguments, [Tensor._wrap(g)]))
    for a, want in zip(*found, strict=True):
        np.testing.assert_array_equal(a.numpy(), want.numpy())


class _InHalfPrecision(autograd.Op):
    """The identity, whose gradient is of another type."""

    def forward(self, x: Any) -> Any:
        return x.copy()

    def backward(self, grad: Any) -> tuple[Any, ...]:
        return (grad.astype(np.float16),)


@pytest.mark.parametrize("shape", [(3, 8, 6, 32), (3, 18, 6, 32)])
def test_a_gradient_of_another_type_is_converted(shape: Any) -> None:
    """No other kernel may take the gates, which may be in the native one's own order."""
    found = []
    for half in (False, True):
        arguments = inputs("lstm", shape=shape, dtype="f4")
        y = ops.lstm_layer(*arguments)[0]
        y = _InHalfPrecision.apply((y,)) if half else y
        found.append(autograd.grad([(y * y).sum()], arguments))
    for a, want in zip(*found, strict=True):
        scale = np.abs(want.numpy()).max()
        np.testing.assert_allclose(a.numpy(), want.numpy(), rtol=0, atol=4e-3 * scale)


def test_variant_kernel_refuses_options_that_do_not_go_together(kernels: Any) -> None:
    t, b, h, g = 2, 3, 4, 16
    arrays: dict[str, Any] = {
        "h0": zeros(b, h), "c0": zeros(b, h), "w_hh": zeros(g, h), "bias": None, "w_hr": None,
        "peephole": None, "norm": None, "lengths": None, "zone": None, "y": zeros(t, b, h),
        "states": None, "cells": zeros(t, b, h), "gates": zeros(t, b, g), "raw": None,
        "units": None, "workspace": zeros(16 * 16 + 16 * 16),
    }  # fmt: skip
    kernels["lstm_variant_forward"](*arrays.values(), False, 0.0)
    for change in (
        {"peephole": zeros(2, h)},
        {"norm": zeros(10, h)},
        {"norm": zeros(9, h), "raw": zeros(2, t, b, g)},
        {"zone": np.zeros((t, b, h), np.bool_)},
        {"w_hr": zeros(h, h)},
        {"workspace": zeros(3)},
    ):
        with pytest.raises(ValueError, match="lstm_variant_forward"):
            kernels["lstm_variant_forward"](*{**arrays, **change}.values(), False, 0.0)
    for zoneout in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="lstm_variant_forward"):
            kernels["lstm_variant_forward"](*arrays.values(), False, zoneout)

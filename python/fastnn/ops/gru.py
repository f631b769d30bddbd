# SPDX-License-Identifier: BSD-3-Clause
"""A layer of gated recurrent units, in one direction, over a whole sequence.

    r, z = sigmoid(.) of the first two blocks of x_t w_ih^T + b_ih + h_{t-1} w_hh^T + b_hh
    q = h_{t-1} w_hn^T + b_hn,   n = tanh(x_t w_in^T + b_in + r q)      (the third blocks)
    h_t = (1 - z) n + z h_{t-1}

Shapes:   x (t, b, i), h0 (b, h), w_ih (3h, i), w_hh (3h, h), biases (3h) -> y (t, b, h), hn (b, h).
Backward: through time, with dh what comes from above and from t + 1:
          da_n = dh (1 - z) (1 - n^2),  da_z = dh (h_{t-1} - n) z (1 - z),  da_r = da_n q r (1 - r),
          dq = da_n r,  dh_{t-1} = dh z + (da_r, da_z, dq) w_hh;
          then dx = (da_r, da_z, da_n) w_ih, and the weights' as a linear layer's.
Saved:    input, weights, gates, q, h_t.      Cost: 6 t b h (i + h) flop.
Source:   Cho et al. 2014, with the reset gate after the product.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module, reference
from fastnn.ops import _common, _recurrent
from fastnn.ops._recurrent import RecurrentLayer, keep, sigmoid, times
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def gru_forward(
    x: Any,
    h0: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    lengths: Any,
    y: Any,
    states: Any,
    hn: Any,
    gates: Any,
    products: Any,
    workspace: Any,
    reverse: bool,
) -> None:
    """The forward pass; ``workspace`` is for packed weights, which a reference does not need."""
    del workspace
    xp, n = array_module(x), h0.shape[1]
    _recurrent.check_lengths("gru_forward", lengths, x.shape[0])
    _recurrent.input_products(xp, x, w_ih, b_ih, None, gates)
    h, zero = h0, xp.zeros((), x.dtype)
    kept = y if states is None else states
    for t in times(x.shape[0], reverse):
        p = xp.matmul(h, w_hh.T)
        if b_hh is not None:
            p += b_hh
        a, q = gates[t], p[:, 2 * n :]
        r, z = (sigmoid(xp, a[:, k : k + n] + p[:, k : k + n]) for k in (0, n))
        new = xp.tanh(a[:, 2 * n :] + r * q)
        gates[t] = keep(xp, lengths, t, xp.concatenate([r, z, new], 1), zero)
        products[t] = keep(xp, lengths, t, q, zero)
        kept[t] = keep(xp, lengths, t, (1 - z) * new + z * h, h)
        h = kept[t]
    hn[...] = h
    if states is not None:
        _recurrent.masked(xp, lengths, states, y)


@reference
def gru_backward(
    w_hh: Any,
    h0: Any,
    lengths: Any,
    states: Any,
    gates: Any,
    products: Any,
    grad_y: Any,
    grad_h: Any,
    grad_gates: Any,
    workspace: Any,
    reverse: bool,
) -> None:
    """The gradients of the sums of r, z, q and n; grad_h goes from the last state to the first."""
    del workspace
    xp, (steps, _, n) = array_module(w_hh), states.shape
    _recurrent.check_lengths("gru_backward", lengths, steps)
    zero = xp.zeros((), w_hh.dtype)
    order = list(times(steps, reverse))
    for s in range(steps - 1, -1, -1):
        t = order[s]
        before = states[order[s - 1]] if s else h0
        r, z, new = (gates[t][:, k * n : (k + 1) * n] for k in range(3))
        dh = grad_h + grad_y[t]
        dn = dh * (1 - z) * (1 - new * new)
        parts = [dn * products[t] * r * (1 - r), dh * (before - new) * z * (1 - z), dn * r, dn]
        grad_gates[t] = keep(xp, lengths, t, xp.concatenate(parts, 1), zero)
        direct = keep(xp, lengths, t, dh * z, grad_h)
        grad_h[...] = direct + xp.matmul(grad_gates[t][:, : 3 * n], w_hh)


class Gru(RecurrentLayer):
    """The layer; its inputs in the order of `gru_layer` with h0 second."""

    name = "gru_layer"
    instead = "write the step of the GRU cell in operations that have one"

    def forward(self, *arrays: Any) -> Any:
        table = self.kernels
        x, h0, w_ih, w_hh, b_ih, b_hh, lengths = self.prepare(arrays[:7], arrays[7])
        shape = (*x.shape[:2], w_hh.shape[1])
        y, hn, products = (table.empty(s, x.dtype) for s in (shape, h0.shape, shape))
        gates = table.empty((*x.shape[:2], w_hh.shape[0]), x.dtype)
        states = None if lengths is None else table.empty(shape, x.dtype)
        space = _recurrent.workspace(table, w_hh)
        table.gru_forward(
            x, h0, w_ih, w_hh, b_ih, b_hh, lengths, y, states, hn, gates, products, space,
            self.reverse,
        )  # fmt: skip
        kept = y if states is None else states
        self.save(x, h0, w_ih, w_hh, lengths, kept, gates, products)
        return y, hn

    def backward(self, grad_y: Any, grad_hn: Any) -> tuple[Any, ...]:
        x, h0, w_ih, w_hh, lengths, states, gates, products = self.saved  # type: ignore[misc]
        table, n = self.kernels, w_hh.shape[1]
        grad_h = _recurrent.copied(table, grad_hn)
        d = table.empty((*x.shape[:2], 4 * n), x.dtype)
        table.gru_backward(
            w_hh, h0, lengths, states, gates, products, _common.contiguous_array(table, grad_y),
            grad_h, d, _recurrent.workspace(table, w_hh), self.reverse,
        )  # fmt: skip
        d = d.reshape(x.shape[0] * x.shape[1], 4 * n)

        def sums() -> tuple[list[_recurrent.Piece], list[_recurrent.Piece]]:
            s = self.column_sum(d)
            ih = [(0, 2 * n, s[: 2 * n]), (2 * n, 3 * n, s[3 * n :])]
            return ih, [(0, 3 * n, s[: 3 * n])]

        parts = [(d[:, : 2 * n], 0, 2 * n), (d[:, 3 * n :], 2 * n, 3 * n)]
        grads = self.parameter_gradients((x, h0, w_ih, w_hh), states, d[:, : 3 * n], parts, sums)
        grads[1] = grad_h if self.needs[1] else None
        return (*grads, None)


def gru_layer(
    input: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
    h0: Tensor | None = None,
    lengths: Any = None,
    *,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """One GRU layer in one direction: (y, hn). nn.GRU stacks them.

    input (t, b, i), w_ih (3h, i), w_hh (3h, h), b_ih and b_hh (3h), h0 (b, h), by default 0.
    lengths: b integers in [0, t]; a row keeps its state and gives 0 past its length.
    reverse: from the last step (of each row's length) to the first.

    Raises RuntimeError where shapes or types do not go together, IndexError for a bad length.
    """
    given = {
        "input": input, "h0": h0, "w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh,
        "lengths": lengths,
    }  # fmt: skip
    tensors = _recurrent.check_layer("gru_layer", 3, given)
    return Gru.apply(tuple(tensors), bool(reverse))  # type: ignore[no-any-return]


def _plain(
    x: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    h0: Any = None,
    lengths: Any = None,
    reverse: bool = False,
) -> Any:
    """Every row of the batch by itself, step by step."""
    xp = array_module(x)
    (steps, batch, _), n = x.shape, w_hh.shape[1]
    y, hn = xp.zeros((steps, batch, n), x.dtype), xp.zeros((batch, n), x.dtype)
    for row in range(batch):
        h = hn[row] if h0 is None else h0[row]
        for t in times(steps if lengths is None else int(lengths[row]), reverse):
            a = w_ih @ x[t, row] + (0 if b_ih is None else b_ih)
            p = w_hh @ h + (0 if b_hh is None else b_hh)
            r, z = 1 / (1 + xp.exp(-(a + p)[: 2 * n])).reshape(2, n)
            new = xp.tanh(a[2 * n :] + r * p[2 * n :])
            h = y[t, row] = new + z * (h - new)
        hn[row] = h
    return y, hn


def _shapes(t: int, b: int, i: int, h: int, bias: bool = True, state: bool = True) -> list[Any]:
    biases = [(3 * h,), (3 * h,)] if bias else [None, None]
    return [(t, b, i), (3 * h, i), (3 * h, h), *biases, (b, h) if state else None]


def _case(shapes: list[Any], **options: Any) -> OpCase:
    bench = options.pop("bench", False)
    t, b, i = shapes[0]
    return OpCase(
        gru_layer,
        "gru_layer",
        shapes,
        kwargs=options,
        ref=_plain,
        double_grad=False,
        bench=bench,
        low=-0.0625 if bench else -1.0,  # gradients explode with large weights
        high=0.0625 if bench else 1.0,
        flops=2.0 * t * b * shapes[1][0] * (i + shapes[2][1]),
    )


_LENGTHS = ("cells", (3, 0, 5, 1))
CASES = [
    _case(_shapes(4, 3, 2, 5)),
    _case(_shapes(3, 2, 4, 3, bias=False)),
    _case([(3, 2, 4), (9, 4), (9, 3), None, (9,)]),
    _case(_shapes(3, 2, 3, 4, state=False)),
    _case(_shapes(1, 1, 3, 2)),
    _case(_shapes(1, 7, 3, 19)),
    _case(_shapes(0, 2, 3, 4)),
    _case(_shapes(3, 0, 2, 4)),
    _case(_shapes(2, 3, 0, 4)),
    _case(_shapes(4, 3, 2, 5), reverse=True),
    _case([*_shapes(5, 4, 2, 3), _LENGTHS]),
    _case([*_shapes(5, 4, 2, 3), _LENGTHS], reverse=True),
    _case([*_shapes(5, 4, 2, 3, state=False), _LENGTHS], reverse=True),
    _case(_shapes(2, 13, 7, 67)),
    _case(_shapes(64, 32, 128, 256), bench=True),
]
ERRORS = [
    ErrorCase(gru_layer, "gru_layer", [(2, 3), (6, 3), (6, 2)], RuntimeError, "expected input"),
    ErrorCase(
        gru_layer, "gru_layer", [(4, 2, 3), (6, 4), (6, 2)], RuntimeError, "expected w_ih (6, 3)"
    ),
    ErrorCase(
        gru_layer,
        "gru_layer",
        [(4, 2, 3), (6, 3), (6, 2), None, None, None, ("cells", (5, 1))],
        IndexError,
        "expected lengths in [0, 4]",
    ),
    ErrorCase(
        gru_layer,
        "gru_layer",
        [(4, 2, 3), (6, 3), (6, 2), None, None, None, ("cells", (1,))],
        RuntimeError,
        "expected lengths (2,)",
    ),
]

# SPDX-License-Identifier: BSD-3-Clause
"""A layer of long short-term memory, in one direction, over a whole sequence.

    i, f, o = sigmoid(.), g = tanh(.) of the four blocks of
              x_t w_ih^T + b_ih + h_{t-1} w_hh^T + b_hh, in the order i, f, g, o
    c_t = f c_{t-1} + i g,   h_t = o tanh(c_t)

Shapes:   x (t, b, i), h0 and c0 (b, h), w_ih (4h, i), w_hh (4h, h), biases (4h)
          -> y (t, b, h), hn and cn (b, h).
Backward: through time, with m = tanh(c_t) and dh, dc what comes from above and from t + 1:
          da_o = dh m o (1 - o),  dc += dh o (1 - m^2),  da_i = dc g i (1 - i),
          da_f = dc c_{t-1} f (1 - f),  da_g = dc i (1 - g^2),  dc_{t-1} = dc f,
          dh_{t-1} = da w_hh;  then dx = da w_ih, dw_ih = da^T x, dw_hh = da^T h_{t-1}.
Saved:    input, weights, gates, h_t, c_t.      Cost: 8 t b h (i + h) flop.
Source:   Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module, reference
from fastnn.ops import _recurrent
from fastnn.ops._recurrent import RecurrentLayer, keep, sigmoid, times
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def lstm_forward(
    x: Any,
    h0: Any,
    c0: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    lengths: Any,
    y: Any,
    states: Any,
    hn: Any,
    cn: Any,
    gates: Any,
    cells: Any,
    workspace: Any,
    reverse: bool,
) -> None:
    """The forward pass; ``workspace`` is for packed weights, which a reference does not need."""
    del workspace
    xp, n = array_module(x), h0.shape[1]
    _recurrent.check_lengths("lstm_forward", lengths, x.shape[0])
    _recurrent.input_products(xp, x, w_ih, b_ih, b_hh, gates)
    h, c, zero = h0, c0, xp.zeros((), x.dtype)
    kept = y if states is None else states
    for t in times(x.shape[0], reverse):
        a = gates[t] + xp.matmul(h, w_hh.T)
        i, f, o = (sigmoid(xp, a[:, k * n : (k + 1) * n]) for k in (0, 1, 3))
        g = xp.tanh(a[:, 2 * n : 3 * n])
        gates[t] = keep(xp, lengths, t, xp.concatenate([i, f, g, o], 1), zero)
        new = f * c + i * g
        kept[t] = keep(xp, lengths, t, o * xp.tanh(new), h)
        cells[t] = keep(xp, lengths, t, new, c)
        h, c = kept[t], cells[t]
    hn[...], cn[...] = h, c
    if states is not None:
        _recurrent.masked(xp, lengths, states, y)


@reference
def lstm_backward(
    w_ih: Any,
    w_hh: Any,
    c0: Any,
    lengths: Any,
    cells: Any,
    gates: Any,
    grad_y: Any,
    grad_h: Any,
    grad_c: Any,
    grad_gates: Any,
    grad_x: Any,
    workspace: Any,
    reverse: bool,
) -> None:
    """The gradients of the gates' sums and of x, if wanted.

    grad_h and grad_c go from the last state to the first.
    """
    del workspace
    xp, (steps, _, n) = array_module(w_hh), cells.shape
    _recurrent.check_lengths("lstm_backward", lengths, steps)
    zero = xp.zeros((), w_hh.dtype)
    order = list(times(steps, reverse))
    for s in range(steps - 1, -1, -1):
        t = order[s]
        before = cells[order[s - 1]] if s else c0
        i, f, g, o = (gates[t][:, k * n : (k + 1) * n] for k in range(4))
        m, dh = xp.tanh(cells[t]), grad_h + grad_y[t]
        dc = grad_c + dh * o * (1 - m * m)
        parts = [dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g * g)]
        parts.append(dh * m * o * (1 - o))
        grad_gates[t] = keep(xp, lengths, t, xp.concatenate(parts, 1), zero)
        grad_c[...] = keep(xp, lengths, t, dc * f, grad_c)
        grad_h[...] = keep(xp, lengths, t, zero, grad_h) + xp.matmul(grad_gates[t], w_hh)
    if grad_x is not None:
        xp.matmul(grad_gates, w_ih, out=grad_x)


class Lstm(RecurrentLayer):
    """The layer; its inputs in the order of `lstm_layer` with h0 second and c0 last."""

    name = "lstm_layer"
    instead = "write the step of the LSTM cell in operations that have one"

    def forward(self, *arrays: Any) -> Any:
        table = self.kernels
        found = self.prepare(arrays[:8], arrays[8])
        x, h0, w_ih, w_hh, b_ih, b_hh, lengths, c0 = found
        if c0 is None:
            c0 = self.zeros(h0.shape, x.dtype)
        shape = (*x.shape[:2], w_hh.shape[1])
        y, hn, cn, cells = (table.empty(s, x.dtype) for s in (shape, h0.shape, h0.shape, shape))
        gates = table.empty((*x.shape[:2], w_hh.shape[0]), x.dtype)
        states = None if lengths is None else table.empty(shape, x.dtype)
        # Both weights and a bias beside each other.
        units = -(-w_hh.shape[1] // 16) * 16
        space = table.empty((4 * units * (x.shape[2] + w_hh.shape[1] + 1),), x.dtype)
        table.lstm_forward(
            x, h0, c0, w_ih, w_hh, b_ih, b_hh, lengths, y, states, hn, cn, gates, cells, space,
            self.reverse,
        )  # fmt: skip
        kept = y if states is None else states
        self.save(x, h0, w_ih, w_hh, lengths, c0, kept, gates, cells)
        return y, hn, cn

    def backward(self, grad_y: Any, grad_hn: Any, grad_cn: Any) -> tuple[Any, ...]:
        x, h0, w_ih, w_hh, lengths, c0, states, gates, cells = self.saved  # type: ignore[misc]
        table = self.kernels
        # The gates are in the kernel's own order: no other may take them for want of a type.
        grad_y, grad_hn, grad_cn = (
            g.astype(x.dtype, copy=False) for g in (grad_y, grad_hn, grad_cn)
        )
        grad_h, grad_c = _recurrent.copied(table, grad_hn), _recurrent.copied(table, grad_cn)
        grad_gates = table.empty(gates.shape, gates.dtype)
        grad_x = table.empty(x.shape, x.dtype) if self.needs[0] else None
        table.lstm_backward(
            w_ih, w_hh, c0, lengths, cells, gates, _recurrent.unit_rows(table, grad_y), grad_h,
            grad_c, grad_gates, grad_x, _recurrent.workspace(table, w_hh, w_ih), self.reverse,
        )  # fmt: skip
        rows = w_hh.shape[0]
        d = grad_gates.reshape(x.shape[0] * x.shape[1], rows)
        grads = self.parameter_gradients(
            (x, h0, w_ih, w_hh),
            states,
            d,
            [(d, 0, rows)],
            lambda: ([(0, rows, self.column_sum(d))],) * 2,
            grad_x,
        )
        grads[1] = grad_h if self.needs[1] else None
        return (*grads, None, grad_c if self.needs[7] else None)


def lstm_layer(
    input: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
    h0: Tensor | None = None,
    c0: Tensor | None = None,
    lengths: Any = None,
    *,
    reverse: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """One LSTM layer in one direction: (y, hn, cn). nn.LSTM stacks them.

    input (t, b, i), w_ih (4h, i), w_hh (4h, h), b_ih and b_hh (4h), h0 and c0 (b, h), by default 0.
    lengths: b integers in [0, t]; a row keeps its state and gives 0 past its length.
    reverse: from the last step (of each row's length) to the first.

    Raises RuntimeError where shapes or types do not go together, IndexError for a bad length.
    """
    given = {
        "input": input, "h0": h0, "w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh,
        "lengths": lengths, "c0": c0,
    }  # fmt: skip
    tensors = _recurrent.check_layer("lstm_layer", 4, given)
    return Lstm.apply(tuple(tensors), bool(reverse))  # type: ignore[no-any-return]


def _plain(
    x: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    h0: Any = None,
    c0: Any = None,
    lengths: Any = None,
    reverse: bool = False,
) -> Any:
    """Every row of the batch by itself, step by step."""
    xp = array_module(x)
    (steps, batch, _), n = x.shape, w_hh.shape[1]
    y = xp.zeros((steps, batch, n), x.dtype)
    hn, cn = xp.zeros((batch, n), x.dtype), xp.zeros((batch, n), x.dtype)
    bias = (0 if b_ih is None else b_ih) + (0 if b_hh is None else b_hh)
    for row in range(batch):
        h = hn[row] if h0 is None else h0[row]
        c = cn[row] if c0 is None else c0[row]
        for t in times(steps if lengths is None else int(lengths[row]), reverse):
            a = w_ih @ x[t, row] + w_hh @ h + bias
            i, f, g, o = a[:n], a[n : 2 * n], a[2 * n : 3 * n], a[3 * n :]
            c = c / (1 + xp.exp(-f)) + xp.tanh(g) / (1 + xp.exp(-i))
            h = xp.tanh(c) / (1 + xp.exp(-o))
            y[t, row] = h
        hn[row], cn[row] = h, c
    return y, hn, cn


def _shapes(t: int, b: int, i: int, h: int, bias: bool = True, state: bool = True) -> list[Any]:
    biases = [(4 * h,), (4 * h,)] if bias else [None, None]
    return [
        (t, b, i),
        (4 * h, i),
        (4 * h, h),
        *biases,
        *([(b, h), (b, h)] if state else [None] * 2),
    ]


def _case(shapes: list[Any], **options: Any) -> OpCase:
    bench = options.pop("bench", False)
    t, b, i = shapes[0]
    return OpCase(
        lstm_layer,
        "lstm_layer",
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
    _case([*_shapes(3, 2, 4, 3)[:4], None, None, None]),
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
    _case(_shapes(3, 21, 9, 37, bias=False)),
    _case([*_shapes(5, 18, 6, 20), ("cells", (3, 0, 5) * 6)], reverse=True),
    _case([*_shapes(5, 18, 6, 32), ("cells", (3, 0, 5) * 6)]),
    _case([*_shapes(4, 18, 12, 32), ("cells", (3, 0, 4) * 6)], reverse=True),
    _case(_shapes(64, 32, 128, 256), bench=True),
    _case(_shapes(32, 128, 28, 128), bench=True, reverse=True),
]
ERRORS = [
    ErrorCase(lstm_layer, "lstm_layer", [(2, 3), (8, 3), (8, 2)], RuntimeError, "expected input"),
    ErrorCase(
        lstm_layer, "lstm_layer", [(4, 2, 3), (8, 4), (8, 2)], RuntimeError, "expected w_ih (8, 3)"
    ),
    ErrorCase(
        lstm_layer, "lstm_layer", [(4, 2, 3), (8, 3), (6, 2)], RuntimeError, "expected w_hh (8, 2)"
    ),
    ErrorCase(
        lstm_layer,
        "lstm_layer",
        [(4, 2, 3), (8, 3), (8, 2), None, None, None, None, ("cells", (5, 1))],
        IndexError,
        "expected lengths in [0, 4]",
    ),
    ErrorCase(lstm_layer, "lstm_layer", [[1.0], (8, 3), (8, 2)], TypeError, "expected input as a"),
]

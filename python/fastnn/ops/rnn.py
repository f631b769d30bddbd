# SPDX-License-Identifier: BSD-3-Clause
"""A layer of the simple recurrent network, in one direction, over a whole sequence.

    h_t = f(x_t w_ih^T + b_ih + h_{t-1} w_hh^T + b_hh),     f: tanh or ReLU

Shapes:   x (t, b, i), h0 (b, h), w_ih (h, i), w_hh (h, h), biases (h) -> y (t, b, h), hn (b, h).
Backward: through time, with dh what comes from above and from t + 1:
          da = dh f'(a),  dh_{t-1} = da w_hh;  then dx = da w_ih, dw_ih = da^T x,
          dw_hh = da^T h_{t-1}.
Saved:    input, weights, h_t.      Cost: 2 t b h (i + h) flop.
Source:   Elman 1990, "Finding structure in time"; Werbos 1990, "Backpropagation through time".
"""

from __future__ import annotations

from typing import Any, Final

from fastnn._backend import array_module, reference
from fastnn.ops import _common, _recurrent
from fastnn.ops._recurrent import RecurrentLayer, keep, times
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

NONLINEARITIES: Final = ("tanh", "relu")


@reference
def rnn_forward(
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
    workspace: Any,
    reverse: bool,
    relu: bool,
) -> None:
    """The forward pass; ``workspace`` is for packed weights, which a reference does not need."""
    del workspace
    xp = array_module(x)
    _recurrent.check_lengths("rnn_forward", lengths, x.shape[0])
    h, zero = h0, xp.zeros((), x.dtype)
    kept = y if states is None else states
    _recurrent.input_products(xp, x, w_ih, b_ih, b_hh, kept)
    for t in times(x.shape[0], reverse):
        a = kept[t] + xp.matmul(h, w_hh.T)
        new = xp.where(a < zero, zero, a) if relu else xp.tanh(a)
        kept[t] = keep(xp, lengths, t, new, h)
        h = kept[t]
    hn[...] = h
    if states is not None:
        _recurrent.masked(xp, lengths, states, y)


@reference
def rnn_backward(
    w_hh: Any,
    lengths: Any,
    states: Any,
    grad_y: Any,
    grad_h: Any,
    grad_sums: Any,
    workspace: Any,
    reverse: bool,
    relu: bool,
) -> None:
    """The gradient of the sums; grad_h goes from the last state to the first."""
    del workspace
    xp, steps = array_module(w_hh), states.shape[0]
    _recurrent.check_lengths("rnn_backward", lengths, steps)
    zero = xp.zeros((), w_hh.dtype)
    for t in reversed(list(times(steps, reverse))):
        h, dh = states[t], grad_h + grad_y[t]
        da = xp.where(h <= zero, zero, dh) if relu else dh * (1 - h * h)
        grad_sums[t] = keep(xp, lengths, t, da, zero)
        grad_h[...] = keep(xp, lengths, t, zero, grad_h) + xp.matmul(grad_sums[t], w_hh)


class Rnn(RecurrentLayer):
    """The layer; its inputs in the order of `rnn_layer` with h0 second."""

    name = "rnn_layer"
    instead = "write the step of the RNN cell in operations that have one"

    def forward(self, *arrays: Any) -> Any:
        table = self.kernels
        x, h0, w_ih, w_hh, b_ih, b_hh, lengths = self.prepare(arrays[:7], arrays[7])
        self.relu = arrays[8]
        shape = (*x.shape[:2], w_hh.shape[1])
        y, hn = table.empty(shape, x.dtype), table.empty(h0.shape, x.dtype)
        states = None if lengths is None else table.empty(shape, x.dtype)
        table.rnn_forward(
            x, h0, w_ih, w_hh, b_ih, b_hh, lengths, y, states, hn,
            _recurrent.workspace(table, w_hh), self.reverse, self.relu,
        )  # fmt: skip
        self.save(x, h0, w_ih, w_hh, lengths, y if states is None else states)
        return y, hn

    def backward(self, grad_y: Any, grad_hn: Any) -> tuple[Any, ...]:
        x, h0, w_ih, w_hh, lengths, states = self.saved  # type: ignore[misc]
        table, n = self.kernels, w_hh.shape[1]
        grad_h, d = _recurrent.copied(table, grad_hn), table.empty(states.shape, x.dtype)
        table.rnn_backward(
            w_hh, lengths, states, _common.contiguous_array(table, grad_y), grad_h, d,
            _recurrent.workspace(table, w_hh), self.reverse, self.relu,
        )  # fmt: skip
        d = d.reshape(x.shape[0] * x.shape[1], n)
        grads = self.parameter_gradients(
            (x, h0, w_ih, w_hh),
            states,
            d,
            [(d, 0, n)],
            lambda: ([(0, n, self.column_sum(d))],) * 2,
        )
        grads[1] = grad_h if self.needs[1] else None
        return (*grads, None)


def rnn_layer(
    input: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
    h0: Tensor | None = None,
    lengths: Any = None,
    *,
    reverse: bool = False,
    nonlinearity: str = "tanh",
) -> tuple[Tensor, Tensor]:
    """One layer of the simple recurrent network in one direction: (y, hn). nn.RNN stacks them.

    input (t, b, i), w_ih (h, i), w_hh (h, h), b_ih and b_hh (h), h0 (b, h), by default 0.
    lengths: b integers in [0, t]; a row keeps its state and gives 0 past its length.
    reverse: from the last step (of each row's length) to the first.
    nonlinearity: 'tanh' or 'relu'.

    Raises RuntimeError where shapes or types do not go together, IndexError for a bad length.
    """
    given = {
        "input": input, "h0": h0, "w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh,
        "lengths": lengths,
    }  # fmt: skip
    if nonlinearity not in NONLINEARITIES:
        message = (
            f"rnn_layer: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}; 'tanh' is "
            "the default"
        )
        raise ValueError(message)
    tensors = _recurrent.check_layer("rnn_layer", 1, given)
    return Rnn.apply(  # type: ignore[no-any-return]
        tuple(tensors), bool(reverse), nonlinearity == "relu"
    )


def _plain(
    x: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    h0: Any = None,
    lengths: Any = None,
    reverse: bool = False,
    nonlinearity: str = "tanh",
) -> Any:
    """Every row of the batch by itself, step by step."""
    xp = array_module(x)
    (steps, batch, _), n = x.shape, w_hh.shape[1]
    y, hn = xp.zeros((steps, batch, n), x.dtype), xp.zeros((batch, n), x.dtype)
    bias = (0 if b_ih is None else b_ih) + (0 if b_hh is None else b_hh)
    for row in range(batch):
        h = hn[row] if h0 is None else h0[row]
        for t in times(steps if lengths is None else int(lengths[row]), reverse):
            a = w_ih @ x[t, row] + w_hh @ h + bias
            h = y[t, row] = a * (a > 0) if nonlinearity == "relu" else xp.tanh(a)
        hn[row] = h
    return y, hn


def _shapes(t: int, b: int, i: int, h: int, bias: bool = True, state: bool = True) -> list[Any]:
    biases = [(h,), (h,)] if bias else [None, None]
    return [(t, b, i), (h, i), (h, h), *biases, (b, h) if state else None]


def _case(shapes: list[Any], **options: Any) -> OpCase:
    bench = options.pop("bench", False)
    t, b, i = shapes[0]
    return OpCase(
        rnn_layer,
        "rnn_layer",
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
    _case(_shapes(4, 3, 2, 5), nonlinearity="relu"),
    _case(_shapes(3, 2, 4, 3, bias=False)),
    _case([*_shapes(3, 2, 4, 3)[:4], None]),
    _case(_shapes(3, 2, 3, 4, state=False)),
    _case(_shapes(1, 1, 3, 2)),
    _case(_shapes(1, 7, 3, 19)),
    _case(_shapes(0, 2, 3, 4)),
    _case(_shapes(3, 0, 2, 4)),
    _case(_shapes(2, 3, 0, 4)),
    _case(_shapes(4, 3, 2, 5), reverse=True, nonlinearity="relu"),
    _case([*_shapes(5, 4, 2, 3), _LENGTHS]),
    _case([*_shapes(5, 4, 2, 3), _LENGTHS], reverse=True),
    _case([*_shapes(5, 4, 2, 3, state=False), _LENGTHS], nonlinearity="relu"),
    _case(_shapes(2, 13, 7, 67)),
    _case(_shapes(64, 32, 128, 256), bench=True),
]
ERRORS = [
    ErrorCase(rnn_layer, "rnn_layer", [(2, 3), (4, 3), (4, 4)], RuntimeError, "expected input"),
    ErrorCase(
        rnn_layer, "rnn_layer", [(4, 2, 3), (4, 3), (4, 5)], RuntimeError, "expected w_ih (5, 3)"
    ),
    ErrorCase(
        rnn_layer,
        "rnn_layer",
        [(4, 2, 3), (4, 3), (4, 4), (3,)],
        RuntimeError,
        "expected b_ih (4,)",
    ),
    ErrorCase(
        rnn_layer,
        "rnn_layer",
        [(4, 2, 3), (4, 3), (4, 4)],
        ValueError,
        "expected nonlinearity",
        {"nonlinearity": "gelu"},
    ),
]

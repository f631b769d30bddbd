# SPDX-License-Identifier: BSD-3-Clause
"""The LSTM layer with projection, peepholes, layer norm, coupled gates, zoneout: any of them.

    a = N(x_t w_ih^T; n_x) + N(h_{t-1} w_hh^T; n_h) + b_ih + b_hh         N: layer norm, or nothing
    i = sigmoid(a_i + p_i c_{t-1}),  f = sigmoid(a_f + p_f c_{t-1}) or 1 - i,  g = tanh(a_g)
    c' = f c_{t-1} + i g,   o = sigmoid(a_o + p_o c')
    h' = o tanh(N(c'; n_c)), or w_hr times it
    c_t = s_c c' + (1 - s_c) c_{t-1},   h_t = s_h h' + (1 - s_h) h_{t-1}

s is 1 - zoneout in evaluation, in training 1 with that probability, else 0, for each element.

Shapes:   with k = 3 gates (i, g, o) if they are coupled, else 4 (i, f, g, o), and r units of h:
          x (t, b, i), h0 (b, r), c0 (b, h), w_ih (k h, i), w_hh (k h, r), biases (k h),
          w_hr (r, h), peephole (k - 1, h): p_i, p_f, p_o; norm (2 k + 2, h): the gains of n_x and
          n_h, each k rows, the gain and the bias of n_c -> y (t, b, r), hn (b, r), cn (b, h).
Backward: through time, as the plain layer's with the options' chain rule
          (`_lstm_variant_reference`).
Saved:    input, weights, gates, h_t, c_t; with layer norm the products, with zoneout its mask.
Source:   Sak, Senior and Beaufays 2014 (projection); Gers and Schmidhuber 2000 (peepholes); Ba,
          Kiros and Hinton 2016 (layer norm, epsilon 1e-5); Greff et al. 2017 (coupled gates);
          Krueger et al. 2017 (zoneout).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _dtypes
from fastnn.ops import _common, _recurrent
from fastnn.ops._lstm_variant_reference import by_rows
from fastnn.ops._recurrent import RecurrentLayer
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from fastnn.random import Generator


def _ceil16(n: int) -> int:
    return -(-n // 16) * 16


class LstmVariant(RecurrentLayer):
    """The layer; inputs: x, h0, w_ih, w_hh, b_ih, b_hh, lengths, c0, w_hr, peephole, norm."""

    name = "lstm_variant_layer"
    instead = "write the step of the LSTM cell in operations that have one"

    def forward(self, *arrays: Any) -> Any:
        table = self.kernels
        *given, units, reverse, self.zoneout, cell = arrays
        found = self.prepare(given, reverse)
        x, h0, w_ih, w_hh, b_ih, b_hh, lengths, c0, w_hr, peephole, norm = found
        steps, batch, _ = x.shape
        rows, out = w_hh.shape
        if c0 is None:
            c0 = self.zeros((batch, units), x.dtype)

        def made(*shape: int) -> Any:
            return table.empty(shape, x.dtype)

        y, cells, gates = (
            made(steps, batch, out),
            made(steps, batch, units),
            made(steps, batch, rows),
        )
        states = None if lengths is None else made(steps, batch, out)
        raw = None if norm is None else made(2, steps, batch, rows)
        projected = None if w_hr is None else made(steps, batch, units)
        zone = None
        if cell is not None:
            zone = table.empty((steps, batch, units + out), _dtypes.bool_.numpy)
            scratch = self.zeros(zone.shape, x.dtype)
            table.dropout_forward(scratch, scratch, zone, cell, self.zoneout)
        table.gemm(
            x.reshape(steps * batch, x.shape[2]), w_ih.T, gates.reshape(steps * batch, rows), False
        )
        table.lstm_variant_forward(
            h0, c0, w_hh, self.bias(b_ih, b_hh), w_hr, peephole, norm, lengths, zone, y, states,
            cells, gates, raw, projected, self.space(rows, out, units, x.dtype), reverse,
            self.zoneout,
        )  # fmt: skip
        kept = y if states is None else states
        self.save(
            x, h0, w_ih, w_hh, lengths, c0, w_hr, peephole, norm, zone, kept, cells, gates, raw,
            projected,
        )  # fmt: skip
        last = None if steps == 0 else 0 if reverse else steps - 1
        ends = (h0, c0) if last is None else (kept[last], cells[last])
        return y, _recurrent.copied(table, ends[0]), _recurrent.copied(table, ends[1])

    def bias(self, b_ih: Any, b_hh: Any) -> Any:
        """The sum of the biases; None without any."""
        if b_ih is None or b_hh is None:
            return b_hh if b_ih is None else b_ih
        out = self.kernels.empty(b_ih.shape, b_ih.dtype)
        self.kernels.add(b_ih, b_hh, out)
        return out

    def space(self, rows: int, out: int, units: int, dtype: Any) -> Any:
        """Memory for packed weights."""
        size = _ceil16(rows) * _ceil16(out) + _ceil16(out) * _ceil16(units)
        return self.kernels.empty((size,), dtype)

    def backward(self, grad_y: Any, grad_hn: Any, grad_cn: Any) -> tuple[Any, ...]:
        x, h0, w_ih, w_hh, lengths, c0, w_hr, peephole, norm, zone, states, cells, gates, raw, \
            projected = self.saved  # type: ignore[misc]  # fmt: skip
        table = self.kernels
        (steps, batch, units), (rows, out) = cells.shape, w_hh.shape
        grad_h, grad_c = (_recurrent.copied(table, g) for g in (grad_hn, grad_cn))
        grad_gates = table.empty(gates.shape, x.dtype)
        grad_raw = None if raw is None else table.empty(raw.shape, x.dtype)
        grad_projected: Any = None if w_hr is None else table.empty(states.shape, x.dtype)
        first = 0 if peephole is None else peephole.shape[0]
        count = first + (0 if norm is None else norm.shape[0])
        options: Any = table.empty((batch, count, units), x.dtype) if count else None
        table.lstm_variant_backward(
            w_hh, w_hr, peephole, norm, lengths, zone, c0, cells, gates, raw,
            _common.contiguous_array(table, grad_y), grad_h, grad_c, grad_gates, grad_raw,
            grad_projected, options, self.space(rows, out, units, x.dtype), self.reverse,
            self.zoneout,
        )  # fmt: skip
        d = grad_gates.reshape(steps * batch, rows)
        d_x, d_h = (d, d) if grad_raw is None else grad_raw.reshape(2, steps * batch, rows)
        grads = self.parameter_gradients(
            (x, h0, w_ih, w_hh),
            states,
            d_h,
            [(d_x, 0, rows)],
            lambda: ([(0, rows, self.column_sum(d))],) * 2,
        )
        grads[1] = grad_h if self.needs[1] else None
        grads += [None, grad_c if self.needs[7] else None, None, None, None]
        if self.needs[8]:
            grads[8], add = self.grad_buffer(8, w_hr.shape, x.dtype)
            flat = grad_projected.reshape(steps * batch, out)
            table.gemm(flat.T, projected.reshape(steps * batch, units), grads[8], add)
        for k, low, high in ((9, 0, first), (10, first, count)):
            if self.needs[k]:
                grads[k] = table.empty((high - low, units), x.dtype)
                table.sum_last(options[:, low:high].transpose(1, 2, 0), grads[k], 1, 1.0)
        return tuple(grads)


def lstm_variant_layer(
    input: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
    h0: Tensor | None = None,
    c0: Tensor | None = None,
    lengths: Any = None,
    w_hr: Tensor | None = None,
    peephole: Tensor | None = None,
    norm: Tensor | None = None,
    *,
    reverse: bool = False,
    zoneout: float = 0.0,
    training: bool = True,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`lstm_layer` with options, each by being given: (y, hn, cn). nn.LSTM stacks them.

    Shapes as above; w_ih with three times the units instead of four says that the gates are
    coupled. zoneout: the probability with which an element keeps its value; in ``training`` drawn
    from ``generator`` (None: the default one).

    Raises RuntimeError where shapes or types do not go together, IndexError for a bad length,
    ValueError unless 0 <= zoneout < 1.
    """
    from fastnn.random import cell_of  # noqa: PLC0415

    name = "lstm_variant_layer"
    given = {
        "input": input, "h0": h0, "w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh,
        "lengths": lengths, "c0": c0, "w_hr": w_hr, "peephole": peephole, "norm": norm,
    }  # fmt: skip
    if not 0.0 <= zoneout < 1.0:
        message = f"{name}: expected 0 <= zoneout < 1, got {zoneout}; 0 turns it off"
        raise ValueError(message)
    for key, t in (("w_ih", w_ih), ("w_hh", w_hh), ("w_hr", w_hr)):
        if t is not None:
            _common.require_tensor(name, key, t)
    like = w_hh if w_hr is None else w_hr
    units = like.shape[1] if like.ndim == 2 else 0
    gates = 3 if w_ih.ndim and w_ih.shape[0] == 3 * units else 4
    tensors = _recurrent.check_layer(name, gates, given, units)
    cell = cell_of(name, generator) if zoneout and training else None
    return LstmVariant.apply(  # type: ignore[no-any-return]
        tuple(tensors), units, bool(reverse), float(zoneout), cell
    )


def _case(t: int, b: int, i: int, h: int, *, k: int = 4, **options: Any) -> OpCase:
    """options: r (units of h), bias, state, lengths, peephole, norm, and keyword arguments."""
    r = options.pop("r", None)
    out = h if r is None else r
    rows = k * h
    bias = [(rows,), (rows,)] if options.pop("bias", True) else [None, None]
    state = [(b, out), (b, h)] if options.pop("state", True) else [None, None]
    lengths = ("cells", (3, 0, 5, 1)) if options.pop("lengths", False) else None
    peephole = (k - 1, h) if options.pop("peephole", False) else None
    norm = (2 * k + 2, h) if options.pop("norm", False) else None
    shapes: list[Any] = [(t, b, i), (rows, i), (rows, out), *bias, *state, lengths]
    shapes += [None if r is None else (r, h), peephole, norm]
    return OpCase(
        lstm_variant_layer,
        "lstm_variant_layer",
        shapes,
        kwargs=options,
        ref=by_rows,
        double_grad=False,
        low=-1.0,
        high=1.0,
        seeded=True,
    )


_ALL: dict[str, Any] = {"r": 2, "peephole": True, "norm": True, "lengths": True}
CASES = [
    _case(3, 2, 3, 4),
    _case(4, 3, 2, 5, r=3),
    _case(4, 3, 2, 5, peephole=True),
    _case(4, 3, 2, 5, norm=True),
    _case(3, 2, 2, 5, norm=True, bias=False, state=False),
    _case(4, 3, 2, 5, k=3),
    _case(3, 2, 2, 5, k=3, peephole=True, norm=True),
    _case(4, 3, 2, 5, zoneout=0.3),
    _case(4, 3, 2, 5, zoneout=0.3, training=False),
    _case(5, 4, 2, 3, **_ALL, zoneout=0.25, reverse=True),
    _case(5, 4, 2, 3, k=3, **_ALL, zoneout=0.25, training=False),
    _case(5, 4, 2, 3, lengths=True, state=False, r=2),
    _case(5, 4, 2, 3, lengths=True, reverse=True, peephole=True),
    _case(0, 2, 3, 4, r=3, peephole=True, norm=True),
    _case(3, 0, 2, 4, r=3, peephole=True, norm=True),
    _case(2, 13, 7, 67, r=18, peephole=True, norm=True),
    _case(2, 33, 7, 34, k=3, norm=True, zoneout=0.1),
]
ERRORS = [
    ErrorCase(
        lstm_variant_layer, "lstm_variant_layer", [(2, 3), (8, 3), (8, 2)], RuntimeError,
        "expected input",
    ),
    ErrorCase(
        lstm_variant_layer, "lstm_variant_layer", [(4, 2, 3), (7, 3), (8, 2)], RuntimeError,
        "expected w_ih (8, 3)",
    ),
    ErrorCase(
        lstm_variant_layer, "lstm_variant_layer",
        [(4, 2, 3), (6, 3), (6, 2), None, None, None, None, None, None, (3, 2)], RuntimeError,
        "expected peephole (2, 2)",
    ),
    ErrorCase(
        lstm_variant_layer, "lstm_variant_layer", [(4, 2, 3), (8, 3), (8, 2)], ValueError,
        "expected 0 <= zoneout < 1", {"zoneout": 1.0},
    ),
]  # fmt: skip

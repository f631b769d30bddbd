# SPDX-License-Identifier: BSD-3-Clause
"""What the recurrent layers (rnn, gru, lstm) share: checks, order of steps, gradients of weights.

A layer's kernels go through time and leave the gradients of the gates' sums; the gradients of
weights, biases and input follow with one multiplication each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Piece = tuple[int, int, Any]


def sigmoid(xp: Any, x: Any) -> Any:
    """1 / (1 + exp(-x)), for references."""
    return 1 / (1 + xp.exp(-x))


def times(steps: int, reverse: bool) -> Iterable[int]:
    """The time steps in the order in which the layer sees them."""
    return range(steps - 1, -1, -1) if reverse else range(steps)


def check_lengths(kernel: str, lengths: Any, steps: int) -> None:
    """IndexError unless all lengths are in [0, steps]: for references."""
    if lengths is not None and lengths.size and (lengths.min() < 0 or lengths.max() > steps):
        message = f"{kernel}: a length is out of range"
        raise IndexError(message)


def keep(xp: Any, lengths: Any, t: int, new: Any, old: Any) -> Any:
    """``new`` in the rows that take part at time t, ``old`` elsewhere: for references."""
    return new if lengths is None else xp.where((lengths > t)[:, None], new, old)


def masked(xp: Any, lengths: Any, states: Any, y: Any) -> None:
    """y = states where the row takes part, else 0: for references."""
    steps = xp.arange(states.shape[0])[:, None, None]
    y[...] = xp.where(steps < lengths[None, :, None], states, xp.zeros((), y.dtype))


def input_products(xp: Any, x: Any, w_ih: Any, b_ih: Any, b_hh: Any, out: Any) -> None:
    """x w_ih^T + (b_ih + b_hh): for references."""
    xp.matmul(x, w_ih.T, out=out)
    biases = [b for b in (b_ih, b_hh) if b is not None]
    if biases:
        out += biases[0] if len(biases) == 1 else biases[0] + biases[1]


def workspace(table: Any, *weights: Any) -> Any:
    """Memory for packed weights (rows, units), their units in whole vectors of any level."""
    size = sum([w.shape[0] * (-(-w.shape[1] // 16) * 16) for w in weights])
    return table.empty((size,), weights[0].dtype)


@reference
def recurrent_gradients(
    d: Any,
    x: Any,
    states: Any,
    h0: Any,
    grad_w_ih: Any,
    grad_w_hh: Any,
    sums: Any,
    add_ih: bool,
    add_hh: bool,
    reverse: bool,
) -> None:
    """The gradients of both weights, and the sums of the rows, from that of the gates' sums.

    Without h0 the first step has no part in that of w_hh.
    """
    xp, gates = array_module(d), d.shape[2]
    h = states[1:] if reverse else states[:-1]
    of_h = d
    if h0 is not None:
        h = xp.concatenate([h, h0[None]] if reverse else [h0[None], h])
    else:
        of_h = d[:-1] if reverse else d[1:]
    parts = ((d, x, grad_w_ih, add_ih), (of_h, h, grad_w_hh, add_hh))
    for left, right, out, add in parts:
        if out is not None:
            rows = len(left) * d.shape[1]
            product = xp.matmul(left.reshape(rows, gates).T, right.reshape(rows, right.shape[2]))
            out[...] = out + product if add else product
    if sums is not None:
        xp.sum(d, axis=(0, 1), out=sums)


def unit_rows(table: Any, array: Any) -> Any:
    """The array if its last dimension is contiguous, as in half of a gradient, or such a copy."""
    return array if array.strides[-1] == array.itemsize else _common.contiguous_array(table, array)


def copied(table: Any, array: Any) -> Any:
    """A copy, which a kernel may write over."""
    out = table.empty(array.shape, array.dtype)
    table.copy(array, out)
    return out


class RecurrentLayer(Op):
    """One layer in one direction; ``forward`` keeps what `parameter_gradients` needs."""

    reverse: bool
    has_state: bool

    def prepare(self, arrays: Any, reverse: bool) -> list[Any]:
        """The arrays contiguous, with an initial state of zeros if there is none: it is second."""
        table = self.kernels
        found: list[Any] = [
            None if a is None else _common.contiguous_array(table, a) for a in arrays
        ]
        self.reverse, self.has_state = reverse, found[1] is not None
        if found[1] is None:
            found[1] = self.zeros((found[0].shape[1], found[3].shape[1]), found[0].dtype)
        return found

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Zeros through the table's fill."""
        out = self.kernels.empty(shape, dtype)
        self.kernels.fill(self.kernels.xp.zeros(1, dtype), out)
        return out

    def parameter_gradients(
        self,
        arrays: Any,
        states: Any,
        hidden: Any,
        parts: list[tuple[Any, int, int]],
        sums: Callable[[], tuple[list[Piece], list[Piece]]],
        grad_x: Any = None,
    ) -> list[Any]:
        """The gradients of input, None (h0's place), weights and biases.

        hidden: the gradient (t b, gates) of the products with w_hh. parts: (columns, low, high),
        those of the products with the rows low:high of w_ih. sums: gives the pieces of the
        gradients of b_ih and b_hh, as (low, high, array). grad_x: that of input, if it is known.
        """
        table = self.kernels
        x, h0, w_ih, w_hh = arrays[:4]
        steps, batch, width = x.shape
        rows = x.reshape(steps * batch, width)
        grads: list[Any] = [grad_x, *[None] * 5]
        if self.needs[0] and grad_x is None:
            grads[0] = table.empty(x.shape, x.dtype)
            flat = grads[0].reshape(rows.shape)
            for n, (d, low, high) in enumerate(parts):
                table.gemm(d, w_ih[low:high], flat, n > 0)
        wanted = self.needs[4] or self.needs[5]
        found: tuple[list[Piece], list[Piece]] | None = None
        products = x.size > 0 and (steps > 1 or self.has_state) and parts[0][0] is hidden
        if products and any(self.needs[2:6]) and not self.tied_weights():
            n, add_ih, add_hh = hidden.shape[1], False, False
            if self.needs[2]:
                grads[2], add_ih = self.grad_buffer(2, w_ih.shape, x.dtype)
            if self.needs[3]:
                grads[3], add_hh = self.grad_buffer(3, w_hh.shape, x.dtype)
            total = table.empty((n,), x.dtype) if wanted else None
            table.recurrent_gradients(
                hidden.reshape(steps, batch, n), x, states, h0 if self.has_state else None,
                grads[2], grads[3], total, add_ih, add_hh, self.reverse,
            )  # fmt: skip
            found = ([(0, n, total)],) * 2
        else:
            self.products_apart(rows, parts, hidden, states, h0, grads)
        for i, pieces in enumerate((found or sums()) if wanted else (), start=4):
            if self.needs[i]:
                grads[i], add = self.grad_buffer(i, (w_hh.shape[0],), x.dtype)
                for low, high, piece in pieces:
                    place = grads[i][low:high]
                    if add:
                        table.add(place, piece, place)
                    else:
                        table.copy(piece, place)
        return grads

    def tied_weights(self) -> bool:
        """Whether w_ih and w_hh are one tensor, whose gradient two kernels add to in turn."""
        first, second = self.edges[2], self.edges[3]
        return first is not None and second is not None and first[0] is second[0]

    def products_apart(
        self, rows: Any, parts: Any, hidden: Any, states: Any, h0: Any, grads: list[Any]
    ) -> None:
        """The gradients of those weights that want one, each for itself."""
        table, gates, units = self.kernels, hidden.shape[1], states.shape[2]
        if self.needs[2]:
            grads[2], add = self.grad_buffer(2, (parts[-1][2], rows.shape[1]), rows.dtype)
            for d, low, high in parts:
                table.gemm(d.T, rows, grads[2][low:high], add)
        if self.needs[3]:
            grads[3], add = self.grad_buffer(3, (gates, units), rows.dtype)
            self.recurrent_gradient(hidden, states, h0, grads[3], add)

    def recurrent_gradient(self, d: Any, states: Any, h0: Any, out: Any, add: bool) -> None:
        """out (+)= the products of every step's gradient with the state before it."""
        table = self.kernels
        steps, batch, units = states.shape
        later, earlier = (d[:-batch], states[1:]) if self.reverse else (d[batch:], states[:-1])
        first = d[-batch:] if self.reverse else d[:batch]
        if steps > 1 and batch:
            table.gemm(later.T, earlier.reshape(-1, units), out, add)
            add = True
        if steps and batch and self.has_state:
            table.gemm(first.T, h0, out, add)
        elif not add:
            table.fill(table.xp.zeros(1, out.dtype), out)

    def column_sum(self, d: Any) -> Any:
        """The sum of the rows of a gradient."""
        out = self.kernels.empty((d.shape[1],), d.dtype)
        self.kernels.column_sum(d, out, False)
        return out


def check_layer(
    name: str, gates: int, tensors: dict[str, Any], hidden: int | None = None
) -> list[Any]:
    """The inputs of a layer, checked; lengths become a tensor of int64.

    hidden: the units of a cell where h_t, whose units w_hh tells, has others.
    """
    for key, t in tensors.items():
        if key != "lengths" and (t is not None or key in ("input", "w_ih", "w_hh")):
            _common.require_tensor(name, key, t)
    x, w_ih, w_hh = tensors["input"], tensors["w_ih"], tensors["w_hh"]
    _common.require_float(name, "input", x)
    if x.ndim != 3:
        message = f"{name}: expected input (t, b, i), got {x.shape}; unsqueeze(1) adds a batch"
        raise RuntimeError(message)
    if w_hh.ndim != 2 or w_ih.ndim != 2:
        message = (
            f"{name}: expected w_ih (g, i) and w_hh (g, h), got {w_ih.shape} and {w_hh.shape}; "
            "unsqueeze(0) makes a row a matrix"
        )
        raise RuntimeError(message)
    batch, out = x.shape[1], w_hh.shape[1]
    units = out if hidden is None else hidden
    rows = gates * units
    shapes = {
        "w_ih": (rows, x.shape[2]), "w_hh": (rows, out), "b_ih": (rows,), "b_hh": (rows,),
        "h0": (batch, out), "c0": (batch, units), "w_hr": (out, units),
        "peephole": (gates - 1, units), "norm": (2 * gates + 2, units),
    }  # fmt: skip
    for key, t in tensors.items():
        if t is None or key == "lengths":
            continue
        if t.shape != shapes.get(key, t.shape):
            message = (
                f"{name}: expected {key} {shapes[key]} for input {x.shape} and {units} units, got "
                f"{t.shape}; the last size of w_hh counts the units, that of input the features"
            )
            raise RuntimeError(message)
        if t.array.dtype != x.array.dtype:
            message = (
                f"{name}: expected {key} of input's type {x.dtype}, got {t.dtype}; convert with "
                ".to(...)"
            )
            raise RuntimeError(message)
    found = {**tensors, "lengths": as_lengths(name, tensors["lengths"], x)}
    _common.table_of(*[t for t in found.values() if t is not None], op=name)
    return [found[k] for k in tensors]


def as_lengths(name: str, lengths: Any, x: Tensor) -> Tensor | None:
    """The rows' lengths as a tensor of int64 beside the input, checked."""
    from fastnn.ops.copy import to  # noqa: PLC0415
    from fastnn.ops.creation import as_tensor  # noqa: PLC0415

    if lengths is None:
        return None
    made = lengths if isinstance(lengths, Tensor) else as_tensor(lengths, device=x.device)
    if made.array.dtype.kind not in "iu" and made.array.size:
        message = f"{name}: expected lengths as integers, got {made.dtype}; convert it with .long()"
        raise RuntimeError(message)
    steps, batch = x.shape[:2]
    if made.shape != (batch,):
        message = (
            f"{name}: expected lengths ({batch},), one for each row of input, got {made.shape}; "
            "count the steps of each sequence of the batch"
        )
        raise RuntimeError(message)
    if batch and (int(made.array.min()) < 0 or int(made.array.max()) > steps):
        message = (
            f"{name}: expected lengths in [0, {steps}], got {made.tolist()}; shorten them, or "
            "pad() the input"
        )
        raise IndexError(message)
    return to(made, _dtypes.int64)

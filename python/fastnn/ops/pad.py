# SPDX-License-Identifier: BSD-3-Clause
"""Padding: a constant, the mirrored input, its edge or its repetition around an input.

    y[i] = x[i - low] inside; outside value | x mirrored at its ends | x at the edge | x repeated

Shapes:   x (..., n, ...) -> (..., low + n + high, ...).
Backward: the gradient of every element of y added where the element came from, in order.
Saved:    nothing.
"""

from __future__ import annotations

from typing import Any, Final

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._common import named
from fastnn.ops._tied import of_input
from fastnn.ops.softmax import wide
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

MODES: Final = {"constant": 0, "reflect": 1, "replicate": 2, "circular": 3}
_NUMPYS: Final = ("constant", "reflect", "edge", "wrap")


@reference
def pad_forward(x: Any, value: Any, y: Any, low: Any, mode: int) -> None:
    """y = x with low[d] elements in front of dimension d, and behind it what fills y.

    mode: 0 constant (negative numbers cut), 1 reflect, 2 replicate, 3 circular.
    """
    if not y.size:
        return
    if mode:
        xp = array_module(x)
        widths = [(a, m - n - a) for a, n, m in zip(low, x.shape, y.shape, strict=True)]
        y[...] = xp.pad(x, widths, mode=_NUMPYS[mode])
        return
    y[...] = value[0]
    to, source = [], []
    for a, n, m in zip(low, x.shape, y.shape, strict=True):
        to.append(slice(max(a, 0), max(min(a + n, m), a, 0)))
        source.append(slice(max(-a, 0), max(-a, 0) + to[-1].stop - to[-1].start))
    y[tuple(to)] = x[tuple(source)]


@reference
def pad_backward(grad_y: Any, grad_x: Any, low: Any, mode: int) -> None:
    """The transpose of `pad_forward` in the modes 1 to 3: one dimension after the other."""
    g = wide(grad_y)
    for d, (a, n) in enumerate(zip(low, grad_x.shape, strict=True)):
        g = g.swapaxes(0, d)
        b = g.shape[0] - n - a
        core, front, behind = g[a : a + n].copy(), g[:a], g[a + n :]
        if a and mode == 1:
            core[1 : a + 1] += front[::-1]
        elif a and mode == 2:
            core[0] += front.sum(axis=0, dtype=g.dtype)
        elif a:
            core[n - a :] += front
        if b and mode == 1:
            core[n - 1 - b : n - 1] += behind[::-1]
        elif b and mode == 2:
            core[n - 1] += behind.sum(axis=0, dtype=g.dtype)
        elif b:
            core[:b] += behind
        g = core.swapaxes(0, d)
    grad_x[...] = g


class Pad(Op):
    """x padded to a shape."""

    def forward(self, x: Any, value: Any, low: Any, shape: Any, mode: int) -> Any:
        self.low, self.mode, self.shapes = low, mode, (x.shape, shape)
        return self.padded(x, value, low, shape)

    def padded(self, x: Any, value: Any, low: Any, shape: Any) -> Any:
        """The forward kernel."""
        table = self.kernels
        y = table.empty(shape, x.dtype)
        if 0 in shape:
            return y
        table.pad_forward(_common.contiguous_array(table, x), value, y, low, self.mode)
        return y

    def transposed(self, g: Any) -> Any:
        """Of a constant the transpose cuts where padding added, and the other way round."""
        table = self.kernels
        if not self.mode:
            zero = table.xp.zeros(1, g.dtype)
            return self.padded(g, zero, tuple([-a for a in self.low]), self.shapes[0])
        out = table.empty(self.shapes[0], g.dtype)
        if out.size:
            table.pad_backward(_common.contiguous_array(table, g), out, self.low, self.mode)
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (self.transposed(g),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        gx = PadTranspose.apply((g,), self.low, self.shapes, self.mode)
        return (of_input(self, gx) if self.mode in (1, 2) else gx,)


class PadTranspose(Pad):
    """The transpose of `Pad`."""

    name = "pad_backward"

    def forward(self, g: Any, low: Any, shapes: Any, mode: int) -> Any:  # type: ignore[override]
        self.low, self.shapes, self.mode = low, shapes, mode
        return self.transposed(g)

    def backward(self, g: Any) -> tuple[Any, ...]:
        zero = self.kernels.xp.zeros(1, g.dtype)
        return (self.padded(g, zero, self.low, self.shapes[1]),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        zero = self.kernels.xp.zeros(1, g.array.dtype)
        return (Pad.apply((g,), zero, self.low, self.shapes[1], self.mode),)


def pad_tensor(
    input: Tensor, pad: Any, mode: str = "constant", value: float | None = None
) -> Tensor:
    """``input`` with elements around it, as torch.nn.functional.pad.

    pad: (front, behind) of the last dimension, then of the one before it, and so on: an even number
    of ints, of which negative ones cut. mode: 'constant' (``value``, else 0), 'reflect' (mirrored,
    the edge not repeated: less than a dimension's size), 'replicate' (the edge), 'circular' (what
    is left repeated: at most its size).
    Raises RuntimeError where sizes do not fit, TypeError for what is no tensor or no int,
    NotImplementedError for an unknown mode.
    """
    _common.require_tensor("pad", "input", input)
    if mode not in MODES:
        message = (
            f"pad: expected mode as one of {', '.join(map(repr, MODES))}, got {mode!r}; 'constant' "
            "pads with zeros"
        )
        raise NotImplementedError(message)
    given = _common.shape_argument("pad", (tuple(pad),) if hasattr(pad, "__iter__") else (pad,))
    if len(given) % 2 or len(given) > 2 * input.ndim:
        message = (
            f"pad: expected up to {input.ndim} pairs of ints for a tensor of {input.ndim} "
            f"dimensions, got {given}; give (before, after) of the last dimension first"
        )
        raise RuntimeError(message)
    skipped = input.ndim - len(given) // 2
    low = (0,) * skipped + given[::2][::-1]
    high = (0,) * skipped + given[1::2][::-1]
    if mode != "constant" and value not in (None, 0):
        message = f"pad: expected no value in mode {mode!r}, got {value!r}; leave it out"
        raise ValueError(message)
    _common.as_operand("pad", 0 if value is None else value)
    _check_widths(mode, tuple(input.shape), low, high, skipped)
    dtype = _dtypes.from_numpy(input.array.dtype)
    table = _common.table_of(input)
    cell = _common.scalar_array(table, 0 if value is None else value, dtype, op="pad").reshape(1)
    if mode == "constant":
        return _padded(input, cell, low, high, mode)
    cut = tuple([min(a, 0) for a in low]), tuple([min(b, 0) for b in high])
    add = tuple([max(a, 0) for a in low]), tuple([max(b, 0) for b in high])
    if not any(cut[0] + cut[1]):
        return _padded(input, cell, low, high, mode)
    if mode == "circular":  # repeats what cutting leaves; the others see what is cut
        return _padded(_padded(input, cell, *cut, "constant"), cell, *add, mode)
    return _padded(_padded(input, cell, *add, mode), cell, *cut, "constant")


def _padded(input: Tensor, cell: Any, low: Any, high: Any, mode: str) -> Tensor:
    shape = tuple([a + n + b for a, n, b in zip(low, input.shape, high, strict=True)])
    _common.check_extent("pad", shape)
    return Pad.apply((input,), cell, low, shape, MODES[mode])  # type: ignore[no-any-return]


named(pad=pad_tensor)


def _check_widths(
    mode: str, shape: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...], skipped: int
) -> None:
    """RuntimeError for numbers that cut or repeat more than there is."""
    for d, (a, n, b) in enumerate(zip(low, shape, high, strict=True)):
        left = n + min(a, 0) + min(b, 0)
        # Reflection and replication may cut into what they add.
        if (left if mode in ("constant", "circular") else n + a + b) < 0:
            message = (
                f"pad: expected to cut no more than there is of {shape}, got {a} and {b} for "
                f"dimension {d}; use larger numbers"
            )
            raise RuntimeError(message)
        most = {"reflect": n - 1, "circular": left}.get(mode, max(a, b) if n else 0)
        if mode != "constant" and max(a, b) > max(most, 0):
            limit = {"reflect": "below its size", "circular": "up to its size"}.get(mode, "of 0")
            message = (
                f"pad: expected numbers {limit} for dimension {d} of {shape} in mode {mode!r}, got "
                f"{a} and {b}; pad less, or in steps"
            )
            raise RuntimeError(message)
    if mode in ("reflect", "replicate") and 0 in shape[skipped:]:
        message = (
            f"pad: expected dimensions with elements to pad in mode {mode!r}, got {shape}; mode "
            "'constant' pads empty ones"
        )
        raise RuntimeError(message)
    sizes = [a + n + b for a, n, b in zip(low, shape, high, strict=True)][skipped:]
    if mode in ("reflect", "replicate") and sizes and max(sizes) == 0:
        message = (
            f"pad: expected numbers that leave an element of {shape} in mode {mode!r}, got {low} "
            f"in front and {high} behind; cut less"
        )
        raise RuntimeError(message)


def _plain(x: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    pairs = [(0, 0)] * (x.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pairs, x.shape, strict=True))
    widths = [(max(a, 0), max(b, 0)) for a, b in pairs]
    options = {} if MODES[mode] else {"constant_values": value or 0}
    if mode in ("constant", "circular"):
        return array_module(x).pad(x[cut], widths, mode=_NUMPYS[MODES[mode]], **options)
    wide = array_module(x).pad(x, widths, mode=_NUMPYS[MODES[mode]])
    return wide[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pairs, wide.shape))]  # noqa: B905


_PADS: tuple[tuple[tuple[int, ...], list[int], dict[str, Any]], ...] = (
    ((3, 5), [1, 2], {}),
    ((2, 3, 5), [1, 2, 0, 3], {"value": -1.5}),
    ((2, 4, 5), [-1, 2, 1, -2], {"value": 2.0}),
    ((3, 4), [0, 0, 2, 1], {}),
    ((3,), [-2, 3], {}),
    ((0, 3), [1, 1, 0, 2], {"value": 1.0}),
    ((2, 0), [2, 1], {"value": 1.0}),
    ((3, 70), [17, 40], {"value": 0.5}),
    *(
        (shape, pad, {"mode": mode})
        for mode in ("reflect", "replicate", "circular")
        for shape, pad in (
            ((2, 3, 5), [1, 2]),
            ((2, 3, 5), [3, 4, 2, 0]),
            ((2, 1, 4, 4, 5), [1, 2, 3, 1, 2, 2]),
            ((0, 3, 4), [1, 1]),
            ((3, 1, 40), [20, 33]),
        )
    ),
    ((2, 3), [5, 7], {"mode": "replicate"}),
    *(
        (shape, pad, {"mode": mode})
        for mode in ("reflect", "replicate", "circular")
        for shape, pad in (
            ((2, 4), [-1, 0]),
            ((2, 4), [-1, 2]),
            ((2, 3, 4), [2, -1]),
            ((2, 4), [-1, -1]),
            ((1, 1, 3, 4), [-1, 1, 1, -2]),
        )
    ),
    ((2, 4), [-3, 3], {"mode": "reflect"}),
    ((2, 4), [2, -3], {"mode": "reflect"}),
    ((2, 4), [-5, 5], {"mode": "replicate"}),
    ((2, 4), [-4, 0], {"mode": "circular"}),
)
CASES = [
    *(OpCase(pad_tensor, "pad", [s, p], kwargs=options, ref=_plain) for s, p, options in _PADS),
    OpCase(pad_tensor, "pad", [(), []], ref=lambda x, _: x),
    OpCase(
        pad_tensor, "pad", [("int", (3, 4), 0, 9), [1, 1], "constant", 7], ref=_plain, grad=False
    ),
    OpCase(pad_tensor, "pad", [(16, 64, 56, 56), [1, 1, 1, 1]], bench=True),
]
_BAD: list[tuple[list[Any], type[Exception], str]] = [
    ([[1.0], [1, 1]], TypeError, "expected input as a Tensor"),
    ([(3,), [1]], RuntimeError, "expected up to 1 pairs of ints"),
    ([(3,), [1, 1, 1, 1]], RuntimeError, "expected up to 1 pairs of ints"),
    ([(3,), [-2, -2]], RuntimeError, "expected to cut no more"),
    ([(3,), [1.5, 1]], TypeError, "sizes as ints"),
    ([(1, 3), [3, 0], "reflect"], RuntimeError, "below its size"),
    ([(1, 3), [4, 0], "circular"], RuntimeError, "up to its size"),
    ([(1, 4), [-5, 5]], RuntimeError, "expected to cut no more"),
    ([(1, 4), [1, -5]], RuntimeError, "expected to cut no more"),
    ([(1, 4), [2**62, 0]], RuntimeError, "fewer than 2^60 elements"),
    ([(1, 4), [-(2**62), 2**62]], RuntimeError, "expected to cut no more"),
    ([(1, 4), [2**62, 0], "replicate"], RuntimeError, "fewer than 2^60 elements"),
    ([(1, 4), [-4, 0], "replicate"], RuntimeError, "leave an element"),
    ([(1, 4), [-3, -1], "reflect"], RuntimeError, "leave an element"),
    ([(1, 4), [-4, 4], "reflect"], RuntimeError, "below its size"),
    ([(1, 4), [-4, 1], "circular"], RuntimeError, "up to its size"),
    ([(1, 4), [-3, 2], "circular"], RuntimeError, "up to its size"),
    ([(1, 4), [-5, 0], "circular"], RuntimeError, "expected to cut no more"),
    ([(1, 3), [1, 0], "replicate", 1.0], ValueError, "expected no value"),
    ([(1, 3), [1, 0], "constant", "a"], TypeError, "a tensor or a number"),
    ([("int", (3,), 0, 9), [1, 0], "constant", "a"], TypeError, "a tensor or a number"),
    ([(1, 3), [1, 0], "mirror"], NotImplementedError, "expected mode as one of"),
]
ERRORS = [ErrorCase(pad_tensor, "pad", *bad) for bad in _BAD]

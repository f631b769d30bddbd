# SPDX-License-Identifier: BSD-3-Clause
"""Sliding blocks of images as columns, and their sum back into images.

    unfold:  y[n, (c, t), p] = x[n, c, p stride - padding + t dilation], zero outside
    fold:    its transpose: y[n, c, i] is the sum of the elements that unfold takes from there

Shapes:   unfold  x (n, c, h, w) or (c, h, w) -> (n, c kh kw, oh ow) or (c kh kw, oh ow)
          fold    the same backwards; oh = floor((h + 2 padding - dilation (kh - 1) - 1) / stride)
          + 1, and ow alike.
Backward: of each, the other.      Bound by memory.
Source:   Chellapilla, Puri and Simard, "High performance convolutional neural networks for
          document processing", 2006.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn._backend import array_module
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._convolution import Three, geometry, three
from fastnn.ops.conv import Sizes, as_key, per_direction
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from fastnn.tensor import Tensor


class _Blocks(NamedTuple):
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    out: tuple[int, ...]
    steps: tuple[Three, Three, Three]


class _Folding(Op):
    """What the two share: each is the other's derivative."""

    blocks: _Blocks

    def columns_of(self, x: Any) -> Any:
        b = self.blocks
        n, c = x.shape[:2]
        columns = self.kernels.empty((n, c, *three(b.kernel, 1), *three(b.out, 1)), x.dtype)
        rows = _common.reshaped(self.kernels, x, (n, c, *three(b.size, 1)))
        self.kernels.im2col(rows, columns, *b.steps)
        return columns.reshape(n, c * math.prod(b.kernel), math.prod(b.out))

    def images_of(self, y: Any) -> Any:
        b = self.blocks
        n, c = y.shape[0], y.shape[1] // math.prod(b.kernel)
        shape = (n, c, *three(b.kernel, 1), *three(b.out, 1))
        x = self.kernels.empty((n, c, *b.size), y.dtype)
        columns = _common.reshaped(self.kernels, y, shape)
        self.kernels.col2im(columns, x.reshape(n, c, *three(b.size, 1)), *b.steps)
        return x


class Unfold(_Folding):
    """Columns of images."""

    def forward(self, x: Any, blocks: _Blocks) -> Any:
        self.blocks = blocks
        return self.columns_of(x)

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (self.images_of(g),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (Fold.apply((g,), self.blocks),)


class Fold(_Folding):
    """Images from columns."""

    def forward(self, x: Any, blocks: _Blocks) -> Any:
        self.blocks = blocks
        return self.images_of(x)

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (self.columns_of(g),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (Unfold.apply((g,), self.blocks),)


@functools.lru_cache(maxsize=1024, typed=True)
def _plan(op: str, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> _Blocks:
    k = per_direction(op, "kernel_size", kernel, 2, 1)
    d = per_direction(op, "dilation", dilation, 2, 1)
    p = per_direction(op, "padding", padding, 2, 0)
    s = per_direction(op, "stride", stride, 2, 1)
    of = zip(size, k, d, p, s, strict=True)
    out = tuple([(i + 2 * q - e * (m - 1) - 1) // t + 1 for i, m, e, q, t in of])
    if min(out) < 1 or min(size) < 1:
        message = (
            f"{op}: expected images that hold a block, got size {tuple(size)} with padding {p}, "
            f"kernel_size {k} and dilation {d}; pad more or use a smaller kernel_size"
        )
        raise RuntimeError(message)
    _common.check_extent(op, (*k, *out))
    steps = geometry(op, s, p, d, 1, out, k)
    return _Blocks(tuple(size), k, out, (steps.stride, steps.padding, steps.dilation))


def _check(op: str, input: Any, low: int, shape: str) -> None:
    _common.require_tensor(op, "input", input)
    if op == "fold":
        _common.require_float(op, "input", input)
    if input.ndim not in (low, low + 1):
        message = (
            f"{op}: expected input {shape}, batched or not, got {input.shape}; unsqueeze(0) adds a "
            "dimension"
        )
        raise RuntimeError(message)


def unfold(
    input: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """y[n, (c, t), p] = x[n, c, p stride - padding + t dilation]: blocks of images as columns.

    input (n, c, h, w) or (c, h, w) -> (n, c kh kw, oh ow) or (c kh kw, oh ow), the channels
    outermost in a column; oh and ow are the sizes that a convolution would give. All options are
    ints or pairs.

    Raises RuntimeError where no block fits.
    """
    _check("unfold", input, 3, "(n, c, h, w)")
    blocks = _plan(
        "unfold", input.shape[-2:], as_key(kernel_size), as_key(dilation), as_key(padding),
        as_key(stride),
    )  # fmt: skip
    if input.ndim == 4:
        return Unfold.apply((input,), blocks)  # type: ignore[no-any-return]
    return Unfold.apply((input.unsqueeze(0),), blocks).squeeze(0)  # type: ignore[no-any-return]


def fold(
    input: Tensor, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:  # fmt: skip
    """The transpose of `unfold`: columns added up where their elements stand in the images.

    input (n, c kh kw, oh ow) or (c kh kw, oh ow) -> (n, c, *output_size) or (c, *output_size).

    Raises RuntimeError where the input's sizes are not those that unfold gives.
    """
    _check("fold", input, 2, "(n, c kh kw, oh ow)")
    size = per_direction("fold", "output_size", as_key(output_size), 2, 1)
    blocks = _plan(
        "fold", size, as_key(kernel_size), as_key(dilation), as_key(padding), as_key(stride)
    )
    taps, positions = math.prod(blocks.kernel), math.prod(blocks.out)
    if input.shape[-2] % taps or input.shape[-1] != positions:
        message = (
            f"fold: expected input (n, a multiple of {taps}, {positions}) for output_size {size} "
            f"and kernel_size {blocks.kernel}, got {input.shape}; pass the arguments that unfold "
            "was given"
        )
        raise RuntimeError(message)
    if input.ndim == 3:
        return Fold.apply((input,), blocks)  # type: ignore[no-any-return]
    return Fold.apply((input.unsqueeze(0),), blocks).squeeze(0)  # type: ignore[no-any-return]


def _slices(blocks: _Blocks) -> Any:
    """Of every tap: its number and the elements of padded images that it takes."""
    (s, _, d), k = blocks.steps, blocks.kernel
    for number in range(math.prod(k)):
        tap = divmod(number, k[1])
        at = [t * e for t, e in zip(tap, d[1:], strict=True)]
        yield (
            number,
            tuple(
                slice(a, a + (o - 1) * t + 1, t)
                for a, o, t in zip(at, blocks.out, s[1:], strict=True)
            ),
        )


def _plain_unfold(
    x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    xp = array_module(x)
    b = _plan("plain", x.shape[-2:], kernel_size, dilation, padding, stride)
    pads = [(0, 0)] * (x.ndim - 2) + [(p, p) for p in b.steps[1][1:]]
    wide = xp.pad(x, pads)
    parts = [wide[(..., *at)].reshape(*x.shape[:-2], math.prod(b.out)) for _, at in _slices(b)]
    return xp.stack(parts, axis=-2).reshape(
        *x.shape[:-3], -1 if x.size else x.shape[-3] * len(parts), math.prod(b.out)
    )


def _plain_fold(
    y: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    b = _plan("plain", tuple(output_size), kernel_size, dilation, padding, stride)
    taps = math.prod(b.kernel)
    lead, c = y.shape[:-2], y.shape[-2] // taps
    (p, q), (h, w) = b.steps[1][1:], b.size
    wide = array_module(y).zeros((*lead, c, h + 2 * p, w + 2 * q), y.dtype)
    columns = y.reshape(*lead, c, taps, *b.out)
    for number, at in _slices(b):
        wide[(..., *at)] += columns[..., number, :, :]
    return wide[..., p : p + h, q : q + w]


CASES = [
    *(
        OpCase(unfold, "unfold", [shape], kwargs, ref=_plain_unfold)
        for shape, kwargs in (
            ((2, 3, 6, 7), {"kernel_size": 3}),
            ((3, 6, 7), {"kernel_size": (2, 3), "padding": 1}),
            ((0, 2, 5, 5), {"kernel_size": 2}),
            ((2, 2, 9, 21), {"kernel_size": 3, "stride": 2, "padding": (1, 2)}),
            ((1, 2, 9, 40), {"kernel_size": (2, 4), "stride": (1, 3), "dilation": 2}),
            ((1, 1, 2, 2), {"kernel_size": 5, "padding": 2}),
        )
    ),
    OpCase(
        unfold, "unfold", [(8, 16, 28, 28)], {"kernel_size": 3, "padding": 1}, ref=_plain_unfold,
        bench=True,
    ),
    *(
        OpCase(fold, "fold", [shape], kwargs, ref=_plain_fold)
        for shape, kwargs in (
            ((2, 27, 20), {"output_size": (6, 7), "kernel_size": 3}),
            ((12, 49), {"output_size": (6, 7), "kernel_size": (2, 3), "padding": (1, 1)}),
            ((0, 8, 16), {"output_size": (5, 5), "kernel_size": 2}),
            (
                (2, 18, 60),
                {"output_size": (9, 21), "kernel_size": 3, "stride": 2, "padding": (1, 2)},
            ),
            (
                (1, 16, 84),
                {"output_size": (9, 40), "kernel_size": (2, 4), "stride": (1, 3), "dilation": 2},
            ),
        )
    ),
]  # fmt: skip
ERRORS = [
    ErrorCase(unfold, "unfold", [(2, 3)], RuntimeError, "(n, c, h, w)", {"kernel_size": 1}),
    ErrorCase(unfold, "unfold", [(2, 3, 4, 4)], RuntimeError, "hold a block", {"kernel_size": 5}),
    ErrorCase(
        unfold, "unfold", [(2, 3, 4, 4)], RuntimeError, "stride >=", {"kernel_size": 2, "stride": 0}
    ),
    ErrorCase(
        unfold, "unfold", [(2, 3, 4, 4)], RuntimeError, "fewer than 2^60",
        {"kernel_size": 2, "padding": 2**62},
    ),
    ErrorCase(
        unfold, "unfold", [[1.0]], TypeError, "input as a Tensor", {"kernel_size": 2}
    ),
    ErrorCase(
        fold, "fold", [(2, 35, 36)], RuntimeError, "a multiple of 9, 36",
        {"output_size": 8, "kernel_size": 3},
    ),
    ErrorCase(
        fold, "fold", [(2, 36, 35)], RuntimeError, "a multiple of 9, 36",
        {"output_size": 8, "kernel_size": 3},
    ),
    ErrorCase(
        fold, "fold", [(36,)], RuntimeError, "(n, c kh kw, oh ow)",
        {"output_size": 8, "kernel_size": 3},
    ),
]  # fmt: skip

# SPDX-License-Identifier: BSD-3-Clause
"""Convolution in up to three directions: operations that the public functions are made of.

With x (n, c, d, h, w), weight v (o, c / groups, kd, kh, kw) and grad_y g (n, o, od, oh, ow), all
are derivatives of one form that is linear in x, in v and in g,

    sum over n, o, c, p, t of   g[n, o, p] v[o, c, t] x[n, c, p stride - padding + t dilation]

with x zero outside: by g it is the convolution, by x the gradient of its input (transposed
convolution), by v the gradient of its weight. The derivatives of each of the three are the other
two: that is all of `backward` and `backward_graph`.

Padding is what stands in front; the size of the output says how much stands behind. Fewer than
three directions are sizes of 1 to the kernels.

Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn.autograd import Op
from fastnn.ops import (
    _common,
    _convolution_reference,  # noqa: F401  (puts the references into the kernel table)
)
from fastnn.ops._tied import all_or_none
from fastnn.ops.reduce import sum as sum_dims

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

Three = tuple[int, int, int]
_MOST_STEP = 1 << 27  # csrc/ops/conv_shape.h
_LEAST_PLACES = 256  # of an image for conv_backward_pointwise (csrc/ops/conv_weight_pointwise.h),
_FULL_VECTOR = 16  # whose channels are to fill vectors of every processor,
_MOST_OUTPUTS = 512  # and whose blocks of grad_y are to fit its cache


class Geometry(NamedTuple):
    """What the kernels need beside the shapes."""

    stride: Three
    padding: Three
    dilation: Three
    groups: int


def three(values: tuple[int, ...], fill: int) -> Three:
    """One, two or three values as three, the last for the innermost direction."""
    return (*(fill,) * (3 - len(values)), *values)  # type: ignore[return-value]


def geometry(
    op: str, stride: Any, padding: Any, dilation: Any, groups: int, places: Any, kernel: Any
) -> Geometry:
    """The kernels' arguments. The stride of one place and the dilation of one tap do not matter."""
    steps = tuple([s if m > 1 else 1 for s, m in zip(stride, places, strict=True)])
    spread = tuple([d if m > 1 else 1 for d, m in zip(dilation, kernel, strict=True)])
    if max(*steps, *padding, *spread) > _MOST_STEP:
        message = (
            f"{op}: expected stride, padding and dilation of up to 2^27 each, got {steps}, "
            f"{padding} and {spread}; pad() or slice the input"
        )
        raise RuntimeError(message)
    return Geometry(three(steps, 1), three(padding, 0), three(spread, 1), groups)


class _Bilinear(Op):
    """What the three derivatives of the form share. Arrays have the caller's dimensions."""

    geometry: Geometry

    def lift(self, array: Any) -> Any:
        """An array as the kernels take it: contiguous, with three directions."""
        array = _common.contiguous_array(self.kernels, array)
        shape = array.shape
        if len(shape) == 4:  # images, the usual: said at once
            return array.reshape(shape[0], shape[1], 1, shape[2], shape[3])
        return array.reshape(*shape[:2], *three(shape[2:], 1))

    def by_output(self, x: Any, weight: Any, bias: Any, out: tuple[int, ...]) -> Any:
        """The convolution: (n, o, *out)."""
        y = self.kernels.empty((x.shape[0], weight.shape[0], *out), x.dtype)
        if bias is not None:
            bias = _common.contiguous_array(self.kernels, bias)
        self.kernels.conv_forward(
            self.lift(x), self.lift(weight), bias, self.lift(y), *self.geometry
        )
        return y

    def by_input(self, g: Any, weight: Any, bias: Any, size: tuple[int, ...]) -> Any:
        """The gradient of the input: (n, c, *size)."""
        channels = weight.shape[1] * self.geometry.groups
        x = self.kernels.empty((g.shape[0], channels, *size), g.dtype)
        if bias is not None:
            bias = _common.contiguous_array(self.kernels, bias)
        self.kernels.conv_backward_input(
            self.lift(g), self.lift(weight), bias, self.lift(x), *self.geometry
        )
        return x

    def by_weight(self, x: Any, g: Any, array: Any, accumulate: bool) -> Any:
        """The gradient of the weight, into an array."""
        self.kernels.conv_backward_weight(
            self.lift(x), self.lift(g), self.lift(array), *self.geometry, accumulate
        )
        return array

    def by_bias(self, g: Any, i: int) -> Any:
        """The gradient of the bias, which is input ``i``."""
        rows = _common.reshaped(self.kernels, g, (*g.shape[:2], math.prod(g.shape[2:])))
        array, accumulate = self.grad_buffer(i, (g.shape[1],), g.dtype)
        self.kernels.channel_sum(rows, array, accumulate)
        return array

    def by_parameters(self, x: Any, g: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
        """The gradients of the weight and of the bias, which are inputs 1 and 2: g is read once."""
        weight, accumulate = self.grad_buffer(1, shape, g.dtype)
        bias, accumulate_bias = self.grad_buffer(2, (g.shape[1],), g.dtype)
        both = accumulate and accumulate_bias
        if both and self.kernels.xp.may_share_memory(weight, bias):  # one after the other
            return self.by_weight(x, g, weight, True), self.by_bias(g, 2)
        self.kernels.conv_backward_parameters(
            self.lift(x), self.lift(g), self.lift(weight), bias, *self.geometry, accumulate,
            accumulate_bias,
        )  # fmt: skip
        return weight, bias

    def is_pointwise(self, size: tuple[int, ...], weight: tuple[int, ...]) -> bool:
        """Whether one kernel is to compute all gradients, for which it reads g once."""
        steps = self.geometry
        return (
            math.prod(weight[2:]) == 1
            and steps.stride == (1, 1, 1)
            and steps.padding == (0, 0, 0)
            and 0 < weight[1] <= weight[0] // steps.groups <= _MOST_OUTPUTS
            and weight[1] % _FULL_VECTOR == 0
            and size[0] > 0
            and math.prod(size[2:]) >= _LEAST_PLACES
        )

    def by_all(self, x: Any, weight: Any, g: Any) -> tuple[Any, ...]:
        """The gradients of x, weight and bias, if there is one, where that is so."""
        gw, accumulate = self.grad_buffer(1, weight.shape, g.dtype)
        gb, accumulate_bias = None, False
        if self.needs[2]:
            gb, accumulate_bias = self.grad_buffer(2, (g.shape[1],), g.dtype)
        if accumulate and accumulate_bias and self.kernels.xp.may_share_memory(gw, gb):
            gx = self.by_input(g, weight, None, x.shape[2:])
            return gx, self.by_weight(x, g, gw, True), self.by_bias(g, 2)
        gx = self.kernels.empty(x.shape, g.dtype)
        self.kernels.conv_backward_pointwise(
            self.lift(x), self.lift(g), self.lift(weight), self.lift(gx), self.lift(gw), gb,
            self.geometry.groups, accumulate, accumulate_bias,
        )  # fmt: skip
        return gx, gw, gb


def _channel_total(g: Tensor) -> Tensor:
    return sum_dims(g, (0, *range(2, g.ndim)))


class Convolution(_Bilinear):
    """y = x * weight + bias."""

    def forward(self, x: Any, weight: Any, bias: Any, geometry: Geometry, out: Any) -> Any:
        self.geometry, self.shapes = geometry, (x.shape, weight.shape)
        self.save(x if self.needs[1] else None, weight if self.needs[0] else None)
        return self.by_output(x, weight, bias, out)

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, weight = self.saved  # type: ignore[misc]
        gx = gw = None
        if self.needs[0] and self.needs[1] and self.is_pointwise(*self.shapes):
            return self.by_all(x, weight, g)
        if self.needs[0]:
            gx = self.by_input(g, weight, None, self.shapes[0][2:])
        if self.needs[1] and self.needs[2]:
            return gx, *self.by_parameters(x, g, self.shapes[1])
        if self.needs[1]:
            gw = self.by_weight(x, g, *self.grad_buffer(1, self.shapes[1], g.dtype))
        return gx, gw, self.by_bias(g, 2) if self.needs[2] else None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, weight = self.saved_tensors()
        gx = gw = None
        if self.needs[0]:
            gx = ConvolutionInput.apply((g, weight, None), self.geometry, self.shapes[0][2:])
        if self.needs[1]:
            gw = ConvolutionWeight.apply((x, g), self.geometry, self.shapes[1])
        return all_or_none(self, gx, gw, _channel_total(g)) if self.needs[2] else (gx, gw, None)


class ConvolutionInput(_Bilinear):
    """The gradient of a convolution's input for output gradients x: transposed convolution."""

    def forward(self, x: Any, weight: Any, bias: Any, geometry: Geometry, size: Any) -> Any:
        self.geometry, self.shapes = geometry, (x.shape, weight.shape)
        self.save(x if self.needs[1] else None, weight if self.needs[0] else None)
        return self.by_input(x, weight, bias, size)

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, weight = self.saved  # type: ignore[misc]
        gx = gw = None
        if self.needs[0]:
            gx = self.by_output(g, weight, None, self.shapes[0][2:])
        if self.needs[1]:
            gw = self.by_weight(g, x, *self.grad_buffer(1, self.shapes[1], g.dtype))
        return gx, gw, self.by_bias(g, 2) if self.needs[2] else None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, weight = self.saved_tensors()
        gx = gw = None
        if self.needs[0]:
            gx = Convolution.apply((g, weight, None), self.geometry, self.shapes[0][2:])
        if self.needs[1]:
            gw = ConvolutionWeight.apply((g, x), self.geometry, self.shapes[1])
        return all_or_none(self, gx, gw, _channel_total(g)) if self.needs[2] else (gx, gw, None)


class ConvolutionWeight(_Bilinear):
    """The gradient of a convolution's weight for inputs x and output gradients y."""

    def forward(self, x: Any, y: Any, geometry: Geometry, shape: tuple[int, ...]) -> Any:
        self.geometry, self.shapes = geometry, (x.shape, y.shape)
        self.save(x if self.needs[1] else None, y if self.needs[0] else None)
        return self.by_weight(x, y, self.kernels.empty(shape, x.dtype), False)

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, y = self.saved  # type: ignore[misc]
        gx = self.by_input(y, g, None, self.shapes[0][2:]) if self.needs[0] else None
        return gx, self.by_output(x, g, None, self.shapes[1][2:]) if self.needs[1] else None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, y = self.saved_tensors()
        gx = gy = None
        if self.needs[0]:
            gx = ConvolutionInput.apply((y, g, None), self.geometry, self.shapes[0][2:])
        if self.needs[1]:
            gy = Convolution.apply((x, g, None), self.geometry, self.shapes[1][2:])
        return gx, gy

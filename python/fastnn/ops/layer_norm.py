# SPDX-License-Identifier: BSD-3-Clause
"""Layer normalisation and RMS normalisation: every row by its own statistics, then an affine map.

    layer_norm:  y = u weight + bias,   u = (x - mean) rstd,   rstd = 1 / sqrt(var + eps)
    rms_norm:    y = u weight,          u = x rstd,            rstd = 1 / sqrt(mean x^2 + eps)

Shapes:   x (..., *s), weight and bias s = normalized_shape -> y (..., *s).
Backward: with h = dy weight, means over a row:
          dx = rstd (h - mean h - u mean(h u)),   without mean h for rms_norm;
          dweight = sum of dy u over the rows,  dbias = sum of dy.
Saved:    x, weight, mean and rstd of every row.
Source:   Ba, Kiros, Hinton, "Layer Normalization", 2016; Zhang, Sennrich, "Root Mean Square Layer
          Normalization", NeurIPS 2019.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common, _normalization
from fastnn.ops._normalization import mean_and_variance, put
from fastnn.ops._tied import all_or_none
from fastnn.ops.elementwise_math import rsqrt
from fastnn.ops.softmax import wide
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def layer_norm_forward(
    x: Any, weight: Any, bias: Any, y: Any, mean: Any, rstd: Any, eps: float
) -> None:
    """Rows of x (n, d) to y; mean and rstd (n)."""
    x = wide(x)
    m, var = mean_and_variance(x, (1,))
    r = 1 / array_module(x).sqrt(var + eps)
    mean[...], rstd[...] = m[:, 0], r[:, 0]
    out = (x - m) * r
    if weight is not None:
        out *= wide(weight)
    if bias is not None:
        out += wide(bias)
    y[...] = out


@reference
def rms_norm_forward(x: Any, weight: Any, y: Any, rstd: Any, eps: float) -> None:
    """Rows of x (n, d) to y; rstd (n)."""
    xp, x = array_module(x), wide(x)
    squares = xp.add.reduce(x * x, axis=1, keepdims=True, dtype=x.dtype)
    r = 1 / xp.sqrt(squares / max(x.shape[1], 1) + eps)
    rstd[...] = r[:, 0]
    y[...] = x * r if weight is None else x * r * wide(weight)


def _mean(x: Any) -> Any:
    return array_module(x).add.reduce(x, axis=1, keepdims=True, dtype=x.dtype) / max(x.shape[1], 1)


def _column_sum(x: Any) -> Any:
    return array_module(x).add.reduce(x, axis=0, dtype=x.dtype)


@reference
def layer_norm_backward(
    x: Any,
    weight: Any,
    mean: Any,
    rstd: Any,
    grad_y: Any,
    grad_x: Any,
    grad_weight: Any,
    grad_bias: Any,
    accumulate_weight: bool,
    accumulate_bias: bool,
) -> None:
    """The gradients that are not None; those of weight and bias written or added."""
    g, r = wide(grad_y), wide(rstd)[:, None]
    u = (wide(x) - wide(mean)[:, None]) * r
    put(grad_weight, _column_sum(g * u), accumulate_weight)
    put(grad_bias, _column_sum(g), accumulate_bias)
    if grad_x is not None:
        h = g if weight is None else g * wide(weight)
        grad_x[...] = (h - _mean(h) - u * _mean(h * u)) * r


@reference
def rms_norm_backward(
    x: Any,
    weight: Any,
    rstd: Any,
    grad_y: Any,
    grad_x: Any,
    grad_weight: Any,
    accumulate_weight: bool,
) -> None:
    """The gradients that are not None; that of weight written or added."""
    g, r = wide(grad_y), wide(rstd)[:, None]
    u = wide(x) * r
    put(grad_weight, _column_sum(g * u), accumulate_weight)
    if grad_x is not None:
        h = g if weight is None else g * wide(weight)
        grad_x[...] = (h - u * _mean(h * u)) * r


class LayerNorm(Op):
    """Inputs x, weight, bias; the last two may be None."""

    name = "layer_norm"
    centred = True

    def forward(self, x: Any, weight: Any, bias: Any, n_dims: int, eps: float) -> Any:
        table = self.kernels
        d = math.prod(x.shape[x.ndim - n_dims :])
        n = math.prod(x.shape[: x.ndim - n_dims])
        self.n_dims, self.eps, self.rows = n_dims, eps, (n, d)
        rows = _common.reshaped(table, x, self.rows)
        y, rstd = table.empty(self.rows, x.dtype), table.empty((n,), x.dtype)
        w, b = (None if v is None else _common.reshaped(table, v, (d,)) for v in (weight, bias))
        mean = table.empty((n,), x.dtype) if self.centred else None
        if self.centred:
            table.layer_norm_forward(rows, w, b, y, mean, rstd, eps)
        else:
            table.rms_norm_forward(rows, w, y, rstd, eps)
        self.save(x, weight, mean, rstd)
        return y.reshape(x.shape)

    def backward(self, grad_y: Any) -> tuple[Any, ...]:
        x, weight, mean, rstd = self.saved  # type: ignore[misc]
        table = self.kernels
        g, rows = (_common.reshaped(table, a, self.rows) for a in (grad_y, x))
        # No view is returned: the tape would copy it.
        grad_x = table.empty(x.shape, g.dtype) if self.needs[0] else None
        gx = None if grad_x is None else grad_x.reshape(self.rows)
        w = None if weight is None else _common.reshaped(table, weight, self.rows[1:])
        grads: list[Any] = [None, None]
        flat: list[Any] = [None, None]
        accumulate = [False, False]
        for i in range(len(self.needs) - 1):
            if self.needs[i + 1]:
                shape = x.shape[x.ndim - self.n_dims :]
                grads[i], accumulate[i] = self.grad_buffer(i + 1, shape, g.dtype)
                flat[i] = grads[i].reshape(self.rows[1:])
        if self.centred:
            table.layer_norm_backward(rows, w, mean, rstd, g, gx, *flat, *accumulate)
        else:
            table.rms_norm_backward(rows, w, rstd, g, gx, flat[0], accumulate[0])
        return (grad_x, *grads) if self.centred else (grad_x, grads[0])

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, weight, _, _ = self.saved_tensors()
        dims = tuple(range(-self.n_dims, 0))
        lead = tuple(range(g.ndim - self.n_dims))
        u = x - x.mean(dims, keepdim=True) if self.centred else x
        r = rsqrt((u * u).mean(dims, keepdim=True) + self.eps)
        u = u * r
        gx = None
        if self.needs[0]:
            h = g if weight.array is None else g * weight
            gx = h - u * (h * u).mean(dims, keepdim=True)
            gx = r * (gx - h.mean(dims, keepdim=True) if self.centred else gx)
        gw = gb = None
        if self.needs[1]:
            gw = (g * u).sum(lead) if lead else g * u
        if not self.centred:
            return gx, gw
        if self.needs[2]:
            gb = g.sum(lead) if lead else g
        return all_or_none(self, gx, gw, gb)


class RMSNorm(LayerNorm):
    """Inputs x and weight, which may be None."""

    name = "rms_norm"
    centred = False

    def forward(self, x: Any, weight: Any, n_dims: int, eps: float) -> Any:  # type: ignore[override]
        return super().forward(x, weight, None, n_dims, eps)


def _checked(op: str, input: Any, normalized_shape: Any, weight: Any, bias: Any) -> tuple[int, ...]:
    _normalization.check_input(op, input)
    given = normalized_shape if isinstance(normalized_shape, tuple | list) else (normalized_shape,)
    shape = _common.shape_argument(op, tuple(given))
    if not shape or input.shape[max(input.ndim - len(shape), 0) :] != shape:
        message = (
            f"{op}: expected normalized_shape to be the last sizes of the input, at least one of "
            f"them, got {shape} for an input of shape {input.shape}; input.shape[-1:] is the last "
            "one alone"
        )
        raise RuntimeError(message)
    _normalization.check_parameter(op, "weight", weight, shape, input)
    _normalization.check_parameter(op, "bias", bias, shape, input)
    return shape


def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(input - mean) / sqrt(var + eps) weight + bias, as torch.nn.functional.layer_norm.

    Mean and variance are over the last dimensions, whose sizes are ``normalized_shape``; weight
    and bias have that shape. Raises RuntimeError where shapes or types do not go together.
    """
    shape = _checked("layer_norm", input, normalized_shape, weight, bias)
    out: Tensor = LayerNorm.apply((input, weight, bias), len(shape), float(eps))
    return out


def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """input / sqrt(mean of input^2 + eps) weight, as torch.nn.functional.rms_norm.

    The mean is over the last dimensions, whose sizes are ``normalized_shape``; weight has that
    shape. eps None: the distance from 1 to the next number of the input's type.
    Raises RuntimeError where shapes or types do not go together.
    """
    shape = _checked("rms_norm", input, normalized_shape, weight, None)
    value = float(array_module(input.array).finfo(input.array.dtype).eps if eps is None else eps)
    return RMSNorm.apply((input, weight), len(shape), value)  # type: ignore[no-any-return]


def _plain_layer(x: Any, s: list[int], w: Any = None, b: Any = None, eps: float = 1e-5) -> Any:
    axes = tuple(range(-len(s), 0))
    if not x.size:
        return x
    y = (x - x.mean(axes, keepdims=True)) / (x.var(axes, keepdims=True) + eps) ** 0.5
    return y * (1 if w is None else w) + (0 if b is None else b)


def _plain_rms(x: Any, s: list[int], w: Any = None, eps: float = 0.0) -> Any:
    axes = tuple(range(-len(s), 0))
    y = x / ((x * x).mean(axes, keepdims=True) + eps) ** 0.5 if x.size else x
    return y * (1 if w is None else w)


_SHAPES: tuple[tuple[tuple[int, ...], list[int]], ...] = (
    ((3, 5), [5]), ((4,), [4]), ((2, 3, 4), [3, 4]), ((70, 33), [33]), ((200, 70), [70]),
    ((2, 5000), [5000]), ((0, 4), [4]), ((3, 0), [0]), ((4096, 512), [512]),
)  # fmt: skip
CASES = [
    *(
        OpCase(
            layer_norm, "layer_norm", [s, d, tuple(d), tuple(d)], ref=_plain_layer,
            bench=s[:1] == (4096,),
        )
        for s, d in _SHAPES
    ),
    OpCase(layer_norm, "layer_norm", [(3, 7), [7]], kwargs={"eps": 0.1}, ref=_plain_layer),
    OpCase(layer_norm, "layer_norm", [(3, 7), [7], None, (7,)], ref=_plain_layer),
    OpCase(layer_norm, "layer_norm", [(90, 7), [7], (7,), None], ref=_plain_layer),
    *(
        OpCase(
            rms_norm, "rms_norm", [s, d, tuple(d), 1e-6], ref=_plain_rms, bench=s[:1] == (4096,)
        )
        for s, d in _SHAPES
    ),
    OpCase(rms_norm, "rms_norm", [(3, 7), [7]], ref=_plain_rms),
]  # fmt: skip
ERRORS = [
    case
    for f, op in ((layer_norm, "layer_norm"), (rms_norm, "rms_norm"))
    for case in (
        ErrorCase(f, op, [(2, 3), [2]], RuntimeError, "got (2,) for an input of shape (2, 3)"),
        ErrorCase(f, op, [(2, 3), []], RuntimeError, "at least one of them"),
        ErrorCase(f, op, [(3,), [2, 3]], RuntimeError, "the last sizes of the input"),
        ErrorCase(f, op, [(2, 3), [3], (2,)], RuntimeError, "weight of shape (3,)"),
        ErrorCase(f, op, [(2, 3), ["a"]], TypeError, "expected sizes as ints"),
        ErrorCase(f, op, [("int", (2, 3), 0, 9), [3]], RuntimeError, "floating-point type"),
        ErrorCase(f, op, [(2, 3), [3], ("int", (3,), 0, 9)], RuntimeError, "of one type"),
    )
]

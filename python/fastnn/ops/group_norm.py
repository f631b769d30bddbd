# SPDX-License-Identifier: BSD-3-Clause
"""Group and instance normalisation: groups of channels of every image by their own statistics.

    y = (x - mean) rstd weight[c] + bias[c],     rstd = 1 / sqrt(var + eps)

with mean and var over the c / g channels of a group and all positions (group_norm), or over the
positions of one channel (instance_norm).

Shapes:   x (n, c, ...), weight and bias (c) -> y (n, c, ...).
Backward: with u = (x - mean) rstd, h = dy weight and means over a group:
          dx = rstd (h - mean h - u mean(h u));  dweight = sum dy u,  dbias = sum dy by channel.
Saved:    x, weight, mean and rstd of every group.
Source:   Wu, He, "Group Normalization", ECCV 2018; Ulyanov, Vedaldi, Lempitsky, "Instance
          Normalization", 2016.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn._backend import array_module, reference
from fastnn._grad_mode import no_grad
from fastnn.autograd import Op
from fastnn.ops import _common, _normalization
from fastnn.ops._in_place import check_in_place
from fastnn.ops._normalization import mean_and_variance, optional, put
from fastnn.ops.batch_norm import batch_norm
from fastnn.ops.copy import clone, copy_
from fastnn.ops.elementwise_math import rsqrt
from fastnn.ops.softmax import wide
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _column(values: Any) -> Any:
    return wide(values)[None, :, None]


def _grouped(x: Any, groups: int) -> Any:
    """(n, c, l) as (n, g, elements of a group)."""
    n, c, length = x.shape
    return wide(x).reshape(n, groups, c // groups * length)


@reference
def group_norm_forward(
    x: Any, weight: Any, bias: Any, y: Any, mean: Any, rstd: Any, eps: float
) -> None:
    """y from x (n, c, l); mean and rstd (n, g), where g divides c."""
    u = _grouped(x, mean.shape[1])
    m, var = mean_and_variance(u, (2,))
    r = 1 / array_module(x).sqrt(var + eps)
    mean[...], rstd[...] = m[:, :, 0], r[:, :, 0]
    out = ((u - m) * r).reshape(x.shape)
    if weight is not None:
        out *= _column(weight)
    y[...] = out if bias is None else out + _column(bias)


@reference
def group_norm_backward(
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
    xp, groups = array_module(x), mean.shape[1]
    g, r = wide(grad_y), wide(rstd)[:, :, None]
    u = (_grouped(x, groups) - wide(mean)[:, :, None]) * r
    products = g * u.reshape(x.shape)
    put(grad_weight, xp.add.reduce(products, axis=(0, 2), dtype=g.dtype), accumulate_weight)
    put(grad_bias, xp.add.reduce(g, axis=(0, 2), dtype=g.dtype), accumulate_bias)
    if grad_x is None:
        return
    h = _grouped(g if weight is None else g * _column(weight), groups)
    count = max(h.shape[2], 1)
    a = xp.add.reduce(h, axis=2, keepdims=True, dtype=h.dtype) / count
    b = xp.add.reduce(h * u, axis=2, keepdims=True, dtype=h.dtype) / count
    grad_x[...] = ((h - a - u * b) * r).reshape(x.shape)


class GroupNorm(Op):
    """Inputs x, weight, bias; the last two may be None."""

    name = "group_norm"

    def forward(self, x: Any, weight: Any, bias: Any, groups: int, eps: float) -> Any:
        table, (n, c) = self.kernels, x.shape[:2]
        rows = _common.reshaped(table, x, (n, c, math.prod(x.shape[2:])))
        y = table.empty(rows.shape, x.dtype)
        mean, rstd = (table.empty((n, groups), x.dtype) for _ in range(2))
        w, b = optional(table, weight), optional(table, bias)
        table.group_norm_forward(rows, w, b, y, mean, rstd, eps)
        self.groups, self.eps = groups, eps
        self.save(x, weight, mean, rstd)
        return y.reshape(x.shape)

    def backward(self, grad_y: Any) -> tuple[Any, ...]:
        x, weight, mean, rstd = self.saved  # type: ignore[misc]
        table, shape = self.kernels, (*x.shape[:2], math.prod(x.shape[2:]))
        g, rows = (_common.reshaped(table, a, shape) for a in (grad_y, x))
        # No view is returned: the tape would copy it.
        grad_x = table.empty(x.shape, g.dtype) if self.needs[0] else None
        grads: list[Any] = [None if grad_x is None else grad_x.reshape(shape), None, None]
        accumulate = [False, False, False]
        for i in (1, 2):
            if self.needs[i]:
                grads[i], accumulate[i] = self.grad_buffer(i, shape[1:2], g.dtype)
        w = optional(table, weight)
        table.group_norm_backward(rows, w, mean, rstd, g, *grads, *accumulate[1:])
        return grad_x, *grads[1:]

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, weight, _, _ = self.saved_tensors()
        dims, column = (0, *range(2, g.ndim)), (1, -1, *(1 for _ in g.shape[2:]))
        n, c = g.shape[:2]
        groups = (n, self.groups, c // self.groups * math.prod(g.shape[2:]))
        u = x.reshape(groups)
        u = u - u.mean(-1, keepdim=True)
        r = rsqrt((u * u).mean(-1, keepdim=True) + self.eps)
        u = u * r
        h = (g if weight.array is None else g * weight.reshape(column)).reshape(groups)
        gx = r * (h - h.mean(-1, keepdim=True) - u * (h * u).mean(-1, keepdim=True))
        gw = (g * u.reshape(g.shape)).sum(dims) if self.needs[1] else None
        gb = g.sum(dims) if self.needs[2] else None
        return (gx.reshape(g.shape) if self.needs[0] else None), gw, gb


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(input - mean) / sqrt(var + eps) weight + bias, as torch.nn.functional.group_norm.

    input (n, c, ...), weight and bias (c) or None. Mean and variance are of every image's groups
    of c / num_groups neighbouring channels.

    Raises RuntimeError where shapes or types do not go together or num_groups does not divide c,
    and ValueError for one number per group.
    """
    op = "group_norm"
    _normalization.check_input(op, input)
    groups = _common.integer(op, "num_groups", num_groups)
    if input.ndim < 2:
        message = f"{op}: expected input (n, c, ...), got {input.shape}; unsqueeze(0) adds a batch"
        raise RuntimeError(message)
    channels = input.shape[1]
    if groups < 1 or channels % groups != 0:
        message = (
            f"{op}: expected num_groups that divides the {channels} channels of input "
            f"{input.shape}, got {groups}; 1 takes all channels together"
        )
        raise RuntimeError(message)
    for name, value in (("weight", weight), ("bias", bias)):
        _normalization.check_parameter(op, name, value, (channels,), input)
    if input.array.size == groups:
        message = (
            f"{op}: expected more than 1 value per channel when training, got input "
            f"{input.shape} in {groups} groups; use fewer groups"
        )
        raise ValueError(message)
    out: Tensor = GroupNorm.apply((input, weight, bias), groups, float(eps))
    return out


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Every channel of every image by its own statistics, as torch.nn.functional.instance_norm.

    input (n, c, ...); running_mean, running_var, weight and bias (c) or None. The running
    statistics, if given, are moved in place towards the means over the images; without
    ``use_input_stats`` they are what is normalised with.

    Raises RuntimeError where shapes or types do not go together or statistics are missing, and
    ValueError for one number per channel and image.
    """
    op = "instance_norm"
    _normalization.check_input(op, input)
    if input.ndim < 2:
        message = f"{op}: expected input (n, c, ...), got {input.shape}; unsqueeze(0) adds a batch"
        raise RuntimeError(message)
    n, c = input.shape[:2]
    given = (running_mean, running_var, weight, bias)
    for name, value in zip(("running_mean", "running_var", "weight", "bias"), given, strict=True):
        _normalization.check_parameter(op, name, value, (c,), input)
    if not use_input_stats:
        if running_mean is None or running_var is None:
            message = (
                f"{op}: expected running_mean and running_var, got None; pass both, or "
                "use_input_stats=True"
            )
            raise RuntimeError(message)
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if input.array.size == n * c > 0:
        message = (
            f"{op}: expected more than 1 spatial element when training, got input "
            f"{input.shape}; use evaluation mode, or batch_norm"
        )
        raise ValueError(message)
    # One image of n c channels; what belongs to a channel is repeated for every image.
    many: list[Any] = [None if t is None else t.expand(n, c).reshape(n * c) for t in given]
    for i, t in enumerate(given[:2]):
        if t is not None:
            check_in_place(op, t.detach())
            many[i] = clone(t.detach().expand(n, c)).reshape(n * c)
    x = input.reshape(1, n * c, *input.shape[2:])
    mean, var, w, b = many
    y = batch_norm(x, mean, var, w, b, True, momentum, eps)
    for own, moved in zip(given[:2], (mean, var), strict=True):
        if own is not None and moved is not None and n > 0:
            with no_grad():
                copy_(own, moved.reshape(n, c).mean(0))
    return y.reshape(input.shape)


def _plain(x: Any, g: int, w: Any = None, b: Any = None, eps: float = 1e-5) -> Any:
    if not x.size:
        return x
    u = x.reshape(*x.shape[:1], g, -1)
    y = (u - u.mean(-1, keepdims=True)) / (u.var(-1, keepdims=True) + eps) ** 0.5
    column = (-1, *(1 for _ in x.shape[2:]))
    scale, shift = (1 if w is None else w.reshape(column)), (0 if b is None else b.reshape(column))
    return y.reshape(x.shape) * scale + shift


def _plain_instance(x: Any, _m: Any, _v: Any, w: Any = None, b: Any = None) -> Any:
    return _plain(x, x.shape[1], w, b)


CASES = [
    *(
        OpCase(group_norm, "group_norm", [s, g, *p], ref=_plain)
        for s, g, p in (
            ((2, 4, 5), 2, [(4,), (4,)]),
            ((3, 12), 3, [(12,), (12,)]),
            ((2, 6, 3, 7), 1, [(6,), None]),
            ((1, 3, 70), 3, [None, None]),
            ((2, 2, 80, 60), 1, [(2,), (2,)]),
            ((0, 4, 2), 2, [(4,), (4,)]),
        )
    ),
    OpCase(group_norm, "group_norm", [(3, 4, 2), 2], kwargs={"eps": 0.1}, ref=_plain),
    *(
        OpCase(instance_norm, "instance_norm", [s, None, None, *p], ref=_plain_instance)
        for s, p in (
            ((2, 3, 5), [(3,), (3,)]),
            ((3, 2, 4, 6), [None, None]),
            ((1, 2, 40), [(2,), (2,)]),
        )
    ),
]
_NO_INPUT = {"use_input_stats": False}
ERRORS = [
    ErrorCase(group_norm, "group_norm", [(2, 3), 2], RuntimeError, "divides the 3 channels"),
    ErrorCase(group_norm, "group_norm", [(2, 3), 0], RuntimeError, "got 0"),
    ErrorCase(group_norm, "group_norm", [(3,), 3], RuntimeError, "expected input (n, c, ...)"),
    ErrorCase(group_norm, "group_norm", [(1, 3), 3], ValueError, "more than 1 value per channel"),
    ErrorCase(group_norm, "group_norm", [(2, 4), 2, (2,)], RuntimeError, "weight of shape (4,)"),
    ErrorCase(group_norm, "group_norm", [(2, 4), 2.5], TypeError, "expected num_groups as an int"),
    ErrorCase(group_norm, "group_norm", [[1.0], 1], TypeError, "expected input as a Tensor"),
    ErrorCase(
        instance_norm, "instance_norm", [(2, 3, 1)], ValueError, "more than 1 spatial element"
    ),
    ErrorCase(instance_norm, "instance_norm", [(3,)], RuntimeError, "expected input (n, c, ...)"),
    ErrorCase(
        instance_norm, "instance_norm", [(2, 3, 4)], RuntimeError, "got None", kwargs=_NO_INPUT
    ),
    ErrorCase(
        instance_norm, "instance_norm", [(2, 3, 4), (2,)], RuntimeError, "running_mean of shape"
    ),
]

# SPDX-License-Identifier: BSD-3-Clause
"""Batch normalisation: every channel to mean 0 and variance 1 over the batch, then an affine map.

    y = (x - mean) rstd weight + bias,     rstd = 1 / sqrt(var + eps)

Training takes mean and var from x and moves the running statistics towards them, inference uses
the running statistics.

Shapes:   x (n, c, ...), the others (c) -> y (n, c, ...).
Backward: with u = (x - mean) rstd, N numbers to a channel, sums over a channel:
          dweight = sum dy u,  dbias = sum dy,
          dx = rstd weight (dy - sum dy / N - u sum(dy u) / N) in training, rstd weight dy else.
Saved:    x, weight, mean, rstd.
Source:   Ioffe, Szegedy, "Batch Normalization", ICML 2015.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn import _backend
from fastnn._backend import array_module
from fastnn.autograd import Op
from fastnn.ops import _batch_norm_reference, _common, _normalization  # noqa: F401
from fastnn.ops._in_place import check_in_place
from fastnn.ops._normalization import optional
from fastnn.ops._tied import all_or_none
from fastnn.ops.elementwise_math import rsqrt
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


class BatchNorm(Op):
    """Inputs x, weight, bias, running_mean, running_var; all but x may be None in training."""

    name = "batch_norm"

    def forward(
        self,
        x: Any,
        weight: Any,
        bias: Any,
        running_mean: Any,
        running_var: Any,
        training: bool,
        momentum: float,
        eps: float,
    ) -> Any:
        table, c = self.kernels, x.shape[1]
        rows = _common.reshaped(table, x, (x.shape[0], c, math.prod(x.shape[2:])))
        y, rstd = table.empty(rows.shape, x.dtype), table.empty((c,), x.dtype)
        w, b = optional(table, weight), optional(table, bias)
        moved, var = optional(table, running_mean), optional(table, running_var)
        if training:
            mean = table.empty((c,), x.dtype)
            table.batch_norm_train(rows, w, b, y, mean, rstd, moved, var, momentum, eps)
            for array, now in ((running_mean, moved), (running_var, var)):
                if array is not now:
                    table.copy(now, array)
        else:
            mean = running_mean
            table.batch_norm_infer(rows, w, b, moved, var, y, rstd, eps)
        self.training, self.eps = training, eps
        # In inference x is for the gradient of the weight alone.
        self.save(x if training or self.needs[1] else None, weight, mean, rstd)
        return y.reshape(x.shape)

    def backward(self, grad_y: Any) -> tuple[Any, ...]:
        x, weight, mean, rstd = self.saved  # type: ignore[misc]
        table, shape, c = self.kernels, grad_y.shape, rstd.shape[0]
        g = _common.reshaped(table, grad_y, (shape[0], c, math.prod(shape[2:])))
        rows = g if x is None else _common.reshaped(table, x, g.shape)
        # No view is returned: the tape would copy it.
        grad_x = table.empty(shape, g.dtype) if self.needs[0] else None
        grads: list[Any] = [None if grad_x is None else grad_x.reshape(g.shape), None, None]
        accumulate = [False, False, False]
        for i in (1, 2):
            if self.needs[i]:
                grads[i], accumulate[i] = self.grad_buffer(i, (c,), g.dtype)
        w, m = optional(table, weight), optional(table, mean)
        table.batch_norm_backward(rows, w, m, rstd, g, *grads, self.training, *accumulate[1:])
        return grad_x, *grads[1:], None, None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, weight, mean, rstd = self.saved_tensors()
        dims = (0, *range(2, g.ndim))
        column = (1, -1, *(1 for _ in g.shape[2:]))
        r, u = rstd.reshape(column), None
        if self.training:
            u = x - x.mean(dims, keepdim=True)
            r = rsqrt((u * u).mean(dims, keepdim=True) + self.eps)
            u = u * r
        elif self.needs[1]:
            u = (x - mean.reshape(column)) * r
        h = g if weight.array is None else g * weight.reshape(column)
        if self.training:
            h = h - h.mean(dims, keepdim=True) - u * (h * u).mean(dims, keepdim=True)
        gw = (g * u).sum(dims) if self.needs[1] and u is not None else None
        gb = g.sum(dims) if self.needs[2] else None
        return all_or_none(self, r * h if self.needs[0] else None, gw, gb, None, None)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(input - mean) / sqrt(var + eps) weight + bias, as torch.nn.functional.batch_norm.

    input (n, c, ...); running_mean, running_var, weight and bias (c) or None.
    training: mean and var are those of every channel of the input, and the running statistics, if
    given, are moved towards them in place: r = (1 - momentum) r + momentum s, with the variance
    that has the divisor N - 1. Otherwise mean and var are the running statistics.

    Raises RuntimeError where shapes or types do not go together or statistics are missing, and
    ValueError for training on one number per channel and for eps < 0, in training also eps = 0.
    """
    op = "batch_norm"
    _normalization.check_input(op, input)
    if input.shape == (0,):  # as torch: of nothing there is nothing to normalise
        return input * 1.0
    if input.ndim < 2:
        message = f"{op}: expected input (n, c, ...), got {input.shape}; unsqueeze(0) adds a batch"
        raise RuntimeError(message)
    given = (running_mean, running_var, weight, bias)
    for name, value in zip(("running_mean", "running_var", "weight", "bias"), given, strict=True):
        _normalization.check_parameter(op, name, value, input.shape[1:2], input)
    if not training and (running_mean is None or running_var is None):
        message = (
            f"{op}: expected running_mean and running_var in inference, got None; pass both, or "
            "training=True for the statistics of the input"
        )
        raise RuntimeError(message)
    if training:
        check_batch(op, input, eps)
    elif eps < 0.0:
        message = f"{op}: expected eps >= 0, got {eps}; its default is 1e-5"
        raise ValueError(message)
    changed = [t for t in given[:2] if t is not None and training]
    for t in changed:
        check_in_place(op, t.detach())
    tensors = (input, weight, bias, running_mean, running_var)
    out: Tensor = BatchNorm.apply(tensors, bool(training), float(momentum), float(eps))
    for t in changed:
        t._bump_version()
    return out


def check_batch(op: str, input: Tensor, eps: float) -> None:
    """ValueError unless a batch has a variance."""
    if input.array.size == input.shape[1] > 0:
        message = (
            f"{op}: expected more than 1 value per channel when training, got input {input.shape}; "
            "use a larger batch, or evaluation mode"
        )
        raise ValueError(message)
    if not eps > 0.0:
        message = f"{op}: expected eps > 0 when training, got {eps}; its default is 1e-5"
        raise ValueError(message)


def _plain(
    x: Any, mean: Any, var: Any, w: Any, b: Any, training: bool = False, eps: float = 1e-5
) -> Any:
    rows = x.reshape(*x.shape[:2], -1) if x.size else x.reshape(*x.shape[:2], 0)
    if training:
        mean, var = (rows.mean((0, 2)), rows.var((0, 2))) if x.size else (x.sum(), x.sum())
    shape = (1, -1, *(1 for _ in x.shape[2:]))
    y = (x - mean.reshape(shape)) / (var.reshape(shape) + eps) ** 0.5
    return y * (1 if w is None else w.reshape(shape)) + (0 if b is None else b.reshape(shape))


def _inference(x: Tensor, w: Tensor | None, b: Tensor | None) -> Tensor:
    """With running statistics that have no gradient."""
    table, c = _backend.kernels(x.array), x.shape[1]
    mean = Tensor._wrap(table.xp.arange(c).astype(x.array.dtype))
    return batch_norm(x, mean * 0.25, mean + 0.5, w, b)


def _plain_inference(x: Any, w: Any, b: Any) -> Any:
    mean = array_module(x).arange(x.shape[1])
    return _plain(x, mean * 0.25, mean + 0.5, w, b)


def _running(x: Tensor, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What training makes of copies of the running statistics."""
    mean, var = mean.clone(), var.clone()
    return batch_norm(x, mean, var, training=True, momentum=0.3), mean, var


def _plain_running(x: Any, mean: Any, var: Any) -> Any:
    rows = x.reshape(*x.shape[:2], -1)
    moved = (0.7 * mean + 0.3 * rows.mean((0, 2)), 0.7 * var + 0.3 * rows.var((0, 2), ddof=1))
    return _plain(x, None, None, None, None, True), *moved


_SHAPES: tuple[tuple[int, ...], ...] = (
    (4, 3), (33, 70), (70, 17), (2, 3, 5), (3, 2, 17), (3, 2, 4, 5), (2, 3, 2, 3, 4), (1, 2, 130),
)  # fmt: skip
CASES = [
    *(
        OpCase(
            batch_norm, "batch_norm", [s, None, None, s[1:2], s[1:2]],
            kwargs={"training": True}, ref=_plain, bench=s in ((32, 64, 56, 56), (256, 512)),
        )
        for s in (*_SHAPES, (32, 64, 56, 56), (256, 512))
    ),
    OpCase(
        batch_norm, "batch_norm", [(5, 3, 2), None, None, None, None],
        kwargs={"training": True, "eps": 0.1}, ref=_plain,
    ),
    OpCase(
        batch_norm, "batch_norm", [(5, 3, 40), None, None, (3,), None],
        kwargs={"training": True}, ref=_plain,
    ),
    *(
        OpCase(
            batch_norm, "batch_norm", [s, *[(3,)] * 4], ref=_plain, low=0.5, grad=False
        )
        for s in ((4, 3), (2, 3, 20), (0, 3))
    ),
    *(
        OpCase(
            _inference, "batch_norm inference", [s, *p],
            ref=_plain_inference,
        )
        for s, p in (((4, 3), [(3,), (3,)]), ((2, 3, 5, 6), [(3,), None]), ((2, 2, 3), [None] * 2))
    ),
    *(
        OpCase(_running, "batch_norm running", [s, (3,), (3,)], ref=_plain_running, grad=False)
        for s in ((4, 3), (2, 3, 20))
    ),
]  # fmt: skip
_ONE = "expected more than 1 value per channel when training"
ERRORS = [
    ErrorCase(batch_norm, "batch_norm", [(1, 3), *[None] * 4, True], ValueError, _ONE),
    ErrorCase(batch_norm, "batch_norm", [(1, 3, 1), *[None] * 4, True], ValueError, _ONE),
    ErrorCase(
        batch_norm, "batch_norm", [(2, 3), None, None], RuntimeError,
        "expected running_mean and running_var in inference",
    ),
    ErrorCase(
        batch_norm, "batch_norm", [(2, 3), (2,), (3,)], RuntimeError, "running_mean of shape (3,)"
    ),
    ErrorCase(
        batch_norm, "batch_norm", [(2, 3), (3,), (3,), (4,)], RuntimeError, "weight of shape (3,)"
    ),
    ErrorCase(batch_norm, "batch_norm", [(3,), (3,), (3,)], RuntimeError, "expected input (n, c"),
    ErrorCase(batch_norm, "batch_norm", [[1.0], None, None], TypeError, "input as a Tensor"),
    ErrorCase(
        batch_norm, "batch_norm", [("int", (2, 3), 0, 9), None, None], RuntimeError,
        "floating-point type",
    ),
    ErrorCase(
        batch_norm, "batch_norm", [(2, 3), None, None, ("int", (3,), 0, 9)], RuntimeError,
        "of one type",
    ),
    ErrorCase(
        batch_norm, "batch_norm", [(2, 3), None, None], ValueError, "expected eps > 0",
        {"training": True, "eps": 0.0},
    ),
    ErrorCase(
        batch_norm, "batch_norm", [(2, 3), (3,), (3,)], ValueError, "expected eps >= 0",
        {"eps": -1e-5},
    ),
]  # fmt: skip

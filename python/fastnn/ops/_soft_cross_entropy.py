# SPDX-License-Identifier: BSD-3-Clause
"""Cross-entropy against distributions over the classes: weights, label smoothing, probabilities.

    loss_i = sum_j q_ij w_j (logsumexp(x_i) - x_ij)
    q_ij = (1 - s) p_ij + s / c,  p_ij a probability or [j = t_i];  w 1 where not given

Mean:     over the weight of the targets that are not ignored, or the number of rows of
          probabilities.
Backward: dx_ij = (softmax(x_i)_j sum_k q_ik w_k - q_ij w_j) dloss_i;
          dp_ij = (1 - s) w_j (logsumexp(x_i) - x_ij) dloss_i.
Saved:    input, target, weight, logsumexp (n); nothing of the size of input is made.
Source:   Szegedy et al., "Rethinking the Inception architecture", 2016 (label smoothing).
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops.copy import to
from fastnn.ops.nll import kept_targets, target_weights
from fastnn.ops.softmax import log_softmax, softmax, wide
from fastnn.ops.where import where
from fastnn.tensor import Tensor


def _top_and_log_sum(x: Any) -> tuple[Any, Any]:
    """The maximum of every row and log sum exp(x - maximum)."""
    xp = array_module(x)
    top = xp.max(x, axis=1) if x.size else xp.zeros(x.shape[0], x.dtype)
    return top, xp.log(xp.add.reduce(xp.exp(x - top[:, None]), axis=1, dtype=x.dtype))


def _row_sums(x: Any) -> Any:
    return array_module(x).add.reduce(x, axis=1, dtype=x.dtype)


def _reduce(losses: Any, loss: Any, reduction: int, total: Any) -> None:
    if reduction == 0:
        loss[...] = losses
        return
    added = array_module(losses).add.reduce(losses, dtype=losses.dtype)
    loss[0] = added / total if reduction == 1 else added


@reference
def smooth_cross_entropy_forward(
    x: Any,
    target: Any,
    weight: Any,
    loss: Any,
    logsumexp: Any,
    total: Any,
    reduction: int,
    ignore_index: int,
    smoothing: float,
) -> None:
    """p_ij = [j = target_i]; total (1): the weight of the targets that are not ignored."""
    xp = array_module(x)
    kept = kept_targets("smooth_cross_entropy_forward", target, x.shape[1], ignore_index)
    x = wide(x)
    n, c = x.shape
    w = target_weights(target, kept, weight, x.dtype)
    top, log_sum = _top_and_log_sum(x)
    logsumexp[...] = top + log_sum
    picked = x[xp.arange(n), xp.where(kept, target, 0)] if x.size else top
    losses = x.dtype.type(1 - smoothing) * (w * ((top - picked) + log_sum))
    if smoothing != 0 and c:
        miss = (top[:, None] - x) + log_sum[:, None]
        spread = miss if weight is None else miss * wide(weight)
        losses = losses + x.dtype.type(smoothing / c) * _row_sums(spread)
    losses = xp.where(kept, losses, xp.zeros((), x.dtype)).astype(x.dtype)
    whole = xp.add.reduce(w, dtype=w.dtype)
    total[0] = whole
    _reduce(losses, loss, reduction, whole)


@reference
def smooth_cross_entropy_backward(
    x: Any,
    target: Any,
    weight: Any,
    logsumexp: Any,
    total: Any,
    grad_loss: Any,
    grad_x: Any,
    reduction: int,
    ignore_index: int,
    smoothing: float,
) -> None:
    """grad_x = (exp(x - logsumexp) sum_k q_k w_k - q w) g, 0 in ignored rows."""
    xp = array_module(x)
    kept = kept_targets("smooth_cross_entropy_backward", target, x.shape[1], ignore_index)
    x, g = wide(x), wide(grad_loss)
    n, c = x.shape
    if reduction == 1:
        g = g / total
    w = xp.ones(c, x.dtype) if weight is None else wide(weight)
    qw = xp.zeros(x.shape, x.dtype) + x.dtype.type(smoothing / c if c else 0) * w
    rows = xp.arange(n)[kept]
    qw[rows, target[kept]] += x.dtype.type(1 - smoothing) * w[target[kept]]
    slope = xp.exp(x - logsumexp[:, None]) * _row_sums(qw)[:, None] - qw
    slope[~kept] = 0
    scale = xp.where(kept, g, xp.zeros((), x.dtype)).astype(x.dtype)
    grad_x[...] = slope * scale[:, None]


@reference
def soft_cross_entropy_forward(
    x: Any,
    target: Any,
    weight: Any,
    loss: Any,
    logsumexp: Any,
    reduction: int,
    smoothing: float,
) -> None:
    """target (n, c): probabilities."""
    x, p = wide(x), wide(target)
    n, c = x.shape
    q = x.dtype.type(1 - smoothing) * p + x.dtype.type(smoothing / c if c else 0)
    top, log_sum = _top_and_log_sum(x)
    logsumexp[...] = top + log_sum
    qw = q if weight is None else q * wide(weight)
    losses = _row_sums(qw * ((top[:, None] - x) + log_sum[:, None]))
    _reduce(losses, loss, reduction, x.dtype.type(n))


@reference
def soft_cross_entropy_backward(
    x: Any,
    target: Any,
    weight: Any,
    logsumexp: Any,
    grad_loss: Any,
    grad_x: Any,
    grad_target: Any,
    reduction: int,
    smoothing: float,
) -> None:
    """grad_x = (exp(x - logsumexp) sum_k q_k w_k - q w) g; grad_target = (1 - s) w miss g."""
    x, p, g = wide(x), wide(target), wide(grad_loss)
    n, c = x.shape
    if reduction == 1:
        g = g / g.dtype.type(n)
    kept = x.dtype.type(1 - smoothing)
    log_p = x - logsumexp[:, None]
    if grad_x is not None:
        q = kept * p + x.dtype.type(smoothing / c if c else 0)
        qw = q if weight is None else q * wide(weight)
        slope = array_module(x).exp(log_p) * _row_sums(qw)[:, None] - qw
        grad_x[...] = slope * g[:, None]
    if grad_target is not None:
        by_target = -log_p * kept
        by_target = by_target if weight is None else by_target * wide(weight)
        grad_target[...] = by_target * g[:, None]


def _statistics(table: Any, n: int, dtype: Any) -> Any:
    # Half precision would round what backward subtracts from every x.
    kind = _dtypes.float32.numpy if dtype == _dtypes.float16.numpy else dtype
    return table.empty((n,), kind)


class SmoothCrossEntropy(Op):
    """Rows (n, c) against class numbers (n), with weights and label smoothing."""

    name = "cross_entropy"

    def forward(
        self,
        x: Any,
        target: Any,
        weight: Any,
        reduction: int,
        ignore_index: int,
        smoothing: float,
    ) -> Any:
        table = self.kernels
        original, x = x, _common.contiguous_array(table, x)
        target = _common.contiguous_array(table, target)
        weight = None if weight is None else _common.contiguous_array(table, weight)
        loss = table.empty((x.shape[0] if reduction == 0 else 1,), x.dtype)
        logsumexp, total = (_statistics(table, n, x.dtype) for n in (x.shape[0], 1))
        self.options = (reduction, ignore_index, smoothing)
        table.smooth_cross_entropy_forward(x, target, weight, loss, logsumexp, total, *self.options)
        if self.needs[0]:
            self.save(original, target, logsumexp, total, *(() if weight is None else (weight,)))
        return loss if reduction == 0 else loss.reshape(())

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, target, logsumexp, total, *rest = self.saved or ()
        table = self.kernels
        x = _common.contiguous_array(table, x)
        grad_x = table.empty(x.shape, x.dtype)
        g = _common.reshaped(table, g, (g.size,))
        weight = rest[0] if rest else None
        table.smooth_cross_entropy_backward(
            x, target, weight, logsumexp, total, g, grad_x, *self.options
        )
        return grad_x, None, None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, target, _, total, *rest = self.saved_tensors()
        reduction, ignore_index, smoothing = self.options
        c = x.shape[1]
        classes = Tensor._wrap(self.kernels.xp.arange(c))
        hits = (target.unsqueeze(1) == classes).to(total.dtype)
        q = hits * (1.0 - smoothing) + smoothing / max(c, 1)
        q = q * rest[0] if rest else q
        scale = where(target != ignore_index, g / total if reduction == 1 else g, 0.0)
        grad_x = (softmax(x, 1) * q.sum(1, keepdim=True) - q) * scale.unsqueeze(1)
        return to(grad_x, x.dtype), None, None


class SoftCrossEntropy(Op):
    """Rows (n, c) against probabilities (n, c), with weights and label smoothing."""

    name = "cross_entropy"

    def forward(self, x: Any, target: Any, weight: Any, reduction: int, smoothing: float) -> Any:
        table = self.kernels
        given = x, target
        x, target = (_common.contiguous_array(table, a) for a in given)
        weight = None if weight is None else _common.contiguous_array(table, weight)
        loss = table.empty((x.shape[0] if reduction == 0 else 1,), x.dtype)
        logsumexp = _statistics(table, x.shape[0], x.dtype)
        self.options = (reduction, smoothing)
        table.soft_cross_entropy_forward(x, target, weight, loss, logsumexp, *self.options)
        if any(self.needs):
            self.save(*given, logsumexp, *(() if weight is None else (weight,)))
        return loss if reduction == 0 else loss.reshape(())

    def backward(self, g: Any) -> tuple[Any, ...]:
        table = self.kernels
        x, target, logsumexp, *rest = (_common.contiguous_array(table, a) for a in self.saved or ())
        g = _common.reshaped(table, g, (g.size,))
        grads = [table.empty(x.shape, x.dtype) if need else None for need in self.needs[:2]]
        weight = rest[0] if rest else None
        table.soft_cross_entropy_backward(x, target, weight, logsumexp, g, *grads, *self.options)
        return (*grads, None)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, p, _, *rest = self.saved_tensors()
        reduction, smoothing = self.options
        n, c = x.shape
        q = p * (1.0 - smoothing) + smoothing / max(c, 1)
        q = q * rest[0] if rest else q
        g = (g / float(n) if reduction == 1 else g).expand(n).unsqueeze(1)
        by_x = (softmax(x, 1) * q.sum(1, keepdim=True) - q) * g
        by_p = log_softmax(x, 1) * (smoothing - 1.0)
        by_p = (by_p * rest[0] if rest else by_p) * g
        return to(by_x, x.dtype), to(by_p, x.dtype), None

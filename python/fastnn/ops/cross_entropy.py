# SPDX-License-Identifier: BSD-3-Clause
"""Softmax and cross-entropy in one operation.

    loss_i = logsumexp(x_i) - x_i[t_i]      mean: over the rows whose target is not ignored

Shapes:   input (n, c) or (c,), target (n,) or () of class numbers -> () (or (n,) for 'none').
Backward: dx_ij = (softmax(x_i)_j - [j = t_i]) dloss_i (over the number of rows for the mean).
Saved:    input, target, logsumexp (n); the probabilities are never stored.
Source:   Bishop, "Pattern Recognition and Machine Learning", 2006, section 4.3.4.
"""

from __future__ import annotations

from typing import Any, Final

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops.copy import to
from fastnn.ops.softmax import softmax, wide
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

REDUCTIONS: Final = {"none": 0, "mean": 1, "sum": 2}


def _check_targets(target: Any, classes: int, ignore: int) -> Any:
    """Which rows count; IndexError for a class that does not exist."""
    kept = target != ignore
    bad = kept & ((target < 0) | (target >= classes))
    if bool(bad.any()):
        message = "cross_entropy: a target is no class"
        raise IndexError(message)
    return kept


@reference
def cross_entropy_forward(
    x: Any, target: Any, loss: Any, logsumexp: Any, count: Any, reduction: int, ignore_index: int
) -> None:
    """loss (1), or (n) for reduction 0; logsumexp (n); count (1): the rows not ignored."""
    xp = array_module(x)
    kept = _check_targets(target, x.shape[1], ignore_index)
    n, x = x.shape[0], wide(x)
    top = xp.max(x, axis=1) if x.size else xp.zeros(n, x.dtype)
    with xp.errstate(invalid="ignore", divide="ignore"):
        total = xp.add.reduce(xp.exp(x - top[:, None]), axis=1, dtype=x.dtype)
        xp.add(top, xp.log(total), out=logsumexp)
        picked = x[xp.arange(n), xp.where(kept, target, 0)] if x.size else top
        losses = (top - picked) + xp.log(total)
    losses = xp.where(kept, losses, xp.zeros((), x.dtype)).astype(x.dtype)
    count[0] = int(kept.sum())
    if reduction == 0:
        loss[...] = losses
        return
    total = xp.add.reduce(losses, dtype=x.dtype)
    with xp.errstate(invalid="ignore", divide="ignore"):
        loss[0] = total / count[0] if reduction == 1 else total


@reference
def cross_entropy_backward(
    x: Any,
    target: Any,
    logsumexp: Any,
    count: Any,
    grad_loss: Any,
    grad_x: Any,
    reduction: int,
    ignore_index: int,
) -> None:
    """grad_x = (exp(x - logsumexp) - one_hot(target)) g, g = grad_loss, over count for the mean."""
    xp = array_module(x)
    kept = _check_targets(target, x.shape[1], ignore_index)
    x, g = wide(x), wide(grad_loss)
    if reduction == 1:
        with xp.errstate(invalid="ignore", divide="ignore"):
            g = g / count
    scale = xp.where(kept, g, xp.zeros((), x.dtype)).astype(x.dtype)
    with xp.errstate(invalid="ignore"):
        out = xp.exp(x - logsumexp[:, None])
    rows = xp.arange(x.shape[0])[kept]
    out[rows, target[kept]] -= x.dtype.type(1)
    out[~kept] = 0  # whatever stands there: the loss does not depend on it
    grad_x[...] = out * scale[:, None]


class CrossEntropy(Op):
    """Losses of rows against class numbers."""

    name = "cross_entropy"

    def forward(self, x: Any, target: Any, reduction: int, ignore_index: int) -> Any:
        table = self.kernels
        original, x = x, _common.contiguous_array(table, x)
        target = _common.contiguous_array(table, target)
        n = x.shape[0]
        loss = table.empty((n if reduction == 0 else 1,), x.dtype)
        # Half precision counts to 2048, and would round what backward subtracts from every x.
        kind = _dtypes.float32.numpy if x.dtype == _dtypes.float16.numpy else x.dtype
        logsumexp = table.empty((n,), kind)
        count = table.empty((1,), kind)
        table.cross_entropy_forward(x, target, loss, logsumexp, count, reduction, ignore_index)
        if self.needs[0]:
            self.save(original, target, logsumexp, count)
        self.reduction, self.ignore_index = reduction, ignore_index
        return loss if reduction == 0 else loss.reshape(())

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, target, logsumexp, count = self.saved  # type: ignore[misc]
        table = self.kernels
        x = _common.contiguous_array(table, x)
        grad_x = table.empty(x.shape, x.dtype)
        g = _common.reshaped(table, g, (g.size,))
        table.cross_entropy_backward(
            x, target, logsumexp, count, g, grad_x, self.reduction, self.ignore_index
        )
        return grad_x, None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, target, _, count = self.saved_tensors()
        kept = target != self.ignore_index
        classes = Tensor._wrap(self.kernels.xp.arange(x.shape[1]))
        one_hot = (target.unsqueeze(1) == classes).to(x.dtype)
        scale = where(kept, g / count if self.reduction == 1 else g, 0.0)
        grad_x = (softmax(x, 1) - one_hot) * scale.unsqueeze(1)
        return to(grad_x, x.dtype), None  # the count of a half-precision mean is single


def _refuse_later(weight: Any, label_smoothing: float, target: Tensor, input: Tensor) -> None:
    what = None
    if weight is not None:
        what = "class weights"
    elif label_smoothing:
        what = "label smoothing"
    elif target.array.dtype.kind == "f":
        what = "class probabilities as target"
    elif input.ndim > 2:
        what = f"an input of {input.ndim} dimensions (flatten it to (n, c))"
    if what is not None:
        message = f"cross_entropy: {what}: not there yet; expected input (n, c) and target (n,)"
        raise NotImplementedError(message)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean of logsumexp(x_i) - x_i[t_i] over rows, as torch.nn.functional.cross_entropy.

    input:  (n, c) unnormalised scores, or (c,) for one sample.
    target: (n,) or () class numbers, integers in [0, c) or ``ignore_index``.
    reduction: 'mean', 'sum' or 'none'.

    Raises ValueError for shapes that do not go together (a target is never broadcast), IndexError
    for a class that does not exist.
    """
    _common.require_tensor("cross_entropy", "input", input)
    _common.require_tensor("cross_entropy", "target", target)
    _common.require_float("cross_entropy", "input", input)
    if size_average is not None or reduce is not None:
        message = "cross_entropy: size_average and reduce are gone; use reduction='mean' or 'sum'"
        raise ValueError(message)
    if reduction not in REDUCTIONS:
        message = f"cross_entropy: expected reduction 'mean', 'sum' or 'none', got {reduction!r}"
        raise ValueError(message)
    _refuse_later(weight, label_smoothing, target, input)
    single = input.ndim == 1
    if target.shape != input.shape[: input.ndim - 1] or input.ndim == 0:
        message = (
            f"cross_entropy: expected input (n, c) and target (n,), got {input.shape} and "
            f"{target.shape}"
        )
        raise ValueError(message)
    if target.array.dtype.kind not in "iu":
        message = f"cross_entropy: expected target of integers, got {target.dtype}; use .long()"
        raise RuntimeError(message)
    x = input.unsqueeze(0) if single else input
    numbers = to(target, _dtypes.int64).reshape(-1)
    try:
        out = CrossEntropy.apply((x, numbers), REDUCTIONS[reduction], int(ignore_index))
    except IndexError:
        message = (
            f"cross_entropy: expected classes in [0, {x.shape[1] - 1}] (or ignore_index "
            f"{ignore_index}), got {int(target.array.min())} ... {int(target.array.max())}"
        )
        raise IndexError(message) from None
    return out.reshape(()) if single else out  # type: ignore[no-any-return]


def _plain(x: Any, t: Any, reduction: str = "mean", ignore_index: int = -100) -> Any:
    xp = array_module(x)
    x, t = xp.atleast_2d(x), xp.atleast_1d(t)
    kept = t != ignore_index
    p = x - x.max(1, keepdims=True)
    p = p - xp.log(xp.exp(p).sum(1, keepdims=True))
    losses = -p[xp.arange(len(t)), xp.where(kept, t, 0)] * kept
    if reduction == "none":
        return losses
    return losses.sum() / (kept.sum() if reduction == "mean" else x.dtype.type(1))


_TARGET = ("int", (6,), 0, 5)
CASES = [
    OpCase(cross_entropy, "cross_entropy", [(6, 5), _TARGET], ref=_plain),
    *(
        OpCase(cross_entropy, "cross_entropy", [(6, 5), _TARGET], kwargs=k, ref=_plain)
        for k in ({"reduction": "sum"}, {"reduction": "none"}, {"ignore_index": 2})
    ),
    OpCase(cross_entropy, "cross_entropy", [(5,), ("int", (), 0, 5)], ref=_plain),
    OpCase(cross_entropy, "cross_entropy", [(33, 257), ("int", (33,), 0, 257)], ref=_plain),
    OpCase(
        cross_entropy,
        "cross_entropy",
        [(4096, 1000), ("int", (4096,), 0, 1000)],
        ref=_plain,
        bench=True,
    ),
]
_CE = "cross_entropy"
ERRORS = [
    ErrorCase(
        cross_entropy, _CE, [(6, 5), ("int", (5,), 0, 5)], ValueError, "expected input (n, c) and"
    ),
    ErrorCase(
        cross_entropy, _CE, [(6, 5), ("int", (6,), 5, 9)], IndexError, "expected classes in [0, 4]"
    ),
    ErrorCase(cross_entropy, _CE, [(6, 5), ("bool", (6,))], RuntimeError, "target of integers"),
    ErrorCase(cross_entropy, _CE, [(6, 5), _TARGET], ValueError, "reduction", {"reduction": "avg"}),
    ErrorCase(cross_entropy, _CE, [(6, 5), [1, 2]], TypeError, "expected target as a Tensor"),
]

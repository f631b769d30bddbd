# SPDX-License-Identifier: BSD-3-Clause
"""Softmax and cross-entropy in one operation.

    loss_i = logsumexp(x_i) - x_i[t_i]      mean: over the rows whose target is not ignored

Shapes:   input (n, c, ...) or (c,), target (n, ...) or () of class numbers, or probabilities of the
          input's shape -> () (or (n, ...) or () for 'none').
Backward: dx_ij = (softmax(x_i)_j - [j = t_i]) dloss_i (over the number of rows for the mean).
Saved:    input, target, logsumexp (n); the probabilities are never stored.
Weights, label smoothing and probabilities as target have kernels of their own, which go through a
row once more: ops/_soft_cross_entropy.py.
Source:   Bishop, "Pattern Recognition and Machine Learning", 2006, section 4.3.4.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common, _losses
from fastnn.ops._losses import REDUCTIONS, plain_classes
from fastnn.ops._scores import warn_of_probabilities
from fastnn.ops._soft_cross_entropy import SmoothCrossEntropy, SoftCrossEntropy
from fastnn.ops.copy import to
from fastnn.ops.nll import class_shape, kept_targets, no_class
from fastnn.ops.softmax import softmax, wide
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def cross_entropy_forward(
    x: Any, target: Any, loss: Any, logsumexp: Any, count: Any, reduction: int, ignore_index: int
) -> None:
    """loss (1), or (n) for reduction 0; logsumexp (n); count (1): the rows not ignored."""
    xp = array_module(x)
    kept = kept_targets("cross_entropy", target, x.shape[1], ignore_index)
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
    kept = kept_targets("cross_entropy", target, x.shape[1], ignore_index)
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


def _rows(x: Tensor) -> Tensor:
    """(n, c, ...) or (c,) as rows of c scores."""
    if x.ndim == 1:
        return x.unsqueeze(0)
    if x.ndim == 2:
        return x
    return x.permute(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])


def _soft(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> Tensor:
    if ignore_index >= 0:
        message = (
            "cross_entropy: expected no ignore_index with probabilities as target, got "
            f"{ignore_index}; set the rows of target to 0 instead"
        )
        raise RuntimeError(message)
    x, p = _losses.promoted("cross_entropy", input, target)
    _losses.class_weights("cross_entropy", weight, x, x.shape[x.ndim > 1])
    out = SoftCrossEntropy.apply(
        (_rows(x), _rows(p), weight), REDUCTIONS[reduction], float(smoothing)
    )
    shape = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    return out.reshape(shape) if reduction == "none" else out  # type: ignore[no-any-return]


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean of logsumexp(x_i) - x_i[t_i] over rows, as torch.nn.functional.cross_entropy.

    input:  (n, c, ...) unnormalised scores, or (c,) for one sample.
    target: (n, ...) or () class numbers, integers in [0, c) or ``ignore_index``; or probabilities
        p of the input's shape, with the loss sum_j p_ij (logsumexp(x_i) - x_ij).
    weight: (c,) a factor for each class; a mean over class numbers is divided by their weights.
    reduction: 'mean', 'sum' or 'none'.
    label_smoothing: s; the target becomes (1 - s) p + s / c (Szegedy et al. 2016).

    Raises ValueError for shapes that do not go together (a target is never broadcast), IndexError
    for a class that does not exist, RuntimeError for other types and a smoothing outside [0, 1].
    Warns once for each calling line where input holds probabilities: the softmax is part of this.
    """
    name = "cross_entropy"
    if plain_classes(input, target, weight, ignore_index, label_smoothing) and (
        size_average is reduce is None and reduction == "mean"
    ):
        warn_of_probabilities(name, input)
        try:
            return CrossEntropy.apply((input, target), 1, ignore_index)  # type: ignore[no-any-return]
        except IndexError:
            raise no_class(name, target, input.shape[1], ignore_index) from None
    _common.require_tensor(name, "input", input)
    _common.require_tensor(name, "target", target)
    _common.require_float(name, "input", input)
    reduction = _losses.check_reduction(name, reduction, size_average, reduce)
    if type(label_smoothing) is not float or not 0.0 <= label_smoothing <= 1.0:
        label_smoothing = _losses.label_share(name, label_smoothing)
    if type(ignore_index) is not int or ignore_index != -100:
        ignore_index = _common.integer(name, "ignore_index", ignore_index)
    warn_of_probabilities(name, input)
    if target.shape == input.shape and input.ndim > 0 and target.array.dtype.kind not in "biu":
        return _soft(input, target, weight, ignore_index, reduction, label_smoothing)
    c = class_shape(name, input, target)[1]
    _losses.class_weights(name, weight, input, c)
    numbers = to(target, _dtypes.int64).reshape(-1)
    options: tuple[Any, ...] = REDUCTIONS[reduction], ignore_index
    try:
        if weight is None and label_smoothing == 0.0:
            out = CrossEntropy.apply((_rows(input), numbers), *options)
        else:
            operands = _rows(input), numbers, weight
            out = SmoothCrossEntropy.apply(operands, *options, float(label_smoothing))
    except IndexError:
        raise no_class(name, target, c, ignore_index) from None
    return out.reshape(target.shape) if reduction == "none" else out  # type: ignore[no-any-return]


def _plain(
    x: Any,
    t: Any,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Any:
    xp = array_module(x)
    single = x.ndim == 1
    x, t = (x[None], t[None]) if single else (x, t)
    c = x.shape[1]
    p = x - x.max(1, keepdims=True)
    p = p - xp.log(xp.exp(p).sum(1, keepdims=True))
    soft = t.shape == x.shape
    hits = t if soft else xp.moveaxis(t[..., None] == xp.arange(c), -1, 1)
    kept = xp.ones(x.shape[:1] + x.shape[2:], bool) if soft else t != ignore_index
    losses = -(p * (hits * (1 - label_smoothing) + label_smoothing / c)).sum(1) * kept
    if reduction == "none":
        return losses[0] if single else losses
    return losses.sum() / (kept.sum() if reduction == "mean" else x.dtype.type(1))


_CE, _TARGET = "cross_entropy", ("int", (6,), 0, 5)
CASES = [
    *(
        OpCase(cross_entropy, _CE, [shape, ("int", target, 0, c)], kwargs=k, ref=_plain)
        for shape, target, c, k in (
            ((6, 5), (6,), 5, {}),
            ((6, 5), (6,), 5, {"reduction": "sum"}),
            ((6, 5), (6,), 5, {"reduction": "none"}),
            ((6, 5), (6,), 5, {"ignore_index": 2}),
            ((5,), (), 5, {}),
            ((1, 1), (1,), 1, {}),
            ((33, 257), (33,), 257, {}),
            ((2, 3, 4, 5), (2, 4, 5), 3, {"ignore_index": 1}),
            ((2, 3, 7), (2, 7), 3, {"reduction": "none"}),
            ((6, 5), (6,), 5, {"label_smoothing": 0.1}),
            ((6, 5), (6,), 5, {"label_smoothing": 1.0, "reduction": "sum"}),
            ((2, 3, 7), (2, 7), 3, {"label_smoothing": 0.3, "reduction": "none"}),
            ((5,), (), 5, {"label_smoothing": 0.1}),
            ((33, 257), (33,), 257, {"label_smoothing": 0.2, "ignore_index": 3}),
            ((0, 4), (0,), 4, {"label_smoothing": 0.2, "reduction": "sum"}),
        )
    ),
    *(
        OpCase(cross_entropy, _CE, [shape, shape], kwargs=k, ref=_plain, low=0.0)
        for shape, k in (
            ((6, 5), {}),
            ((6, 5), {"reduction": "none", "label_smoothing": 0.1}),
            ((5,), {}),
            ((1, 1), {}),
            ((2, 3, 4, 5), {"label_smoothing": 0.2}),
            ((9, 65), {"reduction": "sum"}),
            ((0, 4), {"reduction": "sum"}),
        )
    ),
    OpCase(cross_entropy, _CE, [(4096, 1000), ("int", (4096,), 0, 1000)], ref=_plain, bench=True),
]
ERRORS = [
    ErrorCase(cross_entropy, _CE, [(6, 5), ("int", (5,), 0, 5)], ValueError, "expected input (c,)"),
    ErrorCase(
        cross_entropy, _CE, [(6, 5), ("int", (6,), 5, 9)], IndexError, "expected classes in [0, 4]"
    ),
    ErrorCase(cross_entropy, _CE, [(6, 5), ("bool", (6,))], RuntimeError, "target of integers"),
    ErrorCase(cross_entropy, _CE, [(6, 5), (6,)], RuntimeError, "target of integers"),
    ErrorCase(cross_entropy, _CE, [(6, 5), (6, 4)], RuntimeError, "target (n, ...), got (6, 5)"),
    ErrorCase(cross_entropy, _CE, [(6, 5), _TARGET], ValueError, "reduction", {"reduction": "avg"}),
    ErrorCase(cross_entropy, _CE, [(6, 5), [1, 2]], TypeError, "expected target as a Tensor"),
    ErrorCase(cross_entropy, _CE, [(6, 5), _TARGET, (4,)], RuntimeError, "weight of shape (5,)"),
    ErrorCase(
        cross_entropy,
        _CE,
        [(6, 5), _TARGET],
        RuntimeError,
        "label_smoothing between 0 and 1",
        {"label_smoothing": 1.5},
    ),
    ErrorCase(
        cross_entropy, _CE, [(6, 5), (6, 5)], RuntimeError, "no ignore_index", {"ignore_index": 2}
    ),
]

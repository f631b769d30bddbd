# SPDX-License-Identifier: BSD-3-Clause
"""Negative log-likelihood of class numbers.

    loss_ij = -w[t_ij] x[i, t_ij, j]      mean: over the weight of the targets not ignored

Shapes:   input (n, c, ...) or (c,), target (n, ...) or (), weight w (c,), 1 where not given
          -> () (or the target's shape for 'none').
Backward: dx[i, t_ij, j] = -w[t_ij] dloss_ij, 0 elsewhere.
Saved:    target, weight, the weight of the mean.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common, _losses
from fastnn.ops._losses import REDUCTIONS
from fastnn.ops._tied import of_input
from fastnn.ops.copy import to
from fastnn.ops.softmax import wide
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def kept_targets(kernel: str, target: Any, classes: int, ignore: int) -> Any:
    """Which targets count; IndexError for a class that does not exist."""
    kept = target != ignore
    bad = kept & ((target < 0) | (target >= classes))
    if bool(bad.any()):
        message = f"{kernel}: a target is no class"
        raise IndexError(message)
    return kept


def target_weights(target: Any, kept: Any, weight: Any, dtype: Any) -> Any:
    """The weight of every target, 0 where it is ignored."""
    xp = array_module(target)
    w = xp.ones(target.shape, dtype)
    if weight is not None:
        w = wide(weight)[xp.where(kept, target, 0)] if weight.size else w
    return xp.where(kept, w, xp.zeros((), dtype)).astype(dtype)


@reference
def nll_loss_forward(
    x: Any, target: Any, weight: Any, loss: Any, total: Any, reduction: int, ignore_index: int
) -> None:
    """loss (1), or (n m) for reduction 0; total (1): the weight of the targets not ignored."""
    xp = array_module(x)
    kept = kept_targets("nll_loss_forward", target, x.shape[1], ignore_index)
    values = wide(x)
    w = target_weights(target, kept, weight, values.dtype)
    if x.size:
        picks = xp.where(kept, target, 0)[:, None, :]
        picked = xp.take_along_axis(values, picks, axis=1)[:, 0]
    else:
        picked = xp.zeros(target.shape, values.dtype)
    # What stands in an ignored place does not matter, not even NaN.
    losses = xp.where(kept, -picked * w, xp.zeros((), values.dtype))
    whole = xp.add.reduce(w.reshape(-1), dtype=w.dtype)
    total[0] = whole
    if reduction == 0:
        loss[...] = losses.reshape(loss.shape)
        return
    added = xp.add.reduce(losses.reshape(-1), dtype=w.dtype) + 0  # from +0 on, so never -0
    loss[0] = added / whole if reduction == 1 else added


@reference
def nll_loss_backward(
    target: Any,
    weight: Any,
    total: Any,
    grad_loss: Any,
    grad_x: Any,
    reduction: int,
    ignore_index: int,
) -> None:
    """grad_x[i, t_ij, j] = -w[t_ij] g_ij, 0 elsewhere; g = grad_loss, over total for the mean."""
    xp = array_module(grad_x)
    kept = kept_targets("nll_loss_backward", target, grad_x.shape[1], ignore_index)
    g = wide(grad_loss)
    if reduction == 1:
        g = g / total
    w = target_weights(target, kept, weight, g.dtype)
    grad_x[...] = 0
    n, m = xp.nonzero(kept)
    each = g.reshape(target.shape) if reduction == 0 else xp.broadcast_to(g, target.shape)
    grad_x[n, target[n, m], m] = (-w * each)[n, m]


class NLLLoss(Op):
    """Losses of class numbers against logarithms of probabilities (n, c, m)."""

    name = "nll_loss"

    def forward(self, x: Any, target: Any, weight: Any, reduction: int, ignore_index: int) -> Any:
        table = self.kernels
        x, target = (_common.contiguous_array(table, a) for a in (x, target))
        if weight is not None:
            weight = _common.contiguous_array(table, weight)
        loss = table.empty(target.shape if reduction == 0 else (1,), x.dtype)
        # Half precision counts to 2048.
        kind = _dtypes.float32.numpy if x.dtype == _dtypes.float16.numpy else x.dtype
        total = table.empty((1,), kind)
        table.nll_loss_forward(x, target, weight, loss, total, reduction, ignore_index)
        if self.needs[0]:
            self.save(target, total, *(() if weight is None else (weight,)))
        self.shape, self.dtype = x.shape, x.dtype
        self.reduction, self.ignore_index = reduction, ignore_index
        return loss if reduction == 0 else loss.reshape(())

    def backward(self, g: Any) -> tuple[Any, ...]:
        target, total, *weight = self.saved or ()
        table = self.kernels
        grad_x = table.empty(self.shape, self.dtype)
        g = _common.reshaped(table, g, (g.size,))
        w = weight[0] if weight else None
        table.nll_loss_backward(target, w, total, g, grad_x, self.reduction, self.ignore_index)
        return grad_x, None, None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        target, total, *weight = self.saved_tensors()
        classes = Tensor._wrap(self.kernels.xp.arange(self.shape[1])).reshape(1, -1, 1)
        kept = target != self.ignore_index
        hits = (target.unsqueeze(1) == classes).to(total.dtype)
        if weight:
            hits = hits * weight[0].reshape(1, -1, 1)
        g = where(kept, g / total if self.reduction == 1 else g, 0.0)
        gx = to(-hits * g.unsqueeze(1), _dtypes.from_numpy(self.dtype))
        return of_input(self, gx), None, None


def class_shape(name: str, input: Tensor, target: Tensor) -> tuple[int, int, int]:
    """The input as (n, c, m); raises unless the target holds one integer for each (n, m)."""
    if input.ndim == 0 or target.shape != (
        input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
    ):
        message = (
            f"{name}: expected input (c,) and target (), or input (n, c, ...) and target (n, ...), "
            f"got {tuple(input.shape)} and {tuple(target.shape)}; target holds class numbers and "
            "has no dimension of classes"
        )
        same = input.ndim > 1 and target.shape[:1] == input.shape[:1]
        raise (RuntimeError if same else ValueError)(message)
    if target.array.dtype.kind not in "iu":
        message = f"{name}: expected target of integers, got {target.dtype}; use .long()"
        raise RuntimeError(message)
    if input.ndim == 1:
        return 1, input.shape[0], 1
    return input.shape[0], input.shape[1], math.prod(input.shape[2:])


def no_class(name: str, target: Tensor, classes: int, ignore_index: int) -> IndexError:
    """The error for a target that is not one of the classes."""
    message = (
        f"{name}: expected classes in [0, {classes - 1}], as input has {classes} classes (or "
        f"ignore_index {ignore_index}), got {int(target.array.min())} ... "
        f"{int(target.array.max())}; number the classes from 0"
    )
    return IndexError(message)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-weight[t] input[t] of the target classes t, as torch.nn.functional.nll_loss.

    input:  (n, c, ...) or (c,) logarithms of probabilities.
    target: (n, ...) or () class numbers, integers in [0, c) or ``ignore_index``.
    weight: (c,) a factor for each class. A mean is divided by the weights of the targets.

    Raises ValueError for shapes that do not go together and unknown reductions, IndexError for a
    class that does not exist, RuntimeError for other types.
    """
    name = "nll_loss"
    reduction = _losses.check_reduction(name, reduction, size_average, reduce)
    _common.require_tensor(name, "input", input)
    _common.require_tensor(name, "target", target)
    _common.require_float(name, "input", input)
    shape = n, c, m = class_shape(name, input, target)
    _losses.class_weights(name, weight, input, c)
    if type(ignore_index) is not int or ignore_index != -100:
        ignore_index = _common.integer(name, "ignore_index", ignore_index)
    numbers = to(target, _dtypes.int64).reshape(n, m)
    try:
        out = NLLLoss.apply(
            (input.reshape(shape), numbers, weight), REDUCTIONS[reduction], ignore_index
        )
    except IndexError:
        raise no_class(name, target, c, ignore_index) from None
    return out.reshape(target.shape) if reduction == "none" else out  # type: ignore[no-any-return]


def _plain(x: Any, t: Any, reduction: str = "mean", ignore_index: int = -100) -> Any:
    xp = array_module(x)
    if x.ndim == 1:
        x, t = x[None], t[None]
    kept = t != ignore_index
    losses = -xp.take_along_axis(x, xp.where(kept, t, 0)[:, None], 1)[:, 0] * kept
    if reduction == "none":
        return losses
    return losses.sum() / (kept.sum() if reduction == "mean" else x.dtype.type(1))


_NLL = "nll_loss"
_TARGET = ("int", (6,), 0, 5)
CASES = [
    *(
        OpCase(nll_loss, _NLL, [shape, ("int", target, 0, c)], kwargs=k, ref=_plain)
        for shape, target, c, k in (
            ((6, 5), (6,), 5, {}),
            ((6, 5), (6,), 5, {"reduction": "sum"}),
            ((6, 5), (6,), 5, {"reduction": "none"}),
            ((6, 5), (6,), 5, {"ignore_index": 2}),
            ((1, 1), (1,), 1, {}),
            ((5,), (), 5, {}),
            ((2, 3, 4, 5), (2, 4, 5), 3, {}),
            ((2, 3, 7), (2, 7), 3, {"reduction": "none", "ignore_index": 1}),
            ((0, 4), (0,), 4, {"reduction": "sum"}),
            ((0, 4), (0,), 4, {"reduction": "none"}),
            ((2, 4, 0), (2, 0), 4, {"reduction": "none"}),
            ((20000, 3), (20000,), 3, {"ignore_index": 1}),
        )
    ),
    OpCase(nll_loss, _NLL, [(4096, 1000), ("int", (4096,), 0, 1000)], ref=_plain, bench=True),
]
ERRORS = [
    ErrorCase(nll_loss, _NLL, [(6, 5), ("int", (5,), 0, 5)], ValueError, "expected input (c,) and"),
    ErrorCase(
        nll_loss, _NLL, [(6, 5, 2), ("int", (6,), 0, 5)], RuntimeError, "target (n, ...), got (6, 5"
    ),
    ErrorCase(nll_loss, _NLL, [(6, 5), ("int", (6,), 5, 9)], IndexError, "input has 5 classes"),
    ErrorCase(nll_loss, _NLL, [(6, 5), (6,)], RuntimeError, "target of integers"),
    ErrorCase(nll_loss, _NLL, [(6, 5), _TARGET, (4,)], RuntimeError, "weight of shape (5,)"),
    ErrorCase(
        nll_loss, _NLL, [(6, 5), _TARGET, ("int", (5,), 1, 3)], RuntimeError, "of input's type"
    ),
    ErrorCase(nll_loss, _NLL, [(6, 5), _TARGET], ValueError, "reduction", {"reduction": "avg"}),
]

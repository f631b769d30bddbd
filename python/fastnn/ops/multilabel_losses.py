# SPDX-License-Identifier: BSD-3-Clause
"""Losses of samples that are of several classes at once.

    multilabel_margin_loss       1 / c sum_{k in t, j not in t} max(0, 1 - x_k + x_j)
    multilabel_soft_margin_loss  -1 / c sum_j w_j (t_j log s(x_j) + (1 - t_j) log s(-x_j)),
                                 s(x) = 1 / (1 + exp(-x))

Shapes:   input (n, c) or (c), target of the same shape -> () or (n) or () for reduction 'none'.
Backward: that of the operations they are made of.
Source:   Zhang and Zhou, "A review on multi-label learning algorithms", 2014.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.ops import _common, _losses
from fastnn.ops._losses import reduced
from fastnn.ops.activation import relu
from fastnn.ops.class_margin_losses import check_classes, class_rows
from fastnn.ops.copy import to
from fastnn.ops.cumulative import cumsum
from fastnn.ops.gather import gather_elements as gather
from fastnn.ops.reduce import sum
from fastnn.ops.scatter import scatter_add_elements as scatter_add
from fastnn.ops.smooth_activations import logsigmoid
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 / c sum_{k in t, j not in t} max(0, 1 - x_k + x_j), as torch's.

    input:  (n, c), (c) or () scores.
    target: of the same shape: the numbers of a sample's classes in [0, c), up to the first -1; one
        that is named twice counts twice. reduction: 'mean' over the samples, 'sum' or 'none'.

    Needs memory for n c^2 numbers. Raises ValueError for an unknown reduction, RuntimeError for
    shapes that do not go together, a class that does not exist and other types.
    """
    name = "multilabel_margin_loss"
    reduction = _losses.check_reduction(name, reduction, size_average, reduce)
    x, t = class_rows(name, input, target)
    same = target.shape == input.shape or input.numel() == 1 == target.numel()
    if not same or target.ndim > 2:
        message = (
            f"{name}: expected target of input's shape {tuple(input.shape)}, got "
            f"{tuple(target.shape)}; fill it up with -1 behind a sample's classes"
        )
        raise RuntimeError(message)
    n, c = x.shape
    t = t.reshape(n, c)
    check_classes(name, t, -1, c)
    named = cumsum(to(t < 0, _dtypes.int64), 1) == 0
    t = where(named, t, 0)
    count = to(named, _dtypes.int64)
    right = scatter_add(count * 0, 1, t, count) > 0
    z = relu(1.0 - gather(x, 1, t).unsqueeze(2) + x.unsqueeze(1))
    counts = named.unsqueeze(2) & ~right.unsqueeze(1)
    losses = sum(where(counts, z, 0.0), (1, 2)) / c
    return reduced(losses.reshape(input.shape[:-1]), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes of the cross-entropy of sigmoid(input), as torch's.

    input:  (..., c) scores. target: of the same shape, 1 for a sample's classes, else 0.
    weight: (c), or what else broadcasts to the input's shape.
    reduction: of the (...) means over the classes 'mean', 'sum' or 'none'.

    Raises ValueError for other reductions, IndexError for a 0-d input, RuntimeError for
    integers as input and a weight that does not broadcast.
    """
    name = "multilabel_soft_margin_loss"
    reduction = _losses.check_reduction(name, reduction, size_average, reduce)
    _losses.check_pair(name, input, target)
    _common.require_float(name, "input", input)
    _common.require_dims(name, input, IndexError)
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        _common.require_tensor(name, "weight", weight)
        _common.broadcast_shape(name, input.shape, weight.shape)
        losses = losses * weight
    return reduced(losses.sum(-1) / input.shape[-1], reduction)


def _reduced(losses: Any, reduction: str) -> Any:
    return losses if reduction == "none" else getattr(losses, reduction)()


def _plain_multilabel(x: Any, t: Any, reduction: str = "mean") -> Any:
    xp = array_module(x)
    c = (x.shape or (1,))[-1]
    losses = []
    for row, labels in zip(x.reshape(-1, c), t.reshape(-1, c), strict=True):
        named = [k for i, k in enumerate(labels) if (labels[: i + 1] >= 0).all()]
        others = [j for j in range(c) if j not in named]
        total = row[:1].sum() * 0
        for k in named:
            total = total + xp.maximum(1 - row[k] + row[others], 0).sum()
        losses.append(total / c)
    return _reduced(xp.asarray(losses, x.dtype).reshape(x.shape[:-1]), reduction)


def _plain_soft(x: Any, t: Any, *given: Any, reduction: str = "mean") -> Any:
    xp = array_module(x)
    s = 1 / (1 + xp.exp(-x))
    losses = -(t * xp.log(s) + (1 - t) * xp.log(1 - s)) * (given[0] if given else 1.0)
    return _reduced(losses.mean(-1), reduction)


_MULTILABEL, _SOFT = "multilabel_margin_loss", "multilabel_soft_margin_loss"
CASES = [
    *(
        OpCase(
            multilabel_margin_loss,
            _MULTILABEL,
            [shape, ("cells", t)],
            kwargs={"reduction": r},
            ref=_plain_multilabel,
        )
        for shape, t, r in (
            ((2, 4), [[3, 0, -1, 1], [-1, 2, 1, 0]], "mean"),
            ((2, 4), [[1, 1, -1, 1], [3, 2, 1, 0]], "none"),
            ((4,), [2, 0, -1, 3], "sum"),
            ((), 0, "mean"),
            ((), -1, "none"),
        )
    ),
    *(
        OpCase(multilabel_soft_margin_loss, _SOFT, shapes, kwargs={"reduction": r}, ref=_plain_soft)
        for shapes, r in (
            ([(2, 3), (2, 3)], "mean"),
            ([(3,), ("cells", [0, 1, 1])], "sum"),
            ([(2, 2, 3), (2, 2, 3)], "none"),
            ([(2, 3), (2, 3), (3,)], "mean"),
            ([(2, 3), (2, 3), (2, 1)], "none"),
        )
    ),
]
ERRORS = [
    *(
        ErrorCase(multilabel_margin_loss, _MULTILABEL, given, error, text, options)
        for given, error, text, options in (
            ([(5, 4), ("int", (4,), 0, 4)], RuntimeError, "target of input's shape", {}),
            ([(5, 4), ("int", (), 0, 4)], RuntimeError, "target of input's shape", {}),
            ([(5, 4), ("int", (5, 4), 4, 6)], RuntimeError, "classes in [-1, 3]", {}),
            ([(5, 4), ("int", (5, 4), -9, -2)], RuntimeError, "classes in [-1, 3]", {}),
            ([(0,), ("int", (0,), 0, 4)], RuntimeError, "at least one class", {}),
            ([(5, 4), (5, 4)], RuntimeError, "target of integers", {}),
            ([(5, 4), ("int", (5, 4), 0, 4)], ValueError, "reduction", {"reduction": "avg"}),
        )
    ),
    *(
        ErrorCase(multilabel_soft_margin_loss, _SOFT, given, error, text, options)
        for given, error, text, options in (
            ([(5, 4), (4,)], RuntimeError, "losses broadcast nothing", {}),
            ([(), ()], IndexError, "at least one dimension", {}),
            ([(5, 4), (5, 4), (3,)], RuntimeError, "shapes that broadcast", {}),
            ([(5, 4), (5, 4), [1.0]], TypeError, "weight as a Tensor", {}),
            ([("int", (3,), 0, 2)] * 2, RuntimeError, "floating-point type", {}),
            ([(5, 4), (5, 4)], ValueError, "reduction", {"reduction": "avg"}),
        )
    ),
]

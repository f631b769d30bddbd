# SPDX-License-Identifier: BSD-3-Clause
"""Margin losses over classes: the score of the right class against all others.

    multiclass_svm_loss  sum_{j != t} max(0, m - x_t + x_j)^p
    multi_margin_loss    w_t / c times the same

Shapes:   input (n, c) or (c), or () for one class; target (n) or () class numbers
          -> () or the target's shape for reduction 'none'.
Backward: that of the operations they are made of.
Sources:  Weston and Watkins, "Support vector machines for multi-class pattern recognition", 1999;
          Crammer and Singer 2001 (the margin of the right class).
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.ops import _common, _losses
from fastnn.ops._elementwise import number
from fastnn.ops._losses import reduced
from fastnn.ops.activation import relu
from fastnn.ops.copy import to
from fastnn.ops.gather import gather_elements as gather
from fastnn.ops.reduce import sum
from fastnn.ops.rows import index_select
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def class_rows(name: str, input: Any, target: Any) -> tuple[Tensor, Tensor]:
    """Scores as (n, c) and class numbers as int64; raises unless they are such."""
    _common.require_tensor(name, "input", input)
    _common.require_tensor(name, "target", target)
    _common.require_float(name, "input", input)
    if input.ndim > 2 or input.shape[-1:] == (0,):
        message = (
            f"{name}: expected input (n, c), (c) or () with at least one class, got "
            f"{tuple(input.shape)}; reshape() it"
        )
        raise RuntimeError(message)
    if target.dtype.is_floating_point or target.dtype is _dtypes.bool_:
        message = (
            f"{name}: expected target of integers, got {target.dtype}; convert class numbers with "
            ".long()"
        )
        raise RuntimeError(message)
    x = input if input.ndim == 2 else input.reshape(1, -1)
    return x, to(target, _dtypes.int64)


def check_classes(name: str, t: Tensor, least: int, classes: int) -> None:
    if t.array.size and bool(((t < least) | (t >= classes)).any()):
        message = (
            f"{name}: expected classes in [{least}, {classes - 1}], as input has {classes}, got "
            f"{t.array.min()} ... {t.array.max()}; number the classes from 0"
        )
        raise RuntimeError(message)


def _violations(name: str, input: Any, target: Any, margin: Any, p: Any) -> tuple[Tensor, Tensor]:
    """max(0, m - x_t + x_j)^p for every class, 0 for the right one; and the right ones (n)."""
    if isinstance(p, bool) or p not in (1, 2):
        message = f"{name}: expected p 1 or 2, got {_common.shown(p)}; 2 squares the violations"
        raise ValueError(message)
    x, t = class_rows(name, input, target)
    n, c = x.shape
    if target.ndim > 1 or target.numel() != n:
        message = (
            f"{name}: expected a class number for each of {n} samples, target of shape ({n},), got "
            f"{tuple(target.shape)} for input {tuple(input.shape)}; reshape() it"
        )
        raise RuntimeError(message)
    m = number(name, "margin", margin)
    check_classes(name, t, 0, c)
    column = t.reshape(n, 1)
    z = relu(m - gather(x, 1, column) + x)
    z = z * z if p == 2 else z
    classes = Tensor._wrap(_common.table_of(x).xp.arange(c))
    return where(column == classes, 0.0, z), column.reshape(n)


def multiclass_svm_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    p: int = 1,
    reduction: str = "mean",
) -> Tensor:
    """sum_{j != t} max(0, margin - x_t + x_j)^p: the multiclass support vector machine's loss.

    input:  (n, c), (c) or () scores. target: (n) or () class numbers, integers in [0, c).
    p: 1, or 2 for squared violations. reduction: 'mean' over the samples, 'sum' or 'none'.
    It is c times `multi_margin_loss`. A score that just keeps the margin has the slope 0.

    Raises ValueError for another p or reduction, RuntimeError for shapes that do not go together, a
    class that does not exist and other types.
    Source: Weston and Watkins, "Support vector machines for multi-class pattern recognition", 1999.
    """
    name = "multiclass_svm_loss"
    _losses.check_reduction(name, reduction)
    z, _ = _violations(name, input, target, margin, p)
    return reduced(sum(z, 1).reshape(target.shape), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """w_t / c sum_{j != t} max(0, margin - x_t + x_j)^p, as torch.nn.functional.multi_margin_loss.

    input:  (n, c), (c) or () scores. target: (n) or () class numbers, integers in [0, c).
    p: 1 or 2. weight: (c) a factor for each class. reduction: 'mean' over the samples, 'sum' or
        'none'.

    Raises ValueError for another p or reduction and a weight not of one dimension, RuntimeError for
    shapes that do not go together, a class that does not exist and other types.
    """
    name = "multi_margin_loss"
    reduction = _losses.check_reduction(name, reduction, size_average, reduce)
    if isinstance(weight, Tensor) and weight.ndim != 1:
        message = (
            f"{name}: expected weight of one dimension, a number for each class, got "
            f"{tuple(weight.shape)}; None weighs all classes alike"
        )
        raise ValueError(message)
    z, t = _violations(name, input, target, margin, p)
    c = z.shape[1]
    _losses.class_weights(name, weight, input, c)
    losses = sum(z, 1) / c
    if weight is not None:
        losses = losses * index_select(weight, 0, t)
    return reduced(losses.reshape(target.shape), reduction)


def _reduced(losses: Any, reduction: str) -> Any:
    return losses if reduction == "none" else getattr(losses, reduction)()


def _plain_svm(
    x: Any, t: Any, margin: float = 1.0, p: int = 1, reduction: str = "mean", weight: Any = None,
    mean: bool = False,
) -> Any:  # fmt: skip
    xp = array_module(x)
    rows, classes = x.reshape(-1, (x.shape or (1,))[-1]), t.reshape(-1)
    losses = []
    for row, k in zip(rows, classes, strict=True):
        others = xp.delete(xp.maximum(margin - row[k] + row, 0) ** p, k).sum()
        others = others / row.size if mean else others
        losses.append(others * (1 if weight is None else weight[k]))
    return _reduced(xp.asarray(losses, x.dtype).reshape(t.shape), reduction)


def _plain_multi(x: Any, t: Any, **options: Any) -> Any:
    return _plain_svm(x, t, mean=True, **options)


def _plain_weighted(x: Any, t: Any, p: int, margin: float, weight: Any) -> Any:
    return _plain_multi(x, t, p=p, margin=margin, weight=weight)


_SVM, _MULTI = "multiclass_svm_loss", "multi_margin_loss"
_FOUR = ("cells", [2, 0, 1, 1])
_ONE = ((4, 3), _FOUR)
CASES = [
    *(
        OpCase(f, name, list(shapes), kwargs=k, ref=ref)
        for f, name, ref in (
            (multiclass_svm_loss, _SVM, _plain_svm),
            (multi_margin_loss, _MULTI, _plain_multi),
        )
        for shapes, k in (
            (_ONE, {}),
            (_ONE, {"p": 2, "margin": 0.5, "reduction": "sum"}),
            (_ONE, {"margin": -0.5, "reduction": "none"}),
            (((3,), ("cells", 1)), {}),
            (((3,), ("cells", [2])), {"reduction": "none"}),
            (((), ("cells", 0)), {"reduction": "none"}),
            (((0, 3), ("cells", [])), {"reduction": "none"}),
        )
    ),
    *(
        # A weight has no gradient, and every float of a case with gradients requires one.
        OpCase(multi_margin_loss, _MULTI, [*_ONE, p, m, (3,)], ref=_plain_weighted, grad=False)
        for p, m in ((1, 1.0), (2, 0.5))
    ),
]
ERRORS = [
    *(
        ErrorCase(f, f.__name__, given, error, text, options)
        for f in (multiclass_svm_loss, multi_margin_loss)
        for given, error, text, options in (
            ([(6, 5), ("int", (5,), 0, 5)], RuntimeError, "each of 6 samples", {}),
            ([(6, 5), ("int", (6, 5), 0, 5)], RuntimeError, "target of shape (6,)", {}),
            ([(6, 5), ("int", (6,), 5, 9)], RuntimeError, "classes in [0, 4]", {}),
            ([(6, 5), ("int", (6,), -9, -1)], RuntimeError, "classes in [0, 4]", {}),
            ([(6, 5), (6,)], RuntimeError, "target of integers", {}),
            ([(6, 0), ("int", (6,), 0, 5)], RuntimeError, "at least one class", {}),
            ([(2, 3, 4), ("int", (6,), 0, 5)], RuntimeError, "input (n, c)", {}),
            ([(6, 5), ("int", (6,), 0, 5)], ValueError, "p 1 or 2, got 3", {"p": 3}),
            ([(6, 5), ("int", (6,), 0, 5)], ValueError, "reduction", {"reduction": "avg"}),
        )
    ),
    *(
        ErrorCase(multi_margin_loss, _MULTI, [(6, 5), ("int", (6,), 0, 5), 1, 1.0, w], error, text)
        for w, error, text in (
            ((), ValueError, "weight of one dimension"),
            ((6, 5), ValueError, "weight of one dimension"),
            ((6,), RuntimeError, "weight of shape (5,)"),
            ([1.0], TypeError, "weight as a Tensor"),
        )
    ),
]

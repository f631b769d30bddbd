# SPDX-License-Identifier: BSD-3-Clause
"""Losses that ask for a margin: of an element against a sign, of two elements, of two vectors.

    hinge_embedding_loss   x where t = 1, max(0, m - x) where t = -1
    soft_margin_loss       log(1 + exp(-t x))
    perceptron_loss        max(0, -t x)
    margin_ranking_loss    max(0, m - t (x1 - x2))
    cosine_embedding_loss  1 - cos(x1, x2) where t = 1, max(0, cos(x1, x2) - m) where t = -1

Shapes:   all tensors (...) of one shape; of cosine_embedding_loss (n, d) with targets (n), or (d)
          with (). -> () or the target's shape for reduction 'none'.
Backward: that of the operations they are made of.
Sources:  Hadsell, Chopra and LeCun 2006 (hinge_embedding_loss, cosine_embedding_loss); Friedman,
          Hastie and Tibshirani 2000 (soft_margin_loss); Rosenblatt 1958, Bishop 2006 section 4.1.7
          (perceptron_loss); Burges et al. 2005 (margin_ranking_loss).
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common, _losses
from fastnn.ops._elementwise import number
from fastnn.ops._losses import reduced
from fastnn.ops.activation import relu
from fastnn.ops.copy import to
from fastnn.ops.minmax import clamp_min
from fastnn.ops.smooth_activations import logsigmoid
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Distances x of pairs that belong together (t = 1) or apart (-1), as torch's.

        x where t = 1;  max(0, margin - x) where t = -1;  the sum of both where t is neither

    input: (...) of a floating-point type. target: (...) of the same shape, 1 or -1.
    reduction: 'mean', 'sum' or 'none'.
    Raises ValueError for other reductions, RuntimeError for other shapes and integers as input.
    Source: Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping",
    2006, with the distance itself in the place of its square.
    """
    name = "hinge_embedding_loss"
    reduction = _losses.check_reduction(name, reduction, size_average, reduce)
    _losses.check_pair(name, input, target)
    _common.require_float(name, "input", input)
    m = number(name, "margin", margin)
    apart = where(target == 1, 0.0, clamp_min(m - input, 0.0))
    return reduced(apart + where(target == -1, 0.0, input), reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-t x)) of scores and signs, as torch.nn.functional.soft_margin_loss.

    input: (...) of a floating-point type. target: (...) of the same shape, 1 or -1.
    reduction: 'mean', 'sum' or 'none'. Unlike torch's it does not overflow.
    Raises ValueError for other reductions, RuntimeError for other shapes and integers as input.
    Source: Friedman, Hastie and Tibshirani, "Additive logistic regression", 2000.
    """
    name = "soft_margin_loss"
    reduction = _losses.check_reduction(name, reduction, size_average, reduce)
    _losses.check_pair(name, input, target)
    _common.require_float(name, "input", input)
    return reduced(-logsigmoid(to(target, input.dtype) * input), reduction)


def perceptron_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """max(0, -t x): the perceptron criterion, of scores x = w . phi and signs t.

    input: (...) of a floating-point type. target: (...) of the same shape, 1 or -1.
    reduction: 'mean', 'sum' (the criterion itself) or 'none'. A step of gradient descent with the
    rate 1 on the loss of one sample is Rosenblatt's rule: w + t phi for a sample on the wrong side.
    On the boundary itself, x = 0, the slope is 0.
    Raises ValueError for other reductions, RuntimeError for other shapes and integers as input.
    Source: Bishop, "Pattern Recognition and Machine Learning", 2006, section 4.1.7.
    """
    name = "perceptron_loss"
    _losses.check_reduction(name, reduction)
    _losses.check_pair(name, input, target)
    _common.require_float(name, "input", input)
    return reduced(relu(-(to(target, input.dtype) * input)), reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin - t (x1 - x2)): which of two is to be the larger one, as torch's.

    input1, input2: (...). target: (...), 1 where input1 is to be larger, -1 where input2 is. All of
    one shape: unlike torch, nothing is broadcast. reduction: 'mean', 'sum' or 'none'.
    Raises ValueError for other reductions, RuntimeError for other shapes.
    Source: Burges et al., "Learning to rank using gradient descent", 2005, with a hinge.
    """
    name = "margin_ranking_loss"
    reduction = _losses.check_reduction(name, reduction, size_average, reduce)
    _losses.check_pair(name, input1, input2, "input1", "input2")
    _losses.check_pair(name, input1, target, "input1")
    m = number(name, "margin", margin)
    return reduced(clamp_min(-target * (input1 - input2) + m, 0.0), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(x1, x2) where t = 1, max(0, cos(x1, x2) - margin) where t = -1, as torch's.

    input1, input2: (n, d) with target (n), or (d) with target (). Where t is neither, the loss is
    0. The squares of the lengths are taken 1e-12 larger, so vectors of length 0 have a cosine.
    reduction: 'mean', 'sum' or 'none'. Raises ValueError for other reductions, RuntimeError for
    other shapes.
    """
    name = "cosine_embedding_loss"
    reduction = _losses.check_reduction(name, reduction, size_average, reduce)
    _losses.check_pair(name, input1, input2, "input1", "input2")
    _common.require_tensor(name, "target", target)
    if input1.ndim not in (1, 2) or target.shape != input1.shape[:-1]:
        message = (
            f"{name}: expected inputs (n, d) and target (n), or (d) and (), got {input1.shape} and "
            f"{target.shape}; losses broadcast nothing: use expand() or reshape()"
        )
        raise RuntimeError(message)
    m = number(name, "margin", margin)
    lengths = ((input1 * input1).sum(-1) + 1e-12) * ((input2 * input2).sum(-1) + 1e-12)
    cosine = (input1 * input2).sum(-1) / lengths.sqrt()
    near = where(target == 1, 1.0 - cosine, 0.0)
    return reduced(near + where(target == -1, clamp_min(cosine - m, 0.0), 0.0), reduction)


def _plain(of: Any) -> Any:
    def loss(*args: Any, reduction: str = "mean", **options: Any) -> Any:
        losses = of(array_module(args[0]), *args, **options)
        return losses if reduction == "none" else getattr(losses, reduction)()

    return loss


def _cosine(xp: Any, a: Any, b: Any, t: Any, margin: float = 0.0) -> Any:
    c = (a * b).sum(-1) / xp.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return xp.where(t == 1, 1 - c, xp.where(t == -1, xp.maximum(c - margin, 0), 0))


def _hinge(xp: Any, x: Any, t: Any, margin: float = 1.0) -> Any:
    return xp.where(t == 1, x, xp.maximum(margin - x, 0) + xp.where(t == -1, 0, x))


_FAMILY: tuple[tuple[Any, Any, int, tuple[dict[str, Any], ...]], ...] = (
    (hinge_embedding_loss, _hinge, 1, ({}, {"margin": 0.3})),
    (soft_margin_loss, lambda xp, x, t: xp.log1p(xp.exp(-t * x)), 1, ({},)),
    (perceptron_loss, lambda xp, x, t: xp.maximum(-t * x, 0), 1, ({},)),
    (
        margin_ranking_loss,
        lambda xp, a, b, t, margin=0.0: xp.maximum(margin - t * (a - b), 0),
        2,
        ({}, {"margin": 0.7}),
    ),
    (cosine_embedding_loss, _cosine, 2, ({}, {"margin": -0.2})),
)
_EACH: tuple[tuple[tuple[int, ...], Any, str], ...] = (
    ((), 1, "mean"),
    ((3,), [1, -1, 1], "mean"),
    ((2, 2), [[-1, 1], [1, 1]], "sum"),
    ((4,), [-1, 1, 0, 1], "none"),
    ((0,), [], "sum"),
)
_ROWS: tuple[tuple[tuple[int, ...], Any, str], ...] = (
    ((4,), -1, "sum"),
    ((3, 2), [1, -1, 0], "mean"),
    ((5, 3), [1, -1, -1, 1, 1], "none"),
    ((0, 3), [], "sum"),
)
CASES = [
    OpCase(
        f,
        f.__name__,
        [*[shape] * n, ("cells", signs)],
        kwargs={"reduction": r, **k},
        ref=_plain(ref),
        kink=0.0,
    )
    for f, ref, n, options in _FAMILY
    for k in options
    for shape, signs, r in (_ROWS if f is cosine_embedding_loss else _EACH)
    if not k or shape in ((4,), (5, 3))  # the options at one shape
]
ERRORS = [
    *(
        ErrorCase(f, f.__name__, [*[(3, 5)] * n, target], error, text, options)
        for f, _, n, _ in _FAMILY
        for target, error, text, options in (
            ((5,), RuntimeError, "losses broadcast nothing", {}),
            ((3, 1), RuntimeError, "target", {}),
            ([1.0], TypeError, "expected target as a Tensor, got list", {}),
            ((3, 5), ValueError, "reduction", {"reduction": "avg"}),
        )
    ),
    *(
        ErrorCase(f, f.__name__, [(3, 5), (3, 1), (3,)], RuntimeError, "input2 of input1's shape")
        for f in (margin_ranking_loss, cosine_embedding_loss)
    ),
    *(
        ErrorCase(f, f.__name__, [("int", (3,), 0, 5)] * 2, RuntimeError, "floating-point type")
        for f in (hinge_embedding_loss, soft_margin_loss, perceptron_loss)
    ),
    ErrorCase(hinge_embedding_loss, "hinge_embedding_loss", [(3,), (3,), "a"], TypeError, "margin"),
]

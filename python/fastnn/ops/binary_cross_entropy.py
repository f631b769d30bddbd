# SPDX-License-Identifier: BSD-3-Clause
"""Cross-entropy of two classes; t is target, w weight, p pos_weight (1 where not given).

    binary_cross_entropy              -w (t log x + (1 - t) log(1 - x)), logarithms >= -100
    binary_cross_entropy_with_logits   w (p t s(-x) + (1 - t) s(x)),  s(x) = log(1 + exp(x))

Shapes:   input (...), target (...) of the same shape, weights that broadcast to it
          -> () or (...) for reduction 'none'.
Backward: by x:  w (x - t) / max(x (1 - x), 1e-12);   w ((1 - t) sigmoid(x) - p t sigmoid(-x));
          by t:  w (log(1 - x) - log x), bounded;     w (p s(-x) - s(x)).
Source:   Bishop, "Pattern Recognition and Machine Learning", 2006, section 4.3.2.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common, _losses
from fastnn.ops._losses import PointwiseLoss
from fastnn.ops.activation import sigmoid
from fastnn.ops.copy import to
from fastnn.ops.view import expand
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


class BinaryCrossEntropy(PointwiseLoss):
    """Of probabilities."""

    name = kernel = "binary_cross_entropy"

    @staticmethod
    def slopes(*args: Any) -> tuple[Tensor, Tensor]:
        x, t, weight = args
        spread = (1.0 - x) * x
        hit, miss = x.log(), (1.0 - x).log()
        hit, miss = where(hit > -100.0, hit, -100.0), where(miss > -100.0, miss, -100.0)
        by_x, by_target = (x - t) / where(spread > 1e-12, spread, 1e-12), miss - hit
        return (by_x, by_target) if weight is None else (by_x * weight, by_target * weight)


class LogitCrossEntropy(PointwiseLoss):
    """Of logits."""

    name = kernel = "binary_cross_entropy_with_logits"

    @staticmethod
    def slopes(*args: Any) -> tuple[Tensor, Tensor]:
        x, t, weight, pos_weight = args
        high = sigmoid(x)
        if pos_weight is None:
            by_x, by_target = high - t, -x
        else:
            low = sigmoid(-x)
            by_x = (1.0 - t) * high - pos_weight * t * low
            # s(-x) = -log sigmoid(x)
            by_target = low.log() - pos_weight * high.log()
        return (by_x, by_target) if weight is None else (by_x * weight, by_target * weight)


def _expanded(name: str, what: str, weight: Any, input: Tensor) -> Tensor | None:
    if weight is None:
        return None
    _common.require_tensor(name, what, weight)
    weight = to(weight, input.dtype)  # numbers of any type, as pos_weight=tensor([3])
    _losses.check_constant(name, what, weight, input)
    if _common.broadcast_shape(name, input.shape, weight.shape) != input.shape:
        message = (
            f"{name}: expected {what} that broadcasts to the input's shape {tuple(input.shape)}, "
            f"got {tuple(weight.shape)}; reshape() it to the last sizes of the input, or to 1"
        )
        raise RuntimeError(message)
    return expand(weight, input.shape)


def _checked(name: str, input: Any, target: Any) -> None:
    _losses.check_pair(name, input, target, error=ValueError)
    _common.require_float(name, "input", input)
    if target.dtype != input.dtype:
        message = (
            f"{name}: expected target of input's type {input.dtype}, got {target.dtype}; convert "
            "it with .to(input.dtype)"
        )
        raise RuntimeError(message)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-w (t log x + (1 - t) log(1 - x)), as torch.nn.functional.binary_cross_entropy.

    input:  (...) probabilities x. Logarithms below -100 count as -100: the loss stays finite.
    target: (...) of the same shape and type, t in [0, 1].
    weight: broadcast to that shape.

    Raises ValueError for other shapes or reductions, RuntimeError for x outside of [0, 1] and for
    other types.
    """
    name = "binary_cross_entropy"
    reduction = _losses.check_reduction(name, reduction, size_average, reduce)
    _checked(name, input, target)
    options = (reduction != "none", _losses.divisor_of(reduction, input), ())
    operands = (input, target, _expanded(name, "weight", weight, input))
    try:
        return BinaryCrossEntropy.apply(operands, *options)  # type: ignore[no-any-return]
    except ValueError:
        message = (
            f"{name}: expected all elements of input between 0 and 1, got others (or NaN); use "
            "binary_cross_entropy_with_logits for values before the sigmoid"
        )
        raise RuntimeError(message) from None


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), without over- or underflow, as torch's.

    input:  (...) logits.
    target: (...) of the same shape, in [0, 1]; of another floating-point type, which is the
            result's then.
    weight, pos_weight: broadcast to that shape; pos_weight multiplies the loss of t = 1 alone.

    Raises ValueError for other shapes or reductions, RuntimeError for other types.
    """
    name = "binary_cross_entropy_with_logits"
    reduction = _losses.check_reduction(name, reduction, size_average, reduce)
    if isinstance(input, Tensor) and isinstance(target, Tensor) and input.dtype != target.dtype:
        kind = target.dtype
        if input.dtype.is_floating_point and kind.is_floating_point:
            input, target = _losses.promoted(name, input, target)
            loss = binary_cross_entropy_with_logits(
                input, target, weight, None, None, reduction, pos_weight
            )
            return to(loss, kind)
    _checked(name, input, target)
    options = (reduction != "none", _losses.divisor_of(reduction, input), ())
    weights = [
        _expanded(name, what, w, input)
        for what, w in (("weight", weight), ("pos_weight", pos_weight))
    ]
    return LogitCrossEntropy.apply((input, target, *weights), *options)  # type: ignore[no-any-return]


def _reduced(losses: Any, reduction: str) -> Any:
    return losses if reduction == "none" else getattr(losses, reduction)()


def _plain(x: Any, t: Any, weight: Any = 1.0, reduction: str = "mean") -> Any:
    xp = array_module(x)
    return _reduced(-weight * (t * xp.log(x) + (1 - t) * xp.log1p(-x)), reduction)


def _plain_logits(
    x: Any, t: Any, weight: Any = None, pos_weight: Any = None, reduction: str = "mean"
) -> Any:
    xp = array_module(x)
    w, p = 1.0 if weight is None else weight, 1.0 if pos_weight is None else pos_weight
    s = 1 / (1 + xp.exp(-x))
    return _reduced(-w * (p * t * xp.log(s) + (1 - t) * xp.log(1 - s)), reduction)


_BCE, _LOGITS = "binary_cross_entropy", "binary_cross_entropy_with_logits"
CASES = [
    *(
        OpCase(f, name, [s, s], kwargs={"reduction": r}, ref=ref, low=low, high=high)
        for f, name, ref, low, high in (
            (binary_cross_entropy, _BCE, _plain, 0.05, 0.95),
            (binary_cross_entropy_with_logits, _LOGITS, _plain_logits, -4.0, 4.0),
        )
        for s, r in (
            ((3, 5), "mean"),
            ((7, 1, 33), "sum"),
            ((4, 6), "none"),
            ((), "mean"),
            ((1, 1), "none"),
            ((0, 4), "sum"),
            ((130, 129), "mean"),
        )
    ),
    *(
        OpCase(f, name, [(1024, 2048)] * 2, ref=ref, low=0.05, high=0.95, bench=True)
        for f, name, ref in (
            (binary_cross_entropy, _BCE, _plain),
            (binary_cross_entropy_with_logits, _LOGITS, _plain_logits),
        )
    ),
]
ERRORS = [
    *(
        case
        for f, name in ((binary_cross_entropy, _BCE), (binary_cross_entropy_with_logits, _LOGITS))
        for case in (
            ErrorCase(f, name, [(3, 5), (5,)], ValueError, "losses broadcast nothing"),
            ErrorCase(f, name, [(3,), ("int", (3,), 0, 2)], RuntimeError, "of input's type"),
            ErrorCase(f, name, [("int", (3,), 0, 2)] * 2, RuntimeError, "floating-point type"),
            ErrorCase(f, name, [(3,), (3,), (4,)], RuntimeError, "shapes that broadcast"),
            ErrorCase(f, name, [(3,), (3,), (2, 3)], RuntimeError, "weight that broadcasts"),
            ErrorCase(f, name, [(3,), (3,)], ValueError, "reduction", {"reduction": "avg"}),
        )
    ),
    ErrorCase(binary_cross_entropy, _BCE, [(3, 5), (3, 5)], RuntimeError, "between 0 and 1"),
]

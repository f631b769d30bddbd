# SPDX-License-Identifier: BSD-3-Clause
"""What losses share: reductions, checks, and the operation behind those of pairs of elements."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar, Final

from fastnn import _dtypes
from fastnn._callers import user_line
from fastnn.autograd import Op
from fastnn.ops import (
    _common,
    _loss_reference,  # noqa: F401  (puts the references into the kernel table)
)
from fastnn.ops._elementwise import number
from fastnn.ops.copy import to
from fastnn.tensor import Tensor

REDUCTIONS: Final = {"none": 0, "mean": 1, "sum": 2}


class PointwiseLoss(Op):
    """A loss of every element of x, target and perhaps weights, all of one shape; then reduced.

    A subclass names its kernels and states the slopes of a loss by x and by target.
    """

    kernel: ClassVar[str]

    def forward(self, *args: Any) -> Any:
        *given, reduce, divisor, options = args
        table = self.kernels
        arrays: list[Any] = [
            None if a is None else _common.contiguous_array(table, a) for a in given
        ]
        x = arrays[0]
        loss = table.empty((1,) if reduce else x.shape, x.dtype)
        getattr(table, self.kernel + "_forward")(*arrays, loss, reduce, divisor, *options)
        if any(self.needs):
            self.save(*given[:2], *(a for a in arrays[2:] if a is not None))
        self.reduce, self.divisor, self.options = reduce, divisor, options
        self.present = tuple([a is not None for a in given])
        return loss.reshape(()) if reduce else loss

    def _with_absent(self, found: Any) -> list[Any]:
        following = iter(found)
        return [next(following) if present else None for present in self.present]

    def backward(self, g: Any) -> tuple[Any, ...]:
        table = self.kernels
        saved = [_common.contiguous_array(table, a) for a in self.saved or ()]
        arrays = self._with_absent(saved)
        x = arrays[0]
        g = _common.reshaped(table, g, (g.size,))
        grads = [table.empty(x.shape, x.dtype) if need else None for need in self.needs[:2]]
        kernel = getattr(table, self.kernel + "_backward")
        kernel(*arrays, g, *grads, self.reduce, self.divisor, *self.options)
        return (*grads, *[None] * (len(arrays) - 2))

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        tensors = self._with_absent(self.saved_tensors())
        slopes = self.slopes(*tensors, *self.options)
        if self.reduce:
            g = g / self.divisor
        dtype = tensors[0].dtype
        grads = [to(s * g, dtype) if n else None for s, n in zip(slopes, self.needs, strict=False)]
        return (*grads, *[None] * (len(tensors) - 2))

    @staticmethod
    def slopes(*args: Any) -> tuple[Tensor, Tensor]:
        """The derivatives of an element's loss by x and by target, in Tensor operations."""
        raise NotImplementedError


def check_reduction(
    name: str,
    reduction: Any,
    size_average: Any = None,
    reduce: Any = None,
    extra: tuple[str, ...] = (),
) -> str:
    """The reduction in force; ValueError for an unknown one.

    ``size_average`` and ``reduce``, which torch replaced by it, come first where either is given:
    None counts as True, ``reduce=False`` is 'none', ``size_average=False`` is 'sum'.
    """
    if size_average is not None or reduce is not None:
        if reduce is not None and not reduce:
            reduction = "none"
        else:
            reduction = "mean" if size_average is None or size_average else "sum"
        warnings.warn(
            f"{name}: size_average and reduce are deprecated; use reduction={reduction!r}",
            stacklevel=user_line()[0],
        )
    if not isinstance(reduction, str) or reduction not in (*REDUCTIONS, *extra):
        known = "".join(f"{e!r}, " for e in extra)
        message = (
            f"{name}: expected reduction {known}'none', 'mean' or 'sum', got {reduction!r}; 'mean' "
            "is the default"
        )
        raise ValueError(message)
    return reduction


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The mean of the losses, their sum, or they themselves."""
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def plain_classes(input: Any, target: Any, weight: Any, ignore_index: Any, smoothing: Any) -> bool:
    """Whether these certainly are rows of scores and a class number for each."""
    if type(input) is not Tensor or type(target) is not Tensor or weight is not None:
        return False
    x, t = input.array, target.array
    if x.ndim != 2 or t.ndim != 1 or x.shape[0] != t.shape[0]:
        return False
    usual = type(smoothing) is float and type(ignore_index) is int
    usual = usual and smoothing == 0.0 and ignore_index == -100
    return usual and x.dtype.char in "fd" and t.dtype is _dtypes.int64.numpy


def label_share(name: str, value: Any) -> float:
    """``label_smoothing`` as a float; TypeError for no number, RuntimeError outside [0, 1]."""
    share = number(name, "label_smoothing", value + 0 if isinstance(value, bool) else value)
    if not 0.0 <= share <= 1.0:
        message = (
            f"{name}: expected label_smoothing between 0 and 1, got {value}; 0.1 gives 10 per cent "
            "to all classes, 0 leaves them as they are"
        )
        raise RuntimeError(message)
    return share


def check_pair(
    name: str, input: Any, target: Any, what: str = "input", other: str = "target",
    error: type[Exception] = RuntimeError,
) -> None:  # fmt: skip
    """Raises unless input and target are tensors of one shape: nothing is broadcast."""
    _common.require_tensor(name, what, input)
    _common.require_tensor(name, other, target)
    if input.shape != target.shape:
        message = (
            f"{name}: expected {other} of {what}'s shape {tuple(input.shape)}, got "
            f"{tuple(target.shape)}: losses broadcast nothing, as a wrong shape would go "
            "unnoticed; use expand() or reshape()"
        )
        raise error(message)


def promoted(name: str, input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the type that holds either, which must be a floating-point type."""
    dtype = _common.result_type(input, target)
    if not dtype.is_floating_point:
        message = (
            f"{name}: expected input or target of a floating-point type, got {input.dtype} and "
            f"{target.dtype}; convert with .float()"
        )
        raise RuntimeError(message)
    return to(input, dtype), to(target, dtype)


def class_weights(name: str, weight: Any, input: Tensor, classes: int) -> None:
    """Raises unless ``weight`` is None or a constant tensor with a number for each class."""
    if weight is None:
        return
    _common.require_tensor(name, "weight", weight)
    if weight.shape != (classes,):
        message = (
            f"{name}: expected weight of shape ({classes},), one number for each class, got "
            f"{tuple(weight.shape)}; None weighs all classes alike"
        )
        raise RuntimeError(message)
    check_constant(name, "weight", weight, input)


def check_constant(name: str, what: str, weight: Tensor, input: Tensor) -> None:
    """RuntimeError unless a weight has the input's type and needs no gradient."""
    if weight.dtype != input.dtype:
        message = (
            f"{name}: expected {what} of input's type {input.dtype}, got {weight.dtype}; convert "
            "it with .to(input.dtype)"
        )
        raise RuntimeError(message)
    if weight.requires_grad:
        message = (
            f"{name}: expected {what} without grad, as there is none for it, got one that requires "
            "grad; detach() it, or multiply the losses of reduction='none'"
        )
        raise RuntimeError(message)


def divisor_of(reduction: str, input: Tensor) -> float:
    """By what the sum of all losses is divided."""
    if reduction == "batchmean":
        return float(input.shape[0]) if input.ndim else 1.0
    return float(math.prod(input.shape)) if reduction == "mean" else 1.0

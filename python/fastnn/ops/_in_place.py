# SPDX-License-Identifier: BSD-3-Clause
"""In-place operations: what is allowed, whose history the changed tensor takes over.

    exp_: InPlace[[]] = in_place(exp, "exp_forward")

makes the in-place form of a function whose first argument is a tensor. Where the change has to be
recorded the function runs on a copy, because the old value may be saved for backward, and the
tensor takes over the history of the result; its views from before are told by `Storage.rebased`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from fastnn import _backend, _dtypes
from fastnn._grad_mode import _mode
from fastnn._op import rebase
from fastnn.ops import _common
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from fastnn._dtypes import dtype as DType

P = ParamSpec("P")
# The type of an in-place function by its options: InPlace[[]] without any, InPlace[...].
InPlace = Callable[Concatenate[Tensor, P], Tensor]


def in_place(
    function: Callable[Concatenate[Tensor, P], Tensor], kernel: str | None = None
) -> InPlace[P]:
    """The form of ``function`` that writes its result into its first argument and returns it.

    ``kernel``: one of the form ``(x, y)`` that computes the function on floating-point arrays and
    may write over its input; it then runs without a temporary.
    """
    plain = function.__name__
    name = plain + "_"

    @functools.wraps(function)
    def change(input: Tensor, /, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        if check_in_place(name, input, *args, *kwargs.values()):
            return store_result(name, input, function(input.clone(), *args, **kwargs))
        array = input.array
        direct = kernel is not None and not args and not kwargs and array.dtype.kind == "f"
        if direct and array.flags.c_contiguous and array.flags.aligned:
            getattr(_backend.kernels(array), str(kernel))(array, array)
            input._bump_version()
            return input
        return store_result(name, input, function(input.detach(), *args, **kwargs))

    change.__name__ = change.__qualname__ = name
    change.__doc__ = f"""`{plain}` in place, as torch.Tensor.{name}: the tensor itself is returned.

    Raises RuntimeError where `{plain}` does, for a leaf that requires grad (outside of no_grad()),
    an expanded or read-only tensor, and a result whose shape or type the tensor cannot hold.
    """
    return change


def check_in_place(name: str, t: Tensor, *others: Any) -> bool:
    """Raises where an in-place change is not allowed; returns whether it must be recorded."""
    _common.require_tensor(name, "the tensor to change", t)
    array = t.array
    if (
        array.size
        and 0 in array.strides
        and any(s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True))
    ):
        message = (
            f"{name}: expected memory for every element, got an expanded tensor, whose elements "
            "share memory; clone() it first"
        )
        raise RuntimeError(message)
    if not array.flags.writeable:
        message = (
            f"{name}: expected memory that can be written, got read-only memory; clone() it first"
        )
        raise RuntimeError(message)
    if not _mode.enabled:
        return False
    if t._no_grad_view:
        message = (
            f"{name}: expected a view made while recording, got one made under no_grad() of a "
            "tensor that requires grad; make the view and change it both inside of no_grad(), or "
            "both outside"
        )
        raise RuntimeError(message)
    recording = t._requires_grad or any(isinstance(o, Tensor) and o._requires_grad for o in others)
    if not recording:
        return False
    if t._requires_grad and t._node is None and t._rebase_stamp is None:
        message = (
            f"{name}: expected a tensor without grad or the result of an operation, got a leaf "
            "that requires grad; change it inside no_grad(), or a clone() of it"
        )
        raise RuntimeError(message)
    if t._rebase_stamp is not None:
        message = (
            f"{name}: expected a tensor with memory of its own, got a view that takes part in a "
            "gradient; change a clone() of the view, or the tensor that it views"
        )
        raise RuntimeError(message)
    return True


def check_storable(name: str, dtype: DType, t: Tensor) -> None:
    """RuntimeError unless a result of a type may be written into ``t``."""
    if not _dtypes.can_cast(dtype, t.dtype):
        message = (
            f"{name}: expected a result that {t.dtype} can hold, got {dtype}; the operation "
            "without _ makes a new tensor"
        )
        raise RuntimeError(message)


def store_result(name: str, t: Tensor, out: Tensor) -> Tensor:
    """Copies ``out`` into the memory of ``t``, which takes over its history."""
    if out.shape != t.shape:
        message = (
            f"{name}: expected a result of shape {t.shape}, got {out.shape}; the operation without "
            "_ makes a new tensor"
        )
        raise RuntimeError(message)
    check_storable(name, out.dtype, t)
    table = _backend.kernels(t.array)
    kernel = table.copy if out.array.dtype == t.array.dtype else table.cast
    kernel(out.array, t.array)
    t._bump_version()
    if out._node is not None and out.array.dtype != t.array.dtype:
        out = out.to(t.dtype)
    if out._node is not None:
        rebase(t, out._node, out._output_nr)
        t.storage.rebased += 1
    return t

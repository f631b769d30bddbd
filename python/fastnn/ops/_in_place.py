# SPDX-License-Identifier: BSD-3-Clause
"""In-place operations: what is allowed, whose history the changed tensor takes over.

    exp_: InPlace[[]] = in_place(exp, "exp_forward")

makes the in-place form of a function whose first argument is a tensor. Where the change has to be
recorded the function runs on a copy, because the old value may be saved for backward, and the
tensor takes over the history of the result. If it is a view, its base does: as a whole of which one
part, the view's, was replaced (`CopySlices`). Views from before take their history anew when they
are next used (`_view_history`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from fastnn import _backend, _dtypes
from fastnn._grad_mode import _mode
from fastnn._view_history import base_of, chain_of, check_view, rebase, renew
from fastnn.ops import _common
from fastnn.ops._copy_slices import CopySlices
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
    flags = t.array.flags
    if not (flags.c_contiguous and flags.writeable):  # else no elements share memory
        check_memory(name, t, t)
    return check_history(name, t, others) if _mode.enabled else False


def check_memory(name: str, t: Tensor, source: Tensor) -> None:
    """RuntimeError unless the memory of ``t``, part of the source's, can be written."""
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
        base = base_of(source)
        if base is not None and base.array.flags.writeable:
            array.flags.writeable = True  # an expanded tensor's is not, but one row of it can be
            return
        message = (
            f"{name}: expected memory that can be written, got read-only memory; clone() it first"
        )
        raise RuntimeError(message)


def check_history(name: str, t: Tensor, others: tuple[Any, ...]) -> bool:
    """Raises where a recorded change is not allowed; returns whether this is one."""
    if not _mode.enabled:
        return False
    base = None if t._rebase_stamp is None else base_of(t)
    recording = t._requires_grad or (base is not None and base._requires_grad)
    if not (recording or any(isinstance(o, Tensor) and o.requires_grad for o in others)):
        return False
    if t.array.dtype.kind in "biu":
        return False  # numbers without a gradient
    if base is not None:
        _prepare_view(name, t, base)
    elif t._requires_grad and t._node is None:
        raise _leaf_error(name, "a leaf that requires grad")
    return True


def _leaf_error(name: str, what: str) -> RuntimeError:
    message = (
        f"{name}: expected a tensor without grad or the result of an operation, got {what}; change "
        "it inside no_grad(), or a clone() of it"
    )
    return RuntimeError(message)


def _prepare_view(name: str, t: Tensor, base: Tensor) -> None:
    """Raises for a view that cannot be changed; else its history is that of its base as it is."""
    if t._no_grad_view:
        message = (
            f"{name}: expected a view made while recording, got one made under no_grad() that "
            "takes part in a gradient; make the view and change it both inside of no_grad(), or "
            "both outside"
        )
        raise RuntimeError(message)
    opaque = t._view[2]
    if opaque is not None:
        message = (
            f"{name}: expected a view that can be changed while recording, got one by {opaque}, "
            "which gives views that cannot; take it by an index, or change a clone() of it"
        )
        raise RuntimeError(message)
    if base._requires_grad and base._node is None:
        raise _leaf_error(name, "a view of a leaf that requires grad")
    # A hook on the view is about the value that it had, and not called for what replaces it.
    (check_view if t._node is None or t._node.hooks is None else renew)(name, t)
    if t._requires_grad and t._node is None:
        raise _leaf_error(name, "a leaf that requires grad")


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
        take_over(t, out)
    return t


def take_over(t: Tensor, out: Tensor) -> None:
    """Gives a tensor, into whose memory ``out`` was written, the history of ``out``."""
    base = base_of(t)
    if base is None:
        rebase(t, out._node, out._output_nr)
        t._rebase_stamp = None
    else:
        rebase(base, CopySlices.written(base, chain_of(t), out), 0)
        t._requires_grad = True
    t.storage.rebased += 1


def overwrite(t: Tensor, value: Tensor) -> None:
    """Writes a value of the type and shape of ``t`` into it, and records that."""
    table = _backend.kernels(t.array)
    source = value.array
    if source is not t.array and table.xp.may_share_memory(source, t.array):
        source = table.empty(source.shape, source.dtype)
        table.copy(value.array, source)
    table.copy(source, t.array)
    t._bump_version()
    base = base_of(t)
    whole = t if base is None else base
    rebase(whole, CopySlices.written(whole, () if base is None else chain_of(t), value), 0)
    t._rebase_stamp = None if base is None else t._rebase_stamp
    t._requires_grad = True
    t.storage.rebased += 1

# SPDX-License-Identifier: BSD-3-Clause
"""Copies: clone, contiguous, type conversion (``to``), and writing into a tensor (copy_, fill_).

Shapes:   x (...) -> (...).      Backward: the gradient itself, converted back to the input's type.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from fastnn import _backend, _dtypes
from fastnn._backend import array_module, reference
from fastnn._device import device as Device
from fastnn._formats import check_formats
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._in_place import check_in_place, overwrite
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from collections.abc import Callable


@reference
def copy(x: Any, y: Any) -> None:
    """y = x, elements of one type, any strides."""
    array_module(y).copyto(y, x)


@reference
def cast(x: Any, y: Any) -> None:
    """y = x converted to the type of y: towards zero for integers, != 0 for bool."""
    xp = array_module(y)
    with xp.errstate(invalid="ignore", over="ignore"):
        if y.dtype.kind in "iu" and x.dtype.kind == "f":
            # NaN and numbers outside of int64 have no integer; the native kernel gives the least.
            low, high = -(2.0**63), 2.0**63
            inside = (x >= low) & (x < high)
            whole = xp.where(inside, x, xp.full((), low, x.dtype)).astype(xp.int64)
            xp.copyto(y, whole.astype(y.dtype))
        else:
            xp.copyto(y, x, casting="unsafe")


@reference
def fill(value: Any, y: Any) -> None:
    """y = value[0] everywhere."""
    y[...] = value[0]


class Clone(Op):
    """A contiguous copy."""

    def forward(self, x: Any) -> Any:
        y = self.kernels.empty(x.shape, x.dtype)
        self.kernels.copy(x, y)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (g,)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (g,)


class Cast(Op):
    """The values in another type."""

    def forward(self, x: Any, dtype: Any) -> Any:
        self.source = x.dtype
        return self.cast(x, dtype)

    def cast(self, x: Any, dtype: Any) -> Any:
        y = self.kernels.empty(x.shape, dtype)
        self.kernels.cast(x, y)
        return y

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (self.cast(g, self.source),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (to(g, _dtypes.from_numpy(self.source)),)


class Move(Op):
    """The values on another device; the gradient comes back to the first."""

    def forward(self, x: Any, device: str) -> Any:
        self.back = "cuda" if _backend.is_gpu_array(x) else "cpu"
        return _backend.move(x, device)

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (_backend.move(g, self.back),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (to(g, self.back),)


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy with memory of its own, contiguous in every memory format, as torch.clone; the
    gradient passes through."""
    _common.require_tensor("clone", "input", input)
    if memory_format is not None:
        check_formats("clone", memory_format=memory_format)
    return Clone.apply((input,))  # type: ignore[no-any-return]


def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself if its memory is C-contiguous, else a copy that is; memory formats change
    nothing."""
    _common.require_tensor("contiguous", "input", input)
    if memory_format is not None:
        check_formats("contiguous", memory_format=memory_format)
    return input if input.array.flags.c_contiguous else clone(input)


def _to_arguments(args: tuple[Any, ...]) -> tuple[Any, Any, list[Any]]:
    dtype: Any = None
    where: Any = None
    flags: list[Any] = []
    for a in args:
        if isinstance(a, _dtypes.dtype) or any(a is k for k in (int, float, bool)):
            dtype = _dtypes.argument("to", a)
        elif isinstance(a, Tensor):
            dtype, where = a.dtype, a.device
        elif isinstance(a, str | Device):
            where = _device(a)
        elif isinstance(a, bool) or a is None:
            flags.append(a)
        else:
            message = (
                f"to: expected a dtype, a device or a tensor, got {a!r}; for example "
                "to(fastnn.float32)"
            )
            raise TypeError(message)
    return dtype, where, flags


def _device(value: Any) -> Device:
    try:
        return Device(value)
    except RuntimeError as error:
        message = f"to: {error}"
        raise RuntimeError(message) from None


def to(
    input: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,  # noqa: ARG001  (torch's signature; copies are ordered anyway)
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """The tensor in another type or on another device, as torch.Tensor.to.

    ``to(dtype)``, ``to(device)``, ``to(device, dtype)``, ``to(other)``. Returns ``input`` itself if
    nothing changes and ``copy`` is false; memory formats change nothing.
    """
    _common.require_tensor("to", "input", input)
    if memory_format is not None:
        check_formats("to", memory_format=memory_format)
    dtype_, device_, flags = _to_arguments(args)
    dtype = _dtypes.argument("to", dtype, dtype_)
    target = _device(device) if device is not None else device_
    if len(flags) > 1:
        copy = bool(flags[1])
    out = input
    if target is not None and target.type != input.device.type:
        out = Move.apply((out,), target.type)
    if dtype is not None and dtype.numpy != out.array.dtype:
        return Cast.apply((out,), dtype.numpy)  # type: ignore[no-any-return]
    return clone(out) if copy and out is input else out


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """The tensor in the type of another, as torch.Tensor.type_as."""
    _common.require_tensor("type_as", "input", input)
    _common.require_tensor("type_as", "other", other)
    return to(input, other.dtype)


@functools.cache
def converter(name: str, target: _dtypes.dtype | str) -> Callable[..., Tensor]:
    """A method that is ``to`` with one argument: float(), cpu() and the like."""

    def convert(input: Tensor, memory_format: Any = None) -> Tensor:
        _common.require_tensor(name, "input", input)
        return to(input, target, memory_format=memory_format)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"``to({target!r})``, as torch.Tensor.{name}."
    return convert


def copy_(t: Tensor, other: Any, non_blocking: bool = False) -> Tensor:  # noqa: ARG001
    """Writes ``other`` (a tensor or a number, broadcast, converted) into ``t``, in place. Copies
    are in order: ``non_blocking`` changes nothing."""
    from fastnn.ops.view import expand  # noqa: PLC0415

    recording = check_in_place("copy_", t, other)
    if not isinstance(other, Tensor):
        _common.as_operand("copy_", other)
        return fill_(t, other)
    if _common.broadcast_shape("copy_", t.shape, other.shape) != t.shape:
        message = f"copy_: expected a source that fits {t.shape}, got {other.shape}; reshape() it"
        raise RuntimeError(message)
    if recording:
        overwrite(t, expand(to(other, t.dtype), t.shape))
        return t
    table = _backend.kernels(t.array)
    array = other.array
    if type(array) is not type(t.array):
        array = _backend.move(array, t.device.type)
    if table.xp.may_share_memory(array, t.array):
        array = clone(other.detach()).array
    array = _common.broadcast_array(table, array, t.shape)
    (table.copy if array.dtype == t.array.dtype else table.cast)(array, t.array)
    t.storage.version += 1
    return t


def fill_(t: Tensor, value: Any) -> Tensor:
    """Sets every element to a number, in place; RuntimeError if it does not fit the type."""
    recording = check_in_place("fill_", t, value)
    if isinstance(value, Tensor):
        if value.ndim != 0:
            message = f"fill_: expected a 0-d tensor, got shape {value.shape}; copy_() takes others"
            raise RuntimeError(message)
        if recording:
            return copy_(t, to(value, t.device))
        number = to(value.cpu(), t.dtype).array
    else:
        if isinstance(_common.as_operand("fill_", value), Tensor) and value.ndim:  # an array
            message = f"fill_: expected a number, got shape {value.shape}; copy_() takes tensors"
            raise TypeError(message)
        number = _dtypes.converted("fill_", value, t.dtype, finite=True)
    table = _backend.kernels(t.array)
    cell = table.xp.asarray(number).reshape(1)
    if recording:
        wide = _common.broadcast_array(table, cell.reshape(()), t.shape)
        overwrite(t, Tensor._wrap(wide))
        return t
    table.fill(cell, t.array)
    t.storage.version += 1
    return t


def zero_(t: Tensor) -> Tensor:
    """Sets every element to zero, in place."""
    return fill_(t, 0)


CASES = [
    *(OpCase(clone, "clone", [s], ref=lambda x: x) for s in ((3, 5), (), (0, 2))),
    OpCase(contiguous, "contiguous", [(3, 5)], ref=lambda x: x),
    OpCase(to, "to", [(3, 5), _dtypes.float64], ref=lambda x, _: x.astype("float64")),
    OpCase(
        to,
        "to",
        [("int", (3, 5), -9, 9), _dtypes.float32],
        grad=False,
        ref=lambda x, _: x.astype("float32"),
    ),
    OpCase(
        type_as,
        "type_as",
        [(3, 5), ("int", (2,), 0, 9)],
        grad=False,
        ref=lambda x, other: x.astype(other.dtype),
    ),
    OpCase(clone, "clone", [(1024, 1024)], ref=lambda x: x, bench=True),
]
ERRORS = [
    ErrorCase(clone, "clone", [3.0], TypeError, "expected input as a Tensor"),
    ErrorCase(clone, "clone", [[1.0]], TypeError, "fastnn.tensor"),
    ErrorCase(clone, "clone", [None], TypeError, "NoneType"),
    ErrorCase(contiguous, "contiguous", [3.0], TypeError, "expected input as a Tensor"),
    ErrorCase(contiguous, "contiguous", ["a"], TypeError, "got str"),
    ErrorCase(contiguous, "contiguous", [None], TypeError, "NoneType"),
    ErrorCase(to, "to", [(2,), 7], TypeError, "expected a dtype, a device or a tensor"),
    ErrorCase(to, "to", [(2,), "gpu"], RuntimeError, "'cpu', 'cuda' or 'cuda:N'"),
    ErrorCase(to, "to", [3.0, _dtypes.float32], TypeError, "expected input as a Tensor"),
    ErrorCase(type_as, "type_as", [(2,), "a"], TypeError, "expected other as a Tensor"),
    ErrorCase(type_as, "type_as", [(2,), _dtypes.float32], TypeError, "fastnn.tensor"),
    ErrorCase(type_as, "type_as", [3.0, (2,)], TypeError, "expected input as a Tensor"),
    ErrorCase(copy_, "copy_", [(2, 3), (4,)], RuntimeError, "expected shapes that broadcast"),
    ErrorCase(copy_, "copy_", [(2, 3), "a"], TypeError, "expected a tensor or a number"),
    ErrorCase(copy_, "copy_", [(3,), (2, 3)], RuntimeError, "expected a source that fits"),
    ErrorCase(fill_, "fill_", [(2, 3), (2,)], RuntimeError, "0-d tensor"),
    ErrorCase(fill_, "fill_", [(2, 3), "a"], TypeError, "expected a tensor or a number"),
    ErrorCase(fill_, "fill_", [3.0, 1.0], TypeError, "expected the tensor to change as a Tensor"),
]

# SPDX-License-Identifier: BSD-3-Clause
"""Making tensors: from data, or filled with numbers. torch's names, types and copies."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from fastnn import _backend, _dtypes
from fastnn._device import device as Device
from fastnn.ops import _common
from fastnn.ops._given_data import array_from, foreign_array, native_order
from fastnn.ops.copy import clone, to
from fastnn.ops.view import view
from fastnn.tensor import Tensor


def _placed(t: Tensor, device: Any) -> Tensor:
    where = Device(device).type if device is not None else None
    if where is None:
        where = "cuda" if _backend.default_table().name == "cuda" else "cpu"
    return t if where == t.device.type else Tensor._wrap(_backend.move(t.array, where))


def _finish(t: Tensor, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    if dtype is not None and dtype.numpy != t.array.dtype:
        t = to(t, dtype)
    t = _placed(t, device)
    return t.requires_grad_() if requires_grad else t


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A new tensor with a copy of ``data``: numbers, nested lists, arrays or tensors, also those
    of other libraries.

    Python floats become the default type (float32), ints int64, bools bool; arrays keep their type.
    """
    dtype = _dtypes.argument("tensor", dtype)
    if isinstance(data, Tensor):
        made = clone(data.detach())
    elif isinstance(data, np.generic) and dtype is not None:
        # A number, which has to fit; the elements of an array are converted as by `to`.
        made = Tensor._wrap(array_from(data.item(), dtype))
    elif isinstance(data, np.generic):
        made = clone(Tensor._wrap(native_order(np.asarray(data))))
    elif (array := foreign_array(data)) is not None:
        made = clone(Tensor._wrap(native_order(array)))
    else:
        made = Tensor._wrap(array_from(data, dtype))
    return _finish(made, dtype, device, requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`tensor`, but sharing memory with an array or tensor where nothing has to be converted."""
    dtype = _dtypes.argument("as_tensor", dtype)
    if isinstance(data, Tensor):
        return _finish(data, dtype, device, requires_grad=False)
    if _backend.is_gpu_array(data):
        return _finish(Tensor._wrap(data), dtype, device or "cuda", False)
    if (array := foreign_array(data)) is not None:
        return _finish(Tensor._wrap(native_order(array)), dtype, device, False)
    return tensor(data, dtype=dtype, device=device)


asarray = as_tensor


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor on the memory of a NumPy array (copied only if unaligned or byte-swapped)."""
    if not isinstance(array, np.ndarray):
        message = (
            f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}; fastnn.tensor(...) "
            "takes lists and numbers"
        )
        raise TypeError(message)
    return Tensor._wrap(native_order(array))


def from_dlpack(external: Any) -> Tensor:
    """A tensor on the memory of another library's array."""
    if _backend.is_gpu_array(external):
        return Tensor._wrap(external)
    if not hasattr(external, "__dlpack__"):
        message = (
            f"from_dlpack: expected an array with __dlpack__, got {type(external).__name__}; "
            "fastnn.tensor(...) takes lists and numbers"
        )
        raise TypeError(message)
    return Tensor._wrap(native_order(np.from_dlpack(external)))


def size_argument(op: str, sizes: tuple[Any, ...], size: Any) -> tuple[int, ...]:
    """``f(2, 3)``, ``f((2, 3))`` and ``f(size=(2, 3))`` alike."""
    if size is None:
        if not sizes:
            message = f"{op}: expected a size, got none; for a 0-d tensor pass ()"
            raise TypeError(message)
        return _fitting(op, sizes)
    if sizes:
        message = (
            f"{op}: expected the size once, got {sizes} and size={size!r}; leave one of them out"
        )
        raise TypeError(message)
    if not isinstance(size, tuple | list):
        message = (
            f"{op}: expected size as a tuple of ints, got {type(size).__name__}; for one dimension "
            "write (n,)"
        )
        raise TypeError(message)
    return _fitting(op, (size,))


def _fitting(op: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    shape = _common.shape_argument(op, sizes)
    if any(n < 0 for n in shape):
        message = f"{op}: expected sizes >= 0, got {shape}; write -1 out, nothing tells its value"
        raise ValueError(message)
    _common.check_extent(op, shape)
    return shape


def legacy(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """What ``Tensor(...)`` makes: ``Tensor(2, 3)`` uninitialised memory, ``Tensor([2, 3])`` these
    numbers, both in the default type; ``Tensor(tensor)`` a tensor on the same memory."""
    device = kwargs.pop("device", None)
    if len(args) + len(kwargs) > 1 and (kwargs or not all(_is_whole(a) for a in args)):
        given = ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())])
        message = (
            "Tensor: expected sizes, Tensor(2, 3), or data, Tensor([2.0, 3.0]), got "
            f"Tensor({given}); fastnn.tensor(data, dtype=...) makes any type"
        )
        raise TypeError(message)
    if "size" in kwargs:
        return empty(size=kwargs["size"], device=device)
    if set(kwargs) - {"data"}:
        message = (
            f"Tensor: expected data, size or device as keyword, got {next(iter(kwargs))}; "
            "fastnn.tensor(...) takes dtype"
        )
        raise TypeError(message)
    if not args and not kwargs:
        return empty(0, device=device)
    data = kwargs["data"] if kwargs else args[0]
    if isinstance(data, Tensor):
        return _placed(view(data, data.shape), device) if device else view(data, data.shape)
    if not kwargs and _is_whole(data):
        return empty(args, device=device)
    if isinstance(data, str | bytes) or not hasattr(data, "__len__"):
        message = (
            f"Tensor: expected data as a sequence, got {type(data).__name__}; for one number "
            "call fastnn.tensor(...)"
        )
        raise TypeError(message)
    kind = _dtypes.get_default_dtype()
    return (as_tensor if isinstance(data, np.ndarray) else tensor)(data, dtype=kind, device=device)


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def empty(
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor with arbitrary contents."""
    shape = size_argument("empty", sizes, size)
    kind = _dtypes.argument("empty", dtype, _dtypes.get_default_dtype())
    made = Tensor._wrap(_backend.empty(shape, kind.numpy))
    return _finish(made, None, device, requires_grad)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor with one number everywhere."""
    shape = _fitting("full", (size,))
    _common.as_operand("full", fill_value)
    kind = _dtypes.argument("full", dtype) or _common.result_type(fill_value)
    made = empty(shape, dtype=kind, device=device)
    made.fill_(fill_value)
    made.storage.version = 0  # nobody has seen it before
    return made.requires_grad_() if requires_grad else made


def zeros(
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of zeros."""
    shape = size_argument("zeros", sizes, size)
    kind = _dtypes.argument("zeros", dtype, _dtypes.get_default_dtype())
    return full(shape, 0, dtype=kind, device=device, requires_grad=requires_grad)


def ones(
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of ones."""
    shape = size_argument("ones", sizes, size)
    kind = _dtypes.argument("ones", dtype, _dtypes.get_default_dtype())
    return full(shape, 1, dtype=kind, device=device, requires_grad=requires_grad)


def empty_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`empty` of the shape, type and device of a tensor."""
    _common.require_tensor("empty_like", "input", input)
    kind = _dtypes.argument("empty_like", dtype, input.dtype)
    return empty(input.shape, dtype=kind, device=input.device, requires_grad=requires_grad)


def zeros_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`zeros` of the shape, type and device of a tensor."""
    _common.require_tensor("zeros_like", "input", input)
    kind = _dtypes.argument("zeros_like", dtype, input.dtype)
    return zeros(input.shape, dtype=kind, device=input.device, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`ones` of the shape, type and device of a tensor."""
    _common.require_tensor("ones_like", "input", input)
    kind = _dtypes.argument("ones_like", dtype, input.dtype)
    return ones(input.shape, dtype=kind, device=input.device, requires_grad=requires_grad)


def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """`full` of the shape, type and device of a tensor."""
    _common.require_tensor("full_like", "input", input)
    kind = _dtypes.argument("full_like", dtype, input.dtype)
    return full(
        input.shape, fill_value, dtype=kind, device=input.device, requires_grad=requires_grad
    )


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below ``end``; with one argument from 0."""
    if end is None:
        start, end = 0, start
    dtype = _dtypes.argument("arange", dtype)
    for name, value in (("start", start), ("end", end), ("step", step)):
        if not _common.is_operand(value):
            message = (
                f"arange: expected {name} as a number, got {value!r}; convert it with int() or "
                "float()"
            )
            raise TypeError(message)
    start, end, step = [v.item() if isinstance(v, Tensor) else v for v in (start, end, step)]
    if not all(map(_common.is_finite, (start, end, step))):
        given = ", ".join(map(_common.shown, (start, end, step)))
        message = f"arange: expected finite numbers, got {given}; replace the others"
        raise RuntimeError(message)
    if step == 0:
        message = "arange: expected a step other than 0, got 0; the default is 1"
        raise RuntimeError(message)
    if (end - start) * step < 0:
        message = (
            f"arange: expected a step towards end, got start {start}, end {end}, step {step}; turn "
            "its sign"
        )
        raise RuntimeError(message)
    if dtype is None:
        whole = all(isinstance(v, numbers.Integral) for v in (start, end, step))
        dtype = _dtypes.int64 if whole else _dtypes.get_default_dtype()
    count = max(0, int(np.ceil((end - start) / step)))
    _common.check_extent("arange", (count,))
    values = (start + np.arange(count) * step).astype(dtype.numpy)
    return _finish(Tensor._wrap(values), dtype, device, requires_grad)

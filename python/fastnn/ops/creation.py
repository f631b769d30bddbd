# SPDX-License-Identifier: BSD-3-Clause
"""Making tensors: from data, or filled with numbers. torch's names, types and copies."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from fastnn import _backend, _dtypes
from fastnn._device import device as Device
from fastnn._formats import check_formats
from fastnn.ops import _common
from fastnn.ops._given_data import array_from, foreign_array, native_order
from fastnn.ops.copy import clone, to
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
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new tensor with a copy of ``data``: numbers, nested lists, arrays or tensors, also those
    of other libraries.

    Python floats become the default type (float32), ints int64, bools bool; arrays keep their type.
    """
    check_formats("tensor", pin_memory=pin_memory)
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


def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`as_tensor`, but without the history of a tensor unless ``requires_grad``, as torch.asarray.

    copy: True always copies, False never (ValueError where something has to be converted).
    """
    kind = _dtypes.argument("asarray", dtype)
    if copy:
        return tensor(obj, dtype=kind, device=device, requires_grad=requires_grad)
    shared = foreign_array(obj) if not isinstance(obj, Tensor) else obj.array
    made = as_tensor(obj, kind, device)
    kept = shared is not None and _backend.kernels(made.array).xp.may_share_memory(
        shared, made.array
    )
    if copy is False and not kept and made.numel():
        message = (
            "asarray: expected data on whose memory a tensor can be, got what has to be copied; "
            "leave copy out"
        )
        raise ValueError(message)
    if isinstance(obj, Tensor) and not requires_grad:
        return made.detach() if made.requires_grad else made
    return made.requires_grad_() if requires_grad else made


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
        raise RuntimeError(message)
    _common.check_extent(op, shape)
    return shape


def empty(
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor with arbitrary contents."""
    check_formats("empty", layout=layout, pin_memory=pin_memory, memory_format=memory_format)
    shape = size_argument("empty", sizes, size)
    kind = _dtypes.argument("empty", dtype, _dtypes.get_default_dtype())
    made = Tensor._wrap(_backend.empty(shape, kind.numpy))
    return _finish(made, None, device, requires_grad)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor with one number everywhere."""
    check_formats("full", layout=layout, pin_memory=pin_memory)
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
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of zeros."""
    check_formats("zeros", layout=layout, pin_memory=pin_memory)
    shape = size_argument("zeros", sizes, size)
    kind = _dtypes.argument("zeros", dtype, _dtypes.get_default_dtype())
    return full(shape, 0, dtype=kind, device=device, requires_grad=requires_grad)


def ones(
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of ones."""
    check_formats("ones", layout=layout, pin_memory=pin_memory)
    shape = size_argument("ones", sizes, size)
    kind = _dtypes.argument("ones", dtype, _dtypes.get_default_dtype())
    return full(shape, 1, dtype=kind, device=device, requires_grad=requires_grad)


def arange(
    start: Any = None,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below ``end``, as torch.arange; with one argument from 0.

    Of floats the type is the default one, else int64; for an integer type the three numbers lose
    their fractions first.   Raises TypeError for what are no numbers, RuntimeError for numbers that
    are not finite, a step of 0 or away from end, and a type of bool.
    """
    check_formats("arange", layout=layout, pin_memory=pin_memory)
    if end is None:
        start, end = 0, start
    start = 0 if start is None else start
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
    if dtype is None:
        whole = all(isinstance(v, numbers.Integral) for v in (start, end, step))
        dtype = _dtypes.int64 if whole else _dtypes.get_default_dtype()
    if dtype.category == 0:
        message = "arange: expected a type of numbers, got fastnn.bool; convert the result"
        raise RuntimeError(message)
    if dtype.category == 1:
        # Narrower types than int64 count by the numbers as they are.
        span = (int(end) - int(start), int(step)) if dtype is _dtypes.int64 else (end - start, step)
        start, end, step = int(start), int(end), int(step)
    else:
        span = (end - start, step)
    if step == 0:
        message = f"arange: expected a step other than 0, got 0 in {dtype}; the default is 1"
        raise RuntimeError(message)
    if (end - start) * step < 0:
        message = (
            f"arange: expected a step towards end, got start {start}, end {end}, step {step}; turn "
            "its sign"
        )
        raise RuntimeError(message)
    count = max(0, int(np.ceil(span[0] / span[1])))
    _common.check_extent("arange", (count,))
    values = (start + np.arange(count) * step).astype(dtype.numpy)
    return _finish(Tensor._wrap(values), dtype, device, requires_grad)

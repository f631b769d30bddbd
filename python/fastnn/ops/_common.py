# SPDX-License-Identifier: BSD-3-Clause
"""What operations share: dimensions, broadcasting, contiguity, promotion."""

from __future__ import annotations

import functools
import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _backend, _dtypes, _native_tape
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastnn._dtypes import dtype as DType

Shape = tuple[int, ...]


def named(**functions: Callable[..., Any]) -> None:
    """Gives public functions the names that users see, where their kernels have these already."""
    for name, function in functions.items():
        function.__name__ = function.__qualname__ = name


def one_dim(op: str, dim: Any, ndim: int) -> int:
    """A dimension as 0 <= d < ndim (0-d tensors count as having one); IndexError otherwise."""
    try:
        d = dim.__index__()
    except (AttributeError, TypeError):  # arrays and float tensors have the method too
        message = f"{op}: expected dim as an int, got {type(dim).__name__}; -1 is the last one"
        raise TypeError(message) from None
    n = max(ndim, 1)
    if not -n <= d < n:
        message = (
            f"{op}: expected dim in [{-n}, {n - 1}] for a tensor of {ndim} dimensions, got {d}; "
            "unsqueeze adds a dimension"
        )
        raise IndexError(message)
    return int(d + n if d < 0 else d)


def many_dims(op: str, dim: Any, ndim: int) -> Shape:
    """``dim`` (an int, a sequence, or None or () for all) as distinct dimensions in order."""
    if dim is None or (isinstance(dim, tuple | list) and len(dim) == 0):
        return tuple(range(ndim))
    dims = [one_dim(op, d, ndim) for d in (dim if isinstance(dim, tuple | list) else (dim,))]
    if len(set(dims)) != len(dims):
        message = f"{op}: expected distinct dims, got {tuple(dim)}; name each once"
        raise RuntimeError(message)
    return tuple(sorted(dims)) if ndim else ()


def shown(value: Any) -> str:
    """A value for a message: its repr if that is short, else its type."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        text = "\n"
    return text if len(text) <= 60 and "\n" not in text else type(value).__name__


def is_finite(value: Any) -> bool:
    """Whether a real number is one of a float's range."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def integer(op: str, name: str, value: Any) -> int:
    """An option as an int; TypeError for what is none, RuntimeError beyond 64 bits."""
    try:
        number = operator.index(value)
    except TypeError:
        message = f"{op}: expected {name} as an int, got {shown(value)}; convert it with int()"
        raise TypeError(message) from None
    if not -(1 << 63) <= number < 1 << 63:
        message = f"{op}: expected {name} of at most 64 bits, got {shown(value)}; choose a less one"
        raise RuntimeError(message)
    return number


def shape_argument(op: str, sizes: tuple[Any, ...]) -> Shape:
    """``f(2, 3)`` and ``f((2, 3))`` alike."""
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    try:
        return tuple([int(s.__index__()) for s in sizes])
    except (AttributeError, TypeError):
        message = f"{op}: expected sizes as ints, got {sizes!r}; convert them with int()"
        raise TypeError(message) from None


def hashed(value: Any) -> Any:
    """A list as a tuple, and what else has no hash as its type's name, for a message to follow."""
    if isinstance(value, list):
        return tuple(value)
    return value if type(value).__hash__ is not None else type(value).__name__


_MOST_ELEMENTS = 1 << 60  # 8 bytes each are all that can have an address


def check_extent(op: str, shape: Shape) -> None:
    """RuntimeError for a shape whose elements (were no size 0) no address space could hold."""
    if math.prod([n or 1 for n in shape]) >= _MOST_ELEMENTS:
        message = (
            f"{op}: expected a result of fewer than 2^60 elements, got the shape {tuple(shape)}; "
            "use smaller sizes"
        )
        raise RuntimeError(message)


def broadcast_shape(op: str, a: Shape, b: Shape) -> Shape:
    """The shape of two operands together; RuntimeError when they do not fit."""
    if a == b:
        return a
    out = []
    for i in range(max(len(a), len(b))):
        x = a[-1 - i] if i < len(a) else 1
        y = b[-1 - i] if i < len(b) else 1
        if x not in (y, 1) and y != 1:
            message = (
                f"{op}: expected shapes that broadcast, got {tuple(a)} and {tuple(b)}: sizes {x} "
                f"and {y} at dimension {-1 - i}; every pair of sizes, from the right, must be "
                "equal or hold a 1"
            )
            raise RuntimeError(message)
        out.append(y if x == 1 else x)
    return tuple(out[::-1])


def broadcast_array(table: Any, array: Any, shape: Shape) -> Any:
    """A view of an array in a larger shape (strides of zero)."""
    return array if array.shape == shape else table.xp.broadcast_to(array, shape)


def _reshaped(table: Any, array: Any, shape: Shape) -> Any:
    return _native_tape.dense_copy(table, array).reshape(shape)


# contiguous_array(table, array): the array itself if it is C-contiguous and aligned, else a copy
# through the copy kernel. reshaped(table, array, shape): that in another shape.
_tape = _backend.tape
contiguous_array: Callable[[Any, Any], Any] = _native_tape.dense_copy
reshaped: Callable[[Any, Any, Shape], Any] = _reshaped
if _tape is not None:
    contiguous_array, reshaped = _tape.contiguous, _tape.reshaped


@functools.lru_cache(maxsize=4096)
def _reduced_dims(shape: Shape, target: Shape) -> tuple[Shape, Shape]:
    lead = len(shape) - len(target)
    dims = [d for d in range(len(shape)) if d < lead or (target[d - lead] == 1 and shape[d] != 1)]
    kept = [d for d in range(len(shape)) if d not in dims]
    return (*kept, *dims), tuple(dims)


def sum_to(table: Any, array: Any, shape: Shape) -> Any:
    """Sums a gradient over the dimensions along which its operand was broadcast."""
    if array.shape == shape:
        return array
    order, dims = _reduced_dims(array.shape, shape)
    out = table.empty(tuple([array.shape[d] for d in order[: len(order) - len(dims)]]), array.dtype)
    table.sum_last(array.transpose(order), out, len(dims), 1.0)
    return out.reshape(shape)


def scalar_array(
    table: Any, value: Any, dtype: DType, *, wrap: bool = False, op: str = "number"
) -> Any:
    """A Python number as a 0-d array; RuntimeError if the type cannot hold it.

    An unsigned type takes negative numbers of its width, and with ``wrap`` any integer type takes
    any number of 64 bits: modulo its own width, as the operators of torch do.
    """
    try:
        if dtype.category == 1:
            value = _wrapped(int(value), dtype, wrap)
        elif dtype.category == 2 and not -65504 <= value <= 65504:  # the range of float16
            value = _dtypes.converted(op, value, dtype)  # where too large a number is infinity
        return table.xp.asarray(value, dtype.numpy)
    except (OverflowError, ValueError):  # ValueError: NaN as an integer
        message = f"{op}: expected a number that fits {dtype}, got {value}; choose a wider type"
        raise RuntimeError(message) from None


def _wrapped(value: int, dtype: DType, wrap: bool) -> int:
    modulus = 1 << 8 * dtype.itemsize
    half = modulus >> 1 if dtype.is_signed else modulus
    low, high = (-(1 << 63), 1 << 64) if wrap else (-half if dtype.is_signed else 1 - half, half)
    if not low <= value < high:
        raise OverflowError
    value %= modulus
    return value if value < half else value - modulus


def is_operand(value: Any) -> bool:
    """Whether a value is a tensor or a number."""
    return isinstance(value, Tensor | bool | int | float | np.number | np.bool_)


def as_operand(op: str, value: Any) -> Any:
    """A tensor or a number as it is, an array as a tensor; TypeError for anything else."""
    if is_operand(value):
        return value
    if isinstance(value, np.ndarray):
        from fastnn.ops.creation import from_numpy  # noqa: PLC0415

        return from_numpy(value)
    message = (
        f"{op}: expected a tensor or a number, got {type(value).__name__}; make a tensor with "
        "fastnn.tensor(...)"
    )
    raise TypeError(message)


def require_tensor(op: str, name: str, value: Any) -> None:
    """TypeError unless ``value`` is a Tensor."""
    if not isinstance(value, Tensor):
        message = (
            f"{op}: expected {name} as a Tensor, got {type(value).__name__}; "
            "make one with fastnn.tensor(...)"
        )
        raise TypeError(message)


def are_floats(x: Any, weight: Any, bias: Any) -> bool:
    """Whether a layer's operands certainly are tensors of one floating-point type: what a step with
    sound ones pays for checks."""
    if type(x) is not Tensor or not isinstance(weight, Tensor):
        return False
    dtype = weight.array.dtype
    if x.array.dtype is not dtype or dtype.kind in "biu":
        return False
    return bias is None or (isinstance(bias, Tensor) and bias.array.dtype is dtype)


def require_float(op: str, name: str, value: Tensor) -> None:
    """RuntimeError unless ``value`` is of a floating-point type."""
    if value.array.dtype.kind in "biu":
        message = (
            f"{op}: expected {name} of a floating-point type, got {value.dtype}; "
            "convert with .float()"
        )
        raise RuntimeError(message)


def require_numbers(op: str, name: str, value: Tensor) -> None:
    """RuntimeError for a tensor of bools."""
    if value.array.dtype.kind == "b":
        message = f"{op}: expected {name} of numbers, got {value.dtype}; convert with .float()"
        raise RuntimeError(message)


def require_dims(op: str, value: Tensor, error: type[Exception] = RuntimeError) -> None:
    """Raises for a 0-d tensor."""
    if value.ndim == 0:
        message = (
            f"{op}: expected a tensor of at least one dimension, got a 0-d tensor; unsqueeze(0) "
            "gives it one"
        )
        raise error(message)


def index_error(op: str, bad: int, n: int, negative: bool) -> IndexError:
    """Names a number that a kernel refused; ``negative``: whether -1 stands for the last entry."""
    least = -n if negative else 0
    cure = f"add {n} to count from the end" if -n <= bad < least else "entries are counted from 0"
    message = f"{op}: expected indices in [{least}, {n - 1}], got {bad}; {cure}"
    return IndexError(message)


def result_type(*operands: Any) -> DType:
    """The type of an operation's result, as ``torch.result_type``: tensors and numbers."""
    return _dtypes.result_type(
        (t.dtype, 1 if t.array.ndim else 0) if isinstance(t, Tensor) else (_dtypes.of_scalar(t), -1)
        for t in operands
    )


def table_of(*operands: Any, op: str = "device") -> Any:
    """The kernel table of the tensors among the operands; RuntimeError if they lie apart."""
    tables = [_backend.kernels(t.array) for t in operands if isinstance(t, Tensor)]
    first = tables[0]
    for table in tables:
        if table is not first:
            message = (
                f"{op}: expected all tensors on one device, got some on the CPU and some on the "
                "GPU; move them with .to(device)"
            )
            raise RuntimeError(message)
    return first

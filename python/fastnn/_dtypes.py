# SPDX-License-Identifier: BSD-3-Clause
"""Element types under torch's names, and torch's type promotion.

Promotion is one table of our own and never NumPy's: there int64 + float32 is float64, here (as in
torch) float32.
"""

from __future__ import annotations

import importlib
import numbers
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable


class dtype:
    """An element type: ``fastnn.float32`` and the others. Compared by identity."""

    __slots__ = ("category", "is_signed", "name", "numpy")

    def __init__(self, name: str, numpy: Any, category: int) -> None:
        self.name = name
        if numpy is not None:
            self.numpy: Final[np.dtype[Any]] = np.dtype(numpy)
        self.category = category  # 0 bool, 1 integer, 2 floating point
        self.is_signed = category == 2 or (category == 1 and self.numpy.kind != "u")

    @property
    def is_floating_point(self) -> bool:
        """Whether values have a fraction."""
        return self.category == 2

    @property
    def is_complex(self) -> bool:
        """Always false: there are no complex types."""
        return False

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.numpy.itemsize

    def __repr__(self) -> str:
        return f"fastnn.{self.name}"

    def __reduce__(self) -> Any:
        return named, (self.name,)

    def __copy__(self) -> dtype:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> dtype:
        return self


class _Bfloat16(dtype):
    """The upper half of a float32. NumPy learns the type from the package ml_dtypes, which is
    imported when the type is first used."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name != "numpy":  # which is an empty slot until now
            message = f"'dtype' object has no attribute {name!r}"
            raise AttributeError(message)
        try:
            module = importlib.import_module("ml_dtypes")
        except ImportError:
            message = (
                "bfloat16: expected the package ml_dtypes, from which NumPy has the type, got "
                "none; pip install ml_dtypes"
            )
            raise ImportError(message) from None
        found = np.dtype(module.bfloat16)
        self.numpy = found  # type: ignore[misc]
        _BY_NUMPY[found] = self
        return found

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return 2


def named(name: str) -> dtype:
    """The type of a name, for pickles."""
    return next(d for d in (*ALL, bfloat16) if d.name == name)


bool_: Final = dtype("bool", np.bool_, 0)
uint8: Final = dtype("uint8", np.uint8, 1)
int8: Final = dtype("int8", np.int8, 1)
int16: Final = dtype("int16", np.int16, 1)
int32: Final = dtype("int32", np.int32, 1)
int64: Final = dtype("int64", np.int64, 1)
float16: Final = dtype("float16", np.float16, 2)
float32: Final = dtype("float32", np.float32, 2)
float64: Final = dtype("float64", np.float64, 2)

ALL: Final = (bool_, uint8, int8, int16, int32, int64, float16, float32, float64)
bfloat16: Final = _Bfloat16("bfloat16", None, 2)  # not in ALL: there only with ml_dtypes
_BY_NUMPY: Final[dict[Any, dtype]] = {d.numpy: d for d in ALL}
if np.dtype(np.longdouble) != float64.numpy:
    # Not public: the next higher precision that the tests compare float64 results with.
    _BY_NUMPY[np.dtype(np.longdouble)] = dtype("longdouble", np.longdouble, 2)

_default = float32


def from_numpy(numpy: np.dtype[Any]) -> dtype:
    """The dtype of a NumPy dtype.  Raises TypeError for one that fastnn does not have."""
    found = _BY_NUMPY.get(numpy) or _BY_NUMPY.get(numpy.newbyteorder("="))
    if found is None and numpy.name == "bfloat16" and bfloat16.numpy == numpy:
        return bfloat16
    if found is None:
        message = (
            f"dtype: expected one of {', '.join(d.name for d in ALL)}, got NumPy dtype {numpy}; "
            "convert with array.astype(...) first"
        )
        raise TypeError(message)
    return found


_PYTHON: Final = ((int, int64), (float, float64), (bool, bool_))


def argument(
    op: str, value: Any, default: dtype | None = None, name: str = "dtype", needed: bool = False
) -> Any:
    """What a caller gave as a dtype: Python's int, float and bool stand for the widest of their
    kind, as in torch; None for the default unless ``needed``. TypeError for anything else."""
    if value is None and not needed:
        return default
    if isinstance(value, dtype):
        return value
    for python, d in _PYTHON:
        if value is python:
            return d
    # NumPy's types and dtypes have names too; ours are the same.
    name_given = getattr(value, "name", getattr(value, "__name__", value))
    known = {d.name for d in (*ALL, bfloat16)}
    meant = name_given if isinstance(name_given, str) and name_given in known else None
    message = (
        f"{op}: expected a fastnn dtype, int, float or bool as {name}, got {value!r}; pass "
        f"fastnn.{meant or 'float32 or another'}"
    )
    raise TypeError(message)


def get_default_dtype() -> dtype:
    """The type of tensors made from Python floats."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Sets the type of tensors made from Python floats: float32, float64 or a half precision."""
    global _default  # noqa: PLW0603
    if not isinstance(d, dtype) or not d.is_floating_point:
        message = (
            f"set_default_dtype: expected a floating-point dtype, got {d!r}; pass fastnn.float32 "
            "or fastnn.float64"
        )
        raise TypeError(message)
    _default = d


def _promote(a: dtype, b: dtype) -> dtype:
    if a.category != b.category:
        return a if a.category > b.category else b
    if a.is_signed != b.is_signed and a.category == 1:
        unsigned, signed = (a, b) if b.is_signed else (b, a)
        if signed.itemsize > unsigned.itemsize:
            return signed
        return {1: int16, 2: int32, 4: int64}[unsigned.itemsize]
    if a is not b and a.itemsize == b.itemsize == 2 and a.category == 2:
        return float32  # float16 has the digits and bfloat16 the range
    return a if a.itemsize >= b.itemsize else b


_EVERY: Final = (*_BY_NUMPY.values(), bfloat16)
_TABLE: Final = {(a, b): _promote(a, b) for a in _EVERY for b in _EVERY}


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest type that holds the values of both, as ``torch.promote_types``."""
    op = "promote_types"
    return _TABLE[argument(op, a, name="a", needed=True), argument(op, b, name="b", needed=True)]


def of_scalar(value: Any, op: str = "result_type") -> dtype:
    """The type that a Python number stands for: bool, int64 or the default floating-point type."""
    if isinstance(value, bool | np.bool_):
        return bool_
    if isinstance(value, numbers.Integral):
        return int64
    if isinstance(value, numbers.Real):
        return _default
    message = (
        f"{op}: expected a tensor or a number, got {type(value).__name__}; convert it with int() "
        "or float()"
    )
    raise TypeError(message)


def converted(op: str, data: Any, target: dtype, *, finite: bool = False) -> np.ndarray[Any, Any]:
    """Python numbers, one or an array of them, as an array of the type that was asked for.

    As torch converts numbers: one that does not fit an integer type is an error, but a negative
    whole number wraps in an unsigned type as long as its absolute value fits. Floats are cut
    towards zero. With ``finite`` one number that becomes infinite is an error too.
    Raises RuntimeError, or ValueError beyond 64 bits.
    """
    if finite and target.category == 2 and -65504 <= data <= 65504:  # the range of float16
        return np.asarray(data, target.numpy)
    array = np.asarray(data)
    kind = array.dtype.kind
    if target.category == 0:
        return np.asarray(array != 0)
    if target.category == 2:
        with np.errstate(over="ignore"):
            made: np.ndarray[Any, Any] = array.astype(target.numpy)
            lost = finite and (np.isinf(made) & np.isfinite(array.astype(np.float64))).any()
        if lost:
            message = f"{op}: expected a number that fits {target}, got {data}; choose a wider type"
            raise RuntimeError(message)
        return made
    if kind in "uO":
        message = (
            f"{op}: expected a number that fits 64 bits, got {max(array.flat, key=abs)}; make it a "
            "float"
        )
        raise ValueError(message)
    limits = np.iinfo(target.numpy)
    low, high = int(limits.min), int(limits.max)
    if kind == "i":
        wrong = (array > high) | (array < (low if target.is_signed else -high))
    elif kind == "f":
        # high may round up to a power of two, which does not fit; NaN fits nowhere.
        top = float(high)
        wrong = ~((array >= low) & ((array <= top) if int(top) == high else (array < top)))
    else:
        return array.astype(target.numpy)
    if wrong.any():
        value = array[wrong].flat[0]
        message = (
            f"{op}: expected a number that fits {target}, {low} to {high}, got {value}; choose a "
            "wider type"
        )
        raise RuntimeError(message)
    return array.astype(target.numpy)


def _combine(higher: dtype | None, lower: dtype | None) -> dtype | None:
    # A class of operands with lower priority (0-d tensors, then numbers) decides only when its
    # category is above that of the classes before it.
    if higher is None:
        return lower
    if lower is None or higher.category >= lower.category:
        return higher
    return _TABLE[higher, lower]


def result_type(operands: Iterable[tuple[dtype, int]]) -> dtype:
    """The type of an operation's result, as ``torch.result_type``.

    ``operands`` are pairs (dtype, rank): rank > 0 for a tensor with dimensions, 0 for a tensor
    without, -1 for a Python number.
    """
    dims: dtype | None = None
    zero: dtype | None = None
    number: dtype | None = None
    for d, rank in operands:
        if rank > 0:
            dims = d if dims is None else _TABLE[dims, d]
        elif rank == 0:
            zero = d if zero is None else _TABLE[zero, d]
        else:
            number = d if number is None else _TABLE[number, d]
    result = _combine(dims, _combine(zero, number))
    if result is None:
        message = "result_type: expected at least one operand, got none; pass tensors or numbers"
        raise ValueError(message)
    return result


def can_cast(source: dtype, target: dtype) -> bool:
    """Whether a result of type ``source`` may be stored as ``target``, as torch.can_cast."""
    source = argument("can_cast", source, name="source", needed=True)
    target = argument("can_cast", target, name="target", needed=True)
    return source.category <= target.category

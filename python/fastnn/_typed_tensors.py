# SPDX-License-Identifier: BSD-3-Clause
"""``fastnn.LongTensor`` and the like: torch's older names, of types of elements rather than of
tensors. Called they make a tensor; ``isinstance(t, fastnn.LongTensor)`` asks for its type."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

from fastnn import _dtypes, ops
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from fastnn._dtypes import dtype as DType


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


class TensorType:
    """Makes CPU tensors of one element type: ``LongTensor(2, 3)`` uninitialised memory of that
    shape, ``LongTensor([2, 3])`` these numbers. Raises TypeError for anything else."""

    def __init__(self, name: str, dtype: DType) -> None:
        self.__name__ = name
        self.dtype = dtype

    def __call__(self, *args: Any) -> Tensor:
        if all(map(_is_whole, args)):
            return ops.empty(args or (0,), dtype=self.dtype, device="cpu")
        data = args[0]
        if len(args) > 1 or isinstance(data, str | bytes) or not hasattr(data, "__len__"):
            given = ", ".join(map(repr, args))
            message = (
                f"{self.__name__}: expected sizes, {self.__name__}(2, 3), or a sequence, "
                f"{self.__name__}([2, 3]), got {given}; fastnn.tensor(...) takes one number"
            )
            raise TypeError(message)
        if hasattr(data, "__array__"):
            return ops.as_tensor(data, dtype=self.dtype, device="cpu")
        return ops.tensor(data, dtype=self.dtype, device="cpu")

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, Tensor) and value.dtype is self.dtype and not value.is_cuda

    def __repr__(self) -> str:
        return f"<tensor type fastnn.{self.__name__}>"

    def __reduce__(self) -> str:
        return self.__name__


BoolTensor = TensorType("BoolTensor", _dtypes.bool_)
ByteTensor = TensorType("ByteTensor", _dtypes.uint8)
CharTensor = TensorType("CharTensor", _dtypes.int8)
ShortTensor = TensorType("ShortTensor", _dtypes.int16)
IntTensor = TensorType("IntTensor", _dtypes.int32)
LongTensor = TensorType("LongTensor", _dtypes.int64)
HalfTensor = TensorType("HalfTensor", _dtypes.float16)
BFloat16Tensor = TensorType("BFloat16Tensor", _dtypes.bfloat16)
FloatTensor = TensorType("FloatTensor", _dtypes.float32)
DoubleTensor = TensorType("DoubleTensor", _dtypes.float64)

_DEFAULTS = (HalfTensor, BFloat16Tensor, FloatTensor, DoubleTensor)


def set_default_tensor_type(t: TensorType | str) -> None:
    """`set_default_dtype` by torch's older name: ``FloatTensor`` or ``"torch.FloatTensor"``.

    Raises TypeError for types that are not of floating-point numbers on the CPU.
    """
    names = {kind.__name__: kind for kind in _DEFAULTS}
    package, _, word = t.rpartition(".") if isinstance(t, str) else ("torch", "", None)
    found = t if word is None else names.get(word)
    if found not in _DEFAULTS or package not in ("torch", "fastnn"):
        message = (
            f"set_default_tensor_type: expected a floating-point type such as fastnn.FloatTensor or"
            f" 'torch.FloatTensor', got {t!r}; set_default_dtype(fastnn.float64) says it by a dtype"
        )
        raise TypeError(message)
    _dtypes.set_default_dtype(found.dtype)

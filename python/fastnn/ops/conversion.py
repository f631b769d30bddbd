# SPDX-License-Identifier: BSD-3-Clause
"""The element type of a tensor by torch's older names: ``t.byte()``, ``t.type()``,
``t.type("torch.LongTensor")``.

Shapes:   x (...) -> (...).      Backward: as of `to`.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._device import device as Device
from fastnn.ops import _common
from fastnn.ops.copy import converter, to
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

_WORDS = {
    "bool": "Bool",
    "uint8": "Byte",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "float32": "Float",
    "float64": "Double",
}
_TYPES = {f"{word}Tensor": _dtypes.named(name) for name, word in _WORDS.items()}


def tensor_type(input: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The tensor in another type, as torch.Tensor.type; without one the name of its type.

    ``dtype``: a dtype, a type such as ``fastnn.FloatTensor``, or a name such as
    ``"torch.FloatTensor"`` or ``"torch.cuda.LongTensor"``, which names the device too. Raises
    TypeError for anything else, ValueError for other names.
    """
    _common.require_tensor("type", "input", input)
    if dtype is None:
        place = "" if input.device.type == "cpu" else "cuda."
        return f"torch.{place}{_WORDS[input.dtype.name]}Tensor"
    named = getattr(dtype, "dtype", None)  # fastnn.LongTensor's
    if isinstance(named, _dtypes.dtype) and not isinstance(dtype, Tensor):
        dtype = named
    if not isinstance(dtype, str):
        return to(input, _dtypes.argument("type", dtype), non_blocking=non_blocking)
    package, _, word = dtype.rpartition(".")
    if package not in ("torch", "torch.cuda", "fastnn", "fastnn.cuda") or word not in _TYPES:
        message = (
            f"type: expected a name such as 'torch.FloatTensor' or 'torch.LongTensor', got "
            f"{dtype!r}; a dtype, fastnn.float32, says the same"
        )
        raise ValueError(message)
    device = "cuda" if package.endswith("cuda") else "cpu"
    return to(input, device, _TYPES[word], non_blocking=non_blocking)


def cuda(
    input: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None
) -> Tensor:
    """The tensor on the GPU, as torch.Tensor.cuda: on the current one, or that of ``device``, a
    device or a number.  Raises RuntimeError for another kind of device, and where there is none."""
    _common.require_tensor("cuda", "input", input)
    given = "cuda" if device is None else device
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        given = f"cuda:{given}"
    if not isinstance(given, str | Device) or Device(given).type != "cuda":
        message = (
            f"cuda: expected a GPU, got {device!r} as device; write 'cuda:0' or 0, or leave it out"
        )
        raise RuntimeError(message)
    return to(input, given, non_blocking=non_blocking, memory_format=memory_format)


_common.named(type=tensor_type)
bfloat16 = converter("bfloat16", _dtypes.bfloat16)
byte = converter("byte", _dtypes.uint8)
char = converter("char", _dtypes.int8)
short = converter("short", _dtypes.int16)

CASES = [
    OpCase(
        tensor_type,
        "type",
        [("int", (2, 3), -9, 9), "torch.DoubleTensor"],
        grad=False,
        ref=lambda x, _: x.astype("float64"),
    ),
    OpCase(
        tensor_type,
        "type",
        [(3,), _dtypes.int32],
        grad=False,
        ref=lambda x, _: x.astype("int32"),
    ),
    *(
        OpCase(
            convert,
            convert.__name__,
            [("int", (2, 3), 0, 99)],
            grad=False,
            ref=lambda x, kind=kind: x.astype(kind),
        )
        for convert, kind in ((byte, "uint8"), (char, "int8"), (short, "int16"))
    ),
]
ERRORS = [
    ErrorCase(tensor_type, "type", [(2,), "FloatTensor"], ValueError, "a name such as"),
    ErrorCase(tensor_type, "type", [(2,), "torch.Float"], ValueError, "fastnn.float32"),
    ErrorCase(tensor_type, "type", [(2,), 3], TypeError, "expected a fastnn dtype"),
    ErrorCase(tensor_type, "type", [3.0], TypeError, "expected input as a Tensor"),
    ErrorCase(cuda, "cuda", [(2,), "cpu"], RuntimeError, "expected a GPU, got 'cpu'"),
    ErrorCase(cuda, "cuda", [(2,), -1], RuntimeError, "expected a GPU, got -1"),
    ErrorCase(cuda, "cuda", [(2,), 1.5], RuntimeError, "leave it out"),
    ErrorCase(cuda, "cuda", [3.0], TypeError, "expected input as a Tensor"),
    *(
        ErrorCase(convert, convert.__name__, [value], TypeError, "expected input as a Tensor")
        for convert in (byte, char, short, bfloat16)
        for value in (3, None, "a")
    ),
]

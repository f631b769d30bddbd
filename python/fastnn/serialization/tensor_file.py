# SPDX-License-Identifier: BSD-3-Clause
"""Named tensors in one safetensors file, and some JSON about them.

A tensor that has several names (a weight used twice) is stored once; the other names stand in the
file's metadata as aliases, and reading gives all of them the same Tensor. The reader trusts nothing
in a file: every length, offset, shape and type is checked against the size of the file before an
array is made, and no code in a file is ever run.

The metadata has one entry, ``fastnn``, that holds {"about": ..., "aliases": {alias: name}} as JSON.
Format: https://github.com/huggingface/safetensors (8 bytes length, JSON header, data).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn import _dtypes
from fastnn.ops import from_numpy
from fastnn.serialization.source import Malformed, Source, TensorFileError, opened, refuse
from fastnn.tensor import Tensor

__all__ = [
    "MAX_DIMS",
    "TensorFile",
    "TensorFileError",
    "encode_arrays",
    "encode_tensors",
    "load_tensors",
    "memory_of",
    "parse_json",
    "read_tensors",
]

_Array = npt.NDArray[Any]
_LENGTH = 8  # bytes of the header's length
MAX_HEADER = 100_000_000  # as the safetensors library has it
MAX_DIMS = 64  # as NumPy has it
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_SIZES = {"float64": 8, "float32": 4, "int64": 8, "int32": 4, "int8": 1, "uint8": 1, "bool": 1}
_ENTRY = "fastnn"


@dataclass(frozen=True)
class TensorFile:
    """What a file holds: tensors by name, aliases included, and what was said about them."""

    tensors: dict[str, Tensor]
    about: Any = field(default=None)


def memory_of(array: _Array) -> tuple[Any, ...] | None:
    """Equal for arrays that are the same memory seen in the same way; None for empty ones."""
    if array.size == 0:
        return None
    return (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)


def array_of(value: Any) -> _Array:
    """The memory of a Tensor, brought to the CPU, or of a NumPy array."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
    return np.asarray(value if isinstance(value, np.ndarray) else value.numpy())


def encode_arrays(arrays: Mapping[str, _Array], entry: Mapping[str, Any]) -> bytes:
    """The bytes of a file with these arrays, and ``entry`` (JSON) in its metadata.

    Equal contents give equal bytes: the metadata is one entry because the library writes several
    in random order.
    """
    from safetensors.numpy import save  # noqa: PLC0415 - `import fastnn` need not pay for it

    text = json.dumps(entry, allow_nan=False)
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content: bytes = save(ordered, metadata={_ENTRY: text})
    return content


def encode_tensors(tensors: Mapping[str, Any], about: Any = None) -> bytes:
    """The bytes of a file with these tensors (Tensors or NumPy arrays) and ``about`` (JSON).

    Equal contents give equal bytes.
    """
    arrays: dict[str, _Array] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, value in tensors.items():
        array = array_of(value)
        memory = memory_of(array)
        if memory is not None and first.setdefault(memory, name) != name:
            aliases[name] = first[memory]
        else:
            arrays[name] = array
    return encode_arrays(arrays, {"about": about, "aliases": aliases})


def load_tensors(path: Path, mmap: bool = False) -> TensorFile:
    """Read a file that :func:`encode_tensors`, or any other program, has written.

    mmap: do not read the tensors but map them, read-only: a page is loaded when it is touched.
          An optimiser that updates such a weight copies it first; in-place methods refuse it.
    Raises: TensorFileError, saying what is wrong, for a file that is not whole and well-formed;
            OSError if it cannot be read.
    """
    with opened("load_tensors", path, "r" if mmap else None) as source:
        return read_tensors("load_tensors", source)


def read_tensors(op: str, source: Source) -> TensorFile:
    """`load_tensors` for a source that is open. Raises TensorFileError in the name of ``op``."""
    try:
        return _read(source)
    except Malformed as error:
        message = (
            f"{op}: expected a whole file, got {source.name}, which cannot be read as "
            f"safetensors: {error}; take an undamaged copy"
        )
        raise TensorFileError(message) from None


def _read(source: Source) -> TensorFile:
    size = source.size
    refuse(size < _LENGTH, f"it is cut off or empty: {size} bytes")
    length = int.from_bytes(source.bytes(0, _LENGTH), "little")
    refuse(
        length > min(MAX_HEADER, size - _LENGTH),
        f"its header would have {length} bytes, the file has {size}",
    )
    header = parse_json(source.bytes(_LENGTH, length), "header")
    refuse(not isinstance(header, dict), "its header is not a JSON object")
    extra = _metadata(header.pop("__metadata__", {}))
    spans = sorted((_span(name, entry) for name, entry in header.items()), key=lambda s: s[1:3])
    first, end = _LENGTH + length, 0
    for name, start, stop, _, _ in spans:
        refuse(start != end, f"{name!r} starts at byte {start} of the data, expected {end}")
        left = size - first
        refuse(stop > left, f"{name!r} ends at byte {stop} of {left}: it is cut off")
        end = stop
    # Before anything of the size that the file says is read: it may be a sparse terabyte.
    refuse(end != size - first, f"{size - first - end} bytes at its end belong to no tensor")
    data = source.array(first, end)
    tensors = {
        name: _tensor(name, data[start:stop], kind, shape)
        for name, start, stop, kind, shape in spans
    }
    aliases = extra.get("aliases", {})
    refuse(not isinstance(aliases, dict), "its alias map is not a JSON object")
    for alias, name in aliases.items():
        refuse(alias in tensors, f"the alias {alias!r} is a tensor of its own too")
        refuse(
            not isinstance(name, str) or name not in header, f"{alias!r} stands for {name!r}: none"
        )
        tensors[alias] = tensors[name]
    return TensorFile(tensors, extra.get("about"))


def parse_json(text: bytes, what: str) -> Any:
    """JSON in which no key comes twice and no number is NaN or infinite. Raises Malformed."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        refuse(len(found) != len(pairs), f"a key comes twice in its {what}")
        return found

    def no_constant(name: str) -> Any:
        raise Malformed(f"{name} in its {what}")  # noqa: EM102 - the text is the exception's all

    try:
        return json.loads(
            text.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant
        )
    except (ValueError, RecursionError) as error:
        problem = f"its {what} is not JSON ({error})"
        raise Malformed(problem) from None


def _metadata(entries: object) -> dict[str, Any]:
    good = isinstance(entries, dict) and all(isinstance(v, str) for v in entries.values())
    refuse(not good, "its metadata is not a map from text to text")
    assert isinstance(entries, dict)
    if _ENTRY not in entries:  # some other program's file
        return {}
    found = parse_json(entries[_ENTRY].encode("utf-8", "surrogatepass"), "metadata")
    refuse(not isinstance(found, dict), "its metadata 'fastnn' is not a JSON object")
    return dict(found)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _span(name: str, entry: object) -> tuple[str, int, int, str, tuple[int, ...]]:
    """(name, first byte, byte after the last, type's name, shape) of one entry, checked."""
    keys = {"dtype", "shape", "data_offsets"}
    refuse(not isinstance(entry, dict) or set(entry) != keys, f"{name!r} has not just {keys}")
    assert isinstance(entry, dict)
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    refuse(
        not isinstance(kind, str) or kind not in _DTYPES,
        f"{name!r} has elements {kind!r:.40}; fastnn reads {', '.join(_DTYPES)}",
    )
    refuse(
        not isinstance(shape, list) or len(shape) > MAX_DIMS or not all(map(_count, shape)),
        f"{name!r} has the shape {shape!r:.80}",
    )
    refuse(
        not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_count, offsets)),
        f"{name!r} has the offsets {offsets!r:.80}",
    )
    bytes_needed = math.prod(shape) * _SIZES.get(_DTYPES[kind], 2)
    refuse(
        offsets[1] - offsets[0] != bytes_needed,
        f"{name!r} of shape {shape!r:.80} has the offsets {offsets}; it needs {bytes_needed} bytes",
    )
    return name, offsets[0], offsets[1], _DTYPES[kind], tuple(shape)


def numpy_type(name: str, kind: str) -> np.dtype[Any]:
    """NumPy's type for a type's name, little-endian. Raises Malformed where there is none."""
    found: _dtypes.dtype = getattr(_dtypes, "bool_" if kind == "bool" else kind)
    try:
        native = found.numpy
    except ImportError:
        problem = f"{name} has elements {kind}, for which the package ml_dtypes must be installed"
        raise Malformed(problem) from None
    return native if sys.byteorder == "little" else native.newbyteorder("<")


def checked_bools(name: str, raw: _Array) -> None:
    """Refuse bytes that are no truth values."""
    refuse(raw.size and raw.max() > 1, f"{name} has truth values other than 0 and 1")


def _tensor(name: str, raw: _Array, kind: str, shape: tuple[int, ...]) -> Tensor:
    if kind == "bool":
        checked_bools(repr(name), raw)
    dtype = numpy_type(repr(name), kind)
    try:
        array = raw.view(dtype).reshape(shape)
    except ValueError as error:  # more dimensions, or larger ones, than NumPy has
        problem = f"{name!r} has the shape {shape!r:.80} ({error})"
        raise Malformed(problem) from None
    return from_numpy(array)

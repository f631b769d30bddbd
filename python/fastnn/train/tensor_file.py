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
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn.ops import from_numpy
from fastnn.tensor import Tensor

__all__ = ["TensorFile", "TensorFileError", "encode_tensors", "load_tensors"]

_Array = npt.NDArray[Any]
_LENGTH = 8  # bytes of the header's length
_MAX_HEADER = 100_000_000  # as the safetensors library has it
_MAX_DIMS = 64  # as NumPy has it
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
_ENTRY = "fastnn"


class TensorFileError(ValueError):
    """The file is damaged, cut off, or no safetensors file that fastnn can read."""


@dataclass(frozen=True)
class TensorFile:
    """What a file holds: tensors by name, aliases included, and what was said about them."""

    tensors: dict[str, Tensor]
    about: Any = field(default=None)


def _memory(array: _Array) -> tuple[Any, ...] | None:
    """Equal for arrays that are the same memory seen in the same way; None for empty ones."""
    if array.size == 0:
        return None
    return (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)


def encode_tensors(tensors: Mapping[str, Any], about: Any = None) -> bytes:
    """The bytes of a file with these tensors (Tensors or NumPy arrays) and ``about`` (JSON).

    Equal contents give equal bytes: the metadata is one entry because the library writes several
    in random order.
    """
    from safetensors.numpy import save  # noqa: PLC0415 - `import fastnn` need not pay for it

    arrays: dict[str, _Array] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, value in tensors.items():
        if isinstance(value, Tensor):
            value = value.detach().cpu()  # noqa: PLW2901
        array: _Array = np.asarray(value if isinstance(value, np.ndarray) else value.numpy())
        memory = _memory(array)
        if memory is not None and first.setdefault(memory, name) != name:
            aliases[name] = first[memory]
        else:
            arrays[name] = np.asarray(array, order="C")
    text = json.dumps({"about": about, "aliases": aliases}, allow_nan=False)
    content: bytes = save(arrays, metadata={_ENTRY: text})
    return content


def load_tensors(path: Path, mmap: bool = False) -> TensorFile:
    """Read a file that :func:`encode_tensors`, or any other program, has written.

    mmap: do not read the tensors but map them, read-only: a page is loaded when it is touched.
          An optimiser that updates such a weight copies it first; in-place methods refuse it.
    Raises: TensorFileError, saying what is wrong, for a file that is not whole and well-formed;
            OSError if it cannot be read.
    """
    try:
        return _read(path, mmap)
    except _Malformed as error:
        message = (
            f"load_tensors: expected a whole file, got {path}, which cannot be read as "
            f"safetensors: {error}; take an undamaged copy"
        )
        raise TensorFileError(message) from None


class _Malformed(Exception):
    """What is wrong, without the name of the file."""


def _refuse(condition: object, problem: str) -> None:
    if condition:
        raise _Malformed(problem)


def _read(path: Path, mmap: bool) -> TensorFile:
    size = path.stat().st_size
    _refuse(size < _LENGTH, f"it is cut off or empty: {size} bytes")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        _refuse(
            length > min(_MAX_HEADER, size - _LENGTH),
            f"its header would have {length} bytes, the file has {size}",
        )
        header = _parse(file.read(length), "header")
    _refuse(not isinstance(header, dict), "its header is not a JSON object")
    extra = _metadata(header.pop("__metadata__", {}))
    spans = sorted((_span(name, entry) for name, entry in header.items()), key=lambda s: s[1:3])
    first, end = _LENGTH + length, 0
    for name, start, stop, _, _ in spans:
        _refuse(start != end, f"{name!r} starts at byte {start} of the data, expected {end}")
        left = size - first
        _refuse(stop > left, f"{name!r} ends at byte {stop} of {left}: it is cut off")
        end = stop
    # Before anything of the size that the file says is read: it may be a sparse terabyte.
    _refuse(end != size - first, f"{size - first - end} bytes at its end belong to no tensor")
    try:
        content: _Array = (
            np.memmap(path, np.uint8, mode="r") if mmap else np.fromfile(path, dtype=np.uint8)
        )
    except MemoryError:
        problem = f"it has {size} bytes, more than there is memory"
        raise _Malformed(problem) from None
    _refuse(content.size != size, "it changes while it is read")
    data = content[first:]
    tensors = {
        name: _tensor(name, data[start:stop], dtype, shape)
        for name, start, stop, dtype, shape in spans
    }
    aliases = extra.get("aliases", {})
    _refuse(not isinstance(aliases, dict), "its alias map is not a JSON object")
    for alias, name in aliases.items():
        _refuse(alias in tensors, f"the alias {alias!r} is a tensor of its own too")
        _refuse(
            not isinstance(name, str) or name not in header, f"{alias!r} stands for {name!r}: none"
        )
        tensors[alias] = tensors[name]
    return TensorFile(tensors, extra.get("about"))


def _parse(text: bytes, what: str) -> Any:
    """JSON in which no key comes twice and no number is NaN or infinite."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        _refuse(len(found) != len(pairs), f"a key comes twice in its {what}")
        return found

    def no_constant(name: str) -> Any:
        raise _Malformed(f"{name} in its {what}")  # noqa: EM102 - the text is the exception's all

    try:
        return json.loads(
            text.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant
        )
    except (ValueError, RecursionError) as error:
        problem = f"its {what} is not JSON ({error})"
        raise _Malformed(problem) from None


def _metadata(entries: object) -> dict[str, Any]:
    good = isinstance(entries, dict) and all(isinstance(v, str) for v in entries.values())
    _refuse(not good, "its metadata is not a map from text to text")
    assert isinstance(entries, dict)
    if _ENTRY not in entries:  # some other program's file
        return {}
    found = _parse(entries[_ENTRY].encode("utf-8", "surrogatepass"), "metadata")
    _refuse(not isinstance(found, dict), "its metadata 'fastnn' is not a JSON object")
    return dict(found)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _span(name: str, entry: object) -> tuple[str, int, int, str, tuple[int, ...]]:
    """(name, first byte, byte after the last, NumPy's dtype, shape) of one entry, checked."""
    keys = {"dtype", "shape", "data_offsets"}
    _refuse(not isinstance(entry, dict) or set(entry) != keys, f"{name!r} has not just {keys}")
    assert isinstance(entry, dict)
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    _refuse(
        not isinstance(kind, str) or kind not in _DTYPES,
        f"{name!r} has elements {kind!r:.40}; fastnn reads {', '.join(_DTYPES)}",
    )
    _refuse(
        not isinstance(shape, list) or len(shape) > _MAX_DIMS or not all(map(_count, shape)),
        f"{name!r} has the shape {shape!r:.80}",
    )
    _refuse(
        not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_count, offsets)),
        f"{name!r} has the offsets {offsets!r:.80}",
    )
    bytes_needed = math.prod(shape) * np.dtype(_DTYPES[kind]).itemsize
    _refuse(
        offsets[1] - offsets[0] != bytes_needed,
        f"{name!r} of shape {shape!r:.80} has the offsets {offsets}; it needs {bytes_needed} bytes",
    )
    return name, offsets[0], offsets[1], _DTYPES[kind], tuple(shape)


def _tensor(name: str, raw: _Array, dtype: str, shape: tuple[int, ...]) -> Tensor:
    if dtype == "?":
        _refuse(raw.size and raw.max() > 1, f"{name!r} has truth values other than 0 and 1")
    try:
        array = raw.view(dtype).reshape(shape)
    except ValueError as error:  # more dimensions, or larger ones, than NumPy has
        problem = f"{name!r} has the shape {shape!r:.80} ({error})"
        raise _Malformed(problem) from None
    return from_numpy(array)

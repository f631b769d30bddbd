# SPDX-License-Identifier: BSD-3-Clause
"""Files of ``torch.save``: a zip archive with a pickle of the objects, and every storage as it is.

The archive ``name`` holds ``name/data.pkl``, ``name/byteorder`` and ``name/data/0``, ...: nothing
is compressed, so that no file can become larger than it is. Entries are read where the archive's
directory says, checked against the size of the file, and against their checksums.
"""

from __future__ import annotations

import struct
import sys
import zipfile
import zlib
from typing import Any

from fastnn.serialization.places import Places
from fastnn.serialization.source import Malformed, Source, TensorFileError, refuse
from fastnn.serialization.tensor_file import numpy_type
from fastnn.serialization.torch_globals import (
    StorageType,
    StoredMemory,
    StoredTensors,
    TypedMemory,
    find_global,
)
from fastnn.serialization.unpickle import Unpickler

__all__ = ["is_torch_zip", "looks_legacy", "read_torch"]

_LOCAL = struct.Struct("<4s5H3I2H")  # what stands before an entry
_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 1


def is_torch_zip(start: bytes) -> bool:
    """Whether a file that starts so is a zip archive."""
    return start.startswith((_SIGNATURE, b"PK\x05\x06"))


def looks_legacy(start: bytes) -> bool:
    """Whether a file that starts so is a pickle, or the tar archive of very old versions."""
    if start[4:9] == b"\0\0\0\0{":  # safetensors whose header has such a length
        return False
    return (len(start) > 1 and start[0] == 0x80 and start[1] <= 5) or start[257:262] == b"ustar"


def read_torch(source: Source, places: Places) -> Any:
    """The object of a file. Raises TensorFileError."""
    try:
        return _Archive(source, places).load()
    except Malformed as error:
        message = (
            f"load: expected a state_dict or plain data of torch.save, got {source.name}, which "
            f"cannot be read as that: {error}; take an undamaged copy, or save it again from torch"
        )
        raise TensorFileError(message) from None


class _Archive:
    """The entries of the zip archive by their names below its one folder."""

    def __init__(self, source: Source, places: Places) -> None:
        self._source = source
        self._places = places
        self._entries = _entries(source)
        roots = [name[:-9] for name in self._entries if name.endswith("/data.pkl")]
        roots = [root for root in roots if "/" not in root]
        refuse(len(roots) != 1, "it is a zip archive without data.pkl, or with several")
        self._root = roots[0]
        scripted = f"{self._root}/constants.pkl" in self._entries
        refuse(scripted, "it is a TorchScript program; save its state_dict()")
        self._memories: dict[str, StoredMemory] = {}

    def _start(self, name: str) -> tuple[int, zipfile.ZipInfo]:
        """Where an entry's bytes begin."""
        entry = self._entries.get(f"{self._root}/{name}")
        refuse(entry is None, f"it has no entry {name!r:.60}")
        assert entry is not None
        stored = entry.compress_type == zipfile.ZIP_STORED
        refuse(
            not stored or entry.file_size != entry.compress_size or entry.flag_bits & _ENCRYPTED,
            f"its entry {name!r:.60} is compressed or encrypted, as torch's are not",
        )
        head = self._source.bytes(entry.header_offset, _LOCAL.size)
        signature, *_, name_length, extra_length = _LOCAL.unpack(head)
        refuse(signature != _SIGNATURE, f"{name!r:.60} is not where its directory says")
        start = entry.header_offset + _LOCAL.size + name_length + extra_length
        refuse(start + entry.file_size > self._source.size, f"{name!r:.60} is cut off")
        return start, entry

    def _bytes(self, name: str) -> bytes:
        start, entry = self._start(name)
        found = self._source.bytes(start, entry.file_size)
        self._check_sum(name, found, entry)
        return found

    def _check_sum(self, name: str, content: Any, entry: zipfile.ZipInfo) -> None:
        """Not of a mapped file, of which every page would be loaded."""
        refuse(
            not self._source.mapped and zlib.crc32(content) != entry.CRC,
            f"the checksum of {name!r:.60} is wrong: it is damaged, or was written without "
            "checksums (then load it with mmap=True)",
        )

    def _memory(self, key: str, location: str) -> StoredMemory:
        if key not in self._memories:
            name = f"data/{key}"
            start, entry = self._start(name)
            raw = self._source.array(start, entry.file_size)
            self._check_sum(name, raw, entry)
            device = self._places.device(location)
            self._memories[key] = StoredMemory(f"storage {key!r:.40}", raw, device)
        return self._memories[key]

    def load(self) -> Any:
        """The object of data.pkl."""
        order = "little"
        if f"{self._root}/byteorder" in self._entries:
            order = self._bytes("byteorder").decode("latin1")
        refuse(order not in ("little", "big"), f"its byte order is {order!r:.40}")
        functions = StoredTensors().functions()

        def storage(given: Any) -> TypedMemory:
            good = type(given) is tuple and len(given) == 5 and given[0] == "storage"
            refuse(not good, f"it refers to {given!r:.60}, which is no storage")
            _, kind, key, location, count = given
            good = isinstance(kind, StorageType) and type(key) is str and type(location) is str
            refuse(not good or type(count) is not int, "it has a storage that is not described")
            memory = self._memory(key, location)
            refuse(kind.kind is None and order != sys.byteorder, f"its byte order is {order}")
            if kind.kind is not None:
                size = numpy_type(memory.name, kind.kind).itemsize
                refuse(
                    memory.raw.nbytes != count * size,
                    f"{memory.name} has {memory.raw.nbytes} bytes, not {count} of {kind.kind}",
                )
                # Elements of more than a byte have an order, which is their type's alone to know.
                if order != sys.byteorder and size > 1 and not memory.swapped:
                    memory.raw.reshape(-1, size)[:] = memory.raw.reshape(-1, size)[:, ::-1].copy()
                    memory.swapped = True
            return TypedMemory(memory, kind.kind)

        unpickler = Unpickler(
            self._bytes("data.pkl"),
            lambda module, name: find_global(module, name, functions),
            storage,
        )
        return unpickler.load()


def _entries(source: Source) -> dict[str, zipfile.ZipInfo]:
    """The directory of the archive, checked."""
    try:
        source.file.seek(0)
        with zipfile.ZipFile(source.file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as error:
        problem = f"it is a damaged zip archive ({error})"
        raise Malformed(problem) from None
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename
        refuse(name in found, f"it has two entries {name!r:.60}")
        found[name] = info
    # Entries over the same bytes could together be far larger than the file.
    total = sum(info.compress_size for info in infos)
    refuse(total > source.size, f"its entries have {total} bytes, the file has {source.size}")
    return found

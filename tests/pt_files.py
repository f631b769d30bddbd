# SPDX-License-Identifier: BSD-3-Clause
"""Files as torch.save writes them, and such as it never would, made without torch."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Global:
    """A name that the file refers to."""

    module: str
    name: str


@dataclass
class Call:
    """What a function of the file returns."""

    function: Any
    arguments: Any


@dataclass
class Build:
    """An object with attributes."""

    target: Any
    state: Any


@dataclass
class Stored:
    """What stands outside of the pickle."""

    value: Any


@dataclass
class Raw:
    """Opcodes as they are."""

    code: bytes


def encode(value: Any) -> bytes:
    """The opcodes that make a value, in protocol 2."""
    if isinstance(value, Raw):
        return value.code
    if isinstance(value, Global):
        return pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        return encode(value.function) + encode(value.arguments) + pickle.REDUCE
    if isinstance(value, Build):
        return encode(value.target) + encode(value.state) + pickle.BUILD
    if isinstance(value, Stored):
        return encode(value.value) + pickle.BINPERSID
    if value is None or isinstance(value, bool):
        return {None: pickle.NONE, True: pickle.NEWTRUE, False: pickle.NEWFALSE}[value]
    if isinstance(value, int):
        content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return pickle.LONG1 + bytes([len(content)]) + content
    if isinstance(value, float):
        return pickle.BINFLOAT + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        return pickle.BINUNICODE + struct.pack("<I", len(text)) + text
    if isinstance(value, bytes):
        return pickle.SHORT_BINBYTES + bytes([len(value)]) + value
    if isinstance(value, tuple):
        return pickle.MARK + b"".join(map(encode, value)) + pickle.TUPLE
    if isinstance(value, list):
        return pickle.EMPTY_LIST + pickle.MARK + b"".join(map(encode, value)) + pickle.APPENDS
    made = encode(Call(Global("collections", "OrderedDict"), ()))
    empty = made if isinstance(value, OrderedDict) else pickle.EMPTY_DICT
    items = b"".join(encode(k) + encode(v) for k, v in value.items())
    return empty + pickle.MARK + items + pickle.SETITEMS


def pickled(value: Any) -> bytes:
    return pickle.PROTO + b"\x02" + encode(value) + pickle.STOP


def storage(
    count: int, kind: str = "FloatStorage", key: str = "0", location: str = "cpu"
) -> Stored:
    return Stored(("storage", Global("torch", kind), key, location, count))


def tensor(
    count: int,
    size: Any,
    stride: Any,
    *,
    offset: Any = 0,
    requires_grad: bool = False,
    kind: str = "FloatStorage",
    key: str = "0",
    location: str = "cpu",
) -> Call:
    """A tensor on a storage of ``count`` elements."""
    where = storage(count, kind, key, location)
    arguments = (where, offset, size, stride, requires_grad, OrderedDict())
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)


def archive(
    value: Any,
    storages: dict[str, bytes] | None = None,
    *,
    root: str = "archive",
    more: dict[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """A whole file. ``value`` may be the bytes of data.pkl."""
    entries = {"data.pkl": value if isinstance(value, bytes) else pickled(value)}
    entries |= {f"data/{key}": content for key, content in (storages or {}).items()}
    entries |= {"version": b"3\n"} | (more or {})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in entries.items():
            file.writestr(f"{root}/{name}" if root else name, content)
    return buffer.getvalue()

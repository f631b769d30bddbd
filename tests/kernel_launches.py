# SPDX-License-Identifier: BSD-3-Clause
"""Native launches of the case table as files that a program without Python can run and judge.

While `Capture` is on, every native kernel call of a case is kept: the argument block, the bytes of
its buffers as they were before, and what its outputs should hold: the reference's results in the
next higher precision, with the case table's bound (twice the error of the reference in the same
type, plus 4 eps of the largest value). ``kernel_runner/run_launches.cpp`` reads the file.

The file, little-endian: "FNLAUNCH", then one record per launch:

    str kernel   str label   i32 variant   bytes block
    u32 regions: u32 offset of the first byte in 64, bytes
    u32 slots:   u32 position in the block, u32 region, i64 offset in it
    u32 outputs: i32 argument, i32 item of a list (-1: no list), u8 is float, f64 bound, u64 count,
                 values: f64 upper parts and f64 lower parts (value = sum), or i64
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from case_checks import HIGHER
from fastnn import _backend

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC = b"FNLAUNCH"
LINE = 64
# float32 and float64 use different bits of a random word: a higher precision is another draw.
SAME_PRECISION = {"uniform"}
# Memory that a kernel may leave in any state, by the name of the argument.
SCRATCH = {"workspace", "scratch"}
# Saved for the backward pass and no result of any case: the mean of numbers that cancel is as exact
# as the numbers, so their size, not the mean's, is what 4 eps are taken of. So it is with the sums
# that operations take on their way: those of deviations, in cov, are 0 but for roundings.
SAVED_MEANS = {"mean"}
SUMS = {("sum_last", "y")}


@dataclasses.dataclass
class Region:
    """A stretch of memory that buffers of a launch share."""

    low: int
    high: int
    image: bytearray = dataclasses.field(default_factory=bytearray)


def _map_arrays(args: Any, change: Callable[[Any], Any]) -> list[Any]:
    """The arguments with every array, also those in lists, replaced."""
    out: list[Any] = []
    for a in args:
        if isinstance(a, np.ndarray):
            out.append(change(a))
        elif isinstance(a, list | tuple) and any(isinstance(x, np.ndarray) for x in a):
            out.append([change(x) if isinstance(x, np.ndarray) else x for x in a])
        else:
            out.append(a)
    return out


def _arrays(args: Any) -> list[tuple[int, int, np.ndarray[Any, Any]]]:
    """(argument, item or -1, array)."""
    found = []
    for i, a in enumerate(args):
        if isinstance(a, np.ndarray):
            found.append((i, -1, a))
        elif isinstance(a, list | tuple):
            found += [(i, j, x) for j, x in enumerate(a) if isinstance(x, np.ndarray)]
    return found


def _raised(a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return a.astype(HIGHER[a.dtype.name]) if a.dtype.kind == "f" else a.copy()


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<I", len(data)) + data


def _bytes(value: bytes | bytearray) -> bytes:
    return struct.pack("<Q", len(value)) + bytes(value)


def _regions(slots: Any) -> list[Region]:
    """The slots' ranges, those that overlap put together."""
    ranges = sorted(
        (base + offset, base + offset + extent) for _, _, base, _, offset, extent, _ in slots
    )
    found: list[Region] = []
    for low, high in ranges:
        if found and low < found[-1].high:
            found[-1].high = max(found[-1].high, high)
        else:
            found.append(Region(low, high))
    return found


def _fill_images(regions: list[Region], before: Any, after: Any) -> None:
    """What the regions held before the launch: as now, with the arrays' old values put back."""
    for region in regions:
        region.image = bytearray(ctypes.string_at(region.low, region.high - region.low))
    for (_, _, old), (_, _, array) in zip(before, after, strict=True):
        if not array.size:
            continue
        address = array.ctypes.data
        region = next(r for r in regions if r.low <= address < r.high)
        view = np.ndarray(
            array.shape, array.dtype, region.image, address - region.low, array.strides
        )
        view[...] = old


def _output(arg: int, item: int, exact: Any, plain: Any, scale: float) -> bytes:
    """An expected output, with the case table's bound; `scale` is at least its largest value."""
    flat, same = np.ravel(exact), np.ravel(plain)
    if same.dtype.kind != "f":
        head = struct.pack("<iiBdQ", arg, item, 0, 0.0, flat.size)
        return head + flat.astype("<i8").tobytes()
    finite = np.isfinite(flat.astype(np.longdouble))
    values = flat.astype(np.longdouble)
    bound = 0.0
    if finite.any():
        error = np.abs(same[finite] - values[finite]).max()
        largest = max(np.abs(values[finite]).max(), scale)
        bound = float(2 * error + 4 * np.finfo(same.dtype).eps * largest)
    upper = values.astype("<f8")
    with np.errstate(invalid="ignore"):
        lower = np.where(np.isfinite(upper), values - upper, 0).astype("<f8")
    head = struct.pack("<iiBdQ", arg, item, 1, bound, flat.size)
    return head + upper.tobytes() + lower.tobytes()


class Capture:
    """Context manager: writes every launch of a native kernel to ``file``, each distinct one once.

    ``kernels``: only these; None for all.
    """

    def __init__(self, file: BinaryIO, kernels: set[str] | None = None) -> None:
        self.file = file
        self.kernels = kernels
        self.label = ""
        self.counts: dict[str, int] = {}
        self._seen: set[bytes] = set()
        self._table = _backend._cpu_table
        self._before: dict[str, Any] = {}
        file.write(MAGIC)

    def __enter__(self) -> Capture:
        for name, kernel in _backend.native.items():
            if name not in _backend.references:
                continue
            self._before[name] = getattr(self._table, name)
            setattr(self._table, name, self._wrap(name, kernel))
        self._fast, self._table.fast = self._table.fast, _NoFast()
        return self

    def __exit__(self, *_: object) -> None:
        for name, kernel in self._before.items():
            setattr(self._table, name, kernel)
        self._table.fast = self._fast

    def _wrap(self, name: str, kernel: Any) -> Callable[..., None]:
        def call(*args: Any) -> None:
            if self.kernels is not None and name not in self.kernels:
                kernel(*args)
                return
            old = _map_arrays(args, np.copy)
            launched: list[Any] = []
            before = _backend.cpu.set_recorder(launched)
            try:
                kernel(*args)
            finally:
                _backend.cpu.set_recorder(before)
            if launched:  # else the types were not native ones: the reference ran
                self._keep(name, kernel, launched[-1], old, args)

        return call

    def _keep(self, name: str, kernel: Any, launch: Any, old: list[Any], args: Any) -> None:
        _, variant, block, slots = launch
        regions = _regions(slots)
        _fill_images(regions, _arrays(old), _arrays(args))
        patched = bytearray(block)
        table = b""
        for position, _, base, _, offset, _, _ in slots:
            (pointer,) = struct.unpack_from("<Q", patched, position)
            number = next(i for i, r in enumerate(regions) if r.low <= base + offset < r.high)
            struct.pack_into("<Q", patched, position, 0)
            table += struct.pack("<IIq", position, number, pointer - regions[number].low)
        images = b"".join(
            struct.pack("<I", region.low % LINE) + _bytes(region.image) for region in regions
        )
        key = hashlib.sha256(name.encode() + bytes(patched) + images).digest()
        if key in self._seen:
            return
        self._seen.add(key)
        outputs = self._expected(name, kernel, slots, old, args)
        self.counts[name] = self.counts.get(name, 0) + 1
        self.file.write(_text(name) + _text(self.label) + struct.pack("<i", variant))
        self.file.write(_bytes(patched))
        self.file.write(struct.pack("<I", len(regions)) + images)
        self.file.write(struct.pack("<I", len(slots)) + table)
        self.file.write(struct.pack("<I", len(outputs)) + b"".join(outputs))

    def _expected(
        self, name: str, kernel: Any, slots: Any, old: list[Any], args: Any
    ) -> list[bytes]:
        function = _backend.references[name]
        old = _with_rows_of_gates(name, old)
        plain = _map_arrays(old, np.copy)
        function(*plain)
        exact = plain
        if name not in SAME_PRECISION:
            with np.errstate(invalid="ignore"):  # outputs hold whatever memory held
                exact = _map_arrays(old, _raised)
            function(*exact)
        size = old[0].itemsize if isinstance(old[0], np.ndarray) else 0
        plain, exact = (_with_tiles_of_gates(name, found, size) for found in (plain, exact))
        # An argument's kind and access are the same in all variants.
        is_output = [
            access != "in" and argument not in SCRATCH
            for argument, _, access, *_ in kernel.variants[0]
        ]
        written = {base + offset for _, _, base, _, offset, _, access in slots if access != "in"}
        names = [name for name, *_ in kernel.variants[0]]

        def is_sum(argument: str) -> bool:
            return argument in SAVED_MEANS or (name, argument) in SUMS

        averaged = max((np.abs(a).max() for _, _, a in _arrays(old[:1]) if a.size), default=0.0)
        return [
            _output(i, j, e, p, float(averaged) if is_sum(names[i]) else 0.0)
            for (i, j, e), (_, _, p), (_, _, a) in zip(
                _arrays(exact), _arrays(plain), _arrays(args), strict=True
            )
            if a.size and _lowest(a) in written and is_output[i]
        ]


# Where a step multiplies x too, lstm_forward leaves the gates in the order in which lstm_backward
# takes them (csrc/ops/lstm.cpp): that of vectors of 16 bytes, on x86_v2 as on NEON.
ROWS_OF_JOINT_STEPS = 16


def _lanes_of_gates(batch: int, hidden: int, itemsize: int) -> int:
    """Units of a vector, if the gates are by vectors; else 0."""
    lanes = 16 // itemsize
    return lanes if batch >= ROWS_OF_JOINT_STEPS and hidden % lanes == 0 else 0


def _with_rows_of_gates(name: str, args: list[Any]) -> list[Any]:
    """lstm_backward's arguments with the gates as its reference takes them, (t, b, 4h)."""
    if name != "lstm_backward":
        return args
    t, b, h = args[4].shape
    lanes = _lanes_of_gates(b, h, args[5].itemsize)
    if not lanes:
        return args
    tiles = args[5].reshape(t, h // lanes, b, 4, lanes)
    return [*args[:5], tiles.transpose(0, 2, 3, 1, 4).reshape(t, b, 4 * h), *args[6:]]


def _with_tiles_of_gates(name: str, args: list[Any], itemsize: int) -> list[Any]:
    """lstm_forward's results with the gates as it leaves them for that size of the elements."""
    if name != "lstm_forward":
        return args
    (t, b, _), h = args[0].shape, args[1].shape[1]
    lanes = _lanes_of_gates(b, h, itemsize)
    if not lanes:
        return args
    rows = args[12].reshape(t, b, 4, h // lanes, lanes)
    return [*args[:12], rows.transpose(0, 3, 1, 2, 4).reshape(t, b, 4 * h), *args[13:]]


def _lowest(a: np.ndarray[Any, Any]) -> int:
    return int(np.lib.array_utils.byte_bounds(a)[0])


class _NoFast:
    """The allocating entries, switched off: a case takes the path that names its outputs."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *_: NotImplemented

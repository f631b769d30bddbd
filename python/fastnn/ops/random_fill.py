# SPDX-License-Identifier: BSD-3-Clause
"""Filling tensors with random numbers, in place, and dropout's masks: Philox4x32-10.

A generator is one memory cell, int64 [seed, offset]. Element i of a call takes lane i mod 4 of the
block with counter offset + i / 4; the call then moves the offset on by ceil(n / 4). The same words
come out on every backend and for any number of threads.
Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _backend
from fastnn._backend import array_module, reference
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops._in_place import check_in_place, overwrite
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from fastnn.random import Generator

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = 0xFFFFFFFF
_LARGEST = {2: 65504.0, 4: 3.4028234663852886e38, 8: 1.7976931348623157e308}


def words(xp: Any, n: int, state: Any) -> Any:
    """The next n 32-bit words of a generator as uint64; moves its offset on."""
    seed, offset = int(state[0]) & (2**64 - 1), int(state[1]) & (2**64 - 1)
    blocks = (n + 3) // 4
    # Counter arithmetic wraps at 2^64, as on every backend.
    counter = xp.arange(blocks, dtype=xp.uint64) + xp.asarray(offset, dtype=xp.uint64)
    low = xp.uint64(_LOW)
    shift = xp.uint64(32)
    c = [counter & low, counter >> shift, xp.zeros_like(counter), xp.zeros_like(counter)]
    k0, k1 = seed & _LOW, seed >> 32
    for _ in range(10):
        p0, p1 = c[0] * xp.uint64(_M0), c[2] * xp.uint64(_M1)
        c = [
            (p1 >> shift) ^ c[1] ^ xp.uint64(k0),
            p1 & low,
            (p0 >> shift) ^ c[3] ^ xp.uint64(k1),
            p0 & low,
        ]
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    moved = (offset + blocks) & (2**64 - 1)
    state[1] = moved - 2**64 if moved >= 2**63 else moved
    return xp.stack(c, axis=1).reshape(-1)[:n]


@reference
def random_bits(y: Any, state: Any) -> None:
    """y (int64) = the next 32-bit words."""
    xp = array_module(y)
    y[...] = words(xp, y.size, state).astype(xp.int64).reshape(y.shape)


@reference
def uniform(y: Any, state: Any, low: float, high: float) -> None:
    """y = low + u (high - low), u = (word >> 8) 2^-24 (double: word 2^-32), in [low, high)."""
    xp = array_module(y)
    bits = words(xp, y.size, state)
    if y.dtype.itemsize <= 4:
        u = (bits >> xp.uint64(8)).astype(xp.float32) * xp.float32(2.0**-24)
    else:
        u = bits.astype(xp.float64) * 2.0**-32
    if y.dtype.itemsize == 2:
        u = (bits >> xp.uint64(21)).astype(xp.float32) * xp.float32(2.0**-11)
    kind = y.dtype.type
    values = kind(low) + u.astype(y.dtype) * kind(high - low)
    if high > low:
        # Rounding may give high itself.
        values = xp.minimum(values, xp.nextafter(kind(high), kind(low)))
    y[...] = values.reshape(y.shape)


@reference
def normal(y: Any, state: Any, mean: float, std: float) -> None:
    """y = mean + std z; z by Box and Muller 1958: two words give two elements."""
    xp = array_module(y)
    n = y.size
    pairs = (n + 1) // 2
    bits = words(xp, 2 * pairs, state).astype(xp.float64).reshape(pairs, 2)
    # (word + 1) 2^-32 is in (0, 1]: its logarithm is finite.
    radius = xp.sqrt(-2.0 * xp.log((bits[:, 0] + 1.0) * 2.0**-32))
    angle = bits[:, 1] * (2.0**-32 * 2.0 * 3.141592653589793)
    z = xp.stack([radius * xp.cos(angle), radius * xp.sin(angle)], axis=1).reshape(-1)[:n]
    y[...] = (mean + std * z).astype(y.dtype).reshape(y.shape)


def _target(name: str, t: Tensor, generator: Generator | None) -> tuple[bool, Any]:
    """Whether the change is recorded, and the generator's cell."""
    from fastnn.random import cell_of  # noqa: PLC0415

    recording = check_in_place(name, t)
    _common.require_float(name, "the tensor", t)
    return recording, cell_of(name, generator)


def _run(t: Tensor, recording: bool, kernel: str, *args: Any) -> Tensor:
    table = _backend.kernels(t.array)
    if recording:
        made = table.empty(t.array.shape, t.array.dtype)
        getattr(table, kernel)(made, *args)
        overwrite(t, Tensor._wrap(made))
        return t
    if t.array.flags.c_contiguous:
        getattr(table, kernel)(t.array, *args)
    else:
        made = table.empty(t.array.shape, t.array.dtype)
        getattr(table, kernel)(made, *args)
        table.copy(made, t.array)
    t.storage.version += 1
    return t


def uniform_(
    t: Tensor, low: float = 0.0, high: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fills a tensor with uniform numbers from [low, high)."""
    recording, cell = _target("uniform_", t, generator)
    a, b = number("uniform_", "low", low), number("uniform_", "high", high)
    if not a <= b:
        message = f"uniform_: expected low <= high, got {low} and {high}; exchange them"
        raise ValueError(message)
    if not b - a <= _LARGEST[t.array.dtype.itemsize]:
        message = (
            f"uniform_: expected bounds whose distance fits {t.dtype}, got {low} and {high}; "
            "choose nearer ones"
        )
        raise ValueError(message)
    return _run(t, recording, "uniform", cell, a, b)


def normal_(
    t: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fills a tensor with normally distributed numbers."""
    recording, cell = _target("normal_", t, generator)
    centre, width = number("normal_", "mean", mean), number("normal_", "std", std)
    if not width >= 0:
        message = f"normal_: expected std >= 0, got {std}; it is the root of the variance"
        raise ValueError(message)
    return _run(t, recording, "normal", cell, centre, width)

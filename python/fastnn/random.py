# SPDX-License-Identifier: BSD-3-Clause
"""Random numbers: generators, and tensors filled from them. torch's names; Philox4x32-10's numbers.

The state of a generator is one memory cell, int64 [seed, offset], that kernels read and move on:
eager calls, recorded plans, checkpoints and forked processes all use the same cell.
"""

from __future__ import annotations

import math
import numbers
import os
from typing import Any

import numpy as np

from fastnn import _backend, _dtypes
from fastnn._device import device as Device
from fastnn.ops import _common
from fastnn.ops.creation import empty, size_argument
from fastnn.tensor import Tensor


class Generator:
    """A source of random numbers: ``manual_seed``, ``get_state``, ``set_state``."""

    def __init__(self, device: Any = "cpu") -> None:
        self.device = Device(device)
        if self.device.type == "cuda" and _backend.default_table().name != "cuda":
            why = _backend.reasons.get("cuda", "CuPy is not in use")
            message = f"Generator: expected device 'cpu', got {device!r}: {why}; leave device out"
            raise RuntimeError(message)
        self.cell = _backend.empty((2,), np.int64)
        self.manual_seed(67280421310721)

    def manual_seed(self, seed: int) -> Generator:
        """Starts over from a seed: any integer of 64 bits, negative ones included."""
        given: object = seed
        if not isinstance(given, int) and not (
            isinstance(given, numbers.Real) and _common.is_finite(given)
        ):
            message = f"manual_seed: expected an int, got {seed!r}; seed() takes one of the system"
            raise TypeError(message)
        number = int(seed)
        if not -(2**63) <= number < 2**64:
            message = (
                f"manual_seed: expected an integer of 64 bits, got {seed}; take it modulo 2**64"
            )
            raise RuntimeError(message)
        self.cell[0] = number - 2**64 if number >= 2**63 else number
        self.cell[1] = 0
        return self

    def initial_seed(self) -> int:
        """The seed that it was started from."""
        return int(self.cell[0]) % 2**64

    def seed(self) -> int:
        """Starts over from a seed of the operating system, which it returns."""
        number = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(number)
        return number

    def get_state(self) -> Tensor:
        """The state as 16 bytes (uint8)."""
        return Tensor._wrap(np.array(self._host()).view(np.uint8))

    def set_state(self, state: Tensor) -> Generator:
        """Continues from a state that get_state gave."""
        if (
            not isinstance(state, Tensor)
            or state.shape != (16,)
            or state.dtype is not _dtypes.uint8
        ):
            message = (
                f"set_state: expected what get_state returned (16 bytes), got {state!r}; pass that "
                "tensor unchanged"
            )
            raise RuntimeError(message)
        numbers = np.array(state.cpu().numpy()).view(np.int64)
        self.cell[0], self.cell[1] = int(numbers[0]), int(numbers[1])
        return self

    def _host(self) -> Any:
        return self.cell if isinstance(self.cell, np.ndarray) else self.cell.get()

    def __deepcopy__(self, memo: dict[int, Any]) -> Generator:
        made = Generator(self.device)
        memo[id(self)] = made
        return made.set_state(self.get_state())

    def __reduce__(self) -> Any:
        return _restore, (self.device, self._host().tolist())

    def __repr__(self) -> str:
        return f"Generator(seed={self.initial_seed()}, offset={int(self.cell[1])})"


def _restore(device: Any, numbers: list[int]) -> Generator:
    made = Generator(device)
    made.cell[0], made.cell[1] = numbers
    return made


default_generator = Generator()


def cell_of(op: str, generator: Generator | None) -> Any:
    """The memory cell of a generator (None: the default one)."""
    if generator is None:
        return default_generator.cell
    if not isinstance(generator, Generator):
        message = (
            f"{op}: expected a fastnn.Generator or None, got {type(generator).__name__}; make one "
            "with fastnn.Generator()"
        )
        raise TypeError(message)
    return generator.cell


def manual_seed(seed: int) -> Generator:
    """Seeds the default generator."""
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def seed() -> int:
    """Seeds the default generator from the operating system."""
    return default_generator.seed()


def get_rng_state() -> Tensor:
    """The state of the default generator."""
    return default_generator.get_state()


def set_rng_state(state: Tensor) -> None:
    """Sets the state of the default generator."""
    default_generator.set_state(state)


def rand(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers from [0, 1)."""
    shape = size_argument("rand", sizes, size)
    dtype = _dtypes.argument("rand", dtype)
    made = empty(shape, dtype=dtype, device=device).uniform_(generator=generator)
    made.storage.version = 0  # nobody has seen it before
    return made.requires_grad_() if requires_grad else made


def randn(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normally distributed numbers, mean 0 and standard deviation 1."""
    shape = size_argument("randn", sizes, size)
    dtype = _dtypes.argument("randn", dtype)
    made = empty(shape, dtype=dtype, device=device).normal_(generator=generator)
    made.storage.version = 0
    return made.requires_grad_() if requires_grad else made


def rand_like(input: Tensor, *, dtype: Any = None, generator: Generator | None = None) -> Tensor:
    """`rand` of the shape and type of a tensor."""
    _common.require_tensor("rand_like", "input", input)
    kind = _dtypes.argument("rand_like", dtype, input.dtype)
    return rand(input.shape, dtype=kind, generator=generator)


def randn_like(input: Tensor, *, dtype: Any = None, generator: Generator | None = None) -> Tensor:
    """`randn` of the shape and type of a tensor."""
    _common.require_tensor("randn_like", "input", input)
    kind = _dtypes.argument("randn_like", dtype, input.dtype)
    return randn(input.shape, dtype=kind, generator=generator)


def _words(op: str, n: int, generator: Generator | None) -> Any:
    out = _backend.empty((n,), np.int64)
    _backend.kernels(out).random_bits(out, cell_of(op, generator))
    return out


def randint(
    *args: Any,
    low: Any = None,
    high: Any = None,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
) -> Tensor:
    """``randint(high, size)`` or ``randint(low, high, size)``: integers from [low, high).

    Two words make 64 bits, of which the remainder is taken: biased by less than 2^-32 for ranges
    below 2^32.
    """
    named = [low, high, size]
    absent = [i for i, v in enumerate(named) if v is None]
    # Of (low, high, size) the arguments by position fill what no keyword gives; low may be absent.
    if len(args) == len(absent) - 1 and low is None:
        named[0] = 0
        absent = absent[1:]
    if len(args) != len(absent):
        message = (
            "randint: expected (high, size) or (low, high, size), got "
            f"{len(args) + 3 - len(absent)} arguments; for example randint(10, (2, 3))"
        )
        raise TypeError(message)
    for i, value in zip(absent, args, strict=True):
        named[i] = value
    low, high, size = named
    low = _common.integer("randint", "low", low)
    high = _common.integer("randint", "high", high)
    if not high > low:
        message = (
            f"randint: expected low < high, got {low} and {high}; high itself is never drawn, so "
            "pass the largest plus 1"
        )
        raise RuntimeError(message)
    shape = size_argument("randint", (size,), None)
    n = math.prod(shape)
    pairs = _words("randint", 2 * n, generator).astype(np.uint64).reshape(n, 2)
    wide = (pairs[:, 0] << np.uint64(32)) | pairs[:, 1]
    values = (wide % np.uint64(high - low)).astype(np.int64) + low
    kind = _dtypes.argument("randint", dtype, _dtypes.int64)
    return Tensor._wrap(values.astype(kind.numpy).reshape(shape))


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None) -> Tensor:
    """A random order of 0 ... n-1: the order that sorts n random 64-bit keys."""
    if isinstance(n, bool):
        message = f"randperm: expected n as an int, got {n!r}; convert it with int()"
        raise TypeError(message)
    n = _common.integer("randperm", "n", n)
    if n < 0:
        message = (
            f"randperm: expected n >= 0, got {n}; pass the number of entries, such as len(data)"
        )
        raise RuntimeError(message)
    _common.check_extent("randperm", (n, 2))
    pairs = _words("randperm", 2 * n, generator).astype(np.uint64).reshape(n, 2)
    keys = (pairs[:, 0] << np.uint64(32)) | pairs[:, 1]
    order = np.argsort(keys, kind="stable").astype(np.int64)
    kind = _dtypes.argument("randperm", dtype, _dtypes.int64)
    return Tensor._wrap(order if kind is _dtypes.int64 else order.astype(kind.numpy))

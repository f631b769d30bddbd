# SPDX-License-Identifier: BSD-3-Clause
"""Random numbers: generators, and tensors filled from them. torch's names; Philox4x32-10's numbers.

The state of a generator is one memory cell, int64 [seed, offset], that kernels read and move on:
eager calls, recorded plans, checkpoints and forked processes all use the same cell.
"""

from __future__ import annotations

import contextlib
import numbers
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _backend, _dtypes
from fastnn._device import device as Device
from fastnn._formats import check_formats
from fastnn._random_integers import randint, randperm
from fastnn.ops import _common
from fastnn.ops.creation import empty, size_argument
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator


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

    def set_state(self, new_state: Tensor) -> Generator:
        """Continues from a state that get_state gave."""
        if (
            not isinstance(new_state, Tensor)
            or new_state.shape != (16,)
            or new_state.dtype is not _dtypes.uint8
        ):
            message = (
                f"set_state: expected what get_state returned (16 bytes), got {new_state!r}; pass "
                "that tensor unchanged"
            )
            raise RuntimeError(message)
        numbers = np.array(new_state.cpu().numpy()).view(np.int64)
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


@contextlib.contextmanager
def fork_rng(
    devices: Any = None, enabled: bool = True, device_type: str | None = None
) -> Iterator[None]:
    """Draws inside of the ``with`` block leave the default generator as it was before, as
    torch.random.fork_rng. It is the only one: ``devices`` and ``device_type`` change nothing."""
    del devices, device_type
    state = default_generator.get_state()
    try:
        yield
    finally:
        if enabled:
            default_generator.set_state(state)


def get_rng_state() -> Tensor:
    """The state of the default generator."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Sets the state of the default generator."""
    default_generator.set_state(new_state)


def rand(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Uniform numbers from [0, 1)."""
    check_formats("rand", layout=layout, pin_memory=pin_memory)
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
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normally distributed numbers, mean 0 and standard deviation 1."""
    check_formats("randn", layout=layout, pin_memory=pin_memory)
    shape = size_argument("randn", sizes, size)
    dtype = _dtypes.argument("randn", dtype)
    made = empty(shape, dtype=dtype, device=device).normal_(generator=generator)
    made.storage.version = 0
    return made.requires_grad_() if requires_grad else made


def rand_like(
    input: Tensor,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
    generator: Generator | None = None,
) -> Tensor:
    """`rand` of the shape, type and device of a tensor."""
    _common.require_tensor("rand_like", "input", input)
    check_formats("rand_like", layout=layout, pin_memory=pin_memory, memory_format=memory_format)
    kind = _dtypes.argument("rand_like", dtype, input.dtype)
    where = input.device if device is None else device
    return rand(
        input.shape, dtype=kind, device=where, requires_grad=requires_grad, generator=generator
    )


def randn_like(
    input: Tensor,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
    generator: Generator | None = None,
) -> Tensor:
    """`randn` of the shape, type and device of a tensor."""
    _common.require_tensor("randn_like", "input", input)
    check_formats("randn_like", layout=layout, pin_memory=pin_memory, memory_format=memory_format)
    kind = _dtypes.argument("randn_like", dtype, input.dtype)
    where = input.device if device is None else device
    return randn(
        input.shape, dtype=kind, device=where, requires_grad=requires_grad, generator=generator
    )


__all__ = [
    "Generator", "cell_of", "default_generator", "fork_rng", "get_rng_state", "initial_seed",
    "manual_seed",
    "rand", "rand_like", "randint", "randn", "randn_like", "randperm", "seed", "set_rng_state",
]  # fmt: skip

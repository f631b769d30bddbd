# SPDX-License-Identifier: BSD-3-Clause
"""What programs ask of a GPU, under the names of torch.cuda.

There is one where ``FASTNN_BACKEND=cuda`` was set before fastnn was imported and its CUDA kernels,
a driver and CuPy were found: `is_available`. All tensors of a process are made on the GPU then, and
there is one default generator, which is the GPU's. Elsewhere what needs a GPU raises RuntimeError
with the reason, and what only forgets or counts does nothing and gives 0, as in torch.

Memory is CuPy's: `memory_allocated` and `memory_reserved` ask its pool.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn import _backend
from fastnn import random as _random
from fastnn._device import device as Device

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastnn.tensor import Tensor

__all__ = [
    "current_device", "device", "device_count", "empty_cache", "get_device_capability",
    "get_device_name", "get_device_properties", "get_rng_state", "get_rng_state_all", "init",
    "initial_seed", "is_available", "is_bf16_supported", "is_initialized", "manual_seed",
    "manual_seed_all", "mem_get_info", "memory_allocated", "memory_reserved", "seed", "seed_all",
    "set_device", "set_rng_state", "set_rng_state_all", "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Whether tensors can be on a GPU: `fastnn.show_config` says why not."""
    return _backend.cupy is not None


def device_count() -> int:
    """How many GPUs there are; 0 where `is_available` is False."""
    return int(_backend.cuda.device_count()) if is_available() else 0


def _cupy(name: str) -> Any:
    """CuPy. RuntimeError where it is not in use."""
    if _backend.cupy is None:
        why = _backend.reasons.get("cuda", "CuPy is not in use")
        message = (
            f"cuda.{name}: expected a GPU, got none: {why}; ask cuda.is_available() first, or start"
            " Python with FASTNN_BACKEND=cuda"
        )
        raise RuntimeError(message)
    return _backend.cupy


def _index(name: str, device: Any) -> int:
    """The number of the GPU that an argument names; None names the current one."""
    cupy = _cupy(name)
    given: object = device
    if isinstance(given, str | Device):
        where = Device(given)
        if where.type != "cuda":
            message = (
                f"cuda.{name}: expected a GPU, got device {where}; write 'cuda' or 'cuda:0', or"
                " leave it out"
            )
            raise ValueError(message)
        given = where.index
    if given is None:
        return int(cupy.cuda.runtime.getDevice())
    if isinstance(given, bool) or not isinstance(given, int):
        message = (
            f"cuda.{name}: expected a device, its number or None, got {device!r}; write 'cuda:0' or"
            " 0"
        )
        raise TypeError(message)
    if not 0 <= given < device_count():
        message = (
            f"cuda.{name}: expected a number below {device_count()}, the number of GPUs, got"
            f" {given}; the first is 0"
        )
        raise RuntimeError(message)
    return given


def init() -> None:
    """Nothing: a GPU is ready once fastnn is imported.  Raises RuntimeError where there is none."""
    _cupy("init")


def is_initialized() -> bool:
    """The same as `is_available`."""
    return is_available()


def current_device() -> int:
    """The number of the GPU on which tensors are made."""
    return _index("current_device", None)


def set_device(device: Any) -> None:
    """Makes a GPU the current one; a negative number changes nothing, as in torch."""
    if isinstance(device, int) and not isinstance(device, bool) and device < 0:
        return
    _cupy("set_device").cuda.Device(_index("set_device", device)).use()


class device:
    """``with cuda.device(1):`` makes a GPU the current one for a while.

    A negative number or None changes nothing. Raises RuntimeError where there is no GPU.
    """

    def __init__(self, device: Any) -> None:
        changes = device is not None and not (isinstance(device, int) and device < 0)
        self.idx = _index("device", device) if changes else -1

    def __enter__(self) -> None:
        if self.idx >= 0:
            self.prev_idx = current_device()
            set_device(self.idx)

    def __exit__(self, *_: object) -> None:
        if self.idx >= 0:
            set_device(self.prev_idx)


def synchronize(device: Any = None) -> None:
    """Waits until a GPU has done all that it was asked for."""
    _cupy("synchronize").cuda.Device(_index("synchronize", device)).synchronize()


class _Properties(NamedTuple):
    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int


def get_device_properties(device: Any = None) -> _Properties:
    """``name``, ``major``, ``minor`` (of the compute capability), ``total_memory`` in bytes and
    ``multi_processor_count`` of a GPU."""
    index = _index("get_device_properties", device)
    found = _backend.cuda.device_info()["devices"][index]
    major, minor = found["compute_capability"]
    return _Properties(found["name"], major, minor, found["memory_bytes"], found["multiprocessors"])


def get_device_name(device: Any = None) -> str:
    """The name of a GPU."""
    return get_device_properties(_index("get_device_name", device)).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability of a GPU: ``(9, 0)``."""
    found = get_device_properties(_index("get_device_capability", device))
    return found.major, found.minor


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False: no GPU kernel takes bfloat16, and none is emulated."""
    del including_emulation
    return False


# ---- memory ----


def empty_cache() -> None:
    """Gives GPU memory that is kept for reuse back to the driver."""
    if is_available():
        _backend.cupy.get_default_memory_pool().free_all_blocks()


def _of_pool(name: str, device: Any, asked: str) -> int:
    """What CuPy's pool of memory says of a GPU; 0 where there is none."""
    if not is_available():
        return 0
    with _backend.cupy.cuda.Device(_index(name, device)):  # the pool answers for the current one
        return int(getattr(_backend.cupy.get_default_memory_pool(), asked)())


def memory_allocated(device: Any = None) -> int:
    """How many bytes of a GPU arrays have; 0 where there is none."""
    return _of_pool("memory_allocated", device, "used_bytes")


def memory_reserved(device: Any = None) -> int:
    """How many bytes of a GPU arrays have or are kept for them; 0 where there is none."""
    return _of_pool("memory_reserved", device, "total_bytes")


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, all) bytes of a GPU's memory, by its driver."""
    with _cupy("mem_get_info").cuda.Device(_index("mem_get_info", device)):
        free, total = _backend.cupy.cuda.runtime.memGetInfo()
    return int(free), int(total)


# ---- random numbers ----


def manual_seed(seed: int) -> None:
    """Seeds the default generator if it is a GPU's; without a GPU nothing, as in torch."""
    given = _random.Generator().manual_seed(seed)  # an unsuitable seed is refused everywhere
    if is_available():
        _random.default_generator.manual_seed(given.initial_seed())


def manual_seed_all(seed: int) -> None:
    """The same as `manual_seed`: there is one generator."""
    manual_seed(seed)


def seed() -> None:
    """Seeds the default generator from the operating system if it is a GPU's."""
    if is_available():
        _random.seed()


def seed_all() -> None:
    """The same as `seed`."""
    seed()


def initial_seed() -> int:
    """The seed of the default generator, which must be a GPU's."""
    _cupy("initial_seed")
    return _random.initial_seed()


def get_rng_state(device: Any = "cuda") -> Tensor:
    """The state of the default generator, which must be a GPU's."""
    _index("get_rng_state", device)
    return _random.get_rng_state()


def get_rng_state_all() -> list[Tensor]:
    """`get_rng_state` of each GPU: the same one for all; an empty list without."""
    return [_random.get_rng_state() for _ in range(device_count())]


def set_rng_state(new_state: Tensor, device: Any = "cuda") -> None:
    """Sets the state of the default generator, which must be a GPU's."""
    _index("set_rng_state", device)
    _random.set_rng_state(new_state)


def set_rng_state_all(new_states: Iterable[Tensor]) -> None:
    """`set_rng_state` of each GPU in turn: the last one stays."""
    for i, state in enumerate(new_states):
        set_rng_state(state, i)


def __getattr__(name: str) -> Any:
    if name == "amp":
        return importlib.import_module("fastnn.cuda.amp")
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)

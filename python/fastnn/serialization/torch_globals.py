# SPDX-License-Identifier: BSD-3-Clause
"""The names that torch's files may use, and what they stand for here: nothing else is called."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastnn import _dtypes
from fastnn._device import device as Device
from fastnn.ops import from_numpy
from fastnn.serialization.places import Places
from fastnn.serialization.source import Malformed, refuse
from fastnn.serialization.tensor_file import MAX_DIMS, checked_bools, numpy_type
from fastnn.serialization.unpickle import Known, _key
from fastnn.tensor import Tensor

__all__ = [
    "STORAGES",
    "StorageType",
    "StoredMemory",
    "StoredTensors",
    "TypedMemory",
    "find_global",
]


class StorageType:
    """torch's name for memory with elements of one type; None: of bytes, the tensor says more."""

    def __init__(self, kind: str | None) -> None:
        self.kind = kind


STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


class StoredMemory:
    """The memory of a storage, all of it; ``bytes`` is what tensors on it share."""

    def __init__(self, name: str, raw: Any, device: Device) -> None:
        self.name = name
        self.raw: np.ndarray[Any, Any] = raw
        self.device = device
        self.whole = from_numpy(raw)
        self.moved: dict[Any, Tensor] = {}
        self.swapped = False  # from another byte order to this machine's


class TypedMemory:
    """A storage as a tensor sees it."""

    def __init__(self, memory: StoredMemory, kind: str | None) -> None:
        self.memory = memory
        self.kind = kind


class StoredTensors:
    """Makes tensors of storages: of torch's rebuilding functions, what each is called with."""

    def tensor(
        self, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False,
        hooks: Any = None, metadata: Any = None, kind: str | None = None,
    ) -> Tensor:  # fmt: skip
        """The view of a storage with these sizes and strides, in elements."""
        refuse(not isinstance(storage, TypedMemory), "it has a tensor without a storage")
        memory = storage.memory
        refuse(bool(hooks), f"{memory.name} belongs to a tensor with hooks")
        refuse(bool(metadata), f"{memory.name} belongs to a tensor with {metadata!r:.60}")
        kind = kind or storage.kind
        refuse(kind is None, f"{memory.name} has elements of no type")
        assert kind is not None
        view = _view(memory, numpy_type(memory.name, kind), kind, offset, size, stride)
        made = from_numpy(view)
        if np.may_share_memory(made.array, memory.raw):
            made.storage = memory.whole.storage
        made = self._placed(memory, made)
        if requires_grad:
            made.requires_grad_()
        return made

    @staticmethod
    def _placed(memory: StoredMemory, made: Tensor) -> Tensor:
        """On the device that is wanted; tensors that are the same memory stay that."""
        array = made.array
        key = (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)
        if key in memory.moved:
            found = memory.moved[key].detach()
        else:
            found = Places.put(made, memory.device)
            if found is not made:
                memory.moved[key] = found
        return found

    def tensor_of_type(
        self, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any,
        dtype: Any, metadata: Any = None,
    ) -> Tensor:  # fmt: skip
        """Where the type stands beside a storage of bytes."""
        refuse(not isinstance(dtype, _dtypes.dtype), "it has a tensor of no type")
        return self.tensor(
            storage, offset, size, stride, requires_grad, hooks, metadata, dtype.name
        )

    def parameter(self, data: Any, requires_grad: Any, hooks: Any = None, state: Any = None) -> Any:
        """A Parameter on a tensor."""
        from fastnn.nn import Parameter  # noqa: PLC0415 - modules are not needed for plain tensors

        refuse(not isinstance(data, Tensor), "it has a Parameter without a tensor")
        refuse(bool(hooks), "it has a Parameter with hooks")
        data = data.detach() if data.requires_grad else data
        return self.with_attributes(Parameter(data, requires_grad=bool(requires_grad)), state)

    def of_type(self, function: Any, kind: Any, arguments: Any, state: Any) -> Any:
        """A tensor that has attributes, or is of a subclass, of which only Parameter is known."""
        good = isinstance(function, Known) and isinstance(kind, Known) and type(arguments) is tuple
        refuse(not good, "it has a tensor that is made of no tensor")
        made = function.call(*arguments)
        refuse(not isinstance(made, Tensor), f"it has a tensor that is made by {function.name}")
        return self.with_attributes(made, state)

    @staticmethod
    def with_attributes(made: Any, state: Any) -> Any:
        """What a user has hung on a tensor; names that tensors have themselves are refused."""
        state = state[0] if type(state) is tuple and state else state
        for name, value in (state or {}).items():
            good = isinstance(name, str) and not hasattr(made, name)
            refuse(not good, f"it has a tensor with the attribute {name!r:.40}")
            setattr(made, name, value)
        return made

    def functions(self) -> dict[str, Any]:
        """By torch's names."""
        known: dict[str, Callable[..., Any]] = {
            "torch._utils._rebuild_tensor": self.tensor,
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_tensor_v3": self.tensor_of_type,
            "torch._utils._rebuild_parameter": self.parameter,
            "torch._utils._rebuild_parameter_with_state": self.parameter,
            "torch._tensor._rebuild_from_type_v2": self.of_type,
            "torch.Tensor": _no_constructor,
            "torch.nn.parameter.Parameter": _no_constructor,
        }
        return {name: Known(name, call) for name, call in known.items()}


def _no_constructor(*arguments: Any) -> Any:
    problem = f"it makes a tensor of {len(arguments)} numbers and no storage"
    raise Malformed(problem)


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _view(
    memory: StoredMemory, dtype: np.dtype[Any], kind: str, offset: Any, size: Any, stride: Any
) -> np.ndarray[Any, Any]:
    """The view, if all of it lies within the storage."""
    raw, what = memory.raw, f"a tensor on {memory.name}"
    lists = type(size) in (tuple, list) and type(stride) in (tuple, list)
    good = lists and len(size) == len(stride) <= MAX_DIMS and all(map(_whole, (*size, *stride)))
    refuse(not good, f"{what} has the size {size!r:.80} and the strides {stride!r:.80}")
    refuse(not _whole(offset), f"{what} starts at {offset!r:.40}")
    refuse(raw.nbytes % dtype.itemsize, f"{memory.name} has {raw.nbytes} bytes, for {kind}")
    if kind == "bool":
        checked_bools(memory.name, raw)
    if 0 in size:
        last = 0
    else:
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1
    count = raw.nbytes // dtype.itemsize
    refuse(last > count, f"{what} reaches to element {last} of {count}")
    steps = tuple(s * dtype.itemsize for s in stride)
    try:
        if 0 in size:
            return np.empty(tuple(size), dtype)
        view = np.ndarray(tuple(size), dtype, raw, offset * dtype.itemsize, steps)
    except (ValueError, OverflowError, MemoryError) as error:  # larger than NumPy has
        problem = f"{what} has the size {size!r:.80} ({error})"
        raise Malformed(problem) from None
    # Elements that are one cannot be written one by one.
    if any(n > 1 and s == 0 for n, s in zip(size, stride, strict=True)):
        view.flags.writeable = False
    return view


# ---- plain data ----


def _ordered(items: Iterable[Any] = ()) -> OrderedDict[Any, Any]:
    return OrderedDict((_key(key), value) for key, value in items)


def _counter(counts: Any = None) -> Counter[Any]:
    refuse(not isinstance(counts or {}, dict), "it has a Counter of what is no dict")
    return Counter(counts)


def _default(factory: Any = None) -> defaultdict[Any, Any]:
    name = factory.name if isinstance(factory, Known) else None
    refuse(factory is not None and name not in _FACTORIES, "it has a defaultdict of its own kind")
    return defaultdict(_FACTORIES[name] if name else None)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    good = isinstance(text, str) and encoding in ("latin1", "latin-1")
    refuse(not good, f"it has bytes encoded as {encoding!r:.40}")
    return bytes(text, "latin1")


def _size(sizes: Any = ()) -> tuple[int, ...]:
    return tuple(sizes)


def _set(items: Iterable[Any] = ()) -> set[Any]:
    return set(map(_key, items))


def _device(kind: str, index: int | None = None) -> Device:
    try:
        return Device(kind, index)
    except RuntimeError:
        problem = f"it names the device {kind!r:.40}, which fastnn has not"
        raise Malformed(problem) from None


_FACTORIES: dict[str, Callable[[], Any]] = {
    "builtins.dict": dict,
    "builtins.list": list,
    "builtins.int": int,
    "builtins.float": float,
}
_PLAIN: dict[str, Any] = {
    "collections.OrderedDict": _ordered,
    "collections.Counter": _counter,
    "collections.defaultdict": _default,
    "_codecs.encode": _encode,
    "builtins.set": _set,
    "torch.Size": _size,
    "torch.device": _device,
}
_OLD_MODULES = {"__builtin__": "builtins", "torch.tensor": "torch"}


def _refused(name: str) -> str:
    if "sparse" in name:
        return f"it holds a sparse tensor ({name}); save it as to_dense()"
    if "qtensor" in name:
        return f"it holds a quantized tensor ({name}); save it as dequantize()"
    if name.startswith(("numpy.", "torch.torch")):
        return f"it holds {name}; save torch.from_numpy(array), and numbers as float() or int()"
    return (
        f"it needs {name}, and fastnn runs no code of a file: only tensors, numbers, texts and "
        "containers of them are read; save state_dict()s"
    )


def find_global(module: str, name: str, functions: dict[str, Any]) -> Any:
    """What a global of a file stands for. Raises Malformed, naming it, for an unknown one."""
    full = f"{_OLD_MODULES.get(module, module)}.{name}"
    if full in functions:
        return functions[full]
    if full in _PLAIN:
        return Known(full, _PLAIN[full])
    if full in _FACTORIES:
        return Known(full, _no_constructor)
    if module in ("torch", "torch.cuda") and name in STORAGES:
        return StorageType(STORAGES[name])
    if full == "torch.storage.UntypedStorage":
        return StorageType(None)
    if module == "torch":
        found = getattr(_dtypes, "bool_" if name == "bool" else name, None)
        if isinstance(found, _dtypes.dtype):
            return found
    raise Malformed(_refused(f"{module}.{name}"))

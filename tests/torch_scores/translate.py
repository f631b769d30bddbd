# SPDX-License-Identifier: BSD-3-Clause
"""What a sample of torch's databases consists of, as the same things of fastnn."""

from __future__ import annotations

import contextlib
import types
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch

import fastnn


class NotCounted(Exception):
    """The sample has complex numbers or sparse tensors, or writes to ``out=``."""


class Lacking(Exception):
    """The sample needs something that fastnn does not have."""


def find(path: str) -> Any:
    """``fastnn.linalg.norm`` for "linalg.norm". Raises Lacking."""
    found: Any = fastnn
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            message = f"fastnn has no {path}"
            raise Lacking(message) from None
    return found


class _Namespace:
    """``torch`` as code of the databases sees it: fastnn, whose missing names are Lacking."""

    def __init__(self, path: str = "") -> None:
        self._path = path

    def __getattr__(self, name: str) -> Any:
        path = f"{self._path}.{name}".lstrip(".")
        found = find(path)
        return _Namespace(path) if isinstance(found, types.ModuleType) else found


def with_fastnn(function: Any) -> Any:
    """A Python function of the databases whose global name ``torch`` means fastnn."""
    names = {**function.__globals__, "torch": _Namespace()}
    made = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def dtype_of(d: torch.dtype) -> Any:
    if d.is_complex:
        raise NotCounted
    return find(str(d).removeprefix("torch."))


def _memory(t: torch.Tensor) -> np.ndarray[Any, Any]:
    """A copy of all elements of a tensor's storage, in NumPy's type for them."""
    size = t.untyped_storage().nbytes() // t.element_size()
    whole = t.as_strided((size,), (1,), 0)
    if t.dtype == torch.bfloat16:
        return whole.view(torch.int16).numpy().copy().view(dtype_of(t.dtype).numpy)
    dtype_of(t.dtype)
    return whole.numpy().copy()


class Translator:
    """Translates the parts of one sample: tensors that are one, or share memory, go on doing so."""

    def __init__(self) -> None:
        self.tensors: list[tuple[torch.Tensor, Any]] = []
        self._made: dict[int, Any] = {}
        self._memories: dict[Any, np.ndarray[Any, Any]] = {}

    def tensor(self, t: torch.Tensor) -> Any:
        if id(t) in self._made:
            return self._made[id(t)]
        if t.layout != torch.strided or t.is_complex() or t.is_quantized or t.is_nested:
            raise NotCounted
        if t.device.type != "cpu":
            message = f"a tensor on {t.device}"
            raise Lacking(message)
        plain = t.detach()
        if plain.is_neg():
            plain = plain.resolve_neg()
        key = (plain.untyped_storage().data_ptr(), plain.dtype)
        if not plain.numel():
            array = np.empty(plain.shape, _memory(plain.reshape(-1)[:0]).dtype)
        else:
            if key not in self._memories:
                self._memories[key] = _memory(plain)
            memory = self._memories[key]
            steps = [s * plain.element_size() for s in plain.stride()]
            offset = plain.storage_offset() * plain.element_size()
            array = np.ndarray(tuple(plain.shape), memory.dtype, memory, offset, steps)
        made = fastnn.from_numpy(array)
        if isinstance(t, torch.nn.Parameter):
            made = fastnn.nn.Parameter(made, requires_grad=t.requires_grad)
        elif t.requires_grad:
            made.requires_grad_()
        self._made[id(t)] = made
        self.tensors.append((t, made))
        return made

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self.tensor(value)
        if isinstance(value, torch.Size):
            return tuple(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self, value))
        if isinstance(value, list | tuple):
            return type(value)(map(self, value))
        if isinstance(value, dict | OrderedDict):
            return type(value)((k, self(v)) for k, v in value.items())
        if isinstance(value, slice):
            return slice(self(value.start), self(value.stop), self(value.step))
        if isinstance(value, torch.dtype):
            return dtype_of(value)
        if isinstance(value, torch.layout) and value != torch.strided:
            raise NotCounted
        if isinstance(value, complex | np.complexfloating):
            raise NotCounted
        if isinstance(value, torch.layout | torch.memory_format):
            return find(str(value).removeprefix("torch."))
        if isinstance(value, torch.device):
            return fastnn.device(str(value))
        if isinstance(value, torch.Generator):
            message = "a Generator of torch"
            raise Lacking(message)
        if isinstance(value, torch.nn.Module):
            return self.module(value)
        if isinstance(value, types.FunctionType | types.BuiltinFunctionType):
            return _function(value)
        return value

    def module(self, value: torch.nn.Module) -> Any:
        """A module among the arguments, which was made under `recording_modules`."""
        if value not in _constructed:
            message = f"no translation of {value!r:.80}"
            raise Lacking(message)
        args, kwargs = _constructed[value]
        made = find(f"nn.{type(value).__name__}")(*self(args), **self(kwargs))
        made.load_state_dict(self(value.state_dict()))
        return made.train(value.training)


_constructed: weakref.WeakKeyDictionary[torch.nn.Module, tuple[Any, Any]] = (
    weakref.WeakKeyDictionary()
)


@contextlib.contextmanager
def recording_modules() -> Iterator[None]:
    """The arguments of modules that the databases pass as arguments are remembered."""
    kinds = (torch.nn.PairwiseDistance, torch.nn.TransformerEncoderLayer, torch.nn.LayerNorm)
    with contextlib.ExitStack() as stack:
        for kind in kinds:
            original = kind.__init__

            def recorded(self: Any, *args: Any, _original: Any = original, **kwargs: Any) -> None:
                _original(self, *args, **kwargs)
                _constructed[self] = args, kwargs

            stack.enter_context(mock.patch.object(kind, "__init__", recorded))
        yield


def _function(value: Any) -> Any:
    """A function of torch by its name; of the databases themselves, with fastnn as its torch."""
    for path, namespace in (("nn.functional.", torch.nn.functional), ("", torch)):
        if getattr(namespace, value.__name__, None) is value:
            return find(path + value.__name__)
    python = isinstance(value, types.FunctionType)
    return with_fastnn(value) if python and "torch" in value.__code__.co_names else value


def _bits(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """An array of any type, writable and with positive strides, as a tensor of torch."""
    array = np.array(array, order="C")
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_torch(t: Any) -> torch.Tensor:
    """The values of a tensor of fastnn."""
    return _bits(t.detach().numpy())

# SPDX-License-Identifier: BSD-3-Clause
"""Modules that hold parameters: ``ParameterList`` and ``ParameterDict``.

Both take any values. A tensor becomes a :class:`Parameter` and is seen by ``parameters()``,
``state_dict()`` and ``to()``; anything else is kept as it is.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

from fastnn.nn._registry import type_name
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.tensor import Tensor

__all__ = ["ParameterDict", "ParameterList"]

_L = TypeVar("_L", bound="ParameterList")
_D = TypeVar("_D", bound="ParameterDict")


def _as_parameter(value: Any) -> Any:
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return Parameter(value)
    return value


def _described(name: str, value: Any) -> str:
    if isinstance(value, Tensor):
        kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
        sizes = "x".join(map(str, value.shape))
        return f"  ({name}): {kind} containing: [{value.dtype} of size {sizes}]"
    return f"  ({name}): Object of type: {type(value).__name__}"


class ParameterList(Module):
    """A list of parameters, named "0", "1", ... in the ``state_dict``."""

    _size: int

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _name(self, index: int) -> str:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            message = (
                f"ParameterList: expected an index of its {len(self)} entries, got {position}; "
                "append() adds one"
            )
            raise IndexError(message)
        return str(position % len(self))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, str(i)) for i in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self: _L, index: slice) -> _L: ...
    def __getitem__(self: _L, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return getattr(self, self._name(index))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._name(index), _as_parameter(value))

    def append(self: _L, value: Any) -> _L:
        """Add ``value`` at the end."""
        setattr(self, str(len(self)), _as_parameter(value))
        self._size += 1
        return self

    def extend(self: _L, values: Iterable[Any]) -> _L:
        """Add every one of ``values`` at the end."""
        given: object = values
        if not isinstance(given, Iterable) or isinstance(given, Tensor):
            message = (
                "ParameterList.extend: expected an iterable such as a list of parameters, got"
                f" {type_name(given)}; append() adds a single one"
            )
            raise TypeError(message)
        for value in list(values):
            self.append(value)
        return self

    def __iadd__(self: _L, values: Iterable[Any]) -> _L:
        return self.extend(values)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def extra_repr(self) -> str:
        return "\n".join(_described(str(i), value) for i, value in enumerate(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        message = (
            "ParameterList: expected an index, got a call: it should not be called; index it, or "
            "iterate over it"
        )
        raise RuntimeError(message)


class ParameterDict(Module):
    """A dictionary of parameters, under their keys in the ``state_dict``."""

    _names: dict[str, None]

    def __init__(self, parameters: Mapping[str, Any] | Iterable[Any] | None = None) -> None:
        super().__init__()
        self._names = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._names:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            message = (
                "ParameterDict: expected a string as key (its entries are attributes), got"
                f" {key!r}; use str(key)"
            )
            raise TypeError(message)
        if key not in self._names and hasattr(self, key):
            message = (
                f"ParameterDict: expected a free name, got {key!r}: attribute '{key}' already "
                "exists; choose another key"
            )
            raise KeyError(message)
        setattr(self, key, _as_parameter(value))
        self._names[key] = None

    def __delitem__(self, key: str) -> None:
        if key not in self._names:
            raise KeyError(key)
        del self._names[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._names)

    def __contains__(self, key: object) -> bool:
        return key in self._names

    def keys(self) -> Iterable[str]:
        """The names, in order."""
        return self._names.keys()

    def values(self) -> Iterable[Any]:
        """The entries, in the order of the names."""
        return [self[key] for key in self._names]

    def items(self) -> Iterable[tuple[str, Any]]:
        """The pairs of name and entry."""
        return [(key, self[key]) for key in self._names]

    def get(self, key: str, default: Any = None) -> Any:
        """The entry of ``key``, else ``default``."""
        return self[key] if key in self._names else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The entry of ``key``, set to ``default`` if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Remove ``key`` and return its entry."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the newest pair and return it."""
        key = next(reversed(self._names))
        return key, self.pop(key)

    def clear(self) -> None:
        """Remove everything."""
        for key in list(self._names):
            del self[key]

    def copy(self: _D) -> _D:
        """A dictionary with the same entries, which are not copied."""
        return type(self)(dict(self.items()))

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new dictionary with ``default`` under each of ``keys``."""
        return ParameterDict((key, default) for key in keys)

    def update(self, parameters: Mapping[str, Any] | Iterable[Any]) -> None:
        """Add or replace entries: a mapping, or pairs of name and value."""
        given: object = parameters
        if not isinstance(given, Iterable):
            message = (
                "ParameterDict.update: expected a mapping or pairs (name, value), got"
                f" {type_name(given)}; pass {{name: value}}"
            )
            raise TypeError(message)
        named = isinstance(parameters, Mapping | ParameterDict)
        pairs: Iterable[Any] = parameters.items() if named else parameters  # type: ignore[union-attr]
        for position, pair in enumerate(pairs):
            if not (isinstance(pair, tuple | list) and len(pair) == 2):
                message = (
                    f"ParameterDict.update: expected a pair (name, value) as element {position},"
                    f" got {pair!r}; give every name its value"
                )
                raise TypeError(message)
            self[pair[0]] = pair[1]

    def __or__(self: _D, other: Any) -> _D:
        joined = self.copy()
        joined.update(other)
        return joined

    def __ior__(self: _D, other: Any) -> _D:
        self.update(other)
        return self

    def extra_repr(self) -> str:
        return "\n".join(_described(key, value) for key, value in self.items())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        message = (
            "ParameterDict: expected a key, got a call: it should not be called; look up its "
            "entries by their names"
        )
        raise RuntimeError(message)

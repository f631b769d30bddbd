# SPDX-License-Identifier: BSD-3-Clause
"""Modules that hold modules: ``Sequential``, ``ModuleList`` and ``ModuleDict``."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

from fastnn._backend import bump_mutation_stamp
from fastnn.nn._registry import type_name
from fastnn.nn.module import Module, _indent

__all__ = ["ModuleDict", "ModuleList", "Sequential"]

_S = TypeVar("_S", bound="_Indexed")


class _Indexed(Module):
    """Children in a row, named by their position unless names were given."""

    _modules: dict[str, Module]  # type: ignore[assignment]

    def _of(self: _S, entries: list[tuple[str, Module]]) -> _S:
        """A container of the same class with ``entries``."""
        raise NotImplementedError

    def _key(self, index: int) -> str:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            message = (
                f"{self._get_name()}: expected an index of its {len(self)} modules, got "
                f"{position}; append() adds one"
            )
            raise IndexError(message)
        return list(self._modules)[position]

    def _rename(self, modules: Iterable[Module]) -> None:
        """Make ``modules`` the children, named "0", "1", ..."""
        bump_mutation_stamp()
        renamed = {str(i): module for i, module in enumerate(modules)}
        self._modules.clear()
        self._modules.update(renamed)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self: _S, index: slice) -> _S: ...
    def __getitem__(self: _S, index: int | slice) -> Module | _S:
        if isinstance(index, slice):
            return self._of(list(self._modules.items())[index])
        return self._modules[self._key(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        keys = list(self._modules)
        for key in keys[index] if isinstance(index, slice) else [self._key(index)]:
            delattr(self, key)
        self._rename(list(self._modules.values()))

    def append(self: _S, module: Module) -> _S:
        """Add ``module`` at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: _S, modules: Iterable[Module]) -> _S:
        """Add every one of ``modules`` at the end."""
        given: object = modules
        if not isinstance(given, Iterable):
            message = (
                f"{self._get_name()}.extend: expected an iterable of modules, got "
                f"{type_name(given)}; append() adds a single one"
            )
            raise TypeError(message)
        for module in list(modules):
            self.append(module)
        return self

    def insert(self: _S, index: int, module: Module) -> _S:
        """Put ``module`` before position ``index``."""
        given: object = module
        if not isinstance(given, Module):
            message = (
                f"{self._get_name()}.insert: expected a Module, got {type_name(given)}; the index"
                " comes first, then the module"
            )
            raise TypeError(message)
        if not -len(self) <= index <= len(self):
            message = (
                f"{self._get_name()}.insert: expected an index from {-len(self)} to {len(self)}, "
                f"got {index}; append() adds at the end"
            )
            raise IndexError(message)
        modules = list(self)
        modules.insert(index, module)
        self._rename(modules)
        return self

    def pop(self, index: int = -1) -> Module:
        """Take out and return the module at ``index``."""
        module = self._modules[self._key(index)]
        del self[index]
        return module

    def __add__(self: _S, other: Iterable[Module]) -> _S:
        if not isinstance(other, Iterable):
            return NotImplemented
        joined = [*self, *other]
        return self._of([(str(i), module) for i, module in enumerate(joined)])

    def __iadd__(self: _S, other: Iterable[Module]) -> _S:
        return self.extend(other)


class Sequential(_Indexed):
    """Modules applied one after the other: ``Sequential(a, b)(x) == b(a(x))``.

    Also takes one ordered dictionary of names and modules.
    """

    def __init__(self, *args: Module | Mapping[str, Module]) -> None:
        super().__init__()
        named: Iterable[tuple[str, Any]] = ((str(i), module) for i, module in enumerate(args))
        if len(args) == 1 and isinstance(args[0], Mapping):
            named = args[0].items()
        for name, module in named:
            self.add_module(name, module)

    def _of(self: _S, entries: list[tuple[str, Module]]) -> _S:
        return type(self)(OrderedDict(entries))  # type: ignore[call-arg]

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input

    def __add__(self, other: Iterable[Module]) -> Sequential:
        if not isinstance(other, Sequential):
            message = (
                f"Sequential: expected a Sequential to add, got {type_name(other)}; wrap it: a + "
                "Sequential(b)"
            )
            raise TypeError(message)
        return Sequential(*self, *other)

    def __mul__(self, times: int) -> Sequential:
        self._check_times(times)
        return Sequential(*(list(self) * times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Sequential:
        self._check_times(times)
        return self.extend(list(self) * (times - 1))

    def _check_times(self, times: object) -> None:
        if not isinstance(times, int):
            message = (
                f"Sequential: expected n of Sequential * n as an int, got {type_name(times)}; "
                "convert it with int()"
            )
            raise TypeError(message)
        if times <= 0:
            message = (
                f"Sequential: expected n >= 1 in Sequential * n, got {times}; Sequential() is empty"
            )
            raise ValueError(message)


class ModuleList(_Indexed):
    """A list of modules that is seen by ``parameters()``, ``state_dict()`` and ``to()``."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _of(self: _S, entries: list[tuple[str, Module]]) -> _S:
        return type(self)([module for _, module in entries])  # type: ignore[call-arg]

    def _child_lines(self) -> list[str]:
        """Equal neighbours share a line: ``(0-2): 3 x Linear(...)``."""
        runs: list[tuple[int, int, str]] = []
        for position, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], position, text)
            else:
                runs.append((position, position, text))
        lines = []
        for first, last, text in runs:
            if first == last:
                lines.append(f"({first}): {_indent(text)}")
            else:
                lines.append(f"({first}-{last}): {last - first + 1} x {_indent(text)}")
        return lines


class ModuleDict(Module):
    """A dictionary of modules that is seen by ``parameters()``, ``state_dict()`` and ``to()``."""

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __init__(
        self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None
    ) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        bump_mutation_stamp()
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove everything."""
        bump_mutation_stamp()
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Remove ``key`` and return its module."""
        module = self[key]
        del self[key]
        return module

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def items(self) -> Iterable[tuple[str, Module]]:
        """The pairs of name and module."""
        return self._modules.items()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace entries, in the order given."""
        given: object = modules
        if not isinstance(given, Iterable):
            message = (
                "ModuleDict.update: expected an iterable of key/value pairs, got "
                f"{type_name(given)}; pass {{name: module}}"
            )
            raise TypeError(message)
        pairs: Iterable[Any] = modules
        if isinstance(modules, (Mapping, ModuleDict)):
            pairs = modules.items()
        for position, pair in enumerate(pairs):
            if not (isinstance(pair, Iterable) and len(tuple(pair)) == 2):
                message = (
                    f"ModuleDict.update: expected a pair (name, module) as element #{position}, "
                    f"got {pair!r}; give every module a name"
                )
                raise TypeError(message)
            name, module = pair
            self[name] = module

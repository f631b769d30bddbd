# SPDX-License-Identifier: BSD-3-Clause
"""Walking a tree of modules: named parameters, buffers, children, and look-up by dotted path.

Names are paths joined by dots, parents before children, in order of registration. What is
reachable twice (shared weights, a shared child) is yielded once, under its first name, unless
``remove_duplicate=False``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fastnn.nn._plain_lists import warn_of_plain_lists
from fastnn.nn._registry import Registry, type_name
from fastnn.nn.parameter import Parameter
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from fastnn.nn.module import Module

_T = TypeVar("_T")


def _absent(owner: Registry, name: str, target: str, lister: str) -> AttributeError:
    return AttributeError(
        f"{type(owner).__name__}: expected a child or member `{name}` for the path '{target}', got"
        f" none: it has no attribute `{name}`; {lister}() lists the paths"
    )


class Traversal(Registry):
    """The ``named_*`` family and the ``get_*`` family of a module."""

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield ``(path, module)`` for this module (path ``prefix``) and all below it."""
        memo = set() if memo is None else memo
        this = cast("Module", self)
        if this in memo:
            return
        if remove_duplicate:
            memo.add(this)
        yield prefix, this
        for name, child in self._modules.items():
            if child is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(memo, path, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Yield this module and all below it, each once unless ``remove_duplicate`` is False."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield ``(name, module)`` for the direct children, each module once."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """Yield the direct children, each once."""
        for _, child in self.named_children():
            yield child

    def _named_members(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        if recurse:
            owners: Iterator[tuple[str, Any]] = self.named_modules(
                prefix=prefix, remove_duplicate=remove_duplicate
            )
        else:
            owners = iter([(prefix, self)])
        # By identity: == on tensors compares element by element.
        seen: set[int] = set()
        for path, owner in owners:
            entries: Mapping[str, Tensor | None] = getattr(owner, table)
            for name, value in entries.items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield ``(path, parameter)``; with ``recurse=False`` only this module's own. Warns of
        modules and parameters that stand in a plain list."""
        if recurse:
            warn_of_plain_lists(cast("Module", self), Registry)
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, each once, in the order of :meth:`named_parameters`."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield ``(path, buffer)``; with ``recurse=False`` only this module's own."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, each once, in the order of :meth:`named_buffers`."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # ---- look-up by path ----

    def get_submodule(self, target: str) -> Module:
        """The module at the dotted path ``target``; the empty path is this module."""
        module = cast("Module", self)
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise _absent(module, name, target, "named_modules")
            child = getattr(module, name)
            if not isinstance(child, Registry):
                message = (
                    f"get_submodule: expected an nn.Module at `{name}` (path '{target}'), got a "
                    f"{type_name(child)}; named_modules() lists the paths"
                )
                raise AttributeError(message)
            module = cast("Module", child)
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at the dotted path ``target``, in place of the one that is there; with
        ``strict`` there has to be one.

        Raises ValueError for an empty path and for what is no module, AttributeError for a path
        whose start is not there, or whose end is something else than a module.
        """
        path, _, name = target.rpartition(".")
        given: object = module
        if not name or not isinstance(given, Registry):
            message = (
                "set_submodule: expected the path of a child and an nn.Module, got the path "
                f"{target!r} and a {type_name(given)}; named_modules() lists the paths"
            )
            raise ValueError(message)
        owner = self.get_submodule(path)
        if hasattr(owner, name):
            self.get_submodule(target)  # which refuses what is no module
        elif strict:
            raise _absent(owner, name, target, "named_modules")
        setattr(owner, name, module)

    def _get_member(self, target: str, kind: type[_T], table: str) -> _T:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if not hasattr(owner, name):
            raise _absent(owner, name, target, f"named{table}")
        value = getattr(owner, name)
        if not isinstance(value, kind) or name not in getattr(owner, table):
            message = (
                f"get_{table[1:-1]}: expected a {table[1:-1]} at `{name}` (path '{target}'), got a "
                f"{type_name(value)}; named{table}() lists the paths"
            )
            raise AttributeError(message)
        return value

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at the dotted path ``target``."""
        return self._get_member(target, Parameter, "_parameters")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at the dotted path ``target``."""
        return self._get_member(target, Tensor, "_buffers")

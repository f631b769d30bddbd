# SPDX-License-Identifier: BSD-3-Clause
"""Warns about modules and parameters that are out of sight: in a plain list, tuple, set or
dictionary.

Looked for when the parameters are first asked for, because such a list is often filled after it
was assigned. What is registered elsewhere in the tree may also stand in a list. A tree is looked
through again only after some module has changed, and an attribute is warned of once.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from fastnn._backend import mutation_stamp
from fastnn.nn.parameter import Parameter

if TYPE_CHECKING:
    from fastnn.nn.module import Module

_OWN = {"_parameters", "_buffers", "_modules", "_call_hooks", "_state_hooks"}
_PLAIN = (list, tuple, set, dict)
_INSTEAD = {"list": "nn.ModuleList", "dict": "nn.ModuleDict"}

_looked: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
_warned: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def _held(module: Module, kind: type) -> list[tuple[str, Any, Any]]:
    """(attribute, its container, what it holds) for modules and parameters in plain containers."""
    found = []
    for name, value in module.__dict__.items():
        if not isinstance(value, _PLAIN) or not value or name in _OWN:
            continue
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, (kind, Parameter)):
                found.append((name, value, item))
    return found


def warn_of_plain_lists(root: Module, kind: type) -> None:
    """A UserWarning for every attribute below ``root`` that hides modules or parameters."""
    stamp = mutation_stamp()
    if _looked.get(root) == stamp:
        return
    _looked[root] = stamp
    modules = list(root.modules())
    hidden = [(m, *entry) for m in modules for entry in _held(m, kind)]
    if not hidden:
        return
    known = {id(m) for m in modules}
    known.update(id(p) for m in modules for p in m._parameters.values())
    for owner, name, container, item in hidden:
        told = _warned.setdefault(owner, set())
        if id(item) in known or name in told:
            continue
        told.add(name)
        plain = next(t.__name__ for t in _PLAIN if isinstance(container, t))
        what, instead = "module", _INSTEAD.get(plain, "nn.ModuleList")
        if isinstance(item, Parameter):
            what, instead = "parameter", instead.replace("Module", "Parameter")
        warnings.warn(
            f"{type(owner).__name__}.{name} is a plain {plain} that holds a {what}"
            f" ({type(item).__name__}): parameters(), state_dict() and to() do not see what is in"
            f" it; use {instead}",
            stacklevel=4,
        )

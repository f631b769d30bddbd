# SPDX-License-Identifier: BSD-3-Clause
"""Names that are imported at first use, so that a script pays for the operations that it calls.

`_homes`, which tools/make_homes.py writes, says where each name lives:

    "ops.activation:relu"        relu of fastnn/ops/activation.py
    "ops.adam:"                  the file itself
    (home, arguments, place)     what a function makes of arguments (None: the value itself), or one
                                 of several that it makes

What has been looked up stays where it was looked for: a module's dictionary, Tensor's. From then on
nothing of this file runs. Only the locks of imports are taken, and no file of the package imports
another in a ring: threads that look up names at the same time can wait for each other in one
direction only.
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Home = str | tuple[str, tuple[str, ...] | None, int | None]


# Functions that make methods remember what they made, once for all threads; they import nothing.
_making = threading.RLock()


def resolve(home: Home) -> Any:
    """What lives there, imported if it was not yet."""
    if not isinstance(home, str):
        source, given, place = home
        value = resolve(source)
        if given is not None:
            arguments = [resolve(a) if ":" in a else a for a in given]
            with _making:
                value = value(*arguments)
        return value if place is None else value[place]
    file, _, attribute = home.partition(":")
    module = importlib.import_module(f"fastnn.{file}")
    return getattr(module, attribute) if attribute else module


def exports(
    package: str, homes: Mapping[str, Home], files: Collection[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A module's ``__getattr__`` and ``__dir__``: names by their homes, and the package's files."""
    space = vars(sys.modules[package])

    def __getattr__(name: str) -> Any:
        home = homes.get(name)
        if home is not None:
            space[name] = value = resolve(home)
            return value
        if name in files:
            return importlib.import_module(f"{package}.{name}")
        message = f"module {package!r} has no attribute {name!r}"
        raise AttributeError(message)

    def __dir__() -> list[str]:
        return sorted({*space, *homes, *files})

    return __getattr__, __dir__


class Method:
    """Stands for a method in the class until it is looked up for the first time there."""

    __slots__ = ("home", "name", "owner")

    def __init__(self, owner: type, name: str, home: Home) -> None:
        self.owner, self.name, self.home = owner, name, home

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        function = resolve(self.home)
        # Not over what a user, or another thread, has put there in the meantime.
        if vars(self.owner).get(self.name) is self:
            setattr(self.owner, self.name, function)
        return function.__get__(instance, owner) if hasattr(function, "__get__") else function


def add_methods(owner: type, homes: Mapping[str, Home]) -> None:
    """Gives a class methods that are imported at first use."""
    for name, home in homes.items():
        setattr(owner, name, Method(owner, name, home))


def namespace(homes: Mapping[str, Home]) -> type:
    """The names as those of a class, for what calls them at every step: CPython 3.11 looks up names
    in a module that has a ``__getattr__`` the long way, also those that are there."""
    kind = type("namespace", (), {})
    add_methods(kind, homes)
    return kind

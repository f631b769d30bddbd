# SPDX-License-Identifier: BSD-3-Clause
"""Attributes that may be set to values of their own type, of modules and of objects."""

from __future__ import annotations

import sys
import types
from typing import Any


class _Checked:
    """Refuses a value of another type for an attribute that is there and is no function."""

    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get(name)
        if isinstance(before, bool | int) and type(value) is not type(before):
            kind = type(before).__name__
            message = (
                f"backends: expected {name} as {kind}, got {value!r}; it is kept, and changes "
                "nothing in fastnn"
            )
            raise TypeError(message)
        super().__setattr__(name, value)


class _Module(_Checked, types.ModuleType):
    pass


class Switches(_Checked):
    """An object with these switches, all of them bools."""

    def __init__(self, **switches: bool) -> None:
        self.__dict__.update(switches)

    def __repr__(self) -> str:
        return f"Switches({', '.join(f'{k}={v}' for k, v in self.__dict__.items())})"


def checked(module: str) -> None:
    """The switches of a module refuse values of other types from now on."""
    sys.modules[module].__class__ = _Module

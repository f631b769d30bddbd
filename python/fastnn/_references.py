# SPDX-License-Identifier: BSD-3-Clause
"""The references of kernels by name, complete whichever operations are imported already."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastnn._homes import KERNELS

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, ValuesView


def load(kernel: str) -> bool:
    """Imports the operation that a kernel belongs to; whether there is one."""
    home = KERNELS.get(kernel)
    if home is not None:
        importlib.import_module(f"fastnn.{home}")
    return home is not None


def load_all() -> None:
    """Imports all operations that have kernels."""
    for home in dict.fromkeys(KERNELS.values()):
        importlib.import_module(f"fastnn.{home}")


class References(dict[str, Any]):
    """A dictionary that imports an operation when one of its references is asked for, and all of
    them when it is looked at as a whole."""

    def __missing__(self, kernel: str) -> Any:
        if load(kernel) and super().__contains__(kernel):
            return super().__getitem__(kernel)
        raise KeyError(kernel)

    def __contains__(self, kernel: object) -> bool:
        return super().__contains__(kernel) or kernel in KERNELS

    def get(self, kernel: str, default: Any = None) -> Any:
        """The reference, or the default where there is no such kernel."""
        try:
            return self[kernel]
        except KeyError:
            return default

    def __iter__(self) -> Iterator[str]:
        load_all()
        return super().__iter__()

    def __len__(self) -> int:
        load_all()
        return super().__len__()

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """All names."""
        load_all()
        return super().keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """All references."""
        load_all()
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """All names with their references."""
        load_all()
        return super().items()

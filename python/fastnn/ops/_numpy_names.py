# SPDX-License-Identifier: BSD-3-Clause
"""NumPy's names of two arguments, axis and keepdims, which torch takes for dim and keepdim."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_SECOND = {"axis": "dim", "keepdims": "keepdim"}


def numpy_names(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which then also takes ``axis`` for ``dim`` and ``keepdims`` for ``keepdim``."""

    @functools.wraps(function)
    def named(*args: Any, **names: Any) -> R:
        if names and ("axis" in names or "keepdims" in names):
            for second, first in _SECOND.items():
                if second in names:
                    if first in names:
                        message = (
                            f"{named.__name__}: expected {first} or {second}, its other name, got "
                            f"both; leave {second} out"
                        )
                        raise TypeError(message)
                    names[first] = names.pop(second)
        return function(*args, **names)

    return named

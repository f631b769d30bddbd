# SPDX-License-Identifier: BSD-3-Clause
"""torch's ``nn/modules/utils.py``: a number as a tuple, one for each dimension."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["consume_prefix_in_state_dict_if_present"]


def _ntuple(n: int) -> Callable[[Any], tuple[Any, ...]]:
    """What makes a tuple of an iterable, and ``n`` times the value of anything else."""

    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    return parse


_single, _pair, _triple, _quadruple = map(_ntuple, (1, 2, 3, 4))


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take ``prefix`` away in place from the keys of a state_dict that begin with it, for example
    the "module." that a wrapper of a model has put before them."""
    versions = getattr(state_dict, "_metadata", {})
    versions.pop(prefix.removesuffix("."), None)  # of the wrapper itself
    for keys in (state_dict, versions):
        for key in [k for k in keys if k.startswith(prefix)]:
            keys[key.removeprefix(prefix)] = keys.pop(key)

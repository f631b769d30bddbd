# SPDX-License-Identifier: BSD-3-Clause
"""torch.backends.cudnn: switches that training scripts set. cuDNN is not used."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from fastnn.backends._switches import checked

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "allow_tf32", "benchmark", "benchmark_limit", "deterministic", "enabled", "flags",
    "is_acceptable", "is_available", "version",
]  # fmt: skip

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """False."""
    return False


def version() -> int | None:
    """None: there is no version of it here."""
    return None


def is_acceptable(tensor: Any) -> bool:  # noqa: ARG001  (torch's signature)
    """False: no tensor is given to cuDNN."""
    return False


@contextlib.contextmanager
def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
) -> Iterator[None]:
    """The switches set in a ``with`` block, and as before after it."""
    module = sys.modules[__name__]
    given = {
        "enabled": enabled,
        "benchmark": benchmark,
        "benchmark_limit": benchmark_limit,
        "deterministic": deterministic,
        "allow_tf32": allow_tf32,
    }
    before = {name: getattr(module, name) for name in given}
    try:
        for name, value in given.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


checked(__name__)

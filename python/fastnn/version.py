# SPDX-License-Identifier: BSD-3-Clause
"""Versions, as torch.version: ``__version__`` is fastnn's; ``cuda`` and ``hip`` are None, because
fastnn is not bound to a version of them."""

from __future__ import annotations

from typing import Any

__all__ = ["cuda", "hip"]

cuda: str | None = None
hip: str | None = None


def __getattr__(name: str) -> Any:
    if name == "__version__":
        import fastnn  # noqa: PLC0415  (which asks for this module when it is used)

        return fastnn.__version__
    message = f"module 'fastnn.version' has no attribute {name!r}"
    raise AttributeError(message)

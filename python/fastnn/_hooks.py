# SPDX-License-Identifier: BSD-3-Clause
"""The handle of a registered hook."""

from __future__ import annotations

import itertools
import weakref
from typing import Any


class RemovableHandle:
    """What register_hook returns: ``remove()`` takes the hook back; also a context manager."""

    _next_id = itertools.count()

    def __init__(self, hooks: dict[int, Any], hook: Any, leaf: Any = None) -> None:
        # A module's entry holds the function as ``fn``.
        if not callable(hook) and not callable(getattr(hook, "fn", None)):
            message = (
                "register_hook: expected a hook that can be called, got "
                f"{type(getattr(hook, 'fn', hook)).__name__}; pass a function"
            )
            raise TypeError(message)
        self.id = next(self._next_id)
        self._hooks = hooks
        self._leaf = None if leaf is None else weakref.ref(leaf)
        hooks[self.id] = hook

    def remove(self) -> None:
        """Takes the hook back; harmless when done twice."""
        self._hooks.pop(self.id, None)
        leaf = None if self._leaf is None else self._leaf()
        if leaf is not None and leaf._hooks is not None and not leaf._hooks:
            leaf._hooks = None

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

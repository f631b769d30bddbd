# SPDX-License-Identifier: BSD-3-Clause
"""One hook for the gradients of several tensors: who of them gets one in a backward pass.

A pass that begins while there are such hooks notes which nodes and leaves it will come to. As long
as there are none nothing is noted.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from fastnn._node import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# The hooks, by id. They live as long as one of their tensors, whose own hooks they are.
waiting: dict[int, weakref.ref[JointHook]] = {}


class _Pass:
    """A backward pass: the ids of all that it comes to, and what has come, by hook."""

    def __init__(self, reached: set[int]) -> None:
        self.reached = reached
        self.found: dict[int, list[Any]] = {}
        self.left: dict[int, int] = {}


class _Running(threading.local):
    def __init__(self) -> None:
        self.passes: list[_Pass] = []


_running = _Running()


def begin(roots: Iterable[Any], wanted: set[int] | None, leaves: set[int]) -> None:
    """Notes what a pass from ``roots`` comes to: all, or the wanted nodes and leaves."""
    reached: set[int] = set()
    todo = [t if t._node is None else t._node for t in roots]
    while todo:
        at = todo.pop()
        key = id(at)
        inner = isinstance(at, Node)
        if key in reached or (wanted is not None and key not in (wanted if inner else leaves)):
            continue
        reached.add(key)
        if inner:
            todo.extend([e[0] for e in at.edges if e is not None])
    _running.passes.append(_Pass(reached))


def end() -> None:
    """Forgets the pass that began last."""
    _running.passes.pop()


class JointHook:
    """``fn(grads)`` once all gradients that a pass brings have come, or ``fn(grad)`` of the first;
    hooks of the tensors are `one(i)`."""

    def __init__(self, fn: Callable[[Any], Any], tensors: list[Any], first: bool) -> None:
        self.fn = fn
        self.first = first
        self.places = [weakref.ref(t if t._node is None else t._node) for t in tensors]
        key = id(self)
        waiting[key] = weakref.ref(self, lambda _: waiting.pop(key, None))

    def one(self, i: int) -> Callable[[Any], None]:
        """The hook of tensor ``i``."""
        return lambda grad: self.arrived(i, grad)

    def arrived(self, i: int, grad: Any) -> None:
        """The gradient of a tensor has come."""
        if not _running.passes:
            return  # registered while the pass was running
        now, key = _running.passes[-1], id(self)
        if key not in now.found:
            now.found[key] = [None] * len(self.places)
            places = [ref() for ref in self.places]
            now.left[key] = sum(p is not None and id(p) in now.reached for p in places)
            if self.first:
                self.fn(grad)
        now.found[key][i] = grad
        now.left[key] -= 1
        if now.left[key] == 0 and not self.first:
            self.fn(now.found[key])

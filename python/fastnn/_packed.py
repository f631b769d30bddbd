# SPDX-License-Identifier: BSD-3-Clause
"""Saved values of operations that hooks of the user keep: autograd.graph.saved_tensors_hooks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn import _backend
from fastnn._grad_mode import no_grad
from fastnn._node import around
from fastnn._op import Op, Storage, tensor_class

if TYPE_CHECKING:
    from collections.abc import Callable


class _Local(threading.local):
    """What is on in a thread."""

    def __init__(self) -> None:
        self.hooks: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = []
        self.disabled: list[str] = []  # why hooks cannot be entered


local = _Local()


class Packed(NamedTuple):
    """What a pack hook returned, and the hook that undoes it."""

    value: Any
    unpack: Callable[[Any], Any]

    def array(self) -> Any:
        """The array that was saved, as the unpack hook gives it back."""
        found = self.unpack(self.value)
        if not isinstance(found, tensor_class()):
            message = (
                "saved_tensors_hooks: expected a Tensor from the unpack hook, got "
                f"{type(found).__name__}; return the tensor that the pack hook was given"
            )
            raise TypeError(message)
        return found.array


def packed(array: Any) -> Packed:
    """Hands an array to the pack hook that was entered last."""
    pack, unpack = local.hooks[-1]
    t = tensor_class()._wrap(array)
    with no_grad():
        value = pack(t)
    if t.storage.version:
        message = (
            "saved_tensors_hooks: expected the pack hook to leave its argument as it is, got one "
            "changed in place; change a clone() of it"
        )
        raise RuntimeError(message)
    return Packed(value, unpack)


class Unpacked(Storage):
    __slots__ = ()

    @staticmethod
    def alias(leaf: Any, array: Any) -> Any:
        return _Alias.apply((leaf,), array)


class _Alias(Op):
    """Other memory in the place of a leaf's; its gradient is the leaf's."""

    def forward(self, leaf: Any, array: Any) -> Any:  # noqa: ARG002  (it is there for its edge)
        return array

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (g,)

    def backward_graph(self, g: Any) -> tuple[Any, ...]:
        return (g,)


def pack_saved(node: Op) -> None:
    saved = node.saved or ()
    node.saved = tuple([packed(a) if type(a) in _backend._tables else a for a in saved])
    # Versions are not compared: what is unpacked may be other memory. Where it came from is known.
    node.guards = tuple([None if g is None else (Unpacked(), 0, g[2]) for g in node.guards])
    node.__dict__["gives_away"] = False  # unpacked arrays may be the user's own
    around(node, _unpacking)


def _unpacking(node: Op, inner: Any, graph: bool, grads: tuple[Any, ...]) -> Any:  # noqa: ARG001
    kept = node.saved or ()
    node.saved = tuple([a.array() if isinstance(a, Packed) else a for a in kept])
    try:
        return inner(*grads)
    finally:
        node.saved = kept

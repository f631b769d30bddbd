# SPDX-License-Identifier: BSD-3-Clause
"""The context of a `Function`: what its forward leaves for its backward."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

from fastnn._op import tensor_class

if TYPE_CHECKING:
    from fastnn._op import Storage
    from fastnn.autograd._function_node import FunctionNode
    from fastnn.tensor import Tensor


class _Options:
    """What the methods of a context were told."""

    def __init__(self) -> None:
        self.to_save: tuple[Any, ...] = ()
        self.dirty: tuple[Any, ...] = ()
        self.non_differentiable: tuple[Any, ...] = ()
        self.materialize = True


class Kept:
    """A saved tensor: with its history, or as the output of the node that saves it (which must not
    refer to itself), or packed by a hook on saved tensors."""

    __slots__ = ("array", "output", "packed", "storage", "tensor", "version")

    def __init__(self, t: Any, output: int | None) -> None:
        self.output = output
        self.storage: Storage = t.storage
        self.version = t.storage.version
        self.array = self.tensor = self.packed = None
        hooks = sys.modules.get("fastnn._packed")
        if hooks is not None and hooks.local.hooks:
            self.packed = hooks.packed(t.array)
        elif output is not None:
            self.array = t.array
        if output is None and (self.packed is None or t._requires_grad):
            self.tensor = t if t._node is None else _same(t)
            if self.packed is not None and t._node is not None:
                self.tensor.array = None  # only the history: the memory is the hook's

    def unpacked(self, node: FunctionNode) -> Any:
        """The tensor, as part of the graph that it came from."""
        kind = tensor_class()
        if self.packed is not None:
            array = self.packed.array()
            if self.output is not None:
                return kind._with_history(array, node, self.output)
            source = self.tensor
            if source is None:
                return kind._wrap(array)
            if source._node is not None:
                return kind._with_history(array, source._node, source._output_nr)
            return sys.modules["fastnn._packed"].Unpacked.alias(source, array)
        if self.storage.version != self.version:
            message = (
                f"{node.name}: expected version {self.version} of a tensor saved for backward, got "
                f"version {self.storage.version}: a value needed for gradient computation has been "
                "modified by an inplace operation; change a clone() of it instead, or change it "
                "after backward()"
            )
            raise RuntimeError(message)
        if self.output is not None:
            made = kind._with_history(self.array, node, self.output)
            made.storage = self.storage
            return made
        return self.tensor


def _same(t: Any) -> Any:
    """Another tensor on the same memory with the same history, for which changes of the first
    one's history mean nothing."""
    made = tensor_class()._with_history(t.array, t._node, t._output_nr)
    made.storage = t.storage
    return made


def keep(t: Any, places: dict[int, int]) -> Kept | None:
    """What is kept of a tensor; ``places``: id of every output of the node -> which it is."""
    return None if t is None else Kept(t, places.get(id(t)))


class FunctionCtx:
    """What ``forward`` and ``backward`` of a `Function` share; attributes may be set freely."""

    def __init__(self, node: FunctionNode) -> None:
        self._node = weakref.ref(node)
        self._options = _Options()
        self._needs = node.needs

    @property
    def needs_input_grad(self) -> tuple[bool, ...]:
        """Whether each argument of forward is a tensor that requires grad."""
        return self._needs

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors, arguments and results of forward and others, for ``saved_tensors``."""
        _check("save_for_backward", tensors, or_none=True)
        self._options.to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Accepted without effect: there is no forward-mode differentiation."""
        _check("save_for_forward", tensors, or_none=True)

    def mark_dirty(self, *args: Tensor) -> None:
        """Says which arguments forward changes in place; it must return them."""
        _check("mark_dirty", args)
        self._options.dirty = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Says which results have no gradient."""
        _check("mark_non_differentiable", args)
        self._options.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward is given zeros (as it is), or None, for results that nothing uses."""
        self._options.materialize = bool(value)

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What `save_for_backward` kept."""
        node = self._node()
        saved = None if node is None else node.saved
        if node is None or saved is None:
            message = (
                "saved_tensors: expected the values saved for backward(), got none: a backward() "
                "before has freed them (trying to backward through the graph a second time); pass "
                "retain_graph=True to that one"
            )
            raise RuntimeError(message)
        return tuple([None if kept is None else kept.unpacked(node) for kept in saved])


def _check(name: str, tensors: tuple[Any, ...], or_none: bool = False) -> None:
    for i, t in enumerate(tensors):
        if not isinstance(t, tensor_class()) and not (or_none and t is None):
            message = (
                f"{name}: expected Tensors, got {type(t).__name__} as argument {i}; keep other "
                "values as attributes of ctx"
            )
            raise TypeError(message)

# SPDX-License-Identifier: BSD-3-Clause
"""What users see of the graph's nodes, ``Tensor.grad_fn``: names, what they lead to, hooks.

Hooks of a node, and what unpacks its saved values, are put around ``backward`` of that one node (in
its ``__dict__``), so that nodes without any pay nothing, in C++ or in Python.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from typing import TYPE_CHECKING, Any

from fastnn._hooks import RemovableHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class OpName(str):
    """An operation's name. Called it gives the name of the node, as torch's ``grad_fn.name()``."""

    __slots__ = ("node",)
    node: str

    def __call__(self) -> str:
        return self.node


def op_name(name: str, node: str) -> OpName:
    """The name of an operation and that of its nodes."""
    made = OpName(name)
    made.node = node
    return made


class Node:
    """A node of the graph, as torch.autograd.graph.Node: an operation's, or the end at a leaf."""

    __slots__ = ()
    edges: tuple[tuple[Any, int] | None, ...]

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """For every input the node that its gradient goes to and which output of it that is;
        (None, 0) for inputs without a gradient."""
        found: list[tuple[Node | None, int]] = []
        for edge in self.edges:
            if edge is None:
                found.append((None, 0))
            elif isinstance(edge[0], Node):
                found.append((edge[0], edge[1]))
            else:
                found.append((AccumulateGrad(edge[0]), 0))
        return tuple(found)

    @property
    def metadata(self) -> dict[str, Any]:
        """A dictionary for whatever users want to keep with the node."""
        kept: dict[str, Any] = self.__dict__.setdefault("_metadata", {})
        return kept

    def register_hook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """``fn(grad_inputs, grad_outputs)`` runs after the node's backward; the tuple that it
        returns, unless None, takes the place of ``grad_inputs``."""
        return RemovableHandle(_hooks_of(self)[1], fn)

    def register_prehook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """``fn(grad_outputs)`` runs before the node's backward; the tuple that it returns, unless
        None, takes the place of ``grad_outputs``."""
        return RemovableHandle(_hooks_of(self)[0], fn)


class AccumulateGrad(Node):
    """The end of the graph at a leaf, ``variable``, whose ``.grad`` is added to there."""

    __slots__ = ("__dict__", "variable")
    edges = ()

    def __init__(self, variable: Any) -> None:
        self.variable = variable

    def name(self) -> str:
        """Its name."""
        return "fastnn::autograd::AccumulateGrad"

    def register_hook(self, fn: Callable[..., Any]) -> RemovableHandle:  # noqa: ARG002
        """Refused: hooks of a leaf belong to the tensor."""
        message = (
            "register_hook: expected the node of an operation, got that of a leaf; call "
            "register_hook or register_post_accumulate_grad_hook of its .variable"
        )
        raise RuntimeError(message)

    register_prehook = register_hook

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self) -> int:
        return hash((AccumulateGrad, id(self.variable)))


def around(node: Any, wrap: Callable[..., Any]) -> None:
    """Puts ``wrap(node, inner, graph, grads)`` around backward and backward_graph of one node;
    ``inner(*grads)`` is what there was. The node is referred to weakly: it owns its wrappers."""
    ref = weakref.ref(node)
    for method in ("backward", "backward_graph"):
        inner = node.__dict__.get(method)
        if inner is None:
            plain = getattr(type(node), method)
            if plain is None:
                continue
            inner = functools.partial(_plain, ref, plain)
        node.__dict__[method] = functools.partial(
            _wrapped, ref, wrap, inner, method == "backward_graph"
        )


def _plain(ref: Any, method: Any, *grads: Any) -> Any:
    return method(ref(), *grads)


def _wrapped(ref: Any, wrap: Any, inner: Any, graph: bool, *grads: Any) -> Any:
    return wrap(ref(), inner, graph, grads)


@contextlib.contextmanager
def own_buffers(node: Any) -> Iterator[None]:
    """Inside, the node's backward adds nothing to ``.grad`` by itself: it returns its gradients."""
    node.__dict__["grad_buffer"] = lambda _, shape, dtype: (node.kernels.empty(shape, dtype), False)
    try:
        yield
    finally:
        node.__dict__.pop("grad_buffer", None)


def _hooks_of(node: Any) -> tuple[dict[int, Any], dict[int, Any]]:
    """The hooks before and after the backward of a node."""
    hooks: tuple[dict[int, Any], dict[int, Any]] | None = node.__dict__.get("_around_hooks")
    if hooks is None:
        hooks = node.__dict__["_around_hooks"] = ({}, {})
        around(node, _with_hooks)
    return hooks


def _with_hooks(node: Any, inner: Any, graph: bool, grads: tuple[Any, ...]) -> tuple[Any, ...]:
    before, after = node.__dict__["_around_hooks"]
    outputs = _as_tensors(grads, graph)
    for hook in list(before.values()):
        outputs = _replaced(node, hook(outputs), outputs)
    with own_buffers(node):
        results = inner(*_as_given(outputs, graph))
    if not after:
        return tuple(results)
    inputs = _as_tensors(tuple(results), graph)
    for hook in list(after.values()):
        inputs = _replaced(node, hook(inputs, outputs), inputs)
    return _as_given(inputs, graph)


def _replaced(node: Any, changed: Any, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a hook returned in the place of gradients."""
    if changed is None:
        return values
    found: tuple[Any, ...] = tuple(changed) if isinstance(changed, tuple | list) else (changed,)
    if len(found) != len(values):
        message = (
            f"{node.name}: expected {len(values)} gradients from a hook of its node, got "
            f"{len(found)}; return one for each that it was given, or None"
        )
        raise RuntimeError(message)
    return found


def _as_tensors(values: tuple[Any, ...], graph: bool) -> tuple[Any, ...]:
    from fastnn.tensor import Tensor  # noqa: PLC0415  (the tape lies below the tensor)

    if graph:
        return values
    return tuple(None if v is None else Tensor._wrap(v) for v in values)


def _as_given(values: tuple[Any, ...], graph: bool) -> tuple[Any, ...]:
    """Tensors in the form that backward takes: arrays, unless a graph of the pass is wanted."""
    return values if graph else tuple(None if v is None else v.array for v in values)

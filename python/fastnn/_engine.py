# SPDX-License-Identifier: BSD-3-Clause
"""The backward pass: nodes newest first.

No recursion, and every consumer of a node runs before it, because it was created later.
Reverse-mode accumulation: Linnainmaa 1970; Griewank and Walther, "Evaluating Derivatives", 2008.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from fastnn import _backend, _joint_hooks
from fastnn._grad_mode import _mode
from fastnn._gradients import (
    AfterAccumulation,
    Pending,
    add_to_grad,
    is_fresh,
    retain,
    run_hooks,
)
from fastnn._op import Op, check_view, tensor_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# The native backward pass; None while something looks on (_watch), and where there is none.
native: Any = _backend.tape


def _reaching(roots: Iterable[Op], targets: set[int], leaves: set[int]) -> set[int]:
    """ids of the nodes from which a wanted node (id in targets) or leaf can be reached."""
    found: set[int] = set()
    done: set[int] = set()
    stack: list[tuple[Op, bool]] = [(r, False) for r in roots]
    while stack:
        node, expanded = stack.pop()
        key = id(node)
        if expanded:
            parents = [e[0] for e in node.edges if e is not None]
            hit = key in targets or any(id(p) in found or id(p) in leaves for p in parents)
            if hit:
                found.add(key)
            continue
        if key in done:
            continue
        done.add(key)
        stack.append((node, True))
        stack.extend((e[0], False) for e in node.edges if e is not None and isinstance(e[0], Op))
    return found


def arrived(
    node: Op, nr: int, grad: Any, graph: bool, capture: Callable[[Any], None] | None = None
) -> Any:
    """The complete gradient of a node's output after its hooks. For None zeros, where ``outputs``
    says of what shape."""
    if node.hooks is not None and nr in node.hooks and grad is not None:
        grad = run_hooks(node.hooks[nr].values(), grad, graph)
    if capture is not None:
        capture(grad)
    if grad is not None and node.retained is not None and nr in node.retained:
        tensor = node.retained[nr]()
        if tensor is not None:
            retain(tensor, grad, graph)
    described = node.outputs[nr]
    if grad is not None or described is None:
        return grad
    shape, dtype = described
    array = node.kernels.empty(shape, dtype)
    node.kernels.fill(node.kernels.xp.zeros(1, dtype), array)
    return tensor_class()._wrap(array) if graph else array


def hooked(leaf: Any, grad: Any, graph: bool) -> Any:
    """The complete gradient of a leaf after its hooks."""
    return grad if leaf._hooks is None else run_hooks(leaf._hooks.values(), grad, graph)


def finish_leaf(leaf: Any, total: Any, owned: bool, graph: bool = False) -> None:
    """Runs a leaf's hooks on its complete gradient and adds it to ``.grad``."""
    add_to_grad(leaf, hooked(leaf, total, graph), owned and leaf._hooks is None, graph)
    if leaf._hooks is not None:
        for hook in list(leaf._hooks.values()):
            if type(hook) is AfterAccumulation:
                hook.fn(leaf)


class _Pass:
    """One backward pass. ``inputs`` are the only tensors whose gradients are wanted, or None;
    with ``accumulate`` the gradients of those that are leaves go into ``.grad``."""

    def __init__(
        self,
        roots: list[Any],
        keep: bool,
        graph: bool,
        inputs: list[Any] | None,
        accumulate: bool,
    ) -> None:
        self.accumulate = accumulate
        self.keep = keep
        self.graph = graph
        self.pending = Pending(graph)
        self.wanted: set[int] | None = None
        self.captured: dict[tuple[int, int], Any] = {}
        self.capture: set[tuple[int, int]] = set()
        self.leaf_ids: set[int] = set()
        if inputs is not None:
            nodes = {id(t._node) for t in inputs if t._node is not None}
            self.capture = {(id(t._node), t._output_nr) for t in inputs if t._node is not None}
            self.leaf_ids = {id(t) for t in inputs if t._node is None}
            starts = [n for n in (getattr(t, "_node", None) for t in roots) if n is not None]
            self.wanted = _reaching(starts, nodes, self.leaf_ids)

    def send(self, target: Any, nr: int, grad: Any, fresh: bool) -> None:
        if isinstance(target, Op):
            if self.wanted is None or id(target) in self.wanted:
                self.pending.to_node(target, nr, grad, fresh)
        elif self.wanted is not None:
            if id(target) in self.leaf_ids:
                self.pending.to_leaf(target, grad, fresh)
        elif target._hooks is not None or self.graph:
            self.pending.to_leaf(target, grad, fresh)
        else:
            add_to_grad(target, grad, fresh, graph=False)

    def visit(self, node: Op, grads: list[Any]) -> None:
        node.check_saved()
        for nr, grad in enumerate(grads):
            self.pending.owned.pop((node, nr), None)
            grads[nr] = arrived(node, nr, grad, self.graph, self.captured_at(node, nr))
        if self.wanted is not None and not any(self.is_wanted(e) for e in node.edges):
            return
        results = self.call(node, grads)
        for edge, r in zip(node.edges, results, strict=True):
            if edge is None or r is None:
                continue
            fresh = self.graph or (
                node.gives_away and is_fresh(r, grads, results, node.saved or ())
            )
            self.send(edge[0], edge[1], r, fresh)
        if not self.keep:
            node.saved = None if node.saved else ()
            node.guards = ()

    def is_wanted(self, edge: tuple[Any, int] | None) -> bool:
        if edge is None or self.wanted is None:
            return edge is not None
        if isinstance(edge[0], Op):
            return id(edge[0]) in self.wanted
        return id(edge[0]) in self.leaf_ids

    def captured_at(self, node: Op, nr: int) -> Callable[[Any], None] | None:
        """Where the gradient of an output goes if it is wanted."""
        key = id(node), nr
        return functools.partial(self.captured.__setitem__, key) if key in self.capture else None

    def call(self, node: Op, grads: list[Any]) -> tuple[Any, ...]:
        needs = node.needs
        if self.wanted is not None:
            node.needs = tuple(self.is_wanted(e) for e in node.edges)
        node.direct = self.wanted is None and not self.graph
        node.incoming = grads if node.direct else ()
        try:
            if not self.graph:
                return node.backward(*grads)
            if node.backward_graph is None:
                message = (
                    f"{node.name}: expected an operation with a second derivative under "
                    f"create_graph=True, got one without; {node.instead}"
                )
                raise RuntimeError(message)
            return node.backward_graph(*grads)
        finally:
            node.needs = needs
            node.direct = False
            node.incoming = ()

    def run(self) -> None:
        while self.pending.heap:
            node, grads = self.pending.pop()
            self.visit(node, grads)
        for leaf, total, owned in self.pending.leaves.values():
            if self.accumulate:
                finish_leaf(leaf, total, owned, self.graph)
            else:
                self.captured[id(leaf), -1] = hooked(leaf, total, self.graph)


def _root_gradient(t: Any, gradient: Any, graph: bool) -> Any:
    if not isinstance(t, tensor_class()):
        message = (
            f"backward: expected a Tensor to differentiate, got {type(t).__name__}; leave .item() "
            "and .numpy() out of its computation"
        )
        raise TypeError(message)
    if not t.requires_grad:
        message = (
            "backward: expected a tensor that requires grad, got one without; set "
            "requires_grad=True on a tensor that it is computed from, outside of no_grad()"
        )
        raise RuntimeError(message)
    check_view("backward", t)
    if gradient is None:
        if t.array.size != 1:
            message = (
                f"backward: expected a tensor of one element, got shape {tuple(t.array.shape)}; "
                "reduce it (for example .sum()) or pass its gradient"
            )
            raise RuntimeError(message)
        table = _backend.kernels(t.array)
        array = table.empty(t.array.shape, t.array.dtype)
        table.fill(table.xp.ones(1, array.dtype), array)
        return tensor_class()._wrap(array) if graph else array
    if not isinstance(gradient, tensor_class()):
        message = (
            f"backward: expected the gradient as a Tensor, got {type(gradient).__name__}; make one "
            "with fastnn.tensor(...)"
        )
        raise TypeError(message)
    if tuple(gradient.shape) != t.array.shape:
        message = (
            f"backward: expected a gradient of shape {tuple(t.array.shape)}, got "
            f"{tuple(gradient.shape)}; fastnn.ones_like(tensor) makes one"
        )
        raise RuntimeError(message)
    if gradient.array.dtype != t.array.dtype:
        gradient = gradient.to(t.dtype)
    return gradient if graph else gradient.array


def run_backward(
    roots: list[Any],
    gradients: list[Any],
    keep: bool,
    graph: bool,
    inputs: list[Any] | None,
    accumulate: bool,
) -> _Pass:
    if len(gradients) != len(roots):
        message = (
            f"backward: expected one gradient per tensor, {len(roots)}, got {len(gradients)}; None "
            "stands for that of a tensor of one element"
        )
        raise RuntimeError(message)
    before = _mode.enabled
    _mode.enabled = graph
    noted = False
    try:
        arrays = [_root_gradient(t, g, graph) for t, g in zip(roots, gradients, strict=True)]
        fresh = [g is None for g in gradients]
        work = _Pass(roots, keep, graph, inputs, accumulate)
        if _joint_hooks.waiting:
            _joint_hooks.begin(roots, work.wanted, work.leaf_ids)
            noted = True
        plain = native is not None and inputs is None and not graph
        if plain and native.backward_pass(roots, arrays, fresh, bool(keep)):
            return work
        for t, grad, own in zip(roots, arrays, fresh, strict=True):
            if t._node is None:
                work.send(t, 0, grad, own)
            else:
                work.send(t._node, t._output_nr, grad, own)
        work.run()
    finally:
        _mode.enabled = before
        if noted:
            _joint_hooks.end()
    return work

# SPDX-License-Identifier: BSD-3-Clause
"""Gradients during a backward pass: sums that are not complete yet, hooks, and ``.grad``.

Gradients are arrays, or tensors under create_graph. Pending nodes wait in a heap, newest first.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from fastnn import _backend
from fastnn._op import Op, tensor_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastnn.tensor import Tensor


def is_fresh(array: Any, grads: Sequence[Any], others: Sequence[Any], saved: Sequence[Any]) -> bool:
    """Whether an array that backward returned belongs to nobody else: it is no gradient that came
    in, no saved array, no view of something, and was not returned twice."""
    if isinstance(array.base, type(array)) or any(array is s for s in saved):
        return False
    return not any(array is g for g in grads) and sum(array is o for o in others) == 1


class Pending:
    """Gradients on their way: per node and output the sum so far and whether it is our own."""

    def __init__(self, graph: bool) -> None:
        self.graph = graph
        self.heap: list[tuple[int, int, Op]] = []
        self.nodes: dict[Op, list[Any]] = {}
        self.owned: dict[tuple[Op, int], bool] = {}
        self.leaves: dict[int, list[Any]] = {}  # id -> [leaf, sum, owned]

    def add(self, total: Any, owned: bool, grad: Any) -> tuple[Any, bool]:
        if self.graph:
            return total + grad, True
        table = _backend.kernels(grad)
        if owned:
            table.add(total, grad, total)
            return total, True
        out = table.empty(grad.shape, grad.dtype)
        table.add(total, grad, out)
        return out, True

    def to_node(self, node: Op, nr: int, grad: Any, fresh: bool) -> None:
        slots = self.nodes.get(node)
        if slots is None:
            slots = self.nodes[node] = [None] * len(node.outputs)
            heapq.heappush(self.heap, (-node.sequence, id(node), node))
        if slots[nr] is None:
            slots[nr], self.owned[node, nr] = grad, fresh
        else:
            slots[nr], self.owned[node, nr] = self.add(slots[nr], self.owned[node, nr], grad)

    def to_leaf(self, leaf: Any, grad: Any, fresh: bool) -> None:
        entry = self.leaves.get(id(leaf))
        if entry is None:
            self.leaves[id(leaf)] = [leaf, grad, fresh]
        else:
            entry[1], entry[2] = self.add(entry[1], entry[2], grad)

    def pop(self) -> tuple[Op, list[Any]]:
        node = heapq.heappop(self.heap)[2]
        return node, self.nodes.pop(node)


class AfterAccumulation:
    """The entry, among a leaf's hooks, of one that runs once ``.grad`` has been added to."""

    def __init__(self, fn: Callable[[Tensor], None]) -> None:
        self.fn = fn


def run_hooks(hooks: Iterable[Callable[[Tensor], Tensor | None]], grad: Any, graph: bool) -> Any:
    kind = tensor_class()
    tensor = grad if graph else kind._wrap(grad)
    for hook in list(hooks):
        if isinstance(hook, AfterAccumulation):
            continue
        changed = hook(tensor)
        if changed is None:
            continue
        if not isinstance(changed, kind):
            message = (
                f"hook: expected a Tensor or None from a gradient hook, got {changed!r}; return "
                "None to leave the gradient as it is"
            )
            raise TypeError(message)
        if changed.shape != tensor.shape or changed.array.dtype != tensor.array.dtype:
            message = (
                f"hook: expected a gradient of shape {tuple(tensor.shape)} and {tensor.dtype}, got "
                f"{tuple(changed.shape)} and {changed.dtype}; return one like the argument of the "
                "hook"
            )
            raise RuntimeError(message)
        tensor = changed
    return tensor if graph else tensor.array


def add_to_grad(leaf: Any, grad: Any, fresh: bool, graph: bool) -> None:
    """Adds a gradient (array, or Tensor under create_graph) to ``leaf.grad``."""
    before = leaf._grad
    if graph:
        # A copy, because a later pass adds to it in place: the gradient may be what the caller gave
        # to backward, or what a hook or autograd.grad hands out.
        leaf._grad = grad.clone() if before is None else before + grad
        return
    tensor = tensor_class()
    if before is None:
        if not fresh:
            table = _backend.kernels(grad)
            own = table.empty(grad.shape, grad.dtype)
            table.copy(grad, own)
            grad = own
        leaf._grad = tensor._wrap(grad)
        _backend.bump_mutation_stamp()
        return
    array = before.array
    if grad is array:
        return  # the operation has added to it already
    try:
        _backend.kernels(array).add(array, grad, array)
    except ValueError:
        _explain_shared(before)
        raise
    before.storage.version += 1


def retain(tensor: Any, grad: Any, graph: bool) -> None:
    """Adds a gradient to ``.grad`` of a tensor that is no leaf: to a new one, as torch does."""
    before = tensor._grad
    if graph or before is None:
        add_to_grad(tensor, grad, False, graph)
        return
    table = _backend.kernels(grad)
    out = table.empty(grad.shape, grad.dtype)
    table.add(before.array, grad, out)
    tensor._grad = tensor_class()._wrap(out)


def _explain_shared(grad: Any) -> None:
    """Raises for a ``.grad`` that cannot be added to."""
    if not getattr(grad.array.flags, "writeable", True):  # CuPy has no read-only arrays
        message = (
            "backward: expected a .grad that can be added to, got one that is expanded or lies on "
            "read-only memory; clone() it before it is assigned, or set .grad = None"
        )
        raise RuntimeError(message)

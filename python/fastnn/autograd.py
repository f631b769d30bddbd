# SPDX-License-Identifier: BSD-3-Clause
"""The tape: operations, the graph that they record, and the backward pass.

An operation is a subclass of `Op`. Its instance is context and graph node in one: `forward` computes
on arrays through the kernel table, `backward` does the same for the gradients (fast, nothing is
recorded), and `backward_graph`, where there is one, states the same formula in Tensor operations, so
that gradients of gradients exist; it runs only under ``create_graph``.

Nodes refer to the nodes (or leaf tensors) that their inputs came from and never to their outputs, so
a graph is freed by reference counting. The backward pass takes nodes newest first from a heap: no
recursion, and every consumer of a node runs before it, because it was created later.
Reverse-mode accumulation: Linnainmaa 1970; Griewank and Walther, "Evaluating Derivatives", 2008.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, cast


from fastnn import _backend
from fastnn._grad_mode import (
    _mode,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from fastnn._hooks import RemovableHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastnn.tensor import Tensor

_sequence = itertools.count()


class Storage:
    """What tensors that share memory have in common.

    ``version`` counts in-place changes. ``rebased`` counts those that changed the history of the
    tensor that owns the memory, after which older views of it no longer know where they came from.
    """

    __slots__ = ("rebased", "version")

    def __init__(self) -> None:
        self.version = 0
        self.rebased = 0


class Op:
    """One operation: context of its forward pass and, if recorded, a node of the graph."""

    name: ClassVar[str] = ""
    kernels: Any
    needs: tuple[bool, ...]
    saved: tuple[Any, ...] | None = ()
    guards: tuple[tuple[Storage, int, int] | None, ...] = ()
    edges: tuple[tuple[Any, int] | None, ...] = ()
    sequence: int = -1
    outputs: tuple[tuple[tuple[int, ...], Any], ...] = ()
    hooks: dict[int, dict[int, Callable[[Tensor], Tensor | None]]] | None = None
    retained: dict[int, weakref.ref[Tensor]] | None = None
    direct = False  # whether gradients of plain leaves may be written straight into .grad

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__dict__.get("name"):
            cls.name = cls.__name__.lower()

    def forward(self, *args: Any) -> Any:
        """Arrays and options in, a new array (or a tuple of new arrays) out."""
        raise NotImplementedError

    def backward(self, *grads: Any) -> tuple[Any, ...]:
        """Arrays of the outputs' gradients in, one array or None per tensor input out."""
        raise NotImplementedError

    backward_graph: Callable[..., tuple[Any, ...]] | None = None

    def save(self, *arrays: Any) -> None:
        """Keeps arrays for backward; changing one of them in place before it is an error."""
        self.saved = arrays

    def grad_buffer(self, i: int, shape: tuple[int, ...], dtype: Any) -> tuple[Any, bool]:
        """Where the gradient of input ``i`` goes: (array, whether to add to what is there)."""
        edge = self.edges[i]
        if self.direct and edge is not None and not isinstance(edge[0], Op):
            leaf = edge[0]
            grad = leaf._grad
            if leaf._hooks is None and grad is not None:
                array = grad.array
                if array.shape == shape and array.dtype == dtype and array.flags.carray:
                    grad.storage.version += 1
                    return array, True
        return self.kernels.empty(shape, dtype), False

    def saved_tensors(self) -> list[Tensor]:
        """The saved arrays as tensors that know their history, for `backward_graph`."""
        tensor = _tensor_class()
        found = []
        for array, guard in zip(self.saved or (), self.guards, strict=True):
            source = None if guard is None else guard[2]
            if source is None:
                found.append(tensor._wrap(array))
            elif source < 0:
                found.append(tensor._with_history(array, self, -1 - source))
            else:
                edge = self.edges[source]
                if edge is None:
                    found.append(tensor._wrap(array))
                elif isinstance(edge[0], Op):
                    found.append(tensor._with_history(array, *edge))
                else:
                    found.append(edge[0])
        return found

    @classmethod
    def apply(cls, tensors: tuple[Any, ...], *options: Any) -> Any:
        """Runs the operation on tensors (or None for an absent one) and records it if needed."""
        node = cls()
        recording = False
        if _mode.enabled:
            for t in tensors:
                if t is not None and t._requires_grad:
                    recording = True
                    break
        node.kernels = _backend.kernels(tensors[0].array)
        if recording:
            node.needs = tuple([t is not None and t._requires_grad for t in tensors])
        else:
            node.needs = (False,) * len(tensors)
        out = node.forward(*[None if t is None else t.array for t in tensors], *options)
        tensor = type(tensors[0])._base
        if type(out) is tuple:
            wrapped = tuple([tensor._wrap(a) for a in out])
            if recording:
                node.record(tensors, wrapped)
            return wrapped
        result = tensor._wrap(out)
        if recording:
            node.record(tensors, (result,))
        return result

    def record(self, tensors: Sequence[Any], results: tuple[Any, ...]) -> None:
        """Makes this a node of the graph: between the inputs' history and the results."""
        edges: list[tuple[Any, int] | None] = []
        for t, need in zip(tensors, self.needs, strict=True):
            if not need:
                edges.append(None)
                continue
            if t._rebase_stamp is not None and t._rebase_stamp != t.storage.rebased:
                raise RuntimeError(_stale_view(self.name))
            edges.append((t, 0) if t._node is None else (t._node, t._output_nr))
        self.edges = tuple(edges)
        self.sequence = next(_sequence)
        if self.saved:
            self.guards = tuple([_guard(a, tensors, results) for a in self.saved])
        described = []
        for nr, r in enumerate(results):
            described.append((r.array.shape, r.array.dtype))
            if r.array.dtype.kind == "f":
                r._requires_grad = True
                r._node = self
                r._output_nr = nr
        self.outputs = tuple(described)

    def check_saved(self) -> None:
        """Raises if the graph was freed or a saved array has changed since."""
        if self.saved is None:
            message = (
                f"{self.name}: backward() a second time through a graph whose saved values were "
                "freed by the first; pass retain_graph=True to the first backward()"
            )
            raise RuntimeError(message)
        for guard in self.guards:
            if guard is not None and guard[0].version != guard[1]:
                message = (
                    f"{self.name}: a value that its gradient needs was changed by an in-place "
                    f"operation: expected version {guard[1]}, it is at version {guard[0].version}; "
                    "change a clone() of it instead, or change it after backward()"
                )
                raise RuntimeError(message)


def _stale_view(op: str) -> str:
    return (
        f"{op}: this tensor is a view of memory whose history was changed by an in-place operation "
        "since the view was made; take the view again after the change, or change a clone()"
    )


def _guard(
    array: Any, tensors: Sequence[Any], results: Sequence[Any]
) -> tuple[Storage, int, int] | None:
    for i, t in enumerate(tensors):
        if t is not None and t.array is array:
            return t.storage, t.storage.version, i
    for i, t in enumerate(results):
        if t.array is array:
            return t.storage, t.storage.version, -1 - i
    return None


@functools.cache
def _tensor_class() -> Any:
    from fastnn.tensor import Tensor  # noqa: PLC0415  (the tape lies below the tensor)

    return Tensor


def _is_fresh(
    array: Any, grads: Sequence[Any], others: Sequence[Any], saved: Sequence[Any]
) -> bool:
    # Whether an array that backward returned belongs to nobody else: it is no gradient that came
    # in, no saved array, no view of something, and was not returned twice.
    if isinstance(array.base, type(array)) or any(array is s for s in saved):
        return False
    return not any(array is g for g in grads) and sum(array is o for o in others) == 1


class _Pending:
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


def _run_hooks(hooks: Iterable[Callable[[Tensor], Tensor | None]], grad: Any, graph: bool) -> Any:
    tensor = grad if graph else _tensor_class()._wrap(grad)
    for hook in list(hooks):
        changed = hook(tensor)
        if changed is not None:
            tensor = changed
    return tensor if graph else tensor.array


def _accumulate(leaf: Any, grad: Any, fresh: bool, graph: bool) -> None:
    """Adds a gradient (array, or Tensor under create_graph) to ``leaf.grad``."""
    before = leaf._grad
    if graph:
        leaf._grad = grad if before is None else before + grad
        return
    tensor = _tensor_class()
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
    _backend.kernels(array).add(array, grad, array)
    before.storage.version += 1


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


class _Pass:
    """One backward pass. ``inputs`` is None for backward(), the wanted tensors for grad()."""

    def __init__(self, roots: list[Any], keep: bool, graph: bool, inputs: list[Any] | None) -> None:
        self.keep = keep
        self.graph = graph
        self.pending = _Pending(graph)
        self.wanted: set[int] | None = None
        self.captured: dict[tuple[int, int], Any] = {}
        self.capture: set[tuple[int, int]] = set()
        self.leaf_ids: set[int] = set()
        if inputs is not None:
            nodes = {id(t._node) for t in inputs if t._node is not None}
            self.capture = {(id(t._node), t._output_nr) for t in inputs if t._node is not None}
            self.leaf_ids = {id(t) for t in inputs if t._node is None}
            starts = [t._node for t in roots if t._node is not None]
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
            _accumulate(target, grad, fresh, graph=False)

    def visit(self, node: Op, grads: list[Any]) -> None:
        node.check_saved()
        for nr, g in enumerate(grads):
            grad = g
            owned = self.pending.owned.pop((node, nr), True)
            if node.hooks is not None and nr in node.hooks and grad is not None:
                grad = grads[nr] = _run_hooks(node.hooks[nr].values(), grad, self.graph)
                owned = False
            if (id(node), nr) in self.capture:
                self.captured[id(node), nr] = grad
            if node.retained is not None and nr in node.retained:
                tensor = node.retained[nr]()
                if tensor is not None and grad is not None and self.wanted is None:
                    _accumulate(tensor, grad, False, self.graph)
            if grad is None:
                grads[nr] = self.zeros(node, nr)
            del owned
        if self.wanted is not None and not any(self.is_wanted(e) for e in node.edges):
            return
        results = self.call(node, grads)
        for edge, r in zip(node.edges, results, strict=True):
            if edge is None or r is None:
                continue
            fresh = self.graph or _is_fresh(r, grads, results, node.saved or ())
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

    def zeros(self, node: Op, nr: int) -> Any:
        shape, dtype = node.outputs[nr]
        array = node.kernels.empty(shape, dtype)
        node.kernels.fill(node.kernels.xp.zeros(1, dtype), array)
        return _tensor_class()._wrap(array) if self.graph else array

    def call(self, node: Op, grads: list[Any]) -> tuple[Any, ...]:
        needs = node.needs
        if self.wanted is not None:
            node.needs = tuple(self.is_wanted(e) for e in node.edges)
        node.direct = self.wanted is None and not self.graph
        try:
            if not self.graph:
                return node.backward(*grads)
            if node.backward_graph is None:
                message = (
                    f"{node.name}: there is no second derivative of this operation "
                    "(create_graph=True); build it from operations that have one"
                )
                raise RuntimeError(message)
            return node.backward_graph(*grads)
        finally:
            node.needs = needs
            node.direct = False

    def run(self) -> None:
        while self.pending.heap:
            node, grads = self.pending.pop()
            self.visit(node, grads)
        for leaf, total, owned in self.pending.leaves.values():
            grad = total
            if leaf._hooks is not None:
                grad = _run_hooks(leaf._hooks.values(), grad, self.graph)
            if self.wanted is None:
                _accumulate(leaf, grad, owned and leaf._hooks is None, self.graph)
            else:
                self.captured[id(leaf), -1] = grad


def _root_gradient(t: Any, gradient: Any, graph: bool) -> Any:
    if not t._requires_grad:
        message = (
            "backward: expected a tensor that requires grad, got one without; set "
            "requires_grad=True on a tensor that it is computed from, outside of no_grad()"
        )
        raise RuntimeError(message)
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
        return _tensor_class()._wrap(array) if graph else array
    if tuple(gradient.shape) != t.array.shape:
        message = (
            f"backward: expected a gradient of shape {tuple(t.array.shape)}, "
            f"got {tuple(gradient.shape)}"
        )
        raise RuntimeError(message)
    if gradient.array.dtype != t.array.dtype:
        gradient = gradient.to(t.dtype)
    return gradient if graph else gradient.array


def _as_list(tensors: Any) -> list[Any]:
    return list(tensors) if isinstance(tensors, tuple | list) else [tensors]


def _run(
    roots: list[Any], gradients: list[Any], keep: bool, graph: bool, inputs: list[Any] | None
) -> _Pass:
    if len(gradients) != len(roots):
        message = f"backward: expected one gradient per tensor, {len(roots)}, got {len(gradients)}"
        raise RuntimeError(message)
    before = _mode.enabled
    _mode.enabled = graph
    try:
        work = _Pass(roots, keep, graph, inputs)
        for t, g in zip(roots, gradients, strict=True):
            grad = _root_gradient(t, g, graph)
            fresh = g is None
            if t._node is None:
                work.send(t, 0, grad, fresh)
            else:
                work.send(t._node, t._output_nr, grad, fresh)
        work.run()
    finally:
        _mode.enabled = before
    return work


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Adds the gradients of ``tensors`` to ``.grad`` of the leaves that they were computed from.

    ``grad_tensors``: the gradient of each tensor that has more than one element.
    ``retain_graph``: keep what was saved, so that backward can run again (default: create_graph).
    ``create_graph``: record the backward pass itself, for higher derivatives.
    """
    roots = _as_list(tensors)
    grads = [None] * len(roots) if grad_tensors is None else _as_list(grad_tensors)
    keep = create_graph if retain_graph is None else retain_graph
    _run(roots, grads, keep, create_graph, None)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of ``outputs`` with respect to ``inputs``; ``.grad`` is left alone.

    Raises RuntimeError for an input that the outputs do not depend on, unless ``allow_unused``.
    """
    roots, wanted = _as_list(outputs), _as_list(inputs)
    grads = [None] * len(roots) if grad_outputs is None else _as_list(grad_outputs)
    keep = create_graph if retain_graph is None else retain_graph
    for i, t in enumerate(wanted):
        if not t._requires_grad:
            message = f"grad: expected inputs that require grad, input {i} does not"
            raise RuntimeError(message)
    work = _run(roots, grads, keep, create_graph, wanted)
    found: list[Tensor | None] = []
    for i, t in enumerate(wanted):
        key = (id(t), -1) if t._node is None else (id(t._node), t._output_nr)
        value = work.captured.get(key)
        if value is None and not allow_unused:
            message = (
                f"grad: the outputs do not depend on input {i}; pass allow_unused=True to get None"
            )
            raise RuntimeError(message)
        if value is not None and not create_graph:
            value = _tensor_class()._wrap(value)
        found.append(cast("Tensor | None", value))
    return tuple(found)


def add_hook(t: Any, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Registers a function that sees, and may replace, the gradient of a tensor."""
    if not t._requires_grad:
        message = "register_hook: expected a tensor that requires grad, got one without"
        raise RuntimeError(message)
    if t._node is None:
        if t._hooks is None:
            t._hooks = {}
        return RemovableHandle(t._hooks, hook, t)
    if t._node.hooks is None:
        t._node.hooks = {}
    return RemovableHandle(t._node.hooks.setdefault(t._output_nr, {}), hook)


def retain_grad(t: Any) -> None:
    """Keeps the gradient of a tensor that is no leaf in its ``.grad``."""
    if not t._requires_grad:
        message = "retain_grad: expected a tensor that requires grad, got one without"
        raise RuntimeError(message)
    if t._node is not None:
        if t._node.retained is None:
            t._node.retained = {}
        t._node.retained[t._output_nr] = weakref.ref(t)


from fastnn._gradcheck import gradcheck, gradgradcheck  # noqa: E402

__all__ = [
    "Op",
    "RemovableHandle",
    "Storage",
    "backward",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "retain_grad",
    "set_grad_enabled",
]


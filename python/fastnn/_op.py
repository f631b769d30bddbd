# SPDX-License-Identifier: BSD-3-Clause
"""The tape: `Op`, an operation and, when recorded, a node of the graph.

An operation is a subclass of `Op`. Its instance is context and graph node in one: `forward`
computes on arrays through the kernel table, `backward` does the same for the gradients (fast,
nothing is recorded), and `backward_graph`, where there is one, states the same formula in Tensor
operations, so that gradients of gradients exist; it runs only under ``create_graph``.

Nodes refer to the nodes (or leaf tensors) that their inputs came from and never to their outputs,
so a graph is freed by reference counting.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, ClassVar, Self

from fastnn import _backend
from fastnn._grad_mode import _mode
from fastnn._node import Node, op_name
from fastnn._view_history import check_view, rebase

if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable, Sequence

    from fastnn.tensor import Tensor

_tape = _backend.tape
_next_sequence = itertools.count().__next__ if _tape is None else _tape.next_sequence


class Storage:
    """What tensors that share memory have in common.

    ``version`` counts in-place changes. ``rebased`` counts those that changed the history of the
    tensor that owns the memory, after which its views take theirs anew: `_view_history`.
    """

    __slots__ = ("rebased", "version")
    # (leaf, array) -> Tensor, of what stands for a leaf's memory that hooks had packed away: makes
    # of the array that they unpack a tensor whose gradient goes to the leaf.
    alias: ClassVar[Any] = None

    def __init__(self) -> None:
        self.version = 0
        self.rebased = 0


class Op(Node):
    """One operation: context of its forward pass and, if recorded, a node of the graph."""

    # Slots, and named here alone: csrc/tape reads and writes them at their places. What an
    # operation keeps beside them goes into its __dict__.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "direct",
        "edges",
        "guards",
        "hooks",
        "incoming",
        "kernels",
        "needs",
        "outputs",
        "retained",
        "saved",
        "sequence",
    )
    name: ClassVar[str] = ""
    instead: ClassVar[str] = "build it from operations that have one"  # of a second derivative
    kernels: Any
    needs: tuple[bool, ...]
    saved: tuple[Any, ...] | None
    guards: tuple[tuple[Storage, int, int] | None, ...]
    edges: tuple[tuple[Any, int] | None, ...]
    sequence: int
    outputs: tuple[tuple[tuple[int, ...], Any] | None, ...]  # None: no zeros where no gradient is
    hooks: dict[int, dict[int, Callable[[Tensor], Tensor | None]]] | None
    retained: dict[int, weakref.ref[Tensor]] | None
    incoming: Sequence[Any]  # the gradients that backward was given, while it runs
    direct: bool  # whether gradients of plain leaves may be written straight into .grad
    gives_away: ClassVar[bool] = True  # whether backward may return arrays that nobody else has

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ARG004  (they are __init__'s)
        node = object.__new__(cls)
        node.saved = node.guards = node.edges = node.outputs = node.incoming = ()
        node.hooks = node.retained = None
        node.sequence = -1
        node.direct = False
        return node

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        name = cls.__dict__.get("name") or cls.__name__.lower()
        cls.name = op_name(name, f"{cls.__name__}Backward0")

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
                if (
                    array.shape == shape
                    and array.dtype == dtype
                    and array.flags.carray
                    and not self.reads(array)
                ):
                    grad.storage.version += 1
                    return array, True
        return self.kernels.empty(shape, dtype), False

    def reads(self, array: Any) -> bool:
        """Whether backward may read the memory of an array: then it cannot write there."""
        overlap = self.kernels.xp.may_share_memory
        used = (*self.incoming, *(self.saved or ()))
        return any(a is not None and overlap(array, a) for a in used)

    def saved_tensors(self) -> list[Tensor]:
        """The saved arrays as tensors that know their history, for `backward_graph`."""
        tensor = tensor_class()
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
                elif guard is not None and guard[0].alias is not None:
                    found.append(guard[0].alias(edge[0], array))
                else:
                    if guard is None or edge[0].storage is not guard[0]:
                        message = (
                            f"{self.name}: expected the .data of the forward pass, got other "
                            "since; call backward() before it is replaced"
                        )
                        raise RuntimeError(message)
                    found.append(edge[0])
        return found

    @classmethod
    def apply(cls, tensors: tuple[Any, ...], *options: Any) -> Any:
        """Runs the operation on tensors (or None for an absent one) and records it if needed."""
        node = cls()
        recording = False
        if _mode.enabled:
            for t in tensors:
                if t is not None:
                    if t._rebase_stamp is not None:
                        check_view(cls.name, t)
                    if t._requires_grad:
                        recording = True
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
            edges.append((t, 0) if t._node is None else (t._node, t._output_nr))
        self.edges = tuple(edges)
        self.sequence = _next_sequence()
        if self.saved:
            self.guards = tuple([_guard(a, tensors, results) for a in self.saved])
        described = []
        for nr, r in enumerate(results):
            described.append((r.array.shape, r.array.dtype))
            if r.array.dtype.kind not in "biu":
                r._requires_grad = True
                r._node = self
                r._output_nr = nr
        self.outputs = tuple(described)

    def check_saved(self) -> None:
        """Raises if the graph was freed or a saved array has changed since."""
        if self.saved is None:
            message = (
                f"{self.name}: expected the values saved for backward(), got none: a backward() "
                "before has freed them; pass retain_graph=True to that one"
            )
            raise RuntimeError(message)
        for guard in self.guards:
            if guard is not None and guard[0].version != guard[1]:
                message = (
                    f"{self.name}: a value that its gradient needs was changed by an in-place "
                    f"operation: expected version {guard[1]}, got version {guard[0].version}; "
                    "change a clone() of it instead, or change it after backward()"
                )
                raise RuntimeError(message)


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
def tensor_class() -> Any:
    from fastnn.tensor import Tensor  # noqa: PLC0415  (the tape lies below the tensor)

    return Tensor


# The specification, which _native_tape puts C++ in the place of: what _watch goes back to.
plain_apply: Any = Op.__dict__["apply"].__func__
plain_record = Op.record


__all__ = ["Op", "Storage", "check_view", "rebase", "tensor_class"]

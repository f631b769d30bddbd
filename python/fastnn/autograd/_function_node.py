# SPDX-License-Identifier: BSD-3-Clause
"""The node of a call of a `Function`, and how what forward returned becomes part of the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fastnn import _backend
from fastnn._dtypes import from_numpy
from fastnn._op import Op, _next_sequence, tensor_class
from fastnn.autograd._context import FunctionCtx, keep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn._node import Node
    from fastnn.autograd.function import Function
    from fastnn.tensor import Tensor


class FunctionNode(Op):
    """The node of a call of a `Function`. It has what its context has."""

    gives_away = False
    function: ClassVar[type[Function]]
    ctx: FunctionCtx
    like: list[Any]  # (shape, dtype) of every tensor among the arguments, else None

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """As of other nodes; arguments that are no tensors have no entry."""
        pairs = zip(super().next_functions, self.like, strict=True)
        return tuple([f for f, like in pairs if like is not None])

    def check_saved(self) -> None:
        """Nothing: what was saved is looked at when it is asked for."""

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """What was saved for backward."""
        return self.ctx.saved_tensors

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__" or "ctx" not in self.__dict__:
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(message)
        return getattr(self.ctx, name)

    def backward(self, *grads: Any) -> tuple[Any, ...]:
        wrap = tensor_class()._wrap
        found = self.gradients([None if g is None else wrap(g) for g in grads])
        return tuple([None if g is None else g.array for g in found])

    def backward_graph(self, *grads: Any) -> tuple[Any, ...]:
        return tuple(self.gradients(grads))

    def gradients(self, grads: Sequence[Any]) -> list[Any]:
        """What the user's backward returns, one entry for each argument of forward."""
        found = self.function._backward_of()(self.ctx, *grads)
        found = list(found) if isinstance(found, tuple) else [found]
        n = len(self.like)
        while len(found) > n and found[-1] is None:
            found.pop()
        if len(found) != n:
            message = (
                f"{self.name}: expected a gradient or None for each of {n} arguments of forward, "
                f"got a backward that returned an incorrect number of gradients (expected {n}, got "
                f"{len(found)}); return None for arguments without a gradient"
            )
            raise RuntimeError(message)
        return [self.fitted(i, g) for i, g in enumerate(found)]

    def fitted(self, i: int, grad: Any) -> Any:
        """A gradient in the shape and type of its argument."""
        if grad is None:
            return None
        like = self.like[i]
        if like is None:
            message = (
                f"{self.name}: expected None for an argument of forward that is no tensor, got a "
                f"gradient different from None at position {i + 1}; return None there"
            )
            raise RuntimeError(message)
        if not isinstance(grad, tensor_class()):
            message = (
                f"{self.name}: expected a Tensor or None from backward at position {i + 1}, got "
                f"{type(grad).__name__}; make one with fastnn.tensor(...)"
            )
            raise RuntimeError(message)
        if self.edges[i] is None:
            return None
        shape, dtype = like
        if grad.array.shape != shape:
            grad = self.summed(i, grad, shape)
        return grad if grad.array.dtype == dtype else grad.to(from_numpy(dtype))

    def summed(self, i: int, grad: Any, shape: tuple[int, ...]) -> Any:
        """A gradient summed over the dimensions along which its argument can be broadcast."""
        from fastnn.ops._binary_op import sum_to_graph  # noqa: PLC0415  (above the tape)

        got = grad.array.shape
        lead = len(got) - len(shape)
        if lead < 0 or any(m not in (1, n) for m, n in zip(shape, got[lead:], strict=True)):
            message = (
                f"{self.name}: expected a gradient of a shape compatible with {shape} at index {i},"
                f" got an invalid gradient of shape {got}; return one of the shape of forward's "
                "argument"
            )
            raise RuntimeError(message)
        return sum_to_graph(grad, shape)


class Outputs:
    """What forward returned, made part of the graph."""

    def __init__(
        self,
        node: FunctionNode,
        ctx: FunctionCtx,
        tensors: list[Any],
        outputs: tuple[Any, ...],
        recording: bool,
    ) -> None:
        self.node, self.ctx, self.tensors, self.outputs = node, ctx, tensors, outputs
        self.recording = recording
        options = ctx._options
        self.inputs = {id(t) for t in tensors if t is not None}
        self.dirty = {id(t) for t in options.dirty}
        self.fixed = {id(t) for t in options.non_differentiable}
        missing = self.dirty - {id(o) for o in outputs}
        if missing:
            message = (
                f"{node.name}: expected every tensor marked as dirty to be returned by forward, "
                f"got {len(missing)} that are not; return what forward changes in place"
            )
            raise RuntimeError(message)

    def wrapped(self) -> list[Any]:
        kind = tensor_class()
        node, options = self.node, self.ctx._options
        first = next((t for t in (*self.tensors, *self.outputs) if isinstance(t, kind)), None)
        if first is not None:
            node.kernels = _backend.kernels(first.array)
        if not self.recording:
            return [self.alias(o) if self.is_passed_on(o) else o for o in self.outputs]
        node.ctx = self.ctx
        node.like = [None if t is None else (t.array.shape, t.array.dtype) for t in self.tensors]
        node.edges = tuple([
            None if t is None or not need
            else (t, 0) if t._node is None else (t._node, t._output_nr)
            for t, need in zip(self.tensors, node.needs, strict=True)
        ])  # fmt: skip
        node.sequence = _next_sequence()
        results = [
            self.connected(nr, o) if isinstance(o, kind) else o for nr, o in enumerate(self.outputs)
        ]
        node.outputs = tuple([
            (o.array.shape, o.array.dtype)
            if options.materialize and isinstance(o, kind) else None
            for o in results
        ])  # fmt: skip
        places = {id(o): nr for nr, o in enumerate(results) if getattr(o, "_node", None) is node}
        node.saved = tuple([keep(t, places) for t in options.to_save])
        # A result among them refers to the node, which would own itself.
        options.to_save = options.dirty = options.non_differentiable = ()
        return results

    def is_passed_on(self, o: Any) -> bool:
        """Whether an output is an input as it was."""
        return id(o) in self.inputs and id(o) not in self.dirty

    def alias(self, t: Any) -> Any:
        """The same memory as another tensor, without history."""
        made = tensor_class()._sharing(t, t.array.view())
        made._rebase_stamp = t.storage.rebased
        made._view = (t, (), self.node.name)
        made._no_grad_view = not self.recording
        return made

    def connected(self, nr: int, t: Any) -> Any:
        """An output as a result of the node."""
        node = self.node
        if id(t) in self.fixed or not t.is_floating_point():
            return t.detach() if t._requires_grad else t
        if id(t) in self.dirty:
            from fastnn.ops._in_place import check_in_place, take_over  # noqa: PLC0415  (above)

            check_in_place(node.name, t, *[o for o in self.tensors if o is not None])
            take_over(t, tensor_class()._with_history(t.array, node, nr))
            return t
        if id(t) in self.inputs or t._requires_grad:
            t = self.alias(t)
        t._requires_grad, t._node, t._output_nr = True, node, nr
        return t

# SPDX-License-Identifier: BSD-3-Clause
"""Tuples of tensors for autograd.functional: checks, preparation, what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _backend
from fastnn._op import tensor_class

if TYPE_CHECKING:
    from collections.abc import Iterator


def as_tuple(op: str, what: str, given: Any) -> tuple[bool, tuple[Any, ...]]:
    """(whether it is a tuple, the tensors)."""
    many = isinstance(given, tuple)
    values = given if many else (given,)
    for i, t in enumerate(values):
        if not isinstance(t, tensor_class()):
            place = f" at position {i}" if many else ""
            message = (
                f"{op}: expected {what} as a Tensor or a tuple of Tensors, got "
                f"{type(t).__name__}{place}; make one with fastnn.tensor(...)"
            )
            raise TypeError(message)
    return many, values


def single(values: tuple[Any, ...], many: bool) -> Any:
    """The tuple, or its only entry."""
    return values if many else values[0]


def prepared(tensors: tuple[Any, ...], create_graph: bool) -> tuple[Any, ...]:
    """The inputs as tensors of their own whose gradients can be asked for; under create_graph as
    part of the graph that they come from."""
    found = []
    for t in tensors:
        if create_graph and t.requires_grad:
            found.append(t.view_as(t))
        else:
            found.append(t.detach().requires_grad_())
    return tuple(found)


def detached(tensors: tuple[Any, ...], create_graph: bool) -> tuple[Any, ...]:
    """Results without history, unless it is wanted."""
    return tensors if create_graph else tuple([t.detach() for t in tensors])


def as_vectors(op: str, v: Any, like: tuple[Any, ...], create_graph: bool) -> tuple[Any, ...]:
    """The vectors of a product, of the shapes of ``like``; ones where there is one element."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            message = (
                f"{op}: expected v unless there is a single tensor of one element, got none for "
                f"the shapes {[tuple(t.shape) for t in like]}; pass v of these shapes"
            )
            raise RuntimeError(message)
        from fastnn.ops import ones_like  # noqa: PLC0415  (the operations lie above)

        return (ones_like(like[0].detach()),)
    many, vectors = as_tuple(op, "v", v)
    if len(vectors) != len(like):
        message = f"{op}: expected v as {len(like)} tensors, got {len(vectors)}; pass one for each"
        raise RuntimeError(message)
    for i, (w, t) in enumerate(zip(vectors, like, strict=True)):
        if w.shape != t.shape:
            message = (
                f"{op}: expected v of shape {tuple(t.shape)}{f' at position {i}' if many else ''}, "
                f"got {tuple(w.shape)}; zeros_like makes one that fits"
            )
            raise RuntimeError(message)
    if create_graph:
        return tuple([w.view_as(w) if w.requires_grad else w.detach() for w in vectors])
    return tuple([w.detach() for w in vectors])


def check_dependent(op: str, what: str, tensors: tuple[Any, ...], strict: bool) -> None:
    """With strict, RuntimeError for a tensor that depends on no input."""
    for i, t in enumerate(tensors if strict else ()):
        if not t.requires_grad:
            message = (
                f"{op}: expected results that depend on the inputs with strict=True, got {what} {i}"
                " independent of them; compute it from them, or pass strict=False to get zeros"
            )
            raise RuntimeError(message)


def filled(
    op: str,
    grads: tuple[Any, ...],
    like: tuple[Any, ...],
    strict: bool,
    create_graph: bool,
    what: str = "output",
) -> tuple[Any, ...]:
    """Gradients with zeros for those that are not there, which with strict are an error."""
    from fastnn.ops import zeros_like  # noqa: PLC0415  (the operations lie above)

    found = []
    for i, (g, t) in enumerate(zip(grads, like, strict=True)):
        lost = g is None or (create_graph and not g.requires_grad)
        if strict and lost:
            message = (
                f"{op}: expected results that depend on every input with strict=True, got the "
                f"{what} independent of tensor {i}; leave it out, or pass strict=False to get zeros"
            )
            raise RuntimeError(message)
        found.append(zeros_like(t.detach()) if g is None else g)
    return tuple(found)


def columns(t: Any) -> Iterator[Any]:
    """For every element of a tensor one that is 1 there and 0 elsewhere."""
    table = _backend.kernels(t.array)
    dtype = t.array.dtype
    zero, one = table.xp.zeros(1, dtype), table.xp.ones(1, dtype)
    for i in range(t.array.size):
        array = table.empty((t.array.size,), dtype)
        table.fill(zero, array)
        table.fill(one, array[i : i + 1])
        yield tensor_class()._wrap(array.reshape(t.array.shape))

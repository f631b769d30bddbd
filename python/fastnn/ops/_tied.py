# SPDX-License-Identifier: BSD-3-Clause
"""Gradients under ``create_graph`` that belong to the graph of a value which they do not vary with.

The gradient of relu is g where y > 0: a step function of y, whose derivative is 0 wherever it has
one. torch computes it from y all the same, so it requires grad, and a second pass gives zeros, not
None, to all that y came from. `tied` says so in the graph.
"""

from __future__ import annotations

from typing import Any

from fastnn import _backend
from fastnn._grad_mode import _mode
from fastnn._node import op_name
from fastnn.autograd import Op
from fastnn.ops.copy import Clone
from fastnn.tensor import Tensor


class Tied(Op):
    """The first input as it is; the second changes nothing."""

    name = "tied"
    zeros = again = False

    def backward(self, g: Any) -> tuple[Any, ...]:
        zeros = None
        if self.zeros and self.needs[1]:
            zeros = self.kernels.empty(g.shape, g.dtype)
            self.kernels.fill(self.kernels.xp.zeros(1, g.dtype), zeros)
        return (g if self.needs[0] else None), zeros

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        zeros = self.backward(g.array)[1]
        if self.again:
            g = tied(g, _input(self, 1, g), again=True)
        return (g if self.needs[0] else None), (None if zeros is None else Tensor._wrap(zeros))


def tied(g: Tensor, source: Tensor, *, again: bool = False, zeros: bool = True) -> Tensor:
    """A gradient that is computed from ``source``, of its shape and type, by a step function.

    again: whether the gradient of g is, too.   zeros: whether the source gets zeros, or nothing:
    then it may have another shape.
    """
    if not (_mode.enabled and source.requires_grad):
        return g
    out = Tensor._sharing(g, g.array.view())
    node = Tied()
    node.kernels = _backend.kernels(g.array)
    node.zeros, node.again = zeros, again
    node.needs = (g.requires_grad, True)
    node.record((g, source), (out,))
    return out


class First(Clone):
    """x^1: a copy, whose gradient torch computes from x^0."""

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (of_input(self, g, again=True),)


First.name = op_name("pow", "PowBackward0")  # as torch's node


def of_input(node: Op, g: Tensor, *, again: bool = False) -> Tensor:
    """The gradient of an operation's first input, tied to that input."""
    return tied(g, _input(node, 0, g), again=again)


def _input(node: Op, i: int, like: Tensor) -> Tensor:
    """The history of an operation's input, on the array of a tensor of its shape."""
    edge = node.edges[i]
    if edge is None:
        return Tensor._wrap(like.array)
    if isinstance(edge[0], Op):
        return Tensor._with_history(like.array, *edge)
    return edge[0]  # type: ignore[no-any-return]


def all_or_none(node: Op, *results: Tensor | None) -> tuple[Tensor | None, ...]:
    """The gradients of an operation of (x, weight, bias), all of which require grad if x or weight
    does, as torch computes them together: that of a bias, too, which is a sum of g."""
    i = next((i for i in (0, 1) if node.edges[i] is not None), None)
    if i is None:
        return results
    return tuple(
        r if r is None or r.requires_grad else tied(r, _input(node, i, r), zeros=False)
        for r in results
    )

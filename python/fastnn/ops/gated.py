# SPDX-License-Identifier: BSD-3-Clause
"""Activations that have parameters or halve: PReLU, GLU, maxout, and softmin.

    prelu: x > 0 ? x : w x      glu: a sigmoid(b), x = (a, b)      maxout: max over pieces

Backward: prelu: dw = sum of g x where x <= 0;  glu: da = g s, db = g a s (1 - s), s = sigmoid(b).
Sources:  He, Zhang, Ren and Sun 2015 (PReLU); Dauphin, Fan, Auli and Grangier 2017 (GLU);
          Goodfellow, Warde-Farley, Mirza, Courville and Bengio 2013 (maxout).
"""

from __future__ import annotations

import math
from typing import Any

from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._elementwise import floats_only
from fastnn.ops._formulas import ArrayMath
from fastnn.ops.activation import sigmoid
from fastnn.ops.copy import to
from fastnn.ops.extremum import max as _max
from fastnn.ops.softmax import softmax
from fastnn.ops.view import reshape
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def glu_forward(x: Any, y: Any) -> None:
    """y = a sigmoid(b), a = x[:, 0], b = x[:, 1]."""
    array_module(x).copyto(y, x[:, 0] * ArrayMath(x).sigmoid(x[:, 1]))


@reference
def glu_backward(x: Any, grad_y: Any, grad_x: Any) -> None:
    """grad_a = grad_y s, grad_b = grad_y a s (1 - s), s = sigmoid(b)."""
    s = ArrayMath(x).sigmoid(x[:, 1])
    grad_x[:, 0] = grad_y * s
    grad_x[:, 1] = grad_y * x[:, 0] * s * (1.0 - s)


@reference
def prelu_forward(x: Any, weight: Any, y: Any) -> None:
    """y = x > 0 ? x : weight[c] x, x (outer, c, inner)."""
    xp = array_module(x)
    xp.copyto(y, xp.where(x > 0, x, x * weight[:, None]))


@reference
def prelu_backward(x: Any, weight: Any, grad_y: Any, grad_x: Any, terms: Any) -> None:
    """grad_x = x > 0 ? grad_y : weight[c] grad_y;  terms = x > 0 ? 0 : x grad_y."""
    xp = array_module(x)
    xp.copyto(grad_x, xp.where(x > 0, grad_y, grad_y * weight[:, None]))
    xp.copyto(terms, xp.where(x > 0, xp.zeros((), x.dtype), x * grad_y))


class Glu(Op):
    """a sigmoid(b) of two halves."""

    def forward(self, x: Any, dim: int) -> Any:
        table = self.kernels
        half = x.shape[dim] // 2
        self.dim, self.half = dim, half
        self.split = (math.prod(x.shape[:dim]), 2, half * math.prod(x.shape[dim + 1 :]))
        out = table.empty((self.split[0], self.split[2]), x.dtype)
        table.glu_forward(_common.reshaped(table, x, self.split), out)
        self.save(x)
        return out.reshape((*x.shape[:dim], half, *x.shape[dim + 1 :]))

    def backward(self, g: Any) -> tuple[Any, ...]:
        (x,) = self.saved  # type: ignore[misc]
        table, split = self.kernels, self.split
        out = table.empty(split, g.dtype)
        flat = _common.reshaped(table, g, (split[0], split[2]))
        table.glu_backward(_common.reshaped(table, x, split), flat, out)
        return (out.reshape(x.shape),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (x,) = self.saved_tensors()
        halves = reshape(x, *self.split)
        flat = reshape(g, self.split[0], 1, self.split[2])
        a, s = halves[:, 0:1], sigmoid(halves[:, 1:2])
        first = where(_first(flat), flat * s, flat * a * s * (1.0 - s))
        return (reshape(first, *x.shape),)


def _first(flat: Tensor) -> Tensor:
    """(1, 2, 1): true for the first half."""
    from fastnn.ops.creation import tensor  # noqa: PLC0415

    return tensor([True, False]).reshape(1, 2, 1).to(flat.device)


class PRelu(Op):
    """x > 0 ? x : w x."""

    def forward(self, x: Any, weight: Any) -> Any:
        table = self.kernels
        c = weight.size
        self.triple = (1, 1, x.size)
        if c != 1:
            self.triple = (x.shape[0], c, math.prod(x.shape[2:]))
        out = table.empty(self.triple, x.dtype)
        table.prelu_forward(*self.operands(x, weight), out)
        self.save(x, weight)
        return out.reshape(x.shape)

    def operands(self, x: Any, weight: Any) -> tuple[Any, Any]:
        """x as (outer, c, inner) and weight as (c,), contiguous."""
        table = self.kernels
        return _common.reshaped(table, x, self.triple), _common.reshaped(
            table, weight, (weight.size,)
        )

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, weight = self.saved  # type: ignore[misc]
        table = self.kernels
        out, terms = table.empty(self.triple, g.dtype), table.empty(self.triple, g.dtype)
        g = _common.reshaped(table, g, self.triple)
        table.prelu_backward(*self.operands(x, weight), g, out, terms)
        gw = None
        if self.needs[1]:
            gw = table.empty((weight.size,), g.dtype)
            table.sum_last(terms.transpose((1, 0, 2)), gw, 2, 1.0)
            gw = gw.reshape(weight.shape)
        return out.reshape(x.shape) if self.needs[0] else None, gw

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, weight = self.saved_tensors()
        shape = (weight.numel(), *[1] * (x.ndim - 2)) if weight.numel() != 1 else ()
        w = reshape(weight, *shape)
        positive = x.detach() > 0
        gx = where(positive, g, g * w) if self.needs[0] else None
        gw = None
        if self.needs[1]:
            terms = where(positive, 0.0, g * x)
            gw = reshape(reshape(terms, *self.triple).sum((0, 2)), *weight.shape)
        return gx, gw


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """input where it is positive, else weight * input, as torch.nn.functional.prelu.

    Shapes: input (n, c, ...), weight (c,) or of one element -> (n, c, ...).   Raises TypeError for
    no tensors, RuntimeError for integers and another size of weight.
    """
    x = floats_only("prelu", input)
    _common.require_tensor("prelu", "weight", weight)
    if weight.array.dtype != x.array.dtype:
        message = (
            f"prelu: expected weight of type {x.dtype}, got {weight.dtype}; convert it with "
            f".to({x.dtype})"
        )
        raise RuntimeError(message)
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        message = (
            f"prelu: expected weight of 1 or {channels} elements, got shape {weight.shape}; one is "
            "for all channels"
        )
        raise RuntimeError(message)
    return PRelu.apply((x, weight))  # type: ignore[no-any-return]


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along ``dim`` times the sigmoid of the second, as torch.nn.functional.glu.

    Shapes: (..., 2 h, ...) -> (..., h, ...).   Raises TypeError for no tensor, RuntimeError for
    integers and an odd size, IndexError for a bad dim.
    """
    x = floats_only("glu", input)
    d = _common.one_dim("glu", dim, x.ndim)
    if x.ndim == 0 or x.shape[d] % 2:
        message = (
            f"glu: expected an even size along dim {dim}, got shape {x.shape}; it is split in "
            "halves: make the layer before twice as wide"
        )
        raise RuntimeError(message)
    return Glu.apply((x,), d)  # type: ignore[no-any-return]


def maxout(input: Tensor, pieces: int, dim: int = -1) -> Tensor:
    """The largest of every ``pieces`` neighbours along ``dim``; its gradient goes to the first.

    Shapes: (..., pieces h, ...) -> (..., h, ...).   Raises TypeError for no tensor, RuntimeError
    for integers and a size that ``pieces`` does not divide, IndexError for a bad dim.
    """
    x = floats_only("maxout", input)
    d = _common.one_dim("maxout", dim, x.ndim)
    if x.ndim == 0 or pieces < 1 or x.shape[d] % pieces:
        message = (
            f"maxout: expected a multiple of {pieces} along dim {dim}, got shape {x.shape}; change "
            "pieces or the layer before"
        )
        raise RuntimeError(message)
    split = (*x.shape[:d], x.shape[d] // pieces, pieces, *x.shape[d + 1 :])
    return _max(reshape(x, *split), d + 1).values  # type: ignore[no-any-return]


def softmin(input: Tensor, dim: Any = None, *, dtype: Any = None) -> Tensor:
    """softmax(-input) along ``dim``, as torch.nn.functional.softmin.

    Shapes: (...) -> (...).   Raises as `softmax`.
    """
    _common.require_tensor("softmin", "input", input)
    x = floats_only("softmin", input if dtype is None else to(input, dtype))
    if dim is None:
        message = (
            "softmin: expected dim, the dimension along which the outputs sum to one, got None; "
            "-1 is the last one"
        )
        raise TypeError(message)
    return softmax(-x, _common.one_dim("softmin", dim, x.ndim))


def _plain_glu(x: Any, dim: int = -1) -> Any:
    a, b = array_module(x).split(x, 2, axis=dim)
    return a / (1 + math.e**-b)


def _plain_prelu(x: Any, w: Any) -> Any:
    w = w.reshape(w.size, *[1] * (x.ndim - 2)) if w.size != 1 else w.reshape(())
    return array_module(x).maximum(x, 0) + w * array_module(x).minimum(x, 0)


def _plain_softmin(x: Any, d: int) -> Any:
    e = math.e**-x
    return e / e.sum(d, keepdims=True)


CASES = [
    *(
        OpCase(glu, "glu", [s, *d], ref=_plain_glu)
        for s, d in (((3, 6), []), ((4, 2, 5), [1]), ((4,), [0]), ((0, 4), [1]), ((7, 3, 66), []))
    ),
    *(
        OpCase(prelu, "prelu", list(s), ref=_plain_prelu, kink=0.0)
        for s in (
            ((3, 5), (1,)),
            ((3, 5), (5,)),
            ((2, 3, 4, 5), (3,)),
            ((), (1,)),
            ((6,), (1,)),
            ((0, 4), (4,)),
            ((6, 0), (0,)),
            ((6, 0, 3), (1,)),
            ((2, 3, 0), (3,)),
            ((2, 3, 133), (3,)),
        )
    ),
    *(
        OpCase(softmin, "softmin", [s, d], ref=_plain_softmin, low=-4.0, high=4.0)
        for s, d in (((3, 5), 1), ((4, 3, 5), 0), ((0, 4), 1))
    ),
    *(
        OpCase(
            maxout,
            "maxout",
            [s, 3],
            {"dim": d},
            lambda x, pieces, dim: x.reshape(*x.shape[:dim], -1, pieces, *x.shape[dim + 1 :]).max(
                dim + 1
            ),
        )
        for s, d in (((3, 6), 1), ((6,), 0), ((2, 9, 4), 1))
    ),
]
ERRORS = [
    ErrorCase(glu, "glu", [(3, 5)], RuntimeError, "even size"),
    ErrorCase(glu, "glu", [(3, 4), 2], IndexError, "expected dim in [-2, 1]"),
    ErrorCase(glu, "glu", [[1.0, 2.0]], TypeError, "expected input as a Tensor"),
    ErrorCase(prelu, "prelu", [(3, 5), (4,)], RuntimeError, "1 or 5 elements"),
    ErrorCase(prelu, "prelu", [(6, 0), (3,)], RuntimeError, "1 or 0 elements"),
    ErrorCase(prelu, "prelu", [(6,), (0,)], RuntimeError, "1 or 1 elements"),
    ErrorCase(prelu, "prelu", [(3, 5), 0.25], TypeError, "expected weight as a Tensor"),
    ErrorCase(prelu, "prelu", [("int", (3,), 0, 9), (1,)], RuntimeError, "floating-point"),
    ErrorCase(softmin, "softmin", [(3, 5)], TypeError, "expected dim"),
    ErrorCase(softmin, "softmin", [(3, 5), 2], IndexError, "expected dim in [-2, 1]"),
    ErrorCase(softmin, "softmin", [1.0, 0], TypeError, "expected input as a Tensor"),
    ErrorCase(maxout, "maxout", [(3, 5), 2], RuntimeError, "multiple of 2"),
    ErrorCase(maxout, "maxout", [(3, 5), 0], RuntimeError, "multiple of 0"),
    ErrorCase(maxout, "maxout", [1.0, 2], TypeError, "expected input as a Tensor"),
]

# SPDX-License-Identifier: BSD-3-Clause
"""The larger and the smaller of two, and numbers held between bounds.

    maximum, minimum      clamp: min(max(x, low), high)

Shapes:   x (...), y (...) -> their common broadcast shape.
Backward: maximum, minimum: to the one that was taken, half to each of equals, all to both if either
          is NaN;  clamp: to x where low <= x <= high, else to the bound that was taken, if it is a
          tensor.
NaN in either operand makes the result NaN.
"""

from __future__ import annotations

from typing import Any, ClassVar

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._binary_op import Binary, binary, sum_to_graph
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.copy import to
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def maximum(x: Any, y: Any, out: Any) -> None:
    """out = the larger of x and y, NaN if either is."""
    array_module(out).maximum(x, y, out=out)


@reference
def minimum(x: Any, y: Any, out: Any) -> None:
    """out = the smaller of x and y, NaN if either is."""
    array_module(out).minimum(x, y, out=out)


class Larger(Binary):
    """The larger of two."""

    name = kernel = "maximum"
    saves = (3, 3)
    wins: ClassVar[str] = "gt"  # the comparison by which x is taken

    def test(self, kernel: str, x: Any, y: Any, shape: tuple[int, ...]) -> Any:
        """A comparison kernel on operands broadcast to a shape."""
        table = self.kernels
        out = table.empty(shape, _dtypes.bool_.numpy)
        wide = [_common.broadcast_array(table, a, shape) for a in (x, y)]
        getattr(table, kernel)(*wide, out)
        return out

    def choose(self, condition: Any, a: Any, b: Any) -> Any:
        """condition ? a : b."""
        table = self.kernels
        out = table.empty(condition.shape, a.dtype)
        wide = [_common.broadcast_array(table, v, condition.shape) for v in (a, b)]
        table.where_forward(condition, *wide, out)
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, y = self.saved  # type: ignore[misc]
        table = self.kernels
        dtype = _dtypes.from_numpy(g.dtype)
        zero, half = (_common.scalar_array(table, v, dtype) for v in (0, 0.5))
        halves = table.empty(g.shape, g.dtype)
        table.mul(g, _common.broadcast_array(table, half, g.shape), halves)
        share = self.choose(self.test("eq", x, y, g.shape), halves, g)
        # NaN is larger and smaller than nothing, so it never loses.
        lost = {"gt": ("lt", "gt"), "lt": ("gt", "lt")}[self.wins]
        pair = (
            self.choose(self.test(test, x, y, g.shape), zero, share) if need else None
            for test, need in zip(lost, self.needs, strict=True)
        )
        return self.shrink(*pair)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, y = (t.detach() for t in self.saved_tensors())
        share = where(x == y, g * 0.5, g)
        first, second = (x < y, x > y) if self.wins == "gt" else (x > y, x < y)
        return self.shrink_graph(where(first, 0.0, share), where(second, 0.0, share))


class Smaller(Larger):
    """The smaller of two."""

    name = kernel = "minimum"
    wins = "lt"


class Clamp(Op):
    """min(max(x, low), high); bounds may be absent."""

    def forward(self, x: Any, low: Any, high: Any) -> Any:
        table = self.kernels
        shape = x.shape
        for bound in (low, high):
            if bound is not None:
                shape = _common.broadcast_shape("clamp", shape, bound.shape)
        out = _common.broadcast_array(table, x, shape)
        for bound, kernel in ((low, "maximum"), (high, "minimum")):
            if bound is not None:
                held = table.empty(shape, x.dtype)
                getattr(table, kernel)(out, _common.broadcast_array(table, bound, shape), held)
                out = held
        self.save(x, low, high)
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        # Bounds are compared once for all orders of derivatives: the graph's formula, on constants.
        given = [None if a is None else Tensor._wrap(a) for a in self.saved or ()]
        parts = self.parts(given, Tensor._wrap(g))
        return tuple(None if t is None else t.array for t in parts)

    def parts(self, given: list[Any], g: Tensor) -> list[Any]:
        """The gradients of x and of both bounds, ``given`` as constants."""
        x, low, high = given
        inside: Any = None
        below: Any = None
        above: Any = None
        if low is not None:
            inside, below = x >= low, x < low
        if high is not None:
            within = x <= high
            inside = within if inside is None else inside & within
            above = x > high
            if low is not None:
                above, below = above | (low > high), below & (low < high)
        grads: list[Any] = []
        for t, here, need in zip((x, low, high), (inside, below, above), self.needs, strict=True):
            wanted = need and t is not None
            grads.append(sum_to_graph(where(here, g, 0.0), t.shape) if wanted else None)
        return grads

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        given = [None if t.array is None else t.detach() for t in self.saved_tensors()]
        return tuple(self.parts(given, g))


def maximum_tensors(input: Tensor, other: Tensor) -> Tensor:
    """The larger of both, elementwise, as torch.maximum; NaN if either is.

    Shapes: their broadcast shape, in their promoted type. Of equals each gets half the gradient,
    where one is NaN both get all of it.
    Raises TypeError for no tensors, RuntimeError for shapes that do not broadcast.
    """
    return _pair(Larger, input, other)


def minimum_tensors(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of both, elementwise, as torch.minimum; NaN if either is.

    Shapes: their broadcast shape, in their promoted type. Of equals each gets half the gradient,
    where one is NaN both get all of it.
    Raises TypeError for no tensors, RuntimeError for shapes that do not broadcast.
    """
    return _pair(Smaller, input, other)


def _pair(op: type[Binary], input: Tensor, other: Tensor) -> Tensor:
    _common.require_tensor(op.name, "input", input)
    _common.require_tensor(op.name, "other", other)
    return binary(op, input, other)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """input held between min and max (numbers, tensors or None), as torch.clamp.

    min(max(input, min), max): where min > max the result is max. Shapes: their broadcast shape, in
    their promoted type.   Raises TypeError for no tensor, RuntimeError without any bound.
    """
    return _clamped("clamp", input, min, max)


def clamp_min(input: Tensor, min: Any) -> Tensor:
    """input, but at least min, as torch.clamp_min; the rest as `clamp`."""
    return _clamped("clamp_min", input, min, None)


def clamp_max(input: Tensor, max: Any) -> Tensor:
    """input, but at most max, as torch.clamp_max; the rest as `clamp`."""
    return _clamped("clamp_max", input, None, max)


def clip(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Another name of `clamp`, as torch.clip."""
    return _clamped("clip", input, min, max)


def _clamped(name: str, input: Tensor, low: Any, high: Any) -> Tensor:
    _common.require_tensor(name, "input", input)
    bounds = [None if b is None else _common.as_operand(name, b) for b in (low, high)]
    if bounds == [None, None]:
        message = f"{name}: expected min, max or both, got neither; pass at least one bound"
        raise RuntimeError(message)
    present = [b for b in bounds if b is not None]
    dtype = _common.result_type(input, *present)
    table = _common.table_of(input, *present, op=name)
    made = [
        b
        if b is None
        else to(b, dtype)
        if isinstance(b, Tensor)
        else Tensor._wrap(_common.scalar_array(table, b, dtype, op=name))
        for b in bounds
    ]
    return Clamp.apply((to(input, dtype), *made))  # type: ignore[no-any-return]


_common.named(maximum=maximum_tensors, minimum=minimum_tensors)
clamp_: InPlace[...] = in_place(clamp)
clamp_min_: InPlace[...] = in_place(clamp_min)
clamp_max_: InPlace[...] = in_place(clamp_max)
clip_: InPlace[...] = in_place(clip)


def _plain(x: Any, min: Any = None, max: Any = None) -> Any:
    return x.clip(min, max)


_SHAPES = [((3, 5), (3, 5)), ((3, 5), (5,)), ((4, 1, 3), (2, 1)), ((), (2, 3)), ((0, 4), (4,))]
CASES = [
    *(
        OpCase(f, f.__name__, list(s), ref=ref)
        for f, ref in (
            (maximum_tensors, lambda x, y: x * (x > y) + y * (x <= y)),
            (minimum_tensors, lambda x, y: x * (x < y) + y * (x >= y)),
        )
        for s in (*_SHAPES, ((7, 1, 33), (7, 9, 33)))
    ),
    OpCase(
        maximum_tensors,
        "maximum",
        [("int", (4, 9), -9, 9), ("int", (9,), -9, 9)],
        ref=lambda x, y: x * (x > y) + y * (x <= y),
        grad=False,
    ),
    *(
        OpCase(clamp, "clamp", [s], {"min": -0.5, "max": 0.75}, _plain)
        for s in ((3, 5), (), (0, 4), (7, 133))
    ),
    *(OpCase(clamp, "clamp", [(3, 5)], k, _plain) for k in ({"min": 0.1}, {"max": 0.1})),
    OpCase(clamp, "clamp", [(3, 5), (5,), (3, 1)], ref=lambda x, a, b: x.clip(a, b)),
    OpCase(clamp, "clamp", [("int", (4, 9), -9, 9), -2, 3], ref=_plain, grad=False),
    OpCase(clip, "clip", [(3, 5), -1.0, 1.0], ref=_plain),
    OpCase(clamp_min, "clamp_min", [(3, 5), 0.3], ref=lambda x, a: x.clip(a, None)),
    OpCase(clamp_max, "clamp_max", [(3, 5), 0.3], ref=lambda x, b: x.clip(None, b)),
]
ERRORS = [
    *(
        case
        for f in (maximum_tensors, minimum_tensors)
        for case in (
            ErrorCase(f, f.__name__, [(3,), (4,)], RuntimeError, "shapes that broadcast"),
            ErrorCase(f, f.__name__, [(3,), 1.0], TypeError, "expected other as a Tensor"),
            ErrorCase(f, f.__name__, [1.0, (3,)], TypeError, "expected input as a Tensor"),
        )
    ),
    *(
        case
        for f in (clamp, clip, clamp_min, clamp_max)
        for case in (
            ErrorCase(f, f.__name__, [(3,), "a"], TypeError, "a tensor or a number"),
            ErrorCase(f, f.__name__, [1.0, 0.0], TypeError, "expected input as a Tensor"),
            ErrorCase(f, f.__name__, [(3,), None], RuntimeError, "min, max or both"),
        )
    ),
]

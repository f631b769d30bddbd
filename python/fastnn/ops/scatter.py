# SPDX-License-Identifier: BSD-3-Clause
"""Elements written to, or added at, places along a dimension: one number per element.

    scatter:     y = x,  y[..., index[..., k, ...], ...] = src[..., k, ...]
    scatter_add: y = x,  y[..., index[..., k, ...], ...] += src[..., k, ...]

Shapes:   index and src have the dimensions of x; the sizes of index are at most those of src and,
          but for ``dim``, of x.
Backward: scatter: dx = g with zeros at the places, dsrc = g at them (also where another element
          came to stay);  scatter_add: dx = g, dsrc = g at the places.
Saved:    index.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._common import named
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.gather import Gather, Numbered, check_places, prepared, run
from fastnn.ops.index import Scatter as Place
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def scatter(y: Any, index: Any, x: Any) -> None:
    """x[o, index[o, k, i], i] = y[o, k, i], in the order of k."""
    check_places("scatter", index, x.shape[1])
    xp = array_module(x)
    for k in range(index.shape[1] if y.size else 0):
        xp.put_along_axis(x, index[:, k : k + 1], y[:, k : k + 1], axis=1)


@reference
def scatter_add(y: Any, index: Any, x: Any) -> None:
    """x[o, index[o, k, i], i] += y[o, k, i], in the order of k."""
    check_places("scatter_add", index, x.shape[1])
    xp = array_module(x)
    for k in range(index.shape[1] if y.size else 0):
        at = index[:, k : k + 1]
        sums = xp.take_along_axis(x, at, axis=1) + y[:, k : k + 1]
        xp.put_along_axis(x, at, sums, axis=1)


class Scatter(Numbered):
    """A copy of x with src at places along a dimension."""

    def forward(self, x: Any, index: Any, src: Any, dim: int) -> Any:
        self.dim, self.shape = dim, src.shape
        self.save(index)
        return self.scattered("scatter", self.copied(x), index, src)

    def backward(self, g: Any) -> tuple[Any, ...]:
        (index,) = self.saved  # type: ignore[misc]
        gx = gs = None
        if self.needs[0]:
            zeros = self.filled(index.shape, g.dtype)
            gx = self.scattered("scatter", self.copied(g), index, zeros)
        if self.needs[2]:
            gs = self.source_gradient(g, index)
        return gx, None, gs

    def source_gradient(self, g: Any, index: Any) -> Any:
        """g at the places, zero for elements of src that were not used."""
        used = self.gathered(g, index)
        if used.shape == self.shape:
            return used
        out = self.filled(self.shape, g.dtype)
        self.kernels.copy(used, out[tuple([slice(n) for n in used.shape])])
        return out

    def source_graph(self, g: Tensor, index: Tensor) -> Tensor | None:
        """The same on tensors."""
        if not self.needs[2]:
            return None
        used = Gather.apply((g, index), self.dim)
        if used.shape == self.shape:
            return used  # type: ignore[no-any-return]
        return Place.apply((used,), self.shape, tuple([slice(n) for n in used.shape]))  # type: ignore[no-any-return]

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (index,) = self.saved_tensors()
        gx = None
        if self.needs[0]:
            zeros = Tensor._wrap(self.filled(index.shape, g.array.dtype))
            gx = Scatter.apply((g, index, zeros), self.dim)
        return gx, None, self.source_graph(g, index)


class ScatterAdd(Scatter):
    """A copy of x with src added at places along a dimension."""

    name = "scatter_add"

    def forward(self, x: Any, index: Any, src: Any, dim: int) -> Any:
        self.dim, self.shape = dim, src.shape
        self.save(index)
        return self.scattered("scatter_add", self.copied(x), index, src)

    def backward(self, g: Any) -> tuple[Any, ...]:
        (index,) = self.saved  # type: ignore[misc]
        gs = self.source_gradient(g, index) if self.needs[2] else None
        return g if self.needs[0] else None, None, gs

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (index,) = self.saved_tensors()
        return g if self.needs[0] else None, None, self.source_graph(g, index)


@numpy_names
def scatter_elements(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Tensor:
    """A copy of ``input`` with ``src`` (a tensor or a number, which ``value`` may be, too) at
    places along ``dim``.

    As torch.scatter. index (...) of integers in [0, n), n the size of dim; its sizes are at most
    those of src and, in the other dimensions, of input. Where a place is named more than once the
    last element in order stays; with ``reduce`` 'add' or 'multiply' the elements are added to, or
    multiplied with, what is there (`scatter_reduce` has more).
    Raises RuntimeError for a number out of range and where shapes do not go together,
    TypeError unless either src or value is given.
    """
    if (src is None) == (value is None):
        given = "none" if src is None else "both"
        message = f"scatter: expected src or value, got {given}; value is for a number"
        raise TypeError(message)
    src = value if src is None else src
    if reduce is not None:
        from fastnn.ops.scatter_reduce import ScatterProd  # noqa: PLC0415  (lies above)

        known: dict[Any, type[Op]] = {"add": ScatterAdd, "multiply": ScatterProd}
        if not isinstance(reduce, str) or reduce not in known:
            message = f"scatter: expected reduce None, 'add' or 'multiply', got {reduce!r}; drop it"
            raise RuntimeError(message)
        return _scattered("scatter", known[reduce], input, dim, index, src)
    return _scattered("scatter", Scatter, input, dim, index, src)


@numpy_names
def scatter_add_elements(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy of ``input`` with ``src`` added at places along ``dim``, as torch.scatter_add.

    Shapes and errors as `scatter`. Additions come in order: the same bits on any number of threads.
    """
    _common.require_tensor("scatter_add", "src", src)
    return _scattered("scatter_add", ScatterAdd, input, dim, index, src)


def _scattered(name: str, op: type[Op], input: Any, dim: Any, index: Any, src: Any) -> Tensor:
    if not isinstance(src, Tensor):
        _common.require_tensor(name, "input", input)
        _common.require_tensor(name, "index", index)
        src = _common.as_operand(name, src)
    if not isinstance(src, Tensor):
        table = _common.table_of(input)
        cell = _common.scalar_array(table, src, input.dtype, op=name)
        src = Tensor._wrap(_common.broadcast_array(table, cell, index.shape))
    d, numbers = prepared(name, input, dim, index, src)
    return run(name, op, (input, numbers, src), d)


named(scatter=scatter_elements, scatter_add=scatter_add_elements)
scatter_: InPlace[...] = in_place(scatter_elements)
scatter_add_: InPlace[...] = in_place(scatter_add_elements)


def _plain(add: bool) -> Any:
    def formula(x: Any, d: int, i: Any, src: Any, **_: Any) -> Any:
        out, xp = x.copy(), array_module(x)
        for place in xp.ndindex(*i.shape):
            at = list(place)
            at[d] = int(i[place])
            value = src[place] if hasattr(src, "shape") else src
            out[tuple(at)] = out[tuple(at)] + value if add else value
        return out

    return formula


_PLACES: tuple[tuple[tuple[int, ...], int, Any, Any], ...] = (
    ((4, 3), 0, ("cells", [[2, 1, 0], [0, 3, 3]]), (2, 3)),
    ((4, 3), 1, ("cells", [[2, 1], [0, 2]]), (2, 2)),
    ((2, 5, 3), 1, ("cells", [[[0, 1, 2], [4, 4, 4]]]), (1, 2, 3)),
    ((3, 4), 1, ("int", (3, 0), 0, 4), (3, 0)),
)
# Places named twice, and elements of src that are not used: where torch's gradients are not the
# derivatives, or missing.
_TWICE: tuple[tuple[tuple[int, ...], int, Any, Any], ...] = (
    ((2, 5, 3), 1, ("int", (2, 7, 3), 0, 5), (2, 7, 3)),
    ((9,), 0, ("int", (20,), 0, 9), (20,)),
    ((4, 3), 1, ("cells", [[2, 1], [0, 0]]), (3, 5)),
)
CASES = [
    *(
        OpCase(f, name, [shape, d, index, src], ref=_plain(f is scatter_add_elements))
        for f, name in ((scatter_elements, "scatter"), (scatter_add_elements, "scatter_add"))
        for shape, d, index, src in _PLACES
    ),
    *(
        OpCase(f, name, [shape, d, index, src], ref=_plain(f is scatter_add_elements), grad=False)
        for f, name in ((scatter_elements, "scatter"), (scatter_add_elements, "scatter_add"))
        for shape, d, index, src in _TWICE
    ),
    *(
        OpCase(scatter_add_elements, "scatter_add", [shape, d, index, src], ref=_plain(True))
        for shape, d, index, src in _TWICE[:2]
    ),
    OpCase(scatter_elements, "scatter", [(4, 3), 1, ("cells", [[2], [0]]), 1.5], ref=_plain(False)),
    OpCase(
        scatter_elements,
        "scatter",
        [(2, 3), 1, ("cells", [[2], [0]])],
        {"value": 2.0},
        lambda x, d, i, *, value: _plain(False)(x, d, i, value),
    ),
    OpCase(
        scatter_elements,
        "scatter multiply",
        [(3,), 0, ("cells", [2, 2]), (2,)],
        {"reduce": "multiply"},
        lambda x, _d, _i, src, **_: array_module(x).append(x[:2], x[2] * src.prod()),
    ),
]
_BAD: list[tuple[list[Any], type[Exception], str]] = [
    ([(4,), 0, (4,), (4,)], RuntimeError, "a tensor of integers"),
    ([(4,), 0, ("cells", [4]), (1,)], RuntimeError, "indices in [0, 3], got 4"),
    ([(4, 3), 0, ("cells", [[0, 1]]), (1, 1)], RuntimeError, "up to those of src"),
    ([(4,), 0, ("cells", [0]), ("int", (1,), 0, 5)], RuntimeError, "src in the type of input"),
    ([(4,), 1, ("cells", [0]), (1,)], IndexError, "expected dim in"),
    ([(4,), 0, [0], (1,)], TypeError, "expected index as a Tensor"),
]
ERRORS = [
    ErrorCase(scatter_elements, "scatter", [(4,), 0, ("cells", [0])], TypeError, "got none"),
    ErrorCase(
        scatter_elements,
        "scatter",
        [(4,), 0, ("cells", [0]), 1.0],
        TypeError,
        "src or value, got both",
        {"value": 1.0},
    ),
    *(
        ErrorCase(f, name, arguments, error, text)
        for f, name in ((scatter_elements, "scatter"), (scatter_add_elements, "scatter_add"))
        for arguments, error, text in _BAD
    ),
    ErrorCase(
        scatter_elements,
        "scatter",
        [(4,), 0, ("cells", [0, 0]), (2,)],
        RuntimeError,
        "reduce None, 'add' or 'multiply'",
        {"reduce": "mean"},
    ),
]

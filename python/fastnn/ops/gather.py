# SPDX-License-Identifier: BSD-3-Clause
"""Elements along a dimension by their numbers, one number per element.

    y[..., k, ...] = x[..., index[..., k, ...], ...]

Shapes:   index has the dimensions of x and, but for ``dim``, sizes up to those of x; y those of
          index.
Backward: dy added up at its places, in order.
Saved:    index.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._common import named
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.copy import to
from fastnn.ops.view import expand
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def check_places(kernel: str, index: Any, n: int) -> None:
    """The kernels' own check: nothing is written if an index is out of range."""
    if index.size and (int(index.min()) < 0 or int(index.max()) >= n):
        message = f"{kernel}: an index is out of range"
        raise IndexError(message)


@reference
def gather(x: Any, index: Any, y: Any) -> None:
    """y[o, k, i] = x[o, index[o, k, i], i]."""
    check_places("gather", index, x.shape[1])
    if y.size:
        y[...] = array_module(x).take_along_axis(x, index, axis=1)


class Numbered(Op):
    """What the three operations share: arrays as (o, n, i), parts of arrays."""

    dim: int

    def three(self, x: Any) -> Any:
        """A contiguous array as (outer, n, inner) around the dimension."""
        outer = inner = 1
        for n in x.shape[: self.dim]:
            outer *= n
        for n in x.shape[self.dim + 1 :]:
            inner *= n
        return _common.reshaped(self.kernels, x, (outer, x.shape[self.dim], inner))

    def part(self, x: Any, like: Any) -> Any:
        """The beginning of x in every dimension but this one, as long as ``like``."""
        cut = tuple([slice(n) for n in like.shape])
        return x[(*cut[: self.dim], slice(None), *cut[self.dim + 1 :])]

    def gathered(self, x: Any, index: Any) -> Any:
        """x at the places."""
        table = self.kernels
        y = table.empty(index.shape, x.dtype)
        table.gather(self.three(self.part(x, index)), self.three(index), self.three(y))
        return y

    def scattered(self, kernel: str, out: Any, index: Any, src: Any) -> Any:
        """src put into (or added to) a contiguous array at the places."""
        table = self.kernels
        place = self.part(out, index)
        whole = _common.contiguous_array(table, place)
        src = src[tuple([slice(n) for n in index.shape])]
        getattr(table, kernel)(self.three(src), self.three(index), self.three(whole))
        if place.shape != out.shape:
            table.copy(whole, place)
        return out

    def filled(self, shape: Any, dtype: Any) -> Any:
        """Zeros."""
        table = self.kernels
        out = table.empty(shape, dtype)
        table.fill(table.xp.zeros(1, dtype), out)
        return out

    def copied(self, x: Any) -> Any:
        """A contiguous copy."""
        out = self.kernels.empty(x.shape, x.dtype)
        self.kernels.copy(x, out)
        return out


class Gather(Numbered):
    """x at places along a dimension."""

    def forward(self, x: Any, index: Any, dim: int) -> Any:
        self.dim, self.shape = dim, x.shape
        self.save(index)
        return self.gathered(x, index)

    def backward(self, g: Any) -> tuple[Any, ...]:
        (index,) = self.saved  # type: ignore[misc]
        out = self.filled(self.shape, g.dtype)
        return self.scattered("scatter_add", out, index, g), None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (index,) = self.saved_tensors()
        zeros = Tensor._wrap(self.filled(self.shape, g.array.dtype))
        from fastnn.ops.scatter import ScatterAdd  # noqa: PLC0415

        return ScatterAdd.apply((zeros, index, g), self.dim), None


def prepared(name: str, input: Any, dim: Any, index: Any, src: Any = None) -> tuple[int, Tensor]:
    """The dimension, and the numbers as int64; raises where shapes or types do not go together."""
    _common.require_tensor(name, "input", input)
    _common.require_tensor(name, "index", index)
    d = _common.one_dim(name, dim, input.ndim)
    if index.array.dtype.kind not in "iu":
        message = (
            f"{name}: expected index as a tensor of integers, got {index.dtype}; convert it with "
            ".long()"
        )
        raise RuntimeError(message)
    if src is not None and src.array.dtype != input.array.dtype:
        message = (
            f"{name}: expected src in the type of input, {input.dtype}, got {src.dtype}; convert "
            f"it with .to({input.dtype})"
        )
        raise RuntimeError(message)
    # A tensor without dimensions counts as one of size 1.
    shape, wanted = input.shape or (1,), index.shape or (1,)
    given = wanted if src is None else src.shape or (1,)
    fits = len(shape) == len(wanted) == len(given)
    for i, n in enumerate(wanted if fits else ()):
        fits = fits and (i == d or n <= shape[i]) and n <= given[i]
    if index.array.size and not fits:
        beside = "" if src is None else f", src {src.shape}"
        message = (
            f"{name}: expected index with as many dimensions as input, its sizes up to those of "
            f"input but for dim {d} (and up to those of src), got input {input.shape}, index "
            f"{index.shape}{beside}; unsqueeze() and expand() the index, or slice it"
        )
        raise RuntimeError(message)
    _common.table_of(input, index, op=name)
    return d, to(index, _dtypes.int64)


def run(name: str, op: type[Op], tensors: tuple[Any, ...], d: int) -> Tensor:
    """Applies an operation; 0-d tensors go through it as if they had a dimension."""
    shape = tensors[1 if op is Gather else 0].shape
    scalar = any(t.ndim == 0 for t in tensors)
    if scalar:
        tensors = tuple([t if t.ndim else t.reshape(1) for t in tensors])
    try:
        out = op.apply(tensors, d)
    except IndexError:
        n = tensors[0].shape[d]
        bad = next(i for i in tensors[1].reshape(-1).tolist() if not 0 <= i < n)
        problem = _common.index_error(name, bad, n, False)
        # torch's types: those that take a row of places raise IndexError.
        rows = name.startswith("index_")
        raise (problem if rows else RuntimeError(str(problem))) from None
    return out.reshape(shape) if scalar else out  # type: ignore[no-any-return]


@numpy_names
def gather_elements(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Elements of ``input`` along ``dim`` by their numbers, as torch.gather.

    index (...) of integers in [0, n), n the size of dim; its sizes in the other dimensions are at
    most those of input -> a tensor of its shape.
    Raises RuntimeError for a number out of range and where shapes do not go together.
    """
    d, numbers = prepared("gather", input, dim, index)
    if index.array.size == 0:  # of any shape
        return input.reshape(-1)[:0].reshape(index.shape)
    return run("gather", Gather, (input, numbers), d)


named(gather=gather_elements)


@numpy_names
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with broadcasting and negative numbers, as torch.take_along_dim.

    input and indices broadcast in every dimension but ``dim``; without it both are flattened.
    Raises as `gather`.
    """
    _common.require_tensor("take_along_dim", "input", input)
    _common.require_tensor("take_along_dim", "indices", indices)
    if dim is None:
        input, indices, dim = input.reshape(-1), indices.reshape(-1), 0
    if input.ndim != indices.ndim or indices.array.dtype.kind not in "iu":
        message = (
            f"take_along_dim: expected indices of integers with {input.ndim} dimensions, as input "
            f"has, got {indices.dtype} {indices.shape}; unsqueeze() adds dimensions, .long() "
            "converts"
        )
        raise RuntimeError(message)
    d = _common.one_dim("take_along_dim", dim, input.ndim)
    lead, n, rest = input.shape[:d], input.shape[d], input.shape[d + 1 :]
    shape = _common.broadcast_shape(
        "take_along_dim", (*lead, 1, *rest), (*indices.shape[:d], 1, *indices.shape[d + 1 :])
    )
    numbers = to(indices, _dtypes.int64)
    numbers = where(numbers < 0, numbers + n, numbers)
    return gather_elements(
        expand(input, *shape[:d], n, *shape[d + 1 :]),
        d,
        expand(numbers, *shape[:d], indices.shape[d], *shape[d + 1 :]),
    )


def _plain(x: Any, d: int, i: Any) -> Any:
    cut = tuple(slice(None) if k == d % x.ndim else slice(n) for k, n in enumerate(i.shape))
    return array_module(x).take_along_axis(x[cut], i, d)


CASES = [
    OpCase(gather_elements, "gather", [(4, 3), 0, ("cells", [[2, 1, 0], [2, 3, 3]])], ref=_plain),
    OpCase(gather_elements, "gather", [(4, 3), -1, ("cells", [[2, 2], [0, 1]])], ref=_plain),
    OpCase(gather_elements, "gather", [(2, 5, 3), 1, ("int", (2, 7, 3), 0, 5)], ref=_plain),
    OpCase(gather_elements, "gather", [(9,), 0, ("int", (20,), 0, 9)], ref=_plain),
    OpCase(gather_elements, "gather", [(3, 4), 1, ("int", (3, 0), 0, 4)], ref=_plain),
    OpCase(gather_elements, "gather", [(), 0, ("cells", 0)], ref=lambda x, *_: x),
    OpCase(
        take_along_dim,
        "take_along_dim",
        [(4, 3), ("cells", [[2, 1], [-1, 0], [0, 0], [1, -3]]), 1],
        ref=lambda x, i, d: array_module(x).take_along_axis(x, i, d),
    ),
    OpCase(
        take_along_dim,
        "take_along_dim",
        [(2, 1, 3), ("int", (1, 5, 3), 0, 2), 0],
        ref=lambda x, i, _: array_module(x).take_along_axis(x.repeat(5, 1), i, 0),
    ),
    OpCase(
        take_along_dim, "take_along_dim", [(2, 3), ("cells", [5, 0])], ref=lambda x, i: x.flat[i]
    ),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (gather_elements, "gather", [(4,), 0, (4,)], RuntimeError, "a tensor of integers"),
    (
        gather_elements,
        "gather",
        [(4,), 0, ("cells", [4])],
        RuntimeError,
        "indices in [0, 3], got 4",
    ),
    (gather_elements, "gather", [(4,), 0, ("cells", [-1])], RuntimeError, "got -1"),
    (gather_elements, "gather", [(4, 3), 0, ("cells", [0])], RuntimeError, "as many dimensions"),
    (gather_elements, "gather", [(4,), 1, ("cells", [0])], IndexError, "expected dim in"),
    (gather_elements, "gather", [(4,), 0, [0]], TypeError, "expected index as a Tensor"),
    (take_along_dim, "take_along_dim", [(4, 3), (4,), 0], RuntimeError, "indices of integers"),
    (take_along_dim, "take_along_dim", [[1.0], (4,), 0], TypeError, "expected input as a Tensor"),
    (
        take_along_dim,
        "take_along_dim",
        [(4, 3), ("int", (2, 1), 0, 2), 1],
        RuntimeError,
        "expected shapes that broadcast",
    ),
]
ERRORS = [ErrorCase(*e) for e in _BAD]

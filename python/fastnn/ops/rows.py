# SPDX-License-Identifier: BSD-3-Clause
"""Rows of a dimension by their numbers: index_select, and what ``t[tensor]`` is made of.

Shapes:   x (..., n, ...), index (m) -> (..., m, ...).
Backward: the rows of the gradient added up at their indices, in order.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.copy import to
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _checked(kernel: str, index: Any, n: int, negative: bool) -> None:
    """The kernels' own check: nothing is written if an index is out of range."""
    least = -n if negative else 0
    if index.size and (int(index.min()) < least or int(index.max()) >= n):
        message = f"{kernel}: an index is out of range"
        raise IndexError(message)


@reference
def take_rows(x: Any, index: Any, y: Any, negative: bool) -> None:
    """y[o, i, :] = x[o, index[i], :]; x (outer, n, inner), index (m), y (outer, m, inner).

    Indices lie in [0, n); with ``negative`` in [-n, n), where -1 is the last row.
    """
    _checked("take_rows", index, x.shape[1], negative)
    array_module(x).copyto(y, x[:, index])


@reference
def add_rows(y: Any, index: Any, x: Any, negative: bool) -> None:
    """x = 0; x[o, index[i], :] += y[o, i, :], in the order of i."""
    _checked("add_rows", index, x.shape[1], negative)
    x[...] = 0
    for i in range(index.size):
        x[:, int(index[i])] += y[:, i]


class IndexSelect(Op):
    """Rows along one dimension, by their numbers."""

    def forward(self, x: Any, index: Any, dim: int, negative: bool) -> Any:
        self.dim, self.shape, self.negative = dim, x.shape, negative
        index = _common.contiguous_array(self.kernels, index)
        if self.needs[0]:
            self.save(index)
        return taken(self.kernels, x, index, dim, negative)

    def backward(self, g: Any) -> tuple[Any, ...]:
        (index,) = self.saved  # type: ignore[misc]
        return added(self.kernels, g, index, self.dim, self.shape, self.negative), None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (index,) = self.saved_tensors()
        return IndexAdd.apply((g, index), self.dim, self.shape, self.negative), None


class IndexAdd(Op):
    """The transpose of `IndexSelect`."""

    def forward(self, g: Any, index: Any, dim: int, shape: Any, negative: bool) -> Any:
        self.dim, self.negative = dim, negative
        index = _common.contiguous_array(self.kernels, index)
        self.save(index)
        return added(self.kernels, g, index, dim, shape, negative)

    def backward(self, g: Any) -> tuple[Any, ...]:
        (index,) = self.saved  # type: ignore[misc]
        return taken(self.kernels, g, index, self.dim, self.negative), None

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        (index,) = self.saved_tensors()
        return IndexSelect.apply((g, index), self.dim, self.negative), None


def taken(table: Any, x: Any, index: Any, dim: int, negative: bool) -> Any:
    """The rows ``index`` of dimension ``dim`` as a new array."""
    flat = _three(table, x, dim)
    out = table.empty((flat.shape[0], index.size, flat.shape[2]), x.dtype)
    table.take_rows(flat, index, out, negative)
    return out.reshape(*x.shape[:dim], index.size, *x.shape[dim + 1 :])


def added(table: Any, g: Any, index: Any, dim: int, shape: Any, negative: bool) -> Any:
    """Rows added up at their indices in an array of zeros."""
    out = table.empty(shape, g.dtype)
    table.add_rows(_three(table, g, dim), index, _three(table, out, dim), negative)
    return out


def _three(table: Any, x: Any, dim: int) -> Any:
    """x as (outer, n, inner) around one dimension."""
    outer = inner = 1
    for n in x.shape[:dim]:
        outer *= n
    for n in x.shape[dim + 1 :]:
        inner *= n
    return _common.reshaped(table, x, (outer, x.shape[dim], inner))


@numpy_names
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The entries ``index`` of dimension ``dim``, as torch.index_select.

    Shapes:   input (..., n, ...), index (m) of integers in [0, n) -> (..., m, ...).
    Raises IndexError for an index out of range, RuntimeError for one that is no row of integers.
    """
    if isinstance(input, Tensor) and input.ndim == 0:
        taken = select_rows("index_select", input.reshape(1), dim, index, negative=False)
        if taken.shape != (1,):
            message = (
                f"index_select: expected one index for a 0-d tensor, got {index.shape}; expand() "
                "repeats it"
            )
            raise IndexError(message)
        return taken.reshape(())
    return select_rows("index_select", input, dim, index, negative=False)


@numpy_names
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """input with alpha times the entries of ``source`` added at places of ``dim``; torch.index_add.

    Shapes:   input (..., n, ...), index (m) of integers in [0, n), source (..., m, ...) -> input's.
    Additions come in the order of index: the same bits on any number of threads.
    Raises RuntimeError for an index out of range and for types and shapes that do not fit.
    """
    _common.require_tensor("index_add", "input", input)
    _common.require_tensor("index_add", "index", index)
    _common.require_tensor("index_add", "source", source)
    d = _common.one_dim("index_add", dim, input.ndim)
    if index.ndim == 0:
        index = index.reshape(1)
    if input.ndim == 0:  # as a tensor of one element
        one = source if source.ndim else source.reshape(1)
        return index_add(input.reshape(1), 0, index, one, alpha=alpha).reshape(())
    _require_row("index_add", index, 1)
    wanted = (*input.shape[:d], index.shape[0], *input.shape[d + 1 :])
    same_type = source.array.dtype == input.array.dtype
    if source.shape != wanted or not same_type:
        message = (
            f"index_add: expected source {wanted} of {input.dtype}, got {source.shape} of "
            f"{source.dtype}; reshape() it, and convert it with .to({input.dtype})"
        )
        raise RuntimeError(message)
    _common.table_of(input, index, source, op="index_add")
    numbers = to(index, _dtypes.int64)
    scaled = source if alpha == 1 else source * alpha
    try:
        sums: Tensor = IndexAdd.apply((scaled, numbers), d, input.shape, False)
    except IndexError:
        n = input.shape[d]
        raise _out_of_range(numbers, n, False, "index_add", RuntimeError) from None
    return input + sums


index_add_: InPlace[...] = in_place(index_add)


def select_rows(name: str, input: Tensor, dim: int, index: Tensor, *, negative: bool) -> Tensor:
    """Entries along a dimension; ``negative``: whether negative numbers count from the end."""
    _common.require_tensor(name, "input", input)
    _common.require_tensor(name, "index", index)
    _require_row(name, index, 0)
    d = _common.one_dim(name, dim, input.ndim)
    _common.require_dims(name, input)
    _common.table_of(input, index, op=name)
    numbers = to(index, _dtypes.int64).reshape(-1)
    try:
        return IndexSelect.apply((input, numbers), d, negative)  # type: ignore[no-any-return]
    except IndexError:
        raise _out_of_range(numbers, input.shape[d], negative, name) from None


def _out_of_range(
    numbers: Tensor, n: int, negative: bool, name: str, error: type[Exception] = IndexError
) -> Exception:
    """Names the number that the kernel refused."""
    least = -n if negative else 0
    bad = next(i for i in numbers.tolist() if not least <= i < n)
    return error(str(_common.index_error(name, bad, n, negative)))


def _require_row(name: str, index: Tensor, least: int) -> None:
    """RuntimeError unless ``index`` holds integers in one dimension, or in ``least`` of them."""
    if index.array.dtype.kind not in "iu" or not least <= index.ndim <= 1:
        message = (
            f"{name}: expected index as a 1-D tensor of integers, got {index.dtype} {index.shape}; "
            "flatten() it, and convert it with .long()"
        )
        raise RuntimeError(message)


def _plain_add(x: Any, d: int, index: Any, source: Any, alpha: float = 1) -> Any:
    out = x.swapaxes(0, d).copy()
    for k, j in enumerate(index):
        out[j] += alpha * source.swapaxes(0, d)[k]
    return out.swapaxes(0, d)


CASES = [
    OpCase(
        index_select,
        "index_select",
        [(4, 3), 1, ("cells", [2, 1, 0, 2])],
        ref=lambda x, _, i: x[:, i],
    ),
    OpCase(index_select, "index_select", [(4, 3), 0, ("cells", [])], ref=lambda x, _, i: x[i]),
    OpCase(index_add, "index_add", [(4, 3), 0, ("cells", [2, 0, 2]), (3, 3)], ref=_plain_add),
    OpCase(index_add, "index_add", [(2, 5, 3), -2, ("cells", [4]), (2, 1, 3)], ref=_plain_add),
    OpCase(index_add, "index_add", [(4,), 0, ("cells", []), (0,)], ref=_plain_add),
    OpCase(
        index_add,
        "index_add",
        [(2, 3), 1, ("cells", [0, 0]), (2, 2)],
        kwargs={"alpha": -2.5},
        ref=_plain_add,
    ),
]
ERRORS = [
    ErrorCase(
        index_select, "index_select", [(4, 3), 0, (2,)], RuntimeError, "1-D tensor of integers"
    ),
    ErrorCase(
        index_select, "index_select", [(4, 3), 2, ("cells", [0])], IndexError, "expected dim in"
    ),
    ErrorCase(
        index_select, "index_select", [(4, 3), 0, ("cells", [4])], IndexError, "indices in [0, 3]"
    ),
    ErrorCase(
        index_add, "index_add", [(4,), 0, (2,), (2,)], RuntimeError, "1-D tensor of integers"
    ),
    ErrorCase(
        index_add, "index_add", [(4,), 0, ("cells", [4]), (1,)], RuntimeError, "indices in [0, 3]"
    ),
    ErrorCase(
        index_add, "index_add", [(4, 3), 0, ("cells", [0]), (3,)], RuntimeError, "source (1, 3)"
    ),
    ErrorCase(
        index_add, "index_add", [(4,), 0, ("cells", [0]), 1.0], TypeError, "source as a Tensor"
    ),
]

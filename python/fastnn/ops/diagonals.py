# SPDX-License-Identifier: BSD-3-Clause
"""Diagonals as views, matrices made of diagonals, and what is done with both.

    diagonal: y[..., j] = x[..., j + max(-k, 0), j + max(k, 0)]  in the dimensions dim1 and dim2

Shapes:   diagonal (..., r, c) -> (..., n), n the length of the diagonal; diag_embed the reverse.
Backward: of one the other; diagonal_scatter: dinput = g with zeros on the diagonal, dsrc = g's.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops.copy import clone
from fastnn.ops.reduce import sum
from fastnn.ops.view import View
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

Where = tuple[int, int, int]  # offset, dim1, dim2


def _length(rows: int, columns: int, offset: int) -> int:
    return max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))


def _diagonal_of(x: Any, at: Where) -> Any:
    """The diagonal of an array as a view that can be written, its dimension last."""
    offset, a, b = at
    n = _length(x.shape[a], x.shape[b], offset)
    rest = [d for d in range(x.ndim) if d not in (a, b)]
    first = [slice(None)] * x.ndim
    first[a], first[b] = (slice(max(0, -d), None) for d in (offset, -offset))
    start = x[tuple(first)] if n else x
    shape = (*(x.shape[d] for d in rest), n)
    strides = (*(x.strides[d] for d in rest), x.strides[a] + x.strides[b])
    return array_module(x).lib.stride_tricks.as_strided(start, shape, strides)


def _zeros(table: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    out = table.empty(shape, dtype)
    table.fill(table.xp.zeros(1, dtype), out)
    return out


class Diagonal(View):
    """A diagonal of two dimensions, as the last one."""

    def forward(self, x: Any, at: Where) -> Any:
        self.shape, self.at = x.shape, at
        return _diagonal_of(x, at)

    def backward(self, g: Any) -> tuple[Any, ...]:
        out = _zeros(self.kernels, self.shape, g.dtype)
        self.kernels.copy(g, _diagonal_of(out, self.at))
        return (out,)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (DiagonalEmbed.apply((g,), self.shape, self.at),)


class DiagonalEmbed(Op):
    """The transpose of `Diagonal`: zeros with the input on a diagonal."""

    name = "diag_embed"

    def forward(self, x: Any, shape: tuple[int, ...], at: Where) -> Any:
        self.at = at
        out = _zeros(self.kernels, shape, x.dtype)
        self.kernels.copy(x, _diagonal_of(out, at))
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (_common.contiguous_array(self.kernels, _diagonal_of(g, self.at)),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (Diagonal.apply((g,), self.at),)


class DiagonalPut(Op):
    """A copy of the first input with the second on a diagonal."""

    name = "diagonal_scatter"

    def forward(self, x: Any, src: Any, at: Where) -> Any:
        self.at = at
        out = self.kernels.empty(x.shape, x.dtype)
        self.kernels.copy(x, out)
        self.kernels.copy(src, _diagonal_of(out, at))
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        table, gx, gs = self.kernels, None, None
        if self.needs[0]:
            gx = table.empty(g.shape, g.dtype)
            table.copy(g, gx)
            table.fill(table.xp.zeros(1, g.dtype), _diagonal_of(gx, self.at))
        if self.needs[1]:
            gs = _common.contiguous_array(table, _diagonal_of(g, self.at))
        return gx, gs

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        part = Diagonal.apply((g,), self.at)
        rest = DiagonalPut.apply((g, part.detach() * 0), self.at) if self.needs[0] else None
        return rest, part if self.needs[1] else None


def _place(name: str, input: Tensor, offset: Any, dim1: Any, dim2: Any, ndim: int) -> Where:
    a, b = _common.one_dim(name, dim1, ndim), _common.one_dim(name, dim2, ndim)
    if a == b:
        message = (
            f"{name}: expected two different dims, got {dim1} and {dim2} for {input.shape}; 0 and "
            "1 are those of a matrix"
        )
        raise RuntimeError(message)
    # Beyond this diagonals are empty, and numbers too large for strides.
    k = _common.integer(name, "offset", offset)
    return k, a, b


def _of_matrices(name: str, input: Tensor, offset: Any, dim1: Any, dim2: Any) -> Where:
    _common.require_tensor(name, "input", input)
    k, a, b = _place(name, input, offset, dim1, dim2, input.ndim)
    return max(-input.shape[a], min(k, input.shape[b])), a, b


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of the diagonal of two dimensions, which comes last, as torch.diagonal.

    offset: 0 for the main diagonal, k > 0 for the k-th above it, k < 0 for one below.
    Raises RuntimeError for dims that are one, IndexError for those that are not there.
    """
    return Diagonal.apply((input,), _of_matrices("diagonal", input, offset, dim1, dim2))  # type: ignore[no-any-return]


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last dimension of ``input`` as diagonal, else zeros; torch.diag_embed.

    Shapes: (..., n) -> (..., m, m), m = n + |offset|, at dim1 and dim2.
    Raises RuntimeError for dims that are one or a 0-d tensor, IndexError for bad dims.
    """
    _common.require_tensor("diag_embed", "input", input)
    _common.require_dims("diag_embed", input)
    k, a, b = at = _place("diag_embed", input, offset, dim1, dim2, input.ndim + 1)
    shape = list(input.shape[:-1])
    for d in sorted((a, b)):
        shape.insert(d, input.shape[-1] + abs(k))
    _common.check_extent("diag_embed", tuple(shape))
    return DiagonalEmbed.apply((input,), tuple(shape), at)  # type: ignore[no-any-return]


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix as a copy, or the matrix with a vector as diagonal; torch.diag.

    Raises RuntimeError for tensors of other than 1 or 2 dimensions.
    """
    _common.require_tensor("diag", "input", input)
    if input.ndim not in (1, 2):
        message = (
            f"diag: expected a vector or a matrix, got {input.shape}; diagonal() and diag_embed() "
            "take more dimensions"
        )
        raise RuntimeError(message)
    k = _common.integer("diag", "diagonal", diagonal)
    if input.ndim == 1:
        n = input.shape[0] + abs(k)
        _common.check_extent("diag", (n, n))
        return DiagonalEmbed.apply((input,), (n, n), (k, 0, 1))  # type: ignore[no-any-return]
    return clone(Diagonal.apply((input,), _of_matrices("diag", input, k, 0, 1)))


def trace_of(input: Tensor) -> Tensor:
    """The sum of the main diagonal of a matrix, as torch.trace; integers are summed as int64.

    Raises RuntimeError for tensors that are no matrices.
    """
    _common.require_tensor("trace", "input", input)
    if input.ndim != 2:
        message = f"trace: expected a matrix, got {input.shape}; diagonal() takes any two dims"
        raise RuntimeError(message)
    return sum(diagonal(input))


def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy of ``input`` with ``src`` in the place of a diagonal, as torch.diagonal_scatter.

    Raises RuntimeError for a src of another shape than the diagonal's, and as `diagonal`.
    """
    name = "diagonal_scatter"
    at = _of_matrices(name, input, offset, dim1, dim2)
    _common.require_tensor(name, "src", src)
    wanted = _diagonal_of(input.array, at).shape
    if src.shape != wanted:
        message = f"{name}: expected src of shape {wanted}, got {src.shape}; expand() repeats it"
        raise RuntimeError(message)
    _common.table_of(input, src, op=name)
    if src.array.dtype != input.array.dtype:
        src = src.to(_dtypes.from_numpy(input.array.dtype))
    return DiagonalPut.apply((input, src), at)  # type: ignore[no-any-return]


_common.named(trace=trace_of)


def _plain_embed(x: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    n = x.shape[-1] + abs(offset)
    out = array_module(x).zeros((*x.shape[:-1], n, n), x.dtype)
    for j in range(x.shape[-1]):
        out[..., j + max(-offset, 0), j + max(offset, 0)] = x[..., j]
    return array_module(x).moveaxis(out, (-2, -1), (dim1, dim2))


def _plain_scatter(x: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    out = x.copy()
    across = array_module(x).moveaxis(out, (dim1, dim2), (-2, -1))
    for j in range(src.shape[-1]):
        across[..., j + max(-offset, 0), j + max(offset, 0)] = src[..., j]
    return out


CASES = [
    *(
        OpCase(diagonal, "diagonal", [s, *a], ref=lambda x, *a: x.diagonal(*a))
        for s, a in (
            ((3, 4), []),
            ((4, 3), [-1]),
            ((2, 3, 4), [1, -1, 0]),
            ((3, 4), [9]),
            ((0, 4), []),
        )
    ),
    *(
        OpCase(diag_embed, "diag_embed", [s, *a], ref=_plain_embed)
        for s, a in (((3,), []), ((2, 3), [-1]), ((2, 3), [2, 0, 2]), ((2, 0), [1]))
    ),
    *(
        OpCase(diag, "diag", [s, *a], ref=lambda x, *a: array_module(x).diag(x, *a))
        for s, a in (((3,), [1]), ((3, 4), []), ((3, 4), [-2]))
    ),
    OpCase(trace_of, "trace", [(3, 4)], ref=lambda x: x.trace()),
    OpCase(trace_of, "trace", [("int", (3, 3), -9, 9)], ref=lambda x: x.trace(), grad=False),
    *(
        OpCase(diagonal_scatter, "diagonal_scatter", [s, n, *a], ref=_plain_scatter)
        for s, n, a in (((3, 4), (3,), []), ((2, 3, 4), (3, 2), [-1, 2, 0]))
    ),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (diagonal, "diagonal", [(3, 4), 0, 1, -1], RuntimeError, "two different dims"),
    (diagonal, "diagonal", [(3,)], IndexError, "expected dim in"),
    (diagonal, "diagonal", [[1.0]], TypeError, "expected input as a Tensor"),
    (diag_embed, "diag_embed", [()], RuntimeError, "at least one dimension"),
    (diag_embed, "diag_embed", [(3,), 0, 1, 1], RuntimeError, "two different dims"),
    (diag_embed, "diag_embed", [(3,), 0, 0, 2], IndexError, "expected dim in"),
    (diag, "diag", [()], RuntimeError, "a vector or a matrix"),
    (diag, "diag", [(2, 3, 4)], RuntimeError, "a vector or a matrix"),
    (diag, "diag", [(3,), 1.5], TypeError, "diagonal as an int"),
    (trace_of, "trace", [(3,)], RuntimeError, "expected a matrix"),
    (trace_of, "trace", [(2, 3, 3)], RuntimeError, "expected a matrix"),
    (trace_of, "trace", [3.0], TypeError, "expected input as a Tensor"),
    (diagonal_scatter, "diagonal_scatter", [(3, 3), (2,)], RuntimeError, "src of shape (3,)"),
    (diagonal_scatter, "diagonal_scatter", [(3, 3), 1.0], TypeError, "expected src as a Tensor"),
    (diagonal_scatter, "diagonal_scatter", [(3,), (3,)], IndexError, "expected dim in"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]

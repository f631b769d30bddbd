# SPDX-License-Identifier: BSD-3-Clause
"""Matrix products.

    c[i, j] = sum_l a[i, l] b[l, j]

Shapes:   (m, k) (k, n) -> (m, n);  (k,) (k, n) -> (n,);  (m, k) (k,) -> (m,);  (k,) (k,) -> ();
          (..., m, k) (..., k, n) -> (..., m, n), what stands before broadcast.
Backward: da = dc b^T, db = a^T dc.  Transposed operands are strided views: nothing is copied.
Source:   Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn import _backend
from fastnn._backend import array_module, reference
from fastnn._grad_mode import _mode
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops.bmm import batched_product, checked_pair
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def gemm(a: Any, b: Any, c: Any, accumulate: bool) -> None:
    """c (+)= a b; a (m, k) and b (k, n) with any strides."""
    xp = array_module(a)
    if accumulate:
        c += xp.matmul(a, b)
    else:
        xp.matmul(a, b, out=c)


# Of small matrices what Python does costs as much as the product: csrc/tape does it for those of
# which nothing is recorded.
_gemm: Any = _backend.native.get("gemm")
_short_way: Any = None if _backend.tape is None or _gemm is None else _backend.tape.plain_product


class MatMul(Op):
    """a b for matrices."""

    def forward(self, a: Any, b: Any) -> Any:
        c = self.kernels.empty((a.shape[0], b.shape[1]), a.dtype)
        self.kernels.gemm(a, b, c, False)
        self.shapes = (a.shape, b.shape)
        self.save(a if self.needs[1] else None, b if self.needs[0] else None)
        return c

    def backward(self, g: Any) -> tuple[Any, ...]:
        a, b = self.saved  # type: ignore[misc]
        ga = gb = None
        if self.needs[0]:
            ga, accumulate = self.grad_buffer(0, self.shapes[0], g.dtype)
            self.kernels.gemm(g, b.T, ga, accumulate)
        if self.needs[1]:
            gb, accumulate = self.grad_buffer(1, self.shapes[1], g.dtype)
            self.kernels.gemm(a.T, g, gb, accumulate)
        return ga, gb

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        a, b = self.saved_tensors()
        ga = MatMul.apply((g, b.T)) if self.needs[0] else None
        gb = MatMul.apply((a.T, g)) if self.needs[1] else None
        return ga, gb


def _no_fit(a: Tensor, b: Tensor) -> RuntimeError:
    message = (
        "matmul: expected input (..., k) and other (..., k, n) or (k,) with equal k, got "
        f"{a.shape} and {b.shape}; transpose(-1, -2) turns a matrix"
    )
    return RuntimeError(message)


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The product of matrices and vectors, and of batches of them, as torch.matmul.

    A vector before is a row, one behind a column; dimensions before the last two are broadcast.
    Raises RuntimeError where the inner sizes differ or the types differ.
    """
    if _short_way is not None:
        product = _short_way(_gemm, input, other)
        if product is not NotImplemented:
            return product  # type: ignore[no-any-return]
    if _usual(input, other):
        return _product(input, other)
    a, b = checked_pair("matmul", input, other)
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        raise _no_fit(a, b)
    left = a.unsqueeze(0) if a.ndim == 1 else a
    right = b.unsqueeze(1) if b.ndim == 1 else b
    if right.ndim == 2:
        # One matrix for all: the batch is a matter of more rows.
        rows = left if left.ndim == 2 else left.reshape(math.prod(a.shape[:-1]), a.shape[-1])
        out = _product(rows, right)
    else:
        out = batched_product("matmul", left, right)
    before = _common.broadcast_shape("matmul", left.shape[:-2], right.shape[:-2])
    shape = before + (a.shape[-2:-1] if a.ndim > 1 else ()) + (b.shape[-1:] if b.ndim > 1 else ())
    return out if out.shape == shape else out.reshape(shape)


def _usual(a: Any, b: Any) -> bool:
    """Whether operands certainly are matrices that go together: all that sound ones pay for."""
    if type(a) is not Tensor or type(b) is not Tensor:
        return False
    x, y = a.array, b.array
    if x.dtype is not y.dtype or type(x) is not type(y) or x.dtype.kind == "b":
        return False
    return x.ndim == 2 and y.ndim == 2 and bool(x.shape[1] == y.shape[0])


def _product(a: Tensor, b: Tensor) -> Tensor:
    x, y = a.array, b.array
    recording = _mode.enabled and (
        a._requires_grad
        or b._requires_grad
        or a._rebase_stamp is not None
        or b._rebase_stamp is not None
    )
    if recording:
        return MatMul.apply((a, b))  # type: ignore[no-any-return]
    # Of small matrices a node of the graph costs as much as the product.
    table = _backend.kernels(x)
    c = table.empty((x.shape[0], y.shape[1]), x.dtype)
    table.gemm(x, y, c, False)
    return Tensor._wrap(c)


def require_matrices(name: str, x: tuple[int, ...], y: tuple[int, ...]) -> None:
    """RuntimeError unless two shapes are those of matrices that can be multiplied."""
    if len(x) != 2 or len(y) != 2 or x[1] != y[0]:
        message = (
            f"{name}: expected matrices (m, k) and (k, n), got {x} and {y}; t() turns a matrix, "
            "matmul() takes batches and vectors too"
        )
        raise RuntimeError(message)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices (m, k) and (k, n), as torch.mm."""
    if _short_way is not None:
        product = _short_way(_gemm, input, mat2)
        if product is not NotImplemented:
            return product  # type: ignore[no-any-return]
    if _usual(input, mat2):
        return _product(input, mat2)
    a, b = checked_pair("mm", input, mat2)
    require_matrices("mm", a.array.shape, b.array.shape)
    return _product(a, b)


def mm_transposed(a: Tensor, b: Tensor) -> Tensor:
    """a^T b, for the case table."""
    return mm(a.t(), b)


def mm_second_transposed(a: Tensor, b: Tensor) -> Tensor:
    """a b^T, for the case table."""
    return mm(a, b.t())


def mm_both_transposed(a: Tensor, b: Tensor) -> Tensor:
    """a^T b^T, for the case table."""
    return mm(a.t(), b.t())


CASES = [
    *(
        OpCase(matmul, "matmul", list(s), ref=lambda a, b: a @ b)
        for s in (
            ((3, 4), (4, 5)),
            ((4,), (4, 5)),
            ((3, 4), (4,)),
            ((4,), (4,)),
            ((0, 4), (4, 5)),
            ((3, 0), (0, 5)),
            ((1, 70), (70, 65)),
            ((65, 129), (129, 33)),
            ((2, 3, 4), (4, 5)),
            ((2, 3, 4), (2, 4, 5)),
            ((2, 1, 3, 4), (5, 4, 2)),
            ((4,), (2, 4, 5)),
            ((2, 3, 4), (4,)),
            ((3, 4), (2, 4, 5)),
            ((0, 3, 4), (4, 5)),
            ((2, 0, 4), (2, 4, 5)),
            ((2, 3, 0), (2, 0, 5)),
            ((5, 2, 33, 20), (5, 2, 20, 17)),
        )
    ),
    OpCase(mm, "mm", [(3, 4), (4, 2)], ref=lambda a, b: a @ b),
    OpCase(mm_transposed, "mm a^T b", [(70, 33), (70, 65)], ref=lambda a, b: a.T @ b),
    OpCase(mm_second_transposed, "mm a b^T", [(33, 70), (65, 70)], ref=lambda a, b: a @ b.T),
    OpCase(mm_both_transposed, "mm a^T b^T", [(70, 33), (65, 70)], ref=lambda a, b: a.T @ b.T),
    *(
        OpCase(f, name, [(512, 512), (512, 512)], bench=True, flops=2.0 * 512**3)
        for f, name in (
            (mm_transposed, "mm a^T b"),
            (mm_second_transposed, "mm a b^T"),
            (mm_both_transposed, "mm a^T b^T"),
        )
    ),
    *(
        OpCase(mm, "mm", [(n, n), (n, n)], ref=lambda a, b: a @ b, bench=True, flops=2.0 * n**3)
        for n in (64, 128, 256, 512, 1024, 2048)
    ),
]
ERRORS = [
    ErrorCase(
        matmul, "matmul", [(3, 4), (5, 2)], RuntimeError, "with equal k, got (3, 4) and (5, 2)"
    ),
    ErrorCase(matmul, "matmul", [(), (2,)], RuntimeError, "with equal k"),
    ErrorCase(matmul, "matmul", [(2, 3, 4), (3, 4, 5)], RuntimeError, "shapes that broadcast"),
    ErrorCase(matmul, "matmul", [(2, 3, 4), (2, 3, 4)], RuntimeError, "with equal k"),
    ErrorCase(matmul, "matmul", [("bool", (3, 4)), ("bool", (4,))], RuntimeError, "numbers"),
    ErrorCase(matmul, "matmul", [(3, 4), 2.0], TypeError, "expected other as a Tensor"),
    ErrorCase(
        matmul, "matmul", [(3, 4), ("int", (4, 2), 0, 9)], RuntimeError, "operands of one type"
    ),
    ErrorCase(mm, "mm", [(3, 4), (4,)], RuntimeError, "expected matrices"),
    ErrorCase(mm, "mm", [(3, 4), (3, 4)], RuntimeError, "(m, k) and (k, n)"),
    ErrorCase(mm, "mm", [None, (3, 4)], TypeError, "expected input as a Tensor"),
]

# SPDX-License-Identifier: BSD-3-Clause
"""Products of batches of matrices.

    c[i] = a[i] b[i]

Shapes:   (batch, m, k) (batch, k, n) -> (batch, m, n).
Backward: da = dc b^T, db = a^T dc.  Transposed operands, and one matrix for the whole batch, are
          strided views: nothing is copied.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops.view import expand, reshape, transpose
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def bmm(a: Any, b: Any, c: Any, accumulate: bool) -> None:
    """c_i (+)= a_i b_i; a (batch, m, k) and b (batch, k, n) with any strides."""
    xp = array_module(a)
    if accumulate:
        c += xp.matmul(a, b)
    else:
        xp.matmul(a, b, out=c)


class BatchMatMul(Op):
    """a_i b_i for batches of matrices."""

    name = "bmm"

    def forward(self, a: Any, b: Any) -> Any:
        c = self.kernels.empty((a.shape[0], a.shape[1], b.shape[2]), a.dtype)
        self.kernels.bmm(a, b, c, False)
        self.shapes = (a.shape, b.shape)
        self.save(a if self.needs[1] else None, b if self.needs[0] else None)
        return c

    def backward(self, g: Any) -> tuple[Any, ...]:
        a, b = self.saved  # type: ignore[misc]
        ga = gb = None
        if self.needs[0]:
            ga, accumulate = self.grad_buffer(0, self.shapes[0], g.dtype)
            self.kernels.bmm(g, b.transpose(0, 2, 1), ga, accumulate)
        if self.needs[1]:
            gb, accumulate = self.grad_buffer(1, self.shapes[1], g.dtype)
            self.kernels.bmm(a.transpose(0, 2, 1), g, gb, accumulate)
        return ga, gb

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        a, b = self.saved_tensors()
        ga = BatchMatMul.apply((g, transpose(b, 1, 2))) if self.needs[0] else None
        gb = BatchMatMul.apply((transpose(a, 1, 2), g)) if self.needs[1] else None
        return ga, gb


def checked_pair(name: str, a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Both operands of a product: tensors of numbers, of one type and on one device."""
    _common.require_tensor(name, "input", a)
    _common.require_tensor(name, "other", b)
    x, y = a.array, b.array
    if x.dtype != y.dtype:
        message = (
            f"{name}: expected operands of one type, got {a.dtype} and {b.dtype}; convert one "
            "with .to(...)"
        )
        raise RuntimeError(message)
    if x.dtype.kind == "b":
        message = f"{name}: expected numbers, got bool tensors; convert them with .float()"
        raise RuntimeError(message)
    if type(x) is not type(y):
        _common.table_of(a, b, op=name)
    return a, b


def require_batches(name: str, x: tuple[int, ...], y: tuple[int, ...]) -> None:
    """RuntimeError unless two shapes are those of batches of matrices that can be multiplied."""
    if len(x) != 3 or len(y) != 3 or x[0] != y[0] or x[2] != y[1]:
        message = (
            f"{name}: expected batches (b, m, k) and (b, k, n), got {x} and {y}; transpose(1, 2) "
            "turns the matrices of a batch"
        )
        raise RuntimeError(message)


def batched_product(name: str, a: Tensor, b: Tensor) -> Tensor:
    """a (..., m, k) times b (..., k, n), what stands before broadcast."""
    batch = _common.broadcast_shape(name, a.shape[:-2], b.shape[:-2])
    count = math.prod(batch)
    flat = [
        reshape(expand(t, *batch, *t.shape[-2:]), count, *t.shape[-2:])
        if t.shape[:-2] != (count,)
        else t
        for t in (a, b)
    ]
    out = BatchMatMul.apply((flat[0], flat[1]))
    return reshape(out, *batch, a.shape[-2], b.shape[-1])


def bmm_tensors(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of a batch of matrices, (b, m, k) (b, k, n) -> (b, m, n), as torch.bmm.

    Raises RuntimeError for other shapes and for operands of two types, TypeError for no tensors.
    """
    a, b = checked_pair("bmm", input, mat2)
    require_batches("bmm", a.shape, b.shape)
    return BatchMatMul.apply((a, b))  # type: ignore[no-any-return]


_common.named(bmm=bmm_tensors)


def bmm_transposed(a: Tensor, b: Tensor) -> Tensor:
    """a_i^T b_i, for the case table."""
    return bmm_tensors(transpose(a, 1, 2), b)


CASES = [
    *(
        OpCase(bmm_tensors, "bmm", list(s), ref=lambda a, b: a @ b)
        for s in (
            ((2, 3, 4), (2, 4, 5)),
            ((1, 1, 7), (1, 7, 1)),
            ((0, 3, 4), (0, 4, 5)),
            ((2, 3, 0), (2, 0, 5)),
            ((9, 33, 17), (9, 17, 20)),
            ((2, 1, 70), (2, 70, 65)),
        )
    ),
    OpCase(
        bmm_transposed,
        "bmm a^T b",
        [(3, 70, 33), (3, 70, 20)],
        ref=lambda a, b: a.transpose(0, 2, 1) @ b,
    ),
    *(
        OpCase(
            bmm_tensors,
            "bmm",
            [(batch, n, n), (batch, n, n)],
            ref=lambda a, b: a @ b,
            bench=True,
            flops=2.0 * batch * n**3,
        )
        for batch, n in ((256, 32), (64, 64), (8, 256))
    ),
]
ERRORS = [
    ErrorCase(bmm_tensors, "bmm", [(2, 3, 4), (3, 4, 5)], RuntimeError, "expected batches"),
    ErrorCase(bmm_tensors, "bmm", [(3, 4), (4, 5)], RuntimeError, "(b, m, k) and (b, k, n)"),
    ErrorCase(bmm_tensors, "bmm", [(2, 3, 4), None], TypeError, "expected other as a Tensor"),
    ErrorCase(
        bmm_tensors,
        "bmm",
        [(2, 3, 4), ("int", (2, 4, 2), 0, 9)],
        RuntimeError,
        "operands of one type",
    ),
]

# SPDX-License-Identifier: BSD-3-Clause
"""A form that is linear in each of two inputs.

    y_o = sum_ij x_i W_oij z_j + b_o

Shapes:   x (..., i), z (..., j), W (o, i, j), b (o,) -> y (..., o).
Backward: through the two products that it is made of.
Source:   Tenenbaum and Freeman, "Separating style and content with bilinear models", 2000.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn.ops import _common
from fastnn.ops.bmm import bmm_tensors
from fastnn.ops.matmul import mm
from fastnn.ops.view import permute, reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _check(x1: Any, x2: Any, weight: Any, bias: Any) -> None:
    given = {"weight": weight, "input1": x1, "input2": x2} | (
        {} if bias is None else {"bias": bias}
    )
    for what, value in given.items():
        _common.require_tensor("bilinear", what, value)
        _common.require_numbers("bilinear", what, value)
        if value.array.dtype != weight.array.dtype:
            message = (
                f"bilinear: expected {what} in the type of weight, {weight.dtype}, got "
                f"{value.dtype}; convert it with .to({weight.dtype})"
            )
            raise RuntimeError(message)
    _common.table_of(*given.values(), op="bilinear")
    x, z, w = x1.shape, x2.shape, weight.shape
    alike = len(w) == 3 and x and z and x[:-1] == z[:-1]
    if not alike or (x[-1], z[-1]) != tuple(w[1:]) or (bias is not None and bias.shape != w[:1]):
        beside = "" if bias is None else f", bias {bias.shape}"
        message = (
            "bilinear: expected input1 (..., i), input2 (..., j) with the same dimensions before, "
            f"weight (o, i, j) and bias (o,), got input1 {x}, input2 {z}, weight {w}{beside}; "
            "expand() the inputs to one shape"
        )
        raise RuntimeError(message)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_o = input1 W_o input2^T + b_o, as torch.nn.functional.bilinear.

    input1 (..., i), input2 (..., j), weight (o, i, j), bias (o,) -> (..., o).
    Raises TypeError for no tensors, RuntimeError for other shapes, integers and mixed types.
    """
    _check(input1, input2, weight, bias)
    o, i, j = weight.shape
    lead = tuple(input1.shape[:-1])
    n = math.prod(lead)
    turned = reshape(permute(weight, 1, 0, 2), i, o * j)
    first = reshape(mm(reshape(input1, n, i), turned), n, o, j)
    y = reshape(bmm_tensors(first, reshape(input2, n, j, 1)), *lead, o)
    return y if bias is None else y + bias


def _plain(x: Any, z: Any, w: Any, b: Any = None) -> Any:
    y = (x[..., None, :, None] * w * z[..., None, None, :]).sum((-2, -1))
    return y if b is None else y + b


CASES = [
    OpCase(bilinear, "bilinear", list(shapes), ref=_plain)
    for shapes in (
        ((4, 3), (4, 2), (5, 3, 2), (5,)),
        ((2, 3, 3), (2, 3, 2), (1, 3, 2)),
        ((3,), (2,), (4, 3, 2), (4,)),
        ((0, 3), (0, 2), (4, 3, 2), (4,)),
    )
]
ERRORS = [
    ErrorCase(bilinear, "bilinear", shapes, error, text)
    for shapes, error, text in (
        ([(4, 3), (3, 2), (5, 3, 2)], RuntimeError, "expected input1 (..., i)"),
        ([(4, 3), (4, 2), (5, 2, 3)], RuntimeError, "got input1 (4, 3), input2 (4, 2)"),
        ([(4, 3), (4, 2), (5, 3, 2), (4,)], RuntimeError, "bias (4,)"),
        ([(), (), (5, 3, 2)], RuntimeError, "expected input1 (..., i)"),
        ([(4, 3), None, (5, 3, 2)], TypeError, "expected input2 as a Tensor"),
        ([(4, 3), ("int", (4, 2), 0, 9), (5, 3, 2)], RuntimeError, "input2 in the type of"),
    )
]

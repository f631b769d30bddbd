# SPDX-License-Identifier: BSD-3-Clause
"""The maxima of a pooling put back at their places, zeros elsewhere.

    y[n, c, indices[n, c, o]] = x[n, c, o]

Shapes:   x and indices (n, c, o...), also without n -> y with output_size, without which sizes are
          (o - 1) stride + kernel_size - 2 padding.
Backward: dx[o] = dy[indices[o]].
Source:   Zeiler, Taylor and Fergus, "Adaptive deconvolutional networks for mid and high level
          feature learning", ICCV 2011.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn import _dtypes
from fastnn.ops import _common
from fastnn.ops._windows import sizes
from fastnn.ops.creation import zeros
from fastnn.ops.scatter import scatter_elements
from fastnn.ops.view import reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _out_sizes(
    name: str, spatial: Any, kernel: Any, stride: Any, padding: Any, output_size: Any
) -> tuple[int, ...]:
    n = len(spatial)
    k = sizes(name, "kernel_size", kernel, n, 1)
    s = k if stride is None else sizes(name, "stride", stride, n, 1)
    p = sizes(name, "padding", padding, n, 0)
    usual = tuple([(o - 1) * b + a - 2 * c for o, a, b, c in zip(spatial, k, s, p, strict=True)])
    if output_size is None:
        out = usual
    else:
        given = _common.shape_argument(name, (output_size,) if n > 1 else _one(output_size))
        out = given[2:] if len(given) == n + 2 else given
        fits = len(out) == n and all(
            u - b < m < u + b for u, b, m in zip(usual, s, out, strict=True)
        )
        if not fits:
            message = (
                f"{name}: expected output_size within the stride {s} of {usual}, got {given}; give "
                "the size that was pooled"
            )
            raise ValueError(message)
    if min(out) < 0:
        message = (
            f"{name}: expected an output of sizes >= 0, got {out}; less padding makes it larger"
        )
        raise ValueError(message)
    return out


def _one(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _unpooled(
    name: str, n: int, input: Any, indices: Any, kernel: Any, stride: Any, padding: Any, out: Any
) -> Tensor:
    _common.require_tensor(name, "input", input)
    _common.require_tensor(name, "indices", indices)
    if input.ndim not in (n + 1, n + 2) or indices.shape != input.shape:
        message = (
            f"{name}: expected input (n, c, {', '.join('dhw'[3 - n :])}) or without n, and indices "
            f"of its shape, got {input.shape} and {indices.shape}; the pooling gives both with "
            "return_indices=True"
        )
        raise RuntimeError(message)
    if indices.dtype is not _dtypes.int64:
        message = f"{name}: expected indices of int64, got {indices.dtype}; convert with .long()"
        raise RuntimeError(message)
    spatial = tuple(input.shape[-n:])
    shape = _out_sizes(name, spatial, kernel, stride, padding, out)
    if 0 in spatial:
        message = (
            f"{name}: expected an input with elements in every plane, got {input.shape}; pool a "
            "larger one"
        )
        raise RuntimeError(message)
    lead = tuple(input.shape[:-n])
    _common.check_extent(name, (*lead, *shape))
    planes, m = math.prod(lead), math.prod(shape)
    nothing = zeros(planes, m, dtype=input.dtype, device=input.device)
    rows = [reshape(t, planes, math.prod(spatial)) for t in (indices, input)]
    try:
        full = scatter_elements(nothing, 1, *rows)
    except RuntimeError as error:
        if "indices in" not in str(error):
            raise
        text = str(error).replace("scatter:", f"{name}:")
        raise RuntimeError(text + f"; output_size {shape} has {m} places") from None
    return reshape(full, *lead, *shape)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Values of a `max_pool1d` put back at their indices, as torch.nn.functional.max_unpool1d.

    input and indices (n, c, l) or (c, l) -> (n, c, output_size); output_size, also with the
    dimensions before it, is (l - 1) stride + kernel_size - 2 padding unless given, and less than a
    stride from that. Of equal indices the last value stays.
    Raises ValueError for another output_size, RuntimeError for shapes that do not fit and indices
    out of range, TypeError for no tensors and no ints.
    """
    return _unpooled("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Values of a `max_pool2d` put back at their indices, as torch.nn.functional.max_unpool2d.

    input and indices (n, c, h, w) or (c, h, w) -> (n, c, oh, ow), sizes and errors as in
    `max_unpool1d`.
    """
    return _unpooled("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Values of a 3-D pooling put back at their indices, as torch.nn.functional.max_unpool3d.

    input and indices (n, c, d, h, w) or (c, d, h, w) -> (n, c, od, oh, ow), sizes and errors as in
    `max_unpool1d`.
    """
    return _unpooled("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


def _plain(
    x: Any, indices: Any, kernel_size: int, stride: Any = None, padding: int = 0,
    output_size: Any = None,
) -> Any:  # fmt: skip
    n = x.ndim - 2
    usual = [(o - 1) * (stride or kernel_size) + kernel_size - 2 * padding for o in x.shape[2:]]
    out = list(output_size or usual)[-n:]
    y = x.reshape(-1)[:1].repeat(math.prod(x.shape[:2]) * math.prod(out)) * 0
    y = y.reshape(math.prod(x.shape[:2]), -1)
    for row, value, places in zip(
        y, x.reshape(len(y), -1), indices.reshape(len(y), -1), strict=True
    ):
        row[places] = value
    return y.reshape(*x.shape[:2], *out)


CASES = [
    OpCase(max_unpool1d, "max_unpool1d", [(1, 2, 2), ("cells", [[[1, 2], [0, 3]]]), 2], ref=_plain),
    OpCase(
        max_unpool1d,
        "max_unpool1d",
        [(1, 1, 3), ("cells", [[[5, 0, 3]]]), 3, 2, 1],
        {"output_size": [6]},
        ref=_plain,
    ),
    OpCase(
        max_unpool2d,
        "max_unpool2d",
        [(1, 2, 1, 2), ("cells", [[[[0, 7]], [[5, 2]]]]), 2],
        ref=_plain,
    ),
    OpCase(
        max_unpool2d,
        "max_unpool2d",
        [(1, 1, 2, 2), ("cells", [[[[0, 8], [19, 12]]]]), 2],
        {"output_size": [1, 1, 4, 5]},
        ref=_plain,
    ),
    OpCase(
        max_unpool3d,
        "max_unpool3d",
        [(1, 1, 1, 2, 1), ("cells", [[[[[3], [14]]]]]), 2],
        ref=_plain,
    ),
]
_PAIRS = ((max_unpool1d, (1, 2, 3)), (max_unpool2d, (1, 2, 1, 3)), (max_unpool3d, (1, 2, 1, 1, 3)))
ERRORS = [
    ErrorCase(f, f.__name__, *bad)
    for f, shape in _PAIRS
    for bad in (
        ([(3,), ("int", (3,), 0, 2), 2], RuntimeError, "expected input (n, c,"),
        ([shape, ("int", (2, 3), 0, 2), 2], RuntimeError, "indices of its shape"),
        ([shape, shape, 2], RuntimeError, "indices of int64"),
        ([shape, ("int", shape, 900, 901), 2], RuntimeError, "got 900"),
        ([shape, ("int", shape, 0, 2), 2, 2, 0, [99]], ValueError, "expected output_size within"),
        ([shape, ("int", shape, 0, 2), 2, 2, 5], ValueError, "an output of sizes >= 0"),
        ([shape, [0], 2], TypeError, "expected indices as a Tensor"),
    )
]

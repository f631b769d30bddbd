# SPDX-License-Identifier: BSD-3-Clause
"""Places and numbers of elements: nonzero, argwhere, bincount, repeat_interleave.

Backward: of repeat_interleave the gradients of what was repeated, added up;  bincount none.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.copy import to
from fastnn.ops.creation import arange, zeros
from fastnn.ops.cumulative import cumsum
from fastnn.ops.join import stack
from fastnn.ops.masked import counted
from fastnn.ops.rows import select_rows
from fastnn.ops.scatter import ScatterAdd
from fastnn.ops.search import searched
from fastnn.ops.view import expand, reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The places of the elements that are not 0, one row each (m, ndim), as torch.nonzero.

    int64, in order; with ``as_tuple`` a vector for each dimension. How many there are is read on
    the host.   Raises TypeError for no tensor.
    """
    _common.require_tensor("nonzero", "input", input)
    if as_tuple and input.ndim == 0:
        input = reshape(input, 1)
    table = _common.table_of(input)
    mask = to(input.detach(), _dtypes.bool_).array
    flat = Tensor._wrap(counted(table, _common.contiguous_array(table, mask)).places(table))
    columns: list[Tensor] = []
    for n in reversed(input.shape):
        columns.append(flat % n if len(columns) < input.ndim - 1 else flat)
        flat = flat // max(n, 1)
    if as_tuple:
        return tuple(columns[::-1])
    if not columns:
        return zeros(flat.shape[0], 0, dtype=_dtypes.int64)
    return stack(columns[::-1], 1)


def argwhere(input: Tensor) -> Tensor:
    """The places of the elements that are not 0, one row each, as torch.argwhere; see `nonzero`.

    Raises TypeError for no tensor.
    """
    _common.require_tensor("argwhere", "input", input)
    return nonzero(input)  # type: ignore[no-any-return]


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 on occurs, or the sum of the weights; as torch.bincount.

    input: a vector of integers >= 0; the result has max(input) + 1 entries, at least minlength:
    int64, with weights their type if that is float32, else float64.
    Raises RuntimeError for other shapes, types and negative numbers, TypeError for no tensors.
    """
    _common.require_tensor("bincount", "input", input)
    minlength = _common.integer("bincount", "minlength", minlength)
    least = int(input.min()) if input.numel() and input.array.dtype.kind in "iu" else 0
    if input.ndim != 1 or input.array.dtype.kind not in "iu" or least < 0 or minlength < 0:
        message = (
            "bincount: expected a vector of integers >= 0 and minlength >= 0, got "
            f"{input.dtype} {input.shape} with {least} and {minlength}; flatten() it, subtract the "
            "least"
        )
        raise RuntimeError(message)
    n = max(minlength, int(input.max()) + 1 if input.numel() else 0)
    numbers = to(input, _dtypes.int64)
    if weights is None:
        dtype, one = _dtypes.int64, zeros(1, dtype=_dtypes.int64) + 1
        weights = expand(one, input.shape[0])
    else:
        _common.require_tensor("bincount", "weights", weights)
        if weights.shape != input.shape:
            message = (
                f"bincount: expected weights of shape {input.shape}, got {weights.shape}; one for "
                "each number"
            )
            raise RuntimeError(message)
        kept = weights.dtype in (_dtypes.float32, _dtypes.float64)
        dtype = weights.dtype if kept else _dtypes.float64
        weights = to(weights.detach(), dtype)
    return ScatterAdd.apply((zeros(n, dtype=dtype), numbers, weights), 0)  # type: ignore[no-any-return]


@numpy_names
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Every entry of ``dim`` (None: of the flattened tensor) repeated; torch.repeat_interleave.

    repeats: a number or a vector of one for each entry. With a vector alone: each number j of it
    gives its place j times.   output_size: the result's, for a check.
    Raises RuntimeError for negative numbers or a vector of another size, IndexError for a bad dim.
    """
    name = "repeat_interleave"
    _common.require_tensor(name, "input", input)
    if repeats is None:
        return _repeated_numbers(name, input, input.numel())
    if dim is None:
        input, dim = reshape(input, -1), 0
    d = _common.one_dim(name, dim, input.ndim)
    x = input if input.ndim else reshape(input, 1)
    if not isinstance(repeats, Tensor):
        count = _common.integer(name, "repeats", repeats)
        if count < 0:
            message = f"{name}: expected repeats >= 0, got {count}; 0 leaves entries out"
            raise RuntimeError(message)
        numbers = arange(x.shape[d] * count) // max(count, 1)
    else:
        numbers = _repeated_numbers(name, repeats, x.shape[d])
    if output_size is not None and numbers.numel() != output_size:
        message = (
            f"{name}: expected output_size as the sum of repeats, {numbers.numel()}, got "
            f"{output_size}; leave it out"
        )
        raise RuntimeError(message)
    return select_rows(name, x, d, numbers, negative=False)


def _repeated_numbers(name: str, repeats: Tensor, n: int) -> Tensor:
    whole = repeats.array.dtype.kind in "iu"
    if not whole or repeats.ndim > 1 or repeats.numel() not in (1, n):
        message = (
            f"{name}: expected repeats as a vector of {n} integers, got {repeats.dtype} "
            f"{repeats.shape}; flatten() it"
        )
        raise RuntimeError(message)
    times = expand(to(repeats, _dtypes.int64).reshape(-1), n)
    if n and int(times.min()) < 0:
        message = f"{name}: expected repeats >= 0, got {int(times.min())}; 0 leaves entries out"
        raise RuntimeError(message)
    ends = cumsum(times, 0)
    total = int(ends[-1]) if n else 0
    return searched(name, ends, arange(total), False, True)


def _plain_repeat(x: Any, repeats: Any, d: Any = None) -> Any:
    return array_module(x).repeat(x, repeats, d)


CASES = [
    *(
        OpCase(f, f.__name__, [s], ref=lambda x: array_module(x).argwhere(x), grad=False)
        for f in (nonzero, argwhere)
        for s in ((3,), ("int", (2, 3, 4), 0, 2), ("bool", (0, 2)), ())
    ),
    OpCase(nonzero, "nonzero", [("bool", (3, 4))], {"as_tuple": True},
           lambda x, **_: x.nonzero(), grad=False),
    OpCase(bincount, "bincount", [("cells", [3, 1, 3])],
           ref=lambda x: array_module(x).bincount(x), grad=False),
    OpCase(bincount, "bincount", [("cells", [3, 1, 3]), (3,)], {"minlength": 6},
           lambda x, w, minlength: array_module(x).bincount(x, w, minlength), grad=False),
    *(
        OpCase(repeat_interleave, "repeat_interleave", a, ref=_plain_repeat)
        for a in ([(2, 3), 2], [(2, 3), 2, -1], [(3, 2), ("cells", [2, 0, 1]), 0],
                  [(3,), ("cells", [2]), 0], [(), 3], [(2, 0), 2, 1])
    ),
    OpCase(repeat_interleave, "repeat_interleave", [("cells", [2, 0, 1])],
           ref=lambda x: array_module(x).repeat(array_module(x).arange(3), x), grad=False),
]  # fmt: skip
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    *(
        (f, f.__name__, [value], TypeError, "expected input as a Tensor")
        for f in (nonzero, argwhere)
        for value in (None, 1.0, [1.0])
    ),
    (bincount, "bincount", [(3,)], RuntimeError, "a vector of integers >= 0"),
    (bincount, "bincount", [("cells", [1, -1])], RuntimeError, "with -1"),
    (bincount, "bincount", [("cells", [1]), (2,)], RuntimeError, "weights of shape (1,)"),
    (repeat_interleave, "repeat_interleave", [(3,), -1], RuntimeError, "repeats >= 0"),
    (repeat_interleave, "repeat_interleave", [(3,), ("cells", [1, 2])], RuntimeError, "3 integers"),
    (repeat_interleave, "repeat_interleave", [(3,), 2, 1], IndexError, "expected dim in"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]

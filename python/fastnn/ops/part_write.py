# SPDX-License-Identifier: BSD-3-Clause
"""Copies with another tensor in a part of them: select_scatter, slice_scatter, masked_scatter.

Shapes:   as the input's; of masked_scatter the broadcast one of input and mask.
Backward: dinput = g with zeros at the part;  dsrc = g there, of masked_scatter zero for elements
          that were not used.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.copy import clone, to
from fastnn.ops.cumulative import cumsum
from fastnn.ops.index_put import IndexPut
from fastnn.ops.index_write import take
from fastnn.ops.minmax import clamp_min
from fastnn.ops.view import expand, reshape
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _in_part(name: str, input: Tensor, src: Tensor, index: tuple[Any, ...]) -> Tensor:
    _common.require_tensor(name, "src", src)
    shape = input.array[index].shape
    if src.shape != shape:
        message = f"{name}: expected src of shape {shape}, got {src.shape}; expand() repeats it"
        raise RuntimeError(message)
    _common.table_of(input, src, op=name)
    return IndexPut.apply((input, to(src, input.dtype)), index)  # type: ignore[no-any-return]


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy with ``src`` as one entry of ``dim``, as torch.select_scatter.

    Raises IndexError for an entry that is not there, RuntimeError for a src of another shape.
    """
    name = "select_scatter"
    _common.require_tensor(name, "input", input)
    _common.require_dims(name, input, IndexError)
    d = _common.one_dim(name, dim, input.ndim)
    i, n = _common.integer(name, "index", index), input.shape[d]
    if not -n <= i < n:
        message = (
            f"{name}: expected index in [{-n}, {n - 1}] for {input.shape}, got {i}; entries are "
            "counted from 0"
        )
        raise IndexError(message)
    return _in_part(name, input, src, (*(slice(None),) * d, i, Ellipsis))


def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """A copy with ``src`` as the entries start, start + step, ... < end of ``dim``.

    As torch.slice_scatter.   Raises RuntimeError for a step below 1 and a src of another shape.
    """
    name = "slice_scatter"
    _common.require_tensor(name, "input", input)
    _common.require_dims(name, input)
    d = _common.one_dim(name, dim, input.ndim)
    if _common.integer(name, "step", step) < 1:
        message = f"{name}: expected a step > 0, got {step}; flip() turns a dimension round"
        raise RuntimeError(message)
    return _in_part(name, input, src, (*(slice(None),) * d, slice(start, end, step), Ellipsis))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """The elements of ``source``, in order, where the mask holds, as torch.masked_scatter.

    Shapes: input and mask (of bool) broadcast; source has as many elements as are wanted, or more.
    Raises RuntimeError for fewer, a mask of another type and a source of another type.
    """
    name = "masked_scatter"
    for what, t in (("input", input), ("mask", mask), ("source", source)):
        _common.require_tensor(name, what, t)
    if source.array.dtype != input.array.dtype:
        message = (
            f"{name}: expected source in the type of input, {input.dtype}, got {source.dtype}; "
            f"convert it with .to({input.dtype})"
        )
        raise RuntimeError(message)
    _common.table_of(input, mask, source, op=name)
    if mask.array.dtype.kind != "b":
        message = f"{name}: expected a mask of type bool, got {mask.dtype}; use .bool()"
        raise RuntimeError(message)
    shape = _common.broadcast_shape(name, input.shape, mask.shape)
    mask, input = expand(mask, *shape), expand(input, *shape)
    count = cumsum(reshape(mask, -1), 0)
    wanted = int(count[-1]) if count.numel() else 0
    if wanted > source.numel():
        message = (
            f"{name}: expected at least {wanted} elements in source, one for each true one of the "
            f"mask, got {source.numel()}; repeat() gives more"
        )
        raise RuntimeError(message)
    if wanted == 0:
        return clone(input)
    places = reshape(clamp_min(count - 1, 0), shape)
    return where(mask, take(source, places), input)


masked_scatter_: InPlace[...] = in_place(masked_scatter)


def _plain(x: Any, src: Any, d: int, *a: Any) -> Any:
    out = x.copy()
    out[(*(slice(None),) * (d % x.ndim), a[0] if len(a) == 1 else slice(*a))] = src
    return out


def _plain_masked(x: Any, mask: Any, src: Any) -> Any:
    xp = array_module(x)
    out, wide = (a.copy() for a in xp.broadcast_arrays(x, mask))
    out[wide] = src.reshape(-1)[: int(wide.sum())]
    return out


CASES = [
    OpCase(select_scatter, "select_scatter", [(4, 3), (3,), 0, -1], ref=_plain),
    OpCase(select_scatter, "select_scatter", [(2, 3), (2,), 1, 0], ref=_plain),
    OpCase(slice_scatter, "slice_scatter", [(5, 3), (2, 3), 0, 1, 5, 2], ref=_plain),
    OpCase(slice_scatter, "slice_scatter", [(2, 4), (2, 2), -1, -2, None, 1], ref=_plain),
    OpCase(masked_scatter, "masked_scatter", [(3, 4), ("bool", (3, 4)), (12,)], ref=_plain_masked),
    OpCase(masked_scatter, "masked_scatter", [(3, 4), ("bool", (4,)), (4, 4)], ref=_plain_masked),
]
_MASK = ("bool", (2, 3))
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (select_scatter, "select_scatter", [(2, 3), (3,), 0, 2], IndexError, "index in [-2, 1]"),
    (select_scatter, "select_scatter", [(2, 3), (2,), 0, 1], RuntimeError, "src of shape (3,)"),
    (select_scatter, "select_scatter", [(), (), 0, 0], IndexError, "at least one dimension"),
    (slice_scatter, "slice_scatter", [(3,), (3,), 0, 0, 3, 0], RuntimeError, "a step > 0"),
    (slice_scatter, "slice_scatter", [(3,), (2,)], RuntimeError, "src of shape (3,)"),
    (slice_scatter, "slice_scatter", [(3,), (3,), 1], IndexError, "expected dim in"),
    (masked_scatter, "masked_scatter", [(2, 3), (2, 3), (6,)], RuntimeError, "a mask of type bool"),
    (masked_scatter, "masked_scatter", [(2, 3), _MASK, (0,)], RuntimeError, "elements in source"),
    (masked_scatter, "masked_scatter", [(2, 3), _MASK, 1.0], TypeError, "source as a Tensor"),
    (masked_scatter, "masked_scatter", [(2, 3), _MASK, ("cells", [1])], RuntimeError, "the type"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]

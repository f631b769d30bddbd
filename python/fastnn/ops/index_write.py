# SPDX-License-Identifier: BSD-3-Clause
"""Copies with other elements at some places: index_put, put, take, index_copy, index_fill.

Shapes:   as the input's; of take the index's.
Backward: dinput = g with zeros at the places (g itself where values are added);  dvalues = g at the
          places, also where another value came to stay.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops._index_expression import Picks, out_of_range, picks
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops._refusal import refusal
from fastnn.ops.binary import add_tensors
from fastnn.ops.copy import clone, to
from fastnn.ops.creation import tensor, zeros
from fastnn.ops.gather import run
from fastnn.ops.index import Scatter as Place
from fastnn.ops.index_put import IndexPut
from fastnn.ops.masked import PutTrue
from fastnn.ops.rows import IndexAdd, select_rows
from fastnn.ops.scatter import Scatter
from fastnn.ops.view import expand, permute, reshape
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _same_type(name: str, input: Tensor, values: Any, what: str) -> None:
    _common.require_tensor(name, "input", input)
    _common.require_tensor(name, what, values)
    if values.array.dtype != input.array.dtype:
        message = (
            f"{name}: expected {what} in the type of input, {input.dtype}, got {values.dtype}; "
            f"convert it with .to({input.dtype})"
        )
        raise RuntimeError(message)
    _common.table_of(input, values, op=name)


def _added(input: Tensor, p: Picks, values: Tensor) -> Tensor:
    """Zeros with values added at an index: the transpose of picking."""
    rows = expand(values, *p.shape)
    if p.kept is not None:
        rows = PutTrue.apply((reshape(rows, p.three(p.kept.count)),), p.kept, p.three(p.merged))
    else:
        assert p.numbers is not None
        wide = (*p.lead, p.merged, *p.rest)
        rows = reshape(rows, *p.lead, p.numbers.numel(), *p.rest)
        rows = IndexAdd.apply((rows, p.numbers), len(p.lead), wide, True)
    place = input.array[p.basic]
    order = p.order or tuple(range(place.ndim))
    rows = reshape(rows, [place.shape[d] for d in order])
    rows = permute(rows, sorted(range(place.ndim), key=order.__getitem__))
    return Place.apply((rows,), input.shape, p.basic)  # type: ignore[no-any-return]


def index_put_tensor(
    input: Tensor, indices: Any, values: Tensor, accumulate: bool = False
) -> Tensor:
    """A copy with ``input[indices] = values``, or += with ``accumulate``; torch.index_put.

    indices: a tuple of tensors of integers or bools, or None for a whole dimension. Values
    broadcast to what the index picks; additions come in order.
    Raises IndexError for places that are not there, RuntimeError for values of another type.
    """
    name = "index_put"
    _same_type(name, input, values, "values")
    if isinstance(indices, Tensor) or not isinstance(indices, tuple | list) or not indices:
        message = (
            f"{name}: expected indices as a tuple of tensors, got {type(indices).__name__}; write "
            "(index,)"
        )
        raise TypeError(message)
    if len(indices) > input.ndim:
        message = (
            f"{name}: expected at most {input.ndim} indices for {input.shape}, got {len(indices)}; "
            "unsqueeze() adds dimensions"
        )
        raise IndexError(message)
    for i in indices:
        if i is not None:
            _common.require_tensor(name, "every index", i)
    p = picks(tuple([slice(None) if i is None else i for i in indices]), input, name)
    if _common.broadcast_shape(name, p.shape, values.shape) != p.shape:
        text = f"values that broadcast to {p.shape}"
        raise refusal(RuntimeError, name, text, values.shape, "reshape() them")
    # Looked at again by backward: the user's own numbers may have changed then.
    p.numbers = None if p.numbers is None else clone(p.numbers)
    p.kept = None if p.kept is None else p.kept.own(_common.table_of(input))
    try:
        if accumulate:
            return add_tensors(input, _added(input, p, values))
        return IndexPut.apply((input, values), p)  # type: ignore[no-any-return]
    except IndexError:
        n, numbers = p.merged, [] if p.numbers is None else p.numbers.tolist()
        bad = next(i for i in numbers if not -n <= i < n)
        raise out_of_range(bad, n, name) from None


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at places of the flattened tensor, in the shape of ``index``, as torch.take.

    index: int64, negative numbers count from the end.   Raises IndexError for one out of range,
    RuntimeError for another type.
    """
    _common.require_tensor("take", "input", input)
    _flat_index("take", index)
    taken = select_rows("take", reshape(input, -1), 0, reshape(index, -1), negative=True)
    return reshape(taken, index.shape)


def _flat_index(name: str, index: Any) -> None:
    _common.require_tensor(name, "index", index)
    if index.array.dtype != _dtypes.int64.numpy:
        message = f"{name}: expected index of int64, got {index.dtype}; convert it with .long()"
        raise RuntimeError(message)


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with ``source`` at places of the flattened tensor, or added there; torch.put.

    index: int64, as many as elements of source.   Raises IndexError for a place that is not there,
    RuntimeError for a source of another size or type.
    """
    _same_type("put", input, source, "source")
    _flat_index("put", index)
    if index.numel() != source.numel():
        message = (
            f"put: expected as many elements in source as in index, got {source.shape} and "
            f"{index.shape}; expand() repeats one"
        )
        raise RuntimeError(message)
    if input.numel() == 0 and index.numel() == 0:
        return clone(input)
    flat = reshape(input, -1)
    out = index_put_tensor(flat, (reshape(index, -1),), reshape(source, -1), accumulate)
    return reshape(out, input.shape)


def _row(name: str, input: Tensor, index: Any) -> Tensor:
    """The numbers of entries as a vector of int64."""
    _common.require_tensor(name, "index", index)
    if index.array.dtype.kind not in "iu" or index.ndim > 1:
        message = (
            f"{name}: expected index as a 1-D tensor of integers, got {index.dtype} {index.shape}; "
            "flatten() it, and convert it with .long()"
        )
        raise (IndexError if index.ndim > 1 else RuntimeError)(message)
    _common.table_of(input, index, op=name)
    return reshape(to(index, _dtypes.int64), -1)


@numpy_names
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy with entries of ``source`` at places of ``dim``, as torch.index_copy.

    Shapes: input (..., n, ...), index (m) of integers in [0, n), source (..., m, ...).
    Raises IndexError for a place that is not there, RuntimeError for a source that does not fit.
    """
    name = "index_copy"
    _same_type(name, input, source, "source")
    d = _common.one_dim(name, dim, input.ndim)
    x = input if input.ndim else reshape(input, 1)
    row = _row(name, x, index)
    shape = (*x.shape[:d], row.numel(), *x.shape[d + 1 :])
    one = source.ndim == 0 and shape == (1,)
    if (source.shape != shape and not one) or (source.ndim == 0 and index.numel() != 1):
        message = (
            f"{name}: expected source of shape {shape}, got {source.shape}; index holds one number "
            "for each of its entries"
        )
        raise (IndexError if source.ndim == 0 else RuntimeError)(message)
    places = expand(reshape(row, *(1,) * d, -1, *(1,) * (x.ndim - d - 1)), *shape)
    return reshape(run(name, Scatter, (x, places, reshape(source, shape)), d), input.shape)


@numpy_names
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with ``value`` (a number or a 0-d tensor) at entries of ``dim``, as torch.index_fill.

    Raises IndexError for a place that is not there, RuntimeError for a value with dimensions.
    """
    name = "index_fill"
    _common.require_tensor(name, "input", input)
    value = _common.as_operand(name, value)
    d = _common.one_dim(name, dim, input.ndim)
    x = input if input.ndim else reshape(input, 1)
    row, n = _row(name, x, index), x.shape[d]
    if not isinstance(value, Tensor):
        table = _common.table_of(input)
        value = Tensor._wrap(_common.scalar_array(table, value, input.dtype, op=name))
    if value.ndim:
        message = (
            f"{name}: expected value as a number or 0-d tensor, got {value.shape}; index_copy() "
            "takes a tensor of values"
        )
        raise RuntimeError(message)
    # A place that is named twice is filled once, and has one gradient.
    row = where(row < 0, row + n, row)
    none, some = (zeros(k, dtype=_dtypes.bool_) for k in (n, row.numel()))
    mask = run(name, Scatter, (none, row, ~some), 0)
    mask = reshape(mask, *(1,) * d, -1, *(1,) * (x.ndim - d - 1))
    return reshape(where(mask, to(value, input.dtype), x), input.shape)


_common.named(index_put=index_put_tensor)
index_put_: InPlace[...] = in_place(index_put_tensor)
put_: InPlace[...] = in_place(put)
index_copy_: InPlace[...] = in_place(index_copy)
index_fill_: InPlace[...] = in_place(index_fill)


def _of_indices(input: Any, *rest: Any) -> Any:
    """index_put with the indices as separate arguments, for the case table."""
    *indices, values, accumulate = rest
    return index_put_tensor(input, tuple(indices), values, accumulate)


def _plain_put(x: Any, *rest: Any) -> Any:
    *indices, values, accumulate = rest
    out = x.copy()
    if accumulate:
        array_module(x).add.at(out, tuple(indices), values)
    else:
        out[tuple(indices)] = values
    return out


def _plain_flat(x: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    return _plain_put(x.reshape(-1), index, source, accumulate).reshape(x.shape)


def _plain_entries(x: Any, d: int, index: Any, source: Any) -> Any:
    out = x.copy()
    out[(*(slice(None),) * (d % x.ndim), index)] = source
    return out


_TWO = ("cells", [2, -1])
CASES = [
    OpCase(index_put_tensor, "index_put", [(4, 3), (tensor([2, -1]),), (3,)],
           ref=lambda x, i, v: _plain_put(x, i[0].tolist(), v, False)),
    *(
        OpCase(_of_indices, "index_put by parts", [(4, 3), *a], ref=_plain_put)
        for a in (
            [_TWO, (2, 3), False],
            [("cells", [2, 0, 2]), (3, 3), True],
            [_TWO, ("cells", [0, 1]), (), True],
            [("bool", (4, 3)), (), True],
            [("bool", (4, 3)), (), False],
            [("cells", [[0], [2]]), (2, 1, 3), True],
        )
    ),
    OpCase(take, "take", [(3, 4), ("cells", [[0, -1], [5, 5]])], ref=lambda x, i: x.flat[i]),
    OpCase(take, "take", [(5,), ("cells", 3)], ref=lambda x, i: x[i]),
    OpCase(put, "put", [(3, 4), ("cells", [[0, -1], [5, 4]]), (2, 2)], ref=_plain_flat),
    OpCase(put, "put", [(3, 4), ("cells", [1, -1, 1]), (3,), True], ref=_plain_flat),
    *(
        OpCase(index_copy, "index_copy", a, ref=_plain_entries)
        for a in ([(4, 3), 0, ("cells", [3, 1]), (2, 3)], [(2, 3), -1, ("cells", [0]), (2, 1)])
    ),
    *(
        OpCase(index_fill, "index_fill", a, ref=_plain_entries)
        for a in ([(4, 3), 0, ("cells", [3, 1]), 0.5], [(2, 3), 1, ("cells", [0, 2]), ()])
    ),
]  # fmt: skip
_ONE = ("cells", [1])
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (_of_indices, "index_put", [(3,), ("cells", [3]), (1,), False], IndexError, "[-3, 2], got 3"),
    (_of_indices, "index_put", [(3,), _ONE, 1.0, False], TypeError, "values as a Tensor"),
    (_of_indices, "index_put", [(3,), _ONE, _ONE, False], RuntimeError, "in the type of input"),
    (_of_indices, "index_put", [(3,), _ONE, (2,), True], RuntimeError, "values that broadcast"),
    (_of_indices, "index_put", [(3,), _ONE, _ONE, (1,), True], IndexError, "at most 1 indices"),
    (index_put_tensor, "index_put", [(3,), _ONE, (1,)], TypeError, "a tuple of tensors"),
    (take, "take", [(3,), ("cells", [3])], IndexError, "got 3"),
    (take, "take", [(3,), (1,)], RuntimeError, "index of int64"),
    (take, "take", [(3,), 1], TypeError, "index as a Tensor"),
    (put, "put", [(3,), ("cells", [0, 1]), (1,)], RuntimeError, "as many elements"),
    (put, "put", [(3,), (1,), (1,)], RuntimeError, "index of int64"),
    (put, "put", [(3,), _ONE, _ONE], RuntimeError, "in the type of input"),
    *(
        bad
        for f, value in ((index_copy, (1, 3)), (index_fill, 0.5))
        for bad in (
            (f, f.__name__, [(2, 3), 0, ("cells", [2]), value], IndexError, "got 2"),
            (f, f.__name__, [(2, 3), 0, (1,), value], RuntimeError, "tensor of integers"),
            (f, f.__name__, [(2, 3), 2, _ONE, value], IndexError, "expected dim in"),
        )
    ),
    (index_copy, "index_copy", [(2, 3), 0, _ONE, (2, 3)], RuntimeError, "source of shape (1, 3)"),
    (index_fill, "index_fill", [(2, 3), 0, _ONE, (2,)], RuntimeError, "0-d tensor"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]

# SPDX-License-Identifier: BSD-3-Clause
"""Other shapes and orders by torch's further names: rot90, fliplr, flipud, atleast_1d to 3d, ravel,
reshape_as, swapaxes, moveaxis, and pieces by tensor_split, hsplit, vsplit, dsplit.

Backward: of the views and copies that these are made of.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.arrange import flip
from fastnn.ops.pieces import movedim
from fastnn.ops.view import reshape, transpose
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _require_ndim(name: str, input: Any, least: int) -> None:
    _common.require_tensor(name, "input", input)
    if input.ndim < least:
        message = (
            f"{name}: expected at least {least} dimensions, got {input.shape}; unsqueeze() adds one"
        )
        raise RuntimeError(message)


def fliplr(input: Tensor) -> Tensor:
    """The order of dimension 1 turned round, as torch.fliplr: a copy.

    Raises RuntimeError for tensors of fewer than 2 dimensions.
    """
    _require_ndim("fliplr", input, 2)
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """The order of dimension 0 turned round, as torch.flipud: a copy.

    Raises RuntimeError for 0-d tensors.
    """
    _require_ndim("flipud", input, 1)
    return flip(input, 0)


def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """The plane of two dims turned k times by 90 degrees, first to second, as torch.rot90.

    Raises RuntimeError for dims that are not two different ones, IndexError for one not there.
    """
    _require_ndim("rot90", input, 2)
    k, given = _common.integer("rot90", "k", k), _common.shape_argument("rot90", (dims,))
    plane = tuple(_common.one_dim("rot90", d, input.ndim) for d in given)
    if len(plane) != 2 or plane[0] == plane[1]:
        message = f"rot90: expected two different dims, got {given}; name a plane, as (0, 1)"
        raise RuntimeError(message)
    first, second = plane
    if k % 2 == 0:
        return flip(input, *(plane if k % 4 else ()))
    return transpose(flip(input, second if k % 4 == 1 else first), first, second)


def ravel(input: Tensor) -> Tensor:
    """The elements as a vector, a view where possible, as torch.ravel.

    Raises TypeError for no tensor.
    """
    _common.require_tensor("ravel", "input", input)
    return reshape(input.contiguous(), -1)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of another tensor, as torch.Tensor.reshape_as.

    Raises RuntimeError for another number of elements, TypeError for no tensors.
    """
    _common.require_tensor("reshape_as", "input", input)
    _common.require_tensor("reshape_as", "other", other)
    if input.numel() != other.numel():
        message = (
            f"reshape_as: expected another tensor of {input.numel()} elements, got {other.shape}; "
            "expand_as() repeats elements"
        )
        raise RuntimeError(message)
    return reshape(input, *other.shape)


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose` under NumPy's name, as torch.swapaxes. Raises as that does."""
    _common.require_tensor("swapaxes", "input", input)
    for d in (axis0, axis1):
        _common.one_dim("swapaxes", d, input.ndim)
    return transpose(input, axis0, axis1)


def moveaxis(input: Tensor, source: Any, destination: Any) -> Tensor:
    """`movedim` under NumPy's name, as torch.moveaxis. Raises as that does."""
    _common.require_tensor("moveaxis", "input", input)
    for d in _common.shape_argument("moveaxis", (source,)):
        _common.one_dim("moveaxis", d, input.ndim)
    return movedim(input, source, destination)


def _at_least(name: str, n: int, tensors: tuple[Any, ...]) -> Any:
    many = len(tensors) == 1 and isinstance(tensors[0], tuple | list)
    given = tuple(tensors[0]) if many else tensors
    out = []
    for t in given:
        _common.require_tensor(name, "every argument", t)
        shape = t.shape
        if len(shape) < n:
            # A vector becomes a row, and a matrix a stack of vectors of length 1.
            shape = {
                (0, 1): (1,), (0, 2): (1, 1), (0, 3): (1, 1, 1),
                (1, 2): (1, *shape), (1, 3): (1, *shape, 1), (2, 3): (*shape, 1),
            }[len(shape), n]  # fmt: skip
            t = reshape(t, shape)  # noqa: PLW2901
        out.append(t)
    return tuple(out) if many or len(out) != 1 else out[0]


def atleast_1d(*tensors: Any) -> Any:
    """Tensors with at least one dimension, as torch.atleast_1d: one, or a tuple of several.

    Raises TypeError for others.
    """
    return _at_least("atleast_1d", 1, tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Tensors with at least two dimensions, vectors as rows, as torch.atleast_2d.

    Raises TypeError for others.
    """
    return _at_least("atleast_2d", 2, tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors with at least three dimensions, as torch.atleast_3d: (n) as (1, n, 1), (n, m) as
    (n, m, 1).

    Raises TypeError for others.
    """
    return _at_least("atleast_3d", 3, tensors)


def _split_at(name: str, input: Tensor, where: Any, d: int) -> tuple[Tensor, ...]:
    n = input.shape[d]
    if isinstance(where, Tensor):
        if where.ndim > 1 or where.dtype.category != 1:
            message = (
                f"{name}: expected a number of pieces or a vector of places of int64, got "
                f"{where.dtype} {where.shape}; convert it with .long()"
            )
            raise RuntimeError(message)
        where = where.tolist()
    if isinstance(where, tuple | list):
        cuts = [0, *(slice(None, i).indices(n)[1] for i in _common.shape_argument(name, (where,)))]
        sizes = [max(0, b - a) for a, b in zip(cuts, [*cuts[1:], n], strict=True)]
        starts = cuts
    else:
        pieces = _common.integer(name, "indices_or_sections", where)
        if pieces < 1:
            message = f"{name}: expected a number of pieces > 0, got {pieces}; 1 is the whole"
            raise RuntimeError(message)
        sizes = [n // pieces + (i < n % pieces) for i in range(pieces)]
        starts = [sum(sizes[:i]) for i in range(pieces)]
    return tuple(input.narrow(d, a, m) for a, m in zip(starts, sizes, strict=True))


@numpy_names
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along ``dim``: of about one size, or cut at places; as torch.tensor_split.

    Raises RuntimeError for fewer than one piece or a 0-d tensor, IndexError for a bad dim.
    """
    _require_ndim("tensor_split", input, 1)
    d = _common.one_dim("tensor_split", dim, input.ndim)
    return _split_at("tensor_split", input, indices_or_sections, d)


def _split_equally(name: str, input: Tensor, where: Any, d: int) -> tuple[Tensor, ...]:
    if not isinstance(where, tuple | list):
        pieces = _common.integer(name, "indices_or_sections", where)
        if pieces < 1 or input.shape[d] % pieces:
            message = (
                f"{name}: expected a number of pieces that divides {input.shape[d]}, the size of "
                f"dimension {d}, got {pieces}; tensor_split() makes unequal ones"
            )
            raise RuntimeError(message)
    return _split_at(name, input, where, d)


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along dimension 1, of a vector 0, into equal pieces; as torch.hsplit.

    Raises RuntimeError for a number that does not divide the size, or a 0-d tensor.
    """
    _require_ndim("hsplit", input, 1)
    return _split_equally("hsplit", input, indices_or_sections, 0 if input.ndim == 1 else 1)


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along dimension 0 into equal pieces, as torch.vsplit.

    Raises RuntimeError for a number that does not divide the size, or fewer than 2 dimensions.
    """
    _require_ndim("vsplit", input, 2)
    return _split_equally("vsplit", input, indices_or_sections, 0)


def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along dimension 2 into equal pieces, as torch.dsplit.

    Raises RuntimeError for a number that does not divide the size, or fewer than 3 dimensions.
    """
    _require_ndim("dsplit", input, 3)
    return _split_equally("dsplit", input, indices_or_sections, 2)


def _np(name: str) -> Any:
    return lambda x, *a: getattr(array_module(x), name)(x, *a)


def _np_split(name: str) -> Any:
    return lambda x, *a: tuple(getattr(array_module(x), name)(x, *a))


CASES = [
    OpCase(fliplr, "fliplr", [(2, 3)], ref=_np("fliplr")),
    OpCase(flipud, "flipud", [(2, 3)], ref=_np("flipud")),
    *(OpCase(rot90, "rot90", [(2, 3, 4), k, [2, 0]], ref=_np("rot90")) for k in (0, 1, -2, 3)),
    OpCase(ravel, "ravel", [(2, 3)], ref=_np("ravel")),
    OpCase(
        reshape_as, "reshape_as", [(6,), ("int", (2, 3), 0, 9)], ref=lambda x, y: x.reshape(y.shape)
    ),
    OpCase(swapaxes, "swapaxes", [(2, 3, 4), 0, -1], ref=_np("swapaxes")),
    OpCase(moveaxis, "moveaxis", [(2, 3, 4), [0, 1], [2, 0]], ref=_np("moveaxis")),
    *(
        OpCase(f, f.__name__, [s], ref=_np(f.__name__))
        for f in (atleast_1d, atleast_2d, atleast_3d)
        for s in ((), (3,), (2, 3))
    ),
    OpCase(atleast_2d, "atleast_2d", [(), (3,)], ref=lambda x, y: (x.reshape(1, 1), y[None])),
    OpCase(tensor_split, "tensor_split", [(7, 2), 3], ref=_np_split("array_split")),
    OpCase(tensor_split, "tensor_split", [(2, 7), [2, 5, 9], -1], ref=_np_split("array_split")),
    OpCase(hsplit, "hsplit", [(2, 6), 3], ref=_np_split("hsplit")),
    OpCase(hsplit, "hsplit", [(6,), [1, 4]], ref=_np_split("hsplit")),
    OpCase(vsplit, "vsplit", [(4, 3), 2], ref=_np_split("vsplit")),
    OpCase(dsplit, "dsplit", [(2, 3, 4), 2], ref=_np_split("dsplit")),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    *(
        bad
        for f, shape in ((fliplr, (3,)), (flipud, ()), (rot90, (3,)))
        for bad in (
            (f, f.__name__, [shape], RuntimeError, "dimensions"),
            (f, f.__name__, [[1.0]], TypeError, "expected input as a Tensor"),
            (f, f.__name__, [None], TypeError, "expected input as a Tensor"),
        )
    ),
    (rot90, "rot90", [(2, 3), 1, [0, 0]], RuntimeError, "two different dims"),
    *((ravel, "ravel", [v], TypeError, "expected input as a Tensor") for v in (None, 1.0, [1.0])),
    (reshape_as, "reshape_as", [(6,), (5,)], RuntimeError, "of 6 elements"),
    (reshape_as, "reshape_as", [(6,), 6], TypeError, "expected other as a Tensor"),
    (reshape_as, "reshape_as", [None, (6,)], TypeError, "expected input as a Tensor"),
    *(
        bad
        for f in (swapaxes, moveaxis)
        for bad in (
            (f, f.__name__, [(2, 3), 2, 0], IndexError, "expected dim in"),
            (f, f.__name__, [None, 0, 0], TypeError, "expected input as a Tensor"),
            (f, f.__name__, [(2, 3), "a", 0], TypeError, "as"),
        )
    ),
    *(
        (f, f.__name__, [v], TypeError, "every argument as a Tensor")
        for f in (atleast_1d, atleast_2d, atleast_3d)
        for v in (None, 1.0, [1.0])
    ),
    (tensor_split, "tensor_split", [(3,), 0], RuntimeError, "a number of pieces > 0"),
    (tensor_split, "tensor_split", [(), 1], RuntimeError, "at least 1 dimensions"),
    (tensor_split, "tensor_split", [(3,), 1, 1], IndexError, "expected dim in"),
    *(
        bad
        for f, shape in ((hsplit, (2, 3)), (vsplit, (3, 2)), (dsplit, (1, 1, 3)))
        for bad in (
            (f, f.__name__, [shape, 2], RuntimeError, "that divides 3"),
            (f, f.__name__, [(), 1], RuntimeError, "dimensions"),
            (f, f.__name__, [shape, "a"], TypeError, "indices_or_sections as an int"),
        )
    ),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]

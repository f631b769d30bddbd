# SPDX-License-Identifier: BSD-3-Clause
"""Several tensors brought together: broadcast_tensors, meshgrid, cartesian_prod, combinations,
dstack, column_stack, block_diag.

Backward: of the views, copies and joins that these are made of.
"""

from __future__ import annotations

import itertools
from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops.creation import tensor
from fastnn.ops.index_put import IndexPut
from fastnn.ops.join import cat, stack
from fastnn.ops.rows import IndexSelect
from fastnn.ops.turns import atleast_2d, atleast_3d
from fastnn.ops.view import expand, reshape
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _listed(name: str, tensors: tuple[Any, ...]) -> list[Tensor]:
    """Separate arguments, or one tuple or list of tensors."""
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    for i, t in enumerate(tensors):
        _common.require_tensor(name, f"tensors[{i}]", t)
    return list(tensors)


def _some(name: str, tensors: tuple[Any, ...]) -> list[Tensor]:
    given = _listed(name, tensors)
    if not given:
        message = f"{name}: expected at least one tensor, got none; check what fills the list"
        raise RuntimeError(message)
    return given


def _vectors(name: str, tensors: tuple[Any, ...], least: int = 1) -> list[Tensor]:
    given = _some(name, tensors)
    for t in given:
        if not least <= t.ndim <= 1:
            message = f"{name}: expected vectors, got shape {t.shape}; flatten() makes one"
            raise RuntimeError(message)
    return given


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Views of tensors in their common shape, as torch.broadcast_tensors.

    Raises RuntimeError for shapes that do not broadcast, TypeError for others.
    """
    given = _listed("broadcast_tensors", tensors)
    shape: tuple[int, ...] = ()
    for t in given:
        shape = _common.broadcast_shape("broadcast_tensors", shape, t.shape)
    return tuple([expand(t, *shape) for t in given])


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Views of vectors along one dimension each of a common grid, as torch.meshgrid.

    indexing: 'ij', what None means, or 'xy', which exchanges the first two dimensions.
    Raises RuntimeError for tensors that are no vectors, of two types, and other indexing.
    """
    given = _vectors("meshgrid", tensors, 0)
    if indexing not in (None, "ij", "xy"):
        message = f"meshgrid: expected indexing 'ij' or 'xy', got {indexing!r}; 'ij' is usual"
        raise RuntimeError(message)
    if any(t.array.dtype != given[0].array.dtype for t in given):
        types = [t.dtype for t in given]
        message = f"meshgrid: expected tensors of one type, got {types}; convert with .to()"
        raise RuntimeError(message)
    swap = indexing == "xy" and len(given) > 1
    if swap:
        given[:2] = given[1::-1]
    shape = [t.numel() for t in given]
    grids = [
        expand(reshape(t, *(-1 if j == i else 1 for j in range(len(given)))), *shape)
        for i, t in enumerate(given)
    ]
    if swap:
        grids[:2] = grids[1::-1]
    return tuple(grids)


def cartesian_prod(*tensors: Any) -> Tensor:
    """All tuples of one element of each vector, one row each, as torch.cartesian_prod.

    Raises RuntimeError for tensors that are no vectors, TypeError for others.
    """
    given = _vectors("cartesian_prod", tensors)
    if len(given) == 1:
        return given[0]
    return reshape(stack(list(meshgrid(*given)), -1), -1, len(given))


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """The combinations of r elements of a vector, one row each, as torch.combinations.

    Raises RuntimeError for a tensor that is no vector or r below 0, TypeError for no tensor.
    """
    (x,) = _vectors("combinations", (input,))
    if _common.integer("combinations", "r", r) < 0:
        message = f"combinations: expected r >= 0, got {r}; 2 makes pairs"
        raise RuntimeError(message)
    every = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = list(itertools.chain.from_iterable(every(range(x.shape[0]), r)))
    if not places:
        return reshape(x[:0], 0, r) if r else x[:0]
    numbers = tensor(places, dtype=_dtypes.int64)
    return reshape(IndexSelect.apply((x, numbers), 0, False), -1, r)


def dstack(tensors: Any) -> Tensor:
    """`cat` along dimension 2 of tensors with at least three, as torch.dstack. Raises as `cat`."""
    return _joined("dstack", tensors, atleast_3d, 2)


def _joined(name: str, tensors: Any, wide: Any, d: int) -> Tensor:
    if not isinstance(tensors, tuple | list):
        message = f"{name}: expected a list of tensors, got {type(tensors).__name__}; write [a, b]"
        raise TypeError(message)
    given = [wide(t) for t in _some(name, (tensors,))]
    for t in given:
        first = given[0].shape
        if t.ndim != len(first) or any(
            i != d and n != m for i, (n, m) in enumerate(zip(first, t.shape, strict=True))
        ):
            message = (
                f"{name}: expected tensors of equal sizes but for dimension {d}, got {first} and "
                f"{t.shape}; slice the larger or pad() the smaller"
            )
            raise RuntimeError(message)
    return cat(given, d)


def _column(t: Tensor) -> Tensor:
    return reshape(t, -1, 1) if t.ndim < 2 else t


def column_stack(tensors: Any) -> Tensor:
    """`cat` along dimension 1, vectors as columns, as torch.column_stack. Raises as `cat`."""
    return _joined("column_stack", tensors, _column, 1)


def block_diag(*tensors: Any) -> Tensor:
    """Matrices one after the other along the diagonal, zeros around them, as torch.block_diag.

    Vectors and numbers count as rows.   Raises RuntimeError for more than two dimensions, TypeError
    for no tensors.
    """
    given = _listed("block_diag", tensors)
    if not given:
        return reshape(tensor([]), 1, 0)
    for t in given:
        if t.ndim > 2:
            message = f"block_diag: expected matrices, got shape {t.shape}; flatten() the others"
            raise RuntimeError(message)
    blocks = [atleast_2d(t) for t in given]
    dtype = _common.result_type(*given)
    table = _common.table_of(*given, op="block_diag")
    shape = tuple(sum(b.shape[d] for b in blocks) for d in (0, 1))
    array = table.empty(shape, dtype.numpy)
    table.fill(table.xp.zeros(1, dtype.numpy), array)
    out = Tensor._wrap(array)
    row = column = 0
    for b in blocks:
        rows, columns = b.shape
        place = (slice(row, row + rows), slice(column, column + columns))
        out = IndexPut.apply((out, b.to(dtype)), place)
        row, column = row + rows, column + columns
    return out


def _mesh_ref(indexing: str) -> Any:
    return lambda *a: tuple(array_module(a[0]).meshgrid(*a, indexing=indexing))


def _xy(*a: Any) -> Any:
    """meshgrid as pictures have it, for the case table."""
    return meshgrid(*a, indexing="xy")


def _plain_product(*a: Any) -> Any:
    return array_module(a[0]).asarray(list(itertools.product(*(x.tolist() for x in a))))


def _plain_combinations(x: Any, r: int = 2, again: bool = False) -> Any:
    every = itertools.combinations_with_replacement if again else itertools.combinations
    return array_module(x).asarray(list(every(x.tolist(), r)))


def _plain_blocks(*a: Any) -> Any:
    xp = array_module(a[0])
    blocks = [xp.atleast_2d(x) for x in a]
    rows = []
    for i, b in enumerate(blocks):
        rows.append(
            xp.hstack(
                [b if i == j else xp.zeros((len(b), c.shape[1])) for j, c in enumerate(blocks)]
            )
        )
    return xp.vstack(rows)


def _dstack(*tensors: Any) -> Any:
    """dstack of separate arguments, for the case table."""
    return dstack(list(tensors))


def _column_stack(*tensors: Any) -> Any:
    """column_stack of separate arguments, for the case table."""
    return column_stack(list(tensors))


CASES = [
    OpCase(broadcast_tensors, "broadcast_tensors", [(3, 1), (4,), ()],
           ref=lambda *a: tuple(array_module(a[0]).broadcast_arrays(*a))),
    OpCase(meshgrid, "meshgrid", [(3,), (2,), ()], {"indexing": "ij"},
           lambda x, y, z, indexing: _mesh_ref(indexing)(x, y, z.reshape(1))),
    OpCase(_xy, "meshgrid xy", [(3,), (2,), (4,)], ref=_mesh_ref("xy")),
    OpCase(cartesian_prod, "cartesian_prod", [(2,), (3,)], ref=_plain_product),
    OpCase(cartesian_prod, "cartesian_prod", [(2,)], ref=lambda x: x),
    OpCase(combinations, "combinations", [(4,)], ref=_plain_combinations),
    OpCase(combinations, "combinations", [(3,), 3, True], ref=_plain_combinations),
    OpCase(_dstack, "dstack", [(2, 3), (2, 3)], ref=lambda *a: array_module(a[0]).dstack(a)),
    OpCase(_dstack, "dstack", [(3,), (3,)], ref=lambda *a: array_module(a[0]).dstack(a)),
    OpCase(_column_stack, "column_stack", [(3,), (3, 2)],
           ref=lambda *a: array_module(a[0]).column_stack(a)),
    OpCase(block_diag, "block_diag", [(2, 3), (), (2,), (1, 2)], ref=_plain_blocks),
]  # fmt: skip
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (broadcast_tensors, "broadcast_tensors", [(2,), (3,)], RuntimeError, "shapes that broadcast"),
    (broadcast_tensors, "broadcast_tensors", [(2,), 1.0], TypeError, "tensors[1] as a Tensor"),
    (broadcast_tensors, "broadcast_tensors", [None], TypeError, "tensors[0] as a Tensor"),
    (meshgrid, "meshgrid", [(2, 3)], RuntimeError, "expected vectors"),
    (meshgrid, "meshgrid", [(2,), ("cells", [1])], RuntimeError, "of one type"),
    (meshgrid, "meshgrid", [], RuntimeError, "at least one tensor"),
    (cartesian_prod, "cartesian_prod", [(2, 3)], RuntimeError, "expected vectors"),
    (cartesian_prod, "cartesian_prod", [()], RuntimeError, "expected vectors"),
    (cartesian_prod, "cartesian_prod", [1.0], TypeError, "tensors[0] as a Tensor"),
    (combinations, "combinations", [(2, 3)], RuntimeError, "expected vectors"),
    (combinations, "combinations", [(3,), -1], RuntimeError, "r >= 0"),
    (combinations, "combinations", [1.0], TypeError, "tensors[0] as a Tensor"),
    (_dstack, "dstack", [(2, 3), (3, 3)], RuntimeError, "but for dimension 2"),
    (dstack, "dstack", [[]], RuntimeError, "at least one tensor"),
    (dstack, "dstack", [None], TypeError, "a list of tensors"),
    (_column_stack, "column_stack", [(2,), (3,)], RuntimeError, "but for dimension 1"),
    (column_stack, "column_stack", [[]], RuntimeError, "at least one tensor"),
    (column_stack, "column_stack", [(3,)], TypeError, "a list of tensors"),
    (block_diag, "block_diag", [(2, 3, 4)], RuntimeError, "expected matrices"),
    (block_diag, "block_diag", [1.0], TypeError, "tensors[0] as a Tensor"),
    (block_diag, "block_diag", [(2,), None], TypeError, "tensors[1] as a Tensor"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]

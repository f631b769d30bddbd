# SPDX-License-Identifier: BSD-3-Clause
"""any, all and how many are not zero.

Shapes:   x (...) -> the kept dimensions (all reduced: 0-d).      Backward: none.
A number is true if it is not 0; NaN is true. any and all are amax and amin of bools.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn.ops import _common
from fastnn.ops._fold import Fold
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.copy import to
from fastnn.ops.reduce import sum
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _folded(name: str, kernel: str, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    _common.require_tensor(name, "input", input)
    table = _common.table_of(input)
    x = to(input.detach(), _dtypes.bool_).array
    fold = Fold(x.shape, _common.many_dims(name, dim, input.ndim))
    out = table.empty(fold.pair, x.dtype)
    if fold.n:
        getattr(table, kernel)(fold.fold(table, x), out)
    else:
        table.fill(table.xp.asarray([name == "all"]), out)
    truth = Tensor._wrap(out.reshape(fold.result_shape(keepdim)))
    return to(truth, _dtypes.uint8) if input.array.dtype == _dtypes.uint8.numpy else truth


@numpy_names
def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements over ``dim`` (an int, a tuple, or None for all) are true, as torch.all.

    bool (of uint8: uint8); true of no elements.   Raises TypeError for no tensor, IndexError for a
    bad dim.
    """
    return _folded("all", "amin", input, dim, keepdim)


@numpy_names
def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether some element over ``dim`` (an int, a tuple, or None for all) is true, as torch.any.

    bool (of uint8: uint8); false of no elements.   Raises TypeError for no tensor, IndexError for a
    bad dim.
    """
    return _folded("any", "amax", input, dim, keepdim)


@numpy_names
def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements over ``dim`` are not 0, int64, as torch.count_nonzero.

    Raises TypeError for no tensor, IndexError for a bad dim.
    """
    _common.require_tensor("count_nonzero", "input", input)
    dims = _common.many_dims("count_nonzero", dim, input.ndim)
    return sum(to(input.detach(), _dtypes.bool_), dims)


def _axes(d: Any) -> Any:
    return tuple(d) if isinstance(d, list) else d


CASES = [
    *(
        OpCase(f, f.__name__, [s, *a], k, ref, grad=False)
        for f, ref in (
            (all, lambda x, d=None, keepdim=False: (x != 0).all(_axes(d), keepdims=keepdim)),
            (any, lambda x, d=None, keepdim=False: (x != 0).any(_axes(d), keepdims=keepdim)),
        )
        for s, a, k in (
            (("bool", (3, 5)), [], {}),
            (("bool", (3, 5)), [1], {}),
            (("bool", (4, 3, 2)), [[0, 2]], {"keepdim": True}),
            (("int", (40, 2, 3), 0, 2), [1], {}),
            ((3, 5), [], {}),
            ((0, 4), [0], {}),
            ((), [], {}),
        )
    ),
    *(
        OpCase(
            count_nonzero,
            "count_nonzero",
            [s, *a],
            ref=lambda x, d=None: (x != 0).sum(_axes(d)),
            grad=False,
        )
        for s, a in (
            (("int", (40, 3), 0, 2), []),
            (("int", (40, 3), 0, 2), [0]),
            (("bool", (4, 3, 5)), [[0, 2]]),
            ((3, 0), [1]),
        )
    ),
]
ERRORS = [
    case
    for f in (all, any, count_nonzero)
    for case in (
        ErrorCase(f, f.__name__, [(2, 3), 2], IndexError, "expected dim in [-2, 1]"),
        ErrorCase(f, f.__name__, [[1.0], 0], TypeError, "expected input as a Tensor"),
        ErrorCase(f, f.__name__, [(2, 3), "a"], TypeError, "expected dim as an int"),
    )
]

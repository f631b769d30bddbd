# SPDX-License-Identifier: BSD-3-Clause
"""Numbers that are not finite: where they are (isnan, isinf, isposinf, isneginf, isfinite), and in
their place others.

Shapes:   x (...) -> bool (...), of nan_to_num (...).      Backward: nan_to_num: 0 where replaced.
Also logical_not, which asks for zeros, signbit, isreal and heaviside. All are comparisons
(ops/compare.py).
"""

from __future__ import annotations

import math
from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn._dtype_info import finfo
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.bitwise import bitwise_or_tensors
from fastnn.ops.compare import eq_tensors, gt_tensors, lt_tensors, ne_tensors
from fastnn.ops.copy import clone, to
from fastnn.ops.pair_functions import copysign
from fastnn.ops.rounding import abs
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def isnan(input: Tensor) -> Tensor:
    """Where input is NaN, as torch.isnan.  Shapes: (...) -> bool (...)."""
    _common.require_tensor("isnan", "input", input)
    return ne_tensors(input, input)


def isinf(input: Tensor) -> Tensor:
    """Where input is infinite, of either sign, as torch.isinf.  Shapes: (...) -> bool (...)."""
    _common.require_tensor("isinf", "input", input)
    if input.array.dtype.kind in "biu":
        return ne_tensors(input, input)
    return eq_tensors(abs(input.detach()), math.inf)


def isposinf(input: Tensor) -> Tensor:
    """Where input is infinite and positive, as torch.isposinf.  Shapes: (...) -> bool (...)."""
    _common.require_tensor("isposinf", "input", input)
    if input.array.dtype.kind in "biu":
        return ne_tensors(input, input)
    return eq_tensors(input, math.inf)


def isneginf(input: Tensor) -> Tensor:
    """Where input is infinite and negative, as torch.isneginf.  Shapes: (...) -> bool (...)."""
    _common.require_tensor("isneginf", "input", input)
    if input.array.dtype.kind in "biu":
        return ne_tensors(input, input)
    return eq_tensors(input, -math.inf)


def isreal(input: Tensor) -> Tensor:
    """True everywhere, as torch.isreal: no type is complex.  Shapes: (...) -> bool (...)."""
    _common.require_tensor("isreal", "input", input)
    return bitwise_or_tensors(eq_tensors(input, input), True)


def isfinite(input: Tensor) -> Tensor:
    """Where input is neither infinite nor NaN, as torch.isfinite.  Shapes: (...) -> bool (...)."""
    _common.require_tensor("isfinite", "input", input)
    if input.array.dtype.kind in "biu":
        return eq_tensors(input, input)
    return lt_tensors(abs(input.detach()), math.inf)


def signbit(input: Tensor) -> Tensor:
    """Where input has a negative sign, -0 and such NaN included, as torch.signbit.

    Shapes: (...) -> bool (...).   Raises TypeError for no tensor.
    """
    _common.require_tensor("signbit", "input", input)
    if input.array.dtype.kind in "biu":
        return lt_tensors(input, 0)
    x = input.detach()
    return lt_tensors(copysign(x.new_ones(()), x), 0)


def logical_not(input: Tensor) -> Tensor:
    """Where input is 0 or false, as torch.logical_not.  Shapes: (...) -> bool (...)."""
    _common.require_tensor("logical_not", "input", input)
    return eq_tensors(input, 0)


def nan_to_num(
    input: Tensor, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """input with NaN and infinities replaced, as torch.nan_to_num: by default 0 and the largest
    and least finite numbers of the type; there the gradient is 0.

    Shapes: (...) -> (...).   Raises TypeError for no tensor.
    """
    _common.require_tensor("nan_to_num", "input", input)
    if input.array.dtype.kind in "biu":
        return clone(input)
    wide = input.array.dtype.itemsize > 8  # long double, in which tests compute what they expect
    largest = finfo(_dtypes.float64 if wide else input.dtype).max
    name = "nan_to_num"
    high = largest if posinf is None else number(name, "posinf", posinf)
    low = -largest if neginf is None else number(name, "neginf", neginf)
    out = where(isnan(input), 0.0 if nan is None else number(name, "nan", nan), input)
    out = where(eq_tensors(out, math.inf), high, out)
    return where(eq_tensors(out, -math.inf), low, out)


def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """1 where input is positive, ``values`` where it is 0, else 0, as torch.heaviside; no gradient.

    Shapes: their broadcast shape.   Raises TypeError for no tensors, RuntimeError for operands of
    two types.
    """
    _common.require_tensor("heaviside", "input", input)
    _common.require_tensor("heaviside", "values", values)
    if input.array.dtype != values.array.dtype:
        message = (
            f"heaviside: expected operands of one type, got {input.dtype} and {values.dtype}; "
            "convert one with .to(...)"
        )
        raise RuntimeError(message)
    x = input.detach()
    return where(eq_tensors(x, 0), values.detach(), to(gt_tensors(x, 0), x.dtype))


logical_not_: InPlace[[]] = in_place(logical_not)
heaviside_: InPlace[...] = in_place(heaviside)
nan_to_num_: InPlace[...] = in_place(nan_to_num)


def _numpy(name: str) -> Any:
    return lambda x, **options: getattr(array_module(x), name)(x, **options)


def _plain_test(name: str) -> Any:
    if name == "signbit":
        return lambda x: x < 0
    if name in ("isposinf", "isneginf"):
        return lambda x: x == (math.inf if name == "isposinf" else -math.inf)
    return _numpy(name)


_FAMILY = (isnan, isinf, isfinite, isposinf, isneginf, isreal, signbit, logical_not)
CASES = [
    *(
        OpCase(f, f.__name__, [s], ref=_plain_test(f.__name__), grad=False)
        for f in _FAMILY
        for s in ((3, 5), (), (0, 4), ("int", (3, 5), 0, 3), ("bool", (4,)))
    ),
    OpCase(
        heaviside, "heaviside", [(3, 5), (5,)], ref=lambda x, y: (x > 0) + y * (x == 0), grad=False
    ),
    OpCase(
        heaviside,
        "heaviside",
        [("int", (4, 9), -2, 3), ("int", (9,), 0, 9)],
        ref=lambda x, y: (x > 0) + y * (x == 0),
        grad=False,
    ),
    OpCase(nan_to_num, "nan_to_num", [(3, 5)], ref=_numpy("nan_to_num")),
    OpCase(nan_to_num, "nan_to_num", [("int", (3, 5), 0, 3)], ref=lambda x: x, grad=False),
    OpCase(
        nan_to_num,
        "nan_to_num",
        [(7, 33)],
        kwargs={"nan": 2.0, "posinf": 1.0, "neginf": -1.0},
        ref=_numpy("nan_to_num"),
    ),
]
ERRORS = [
    ErrorCase(heaviside, "heaviside", [1.0, (3,)], TypeError, "expected input as a Tensor"),
    ErrorCase(heaviside, "heaviside", [(3,), 1.0], TypeError, "expected values as a Tensor"),
    ErrorCase(heaviside, "heaviside", [(3,), ("bool", (3,))], RuntimeError, "of one type"),
    *(
        case
        for f in (*_FAMILY, nan_to_num)
        for case in (
            ErrorCase(f, f.__name__, [1.0], TypeError, "expected input as a Tensor"),
            ErrorCase(f, f.__name__, [None], TypeError, "NoneType"),
            ErrorCase(f, f.__name__, ["a"], TypeError, "fastnn.tensor"),
        )
    ),
]

# SPDX-License-Identifier: BSD-3-Clause
"""Tensors whose elements follow from their indices: linspace, logspace, eye, tril_indices,
triu_indices; and of one number: scalar_tensor."""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._dtypes import dtype as DType
from fastnn._formats import check_formats
from fastnn.ops import _common
from fastnn.ops.compare import eq_tensors, ge_tensors, le_tensors, lt_tensors
from fastnn.ops.copy import to
from fastnn.ops.creation import arange, full
from fastnn.ops.join import stack
from fastnn.ops.masked import masked_select
from fastnn.ops.pieces import broadcast_to
from fastnn.ops.power import pow_tensors
from fastnn.ops.rounding import abs, round
from fastnn.ops.view import unsqueeze
from fastnn.ops.where import where
from fastnn.tensor import Tensor


def _end(op: str, name: str, value: Any) -> Any:
    """A bound of an interval as a number."""
    value = _common.as_operand(op, value)
    if not isinstance(value, Tensor):
        return value
    if value.ndim:
        message = (
            f"{op}: expected {name} as a number or 0-d tensor, got shape {value.shape}; take one "
            "element"
        )
        raise RuntimeError(message)
    return value.item()


def _count(op: str, name: str, value: Any) -> int:
    count = _common.integer(op, name, value)
    if count < 0:
        message = f"{op}: expected {name} >= 0, got {count}; 0 makes an empty tensor"
        raise RuntimeError(message)
    return count


def _steps(start: Any, end: Any, steps: int, dtype: DType) -> Tensor:
    """``steps`` numbers from start to end, each half counted from its end so that both are exact.

    Computed in the type itself; of integers, which lose their fractions first, in float64.
    """
    if dtype.category == 2:
        wide = dtype
    else:
        start, end, wide = int(start), int(end), _dtypes.float64
    first, last = (full((), v, dtype=wide) for v in (start, end))
    step = (last - first) / (steps - 1)
    index = arange(steps)
    up = first + step * to(index, wide)
    down = last - step * to(steps - 1 - index, wide)
    return where(lt_tensors(index, steps // 2), up, down)


def _numbers(op: str, dtype: Any) -> DType:
    """The type of a range."""
    kind: DType = _dtypes.argument(op, dtype, _dtypes.get_default_dtype())
    if kind.category == 0:
        message = f"{op}: expected a type of numbers, got {kind}; convert the result"
        raise RuntimeError(message)
    return kind


def _repeated(number: Any, count: int) -> Tensor:
    return full((count,), number, dtype=None if isinstance(number, int) else _dtypes.float64)


def _finished(t: Tensor, dtype: DType, device: Any, requires_grad: bool) -> Tensor:
    made = to(t, dtype) if device is None else to(t, device, dtype)
    return made.requires_grad_() if requires_grad else made


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` numbers in equal distances from start to end, both included, as torch.linspace.

    start, end: numbers or 0-d tensors.  Shape: (steps,), in the default floating-point type.
    Raises TypeError for other bounds and steps that are no int, RuntimeError for negative steps
    and bounds with dimensions.
    """
    check_formats("linspace", layout=layout, pin_memory=pin_memory)
    kind = _numbers("linspace", dtype)
    start, end = _end("linspace", "start", start), _end("linspace", "end", end)
    steps = _count("linspace", "steps", steps)
    made = _repeated(start, steps) if steps < 2 else _steps(start, end, steps, kind)
    return _finished(made, kind, device, requires_grad)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """base to the powers of `linspace`, as torch.logspace; arguments and errors as there.

    Raises TypeError for a base that is no number.
    """
    check_formats("logspace", layout=layout, pin_memory=pin_memory)
    kind = _numbers("logspace", dtype)
    start, end = _end("logspace", "start", start), _end("logspace", "end", end)
    steps = _count("logspace", "steps", steps)
    base = _end("logspace", "base", base)
    wide = kind if kind.category == 2 and steps > 1 else _dtypes.float64
    powers = _repeated(start, steps) if steps < 2 else _steps(start, end, steps, kind)
    made = pow_tensors(full((), base, dtype=wide), to(powers, wide))
    if kind.category < 2:
        # A power that is whole must not lose its last unit when the fraction is cut off.
        whole = round(made)
        made = where(le_tensors(abs(made - whole), abs(made) * 2.0**-50), whole, made)
    return _finished(made, kind, device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """Ones on the diagonal and zeros beside it, as torch.eye.  Shape: (n, m); m is n if left out.

    Raises TypeError for sizes that are no ints, RuntimeError for negative ones.
    """
    check_formats("eye", layout=layout, pin_memory=pin_memory)
    kind = _dtypes.argument("eye", dtype, _dtypes.get_default_dtype())
    rows = _count("eye", "n", n)
    columns = rows if m is None else _count("eye", "m", m)
    _common.check_extent("eye", (rows, columns))
    made = eq_tensors(unsqueeze(arange(rows), 1), arange(columns))
    return _finished(made, kind, device, requires_grad)


def _triangle(op: str, sizes: tuple[Any, Any, Any], lower: bool, dtype: Any, device: Any) -> Tensor:
    rows, columns = _count(op, "row", sizes[0]), _count(op, "col", sizes[1])
    offset = _common.integer(op, "offset", sizes[2])
    kind = _dtypes.argument(op, dtype, _dtypes.int64)
    if kind.category != 1:
        message = f"{op}: expected an integer type, got {kind}; the default is fastnn.int64"
        raise RuntimeError(message)
    _common.check_extent(op, (rows, columns))
    row, column = unsqueeze(arange(rows), 1), arange(columns)
    inside = (le_tensors if lower else ge_tensors)(column - row, offset)
    found = [masked_select(broadcast_to(v, (rows, columns)), inside) for v in (row, column)]
    return _finished(stack(found), kind, device, requires_grad=False)


def tril_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Rows and columns of what `tril` keeps of a matrix (row, col), as torch.tril_indices.

    offset: the last diagonal that is kept.  Shape: (2, number of them), int64, row by row.
    Raises TypeError for what are no ints, RuntimeError for negative sizes and other types.
    """
    check_formats("tril_indices", layout=layout, pin_memory=pin_memory)
    return _triangle("tril_indices", (row, col, offset), True, dtype, device)


def triu_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Rows and columns of what `triu` keeps of a matrix (row, col), as torch.triu_indices.

    offset: the first diagonal that is kept.  Shape and errors as `tril_indices`.
    """
    check_formats("triu_indices", layout=layout, pin_memory=pin_memory)
    return _triangle("triu_indices", (row, col, offset), False, dtype, device)


def scalar_tensor(
    s: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """A number as a 0-d tensor, of the default floating-point type, as torch.scalar_tensor."""
    check_formats("scalar_tensor", layout=layout, pin_memory=pin_memory)
    kind = _dtypes.argument("scalar_tensor", dtype, _dtypes.get_default_dtype())
    number = _end("scalar_tensor", "s", s)
    return full((), number, dtype=kind, device=device, requires_grad=requires_grad)

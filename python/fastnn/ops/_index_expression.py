# SPDX-License-Identifier: BSD-3-Clause
"""What stands between the brackets of ``t[...]``: which parts are views, which pick elements.

Rules as in torch: ints, slices, None and ... are taken first, as a view; tensors, lists and masks
then pick from what is left. Their shapes broadcast; what they pick stands where they stand if they
are neighbours, else in front. (NumPy counts ints beside tensors as tensors, torch does not.)
"""

from __future__ import annotations

import dataclasses
from typing import Any

from fastnn import _dtypes
from fastnn.ops import _common
from fastnn.ops._index_parts import as_part, is_number
from fastnn.ops.copy import to
from fastnn.ops.creation import as_tensor
from fastnn.ops.masked import Kept, counted
from fastnn.tensor import Tensor

Shape = tuple[int, ...]


def basic_index(index: Any, ndim: int, shape: tuple[int, ...]) -> tuple[Any, ...] | None:
    """A basic index as a tuple that NumPy takes as a view; None for an advanced one."""
    parts = index if isinstance(index, tuple) else (index,)
    out: list[Any] = []
    used = 0
    for p in parts:
        if p is None or p is Ellipsis:
            out.append(p)
        elif isinstance(p, slice):
            out.append(_plain_slice(p))
            used += 1
        elif is_number(p):
            out.append(int(p.__index__()))
            used += 1
        else:
            return None
    _check_count(used, ndim, shape, sum(p is Ellipsis for p in parts))
    if Ellipsis not in out:
        out.append(Ellipsis)
    return tuple(out)


def _check_count(used: int, ndim: int, shape: tuple[int, ...], dots: int) -> None:
    if used > ndim:
        message = (
            f"indexing: expected at most {ndim} indices for shape {shape}, got {used}; leave "
            f"{used - ndim} of them out"
        )
        raise IndexError(message)
    if dots > 1:
        message = f"indexing: expected at most one ..., got {dots}; write : for the others"
        raise IndexError(message)


def _plain_slice(s: slice) -> slice:
    if s.step is not None and int(s.step) <= 0:
        message = (
            f"indexing: expected a slice step > 0, got {s.step}; negative steps are not torch's"
        )
        raise ValueError(message)
    return slice(*(None if v is None else int(v.__index__()) for v in (s.start, s.stop, s.step)))


@dataclasses.dataclass
class Picks:
    """An advanced index: a view, then rows of some of its dimensions put in front or merged.

    basic:   what makes the view;     order: its dimensions as `lead` outer ones, those that are
             indexed, the others, or None if they stand so.
    merged:  the sizes of the dimensions that are indexed, as one: the rows.
    numbers: which rows, a tensor (m) of -merged to merged - 1; None where a mask stands
             alone: `kept`.
    shape:   of the result;           rows: (outer, m, inner) of it, likewise of the view.
    """

    basic: tuple[Any, ...]
    order: Shape | None
    lead: Shape
    merged: int
    rest: Shape
    numbers: Any
    shape: Shape
    kept: Kept | None

    def three(self, middle: int) -> Shape:
        """(outer, middle, inner)."""
        outer = inner = 1
        for n in self.lead:
            outer *= n
        for n in self.rest:
            inner *= n
        return outer, middle, inner

    def place(self, array: Any) -> Any:
        """The view of an array, its dimensions in order."""
        view = array[self.basic]
        return view if self.order is None else view.transpose(self.order)


def picks(index: Any, t: Tensor, name: str = "indexing") -> Picks:
    """Reads an index that is not basic."""
    basic, found = _walked(index, t, name)
    view = t.array[basic].shape
    table = _common.table_of(t, *(p for _, p in found), op=name)
    kept, numbers = _numbers(table, found, view)
    widths = [p.ndim if p.array.dtype.kind == "b" else 1 for _, p in found]
    shape: Shape = () if kept is None else (kept.count,)
    for p in numbers:
        try:
            shape = _common.broadcast_shape(name, shape, p.shape)
        except RuntimeError as error:
            raise IndexError(str(error)) from None
    indexed = [k for (d, _), w in zip(found, widths, strict=True) for k in range(d, d + w)]
    sizes = []
    for (d, _), w in zip(found, widths, strict=True):
        size = 1
        for n in view[d : d + w]:
            size *= n
        sizes.append(size)
    first = indexed[0]
    neighbours = indexed == list(range(first, first + len(indexed)))
    others = [d for d in range(len(view)) if d not in indexed]
    front = [d for d in others if d < first] if neighbours else []
    behind = [d for d in others if d not in front]
    lead, rest = tuple([view[d] for d in front]), tuple([view[d] for d in behind])
    merged = 1
    for n in sizes:
        merged *= n
    return Picks(
        basic,
        None if neighbours else (*indexed, *behind),
        lead,
        merged,
        rest,
        None if kept is not None else _combined(name, numbers, sizes, shape),
        (*lead, *shape, *rest),
        kept,
    )


def _walked(index: Any, t: Tensor, name: str) -> tuple[tuple[Any, ...], list[tuple[int, Tensor]]]:
    """The basic part, and (dimension of the view, tensor) of every other one."""
    parts = [
        p if p is None or p is Ellipsis or isinstance(p, slice | bool) or is_number(p)
        else as_part(p, name)
        for p in (index if isinstance(index, tuple) else (index,))
    ]  # fmt: skip
    used = 0
    for p in parts:
        if isinstance(p, Tensor) and not is_number(p):
            used += p.ndim if p.array.dtype.kind == "b" else 1
        elif isinstance(p, slice) or (not isinstance(p, bool) and is_number(p)):
            used += 1
    dots = sum(p is Ellipsis for p in parts)
    _check_count(used, t.ndim, t.shape, dots)
    if not dots:
        parts.append(Ellipsis)
    basic: list[Any] = []
    found: list[tuple[int, Tensor]] = []
    at = to_dim = 0  # dimensions of t and of the view so far
    for p in parts:
        if p is Ellipsis:
            basic += [slice(None)] * (t.ndim - used)
            at += t.ndim - used
            to_dim += t.ndim - used
        elif p is None:
            basic.append(None)
            to_dim += 1
        elif isinstance(p, slice):
            basic.append(_plain_slice(p))
            at, to_dim = at + 1, to_dim + 1
        elif isinstance(p, bool) or (
            isinstance(p, Tensor) and p.array.dtype.kind == "b" and not p.ndim
        ):
            # A new dimension of size 1, kept or emptied.
            basic.append(None)
            found.append((to_dim, as_tensor([0] if bool(p) else [], dtype=_dtypes.int64)))
            to_dim += 1
        elif is_number(p):
            i, n = int(p.__index__()), t.shape[at]
            if not -n <= i < n:
                message = (
                    f"{name}: expected an index in [{-n}, {n - 1}] at dimension {at}, got {i}; "
                    "entries are counted from 0"
                )
                raise IndexError(message)
            basic.append(i)
            at += 1
        else:
            width = p.ndim if p.array.dtype.kind == "b" else 1
            if p.array.dtype.kind == "b" and p.shape != t.shape[at : at + width]:
                message = (
                    f"{name}: expected a mask of shape {t.shape[at : at + width]} at dimension "
                    f"{at} of {t.shape}, got {p.shape}; make it of the tensor, as in t[t > 0]"
                )
                raise IndexError(message)
            basic += [slice(None)] * width
            found.append((to_dim, p if p.array.dtype.kind == "b" else to(p, _dtypes.int64)))
            at, to_dim = at + width, to_dim + width
    return tuple(basic), found


def _numbers(table: Any, found: Any, view: Shape) -> tuple[Kept | None, list[Tensor]]:
    """A mask that stands alone; else the numbers of all parts, of masks their true elements'."""
    masks = [p.array.dtype.kind == "b" for _, p in found]
    if masks == [True]:
        ((d, mask),) = found
        inner = 1
        for n in view[d + mask.ndim :]:
            inner *= n
        return counted(table, mask.array, inner), []
    return None, [
        Tensor._wrap(counted(table, p.array).places(table)) if mask else p
        for (_, p), mask in zip(found, masks, strict=True)
    ]


def _combined(name: str, numbers: list[Tensor], sizes: list[int], shape: Shape) -> Tensor:
    """One number of a row for the numbers of every dimension."""
    if len(numbers) == 1:
        return numbers[0].reshape(-1)
    table = _common.table_of(*numbers, op=name)
    m = 1
    for n in shape:
        m *= n
    wide = table.empty((len(numbers), *shape), _dtypes.int64.numpy)
    for i, p in enumerate(numbers):
        table.copy(_common.broadcast_array(table, p.array, shape), wide[i])
    out = table.empty((m,), _dtypes.int64.numpy)
    try:
        table.linear_index(wide.reshape(len(numbers), m), out, tuple(sizes))
    except IndexError:
        for p, n in zip(numbers, sizes, strict=True):
            for i in p.reshape(-1).tolist():
                if not -n <= i < n:
                    raise out_of_range(i, n, name) from None
        raise
    return Tensor._wrap(out)


def out_of_range(i: int, n: int, name: str) -> IndexError:
    """Names the number that a kernel refused."""
    return _common.index_error(name, i, n, True)


def outside(shape: tuple[int, ...], index: Any, name: str = "indexing") -> IndexError:
    """The error for an index of views that leaves the tensor."""
    message = (
        f"{name}: expected indices within shape {shape}, got {index!r}; entries are counted from 0"
    )
    return IndexError(message)

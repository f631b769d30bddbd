# SPDX-License-Identifier: BSD-3-Clause
"""Tensors joined along a dimension.

Shapes:   cat (..., n_i, ...) -> (..., sum n_i, ...);  stack m of (...) -> (..., m, ...).
Backward: the pieces of the gradient.
"""

from __future__ import annotations

import itertools
from typing import Any

from fastnn._backend import array_module
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.copy import to
from fastnn.ops.index import BasicIndex
from fastnn.ops.view import reshape, unsqueeze
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


class Cat(Op):
    """Arrays one after the other along a dimension."""

    def forward(self, *args: Any) -> Any:
        arrays, dim = args[:-1], args[-1]
        table = self.kernels
        first = arrays[0].shape
        starts = [0]
        for a in arrays:
            starts.append(starts[-1] + a.shape[dim])
        out = table.empty((*first[:dim], starts[-1], *first[dim + 1 :]), arrays[0].dtype)
        lead = (slice(None),) * dim
        self.places = [(*lead, slice(a, b)) for a, b in itertools.pairwise(starts)]
        for a, place in zip(arrays, self.places, strict=True):
            if a.size:
                table.copy(a, out[place])
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        return tuple(
            [g[p] if need else None for p, need in zip(self.places, self.needs, strict=True)]
        )

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return tuple(
            [
                BasicIndex.apply((g,), p) if need else None
                for p, need in zip(self.places, self.needs, strict=True)
            ]
        )


def _given(name: str, tensors: Any) -> list[Tensor]:
    if isinstance(tensors, Tensor) or not isinstance(tensors, tuple | list):
        message = (
            f"{name}: expected a tuple or list of tensors, got {type(tensors).__name__}; write [a, "
            "b]"
        )
        raise TypeError(message)
    if not tensors:
        message = (
            f"{name}: expected at least one tensor, got none; check the loop that fills the list"
        )
        raise (ValueError if name == "cat" else RuntimeError)(message)
    for i, t in enumerate(tensors):
        _common.require_tensor(name, f"tensors[{i}]", t)
    return list(tensors)


_AT_ONCE = 60  # of all operands of an operation, native code takes 63


def _joined(name: str, tensors: list[Tensor], d: int) -> Tensor:
    first = tensors[0].shape
    for i, t in enumerate(tensors):
        if (*first[:d], *first[d + 1 :]) != (*t.shape[:d], *t.shape[d + 1 :]):
            message = (
                f"{name}: expected tensors of equal sizes but for dimension {d}, got {first} and, "
                f"at place {i}, {t.shape}; slice the larger or pad() the smaller"
            )
            raise RuntimeError(message)
    _common.table_of(*tensors, op=name)
    dtype = _common.result_type(*tensors)
    parts = [to(t, dtype) for t in tensors]
    while len(parts) > _AT_ONCE:
        groups = range(0, len(parts), _AT_ONCE)
        parts = [Cat.apply(tuple(parts[i : i + _AT_ONCE]), d) for i in groups]
    return Cat.apply(tuple(parts), d)  # type: ignore[no-any-return]


@numpy_names
def cat(tensors: Any, dim: int = 0) -> Tensor:
    """Tensors one after the other along ``dim``, as torch.cat.

    tensors: a tuple or list; sizes are equal but for dim, or (0,), which is skipped. The result has
    their promoted type.
    Raises RuntimeError where sizes do not fit or a tensor has no dimension, TypeError for others.
    """
    given = _given("cat", tensors)
    for i, t in enumerate(given):
        if t.ndim == 0:
            message = f"cat: expected tensors with dimensions, got a 0-d one at place {i}; stack()"
            raise RuntimeError(message)
    dtype = _common.result_type(*given)
    kept = [t for t in given if t.shape != (0,)] or given
    d = _common.one_dim("cat", dim, kept[0].ndim)
    for i, t in enumerate(kept):
        if t.ndim != kept[0].ndim:
            message = (
                f"cat: expected tensors of equally many dimensions, got {kept[0].shape} and, at "
                f"place {i}, {t.shape}; unsqueeze() adds a dimension"
            )
            raise RuntimeError(message)
    return _joined("cat", [to(t, dtype) for t in kept], d)


@numpy_names
def stack(tensors: Any, dim: int = 0) -> Tensor:
    """Tensors of one shape along a new dimension, as torch.stack. Raises as `cat`."""
    given = _given("stack", tensors)
    d = _common.one_dim("stack", dim, given[0].ndim + 1)
    for i, t in enumerate(given):
        if t.shape != given[0].shape:
            message = (
                f"stack: expected tensors of one shape, got {given[0].shape} and, at place {i}, "
                f"{t.shape}; cat() joins tensors whose sizes differ along one dimension"
            )
            raise RuntimeError(message)
    return _joined("stack", [unsqueeze(t, d) for t in given], d)


def hstack(tensors: Any) -> Tensor:
    """`cat` along dimension 1, or 0 of tensors with one dimension, as torch.hstack."""
    given = [reshape(t, 1) if t.ndim == 0 else t for t in _given("hstack", tensors)]
    return _in_name("hstack", given, 0 if given[0].ndim == 1 else 1)


def vstack(tensors: Any) -> Tensor:
    """`cat` along dimension 0, tensors with fewer than two dimensions as rows; torch.vstack."""
    given = [reshape(t, 1, -1) if t.ndim < 2 else t for t in _given("vstack", tensors)]
    return _in_name("vstack", given, 0)


def _in_name(name: str, given: list[Tensor], d: int) -> Tensor:
    if any(t.ndim != given[0].ndim for t in given):
        shapes = [t.shape for t in given]
        message = (
            f"{name}: expected tensors of equally many dimensions, got {shapes}; unsqueeze() adds "
            "a dimension"
        )
        raise RuntimeError(message)
    return _joined(name, given, d)


def _of_list(join: Any) -> Any:
    """The function on separate arguments, the last one dim, for the case table."""

    def call(*arguments: Any) -> Any:
        return join(list(arguments[:-1]), arguments[-1])

    return call


def _of_tensors(join: Any) -> Any:
    def call(*arguments: Any) -> Any:
        return join(list(arguments))

    return call


def _plain(name: str) -> Any:
    def formula(*arguments: Any) -> Any:
        xp = array_module(arguments[0])
        if name in ("hstack", "vstack"):
            return getattr(xp, name)(arguments)
        return {"cat": xp.concatenate, "stack": xp.stack}[name](arguments[:-1], arguments[-1])

    return formula


_cat, _stack = _of_list(cat), _of_list(stack)
_hstack, _vstack = _of_tensors(hstack), _of_tensors(vstack)
CASES = [
    *(
        OpCase(_cat, "cat", arguments, ref=_plain("cat"))
        for arguments in (
            [(2, 3), (4, 3), 0],
            [(2, 3), (2, 1), (2, 5), -1],
            [(2, 3, 4), (2, 0, 4), (2, 2, 4), 1],
            [(3,), 0],
            [(0, 3), (0, 2), 1],
            [(70, 40), (70, 3), 1],
        )
    ),
    OpCase(_cat, "cat", [(2, 3), ("int", (1, 3), 0, 9), 0], ref=_plain("cat")),
    OpCase(_cat, "cat", [("bool", (2,)), ("bool", (3,)), 0], ref=_plain("cat"), grad=False),
    OpCase(_cat, "cat", [(0,), (2, 3), 1], ref=lambda *a: a[1], grad=False),
    OpCase(_stack, "stack", [(2, 3), (2, 3), 0], ref=_plain("stack")),
    OpCase(_stack, "stack", [(2, 3), (2, 3), (2, 3), -1], ref=_plain("stack")),
    OpCase(_stack, "stack", [(), (), 0], ref=_plain("stack")),
    OpCase(_hstack, "hstack", [(2, 3), (2, 1)], ref=_plain("hstack")),
    OpCase(_hstack, "hstack", [(2,), (), (3,)], ref=_plain("hstack")),
    OpCase(_vstack, "vstack", [(2, 3), (3,)], ref=_plain("vstack")),
    OpCase(_vstack, "vstack", [(3,), (3,)], ref=_plain("vstack")),
]
_BAD: list[tuple[Any, str, list[Any], type[Exception], str]] = [
    (_cat, "cat", [(2, 3), (2, 4), 0], RuntimeError, "equal sizes but for dimension 0"),
    (_cat, "cat", [(2, 3), (3,), 0], RuntimeError, "equally many dimensions"),
    (_cat, "cat", [(), (3,), 0], RuntimeError, "tensors with dimensions"),
    (_cat, "cat", [(2, 3), 2], IndexError, "expected dim in"),
    (cat, "cat", [(2, 3)], TypeError, "a tuple or list of tensors"),
    (cat, "cat", [[]], ValueError, "at least one tensor"),
    (_stack, "stack", [(2, 3), (2, 4), 0], RuntimeError, "tensors of one shape"),
    (_stack, "stack", [(2, 3), 3], IndexError, "expected dim in"),
    (stack, "stack", [[1.0]], TypeError, "expected tensors[0] as a Tensor"),
    (_hstack, "hstack", [(2, 3), (3, 3)], RuntimeError, "equal sizes but for dimension 1"),
    (_hstack, "hstack", [(2, 3), (3,)], RuntimeError, "equally many dimensions"),
    (hstack, "hstack", [None], TypeError, "a tuple or list of tensors"),
    (_vstack, "vstack", [(2, 3), (4,)], RuntimeError, "equal sizes but for dimension 0"),
    (_vstack, "vstack", [(2, 3), (2, 3, 4)], RuntimeError, "equally many dimensions"),
    (vstack, "vstack", [[]], RuntimeError, "at least one tensor"),
]
ERRORS = [ErrorCase(*bad) for bad in _BAD]

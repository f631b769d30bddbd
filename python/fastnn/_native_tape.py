# SPDX-License-Identifier: BSD-3-Clause
"""Puts the tape's hot part in C++ (csrc/tape) in the place of the Python methods that specify it.

These stay what runs on the NumPy backend, and what the native code calls for all that is unusual:
hooks, views whose history has changed, arrays that are no ndarrays.
"""

from __future__ import annotations

from typing import Any

from fastnn import _backend
from fastnn._engine import arrived, finish_leaf
from fastnn._gradients import Pending, add_to_grad
from fastnn._op import Op, Storage, check_view


def _prepare(node: Op, grads: list[Any]) -> list[Any]:
    return [arrived(node, nr, grad, graph=False) for nr, grad in enumerate(grads)]


def _add_to_grad(leaf: Any, grad: Any, fresh: bool) -> None:
    add_to_grad(leaf, grad, fresh, graph=False)


def _add(total: Any, owned: bool, grad: Any) -> Any:
    return Pending(graph=False).add(total, owned, grad)[0]


def dense_copy(table: Any, array: Any) -> Any:
    """A C-contiguous and aligned copy, by the copy kernel; the array itself if it is so already."""
    if array.flags.c_contiguous and array.flags.aligned:
        return array
    out = table.empty(array.shape, array.dtype)
    table.copy(array, out)
    return out


def install(tensor: Any) -> None:
    """Binds the native tape, where there is one, to the classes."""
    tape = _backend.tape
    if tape is None:
        return
    tape.bind_tape(
        tables=_backend._tables,
        cpu_table=_backend._cpu_table,
        tensor=tensor,
        storage=Storage,
        op=Op,
        record=Op.record,
        check_view=check_view,
        add_to_grad=_add_to_grad,
        stamp=_backend.bump_mutation_stamp,
        prepare=_prepare,
        add=_add,
        finish=finish_leaf,
        dense_copy=dense_copy,
    )
    native_record = tape.record

    def record(self: Op, tensors: Any, results: tuple[Any, ...]) -> None:
        native_record(self, tensors, results)

    record.__doc__ = Op.record.__doc__
    Op.apply = classmethod(tape.apply)  # type: ignore[method-assign, assignment]
    Op.record = record  # type: ignore[method-assign]
    tensor._wrap = staticmethod(tape.wrap)


def binary_method(op: Any, name: str, function: Any, reflected: bool) -> Any:
    """A native method behind an operator, for what `function` does with two operands."""
    own = _backend.native.get(op.kernel)
    kernel = own if own is not None and own.is_allocating else None
    return _backend.tape.binary_method(op, kernel, function, name, None, *op.saves, reflected)

# SPDX-License-Identifier: BSD-3-Clause
"""Operations of two operands with broadcasting and torch's type promotion: what they share.

A family's operation is a subclass of `Binary` that names its kernel; `binary` applies it, `binary_`
does so in place, and `operators` makes the methods behind Python's operators.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from fastnn import _backend, _dtypes, _native_tape
from fastnn._grad_mode import _mode
from fastnn._op import check_view
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._in_place import check_in_place, check_storable, store_result
from fastnn.ops.copy import clone, to
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastnn._dtypes import dtype as DType

    Method = Callable[[Tensor, Any], Tensor]

_wrap = Tensor._wrap


class Binary(Op):
    """out = kernel(x, y) on operands of one type, each broadcast to the common shape."""

    kernel: ClassVar[str]
    floating: ClassVar[bool] = False  # whether integers are computed in the default type
    takes_bool: ClassVar[bool] = True  # as an operand
    gives_bool: ClassVar[bool] = True
    takes_float: ClassVar[bool] = True
    # Which gradients need the first operand, and which the second: 1 its own, 2 the other's.
    saves: ClassVar[tuple[int, int]] = (0, 0)
    # Shapes of the operands where they differ from the result's.
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def forward(self, x: Any, y: Any) -> Any:
        table = self.kernels
        shape = _common.broadcast_shape(self.name, x.shape, y.shape)
        out = table.empty(shape, x.dtype)
        kernel = getattr(table, self.kernel)
        kernel(
            _common.broadcast_array(table, x, shape), _common.broadcast_array(table, y, shape), out
        )
        self.keep(x, y)
        return out

    def keep(self, x: Any, y: Any) -> None:
        """Saves what backward needs."""
        if x.shape != y.shape:
            self.shapes = (x.shape, y.shape)
        of_x, of_y = self.saves
        if of_x | of_y:
            needs = self.needs[0] | self.needs[1] << 1
            self.save(x if needs & of_x else None, y if needs & of_y else None)

    def shrink(self, gx: Any, gy: Any) -> tuple[Any, Any]:
        """Sums gradients over the dimensions along which their operands were broadcast."""
        if self.shapes is None:
            return gx, gy
        x, y = self.shapes
        return (
            None if gx is None else _common.sum_to(self.kernels, gx, x),
            None if gy is None else _common.sum_to(self.kernels, gy, y),
        )

    def shrink_graph(self, gx: Any, gy: Any) -> tuple[Any, Any]:
        """The same on tensors."""
        if self.shapes is None:
            return gx, gy
        x, y = self.shapes
        return (
            None if gx is None else sum_to_graph(gx, x),
            None if gy is None else sum_to_graph(gy, y),
        )

    def wide(self, kernel: str, a: Any, b: Any) -> Any:
        """kernel(a, b) in the larger of their shapes."""
        table = self.kernels
        fast = getattr(table.fast, kernel)(a, b)
        if fast is not NotImplemented:
            return fast
        shape = _common.broadcast_shape(self.name, a.shape, b.shape)
        out = table.empty(shape, a.dtype)
        getattr(table, kernel)(
            _common.broadcast_array(table, a, shape), _common.broadcast_array(table, b, shape), out
        )
        return out

    def negative(self, a: Any) -> Any:
        """-a."""
        table = self.kernels
        out = table.empty(a.shape, a.dtype)
        table.neg_forward(_common.contiguous_array(table, a), out)
        return out


def sum_to_graph(t: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sums a gradient over the dimensions along which its operand was broadcast, on tensors."""
    if t.shape == shape:
        return t
    lead = t.ndim - len(shape)
    dims = [d for d in range(t.ndim) if d < lead or (shape[d - lead] == 1 and t.shape[d] != 1)]
    return t.sum(tuple(dims)).reshape(shape) if dims else t.reshape(shape)


def binary(op: type[Binary], a: Any, b: Any) -> Tensor:
    """Applies an operation to two operands, tensors or numbers."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        x, y = a.array, b.array
        table = _backend.kernels(x)
        out = getattr(table.fast, op.kernel)(x, y)
        if out is not NotImplemented:
            result = _wrap(out)
            if not _mode.enabled:
                return result
            if a._rebase_stamp is not None or b._rebase_stamp is not None:
                check_view(op.name, a)
                check_view(op.name, b)
            if a._requires_grad or b._requires_grad:
                node = op()
                node.kernels = table
                node.needs = (a._requires_grad, b._requires_grad)
                node.keep(x, y)
                node.record((a, b), (result,))
            return result
    a, b = _common.as_operand(op.name, a), _common.as_operand(op.name, b)
    return op.apply(_prepared(op.name, a, b, common_type(op, a, b)))  # type: ignore[no-any-return]


def common_type(op: type[Binary], a: Any, b: Any) -> DType:
    """The type in which an operation computes on two operands."""
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        message = (
            f"{op.name}: expected at least one tensor, got two numbers; make one with "
            "fastnn.tensor(...)"
        )
        raise TypeError(message)
    if not op.takes_bool and any(_common.result_type(v).category == 0 for v in (a, b)):
        message = (
            f"{op.name}: expected numbers, got a bool operand; use logical operations on bools, "
            "or convert with .to(dtype)"
        )
        raise RuntimeError(message)
    dtype = _common.result_type(a, b)
    if not op.gives_bool and dtype.category == 0:
        message = (
            f"{op.name}: expected a number beside a bool, got two bools; convert one with "
            ".to(dtype)"
        )
        raise RuntimeError(message)
    if not op.takes_float and dtype.category == 2:
        message = (
            f"{op.name}: expected integers or bools, got floating-point numbers; convert them with "
            ".long()"
        )
        raise RuntimeError(message)
    return _dtypes.get_default_dtype() if op.floating and dtype.category < 2 else dtype


def _prepared(name: str, a: Any, b: Any, dtype: DType) -> tuple[Tensor, Tensor]:
    """The operands as tensors of one type. Numbers beyond an integer type wrap around."""
    table = _common.table_of(a, b, op=name)
    pair = []
    for t in (a, b):
        if not isinstance(t, Tensor):
            pair.append(_wrap(_common.scalar_array(table, t, dtype, wrap=True, op=name)))
        else:
            pair.append(t if t.array.dtype == dtype.numpy else to(t, dtype))
    return pair[0], pair[1]


def binary_(op: type[Binary], t: Tensor, other: Any) -> Tensor:
    """The in-place form: t becomes op(t, other)."""
    name = op.name + "_"
    other = _common.as_operand(name, other)
    recording = check_in_place(name, t, other)
    dtype = common_type(op, t, other)
    check_storable(name, dtype, t)
    if recording:
        # The old value may be saved for backward and must survive, so the operation runs on a copy.
        return store_result(name, t, binary(op, clone(t), other))
    _, second = _prepared(op.name, t, other, dtype)
    table = _backend.kernels(t.array)
    array = t.array
    if second.shape != array.shape:
        shape = _common.broadcast_shape(name, array.shape, second.shape)
        if shape != array.shape:
            message = (
                f"{name}: expected a result of shape {array.shape}, got {shape}; the operation "
                "without _ makes a new tensor"
            )
            raise RuntimeError(message)
    if dtype.numpy != array.dtype:
        return store_result(name, t, binary(op, t.detach(), other))
    y = _common.broadcast_array(table, second.array, array.shape)
    if y is not array and table.xp.may_share_memory(y, array):
        y = clone(_wrap(y)).array
    getattr(table, op.kernel)(array, y, array)
    t._bump_version()
    return t


@functools.cache
def operators(op: type[Binary], word: str) -> tuple[Method, Method, Method]:
    """The methods ``__word__``, ``__rword__`` and ``__iword__`` of an operator."""

    # Tensor.__add__(2, t) is refused as any method of another's: Python itself never calls it.
    def forward(self: Tensor, other: Any) -> Tensor:
        _common.require_tensor(op.name, f"the owner of __{word}__", self)
        return binary(op, self, other)

    def swapped(other: Any, self: Tensor) -> Tensor:
        _common.require_tensor(op.name, f"the owner of __r{word}__", self)
        return binary(op, other, self)

    def reflected(self: Tensor, other: Any) -> Tensor:
        return swapped(other, self)

    def augmented(self: Tensor, other: Any) -> Tensor:
        return binary_(op, self, other)

    for method, prefix in ((forward, ""), (reflected, "r"), (augmented, "i")):
        method.__name__ = method.__qualname__ = f"__{prefix}{word}__"
    if _backend.tape is None:
        return forward, reflected, augmented
    native = _native_tape.binary_method(op, f"__{word}__", forward, False)
    # Of a reflected method the native one exchanges the operands.
    return native, _native_tape.binary_method(op, f"__r{word}__", swapped, True), augmented

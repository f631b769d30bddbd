# SPDX-License-Identifier: BSD-3-Clause
"""Arithmetic with broadcasting and torch's type promotion: add, sub, mul, div, neg.

Shapes:   x (...), y (...) -> their common broadcast shape.
Backward: add: dx = g, dy = g;  sub: dx = g, dy = -g;  mul: dx = g y, dy = g x;
          div: dx = g / y, dy = -g (x / y) / y;  each summed over the broadcast dimensions.
Saved:    mul, div: the operands that the wanted gradients need.
"""

from __future__ import annotations

from typing import Any, ClassVar

from fastnn import _backend, _dtypes
from fastnn._backend import array_module, reference
from fastnn._grad_mode import _mode
from fastnn._op import check_view
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops.copy import clone, to
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

_wrap = Tensor._wrap


@reference
def add(x: Any, y: Any, out: Any) -> None:
    """out = x + y (bool: or)."""
    array_module(out).add(x, y, out=out)


@reference
def sub(x: Any, y: Any, out: Any) -> None:
    """out = x - y."""
    array_module(out).subtract(x, y, out=out)


@reference
def mul(x: Any, y: Any, out: Any) -> None:
    """out = x y (bool: and)."""
    array_module(out).multiply(x, y, out=out)


@reference
def div(x: Any, y: Any, out: Any) -> None:
    """out = x / y, with IEEE infinities and NaNs."""
    xp = array_module(out)
    with xp.errstate(divide="ignore", invalid="ignore", over="ignore"):
        xp.divide(x, y, out=out)


@reference
def neg_forward(x: Any, y: Any) -> None:
    """y = -x."""
    array_module(y).negative(x, out=y)


class Binary(Op):
    """out = kernel(x, y) on operands of one type, each broadcast to the common shape."""

    kernel: ClassVar[str]
    saves = False

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
        self.shapes = (x.shape, y.shape)

    def shrink(self, gx: Any, gy: Any) -> tuple[Any, Any]:
        """Sums gradients over the dimensions along which their operands were broadcast."""
        x, y = self.shapes
        return (
            None if gx is None else _common.sum_to(self.kernels, gx, x),
            None if gy is None else _common.sum_to(self.kernels, gy, y),
        )

    def shrink_graph(self, gx: Any, gy: Any) -> tuple[Any, Any]:
        """The same on tensors."""
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
    if t.shape == shape:
        return t
    lead = t.ndim - len(shape)
    dims = [d for d in range(t.ndim) if d < lead or (shape[d - lead] == 1 and t.shape[d] != 1)]
    return t.sum(tuple(dims)).reshape(shape) if dims else t.reshape(shape)


class Add(Binary):
    """x + y."""

    kernel = "add"

    def backward(self, g: Any) -> tuple[Any, ...]:
        return self.shrink(g if self.needs[0] else None, g if self.needs[1] else None)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return self.shrink_graph(g if self.needs[0] else None, g if self.needs[1] else None)


class Sub(Binary):
    """x - y."""

    kernel = "sub"

    def backward(self, g: Any) -> tuple[Any, ...]:
        gx, gy = self.shrink(g if self.needs[0] else None, g if self.needs[1] else None)
        return gx, None if gy is None else self.negative(gy)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return self.shrink_graph(g if self.needs[0] else None, -g if self.needs[1] else None)


class Mul(Binary):
    """x y."""

    kernel = "mul"
    saves = True

    def keep(self, x: Any, y: Any) -> None:
        self.shapes = (x.shape, y.shape)
        self.save(x if self.needs[1] else None, y if self.needs[0] else None)

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, y = self.saved  # type: ignore[misc]
        gx = self.wide("mul", g, y) if self.needs[0] else None
        gy = self.wide("mul", g, x) if self.needs[1] else None
        return self.shrink(gx, gy)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, y = self.saved_tensors()
        return self.shrink_graph(g * y if self.needs[0] else None, g * x if self.needs[1] else None)


class Div(Binary):
    """x / y."""

    kernel = "div"
    saves = True

    def keep(self, x: Any, y: Any) -> None:
        self.shapes = (x.shape, y.shape)
        self.save(x if self.needs[1] else None, y if any(self.needs) else None)

    def backward(self, g: Any) -> tuple[Any, ...]:
        x, y = self.saved  # type: ignore[misc]
        gx = self.wide("div", g, y)
        gy = None
        if self.needs[1]:
            gy = self.negative(self.wide("mul", gx, self.wide("div", x, y)))
        return self.shrink(gx if self.needs[0] else None, gy)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        x, y = self.saved_tensors()
        gx = g / y
        return self.shrink_graph(
            gx if self.needs[0] else None, -(gx * (x / y)) if self.needs[1] else None
        )


class Neg(Op):
    """-x."""

    def forward(self, x: Any) -> Any:
        table = self.kernels
        out = table.empty(x.shape, x.dtype)
        table.neg_forward(_common.contiguous_array(table, x), out)
        return out

    def backward(self, g: Any) -> tuple[Any, ...]:
        return (self.forward(g),)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return (-g,)


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
    a, b = _prepared(op, a, b)
    return op.apply((a, b))  # type: ignore[no-any-return]


def _prepared(op: type[Binary], a: Any, b: Any) -> tuple[Tensor, Tensor]:
    a, b = _common.as_operand(op.name, a), _common.as_operand(op.name, b)
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        message = f"{op.name}: expected at least one tensor, got two numbers"
        raise TypeError(message)
    table = _common.table_of(a, b)
    dtype = _common.result_type(a, b)
    if op is Div and dtype.category < 2:
        dtype = _dtypes.get_default_dtype()
    if op is Sub and dtype.category == 0:
        message = "sub: expected numbers, got bool tensors; use logical operations on them"
        raise RuntimeError(message)
    pair = []
    for t in (a, b):
        if not isinstance(t, Tensor):
            pair.append(_wrap(_common.scalar_array(table, t, dtype)))
        else:
            pair.append(t if t.array.dtype == dtype.numpy else to(t, dtype))
    return pair[0], pair[1]


def _scaled(op: str, other: Any, alpha: Any) -> Any:
    """alpha * other, for the ``alpha`` of add and sub."""
    other = _common.as_operand(op, other)
    if isinstance(alpha, int) and alpha == 1:
        return other
    return binary(Mul, other, alpha) if isinstance(other, Tensor) else other * alpha


def binary_(op: type[Binary], t: Tensor, other: Any) -> Tensor:
    """The in-place form: t becomes op(t, other)."""
    name = op.name + "_"
    other = _common.as_operand(name, other)
    recording = check_in_place(name, t, other)
    dtype = _common.result_type(t, other)
    if op is Div and dtype.category < 2:
        dtype = _dtypes.get_default_dtype()
    if not _dtypes.can_cast(dtype, t.dtype):
        message = (
            f"{name}: the result is of type {dtype} and cannot be stored in a {t.dtype} tensor; "
            "use the operation without underscore"
        )
        raise RuntimeError(message)
    if recording:
        # The old value may be saved for backward and must survive, so the operation runs on a copy.
        out = binary(op, clone(t), other)
        return store_result(name, t, out)
    _, second = _prepared(op, t, other)
    table = _backend.kernels(t.array)
    array = t.array
    if second.shape != array.shape:
        shape = _common.broadcast_shape(name, array.shape, second.shape)
        if shape != array.shape:
            message = f"{name}: expected a result of shape {array.shape}, got {shape}"
            raise RuntimeError(message)
    if dtype.numpy != array.dtype:
        out = binary(op, t.detach(), other)
        return store_result(name, t, out)
    y = _common.broadcast_array(table, second.array, array.shape)
    if y is not array and table.xp.may_share_memory(y, array):
        y = clone(Tensor._wrap(y)).array
    getattr(table, op.kernel)(array, y, array)
    t.storage.version += 1
    return t


def check_in_place(name: str, t: Tensor, *others: Any) -> bool:
    """Raises where an in-place change is not allowed; returns whether it must be recorded."""
    _common.require_tensor(name, "the tensor to change", t)
    array = t.array
    if (
        array.size
        and 0 in array.strides
        and any(s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True))
    ):
        message = f"{name}: several elements of this expanded tensor share memory; clone() it first"
        raise RuntimeError(message)
    if not array.flags.writeable:
        message = f"{name}: this tensor lies on read-only memory; clone() it first"
        raise RuntimeError(message)
    if not _mode.enabled:
        return False
    recording = t._requires_grad or any(isinstance(o, Tensor) and o._requires_grad for o in others)
    if not recording:
        return False
    if t._requires_grad and t._node is None and t._rebase_stamp is None:
        message = (
            f"{name}: a leaf that requires grad cannot be changed in place; do it inside "
            "no_grad(), or on a clone()"
        )
        raise RuntimeError(message)
    if t._rebase_stamp is not None:
        message = (
            f"{name}: in-place change of a view that takes part in a gradient; change a clone() "
            "of the view, or the tensor that it views"
        )
        raise RuntimeError(message)
    return True


def store_result(name: str, t: Tensor, out: Tensor) -> Tensor:
    """Copies ``out`` into the memory of ``t``, which takes over its history."""
    if out.shape != t.shape:
        message = f"{name}: expected a result of shape {t.shape}, got {out.shape}"
        raise RuntimeError(message)
    table = _backend.kernels(t.array)
    kernel = table.copy if out.array.dtype == t.array.dtype else table.cast
    kernel(out.array, t.array)
    t.storage.version += 1
    if out._node is not None:
        if out.array.dtype != t.array.dtype:
            out = to(out, t.dtype)
        t._node, t._output_nr, t._requires_grad = out._node, out._output_nr, True
        t.storage.rebased += 1
    return t


def add_(t: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """t becomes t + alpha * other."""
    return binary_(Add, t, _scaled("add_", other, alpha))


def sub_(t: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """t becomes t - alpha * other."""
    return binary_(Sub, t, _scaled("sub_", other, alpha))


def _public(op: type[Binary], x: Any, y: Any) -> Tensor:
    return binary(op, x, y)


def add_tensors(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input + alpha * other, broadcast, as torch.add."""
    return _public(Add, input, _scaled("add", other, alpha))


def sub_tensors(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input - alpha * other, broadcast, as torch.sub."""
    return _public(Sub, input, _scaled("sub", other, alpha))


def mul_tensors(input: Any, other: Any) -> Tensor:
    """input * other, broadcast, as torch.mul."""
    return _public(Mul, input, other)


def div_tensors(input: Any, other: Any) -> Tensor:
    """input / other, broadcast, as torch.div: integers give the default floating-point type."""
    return _public(Div, input, other)


def negative(input: Tensor) -> Tensor:
    """-input, as torch.neg."""
    _common.require_tensor("neg", "input", input)
    if input.array.dtype.kind == "b":
        message = "neg: expected numbers, got a bool tensor; use logical operations on it"
        raise RuntimeError(message)
    return Neg.apply((input,))  # type: ignore[no-any-return]


_SHAPES = [((3, 5), (3, 5)), ((3, 5), (5,)), ((4, 1, 3), (2, 1)), ((), (2, 3)), ((0, 4), (4,))]
CASES = [
    *(
        OpCase(f, name, shapes=list(s), ref=ref, kink=kink)
        for f, name, ref, kink in (
            (add_tensors, "add", lambda x, y: x + y, None),
            (sub_tensors, "sub", lambda x, y: x - y, None),
            (mul_tensors, "mul", lambda x, y: x * y, None),
            (div_tensors, "div", lambda x, y: x / y, 0.0),
        )
        for s in _SHAPES
    ),
    OpCase(
        add_tensors,
        "add",
        [(3, 4), (3, 4)],
        kwargs={"alpha": 2.5},
        ref=lambda x, y, alpha: x + alpha * y,
    ),
    OpCase(
        sub_tensors,
        "sub",
        [(3, 4), (4,)],
        kwargs={"alpha": -3},
        ref=lambda x, y, alpha: x - alpha * y,
    ),
    OpCase(negative, "neg", [(3, 5)], ref=lambda x: -x),
    OpCase(add_tensors, "add", [(1024, 1024), (1024, 1024)], ref=lambda x, y: x + y, bench=True),
    OpCase(mul_tensors, "mul", [(1024, 1024), (1024,)], ref=lambda x, y: x * y, bench=True),
]

ERRORS = [
    *(
        case
        for f, name in (
            (add_tensors, "add"),
            (sub_tensors, "sub"),
            (mul_tensors, "mul"),
            (div_tensors, "div"),
        )
        for case in (
            ErrorCase(f, name, [(3, 4), (3, 5)], RuntimeError, "expected shapes that broadcast"),
            ErrorCase(
                f, name, [(3, 4), "text"], TypeError, "expected a tensor or a number, got str"
            ),
            ErrorCase(f, name, [(3, 4), None], TypeError, "got NoneType"),
        )
    ),
    ErrorCase(negative, "neg", ["text"], TypeError, "expected input as a Tensor"),
    ErrorCase(negative, "neg", [3.0], TypeError, "fastnn.tensor"),
    ErrorCase(negative, "neg", [("bool", (2,))], RuntimeError, "bool"),
]

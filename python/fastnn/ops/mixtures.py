# SPDX-License-Identifier: BSD-3-Clause
"""Functions of three numbers: addcmul, addcdiv, lerp.

    addcmul: x + value a b      addcdiv: x + value a / b      lerp: x + w (y - x)

Shapes:   x (...), a (...), b (...) -> their common broadcast shape.
Backward: of addcmul and addcdiv that of the operations that they are made of;
          lerp: dx = g (1 - w), dy = g w, dw = g (y - x), summed over the broadcast dimensions.
"""

from __future__ import annotations

from typing import Any

from fastnn import _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._binary_op import sum_to_graph
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops.binary import add_tensors, div_tensors, mul_tensors
from fastnn.ops.copy import to
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


@reference
def lerp(x: Any, y: Any, weight: Any, out: Any) -> None:
    """out = x + weight (y - x), from the nearer end: exactly y where the weight is 1."""
    if out.dtype.itemsize == 2:  # halves are computed in single precision
        x, y, weight = (a.astype("float32") for a in (x, y, weight))
    difference = y - x
    near_y = y - difference * (1 - weight)
    found = array_module(out).where(abs(weight) >= 0.5, near_y, x + weight * difference)
    out[...] = found.astype(out.dtype)


class Lerp(Op):
    """x + weight (y - x) on operands of one type."""

    def forward(self, x: Any, y: Any, weight: Any) -> Any:
        table = self.kernels
        shape: tuple[int, ...] = ()
        for a in (x, y, weight):
            shape = _common.broadcast_shape("lerp", shape, a.shape)
        out = table.empty(shape, x.dtype)
        table.lerp(*(_common.broadcast_array(table, a, shape) for a in (x, y, weight)), out)
        self.shapes = (x.shape, y.shape, weight.shape)
        apart = self.needs[2]  # only the weight's gradient asks for the ends
        self.save(x if apart else None, y if apart else None, weight)
        return out

    def parts(self, given: list[Any], g: Tensor) -> list[Any]:
        """The gradients, of the saved values as tensors."""
        x, y, weight = given
        of_x, of_y, of_weight = self.needs
        gx = g * (1.0 - weight) if of_x else None
        gy = g * weight if of_y else None
        gw = g * (y - x) if of_weight else None
        pairs = zip((gx, gy, gw), self.shapes, strict=True)
        return [None if t is None else sum_to_graph(t, shape) for t, shape in pairs]

    def backward(self, g: Any) -> tuple[Any, ...]:
        given = [None if a is None else Tensor._wrap(a) for a in self.saved or ()]
        parts = self.parts(given, Tensor._wrap(g))
        return tuple(None if t is None else t.array for t in parts)

    def backward_graph(self, g: Tensor) -> tuple[Any, ...]:
        return tuple(self.parts(self.saved_tensors(), g))


def lerp_tensors(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """input + weight (end - input), as torch.lerp; the weight is a number or a tensor.

    Shapes: their common broadcast shape.   Raises TypeError for other operands, RuntimeError for
    shapes that do not broadcast and operands that are not of one floating-point type (a weight
    without dimensions may be of another).
    """
    for name, value in (("input", input), ("end", end)):
        _common.require_tensor("lerp", name, value)
    _common.require_float("lerp", "input", input)
    weight = _common.as_operand("lerp", weight)
    dtype = input.dtype
    if isinstance(weight, Tensor):
        if weight.ndim == 0 and weight.dtype.category == 2:
            weight = to(weight, dtype)
    else:
        table = _common.table_of(input, op="lerp")
        weight = Tensor._wrap(_common.scalar_array(table, weight, dtype, op="lerp"))
    for name, value in (("end", end), ("weight", weight)):
        if value.dtype is not dtype:
            message = (
                f"lerp: expected {name} of input's type {dtype}, got {value.dtype}; convert it "
                "with .to(...)"
            )
            raise RuntimeError(message)
    _common.table_of(input, end, weight, op="lerp")
    return Lerp.apply((input, end, weight))  # type: ignore[no-any-return]


def _three(name: str, input: Any, tensor1: Any, tensor2: Any, value: Any) -> Any:
    """Checks the operands; ``value`` as a number of the result's kind."""
    given = {"input": input, "tensor1": tensor1, "tensor2": tensor2}
    for argument, t in given.items():
        _common.require_tensor(name, argument, t)
    _common.table_of(*given.values(), op=name)
    if isinstance(value, Tensor) and value.ndim == 0:
        value = value.item()
    if not _common.is_operand(value) or isinstance(value, Tensor):
        message = (
            f"{name}: expected value as a number, got {type(value).__name__}; multiply tensor1 by "
            "a tensor before"
        )
        raise TypeError(message)
    dtype = _common.result_type(*given.values())
    if dtype.category == 0:
        message = f"{name}: expected numbers, got bools only; convert one with .to(dtype)"
        raise RuntimeError(message)
    if dtype.category == 1 and _dtypes.of_scalar(value).category == 2:
        message = (
            f"{name}: expected value as an integer for a result of type {dtype}, got {value}; "
            "convert input with .float()"
        )
        raise RuntimeError(message)
    return value


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """input + value * tensor1 * tensor2, as torch.addcmul.

    Shapes: their common broadcast shape, in their promoted type.   Raises TypeError for other
    operands, RuntimeError for shapes that do not broadcast, bools only, and a value with a
    fraction beside integers (which torch cuts off).
    """
    value = _three("addcmul", input, tensor1, tensor2, value)
    _fit("addcmul", input, tensor1, tensor2)
    product = mul_tensors(tensor1, tensor2)
    return add_tensors(input, product if value == 1 else mul_tensors(product, value))


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """input + value * tensor1 / tensor2, as torch.addcdiv.

    Shapes: their common broadcast shape, in their promoted type.   Raises TypeError for other
    operands, RuntimeError for shapes that do not broadcast and two integer tensors to divide.
    """
    value = _three("addcdiv", input, tensor1, tensor2, value)
    if _common.result_type(tensor1, tensor2).category < 2:
        message = (
            "addcdiv: expected a floating-point tensor1 or tensor2, got integers; convert one with "
            ".float()"
        )
        raise RuntimeError(message)
    _fit("addcdiv", input, tensor1, tensor2)
    quotient = div_tensors(tensor1, tensor2)
    return add_tensors(input, quotient if value == 1 else mul_tensors(quotient, value))


def _fit(name: str, *operands: Tensor) -> None:
    shape: tuple[int, ...] = ()
    for t in operands:
        shape = _common.broadcast_shape(name, shape, t.shape)


_common.named(lerp=lerp_tensors)
addcmul_: InPlace[...] = in_place(addcmul)
addcdiv_: InPlace[...] = in_place(addcdiv)
lerp_: InPlace[...] = in_place(lerp_tensors)

_FAMILY: tuple[tuple[Any, Any, float], ...] = (
    (addcmul, lambda x, a, b, value=1: x + value * a * b, -2.0),
    (addcdiv, lambda x, a, b, value=1: x + value * a / b, 0.5),
    (lerp_tensors, lambda x, y, w: x + w * (y - x), -2.0),
)
_SHAPES = [((3, 5), (3, 5), (3, 5)), ((4, 1, 3), (2, 1), ()), ((0, 4), (4,), (1, 1))]
CASES = [
    *(OpCase(f, f.__name__, list(s), ref=ref, low=low) for f, ref, low in _FAMILY for s in _SHAPES),
    *(
        OpCase(f, f.__name__, [(3, 5), (5,), (3, 5)], {"value": -0.5}, ref, low=low)
        for f, ref, low in _FAMILY[:2]
    ),
    *(OpCase(lerp_tensors, "lerp", [(3, 4), (4,), w], ref=_FAMILY[2][1]) for w in (0.25, 0.75, 1)),
    OpCase(
        addcmul,
        "addcmul",
        [("int", (9,), -9, 9), ("int", (9,), -9, 9), ("int", (), -9, 9)],
        {"value": 3},
        _FAMILY[0][1],
        grad=False,
    ),
]
_INT = ("int", (3,), 1, 9)
ERRORS = [
    *(
        case
        for f in (addcmul, addcdiv)
        for case in (
            ErrorCase(f, f.__name__, [(3,), (4,), (3,)], RuntimeError, "shapes that broadcast"),
            ErrorCase(f, f.__name__, [(3,), 2.0, (3,)], TypeError, "tensor1 as a Tensor"),
            ErrorCase(f, f.__name__, [(3,)] * 3, TypeError, "value as a number", {"value": "a"}),
            ErrorCase(f, f.__name__, [("bool", (3,))] * 3, RuntimeError, "got bools only"),
        )
    ),
    ErrorCase(addcmul, "addcmul", [_INT] * 3, RuntimeError, "as an integer", {"value": 0.5}),
    ErrorCase(addcdiv, "addcdiv", [(3,), _INT, _INT], RuntimeError, "got integers"),
    ErrorCase(lerp_tensors, "lerp", [(3,), (4,), 0.5], RuntimeError, "shapes that broadcast"),
    ErrorCase(lerp_tensors, "lerp", [(3,), (3,), "a"], TypeError, "a tensor or a number"),
    ErrorCase(lerp_tensors, "lerp", [(3,), 1.0, 0.5], TypeError, "expected end as a Tensor"),
    ErrorCase(lerp_tensors, "lerp", [_INT, _INT, 0.5], RuntimeError, "floating-point type"),
    ErrorCase(lerp_tensors, "lerp", [(3,), _INT, 0.5], RuntimeError, "end of input's type"),
    ErrorCase(lerp_tensors, "lerp", [(3,), (3,), _INT], RuntimeError, "weight of input's type"),
]

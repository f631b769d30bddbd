# SPDX-License-Identifier: BSD-3-Clause
"""Activations: ReLU, tanh and the logistic sigmoid.

    relu(x) = max(x, 0)   tanh(x) = (e^x - e^-x) / (e^x + e^-x)   sigmoid(x) = 1 / (1 + e^-x)

Shapes:   x (...) -> y (...).
Backward: from the saved output y:  dx = dy [y > 0];  dx = dy (1 - y^2);  dx = dy y (1 - y).
          ReLU of large arrays saves [y > 0] instead of y, a bit per element.
Source:   Glorot, Bordes and Bengio 2011 (ReLU); Goodfellow et al., "Deep Learning", 2016, ch. 6.
"""

from __future__ import annotations

from typing import Any, ClassVar

from fastnn import _backend, _dtypes
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._common import named
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops._tied import tied
from fastnn.ops.copy import to
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

_LARGE = 1 << 22  # bytes of an array that the second-level cache does not hold


@reference
def relu_forward(x: Any, y: Any) -> None:
    """y = x < 0 ? 0 : x; so NaN and -0 stay."""
    xp = array_module(x)
    xp.copyto(y, xp.where(x < 0, xp.zeros((), x.dtype), x))


@reference
def relu_backward(y: Any, grad_y: Any, grad_x: Any) -> None:
    """grad_x = y <= 0 ? 0 : grad_y."""
    xp = array_module(y)
    xp.copyto(grad_x, xp.where(y <= 0, xp.zeros((), y.dtype), grad_y))


@reference
def relu_bits_forward(x: Any, y: Any, bits: Any) -> None:
    """relu_forward; bit i % 8 of byte i / 8 says whether not y[i] <= 0. x, y (n)."""
    relu_forward(x, y)
    bits[...] = array_module(x).packbits(~(y <= 0), bitorder="little")


@reference
def relu_bits_backward(bits: Any, grad_y: Any, grad_x: Any) -> None:
    """grad_x = grad_y where the bit is set, else 0. grad_y, grad_x (n)."""
    xp = array_module(grad_y)
    kept = xp.unpackbits(bits, bitorder="little")[: grad_y.size] != 0
    xp.copyto(grad_x, xp.where(kept, grad_y, xp.zeros((), grad_y.dtype)))


@reference
def tanh_forward(x: Any, y: Any) -> None:
    """y = tanh(x)."""
    array_module(x).tanh(x, out=y)


@reference
def tanh_backward(y: Any, grad_y: Any, grad_x: Any) -> None:
    """grad_x = grad_y (1 - y^2)."""
    one = array_module(y).ones((), y.dtype)
    array_module(y).multiply(grad_y, one - y * y, out=grad_x)


@reference
def sigmoid_forward(x: Any, y: Any) -> None:
    """y = 1 / (1 + exp(-x)) for x >= 0, exp(x) / (1 + exp(x)) below: exp never overflows."""
    xp = array_module(x)
    one = xp.ones((), x.dtype)
    small = xp.exp(-xp.abs(x))
    xp.copyto(y, xp.where(x >= 0, one, small) / (one + small))


@reference
def sigmoid_backward(y: Any, grad_y: Any, grad_x: Any) -> None:
    """grad_x = grad_y y (1 - y)."""
    one = array_module(y).ones((), y.dtype)
    array_module(y).multiply(grad_y * y, one - y, out=grad_x)


class Activation(Op):
    """y = kernel(x); the gradient comes from y alone."""

    kernel: ClassVar[str]

    def forward(self, x: Any) -> Any:
        table = self.kernels
        y = getattr(table.fast, self.kernel + "_forward")(x)
        if y is NotImplemented:
            x = _common.contiguous_array(table, x)
            y = table.empty(x.shape, x.dtype)
            getattr(table, self.kernel + "_forward")(x, y)
        if self.needs[0]:
            self.save(y)
        return y

    def backward(self, grad_y: Any) -> tuple[Any, ...]:
        (y,) = self.saved  # type: ignore[misc]
        table = self.kernels
        grad_x = table.empty(y.shape, y.dtype)
        kernel = getattr(table, self.kernel + "_backward")
        kernel(y, _common.contiguous_array(table, grad_y), grad_x)
        return (grad_x,)


class ReLU(Activation):
    """max(x, 0)."""

    kernel = "relu"

    def backward_graph(self, grad_y: Tensor) -> tuple[Any, ...]:
        (y,) = self.saved_tensors()
        return (tied(where(y.detach() <= 0, 0.0, grad_y), y, again=True),)


class LargeReLU(ReLU):
    """max(x, 0) of what no cache holds: a bit per element is saved, not the output."""

    name = "relu"

    def forward(self, x: Any) -> Any:
        if not self.needs[0]:
            return super().forward(x)
        table = self.kernels
        x = _common.contiguous_array(table, x)
        y = table.empty(x.shape, x.dtype)
        bits = table.empty((-(-x.size // 8),), _dtypes.uint8.numpy)
        table.relu_bits_forward(x.reshape(-1), y.reshape(-1), bits)
        self.save(bits)
        return y

    def backward(self, grad_y: Any) -> tuple[Any, ...]:
        (bits,) = self.saved  # type: ignore[misc]
        return (_passed(self.kernels, grad_y, bits),)

    def backward_graph(self, grad_y: Tensor) -> tuple[Any, ...]:
        (bits,) = self.saved_tensors()
        y = Tensor._with_history(grad_y.array, self, 0)
        return (tied(Passed.apply((grad_y, bits)), y, again=True),)


class Passed(Op):
    """The elements whose bit is set, 0 for the others: the gradient of `LargeReLU`."""

    name = "relu_backward"

    def forward(self, x: Any, bits: Any) -> Any:
        self.save(bits)
        return _passed(self.kernels, x, bits)

    def backward(self, grad_y: Any) -> tuple[Any, ...]:
        (bits,) = self.saved  # type: ignore[misc]
        return _passed(self.kernels, grad_y, bits), None

    def backward_graph(self, grad_y: Tensor) -> tuple[Any, ...]:
        (bits,) = self.saved_tensors()
        return Passed.apply((grad_y, bits)), None


def _passed(table: Any, x: Any, bits: Any) -> Any:
    x = _common.contiguous_array(table, x)
    y = table.empty(x.shape, x.dtype)
    table.relu_bits_backward(bits, x.reshape(-1), y.reshape(-1))
    return y


class Tanh(Activation):
    """tanh(x)."""

    kernel = "tanh"

    def backward_graph(self, grad_y: Tensor) -> tuple[Any, ...]:
        (y,) = self.saved_tensors()
        return (grad_y * (1.0 - y * y),)


class Sigmoid(Activation):
    """1 / (1 + exp(-x))."""

    kernel = "sigmoid"

    def backward_graph(self, grad_y: Tensor) -> tuple[Any, ...]:
        (y,) = self.saved_tensors()
        return (grad_y * (y * (1.0 - y)),)


def _checked(name: str, x: Any) -> Tensor:
    _common.require_tensor(name, "input", x)
    kind = x.array.dtype.kind
    if kind not in "biu":
        return x  # type: ignore[no-any-return]
    if not name.startswith("relu"):
        return to(x, _dtypes.get_default_dtype())
    if kind == "b":
        message = f"{name}: expected numbers, got a bool tensor; convert with .float()"
        raise RuntimeError(message)
    return x  # type: ignore[no-any-return]


def _relu(input: Tensor) -> Tensor:
    x = _checked("relu", input)
    array = x.array
    large = array.nbytes >= _LARGE and array.dtype.char in "fd"
    op = LargeReLU if large and _backend.kernels(array).name == "cpu" else ReLU
    return op.apply((x,))  # type: ignore[no-any-return]


named(relu=_relu)
relu_: InPlace[[]] = in_place(_relu, "relu_forward")


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(input, 0) elementwise, as torch.nn.functional.relu; NaN stays NaN.

    Shapes: input (...) -> (...).   Raises TypeError for no tensor, RuntimeError for bool.
    """
    return relu_(input) if inplace else _relu(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent elementwise, as torch.tanh.

    Shapes: input (...) -> (...).   Integers become the default type; TypeError for no tensor.
    """
    return Tanh.apply((_checked("tanh", input),))  # type: ignore[no-any-return]


tanh_: InPlace[[]] = in_place(tanh, "tanh_forward")


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-input)) elementwise, as torch.sigmoid.

    Shapes: input (...) -> (...).   Integers become the default type; TypeError for no tensor.
    """
    return Sigmoid.apply((_checked("sigmoid", input),))  # type: ignore[no-any-return]


sigmoid_: InPlace[[]] = in_place(sigmoid, "sigmoid_forward")


_FAMILY = (
    (relu, "relu", lambda x: x * (x > 0), 0.0),
    (tanh, "tanh", lambda x: array_module(x).tanh(x), None),
    (sigmoid, "sigmoid", lambda x: 1 / (1 + array_module(x).exp(-x)), None),
)
CASES = [
    *(
        OpCase(f, name, [shape], ref=ref, kink=kink, low=-6.0, high=6.0)
        for f, name, ref, kink in _FAMILY
        for shape in ((3, 5), (), (0, 4), (7, 1, 33))
    ),
    *(
        OpCase(f, name, [("int", (3, 5), -4, 4)], ref=ref, grad=False)
        for f, name, ref, _ in _FAMILY[:1]
    ),
    *(
        OpCase(f, name, [(1024, 4096)], ref=ref, kink=kink, low=-6.0, high=6.0, bench=True)
        for f, name, ref, kink in _FAMILY
    ),
]
ERRORS = [
    case
    for f, name, _, _ in _FAMILY
    for case in (
        ErrorCase(f, name, [[1.0, 2.0]], TypeError, "expected input as a Tensor, got list"),
        ErrorCase(f, name, [None], TypeError, "got NoneType"),
        ErrorCase(f, name, [1.0], TypeError, "fastnn.tensor"),
    )
]

# SPDX-License-Identifier: BSD-3-Clause
"""The affine map of a layer, with bias and activation applied while the tile is in registers.

    y[n, o] = f(sum_k x[n, k] weight[o, k] + bias[o]),     f: identity, ReLU, tanh or sigmoid

Shapes:   x (..., k), weight (o, k), bias (o) -> y (..., o).
Backward: with g = dy f'(y):  dx = g weight,  dweight = g^T x,  dbias = sum of the rows of g.
Saved:    x, weight; y where there is an activation.      Cost: 2 n k o flop.
"""

from __future__ import annotations

import math
from typing import Any, Final

from fastnn import _backend
from fastnn._backend import array_module, reference
from fastnn.autograd import Op
from fastnn.ops import _common
from fastnn.ops._tied import tied
from fastnn.ops.matmul import MatMul
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

ACTIVATIONS: Final = {None: 0, "relu": 1, "tanh": 2, "sigmoid": 3}
_NAMES: Final = ("", "relu", "tanh", "sigmoid")


@reference
def linear_forward(x: Any, weight: Any, bias: Any, y: Any, activation: int) -> None:
    """y = f(x weight^T + bias)."""
    xp = array_module(x)
    xp.matmul(x, weight.T, out=y)
    if bias is not None:
        y += bias
    if activation:
        _backend.references[_NAMES[activation] + "_forward"](y.copy(), y)


class Linear(Op):
    """f(x weight^T + bias)."""

    def forward(self, x: Any, weight: Any, bias: Any, activation: int) -> Any:
        table = self.kernels
        shape = x.shape
        rows = _common.reshaped(table, x, (math.prod(shape[:-1]), shape[-1]))
        y = table.empty((rows.shape[0], weight.shape[0]), x.dtype)
        weight_rows = _common.contiguous_array(table, weight)
        bias_row = None if bias is None else _common.contiguous_array(table, bias)
        table.linear_forward(rows, weight_rows, bias_row, y, activation)
        out = y if len(shape) == 2 else y.reshape(*shape[:-1], weight.shape[0])
        self.shape, self.activation = shape, activation
        # The flattened rows are a view: saving x itself lets its version be checked.
        needs_x = self.needs[1]
        self.save(
            x if needs_x else None, weight if self.needs[0] else None, out if activation else None
        )
        return out

    def activation_gradient(self, g: Any, y: Any) -> Any:
        """g f'(y), as rows."""
        table = self.kernels
        rows = _common.reshaped(table, g, (math.prod(g.shape[:-1]), g.shape[-1]))
        if not self.activation:
            return rows
        out = table.empty(rows.shape, rows.dtype)
        kernel = getattr(table, _NAMES[self.activation] + "_backward")
        kernel(y.reshape(rows.shape), rows, out)
        return out

    def backward(self, grad_y: Any) -> tuple[Any, ...]:
        x, weight, y = self.saved  # type: ignore[misc]
        table = self.kernels
        g = self.activation_gradient(grad_y, y)
        gx = gw = gb = None
        if self.needs[0]:
            gx = table.empty((g.shape[0], self.shape[-1]), g.dtype)
            table.gemm(g, weight, gx, False)
            if len(self.shape) != 2:
                gx = gx.reshape(self.shape)
        if self.needs[1]:
            rows = _common.reshaped(table, x, (g.shape[0], self.shape[-1]))
            gw, accumulate = self.grad_buffer(1, (g.shape[1], self.shape[-1]), g.dtype)
            table.gemm(g.T, rows, gw, accumulate)
        if len(self.needs) > 2 and self.needs[2]:
            gb, accumulate = self.grad_buffer(2, (g.shape[1],), g.dtype)
            table.column_sum(g, gb, accumulate)
        return gx, gw, gb

    def backward_graph(self, grad_y: Tensor) -> tuple[Any, ...]:
        x, weight, y = self.saved_tensors()
        g = grad_y
        if self.activation == 1:
            g = tied(where(y.detach() <= 0, 0.0, g), y, again=True)
        elif self.activation == 2:
            g = g * (1.0 - y * y)
        elif self.activation == 3:
            g = g * (y * (1.0 - y))
        rows = g.reshape(-1, g.shape[-1]) if g.numel() else g.reshape(0, g.shape[-1])
        gx = gw = gb = None
        if self.needs[0]:
            gx = MatMul.apply((rows, weight)).reshape(self.shape)
        if self.needs[1]:
            gw = MatMul.apply((rows.t(), x.reshape(rows.shape[0], self.shape[-1])))
        if self.needs[2]:
            gb = rows.sum(0)
        return gx, gw, gb


def _usual(input: Any, weight: Any, bias: Any, activation: Any) -> bool:
    """Whether the operands certainly go together: what a step with sound ones pays for checks."""
    if type(input) is not Tensor or not isinstance(weight, Tensor):
        return False
    x, w = input.array, weight.array
    if x.dtype is not w.dtype or x.dtype.kind != "f" or w.ndim != 2 or activation is not None:
        return False
    rows, k = w.shape
    if not x.ndim or x.shape[-1] != k:
        return False
    if bias is None:
        return True
    return isinstance(bias, Tensor) and bias.array.dtype is w.dtype and bias.shape == (rows,)


def _check(input: Tensor, weight: Tensor, bias: Tensor | None, activation: str | None) -> None:
    for name, value in (("input", input), ("weight", weight)):
        _common.require_tensor("linear", name, value)
    _common.require_numbers("linear", "input", input)
    if activation not in ACTIVATIONS:
        message = (
            f"linear: expected activation None, 'relu', 'tanh' or 'sigmoid', got {activation!r}; "
            "None leaves it out"
        )
        raise ValueError(message)
    if activation is not None:
        _common.require_float("linear", "input", input)
    if input.ndim == 0 or weight.ndim != 2 or input.shape[-1] != weight.shape[1]:
        message = (
            f"linear: expected input (..., k) and weight (o, k), got {input.shape} and "
            f"{weight.shape}; the last size of input must be that of weight"
        )
        raise RuntimeError(message)
    if bias is not None:
        _common.require_tensor("linear", "bias", bias)
        if bias.shape != weight.shape[:1]:
            message = (
                f"linear: expected bias ({weight.shape[0]},), got {bias.shape}; it has one number "
                "for each row of weight"
            )
            raise RuntimeError(message)
    for other in (weight, bias):
        if other is not None and other.array.dtype != input.array.dtype:
            message = (
                f"linear: expected input, weight and bias of one type, got {input.dtype} and "
                f"{other.dtype}; convert with .to(...)"
            )
            raise RuntimeError(message)


def linear(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, *, activation: str | None = None
) -> Tensor:
    """input weight^T + bias, as torch.nn.functional.linear; then ``activation`` in the same pass.

    input (..., k), weight (o, k), bias (o) or None -> (..., o).
    activation: None, 'relu', 'tanh' or 'sigmoid'; the same bits as applying it afterwards.

    Raises RuntimeError where sizes or types do not go together.
    """
    number = 0
    if not _usual(input, weight, bias, activation):
        _check(input, weight, bias, activation)
        number = ACTIVATIONS[activation]
    return Linear.apply((input, weight, bias), number)  # type: ignore[no-any-return]


def _plain(x: Any, w: Any, b: Any = None, activation: str | None = None) -> Any:
    y = x @ w.T if b is None else x @ w.T + b
    xp = array_module(x)
    if activation == "relu":
        return y * (y > 0)
    if activation == "tanh":
        return xp.tanh(y)
    return 1 / (1 + xp.exp(-y)) if activation == "sigmoid" else y


CASES = [
    OpCase(linear, "linear", [(3, 4), (5, 4), (5,)], ref=_plain),
    OpCase(linear, "linear", [(3, 4), (5, 4), None], ref=_plain),
    OpCase(linear, "linear", [(4,), (5, 4), (5,)], ref=_plain),
    OpCase(linear, "linear", [(2, 3, 4), (5, 4), (5,)], ref=_plain),
    OpCase(linear, "linear", [(0, 4), (5, 4), (5,)], ref=_plain),
    OpCase(linear, "linear", [(65, 130), (33, 130), (33,)], ref=_plain),
    *(
        OpCase(linear, "linear", [(7, 19), (50, 19), (50,)], kwargs={"activation": a}, ref=_plain)
        for a in ("tanh", "sigmoid")
    ),
    OpCase(linear, "linear", [(3, 2), (4, 2), (4,)], kwargs={"activation": "relu"}, ref=_plain),
    *(
        OpCase(linear, "linear", [(n, k), (o, k), (o,)], bench=True, flops=2.0 * n * k * o)
        for n, k, o in ((64, 784, 128), (128, 512, 512), (32, 1024, 4096))
    ),
]
ERRORS = [
    ErrorCase(
        linear, "linear", [(3, 4), (5, 3), (5,)], RuntimeError, "expected input (..., k) and weight"
    ),
    ErrorCase(
        linear, "linear", [(3, 4), (5, 4), (4,)], RuntimeError, "expected bias (5,), got (4,)"
    ),
    ErrorCase(linear, "linear", [(3, 4), [[1.0]]], TypeError, "expected weight as a Tensor"),
    ErrorCase(
        linear, "linear", [("bool", (3, 4)), ("bool", (5, 4))], RuntimeError, "input of numbers"
    ),
    ErrorCase(
        linear,
        "linear",
        [(3, 4), (5, 4)],
        ValueError,
        "expected activation",
        {"activation": "gelu"},
    ),
]

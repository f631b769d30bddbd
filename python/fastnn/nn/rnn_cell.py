# SPDX-License-Identifier: BSD-3-Clause
"""``RNNCell``, ``LSTMCell`` and ``GRUCell``: one step, a sequence of length one of the layers."""

from __future__ import annotations

import math
from typing import Any

from fastnn import ops
from fastnn.nn import init
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.ops import empty
from fastnn.tensor import Tensor

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]


class RNNCellBase(Module):
    """Parameters and arguments of the cells: input (b, i) or (i), states (b, h) or (h)."""

    input_size: int
    hidden_size: int
    bias: bool
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if input_size < 0 or hidden_size < 0:
            message = (
                f"{type(self).__name__}: expected input_size >= 0 and hidden_size >= 0, got "
                f"{input_size} and {hidden_size}"
            )
            raise ValueError(message)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, dtype=dtype, device=device))
        self.weight_hh = Parameter(empty(rows, hidden_size, dtype=dtype, device=device))
        for name in ("bias_ih", "bias_hh"):
            made = Parameter(empty(rows, dtype=dtype, device=device)) if bias else None
            self.register_parameter(name, made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, uniform in (-1/sqrt(hidden_size), 1/sqrt(hidden_size))."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def arguments(self, input: Tensor, states: tuple[Any, ...]) -> list[Any]:
        """Input as a sequence of one step, weights, states as batches."""
        name = type(self).__name__
        for what, value in (("input", input), *(("hidden", s) for s in states)):
            if value is not None and value.ndim not in (1, 2):
                message = f"{name}: Expected {what} to be 1D or 2D, got {value.ndim}D instead"
                raise ValueError(message)
            if value is not None and value.ndim != input.ndim:
                message = f"{name}: expected hidden of {input.ndim} dimensions, got {value.shape}"
                raise RuntimeError(message)
        x = input.unsqueeze(0) if input.ndim == 2 else input.unsqueeze(0).unsqueeze(0)
        if input.ndim == 1:
            states = tuple([None if s is None else s.unsqueeze(0) for s in states])
        return [x, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, *states]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        return text if self.bias is True else f"{text}, bias={self.bias}"


def _like(input: Tensor, state: Tensor) -> Tensor:
    return state if input.ndim == 2 else state.squeeze(0)


class RNNCell(RNNCellBase):
    """One step of `RNN`: h' = f(W_ih x + b_ih + W_hh h + b_hh), f: tanh or ReLU.

    Shapes: input (b, input_size) or (input_size), hx and the result (b, hidden_size) or
    (hidden_size); hx is 0 by default.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            message = f"Unknown nonlinearity: {self.nonlinearity}"
            raise RuntimeError(message)
        arguments = self.arguments(input, (hx,))
        return _like(input, ops.rnn_layer(*arguments, nonlinearity=self.nonlinearity)[1])

    def extra_repr(self) -> str:
        text = super().extra_repr()
        kind = self.nonlinearity
        return text if kind == "tanh" else f"{text}, nonlinearity={kind}"


class GRUCell(RNNCellBase):
    """One step of `GRU`.

    Shapes: input (b, input_size) or (input_size), hx and the result (b, hidden_size) or
    (hidden_size); hx is 0 by default.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return _like(input, ops.gru_layer(*self.arguments(input, (hx,)))[1])


class LSTMCell(RNNCellBase):
    """One step of `LSTM`: (h', c') from the input and (h, c), which are 0 by default.

    Shapes: input (b, input_size) or (input_size), states (b, hidden_size) or (hidden_size).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        states = (None, None) if hx is None else tuple(hx)
        _, h, c = ops.lstm_layer(*self.arguments(input, states))
        return _like(input, h), _like(input, c)

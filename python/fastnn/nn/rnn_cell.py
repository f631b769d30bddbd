# SPDX-License-Identifier: BSD-3-Clause
"""``RNNCell``, ``LSTMCell`` and ``GRUCell``: one step, a sequence of length one of the layers."""

from __future__ import annotations

import math
from typing import Any

from fastnn import ops
from fastnn.nn import init
from fastnn.nn._lstm_options import LSTMOptions
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
        for key, value in (("input_size", input_size), ("hidden_size", hidden_size)):
            if (
                isinstance(value, bool)
                or getattr(value, "ndim", False)
                or not hasattr(value, "__index__")
            ):
                message = (
                    f"{type(self).__name__}: expected {key} as an int, got "
                    f"{type(value).__name__}; convert it with int()"
                )
                raise TypeError(message)
        if input_size < 0 or hidden_size < 0:
            message = (
                f"{type(self).__name__}: expected input_size >= 0 and hidden_size >= 0, got "
                f"{input_size} and {hidden_size}; give the widths of the input and of the state"
            )
            raise ValueError(message)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        for name, shape in self.parameter_shapes(num_chunks * hidden_size).items():
            made = None if shape is None else empty(shape, dtype=dtype, device=device)
            self.register_parameter(name, None if made is None else Parameter(made))
        self.reset_parameters()

    def parameter_shapes(self, rows: int) -> dict[str, tuple[int, ...] | None]:
        """The parameters and their shapes; None for a bias that there is not."""
        bias = (rows,) if self.bias else None
        return {
            "weight_ih": (rows, self.input_size),
            "weight_hh": (rows, self.hidden_size),
            "bias_ih": bias,
            "bias_hh": bias,
        }

    def reset_parameters(self) -> None:
        """Draw new initial values, uniform in (-1/sqrt(hidden_size), 1/sqrt(hidden_size))."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def arguments(self, input: Tensor, states: tuple[Any, ...]) -> list[Any]:
        """Input as a sequence of one step, weights, states as batches."""
        name = type(self).__name__
        for what, value in (("input", input), *(("hidden", s) for s in states)):
            if value is None and what == "hidden":
                continue
            if not isinstance(value, Tensor):
                message = (
                    f"{name}: expected {what} as a Tensor, got {type(value).__name__}; make one "
                    "with fastnn.tensor(...)"
                )
                raise TypeError(message)
            if value.ndim not in (1, 2):
                message = (
                    f"{name}: expected {what} to be 1D or 2D, got {value.ndim}D instead; give one "
                    "step of the sequence"
                )
                raise ValueError(message)
            if value.ndim != input.ndim:
                message = (
                    f"{name}: expected hidden of {input.ndim} dimensions, as input, got "
                    f"{value.shape}; unsqueeze(0) adds a batch"
                )
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
            message = (
                f"RNNCell: expected nonlinearity 'tanh' or 'relu', got {self.nonlinearity!r}; "
                "leave it out for 'tanh'"
            )
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


class LSTMCell(LSTMOptions, RNNCellBase):
    """One step of `LSTM`, with its options: (h', c') from the input and (h, c), 0 by default.

        a = N(W_ih x; n_x) + N(W_hh h; n_h) + b_ih + b_hh           N: layer norm, or nothing
        i = sigmoid(a_i + p_i c),   f = sigmoid(a_f + p_f c), or 1 - i if ``coupled``
        g = tanh(a_g),   c* = f c + i g,   o = sigmoid(a_o + p_o c*),   h* = o tanh(N(c*; n_c))
        c' = s_c c* + (1 - s_c) c,   h' = s_h h* + (1 - s_h) h

    s is 1 without ``zoneout``; with it, for each element, 0 with that probability in training, else
    1, and 1 - zoneout in evaluation.

    Arguments as torch: input_size, hidden_size, bias. By keyword, and of our own:

    peephole:   the gates see the cell; weight_peephole holds p_i, p_f (unless coupled) and p_o.
    layer_norm: weight_norm (2 k + 2, h) holds the gains of n_x and n_h, k = 3 or 4 rows each, the
                gain and the bias of n_c; epsilon 1e-5.
    coupled:    three gates' weights, in the order i, g, o, instead of the four i, f, g, o.
    zoneout:    see above. Every step draws from the default generator.

    Shapes: input (b, input_size) or (input_size), states (b, hidden_size) or (hidden_size).
    Initial values: uniform in (-1/sqrt(hidden_size), 1/sqrt(hidden_size)); weight_norm: gains 1,
    bias 0.
    Errors: TypeError and ValueError for bad options; ``forward`` names what does not fit.
    Sources: Hochreiter and Schmidhuber 1997; Gers and Schmidhuber 2000 (peepholes); Ba, Kiros and
    Hinton 2016 (layer norm); Greff et al. 2017 (coupled gates); Krueger et al. 2017 (zoneout).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        peephole: bool = False,
        layer_norm: bool = False,
        coupled: bool = False,
        zoneout: float = 0.0,
    ) -> None:
        self.set_options(peephole, layer_norm, coupled, zoneout)
        if self.has_options and hidden_size == 0:
            message = (
                "LSTMCell: expected hidden_size > 0 with peephole, layer_norm, coupled or zoneout, "
                "got 0; leave them out"
            )
            raise ValueError(message)
        super().__init__(input_size, hidden_size, bias, self.gates, device, dtype)

    def parameter_shapes(self, rows: int) -> dict[str, tuple[int, ...] | None]:
        return {**super().parameter_shapes(rows), **self.option_shapes(self.hidden_size)}

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        if hx is not None and (not isinstance(hx, tuple | list) or len(hx) != 2):
            got = f"{len(hx)} of them" if isinstance(hx, tuple | list) else type(hx).__name__
            message = f"LSTMCell: expected hx as a pair (h, c), got {got}; pass None for zeros"
            raise TypeError(message)
        states = (None, None) if hx is None else tuple(hx)
        x, w_ih, w_hh, b_ih, b_hh, h0, c0 = self.arguments(input, states)
        if self.has_options:
            _, h, c = ops.lstm_variant_layer(
                x,
                w_ih,
                w_hh,
                b_ih,
                b_hh,
                h0,
                c0,
                peephole=self.weight_peephole if self.peephole else None,
                norm=self.weight_norm if self.layer_norm else None,
                zoneout=self.zoneout,
                training=self.training,
            )
        else:
            _, h, c = ops.lstm_layer(x, w_ih, w_hh, b_ih, b_hh, h0, c0)
        return _like(input, h), _like(input, c)

# SPDX-License-Identifier: BSD-3-Clause
"""``RNN``, ``LSTM`` and ``GRU``: stacks of recurrent layers over whole sequences.

Shapes of all three: input (t, b, input_size), or (b, t, input_size) with ``batch_first``, or
(t, input_size) without a batch, or a PackedSequence; output the same with d * hidden_size
features, d = 2 if bidirectional, else 1; states (num_layers * d, b, hidden_size), by default 0.
"""

from __future__ import annotations

from typing import Any

from fastnn import ops
from fastnn.nn._lstm_options import LSTMOptions
from fastnn.nn._rnn_base import RNNBase
from fastnn.tensor import Tensor

__all__ = ["GRU", "LSTM", "RNN"]


class RNN(RNNBase):
    """Simple recurrent network (Elman 1990), as torch.nn.RNN.

        h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh),   f: tanh or ReLU

    Positional arguments as torch: input_size, hidden_size, num_layers, nonlinearity, bias,
    batch_first, dropout (between layers), bidirectional.
    Initial values: uniform in (-1/sqrt(hidden_size), 1/sqrt(hidden_size)).
    Errors: ValueError for sizes, nonlinearity or dropout out of range; ``forward`` names the shapes
    that do not fit.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            message = (
                f"RNN: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}; leave it out "
                "for 'tanh'"
            )
            raise ValueError(message)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity

    def run_layer(
        self, x: Tensor, weights: dict[str, Tensor], states: Any, lengths: Any, reverse: bool
    ) -> tuple[Tensor, ...]:
        w_ih, w_hh, b_ih, b_hh = _weights(weights)
        h0 = states[0] if states else None
        return ops.rnn_layer(
            x,
            w_ih,
            w_hh,
            b_ih,
            b_hh,
            h0,
            lengths,
            reverse=reverse,
            nonlinearity=self.nonlinearity,
        )

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """(output, h_n); ``hx`` is h_0."""
        y, states = self.run(input, None if hx is None else (hx,))
        return y, states[0]


class GRU(RNNBase):
    """Gated recurrent units (Cho et al. 2014), as torch.nn.GRU.

        r, z = sigmoid(.) of W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        n = tanh(W_in x_t + b_in + r (W_hn h_{t-1} + b_hn)),   h_t = (1 - z) n + z h_{t-1}

    Arguments as torch: input_size, hidden_size, num_layers, bias, batch_first, dropout (between
    layers), bidirectional.
    Initial values: uniform in (-1/sqrt(hidden_size), 1/sqrt(hidden_size)).
    Errors: ValueError for sizes or dropout out of range; ``forward`` names the shapes that do not
    fit.
    """

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip

    def run_layer(
        self, x: Tensor, weights: dict[str, Tensor], states: Any, lengths: Any, reverse: bool
    ) -> tuple[Tensor, ...]:
        w_ih, w_hh, b_ih, b_hh = _weights(weights)
        h0 = states[0] if states else None
        return ops.gru_layer(x, w_ih, w_hh, b_ih, b_hh, h0, lengths, reverse=reverse)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """(output, h_n); ``hx`` is h_0."""
        y, states = self.run(input, None if hx is None else (hx,))
        return y, states[0]


class LSTM(LSTMOptions, RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), as torch.nn.LSTM.

        i, f, o = sigmoid(.), g = tanh(.) of W_ih x_t + b_ih + W_hh h_{t-1} + b_hh
        c_t = f c_{t-1} + i g,   h_t = o tanh(c_t), or W_hr times it with ``proj_size``

    Arguments as torch: input_size, hidden_size, num_layers, bias, batch_first, dropout (between
    layers), bidirectional, proj_size. By keyword, and of our own (ops/lstm_variant.py):

    peephole:   the gates see the cell; parameters weight_peephole.
    layer_norm: of the gates' sums and the cell; parameters weight_norm (gains 1, bias 0).
    coupled:    f = 1 - i, so there are three gates' weights, in the order i, g, o.
    zoneout:    the probability with which an element of h and of c keeps its value in a step of
                training; in evaluation, the expectation.

    Initial values: uniform in (-1/sqrt(hidden_size), 1/sqrt(hidden_size)).
    Errors: ValueError for sizes, dropout or zoneout out of range; ``forward`` names the shapes that
    do not fit.
    """

    n_states = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        *,
        peephole: bool = False,
        layer_norm: bool = False,
        coupled: bool = False,
        zoneout: float = 0.0,
    ) -> None:
        self.set_options(peephole, layer_norm, coupled, zoneout)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size, device, dtype,
        )  # fmt: skip

    def parameter_shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        shapes = super().parameter_shapes(width)
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        return {**shapes, **self.option_shapes(self.hidden_size)}

    def run_layer(
        self, x: Tensor, weights: dict[str, Tensor], states: Any, lengths: Any, reverse: bool
    ) -> tuple[Tensor, ...]:
        w_ih, w_hh, b_ih, b_hh = _weights(weights)
        h0, c0 = states or (None, None)
        if not self.has_options and not self.proj_size:
            return ops.lstm_layer(x, w_ih, w_hh, b_ih, b_hh, h0, c0, lengths, reverse=reverse)
        names = ("weight_hr", "weight_peephole", "weight_norm")
        w_hr, peephole, norm = (weights.get(n) for n in names)
        return ops.lstm_variant_layer(
            x,
            w_ih,
            w_hh,
            b_ih,
            b_hh,
            h0,
            c0,
            lengths,
            w_hr,
            peephole,
            norm,
            reverse=reverse,
            zoneout=self.zoneout,
            training=self.training,
        )

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        """(output, (h_n, c_n)); ``hx`` is (h_0, c_0)."""
        if hx is not None and (not isinstance(hx, tuple | list) or len(hx) != 2):
            got = f"{len(hx)} of them" if isinstance(hx, tuple | list) else type(hx).__name__
            message = f"LSTM: expected hx as a pair (h_0, c_0), got {got}; leave it out for zeros"
            raise TypeError(message)
        y, states = self.run(input, hx)
        return y, (states[0], states[1])


def _weights(weights: dict[str, Tensor]) -> list[Any]:
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return [weights.get(name) for name in names]

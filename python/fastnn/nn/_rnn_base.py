# SPDX-License-Identifier: BSD-3-Clause
"""What the modules RNN, GRU and LSTM share: parameters, layers and directions, packed input."""

from __future__ import annotations

import math
import warnings
from typing import Any

from fastnn.nn import init
from fastnn.nn._calls import F
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.nn.utils._packing import checked_sizes, lengths_of, pack_rows, padded_rows
from fastnn.nn.utils.rnn import PackedSequence
from fastnn.ops import empty
from fastnn.ops.join import cat, stack
from fastnn.tensor import Tensor

__all__ = ["RNNBase"]

States = tuple[Tensor, ...]


def _check_numbers(
    name: str, input_size: Any, hidden_size: Any, num_layers: Any, dropout: Any, proj_size: Any
) -> None:
    sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
    for key, value in {**sizes, "proj_size": proj_size}.items():
        if isinstance(value, bool) or not isinstance(value, int):
            message = (
                f"{name}: expected {key} as an int, got {type(value).__name__}; convert with int()"
            )
            raise TypeError(message)
    for key, value in sizes.items():
        if value <= 0:
            message = f"{name}: expected {key} > 0, got {value}; 1 is the least"
            raise ValueError(message)
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
        message = (
            f"{name}: expected dropout as a number in [0, 1], the probability of an element being "
            f"zeroed, got {dropout!r}; divide percentages by 100"
        )
        raise ValueError(message)
    if not 0 <= proj_size < hidden_size:
        message = f"{name}: expected 0 <= proj_size < hidden_size, got {proj_size}; 0 disables it"
        raise ValueError(message)


class RNNBase(Module):
    """Layers of one kind of recurrent cell, in one direction or both.

    A subclass says how many gates its cell has, how its parameters are called and what one layer
    in one direction computes.
    """

    gates: int
    n_states = 1

    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

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
    ) -> None:
        super().__init__()
        name = type(self).__name__
        _check_numbers(name, input_size, hidden_size, num_layers, dropout, proj_size)
        flag: object
        for key, flag in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(flag, bool):
                message = f"{name}: expected {key} as a bool, got {flag!r:.60}; name it: {key}=True"
                raise TypeError(message)
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero "
                f"dropout expects num_layers greater than 1, but got dropout={dropout} and "
                f"num_layers={num_layers}",
                stacklevel=3,
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            width = input_size if layer == 0 else self.output_size * self.directions
            for direction in range(self.directions):
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                shapes = self.parameter_shapes(width)
                for key, shape in shapes.items():
                    setattr(self, key + suffix, Parameter(empty(shape, dtype=dtype, device=device)))
                self._all_weights.append([key + suffix for key in shapes])
        self.reset_parameters()

    @property
    def directions(self) -> int:
        """2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """The size of h_t in one direction."""
        return self.proj_size or self.hidden_size

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, n) for n in names] for names in self._all_weights]

    def parameter_shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        """Names (without layer and direction) and shapes for an input of this width."""
        rows = self.gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, width),
            "weight_hh": (rows, self.output_size),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        return shapes

    def reset_parameters(self) -> None:
        """Draw new initial values, uniform in (-1/sqrt(hidden_size), 1/sqrt(hidden_size))."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: parameters need no common memory here. For code that calls torch's."""

    def run_layer(
        self, x: Tensor, weights: dict[str, Tensor], states: Any, lengths: Any, reverse: bool
    ) -> tuple[Tensor, ...]:
        """One layer in one direction on (t, b, i): y and the last states."""
        raise NotImplementedError

    def run_layers(self, x: Tensor, states: Any, lengths: Any) -> tuple[Tensor, States]:
        """All layers on (t, b, i): the last one's y, and every state (layers directions, b, h)."""
        last: list[tuple[Tensor, ...]] = []
        x = x.contiguous()
        for layer in range(self.num_layers):
            outs = []
            for direction in range(self.directions):
                n = layer * self.directions + direction
                names = self._all_weights[n]
                weights = {name.split("_l")[0]: getattr(self, name) for name in names}
                given = None if states is None else [s[n] for s in states]
                y, *ends = self.run_layer(x, weights, given, lengths, direction == 1)
                outs.append(y)
                last.append(tuple(ends))
            x = outs[0] if len(outs) == 1 else cat(outs, 2)
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        joined = []
        for k in range(self.n_states):
            ends = [of_layer[k] for of_layer in last]
            joined.append(ends[0].unsqueeze(0) if len(ends) == 1 else stack(ends))
        return x, tuple(joined)

    # ---- arguments ----

    def check_input(self, x: Tensor) -> None:
        """Raises for an input of another width or type than the weights'."""
        name, weight = type(self).__name__, getattr(self, self._all_weights[0][0])
        if x.array.dtype != weight.array.dtype:
            message = (
                f"{name}: expected input of the weights' type {weight.dtype}, got {x.dtype}; "
                f"convert the input with .to({weight.dtype}), or the model"
            )
            raise ValueError(message)
        if x.shape[-1] != self.input_size:
            message = (
                f"{name}: expected input.size(-1) equal to input_size {self.input_size}, got "
                f"{x.shape[-1]}; reshape the input, or make the layer with {x.shape[-1]}"
            )
            raise RuntimeError(message)

    def check_states(self, states: Any, batch: int) -> None:
        """Raises for states of another shape than (layers directions, b, h)."""
        sizes = (self.output_size, self.hidden_size)
        for k, state in enumerate(states):
            want = (self.num_layers * self.directions, batch, sizes[k])
            if tuple(state.shape) != want:
                which = f"hidden[{k}]" if self.n_states > 1 else "hidden"
                message = (
                    f"{type(self).__name__}: expected {which} size {want}, got {list(state.shape)};"
                    " leave hx out for zeros"
                )
                raise RuntimeError(message)

    def run_packed(self, packed: PackedSequence, states: Any) -> tuple[PackedSequence, States]:
        """`run_layers` on a packed sequence: rows in the order of their lengths."""
        data, batch_sizes, sorted_indices, unsorted_indices = packed
        if data.ndim != 2:
            message = (
                f"{type(self).__name__}: expected packed data (n, i), got {data.shape}; pack "
                "sequences (t, i)"
            )
            raise RuntimeError(message)
        self.check_input(data)
        sizes = checked_sizes(type(self).__name__, data, batch_sizes).tolist()
        if states is not None:
            if sorted_indices is not None:
                states = [s.index_select(1, sorted_indices) for s in states]
            self.check_states(states, sizes[0])
        lengths = None if sizes[0] == sizes[-1] else lengths_of(sizes)
        y, last = self.run_layers(padded_rows(data, sizes), states, lengths)
        if unsorted_indices is not None:
            last = tuple([s.index_select(1, unsorted_indices) for s in last])
        out = PackedSequence(pack_rows(y, sizes), batch_sizes, sorted_indices, unsorted_indices)
        return out, last

    def run(self, input: Any, states: Any) -> tuple[Any, States]:
        """`run_layers` on what the user gave: packed, batched or not, batch first or not."""
        name = type(self).__name__
        for state in states or ():
            if not isinstance(state, Tensor):
                message = (
                    f"{name}: expected hx as Tensors, got {type(state).__name__}; leave it out for "
                    "zeros"
                )
                raise TypeError(message)
        if isinstance(input, PackedSequence):
            return self.run_packed(input, states)
        if not isinstance(input, Tensor):
            got = type(input).__name__
            message = f"{name}: expected input as a Tensor, got {got}; use fastnn.tensor(...)"
            raise TypeError(message)
        if input.ndim not in (2, 3):
            message = (
                f"{name}: expected input to be 2D or 3D, got {input.ndim}D tensor instead; make it "
                "(t, i), or with a batch (t, b, i)"
            )
            raise ValueError(message)
        self.check_input(input)
        batched = input.ndim == 3
        for state in states or ():
            if state.ndim != input.ndim:
                message = (
                    f"{name}: expected hx of {input.ndim} dimensions for "
                    f"{'batched' if batched else 'unbatched'} input, got {state.ndim}-D tensor; "
                    "leave it out for zeros"
                )
                raise RuntimeError(message)
        if not batched:
            x = input.unsqueeze(1)
            states = None if states is None else [s.unsqueeze(1) for s in states]
        else:
            x = input.transpose(0, 1) if self.batch_first else input
        if x.shape[0] == 0:
            message = (
                f"{name}: expected sequence length to be larger than 0, got {input.shape}; leave "
                "empty sequences out"
            )
            raise RuntimeError(message)
        if states is not None:
            self.check_states(states, x.shape[1])
        y, last = self.run_layers(x, states, None)
        if not batched:
            return y.squeeze(1), tuple([s.squeeze(1) for s in last])
        return (y.transpose(0, 1) if self.batch_first else y), last

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        plain = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0,
            "bidirectional": False,
        }  # fmt: skip
        values = {k: getattr(self, k) for k in plain}
        parts += [f"{k}={v}" for k, v in values.items() if v != plain[k]]
        return ", ".join(parts)

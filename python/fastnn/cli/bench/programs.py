# SPDX-License-Identifier: BSD-3-Clause
"""What is timed beside the cases: whole training steps, recurrent layers, optimisers, small calls.

A program is a name, arrays (the data and the initial weights, which every library gets) and what a
run costs. How each library runs it is in ``steps_modules.py`` (fastnn and torch, whose modules have
the same names and parameters), ``steps_jax.py`` and ``adapter_onnxruntime.py``.

A step is forward, loss, backward and optimiser. Its results are the losses of its first three
steps; those of a layer its output and gradients; those of an optimiser a parameter after three
updates.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastnn.cli.bench.ceilings import Cost

__all__ = ["PROGRAMS", "Program"]

_Shapes = Mapping[str, tuple[int, ...]]
_F4 = 4.0  # bytes of a float32


@dataclasses.dataclass(frozen=True)
class Program:
    """One of them. ``kind``: step, layer, optimizer or calls."""

    name: str
    kind: str
    make: Callable[[], dict[str, Any]]
    costs: Mapping[str, Cost]  # by pass
    tolerance: float = 1e-3

    @property
    def passes(self) -> tuple[str, ...]:
        """The directions that it has."""
        return tuple(self.costs)

    @property
    def both_passes(self) -> bool:
        """Whether there is more than one."""
        return len(self.costs) > 1

    def cost(self, pass_: str) -> Cost:
        """Of one run."""
        return self.costs[pass_]


def _weights(rng: np.random.Generator, shapes: _Shapes) -> dict[str, Any]:
    """Uniform within 1 / sqrt(inputs); one-dimensional ``norm`` weights are 1, biases 0."""
    made = {}
    for name, shape in shapes.items():
        if "norm" in name:
            array = np.full(shape, 1.0 if name.endswith("weight") else 0.0)
        else:
            fan_in = math.prod(shape[1:]) if len(shape) > 1 else 64
            array = rng.uniform(-1, 1, shape) / math.sqrt(fan_in)
        made[f"p.{name}"] = array.astype(np.float32)
    return made


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _step(
    name: str,
    x: tuple[int, ...],
    shapes: _Shapes,
    flops: tuple[float, float],
    activations: float,
    optimizer: str,
    classes: int = 10,
    vocabulary: int | None = None,
    squares: float = 0.0,
) -> Program:
    """A whole step on a batch ``x`` (or of characters below ``vocabulary``).

    flops: of the forward pass, in its first layer and in the others; backward as many for gradients
    of weights, and again for those of inputs but the first. squares: those of convolutions with 3 x
    3 taps and stride 1, of which Winograd needs 4 / 9. activations: elements of intermediate
    results: each is written, read twice, and its gradient written and read. Weights are read twice
    and their gradients written once beside the optimiser.
    """
    optimizer_bytes = {"sgd": 12.0, "momentum": 20.0, "adam": 28.0}[optimizer]
    parameters = float(sum(math.prod(s) for s in shapes.values()))
    traffic = 5 * _F4 * activations + (optimizer_bytes + 3 * _F4) * parameters
    states = {"sgd": 2, "momentum": 3, "adam": 4}[optimizer]
    held = _F4 * (2 * activations + states * parameters)
    beyond = _F4 * (activations + 2 * parameters)  # every optimiser reads one array more, too

    def make() -> dict[str, Any]:
        rng = _rng(name)
        arrays = _weights(rng, shapes)
        if vocabulary is None:
            arrays["x"] = rng.standard_normal(x).astype(np.float32)
            arrays["target"] = rng.integers(0, classes, x[0])
        else:
            arrays["x"] = rng.integers(0, vocabulary, x)
            arrays["target"] = rng.integers(0, vocabulary, math.prod(x))
        return arrays

    total = 2 * flops[0] + 3 * flops[1]
    least = total - 3 * squares * 5 / 9
    cost = Cost(total, traffic, held, parts=True, read=beyond, least_flops=least)
    return Program(name, "step", make, {"forward_backward": cost})


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}weight": (outputs, inputs), f"{name}bias": (outputs,)}


def _conv(name: str, outputs: int, inputs: int, k: int, bias: bool) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{name}.weight": (outputs, inputs, k, k)}
    return shapes | {f"{name}.bias": (outputs,)} if bias else shapes


def _norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def _block(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    shapes = (
        _conv(f"{name}.conv1", outputs, inputs, 3, bias=False)
        | _norm(f"{name}.norm1", outputs)
        | _conv(f"{name}.conv2", outputs, outputs, 3, bias=False)
        | _norm(f"{name}.norm2", outputs)
    )
    if inputs != outputs:
        shapes |= _conv(f"{name}.shortcut", outputs, inputs, 1, bias=False)
        shapes |= _norm(f"{name}.norm3", outputs)
    return shapes


def _recurrent(
    name: str, t: int, b: int, i: int, h: int, gates: int = 4, directions: int = 1
) -> Program:
    """A recurrent layer on a batch of sequences; its backward pass has twice the operations."""
    shapes: dict[str, tuple[int, ...]] = {}
    for suffix in ("", "_reverse")[:directions]:
        shapes |= {
            f"weight_ih_l0{suffix}": (gates * h, i), f"weight_hh_l0{suffix}": (gates * h, h),
            f"bias_ih_l0{suffix}": (gates * h,), f"bias_hh_l0{suffix}": (gates * h,),
        }  # fmt: skip
    flops = directions * 2.0 * t * b * gates * h * (i + h)
    parameters = sum(math.prod(s) for s in shapes.values())
    given, out = _F4 * (parameters + t * b * i), _F4 * t * b * directions * h

    def make() -> dict[str, Any]:
        rng = _rng(name)
        arrays = {
            f"p.{k}": (rng.uniform(-1, 1, s) / math.sqrt(h)).astype(np.float32)
            for k, s in shapes.items()
        }
        arrays["x"] = rng.standard_normal((t, b, i)).astype(np.float32)
        return arrays

    costs = {
        "forward": Cost(flops, given + out, given + out, read=max(0.0, given - out)),
        # Backward: what was given and the output's gradient are read, those of the former written.
        "forward_backward": Cost(3 * flops, 3 * given + 2 * out, 2 * (given + out), read=given),
    }
    return Program(name, "layer", make, costs)


def _variant(name: str) -> Program:
    """The layer `lstm` with an option of fastnn's LSTM: the cost is that of the plain one."""
    plain = _recurrent("lstm", 64, 32, 128, 256)
    return dataclasses.replace(plain, name=name)


_TENSORS, _EACH = 50, 200_000


def _optimizer(name: str, bytes_per_parameter: float, held: float) -> Program:
    """Updates 10 million parameters in 50 tensors, all alike."""
    count = float(_TENSORS * _EACH)

    def make() -> dict[str, Any]:
        rng = _rng("optimizer")
        p, g = (rng.standard_normal(_EACH).astype(np.float32) for _ in range(2))
        return {"p": p, "grad": g, "count": np.asarray(_TENSORS)}

    # A parameter, its gradient and its moments are read; all but the gradient are written.
    cost = Cost(None, bytes_per_parameter * count, held * count, read=_F4 * count)
    return Program(name, "optimizer", make, {"forward": cost}, tolerance=1e-4)


def _calls(name: str, pass_: str) -> Program:
    """Operations so small that what is timed is the way to them."""

    def make() -> dict[str, Any]:
        rng = _rng("calls")
        return {k: rng.standard_normal(8).astype(np.float32) for k in ("x", "y")}

    return Program(name, "calls", make, {pass_: Cost(None, None, 0.0)}, tolerance=1e-5)


def _steps() -> list[Program]:
    def products(batch: int, *widths: int) -> tuple[float, float]:
        first, *others = (2.0 * batch * a * b for a, b in itertools.pairwise(widths))
        return first, sum(others)

    small = _linear("0.", 128, 784) | _linear("2.", 10, 128)
    big = _linear("0.", 2048, 1024) | _linear("2.", 2048, 2048) | _linear("4.", 10, 2048)
    lenet = (
        _conv("0", 6, 1, 5, bias=True)
        | _conv("3", 16, 6, 5, bias=True)
        | _linear("7.", 120, 400)
        | _linear("9.", 84, 120)
        | _linear("11.", 10, 84)
    )
    lenet_flops = (
        2.0 * 64 * 784 * 6 * 25,
        2.0 * 64 * 100 * 16 * 150 + sum(products(64, 400, 120, 84, 10)),
    )
    cnn = (
        _conv("0", 32, 1, 3, bias=True)
        | _norm("norm1", 32)
        | _conv("3", 64, 32, 3, bias=True)
        | _norm("norm4", 64)
        | _linear("9.", 128, 12544)
        | _linear("11.", 10, 128)
    )
    cnn_squares = 2.0 * 64 * 784 * 64 * 288
    cnn_flops = (2.0 * 64 * 784 * 32 * 9, cnn_squares + sum(products(64, 12544, 128, 10)))
    resnet = (
        _conv("stem", 16, 3, 3, bias=False)
        | _norm("norm", 16)
        | _block("block1", 16, 16)
        | _block("block2", 16, 32)
        | _block("block3", 32, 64)
        | _linear("head.", 10, 64)
    )
    pixels = 32.0 * 32 * 32
    blocks = 2 * pixels * (2 * 16 * 144 + (32 * 144 + 32 * 288 + 32 * 16) / 4)
    blocks += 2 * pixels / 16 * (64 * 288 + 64 * 576 + 64 * 32) + sum(products(32, 64, 10))
    resnet_flops = (2 * pixels * 16 * 27, blocks)
    resnet_squares = 2 * pixels * (2 * 16 * 144 + 32 * 288 / 4 + 64 * 576 / 16)
    # Every convolution, normalisation and activation leaves an array: two of each in a block, and a
    # convolution and a normalisation more where the shape changes.
    resnet_held = pixels * (16 * (3 + 6) + 32 / 4 * (6 + 2) + 64 / 16 * (6 + 2))
    characters = {
        "embedding.weight": (65, 64),
        "lstm.weight_ih_l0": (1024, 64), "lstm.weight_hh_l0": (1024, 256),
        "lstm.bias_ih_l0": (1024,), "lstm.bias_hh_l0": (1024,), **_linear("head.", 65, 256),
    }  # fmt: skip
    tokens = 64 * 32
    character_flops = (0.0, sum(products(tokens, 65, 256)) + 2.0 * tokens * 1024 * 320)
    return [
        _step("logreg", (32, 64), _linear("", 10, 64), products(32, 64, 10), 320, "sgd"),
        _step(
            "mlp_small", (64, 784), small, products(64, 784, 128, 10), 64.0 * (2 * 128 + 10), "sgd"
        ),
        _step(
            "mlp_big", (256, 1024), big, products(256, 1024, 2048, 2048, 10),
            256.0 * (4 * 2048 + 10), "adam",
        ),
        _step(
            "lenet", (64, 1, 28, 28), lenet, lenet_flops,
            64.0 * (2 * 4704 + 1176 + 2 * 1600 + 400 + 2 * 204 + 10), "momentum",
        ),
        _step(
            "cnn", (64, 1, 28, 28), cnn, cnn_flops,
            64.0 * (784 * 3 * 96 + 2 * 12544 + 2 * 128 + 10), "adam", squares=cnn_squares,
        ),
        _step("resnet_tiny", (32, 3, 32, 32), resnet, resnet_flops, resnet_held, "momentum",
              squares=resnet_squares),
        _step(
            "charlstm", (64, 32), characters, character_flops,
            tokens * (64.0 + 6 * 256 + 65), "adam", vocabulary=65,
        ),
    ]  # fmt: skip


PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (
        *_steps(),
        _recurrent("lstm", 64, 32, 128, 256),
        _recurrent("lstm_big", 128, 64, 64, 512),
        _recurrent("lstm_bidirectional", 32, 128, 28, 128, directions=2),
        _recurrent("gru", 64, 32, 128, 256, gates=3),
        _variant("lstm_peephole"),
        _variant("lstm_layer_norm"),
        _optimizer("adam", 28.0, 16.0),
        _optimizer("sgd", 12.0, 8.0),
        _optimizer("sgd_momentum", 20.0, 12.0),
        _calls("add_8", "forward"),
        _calls("chain_20", "forward_backward"),
    )
}

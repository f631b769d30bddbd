# SPDX-License-Identifier: BSD-3-Clause
"""The rectifier with random slopes below zero, and draws from a relaxed categorical distribution.

    rrelu:           y = x where x > 0, else s x;  s uniform in [lower, upper) while training, their
                     mean otherwise
    gumbel_softmax:  y = softmax((x + g) / tau),  g = -log(e), e of the exponential distribution

Shapes:   x (...) -> the same.
Backward: the slope and the softmax at the numbers that were drawn;  ``hard`` draws have the
          gradient of the soft ones.
Source:   Xu, Wang, Chen and Li, "Empirical evaluation of rectified activations in convolutional
          network", 2015; Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax",
          ICLR 2017.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops._in_place import InPlace, in_place
from fastnn.ops._like import zeros_like
from fastnn.ops.copy import to
from fastnn.ops.creation import empty
from fastnn.ops.random_fill import uniform_, words
from fastnn.ops.rectifiers import leaky_relu
from fastnn.ops.reduce import argmax
from fastnn.ops.scatter import scatter_elements
from fastnn.ops.softmax import softmax
from fastnn.ops.unary import log
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from fastnn.random import Generator


def rrelu(
    input: Tensor,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """The leaky rectifier with a slope drawn for every element below zero, as torch's F.rrelu.

    The slope is uniform in [lower, upper) while training, else their mean. The random numbers come
    from ``generator`` (None: the default one).
    Raises RuntimeError for integers and lower > upper, TypeError for no tensor and no numbers.
    """
    _common.require_tensor("rrelu", "input", input)
    _common.require_float("rrelu", "input", input)
    low, high = number("rrelu", "lower", lower), number("rrelu", "upper", upper)
    if not low <= high:
        message = f"rrelu: expected lower <= upper, got {lower} and {upper}; exchange them"
        raise RuntimeError(message)
    function: InPlace[...] = in_place(_sloped) if inplace else _sloped
    return function(input, low, high, training, generator)


def _sloped(
    input: Tensor, low: float, high: float, training: bool, generator: Generator | None
) -> Tensor:
    if not training:
        return leaky_relu(input, (low + high) / 2)
    slopes = _uniform(input, low, high, generator)
    return where(input.detach() > 0, input, input * slopes)


def _uniform(like: Tensor, low: float, high: float, generator: Generator | None) -> Tensor:
    """Random numbers of the shape and type of a tensor."""
    # The tests' higher precision has no random numbers of its own.
    kind = like.dtype if like.dtype in _dtypes.ALL else _dtypes.float64
    made = empty(like.shape, dtype=kind, device=like.device)
    return to(uniform_(made, low, high, generator=generator), like.dtype)


_common.named(rrelu=_sloped)  # the name in messages of its in-place form
rrelu_: InPlace[...] = in_place(rrelu)


def gumbel_softmax(
    logits: Tensor,
    tau: float = 1.0,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Random one-hot rows, softened by ``tau``, as torch.nn.functional.gumbel_softmax.

    logits (...) -> the same shape; probabilities along ``dim``. tau: a number, or a tensor, which
    has a gradient. hard: rows with a single 1 at the largest, whose gradient is that of the soft
    ones. ``eps`` has no effect, as in torch.
    Raises TypeError for no tensor, RuntimeError for integers, IndexError for a bad dim.
    """
    del eps
    name = "gumbel_softmax"
    _common.require_tensor(name, "logits", logits)
    _common.require_float(name, "logits", logits)
    d = _common.one_dim(name, dim, logits.ndim)
    heat = tau if isinstance(tau, Tensor) else number(name, "tau", tau)
    u = _uniform(logits, 0.0, 1.0, generator)
    # 1 - u is in (0, 1], so its logarithm is finite, and 0 only where u is.
    e = -log(1.0 - u)
    soft = softmax((logits - log(where(e > 0.0, e, 2.0**-24))) / heat, d)
    if not hard or not soft.numel():
        return soft
    flat = soft.detach() if soft.ndim else soft.detach().reshape(1)
    sharp = scatter_elements(zeros_like(flat), d, argmax(flat, d, keepdim=True), 1.0)
    return sharp.reshape(soft.shape) - soft.detach() + soft


def _plain(x: Any, lower: float, upper: float, training: bool = False) -> Any:
    slope: Any = (lower + upper) / 2
    if training:
        xp = array_module(x)
        u = words(xp, x.size, xp.asarray([1234, 0])).astype("float64").reshape(x.shape) * 2.0**-32
        slope = lower + u * (upper - lower)
    return array_module(x).where(x > 0, x, x * slope)


def _plain_gumbel(x: Any, tau: float = 1.0, hard: bool = False, dim: int = -1) -> Any:
    xp = array_module(x)
    u = words(xp, x.size, xp.asarray([1234, 0])).astype("float64").reshape(x.shape) * 2.0**-32
    z = xp.exp((x - xp.log(-xp.log(1 - u))) / tau)
    soft = z / z.sum(dim, keepdims=True)
    return (soft == soft.max(dim, keepdims=True)) * 1.0 if hard else soft


CASES = [
    OpCase(rrelu, "rrelu", [(3, 5), 0.1, 0.3], ref=_plain, kink=0.0),
    OpCase(rrelu, "rrelu training", [(3, 7), 0.1, 0.3, True], ref=_plain, kink=0.0, seeded=True),
    OpCase(rrelu, "rrelu training", [(), 0.25, 0.25, True], ref=_plain, kink=0.0, seeded=True),
    OpCase(rrelu, "rrelu training", [(0, 3), 0.1, 0.3, True], ref=_plain, seeded=True),
    OpCase(gumbel_softmax, "gumbel_softmax", [(3, 5)], ref=_plain_gumbel, seeded=True),
    OpCase(gumbel_softmax, "gumbel_softmax", [(3, 5), 2.5], {"dim": 0}, _plain_gumbel, seeded=True),
    OpCase(  # the gradient of a hard draw is meant to be another's
        gumbel_softmax,
        "gumbel_softmax",
        [(3, 5)],
        {"hard": True},
        _plain_gumbel,
        seeded=True,
        grad=False,
    ),
]
_BAD: list[tuple[Any, list[Any], type[Exception], str]] = [
    (rrelu, [[1.0]], TypeError, "expected input as a Tensor"),
    (rrelu, [(3,), 0.5, 0.25], RuntimeError, "expected lower <= upper"),
    (rrelu, [(3,), "a"], TypeError, "expected lower as a number"),
    (rrelu, [("int", (3,), 0, 9)], RuntimeError, "floating-point type"),
    (gumbel_softmax, [[1.0]], TypeError, "expected logits as a Tensor"),
    (gumbel_softmax, [("int", (3,), 0, 9)], RuntimeError, "floating-point type"),
    (gumbel_softmax, [(3,), "a"], TypeError, "expected tau as a number"),
    (gumbel_softmax, [(3,), 1.0, False, 1e-10, 1], IndexError, "expected dim in [-1, 0]"),
]
ERRORS = [ErrorCase(f, f.__name__, a, error, text) for f, a, error, text in _BAD]

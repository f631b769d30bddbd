# SPDX-License-Identifier: BSD-3-Clause
"""Draws from further distributions, on `random`'s generators: bernoulli, multinomial, normal, and
what fills a tensor: bernoulli_, exponential_, geometric_, log_normal_, cauchy_. Gradients for
probabilities, means and standard deviations are 0, as torch's.

Source: Devroye, "Non-Uniform Random Variate Generation", 1986 (inversion); Efraimidis and Spirakis,
"Weighted random sampling with a reservoir", 2006 (without replacement: the largest ln(u) / w).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _dtypes
from fastnn._formats import check_formats
from fastnn.ops import _common
from fastnn.ops._elementwise import number
from fastnn.ops._in_place import check_in_place
from fastnn.ops._tied import tied
from fastnn.ops.copy import copy_, to
from fastnn.ops.creation import empty, size_argument
from fastnn.ops.random_fill import normal_, uniform_
from fastnn.ops.view import expand
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastnn.random import Generator


def _uniform(t: Tensor, generator: Generator | None) -> Tensor:
    """Uniform numbers from (0, 1), of the shape of t, in double precision."""
    made = empty(t.shape, dtype=_dtypes.float64, device=t.device)
    # Words of 32 bits: half a unit more keeps off 0, of which there is no logarithm.
    return uniform_(made, generator=generator) + 2.0**-33


def _fill(
    name: str, t: Tensor, generator: Generator | None, values: Callable[[Tensor], Tensor]
) -> Tensor:
    """Fills a tensor with what becomes of uniform numbers."""
    check_in_place(name, t)
    return copy_(t, values(_uniform(t.detach(), generator)))


def _flat(drawn: Tensor, *parameters: Any) -> Tensor:
    """What was drawn, as a result of its parameters: those that require grad get zeros."""
    for p in parameters:
        if isinstance(p, Tensor) and p.requires_grad and drawn.is_floating_point():
            drawn = tied(drawn, to(expand(p, *drawn.shape), drawn.dtype))
    return drawn


def _floats(name: str, t: Tensor) -> None:
    _common.require_tensor(name, "the tensor to change", t)
    _common.require_float(name, "the tensor", t)


def _refuse(name: str, expected: str, got: Any, cure: str) -> RuntimeError:
    message = f"{name}: expected {expected}, got {got}; {cure}"
    return RuntimeError(message)


def _probabilities(name: str, p: Tensor) -> Tensor:
    _common.require_float(name, "probabilities", p)
    p = p.detach()
    if not bool(((p >= 0.0) & (p <= 1.0)).all()):
        raise _refuse(name, "probabilities in [0, 1]", "others", "sigmoid() makes such numbers")
    return p


def _probability(name: str, p: Any) -> float:
    value = number(name, "p", p)
    if not 0.0 <= value <= 1.0:
        raise _refuse(name, "p in [0, 1]", p, "1 - p is the probability of a 0")
    return value


def bernoulli_(t: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fills a tensor with 1, of probability p (a number or a tensor of them), and 0, as
    torch.Tensor.bernoulli_.

    Raises RuntimeError for a p outside of [0, 1] and a shape that does not fit.
    """
    name = "bernoulli_"
    _common.require_tensor(name, "the tensor to change", t)
    chance = _probabilities(name, p) if isinstance(p, Tensor) else _probability(name, p)
    if isinstance(p, Tensor) and _common.broadcast_shape(name, t.shape, p.shape) != t.shape:
        raise _refuse(name, f"probabilities that fit {t.shape}", p.shape, "expand() the tensor")
    check_in_place(name, t, p)
    if isinstance(p, Tensor) and p.requires_grad:
        return _fill(name, t, generator, lambda u: _flat(to(u < chance, t.dtype), p))
    return _fill(name, t, generator, lambda u: u < chance)


def bernoulli(input: Tensor, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that input says, else 0, elementwise, as torch.bernoulli. With p, a
    number, that is every element's probability, and input gives shape and type alone.

    Raises TypeError for no tensor, RuntimeError for probabilities outside of [0, 1] and, without p,
    of no floating-point type.
    """
    name = "bernoulli"
    _common.require_tensor(name, "input", input)
    chance = _probabilities(name, input) if p is None else _probability(name, p)
    drawn = to(_uniform(input.detach(), generator) < chance, input.dtype)
    return _flat(drawn, input) if p is None else drawn


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Indices drawn with probabilities proportional to the weights in input, as torch.multinomial.

    Shapes: input (k,) or (n, k), weights >= 0 -> int64 (num_samples,) or (n, num_samples). Without
    replacement no index comes twice in a row, and indices of weight 0 come after all others.
    Raises TypeError for no tensor, RuntimeError for other shapes, weights that are negative, not
    finite or all 0, and more samples than weights without replacement.
    """
    name = "multinomial"
    _common.require_tensor(name, "input", input)
    _common.require_float(name, "input", input)
    count = _common.integer(name, "num_samples", num_samples)
    if input.ndim not in (1, 2):
        raise _refuse(name, "input (k,) or (n, k)", input.shape, "reshape() it")
    k = input.shape[-1]
    if count <= 0:
        raise _refuse(name, "num_samples >= 1", count, "one draw is the least")
    if not replacement and count > k:
        raise _refuse(
            name, f"num_samples <= {k}, the weights", count, "pass replacement=True for more"
        )
    weights = to(input.detach(), _dtypes.float64).reshape(-1, k)
    if not bool(((weights >= 0.0) & (weights < math.inf)).all()):
        raise _refuse(name, "finite weights >= 0", "others", "exp() or softmax() makes such")
    array = weights.array
    if k == 0 or not bool((array.sum(1) > 0).all()):
        raise _refuse(name, "a weight above 0 in every row", "none", "leave such rows out")
    if replacement:
        u = _uniform(empty(len(array), count), generator).array
        edges = np.cumsum(array, 1)
        # The first edge above u times the sum; an index of weight 0 has no space between edges.
        rows = [np.searchsorted(e, v * e[-1], side="right") for e, v in zip(edges, u, strict=True)]
        last = [int(np.flatnonzero(w)[-1]) for w in array]
        found = [np.minimum(r, top) for r, top in zip(rows, last, strict=True)]
        drawn = np.stack(found) if found else np.empty((0, count))
    else:
        u = _uniform(weights, generator).array
        with np.errstate(divide="ignore"):
            keys = np.log(u) / array  # -inf where the weight is 0
        drawn = np.argsort(-keys, axis=1, kind="stable")[:, :count]
    made = Tensor._wrap(np.ascontiguousarray(drawn).astype(np.int64))
    return made if input.ndim == 2 else made.reshape(count)


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normally distributed numbers, as torch.normal: mean and std are tensors or numbers,
    elementwise; of two numbers ``size`` says how many.

    Shapes: the broadcast shape of mean and std, or size.   Raises TypeError for other arguments,
    RuntimeError for integers as means and a std below 0.
    """
    name = "normal"
    check_formats(name, layout=layout, pin_memory=pin_memory)
    mean, std = _common.as_operand(name, mean), _common.as_operand(name, std)
    tensors = [v for v in (mean, std) if isinstance(v, Tensor)]
    for v in tensors:
        _common.require_float(name, "mean and std", v)
    if isinstance(std, Tensor) and not bool((std.detach() >= 0.0).all()):
        raise _refuse(name, "std >= 0", "less", "it is the root of the variance")
    if not isinstance(std, Tensor) and not std >= 0:
        raise _refuse(name, "std >= 0", std, "it is the root of the variance")
    if tensors and size is not None:
        message = f"normal: expected size with numbers only, got {size!r}; leave it out"
        raise TypeError(message)
    if not tensors:
        shape = size_argument(name, (), size) if size is not None else ()
        kind = _dtypes.argument(name, dtype, _dtypes.get_default_dtype())
        made = normal_(empty(shape, dtype=kind, device=device), generator=generator)
        made = made * float(std) + float(mean)
        return made.requires_grad_() if requires_grad else made
    shape = ()
    for v in tensors:
        shape = _common.broadcast_shape(name, shape, v.shape)
    kind = tensors[0].dtype
    _common.table_of(*tensors, op=name)
    made = normal_(empty(shape, dtype=kind, device=tensors[0].device), generator=generator)
    scale, centre = (v.detach() if isinstance(v, Tensor) else v for v in (std, mean))
    return _flat(to(made * scale + centre, kind), mean, std)


def _above_zero(name: str, argument: str, value: Any) -> float:
    given = number(name, argument, value)
    if not given > 0.0:
        raise _refuse(name, f"{argument} > 0", value, "it is a scale")
    return given


def exponential_(t: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fills a tensor with draws of density lambd exp(-lambd x), as torch.Tensor.exponential_."""
    _floats("exponential_", t)
    rate = _above_zero("exponential_", "lambd", lambd)
    return _fill("exponential_", t, generator, lambda u: u.log() / -rate)


def geometric_(t: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fills a tensor with draws of P(k) = (1 - p)^(k - 1) p, k >= 1, as torch.Tensor.geometric_."""
    _common.require_tensor("geometric_", "the tensor to change", t)
    name = "geometric_"
    chance = number(name, "p", p)
    if not 0.0 < chance < 1.0:
        raise _refuse(name, "p in (0, 1)", p, "of p = 1 every draw is 1")
    scale = math.log1p(-chance)
    return _fill("geometric_", t, generator, lambda u: (u.log() / scale).ceil())


def log_normal_(
    t: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fills a tensor with exp of normally distributed numbers, as torch.Tensor.log_normal_."""
    _floats("log_normal_", t)
    centre, width = number("log_normal_", "mean", mean), _above_zero("log_normal_", "std", std)
    check_in_place("log_normal_", t)
    made = normal_(empty(t.shape, dtype=t.dtype, device=t.device), generator=generator)
    return copy_(t, (made * width + centre).exp())


def cauchy_(
    t: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fills a tensor with draws of density sigma / (pi (sigma^2 + (x - median)^2)), as
    torch.Tensor.cauchy_."""
    _floats("cauchy_", t)
    centre, width = number("cauchy_", "median", median), _above_zero("cauchy_", "sigma", sigma)
    return _fill("cauchy_", t, generator, lambda u: ((u - 0.5) * math.pi).tan() * width + centre)

# SPDX-License-Identifier: BSD-3-Clause
"""Negative logarithms of likelihoods whose parameters a model gives.

    poisson_nll_loss   exp(x) - t x, or of a rate x itself  x - t log(x + eps);
                       full: + log t! by Stirling's formula, where t > 1
    gaussian_nll_loss  (log v + (x - t)^2 / v) / 2,  v = max(var, eps);  full: + log(2 pi) / 2

Shapes:   input (...), target (...) of the same shape -> () or (...) for reduction 'none'.
Backward: that of the operations they are made of; of gaussian_nll_loss by var as if v were var.
Sources:  Cameron and Trivedi, "Regression analysis of count data", 1998; Nix and Weigend,
          "Estimating the mean and variance of the target probability distribution", 1994.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn._backend import array_module
from fastnn._grad_mode import no_grad
from fastnn.ops import _common, _losses
from fastnn.ops._elementwise import number
from fastnn.ops._like import full_like
from fastnn.ops._losses import reduced
from fastnn.ops.rounding import square
from fastnn.ops.unary import exp, log
from fastnn.ops.view import unsqueeze
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(x) - t x of counts t with the rate exp(x), as torch.nn.functional.poisson_nll_loss.

    input:  (...) logarithms of rates; with ``log_input=False`` rates: x - t log(x + eps).
    target: (...) counts, of the same shape: unlike torch, nothing is broadcast.
    full:   adds t log t - t + log(2 pi t) / 2, where t > 1: Stirling's formula for log t!.
    reduction: 'mean', 'sum' or 'none'.

    Raises RuntimeError for other shapes, ValueError for other reductions.
    """
    name = "poisson_nll_loss"
    reduction = _losses.check_reduction(name, reduction, size_average, reduce)
    _losses.check_pair(name, input, target)
    if log_input:
        losses = exp(input) - target * input
    else:
        losses = input - target * log(input + number(name, "eps", eps))
    if full:
        many = target > 1
        t = where(many, target, 2)  # in the place of what has no logarithm, nor its gradient
        stirling = t * log(t) - t + 0.5 * log(2.0 * math.pi * t)
        losses = losses + where(many, stirling, 0.0)
    return reduced(losses, reduction)


def _variances(name: str, input: Tensor, var: Any) -> Tensor:
    """var as a tensor that broadcasts to the input along one dimension at most."""
    if isinstance(var, int | float) and not isinstance(var, bool):
        var = full_like(input, float(var))
    _common.require_tensor(name, "var", var)
    given: Tensor = var
    if bool((given < 0).any()):
        message = f"{name}: expected var >= 0, got negative numbers; give it exp() of a prediction"
        raise ValueError(message)
    if given.shape == input.shape:
        return given
    if given.shape == input.shape[:-1]:
        return unsqueeze(given, -1)
    _one_wide(name, "var", given, input)
    return given


def _one_wide(name: str, what: str, value: Tensor, input: Tensor) -> None:
    """Raises unless a shape is the input's, or that with 1 in the place of one size."""
    pairs = zip(value.shape, input.shape, strict=False)
    others = [v for v, n in pairs if v != n]
    if value.ndim == input.ndim and others in ([], [1]):
        return
    last = f" or {tuple(input.shape[:-1])}" if what == "var" else ""
    message = (
        f"{name}: expected {what} of input's shape {tuple(input.shape)}, maybe with 1 in the place "
        f"of one size{last}, got {tuple(value.shape)}; use expand() or reshape()"
    )
    raise (ValueError if what == "var" else RuntimeError)(message)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log v + (x - t)^2 / v) / 2 with v = max(var, eps), as torch.nn.functional's.

    input:  (...) expectations.
    target: (...) of the input's shape, or with 1 in the place of one of its sizes, as torch
        documents it; of any other shape it is refused.
    var:    variances, a number or of the input's shape, with 1 in the place of one size or without
        the last one. Its gradient is that of var itself also where eps is larger.
    full:   adds log(2 pi) / 2. reduction: 'mean', 'sum' or 'none'.

    Raises ValueError for other reductions and a negative var, RuntimeError for other shapes and
    integers.
    """
    name = "gaussian_nll_loss"
    _losses.check_reduction(name, reduction)
    _common.require_tensor(name, "input", input)
    _common.require_tensor(name, "target", target)
    _common.require_float(name, "input", input)
    least = number(name, "eps", eps)
    _one_wide(name, "target", target, input)
    v = _variances(name, input, var)
    _common.require_float(name, "var", v)
    v = v.clone()
    with no_grad():
        v.clamp_(min=least)
    d = input - target
    losses = 0.5 * (log(v) + square(d) / v)
    if full:
        losses = losses + 0.5 * math.log(2.0 * math.pi)
    return reduced(losses, reduction)


def _reduced(losses: Any, reduction: str) -> Any:
    return losses if reduction == "none" else getattr(losses, reduction)()


def _plain_poisson(
    x: Any, t: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    xp = array_module(x)
    losses = xp.exp(x) - t * x if log_input else x - t * xp.log(x + eps)
    if full:
        stirling = t * xp.log(t) - t + 0.5 * xp.log(2 * math.pi * t)
        losses = losses + xp.where(t > 1, stirling, 0)
    return _reduced(losses, reduction)


def _plain_gaussian(x: Any, t: Any, var: Any, full: bool = False, reduction: str = "mean") -> Any:
    xp = array_module(x)
    v = xp.asarray(var, x.dtype)
    if x.ndim and v.shape == x.shape[:-1] and v.shape != x.shape and v.ndim:
        v = v[..., None]
    losses = 0.5 * (xp.log(v) + (x - t) ** 2 / v) + (0.5 * math.log(2 * math.pi) if full else 0)
    return _reduced(losses, reduction)


_POISSON, _GAUSSIAN = "poisson_nll_loss", "gaussian_nll_loss"
CASES = [
    *(
        OpCase(poisson_nll_loss, _POISSON, [s, s], kwargs=k, ref=_plain_poisson, low=0.2, kink=1.0)
        for s, k in (
            ((3, 2), {}),
            ((), {"full": True}),
            ((4,), {"log_input": False, "reduction": "sum", "eps": 0.01}),
            ((2, 3), {"log_input": False, "full": True, "reduction": "none"}),
            ((0, 2), {"reduction": "sum"}),
        )
    ),
    *(
        OpCase(gaussian_nll_loss, _GAUSSIAN, shapes, kwargs=k, ref=_plain_gaussian, low=0.3)
        for shapes, k in (
            ([(3, 2)] * 3, {}),
            ([(3, 2), (3, 2), (3, 1)], {"full": True}),
            ([(3, 2), (3, 2), (3,)], {"reduction": "none"}),
            ([(3, 2), (1, 2), (3, 2)], {"reduction": "sum"}),
            ([(2, 3, 2), (2, 3, 2), (2, 1, 2)], {"reduction": "sum"}),
            ([(), (), 2.0], {"full": True}),
            ([(4,), (4,), 3.0], {"reduction": "none"}),
            ([(0, 2)] * 3, {"reduction": "sum"}),
        )
    ),
]
ERRORS = [
    ErrorCase(poisson_nll_loss, _POISSON, [(3, 5), (5,)], RuntimeError, "losses broadcast nothing"),
    ErrorCase(poisson_nll_loss, _POISSON, [(3, 1), (3,)], RuntimeError, "target of input's shape"),
    ErrorCase(poisson_nll_loss, _POISSON, [(3,), [1.0]], TypeError, "target as a Tensor"),
    ErrorCase(
        poisson_nll_loss, _POISSON, [(3,), (3,)], ValueError, "reduction", {"reduction": "avg"}
    ),
    *(
        ErrorCase(gaussian_nll_loss, _GAUSSIAN, given, error, text, options)
        for given, error, text, options in (
            ([(3, 5), (5,), (3, 5)], RuntimeError, "target of input's shape", {}),
            ([(3, 1), (3,), 1.0], RuntimeError, "target of input's shape", {}),
            ([(3, 1), (3, 5), 1.0], RuntimeError, "target of input's shape", {}),
            ([(3, 5), (1, 1), 1.0], RuntimeError, "in the place of one size, got (1, 1)", {}),
            ([(3, 5), (3, 5), ("int", (3, 4), 1, 2)], ValueError, "var of input's shape", {}),
            ([(3, 5), (3, 5), -1.0], ValueError, "var >= 0", {}),
            ([(3,), (3,), ("int", (3,), 1, 4)], RuntimeError, "var of a floating-point type", {}),
            ([("int", (3,), 0, 5)] * 2 + [1.0], RuntimeError, "input of a floating-point", {}),
            ([(3,), (3,), "1"], TypeError, "var as a Tensor", {}),
            ([(3,), (3,), 1.0], ValueError, "reduction", {"reduction": "avg"}),
        )
    ),
]

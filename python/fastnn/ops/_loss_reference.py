# SPDX-License-Identifier: BSD-3-Clause
"""The references of the losses of pairs of elements (ops/losses.py, ops/binary_cross_entropy.py).

loss (1) is the sum of the losses over a divisor, or without ``reduce`` loss (...) all of them;
grad_x and grad_target are None where they are not wanted. Half precision is computed in single.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module, reference
from fastnn.ops.softmax import wide


def reduce_losses(losses: Any, loss: Any, reduce: bool, divisor: float) -> None:
    """loss (1) = the sum of the losses over a divisor, or all of them."""
    if reduce:
        total = losses.reshape(-1).sum(dtype=losses.dtype)
        loss[0] = total / losses.dtype.type(divisor)
    else:
        loss[...] = losses.reshape(loss.shape)


def each_gradient(grad_loss: Any, x: Any, reduce: bool, divisor: float) -> Any:
    """What the gradient of every element is multiplied with."""
    g = wide(grad_loss).reshape(-1)
    return g[0] / g.dtype.type(divisor) if reduce else g.reshape(x.shape)


def write_slopes(slopes: tuple[Any, Any], g: Any, grad_x: Any, grad_target: Any) -> None:
    """The gradients that are wanted."""
    for grad, slope in ((grad_x, slopes[0]), (grad_target, slopes[1])):
        if grad is not None:
            grad[...] = slope * g


def _difference(x: Any, target: Any) -> Any:
    return wide(x) - wide(target)


@reference
def mse_loss_forward(x: Any, target: Any, loss: Any, reduce: bool, divisor: float) -> None:
    """d^2."""
    d = _difference(x, target)
    reduce_losses(d * d, loss, reduce, divisor)


@reference
def mse_loss_backward(
    x: Any, target: Any, grad_loss: Any, grad_x: Any, grad_target: Any, reduce: bool, divisor: float
) -> None:
    """2 d."""
    d = _difference(x, target)
    g = each_gradient(grad_loss, x, reduce, divisor)
    write_slopes((d + d, -(d + d)), g, grad_x, grad_target)


@reference
def l1_loss_forward(x: Any, target: Any, loss: Any, reduce: bool, divisor: float) -> None:
    """|d|."""
    reduce_losses(array_module(x).abs(_difference(x, target)), loss, reduce, divisor)


@reference
def l1_loss_backward(
    x: Any, target: Any, grad_loss: Any, grad_x: Any, grad_target: Any, reduce: bool, divisor: float
) -> None:
    """sign d; 0 at 0."""
    s = array_module(x).sign(_difference(x, target))
    write_slopes((s, -s), each_gradient(grad_loss, x, reduce, divisor), grad_x, grad_target)


@reference
def smooth_l1_loss_forward(
    x: Any, target: Any, loss: Any, reduce: bool, divisor: float, beta: float
) -> None:
    """|d| < beta ? d^2 / (2 beta) : |d| - beta / 2."""
    xp = array_module(x)
    d = xp.abs(_difference(x, target))
    half, b = d.dtype.type(0.5), d.dtype.type(beta)
    reduce_losses(xp.where(d < b, half * d * d / b, d - half * b), loss, reduce, divisor)


@reference
def smooth_l1_loss_backward(
    x: Any,
    target: Any,
    grad_loss: Any,
    grad_x: Any,
    grad_target: Any,
    reduce: bool,
    divisor: float,
    beta: float,
) -> None:
    """|d| < beta ? d / beta : sign d."""
    xp = array_module(x)
    d = _difference(x, target)
    b = d.dtype.type(beta)
    s = xp.where(xp.abs(d) < b, d / b, xp.sign(d))
    write_slopes((s, -s), each_gradient(grad_loss, x, reduce, divisor), grad_x, grad_target)


@reference
def huber_loss_forward(
    x: Any, target: Any, loss: Any, reduce: bool, divisor: float, delta: float
) -> None:
    """|d| < delta ? d^2 / 2 : delta (|d| - delta / 2)."""
    xp = array_module(x)
    d = xp.abs(_difference(x, target))
    half, b = d.dtype.type(0.5), d.dtype.type(delta)
    reduce_losses(xp.where(d < b, half * d * d, b * (d - half * b)), loss, reduce, divisor)


@reference
def huber_loss_backward(
    x: Any,
    target: Any,
    grad_loss: Any,
    grad_x: Any,
    grad_target: Any,
    reduce: bool,
    divisor: float,
    delta: float,
) -> None:
    """|d| < delta ? d : delta sign d."""
    xp = array_module(x)
    d = _difference(x, target)
    b = d.dtype.type(delta)
    s = xp.where(xp.abs(d) < b, d, b * xp.sign(d))
    write_slopes((s, -s), each_gradient(grad_loss, x, reduce, divisor), grad_x, grad_target)


@reference
def kl_div_forward(
    x: Any, target: Any, loss: Any, reduce: bool, divisor: float, log_target: bool
) -> None:
    """t (log t - x) with 0 log 0 = 0; of logarithms exp(t) (t - x)."""
    xp = array_module(x)
    x, t = wide(x), wide(target)
    if log_target:
        losses = xp.exp(t) * (t - x)
    else:
        losses = xp.where(t == 0, xp.zeros((), t.dtype), t * xp.log(t)) - t * x
    reduce_losses(losses, loss, reduce, divisor)


@reference
def kl_div_backward(
    x: Any,
    target: Any,
    grad_loss: Any,
    grad_x: Any,
    grad_target: Any,
    reduce: bool,
    divisor: float,
    log_target: bool,
) -> None:
    """By x: -t, or -exp(t). By target: log t + 1 - x, or exp(t) (t - x) + exp(t)."""
    xp = array_module(x)
    v, t = wide(x), wide(target)
    if log_target:
        p = xp.exp(t)
        slopes = (-p, p * (t - v) + p)
    else:
        slopes = (-t, xp.log(t) + t.dtype.type(1) - v)
    write_slopes(slopes, each_gradient(grad_loss, x, reduce, divisor), grad_x, grad_target)


def _logarithms(x: Any) -> tuple[Any, Any]:
    """log x and log(1 - x), not below -100."""
    xp = array_module(x)
    least = x.dtype.type(-100)
    return xp.maximum(xp.log(x), least), xp.maximum(xp.log1p(-x), least)


@reference
def binary_cross_entropy_forward(
    x: Any, target: Any, weight: Any, loss: Any, reduce: bool, divisor: float
) -> None:
    """-w (t log x + (1 - t) log(1 - x))."""
    if not bool(((x >= 0) & (x <= 1)).all()):
        message = "binary_cross_entropy_forward: expected x in [0, 1]"
        raise ValueError(message)
    v, t = wide(x), wide(target)
    hit, miss = _logarithms(v)
    losses = (t - t.dtype.type(1)) * miss - t * hit
    reduce_losses(losses if weight is None else losses * weight, loss, reduce, divisor)


@reference
def binary_cross_entropy_backward(
    x: Any,
    target: Any,
    weight: Any,
    grad_loss: Any,
    grad_x: Any,
    grad_target: Any,
    reduce: bool,
    divisor: float,
) -> None:
    """As the head of the file says."""
    xp = array_module(x)
    v, t = wide(x), wide(target)
    hit, miss = _logarithms(v)
    spread = xp.maximum((v.dtype.type(1) - v) * v, v.dtype.type(1e-12))
    slopes = ((v - t) / spread, miss - hit)
    if weight is not None:
        slopes = (slopes[0] * weight, slopes[1] * weight)
    write_slopes(slopes, each_gradient(grad_loss, x, reduce, divisor), grad_x, grad_target)


def _softplus(xp: Any, x: Any, rest: Any) -> Any:
    """log(1 + exp(x)), from log(1 + exp(-|x|))."""
    return rest + xp.maximum(x, x.dtype.type(0))


@reference
def binary_cross_entropy_with_logits_forward(
    x: Any, target: Any, weight: Any, pos_weight: Any, loss: Any, reduce: bool, divisor: float
) -> None:
    """w (p t s(-x) + (1 - t) s(x))."""
    xp = array_module(x)
    v, t = wide(x), wide(target)
    rest = xp.log1p(xp.exp(-xp.abs(v)))
    positive = t if pos_weight is None else t * pos_weight
    losses = positive * _softplus(xp, -v, rest) + (t.dtype.type(1) - t) * _softplus(xp, v, rest)
    reduce_losses(losses if weight is None else losses * weight, loss, reduce, divisor)


@reference
def binary_cross_entropy_with_logits_backward(
    x: Any,
    target: Any,
    weight: Any,
    pos_weight: Any,
    grad_loss: Any,
    grad_x: Any,
    grad_target: Any,
    reduce: bool,
    divisor: float,
) -> None:
    """As the head of the file says."""
    xp = array_module(x)
    v, t = wide(x), wide(target)
    one = v.dtype.type(1)
    small = xp.exp(-xp.abs(v))
    big = one / (one + small)
    high, low = xp.where(v >= 0, big, small * big), xp.where(v >= 0, small * big, big)
    positive = t if pos_weight is None else t * pos_weight
    by_x, by_target = (one - t) * high - positive * low, -v
    if pos_weight is not None:
        rest = xp.log1p(small)
        by_target = pos_weight * _softplus(xp, -v, rest) - _softplus(xp, v, rest)
    if weight is not None:
        by_x, by_target = by_x * weight, by_target * weight
    g = each_gradient(grad_loss, x, reduce, divisor)
    write_slopes((by_x, by_target), g, grad_x, grad_target)

# SPDX-License-Identifier: BSD-3-Clause
"""The updates of optimisers that treat every element by itself, over lists of parameters, in place.

A rule named foo has the kernel

    foo_step(params, grads, *states, *cells, lr, *options, weight_decay, decoupled, maximize)

Lists:  params, grads and states hold arrays of equal sizes, item by item; a state that may be left
        out is an empty list then. Cells hold one float32 each, the first of them the number of
        steps t, which is counted up before everything else.
lr:     one float64 in memory, read when the kernel runs, as the cells are: a replayed step needs no
        new arguments. Everything that depends on t and lr alone is computed in float64.

In all of them

    g <- (maximize ? -grad : grad) + (decoupled ? 0 : weight_decay * p)
    p <- (1 - lr * weight_decay) * p                                        if decoupled

and then the formula that stands with each. Cost: memory-bound, every array read and written once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn._backend import array_module, reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Rule(NamedTuple):
    """What a kernel's arguments are: names in the order of the lists and numbers."""

    kernel: str
    states: tuple[str, ...]
    cells: tuple[str, ...]
    options: tuple[str, ...]


class _Numbers(NamedTuple):
    """What a formula sees beside arrays; ``of`` makes a number of the parameter's type of one."""

    of: Callable[[float], Any]
    rate: float
    options: Sequence[float]
    cells: list[Any]

    def cell(self, k: int) -> float:
        return float(self.cells[k].reshape(-1)[0])


def _count(n: _Numbers) -> None:
    n.cells[0][...] += 1


def _nothing(n: _Numbers) -> None:
    del n


def _check(kernel: str, p: Any, grad: Any, remembered: list[Any]) -> None:
    if grad.shape != p.shape:
        message = f"{kernel}: expected a gradient of shape {p.shape}, got {grad.shape}"
        raise ValueError(message)
    if any(s is not None and s.dtype != p.dtype for s in remembered):
        kinds = ", ".join(str(s.dtype) for s in remembered if s is not None)
        message = f"{kernel}: expected state of type {p.dtype}, got {kinds}"
        raise ValueError(message)


def _define(
    name: str,
    states: str,
    cells: str,
    options: str,
    value: Callable[..., Any],
    before: Callable[[_Numbers], None] = _count,
    after: Callable[[_Numbers], None] = _nothing,
) -> Rule:
    """Registers the reference. ``value(xp, n, x, g, *states)`` writes the states and returns x.

    ``before`` and ``after`` change the cells of a parameter."""
    rule = Rule(f"{name}_step", *(tuple(names.split()) for names in (states, cells, options)))
    first, second = 2 + len(rule.states), 2 + len(rule.states) + len(rule.cells)

    def step(params: list[Any], grads: list[Any], *rest: Any) -> None:
        given = (params, grads, *rest)
        lists, counts, lr = given[2:first], given[first:second], given[second]
        *numbers, weight_decay, decoupled, maximize = given[second + 1 :]
        rate = float(lr[0])
        for i, (p, grad) in enumerate(zip(params, grads, strict=True)):
            remembered = [items[i] if items else None for items in lists]
            _check(rule.kernel, p, grad, remembered)
            xp = array_module(p)
            n = _Numbers(p.dtype.type, rate, numbers, [items[i] for items in counts])
            before(n)
            g = xp.negative(grad) if maximize else grad
            x = p
            if weight_decay != 0:
                if decoupled:
                    x = n.of(1.0 - rate * weight_decay) * p
                else:
                    g = g + n.of(weight_decay) * p
            p[...] = value(xp, n, x, g, *remembered)
            after(n)

    step.__name__ = rule.kernel
    reference(step)
    return rule


def _mean(xp: Any, n: _Numbers, m: Any, g: Any, beta: float) -> Any:
    """m <- m + (1 - beta) * (g - m)"""
    xp.add(m, n.of(1.0 - beta) * (g - m), out=m)
    return m


def _square(xp: Any, n: _Numbers, v: Any, g: Any, beta: float) -> Any:
    """v <- beta * v + (1 - beta) * g^2"""
    xp.multiply(v, n.of(beta), out=v)
    xp.add(v, n.of(1.0 - beta) * g * g, out=v)
    return v


def _adagrad(xp: Any, n: _Numbers, x: Any, g: Any, total: Any) -> Any:
    """s <- s + g^2;  p <- p - lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps)

    Source: Duchi, Hazan, Singer 2011."""
    lr_decay, eps = n.options
    xp.add(total, g * g, out=total)
    rate = n.rate / (1.0 + (n.cell(0) - 1.0) * lr_decay)
    return x - n.of(rate) * g / (xp.sqrt(total) + n.of(eps))


def _adadelta(xp: Any, n: _Numbers, x: Any, g: Any, v: Any, u: Any) -> Any:
    """v <- rho v + (1 - rho) g^2;  d = sqrt(u + eps) / sqrt(v + eps) * g
    u <- rho u + (1 - rho) d^2;  p <- p - lr d

    Source: Zeiler 2012."""
    rho, eps = n.options
    _square(xp, n, v, g, rho)
    d = xp.sqrt(u + n.of(eps)) / xp.sqrt(v + n.of(eps)) * g
    _square(xp, n, u, d, rho)
    return x - n.of(n.rate) * d


def _rmsprop(xp: Any, n: _Numbers, x: Any, g: Any, v: Any, mean: Any, buffer: Any) -> Any:
    """v <- alpha v + (1 - alpha) g^2;  w = v, or with grad_avgs
    a <- alpha a + (1 - alpha) g, w = v - a^2;  d = g / (sqrt(w) + eps)
    p <- p - lr d, or with momentum_buffers b <- momentum b + d, p <- p - lr b

    Source: Tieleman & Hinton 2012; Graves 2013 (centered)."""
    alpha, eps, momentum = n.options
    _square(xp, n, v, g, alpha)
    if mean is not None:
        _mean(xp, n, mean, g, alpha)
        v = v - mean * mean
    root = xp.sqrt(v) + n.of(eps)
    if buffer is None:
        return x - n.of(n.rate) * g / root
    xp.multiply(buffer, n.of(momentum), out=buffer)
    xp.add(buffer, g / root, out=buffer)
    return x - n.of(n.rate) * buffer


def _nadam_share(n: _Numbers, t: float) -> float:
    beta1, _, _, momentum_decay = n.options
    return float(beta1 * (1.0 - 0.5 * 0.96 ** (t * momentum_decay)))


def _nadam_before(n: _Numbers) -> None:
    _count(n)
    cell = n.cells[1]
    cell[...] = cell * cell.dtype.type(_nadam_share(n, n.cell(0)))


def _nadam(xp: Any, n: _Numbers, x: Any, g: Any, m: Any, v: Any) -> Any:
    """mu(t) = beta1 (1 - 0.96^(t momentum_decay) / 2);  P <- mu(t) P, the second cell
    m <- m + (1 - beta1) (g - m);  v <- beta2 v + (1 - beta2) g^2
    p <- p - lr ((1 - mu(t)) / (1 - P) g + mu(t+1) / (1 - P mu(t+1)) m)
             / (sqrt(v / (1 - beta2^t)) + eps)

    Source: Dozat 2016."""
    beta1, beta2, eps, _ = n.options
    t, product = n.cell(0), n.cell(1)
    share, following = _nadam_share(n, t), _nadam_share(n, t + 1.0)
    _mean(xp, n, m, g, beta1)
    _square(xp, n, v, g, beta2)
    root = xp.sqrt(v) * n.of(1.0 / math.sqrt(1.0 - beta2**t)) + n.of(eps)
    ahead = n.of(n.rate * following / (1.0 - product * following)) * m
    return x - (n.of(n.rate * (1.0 - share) / (1.0 - product)) * g + ahead) / root


def _radam(xp: Any, n: _Numbers, x: Any, g: Any, m: Any, v: Any) -> Any:
    """m <- m + (1 - beta1) (g - m);  v <- beta2 v + (1 - beta2) g^2
    R = 2 / (1 - beta2) - 1;  r = R - 2 t beta2^t / (1 - beta2^t);  M = m / (1 - beta1^t)
    p <- p - lr M sqrt((r-4) (r-2) R / ((R-4) (R-2) r)) sqrt(1 - beta2^t) / (sqrt(v) + eps)
    if r > 5, else p <- p - lr M

    Source: Liu, Jiang, He, Chen, Liu, Gao, Han 2020."""
    beta1, beta2, eps = n.options
    t = n.cell(0)
    _mean(xp, n, m, g, beta1)
    _square(xp, n, v, g, beta2)
    rate, rest = n.rate / (1.0 - beta1**t), 1.0 - beta2**t
    longest = 2.0 / (1.0 - beta2) - 1.0
    length = longest - 2.0 * t * beta2**t / rest
    if length <= 5.0:
        return x - n.of(rate) * m
    known = (length - 4.0) * (length - 2.0) * longest
    rate *= math.sqrt(known / ((longest - 4.0) * (longest - 2.0) * length) * rest)
    return x - n.of(rate) * m / (xp.sqrt(v) + n.of(eps))


def _adamax(xp: Any, n: _Numbers, x: Any, g: Any, m: Any, u: Any) -> Any:
    """m <- m + (1 - beta1) (g - m);  u <- max(beta2 u, |g| + eps)
    p <- p - lr / (1 - beta1^t) m / u

    Source: Kingma & Ba 2015."""
    beta1, beta2, eps = n.options
    _mean(xp, n, m, g, beta1)
    xp.maximum(n.of(beta2) * u, xp.abs(g) + n.of(eps), out=u)
    return x - n.of(n.rate / (1.0 - beta1 ** n.cell(0))) * m / u


def _sign(x: Any) -> Any:
    """-1, 0 or 1; 0 for NaN"""
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


def _rprop(xp: Any, n: _Numbers, x: Any, g: Any, old: Any, size: Any) -> Any:
    """c = g * (the g of the step before)
    s <- s * (etaplus if c > 0, etaminus if c < 0, 1 else), kept in [least, most]
    g <- 0 if c < 0;  p <- p - sign(g) s

    Source: Riedmiller & Braun 1993."""
    etaminus, etaplus, least, most = n.options
    along = g * old
    change = xp.where(along > 0, n.of(etaplus), xp.where(along < 0, n.of(etaminus), n.of(1.0)))
    size[...] = xp.minimum(xp.maximum(size * change, n.of(least)), n.of(most))
    old[...] = xp.where(along < 0, n.of(0.0), g)
    return x - _sign(old) * size


def _asgd(_: Any, n: _Numbers, x: Any, g: Any, mean: Any) -> Any:
    """p <- (1 - lambd eta) p - eta g;  a <- a + (p - a) mu
    then for the next step eta <- lr / (1 + lambd lr t)^alpha, mu <- 1 / max(1, t - t0)

    Source: Polyak & Juditsky 1992."""
    eta, mu = n.cell(1), n.cell(2)
    x = n.of(1.0 - n.options[0] * eta) * x - n.of(eta) * g
    mean[...] = x if mu == 1.0 else mean + (x - mean) * n.of(mu)
    return x


def _asgd_after(n: _Numbers) -> None:
    lambd, alpha, t0 = n.options
    t = n.cell(0)
    n.cells[1][...] = n.rate / (1.0 + lambd * n.rate * t) ** alpha
    n.cells[2][...] = 1.0 / max(1.0, t - t0)


def _lion(xp: Any, n: _Numbers, x: Any, g: Any, m: Any) -> Any:
    """p <- p - lr sign(beta1 m + (1 - beta1) g);  m <- m + (1 - beta2) (g - m)

    Source: Chen, Liang, Huang et al. 2023."""
    beta1, beta2 = n.options
    direction = _sign(n.of(beta1) * m + n.of(1.0 - beta1) * g)
    _mean(xp, n, m, g, beta2)
    return x - n.of(n.rate) * direction


RULES = {
    name: _define(name, *row)  # type: ignore[arg-type]
    for name, row in {
        "adagrad": ("sum", "step", "lr_decay eps", _adagrad),
        "adadelta": ("square_avg acc_delta", "step", "rho eps", _adadelta),
        "rmsprop": ("square_avg grad_avg momentum_buffer", "step", "alpha eps momentum", _rmsprop),
        "nadam": ("exp_avg exp_avg_sq", "step mu_product", "beta1 beta2 eps momentum_decay",
                  _nadam, _nadam_before),
        "radam": ("exp_avg exp_avg_sq", "step", "beta1 beta2 eps", _radam),
        "adamax": ("exp_avg exp_inf", "step", "beta1 beta2 eps", _adamax),
        "rprop": ("prev step_size", "step", "etaminus etaplus least most", _rprop),
        "asgd": ("ax", "step eta mu", "lambd alpha t0", _asgd, _count, _asgd_after),
        "lion": ("exp_avg", "", "beta1 beta2", _lion, _nothing),
    }.items()
}  # fmt: skip
"""The rules by name; their states and cells have the names that they have in ``state_dict``."""

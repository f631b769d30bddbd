# SPDX-License-Identifier: BSD-3-Clause
"""The update of stochastic gradient descent over a list of parameters, in place.

    g <- (maximize ? -grad : grad) + weight_decay * p
    v <- first ? g : momentum * v + (1 - dampening) * g
    p <- p - lr * (nesterov ? g + momentum * v : v)

Lists: params, grads and momentum_buffers hold arrays of equal sizes, item by item;
       momentum_buffers is empty when there is no momentum, and then v = g.
lr:    one float64 in memory, read when the kernel runs.
Cost:  memory-bound: 3 arrays read and 2 written with momentum, 2 and 1 without.
Source: Sutskever, Martens, Dahl, Hinton 2013.
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module, reference


@reference
def sgd_step(
    params: list[Any],
    grads: list[Any],
    momentum_buffers: list[Any],
    lr: Any,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
    first: bool,
) -> None:
    """One step; writes into params and momentum_buffers."""
    rate = float(lr[0])
    for i, (p, grad) in enumerate(zip(params, grads, strict=True)):
        if grad.shape != p.shape:
            message = f"sgd_step: expected a gradient of shape {p.shape}, got {grad.shape}"
            raise ValueError(message)
        xp = array_module(p)
        scalar = p.dtype.type
        g = xp.negative(grad) if maximize else grad
        if weight_decay != 0:
            g = g + scalar(weight_decay) * p
        if momentum_buffers:
            v = momentum_buffers[i]
            if first:
                v[...] = g
            else:
                xp.multiply(v, scalar(momentum), out=v)
                xp.add(v, scalar(1.0 - dampening) * g, out=v)
            g = g + scalar(momentum) * v if nesterov else v
        xp.subtract(p, scalar(rate) * g, out=p)

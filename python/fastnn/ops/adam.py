# SPDX-License-Identifier: BSD-3-Clause
"""The update of Adam and AdamW over a list of parameters, in place.

    t <- t + 1
    p <- (1 - lr * weight_decay) * p                                if decoupled
    g <- (maximize ? -grad : grad) + (decoupled ? 0 : weight_decay * p)
    m <- m + (1 - beta1) * (g - m)
    v <- beta2 * v + (1 - beta2) * g^2;   u <- max(u, v) if amsgrad, else u = v
    p <- p - lr / (1 - beta1^t) * m / (sqrt(u) / sqrt(1 - beta2^t) + eps)

Lists: params, grads, exp_avgs (m), exp_avg_sqs (v) hold arrays of equal sizes, item by item, and so
       does max_exp_avg_sqs (u), which is empty without amsgrad; steps holds one float32 (t) each.
lr:    one float64 in memory, read when the kernel runs, as t is: a replayed step needs no new
       arguments. Everything that depends on t and lr alone is computed in float64.
Cost:  memory-bound: 4 arrays read and 3 written, one division and one square root per element.
Source: Kingma & Ba 2015; Loshchilov & Hutter 2019 (decoupled); Reddi, Kale, Kumar 2018 (amsgrad).
"""

from __future__ import annotations

import math
from typing import Any

from fastnn._backend import array_module, reference


@reference
def adam_step(
    params: list[Any],
    grads: list[Any],
    exp_avgs: list[Any],
    exp_avg_sqs: list[Any],
    max_exp_avg_sqs: list[Any],
    steps: list[Any],
    lr: Any,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
    amsgrad: bool,
) -> None:
    """One step; writes into all lists but grads."""
    rate = float(lr[0])
    for i, (p, grad) in enumerate(zip(params, grads, strict=True)):
        if grad.shape != p.shape:
            message = f"adam_step: expected a gradient of shape {p.shape}, got {grad.shape}"
            raise ValueError(message)
        xp = array_module(p)
        scalar = p.dtype.type
        m, v = exp_avgs[i], exp_avg_sqs[i]
        if not p.dtype == m.dtype == v.dtype:
            message = f"adam_step: expected averages of type {p.dtype}, got {m.dtype}, {v.dtype}"
            raise ValueError(message)
        steps[i] += 1
        t = float(steps[i].reshape(-1)[0])
        g = xp.negative(grad) if maximize else grad
        if weight_decay != 0:
            if decoupled:
                xp.multiply(p, scalar(1.0 - rate * weight_decay), out=p)
            else:
                g = g + scalar(weight_decay) * p
        xp.add(m, scalar(1.0 - beta1) * (g - m), out=m)
        xp.multiply(v, scalar(beta2), out=v)
        xp.add(v, scalar(1.0 - beta2) * g * g, out=v)
        u = xp.maximum(max_exp_avg_sqs[i], v, out=max_exp_avg_sqs[i]) if amsgrad else v
        root = xp.sqrt(u) / scalar(math.sqrt(1.0 - beta2**t)) + scalar(eps)
        xp.subtract(p, scalar(rate / (1.0 - beta1**t)) * m / root, out=p)

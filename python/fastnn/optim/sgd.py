# SPDX-License-Identifier: BSD-3-Clause
"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastnn.optim._groups import rate_cell
from fastnn.optim._lists import buckets, check_common, empty_like, require, update
from fastnn.optim.optimizer import Optimizer
from fastnn.tensor import Tensor

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, the whole group in one kernel, as torch.optim.SGD.

        g <- grad (or -grad if maximize) + weight_decay * p
        v <- momentum * v + (1 - dampening) * g        (the first time: v <- g)
        p <- p - lr * (g + momentum * v  if nesterov  else v)

    lr may be a Tensor of one element. foreach and fused are accepted and change nothing: the
    update is always fused over all parameters of a group.
    Errors: ValueError for negative lr, momentum or weight_decay, and for nesterov without momentum
    or with dampening; RuntimeError for foreach with fused; NotImplementedError for
    differentiable=True.
    Source: Sutskever, Martens, Dahl, Hinton 2013 (momentum and Nesterov's variant).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        check_common("SGD", defaults)
        require("SGD", "momentum value", momentum, momentum >= 0.0, "momentum >= 0")
        if nesterov and (momentum <= 0 or dampening != 0):
            message = (
                f"SGD: expected momentum > 0 and dampening = 0 with nesterov=True, got {momentum} "
                f"and {dampening}; set momentum=0.9, dampening=0"
            )
            raise ValueError(message)
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("nesterov", False)
            group.setdefault("maximize", False)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return the loss of ``closure``, if given."""
        loss = self._evaluate(closure)
        for group in self.param_groups:
            rate = rate_cell("SGD", group, self.defaults)
            for params in buckets(group["params"]):
                if group["momentum"] == 0:
                    self._update(group, params, rate, None, first=False)
                    continue
                known = [self.state[p].get("momentum_buffer") is not None for p in params]
                old = [p for p, k in zip(params, known, strict=True) if k]
                new = [p for p, k in zip(params, known, strict=True) if not k]
                for p in new:
                    self.state[p]["momentum_buffer"] = empty_like(p)
                for part, first in ((old, False), (new, True)):
                    if part:
                        buffers = [self.state[p]["momentum_buffer"].array for p in part]
                        self._update(group, part, rate, buffers, first=first)
        return loss

    @staticmethod
    def _update(
        group: dict[str, Any],
        params: list[Tensor],
        rate: Any,
        buffers: list[Any] | None,
        first: bool,
    ) -> None:
        def launch(
            kernel: Callable[..., None], memory: list[Any], grads: list[Any], which: slice
        ) -> None:
            kernel(
                memory,
                grads,
                buffers[which] if buffers else [],
                rate,
                float(group["momentum"]),
                float(group["dampening"]),
                float(group["weight_decay"]),
                bool(group["nesterov"]),
                bool(group["maximize"]),
                first,
            )

        # A momentum keeps the type that it began with, as in torch.
        state = [buffers] if buffers else []
        update("SGD", "sgd_step", params, state, launch, mixed=True)

# SPDX-License-Identifier: BSD-3-Clause
"""Stochastic gradient descent that averages its iterates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastnn.optim._lists import check_common, check_number
from fastnn.optim._rules import RuleOptimizer
from fastnn.tensor import Tensor

__all__ = ["ASGD"]


class ASGD(RuleOptimizer):
    """Descent with a rate that falls, and the mean of the iterates, as torch.optim.ASGD.

        g <- grad (or -grad if maximize) + weight_decay * p
        p <- (1 - lambd * eta) * p - eta * g
        a <- a + (p - a) * mu
        eta <- lr / (1 + lambd * lr * t)^alpha;     mu <- 1 / max(1, t - t0)

    with t the number of steps of the parameter; eta begins as lr, mu as 1. The mean a of the
    iterates after step t0 + 1 is ``optimizer.state[p]["ax"]``; until then it is p. lr may be a
    Tensor of one element. foreach and capturable are accepted and change nothing: the update is
    always fused over all parameters of a group.
    Errors: ValueError for negative lr or weight_decay; NotImplementedError for differentiable=True.
    Source: Polyak & Juditsky 1992; Bottou 2010 (the rate).
    """

    _rule = "asgd"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        check_common("ASGD", defaults)
        for name in ("lambd", "alpha", "t0"):
            check_number("ASGD", name, defaults[name])
        super().__init__(params, defaults)

    def _starts(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "eta": float(group["lr"]), "mu": 1.0, "ax": 0.0}

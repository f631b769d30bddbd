# SPDX-License-Identifier: BSD-3-Clause
"""Relatives of Adam: NAdam, RAdam and Adamax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastnn.optim._lists import check_betas, check_common, check_not_negative
from fastnn.optim._rules import RuleOptimizer
from fastnn.tensor import Tensor

__all__ = ["Adamax", "NAdam", "RAdam"]


class NAdam(RuleOptimizer):
    """Adam with Nesterov's momentum, as torch.optim.NAdam.

        g <- grad (or -grad if maximize) + weight_decay * p
        m <- beta1 * m + (1 - beta1) * g;     v <- beta2 * v + (1 - beta2) * g^2
        mu(t) = beta1 * (1 - 0.96^(t * momentum_decay) / 2);     P <- P * mu(t)
        p <- p - lr * ((1 - mu(t)) / (1 - P) * g + mu(t+1) / (1 - P * mu(t+1)) * m)
                 / (sqrt(v / (1 - beta2^t)) + eps)

    with t the number of steps of the parameter. decoupled_weight_decay: p <- (1 - lr *
    weight_decay) * p instead of adding to g. lr may be a Tensor of one element. foreach and
    capturable are accepted and change nothing: the update is always fused over all parameters of a
    group.
    Errors: ValueError for a negative option and betas outside [0, 1); NotImplementedError for
    differentiable=True.
    Source: Dozat 2016.
    """

    _rule = "nadam"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        check_common("NAdam", defaults)
        words = {"eps": "epsilon value", "momentum_decay": "momentum_decay value"}
        check_not_negative("NAdam", words, defaults)
        check_betas("NAdam", betas)
        super().__init__(params, defaults)

    def _starts(self, group: dict[str, Any]) -> dict[str, float]:
        del group
        return {"step": 0.0, "mu_product": 1.0, "exp_avg": 0.0, "exp_avg_sq": 0.0}


class RAdam(RuleOptimizer):
    """Adam whose first steps do not trust the variance, as torch.optim.RAdam.

        g <- grad (or -grad if maximize) + weight_decay * p
        m <- beta1 * m + (1 - beta1) * g;     v <- beta2 * v + (1 - beta2) * g^2
        R = 2 / (1 - beta2) - 1;     r = R - 2 t beta2^t / (1 - beta2^t)
        p <- p - lr * m / (1 - beta1^t) * c

    with t the number of steps of the parameter and c = 1 while r <= 5, and then
    c = sqrt((r-4)(r-2)R / ((R-4)(R-2)r)) * sqrt(1 - beta2^t) / (sqrt(v) + eps).
    decoupled_weight_decay: p <- (1 - lr * weight_decay) * p instead of adding to g. lr may be a
    Tensor of one element. foreach and capturable are accepted and change nothing: the update is
    always fused over all parameters of a group.
    Errors: ValueError for a negative option and betas outside [0, 1); NotImplementedError for
    differentiable=True.
    Source: Liu, Jiang, He, Chen, Liu, Gao, Han 2020.
    """

    _rule = "radam"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        check_common("RAdam", defaults)
        check_not_negative("RAdam", {"eps": "epsilon value"}, defaults)
        check_betas("RAdam", betas)
        super().__init__(params, defaults)

    def _starts(self, group: dict[str, Any]) -> dict[str, float]:
        del group
        return {"step": 0.0, "exp_avg": 0.0, "exp_avg_sq": 0.0}


class Adamax(RuleOptimizer):
    """Adam with the largest gradient in the place of the mean square, as torch.optim.Adamax.

        g <- grad (or -grad if maximize) + weight_decay * p
        m <- beta1 * m + (1 - beta1) * g
        u <- max(beta2 * u, |g| + eps)
        p <- p - lr / (1 - beta1^t) * m / u

    with t the number of steps of the parameter. lr may be a Tensor of one element. foreach and
    capturable are accepted and change nothing: the update is always fused over all parameters of a
    group.
    Errors: ValueError for a negative option and betas outside [0, 1); NotImplementedError for
    differentiable=True.
    Source: Kingma & Ba 2015.
    """

    _rule = "adamax"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        check_common("Adamax", defaults)
        check_not_negative("Adamax", {"eps": "epsilon value"}, defaults)
        check_betas("Adamax", betas)
        super().__init__(params, defaults)

    def _starts(self, group: dict[str, Any]) -> dict[str, float]:
        del group
        return {"step": 0.0, "exp_avg": 0.0, "exp_inf": 0.0}

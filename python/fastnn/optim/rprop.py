# SPDX-License-Identifier: BSD-3-Clause
"""Steps that take only signs from gradients: Rprop and Lion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastnn.optim._lists import check_betas, check_common, check_tuple
from fastnn.optim._rules import RuleOptimizer
from fastnn.tensor import Tensor

__all__ = ["Lion", "Rprop"]


class Rprop(RuleOptimizer):
    """A step size for every element, which grows while signs agree, as torch.optim.Rprop.

        g <- grad (or -grad if maximize);     c = g * (the g of the step before)
        s <- s * (etas[1] if c > 0, etas[0] if c < 0, 1 else), kept in step_sizes
        g <- 0 if c < 0
        p <- p - sign(g) * s

    s is lr at first. For gradients of all data, not of batches. lr may be a Tensor of one element.
    foreach and capturable are accepted and change nothing: the update is always fused over all
    parameters of a group.
    Errors: ValueError for negative lr and unless 0 < etas[0] < 1 < etas[1]; NotImplementedError for
    differentiable=True.
    Source: Riedmiller & Braun 1993.
    """

    _rule = "rprop"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        check_common("Rprop", defaults)
        check_tuple("Rprop", "etas", etas, "(0.5, 1.2)")
        check_tuple("Rprop", "step_sizes", step_sizes, "(1e-6, 50)")
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            message = (
                f"Rprop: Invalid eta values: got {etas[0]}, {etas[1]}, expected 0 < etas[0] < 1 < "
                "etas[1]; the first shrinks a step, the second lets it grow"
            )
            raise ValueError(message)
        super().__init__(params, defaults)

    def _starts(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "prev": 0.0, "step_size": float(group["lr"])}


class Lion(RuleOptimizer):
    """The sign of a momentum as the step of every element. torch has no such class.

        p <- (1 - lr * weight_decay) * p
        p <- p - lr * sign(beta1 * m + (1 - beta1) * g)     g = grad, or -grad if maximize
        m <- beta2 * m + (1 - beta2) * g

    All elements move by lr, so it is to be three to ten times smaller than for Adam, and
    weight_decay as much larger. Half the memory of Adam. lr may be a Tensor of one element.
    foreach, fused and capturable are accepted and change nothing: the update is always fused over
    all parameters of a group.
    Errors: ValueError for negative lr or weight_decay and betas outside [0, 1);
    NotImplementedError for differentiable=True.
    Source: Chen, Liang, Huang et al. 2023, "Symbolic discovery of optimization algorithms".
    """

    _rule = "lion"
    _decouples = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
        }
        check_common("Lion", defaults)
        check_betas("Lion", betas, "(0.9, 0.99)")
        super().__init__(params, defaults)

    def _starts(self, group: dict[str, Any]) -> dict[str, float]:
        del group
        return {"exp_avg": 0.0}

# SPDX-License-Identifier: BSD-3-Clause
"""Steps divided by the size that gradients have had: Adagrad, Adadelta and RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastnn.optim._lists import check_common, check_not_negative, check_number, require
from fastnn.optim._rules import RuleOptimizer
from fastnn.tensor import Tensor

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class Adagrad(RuleOptimizer):
    """Steps that shrink with all squared gradients so far, as torch.optim.Adagrad.

        g <- grad (or -grad if maximize) + weight_decay * p
        s <- s + g^2                                       (at first: initial_accumulator_value)
        p <- p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)

    with t the number of steps of the parameter. lr may be a Tensor of one element. foreach and
    fused are accepted and change nothing: the update is always fused over all parameters of a
    group.
    Errors: ValueError for a negative option; RuntimeError for foreach with fused;
    NotImplementedError for differentiable=True.
    Source: Duchi, Hazan, Singer 2011.
    """

    _rule = "adagrad"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        check_common("Adagrad", defaults)
        start = "initial_accumulator_value"
        words = {"lr_decay": "lr_decay value", start: f"{start} value", "eps": "epsilon value"}
        check_not_negative("Adagrad", words, defaults)
        super().__init__(params, defaults)
        for group in self.param_groups:
            starts = self._starts(group)
            for p in group["params"]:
                self._remembered(p, starts)

    def _starts(self, group: dict[str, Any]) -> dict[str, float]:
        del group  # torch takes it from the optimiser, not from the group
        return {"step": 0.0, "sum": float(self.defaults["initial_accumulator_value"])}


class Adadelta(RuleOptimizer):
    """Steps as large as those before them, relative to the gradients, as torch.optim.Adadelta.

        g <- grad (or -grad if maximize) + weight_decay * p
        v <- rho * v + (1 - rho) * g^2
        d <- sqrt(u + eps) / sqrt(v + eps) * g
        u <- rho * u + (1 - rho) * d^2
        p <- p - lr * d

    lr may be a Tensor of one element. foreach and capturable are accepted and change nothing: the
    update is always fused over all parameters of a group.
    Errors: ValueError for negative lr, eps or weight_decay and for rho outside [0, 1];
    NotImplementedError for differentiable=True.
    Source: Zeiler 2012.
    """

    _rule = "adadelta"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        check_common("Adadelta", defaults)
        check_number("Adadelta", "rho", rho)
        require("Adadelta", "rho value", rho, 0.0 <= rho <= 1.0, "0 <= rho <= 1")
        check_not_negative("Adadelta", {"eps": "epsilon value"}, defaults)
        super().__init__(params, defaults)

    def _starts(self, group: dict[str, Any]) -> dict[str, float]:
        del group
        return {"step": 0.0, "square_avg": 0.0, "acc_delta": 0.0}


class RMSprop(RuleOptimizer):
    """Steps divided by the root of the mean squared gradient, as torch.optim.RMSprop.

        g <- grad (or -grad if maximize) + weight_decay * p
        v <- alpha * v + (1 - alpha) * g^2;     w = v, or if centered
        a <- alpha * a + (1 - alpha) * g;       w = v - a^2
        d = g / (sqrt(w) + eps)
        p <- p - lr * d, or with a momentum:    b <- momentum * b + d;  p <- p - lr * b

    lr may be a Tensor of one element. foreach and capturable are accepted and change nothing: the
    update is always fused over all parameters of a group.
    Errors: ValueError for a negative option; NotImplementedError for differentiable=True.
    Source: Tieleman & Hinton 2012 (lecture 6.5); Graves 2013 (centered).
    """

    _rule = "rmsprop"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        check_common("RMSprop", defaults)
        words = {"eps": "epsilon value", "momentum": "momentum value", "alpha": "alpha value"}
        check_not_negative("RMSprop", words, defaults)
        super().__init__(params, defaults)

    def _starts(self, group: dict[str, Any]) -> dict[str, float]:
        starts = {"step": 0.0, "square_avg": 0.0}
        if group["momentum"] > 0:
            starts["momentum_buffer"] = 0.0
        if group["centered"]:
            starts["grad_avg"] = 0.0
        return starts

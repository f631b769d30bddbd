# SPDX-License-Identifier: BSD-3-Clause
"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastnn._dtypes import float32
from fastnn.ops import tensor
from fastnn.optim._groups import rate_cell
from fastnn.optim._lists import buckets, check_betas, check_common, require, update, zeros_like
from fastnn.optim.optimizer import Optimizer
from fastnn.tensor import Tensor

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam, the whole group in one kernel, as torch.optim.Adam.

        g <- grad (or -grad if maximize) + weight_decay * p
        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g^2
        p <- p - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)

    with t the number of steps of the parameter. amsgrad: the largest v so far takes the place of v
    (Reddi, Kale, Kumar 2018). decoupled_weight_decay: p <- (1 - lr * weight_decay) * p instead of
    adding to g (AdamW). lr may be a Tensor of one element. foreach, fused and capturable are
    accepted and change nothing: the update is always fused over all parameters of a group.
    Errors: ValueError for negative lr, eps or weight_decay, betas outside [0, 1), one of which
    alone is a Tensor, and for lr or betas that are with foreach but not capturable; RuntimeError
    for foreach with fused; NotImplementedError for differentiable=True.
    Source: Kingma & Ba 2015.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        owner = type(self).__name__
        check_common(owner, defaults)
        require(owner, "epsilon value", eps, eps >= 0.0, "eps >= 0")
        check_betas(owner, betas)
        if isinstance(betas[0], Tensor) != isinstance(betas[1], Tensor):
            message = (
                f"{owner}: expected betas as either both floats or both Tensors, got {betas!r}; "
                "float() makes a number of a Tensor"
            )
            raise ValueError(message)
        for name, value in (("lr", lr), ("betas[0]", betas[0])):
            if foreach and not capturable and isinstance(value, Tensor):
                message = (
                    f"{owner}: expected {name} as a number with foreach=True, got {value!r}: as a "
                    "Tensor it goes with capturable=True only; leave foreach out"
                )
                raise ValueError(message)
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("amsgrad", False)
            group.setdefault("maximize", False)
            group.setdefault("decoupled_weight_decay", isinstance(self, AdamW))
            for p in group["params"]:
                remembered = self.state.get(p)
                if remembered and not isinstance(remembered["step"], Tensor):
                    remembered["step"] = _step_cell(float(remembered["step"]))

    def _remembered(self, p: Tensor, amsgrad: bool) -> dict[str, Any]:
        state = self.state[p]
        if not state:
            state["step"] = _step_cell(0.0)
            state["exp_avg"] = zeros_like(p)
            state["exp_avg_sq"] = zeros_like(p)
        if amsgrad and "max_exp_avg_sq" not in state:
            state["max_exp_avg_sq"] = zeros_like(p)
        return state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return the loss of ``closure``, if given."""
        loss = self._evaluate(closure)
        for group in self.param_groups:
            rate = rate_cell(type(self).__name__, group, self.defaults)
            for params in buckets(group["params"]):
                self._update(group, params, rate)
        return loss

    def _update(self, group: dict[str, Any], params: list[Tensor], rate: Any) -> None:
        amsgrad = bool(group["amsgrad"])
        states = [self._remembered(p, amsgrad) for p in params]
        beta1, beta2 = group["betas"]

        remembered = [
            [s[name].array for s in states]
            for name in ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if amsgrad else ()))
        ]
        largest = remembered[2] if amsgrad else []
        steps = [s["step"].array for s in states]

        def launch(
            kernel: Callable[..., None], memory: list[Any], grads: list[Any], which: slice
        ) -> None:
            kernel(
                memory,
                grads,
                remembered[0][which],
                remembered[1][which],
                largest[which],
                steps[which],
                rate,
                float(beta1),
                float(beta2),
                float(group["eps"]),
                float(group["weight_decay"]),
                bool(group["decoupled_weight_decay"]),
                bool(group["maximize"]),
                amsgrad,
            )

        update(type(self).__name__, "adam_step", params, remembered, launch)


def _step_cell(value: float) -> Tensor:
    """The step count of one parameter: a 0-d float32 tensor, counted up by the kernel."""
    return tensor(value, dtype=float32)


class AdamW(Adam):
    """Adam with decoupled weight decay, as torch.optim.AdamW: before the update of :class:`Adam`,
    p <- (1 - lr * weight_decay) * p.  Source: Loshchilov & Hutter 2019.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

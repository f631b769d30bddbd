# SPDX-License-Identifier: BSD-3-Clause
"""Adafactor: second moments of a matrix by its rows and columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from fastnn._dtype_info import finfo
from fastnn.ops import zeros
from fastnn.optim._groups import rate_cell
from fastnn.optim._lists import check_common, check_number, require
from fastnn.optim._lists import zeros_like as zeros_of
from fastnn.optim._rules import cell
from fastnn.optim.optimizer import Optimizer
from fastnn.tensor import Tensor

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Steps divided by a mean square that is kept as rows and columns, as torch.optim.Adafactor.

        g = grad (or -grad if maximize);     b = t^beta2_decay;     rms(x) = sqrt(mean(x^2))
        a = max(eps2, rms(p)) * min(lr, 1 / sqrt(t))
        p <- (1 - lr * weight_decay) * p
        R <- R + b * (mean of g^2 over columns - R);     C <- C + b * (mean over rows - C)
        V = R C / max(mean of R, eps1)                   of the last two dimensions
        u = g / sqrt(max(V, eps1^2))
        p <- p - a * u / max(1, rms(u) / d)

    with t the number of steps of the parameter and eps = (eps1, eps2); eps1=None is the machine
    precision of the parameter's type. Parameters of one dimension or none keep V itself, V <- V +
    b * (g^2 - V). The state of a matrix (n, m) is n + m numbers. lr may be a Tensor of one element.
    foreach is accepted and changes nothing.
    Errors: ValueError for negative lr, eps or weight_decay, beta2_decay > 0 and d < 1.
    Source: Shazeer & Stern 2018.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        owner = "Adafactor"
        given: object = eps
        if not isinstance(given, tuple | list) or len(given) != 2:
            message = (
                f"{owner}: expected eps as two numbers, got {eps!r}; try (None, 1e-3), where None "
                "is the machine precision"
            )
            raise TypeError(message)
        check_common(owner, {"lr": lr, "weight_decay": weight_decay})
        check_number(owner, "beta2_decay", beta2_decay)
        require(owner, "beta2_decay", beta2_decay, beta2_decay <= 0.0, "beta2_decay <= 0")
        for i, value in enumerate(eps):
            if i == 1 or value is not None:
                check_number(owner, f"eps[{i}]", value)
                require(owner, f"epsilon{i + 1}", value, value >= 0.0, f"eps[{i}] >= 0")  # type: ignore[operator]
        check_number(owner, "d", d)
        require(owner, "clipping threshold d", d, d >= 1.0, "d >= 1")
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for p in (p for group in self.param_groups for p in group["params"]):
            remembered = self.state.get(p)
            if remembered and not isinstance(remembered["step"], Tensor):
                remembered["step"] = cell(float(remembered["step"]))

    def _remembered(self, p: Tensor) -> dict[str, Any]:
        state = self.state[p]
        if not state:
            state["step"] = cell(0.0)
            if p.dim() > 1:
                rest, (rows, columns) = tuple(p.shape[:-2]), tuple(p.shape[-2:])
                state["row_var"] = zeros(*rest, rows, 1, dtype=p.dtype, device=p.device)
                state["col_var"] = zeros(*rest, 1, columns, dtype=p.dtype, device=p.device)
            else:
                state["variance"] = zeros_of(p)
        return state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return the loss of ``closure``, if given."""
        loss = self._evaluate(closure)
        for group in self.param_groups:
            rate = float(rate_cell("Adafactor", group, self.defaults)[0])
            for p in group["params"]:
                if p.grad is not None:
                    _update(p, self._remembered(p), group, rate)
        return loss


def _rms(x: Tensor) -> float:
    return math.sqrt(float((x * x).mean())) if x.numel() else 0.0


def _approach(mean: Tensor, value: Tensor, share: float) -> None:
    """mean <- mean + share * (value - mean)"""
    mean.add_((value - mean) * share)


def _update(p: Tensor, state: dict[str, Any], group: dict[str, Any], rate: float) -> None:
    grad = p.grad.detach()  # type: ignore[union-attr]  # the caller looked
    if group["maximize"]:
        grad = -grad
    state["step"].add_(1)
    t = float(state["step"])
    share = t ** float(group["beta2_decay"])
    tiny, least = group["eps"]
    tiny = float(finfo(p.dtype).eps if tiny is None else tiny)
    length = max(float(least), _rms(p.detach())) * min(rate, 1.0 / math.sqrt(t))
    if group["weight_decay"] != 0:
        p.mul_(1.0 - rate * float(group["weight_decay"]))
    square = grad * grad
    if p.dim() > 1:
        rows, columns = state["row_var"], state["col_var"]
        _approach(rows, square.mean(-1, keepdim=True), share)
        _approach(columns, square.mean(-2, keepdim=True), share)
        variance = (rows @ columns) / rows.mean(-2, keepdim=True).clamp(min=tiny)
    else:
        variance = state["variance"]
        _approach(variance, square, share)
    change = grad / variance.clamp(min=tiny * tiny).sqrt()
    p.sub_(change * (length / max(1.0, _rms(change) / float(group["d"]))))

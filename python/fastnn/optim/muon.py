# SPDX-License-Identifier: BSD-3-Clause
"""Muon: momentum for matrices, made orthogonal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from fastnn.optim._groups import rate_cell
from fastnn.optim._lists import check_common, check_not_negative, check_number, check_tuple
from fastnn.optim._lists import zeros_like as zeros_of
from fastnn.optim.optimizer import Optimizer
from fastnn.tensor import Tensor

__all__ = ["Muon"]


class Muon(Optimizer):
    """Momentum made orthogonal, for the matrices of hidden layers, as torch.optim.Muon.

        b <- momentum * b + (1 - momentum) * grad
        u = (1 - momentum) * grad + momentum * b  if nesterov  else b
        x = u / max(|u|, eps), transposed if it is tall
        x <- a x + (b A + c A A) x,  A = x x^T      ns_steps times, (a, b, c) = ns_coefficients
        p <- (1 - lr * weight_decay) * p - lr * r * x

    |u| is Frobenius' norm, and r = sqrt(max(1, rows / columns)), or with
    adjust_lr_fn="match_rms_adamw" 0.2 sqrt(max(rows, columns)). The iteration of Newton and Schulz
    drives the singular values towards 1, up to some 0.3. It is computed in the parameter's type,
    where torch rounds to bfloat16. lr may be a Tensor of one element.
    Errors: ValueError for parameters that are no matrices, negative options, 100 ns_steps or more,
    and an unknown adjust_lr_fn.
    Source: Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein 2024; Liu et al. 2025
    (match_rms_adamw).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        check_common("Muon", defaults)
        check_not_negative("Muon", {"momentum": "momentum"}, defaults)
        check_tuple("Muon", "ns_coefficients", ns_coefficients, "(3.4445, -4.775, 2.0315)")
        check_number("Muon", "ns_steps", ns_steps)
        if not 0 <= ns_steps < 100:
            message = (
                f"Muon: expected ns_steps from 0 to 99, got {ns_steps}: Number of steps must be"
                " less than 100 for computational efficiency; 5 is the default"
            )
            raise ValueError(message)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            message = (
                "Muon: expected adjust_lr_fn 'original', 'match_rms_adamw' or None, got "
                f"{adjust_lr_fn!r}; Adjust learning rate function {adjust_lr_fn} is not supported"
            )
            raise ValueError(message)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of matrices; ValueError for other parameters."""
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            if p.dim() != 2:
                self.param_groups.pop()
                message = (
                    "Muon: expected matrices, as it only supports 2D parameters, got one of size "
                    f"{tuple(p.shape)}; give biases, embeddings and others to AdamW"
                )
                raise ValueError(message)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return the loss of ``closure``, if given."""
        loss = self._evaluate(closure)
        for group in self.param_groups:
            rate = float(rate_cell("Muon", group, self.defaults)[0])
            momentum = float(group["momentum"])
            for p in group["params"]:
                if p.grad is None:
                    continue
                grad, state = p.grad.detach(), self.state[p]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = zeros_of(p)
                buffer = state["momentum_buffer"]
                buffer.add_((grad - buffer) * (1.0 - momentum))
                change = grad + (buffer - grad) * momentum if group["nesterov"] else buffer
                change = orthogonal(
                    change, group["ns_coefficients"], group["ns_steps"], float(group["eps"])
                )
                p.mul_(1.0 - rate * float(group["weight_decay"]))
                p.sub_(change * (rate * _ratio(group["adjust_lr_fn"], *p.shape)))
        return loss


def orthogonal(matrix: Tensor, coefficients: Any, steps: int, eps: float) -> Tensor:
    """A matrix with the singular vectors of this one, whose singular values are about 1: ``steps``
    iterations x <- a x + (b A + c A A) x, A = x x^T, from x = matrix / max(|matrix|, eps)."""
    a, b, c = (float(value) for value in coefficients)
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x * (1.0 / max(math.sqrt(float((x * x).sum())), eps))
    for _ in range(steps):
        gram = x @ x.T
        x = x * a + (gram * b + (gram @ gram) * c) @ x
    return x.T if tall else x


def _ratio(kind: str | None, rows: int, columns: int) -> float:
    if kind == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns)) if columns else 1.0

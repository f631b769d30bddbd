# SPDX-License-Identifier: BSD-3-Clause
"""The limited-memory method of Broyden, Fletcher, Goldfarb and Shanno."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastnn.optim._flat import (
    assign,
    dot,
    flatten,
    largest,
    number,
    only_group,
    with_gradients,
)
from fastnn.optim._line_search import Point, strong_wolfe
from fastnn.optim._lists import check_common, check_number, require
from fastnn.optim.optimizer import Optimizer
from fastnn.tensor import Tensor

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Newton's method with an inverse Hessian from the last gradients, as torch.optim.LBFGS.

        y = g(k) - g(k-1),  s = x(k) - x(k-1)     remembered if y.s > 1e-10, history_size of them
        d = -H g                                  H from all y and s, by the two-loop recursion,
                                                  which starts from (y.s / y.y) I of the last pair
        x <- x + t d                              t = lr, at the first step at most 1 / |g|_1

    ``step(closure)`` makes ``max_iter`` such iterations or fewer: it stops when no element of g
    exceeds tolerance_grad, when x or the loss changes by no more than tolerance_change, and after
    max_eval calls of the closure (1.25 max_iter if None), which has to clear the gradients, compute
    the loss, call backward and return the loss. With line_search_fn="strong_wolfe" t is looked for;
    without, it is lr. All parameters are one group. lr may be a Tensor of one element.

    A step reads values on the host, so that it cannot be captured.
    Errors: ValueError for negative lr, several groups and an unknown line_search_fn; TypeError
    without a closure.
    Source: Liu & Nocedal 1989; Nocedal & Wright 2006, algorithms 7.4 and 7.5.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_number("LBFGS", "max_iter", max_iter)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        check_common("LBFGS", defaults)
        for name in ("max_eval", "tolerance_grad", "tolerance_change", "history_size"):
            check_number("LBFGS", name, defaults[name])
        require("LBFGS", "history_size", history_size, history_size >= 1, "history_size >= 1")
        if line_search_fn not in (None, "strong_wolfe"):
            message = (
                "LBFGS: expected line_search_fn 'strong_wolfe' or None, got "
                f"{line_search_fn!r}: only 'strong_wolfe' is supported; None makes steps of lr"
            )
            raise ValueError(message)
        super().__init__(params, defaults)
        only_group("LBFGS", self.param_groups)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """The one group, when the optimiser is made; ValueError for another one."""
        super().add_param_group(param_group)
        if len(self.param_groups) > 1:
            try:
                only_group("LBFGS", self.param_groups)
            finally:
                self.param_groups.pop()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to ``max_iter`` iterations; the loss that ``closure`` gave first."""
        group = only_group("LBFGS", self.param_groups)
        return _Run(group, self.state, with_gradients("LBFGS", closure)).iterate()


class _Run:
    """One call of ``step``."""

    def __init__(
        self, group: dict[str, Any], state: dict[Tensor, Any], closure: Callable[[], Any]
    ) -> None:
        self.group, self.closure = group, closure
        self.params: list[Tensor] = group["params"]
        self.state: dict[str, Any] = state[self.params[0]]
        self.state.setdefault("func_evals", 0)
        self.state.setdefault("n_iter", 0)

    def gradient(self) -> Tensor:
        return flatten([p.grad for p in self.params], self.params)

    def iterate(self) -> Any:
        group, state = self.group, self.state
        first = self.closure()
        loss, grad = number(first), self.gradient()
        calls = 1
        state["func_evals"] += 1
        if largest(grad) <= group["tolerance_grad"]:
            return first
        rate, change = float(group["lr"]), group["tolerance_change"]
        for left in range(group["max_iter"] - 1, -1, -1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                self.forget(grad)
                t = min(1.0, 1.0 / number(abs(grad).sum())) * rate
            else:
                self.remember(grad)
                state["d"] = self.direction(grad)
                t = rate
            state["prev_flat_grad"], state["prev_loss"] = grad, loss
            state["t"] = t
            direction = state["d"]
            slope = dot(grad, direction)
            if slope > -change:
                break
            point, made = self.move(Point(0.0, loss, grad, slope), t, left, calls)
            state["t"] = t = point.t
            old, loss, grad = loss, point.loss, point.grad
            calls += made
            state["func_evals"] += made
            if left == 0 or calls >= group["max_eval"]:
                break
            if largest(grad) <= group["tolerance_grad"]:
                break
            if largest(direction * t) <= change or abs(loss - old) < change:
                break
        return first

    def move(self, start: Point, t: float, left: int, calls: int) -> tuple[Point, int]:
        """Changes the parameters; the point reached, and the calls of the closure."""
        group, direction = self.group, self.state["d"]
        origin = flatten(self.params, self.params)

        def evaluate(at: float) -> Point:
            assign(self.params, origin + direction * at)
            loss = number(self.closure())
            grad = self.gradient()
            return Point(at, loss, grad, dot(grad, direction))

        if group["line_search_fn"] is not None:
            scale, change = largest(direction), group["tolerance_change"]
            point, made = strong_wolfe(evaluate, start, t, scale, change, group["max_eval"] - calls)
            assign(self.params, origin + direction * point.t)
            return point, made
        if left == 0:  # no call whose result nobody uses
            assign(self.params, origin + direction * t)
            return start._replace(t=t), 0
        return evaluate(t), 1

    def forget(self, grad: Tensor) -> None:
        self.state.update(d=-grad, old_dirs=[], old_stps=[], ro=[], H_diag=1)

    def remember(self, grad: Tensor) -> None:
        """Adds a pair of differences of gradients and parameters, if the curvature is positive."""
        state = self.state
        y = grad - state["prev_flat_grad"]
        s = state["d"] * number(state["t"])
        curvature = (y * s).sum()
        if number(curvature) <= 1e-10:
            return
        if len(state["old_dirs"]) == self.group["history_size"]:
            for name in ("old_dirs", "old_stps", "ro"):
                state[name].pop(0)
        state["old_dirs"].append(y)
        state["old_stps"].append(s)
        state["ro"].append(1.0 / curvature)
        state["H_diag"] = curvature / (y * y).sum()

    def direction(self, grad: Tensor) -> Tensor:
        """-H g, by the two loops."""
        state = self.state
        pairs = list(
            zip(state["old_dirs"], state["old_stps"], map(number, state["ro"]), strict=True)
        )
        shares = []
        d = -grad
        for y, s, ro in reversed(pairs):
            shares.append(dot(s, d) * ro)
            d = d - y * shares[-1]
        d = d * number(state["H_diag"])
        for (y, s, ro), share in zip(pairs, reversed(shares), strict=True):
            d = d + s * (share - dot(y, d) * ro)
        return d

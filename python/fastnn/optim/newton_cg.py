# SPDX-License-Identifier: BSD-3-Clause
"""Newton's method whose equations are solved by conjugate gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from fastnn.autograd import grad as gradients_of
from fastnn.optim._flat import assign, dot, flatten, number, only_group, with_gradients
from fastnn.optim._lists import check_common, check_not_negative, check_number, require
from fastnn.optim.optimizer import Optimizer
from fastnn.tensor import Tensor

__all__ = ["NewtonCG"]

_DECREASE = 1e-4  # of the condition of Armijo
_HALVINGS = 30  # of a step, before it is given up


class NewtonCG(Optimizer):
    """Newton's method without a Hessian: conjugate gradients need only its products with vectors.
    torch has no such class.

        (H + damping I) d = -g     by conjugate gradients from d = 0, until the residual's norm is
                                   below min(cg_tolerance, sqrt(|g|)) |g|, or after max_cg products,
                                   or where a direction has no positive curvature
        x <- x + t d               t = lr, halved until the loss falls by 1e-4 t |g.d| or more

    H v is the gradient of g.v, for which g is computed with create_graph=True: a product costs
    about two gradients, and no second derivatives are stored. If the first direction already has no
    positive curvature, d = -g, so that d is a direction of descent always.

    ``step(closure)`` makes ``max_iter`` such iterations and returns the loss before the first; it
    stops when |g| <= tolerance_grad, or when no t is found. The closure computes the loss and
    returns it, and does not call backward: its graph is what is differentiated twice. line_search=
    False makes t = lr. All parameters are one group. lr may be a Tensor of one element. The numbers
    of calls and products are in ``optimizer.state[p]`` of the first parameter.

    A step reads values on the host, so that it cannot be captured.
    Errors: ValueError for negative options, max_iter or max_cg below 1, and several groups;
    TypeError without a closure; RuntimeError for a loss without a graph.
    Source: Dembo & Steihaug 1983; Nocedal & Wright 2006, algorithm 7.1; Pearlmutter 1994 (H v).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        max_iter: int = 1,
        max_cg: int = 50,
        cg_tolerance: float = 0.1,
        damping: float = 0.0,
        tolerance_grad: float = 1e-7,
        line_search: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_cg": max_cg,
            "cg_tolerance": cg_tolerance,
            "damping": damping,
            "tolerance_grad": tolerance_grad,
            "line_search": line_search,
        }
        check_common("NewtonCG", defaults)
        words = {name: name for name in ("cg_tolerance", "damping", "tolerance_grad")}
        check_not_negative("NewtonCG", words, defaults)
        for name, value in (("max_iter", max_iter), ("max_cg", max_cg)):
            check_number("NewtonCG", name, value)
            require("NewtonCG", name, value, value >= 1, f"{name} >= 1")
        super().__init__(params, defaults)
        only_group("NewtonCG", self.param_groups)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """The one group, when the optimiser is made; ValueError for another one."""
        super().add_param_group(param_group)
        if len(self.param_groups) > 1:
            try:
                only_group("NewtonCG", self.param_groups)
            finally:
                self.param_groups.pop()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to ``max_iter`` iterations; the loss before the first, as ``closure`` gave it."""
        group = only_group("NewtonCG", self.param_groups)
        run = with_gradients("NewtonCG", closure)
        params = [p for p in group["params"] if p.requires_grad]
        state = self.state[group["params"][0]]
        for name in ("n_iter", "func_evals", "products"):
            state.setdefault(name, 0)
        first = None
        for _ in range(group["max_iter"]):
            loss = run()
            state["func_evals"] += 1
            first = loss if first is None else first
            slopes = _gradient(loss, params)
            gradient = flatten(slopes, params)
            size = math.sqrt(dot(gradient, gradient))
            if size <= group["tolerance_grad"]:
                break
            state["n_iter"] += 1
            direction = _solve(slopes, gradient, size, params, group, state)
            descent = dot(gradient, direction)
            if not _move(run, params, direction, number(loss), descent, group, state):
                break
        return first


def _gradient(loss: Any, params: list[Tensor]) -> list[Tensor | None]:
    """The gradients, as functions of the parameters; None where the loss does not depend on one."""
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        message = (
            "NewtonCG: expected a closure that returns a loss with a graph, got "
            f"{type(loss).__name__}; compute it from the parameters and return it as it is"
        )
        raise RuntimeError(message)
    try:
        return list(gradients_of(loss, params, create_graph=True, allow_unused=True))
    except RuntimeError as error:
        message = (
            "NewtonCG: expected a closure that returns a loss whose graph is still there, got one "
            f"that cannot be differentiated ({error}); do not call backward in it"
        )
        raise RuntimeError(message) from error


def _product(
    slopes: list[Tensor | None], vector: Tensor, params: list[Tensor], damping: float
) -> Tensor:
    """(H + damping I) times a vector, from the gradient of the slopes' product with it."""
    pairs, start = [], 0
    for p, slope in zip(params, slopes, strict=True):
        stop = start + p.numel()
        if slope is not None and slope.requires_grad:
            pairs.append((slope, vector[start:stop].reshape(p.shape)))
        start = stop
    if not pairs:  # a linear loss
        return vector * damping
    outputs, weights = zip(*pairs, strict=True)
    found = gradients_of(outputs, params, weights, retain_graph=True, allow_unused=True)
    product = flatten(list(found), params)
    return product + vector * damping if damping else product


def _solve(
    slopes: list[Tensor | None],
    gradient: Tensor,
    size: float,
    params: list[Tensor],
    group: dict[str, Any],
    state: dict[str, Any],
) -> Tensor:
    """The direction, by conjugate gradients."""
    wanted = min(float(group["cg_tolerance"]), math.sqrt(size)) * size
    residual, search, squared = gradient, -gradient, size * size
    found: Tensor | None = None
    for _ in range(group["max_cg"]):
        product = _product(slopes, search, params, float(group["damping"]))
        state["products"] += 1
        curvature = dot(search, product)
        if not curvature > 0:
            break
        length = squared / curvature
        found = search * length if found is None else found + search * length
        residual = residual + product * length
        old, squared = squared, dot(residual, residual)
        if not math.sqrt(squared) > wanted:
            break
        search = search * (squared / old) - residual
    return -gradient if found is None else found


def _move(
    run: Callable[[], Any],
    params: list[Tensor],
    direction: Tensor,
    loss: float,
    descent: float,
    group: dict[str, Any],
    state: dict[str, Any],
) -> bool:
    """Changes the parameters; whether a step was found that lowers the loss."""
    t, origin = float(group["lr"]), flatten(params, params)
    assign(params, origin + direction * t)
    if not group["line_search"]:
        return True
    for _ in range(_HALVINGS):
        state["func_evals"] += 1
        if number(run()) <= loss + _DECREASE * t * descent:
            return True
        t /= 2
        assign(params, origin + direction * t)
    assign(params, origin)
    return False

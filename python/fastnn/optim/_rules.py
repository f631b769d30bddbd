# SPDX-License-Identifier: BSD-3-Clause
"""What the optimisers share whose update is one rule for every element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from fastnn._backend import kernels
from fastnn._dtypes import float32
from fastnn.ops import tensor
from fastnn.ops._optimizer_rules import RULES
from fastnn.optim._groups import rate_cell
from fastnn.optim._lists import buckets, update
from fastnn.optim.optimizer import Optimizer
from fastnn.tensor import Tensor

# Options of kernels that are one of several numbers of a group's option.
_PARTS = {
    "beta1": ("betas", 0),
    "beta2": ("betas", 1),
    "etaminus": ("etas", 0),
    "etaplus": ("etas", 1),
    "least": ("step_sizes", 0),
    "most": ("step_sizes", 1),
}


def cell(value: float) -> Tensor:
    """A number that the kernel changes, such as the step count of a parameter: 0-d float32."""
    return tensor(value, dtype=float32)


def filled_like(p: Tensor, value: float) -> Tensor:
    """Contiguous memory of the shape, dtype and place of ``p``, full of ``value``."""
    table = kernels(p.array)
    array = table.empty(p.array.shape, p.array.dtype)
    one = table.xp.zeros(1, array.dtype)
    one[0] = value
    table.fill(one, array)
    return Tensor._wrap(array)


class RuleOptimizer(Optimizer):
    """An optimiser whose step is one kernel of `RULES` over all parameters of a group.

    A subclass names the rule and says in `_starts` what the state of a parameter begins with.
    """

    _rule: ClassVar[str]
    _decouples: ClassVar[bool] = False  # where groups have no `decoupled_weight_decay`

    def _starts(self, group: dict[str, Any]) -> dict[str, float]:
        """The entries of a parameter's state, in order, and the number each begins with."""
        raise NotImplementedError

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for p in (p for group in self.param_groups for p in group["params"]):
            remembered = self.state.get(p, {})
            for name in RULES[self._rule].cells:
                value = remembered.get(name)
                # A plain number, or of the parameter's type, to which loading converts.
                if value is not None and getattr(value, "dtype", None) is not float32:
                    remembered[name] = cell(float(value))

    def _remembered(self, p: Tensor, starts: dict[str, float]) -> dict[str, Any]:
        state = self.state[p]
        if starts.keys() - state.keys():
            cells = RULES[self._rule].cells
            for name, value in starts.items():
                if name not in state:
                    state[name] = cell(value) if name in cells else filled_like(p, value)
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
        rule, starts = RULES[self._rule], self._starts(group)
        states = [self._remembered(p, starts) for p in params]
        memory = [[s[name].array for s in states] if name in starts else [] for name in rule.states]
        cells = [[s[name].array for s in states] for name in rule.cells]
        numbers = []
        for name in rule.options:
            key, i = _PARTS.get(name, (name, None))
            numbers.append(float(group[key] if i is None else group[key][i]))

        def launch(
            kernel: Callable[..., None], arrays: list[Any], grads: list[Any], which: slice
        ) -> None:
            kernel(
                arrays,
                grads,
                *(items[which] for items in memory),
                *(items[which] for items in cells),
                rate,
                *numbers,
                float(group.get("weight_decay", 0)),
                bool(group.get("decoupled_weight_decay", self._decouples)),
                bool(group.get("maximize", False)),
            )

        given = [items for items in memory if items]
        update(type(self).__name__, rule.kernel, params, given, launch)

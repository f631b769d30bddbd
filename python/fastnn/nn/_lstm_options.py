# SPDX-License-Identifier: BSD-3-Clause
"""The options that `LSTM` and `LSTMCell` have beyond torch's; ops/lstm_variant.py has the maths."""

from __future__ import annotations

from typing import Any

from fastnn.nn import init
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter

__all__ = ["LSTMOptions"]

_PLAIN: dict[str, Any] = {"peephole": False, "layer_norm": False, "coupled": False, "zoneout": 0.0}


class LSTMOptions(Module):
    """Peepholes, layer norm, coupled gates and zoneout: to be mixed in before the module's base."""

    peephole: bool
    layer_norm: bool
    coupled: bool
    zoneout: float
    gates: int
    weight_peephole: Parameter
    weight_norm: Parameter

    def set_options(self, peephole: bool, layer_norm: bool, coupled: bool, zoneout: float) -> None:
        """Checks and keeps them, before Module's own __init__ has run."""
        name = type(self).__name__
        flags: dict[str, object] = {
            "peephole": peephole, "layer_norm": layer_norm, "coupled": coupled,
        }  # fmt: skip
        for key, flag in flags.items():
            if not isinstance(flag, bool):
                message = (
                    f"{name}: expected {key} as a bool, got {type(flag).__name__}; pass True or "
                    "False"
                )
                raise TypeError(message)
        number: object = zoneout
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < 1:
            message = (
                f"{name}: expected 0 <= zoneout < 1, the probability of an element keeping its "
                f"value, got {number!r}; 0 disables it"
            )
            raise ValueError(message)
        self.__dict__.update(flags, zoneout=float(number), gates=3 if coupled else 4)

    @property
    def has_options(self) -> bool:
        """Whether there is any: else the plain layer is the faster one."""
        return any(getattr(self, key) for key in _PLAIN)

    def option_shapes(self, units: int) -> dict[str, tuple[int, ...]]:
        """The parameters of the options and their shapes."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.peephole:
            shapes["weight_peephole"] = (self.gates - 1, units)
        if self.layer_norm:
            shapes["weight_norm"] = (2 * self.gates + 2, units)
        return shapes

    def reset_parameters(self) -> None:
        """Draw new initial values; those of the layer norms are gains of 1 and biases of 0."""
        super().reset_parameters()  # type: ignore[misc]
        for name, parameter in self.named_parameters():
            if name.startswith("weight_norm"):
                init.ones_(parameter)
                init.zeros_(parameter.data[-1])

    def extra_repr(self) -> str:
        own = [f"{k}={getattr(self, k)}" for k, v in _PLAIN.items() if getattr(self, k) != v]
        return ", ".join([super().extra_repr(), *own])

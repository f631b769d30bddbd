# SPDX-License-Identifier: BSD-3-Clause
"""Formulas that hold for arrays and tensors alike.

A formula takes the functions that it needs from its first argument ``m``: for arrays an
`ArrayMath`, for tensors the operations themselves. So the reference of a gradient and its
derivative under ``create_graph`` are one expression.
"""

from __future__ import annotations

import importlib
from typing import Any

from fastnn._backend import array_module


class ArrayMath:
    """NumPy's or CuPy's functions under torch's names, and two that these lack."""

    def __init__(self, array: Any) -> None:
        xp = array_module(array)
        self.library = xp
        for name in ("abs", "cos", "cosh", "exp", "expm1", "log", "log10", "log1p", "log2", "sign"):
            setattr(self, name, getattr(xp, name))
        for name in ("exp2", "floor", "sin", "sinh", "sqrt", "tan", "tanh", "where"):
            setattr(self, name, getattr(xp, name))
        self.round = xp.rint
        for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh"):
            setattr(self, "a" + name, getattr(xp, "arc" + name))

    def sigmoid(self, x: Any) -> Any:
        """1 / (1 + exp(-x)); exp never overflows."""
        xp = self.library
        small = xp.exp(-xp.abs(x))
        return xp.where(x >= 0, 1.0, small) / (1.0 + small)

    def erf(self, x: Any) -> Any:
        """The error function, in the precision of x, also where that is above double.

        Below 1 the series exp(-x^2) 2/sqrt(pi) sum 2^n x^(2n+1) / (2n+1)!!, from 1 on one minus the
        trapezoidal sum of erfc(x) = x/pi int exp(-x^2 - t^2) / (t^2 + x^2) dt with its correction
        (Hunter and Regan, "A note on the evaluation of the complementary error function", 1972).
        """
        xp = self.library
        # Beyond 7 it is 1 in every type; NaN passes.
        a = xp.where(xp.abs(x) > 7.0, xp.ones((), x.dtype) * 7.0, xp.abs(x))
        pi = xp.arccos(-xp.ones((), x.dtype))
        small = xp.where(a < 1.0, a, 1.0)
        term = small * 2.0 / xp.sqrt(pi)
        series = term
        for n in range(1, 26):
            term = term * (small * small) * 2.0 / (2.0 * n + 1.0)
            series = series + term
        large = xp.where(a < 1.0, 1.0, a)
        step = 0.4375  # a number without rounding
        total = 0.5 / (large * large)
        for k in range(1, 17):
            square = (k * step) ** 2
            weight = xp.exp(xp.full((), -square, x.dtype))
            total = total + weight / (square + large * large)
        tail = 2.0 * step * large / pi * xp.exp(-large * large) * total
        tail = tail - 2.0 / xp.expm1(2.0 * pi * large / step)
        size = xp.where(a < 1.0, series * xp.exp(-small * small), 1.0 - tail)
        return xp.copysign(size, x)  # erf(-0) is -0


def tensor_math() -> Any:
    """The operations, as the ``m`` of formulas on tensors."""
    return importlib.import_module("fastnn.ops")

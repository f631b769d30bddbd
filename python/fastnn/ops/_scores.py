# SPDX-License-Identifier: BSD-3-Clause
"""A warning for what trains badly in silence: probabilities where scores are expected.

Softmax of a softmax has small gradients everywhere, and a model with it still learns a little. To
find it costs a call a look at a number or two: scores leave [0, 1] soon. Only where eight of them
stay within are all rows added up, and a line of the user's code that was told once is left alone.
"""

from __future__ import annotations

import warnings

from fastnn._callers import user_line
from fastnn._grad_mode import no_grad
from fastnn.ops import _common
from fastnn.tensor import Tensor

_told: set[tuple[str, int]] = set()
_under: list[object] = [None]  # the warning filters then
_array = _common.np.ndarray  # type: ignore[attr-defined]
_LOOKED_AT = 8


def warn_of_probabilities(name: str, input: Tensor) -> None:
    """Warns once for each calling line if the rows of (n, c, ...) or (c,) add up to 1 in [0, 1]."""
    x = input.array
    # Of memory that is not the CPU's, a look at a number would wait for all that runs.
    if type(x) is _array and x.size and 0.0 <= x.item(0) <= 1.0:
        _look_closer(name, input)


def _look_closer(name: str, input: Tensor) -> None:
    x = input.array
    for i in range(1, _LOOKED_AT):
        if not 0.0 <= x.item(i * x.size // _LOOKED_AT) <= 1.0:
            return
    dim = 0 if x.ndim == 1 else 1
    if x.ndim == 0 or x.shape[dim] == 1:
        return
    level, place = user_line()
    if _under[0] is not warnings.filters:  # within or behind a warnings.catch_warnings()
        _under[0] = warnings.filters
        _told.clear()
    if place in _told or not _are_probabilities(input, dim):
        return
    _told.add(place)
    warnings.warn(
        f"{name}: expected unnormalised scores, got rows of numbers in [0, 1] that add up to 1, as "
        "after a softmax, which is part of this loss; leave the softmax away",
        stacklevel=level,
    )


def _are_probabilities(input: Tensor, dim: int) -> bool:
    with no_grad():
        x = input.detach()
        if not bool((x >= 0.0).all()):
            return False
        away = (x.sum(dim) - 1.0).abs().max()
    return bool(away.item() <= 1e-2)

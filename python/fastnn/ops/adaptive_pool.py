# SPDX-License-Identifier: BSD-3-Clause
"""Pooling to an output of given sizes.

    y[o] = mean or max of x[floor(o l / m), ceil((o + 1) l / m)),     0 <= o < m

Shapes:   x (n, c, l), (n, c, h, w) or (n, c, d, h, w), also without n -> y with the given sizes.
Backward: as in ops/avg_pool.py and ops/max_pool.py, whose kernels these are.
Source:   He et al. 2014, "Spatial pyramid pooling" (the windows); Lin, Chen and Yan 2013, "Network
          in network" (one window over everything).
"""

from __future__ import annotations

import itertools
from typing import Any

from fastnn._backend import array_module
from fastnn.ops._windows import adaptive
from fastnn.ops.avg_pool import AvgPool
from fastnn.ops.max_pool import MaxPool
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase


def _mean(name: str, input: Tensor, n: int, output_size: Any) -> Tensor:
    shape, given = adaptive(name, input, n, output_size)
    return AvgPool.apply((input,), n, shape, (*given[:3], False, 0))  # type: ignore[no-any-return]


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means of ``output_size`` windows that cover the last dimension, as torch.nn.functional's.

    input (n, c, l) or (c, l) -> (n, c, output_size).
    Raises RuntimeError where sizes do not fit, TypeError for what is no tensor or no int.
    """
    return _mean("adaptive_avg_pool1d", input, 1, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means of a grid of windows that cover the last two dimensions, as torch.nn.functional's.

    input (n, c, h, w) or (c, h, w) -> (n, c, oh, ow); output_size: an int or two, None for the
    input's size. Raises as `adaptive_avg_pool1d`.
    """
    return _mean("adaptive_avg_pool2d", input, 2, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Means of a grid of windows that cover the last three dimensions, as torch.nn.functional's.

    input (n, c, d, h, w) or (c, d, h, w) -> (n, c, od, oh, ow); output_size: an int or three, None
    for the input's size. Raises as `adaptive_avg_pool1d`.
    """
    return _mean("adaptive_avg_pool3d", input, 3, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of ``output_size`` windows that cover the last dimension, as torch.nn.functional's.

    input (n, c, l) or (c, l) -> (n, c, output_size); with ``return_indices`` a pair, the second
    being the places of the maxima (int64). Raises as `adaptive_avg_pool1d`.
    """
    fitted = adaptive("adaptive_max_pool1d", input, 1, output_size)
    return MaxPool.apply((input,), 1, *fitted, bool(return_indices))


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of a grid of windows that cover the last two dimensions, as torch.nn.functional's.

    Sizes as in `adaptive_avg_pool2d`; with ``return_indices`` also the places h * w_size + w of
    the maxima (int64). Raises as `adaptive_avg_pool1d`.
    """
    fitted = adaptive("adaptive_max_pool2d", input, 2, output_size)
    return MaxPool.apply((input,), 2, *fitted, bool(return_indices))


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of a grid of windows that cover the last three dimensions, as torch.nn.functional's.

    Sizes as in `adaptive_avg_pool3d`; with ``return_indices`` also the places
    (d * h_size + h) * w_size + w of the maxima (int64). Raises as `adaptive_avg_pool1d`.
    """
    fitted = adaptive("adaptive_max_pool3d", input, 3, output_size)
    return MaxPool.apply((input,), 3, *fitted, bool(return_indices))


def _plain(n: int, mean: bool) -> Any:
    def formula(x: Any, size: Any, return_indices: bool = False) -> Any:
        xp, spatial = array_module(x), x.shape[-n:]
        given = size if isinstance(size, list) else [size] * n
        out = [b if a is None else a for a, b in zip(given, spatial, strict=True)]
        places = xp.arange(x[(0,) * (x.ndim - n)].size).reshape(spatial)
        y, at = [], []
        for place in itertools.product(*(range(m) for m in out)):
            cut = tuple(
                slice(o * a // m, -((o + 1) * a // -m))
                for o, a, m in zip(place, spatial, out, strict=True)
            )
            window = x[..., *cut].reshape(*x.shape[:-n], -1)
            y.append(window.mean(axis=-1) if mean else window.max(axis=-1))
            at.append(places[cut].reshape(-1)[window.argmax(axis=-1)])
        both = [xp.stack(v, axis=-1).reshape(*x.shape[:-n], *out) for v in (y, at)]
        return tuple(both) if return_indices else both[0]

    return formula


_FAMILY: tuple[tuple[Any, str], ...] = (
    (adaptive_avg_pool1d, "adaptive_avg_pool1d"),
    (adaptive_avg_pool2d, "adaptive_avg_pool2d"),
    (adaptive_avg_pool3d, "adaptive_avg_pool3d"),
    (adaptive_max_pool1d, "adaptive_max_pool1d"),
    (adaptive_max_pool2d, "adaptive_max_pool2d"),
    (adaptive_max_pool3d, "adaptive_max_pool3d"),
)
_GRIDS: tuple[tuple[int, Any, tuple[int, ...]], ...] = (
    (1, 4, (2, 3, 10)),
    (1, 5, (2, 3, 40)),
    (1, 7, (3, 5)),
    (2, [3, 2], (2, 3, 7, 8)),
    (2, 1, (2, 3, 7, 9)),
    (2, [None, 4], (2, 3, 8)),
    (3, [3, 2, 4], (2, 2, 5, 3, 6)),
    (3, 1, (2, 2, 3, 2, 4)),
    (3, [2, None, 3], (2, 4, 2, 9)),
)
CASES = [
    OpCase(
        f,
        name,
        [shape, size],
        kwargs={"return_indices": True} if "max" in name else {},
        ref=_plain(n, "avg" in name),
    )
    for f, name in _FAMILY
    for n, size, shape in _GRIDS
    if n == int(name[-2])
]


def _bad(n: int) -> list[tuple[list[Any], type[Exception], str]]:
    shape = (2, *(4,) * n)
    return [
        ([[1.0], 2], TypeError, "expected input as a Tensor"),
        ([(3,), 2], RuntimeError, "expected input (n, c,"),
        ([("int", shape, 0, 9), 2], RuntimeError, "floating-point type"),
        ([shape, [1, 2, 3, 4]], RuntimeError, "expected output_size as an int"),
        ([shape, "a"], TypeError, "expected output_size as an int"),
        ([shape, -1], RuntimeError, "output_size >= 0"),
    ]


ERRORS = [
    ErrorCase(f, name, arguments, error, text)
    for f, name in _FAMILY
    for arguments, error, text in _bad(int(name[-2]))
]

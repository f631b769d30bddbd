# SPDX-License-Identifier: BSD-3-Clause
"""Images in another resolution.

    y[o] = sum_t w_t(o) x[i_t(o)]     along every spatial dimension

with the neighbours i_t and weights w_t of the mode, for positions (o + 1/2) / scale - 1/2, or
o (n - 1) / (m - 1) where the corners are aligned.

Shapes:   x (n, c, l), (n, c, h, w) or (n, c, d, h, w) -> y with the given sizes.
Backward: every gradient, times its weight, to where the elements came from, in order.
Source:   Keys, "Cubic convolution interpolation for digital image processing", 1981; Duchon,
          "Lanczos filtering in one and two dimensions", 1979.
"""

from __future__ import annotations

import math
from typing import Any, Final

from fastnn import _dtypes
from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops import _resampling as resampling
from fastnn.ops._elementwise import number
from fastnn.ops._refusal import refusal
from fastnn.ops.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from fastnn.ops.copy import to
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

# Of every mode: for how many spatial dimensions it is, and of which kind.
_ANY: Final = (1, 2, 3)
MODES: Final[dict[str, tuple[tuple[int, ...], str]]] = {
    "nearest": (_ANY, "nearest"),
    "nearest-exact": (_ANY, "nearest"),
    "area": (_ANY, "area"),
    "linear": ((1,), "linear"),
    "bilinear": ((2,), "linear"),
    "trilinear": ((3,), "linear"),
    "bicubic": ((2,), "cubic"),
    "lanczos": ((2,), "lanczos"),
}


def _check_mode(name: str, mode: Any, align: Any, n: int, antialias: bool) -> str:
    if mode not in MODES:
        known = ", ".join(map(repr, MODES))
        text = f"mode as one of {known}"
        raise refusal(NotImplementedError, name, text, repr(mode), "'nearest' is the default")
    dims, kind = MODES[mode]
    if n not in dims:
        form = {1: "(n, c, l)", 2: "(n, c, h, w)", 3: "(n, c, d, h, w)"}
        text = f"input {' or '.join(form[k] for k in dims)} in mode {mode!r}"
        raise refusal(
            NotImplementedError, name, text, f"{n + 2} dimensions", "unsqueeze() adds one"
        )
    if align is not None and kind in ("nearest", "area"):
        text = f"align_corners=None in mode {mode!r}"
        raise refusal(ValueError, name, text, align, "leave it out, or interpolate linearly")
    if antialias and (n != 2 or kind not in ("linear", "cubic", "lanczos")):
        text = "antialias in mode 'bilinear', 'bicubic' or 'lanczos', of (n, c, h, w)"
        raise refusal(ValueError, name, text, repr(mode), "leave antialias out")
    if kind == "lanczos" and (align or not antialias):
        text = "antialias=True without align_corners in mode 'lanczos'"
        raise refusal(
            ValueError, name, text, f"antialias={antialias}, align_corners={align}", "pass it"
        )
    return kind


def _per_dim(name: str, what: str, value: Any, n: int) -> list[Any]:
    given = list(value) if isinstance(value, tuple | list) else [value] * n
    if len(given) != n:
        text = f"{what} as one number or {n}"
        raise refusal(ValueError, name, text, repr(value), "one stands for all spatial dimensions")
    return given


def _sizes(
    name: str, spatial: Any, size: Any, scale: Any, recompute: Any
) -> tuple[list[int], list[float | None]]:
    """The sizes of the output, and the scales by which positions are computed, if given."""
    n = len(spatial)
    if (size is None) == (scale is None):
        got = "neither" if size is None else "both"
        raise refusal(ValueError, name, "size or scale_factor", got, "pass one of them")
    if size is not None:
        if recompute:
            text = "recompute_scale_factor=None beside size"
            raise refusal(
                ValueError, name, text, recompute, "the scale is that of the sizes anyway"
            )
        given = [_common.integer(name, "size", v) for v in _per_dim(name, "size", size, n)]
        return given, [None] * n
    scales = [number(name, "scale_factor", v) for v in _per_dim(name, "scale_factor", scale, n)]
    if not all(0.0 < s < math.inf for s in scales):
        raise refusal(RuntimeError, name, "scale_factor > 0", scale, "0.5 halves a size")
    made = [int(k * s) for k, s in zip(spatial, scales, strict=True)]
    return made, [None] * n if recompute else list(scales)


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Images in another resolution, as torch.nn.functional.interpolate.

    input (n, c, l), (n, c, h, w) or (n, c, d, h, w) -> the same with ``size`` (an int, or one for
    each spatial dimension), or with floor(scale_factor times its sizes).
    mode: 'nearest', 'nearest-exact' (rounds as image libraries do), 'area' (means of what an output
    covers), 'linear', 'bilinear', 'bicubic', 'trilinear' by the number of dimensions.
    align_corners: whether the outermost elements stand at the same places.
    recompute_scale_factor: whether positions are computed from the sizes instead of scale_factor.
    antialias: filters what is made smaller; of 'bilinear', 'bicubic' and 'lanczos'.

    Raises ValueError and NotImplementedError for options that do not go together, RuntimeError for
    sizes that are not positive and integers (but in the nearest modes).
    """
    return interpolated(
        "interpolate", input, size, scale_factor, mode, align_corners, recompute_scale_factor,
        antialias,
    )  # fmt: skip


def interpolated(
    name: str, input: Any, size: Any, scale: Any, mode: Any, align: Any = None,
    recompute: Any = None, antialias: Any = False,
) -> Tensor:  # fmt: skip
    """`interpolate` under the name that messages begin with."""
    _common.require_tensor(name, "input", input)
    n = input.ndim - 2
    if n not in _ANY:
        text = "input (n, c, l), (n, c, h, w) or (n, c, d, h, w)"
        raise refusal(NotImplementedError, name, text, input.shape, "unsqueeze(0) adds a batch")
    kind = _check_mode(name, mode, align, n, antialias)
    if kind != "nearest":
        _common.require_float(name, "input", input)
    spatial = tuple(input.shape[2:])
    sizes, scales = _sizes(
        name, spatial, size, scale, recompute or (kind == "area" and size is None)
    )
    if min(*sizes, *spatial, input.shape[1]) < 1:
        text = "sizes of 1 or more of input and output"
        raise refusal(
            RuntimeError, name, text, f"{input.shape} and {tuple(sizes)}", "use larger ones"
        )
    _common.check_extent(name, (*input.shape[:2], *sizes))
    if kind == "area":
        return _means(input, sizes)
    half = input.dtype.is_floating_point and input.dtype.itemsize < 4
    out = to(input, _dtypes.float32) if half else input
    for d, (k, m, s) in enumerate(zip(spatial, sizes, scales, strict=True), 2):
        axis = resampling.Axis(k, m, s, bool(align), input)
        if antialias:
            out = resampling.smoothed(out, d, axis, kind)
        elif kind == "nearest":
            out = resampling.nearest(out, d, axis, mode == "nearest-exact")
        else:
            out = (resampling.linear if kind == "linear" else resampling.cubic)(out, d, axis)
    return to(out, input.dtype)


def _means(x: Tensor, sizes: list[int]) -> Tensor:
    pools = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)
    return pools[len(sizes) - 1](x, sizes)


def _matrix(xp: Any, n: int, m: int, mode: str, scale: Any, align: bool) -> Any:
    """The weights (m, n) of one dimension, from the definition."""
    w = xp.zeros((m, n))
    for o in range(m):
        step = (n - 1) / max(m - 1, 1) if align else 1 / scale if scale else n / m
        at = o * step if align else (o + 0.5) * step - 0.5
        if mode == "area":
            cover = slice(o * n // m, -(-(o + 1) * n // m))
            w[o, cover] = 1 / (cover.stop - cover.start)
        elif mode[:7] == "nearest":
            w[o, min(int((o + 0.5 * (mode != "nearest")) * step), n - 1)] = 1
        elif mode == "bicubic":
            first = math.floor(at)
            for k in range(-1, 3):
                t = abs(at - first - k)
                near = 1.25 * t**3 - 2.25 * t**2 + 1
                far = -0.75 * (t**3 - 5 * t**2 + 8 * t - 4)
                w[o, min(max(first + k, 0), n - 1)] += near if t <= 1 else far
        else:
            at = min(max(at, 0.0), n - 1)
            for i in range(n):
                w[o, i] = max(1 - abs(at - i), 0)
    return w


def _plain(
    x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: Any = None, recompute_scale_factor: Any = None,
) -> Any:  # fmt: skip
    xp, n = array_module(x), x.ndim - 2
    scales = scale_factor if isinstance(scale_factor, list) else [scale_factor] * n
    sizes = size if isinstance(size, list) else [size] * n
    for d, (m, s) in enumerate(zip(sizes, scales, strict=True), 2):
        k = x.shape[d]
        known = None if recompute_scale_factor or mode == "area" else s
        w = _matrix(xp, k, int(k * s) if s else m, mode, known, bool(align_corners))
        x = xp.moveaxis(xp.tensordot(w, x, (1, d)), 0, d)
    return x


_MODES: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (
    ((2, 1, 5), {"scale_factor": 1.7}),
    ((1, 2, 3, 4), {"size": [5, 2], "mode": "nearest-exact"}),
    ((1, 1, 2, 3, 2), {"scale_factor": [2.0, 1.0, 0.5]}),
    ((0, 2, 3, 4), {"size": 5}),
    ((2, 1, 5), {"size": 3, "mode": "area"}),
    ((1, 2, 3, 4), {"scale_factor": 1.5, "mode": "area"}),
    ((1, 2, 4, 3, 5), {"size": [3, 2, 4], "mode": "area"}),
    ((2, 2, 5), {"scale_factor": 1.7, "mode": "linear"}),
    ((1, 2, 5), {"size": 1, "mode": "linear", "align_corners": True}),
    ((1, 2, 3, 4), {"scale_factor": 2, "mode": "bilinear"}),
    ((1, 2, 3, 4), {"size": [7, 4], "mode": "bilinear", "align_corners": True}),
    ((1, 1, 4, 5), {"scale_factor": [0.6, 1.3], "mode": "bicubic"}),
    ((1, 1, 1, 4), {"size": [2, 9], "mode": "bicubic", "align_corners": True}),
    ((1, 1, 3, 2, 4), {"size": [2, 5, 6], "mode": "trilinear"}),
    (
        (1, 1, 5, 4),
        {"scale_factor": 1.3, "mode": "bilinear", "recompute_scale_factor": True},
    ),
)
CASES = [
    *(OpCase(interpolate, "interpolate", [s], options, _plain) for s, options in _MODES),
    *(
        OpCase(
            interpolate,
            "interpolate",
            [(16, 64, 56, 56)],
            {"scale_factor": 2, "mode": m},
            bench=True,
        )
        for m in ("nearest", "bilinear")
    ),
]
_X = (1, 2, 4, 4)
_BAD: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (_X, {}, ValueError, "size or scale_factor, got neither"),
    (_X, {"size": 3, "scale_factor": 2}, ValueError, "size or scale_factor, got both"),
    (_X, {"size": [3, 3, 3]}, ValueError, "size as one number or 2"),
    (_X, {"size": 0}, RuntimeError, "sizes of 1 or more"),
    (_X, {"scale_factor": 0.1}, RuntimeError, "sizes of 1 or more"),
    (_X, {"scale_factor": -1.0}, RuntimeError, "scale_factor > 0"),
    (_X, {"scale_factor": 2**62}, RuntimeError, "fewer than 2^60"),
    (_X, {"size": 3, "mode": "linear"}, NotImplementedError, "input (n, c, l) in mode 'linear'"),
    (_X, {"size": 3, "mode": "cubic"}, NotImplementedError, "mode as one of"),
    (_X, {"size": 3, "align_corners": True}, ValueError, "align_corners=None in mode 'nearest'"),
    (_X, {"size": 3, "antialias": True}, ValueError, "antialias in mode 'bilinear'"),
    (_X, {"size": 3, "mode": "lanczos"}, ValueError, "antialias=True without"),
    (_X, {"size": 3, "recompute_scale_factor": True}, ValueError, "recompute_scale_factor=None"),
    (_X, {"size": 2.5}, TypeError, "expected size as an int"),
    ((4, 4), {"size": 3}, NotImplementedError, "expected input (n, c, l)"),
    (("int", _X, 0, 9), {"size": 3, "mode": "bilinear"}, RuntimeError, "floating-point type"),
    ([1.0], {"size": 3}, TypeError, "expected input as a Tensor"),
]
ERRORS = [ErrorCase(interpolate, "interpolate", [x], e, t, o) for x, o, e, t in _BAD]

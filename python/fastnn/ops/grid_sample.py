# SPDX-License-Identifier: BSD-3-Clause
"""Images read at given places, and places that an affine map gives.

    grid_sample:  y[n, c, o] = sum_k w_k(p) x[n, c, i_k(p)],   p the place grid[n, o]
    affine_grid:  grid[n, o] = theta[n] (o, 1)

with the neighbours i_k and weights w_k of the mode. Places are -1 to 1 from one end of the image to
the other, x before y (before z); what lies outside is zero, or the border, or mirrored.

Shapes:   grid_sample  x (n, c, h, w), grid (n, oh, ow, 2) -> (n, c, oh, ow);  x (n, c, d, h, w),
          grid (n, od, oh, ow, 3) -> (n, c, od, oh, ow);  affine_grid  theta (n, 2, 3) or (n, 3, 4).
Backward: to the image through the elements, to the grid through the weights.
Source:   Jaderberg, Simonyan, Zisserman and Kavukcuoglu, "Spatial transformer networks", 2015.
"""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any, Final

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._places import element, finite, number_of, padded
from fastnn.ops._refusal import refusal
from fastnn.ops._resampling import cubic_weights
from fastnn.ops.creation import arange, full, zeros
from fastnn.ops.gather import gather_elements
from fastnn.ops.join import cat, stack
from fastnn.ops.matmul import matmul
from fastnn.ops.rounding import floor, round
from fastnn.ops.view import expand, reshape, transpose
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

MODES: Final = ("bilinear", "nearest", "bicubic")
PADDING: Final = ("zeros", "border", "reflection")
# A whole place of one dimension, and its weight (None: 1).
Tap = tuple[Tensor, Tensor | None]


def _check(input: Any, grid: Any, mode: str, padding: str) -> None:
    name = "grid_sample"
    _common.require_tensor(name, "input", input)
    _common.require_tensor(name, "grid", grid)
    for what, value, known in (("mode", mode, MODES), ("padding_mode", padding, PADDING)):
        if value not in known:
            text = f"{what} as one of {', '.join(map(repr, known))}"
            raise refusal(ValueError, name, text, repr(value), f"{known[0]!r} is the default")
    _common.require_float(name, "input", input)
    if grid.array.dtype != input.array.dtype:
        text = f"grid in the type of input, {input.dtype}"
        raise refusal(RuntimeError, name, text, grid.dtype, f"convert it with .to({input.dtype})")
    _common.table_of(input, grid, op=name)
    x, g = input.shape, grid.shape
    n = len(x) - 2
    if n not in (2, 3) or len(g) != len(x) or g[0] != x[0] or g[-1] != n or 0 in x[1:]:
        text = (
            "input (n, c, h, w) and grid (n, oh, ow, 2), or (n, c, d, h, w) and (n, od, oh, ow, 3)"
        )
        cure = "the last of grid are x, y and z; no size of an image may be 0"
        raise refusal(RuntimeError, name, text, f"{x} and {g}", cure)
    if mode == "bicubic" and n != 2:
        cure = "use 'bilinear', which is of three directions there"
        raise refusal(RuntimeError, name, "(n, c, h, w) in mode 'bicubic'", x, cure)


def _aligned(name: str, align_corners: Any) -> bool:
    if align_corners is None:
        # As torch, which once had the other default.
        warnings.warn(
            f"{name}: align_corners is not given; False is taken, pass it to see no warning",
            stacklevel=3,
        )
    return bool(align_corners)


def _taps(at: Tensor, size: int, mode: str, padding: str, align: bool) -> list[Tap]:
    """Of one dimension: which elements are read, with which weights."""
    if mode == "bicubic":
        at = finite(at)
        first = floor(at.detach())
        weights = cubic_weights(at - first)
        places = [padded(first + k, size, padding, align) for k in range(-1, 3)]
        return list(zip(places, weights, strict=True))
    at = finite(padded(at, size, padding, align))
    if mode == "nearest":
        return [(round(at.detach()), None)]
    first = floor(at.detach())
    part = at - first
    return [(first, 1.0 - part), (first + 1.0, part)]


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Images read at the places of a grid, as torch.nn.functional.grid_sample.

    input (n, c, h, w), grid (n, oh, ow, 2) of x and y -> (n, c, oh, ow); input (n, c, d, h, w),
    grid (n, od, oh, ow, 3) of x, y and z -> (n, c, od, oh, ow). -1 and 1 are the centres of the
    outermost elements with align_corners, else their outer edges; NaN counts as outside.
    mode: 'bilinear' (in three directions too), 'nearest', 'bicubic'. padding_mode: 'zeros',
    'border', 'reflection'.

    Raises ValueError for other modes, RuntimeError for types and shapes that do not go together,
    TypeError for no tensors. Warns where align_corners is not given.
    """
    _check(input, grid, mode, padding_mode)
    align = _aligned("grid_sample", align_corners)
    spatial = tuple(input.shape[2:])
    n, c = input.shape[:2]
    k, m, out = len(spatial), math.prod(spatial), tuple(grid.shape[1:-1])
    places = reshape(grid, n, math.prod(out), k)
    at = [element(places[..., k - 1 - d], size, align) for d, size in enumerate(spatial)]
    # What is outside is read from one more element, a zero.
    nothing = zeros(n, c, 1, dtype=input.dtype, device=input.device)
    source = cat([reshape(input, n, c, m), nothing], 2)
    taps = [_taps(a, s, mode, padding_mode, align) for a, s in zip(at, spatial, strict=True)]
    total: Any = None
    for corner in itertools.product(*taps):
        index = number_of([place for place, _ in corner], spatial, m)
        part = gather_elements(source, 2, expand(index.unsqueeze(1), n, c, index.shape[1]))
        factor: Any = None
        for _, w in corner:
            factor = w if factor is None else factor * w
        if factor is not None:
            part = part * factor.unsqueeze(1)
        total = part if total is None else total + part
    if mode == "nearest" and grid.requires_grad:
        total = total + (finite(at[0]) * 0.0).unsqueeze(1)  # flat in the places: gradient 0
    return reshape(total, n, c, *out)


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The places that affine maps give, as torch.nn.functional.affine_grid: for `grid_sample`.

    theta (n, 2, 3) and size (n, c, h, w) -> (n, h, w, 2); theta (n, 3, 4) and size
    (n, c, d, h, w) -> (n, d, h, w, 3). align_corners: as there.

    Raises ValueError and NotImplementedError for shapes that do not go together and integers,
    TypeError for no tensor. Warns where align_corners is not given.
    """
    name = "affine_grid"
    _common.require_tensor(name, "theta", theta)
    align = _aligned(name, align_corners)
    sizes = (tuple(size),) if hasattr(size, "__iter__") else (size,)
    given = _common.shape_argument(name, sizes)
    k = len(given) - 2
    if theta.array.dtype.kind in "biu":
        text = "theta of a floating-point type"
        raise refusal(ValueError, name, text, theta.dtype, "convert with .float()")
    if k not in (2, 3):
        text = "size (n, c, h, w) or (n, c, d, h, w)"
        raise refusal(NotImplementedError, name, text, given, "it is that of the output")
    if theta.shape != (given[0], k, k + 1):
        text = f"theta {(given[0], k, k + 1)} for size {given}"
        raise refusal(ValueError, name, text, theta.shape, "one matrix for every image")
    if min(given) < 1:
        raise refusal(ValueError, name, "sizes >= 1", given, "an empty grid has no places")
    spatial = given[2:]
    _common.check_extent(name, (*given, k))
    lines = []
    for d, m in enumerate(spatial):
        steps = arange(m, device=theta.device).to(theta.dtype) * 2.0
        last = max(m - 1, 1) if align else m
        line = (steps - float(m - 1)) / last
        lines.append(expand(line.reshape(-1, *(1,) * (k - 1 - d)), *spatial))
    ones = full(spatial, 1.0, dtype=theta.dtype, device=theta.device)
    base = reshape(stack([*lines[::-1], ones], -1), math.prod(spatial), k + 1)
    return reshape(matmul(base, transpose(theta, 1, 2)), given[0], *spatial, k)


def _weights_at(at: float, size: int, mode: str, padding: str, align: bool) -> list[Any]:
    """(element, weight) of one dimension, from the definition."""

    def placed(z: float) -> float:
        if padding == "reflection":
            low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
            while not low <= z <= high:
                z = 2 * low - z if z < low else 2 * high - z
        return z if padding == "zeros" else min(max(z, 0.0), size - 1.0)

    if mode == "bicubic":
        first = math.floor(at)
        found: list[Any] = []
        for k in range(-1, 3):
            t = abs(at - first - k)
            near, far = 1.25 * t**3 - 2.25 * t**2 + 1, -0.75 * (t**3 - 5 * t**2 + 8 * t - 4)
            found.append((int(placed(first + k)), near if t <= 1 else far))
        return found
    at = placed(at)
    if mode == "nearest":
        return [(math.floor(at + 0.5), 1.0)]
    first = math.floor(at)
    return [(first, 1 - (at - first)), (first + 1, at - first)]


def _plain(x: Any, grid: Any, mode: str, padding_mode: str, align_corners: bool) -> Any:
    xp, spatial = array_module(x), x.shape[2:]
    out = xp.zeros((*x.shape[:2], *grid.shape[1:-1]), x.dtype)
    for place in itertools.product(*map(range, (len(x), *out.shape[2:]))):
        taps = []
        for size, p in zip(spatial, grid[place][::-1].tolist(), strict=True):
            at = (p + 1) / 2 * (size - 1) if align_corners else ((p + 1) * size - 1) / 2
            taps.append(_weights_at(at, size, mode, padding_mode, align_corners))
        for corner in itertools.product(*taps):
            at = tuple(i for i, _ in corner)
            if all(0 <= i < s for i, s in zip(at, spatial, strict=True)):
                w = math.prod(w for _, w in corner)
                out[(place[0], slice(None), *place[1:])] += x[(place[0], slice(None), *at)] * w
    return out


def _plain_affine(theta: Any, size: Any, align_corners: bool) -> Any:
    xp, k = array_module(theta), len(size) - 2
    ends = [1.0 if align_corners else 1 - 1 / m for m in size[2:]]
    lines = [xp.linspace(-e, e, m) if m > 1 else xp.zeros(1) for e, m in zip(ends, size[2:])]  # noqa: B905
    wide = xp.meshgrid(*lines, indexing="ij")
    base = xp.stack([*wide[::-1], wide[0] * 0 + 1], -1)
    flat = base.reshape(-1, k + 1) @ theta.swapaxes(1, 2)
    return flat.reshape(len(theta), *size[2:], k)


CASES = [
    *(
        OpCase(grid_sample, "grid_sample", [x, g, mode, padding, align], ref=_plain)
        for x, g, mode, padding, align in (
            ((2, 2, 3, 4), (2, 3, 2, 2), "bilinear", "zeros", False),
            ((1, 2, 3, 4), (1, 3, 2, 2), "bilinear", "border", True),
            ((1, 1, 3, 4), (1, 3, 2, 2), "bilinear", "reflection", False),
            ((1, 1, 4, 3), (1, 1, 2, 2), "bicubic", "border", True),
            ((1, 1, 2, 3, 2), (1, 1, 2, 1, 3), "bilinear", "reflection", True),
            ((0, 2, 3, 4), (0, 3, 2, 2), "bilinear", "zeros", False),
        )
    ),
    *(
        OpCase(grid_sample, "grid_sample", [x, g, "nearest", padding, align], ref=_plain)
        for x, g, padding, align in (
            ((1, 2, 3, 4), (1, 3, 2, 2), "zeros", True),
            ((1, 1, 2, 3, 2), (1, 2, 1, 2, 3), "reflection", False),
        )
    ),
    OpCase(affine_grid, "affine_grid", [(2, 2, 3), [2, 1, 3, 4], False], ref=_plain_affine),
    OpCase(affine_grid, "affine_grid", [(1, 3, 4), [1, 1, 2, 2, 3], True], ref=_plain_affine),
]
_X, _G = (1, 2, 3, 4), (1, 3, 2, 2)
_BAD: list[tuple[Any, list[Any], type[Exception], str]] = [
    (
        grid_sample,
        [_X, (2, 3, 2, 2), "bilinear", "zeros", True],
        RuntimeError,
        "expected input (n, c",
    ),
    (
        grid_sample,
        [_X, (1, 3, 2, 3), "bilinear", "zeros", True],
        RuntimeError,
        "expected input (n, c",
    ),
    (
        grid_sample,
        [(1, 2, 0, 4), _G, "bilinear", "zeros", True],
        RuntimeError,
        "expected input (n,",
    ),
    (grid_sample, [_X, _G, "cubic"], ValueError, "expected mode as one of"),
    (grid_sample, [_X, _G, "bilinear", "mirror"], ValueError, "expected padding_mode as one of"),
    (grid_sample, [_X, ("int", _G, 0, 2)], RuntimeError, "grid in the type of input"),
    (grid_sample, [_X, None], TypeError, "expected grid as a Tensor"),
    (
        grid_sample,
        [(1, 1, 2, 2, 2), (1, 1, 1, 1, 3), "bicubic", "zeros", True],
        RuntimeError,
        "in mode 'bicubic'",
    ),
    (affine_grid, [(2, 2, 3), [1, 1, 3, 4], True], ValueError, "expected theta (1, 2, 3)"),
    (affine_grid, [(2, 2, 3), [2, 1, 3], True], NotImplementedError, "expected size (n, c, h, w)"),
    (affine_grid, [(2, 2, 3), [2, 1, 0, 4], True], ValueError, "expected sizes >= 1"),
    (affine_grid, [("int", (2, 2, 3), 0, 2), [2, 1, 3, 4], True], ValueError, "floating-point"),
]
ERRORS = [ErrorCase(f, f.__name__, a, error, text) for f, a, error, text in _BAD]

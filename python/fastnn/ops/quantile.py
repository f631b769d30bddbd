# SPDX-License-Identifier: BSD-3-Clause
"""Quantiles: the element at a fraction of the way through the order, or between two of them.

    y = x_(floor p) + (p - floor p) (x_(ceil p) - x_(floor p)),  p = q (n - 1), x in order

Shapes:   x (..., n, ...), q () or (m) -> the kept dimensions, those of q in front.
Backward: each of the two elements gets its part; q gets the distance times n - 1.
Source:   Hyndman, Fan, "Sample quantiles in statistical packages", 1996 (definition 7).
"""

from __future__ import annotations

from typing import Any

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._numpy_names import numpy_names
from fastnn.ops.creation import as_tensor
from fastnn.ops.finite import isnan
from fastnn.ops.gather import Gather
from fastnn.ops.pieces import movedim
from fastnn.ops.reduce import sum
from fastnn.ops.rounding import ceil, floor, round
from fastnn.ops.sorting import order_of
from fastnn.ops.where import where
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

_WHOLE: dict[str, Any] = {"lower": floor, "higher": ceil, "nearest": round}
_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _fractions(name: str, input: Tensor, q: Any, method: Any) -> Tensor:
    """q as a tensor; raises for arguments that are not right."""
    _common.require_tensor(name, "input", input)
    _common.require_float(name, "input", input)
    if method not in _METHODS:
        message = (
            f"{name}: expected interpolation as one of {', '.join(_METHODS)}, got {method!r}; "
            "linear is the usual one"
        )
        raise RuntimeError(message)
    if isinstance(q, int | float):
        q = as_tensor(float(q), dtype=input.dtype)
    _common.require_tensor(name, "q", q)
    if q.array.dtype != input.array.dtype or q.ndim > 1:
        message = (
            f"{name}: expected q as a number or a vector of {input.dtype}, got {q.dtype} "
            f"{q.shape}; convert it with .to({input.dtype}) and flatten() it"
        )
        raise RuntimeError(message)
    if not bool(((q.detach() >= 0) & (q.detach() <= 1)).all()):
        message = f"{name}: expected q in [0, 1], got {_common.shown(q.tolist())}; divide by 100"
        raise RuntimeError(message)
    if input.numel() == 0:
        message = f"{name}: expected at least one element, got {input.shape}; add some"
        raise RuntimeError(message)
    return q  # type: ignore[no-any-return]


def _quantile(name: str, input: Tensor, q: Any, dim: Any, keepdim: bool, method: Any) -> Tensor:
    q = _fractions(name, input, q, method)
    kept = [1] * input.ndim
    if dim is None or input.ndim == 0:
        if dim is not None:
            _common.one_dim(name, dim, 0)
        x, d = input.reshape(-1), 0
    else:
        d = _common.one_dim(name, dim, input.ndim)
        kept = [1 if i == d else n for i, n in enumerate(input.shape)]
        x = movedim(input, d, -1)
    lead, row = x.ndim - 1, x.detach()
    x = Gather.apply((x, order_of(row, lead)), lead)
    bad = isnan(row)
    last: Any = x.shape[-1] - 1
    fractions = q.reshape(-1)
    if name == "nanquantile":
        last = sum(~bad, -1, keepdim=True) - 1
        places = fractions * where(last < 0, 0, last)
    else:
        places = where(bad.any(-1, keepdim=True), float(last), fractions * last)
    places = _WHOLE.get(method, lambda p: p)(places).expand(*x.shape[:-1], q.numel())
    low = floor(places.detach())
    out = Gather.apply((x, low.long()), lead)
    if method in ("linear", "midpoint"):
        above = Gather.apply((x, ceil(places.detach()).long()), lead)
        out = out + (above - out) * (places - low if method == "linear" else 0.5)
    out = movedim(out, -1, 0)
    if keepdim:
        out = out.reshape(q.numel(), *kept)
    return out if q.ndim else out[0]


@numpy_names
def quantile_tensor(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The q-quantiles along ``dim``, or of all elements, as torch.quantile.

    q: a number in [0, 1] or a vector of such, which adds a dimension in front. interpolation: what
    is between two elements: linear, lower, higher, midpoint or nearest. NaN of what holds a NaN.
    Raises RuntimeError for integers, no elements and a q outside of [0, 1], IndexError for a dim.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation)


@numpy_names
def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """`quantile` of the elements that are not NaN, as torch.nanquantile. Raises as that does."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation)


_common.named(quantile=quantile_tensor)


def _plain(
    x: Any, q: Any, d: Any = None, keepdim: bool = False, interpolation: str = "linear"
) -> Any:
    return array_module(x).quantile(x, q, d, keepdims=keepdim, method=interpolation)


CASES = [
    OpCase(f, f.__name__, [s, q, *a], k, _plain)
    for f in (quantile_tensor, nanquantile)
    for s, q, a, k in (
        ((5,), 0.3, [], {}),
        ((2, 6, 3), 0.55, [1], {"keepdim": True}),
        ((4, 3), 0.4, [0], {"interpolation": "higher"}),
        ((4, 3), 0.4, [], {"interpolation": "midpoint"}),
        ((4, 3), 0.4, [1], {"interpolation": "nearest"}),
    )
]
CASES.append(OpCase(quantile_tensor, "quantile", [(4, 3), (2,), 0], ref=_plain, low=0.1, high=0.6))
ERRORS = [
    case
    for f in (quantile_tensor, nanquantile)
    for case in (
        ErrorCase(f, f.__name__, [("int", (3,), 0, 9), 0.5], RuntimeError, "floating-point type"),
        ErrorCase(f, f.__name__, [(3,), 1.5], RuntimeError, "expected q in [0, 1], got 1.5"),
        ErrorCase(f, f.__name__, [(0,), 0.5], RuntimeError, "at least one element"),
        ErrorCase(f, f.__name__, [(3,), 0.5, 1], IndexError, "expected dim in"),
        ErrorCase(
            f, f.__name__, [(3,), 0.5], RuntimeError, "one of linear", {"interpolation": "cubic"}
        ),
    )
]

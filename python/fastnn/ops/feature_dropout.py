# SPDX-License-Identifier: BSD-3-Clause
"""Dropout of whole channels, and dropout that keeps the mean and variance of SELU's outputs.

    dropout1d, 2d, 3d:      y = x m / (1 - p),   m = 0 or 1 for every channel of every image
    alpha_dropout:          y = a (x m - A (1 - m)) + a A p,   a = ((1 - p) (1 + p A^2))^(-1/2)
    feature_alpha_dropout:  the same with one m for every channel of every image

where m is 0 with probability p and -A = -1.7581 is the limit of SELU at minus infinity.

Shapes:   x (n, c, ...) -> the same.
Source:   Tompson et al., "Efficient Object Localization", CVPR 2015; Klambauer et al.,
          "Self-Normalizing Neural Networks", NeurIPS 2017.
"""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, Any, Final

from fastnn._backend import array_module
from fastnn.ops import _common
from fastnn.ops._in_place import in_place
from fastnn.ops.compare import gt_tensors
from fastnn.ops.copy import to
from fastnn.ops.creation import ones
from fastnn.ops.dropout import check_probability, dropout
from fastnn.ops.random_fill import words
from fastnn.tensor import Tensor
from fastnn.testing import ErrorCase, OpCase

if TYPE_CHECKING:
    from fastnn.random import Generator

_LIMIT: Final = 1.7580993408473766  # SELU's scale 1.0507... times its alpha 1.6732...


def _check(op: str, input: Any, p: float) -> None:
    _common.require_tensor(op, "input", input)
    _common.require_float(op, "input", input)
    check_probability(op, p)


def _mask(input: Tensor, p: float, channels: bool, generator: Generator | None) -> Tensor:
    """1 / (1 - p) or 0 for every element, or every channel of every image."""
    shape = input.shape
    if channels:
        shape = (*shape[:2], *(1 for _ in shape[2:]))
    whole = ones(shape, dtype=input.dtype, device=input.device)
    mask: Tensor = dropout(whole, p, generator=generator)
    return mask


def _scaled(input: Tensor, p: float, generator: Generator | None) -> Tensor:
    return input * _mask(input, p, True, generator)


def _alpha(input: Tensor, p: float, channels: bool, generator: Generator | None) -> Tensor:
    if p == 1.0:
        return input * 0.0
    kept = to(gt_tensors(_mask(input, p, channels, generator), 0.0), input.dtype)
    a = ((1.0 - p) * (1.0 + p * _LIMIT * _LIMIT)) ** -0.5
    out: Tensor = input * (kept * a) + (kept - (1.0 - p)) * (a * _LIMIT)
    return out


def _run(function: Any, input: Tensor, p: float, inplace: bool, *options: Any) -> Tensor:
    out: Tensor = (in_place(function) if inplace else function)(input, p, *options)
    return out


def _channels(
    op: str,
    ndim: int,
    input: Tensor,
    p: float,
    training: bool,
    inplace: bool,
    generator: Generator | None,
) -> Tensor:
    _check(op, input, p)
    if input.ndim not in (ndim - 1, ndim):
        _other_dimensions(op, ndim, input)
    if not training or p == 0.0:
        return input
    if input.ndim == ndim:
        return _run(_scaled, input, p, inplace, generator)
    if op == "dropout2d":
        # torch reads the first two dimensions as (n, c) here, and so do models made with it.
        if input.ndim == 3:
            warnings.warn(
                "dropout2d: three dimensions are read as (n, c, l); use dropout1d for these, or "
                "unsqueeze(0) for one image",
                stacklevel=3,
            )
        return _run(_scaled, input, p, inplace, generator)
    return _run(_scaled, input.unsqueeze(0), p, inplace, generator).squeeze(0)


def _other_dimensions(op: str, ndim: int, input: Tensor) -> None:
    """Warns, as torch does, of what was meant for `dropout`; raises where it has no meaning."""
    if op == "dropout1d" or input.ndim < (2 if op == "dropout2d" else 1):
        message = (
            f"{op}: expected an input of {ndim} dimensions (n, c, ...), or {ndim - 1} without "
            f"batch, got {input.shape}; unsqueeze(0) adds a dimension"
        )
        raise RuntimeError(message)
    warnings.warn(
        f"{op}: expected an input of {ndim} or {ndim - 1} dimensions, got {input.ndim}; use "
        "dropout, which drops single numbers, unless whole rows are meant",
        stacklevel=4,
    )


def dropout1d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Zeroes channels of (n, c, l) or (c, l) while training, as torch.nn.functional.dropout1d.

    Raises ValueError unless 0 <= p <= 1, RuntimeError for another number of dimensions.
    """
    return _channels("dropout1d", 3, input, p, training, inplace, generator)


def dropout2d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Zeroes channels of (n, c, h, w) while training, as torch.nn.functional.dropout2d.

    Other numbers of dimensions are read as (n, c, ...), with a warning: rows (n, c) as `dropout`.
    Raises ValueError unless 0 <= p <= 1, RuntimeError below two dimensions.
    """
    return _channels("dropout2d", 4, input, p, training, inplace, generator)


def dropout3d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Zeroes channels of (n, c, d, h, w) or (c, d, h, w), as torch.nn.functional.dropout3d.

    Other numbers of dimensions are read as (c, ...), with a warning.
    Raises ValueError unless 0 <= p <= 1, RuntimeError without any dimension.
    """
    return _channels("dropout3d", 5, input, p, training, inplace, generator)


def alpha_dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Dropout for SELU networks: dropped elements take SELU's lower limit, mean 0 and variance 1
    are kept; as torch.nn.functional.alpha_dropout. Raises ValueError unless 0 <= p <= 1."""
    _check("alpha_dropout", input, p)
    if not training or p == 0.0:
        return input
    return _run(_alpha, input, p, inplace, False, generator)


def feature_alpha_dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """`alpha_dropout` of whole channels of (n, c, ...), as torch.nn.functional's.

    Raises ValueError unless 0 <= p <= 1, RuntimeError for fewer dimensions while training.
    """
    _check("feature_alpha_dropout", input, p)
    if not training or p == 0.0:
        return input
    if input.ndim < 2:
        message = (
            f"feature_alpha_dropout: expected input (n, c, ...), got {input.shape}; unsqueeze(0) "
            "adds a batch"
        )
        raise RuntimeError(message)
    return _run(_alpha, input, p, inplace, True, generator)


def _kept(x: Any, p: float, channels: bool) -> Any:
    xp = array_module(x)
    shape = (*x.shape[:2], *(1 for _ in x.shape[2:])) if channels else x.shape
    count = functools.reduce(int.__mul__, shape, 1)
    return words(xp, count, xp.asarray([1234, 0])).reshape(shape) >= int(p * 2**32)


def _plain(x: Any, p: float) -> Any:
    return x * _kept(x, p, True) / (1 - p)


def _plain_alpha(x: Any, p: float, training: bool, channels: bool = False) -> Any:
    del training
    a = ((1 - p) * (1 + p * _LIMIT**2)) ** -0.5
    m = _kept(x, p, channels)
    return a * (x * m - _LIMIT * (1 - m)) + a * _LIMIT * p


CASES = [
    OpCase(dropout1d, "dropout1d", [(3, 5, 4), 0.5], ref=_plain, seeded=True),
    OpCase(dropout2d, "dropout2d", [(3, 5, 2, 3), 0.3], ref=_plain, seeded=True),
    OpCase(dropout3d, "dropout3d", [(2, 5, 2, 3, 2), 0.5], ref=_plain, seeded=True),
    OpCase(alpha_dropout, "alpha_dropout", [(7, 9), 0.4, True], ref=_plain_alpha, seeded=True),
    OpCase(
        feature_alpha_dropout,
        "feature_alpha_dropout",
        [(7, 3, 4), 0.4, True],
        ref=functools.partial(_plain_alpha, channels=True),
        seeded=True,
    ),
]
ERRORS = [
    case
    for f, name, shape in (
        (dropout1d, "dropout1d", (2, 3, 4)),
        (dropout2d, "dropout2d", (2, 3, 4, 4)),
        (dropout3d, "dropout3d", (2, 3, 4, 4, 4)),
        (alpha_dropout, "alpha_dropout", (2, 3)),
        (feature_alpha_dropout, "feature_alpha_dropout", (2, 3)),
    )
    for case in (
        ErrorCase(f, name, [shape, 1.5], ValueError, "expected a probability 0 <= p <= 1"),
        ErrorCase(f, name, [[1.0]], TypeError, "expected input as a Tensor"),
        ErrorCase(f, name, [("int", shape, 0, 9)], RuntimeError, "floating-point type"),
    )
]
ERRORS += [
    ErrorCase(dropout1d, "dropout1d", [(3,)], RuntimeError, "expected an input of 3 dimensions"),
    ErrorCase(dropout2d, "dropout2d", [(3,)], RuntimeError, "expected an input of 4 dimensions"),
    ErrorCase(dropout3d, "dropout3d", [()], RuntimeError, "expected an input of 5 dimensions"),
    ErrorCase(
        feature_alpha_dropout,
        "feature_alpha_dropout",
        [(2,), 0.5, True],
        RuntimeError,
        "expected input (n, c",
    ),
]

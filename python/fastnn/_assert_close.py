# SPDX-License-Identifier: BSD-3-Clause
"""``testing.assert_close``: whether results are those that were expected, as in torch."""

from __future__ import annotations

import cmath
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn import _dtypes, ops
from fastnn.tensor import Tensor

__all__ = ["assert_close"]

# (rtol, atol) of a type; of others, which are exact, 0.
_TOLERANCES = {
    _dtypes.float16: (1e-3, 1e-5),
    _dtypes.bfloat16: (1.6e-2, 1e-5),
    _dtypes.float32: (1.3e-6, 1e-5),
    _dtypes.float64: (1e-7, 1e-7),
}
_OF_NUMBERS = {float: (1e-7, 1e-7), complex: (1e-7, 1e-7)}
_Pair = tuple[Any, Any, str]
_Range = tuple[float, float]


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """AssertionError unless every |actual - expected| <= atol + rtol |expected|.

    actual, expected: tensors, NumPy arrays, numbers, bools or None, or sequences or mappings of
        them, whose entries are compared one by one. Infinities are close to themselves, NaN only
        with ``equal_nan``.
    rtol, atol: both or neither. Left out they go by the type, those of the coarser one counting:
        float16 1e-3 and 1e-5, bfloat16 1.6e-2 and 1e-5, float32 1.3e-6 and 1e-5, float64 and
        numbers with a fraction 1e-7 and 1e-7; others are compared exactly.
    allow_subclasses: whether a Parameter, say, may stand for a Tensor.
    check_device, check_dtype, check_stride: whether these must be the same. Types that need not be
        are promoted. All tensors have one layout: check_layout changes nothing.
    msg: what the error says instead, or a function of what it would say.

    Errors: AssertionError; ValueError for one tolerance without the other, or a negative one;
    TypeError for other kinds of values.
    """
    del check_layout
    if (rtol is None) != (atol is None):
        message = (
            "assert_close: expected both of rtol and atol, which must be either specified or "
            f"omitted, got no {'rtol' if rtol is None else 'atol'}; give it, 0 not to count it"
        )
        raise ValueError(message)
    given = None if rtol is None or atol is None else (float(rtol), float(atol))
    if given is not None and not min(given) >= 0:
        message = f"assert_close: expected rtol and atol >= 0, got {rtol} and {atol}; 0 is exact"
        raise ValueError(message)
    checks = [
        name
        for name, wanted in (
            ("device", check_device), ("dtype", check_dtype), ("stride()", check_stride),
        )
        if wanted
    ]  # fmt: skip
    try:
        for one, other, place in list(_pairs(actual, expected, "", allow_subclasses)):
            problem = _problem(one, other, given, equal_nan, checks)
            if problem:
                raise AssertionError(_placed(problem, place))
    except AssertionError as error:
        if msg is None:
            raise
        raise AssertionError(msg if isinstance(msg, str) else msg(str(error))) from None


def _placed(text: str, place: str) -> str:
    return f"{text}\n\nThe failure occurred for item {place}" if place else text


def _pairs(actual: Any, expected: Any, place: str, subclasses: bool) -> Iterator[_Pair]:
    """What is compared, and where it is in the containers."""
    both = (actual, expected)
    if all(isinstance(v, Sequence) and not isinstance(v, str | bytes) for v in both):
        if len(actual) != len(expected):
            text = f"The length of the sequences mismatch: {len(actual)} != {len(expected)}"
            raise AssertionError(_placed(text, place))
        for i, (one, other) in enumerate(zip(actual, expected, strict=True)):
            yield from _pairs(one, other, f"{place}[{i}]", subclasses)
    elif all(isinstance(v, Mapping) for v in both):
        missing = [key for key in expected if key not in actual]
        more = [key for key in actual if key not in expected]
        if missing or more:
            text = (
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: {missing}\n"
                f"Additional keys in the actual mapping: {more}"
            )
            raise AssertionError(_placed(text, place))
        for key in actual:
            yield from _pairs(actual[key], expected[key], f"{place}[{key!r}]", subclasses)
    elif _comparable(actual, expected, subclasses):
        yield actual, expected, place
    else:
        message = (
            "assert_close: expected two tensors, arrays, numbers, bools or None, or containers of "
            f"them, got {type(actual)} and {type(expected)}{f' at {place}' if place else ''}; "
            "convert one to the type of the other"
        )
        raise TypeError(message)


def _comparable(actual: Any, expected: Any, subclasses: bool) -> bool:
    if actual is None or expected is None:
        return True
    both = (actual, expected)
    truths = [isinstance(v, bool | np.bool_) for v in both]
    if any(truths):
        return all(truths)
    if all(isinstance(v, int | float | complex | np.number) for v in both):
        return True
    if not any(all(isinstance(v, kind) for v in both) for kind in (Tensor, np.ndarray)):
        return False
    related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
    return type(actual) is type(expected) or (subclasses and related)


def _problem(
    actual: Any, expected: Any, given: _Range | None, equal_nan: bool, checks: list[str]
) -> str | None:
    """What is wrong with a pair, or None."""
    if actual is None or expected is None:
        return None if actual is expected else f"None mismatch: {actual} is not {expected}"
    if isinstance(actual, bool | np.bool_):
        same = bool(actual) is bool(expected)
        return None if same else f"Booleans mismatch: {actual} is not {expected}"
    if not isinstance(actual, Tensor | np.ndarray):
        return _numbers(actual, expected, given, equal_nan, "dtype" in checks)
    one, other = (ops.as_tensor(v).detach() for v in (actual, expected))
    if one.shape != other.shape:
        return _attribute("shape", one.shape, other.shape)
    for name in checks:
        values = [t.stride() if name == "stride()" else getattr(t, name) for t in (one, other)]
        if values[0] != values[1]:
            return _attribute(name, *values)
    tolerances = given or _coarser(*(_TOLERANCES.get(t.dtype, (0.0, 0.0)) for t in (one, other)))
    return _tensors(one, other, tolerances, equal_nan)


def _attribute(name: str, one: Any, other: Any) -> str:
    return f"The values for attribute '{name}' do not match: {one} != {other}."


def _coarser(one: _Range, other: _Range) -> _Range:
    return max(one[0], other[0]), max(one[1], other[1])


def _numbers(
    actual: Any, expected: Any, given: _Range | None, equal_nan: bool, same_type: bool
) -> str | None:
    one, other = (v.item() if isinstance(v, np.number) else v for v in (actual, expected))
    if same_type and type(one) is not type(other):
        return f"The (d)types do not match: {type(one)} != {type(other)}."
    tolerances = given or _coarser(*(_OF_NUMBERS.get(type(v), (0.0, 0.0)) for v in (one, other)))
    apart = abs(one - other)
    if one == other or (equal_nan and cmath.isnan(one) and cmath.isnan(other)):
        return None
    if cmath.isfinite(apart) and apart <= tolerances[1] + tolerances[0] * abs(other):
        return None
    relative = apart / abs(other) if other else float("inf")
    return _scalars(one, other, apart, relative, tolerances)


def _allowed(tolerance: float, tolerances: _Range) -> str:
    return f" (up to {tolerance} allowed)" if any(tolerances) else ""


def _scalars(one: Any, other: Any, apart: Any, relative: Any, tolerances: _Range) -> str:
    return (
        f"Scalars are not {'close' if any(tolerances) else 'equal'}!\n\n"
        f"Expected {other} but got {one}.\n"
        f"Absolute difference: {apart}{_allowed(tolerances[1], tolerances)}\n"
        f"Relative difference: {relative}{_allowed(tolerances[0], tolerances)}"
    )


def _tensors(one: Tensor, other: Tensor, tolerances: _Range, equal_nan: bool) -> str | None:
    kind = _dtypes.promote_types(one.dtype, other.dtype)
    if not kind.is_floating_point:
        kind = _dtypes.int64  # so that differences fit, and bools have one
    one, other = one.to(kind).cpu(), other.to(device="cpu", dtype=kind)
    close = ops.isclose(one, other, rtol=tolerances[0], atol=tolerances[1], equal_nan=equal_nan)
    if bool(close.all()):
        return None
    wrong = ~close.reshape(-1)
    apart = ops.where(wrong, (one - other).abs().reshape(-1), 0)
    relative = ops.where(wrong, apart / other.abs().reshape(-1), 0)
    if one.ndim == 0:
        return _scalars(one.item(), other.item(), apart.item(), relative.item(), tolerances)
    lines = [
        f"Tensor-likes are not {'close' if any(tolerances) else 'equal'}!\n",
        f"Mismatched elements: {int(wrong.sum())} / {wrong.numel()} "
        f"({float(wrong.sum()) / wrong.numel():.1%})",
    ]
    for name, values, tolerance in (
        ("absolute", apart, tolerances[1]), ("relative", relative, tolerances[0]),
    ):  # fmt: skip
        place = int(values.argmax())
        at = tuple(int(i) for i in np.unravel_index(place, one.shape))
        lines.append(
            f"Greatest {name} difference: {values[place].item()} at index {at}"
            f"{_allowed(tolerance, tolerances)}"
        )
    return "\n".join(lines)

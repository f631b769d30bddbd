# SPDX-License-Identifier: BSD-3-Clause
"""Finding the operation, and the line of the user's code, that made the first NaN or infinity."""

from __future__ import annotations

from typing import Any

from fastnn import _watch

__all__ = [
    "detect_anomaly",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "set_detect_anomaly",
]


class set_detect_anomaly:
    """Switches anomaly detection on or off, at once, for all threads; as a context manager until
    its end. `detect_anomaly` says what it does."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        for name, value in (("mode", mode), ("check_nan", check_nan)):
            if not isinstance(value, bool):
                message = (
                    f"set_detect_anomaly: expected {name} as a bool, got {type(value).__name__}; "
                    "True switches on"
                )
                raise TypeError(message)
        self.before = _watch.set_anomaly(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        _watch.set_anomaly(*self.before)


class detect_anomaly:
    """Inside ``with detect_anomaly():`` the first NaN or infinity is an error.

    RuntimeError names the operation that made it and the line of the user's code that called the
    operation: of forward operations, whose operands and options were finite (or held no NaN, for a
    NaN), and of their gradients in the backward pass. An infinity that was put in on purpose, as
    ``masked_fill(mask, -inf)`` does, is none that an operation made. A NaN that comes in with data
    is refused when it enters a graph. In-place changes outside of a graph are not looked at. With
    ``check_nan=False`` values are not looked at, and errors raised in a backward name the line of
    the forward operation.

    It costs a look at every value; while it is off it costs nothing. torch looks at gradients only,
    and at NaN only.
    """

    def __init__(self, check_nan: bool = True) -> None:
        if not isinstance(check_nan, bool):
            message = (
                "detect_anomaly: expected check_nan as a bool, got "
                f"{type(check_nan).__name__}; False looks at no values"
            )
            raise TypeError(message)
        self.check_nan = check_nan
        self.before: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self.before.append(_watch.set_anomaly(True, self.check_nan))

    def __exit__(self, *_: object) -> None:
        _watch.set_anomaly(*self.before.pop())

    def __call__(self, function: Any) -> Any:
        """As a decorator: around every call of a function."""
        import functools  # noqa: PLC0415

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with detect_anomaly(self.check_nan):
                return function(*args, **kwargs)

        return wrapped


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return _watch.switches.anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Whether it looks at values when it is on."""
    return _watch.switches.check_nan

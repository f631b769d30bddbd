# SPDX-License-Identifier: BSD-3-Clause
"""Whether operations are recorded: a switch per thread."""

from __future__ import annotations

import functools
import inspect
import threading
from typing import TYPE_CHECKING, Any, ClassVar

from fastnn import _backend

if TYPE_CHECKING:
    from collections.abc import Callable


class _Mode(threading.local):
    enabled = True


_mode: _Mode = _Mode() if _backend.tape is None else _backend.tape.recording


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded."""
    return _mode.enabled


class _At:
    """Recording on or off inside a with statement."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode

    def __enter__(self) -> None:
        self.before = _mode.enabled
        _mode.enabled = self.mode

    def __exit__(self, *_: object) -> None:
        _mode.enabled = self.before


def _decorated(function: Callable[..., Any], mode: bool) -> Callable[..., Any]:
    """The function with recording on or off; of a generator function every step of its body."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def steps(*args: Any, **kwargs: Any) -> Any:
            with _At(mode):
                generator = function(*args, **kwargs)
            sent = None
            while True:
                try:
                    with _At(mode):
                        value = generator.send(sent)
                except StopIteration as stop:
                    return stop.value
                sent = yield value

        return steps

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with _At(mode):
            return function(*args, **kwargs)

    return wrapped


class set_grad_enabled:
    """Switches recording on or off, at once; as a context manager or decorator until its end."""

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self.before: list[bool] = [_mode.enabled]
        _mode.enabled = self.mode

    def __enter__(self) -> None:
        _mode.enabled = self.mode

    def __exit__(self, *_: object) -> None:
        _mode.enabled = self.before[-1]

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        # As a decorator it acts on the function alone, not from here on.
        _mode.enabled = self.before[-1]
        return _decorated(function, self.mode)


class _Switch:
    """no_grad and enable_grad: a context manager that nests, and a decorator."""

    mode: ClassVar[bool]

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self.before: list[bool] = []
        self.function = function
        if function is not None:
            functools.update_wrapper(self, function)

    def __enter__(self) -> None:
        self.before.append(_mode.enabled)
        _mode.enabled = self.mode

    def __exit__(self, *_: object) -> None:
        _mode.enabled = self.before.pop()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.function is not None:
            with _At(self.mode):
                return self.function(*args, **kwargs)
        (function,) = args
        return _decorated(function, self.mode)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        # `@no_grad` without brackets on a method.
        return self if instance is None else functools.partial(self, instance)


class no_grad(_Switch):
    """Operations are not recorded: ``with no_grad():`` or ``@no_grad()``."""

    mode = False


class enable_grad(_Switch):
    """Operations are recorded again inside `no_grad`."""

    mode = True


class inference_mode(_Switch):
    """`no_grad` under torch's name; ``inference_mode(False)`` records."""

    mode = False

    def __init__(self, mode: Any = True) -> None:
        super().__init__(mode if callable(mode) else None)
        if not callable(mode):
            self.mode = not mode  # type: ignore[misc]

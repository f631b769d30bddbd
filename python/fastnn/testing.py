# SPDX-License-Identifier: BSD-3-Clause
"""The case table: what every operation is tested and timed on.

Each operator file ends with ``CASES`` (what must be right) and ``ERRORS`` (what must be refused).
The test suite, the sanitizer runs, the GPU emulation and the benchmarks all read these tables, so
what is timed is what is tested. ``assert_close`` is torch's of this name.
"""

from __future__ import annotations

import dataclasses
import importlib
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._homes import FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastnn._assert_close import assert_close  # noqa: F401 - what __getattr__ gives
    from fastnn.tensor import Tensor

# An argument of a case: a shape (random floats of the case's type), ("int", shape, low, high),
# ("bool", shape), ("cells", values) for an int64 array, or any other value, passed as it is.
Argument = Any


@dataclasses.dataclass(frozen=True)
class OpCase:
    """One call of a public function.

    fn:        the function, on tensors.
    name:      torch's name for it (``nn.functional.relu`` is ``relu``).
    shapes:    its positional arguments, see `Argument`.
    kwargs:    its keyword arguments.
    ref:       the same on NumPy arrays, in plain NumPy, in the precision of its inputs.
    kink:      a value from which every random input keeps a distance (where the gradient jumps).
    low, high: range of the random inputs.
    grad:      whether the floating-point inputs have gradients.
    double_grad: whether the operation has a second derivative.
    bench:     timed by the benchmarks; tested on a smaller batch of checks.
    ulp:       bound on the error in units in the last place, for functions that state one.
    flops, bytes_moved: work of one forward pass, for rooflines.
    least_flops: the same by the method that there is, if it needs fewer than the definition.
    seeded:    the function draws random numbers: the generator is reset before every call.
    """

    fn: Callable[..., Any]
    name: str
    shapes: list[Argument]
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    ref: Callable[..., Any] | None = None
    kink: float | None = None
    low: float = -2.0
    high: float = 2.0
    grad: bool = True
    double_grad: bool = True
    bench: bool = False
    ulp: dict[str, float] | None = None
    flops: float | None = None
    least_flops: float | None = None
    bytes_moved: float | None = None
    seeded: bool = False
    dtypes: tuple[str, ...] = ("float32", "float64")

    @property
    def id(self) -> str:
        """A readable name for test reports."""
        parts = [self.name]
        for a in self.shapes:
            parts.append("x".join(map(str, a)) or "0d" if _is_shape(a) else _short(a))
        parts += [f"{k}={_short(v)}" for k, v in self.kwargs.items()]
        return "-".join(parts)


@dataclasses.dataclass(frozen=True)
class ErrorCase:
    """One call that must be refused: exception type and a part of the message."""

    fn: Callable[..., Any]
    name: str
    shapes: list[Argument]
    error: type[Exception]
    message: str
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def id(self) -> str:
        """A readable name for test reports."""
        return f"{self.name}-{self.error.__name__}-{self.message[:30]}"


def _short(value: Any) -> str:
    return str(value).replace(" ", "")[:24]


def _is_shape(argument: Any) -> bool:
    return isinstance(argument, tuple) and all(isinstance(n, int) for n in argument)


def operator_modules() -> list[Any]:
    """The operator files, by name."""
    names = [n for n in FILES["ops"] if not n.startswith("_")]
    return [importlib.import_module(f"fastnn.ops.{n}") for n in names]


def all_cases(bench: bool | None = None) -> Iterator[OpCase]:
    """The cases of every operator file; only those (not) marked ``bench`` if given."""
    for module in operator_modules():
        for case in getattr(module, "CASES", []):
            if bench is None or case.bench == bench:
                yield case


def all_errors() -> Iterator[ErrorCase]:
    """The refused calls of every operator file."""
    for module in operator_modules():
        yield from getattr(module, "ERRORS", [])


def make_arrays(case: OpCase | ErrorCase, dtype: Any) -> list[Any]:
    """The arguments of a case with random arrays for shapes: the same on every call."""
    rng = np.random.default_rng(zlib.crc32(case.id.encode()))
    kink = getattr(case, "kink", None)
    low, high = getattr(case, "low", -2.0), getattr(case, "high", 2.0)
    made = []
    for argument in case.shapes:
        if _is_shape(argument):
            x = rng.uniform(low, high, argument)
            if kink is not None:
                # Keep central differences on one side of the kink.
                x = np.where(np.abs(x - kink) < 0.1, kink + np.where(x < kink, -0.1, 0.1), x)
            # Rounded to float32 so that every precision sees the same numbers.
            made.append(np.asarray(x).astype(np.float32).astype(dtype))
        elif isinstance(argument, tuple) and argument and argument[0] == "int":
            _, shape, start, stop = argument
            made.append(np.asarray(rng.integers(start, stop, shape)))
        elif isinstance(argument, tuple) and argument and argument[0] == "bool":
            made.append(np.asarray(rng.random(argument[1]) < 0.5))
        elif isinstance(argument, tuple) and argument and argument[0] == "cells":
            made.append(np.asarray(argument[1], np.int64))
        else:
            made.append(argument)
    return made


def make_tensors(case: OpCase | ErrorCase, dtype: Any, requires_grad: bool = False) -> list[Any]:
    """`make_arrays` with tensors for arrays; floating-point ones require grad if asked."""
    from fastnn.tensor import Tensor  # noqa: PLC0415

    made: list[Any] = []
    for value in make_arrays(case, dtype):
        if not isinstance(value, np.ndarray):
            made.append(value)
            continue
        t = Tensor._wrap(value)
        if requires_grad and getattr(case, "grad", True) and value.dtype.kind == "f":
            t.requires_grad_()
        made.append(t)
    return made


def call(case: OpCase, arguments: list[Any]) -> tuple[Tensor, ...]:
    """Runs a case; always a tuple of tensors."""
    if case.seeded:
        importlib.import_module("fastnn").manual_seed(1234)
    out = case.fn(*arguments, **case.kwargs)
    return tuple(out) if isinstance(out, tuple | list) else (out,)


def __getattr__(name: str) -> Any:
    # Every operation imports this file: what only tests need is imported when they use it.
    if name == "assert_close":
        globals()[name] = value = importlib.import_module("fastnn._assert_close").assert_close
        return value
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)

# SPDX-License-Identifier: BSD-3-Clause
"""Random whole numbers: randint, randint_like, random_, randperm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _backend, _dtypes
from fastnn._dtype_info import finfo, iinfo
from fastnn._formats import check_formats
from fastnn.ops import _common
from fastnn.ops._in_place import check_in_place
from fastnn.ops.copy import copy_, to
from fastnn.ops.creation import size_argument
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from fastnn._dtypes import dtype as DType
    from fastnn.random import Generator


def _words(op: str, n: int, generator: Generator | None) -> Any:
    from fastnn.random import cell_of  # noqa: PLC0415  (which imports this file)

    out = _backend.empty((n,), np.int64)
    _backend.kernels(out).random_bits(out, cell_of(op, generator))
    return out


def randint(
    *args: Any,
    low: Any = None,
    high: Any = None,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """``randint(high, size)`` or ``randint(low, high, size)``: integers from [low, high).

    Two words make 64 bits, of which the remainder is taken: biased by less than 2^-32 for ranges
    below 2^32.
    """
    check_formats("randint", layout=layout, pin_memory=pin_memory)
    named = [low, high, size]
    absent = [i for i, v in enumerate(named) if v is None]
    # Of (low, high, size) the arguments by position fill what no keyword gives; low may be absent.
    if len(args) == len(absent) - 1 and low is None:
        named[0] = 0
        absent = absent[1:]
    if len(args) != len(absent):
        message = (
            "randint: expected (high, size) or (low, high, size), got "
            f"{len(args) + 3 - len(absent)} arguments; for example randint(10, (2, 3))"
        )
        raise TypeError(message)
    for i, value in zip(absent, args, strict=True):
        named[i] = value
    low, high, size = named
    low = _common.integer("randint", "low", low)
    high = _common.integer("randint", "high", high)
    if not high > low:
        message = (
            f"randint: expected low < high, got {low} and {high}; high itself is never drawn, so "
            "pass the largest plus 1"
        )
        raise RuntimeError(message)
    kind = _dtypes.argument("randint", dtype, _dtypes.int64)
    _check_held("randint", low, high, kind)
    shape = size_argument("randint", (size,), None)
    n = math.prod(shape)
    pairs = _words("randint", 2 * n, generator).astype(np.uint64).reshape(n, 2)
    wide = (pairs[:, 0] << np.uint64(32)) | pairs[:, 1]
    values = (wide % np.uint64(high - low)).astype(np.int64) + low
    return _placed(Tensor._wrap(values.astype(kind.numpy).reshape(shape)), device, requires_grad)


def _check_held(op: str, low: int, high: int, kind: DType) -> None:
    """RuntimeError unless a type has all whole numbers that may be drawn from [low, high)."""
    least, most = 0.0, 1.0
    if kind.category:
        info = finfo(kind) if kind.category == 2 else iinfo(kind)
        least, most = info.min, info.max
    if low < least or high - 1 > most:
        message = (
            f"{op}: expected low and high - 1 that {kind} holds, got {low} and {high - 1}; choose "
            "a wider type"
        )
        raise RuntimeError(message)


def _placed(t: Tensor, device: Any, requires_grad: bool) -> Tensor:
    t = t if device is None else t.to(device)
    return t.requires_grad_() if requires_grad else t


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A random order of 0 ... n-1: the order that sorts n random 64-bit keys."""
    check_formats("randperm", layout=layout, pin_memory=pin_memory)
    if isinstance(n, bool):
        message = f"randperm: expected n as an int, got {n!r}; convert it with int()"
        raise TypeError(message)
    n = _common.integer("randperm", "n", n)
    if n < 0:
        message = (
            f"randperm: expected n >= 0, got {n}; pass the number of entries, such as len(data)"
        )
        raise RuntimeError(message)
    _common.check_extent("randperm", (n, 2))
    pairs = _words("randperm", 2 * n, generator).astype(np.uint64).reshape(n, 2)
    keys = (pairs[:, 0] << np.uint64(32)) | pairs[:, 1]
    order = np.argsort(keys, kind="stable").astype(np.int64)
    kind = _dtypes.argument("randperm", dtype, _dtypes.int64)
    made = Tensor._wrap(order if kind is _dtypes.int64 else order.astype(kind.numpy))
    return _placed(made, device, requires_grad)


def randint_like(
    input: Tensor,
    low: Any,
    high: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`randint` of the shape and type of a tensor: ``randint_like(t, high)`` or (t, low, high)."""
    name = "randint_like"
    _common.require_tensor(name, "input", input)
    check_formats(name, layout=layout, pin_memory=pin_memory, memory_format=memory_format)
    low, high = (0, low) if high is None else (low, high)
    kind = _dtypes.argument(name, dtype, input.dtype)
    made = randint(low, high, input.shape, generator=generator, dtype=kind)
    made = made if device is None else to(made, device)
    return made.requires_grad_() if requires_grad else made


def _limits(kind: DType) -> tuple[int, int]:
    """The whole numbers that random_ draws without bounds: [0, the second one)."""
    if kind.category == 2:
        # The whole numbers that a floating-point type has without gaps.
        digits = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}[kind.name]
        return 0, (1 << digits) + 1
    if kind.category == 0:
        return 0, 2
    return 0, min(1 << (8 * kind.itemsize - (1 if kind.is_signed else 0)), (1 << 63) - 1)


def random_(
    t: Tensor, low: Any = None, high: Any = None, *, generator: Generator | None = None
) -> Tensor:
    """Fills a tensor with whole numbers from [low, high), as torch.Tensor.random_;
    ``random_(high)`` from 0, ``random_()`` up to the largest of the type (of floats, without gaps).

    Raises RuntimeError unless low < high.
    """
    name = "random_"
    _common.require_tensor(name, "the tensor to change", t)
    if low is None:
        low, high = _limits(t.dtype)
    elif high is None:
        low, high = 0, low
    low, high = (_common.integer(name, n, v) for n, v in (("low", low), ("high", high)))
    if not low < high:
        message = f"random_: expected low < high, got {low} and {high}; high itself is never drawn"
        raise RuntimeError(message)
    _check_held(name, low, high, t.dtype)
    check_in_place(name, t)
    return copy_(t, randint(low, high, t.shape, generator=generator))

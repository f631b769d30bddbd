# SPDX-License-Identifier: BSD-3-Clause
"""Windows of the pooling operations: arguments, output sizes, and where windows lie.

Kernels take three spatial dimensions; fewer are padded in front by ones.
"""

from __future__ import annotations

import functools
import math
from typing import Any, TypeVar

from fastnn.ops import _common
from fastnn.ops._common import Shape
from fastnn.tensor import Tensor

E = TypeVar("E", bound=Exception)
# kernel, stride, padding, dilation of three dimensions each; empty for adaptive windows.
Windows = tuple[Shape, Shape, Shape, Shape]
ADAPTIVE: Windows = ((), (), (), ())
_MOST_STEP = 1 << 20  # csrc/ops/pooling.h
_LEAST_CURES = {
    "kernel_size": "1 is a window of one element",
    "output_size": "None keeps the size of the input",
    "padding": "slice the input to make it smaller",
    "output_padding": "more padding makes the output smaller",
    "stride": "1 moves on by one element",
    "dilation": "1 leaves no gaps",
    "groups": "1 lets every output see every channel",
}


def wrong_count(name: str, what: str, n: int, value: Any, error: type[E]) -> E:
    """The error for an argument that is neither an int nor n of them."""
    form, cure = (
        ("an int", "give one number")
        if n == 1
        else (f"an int or {n} ints", "one int stands for all directions")
    )
    message = f"{name}: expected {what} as {form}, got {value!r}; {cure}"
    return error(message)


def too_small(name: str, what: str, least: int, value: Any) -> RuntimeError:
    """The error for an argument below its least value."""
    cure = _LEAST_CURES.get(what, f"its least value is {least}")
    message = f"{name}: expected {what} >= {least}, got {value!r}; {cure}"
    return RuntimeError(message)


def sizes(name: str, what: str, value: Any, n: int, least: int) -> Shape:
    """An int or a sequence of one or n ints as n of them, each at least ``least``."""
    given = tuple(value) if isinstance(value, tuple | list) else (value,)
    if len(given) == 1:
        given *= n
    if len(given) != n or any(isinstance(v, bool) for v in given):
        raise wrong_count(name, what, n, value, TypeError)
    try:
        numbers = tuple([int(v.__index__()) for v in given])
    except (AttributeError, TypeError):
        raise wrong_count(name, what, n, value, TypeError) from None
    if any(v < least for v in numbers):
        raise too_small(name, what, least, value)
    return numbers


def check_input(name: str, input: Any, n: int, may_be_0: str = "n") -> None:
    """Raises unless ``input`` is a tensor of numbers (c, ...) or (n, c, ...).

    may_be_0: the size that may be; "the first" is also c where there is no n.
    """
    _common.require_tensor(name, "input", input)
    _common.require_numbers(name, "input", input)
    sized = input.shape[-n - 1 if may_be_0 == "n" else 1 :]
    if input.ndim not in (n + 1, n + 2) or 0 in sized:
        message = (
            f"{name}: expected input (n, c, {', '.join('dhw'[3 - n :])}) or without n, no size but "
            f"{may_be_0} being 0, got {input.shape}; unsqueeze(0) adds a missing dimension"
        )
        raise RuntimeError(message)


def windows(
    name: str, input: Tensor, n: int, kernel: Any, stride: Any, padding: Any, dilation: Any,
    ceil_mode: bool,
) -> tuple[Shape, Windows]:  # fmt: skip
    """The shape of the output and the arguments of the kernels; RuntimeError if they do not fit."""
    shape = input.shape
    given = (kernel, padding, dilation) if stride is None else (kernel, padding, dilation, stride)
    plain = {type(v) for v in given} == {int}
    plan = _planned if plain else _planned.__wrapped__
    out, filled = plan(name, shape[-n:], kernel, stride, padding, dilation, bool(ceil_mode))
    return (*shape[:-n], *out), filled


@functools.lru_cache(maxsize=4096, typed=True)
def _planned(
    name: str, spatial: Shape, kernel: Any, stride: Any, padding: Any, dilation: Any,
    ceil_mode: bool,
) -> tuple[Shape, Windows]:  # fmt: skip
    n = len(spatial)
    k = sizes(name, "kernel_size", kernel, n, 1)
    absent = stride is None or (isinstance(stride, tuple | list) and not stride)
    s = k if absent else sizes(name, "stride", stride, n, 1)
    p = sizes(name, "padding", padding, n, 0)
    d = sizes(name, "dilation", dilation, n, 1)
    if any(2 * a > b for a, b in zip(p, k, strict=True)):
        message = (
            f"{name}: expected padding of at most half of kernel_size, got padding {padding!r} and "
            f"kernel_size {kernel!r}; pad() can add more"
        )
        raise RuntimeError(message)
    return _fitted(name, tuple(spatial), k, s, p, d, ceil_mode)


@functools.lru_cache(maxsize=4096)
def _fitted(
    name: str, spatial: Shape, k: Shape, s: Shape, p: Shape, d: Shape, ceil_mode: bool
) -> tuple[Shape, Windows]:
    out = []
    for size, kernel, stride, pad, step in zip(spatial, k, s, p, d, strict=True):
        reach = step * (kernel - 1) + 1
        count = (size + 2 * pad - reach + (stride - 1 if ceil_mode else 0)) // stride + 1
        # No window starts in the padding behind.
        if ceil_mode and (count - 1) * stride >= size + pad:
            count -= 1
        if count < 1:
            message = (
                f"{name}: expected an input of at least one window, got spatial sizes {spatial} "
                f"for kernel_size {k}, stride {s}, padding {p} and dilation {d}; use a smaller "
                "kernel_size"
            )
            raise RuntimeError(message)
        out.append(count)
    _common.check_extent(name, tuple(out))
    # The stride of one window and the dilation of one tap have no meaning, however large.
    s = tuple([b if m > 1 else 1 for b, m in zip(s, out, strict=True)])
    d = tuple([b if m > 1 else 1 for b, m in zip(d, k, strict=True)])
    if max(*k, *s, *p, *d) > _MOST_STEP:
        message = (
            f"{name}: expected kernel_size, stride, padding and dilation of up to 2^20 each, got "
            f"{k}, {s}, {p} and {d}; reshape() and pool twice"
        )
        raise RuntimeError(message)
    front = 3 - len(k)
    one, zero = (1,) * front, (0,) * front
    return tuple(out), (one + k, one + s, zero + p, one + d)


def check_volume(name: str, input: Tensor, given: Windows) -> None:
    """Raises where a window of three dimensions is larger than the input without its padding.

    torch takes no means of such windows in volumes, whatever padding and ceil_mode are.
    """
    kernel, spatial = given[0], input.shape[-3:]
    if kernel[0] > spatial[0] or kernel[1] > spatial[1] or kernel[2] > spatial[2]:
        message = (
            f"{name}: expected an input at least as large as kernel_size, not counting padding, "
            f"got spatial sizes {tuple(spatial)} and kernel_size {kernel}; use a smaller "
            "kernel_size, or pad() before"
        )
        raise RuntimeError(message)


def adaptive(name: str, input: Tensor, n: int, output_size: Any) -> tuple[Shape, Windows]:
    """The same for an output of given sizes, None being the input's."""
    counted = isinstance(output_size, tuple | list) and n > 1
    if counted and isinstance(input, Tensor) and input.ndim <= n:
        message = (
            f"{name}: expected input of at least {n + 1} dimensions, got {input.shape}; "
            "unsqueeze(0) adds a missing one"
        )
        raise ValueError(message)
    check_input(name, input, n, "the first")
    _common.require_float(name, "input", input)
    given = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * n
    spatial = tuple(input.shape[-n:])
    if len(given) != n:
        raise wrong_count(name, "output_size", n, output_size, RuntimeError)
    wanted = [m if v is None else v for v, m in zip(given, spatial, strict=True)]
    out = sizes(name, "output_size", wanted, n, 0)
    shape = (*input.shape[:-n], *out)
    _common.check_extent(name, shape)
    if 0 in out or any(a % b for a, b in zip(spatial, out, strict=True)):
        return shape, ADAPTIVE
    front = (1,) * (3 - n)
    k = front + tuple([a // b for a, b in zip(spatial, out, strict=True)])
    return shape, (k, k, (0, 0, 0), (1, 1, 1))


def planes(array: Any, n: int) -> Any:
    """A contiguous array as (planes, d, h, w), its last n dimensions being spatial."""
    shape = array.shape
    if n == 2 and len(shape) == 4:  # images, the usual: said at once
        return array.reshape(shape[0] * shape[1], 1, shape[2], shape[3])
    return array.reshape(math.prod(shape[:-n]), *(1,) * (3 - n), *shape[-n:])


def spans(n_in: int, n_out: int, axis: int, given: Windows) -> list[tuple[int, int, int]]:
    """(first, end, step) of every window of one axis, for references."""
    kernel, stride, padding, dilation = given
    if not kernel:
        return [(o * n_in // n_out, -(-(o + 1) * n_in // n_out), 1) for o in range(n_out)]
    found = []
    for o in range(n_out):
        start, step = o * stride[axis] - padding[axis], dilation[axis]
        end = max(min(start + (kernel[axis] - 1) * step + 1, n_in), 0)
        found.append((start % step if start < 0 else start, end, step))
    return found

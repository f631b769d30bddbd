# SPDX-License-Identifier: BSD-3-Clause
"""How tensors print, copy and pickle."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _backend

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastnn.tensor import Tensor

_PREFIX = "tensor("


@dataclasses.dataclass
class _Style:
    """How tensors print: what `set_printoptions` sets."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_style = _Style()
_PROFILES: dict[str, dict[str, float]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Sets how tensors print, as torch.set_printoptions.

    precision: digits after the point; threshold: elements above which a tensor is cut short, to
    ``edgeitems`` at both ends of every dimension; linewidth: characters on a line; sci_mode:
    whether numbers are written as 1.0000e+00 (None: where they need it). profile: "default",
    "short" or "full" sets the first four together; what else is given changes it. None leaves an
    option alone, but for sci_mode.   Raises TypeError for what is no number, ValueError for others.
    """
    name = "set_printoptions"
    if profile is not None and profile not in _PROFILES:
        message = f"{name}: expected profile default, short or full, got {profile!r}; leave it out"
        raise ValueError(message)
    chosen: dict[str, Any] = dict(_PROFILES[profile]) if profile is not None else {}
    given = {"precision": precision, "edgeitems": edgeitems, "linewidth": linewidth}
    for option, value in {**given, "threshold": threshold}.items():
        if value is None:
            continue
        whole = isinstance(value, int) or (option == "threshold" and isinstance(value, float))
        if isinstance(value, bool) or not whole:
            message = f"{name}: expected {option} as an int, got {value!r}; convert it with int()"
            raise TypeError(message)
        if value < 0:
            message = f"{name}: expected {option} >= 0, got {value}; None leaves it as it is"
            raise ValueError(message)
        chosen[option] = value
    for option, value in chosen.items():
        setattr(_style, option, value)
    _style.sci_mode = sci_mode


def tensor_repr(t: Tensor) -> str:
    """``tensor([[1., 2.]], grad_fn=<Add>)``: four digits, long tensors cut short, as torch."""
    from fastnn import _dtypes  # noqa: PLC0415

    array = t.array if isinstance(t.array, np.ndarray) else t.array.get()
    if array.dtype.kind == "V":  # bfloat16
        array = array.astype(np.float32)
    empty = "[]" if array.ndim == 1 else f"[], size={array.shape}"
    text = _numbers(array) if array.size else empty
    parts = []
    # What the numbers themselves show need not be said; no numbers show nothing.
    shown = (_dtypes.int64, _dtypes.bool_) if array.size else ()
    if t.dtype not in (_dtypes.get_default_dtype(), *shown):
        parts.append(f"dtype={t.dtype}")
    if t.device.type != "cpu":
        parts.append(f"device='{t.device}'")
    if t.grad_fn is not None:
        parts.append(f"grad_fn=<{type(t.grad_fn).__name__}>")
    elif t.requires_grad:
        parts.append("requires_grad=True")
    text = _PREFIX + text
    for part in parts:
        last = text.rpartition("\n")[2]
        fits = len(last) + len(part) + 3 <= _style.linewidth
        text += (", " if fits else ",\n" + " " * len(_PREFIX)) + part
    return text + ")"


def _edges(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The elements that are printed of an array that is cut short."""
    for d, n in enumerate(array.shape):
        if n > 2 * _style.edgeitems:
            keep = [*range(_style.edgeitems), *range(n - _style.edgeitems, n)]
            array = array.take(keep, axis=d)
    return array


def _formatter(values: np.ndarray[Any, Any]) -> tuple[Callable[[Any], str], int]:
    """How to write one of these numbers, and the width that they share."""
    if values.dtype.kind != "f":
        return str, max(len(str(v)) for v in values.flat)
    wide = values.astype(np.float64).reshape(-1)
    used = wide[np.isfinite(wide) & (wide != 0)]
    if not used.size:
        return _whole, 1
    sizes = np.abs(used)
    low, high = float(sizes.min()), float(sizes.max())
    # Scientific where fixed digits would lose one of the two.
    apart = high / low > 1000.0 or high > 1e8
    whole = bool((used == np.ceil(used)).all())
    write: Callable[[Any], str] = _whole
    needed = apart or (not whole and low < 1e-4)
    if needed if _style.sci_mode is None else _style.sci_mode:
        write = f"{{:.{_style.precision}e}}".format
    elif not whole:
        write = f"{{:.{_style.precision}f}}".format
    return write, max(len(write(v)) for v in used.tolist())


def _whole(value: float) -> str:
    return f"{value:.0f}." if np.isfinite(value) else str(value)


def _numbers(array: np.ndarray[Any, Any]) -> str:
    """The numbers in brackets, as many on a line as fit."""
    short = array.size > _style.threshold
    write, width = _formatter(_edges(array) if short else array)

    def text(part: np.ndarray[Any, Any], indent: int) -> str:
        if part.ndim == 0:
            return write(part.item()).rjust(width)
        n = len(part)
        cut = short and n > 2 * _style.edgeitems
        chosen = (
            [*range(_style.edgeitems), *range(n - _style.edgeitems, n)] if cut else list(range(n))
        )
        items = [text(part[i], indent + 1) for i in chosen]
        if part.ndim > 1:
            if cut:
                items.insert(_style.edgeitems, "...")
            between = "," + "\n" * (part.ndim - 1) + " " * (indent + 1)
            return "[" + between.join(items) + "]"
        if cut:
            items.insert(_style.edgeitems, " ...")
        per_line = max(1, (_style.linewidth - indent) // (width + 2))
        lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"

    return text(array, len(_PREFIX))


def _copied_memory(t: Tensor, memo: dict[Any, Any]) -> tuple[Any, Any]:
    """Array and storage of a copy: tensors that share memory get copies that share theirs, with
    the same strides."""
    array = t.array
    root = array
    while isinstance(getattr(root, "base", None), np.ndarray):
        root = root.base
    copied = t.detach().clone()
    if not isinstance(array, np.ndarray) or not array.size:
        return copied.array, copied.storage
    # The memory in its own order: an owner is contiguous in C's order or in Fortran's.
    memory = root if root.flags.c_contiguous else root.T
    offset = int(array.ctypes.data) - int(root.ctypes.data)
    steps = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
    first = offset + sum(s for s in steps if s < 0)
    last = offset + sum(s for s in steps if s > 0) + array.itemsize
    if not memory.flags.c_contiguous or first < 0 or last > memory.nbytes:
        return copied.array, copied.storage
    key = ("storage", id(t.storage), id(root))
    if key not in memo:
        whole = copied.array  # its storage is new, whichever memory it takes
        if memory.nbytes != array.nbytes or not array.flags.c_contiguous:
            table = _backend.kernels(memory)
            whole = table.empty(memory.shape, memory.dtype)
            table.copy(memory, whole)
        memo[key] = whole, copied.storage, t.storage  # alive, so that no other gets its id
    whole, storage, _ = memo[key]
    made: Any = np.ndarray(array.shape, array.dtype, whole, offset, array.strides)
    made.flags.writeable = bool(array.flags.writeable or 0 not in array.strides)
    return made, storage


def tensor_deepcopy(t: Tensor, memo: dict[int, Any]) -> Tensor:
    """A leaf with memory of its own, which it shares with the copies of those that the tensor
    shares memory with; a tensor with history cannot be copied."""
    if id(t) in memo:
        return memo[id(t)]  # type: ignore[no-any-return]
    if not t.is_leaf:
        message = (
            "deepcopy: expected a leaf (made by the user), got the result of an operation; use "
            "detach().clone() for a copy of the value"
        )
        raise RuntimeError(message)
    made = type(t).__new__(type(t))
    memo[id(t)] = made
    made.array, made.storage = _copied_memory(t, memo)
    made._requires_grad = t._requires_grad
    if t._grad is not None:
        made._grad = tensor_deepcopy(t._grad, memo)
    if t.__dict__:
        made.__dict__.update(copy.deepcopy(t.__dict__, memo))
    return made


def rebuild(kind: type[Tensor], array: Any, requires_grad: bool) -> Tensor:
    """A tensor from what `tensor_reduce` stored."""
    from fastnn.autograd import Storage  # noqa: PLC0415

    made = kind.__new__(kind)
    made.array, made.storage = array, Storage()
    made._requires_grad = requires_grad
    return made


def tensor_reduce(t: Tensor) -> Any:
    """Pickle support: of a tensor with history comes back a leaf, as in torch."""
    return rebuild, (type(t), t.array, t.requires_grad), t.__dict__ or None

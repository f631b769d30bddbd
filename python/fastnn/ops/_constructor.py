# SPDX-License-Identifier: BSD-3-Clause
"""What the class itself makes: ``Tensor(2, 3)``, ``Tensor([2, 3])``."""

from __future__ import annotations

import numbers
from typing import Any

from fastnn import _dtypes
from fastnn.ops._given_data import foreign_array
from fastnn.ops.creation import _placed, as_tensor, empty, tensor
from fastnn.ops.view import view
from fastnn.tensor import Tensor


def legacy(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """What ``Tensor(...)`` makes: ``Tensor(2, 3)`` uninitialised memory, ``Tensor([2, 3])`` these
    numbers, both in the default type; ``Tensor(tensor)`` a tensor on the same memory."""
    device = kwargs.pop("device", None)
    if len(args) + len(kwargs) > 1 and (kwargs or not all(_is_whole(a) for a in args)):
        given = ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())])
        message = (
            "Tensor: expected sizes, Tensor(2, 3), or data, Tensor([2.0, 3.0]), got "
            f"Tensor({given}); fastnn.tensor(data, dtype=...) makes any type"
        )
        raise TypeError(message)
    if "size" in kwargs:
        return empty(size=kwargs["size"], device=device)
    if set(kwargs) - {"data"}:
        message = (
            f"Tensor: expected data, size or device as keyword, got {next(iter(kwargs))}; "
            "fastnn.tensor(...) takes dtype"
        )
        raise TypeError(message)
    if not args and not kwargs:
        return empty(0, device=device)
    data = kwargs["data"] if kwargs else args[0]
    if isinstance(data, Tensor):
        return _placed(view(data, data.shape), device) if device else view(data, data.shape)
    if not kwargs and _is_whole(data):
        return empty(args, device=device)
    if isinstance(data, str | bytes) or not hasattr(data, "__len__"):
        message = (
            f"Tensor: expected data as a sequence, got {type(data).__name__}; for one number "
            "call fastnn.tensor(...)"
        )
        raise TypeError(message)
    kind = _dtypes.get_default_dtype()
    return (as_tensor if foreign_array(data) is not None else tensor)(
        data, dtype=kind, device=device
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)

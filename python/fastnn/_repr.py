# SPDX-License-Identifier: BSD-3-Clause
"""How tensors print, copy and pickle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

_EDGE_ITEMS = 3
_THRESHOLD = 1000


def tensor_repr(t: Tensor) -> str:
    """``tensor([[1., 2.]], grad_fn=<Add>)``: four digits, long tensors truncated, as torch."""
    from fastnn import _dtypes  # noqa: PLC0415

    array = t.array if isinstance(t.array, np.ndarray) else t.array.get()
    text = np.array2string(
        array,
        precision=4,
        separator=", ",
        prefix="tensor(",
        threshold=_THRESHOLD,
        edgeitems=_EDGE_ITEMS,
        floatmode="maxprec" if _whole(array) else "fixed",
    )
    parts = [text if array.size or array.ndim == 1 else f"[], size={array.shape}"]
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
    return "tensor(" + ", ".join(parts) + ")"


def _whole(array: np.ndarray[Any, Any]) -> bool:
    """Whether all finite numbers are whole: torch prints ``[1., 2.]`` then."""
    if array.dtype.kind != "f":
        return True
    finite = array[np.isfinite(array)]
    return bool((finite == np.floor(finite)).all())


def tensor_deepcopy(t: Tensor, memo: dict[int, Any]) -> Tensor:
    """A leaf with memory of its own; a tensor with history cannot be copied."""
    if id(t) in memo:
        return memo[id(t)]  # type: ignore[no-any-return]
    if not t.is_leaf:
        message = (
            "deepcopy: expected a leaf (made by the user, not by an operation); use "
            "detach().clone() for a copy of the value"
        )
        raise RuntimeError(message)
    made = type(t).__new__(type(t))
    memo[id(t)] = made
    copied = t.detach().clone()
    made.array, made.storage = copied.array, copied.storage
    made._requires_grad = t._requires_grad
    if t._grad is not None:
        made._grad = tensor_deepcopy(t._grad, memo)
    return made


def rebuild(kind: type[Tensor], array: Any, requires_grad: bool) -> Tensor:
    """A tensor from what `tensor_reduce` stored."""
    from fastnn.autograd import Storage  # noqa: PLC0415

    made = kind.__new__(kind)
    made.array, made.storage = array, Storage()
    made._requires_grad = requires_grad
    return made


def tensor_reduce(t: Tensor) -> Any:
    """Pickle support; a tensor with history cannot be pickled."""
    if not t.is_leaf:
        message = "pickle: expected a leaf, got the result of an operation; use detach()"
        raise RuntimeError(message)
    return rebuild, (type(t), t.array, t._requires_grad)

# SPDX-License-Identifier: BSD-3-Clause
"""What tensors say about themselves, and Python functions put on each of their elements."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from fastnn._backend import is_gpu_array
from fastnn.ops import _common
from fastnn.ops._in_place import check_in_place
from fastnn.ops.copy import copy_
from fastnn.ops.creation import tensor
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable


def is_tensor(obj: object) -> Any:
    """Whether an object is a Tensor."""
    return isinstance(obj, Tensor)


def typename(obj: object) -> str:
    """``tensor.type()`` of a tensor, otherwise the module and name of an object, or of its type."""
    if isinstance(obj, Tensor):
        return str(obj.type())
    if not (hasattr(obj, "__qualname__") or hasattr(obj, "__name__")):
        obj = type(obj)
    module = getattr(obj, "__module__", None)
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", "")
    return str(name) if module in (None, "builtins") else f"{module}.{name}"


def numel(input: Tensor) -> int:
    """How many elements a tensor has, as torch.numel."""
    _common.require_tensor("numel", "input", input)
    return input.numel()


def is_floating_point(input: Tensor) -> builtins.bool:
    """Whether a tensor is of a floating-point type, as torch.is_floating_point."""
    _common.require_tensor("is_floating_point", "input", input)
    return input.is_floating_point()


def is_complex(input: Tensor) -> builtins.bool:
    """False, as torch.is_complex of all types that there are."""
    _common.require_tensor("is_complex", "input", input)
    return False


def is_signed(input: Tensor) -> builtins.bool:
    """Whether a tensor's type has negative numbers, as torch.Tensor.is_signed."""
    _common.require_tensor("is_signed", "input", input)
    return input.dtype.is_signed


def is_nonzero(input: Tensor) -> builtins.bool:
    """Whether the one element of a tensor is not 0, as torch.is_nonzero; RuntimeError for more."""
    _common.require_tensor("is_nonzero", "input", input)
    if input.numel() != 1:
        message = (
            f"is_nonzero: expected a tensor of one element, got shape {input.shape}; use .any() or "
            ".all()"
        )
        raise RuntimeError(message)
    return builtins.bool(input.item())


def is_same_size(input: Tensor, other: Tensor) -> builtins.bool:
    """Whether two tensors have one shape, as torch.is_same_size."""
    _common.require_tensor("is_same_size", "input", input)
    _common.require_tensor("is_same_size", "other", other)
    return input.shape == other.shape


def get_device(input: Tensor) -> int:
    """The number of the GPU that a tensor is on, -1 on the CPU; as torch.Tensor.get_device."""
    _common.require_tensor("get_device", "input", input)
    return int(input.array.device.id) if is_gpu_array(input.array) else -1


def detach(input: Tensor) -> Tensor:
    """The same memory without history: `Tensor.detach`, as torch.detach."""
    _common.require_tensor("detach", "input", input)
    return input.detach()


def adjoint(input: Tensor) -> Tensor:
    """Matrices transposed, as torch.adjoint of real numbers: a view.

    Shapes: (..., n, m) -> (..., m, n).   Raises RuntimeError for fewer than 2 dimensions.
    """
    _common.require_tensor("adjoint", "input", input)
    if input.ndim < 2:
        message = (
            f"adjoint: expected a matrix or a batch of them, got {input.shape}; unsqueeze(-2) makes"
            " a row of a vector"
        )
        raise RuntimeError(message)
    return input.mT


def _real(name: str) -> Callable[[Tensor], Tensor]:
    def itself(input: Tensor) -> Tensor:
        _common.require_tensor(name, "input", input)
        return input

    itself.__name__ = itself.__qualname__ = name
    itself.__doc__ = f"The tensor itself, as torch.{name} of real numbers."
    return itself


def _never(name: str) -> Callable[[Tensor], builtins.bool]:
    def false(input: Tensor) -> builtins.bool:
        _common.require_tensor(name, "input", input)
        return False

    false.__name__ = false.__qualname__ = name
    false.__doc__ = f"False, as torch.{name} of all tensors that there are."
    return false


conj: Callable[[Tensor], Tensor] = _real("conj")
resolve_conj: Callable[[Tensor], Tensor] = _real("resolve_conj")
resolve_neg: Callable[[Tensor], Tensor] = _real("resolve_neg")
is_conj: Callable[[Tensor], builtins.bool] = _never("is_conj")
is_neg: Callable[[Tensor], builtins.bool] = _never("is_neg")


def storage_offset(input: Tensor) -> int:
    """How many elements of its memory lie before a tensor's first, as torch.Tensor.storage_offset:
    0 unless it is a view."""
    _common.require_tensor("storage_offset", "input", input)
    root = input.array
    while isinstance(getattr(root, "base", None), type(root)):
        root = root.base
    offset = _address(input.array) - _address(root)
    return offset // input.element_size()


def _address(array: Any) -> int:
    return int(array.data.ptr if is_gpu_array(array) else array.ctypes.data)


def _filled(t: Tensor, values: list[Any]) -> Tensor:
    made = tensor(values, dtype=t.dtype, device=t.device)
    return copy_(t, made.reshape(t.shape))


def _changeable(name: str, t: Tensor) -> None:
    _common.require_tensor(name, "the tensor to change", t)
    if t.requires_grad:
        message = (
            f"{name}: expected a tensor without grad, got one that requires it; call it on "
            ".detach(), Python functions have no gradient"
        )
        raise RuntimeError(message)
    check_in_place(name, t)


def _called(name: str, callable: Any) -> None:
    if not builtins.callable(callable):
        message = f"{name}: expected a function, got {type(callable).__name__}; pass one of numbers"
        raise TypeError(message)


def apply_(t: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replaces every element by ``callable`` of it, a Python number, as torch.Tensor.apply_: slow,
    for what no function of tensors does.

    Raises RuntimeError for a tensor that requires grad, TypeError for what cannot be called.
    """
    _changeable("apply_", t)
    _called("apply_", callable)
    return _filled(t, [callable(v) for v in t.reshape(-1).tolist()])


def map_(t: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replaces every element by ``callable`` of it and of the other tensor's, as
    torch.Tensor.map_; the rest as `apply_`.

    Raises RuntimeError for a tensor that does not broadcast to the shape of the first.
    """
    _changeable("map_", t)
    _common.require_tensor("map_", "tensor", tensor)
    _called("map_", callable)
    wide = tensor.detach().expand(t.shape)
    pairs = zip(t.reshape(-1).tolist(), wide.reshape(-1).tolist(), strict=True)
    return _filled(t, [callable(a, b) for a, b in pairs])


def own_dim(op: str, dim: Any, ndim: int) -> int:
    """`_common.one_dim` of a tensor that has dimensions; IndexError for a 0-d one."""
    d = _common.one_dim(op, dim, ndim)
    if not ndim:
        message = f"{op}: expected a tensor of dimensions, got a 0-d one; leave dim out for ()"
        raise IndexError(message)
    return d

# SPDX-License-Identifier: BSD-3-Clause
"""Memory shared with other libraries by DLPack, under the names of torch.utils.dlpack."""

from __future__ import annotations

from typing import Any

from fastnn.ops import from_dlpack as _from_dlpack
from fastnn.ops._common import require_tensor
from fastnn.tensor import Tensor

__all__ = ["from_dlpack", "to_dlpack"]


class _Held:
    """A capsule as an object that gives it, once, which is what NumPy asks of."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **kwargs: Any) -> Any:
        del kwargs
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # the CPU


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor on the memory of an object that has ``__dlpack__``, or of a capsule on the CPU.

    A capsule can be used once; the tensor of one older than DLPack 1.0 may be read only.
    Errors: TypeError for other objects.
    """
    if type(ext_tensor).__name__ == "PyCapsule":
        return _from_dlpack(_Held(ext_tensor))
    return _from_dlpack(ext_tensor)


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule of a tensor's memory, which `from_dlpack`, here or elsewhere, takes over once.

    It is of DLPack 1.0, which says that the memory may be written, where NumPy makes such (>= 2.1).
    Errors: TypeError for no tensor, and what ``Tensor.__dlpack__`` raises.
    """
    require_tensor("to_dlpack", "tensor", tensor)
    try:
        return tensor.__dlpack__(max_version=(1, 0))
    except TypeError:  # an older NumPy
        return tensor.__dlpack__()

# SPDX-License-Identifier: BSD-3-Clause
"""`Variable`, torch's old name for a tensor that may require grad."""

from __future__ import annotations

from typing import Any

from fastnn._op import tensor_class

__all__ = ["Variable"]


class _IsTensor(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, tensor_class())


class Variable(metaclass=_IsTensor):
    """``Variable(tensor, requires_grad=False)``: a tensor on the same memory, without history."""

    # What old code makes by this name is a tensor.
    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: Any = None) -> Any:
        from fastnn.ops import tensor  # noqa: PLC0415  (the operations lie above)

        if volatile is not None:
            message = (
                f"Variable: expected no volatile, got {volatile!r}, which torch has given up; run "
                "under no_grad() instead"
            )
            raise TypeError(message)
        if data is None:
            data = tensor([])
        if not isinstance(data, tensor_class()):
            message = (
                f"Variable: expected a Tensor, got {type(data).__name__}; make one with "
                "fastnn.tensor(...)"
            )
            raise TypeError(message)
        made = data.detach()
        return made.requires_grad_() if requires_grad else made

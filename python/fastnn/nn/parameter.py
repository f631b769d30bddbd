# SPDX-License-Identifier: BSD-3-Clause
"""``Parameter``: a tensor that a module trains; ``Buffer``: one that it keeps."""

from __future__ import annotations

from typing import Any

from fastnn.tensor import Tensor

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A leaf tensor that a module, when it is assigned as an attribute, lists among its
    parameters. It shares memory with ``data``. Results of operations on it are plain Tensors.
    """

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        given: object = data
        if given is None:
            super().__init__()
        elif isinstance(given, Tensor):
            # A view: saved arrays are matched with their tensors by identity.
            self.array, self.storage = given.array.view(), given.storage
        else:
            message = (
                f"Parameter: expected a Tensor, got {type(given).__name__};"
                " make one first, for example with fastnn.tensor(...)"
            )
            raise TypeError(message)
        if requires_grad:
            self.requires_grad_()

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            # The gradient stays behind, as in torch: a copied model starts without.
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        found: Parameter = memo[id(self)]
        return found


class Buffer(Tensor):
    """A tensor that a module, when it is assigned as an attribute, lists among its buffers, as
    ``register_buffer`` does. It shares memory with ``data`` and requires no grad.

    persistent: whether it is in the module's ``state_dict``.
    """

    persistent: bool = True

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        given: object = data
        if given is None:
            super().__init__()
        elif isinstance(given, Tensor):
            self.array, self.storage = given.array.view(), given.storage
        else:
            message = (
                f"Buffer: expected a Tensor, got {type(given).__name__};"
                " make one first, for example with fastnn.tensor(...)"
            )
            raise TypeError(message)
        self.persistent = persistent

# SPDX-License-Identifier: BSD-3-Clause
"""``Module``: the base class of layers and models, with torch's interface.

The parts stand in files of their own, each building on the one before: ``_registry`` (what a
module owns), ``_hooks``, ``_state`` (state_dict), ``_traversal`` (the named_* family).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastnn._backend import bump_mutation_stamp
from fastnn._device import device as Device
from fastnn._dtypes import argument
from fastnn.autograd import no_grad
from fastnn.nn._hooks import call_with_hooks
from fastnn.nn._registry import type_name
from fastnn.nn._state import State
from fastnn.nn._traversal import Traversal
from fastnn.tensor import Tensor

__all__ = ["Module"]

_Self = TypeVar("_Self", bound="Module")


def _indent(text: str) -> str:
    """``text`` with every line but the first moved in by two columns."""
    return text.replace("\n", "\n  ")


class Module(State, Traversal):
    """Base class of everything that has parameters.

    A subclass calls ``super().__init__()`` first, assigns its :class:`Parameter`, buffers and
    child modules as attributes, and defines ``forward``. Calling the module runs ``forward``
    and the hooks. ``training`` says which mode it is in; ``train()`` and ``eval()`` set it.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._call_hooks:
            return call_with_hooks(self, args, kwargs)
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        message = (
            f"{type(self).__name__}: expected a method of its own, got none: Module"
            f' [{type(self).__name__}] is missing the required "forward" function; define'
            " forward(self, ...) in the class"
        )
        raise NotImplementedError(message)

    # ---- modes ----

    def train(self: _Self, mode: bool = True) -> _Self:
        """Set training mode (or evaluation mode) for this module and all below it."""
        given: object = mode
        if not isinstance(given, bool):
            message = (
                f"{type(self).__name__}.train: expected training mode as a boolean, got "
                f"{type_name(given)}; True trains, False evaluates"
            )
            raise ValueError(message)
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: _Self) -> _Self:
        """Set evaluation mode: the same as ``train(False)``."""
        return self.train(False)

    def requires_grad_(self: _Self, requires_grad: bool = True) -> _Self:
        """Freeze (``False``) or unfreeze every parameter."""
        bump_mutation_stamp()
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or with ``set_to_none=False`` fill them with
        zeros in place."""
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                with no_grad():
                    if parameter.grad.grad_fn is not None:
                        parameter.grad.detach_()
                    parameter.grad.requires_grad_(False)
                    parameter.grad.zero_()

    # ---- conversion ----

    def apply(self: _Self, fn: Callable[[Module], Any]) -> _Self:
        """Call ``fn`` on every module below this one, then on this one."""
        if not callable(fn):
            message = (
                f"apply: expected a function of a module, got {type(fn).__name__}; pass fn itself, "
                "not what it returns"
            )
            raise TypeError(message)
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def _apply(self: _Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _Self:
        """Replace the memory of every parameter, gradient and buffer by ``fn`` of it. The
        Parameter objects stay, so an optimiser made before still has the right ones."""
        bump_mutation_stamp()
        if recurse:
            for child in self.children():
                child._apply(fn)
        with no_grad():
            for parameter in self._parameters.values():
                if parameter is None:
                    continue
                grad = parameter.grad
                new = fn(parameter.detach())
                new_grad = None if grad is None else fn(grad.detach())
                parameter.grad = None  # a gradient of the old dtype must not meet the new data
                parameter.data = new
                parameter.grad = new_grad
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
        return self

    def to(self: _Self, *args: Any, **kwargs: Any) -> _Self:
        """``to(dtype)``, ``to(device)``, ``to(device, dtype)`` or ``to(tensor)``, in place.

        A dtype, which must be floating, is applied to floating parameters and buffers only.
        """
        device, dtype = _parse_to(*args, **kwargs)
        if dtype is not None and not dtype.is_floating_point:
            message = (
                f"Module.to: expected a floating point dtype, got {dtype}; integer buffers are "
                "converted one by one with Tensor.to"
            )
            raise TypeError(message)

        def convert(value: Tensor) -> Tensor:
            return value.to(device=device, dtype=dtype if value.is_floating_point() else None)

        return self._apply(convert)

    def type(self: _Self, dst_type: Any) -> _Self:
        """Convert every parameter and buffer, integer ones too, to ``dst_type``."""
        return self._apply(lambda value: value.to(dtype=dst_type))

    def float(self: _Self) -> _Self:
        """Convert floating parameters and buffers to float32."""
        return self._apply(lambda value: value.float() if value.is_floating_point() else value)

    def double(self: _Self) -> _Self:
        """Convert floating parameters and buffers to float64."""
        return self._apply(lambda value: value.double() if value.is_floating_point() else value)

    def half(self: _Self) -> _Self:
        """Convert floating parameters and buffers to float16."""
        return self._apply(lambda value: value.half() if value.is_floating_point() else value)

    def bfloat16(self: _Self) -> _Self:
        """Convert floating parameters and buffers to bfloat16, which needs ml_dtypes."""
        return self._apply(lambda value: value.bfloat16() if value.is_floating_point() else value)

    def cpu(self: _Self) -> _Self:
        """Move parameters and buffers to the CPU."""
        return self._apply(lambda value: value.to(device="cpu"))

    def cuda(self: _Self, device: Any = None) -> _Self:
        """Move parameters and buffers to the GPU, by default the current one."""
        where = "cuda" if device is None else device
        return self._apply(lambda value: value.cuda(where))

    # ---- representation ----

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the parentheses in ``repr``; layers override it."""
        return ""

    def _child_lines(self) -> list[str]:
        return [f"({name}): {_indent(repr(child))}" for name, child in self._modules.items()]

    def __repr__(self) -> str:
        extra = self.extra_repr()
        extra_lines = extra.split("\n") if extra else []
        child_lines = self._child_lines()
        lines = extra_lines + child_lines
        if not lines:
            body = ""
        elif len(lines) == 1 and extra_lines:
            body = lines[0]
        else:
            body = "\n  " + "\n  ".join(lines) + "\n"
        return f"{self._get_name()}({body})"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        bump_mutation_stamp()


def _parse_to(
    device: Any = None,
    dtype: Any = None,
    non_blocking: bool = False,  # noqa: ARG001 (torch's signature; copies are ordered anyway)
) -> tuple[Any, Any]:
    """The ``(device, dtype)`` that the arguments of ``Module.to`` name; ``None`` for neither."""
    if isinstance(device, Tensor):
        return device.device, device.dtype
    if device is None or isinstance(device, str | Device):
        return (None if device is None else Device(device)), argument("Module.to", dtype)
    return None, argument("Module.to", device)

# SPDX-License-Identifier: BSD-3-Clause
"""`Function`: an operation of one's own, with its gradient, as torch.autograd.Function.

    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, grad_y):
            (y,) = ctx.saved_tensors
            return grad_y * y

    y = Exp.apply(x)

``forward`` runs on tensors, unrecorded. ``backward`` is recorded under ``create_graph=True``, so
that it has derivatives where its operations have.
"""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from fastnn._grad_mode import _mode, is_grad_enabled, no_grad
from fastnn._op import Op, tensor_class
from fastnn._view_history import check_view
from fastnn.autograd._context import FunctionCtx
from fastnn.autograd._function_node import FunctionNode, Outputs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Function", "FunctionCtx", "InplaceFunction", "once_differentiable"]


class Function:
    """Base class of operations with a gradient that users write; see the head of this file.

    A subclass defines the static methods ``forward(ctx, *args)`` and ``backward(ctx, *grads)``, and
    is called as ``apply(*args)``; or ``forward(*args)`` and ``setup_context(ctx, inputs, output)``.
    ``backward`` is given one gradient for each output and returns one, or None, for each argument.
    """

    _node_class: ClassVar[type[FunctionNode]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        name = f"{cls.__name__}Backward"
        cls._node_class = type(name, (FunctionNode,), {"name": cls.__name__, "function": cls})
        cls._node_class.name.node = name  # type: ignore[attr-defined]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: a Function has no instances to call."""
        del args, kwargs
        message = (
            f"{type(self).__name__}: expected a call of the class's method apply, got a call of an "
            "instance; write the methods as static ones and call "
            f"{type(self).__name__}.apply(...)"
        )
        raise RuntimeError(message)

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Computes the outputs: ``forward(ctx, *args)``, or ``forward(*args)`` beside
        `setup_context`."""
        del args, kwargs
        _missing("forward")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Saves what backward needs, where forward has no ``ctx``."""
        del ctx, inputs, output
        _missing("setup_context")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the arguments of forward, given those of its outputs."""
        del ctx, grad_outputs
        _missing("backward")

    # The other name of backward.
    vjp = backward

    @classmethod
    def _backward_of(cls) -> Callable[..., Any]:
        own = cls.vjp if cls.vjp is not Function.vjp else cls.backward
        if cls.vjp is not Function.vjp and cls.backward is not Function.backward:
            message = (
                f"{cls.__name__}: expected either backward or vjp, got both; they are names of the "
                "same method: keep one"
            )
            raise RuntimeError(message)
        return own

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs forward on the arguments and records the call where one of them requires grad."""
        split = cls.setup_context is not Function.setup_context
        if split:
            args = _bound(cls.forward, args, kwargs)
        elif kwargs:
            message = (
                f"{cls.__name__}: expected positional arguments, got {', '.join(kwargs)} by name; "
                "pass them by position, or define setup_context"
            )
            raise TypeError(message)
        kind = tensor_class()
        tensors = [a if isinstance(a, kind) else None for a in args]
        recording = _mode.enabled
        for t in tensors:
            if recording and t is not None:
                check_view(cls.__name__, t)
        node = cls._node_class()
        node.needs = tuple([t is not None and t._requires_grad for t in tensors])
        ctx = FunctionCtx(node)
        with no_grad():
            if split:
                given = cls.forward(*args)
                cls.setup_context(ctx, args, given)
            else:
                given = cls.forward(ctx, *args)
        outputs = given if isinstance(given, tuple) else (given,)
        results = Outputs(node, ctx, tensors, outputs, recording and any(node.needs)).wrapped()
        watch = sys.modules.get("fastnn._watch")
        if watch is not None and watch.switches.anomaly:
            watch.note_line(node)
            watch.look(cls.__name__, tensors, args, results)
        return tuple(results) if isinstance(given, tuple) else results[0]


class _Twice(Op):
    """Identity whose gradient is an error."""

    def forward(self, *arrays: Any) -> Any:
        return arrays

    def backward(self, *grads: Any) -> tuple[Any, ...]:
        del grads
        message = (
            "once_differentiable: expected one derivative, got a request for a second: trying to "
            "differentiate twice a function that was marked with @once_differentiable; remove the "
            "mark if backward consists of differentiable operations"
        )
        raise RuntimeError(message)

    backward_graph = backward


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a backward that is never recorded: a derivative of its results is an error."""

    @functools.wraps(fn)
    def wrapper(ctx: Any, *grads: Any) -> Any:
        kind = tensor_class()
        with no_grad():
            found = fn(ctx, *grads)
        needed = any(isinstance(g, kind) and g.requires_grad for g in grads)
        if not is_grad_enabled() or not needed:
            return found
        results = list(found) if isinstance(found, tuple) else [found]
        places = [i for i, r in enumerate(results) if isinstance(r, kind)]
        if places:
            fake = tuple([results[i].detach().requires_grad_() for i in places])
            for i, made in zip(places, _Twice.apply(fake), strict=True):
                results[i] = made
        return tuple(results) if isinstance(found, tuple) else results[0]

    return wrapper


class InplaceFunction(Function):
    """`Function` under an old name, for code that has it; ``inplace`` is kept."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


def _missing(name: str) -> NoReturn:
    message = (
        f"Function: expected a static method {name} in the subclass, got none; define {name} there"
    )
    raise NotImplementedError(message)


def _bound(forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Positional arguments with defaults filled in, by the signature of forward."""
    bound = inspect.signature(forward).bind(*args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        message = (
            f"Function: expected a forward without keyword-only arguments, got "
            f"{', '.join(bound.kwargs)}; make them positional"
        )
        raise TypeError(message)
    return bound.args

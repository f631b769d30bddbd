# SPDX-License-Identifier: BSD-3-Clause
"""Differentiation: backward, grad, hooks and the recording switches; `Function` for operations of
one's own, `Op` for those of fastnn."""

from __future__ import annotations

import importlib
import weakref
from typing import TYPE_CHECKING, Any, cast

from fastnn import _backend, _engine, _joint_hooks
from fastnn._engine import run_backward
from fastnn._grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from fastnn._gradcheck import gradcheck, gradgradcheck
from fastnn._gradients import AfterAccumulation
from fastnn._hooks import RemovableHandle
from fastnn._op import Op, Storage, check_view, tensor_class
from fastnn.autograd._batches import grad_of_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastnn.autograd import anomaly_mode, function, functional, grad_mode, graph, variable
    from fastnn.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
    from fastnn.autograd.function import Function
    from fastnn.autograd.variable import Variable
    from fastnn.tensor import Tensor

# Imported at first use.
_MODULES = ("anomaly_mode", "function", "functional", "grad_mode", "graph", "variable")
_HOMES = {
    "Function": "function",
    "Variable": "variable",
    "detect_anomaly": "anomaly_mode",
    "set_detect_anomaly": "anomaly_mode",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"fastnn.autograd.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"fastnn.autograd.{_HOMES[name]}"), name)
    message = f"module 'fastnn.autograd' has no attribute {name!r}"
    raise AttributeError(message)


def _as_list(tensors: Any) -> list[Any]:
    return list(tensors) if isinstance(tensors, tuple | list) else [tensors]


def _gradients(roots: list[Any], given: Any) -> list[Any]:
    if given is None:
        return [None] * len(roots)
    if isinstance(given, tensor_class() | tuple | list):
        return _as_list(given)
    message = (
        f"backward: expected the gradient as a Tensor, got {type(given).__name__}; make one with "
        "fastnn.tensor(...)"
    )
    raise TypeError(message)


def _wanted(op: str, inputs: Any) -> list[Any]:
    wanted = _as_list(inputs)
    if not wanted:
        message = (
            f"{op}: expected at least one tensor in inputs, got none; name the tensors whose "
            "gradients are wanted"
        )
        raise RuntimeError(message)
    for t in wanted:
        if not isinstance(t, tensor_class()):
            message = (
                f"{op}: expected inputs to be Tensors, got {type(t).__name__}; pass the tensors "
                "themselves, not names or values"
            )
            raise RuntimeError(message)
    return wanted


def _zeros(t: Any) -> Any:
    table = _backend.kernels(t.array)
    array = table.empty(t.array.shape, t.array.dtype)
    table.fill(table.xp.zeros(1, array.dtype), array)
    return tensor_class()._wrap(array)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Adds the gradients of ``tensors`` to ``.grad`` of the leaves that they were computed from.

    ``grad_tensors``: the gradient of each tensor that has more than one element.
    ``retain_graph``: keep what was saved, so that backward can run again (default: create_graph).
    ``create_graph``: record the backward pass itself, for higher derivatives.
    ``inputs``: the only tensors whose ``.grad`` is added to; of one that is no leaf the gradient is
    kept as by `retain_grad`.  ``grad_variables`` is the old name of ``grad_tensors``.
    """
    simple = grad_tensors is None and inputs is None and grad_variables is None
    native = _engine.native
    simple = simple and native is not None and not create_graph and not _joint_hooks.waiting
    if simple and native.backward_of(tensors, bool(retain_graph)):
        return
    if grad_variables is not None:
        if grad_tensors is not None:
            message = (
                "backward: expected grad_tensors or grad_variables, its old name, got both; pass "
                "grad_tensors alone"
            )
            raise RuntimeError(message)
        grad_tensors = grad_variables
    roots = _as_list(tensors)
    grads = _gradients(roots, grad_tensors)
    keep = create_graph if retain_graph is None else retain_graph
    wanted = None if inputs is None else _wanted("backward", inputs)
    for t in wanted or ():
        retain_grad(t)
    run_backward(roots, grads, keep, create_graph, wanted, accumulate=True)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,  # noqa: ARG001  (torch's signature, where it changes nothing either)
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of ``outputs`` with respect to ``inputs``. ``.grad`` is left alone,
    but for tensors between them that `retain_grad` was called on.

    For an input that the outputs do not depend on: None with ``allow_unused``, zeros with
    ``materialize_grads``, else RuntimeError. ``is_grads_batched``: the first dimension of all
    grad_outputs, and of what is returned, counts gradients, each of which has a pass of its own.
    """
    if materialize_grads and allow_unused is False:
        message = (
            "grad: expected allow_unused to be True or left out with materialize_grads=True, got "
            "False; leave it out"
        )
        raise ValueError(message)
    roots, wanted = _as_list(outputs), _wanted("grad", inputs)
    grads = _gradients(roots, grad_outputs)
    keep = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        options = {"allow_unused": allow_unused, "materialize_grads": materialize_grads}
        return grad_of_batch(
            grad, roots, grads, keep, inputs=wanted, create_graph=create_graph, **options
        )
    for i, t in enumerate(wanted):
        if not t.requires_grad:
            message = (
                f"grad: expected inputs that require grad, got input {i} without; call "
                "requires_grad_() on it before the outputs are computed"
            )
            raise RuntimeError(message)
    for t in wanted:
        check_view("grad", t)
    work = run_backward(roots, grads, keep, create_graph, wanted, accumulate=False)
    found: list[Tensor | None] = []
    for i, t in enumerate(wanted):
        key = (id(t), -1) if t._node is None else (id(t._node), t._output_nr)
        value = work.captured.get(key)
        if value is None and materialize_grads:
            value = _zeros(t)
            found.append(value.requires_grad_() if create_graph else value)
            continue
        if value is None and not allow_unused:
            message = (
                f"grad: expected outputs that depend on input {i}, got others; pass "
                "allow_unused=True to get None"
            )
            raise RuntimeError(message)
        if value is not None and not create_graph:
            value = tensor_class()._wrap(value)
        found.append(cast("Tensor | None", value))
    return tuple(found)


def add_hook(t: Any, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Registers a function that sees, and may replace, the gradient of a tensor."""
    if not t.requires_grad:
        message = (
            "register_hook: expected a tensor that requires grad, got one without; call "
            "requires_grad_() first"
        )
        raise RuntimeError(message)
    check_view("register_hook", t)
    if t._node is None:
        if t._hooks is None:
            t._hooks = {}
        return RemovableHandle(t._hooks, hook, t)
    if t._node.hooks is None:
        t._node.hooks = {}
    return RemovableHandle(t._node.hooks.setdefault(t._output_nr, {}), hook)


def add_hook_after(t: Any, hook: Callable[[Tensor], None]) -> RemovableHandle:
    """Registers a function that sees a leaf once its ``.grad`` has been added to."""
    name = "register_post_accumulate_grad_hook"
    if not t._requires_grad:
        message = (
            f"{name}: expected a tensor that requires grad, got one without; call "
            "requires_grad_() first"
        )
        raise RuntimeError(message)
    if t._node is not None:
        message = (
            f"{name}: expected a leaf, got the result of an operation, which has no .grad to add "
            "to; use register_hook"
        )
        raise RuntimeError(message)
    if not callable(hook):
        message = (
            f"{name}: expected a hook that can be called, got {type(hook).__name__}; pass a "
            "function"
        )
        raise TypeError(message)
    if t._hooks is None:
        t._hooks = {}
    return RemovableHandle(t._hooks, AfterAccumulation(hook), t)


def retain_grad(t: Any) -> None:
    """Keeps the gradient of a tensor that is no leaf in its ``.grad``."""
    if not t.requires_grad:
        message = (
            "retain_grad: expected a tensor that requires grad, got one without; call "
            "requires_grad_() first"
        )
        raise RuntimeError(message)
    check_view("retain_grad", t)
    if t._node is not None:
        if t._node.retained is None:
            t._node.retained = {}
        t._node.retained[t._output_nr] = weakref.ref(t)


def is_retained(t: Any) -> bool:
    """Whether the gradient of a tensor that is no leaf is kept in its ``.grad``."""
    kept = None if t._node is None or t._node.retained is None else t._node.retained
    return kept is not None and t._output_nr in kept and kept[t._output_nr]() is t


__all__ = [
    "Function",
    "Op",
    "RemovableHandle",
    "Storage",
    "Variable",
    "anomaly_mode",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "function",
    "functional",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "retain_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
    "variable",
]

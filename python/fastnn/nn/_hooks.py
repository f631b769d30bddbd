# SPDX-License-Identifier: BSD-3-Clause
"""Hooks around ``Module.__call__`` and around ``state_dict`` / ``load_state_dict``.

A module has one ordered table of call hooks, whose emptiness is the only thing that
``Module.__call__`` looks at, and one of state hooks. Each entry says what kind it is.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from fastnn._hooks import RemovableHandle
from fastnn.nn._backward_hooks import BackwardHooks, watch_last_operation
from fastnn.nn._registry import Registry, type_name

if TYPE_CHECKING:
    from fastnn.nn.module import Module


class CallHook(NamedTuple):
    """A hook that runs when the module is called. ``kind`` is ``forward_pre``, ``forward``,
    ``backward_pre``, ``backward`` or ``backward_last``."""

    kind: str
    fn: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


class StateHook(NamedTuple):
    """A hook on saving or loading. ``kind`` is ``save_pre``, ``save_post``, ``load_pre`` or
    ``load_post``."""

    kind: str
    fn: Callable[..., Any]


_H = TypeVar("_H", CallHook, StateHook)


def add_hook(table: OrderedDict[int, _H], hook: _H, *, prepend: bool = False) -> RemovableHandle:
    """Enter ``hook`` into ``table`` (first if ``prepend``) and return its handle."""
    handle = RemovableHandle(table, hook)
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


def of_kind(hooks: dict[int, _H], kind: str) -> Iterator[_H]:
    """The hooks of one kind, in order. The table is copied: a hook may remove itself."""
    for hook in list(hooks.values()):
        if hook.kind == kind:
            yield hook


class Hooks(Registry):
    """Registration of hooks. Every method returns a handle with ``remove()``."""

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Run ``hook(module, args)`` before ``forward``; what it returns, unless ``None``,
        replaces the positional arguments. With ``with_kwargs``: ``hook(module, args, kwargs)``,
        which returns ``None`` or ``(args, kwargs)``."""
        return add_hook(
            self._call_hooks, CallHook("forward_pre", hook, with_kwargs), prepend=prepend
        )

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Run ``hook(module, args, output)`` after ``forward``; what it returns, unless
        ``None``, replaces the output. With ``with_kwargs``: ``hook(module, args, kwargs,
        output)``. With ``always_call`` it also runs, with output ``None``, if the call raises."""
        return add_hook(
            self._call_hooks, CallHook("forward", hook, with_kwargs, always_call), prepend=prepend
        )

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Run ``hook(module, grad_output)`` before the backward pass enters the module; what it
        returns, unless ``None``, replaces ``grad_output`` (a tuple)."""
        return add_hook(self._call_hooks, CallHook("backward_pre", hook), prepend=prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Run ``hook(module, grad_input, grad_output)`` when the gradients of the module's
        positional tensor inputs are there; what it returns, unless ``None``, replaces
        ``grad_input`` (a tuple; ``None`` for arguments that are not tensors)."""
        self._refuse_both_kinds("backward_last")
        return add_hook(self._call_hooks, CallHook("backward", hook), prepend=prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """The old form of :meth:`register_full_backward_hook`: ``hook(module, grad_input,
        grad_output)`` runs after the backward of the last operation in ``forward`` alone, and is
        given that operation's gradients."""
        self._refuse_both_kinds("backward")
        return add_hook(self._call_hooks, CallHook("backward_last", hook))

    def _refuse_both_kinds(self, other: str) -> None:
        if any(hook.kind == other for hook in self._call_hooks.values()):
            message = (
                f"{type(self).__name__}: expected backward hooks of one kind, got "
                "register_backward_hook and register_full_backward_hook; use the latter alone"
            )
            raise RuntimeError(message)

    def register_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Run ``hook(module, prefix, keep_vars)`` before the module saves itself."""
        return add_hook(self._state_hooks, StateHook("save_pre", hook))

    def register_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Run ``hook(module, state_dict, prefix, local_metadata)`` after the module and its
        children have saved themselves; it may edit ``state_dict`` in place."""
        return add_hook(self._state_hooks, StateHook("save_post", hook))

    def register_load_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Run ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)`` before the module loads its own entries."""
        return add_hook(self._state_hooks, StateHook("load_pre", hook))

    def register_load_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Run ``hook(module, incompatible_keys)`` after the module and its children have loaded;
        it may edit the two lists in place."""
        return add_hook(self._state_hooks, StateHook("load_post", hook))


def _run_forward_pre(
    module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for hook in of_kind(module._call_hooks, "forward_pre"):
        if hook.with_kwargs:
            changed = hook.fn(module, args, kwargs)
            if changed is None:
                continue
            if not (isinstance(changed, tuple) and len(changed) == 2):
                message = (
                    f"{type(module).__name__}: expected None or a tuple of (new_args, new_kwargs) "
                    f"from a forward pre-hook, got {type_name(changed)}; register it without "
                    "with_kwargs to return the arguments alone"
                )
                raise RuntimeError(message)
            args, kwargs = changed
        else:
            changed = hook.fn(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    return args, kwargs


def _run_forward(
    module: Module, hook: CallHook, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
) -> Any:
    if hook.with_kwargs:
        return hook.fn(module, args, kwargs, output)
    return hook.fn(module, args, output)


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``module(*args, **kwargs)`` for a module that has call hooks."""
    done: set[int] = set()
    try:
        args, kwargs = _run_forward_pre(module, args, kwargs)
        backward = BackwardHooks.of(module)
        if backward is not None:
            args = backward.watch_inputs(args)
        output = module.forward(*args, **kwargs)
        for key, hook in list(module._call_hooks.items()):
            if hook.kind == "forward":
                done.add(key)
                changed = _run_forward(module, hook, args, kwargs, output)
                if changed is not None:
                    output = changed
        for hook in of_kind(module._call_hooks, "backward_last"):
            watch_last_operation(module, hook.fn, output)
        if backward is not None:
            output = backward.watch_outputs(output)
    except Exception:
        for key, hook in list(module._call_hooks.items()):
            if hook.kind == "forward" and hook.always_call and key not in done:
                try:
                    _run_forward(module, hook, args, kwargs, None)
                except Exception as error:  # the first error is the one to report
                    message = (
                        f"{type(module).__name__}: forward hook with always_call raised, and is"
                        f" ignored: {error!r}; after an error its output is None: let it"
                        " take that"
                    )
                    warnings.warn(message, stacklevel=2)
        raise
    return cast("Any", output)

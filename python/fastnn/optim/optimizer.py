# SPDX-License-Identifier: BSD-3-Clause
"""``Optimizer``: parameter groups, state, and the step with its hooks."""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastnn._backend import bump_mutation_stamp
from fastnn._grad_mode import _mode, enable_grad, no_grad
from fastnn._hooks import RemovableHandle
from fastnn.optim._groups import make_group, required
from fastnn.optim._missing import saw_gradients
from fastnn.optim._state import pack, unpack
from fastnn.tensor import Tensor

__all__ = ["Optimizer", "required"]

_HOOK_KINDS = ("step_pre", "step_post", "save_pre", "save_post", "load_pre", "load_post")


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` with its hooks around it and nothing recorded inside."""

    @functools.wraps(step)
    def run(*args: Any, **kwargs: Any) -> Any:
        self: Optimizer = args[0]  # hooks see it among the arguments, as torch's do
        hooks = self._hooks
        for hook in list(hooks["step_pre"].values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    message = (
                        f"{type(self).__name__}: expected None or a tuple of (new_args, "
                        f"new_kwargs) from {hook}, got {changed!r}; return None to change nothing"
                    )
                    raise RuntimeError(message)
                args, kwargs = changed
        before = _mode.enabled
        _mode.enabled = False
        try:
            result = step(*args, **kwargs)
        finally:
            _mode.enabled = before
        if not self._saw_gradients:  # after the step, as a closure makes them in it
            self._saw_gradients = saw_gradients(type(self).__name__, self.param_groups)
        for hook in list(hooks["step_post"].values()):
            hook(self, args, kwargs)
        return result

    return run


class Optimizer:
    """Base class of the optimisers.

    params: tensors, ``(name, tensor)`` pairs (``model.named_parameters()``), or dictionaries that
            each describe a group: ``{"params": ..., "lr": ...}``. The order must be fixed. A
            parameter that comes twice in a group is updated twice, with a warning.
    defaults: the options of a group that does not name them.

    A subclass defines ``step(closure=None)``. ``param_groups`` is the list of groups and may be
    edited; ``state`` holds what the method remembers of each parameter. The first step that sees
    gradients warns of parameters that require one and have none.
    """

    defaults: dict[str, Any]
    state: defaultdict[Tensor, dict[str, Any]]
    param_groups: list[dict[str, Any]]
    _hooks: dict[str, OrderedDict[int, Callable[..., Any]]]
    _saw_gradients = False  # of all parameters there are: `_missing`

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.state = defaultdict(dict)
        self.param_groups = []
        self._hooks = {kind: OrderedDict() for kind in _HOOK_KINDS}
        name = type(self).__name__
        if isinstance(params, Tensor):
            message = (
                f"{name}: expected params as an iterable of Tensors or dicts, got "
                f"{type(params).__name__}; pass [tensor]"
            )
            raise TypeError(message)
        if isinstance(params, Mapping) or not isinstance(params, Iterable):
            message = (
                f"{name}: expected params as an iterable of Tensors, of (name, Tensor) pairs or of "
                f"dicts, got {type(params).__name__}; pass model.parameters()"
            )
            raise TypeError(message)
        groups = list(params)
        if not groups:
            message = (
                f"{name}: expected one parameter or more, got an empty parameter list; call "
                "model.parameters() anew, for a generator is used up once, or see that the model "
                "has any"
            )
            raise ValueError(message)
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group ``{"params": ..., option: value, ...}``, for example when unfreezing."""
        known = {id(p) for group in self.param_groups for p in group["params"]}
        named = [("param_names" in group) for group in self.param_groups]
        group = make_group(type(self).__name__, param_group, self.defaults, known)
        if named and ("param_names" in group) != named[0]:
            message = (
                f"{type(self).__name__}: expected all param groups with names or all without, got "
                "both; pass named_parameters() to every group or to none"
            )
            raise ValueError(message)
        bump_mutation_stamp()
        self._saw_gradients = False
        self.param_groups.append(group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters from their gradients. ``closure`` recomputes the loss."""
        message = (
            f"{type(self).__name__}: expected the required method step(closure=None), got none; "
            "define it in the class"
        )
        raise NotImplementedError(message)

    @staticmethod
    def _evaluate(closure: Callable[[], Any] | None) -> Any:
        """The loss that ``closure`` computes, with gradients on, or None."""
        if closure is None:
            return None
        with enable_grad():
            return closure()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or with ``set_to_none=False`` fill them with zeros in place."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if set_to_none:
                    p.grad = None
                else:
                    with no_grad():
                        if p.grad.grad_fn is not None:
                            p.grad.detach_()
                        p.grad.requires_grad_(False)
                        p.grad.zero_()

    # ---- hooks ----

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Run ``hook(optimizer, args, kwargs)`` before ``step``; it may return new arguments.
        The first of ``args`` is the optimiser itself."""
        return RemovableHandle(self._hooks["step_pre"], hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Run ``hook(optimizer, args, kwargs)`` after ``step``."""
        return RemovableHandle(self._hooks["step_post"], hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Run ``hook(optimizer)`` before ``state_dict``."""
        return RemovableHandle(self._hooks["save_pre"], hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Run ``hook(optimizer, state_dict)`` after; it may return another dictionary."""
        return RemovableHandle(self._hooks["save_post"], hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Run ``hook(optimizer, state_dict)`` before loading; it may return another dictionary."""
        return RemovableHandle(self._hooks["load_pre"], hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Run ``hook(optimizer)`` after loading."""
        return RemovableHandle(self._hooks["load_post"], hook)

    # ---- saving and loading ----

    def state_dict(self) -> dict[str, Any]:
        """``{"state": {index: ...}, "param_groups": [...]}``, parameters replaced by their index
        in the order of the groups. The state's tensors are shared, not copied."""
        for hook in list(self._hooks["save_pre"].values()):
            hook(self)
        packed = pack(self.param_groups, self.state)
        for hook in list(self._hooks["save_post"].values()):
            changed = hook(self, packed)
            packed = packed if changed is None else changed
        return packed

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over options and state that :meth:`state_dict` gave, also from torch. Values are
        copied, and state of floating parameters is converted to the parameter's dtype.

        Errors: ValueError unless groups and their sizes match those of this optimiser.
        """
        if not hasattr(state_dict, "keys"):
            message = (
                f"{type(self).__name__}.load_state_dict: expected a dictionary, got "
                f"{type(state_dict).__name__}; pass what state_dict() gave"
            )
            raise TypeError(message)
        loaded = dict(state_dict)
        for hook in list(self._hooks["load_pre"].values()):
            changed = hook(self, loaded)
            loaded = loaded if changed is None else changed
        groups, state = unpack(type(self).__name__, self.param_groups, loaded)
        self.__setstate__({"state": state, "param_groups": groups})
        for hook in list(self._hooks["load_post"].values()):
            hook(self)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "state": self.state,
            "param_groups": self.param_groups,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_hooks" not in self.__dict__:  # made by unpickling: hooks are not part of a pickle
            self._hooks = {kind: OrderedDict() for kind in _HOOK_KINDS}
        for group in self.param_groups:
            for name, value in self.defaults.items():  # options newer than the file
                if name not in group:
                    group[name] = copy.copy(value)
        bump_mutation_stamp()

    def __repr__(self) -> str:
        groups = []
        for i, group in enumerate(self.param_groups):
            lines = [f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params"]
            groups.append(f"\nParameter Group {i}\n{''.join(lines)}")
        return f"{type(self).__name__} ({''.join(groups)})"

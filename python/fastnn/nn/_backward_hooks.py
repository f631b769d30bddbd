# SPDX-License-Identifier: BSD-3-Clause
"""Full backward hooks of modules.

The inputs and the outputs of the call each pass through one identity operation. In the backward
pass the one at the outputs runs when all ``grad_output`` are there, the one at the inputs when all
``grad_input`` are; each hands them to the hooks, which may replace them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastnn.autograd import Op, is_grad_enabled
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from fastnn.nn.module import Module

_Grads = tuple[Tensor | None, ...]


class _Watch(Op):
    """Identity of several tensors that shows their gradients to a function on the way back."""

    name = "module backward hook"
    seen: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]

    def forward(self, *args: Any) -> Any:
        self.seen = args[-1]
        return args[:-1]

    def backward(self, *grads: Any) -> tuple[Any, ...]:
        return tuple(g.array for g in self.seen(tuple(Tensor._wrap(g) for g in grads)))

    def backward_graph(self, *grads: Any) -> tuple[Any, ...]:
        return self.seen(grads)


def _watch(
    values: tuple[Any, ...],
    positions: list[int],
    seen: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]],
) -> tuple[Any, ...]:
    """``values`` with those at ``positions`` behind a `_Watch`."""
    sources = tuple(values[i] for i in positions)
    watched = list(values)
    for i, source, result in zip(positions, sources, _Watch.apply(sources, seen), strict=True):
        # The same memory: in-place operations must be seen on both, and are refused on this one.
        result.storage = source.storage
        result._rebase_stamp = source.storage.rebased
        result._view = (source, (), _Watch.name)
        watched[i] = result
    return tuple(watched)


def _differentiable(values: tuple[Any, ...]) -> list[int]:
    return [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]


def _spread(grads: tuple[Tensor, ...], positions: list[int], count: int) -> _Grads:
    """The gradients at their arguments' positions, ``None`` for the other arguments."""
    full: list[Tensor | None] = [None] * count
    for i, grad in zip(positions, grads, strict=True):
        full[i] = grad
    return tuple(full)


def _as_grads(owner: Module, changed: Any, expected: int, what: str) -> _Grads:
    grads = tuple(changed) if isinstance(changed, (tuple, list)) else (changed,)
    if len(grads) != expected:
        message = (
            f"{type(owner).__name__}: Backward hook returned an invalid number of {what}, got"
            f" {len(grads)}, but expected {expected}; return a tuple with one entry per {what}, or"
            " None"
        )
        raise RuntimeError(message)
    return grads


class BackwardHooks:
    """The backward hooks of one call of a module."""

    def __init__(self, module: Module, pre: list[Any], full: list[Any]) -> None:
        self.module = module
        self.pre = pre
        self.full = full
        self.inputs: list[int] = []
        self.n_inputs = 0
        self.outputs: list[int] = []
        self.n_outputs = 0
        self.grad_output: _Grads | None = None

    @staticmethod
    def of(module: Module) -> BackwardHooks | None:
        """The hooks that this call needs, or None if there are none or nothing is recorded."""
        hooks = module._call_hooks.values()
        pre = [hook.fn for hook in hooks if hook.kind == "backward_pre"]
        full = [hook.fn for hook in hooks if hook.kind == "backward"]
        return BackwardHooks(module, pre, full) if (pre or full) and is_grad_enabled() else None

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.n_inputs = len(args)
        self.inputs = _differentiable(args)
        return _watch(args, self.inputs, self._at_inputs) if self.inputs and self.full else args

    def watch_outputs(self, output: Any) -> Any:
        values = tuple(output) if isinstance(output, (tuple, list)) else (output,)
        self.n_outputs = len(values)
        self.outputs = _differentiable(values)
        if not self.outputs:
            return output
        watched = _watch(values, self.outputs, self._at_outputs)
        if not isinstance(output, (tuple, list)):
            return watched[0]
        if hasattr(output, "_fields"):  # a named tuple
            return type(output)(*watched)
        return type(output)(watched)

    def _at_outputs(self, grads: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        grad_output = _spread(grads, self.outputs, self.n_outputs)
        for hook in self.pre:
            changed = hook(self.module, grad_output)
            if changed is not None:
                grad_output = _as_grads(self.module, changed, self.n_outputs, "grad_output")
        self.grad_output = grad_output
        if not self.inputs:  # no gradient will arrive at the inputs: the hooks run now
            self._run_full((None,) * self.n_inputs)
        return self._pick(grad_output, self.outputs, grads)

    def _at_inputs(self, grads: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.grad_output is None:  # the inputs were used, but not through the outputs
            return grads
        grad_input = self._run_full(_spread(grads, self.inputs, self.n_inputs))
        return self._pick(grad_input, self.inputs, grads)

    def _run_full(self, grad_input: _Grads) -> _Grads:
        grad_output, self.grad_output = self.grad_output, None
        for hook in self.full:
            changed = hook(self.module, grad_input, grad_output)
            if changed is not None:
                if not self.inputs:
                    message = (
                        f"{type(self.module).__name__}: expected None or None for all gradients "
                        "from the backward hook of a module where no input requires gradient, got "
                        f"{type(changed).__name__}; return None, or give an input "
                        "requires_grad=True"
                    )
                    raise RuntimeError(message)
                grad_input = _as_grads(self.module, changed, self.n_inputs, "grad_input")
        return grad_input

    @staticmethod
    def _pick(full: _Grads, positions: list[int], before: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The gradients that go on; a hook's None at a differentiable place leaves it as it was."""
        picked = []
        for i, old in zip(positions, before, strict=True):
            new = full[i]
            picked.append(old if new is None else new)
        return tuple(picked)


def watch_last_operation(module: Module, hook: Callable[..., Any], output: Any) -> None:
    """Puts an old backward hook on the node of a module's (first) result."""
    while not isinstance(output, Tensor):
        if isinstance(output, dict):
            output = next(v for v in output.values() if isinstance(v, Tensor))
        else:
            output = output[0]
    if output.grad_fn is not None:
        output.grad_fn.register_hook(functools.partial(hook, module))

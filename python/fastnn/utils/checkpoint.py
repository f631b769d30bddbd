# SPDX-License-Identifier: BSD-3-Clause
"""Activation checkpointing, as torch.utils.checkpoint: a part of a model is run again in the
backward pass instead of keeping what it computed.

Chen, Xu, Zhang, Guestrin, "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

from fastnn._grad_mode import enable_grad
from fastnn.autograd import backward as run_backward
from fastnn.autograd.function import Function
from fastnn.random import get_rng_state
from fastnn.tensor import Tensor
from fastnn.utils._second_run import CheckpointError, random_state, run_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

__all__ = [
    "CheckpointError",
    "checkpoint",
    "checkpoint_sequential",
    "noop_context_fn",
    "set_checkpoint_early_stop",
]


class _Settings:
    early_stop: bool | None = None  # what set_checkpoint_early_stop says inside


def noop_context_fn() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """The default ``context_fn`` of `checkpoint`: two contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Inside, whether checkpoints end their second run once they have what backward needs."""
    before = _Settings.early_stop
    _Settings.early_stop = enable
    try:
        yield
    finally:
        _Settings.early_stop = before


class CheckpointFunction(Function):
    """The node of a checkpoint with ``use_reentrant=True``."""

    @staticmethod
    def forward(ctx: Any, function: Any, preserve: bool, *args: Any) -> Any:
        if not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            message = (
                "checkpoint: expected an input that requires grad with use_reentrant=True, got "
                "none: gradients will be None; pass use_reentrant=False"
            )
            warnings.warn(message, stacklevel=4)
        ctx.function = function
        ctx.state = get_rng_state() if preserve else None
        ctx.args = [None if isinstance(a, Tensor) else a for a in args]
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if not ctx._node().direct:
            message = (
                "checkpoint: expected backward() for all leaves with use_reentrant=True, got "
                "autograd.grad, inputs= or create_graph=True; pass use_reentrant=False"
            )
            raise RuntimeError(message)
        args = list(ctx.args)
        for i, t in zip(ctx.places, ctx.saved_tensors, strict=True):
            args[i] = t.detach()
            if t.requires_grad:
                args[i].requires_grad_()
        with random_state(ctx.state), enable_grad():
            outputs = ctx.function(*args)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [
            (o, g)
            for o, g in zip(outputs, grads, strict=True)
            if isinstance(o, Tensor) and o.requires_grad
        ]
        if not pairs:
            message = (
                "checkpoint: expected an output that requires grad from the second run, got none; "
                "call the function without checkpoint"
            )
            raise RuntimeError(message)
        run_backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *[a.grad if isinstance(a, Tensor) else None for a in args])


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``, run again in the backward pass; what it saved is not kept.

    ``use_reentrant=False``: the graph is the function's own, so that `autograd.grad`,
    ``create_graph`` and keyword arguments work; ``context_fn`` gives a context for each of the two
    runs; ``determinism_check`` ('default' or 'none') is whether the second run must save tensors
    like those of the first; with ``early_stop`` it ends once it has. Memory that an operation keeps
    beside its inputs and results, such as a dropout's mask, stays.
    ``use_reentrant=True`` (also the default, with a warning): one node, for ``backward()`` alone.
    ``preserve_rng_state=False`` leaves the random draws of the second run to chance. ``debug`` is
    accepted and changes nothing.
    """
    if use_reentrant is None:
        message = (
            "checkpoint: expected use_reentrant to be given, got none: True is taken; pass "
            "use_reentrant=False, which has fewer limits"
        )
        warnings.warn(message, stacklevel=2)
        use_reentrant = True
    if determinism_check not in ("default", "none"):
        message = (
            "checkpoint: expected determinism_check as 'default' or 'none', got "
            f"{determinism_check!r}; leave it out"
        )
        raise ValueError(message)
    preserve = kwargs.pop("preserve_rng_state", True)
    if not use_reentrant:
        stop = early_stop if _Settings.early_stop is None else _Settings.early_stop
        compare = determinism_check == "default"
        return run_apart(function, args, kwargs, preserve, context_fn, compare, stop)
    if kwargs:
        message = (
            "checkpoint: expected no keyword arguments for the function with use_reentrant=True, "
            f"got {', '.join(kwargs)}; pass use_reentrant=False"
        )
        raise ValueError(message)
    if context_fn is not noop_context_fn or debug:
        message = (
            "checkpoint: expected no context_fn and no debug with use_reentrant=True, got one; "
            "pass use_reentrant=False"
        )
        raise ValueError(message)
    return CheckpointFunction.apply(function, preserve, *args)


def _span(functions: list[Any]) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for function in functions:
            x = function(x)
        return x

    return run


def checkpoint_sequential(
    functions: Iterable[Callable[..., Any]],
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Runs functions (or the layers of a Sequential) one after the other in ``segments``
    checkpoints, the last of which is run as it is; ``preserve_rng_state`` is as for `checkpoint`.
    """
    if use_reentrant is None:
        message = (
            "checkpoint_sequential: expected use_reentrant to be given, got none: True is taken; "
            "pass use_reentrant=False, which has fewer limits"
        )
        warnings.warn(message, stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        message = (
            "checkpoint_sequential: expected preserve_rng_state alone by name, got "
            f"{', '.join(kwargs)}; wrap the functions to pass more"
        )
        raise ValueError(message)
    layers = list(functions)
    if not 1 <= segments <= len(layers):
        message = (
            f"checkpoint_sequential: expected segments in [1, {len(layers)}], got {segments}; each "
            "has at least one function"
        )
        raise ValueError(message)
    size = len(layers) // segments
    for start in range(0, size * (segments - 1), size):
        span = _span(layers[start : start + size])
        input = checkpoint(span, input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return _span(layers[size * (segments - 1) :])(input)

# SPDX-License-Identifier: BSD-3-Clause
"""A checkpoint that is not reentrant: the graph is that of the first run of the function, and what
its operations saved comes from a second run, when backward first needs it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from fastnn import _packed
from fastnn._grad_mode import enable_grad
from fastnn.autograd.graph import saved_tensors_hooks
from fastnn.random import get_rng_state, set_rng_state
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function was not like the first."""


@contextlib.contextmanager
def random_state(state: Any) -> Iterator[None]:
    """Draws as from a state of the default generator, which is as before at the end."""
    if state is None:
        yield
        return
    before = get_rng_state()
    set_rng_state(state)
    try:
        yield
    finally:
        set_rng_state(before)


class _Stop(Exception):
    """Ends a second run that has given all that is needed."""


def _description(t: Tensor) -> tuple[Any, ...]:
    return tuple(t.shape), t.dtype, str(t.device)


class _Frame:
    """One checkpointed call: what it takes to run it again, and what that gave."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        state: Any,
        context: AbstractContextManager[Any],
        compare: bool,
        early_stop: bool,
    ) -> None:
        self.function, self.kwargs, self.state, self.context = function, kwargs, state, context
        self.compare, self.early_stop = compare, early_stop
        # Inside of other hooks on saved tensors the arguments are for these to keep.
        self.args = [
            _packed.packed(a.array) if isinstance(a, Tensor) and _packed.local.hooks else a
            for a in args
        ]
        self.needs = [isinstance(a, Tensor) and a.requires_grad for a in args]
        self.saved: list[tuple[Any, ...]] = []  # descriptions, in the order of the first run
        self.found: dict[int, Tensor] = {}

    def pack(self, t: Tensor) -> int:
        self.saved.append(_description(t))
        return len(self.saved) - 1

    def unpack(self, place: int) -> Tensor:
        if place not in self.found:
            self.run_again()
        return self.found.pop(place)

    def arguments(self) -> Iterator[Any]:
        for a, need in zip(self.args, self.needs, strict=True):
            if not isinstance(a, _packed.Packed):
                yield a
                continue
            t = Tensor._wrap(a.array())
            yield t.requires_grad_() if need else t

    def run_again(self) -> None:
        count = 0

        def pack(t: Tensor) -> Tensor:
            nonlocal count
            place, count = count, count + 1
            if self.compare and place < len(self.saved) and self.saved[place] != _description(t):
                message = (
                    "checkpoint: expected the second run to save what the first did, got saved "
                    f"tensor {place} with different metadata: {_description(t)} in the place of "
                    f"{self.saved[place]}; let the function depend on its arguments alone"
                )
                raise CheckpointError(message)
            self.found[place] = t.detach()
            if self.early_stop and count == len(self.saved):
                raise _Stop
            return t

        args = list(self.arguments())
        with (
            contextlib.suppress(_Stop),
            random_state(self.state),
            enable_grad(),
            self.context,
            saved_tensors_hooks(pack, lambda t: t),
        ):
            self.function(*args, **self.kwargs)
        if count < len(self.saved) or (self.compare and count != len(self.saved)):
            message = (
                f"checkpoint: expected {len(self.saved)} saved tensors from the second run, got a "
                f"different number of tensors: {count}; let the function depend on its arguments "
                "alone"
            )
            raise CheckpointError(message)


def run_apart(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    preserve: bool,
    context_fn: Callable[[], tuple[Any, Any]],
    compare: bool,
    early_stop: bool,
) -> Any:
    """The function's result, whose graph takes its saved tensors from a second run."""
    first, second = context_fn()
    state = get_rng_state() if preserve else None
    frame = _Frame(function, args, kwargs, state, second, compare, early_stop)
    with first, saved_tensors_hooks(frame.pack, frame.unpack):
        return function(*args, **kwargs)

# SPDX-License-Identifier: BSD-3-Clause
"""The graph as users see it: nodes, and what becomes of tensors that operations save."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn import _watch
from fastnn._hooks import RemovableHandle
from fastnn._joint_hooks import JointHook
from fastnn._node import AccumulateGrad, Node
from fastnn._op import check_view, tensor_class
from fastnn._packed import local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "AccumulateGrad",
    "GradientEdge",
    "Node",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class GradientEdge(NamedTuple):
    """Where the gradient of a tensor goes: a node and the number of its output."""

    node: Node
    output_nr: int


def get_gradient_edge(tensor: Any) -> GradientEdge:
    """The edge that the gradient of a tensor arrives on."""
    if not tensor.requires_grad:
        message = (
            "get_gradient_edge: expected a tensor that requires grad, got one without; call "
            "requires_grad_() first"
        )
        raise RuntimeError(message)
    node = tensor.grad_fn
    if node is None:
        return GradientEdge(AccumulateGrad(tensor), 0)
    return GradientEdge(node, tensor._output_nr)


def increment_version(tensor: Any) -> None:
    """Says that memory was changed outside of fastnn, so that a gradient that needs the old values
    is an error."""
    tensors: Iterable[Any] = [tensor] if isinstance(tensor, tensor_class()) else tensor
    for t in tensors:
        t._bump_version()


class _Handles(RemovableHandle):
    """The handles of the tensors' own hooks, removed together."""

    def __init__(self, handles: list[RemovableHandle]) -> None:
        self.handles = handles

    def remove(self) -> None:
        """Takes the hook back."""
        for handle in self.handles:
            handle.remove()


def register_multi_grad_hook(
    tensors: Iterable[Any], fn: Callable[[Any], Any], *, mode: str = "all"
) -> RemovableHandle:
    """A hook for the gradients of several tensors, as torch's; its handle's ``remove()`` takes it
    back.

    mode: all, ``fn(grads)`` runs in every backward pass once it has come to all of the tensors
    that it comes to, with None for the others; any, ``fn(grad)`` at the first one. What fn returns
    is left alone. Leaves come last. The hook lives as long as the tensors.
    Raises ValueError for another mode, TypeError for what cannot be called, RuntimeError for a
    tensor without grad (any: where none has it).
    """
    name = "register_multi_grad_hook"
    if mode not in ("all", "any"):
        message = f"{name}: expected mode as 'all' or 'any', got {mode!r}; 'all' is usual"
        raise ValueError(message)
    if not callable(fn):
        message = (
            f"{name}: expected a hook that can be called, got {type(fn).__name__}; pass a function"
        )
        raise TypeError(message)
    given = list(tensors)
    for t in given:
        if not isinstance(t, tensor_class()):
            message = f"{name}: expected tensors, got {type(t).__name__}; pass a list of them"
            raise TypeError(message)
    taken = [t for t in given if t.requires_grad]
    if not taken or (mode == "all" and len(taken) < len(given)):
        message = (
            f"{name}: expected tensors that require grad, got {len(given) - len(taken)} without of "
            f"{len(given)}; call requires_grad_() first"
        )
        raise RuntimeError(message)
    for t in taken:
        check_view(name, t)
    hook = JointHook(fn, taken, mode == "any")
    return _Handles([t.register_hook(hook.one(i)) for i, t in enumerate(taken)])


class saved_tensors_hooks:
    """Inside ``with saved_tensors_hooks(pack, unpack):`` every tensor that an operation saves for
    backward goes through ``pack``, whose result is kept in its place and given to ``unpack`` when
    backward needs the tensor.

    ``pack(tensor) -> anything`` must not change its argument; ``unpack(that) -> tensor`` returns
    the same values. Of nested pairs the innermost counts. What an operation keeps beside its inputs
    and results (a dropout's mask, the places of maxima) does not go through them. Operations under
    hooks do not take fastnn's shortest way: that costs microseconds for each.
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        for hook in (pack_hook, unpack_hook):
            if not callable(hook):
                message = (
                    "saved_tensors_hooks: expected two functions, got "
                    f"{type(hook).__name__}; pass pack and unpack"
                )
                raise TypeError(message)
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if local.disabled:
            message = (
                "saved_tensors_hooks: expected hooks to be allowed here, got a use inside of "
                f"disable_saved_tensors_hooks; {local.disabled[-1]}"
            )
            raise RuntimeError(message)
        _watch.begin()
        local.hooks.append((self.pack_hook, self.unpack_hook))

    def __exit__(self, *_: object) -> None:
        local.hooks.pop()
        _watch.end()


class save_on_cpu(saved_tensors_hooks):
    """Saved tensors wait for backward in the CPU's memory."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        del pin_memory, device_type  # torch's arguments; copies are ordered anyway

        def pack(t: Any) -> tuple[Any, Any]:
            return t.device, t.cpu()

        def unpack(kept: tuple[Any, Any]) -> Any:
            device, t = kept
            return t.to(device)

        super().__init__(pack, unpack)


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Inside, `saved_tensors_hooks` raises RuntimeError with this message."""
    if local.hooks:
        message = (
            "disable_saved_tensors_hooks: expected no hooks, got a use inside of "
            f"saved_tensors_hooks; {error_message}"
        )
        raise RuntimeError(message)
    local.disabled.append(error_message)
    try:
        yield
    finally:
        local.disabled.pop()

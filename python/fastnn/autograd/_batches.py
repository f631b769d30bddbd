# SPDX-License-Identifier: BSD-3-Clause
"""autograd.grad of a batch of directions: one pass for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn._op import tensor_class

if TYPE_CHECKING:
    from collections.abc import Callable


def _batch_size(roots: list[Any], grads: list[Any]) -> int:
    """The number of directions; RuntimeError unless all gradients hold as many of them."""
    sizes = set()
    for t, g in zip(roots, grads, strict=True):
        fits = isinstance(g, tensor_class()) and g.ndim == t.ndim + 1 and g.shape[1:] == t.shape
        if not fits:
            got = g.shape if isinstance(g, tensor_class()) else type(g).__name__
            message = (
                f"grad: expected a batch of gradients of shape (n, *{tuple(t.shape)}) with "
                f"is_grads_batched=True, got {got}; stack() makes one of several"
            )
            raise RuntimeError(message)
        sizes.add(g.shape[0])
    if len(sizes) != 1 or 0 in sizes:
        message = (
            "grad: expected the same number of gradients, at least one, for every output with "
            f"is_grads_batched=True, got {sorted(sizes)}; expand() repeats one"
        )
        raise RuntimeError(message)
    return int(sizes.pop())


def grad_of_batch(
    grad: Callable[..., Any], roots: list[Any], grads: list[Any], keep: bool, **options: Any
) -> tuple[Any, ...]:
    """``grad`` of every direction, stacked in front."""
    from fastnn.ops import stack  # noqa: PLC0415  (the operations lie above)

    if len(grads) != len(roots):
        message = (
            f"grad: expected one batch of gradients per output, {len(roots)}, got {len(grads)}; "
            "pass grad_outputs"
        )
        raise RuntimeError(message)
    n = _batch_size(roots, grads)
    found = [
        grad(roots, grad_outputs=[g[i] for g in grads], retain_graph=keep or i < n - 1, **options)
        for i in range(n)
    ]
    return tuple([None if c[0] is None else stack(c) for c in zip(*found, strict=True)])

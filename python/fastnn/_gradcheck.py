# SPDX-License-Identifier: BSD-3-Clause
"""Gradients against central differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastnn.tensor import Tensor


def _outputs(function: Callable[..., Any], inputs: Sequence[Any]) -> list[Any]:
    out = function(*inputs)
    all_of_them = list(out) if isinstance(out, tuple | list) else [out]
    return [t for t in all_of_them if t.is_floating_point()]


def _direction(rng: np.random.Generator, array: Any) -> Any:
    return rng.standard_normal(array.shape).astype(array.dtype)


def _numeric(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    which: int,
    direction: Any,
    weights: list[Any],
    eps: float,
) -> float:
    """d/dh sum_k <weights_k, f_k(..., x + h direction, ...)> at 0 by central differences."""
    from fastnn.autograd import no_grad  # noqa: PLC0415

    values = []
    original = inputs[which].array.copy()
    for h in (eps, -eps):
        inputs[which].array[...] = original + h * direction
        with no_grad():
            outs = _outputs(function, inputs)
        values.append(sum(float((w * o.array).sum()) for w, o in zip(weights, outs, strict=True)))
    inputs[which].array[...] = original
    return (values[0] - values[1]) / (2 * eps)


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    directions: int = 3,
) -> bool:
    """Compares the gradients of ``func`` with central differences along random directions.

    For every input x that requires grad, and random u and output weights v:
    (v . f(x + eps u) - v . f(x - eps u)) / (2 eps)  against  u . (J^T v).

    Inputs should be float64. Raises RuntimeError naming the input and both numbers on a mismatch
    (or returns False without ``raise_exception``).
    """
    from fastnn.autograd import grad  # noqa: PLC0415
    from fastnn.tensor import Tensor  # noqa: PLC0415

    inputs = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    wanted = [i for i, t in enumerate(inputs) if isinstance(t, Tensor) and t.requires_grad]
    if not wanted:
        message = (
            "gradcheck: expected at least one input with requires_grad=True, got none; call "
            ".requires_grad_() on what is to be checked"
        )
        raise ValueError(message)
    rng = np.random.default_rng(0)
    for _ in range(directions):
        outs = _outputs(func, inputs)
        differentiable = [o for o in outs if o.requires_grad]
        weights = [_direction(rng, o.array) for o in outs]
        chosen = [w for w, o in zip(weights, outs, strict=True) if o.requires_grad]
        leaves = [inputs[i] for i in wanted]
        grads: Sequence[Tensor | None] = [None] * len(leaves)
        if differentiable:
            grads = grad(
                differentiable, leaves, [Tensor._wrap(w) for w in chosen], allow_unused=True
            )
        for i, g in zip(wanted, grads, strict=True):
            u = _direction(rng, inputs[i].array)
            analytic = 0.0 if g is None else float((g.array * u).sum())
            numeric = _numeric(func, inputs, i, u, weights, eps)
            if abs(analytic - numeric) <= atol + rtol * abs(numeric):
                continue
            message = (
                f"gradcheck: input {i} of shape {inputs[i].shape}, along a random direction: "
                f"expected {numeric:.9g} by central differences, got {analytic:.9g} by backward; "
                "correct it, or keep float64 inputs away from kinks"
            )
            if raise_exception:
                raise RuntimeError(message)
            return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """`gradcheck` of the gradient itself: x, v -> J(x)^T v, through ``create_graph=True``."""
    from fastnn.autograd import grad  # noqa: PLC0415
    from fastnn.tensor import Tensor  # noqa: PLC0415

    inputs = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    outs = [o for o in _outputs(func, inputs) if o.requires_grad]
    rng = np.random.default_rng(1)
    if grad_outputs is None:
        grad_outputs = [Tensor._wrap(_direction(rng, o.array)) for o in outs]
        for v in grad_outputs:
            v.requires_grad_()
    n = len(inputs)

    def gradients(*args: Any) -> tuple[Tensor, ...]:
        xs, vs = args[:n], list(args[n:])
        results = [o for o in _outputs(func, xs) if o.requires_grad]
        leaves = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        found = grad(results, leaves, vs, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None and g.requires_grad)

    from fastnn.autograd import enable_grad  # noqa: PLC0415

    def always_recorded(*args: Any) -> tuple[Tensor, ...]:
        # The numeric side runs under no_grad, yet the inner gradient needs its graph.
        with enable_grad():
            return gradients(*args)

    return gradcheck(
        always_recorded,
        (*inputs, *grad_outputs),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
    )

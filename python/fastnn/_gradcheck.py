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


class GradcheckError(RuntimeError):
    """A gradient that is not what was expected."""


def _refuse(name: str, **asked: bool) -> None:
    """NotImplementedError for checks that there are not, if they are asked for."""
    for key, value in asked.items():
        if value:
            message = (
                f"{name}: expected {key}=False, got {value!r}: there is no forward-mode and no "
                "batched differentiation; leave it out"
            )
            raise NotImplementedError(message)


def _require_backward(name: str, key: str, value: bool) -> None:
    if not value:
        message = (
            f"{name}: expected {key}=True, got {value!r}, which leaves nothing to check; leave it "
            "out"
        )
        raise ValueError(message)


def _check_input(i: int, t: Tensor) -> None:
    """RuntimeError for an input whose elements cannot be changed one by one."""
    array = t.array
    if not array.size:
        return
    shared = any(s == 0 and n > 1 for s, n in zip(array.strides, array.shape, strict=True))
    if shared or not getattr(array.flags, "writeable", True):
        kind = "an expanded one, whose elements share it" if shared else "one on read-only memory"
        message = (
            f"gradcheck: expected inputs with memory for every element, got as input {i} {kind};"
            " clone() it first"
        )
        raise RuntimeError(message)


def _faults(
    inputs: Sequence[Any],
    wanted: list[int],
    grads: Sequence[Tensor | None],
    again: Sequence[Tensor | None],
    nondet_tol: float,
    check_grad_dtypes: bool,
) -> str | None:
    """What is wrong with gradients that were computed twice, apart from their values."""
    for i, g, h in zip(wanted, grads, again, strict=True):
        if g is None or h is None:
            continue
        if check_grad_dtypes and g.dtype != inputs[i].dtype:
            return (
                f"gradcheck: input {i}: expected a gradient of {inputs[i].dtype}, got {g.dtype}; "
                "convert it in backward"
            )
        apart = float(abs(g.array - h.array).max()) if g.array.size else 0.0
        if apart > nondet_tol:
            return (
                f"gradcheck: input {i}: expected the same gradient from every backward, got two "
                f"that are {apart:.9g} apart: backward is not reentrant; raise nondet_tol if it may"
                " vary"
            )
    return None


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,  # noqa: ARG001  (the engine hands on no undefined ones)
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,  # noqa: ARG001  (of sparse tensors, which there are not)
    directions: int = 3,
) -> bool:
    """Compares the gradients of ``func`` with central differences along random directions.

    For every input x that requires grad, and random u and output weights v:
    (v . f(x + eps u) - v . f(x - eps u)) / (2 eps)  against  u . (J^T v).

    Inputs should be float64. Raises RuntimeError naming the input and both numbers on a mismatch
    (or returns False without ``raise_exception``). The keywords are torch's: ``fast_mode`` takes
    one direction, ``nondet_tol`` is by how much two backwards may differ; forward-mode and batched
    checks raise NotImplementedError.
    """
    from fastnn.autograd import grad  # noqa: PLC0415
    from fastnn.tensor import Tensor  # noqa: PLC0415

    _refuse(
        "gradcheck",
        check_forward_ad=check_forward_ad,
        check_batched_grad=check_batched_grad,
        check_batched_forward_grad=check_batched_forward_grad,
    )
    _require_backward("gradcheck", "check_backward_ad", check_backward_ad)
    inputs = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    wanted = [i for i, t in enumerate(inputs) if isinstance(t, Tensor) and t.requires_grad]
    if not wanted:
        message = (
            "gradcheck: expected at least one input with requires_grad=True, got none; call "
            ".requires_grad_() on what is to be checked"
        )
        raise ValueError(message)
    for i in wanted:
        _check_input(i, inputs[i])
    rng = np.random.default_rng(0)
    for k in range(1 if fast_mode else directions):
        outs = _outputs(func, inputs)
        differentiable = [o for o in outs if o.requires_grad]
        weights = [_direction(rng, o.array) for o in outs]
        chosen = [w for w, o in zip(weights, outs, strict=True) if o.requires_grad]
        leaves = [inputs[i] for i in wanted]
        grads: Sequence[Tensor | None] = [None] * len(leaves)
        if differentiable:
            grads = grad(
                differentiable,
                leaves,
                [Tensor._wrap(w) for w in chosen],
                retain_graph=not k,
                allow_unused=True,
            )
        if differentiable and not k:
            again = grad(
                differentiable, leaves, [Tensor._wrap(w) for w in chosen], allow_unused=True
            )
            fault = _faults(inputs, wanted, grads, again, nondet_tol, check_grad_dtypes)
            if fault is not None:
                if raise_exception:
                    raise GradcheckError(fault)
                return False
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
                raise GradcheckError(message)
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
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool | None = False,
) -> bool:
    """`gradcheck` of the gradient itself: x, v -> J(x)^T v, through ``create_graph=True``."""
    from fastnn.autograd import grad  # noqa: PLC0415
    from fastnn.tensor import Tensor  # noqa: PLC0415

    _refuse(
        "gradgradcheck",
        check_fwd_over_rev=check_fwd_over_rev,
        check_batched_grad=check_batched_grad,
    )
    _require_backward("gradgradcheck", "check_rev_over_rev", check_rev_over_rev)
    inputs = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    outs = [o for o in _outputs(func, inputs) if o.requires_grad]
    rng = np.random.default_rng(1)
    if grad_outputs is None:
        drawn = [_direction(rng, o.array) for o in outs]
        if gen_non_contig_grad_outputs:  # every second element of wider memory
            drawn = [np.stack([v, v], -1)[..., 0] for v in drawn]
        grad_outputs = [Tensor._wrap(v) for v in drawn]
        for v in grad_outputs:
            v.requires_grad_()
    elif isinstance(grad_outputs, Tensor):
        grad_outputs = [grad_outputs]
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
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        fast_mode=fast_mode,
        masked=masked,
    )

# SPDX-License-Identifier: BSD-3-Clause
"""Jacobians, Hessians and their products with vectors, as torch.autograd.functional.

For f: x -> y with Jacobian J (dy_i/dx_j) and, where y is one number, Hessian H:

    vjp: v^T J      jvp: J v      vhp: v^T H      hvp: H v

All of it is reverse mode. A backward pass with the gradient v gives v^T J; that pass is linear in
v, so that the backward pass through it gives J v (the trick of Townsend, "A new trick for
calculating Jacobian vector products", 2017); v^T H is the gradient of the gradient times v
(Pearlmutter 1994).

``inputs`` is a Tensor or a tuple of them; ``func`` takes them as arguments. With
``create_graph=True`` the results can be differentiated; with ``strict=True`` a result that does not
depend on an input is an error where it otherwise gives zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn._grad_mode import enable_grad
from fastnn.autograd import grad
from fastnn.autograd._vectors import (
    as_tuple,
    as_vectors,
    check_dependent,
    columns,
    detached,
    filled,
    prepared,
    single,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _strategy(op: str, given: str, vectorize: bool, name: str = "strategy") -> None:
    if given not in ("reverse-mode", "forward-mode"):
        message = (
            f"{op}: expected {name} as 'reverse-mode' or 'forward-mode', got {given!r}; leave it "
            "out"
        )
        raise ValueError(message)
    if given == "forward-mode" and not vectorize:
        message = (
            f"{op}: expected {name}='reverse-mode' with vectorize=False, got 'forward-mode'; pass "
            "vectorize=True, or leave both out"
        )
        raise NotImplementedError(message)


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), v^T J): the products have the inputs' shapes, ``v`` those of the outputs.

    ``v`` may be left out for an output of one element.
    """
    with enable_grad():
        is_many, xs = as_tuple("vjp", "inputs", inputs)
        xs = prepared(xs, create_graph)
        out_many, ys = as_tuple("vjp", "outputs of func", func(*xs))
        check_dependent("vjp", "output", ys, strict)
        weights = as_vectors("vjp", v, ys, create_graph)
        found = _gradients(ys, xs, weights, create_graph)
        products = filled("vjp", found, xs, strict, create_graph)
    return (
        single(detached(ys, create_graph), out_many),
        single(detached(products, create_graph), is_many),
    )


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), J v): the products have the outputs' shapes, ``v`` those of the inputs.

    ``v`` may be left out for an input of one element.
    """
    with enable_grad():
        _, xs = as_tuple("jvp", "inputs", inputs)
        weights = None if v is None else as_vectors("jvp", v, xs, create_graph)
        xs = prepared(xs, create_graph)
        if weights is None:
            weights = as_vectors("jvp", None, xs, create_graph)
        is_many, ys = as_tuple("jvp", "outputs of func", func(*xs))
        check_dependent("jvp", "output", ys, strict)
        products = _forward("jvp", ys, xs, weights, create_graph, strict)
    return (
        single(detached(ys, create_graph), is_many),
        single(detached(products, create_graph), is_many),
    )


def _forward(
    op: str,
    ys: tuple[Any, ...],
    xs: tuple[Any, ...],
    v: tuple[Any, ...],
    create_graph: bool,
    strict: bool,
) -> tuple[Any, ...]:
    """J v, from the backward pass through the backward pass."""
    from fastnn.ops import zeros_like  # noqa: PLC0415  (the operations lie above)

    dummies = tuple([zeros_like(y.detach()).requires_grad_() for y in ys])
    back = _gradients(ys, xs, dummies, create_graph=True)
    back = filled(op, back, xs, strict, create_graph=True)
    found = _gradients(back, dummies, v, create_graph)
    return filled(op, found, ys, strict, create_graph, "backward pass")


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian: of every output to every input, of shape (*output's shape, *input's shape).

    One Tensor for one output and one input; a tuple over the outputs, or the inputs, where func
    returns, or is given, a tuple; a tuple of tuples for both. ``vectorize`` and ``strategy`` are
    accepted and change nothing in the result, which takes one backward pass per element of output.
    """
    _strategy("jacobian", strategy, vectorize)
    if strict and vectorize:
        message = (
            "jacobian: expected strict=False with vectorize=True, got both True; leave out "
            "vectorize"
        )
        raise RuntimeError(message)
    with enable_grad():
        in_many, xs = as_tuple("jacobian", "inputs", inputs)
        xs = prepared(xs, create_graph)
        out_many, ys = as_tuple("jacobian", "outputs of func", func(*xs))
        check_dependent("jacobian", "output", ys, strict)
        rows = tuple([_rows(y, xs, create_graph, strict) for y in ys])
        rows = tuple([detached(r, create_graph) for r in rows])
    nested = tuple([single(r, in_many) for r in rows])
    return single(nested, out_many)


def _rows(y: Any, xs: tuple[Any, ...], create_graph: bool, strict: bool) -> tuple[Any, ...]:
    """The Jacobian of one output to every input."""
    from fastnn.ops import stack, zeros  # noqa: PLC0415  (the operations lie above)

    rows: list[list[Any]] = [[] for _ in xs]
    for one in columns(y):
        found = _gradients((y,), xs, (one,), create_graph, retain_graph=True)
        found = filled("jacobian", found, xs, strict, create_graph)
        for row, g in zip(rows, found, strict=True):
            row.append(g)
    return tuple([
        stack(row).reshape(y.shape + x.shape) if row else zeros(y.shape + x.shape, dtype=x.dtype)
        for row, x in zip(rows, xs, strict=True)
    ])  # fmt: skip


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a function whose result has one element.

    For a Tensor one of shape (*shape, *shape); for a tuple of inputs a tuple of tuples, whose entry
    [i][j] has the shape (*shape of i, *shape of j). The rest is as in `jacobian`.
    """
    _strategy("hessian", outer_jacobian_strategy, vectorize, "outer_jacobian_strategy")
    many, xs = as_tuple("hessian", "inputs", inputs)

    def gradient(*args: Any) -> Any:
        found = jacobian(_one_number("hessian", func), args, create_graph=True)
        check_dependent("hessian", "Jacobian", found, strict)
        return found

    found = jacobian(gradient, xs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return single(tuple([single(row, many) for row in found]), many)


def _one_number(op: str, func: Callable[..., Any]) -> Callable[..., Any]:
    """func, whose result is made sure to have one element, as a 0-d tensor."""

    def checked(*args: Any) -> Any:
        many, ys = as_tuple(op, "outputs of func", func(*args))
        if many or ys[0].numel() != 1:
            got = f"{len(ys)} in a tuple" if many else f"shape {tuple(ys[0].shape)}"
            message = (
                f"{op}: expected a function that returns a Tensor of one element, got {got}; "
                "reduce it, for example by .sum()"
            )
            raise RuntimeError(message)
        return ys[0].reshape(())

    return checked


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), v^T H) for a function whose result has one element. ``v`` has the inputs'
    shapes, and may be left out for an input of one element. Cheaper than `hvp`."""
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), H v) for a function whose result has one element: where second derivatives
    are continuous the same as `vhp`, by one more backward pass."""
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


def _hessian_product(
    op: str, func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool, strict: bool
) -> tuple[Any, Any]:
    with enable_grad():
        many, xs = as_tuple(op, "inputs", inputs)
        weights = None if v is None else as_vectors(op, v, xs, create_graph)
        xs = prepared(xs, create_graph)
        if weights is None:
            weights = as_vectors(op, None, xs, create_graph)
        out = func(*xs)
        _one_number(op, lambda: out)()
        check_dependent(op, "output", (out,), strict)
        first = filled(op, _gradients((out,), xs, None, True), xs, strict, True)
        check_dependent(op, "Jacobian", first, strict)
        if op == "hvp":
            products = _forward(op, first, xs, weights, create_graph, strict)
        else:
            found = _gradients(first, xs, weights, create_graph)
            products = filled(op, found, xs, strict, create_graph, "Hessian")
    return (
        single(detached((out,), create_graph), many=False),
        single(detached(products, create_graph), many),
    )


def _gradients(
    outputs: tuple[Any, ...],
    inputs: tuple[Any, ...],
    weights: tuple[Any, ...] | None,
    create_graph: bool,
    retain_graph: bool | None = None,
) -> tuple[Any, ...]:
    """`grad` of those outputs that have a gradient; None for inputs that they do not depend on."""
    pairs = [
        (y, None if weights is None else weights[i])
        for i, y in enumerate(outputs)
        if y.requires_grad
    ]
    if not pairs:
        return (None,) * len(inputs)
    return grad(
        [y for y, _ in pairs],
        inputs,
        [w for _, w in pairs],
        retain_graph=retain_graph,
        create_graph=create_graph,
        allow_unused=True,
    )

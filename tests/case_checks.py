# SPDX-License-Identifier: BSD-3-Clause
"""How a case of the case table is run and judged, for every backend that it runs on."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _backend, autograd, testing
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

HIGHER = {"float32": np.float64, "float64": np.longdouble}


@contextlib.contextmanager
def running_on(backend: str) -> Iterator[None]:
    """Runs on the references, or on the native kernels of one instruction-set level."""
    if backend == "numpy":
        with _backend.use("numpy"):
            yield
        return
    before = _backend.cpu.isa()
    _backend.cpu.set_isa(backend)
    try:
        with _backend.use("cpu"):
            yield
    finally:
        _backend.cpu.set_isa(before)


def forward_and_gradients(
    case: testing.OpCase, dtype: Any, moved: np.random.Generator | None = None
) -> list[np.ndarray[Any, Any]]:
    """Outputs, then the gradients of all floating-point inputs for fixed output gradients.

    With ``moved``, every number of the inputs is moved by up to the rounding of the type below.
    """
    arguments = testing.make_tensors(case, dtype, requires_grad=True)
    leaves = [a for a in arguments if isinstance(a, Tensor) and a.requires_grad]
    if moved is not None:
        eps = np.finfo({wide: narrow for narrow, wide in HIGHER.items()}[dtype]).eps
        for leaf in leaves:
            leaf.array[...] *= 1 + moved.choice([-1.0, 1.0], leaf.shape) * (eps / 2)
    outs = testing.call(case, arguments)
    results = [np.array(o.detach().numpy()) for o in outs]
    roots = [o for o in outs if o.requires_grad]
    if case.grad and leaves and roots:
        rng = np.random.default_rng(5)
        weights = [
            np.asarray(rng.uniform(-1, 1, o.shape)).astype(np.float32).astype(o.array.dtype)
            for o in roots
        ]
        grads = autograd.grad(roots, leaves, [Tensor._wrap(w) for w in weights], allow_unused=True)
        results += [np.array(g.numpy()) for g in grads if g is not None]
    return results


def assert_as_exact_as_numpy(
    case: testing.OpCase, dtype: str, got: list[np.ndarray[Any, Any]], what: str
) -> None:
    """The error of every result is within 2 e + 4 eps max|exact|, where e is NumPy's own error.

    NumPy's may be small by luck, which its version, its BLAS and the processor decide. So where
    the bound is passed, e is at least what the exact results change by if their inputs are
    rounded otherwise, the most of eight draws: an error like it is of the numbers, not of the
    kernel (backward stability: Higham, Accuracy and Stability of Numerical Algorithms, 1.5).
    """
    with _backend.use("numpy"):
        plain = forward_and_gradients(case, dtype)
        exact = forward_and_gradients(case, HIGHER[dtype])
    assert len(got) == len(exact)
    others: list[list[np.ndarray[Any, Any]]] = []
    for i, (g, p, e) in enumerate(zip(got, plain, exact, strict=True)):
        try:
            assert_within(g, [p], e, f"{what}, result {i}")
        except AssertionError:
            if g.dtype.kind != "f":
                raise
            if not others:
                rng = np.random.default_rng(11)
                with _backend.use("numpy"):
                    others = [forward_and_gradients(case, HIGHER[dtype], rng) for _ in range(8)]
            assert_within(g, [p, *(o[i] for o in others)], e, f"{what}, result {i}")


def assert_within(
    got: np.ndarray[Any, Any],
    plain: list[np.ndarray[Any, Any]],
    exact: np.ndarray[Any, Any],
    what: str,
) -> None:
    assert got.shape == exact.shape, f"{what}: shape {got.shape}, expected {exact.shape}"
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, exact.astype(got.dtype), err_msg=what)
        return
    finite = np.isfinite(exact)
    if not finite.all():
        np.testing.assert_array_equal(np.isnan(got), np.isnan(exact), err_msg=what)
        np.testing.assert_array_equal(got[~finite], exact[~finite].astype(got.dtype), err_msg=what)
    if not finite.any():
        return
    # Of float32 and below, the differences are exact enough in float64, and far cheaper.
    wide = np.longdouble if got.dtype == np.float64 else np.float64
    got, exact = got[finite], exact[finite].astype(wide, copy=False)
    error = np.abs(got - exact).max()  # NaN, which no bound allows, where only ``got`` is
    own = max(np.abs(p[finite] - exact).max() for p in plain)
    bound = 2 * own + 4 * np.finfo(got.dtype).eps * np.abs(exact).max()
    assert error <= bound, f"{what}: error {error:.3g} above the bound {bound:.3g}"

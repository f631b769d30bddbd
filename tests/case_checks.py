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


def forward_and_gradients(case: testing.OpCase, dtype: Any) -> list[np.ndarray[Any, Any]]:
    """Outputs, then the gradients of all floating-point inputs for fixed output gradients."""
    arguments = testing.make_tensors(case, dtype, requires_grad=True)
    outs = testing.call(case, arguments)
    results = [np.array(o.detach().numpy()) for o in outs]
    leaves = [a for a in arguments if isinstance(a, Tensor) and a.requires_grad]
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


def assert_within(
    got: np.ndarray[Any, Any], plain: np.ndarray[Any, Any], exact: np.ndarray[Any, Any], what: str
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
        got, plain, exact = got[finite], plain[finite], exact[finite]
    elif not exact.size:
        return
    # Of float32 and below, the differences are exact enough in float64, and far cheaper.
    wide = np.longdouble if got.dtype == np.float64 else np.float64
    exact = exact.astype(wide, copy=False)
    error = np.abs(got - exact).max()  # NaN, which no bound allows, where only ``got`` is
    largest = np.abs(exact).max()
    bound = 2 * np.abs(plain - exact).max() + 4 * np.finfo(got.dtype).eps * largest
    assert error <= bound, f"{what}: error {error:.3g} above the bound {bound:.3g}"

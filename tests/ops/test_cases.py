# SPDX-License-Identifier: BSD-3-Clause
"""The case table, run: every operation's CASES and ERRORS on every backend and instruction set.

Value and gradients in a type are compared with the references in the next higher precision: the
error may be twice that of the references in the same type, plus 4 eps of the largest value.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastnn
from case_checks import assert_as_exact_as_numpy, forward_and_gradients, running_on
from fastnn import _backend, autograd, testing
from fastnn.ops._optimizer_rules import RULES
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = list(testing.all_cases())
SMALL = [c for c in CASES if not c.bench]
ONLY_LARGE = [c for c in CASES if c.id == "relu-1024x4096"]  # which has kernels of its own
PRODUCTS = {
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "addbmm", "addmm", "addmv",
    "baddbmm", "bmm", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "dot", "einsum", "gru_layer",
    "inner", "linear", "lstm_layer", "lstm_variant_layer", "matmul", "mean", "mm", "multi_dot",
    "mv", "rnn_layer", "sum", "tensordot", "vdot",
}  # fmt: skip
# Added up in an order that may follow the layout.
SUMS = ("sum", "mean", "var_mean", "std_mean", "norm", "vector_norm", "einsum", "sum_to_size")
# Their zeros are differences of sums: of either sign.
NORMS = {"batch_norm", "group_norm", "layer_norm", "rms_norm"}
# Those that refuse numbers outside of their domain.
BOUNDED = {
    "binary_cross_entropy", "gaussian_nll_loss",
    "cholesky", "cov", "inv", "inverse", "matrix_norm", "matrix_power", "solve", "svd",
    "svdvals",
}  # fmt: skip
ERRORS = list(testing.all_errors())

# What is in use; `.ci/run` runs these tests once for each level and once on NumPy alone.
BACKENDS = [_backend.cpu.isa() if _backend.name == "cpu" else "numpy"]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with running_on(request.param):
        yield request.param


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", SMALL, ids=lambda c: c.id)
def test_values_and_gradients_are_as_exact_as_numpy(
    case: testing.OpCase, dtype: str, backend: str
) -> None:
    got = forward_and_gradients(case, dtype)
    assert_as_exact_as_numpy(case, dtype, got, f"{case.id} on {backend}")


@pytest.mark.skipif(_backend.name == "numpy", reason="the references beside themselves")
@pytest.mark.parametrize("case", [c for c in CASES if c.bench], ids=lambda c: c.id)
def test_what_is_timed_is_right(case: testing.OpCase) -> None:
    """The shapes of the benchmarks, in float32, where threads take part."""
    got = forward_and_gradients(case, "float32")
    assert_as_exact_as_numpy(case, "float32", got, case.id)


@pytest.mark.parametrize("case", SMALL, ids=lambda c: c.id)
def test_reference_agrees_with_plain_numpy(case: testing.OpCase) -> None:
    assert case.ref is not None, f"{case.id} has no plain NumPy formula"
    arrays = testing.make_arrays(case, np.float64)
    want = case.ref(*arrays, **case.kwargs)
    want = want if isinstance(want, tuple) else (want,)
    with _backend.use("numpy"):
        got = testing.call(case, testing.make_tensors(case, np.float64))
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert g.shape == np.shape(w)
        np.testing.assert_allclose(g.numpy(), w, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("case", [c for c in SMALL if c.grad], ids=lambda c: c.id)
def test_gradient_is_the_derivative(case: testing.OpCase, backend: str) -> None:
    del backend
    arguments = testing.make_tensors(case, np.float64, requires_grad=True)
    assert any(isinstance(a, Tensor) and a.requires_grad for a in arguments) or not case.double_grad
    if any(isinstance(a, Tensor) and a.requires_grad for a in arguments):
        assert autograd.gradcheck(
            lambda *a: testing.call(case, list(a)), arguments, rtol=1e-6, atol=1e-7
        )


@pytest.mark.parametrize("case", [c for c in SMALL if c.grad and c.double_grad], ids=lambda c: c.id)
def test_gradient_of_the_gradient(case: testing.OpCase) -> None:
    arguments = testing.make_tensors(case, np.float64, requires_grad=True)
    assert autograd.gradgradcheck(
        lambda *a: testing.call(case, list(a)), arguments, rtol=1e-5, atol=1e-6
    )


def _strided(a: np.ndarray[Any, Any], how: str) -> np.ndarray[Any, Any]:
    """The same values in other memory: transposed order, negative strides, gaps, unaligned."""
    if how == "transposed":
        return np.array(a.T, order="C").T
    if how == "reversed":
        flip = tuple(slice(None, None, -1) for _ in a.shape)
        return np.asarray(np.array(a[flip])[flip])
    if how == "gaps":
        wide = np.zeros((*a.shape, 3), a.dtype)
        wide[..., 1] = a
        return wide[..., 1]
    raw = np.zeros(a.nbytes + 1, np.uint8)
    out = raw[1:].view(a.dtype).reshape(a.shape)
    out[...] = a
    return out


@pytest.mark.parametrize("how", ["transposed", "reversed", "gaps", "unaligned", "read-only"])
@pytest.mark.parametrize("case", [c for c in SMALL if c.name != "view"], ids=lambda c: c.id)
def test_layout_of_the_inputs_does_not_matter(case: testing.OpCase, how: str, backend: str) -> None:
    want = testing.call(case, testing.make_tensors(case, np.float32))
    arguments: list[Any] = []
    for value in testing.make_arrays(case, np.float32):
        if not isinstance(value, np.ndarray):
            arguments.append(value)
        elif how == "read-only":
            value.flags.writeable = False
            arguments.append(Tensor._wrap(value))
        elif how == "unaligned":
            # What as_tensor does with such an array is part of the promise.
            arguments.append(fastnn.as_tensor(_strided(value, how)))
        else:
            arguments.append(Tensor._wrap(_strided(value, how)))
    before = [np.array(a.array) for a in arguments if isinstance(a, Tensor)]
    got = testing.call(case, arguments)
    for g, w in zip(got, want, strict=True):
        # The order of a sum may follow the layout; other values never do, except that NumPy's BLAS
        # and some of NumPy's loops round by it.
        by_numpy = backend == "numpy" and case.name.split()[0] in PRODUCTS | {"pow", "atan2"}
        tolerance = 1e-5 if by_numpy or case.name.split()[0] in SUMS else 0
        np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=tolerance, atol=tolerance)
    after = [a.array for a in arguments if isinstance(a, Tensor)]
    for b, a in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b, err_msg="an input was changed")


@pytest.mark.parametrize(
    "case", [c for c in SMALL if c.name.split()[0] not in BOUNDED], ids=lambda c: c.id
)
def test_special_values_give_what_the_references_give(case: testing.OpCase, backend: str) -> None:
    """NaN, infinities, zeros of both signs and denormals in every floating-point input."""
    del backend
    # Where products are added up, numbers near the largest make inf - inf of rounding differences.
    products = case.name.split()[0] in PRODUCTS
    large = 1e15 if products else 3e38
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e-42, large], np.float32)
    results = []
    for use in (None, "numpy"):
        rng = np.random.default_rng(11)
        arguments = testing.make_tensors(case, np.float32)
        for a in arguments:
            if isinstance(a, Tensor) and a.array.dtype.kind == "f" and a.array.size:
                place = np.asarray(rng.random(a.shape) < 0.3)
                a.array[place] = rng.choice(special, int(place.sum()))
        with np.errstate(all="ignore"), _backend.use(use) if use else contextlib.nullcontext():
            results.append([o.numpy() for o in testing.call(case, arguments)])
    for got, want in zip(*results, strict=True):
        if got.dtype.kind == "f":
            np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
            # Large products of both signs cancel to all but a few digits.
            rtol = 1e-3 if products else 2e-5
            np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-38, equal_nan=True)
            if products or case.name.split()[0] in NORMS:
                continue
            # Denormals are kept, to a few of the smallest, and zeros of both signs are told apart.
            tiny = np.abs(want) < np.finfo(np.float32).tiny
            np.testing.assert_allclose(got[tiny], want[tiny], rtol=0, atol=4 * 1.4e-45)
            number = ~np.isnan(want)
            np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))
        else:
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("case", ERRORS, ids=lambda c: c.id)
def test_bad_input_is_refused_with_a_clear_message(case: testing.ErrorCase, backend: str) -> None:
    del backend
    arguments = testing.make_tensors(case, np.float32)
    with pytest.raises(case.error) as caught:
        case.fn(*arguments, **case.kwargs)
    text = str(caught.value)
    assert case.message in text, text
    assert text.startswith(case.name.strip("_")) or case.name.startswith("__"), text
    what, _, cure = text.partition("; ")
    assert "not there yet" in what or ("expected" in what and "got" in what), text
    assert cure, f"no cure in: {text}"


# What `fastnn.ops` exports beside functions of tensors: made from data, or the plumbing of others;
# each is tested in a file of its own; so is bfloat16, which needs the package ml_dtypes.
# In-place forms, whose names end with an underscore, have tests/ops/test_in_place.py.
NOT_OF_TENSORS = {
    "arange", "as_tensor", "asarray", "bfloat16", "binary", "converter", "empty", "empty_like",
    "eye", "from_dlpack", "from_numpy", "full", "full_like", "is_operand", "legacy", "linspace",
    "logspace", "ones", "ones_like", "operators", "own_dim", "result_type", "scalar_tensor",
    "setitem", "tensor", "tril_indices", "triu_indices", "zeros", "zeros_like",
}  # fmt: skip


def test_every_operation_has_cases_and_three_refused_calls() -> None:
    from fastnn import ops  # noqa: PLC0415

    public = {n for n in ops.__all__ if callable(getattr(ops, n)) and n[0].islower()}
    cases, errors = {c.name for c in CASES}, [e.name for e in ERRORS]
    for name in {n for n in public if n[-1] != "_"} - NOT_OF_TENSORS:
        shown = "__getitem__" if name == "getitem" else name
        assert shown in cases, f"{name} has no case"
        assert errors.count(shown) >= 3, f"{name} has {errors.count(shown)} refused calls, not 3"


def test_every_native_kernel_is_launched_by_some_case() -> None:
    if _backend.name != "cpu":
        pytest.skip("there are no native kernels")
    launched: list[Any] = []
    before = _backend.cpu.set_recorder(launched)
    try:
        for case in SMALL + ONLY_LARGE:
            forward_and_gradients(case, np.float32)
    finally:
        _backend.cpu.set_recorder(before)
    ran = {entry[0] for entry in launched}
    # Launched by fills, by the optimisers and by clipping, which have their own tests.
    elsewhere = {"uniform", "normal", "random_bits", "sgd_step", "adam_step", "grad_norm",
                 "clip_by_norm", "clip_by_value"}  # fmt: skip
    elsewhere |= {rule.kernel for rule in RULES.values()}
    missing = {k.__name__ for k in _backend.native.values() if k.id not in ran} - elsewhere
    assert not missing


def test_every_native_kernel_has_a_reference() -> None:
    assert set(_backend.native) <= set(_backend.references)

# SPDX-License-Identifier: BSD-3-Clause
"""Clipping of gradients and parameters as a vector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, nn
from fastnn._backend import references
from native_kernels import same_on_any_number_of_threads

SIZES = [(3, 4), (1,), (70_001,), (0,), (5, 2, 2), (), (16_384,)]
NORMS = [2.0, 1.0, 0.0, math.inf, -math.inf, 3.0, 0.5, -1.0]

LEVELS = _backend.cpu.usable_levels() if _backend.name == "cpu" else []


@pytest.fixture(params=LEVELS or [None])
def kernels(request: pytest.FixtureRequest) -> Any:
    """The native kernels of every instruction-set level."""
    if request.param is None:
        pytest.skip("the native CPU kernels are not in use")
    before = _backend.cpu.isa()
    _backend.cpu.set_isa(request.param)
    yield _backend.cpu.kernels
    _backend.cpu.set_isa(before)


def gradients(dtype: str = "float32", scale: float = 1.0) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(4)
    return [np.asarray(rng.standard_normal(s) * scale + 0.1 * scale, dtype) for s in SIZES]


def with_gradients(arrays: list[np.ndarray[Any, Any]]) -> list[Any]:
    parameters = []
    for a in arrays:
        p = nn.Parameter(fastnn.zeros(a.shape, dtype=fastnn.tensor(a).dtype))
        p.grad = fastnn.tensor(a)
        parameters.append(p)
    return parameters


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", NORMS)
def test_norms(kernels: Any, p: float, dtype: str) -> None:
    arrays = gradients(dtype)
    norm = np.full(1, 7, dtype)
    kernels["grad_norm"](arrays, norm, p)
    whole = np.concatenate([a.ravel() for a in arrays]).astype(np.longdouble)
    with np.errstate(all="ignore"):
        want = np.linalg.norm(whole, p)
        plain = np.full(1, 7, dtype)
        references["grad_norm"](arrays, plain, p)
    np.testing.assert_allclose(norm, float(want), rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(plain, float(want), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("p", NORMS)
def test_norms_do_not_depend_on_threads_or_place(kernels: Any, p: float) -> None:
    def run(offset: int = 0) -> np.ndarray[Any, Any]:
        arrays = []
        for a in gradients():
            padded = np.zeros(a.size + offset, np.float32)
            padded[offset:] = a.ravel()
            arrays.append(padded[offset:])
        norm = np.empty(1, np.float32)
        kernels["grad_norm"](arrays, norm, p)
        return norm

    assert same_on_any_number_of_threads(run) == run(3).tobytes()


def test_norms_of_large_and_special_gradients(kernels: Any) -> None:
    norm = np.empty(1, np.float32)
    big = [np.full(100, 1e25, np.float32)]
    kernels["grad_norm"](big, norm, 2.0)
    np.testing.assert_allclose(norm, 1e26, rtol=1e-6)  # whose squares are no floats
    for bad in (np.nan, np.inf):
        for place in (0, 50, 99):
            big[0][:] = 1
            big[0][place] = bad
            for p in (2.0, 1.0, 3.0, math.inf):
                kernels["grad_norm"](big, norm, p)
                np.testing.assert_array_equal(norm, bad)
    kernels["grad_norm"]([np.empty(0, np.float32)], norm, 2.0)
    assert norm[0] == 0
    with pytest.raises(ValueError, match="grad_norm"):
        kernels["grad_norm"](big, norm, math.nan)
    with pytest.raises(ValueError, match="grad_norm"):
        kernels["grad_norm"](big, np.empty(2, np.float32), 2.0)
    with pytest.raises(ValueError, match="clip_by_value"):
        kernels["clip_by_value"](big, -1.0)
    with pytest.raises(ValueError, match="clip_by_norm"):
        kernels["clip_by_norm"](big, np.empty(2, np.float32), 1.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipping_kernels_are_the_references(kernels: Any, dtype: str) -> None:
    for name, args in (
        ("clip_by_norm", (np.full(1, 3.0, dtype), 1.0)),
        ("clip_by_norm", (np.full(1, 0.5, dtype), 1.0)),
        ("clip_by_norm", (np.full(1, np.nan, dtype), 1.0)),
        ("clip_by_norm", (np.full(1, np.inf, dtype), 1.0)),
        ("clip_by_value", (0.3,)),
        ("clip_by_value", (0.0,)),
        ("clip_by_value", (math.inf,)),
    ):
        got, want = gradients(dtype), gradients(dtype)
        got[2][7] = want[2][7] = np.nan
        kernels[name](got, *args)
        with np.errstate(all="ignore"):
            references[name](want, *args)
        for g, w in zip(got, want, strict=True):
            np.testing.assert_array_equal(g, w)


@pytest.mark.torch
@pytest.mark.parametrize("p", [n for n in NORMS if n != 0.0] + ["inf"])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e6])
def test_clipping_by_norm_is_torchs(p: Any, max_norm: float) -> None:
    torch = pytest.importorskip("torch")
    arrays = [a for a in gradients("float64") if a.size]
    ours = with_gradients(arrays)
    theirs = [torch.nn.Parameter(torch.zeros(a.shape, dtype=torch.float64)) for a in arrays]
    for t, a in zip(theirs, arrays, strict=True):
        t.grad = torch.tensor(a)
    got = nn.utils.clip_grad_norm_(ours, max_norm, p)
    want = torch.nn.utils.clip_grad_norm_(theirs, max_norm, float(p))
    np.testing.assert_allclose(got.item(), want.item(), rtol=1e-12)
    for o, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(o.grad.numpy(), t.grad.numpy(), rtol=1e-12, atol=0)


@pytest.mark.torch
def test_the_rest_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    arrays = gradients()
    ours = with_gradients(arrays)
    theirs = [torch.nn.Parameter(torch.zeros(a.shape)) for a in arrays]
    for t, a in zip(theirs, arrays, strict=True):
        t.grad = torch.tensor(a)
    nn.utils.clip_grad_value_(ours, 0.25)
    torch.nn.utils.clip_grad_value_(theirs, 0.25)
    for o, t in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(o.grad.numpy(), t.grad.numpy())
    empty = nn.utils.clip_grad_norm_([], 1.0), torch.nn.utils.clip_grad_norm_([], 1.0)
    assert empty[0].item() == empty[1].item() == 0.0
    assert empty[0].shape == tuple(empty[1].shape) == ()
    for lib in (nn.utils, torch.nn.utils):
        with pytest.warns(UserWarning, match="empty generator"):
            lib.clip_grad_norm_((p for p in ()), 1.0)
    vectors = [nn.utils.parameters_to_vector(ours), torch.nn.utils.parameters_to_vector(theirs)]
    np.testing.assert_array_equal(*(v.detach().numpy() for v in vectors))


def test_gradients_of_all_layouts_and_types_are_one_vector() -> None:
    a = nn.Parameter(fastnn.zeros(3, 4))
    a.grad = fastnn.tensor(np.arange(12.0, dtype=np.float32).reshape(4, 3)).t()
    b = nn.Parameter(fastnn.zeros(5, dtype=fastnn.float64))
    b.grad = fastnn.ones(5, dtype=fastnn.float64)
    none = nn.Parameter(fastnn.zeros(2))
    before = math.sqrt(float((np.arange(12.0) ** 2).sum()) + 5)
    kept = a.grad, b.grad
    norm = nn.utils.clip_grad_norm_([a, b, none, a], 1.0)
    assert norm.dtype is fastnn.float64
    assert math.isclose(norm.item(), before, rel_tol=1e-6)
    assert (a.grad, b.grad, none.grad) == (*kept, None) or a.grad is kept[0]
    after = nn.utils.get_total_norm([a.grad, b.grad])
    assert math.isclose(after.item(), 1.0, rel_tol=1e-5)
    np.testing.assert_allclose(a.grad.numpy(), np.arange(12.0).reshape(4, 3).T / before, rtol=1e-5)


def test_one_tensor_is_a_list_of_one() -> None:
    p = nn.Parameter(fastnn.zeros(4))
    p.grad = fastnn.tensor([3.0, 0.0, -4.0, 0.0])
    assert nn.utils.clip_grad_norm_(p, 1.0).item() == 5.0
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0, -0.8, 0], rtol=1e-6)
    nn.utils.clip_grad_value_(p, 0.7)
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0, -0.7, 0], rtol=1e-6)


def test_small_gradients_keep_their_bits() -> None:
    arrays = gradients(scale=1e-6)
    parameters = with_gradients(arrays)
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for p, a in zip(parameters, arrays, strict=True):
        assert p.grad.numpy().tobytes() == a.tobytes()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_no_number(bad: float) -> None:
    p = nn.Parameter(fastnn.zeros(2))
    p.grad = fastnn.tensor([1.0, bad])
    with pytest.raises(RuntimeError, match="is non-finite"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert p.grad[0].item() == 1.0
    assert not math.isfinite(nn.utils.clip_grad_norm_([p], 1.0).item())
    assert p.grad[0].item() != 1.0


def test_a_change_after_the_forward_pass_is_noticed() -> None:
    p = nn.Parameter(fastnn.ones(2))
    p.grad = fastnn.tensor([3.0, 4.0], requires_grad=False)
    version = p.grad._version
    nn.utils.clip_grad_norm_([p], 1.0)
    assert p.grad._version > version


def test_half_precision() -> None:
    p = nn.Parameter(fastnn.zeros(400, dtype=fastnn.float16))
    p.grad = fastnn.full((400,), 100.0, dtype=fastnn.float16)
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == 2000.0
    np.testing.assert_allclose(p.grad.numpy().astype(float), 0.05, rtol=1e-2)


def test_errors() -> None:
    p = nn.Parameter(fastnn.zeros(2, 2))
    p.grad = fastnn.ones(2, 2)
    u = nn.utils
    for call, error, message in (
        (lambda: u.clip_grad_value_([p], -1.0), ValueError, "clip_value >= 0"),
        (lambda: u.clip_grad_value_([p], math.nan), ValueError, "clip_value >= 0"),
        (lambda: u.clip_grad_norm_([3], 1.0), TypeError, "expected Tensors, got int"),
        (lambda: u.get_total_norm([fastnn.tensor([1])]), RuntimeError, "floating-point"),
        (lambda: u.vector_to_parameters([1.0], [p]), TypeError, "vec as a Tensor"),
        (lambda: u.vector_to_parameters(fastnn.ones(3), [p]), ValueError, "a vector of 4"),
        (lambda: u.vector_to_parameters(fastnn.ones(2, 2), [p]), ValueError, "a vector of 4"),
        (lambda: u.parameters_to_vector([]), ValueError, "at least one"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_parameters_as_a_vector_and_back() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.shape == (3 * 2 + 2 + 2 * 2 + 2,)
    (vector * fastnn.arange(14.0)).sum().backward()
    grads = [p.grad.numpy().ravel() for p in model.parameters()]
    np.testing.assert_array_equal(np.concatenate(grads), np.arange(14.0))
    memory = [p.data_ptr() for p in model.parameters()]
    nn.utils.vector_to_parameters(fastnn.arange(14.0), model.parameters())
    assert model[0].bias.tolist() == [6.0, 7.0]
    assert [p.data_ptr() for p in model.parameters()] == memory
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_order_zero_counts_the_tensors_that_are_not_zero() -> None:
    def total(*lists: list[float]) -> float:
        return float(nn.utils.get_total_norm([fastnn.tensor(v) for v in lists], 0).item())

    assert total([1.0, 2.0, 3.0], [4.0, 0.0, 0.0]) == 2.0
    assert total([0.0, 0.0], [1.0, 1.0]) == total([1.0, 2.0]) == total([math.nan]) == 1.0
    assert total([0.0]) == total([]) == 0.0
    mixed = [fastnn.ones(2, dtype=fastnn.float64), fastnn.zeros(3), fastnn.ones(3)]
    assert nn.utils.get_total_norm(mixed, 0.0).item() == 2.0
    first, second = with_gradients([np.float32([1, 2, 3]), np.float32([4, 0, 0])])
    assert nn.utils.clip_grad_norm_([first, second], 1.0, norm_type=0).item() == 2.0
    np.testing.assert_allclose(first.grad.numpy(), [0.5, 1.0, 1.5], rtol=1e-5)


def test_the_older_name_warns() -> None:
    new, old = (fastnn.tensor([0.0, 0.0], requires_grad=True) for _ in range(2))
    new.grad, old.grad = (fastnn.tensor([3.0, 4.0]) for _ in range(2))
    with pytest.warns(FutureWarning, match="in favor of `nn.utils.clip_grad_norm_`"):
        assert nn.utils.clip_grad_norm(old, 1.0).item() == 5.0
    nn.utils.clip_grad_norm_(new, 1.0)
    assert fastnn.equal(new.grad, old.grad)

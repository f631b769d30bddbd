# SPDX-License-Identifier: BSD-3-Clause
"""Ordering, counting, joining, indexing and multiplying arrays: beyond the case table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import autograd, linalg
from fastnn.tensor import Tensor

NAN, INF = math.nan, math.inf


def same(t: Any, values: Any) -> None:
    np.testing.assert_array_equal(t.detach().numpy(), np.asarray(values))


def floats(*values: Any) -> Tensor:
    return fastnn.tensor(list(values), dtype=fastnn.float64).requires_grad_()


# ---- views --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.diagonal(1),
        lambda x: x.unfold(1, 2, 2),
        lambda x: x.swapaxes(0, 1),
        lambda x: x.moveaxis(0, 1),
        lambda x: x.ravel(),
        lambda x: x.tensor_split(2, 1)[1],
        lambda x: x.hsplit(2)[0],
        fastnn.atleast_3d,
        linalg.diagonal,
        lambda x: x.reshape_as(fastnn.zeros(4, 3)),
    ],
)
def test_views_share_memory(view: Any) -> None:
    x = fastnn.zeros(3, 4)
    part = view(x)
    assert np.shares_memory(part.numpy(), x.numpy())
    part.fill_(2.0)
    assert float(x.sum()) == 2.0 * part.numel()


def test_a_diagonal_changed_in_place_has_its_place_in_the_matrix() -> None:
    x = fastnn.zeros(3, 4)
    x.diagonal(-1).fill_(1.0)
    same(x, np.eye(3, 4, -1))


def test_views_of_meshgrids_repeat_without_copying() -> None:
    a, b = fastnn.meshgrid(fastnn.arange(3), fastnn.arange(2), indexing="ij")
    assert a.shape == b.shape == (3, 2)
    assert a.stride() == (1, 0)
    assert b.stride() == (0, 1)


# ---- order --------------------------------------------------------------------------------------


def test_sorting_keeps_equals_in_order_and_puts_nan_last() -> None:
    x = fastnn.tensor([1.0, NAN, 0.0, 1.0, -0.0, INF])
    values, indices = x.sort()
    same(indices, [2, 4, 0, 3, 5, 1])
    assert math.isnan(values.tolist()[-1])
    same(x.sort(descending=True).indices, [1, 5, 0, 3, 2, 4])
    same(fastnn.argsort(fastnn.tensor([True, False, True])), [1, 0, 2])


def test_the_largest_have_names_and_gradients() -> None:
    x = floats(1.0, 5.0, 3.0, 4.0)
    top = fastnn.topk(x, 2)
    same(top.values, [5.0, 4.0])
    same(top.indices, [1, 3])
    (top.values * floats(1.0, 10.0).detach()).sum().backward()
    same(x.grad, [0.0, 1.0, 0.0, 10.0])
    assert fastnn.topk(fastnn.tensor(3.0), 1).values.shape == ()


def test_medians_of_nan() -> None:
    x = fastnn.tensor([[1.0, NAN, 3.0, 2.0], [4.0, 1.0, 2.0, 3.0]])
    values, indices = x.median(1)
    assert math.isnan(values.tolist()[0])
    same(indices, [1, 2])
    values, indices = x.nanmedian(1)
    same(values, [2.0, 2.0])
    same(indices, [3, 2])
    assert math.isnan(float(x.median()))
    assert float(x.nanmedian()) == 2.0


def test_equals_share_the_gradient_of_the_median() -> None:
    x = floats(2.0, 1.0, 2.0, 7.0, 0.0)
    x.median().backward()
    same(x.grad, [0.5, 0.0, 0.5, 0.0, 0.0])


def test_the_mode_is_the_least_of_the_most_frequent() -> None:
    values, indices = fastnn.tensor([[3, 1, 3, 1], [5, 6, 7, 7]]).mode()
    same(values, [1, 7])
    same(indices, [3, 3])


def test_quantiles() -> None:
    x = fastnn.tensor([[4.0, 1.0, 3.0, 2.0], [NAN, 1.0, 3.0, 2.0]])
    q = fastnn.tensor([0.0, 0.5, 1.0])
    same(fastnn.quantile(x, q, 1)[:, 0], [1.0, 2.5, 4.0])
    assert fastnn.quantile(x, q, 1, keepdim=True).shape == (3, 2, 1)
    assert fastnn.isnan(fastnn.quantile(x, q, 1)[:, 1]).all()
    same(fastnn.nanquantile(x, q, 1)[:, 1], [1.0, 2.0, 3.0])
    assert float(fastnn.quantile(x[0], 0.4, interpolation="lower")) == 2.0
    with pytest.raises(RuntimeError, match="quantile: expected q as a number or a vector"):
        fastnn.quantile(x, fastnn.tensor(0.5, dtype=fastnn.float64))


def test_running_extrema_keep_the_last_of_equals_and_nan() -> None:
    values, indices = fastnn.cummax(fastnn.tensor([1.0, 3.0, 3.0, NAN, 9.0]), 0)
    same(indices, [0, 1, 2, 3, 3])
    assert fastnn.isnan(values[3:]).all()
    same(fastnn.cummin(fastnn.tensor([2, 2, 1, 5]), 0).indices, [0, 1, 2, 2])


def test_running_logarithms_of_sums_do_not_overflow() -> None:
    x = floats(-INF, -1000.0, 1000.0, 999.0)
    y = fastnn.logcumsumexp(x, 0)
    np.testing.assert_allclose(
        y.detach().numpy(), [-INF, -1000.0, 1000.0, 1000.0 + math.log1p(math.exp(-1))]
    )
    y[1:].sum().backward()
    p = 1.0 / (1.0 + math.exp(-1.0))
    np.testing.assert_allclose(x.grad.numpy(), [0.0, 1.0, 1.0 + p, 1.0 - p], atol=1e-15)  # type: ignore[union-attr]


@pytest.mark.parametrize("zeros", [1, 2])
def test_second_derivatives_of_products_with_zeros(zeros: int) -> None:
    x = floats(*[0.0] * zeros, 2.0, 3.0, -1.5)[fastnn.tensor([2, 0, 3, 1])].detach()
    assert autograd.gradgradcheck(lambda a: a.cumprod(0), [x.clone().requires_grad_()])
    assert autograd.gradgradcheck(lambda a: a.prod(), [x.clone().requires_grad_()])
    grid = x.reshape(2, 2).clone().requires_grad_()
    assert autograd.gradgradcheck(lambda a: a.prod(0), [grid])


# ---- numbers of elements ------------------------------------------------------------------------


def test_unique_elements() -> None:
    x = fastnn.tensor([[2.0, NAN, 1.0], [1.0, 2.0, NAN]])
    values, counts = fastnn.unique(x, return_counts=True)
    assert values.shape == (4,)  # NaN equals nothing
    same(counts, [2, 2, 1, 1])
    rows = fastnn.tensor([[1, 2], [0, 5], [1, 2]])
    values, inverse = rows.unique(dim=0, return_inverse=True)
    same(values, [[0, 5], [1, 2]])
    same(inverse, [1, 0, 1])
    assert fastnn.unique(fastnn.zeros(0)).shape == (0,)
    same(fastnn.unique_consecutive(fastnn.tensor([1, 1, 2, 1])), [1, 2, 1])


def test_places_of_what_is_not_zero() -> None:
    same(fastnn.nonzero(fastnn.tensor([[0, 2], [3, 0]])), [[0, 1], [1, 0]])
    rows, columns = fastnn.tensor([[0, 2], [3, 0]]).nonzero(as_tuple=True)
    same(rows, [0, 1])
    same(columns, [1, 0])
    assert fastnn.nonzero(fastnn.tensor(5)).shape == (1, 0)
    assert fastnn.nonzero(fastnn.tensor(0)).shape == (0, 0)
    (place,) = fastnn.nonzero(fastnn.tensor(5), as_tuple=True)
    same(place, [0])


def test_counts() -> None:
    x = fastnn.tensor([1, 3, 1])
    same(fastnn.bincount(x), [0, 2, 0, 1])
    assert fastnn.bincount(x, fastnn.tensor([0.5, 1.0, 2.0])).dtype is fastnn.float32
    assert fastnn.bincount(x, fastnn.tensor([1, 1, 1])).dtype is fastnn.float64
    same(fastnn.bincount(x[:0], minlength=2), [0, 0])


def test_search_in_rows_that_a_sorter_orders() -> None:
    rows, values = fastnn.tensor([3, 1, 2]), fastnn.tensor([0, 2, 9])
    same(fastnn.searchsorted(rows, values, sorter=rows.argsort()), [0, 1, 3])
    with pytest.raises(RuntimeError, match="numbers in \\[0, 3\\) in sorter"):
        fastnn.searchsorted(rows, values, sorter=fastnn.tensor([0, 1, 3]))
    with pytest.raises(RuntimeError, match="side as left or right"):
        fastnn.searchsorted(rows, values, side="left", right=True)
    assert fastnn.searchsorted(rows, 2, out_int32=True).dtype is fastnn.int32


def test_repeats_by_number() -> None:
    x = fastnn.tensor([[1, 2], [3, 4]])
    same(x.repeat_interleave(2), [1, 1, 2, 2, 3, 3, 4, 4])
    same(x.repeat_interleave(fastnn.tensor([0, 2]), 0, output_size=2), [[3, 4], [3, 4]])
    with pytest.raises(RuntimeError, match="output_size"):
        x.repeat_interleave(2, 0, output_size=3)


# ---- places -------------------------------------------------------------------------------------


def test_values_at_places_named_twice_are_added() -> None:
    x = fastnn.zeros(3, 2)
    index = (fastnn.tensor([0, 0, 2]),)
    same(fastnn.index_put(x, index, fastnn.ones(3, 2), True), [[2, 2], [0, 0], [1, 1]])
    assert x.index_put_((fastnn.tensor([1]),), fastnn.ones(2)) is x
    same(x, [[0, 0], [1, 1], [0, 0]])
    row = x.index_put((None, fastnn.tensor([1])), fastnn.tensor(5.0))
    same(row, [[0, 5], [1, 5], [0, 5]])


def test_tensors_without_dimensions_have_one_element() -> None:
    x, index = floats(2.0)[0], fastnn.tensor([0])
    assert x.gather(0, index).shape == (1,)
    assert x.index_select(0, index).shape == ()
    assert float(x.index_add(0, index, fastnn.tensor(3.0, dtype=fastnn.float64))) == 5.0
    assert float(x.index_fill(0, index, 7.0)) == 7.0
    assert float(x.index_copy(0, index, fastnn.tensor(3.0, dtype=fastnn.float64))) == 3.0
    assert fastnn.zeros(5).gather(0, fastnn.zeros(2, 0, dtype=fastnn.int64)).shape == (2, 0)


def test_elements_folded_into_places() -> None:
    x, index = fastnn.tensor([1.0, 2.0, 3.0]), fastnn.tensor([0, 0, 1])
    src = fastnn.tensor([5.0, 2.0, NAN])
    same(x.scatter_reduce(0, index[:2], src, "amax"), [5.0, 2.0, 3.0])
    same(x.scatter_reduce(0, index[:2], src, "mean", include_self=False), [3.5, 2.0, 3.0])
    assert math.isnan(float(x.scatter_reduce(0, index, src, "amin")[1]))
    same(x.scatter(0, index[:2], src, reduce="multiply"), [10.0, 2.0, 3.0])
    numbers = fastnn.tensor([4, 7, 9])
    low = numbers.scatter_reduce(0, index[:1], numbers[1:2], "amin", include_self=False)
    same(low, [7, 7, 9])


def test_equals_share_the_gradient_of_what_is_folded() -> None:
    x, src = floats(3.0, 1.0), floats(3.0, 2.0, 4.0)
    x.scatter_reduce(0, fastnn.tensor([0, 0, 1]), src, "amax").sum().backward()
    same(x.grad, [0.5, 0.0])
    same(src.grad, [0.5, 0.0, 1.0])


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_gradients_of_products_into_places(zeros: int) -> None:
    x, src = floats(2.0, 3.0), floats(*[0.0] * zeros, *[1.5, -2.0, 4.0][zeros:])
    index = fastnn.tensor([0, 0, 1])
    assert autograd.gradcheck(lambda a, b: a.scatter_reduce(0, index, b, "prod"), [x, src])
    # An element of src that no number sends anywhere gets nothing.
    assert autograd.gradcheck(lambda a, b: a.scatter_reduce(0, index[:2], b, "prod"), [x, src])


# ---- shapes -------------------------------------------------------------------------------------


def test_pieces_at_places_beyond_the_end_are_empty() -> None:
    parts = fastnn.arange(5).tensor_split([1, 7, 3, -1])
    assert [p.tolist() for p in parts] == [[0], [1, 2, 3, 4], [], [3], [4]]
    same(fastnn.arange(5).tensor_split(fastnn.tensor([2]))[1], [2, 3, 4])


def test_turns() -> None:
    x = fastnn.arange(6).reshape(2, 3)
    for k in range(-4, 5):
        same(x.rot90(k), np.rot90(x.numpy(), k))
    same(fastnn.flip(x, dims=(0,)), [[3, 4, 5], [0, 1, 2]])
    same(fastnn.permute(x, dims=(1, 0)), x.numpy().T)


# ---- products -----------------------------------------------------------------------------------


def test_einsum_by_numbers_of_dimensions() -> None:
    a, b = fastnn.arange(6.0).reshape(2, 3), fastnn.arange(12.0).reshape(3, 4)
    want = a.numpy() @ b.numpy()
    same(fastnn.einsum(a, [0, 1], b, [1, 2], [0, 2]), want)
    same(fastnn.einsum(a, [7, 3], b, [3, 9]), want)
    same(fastnn.einsum("ij,jk", [a, b]), want)
    same(fastnn.einsum("...j,jk", a, b), want)
    same(fastnn.einsum("ij,kj->ik", a, fastnn.ones(4, 1)), a.numpy().sum(1)[:, None] * np.ones(4))
    with pytest.raises(RuntimeError, match="einsum: expected an equation"):
        fastnn.einsum()


def test_factors_of_integer_products_are_cut() -> None:
    x = fastnn.ones(2, 2, dtype=fastnn.int64)
    same(fastnn.addmm(x, x, x, beta=1.9, alpha=2), np.full((2, 2), 5))
    truth = fastnn.tensor([True, False])
    same(fastnn.addr(fastnn.zeros(2, 2, dtype=fastnn.bool), truth, truth), np.diag([True, False]))


def test_norms_of_matrices() -> None:
    x = fastnn.tensor([[3.0, 0.0], [0.0, -4.0]])
    assert float(linalg.norm(x)) == 5.0
    assert float(linalg.norm(x, "nuc")) == pytest.approx(7.0)
    assert float(fastnn.norm(x, "nuc")) == pytest.approx(7.0)
    assert float(linalg.norm(x, -2)) == pytest.approx(3.0)
    same(linalg.norm(x, 1, dim=1), [3.0, 4.0])
    same(linalg.vector_norm(x, INF, dim=0), [3.0, 4.0])


def test_entries_are_scaled_down_to_a_norm() -> None:
    x = fastnn.tensor([[3.0, 4.0], [0.3, 0.4]])
    got = fastnn.renorm(x, 2, 0, 1.0)
    np.testing.assert_allclose(got.numpy(), [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)


# ---- equations ----------------------------------------------------------------------------------


def test_solutions_of_equations() -> None:
    a = fastnn.tensor([[4.0, 1.0], [2.0, 3.0]], dtype=fastnn.float64)
    b = fastnn.tensor([1.0, 2.0], dtype=fastnn.float64)
    x = linalg.solve(a, b)
    np.testing.assert_allclose((a @ x).numpy(), b.numpy())
    many = linalg.solve(a.expand(3, 2, 2), b.expand(3, 2))
    np.testing.assert_allclose(many.numpy(), np.tile(x.numpy(), (3, 1)))
    np.testing.assert_allclose((linalg.matrix_power(a, -2) @ a @ a).numpy(), np.eye(2), atol=1e-14)
    low = linalg.cholesky(a @ a.mT)
    np.testing.assert_allclose((low @ low.mT).numpy(), (a @ a.mT).numpy())
    np.testing.assert_allclose(linalg.cholesky(a @ a.mT, upper=True).numpy(), low.mT.numpy())


def test_matrices_without_what_is_asked_for_are_named() -> None:
    zero = fastnn.zeros(2, 2)
    for f in (linalg.inv, lambda a: linalg.solve(a, a), lambda a: linalg.matrix_power(a, -1)):
        with pytest.raises(linalg.LinAlgError, match="expected invertible matrices"):
            f(zero)
    with pytest.raises(linalg.LinAlgError, match="expected positive definite matrices"):
        linalg.cholesky(zero)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_determinants_have_gradients_whatever_the_rank(rank: int) -> None:
    rng = np.random.default_rng(3)
    array = rng.uniform(-1, 1, (3, rank)) @ rng.uniform(-1, 1, (rank, 3))
    x = Tensor._wrap(array).requires_grad_()
    assert autograd.gradcheck(linalg.det, [x], atol=1e-6)
    whole = fastnn.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]], dtype=fastnn.float64)
    assert autograd.gradgradcheck(linalg.det, [whole.requires_grad_()], atol=1e-6)


def test_logarithms_of_determinants() -> None:
    x = fastnn.tensor([[0.0, 2.0], [1.0, 0.0]])
    sign, logarithm = linalg.slogdet(x)
    assert (float(sign), float(logarithm)) == (-1.0, pytest.approx(math.log(2)))
    assert math.isnan(float(fastnn.logdet(x)))
    assert float(linalg.slogdet(fastnn.zeros(2, 2)).logabsdet) == -INF


# ---- in place -----------------------------------------------------------------------------------


def test_changes_in_place_give_the_tensor_itself() -> None:
    x = fastnn.arange(6.0).reshape(2, 3)
    mask = fastnn.tensor([[True, False, False], [False, True, False]])
    assert x.masked_scatter_(mask, fastnn.tensor([9.0, 8.0])) is x
    same(x, [[9, 1, 2], [3, 8, 5]])
    x.put_(fastnn.tensor([0, -1]), fastnn.tensor([0.0, 1.0]))
    x.index_fill_(1, fastnn.tensor([1]), 4.0)
    x.index_copy_(0, fastnn.tensor([1]), fastnn.tensor([[7.0, 7.0, 6.0]]))
    same(x, [[0, 4, 2], [7, 7, 6]])
    x.scatter_reduce_(1, fastnn.tensor([[0, 0]]), fastnn.tensor([[5.0, 3.0]]), "sum")
    same(x, [[8, 4, 2], [7, 7, 6]])


def test_exponentials_of_matrices_of_every_size() -> None:
    """Of what is skew-symmetric they are orthogonal; one batch holds norms from 0 to thousands."""
    x = fastnn.randn(6, 3, 3, dtype=fastnn.float64)
    scale = fastnn.tensor([0.0, 1e-9, 0.3, 1.0, 30.0, 3000.0], dtype=x.dtype).reshape(6, 1, 1)
    skew = ((x - x.mT) * scale).requires_grad_()
    q = fastnn.matrix_exp(skew)
    one = fastnn.eye(3, dtype=x.dtype)
    off = (q @ q.mT - one).detach().abs().amax((1, 2)).numpy()
    assert (off < [1e-15, 1e-15, 1e-14, 1e-14, 1e-12, 1e-10]).all()
    assert q[0].tolist() == one.tolist()
    (g,) = fastnn.autograd.grad((q * x).sum(), skew)
    assert bool(g.isfinite().all())
    np.testing.assert_allclose(g[0].numpy(), x[0].numpy(), rtol=1e-14)
    assert not bool(fastnn.matrix_exp(fastnn.full((2, 2), float("nan"))).isfinite().any())
    turned = fastnn.linalg.matrix_exp(fastnn.tensor([[0.0, -np.pi / 2], [np.pi / 2, 0.0]]))
    np.testing.assert_allclose(turned.numpy(), [[0.0, -1.0], [1.0, 0.0]], atol=2e-7)


def test_products_of_no_reflections_and_of_ones_that_are_none() -> None:
    v = fastnn.randn(2, 4, 3, dtype=fastnn.float64)
    for tau in (fastnn.zeros(2, 0, dtype=v.dtype), fastnn.zeros(2, 3, dtype=v.dtype)):
        q = fastnn.linalg.householder_product(v, tau)
        assert q.tolist() == fastnn.eye(4, 3, dtype=v.dtype).expand(2, 4, 3).tolist()

# SPDX-License-Identifier: BSD-3-Clause
"""Embedding: rows held below a norm, gradients by frequency, refused options; beside torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, autograd, nn
from fastnn.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = [[3.0, 4.0], [0.3, 0.4], [6.0, 8.0], [math.nan, 1.0], [0.0, 0.0]]
INDICES: list[Any] = [[0, 1, 0, 4], [[2, 2], [3, 0]], 2, [[0], [0]]]


@pytest.fixture(params=["in use", "numpy"], autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "numpy":
        with _backend.use("numpy"):
            yield
    else:
        yield


def test_named_rows_are_held_below_the_norm_in_place() -> None:
    weight = fastnn.tensor(TABLE, dtype=fastnn.float64).requires_grad_()
    y = F.embedding(fastnn.tensor([0, 1, 0]), weight, max_norm=1.0)
    small, held = [0.3, 0.4], np.array([3.0, 4.0]) / (5 + 1e-7)
    np.testing.assert_allclose(weight.detach().numpy(), [held, small, *TABLE[2:]], rtol=1e-15)
    np.testing.assert_allclose(y.detach().numpy(), [held, small, held], rtol=1e-15)
    (g,) = autograd.grad(y.sum(), weight)
    assert g is not None
    np.testing.assert_array_equal(g.numpy(), [[2, 2], [1, 1], [0, 0], [0, 0], [0, 0]])


def test_gradients_are_divided_by_the_frequency() -> None:
    weight = fastnn.tensor(TABLE).requires_grad_()
    y = F.embedding(fastnn.tensor([0, 1, 0, 0, 1]), weight, scale_grad_by_freq=True)
    factors = fastnn.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [6.0, 10.0], [1.0, 0.0]])
    (g,) = autograd.grad((y * factors).sum(), weight)
    assert g is not None
    np.testing.assert_allclose(g.numpy()[:3], [[4, 6], [2, 2], [0, 0]], rtol=1e-6)


def test_a_number_out_of_range_leaves_the_table_as_it_is() -> None:
    weight = fastnn.tensor(TABLE)
    with pytest.raises(IndexError, match=r"expected numbers in \[0, 4\], got 7"):
        F.embedding(fastnn.tensor([0, 7]), weight, max_norm=1.0)
    assert weight.tolist()[0] == [3, 4]


def test_rows_of_a_transposed_table_and_of_a_result_are_held_too() -> None:
    base = fastnn.tensor(np.array(TABLE).T.copy())
    F.embedding(fastnn.tensor([0, 2]), base.t(), max_norm=1.0)
    np.testing.assert_allclose(base.numpy()[:, 2], [0.6, 0.8], rtol=1e-6)
    leaf = fastnn.tensor(TABLE).requires_grad_()
    y = F.embedding(fastnn.tensor([0]), leaf * 1.0, max_norm=1.0)
    np.testing.assert_allclose(y.detach().numpy(), [[0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_norm": "a"}, TypeError, "expected max_norm as a number, got str"),
        ({"max_norm": -1.0}, ValueError, "expected max_norm >= 0, got -1.0; "),
        ({"max_norm": math.nan}, ValueError, "expected max_norm >= 0, got nan; "),
        ({"max_norm": 1.0, "norm_type": None}, TypeError, "expected norm_type as a number"),
        ({"max_norm": 1.0, "norm_type": math.nan}, ValueError, "norm_type as a number, got nan; "),
        ({"scale_grad_by_freq": 1}, TypeError, "expected scale_grad_by_freq as a bool, got int; "),
        ({"sparse": 1}, TypeError, "expected sparse as a bool, got int; "),
    ],
)
def test_bad_options_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as info:
        F.embedding(fastnn.tensor([0]), fastnn.ones(2, 3), **options)
    assert str(info.value).startswith("embedding: ")
    assert message in str(info.value)
    with pytest.raises(error) as info:
        nn.Embedding(2, 3, **options)
    assert str(info.value).startswith("Embedding: ")
    assert message in str(info.value)


def test_gradients_are_dense_whatever_sparse_says() -> None:
    numbers = fastnn.tensor([[2, 0], [2, 1]])
    for layer in (nn.Embedding(4, 3, sparse=True), nn.EmbeddingBag(4, 3, mode="sum", sparse=True)):
        layer(numbers).sum().backward()
        assert layer.sparse
        assert isinstance(layer.weight.grad, fastnn.Tensor)
        assert layer.weight.grad[:, 0].tolist() == [1.0, 1.0, 2.0, 0.0]


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {"max_norm": 1.0},
        {"max_norm": 7, "norm_type": 1.0},
        {"max_norm": 2.0, "norm_type": math.inf},
        {"max_norm": 1.0, "norm_type": 0.0},
        {"max_norm": 0.25, "norm_type": -1.0},
        {"max_norm": 1.0, "norm_type": 3},
        {"max_norm": 0.0},
        {"max_norm": math.inf},
        {"scale_grad_by_freq": True},
        {"scale_grad_by_freq": True, "padding_idx": 0},
        {"scale_grad_by_freq": True, "max_norm": 1.0, "padding_idx": -3},
    ],
)
def test_values_and_gradients_are_torchs(options: dict[str, Any], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for index in INDICES:
        found: list[list[Any]] = []
        for lib, grad in ((fastnn, autograd.grad), (torch, torch.autograd.grad)):
            weight = lib.tensor(TABLE, dtype=getattr(lib, dtype)).requires_grad_()
            y = lib.nn.functional.embedding(lib.tensor(index), weight, **options)
            factors = np.arange(1.0, 1 + y.numel()).reshape(y.shape).astype(dtype)
            (g,) = grad((y * lib.tensor(factors)).sum(), weight, retain_graph=True)
            (again,) = grad(grad((y * y).sum(), weight, create_graph=True)[0][[0, 2]].sum(), weight)
            found.append([weight.detach(), y.detach(), g, again])
        for a, b in zip(*found, strict=True):
            assert str(b.dtype) == f"torch.{a.dtype.name}"
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=3e-7 if "32" in dtype else 1e-14)


@pytest.mark.torch
def test_modules_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    for options in (
        {},
        {"max_norm": 1.5},
        {"max_norm": 1.0, "norm_type": 1.0, "padding_idx": -1},
        {"scale_grad_by_freq": True},
    ):
        ours, theirs = nn.Embedding(5, 2, **options), torch.nn.Embedding(5, 2, **options)
        assert repr(ours) == repr(theirs)
        ours.load_state_dict(theirs.state_dict())
        again = nn.Embedding.from_pretrained(ours.weight.detach() * 3, freeze=False, **options)
        copy = torch.nn.Embedding.from_pretrained(
            theirs.weight.detach() * 3, freeze=False, **options
        )
        for own, other in ((ours, theirs), (again, copy)):
            a, b = own(fastnn.tensor([4, 1, 4])), other(torch.tensor([4, 1, 4]))
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6)
            (a * a).sum().backward()
            (b * b).sum().backward()
            np.testing.assert_allclose(
                own.weight.grad.numpy(), other.weight.grad.numpy(), rtol=1e-6
            )
            np.testing.assert_allclose(
                own.weight.detach().numpy(), other.weight.detach().numpy(), rtol=1e-6
            )


def test_a_table_on_read_only_memory_is_copied_before_it_is_held() -> None:
    memory = np.frombuffer(np.ones((3, 2), np.float32).tobytes(), np.float32).reshape(3, 2)
    layer = nn.Embedding(3, 2, max_norm=0.5, _weight=fastnn.from_numpy(memory))
    out = layer(fastnn.tensor([0, 0]))
    np.testing.assert_allclose(out.detach().numpy(), np.full((2, 2), 0.5**1.5), rtol=1e-6)
    np.testing.assert_allclose(layer.weight.detach().numpy()[:, 0], [0.5**1.5, 1, 1], rtol=1e-6)
    assert (memory == 1.0).all()
    out.sum().backward()
    assert layer.weight.grad is not None
    wide = fastnn.ones(1, 2).expand(3, 2)
    with pytest.raises(RuntimeError, match=r"embedding: expected a weight with .*; clone\(\) it"):
        F.embedding(fastnn.tensor([0]), wide, max_norm=0.5)

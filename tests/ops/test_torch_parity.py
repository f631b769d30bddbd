# SPDX-License-Identifier: BSD-3-Clause
"""The case table against torch: values, types and gradients of every operation under its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import autograd, testing
from fastnn._dtypes import dtype as DType
from fastnn.tensor import Tensor

pytestmark = pytest.mark.torch
# Forms that the table has for itself, and dropout, whose random numbers are ours.
# Recurrent layers: tests/nn/test_rnn.py.
OWN = (
    "batch_norm inference", "batch_norm running", "dropout", "dropout1d", "dropout2d", "dropout3d",
    "alpha_dropout", "feature_alpha_dropout", "mm a^T b", "mm a b^T", "mm a^T b^T", "bmm a^T b",
    "maxout", "step", "__getitem__ slices", "gru_layer", "lstm_layer", "lstm_variant_layer",
    "rnn_layer", "multiclass_svm_loss", "perceptron_loss", "rrelu training", "gumbel_softmax",
    "embedding_bag weighted", "scaled_dot_product_attention -inf",
    "recurrence", "unfold dimension", "svd", "svd rebuilt", "cholesky factor",
    "index_put", "index_put by parts", "matrix_norm or vector_norm", "cov weighted", "meshgrid xy",
    "scatter multiply", "matrix_exp scaled",
)  # fmt: skip
CASES = [
    c for c in testing.all_cases(bench=False) if c.name not in OWN and "activation" not in c.kwargs
]


def assigned(x: Any, index: Any, value: Any) -> Any:
    out = x.clone()
    out[index] = value
    return out


def torch_function(torch: Any, name: str) -> Any:
    if name == "__setitem__":
        return assigned
    if name in ("cat", "stack"):
        return lambda *a: getattr(torch, name)(a[:-1], a[-1])
    if name in ("hstack", "vstack", "dstack", "column_stack"):
        return lambda *a: getattr(torch, name)(a)
    if name == "fill_diagonal":  # which torch has in place alone
        return lambda x, *a: x.clone().fill_diagonal_(*a)
    if name == "multi_dot":
        return lambda *a: torch.linalg.multi_dot(a)
    # The older of these have other forms.
    if name in ("cholesky", "det", "matrix_power", "slogdet", "solve"):
        return getattr(torch.linalg, name)
    F = torch.nn.functional
    if name == "ctc_loss":
        return lambda x, *a, **k: F.ctc_loss(F.log_softmax(x, -1), *a, **k)
    # torch's own are another form
    own = ("embedding", "embedding_bag", "kl_div", "binary_cross_entropy_with_logits")
    if name in own or "_loss" in name:
        return getattr(F, name)
    places = (torch, torch.nn.functional, torch.Tensor, torch.linalg)
    # torch.max_pool1d and its like are without return_indices, torch.batch_norm has another order.
    for place in places[1:] if "_pool" in name or "_norm" in name else places:
        if callable(getattr(place, name, None)):  # torch.short is a type
            return getattr(place, name)
    pytest.fail(f"torch has no {name}")


def as_torch(torch: Any, value: Any, requires_grad: bool) -> Any:
    if isinstance(value, np.ndarray):
        t = torch.from_numpy(np.array(value))
        return t.requires_grad_() if requires_grad and value.dtype.kind == "f" else t
    if isinstance(value, DType):
        return getattr(torch, value.name)
    return value


# Of double precision torch computes hardsigmoid and celu with constants of single precision.
SINGLE = ("hardsigmoid", "celu")
# torch's second derivative of ln gamma has about eight digits.
EIGHT_DIGITS = ("digamma", "polygamma")


@pytest.mark.filterwarnings("ignore:std.*degrees of freedom")
@pytest.mark.filterwarnings("ignore:index_reduce.* is in beta")
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_values_and_gradients_are_torchs(case: testing.OpCase, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    ours = testing.make_tensors(case, dtype, requires_grad=True)
    theirs = [as_torch(torch, v, case.grad) for v in testing.make_arrays(case, dtype)]
    got = testing.call(case, ours)
    want = torch_function(torch, case.name)(*theirs, **case.kwargs)
    want = tuple(want) if isinstance(want, tuple | list) else (want,)
    # Of sums of hundreds of products; both sides round them in their own order.
    long_sums = 10.0 if case.name.startswith("conv") else 1.0
    tolerance = (
        {"rtol": 2e-5, "atol": 2e-6 * long_sums}
        if dtype == "float32" or case.name in SINGLE
        else {"rtol": 1e-12, "atol": 1e-13 * long_sums}
    )
    if case.name in EIGHT_DIGITS:
        tolerance = {"rtol": 2e-5 if dtype == "float32" else 1e-7, "atol": 1e-7}
    want = tuple(torch.tensor(w) if isinstance(w, bool) else w for w in want)
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert f"torch.{g.dtype.name}" == str(w.dtype)
        assert g.shape == tuple(w.shape)
        np.testing.assert_allclose(g.detach().numpy(), w.detach().numpy(), **tolerance)
    roots = [(g, w) for g, w in zip(got, want, strict=True) if w.requires_grad]
    assert [g.requires_grad for g in got] == [w.requires_grad for w in want]
    if not roots:
        return
    rng = np.random.default_rng(1)
    weights = [np.asarray(rng.uniform(-1, 1, g.shape)).astype(g.array.dtype) for g, _ in roots]
    leaves = [t for t in ours if isinstance(t, Tensor) and t.requires_grad]
    their_leaves = [t for t in theirs if isinstance(t, torch.Tensor) and t.requires_grad]
    our_grads = autograd.grad([g for g, _ in roots], leaves, [Tensor._wrap(w) for w in weights])
    their_grads = torch.autograd.grad(
        [w for _, w in roots], their_leaves, [torch.from_numpy(w) for w in weights]
    )
    for g, w in zip(our_grads, their_grads, strict=True):
        assert g is not None
        np.testing.assert_allclose(g.numpy(), w.numpy(), **tolerance)


# Who requires grad under create_graph: torch has no second derivative of these, or another formula.
NO_SECOND = (
    "cdist", "copysign", "ctc_loss", "embedding_bag", "grid_sample", "hardsigmoid",
    "multi_margin_loss", "multilabel_margin_loss", "pdist",
)  # fmt: skip
# One element is no case of its own here; torch's gradient of x^0 belongs to no graph.
OTHERWISE = (
    "adaptive_avg_pool2d-2x3x7x9-1", "adaptive_avg_pool3d-2x2x3x2x4-1", "det-1x1", "pow-3x5-0",
)  # fmt: skip


def has_elements(case: testing.OpCase) -> bool:
    """Of nothing torch's gradients are zeros without a graph."""
    return all(
        not isinstance(t, Tensor) or t.numel() for t in testing.make_tensors(case, "float64")
    )


FEW = [
    c
    for name in sorted({c.name for c in CASES} - set(NO_SECOND))
    for c in [c for c in CASES if c.name == name and c.grad and c.id not in OTHERWISE][:3]
    if has_elements(c)
]


def who_requires_grad(grad: Any, ones_like: Any, out: Any, leaves: list[Any]) -> list[Any]:
    """Of the gradients under create_graph and of theirs: None, or whether it requires grad."""
    roots = [t for t in out if t.requires_grad]
    if not roots:
        return []
    options = {"create_graph": True, "allow_unused": True}
    first = grad(roots, leaves, [ones_like(t) for t in roots], **options)
    found = [None if g is None else g.requires_grad for g in first]
    recorded = [g for g in first if g is not None and g.requires_grad]
    if recorded:
        second = grad(recorded, leaves, [ones_like(g) for g in recorded], **options)
        found += [None if g is None else g.requires_grad for g in second]
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", FEW, ids=lambda c: c.id)
def test_recorded_gradients_require_grad_as_torchs(case: testing.OpCase) -> None:
    torch = pytest.importorskip("torch")
    ours = testing.make_tensors(case, "float64", requires_grad=True)
    theirs = [as_torch(torch, v, case.grad) for v in testing.make_arrays(case, "float64")]
    out = torch_function(torch, case.name)(*theirs, **case.kwargs)
    want = who_requires_grad(
        torch.autograd.grad,
        torch.ones_like,
        out if isinstance(out, tuple | list) else (out,),
        [t for t in theirs if isinstance(t, torch.Tensor) and t.requires_grad],
    )
    leaves = [t for t in ours if isinstance(t, Tensor) and t.requires_grad]
    got = who_requires_grad(autograd.grad, fastnn.ones_like, testing.call(case, ours), leaves)
    assert got == want

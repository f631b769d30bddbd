# SPDX-License-Identifier: BSD-3-Clause
"""Losses with margins and likelihoods as modules, alone and beside torch."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F

WEIGHT = [0.5, 2.0, 1.0, 0.25]
SIGNS, CLASSES, LABELS, HITS, COUNTS = "signs", "classes", "labels", "hits", "counts"
FLOATS = "floats"
# (module, its function, arguments, tensors behind the first): weights stand as lists.
MODULES: list[tuple[str, str, dict[str, Any], list[str]]] = [
    ("HingeEmbeddingLoss", "hinge_embedding_loss", {}, [SIGNS]),
    ("HingeEmbeddingLoss", "hinge_embedding_loss", {"margin": 2.5, "reduction": "sum"}, [SIGNS]),
    ("SoftMarginLoss", "soft_margin_loss", {"reduction": "none"}, [SIGNS]),
    ("SoftMarginLoss", "soft_margin_loss", {}, [SIGNS]),
    ("MarginRankingLoss", "margin_ranking_loss", {}, [FLOATS, SIGNS]),
    ("MarginRankingLoss", "margin_ranking_loss", {"margin": 1, "reduction": "none"},
     [FLOATS, SIGNS]),
    ("CosineEmbeddingLoss", "cosine_embedding_loss", {"margin": 0.2}, [FLOATS, "row signs"]),
    ("CosineEmbeddingLoss", "cosine_embedding_loss", {"reduction": "none"},
     [FLOATS, "row signs"]),
    ("MultiMarginLoss", "multi_margin_loss", {}, [CLASSES]),
    ("MultiMarginLoss", "multi_margin_loss", {"p": 2, "margin": 0.5, "weight": WEIGHT}, [CLASSES]),
    ("MultiMarginLoss", "multi_margin_loss", {"weight": WEIGHT, "reduction": "none"}, [CLASSES]),
    ("MultiLabelMarginLoss", "multilabel_margin_loss", {}, [LABELS]),
    ("MultiLabelMarginLoss", "multilabel_margin_loss", {"reduction": "none"}, [LABELS]),
    ("MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss", {}, [HITS]),
    ("MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss",
     {"weight": WEIGHT, "reduction": "none"}, [HITS]),
    ("PoissonNLLLoss", "poisson_nll_loss", {}, [COUNTS]),
    ("PoissonNLLLoss", "poisson_nll_loss", {"full": True, "reduction": "sum"}, [COUNTS]),
    ("PoissonNLLLoss", "poisson_nll_loss", {"log_input": False, "eps": 0.01, "full": True},
     [COUNTS]),
    ("GaussianNLLLoss", "gaussian_nll_loss", {}, [FLOATS, "variances"]),
    ("GaussianNLLLoss", "gaussian_nll_loss", {"full": True, "eps": 0.9, "reduction": "none"},
     [FLOATS, "variances"]),
    ("TripletMarginLoss", "triplet_margin_loss", {}, [FLOATS, FLOATS]),
    ("TripletMarginLoss", "triplet_margin_loss", {"p": 1.0, "swap": True, "margin": 5.0},
     [FLOATS, FLOATS]),
    ("TripletMarginWithDistanceLoss", "triplet_margin_with_distance_loss",
     {"swap": True, "reduction": "none"}, [FLOATS, FLOATS]),
    ("CTCLoss", "ctc_loss", {}, ["texts"]),
    ("CTCLoss", "ctc_loss", {"blank": 3, "reduction": "sum"}, ["texts"]),
    ("CTCLoss", "ctc_loss", {"zero_infinity": True, "reduction": "none"}, ["texts"]),
]  # fmt: skip
OURS: list[tuple[str, str, dict[str, Any], list[str]]] = [
    ("PerceptronLoss", "perceptron_loss", {"reduction": "sum"}, [SIGNS]),
    ("MulticlassSVMLoss", "multiclass_svm_loss", {"margin": 0.5, "p": 2}, [CLASSES]),
]


def made(name: str, kinds: list[str], dtype: str) -> list[Any]:
    """The arguments of a loss as arrays and lists; (6, 4), or for CTC (6, 2, 4)."""
    rng = np.random.default_rng(7)
    shape = (6, 2, 4) if name == "CTCLoss" else (6, 4)
    x = rng.uniform(0.2 if name == "PoissonNLLLoss" else -3, 3, shape)
    if name == "CTCLoss":
        x -= np.log(np.exp(x).sum(2, keepdims=True))
    out: list[Any] = [x.astype(dtype)]
    for kind in kinds:
        if kind in ("signs", "row signs"):
            out.append(rng.choice([-1.0, 1.0], shape[: 1 if "row" in kind else 2]).astype(dtype))
        elif kind == "texts":
            out += [np.array([[1, 2, 2], [2, 1, 0]]), [6, 5], [3, 2]]
        elif kind in ("classes", "labels", "hits", "counts"):
            size = shape[:1] if kind == "classes" else shape
            values = rng.integers(-1 if kind == "labels" else 0, 2 if kind == "hits" else 4, size)
            out.append(values.astype(dtype) if kind in ("hits", "counts") else values)
        else:
            out.append(rng.uniform(0.3 if kind == "variances" else -3, 3, shape).astype(dtype))
    return out


def module(lib: Any, tensor: Any, name: str, options: dict[str, Any], dtype: Any) -> Any:
    given = {k: tensor(v, dtype=dtype) if isinstance(v, list) else v for k, v in options.items()}
    return getattr(lib, name)(**given)


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "function", "options", "kinds"), MODULES)
def test_values_and_gradients_are_torchs(
    name: str, function: str, options: dict[str, Any], kinds: list[str], dtype: str
) -> None:
    torch = pytest.importorskip("torch")
    del function
    results = []
    for lib, tensor, types in ((nn, fastnn.tensor, fastnn), (torch.nn, torch.tensor, torch)):
        loss = module(lib, tensor, name, options, getattr(types, dtype))
        tensors = [
            tensor(a) if isinstance(a, np.ndarray) else tuple(a) for a in made(name, kinds, dtype)
        ]
        leaves = [
            t for t, kind in zip(tensors, [FLOATS, *kinds], strict=False)
            if kind in (FLOATS, "variances")
        ]  # fmt: skip
        for t in leaves:
            t.requires_grad_()
        out = loss(*tensors)
        weights = tensor(np.linspace(0.5, 1.5, max(out.numel(), 1)).astype(dtype))
        (out.reshape(-1) * weights).sum().backward()
        results.append([out.detach().numpy(), *(t.grad.numpy() for t in leaves)])
    tolerance = (
        {"rtol": 2e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}
    )
    for got, want in zip(*results, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, **tolerance)


@pytest.mark.torch
@pytest.mark.parametrize("name", sorted({n for n, *_ in MODULES}))
def test_modules_look_as_in_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(reduction="sum"), getattr(torch.nn, name)(reduction="sum")
    assert repr(ours) == repr(theirs)
    assert ours.reduction == theirs.reduction
    kept = ("reduction", "margin", "p", "eps", "swap", "full", "log_input", "blank",
            "zero_infinity")  # fmt: skip
    for option in kept:
        assert hasattr(ours, option) == hasattr(theirs, option), option
        assert getattr(ours, option, 0) == getattr(theirs, option, 0), option
    if name in ("MultiMarginLoss", "MultiLabelSoftMarginLoss"):
        weighted = [lib(weight=ones(4)) for lib, ones in (
            (getattr(nn, name), fastnn.ones), (getattr(torch.nn, name), torch.ones))]  # fmt: skip
        assert list(weighted[0].state_dict()) == list(weighted[1].state_dict()) == ["weight"]


@pytest.mark.parametrize(("name", "function", "options", "kinds"), MODULES + OURS)
def test_modules_call_their_functions(
    name: str, function: str, options: dict[str, Any], kinds: list[str]
) -> None:
    tensors = [
        fastnn.tensor(a) if isinstance(a, np.ndarray) else a for a in made(name, kinds, "float32")
    ]
    given = {k: fastnn.tensor(v) if isinstance(v, list) else v for k, v in options.items()}
    assert getattr(nn, name)(**given)(*tensors).tolist() == (
        getattr(F, function)(*tensors, **given).tolist()
    )


@pytest.mark.parametrize("name", sorted({n for n, *_ in MODULES + OURS}))
def test_wrong_options_are_refused_when_the_module_is_made(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected reduction"):
        getattr(nn, name)(reduction="avg")
    wrong: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
        "MultiMarginLoss": ({"p": 3}, ValueError, "expected p 1 or 2, got 3"),
        "MulticlassSVMLoss": ({"p": True}, ValueError, "expected p 1 or 2, got True"),
        "TripletMarginLoss": ({"margin": 0}, ValueError, "expected margin > 0, got 0"),
        "TripletMarginWithDistanceLoss": ({"margin": -1}, ValueError, "expected margin > 0"),
        "HingeEmbeddingLoss": ({"margin": "a"}, TypeError, "expected margin as a number"),
        "CTCLoss": ({"blank": 0.5}, TypeError, "expected blank as an int"),
    }
    if name in wrong:
        options, error, text = wrong[name]
        with pytest.raises(error, match=re.escape(f"{name}: {text}")):
            getattr(nn, name)(**options)
    if name == "MultiMarginLoss":
        with pytest.raises(ValueError, match="weight of one dimension"):
            nn.MultiMarginLoss(weight=fastnn.ones(2, 2))


def test_a_distance_that_is_a_module_is_trained_with_the_loss() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(fastnn.tensor(2.0))

        def forward(self, x: fastnn.Tensor, z: fastnn.Tensor) -> Any:
            return self.scale * (x - z).abs().sum(-1)

    loss = nn.TripletMarginWithDistanceLoss(distance_function=Scaled())
    assert [n for n, _ in loss.named_parameters()] == ["distance_function.scale"]
    loss(fastnn.ones(2, 3), fastnn.zeros(2, 3), fastnn.ones(2, 3)).backward()
    (scale,) = loss.parameters()
    assert scale.grad is not None
    assert scale.grad.item() == 3.0


def test_variances_are_numbers_too_and_not_below_eps() -> None:
    x, t = fastnn.tensor([1.0, 2.0]), fastnn.tensor([1.5, 2.0])
    assert F.gaussian_nll_loss(x, t, 3).tolist() == F.gaussian_nll_loss(x, t, 3.0).tolist()
    var = fastnn.tensor([0.0, 1e-9], requires_grad=True)
    loss = F.gaussian_nll_loss(x, t, var, eps=0.5, reduction="none")
    half = np.log(0.5) / 2
    np.testing.assert_allclose(loss.detach().numpy(), [half + 0.25, half], rtol=1e-6)
    loss.sum().backward()  # as if nothing had been held
    assert var.grad is not None
    np.testing.assert_allclose(var.grad.numpy(), [0.5, 1.0], rtol=1e-6)
    assert var.tolist() == [0.0, fastnn.tensor(1e-9).item()]


def test_margins_of_large_scores_stay_finite() -> None:
    x = fastnn.tensor([-1000.0, 1000.0], requires_grad=True)
    loss = F.soft_margin_loss(x, fastnn.tensor([1.0, 1.0]), reduction="none")
    assert loss.tolist() == [1000.0, 0.0]
    loss.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-1.0, 0.0]


def test_the_perceptron_learns_by_rosenblatts_rule() -> None:
    """One step of rate 1 on a sample: w + t phi if it is on the wrong side, else w."""
    phi = fastnn.tensor([[2.0, 1.0], [-1.0, 3.0]])
    t = fastnn.tensor([1.0, -1.0])
    w = fastnn.tensor([-1.0, 0.5], requires_grad=True)
    nn.PerceptronLoss(reduction="sum")(phi @ w, t).backward()
    assert w.grad is not None
    # The scores are -1.5 (wrong) and 2.5 (wrong).
    assert (-w.grad).tolist() == [2.0 + 1.0, 1.0 - 3.0]
    w.grad = None
    right = fastnn.tensor([-1.0, 1.0])
    nn.PerceptronLoss(reduction="sum")(phi @ w, right).backward()
    assert w.grad.tolist() == [0.0, 0.0]


def test_the_support_vector_machines_loss_is_the_sum_of_the_violations() -> None:
    # Of scores 3, 5.1 and -1 the first is right: max(0, 1 - 3 + 5.1) + max(0, 1 - 3 - 1).
    x, t = fastnn.tensor([[3.0, 5.1, -1.0]]), fastnn.tensor([0])
    np.testing.assert_allclose(nn.MulticlassSVMLoss()(x, t).item(), 3.1, rtol=1e-6)
    np.testing.assert_allclose(nn.MulticlassSVMLoss(p=2)(x, t).item(), 3.1**2, rtol=1e-6)
    np.testing.assert_allclose(nn.MultiMarginLoss()(x, t).item() * 3, 3.1, rtol=1e-6)

# SPDX-License-Identifier: BSD-3-Clause
"""Losses as modules, alone and beside torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F

WEIGHT = [0.5, 2.0, 1.0, 0.25]
# (module, arguments, kind of target): weights stand as lists.
MODULES: list[tuple[str, dict[str, Any], str]] = [
    ("MSELoss", {}, "numbers"),
    ("L1Loss", {"reduction": "sum"}, "numbers"),
    ("SmoothL1Loss", {"beta": 0.5}, "numbers"),
    ("SmoothL1Loss", {"beta": 0.0, "reduction": "none"}, "numbers"),
    ("HuberLoss", {"delta": 0.7}, "numbers"),
    ("NLLLoss", {}, "classes"),
    ("NLLLoss", {"weight": WEIGHT, "ignore_index": 1}, "classes"),
    ("NLLLoss", {"weight": WEIGHT, "reduction": "none"}, "classes"),
    ("BCELoss", {}, "probabilities"),
    ("BCELoss", {"weight": WEIGHT, "reduction": "sum"}, "probabilities"),
    ("BCEWithLogitsLoss", {}, "numbers"),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "reduction": "none"}, "numbers"),
    ("BCEWithLogitsLoss", {"pos_weight": WEIGHT}, "numbers"),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "pos_weight": WEIGHT[::-1]}, "numbers"),
    ("KLDivLoss", {"reduction": "batchmean"}, "numbers"),
    ("KLDivLoss", {"reduction": "sum", "log_target": True}, "numbers"),
    ("CrossEntropyLoss", {}, "classes"),
    ("CrossEntropyLoss", {"weight": WEIGHT}, "classes"),
    ("CrossEntropyLoss", {"weight": WEIGHT, "label_smoothing": 0.1}, "classes"),
    ("CrossEntropyLoss", {"label_smoothing": 0.1, "ignore_index": 2}, "classes"),
    (
        "CrossEntropyLoss",
        {"weight": WEIGHT, "label_smoothing": 0.1, "ignore_index": 2, "reduction": "none"},
        "classes",
    ),
    ("CrossEntropyLoss", {}, "numbers"),
    ("CrossEntropyLoss", {"weight": WEIGHT, "label_smoothing": 0.3}, "numbers"),
    ("CrossEntropyLoss", {"weight": WEIGHT, "reduction": "sum"}, "numbers"),
]
SHAPES = [(5, 4), (1, 4), (2, 4, 3, 2)]


def made(kind: str, shape: tuple[int, ...], dtype: str) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    x = rng.uniform(-3, 3, shape)
    target: Any = rng.uniform(0.05, 0.95, shape).astype(dtype)
    if kind == "probabilities":
        x = rng.uniform(0.05, 0.95, shape)
    if kind == "classes":
        target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    return x.astype(dtype), target


def module(lib: Any, tensor: Any, name: str, options: dict[str, Any], dtype: Any) -> Any:
    given = {k: tensor(v, dtype=dtype) if isinstance(v, list) else v for k, v in options.items()}
    return getattr(lib, name)(**given)


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "options", "kind"), MODULES)
def test_values_and_gradients_are_torchs(
    name: str, options: dict[str, Any], kind: str, shape: tuple[int, ...], dtype: str
) -> None:
    torch = pytest.importorskip("torch")
    if "weight" in name + str(options) and len(shape) > 2 and name.startswith("BCE"):
        shape = (2, 3, 2, 4)  # weights broadcast from the right
    x, target = made(kind, shape, dtype)
    results = []
    for lib, tensor, types in ((nn, fastnn.tensor, fastnn), (torch.nn, torch.tensor, torch)):
        loss = module(lib, tensor, name, options, getattr(types, dtype))
        a, t = tensor(x), tensor(target)
        a.requires_grad_()
        if kind != "classes":
            t.requires_grad_()
        out = loss(a, t)
        out.sum().backward()
        results.append([out.detach().numpy(), a.grad.numpy()])
        if kind != "classes":
            results[-1].append(t.grad.numpy())
    tolerance = (
        {"rtol": 2e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}
    )
    for got, want in zip(*results, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, **tolerance)


@pytest.mark.torch
def test_warnings_of_kl_div_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    for lib, ones in ((nn, fastnn.ones), (torch.nn, torch.ones)):
        with pytest.warns(UserWarning, match="batchmean"):
            lib.KLDivLoss()(ones(2, 3), ones(2, 3))


@pytest.mark.torch
@pytest.mark.parametrize("name", sorted({n for n, _, _ in MODULES}))
def test_modules_look_as_in_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    assert repr(getattr(nn, name)()) == repr(getattr(torch.nn, name)())
    if name in ("NLLLoss", "CrossEntropyLoss", "BCELoss", "BCEWithLogitsLoss"):
        ours = getattr(nn, name)(fastnn.ones(4))
        theirs = getattr(torch.nn, name)(torch.ones(4))
        assert list(ours.state_dict()) == list(theirs.state_dict()) == ["weight"]
    theirs = getattr(torch.nn, name)(reduction="sum")
    assert getattr(nn, name)(reduction="sum").reduction == theirs.reduction


@pytest.mark.parametrize(("name", "options", "kind"), MODULES)
def test_modules_call_their_functions(name: str, options: dict[str, Any], kind: str) -> None:
    functions = {
        "MSELoss": F.mse_loss, "L1Loss": F.l1_loss, "SmoothL1Loss": F.smooth_l1_loss,
        "HuberLoss": F.huber_loss, "NLLLoss": F.nll_loss, "BCELoss": F.binary_cross_entropy,
        "BCEWithLogitsLoss": F.binary_cross_entropy_with_logits, "KLDivLoss": F.kl_div,
        "CrossEntropyLoss": F.cross_entropy,
    }  # fmt: skip
    x, t = (fastnn.tensor(a) for a in made(kind, (5, 4), "float32"))
    given = {k: fastnn.tensor(v) if isinstance(v, list) else v for k, v in options.items()}
    loss = getattr(nn, name)(**given)
    assert loss(x, t).tolist() == functions[name](x, t, **given).tolist()


@pytest.mark.parametrize("name", sorted({n for n, _, _ in MODULES}))
def test_wrong_reductions_are_refused_when_the_module_is_made(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected reduction"):
        getattr(nn, name)(reduction="avg")
    if name != "KLDivLoss":
        with pytest.raises(ValueError, match="batchmean"):
            getattr(nn, name)(reduction="batchmean")


OLD = [
    ({"size_average": True}, "mean"),
    ({"size_average": False}, "sum"),
    ({"reduce": True}, "mean"),
    ({"reduce": False}, "none"),
    ({"size_average": True, "reduce": False}, "none"),
    ({"size_average": False, "reduce": True}, "sum"),
]


@pytest.mark.filterwarnings("ignore:kl_div. reduction='mean'")
@pytest.mark.parametrize(("given", "reduction"), OLD)
def test_what_reduction_replaced_comes_before_it(given: dict[str, bool], reduction: str) -> None:
    x, t = fastnn.tensor([0.5, 2.0]), fastnn.tensor([1.0, 4.0])
    with pytest.warns(UserWarning, match=f"use reduction='{reduction}'") as caught:
        loss = nn.MSELoss(**given)
    assert caught[0].filename == __file__
    assert loss.reduction == reduction
    for f in (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.kl_div, F.soft_margin_loss):
        with pytest.warns(UserWarning, match="size_average and reduce are deprecated") as caught:
            got = f(x, t, reduction="batchmean", **given)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert got.tolist() == f(x, t, None, None, reduction).tolist()


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:size_average and reduce", "ignore:.*are deprecated")
@pytest.mark.parametrize(("given", "reduction"), OLD)
def test_what_reduction_replaced_means_what_it_means_in_torch(
    given: dict[str, bool], reduction: str
) -> None:
    torch = pytest.importorskip("torch")
    for name in ("NLLLoss", "SoftMarginLoss", "CosineEmbeddingLoss", "MultiMarginLoss"):
        assert getattr(torch.nn, name)(**given).reduction == reduction
        assert getattr(nn, name)(**given).reduction == reduction


def test_weights_move_with_the_module() -> None:
    loss = nn.BCEWithLogitsLoss(fastnn.ones(3), pos_weight=fastnn.ones(3)).double()
    assert loss.weight is not None
    assert loss.pos_weight is not None
    assert loss.weight.dtype is loss.pos_weight.dtype is fastnn.float64
    assert sorted(loss.state_dict()) == ["pos_weight", "weight"]


def test_label_smoothing_is_a_share() -> None:
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(RuntimeError, match="between 0 and 1"):
            nn.CrossEntropyLoss(label_smoothing=share)


def test_logits_and_targets_of_two_types_and_weights_of_integers():
    x = fastnn.tensor([0.5, -1.0, 2.0], requires_grad=True)
    t = fastnn.tensor([1.0, 0.0, 1.0])
    same = F.binary_cross_entropy_with_logits(x, t)
    for kind in (fastnn.float64, fastnn.float16):
        loss = F.binary_cross_entropy_with_logits(x, t.to(kind))
        assert loss.dtype == kind  # as torch: the target's
        assert loss.item() == pytest.approx(same.item(), rel=1e-3)
        (grad,) = fastnn.autograd.grad(loss, x)
        assert grad.dtype == fastnn.float32
    for kind in (fastnn.int64, fastnn.float64):
        weighted = F.binary_cross_entropy_with_logits(
            x,
            t,
            weight=fastnn.tensor([1, 2, 3], dtype=kind),
            pos_weight=fastnn.tensor([3], dtype=kind),
        )
        as_floats = F.binary_cross_entropy_with_logits(
            x, t, weight=fastnn.tensor([1.0, 2.0, 3.0]), pos_weight=fastnn.tensor([3.0])
        )
        assert weighted.dtype == fastnn.float32
        assert weighted.item() == as_floats.item()

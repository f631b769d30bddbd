# SPDX-License-Identifier: BSD-3-Clause
"""Values that no call can take: refused with its name, what it expects, what came and the cure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

X = fastnn.ones(3, 4)
NUMBERS = fastnn.tensor([0, 2])
TABLE = fastnn.ones(3, 2)
ADAM = fastnn.optim.Adam([fastnn.ones(2, requires_grad=True)])

REFUSED: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: F.affine_grid(fastnn.ones(1, 2, 3), 1, False),
        "affine_grid: expected size (n, c, h, w)",
    ),
    (
        lambda: F.affine_grid(fastnn.ones(1, 2, 3), None, False),
        "affine_grid: expected sizes as ints",
    ),
    (
        lambda: F.affine_grid(fastnn.ones(1, 2, 3), [(1, 1, 4, 4)], False),
        "affine_grid: expected sizes as ints",
    ),
    (lambda: F.pad(X, 1), "pad: expected up to 2 pairs of ints"),
    (lambda: F.pad(X, [(1, 1)]), "pad: expected sizes as ints, got ((1, 1),)"),
    (lambda: F.pad(X, None), "pad: expected sizes as ints, got (None,)"),
    (lambda: F.bilinear(X, X, None), "bilinear: expected weight as a Tensor, got NoneType"),
    (lambda: F.one_hot(NUMBERS, "a"), "one_hot: expected num_classes as an int, got 'a'"),
    (lambda: F.one_hot(-NUMBERS), "one_hot: expected numbers >= 0, got -2"),
    (lambda: F.embedding(NUMBERS, TABLE, "a"), "embedding: expected padding_idx as an int"),
    (lambda: nn.Embedding(3, 2, "a"), "Embedding: expected padding_idx as an int, got 'a'"),
    (lambda: nn.Embedding(3, 2, _weight=[1.0]), "Embedding: expected _weight as a Tensor"),
    (lambda: nn.EmbeddingBag(3, 2, padding_idx="a"), "EmbeddingBag: expected padding_idx as an"),
    (lambda: nn.EmbeddingBag(3, 2, _weight=3), "EmbeddingBag: expected _weight as a Tensor"),
    (lambda: fastnn.linalg.matrix_norm(X, [1.5]), "matrix_norm: expected ord 'fro', 'nuc'"),
    (lambda: fastnn.linalg.matrix_norm(X, {}), "matrix_norm: expected ord 'fro', 'nuc'"),
    (lambda: fastnn.einsum(None), "einsum: expected an equation, or a list of numbers"),
    (lambda: fastnn.einsum(X, [0, 1], 3), "einsum: expected an equation, or a list of numbers"),
    (lambda: X.split([None]), "split: expected a size as an int, got None"),
    (lambda: X.split([1.5, 1.5]), "split: expected a size as an int, got 1.5"),
    (lambda: fastnn.ones(()).size(0), "size: expected a tensor of dimensions"),
    (lambda: fastnn.ones(()).stride(-1), "stride: expected a tensor of dimensions"),
    (lambda: fastnn.promote_types(None, None), "promote_types: expected a fastnn dtype"),
    (lambda: fastnn.can_cast(fastnn.int8, None), "can_cast: expected a fastnn dtype"),
    (lambda: F.group_norm(X, ()), "group_norm: expected num_groups as an int, got ()"),
    (lambda: X.fill_(np.ones(2)), "fill_: expected a number, got shape (2,); "),
    (lambda: nn.Transformer(4, 2, 1, 1, 8)(X, None), "Transformer: expected tgt as a Tensor"),
    (lambda: nn.Transformer(4, 2, 1, 1, 8)(X, fastnn.ones(())), "Transformer: expected src and"),
    (lambda: nn.MultiheadAttention(4, 2)(X, X, X, "a"), "key_padding_mask as a Tensor, got str"),
    (lambda: nn.MultiheadAttention(4, 2)(X, X, X, attn_mask=1), "attn_mask as a Tensor, got int"),
    (lambda: nn.BatchNorm1d(4)([1.0]), "BatchNorm1d: expected input as a Tensor, got list"),
    (lambda: nn.Flatten()(None), "flatten: expected input as a Tensor, got NoneType"),
    (lambda: nn.Unflatten(1, (2, 2))("a"), "Unflatten: expected input as a Tensor, got str"),
    (lambda: ADAM.load_state_dict("a"), "Adam.load_state_dict: expected a dictionary, got str"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_a_value_that_cannot_be_taken_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError, IndexError)) as info:
        call()
    text = str(info.value)
    assert message in text
    assert ", got " in text
    assert "; " in text


@pytest.mark.parametrize("hard", [False, True])
def test_a_temperature_that_is_learnt_gets_a_gradient(hard: bool) -> None:
    logits, tau = fastnn.tensor([0.5, 1.0, 2.0]), fastnn.tensor(0.5, requires_grad=True)
    fastnn.manual_seed(0)
    F.gumbel_softmax(logits, tau, hard)[0].backward()
    fastnn.manual_seed(0)
    plain = F.gumbel_softmax(logits, 0.5)
    fastnn.manual_seed(0)
    scores = F.gumbel_softmax(logits, 0.5).log() * 0.5  # the noisy scores but for a constant
    expected = plain[0] * (-(scores[0] - (plain * scores).sum()) / 0.25)
    assert tau.grad is not None
    assert tau.grad.item() == pytest.approx(expected.item(), rel=1e-4)


def test_values_and_boundaries_of_two_types_are_compared_in_the_one_that_holds_both() -> None:
    ages, edges = fastnn.tensor([0.5, 15.0, 20.0, 20.5]), fastnn.tensor([0, 10, 20])
    assert fastnn.bucketize(ages, edges).tolist() == [1, 2, 2, 3]
    assert fastnn.searchsorted(edges, ages, right=True).tolist() == [1, 2, 3, 3]
    assert fastnn.searchsorted(edges.to(fastnn.uint8), fastnn.tensor([-1, 300])).tolist() == [0, 3]


def test_windows_farther_apart_than_the_input_is_long_are_one() -> None:
    assert fastnn.arange(5).unfold(0, 2, 2**62).tolist() == [[0, 1]]


def test_extremes_of_nothing_raise_torchs_types_of_error() -> None:
    nothing = fastnn.ones(2, 0)
    for everything in ({}, {"dim": ()}, {"dim": []}, {"dim": None}):
        with pytest.raises(RuntimeError, match="amax: expected at least one element"):
            fastnn.amax(nothing, **everything)
    with pytest.raises(IndexError, match="amin: expected at least one element"):
        fastnn.amin(nothing, dim=1)

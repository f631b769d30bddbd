# SPDX-License-Identifier: BSD-3-Clause
"""Draws: their distributions by their moments, their shapes and types, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Generator

N = 20_000


def seeded() -> Generator:
    return Generator().manual_seed(7)


def filled(name: str, *args: Any, dtype: Any = None) -> np.ndarray[Any, Any]:
    t = fastnn.empty(N, dtype=dtype or fastnn.float64)
    assert getattr(t, name)(*args, generator=seeded()) is t
    return t.numpy()


def close(values: np.ndarray[Any, Any], mean: float, std: float) -> None:
    """Within five standard errors of the mean; the deviation within a twentieth."""
    assert abs(values.mean() - mean) < 5.0 * std / math.sqrt(N)
    assert abs(values.std() / std - 1.0) < 0.05


def test_distributions() -> None:
    close(filled("exponential_", 2.0), 0.5, 0.5)
    close(filled("geometric_", 0.25), 4.0, math.sqrt(0.75) / 0.25)
    close(np.log(filled("log_normal_", 0.5, 0.25)), 0.5, 0.25)
    close(filled("bernoulli_", 0.3), 0.3, math.sqrt(0.21))
    draws = filled("cauchy_", 1.0, 2.0)
    quarters = np.quantile(draws, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quarters, [-1.0, 1.0, 3.0], atol=0.15)
    whole = filled("geometric_", 0.5, dtype=fastnn.int64)
    assert whole.min() == 1


def test_random_whole_numbers() -> None:
    draws = filled("random_", 2, 6)
    assert sorted(set(draws.tolist())) == [2.0, 3.0, 4.0, 5.0]
    close(draws, 3.5, math.sqrt(15 / 12))
    assert set(filled("random_", 3, dtype=fastnn.int64).tolist()) == {0, 1, 2}
    assert set(filled("random_", dtype=fastnn.bool).tolist()) == {False, True}
    wide = filled("random_", dtype=fastnn.uint8)
    assert (wide.min(), wide.max()) == (0, 255)
    assert filled("random_", dtype=fastnn.float32).max() > 2**23
    assert fastnn.randint_like(fastnn.zeros(2, 3), 4, 5).tolist() == [[4.0] * 3] * 2
    assert fastnn.randint_like(fastnn.zeros(2), 3, dtype=fastnn.int32).dtype is fastnn.int32
    assert fastnn.randint(3, (2,), dtype=fastnn.float32, requires_grad=True).requires_grad
    assert fastnn.randperm(4, device="cpu", layout=fastnn.strided).shape == (4,)


def test_bernoulli_by_element() -> None:
    p = fastnn.tensor([0.0, 1.0, 0.3]).expand(N, 3)
    means = fastnn.bernoulli(p, generator=seeded()).mean(0)
    assert means[:2].tolist() == [0.0, 1.0]
    assert abs(means[2].item() - 0.3) < 0.02
    assert fastnn.bernoulli(fastnn.tensor([1, 0]), 1.0).tolist() == [1, 1]
    x = fastnn.zeros(2, 2)
    assert x.bernoulli_(fastnn.tensor([1.0, 0.0])).tolist() == [[1.0, 0.0]] * 2


def test_multinomial_follows_its_weights() -> None:
    weights = fastnn.tensor([1.0, 0.0, 3.0, 4.0, 0.0])
    drawn = fastnn.multinomial(weights, N, True, generator=seeded())
    shares = np.bincount(drawn.numpy(), minlength=5) / N
    np.testing.assert_allclose(shares, [0.125, 0.0, 0.375, 0.5, 0.0], atol=0.02)
    rows = fastnn.multinomial(weights.expand(N // 4, 5), 2, generator=seeded())
    assert rows.shape == (N // 4, 2)
    assert (rows[:, 0] != rows[:, 1]).all().item()
    first = np.bincount(rows[:, 0].numpy(), minlength=5) / (N // 4)
    np.testing.assert_allclose(first, [0.125, 0.0, 0.375, 0.5, 0.0], atol=0.03)
    # P(2 first, 3 second) = 3/8 * 4/5.
    pairs = ((rows[:, 0] == 2) & (rows[:, 1] == 3)).numpy().mean()
    assert abs(pairs - 0.3) < 0.03
    # Where the weights above 0 are used up the others follow.
    assert sorted(fastnn.multinomial(weights, 5).tolist()) == [0, 1, 2, 3, 4]
    assert set(fastnn.multinomial(weights, 5)[3:].tolist()) == {1, 4}
    assert fastnn.multinomial(fastnn.zeros(0, 3), 2).shape == (0, 2)


def test_normal_of_tensors_and_numbers() -> None:
    mean, std = fastnn.full((N,), 2.0), fastnn.full((N,), 0.5)
    for made in (
        fastnn.normal(mean, std, generator=seeded()),
        fastnn.normal(mean, 0.5, generator=seeded()),
        fastnn.normal(2.0, std, generator=seeded()),
        fastnn.normal(2, 0.5, (N,), generator=seeded()),
        fastnn.normal(2.0, 0.5, size=(N,), generator=seeded()),
    ):
        assert made.dtype is fastnn.float32
        close(made.numpy().astype(np.float64), 2.0, 0.5)
    assert fastnn.normal(fastnn.zeros(2, 1), fastnn.ones(3)).shape == (2, 3)
    assert fastnn.normal(0.0, 1.0, (2,), dtype=fastnn.float64, requires_grad=True).requires_grad


def test_one_state_gives_one_sequence() -> None:
    for draw in (
        lambda: fastnn.bernoulli(fastnn.full((9,), 0.5)),
        lambda: fastnn.multinomial(fastnn.ones(9), 9),
        lambda: fastnn.normal(0.0, fastnn.ones(9)),
        lambda: fastnn.zeros(9).exponential_(),
        lambda: fastnn.zeros(9).random_(),
    ):
        fastnn.manual_seed(3)
        state = fastnn.get_rng_state()
        first, second = draw(), draw()
        fastnn.set_rng_state(state)
        assert draw().tolist() == first.tolist()
        assert draw().tolist() == second.tolist()
        assert first.tolist() != second.tolist()


def test_fork_rng_gives_the_state_back() -> None:
    fastnn.manual_seed(5)
    want = fastnn.rand(3).tolist()
    fastnn.manual_seed(5)
    with fastnn.random.fork_rng():
        assert fastnn.rand(3).tolist() == want
    assert fastnn.rand(3).tolist() == want
    with fastnn.random.fork_rng(enabled=False):
        second = fastnn.rand(3).tolist()
    assert fastnn.rand(3).tolist() != second


ONE, FLOAT = fastnn.ones(1), fastnn.ones(3)
WRONG: list[tuple[Any, str]] = [
    (lambda: fastnn.bernoulli(fastnn.tensor([2.0])), "bernoulli: expected probabilities in [0, 1]"),
    (lambda: fastnn.bernoulli(fastnn.tensor([math.nan])), "expected probabilities in [0, 1], got"),
    (
        lambda: fastnn.bernoulli(fastnn.tensor([1])),
        "bernoulli: expected probabilities of a floating",
    ),
    (lambda: fastnn.bernoulli(0.5), "bernoulli: expected input as a Tensor, got float; "),
    (lambda: FLOAT.clone().bernoulli_(2.0), "bernoulli_: expected p in [0, 1], got 2.0; "),
    (lambda: ONE.clone().bernoulli_(FLOAT), "bernoulli_: expected probabilities that fit (1,)"),
    (lambda: fastnn.multinomial(FLOAT, 4), "multinomial: expected num_samples <= 3"),
    (lambda: fastnn.multinomial(FLOAT, 0), "multinomial: expected num_samples >= 1, got 0; "),
    (lambda: fastnn.multinomial(-FLOAT, 1), "multinomial: expected finite weights >= 0"),
    (lambda: fastnn.multinomial(FLOAT * 0, 1), "multinomial: expected a weight above 0"),
    (lambda: fastnn.multinomial(FLOAT * math.inf, 1), "multinomial: expected finite weights"),
    (lambda: fastnn.multinomial(fastnn.ones(1, 1, 1), 1), "multinomial: expected input (k,) or"),
    (lambda: fastnn.multinomial(fastnn.tensor([1]), 1), "multinomial: expected input of a float"),
    (lambda: fastnn.normal(FLOAT, -1.0), "normal: expected std >= 0, got -1.0; "),
    (lambda: fastnn.normal(0.0, -FLOAT), "normal: expected std >= 0, got less; "),
    (lambda: fastnn.normal(fastnn.tensor([1]), 1.0), "normal: expected mean and std of a float"),
    (lambda: fastnn.normal(FLOAT, 1.0, (3,)), "normal: expected size with numbers only, got (3,)"),
    (lambda: fastnn.normal("a", 1.0), "normal: expected a tensor or a number, got str; "),
    (lambda: fastnn.normal(FLOAT, fastnn.ones(2)), "normal: expected shapes that broadcast"),
    (lambda: FLOAT.clone().random_(5, 2), "random_: expected low < high, got 5 and 2; "),
    (lambda: fastnn.randint(1000, (2,), dtype=fastnn.uint8), "randint: expected low and high - 1"),
    (lambda: fastnn.randint(-1, 3, (2,), dtype=fastnn.uint8), "that fastnn.uint8 holds, got -1 a"),
    (
        lambda: fastnn.randint(0, 3, (2,), dtype=fastnn.bool),
        "that fastnn.bool holds, got 0 and 2; ",
    ),
    (lambda: fastnn.zeros(2, dtype=fastnn.float16).random_(10**9), "random_: expected low and hi"),
    (lambda: FLOAT.clone().random_(0.5), "random_: expected high as an int, got 0.5; "),
    (lambda: FLOAT.clone().exponential_(0), "exponential_: expected lambd > 0, got 0; "),
    (lambda: FLOAT.clone().geometric_(1.0), "geometric_: expected p in (0, 1), got 1.0; "),
    (lambda: FLOAT.clone().log_normal_(0, -1), "log_normal_: expected std > 0, got -1; "),
    (lambda: FLOAT.clone().cauchy_(0, "a"), "cauchy_: expected sigma as a number, got str; "),
    (lambda: fastnn.tensor([1]).exponential_(), "exponential_: expected the tensor of a float"),
    (lambda: fastnn.ones(1, requires_grad=True).exponential_(), "exponential_: expected a tensor"),
    (lambda: fastnn.randint_like(3, 4), "randint_like: expected input as a Tensor, got int; "),
    (lambda: fastnn.bernoulli(FLOAT, generator=3), "expected a fastnn.Generator or None, got int"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[w[1][:40] for w in WRONG])
def test_wrong_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises((RuntimeError, TypeError)) as caught:
        call()
    assert message in str(caught.value), str(caught.value)
    assert "; " in str(caught.value)


@pytest.mark.parametrize(
    "draw",
    [
        fastnn.bernoulli,
        lambda p: fastnn.zeros(2, 3).bernoulli_(p),
        lambda p: fastnn.normal(p, 1.0),
        lambda p: fastnn.normal(fastnn.zeros(2, 3), p),
        lambda p: fastnn.normal(p, p),
    ],
)
def test_parameters_of_what_is_drawn_have_gradient_zero(draw: Any) -> None:
    """As in torch: the draw belongs to the graph of its probability, mean or deviation."""
    p = fastnn.full((3,), 0.5, requires_grad=True)
    drawn = draw(p)
    assert drawn.requires_grad
    assert not drawn.is_leaf
    (drawn * 2.0).sum().backward()
    assert p.grad is not None
    assert p.grad.tolist() == [0.0, 0.0, 0.0]
    with fastnn.no_grad():
        assert not draw(p).requires_grad
    assert not draw(p.detach()).requires_grad


def test_what_is_drawn_into_a_leaf_that_requires_grad_is_refused() -> None:
    p = fastnn.full((3,), 0.5, requires_grad=True)
    with pytest.raises(RuntimeError, match="bernoulli_: expected a tensor without grad"):
        fastnn.zeros(3, requires_grad=True).bernoulli_(p)
    assert fastnn.zeros(3, dtype=fastnn.int64).bernoulli_(p).dtype is fastnn.int64

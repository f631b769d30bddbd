# SPDX-License-Identifier: BSD-3-Clause
"""Layers of integers, which torch computes too: the numbers are what torch 2.13 returns."""

from __future__ import annotations

import pytest

import fastnn
from fastnn.nn import functional as F

LINE = fastnn.tensor([-7, -1, 0, 1, 5, 9])
IMAGE = fastnn.arange(-8, 8).reshape(1, 1, 4, 4)
ONES = fastnn.ones(1, 1, 2, 2, dtype=fastnn.int64)


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: F.threshold(LINE, 5.5, 2.7), [2, 2, 2, 2, 2, 9]),
        (lambda: F.threshold(LINE, -0.5, 3), [3, 3, 3, 1, 5, 9]),
        (lambda: F.hardtanh(LINE, -0.5, 0.5), [0, 0, 0, 0, 0, 0]),
        (lambda: F.hardtanh(LINE, -2.7, 2.7), [-2, -1, 0, 1, 2, 2]),
        (lambda: F.relu6(LINE), [0, 0, 0, 1, 5, 6]),
        (lambda: F.avg_pool2d(IMAGE, 2, 1), [[[[-5, -4, -3], [-1, 0, 0], [2, 3, 4]]]]),
        (lambda: F.avg_pool2d(IMAGE, 2, (), divisor_override=-3), [[[[7, 4], [-3, -6]]]]),
        (
            lambda: F.avg_pool1d(IMAGE[0, :, :2], 3, 1, 1, count_include_pad=False),
            [[[-7, -7, -6, -5], [-3, -3, -2, -1]]],
        ),
        (lambda: F.max_pool2d(IMAGE, 3, 2, 1), [[[[-3, -1], [5, 7]]]]),
        (lambda: F.max_pool2d(IMAGE, 3, 2, 1, return_indices=True)[1], [[[[5, 7], [13, 15]]]]),
        (lambda: F.conv2d(IMAGE, ONES), [[[[-22, -18, -14], [-6, -2, 2], [10, 14, 18]]]]),
        (lambda: F.conv1d(IMAGE[0], ONES[0, :, :1].expand(1, 4, 2)), [[[-12, -4, 4]]]),
        (
            lambda: F.conv_transpose2d(IMAGE[..., :2], ONES)[0, 0],
            [[-8, -15, -7], [-12, -22, -10], [-4, -6, -2], [4, 10, 6], [4, 9, 5]],
        ),
        (
            lambda: F.conv3d(IMAGE.reshape(1, 1, 2, 2, 4), ONES.expand(1, 1, 2, 2, 2), stride=2),
            [[[[[-12, 4]]]]],
        ),
        (
            lambda: F.conv_transpose3d(IMAGE[..., :2, :2, None], ONES[..., None])[0, 0, ..., 0],
            [[-8, -15, -7], [-12, -22, -10], [-4, -7, -3]],
        ),
        (lambda: F.linear(LINE.reshape(2, 3), LINE[:3].reshape(1, 3), LINE[5:]), [[59], [-3]]),
        (
            lambda: F.bilinear(LINE[None, :2], LINE[None, 2:4], LINE[:4].reshape(1, 2, 2)),
            [[6]],
        ),
    ],
)
def test_integers_stay_integers(call, wanted):
    y = call()
    assert y.dtype is fastnn.int64
    assert y.tolist() == wanted


def test_bools_are_only_moved():
    y = F.unfold(IMAGE[:, :, :2, :2] > -6, 2)
    assert y.dtype is fastnn.bool
    assert y.flatten().tolist() == [False, False, True, True]


@pytest.mark.parametrize("name", ["softsign", "tanhshrink"])
def test_what_has_a_fraction_is_of_the_default_type(name):
    function = getattr(F, name)
    y = function(LINE)
    assert y.dtype is fastnn.float32
    assert y.tolist() == function(LINE.float()).tolist()


def test_softmin_converts_first():
    y = F.softmin(LINE, 0, dtype=fastnn.float64)
    assert y.tolist() == F.softmin(LINE.double(), 0).tolist()
    with pytest.raises(RuntimeError, match="softmin: expected input of a floating-point type"):
        F.softmin(LINE, 0)


def test_bounds_that_an_unsigned_type_does_not_have():
    with pytest.raises(RuntimeError, match=r"min_val >= 0 for fastnn\.uint8, got -1"):
        F.hardtanh(LINE.abs().to(fastnn.uint8))


def test_of_nothing_batch_norm_is_nothing():
    empty = fastnn.ones(0)
    for training in (True, False):
        assert F.batch_norm(empty, empty, empty, training=training).shape == (0,)


def test_a_line_without_channels_is_refused():
    with pytest.raises(RuntimeError, match=r"max_pool1d: expected input .* no size but n being 0"):
        F.max_pool1d(fastnn.ones(0, 10), 1)

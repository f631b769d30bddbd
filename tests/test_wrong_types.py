# SPDX-License-Identifier: BSD-3-Clause
"""Arguments of a wrong type: every message names the call, what was expected and what came."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F
from fastnn.optim import SGD
from fastnn.optim import lr_scheduler as schedules

if TYPE_CHECKING:
    from collections.abc import Callable

ARRAY = np.ones(3)
X = fastnn.ones(2, 3)
TARGET = fastnn.tensor([0, 1])
IMAGE = fastnn.ones(1, 1, 4, 4)
EMPTY = fastnn.ones(0)


def sgd() -> SGD:
    return SGD([fastnn.ones(1, requires_grad=True)], lr=0.1)


# Arguments of one kind: what is called with each of the values beside it.
DIMS: list[tuple[str, Callable[[Any], Any]]] = [
    ("sum", X.sum),
    ("mean", X.mean),
    ("argmax", X.argmax),
    ("softmax", lambda d: F.softmax(X, d)),
    ("log_softmax", X.log_softmax),
    ("transpose", lambda d: X.transpose(d, 0)),
    ("squeeze", X.squeeze),
    ("unsqueeze", X.unsqueeze),
    ("cumsum", X.cumsum),
    ("flatten", lambda d: nn.Flatten(d)(X)),
]
SIZES: list[tuple[str, Callable[[Any], Any]]] = [
    ("view", X.view),
    ("reshape", X.reshape),
    ("expand", X.expand),
    ("permute", X.permute),
    ("zeros", fastnn.zeros),
    ("rand", fastnn.rand),
    ("randint", lambda s: fastnn.randint(5, s)),
    ("split_with_sizes", X.split_with_sizes),
]
DTYPES: list[tuple[str, Callable[[Any], Any]]] = [
    ("sum", lambda d: X.sum(dtype=d)),
    ("softmax", lambda d: F.softmax(X, 0, dtype=d)),
    ("cumsum", lambda d: X.cumsum(0, dtype=d)),
    ("tensor", lambda d: fastnn.tensor([1], dtype=d)),
    ("zeros", lambda d: fastnn.zeros(2, dtype=d)),
]
COUNTS: list[tuple[str, Callable[[Any], Any]]] = [
    ("Linear", lambda n: nn.Linear(n, 2)),
    ("BatchNorm1d", nn.BatchNorm1d),
    ("BatchNorm2d", nn.BatchNorm2d),
    ("InstanceNorm2d", nn.InstanceNorm2d),
    ("GroupNorm", lambda n: nn.GroupNorm(n, 2)),
    ("GroupNorm", lambda n: nn.GroupNorm(1, n)),
    ("Conv1d", lambda n: nn.Conv1d(n, 2, 3)),
    ("Conv2d", lambda n: nn.Conv2d(1, n, 3)),
    ("Conv2d", lambda n: nn.Conv2d(1, 1, (3, n))),
    ("Conv2d", lambda n: nn.Conv2d(1, 1, 3, stride=(1, n))),
    ("Conv2d", lambda n: nn.Conv2d(1, 1, 3, groups=n)),
    ("Conv3d", lambda n: nn.Conv3d(1, 1, (1, n, 3))),
    ("ConvTranspose2d", lambda n: nn.ConvTranspose2d(1, 1, 3, output_padding=(0, n))),
    ("Maxout", lambda n: nn.Maxout(2, 2, n)),
    ("PReLU", nn.PReLU),
    ("RNNCell", lambda n: nn.RNNCell(n, 2)),
    ("LayerNorm", lambda n: nn.LayerNorm((2, n))),
    ("max_pool2d", lambda n: F.max_pool2d(IMAGE, (1, n))),
    ("randint", lambda n: fastnn.randint(n, (2,))),
    ("randperm", fastnn.randperm),
    ("chunk", X.chunk),
    ("select", lambda n: X.select(0, n)),
    ("tril", X.tril),
    ("triu", lambda n: X.clone().triu_(n)),
    ("round", lambda n: X.round(decimals=n)),
    ("cross_entropy", lambda n: F.cross_entropy(X, TARGET, ignore_index=n)),
    ("nll_loss", lambda n: F.nll_loss(X, TARGET, ignore_index=n)),
    ("CrossEntropyLoss", lambda n: nn.CrossEntropyLoss(ignore_index=n)),
    ("StepLR", lambda n: schedules.StepLR(sgd(), 3, last_epoch=n)),
]
NUMBERS: list[tuple[str, Callable[[Any], Any]]] = [
    ("cross_entropy", lambda v: F.cross_entropy(X, TARGET, label_smoothing=v)),
    ("CrossEntropyLoss", lambda v: nn.CrossEntropyLoss(label_smoothing=v)),
    ("smooth_l1_loss", lambda v: F.smooth_l1_loss(X, X, beta=v)),
    ("huber_loss", lambda v: F.huber_loss(X, X, delta=v)),
    ("elu", lambda v: F.elu(X, v)),
    ("Hardtanh", lambda v: nn.Hardtanh(min_val=v)),
    ("PReLU", lambda v: nn.PReLU(init=v)),
    ("nan_to_num", lambda v: X.nan_to_num("a" if v is None else v)),
    ("uniform_", lambda v: X.clone().uniform_(v, 1.0)),
    ("normal_", lambda v: X.clone().normal_(v)),
    ("StepLR", lambda v: schedules.StepLR(sgd(), v)),
    ("StepLR", lambda v: schedules.StepLR(sgd(), 3, gamma=v)),
    ("MultiStepLR", lambda v: schedules.MultiStepLR(sgd(), [v])),
    ("ExponentialLR", lambda v: schedules.ExponentialLR(sgd(), v)),
    ("LinearLR", lambda v: schedules.LinearLR(sgd(), start_factor=v)),
    ("LinearLR", lambda v: schedules.LinearLR(sgd(), end_factor=v)),
    ("CosineAnnealingLR", lambda v: schedules.CosineAnnealingLR(sgd(), v)),
    ("ReduceLROnPlateau", lambda v: schedules.ReduceLROnPlateau(sgd(), factor=v)),
    ("ReduceLROnPlateau", lambda v: schedules.ReduceLROnPlateau(sgd(), min_lr=(v,))),
]
KINDS = [
    (DIMS, ["a", 1.5, ARRAY, fastnn.ones(2), {}]),
    (SIZES, [["a"], (1.5,), [None], (ARRAY,), [2, {}]]),
    (DTYPES, ["a", 3, ARRAY, np.float32, [fastnn.float32]]),
    (COUNTS, ["a", 2.5, [1], ARRAY, {}, 1j]),
    (NUMBERS, ["a", None, [0.5], ARRAY, {}, 1j]),
]
ONE_BY_ONE: list[tuple[Callable[[], Any], str]] = [
    (lambda: nn.LayerNorm(1j), "LayerNorm: expected sizes as ints, got (1j,); "),
    (lambda: nn.RMSNorm(None), "RMSNorm: expected sizes as ints, got (None,); "),
    (lambda: nn.RMSNorm(fastnn.tensor(2.5)), "RMSNorm: expected sizes as ints, got "),
    (lambda: nn.Conv1d(1, 1, 1, padding_mode=["a"]), "Conv1d: expected padding_mode one of"),
    (lambda: F.conv2d(IMAGE, IMAGE, stride=ARRAY), "conv2d: expected stride as an int or 2 ints"),
    (lambda: F.conv2d(IMAGE, IMAGE, stride=(1, "a")), "conv2d: expected stride as "),
    (lambda: F.unfold(IMAGE, 2, dilation={}), "unfold: expected dilation as "),
    (lambda: nn.Linear(1, 1).apply("a"), "apply: expected a function of a module, got str; "),
    (lambda: nn.CrossEntropyLoss(ignore_index=2**70), "expected ignore_index of at most 64 bits"),
    (lambda: F.cross_entropy(X, TARGET, ignore_index=2**70), "ignore_index of at most 64 bits"),
    (lambda: X.round(decimals=2**62), "round: expected decimals in [-308, 308], got 46116860"),
    (lambda: X.div(2, rounding_mode=["floor"]), "div: expected rounding_mode None, 'floor' or"),
    (lambda: X.scatter(0, TARGET[None], 1.0, reduce=[None]), "or 'multiply', got [None]; "),
    (lambda: fastnn.tensor([0]).scatter(0, TARGET, math.nan), "a number that fits fastnn.int64"),
    (lambda: EMPTY.reshape(0, 2**62), "reshape: expected a result of fewer than 2^60 elements"),
    (lambda: EMPTY.view(-1, 2**62), "view: expected a result of fewer than 2^60 elements"),
    (lambda: X.roll(1, ARRAY), "roll: expected dim as an int, got ndarray; "),
    (lambda: fastnn.arange(math.nan), "arange: expected finite numbers, got 0, nan, 1; "),
    (lambda: fastnn.arange(0, math.inf), "arange: expected finite numbers, got 0, inf, 1; "),
    (lambda: fastnn.arange(10**400), "arange: expected finite numbers, got 0, int, 1; "),
    (lambda: fastnn.arange(1 << 20000), "arange: expected finite numbers, got 0, int, 1; "),
    (lambda: fastnn.randperm(1 << 20000), "randperm: expected n of at most 64 bits, got int; "),
    (lambda: fastnn.manual_seed(10**400), "manual_seed: expected an integer of 64 bits"),
    (lambda: fastnn.from_dlpack(3), "from_dlpack: expected an array with __dlpack__, got int; "),
    (lambda: fastnn.manual_seed(math.nan), "manual_seed: expected an int, got nan; "),
    (lambda: fastnn.randint(2**70, (2,)), "randint: expected high of at most 64 bits, got 118"),
    (lambda: fastnn.randint(3, (-1,)), "randint: expected sizes >= 0, got (-1,); "),
    (lambda: fastnn.randperm(2**70), "randperm: expected n of at most 64 bits, got 118059"),
    (lambda: fastnn.randperm(2**62), "randperm: expected a result of fewer than 2^60 elements"),
    (lambda: fastnn.randperm(True), "randperm: expected n as an int, got True; "),
    (lambda: schedules.MultiStepLR(sgd(), 3), "MultiStepLR: expected milestones as a list, got 3"),
    (lambda: schedules.MultiStepLR(sgd(), "ab"), "MultiStepLR: expected milestones as a number"),
    (lambda: schedules.LambdaLR(sgd(), 0.5), "LambdaLR: expected lr_lambda as a function"),
    (lambda: schedules.LambdaLR(sgd(), ["a"]), "LambdaLR: expected lr_lambda as a function"),
    (lambda: schedules.LambdaLR(3, abs), "LambdaLR: expected an Optimizer, got int"),
    (lambda: schedules.SequentialLR(sgd(), 3, [1]), "SequentialLR: expected schedulers as a list"),
    (lambda: schedules.SequentialLR(sgd(), [], 3), "SequentialLR: expected milestones as a list"),
    (lambda: schedules.StepLR(sgd(), 0), "StepLR: expected step_size other than 0, got 0; "),
    (lambda: schedules.CosineAnnealingLR(sgd(), 0), "expected T_max other than 0, got 0; "),
]


@pytest.mark.parametrize(
    ("name", "call", "value"),
    [(name, call, v) for calls, values in KINDS for name, call in calls for v in values],
)
def test_a_wrong_type_is_named(name: str, call: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError)) as info:
        call(value)
    text = str(info.value)
    assert text.startswith(f"{name}: expected ")
    assert ", got " in text
    assert "; " in text


@pytest.mark.parametrize(("call", "message"), ONE_BY_ONE)
def test_the_message_names_what_was_expected(call: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError)) as info:
        call()
    text = str(info.value)
    assert message in text
    assert ", got " in text
    assert "; " in text


def test_numbers_of_other_libraries_are_taken() -> None:
    two = np.int64(2)
    assert nn.Linear(two, fastnn.tensor(3)).weight.shape == (3, 2)
    assert nn.Conv2d(two, np.int32(4), (two, 1), groups=two).weight.shape == (4, 1, 2, 1)
    assert nn.BatchNorm1d(two).num_features == 2
    assert nn.LayerNorm(np.array([2, 3])).normalized_shape == (2, 3)
    assert nn.LayerNorm(n for n in (2, 3)).normalized_shape == (2, 3)
    assert fastnn.arange(fastnn.tensor(3)).tolist() == [0, 1, 2]
    assert fastnn.arange(fastnn.tensor(3)).dtype is fastnn.int64
    assert X.round(decimals=np.int64(0)).tolist() == X.tolist()
    assert X.nan_to_num(None, np.float32(1)).tolist() == X.tolist()
    for share in (0, False, np.float32(0), fastnn.tensor(0.0)):
        smooth = F.cross_entropy(X, TARGET, label_smoothing=share)
        assert smooth.item() == F.cross_entropy(X, TARGET).item()
    assert schedules.MultiStepLR(sgd(), (m * 0.5 for m in (2, 4))).milestones == {1.0: 1, 2.0: 1}
    placed = fastnn.zeros(2).scatter(0, TARGET, np.array([3.0, 4.0], np.float32))
    assert placed.tolist() == [3.0, 4.0]

# SPDX-License-Identifier: BSD-3-Clause
"""Layers imported from where torch keeps them: ``torch.nn.modules.module`` and its neighbours."""

from __future__ import annotations

import importlib
import inspect

import pytest

import fastnn
from fastnn import nn
from fastnn.nn.modules.utils import _pair, _single, consume_prefix_in_state_dict_if_present


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("module", "Module"),
        ("batchnorm", "_BatchNorm BatchNorm2d"),
        ("loss", "_Loss _WeightedLoss CrossEntropyLoss TripletMarginLoss CTCLoss"),
        ("container", "Sequential ModuleList ParameterDict"),
        ("activation", "ReLU Softmax MultiheadAttention"),
        ("rnn", "RNNBase LSTM GRUCell"),
        ("sparse", "Embedding EmbeddingBag"),
        ("pixelshuffle", "PixelShuffle"),
    ],
)
def test_names_by_torchs_files(file, names):
    module = importlib.import_module(f"fastnn.nn.modules.{file}")
    assert getattr(nn.modules, file) is module
    for name in names.split():
        found = getattr(module, name)
        assert issubclass(found, nn.Module)
        assert getattr(nn, name, found) is found
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        module.Nothing  # noqa: B018


def test_modules_has_the_layers_themselves():
    assert nn.modules.Linear is nn.Linear
    assert isinstance(nn.BatchNorm1d(2), nn.modules.batchnorm._BatchNorm)
    assert isinstance(nn.Conv2d(1, 1, 1), nn.modules.conv._ConvNd)
    assert isinstance(nn.ConvTranspose1d(1, 1, 1), nn.modules.conv._ConvTransposeNd)
    assert not isinstance(nn.Conv2d(1, 1, 1), nn.modules.conv._ConvTransposeNd)
    with pytest.raises(AttributeError, match="no attribute 'functional'"):
        nn.modules.functional  # noqa: B018


@pytest.mark.torch
def test_every_class_is_in_torchs_file():
    torch = pytest.importorskip("torch")
    files = importlib.import_module("fastnn.nn.modules")._FILES
    for name, theirs in inspect.getmembers(torch.nn.modules, inspect.isclass):
        if hasattr(nn, name):
            file = theirs.__module__.rpartition(".")[2]
            assert file in files, name
            assert getattr(getattr(nn.modules, file), name) is getattr(nn, name)


def test_numbers_as_tuples():
    assert _pair(3) == (3, 3)
    assert _pair([1, 2]) == (1, 2)
    assert _single("ab") == ("a", "b")


def test_a_prefix_is_taken_away():
    wrapper, model = nn.Module(), nn.Sequential(nn.Linear(2, 1))
    wrapper.module = model
    state = wrapper.state_dict()
    consume_prefix_in_state_dict_if_present(state, "module.")
    assert list(state) == list(model.state_dict())
    assert list(state._metadata) == list(model.state_dict()._metadata)
    model.load_state_dict(state)
    plain = {"module.a": fastnn.ones(1), "b": fastnn.ones(1)}
    consume_prefix_in_state_dict_if_present(plain, "module.")
    assert list(plain) == ["b", "a"]

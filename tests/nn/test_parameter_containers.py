# SPDX-License-Identifier: BSD-3-Clause
"""``ParameterList``, ``ParameterDict``, ``Unflatten`` and the dropouts of channels."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import fastnn
from fastnn import nn


def test_parameter_list():
    held = nn.ParameterList([fastnn.ones(2), nn.Parameter(fastnn.zeros(3))])
    held.append(fastnn.ones(1))
    held += [7]
    assert [type(v) is nn.Parameter for v in held] == [True, True, True, False]
    assert list(held.state_dict()) == ["0", "1", "2"]
    assert [p.shape for p in held.parameters()] == [(2,), (3,), (1,)]
    assert len(held) == 4
    assert held[-1] == 7
    assert held[1] is list(held.parameters())[1]
    assert [v.shape for v in held[:2]] == [(2,), (3,)]
    held[0] = fastnn.zeros(5)
    assert held[0].shape == (5,)
    assert held[0].requires_grad
    assert len(copy.deepcopy(held)) == 4
    with pytest.raises(IndexError, match="expected an index of its 4 entries, got 4"):
        held[4]
    with pytest.raises(TypeError, match="expected an iterable"):
        held.extend(3)
    with pytest.raises(RuntimeError, match="should not be called"):
        held()
    assert repr(nn.ParameterList([fastnn.ones(2, 3), 1])) == (
        "ParameterList(\n"
        "    (0): Parameter containing: [fastnn.float32 of size 2x3]\n"
        "    (1): Object of type: int\n"
        ")"
    )


def test_parameter_dict():
    held = nn.ParameterDict({"a": fastnn.ones(2), "b": nn.Parameter(fastnn.ones(3))})
    held["c"] = "text"
    assert list(held) == ["a", "b", "c"]
    assert list(held.state_dict()) == ["a", "b"]
    assert "a" in held
    assert held.get("z", 5) == 5
    assert held.setdefault("d", fastnn.ones(1)).shape == (1,)
    assert isinstance(held["d"], nn.Parameter)
    assert held.pop("c") == "text"
    assert held.popitem()[0] == "d"
    joined = held | {"e": fastnn.ones(4)}
    assert list(joined.keys()) == ["a", "b", "e"]
    assert joined["a"] is held["a"]
    assert [v.shape for v in joined.values()] == [(2,), (3,), (4,)]
    del held["a"]
    assert list(held.items()) == [("b", held["b"])]
    assert list(reversed(joined)) == ["e", "b", "a"]
    joined.clear()
    assert len(joined) == 0
    fresh = held.fromkeys(["x", "y"], fastnn.ones(2))
    assert list(fresh) == ["x", "y"]
    assert list(held) == ["b"]
    with pytest.raises(KeyError):
        held["a"]
    with pytest.raises(KeyError, match="already exists"):
        held["keys"] = fastnn.ones(1)
    with pytest.raises(TypeError, match="expected a string as key"):
        held[3] = fastnn.ones(1)
    with pytest.raises(TypeError, match="expected a pair"):
        held.update([1])
    assert repr(nn.ParameterDict({"a": fastnn.ones(2)})) == (
        "ParameterDict(  (a): Parameter containing: [fastnn.float32 of size 2])"
    )


def test_unflatten():
    x = fastnn.ones(2, 6, 4)
    assert nn.Unflatten(1, (2, 3))(x).shape == (2, 2, 3, 4)
    assert nn.Unflatten(-2, (-1, 2))(x).shape == (2, 3, 2, 4)
    assert repr(nn.Unflatten(1, [2, 3])) == "Unflatten(dim=1, unflattened_size=(2, 3))"
    for sizes in ((4, 2), (-1, 4), (-1, -1), (-2, 3)):
        with pytest.raises(RuntimeError, match="whose product is 6"):
            nn.Unflatten(1, sizes)(x)
    with pytest.raises(IndexError, match="with an axis 3"):
        nn.Unflatten(3, (2, 2))(x)
    with pytest.raises(TypeError, match="a sequence of ints"):
        nn.Unflatten(1, 3)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout1d(0.5), (8, 16, 5)),
        (nn.Dropout1d(0.5), (128, 5)),
        (nn.Dropout2d(0.5), (8, 16, 3, 2)),
        (nn.Dropout3d(0.5), (8, 16, 3, 2, 2)),
        (nn.Dropout3d(0.5), (128, 3, 2, 2)),
    ],
)
def test_channels_are_dropped_whole(layer, shape):
    fastnn.manual_seed(5)
    channels = 128
    y = layer(fastnn.ones(*shape)).numpy().reshape(channels, -1)
    assert (y == y[:, :1]).all()
    assert set(np.unique(y)) == {0.0, 2.0}
    assert 0.3 < (y[:, 0] == 0).mean() < 0.7
    x = fastnn.ones(*shape)
    assert layer.eval()(x) is x


def test_dropout_in_place():
    x = fastnn.ones(4, 8, 3)
    y = nn.Dropout1d(0.5, inplace=True)(x)
    assert y is x
    assert set(np.unique(x.numpy())) == {0.0, 2.0}


def test_dropout2d_reads_three_dimensions_as_torch_does():
    with pytest.warns(UserWarning, match="read as"):
        y = nn.Dropout2d(0.5)(fastnn.ones(16, 8, 4)).numpy()
    assert (y == y[:, :, :1]).all()
    with pytest.raises(RuntimeError, match="4 dimensions"):
        nn.Dropout2d()(fastnn.ones(2))


def test_dropout_of_channels_takes_the_rows_of_a_linear_layer():
    rows = fastnn.ones(64, 50)
    with pytest.warns(
        UserWarning, match="dropout2d: expected an input of 4 or 3 dimensions, got 2"
    ):
        y = nn.Dropout2d(0.5)(rows).numpy()
    assert 0.4 < (y == 2.0).mean() < 0.6
    assert 0.4 < (y == 0.0).mean() < 0.6
    with pytest.warns(UserWarning, match="dropout3d: expected an input of 5 or 4 dimensions"):
        z = nn.Dropout3d(0.5)(rows).numpy()  # read as (c, l)
    assert (z == z[:, :1]).all()
    assert set(np.unique(z)) == {0.0, 2.0}


def test_alpha_dropout_of_channels_leaves_anything_alone_in_evaluation():
    x = fastnn.ones(3)
    assert nn.FeatureAlphaDropout(0.5).eval()(x).tolist() == [1.0] * 3


@pytest.mark.parametrize("layer", [nn.AlphaDropout(0.3), nn.FeatureAlphaDropout(0.3)])
def test_alpha_dropout_keeps_mean_and_variance(layer):
    fastnn.manual_seed(2)
    x = fastnn.randn(400, 500)
    y = layer(x).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.var() - 1) < 0.03
    assert nn.AlphaDropout(1.0)(fastnn.ones(3)).tolist() == [0.0] * 3
    assert repr(layer) == f"{type(layer).__name__}(p=0.3, inplace=False)"

# SPDX-License-Identifier: BSD-3-Clause
"""NumPy's names of arguments, axis and keepdims, in the functions that have dim and keepdim."""

from __future__ import annotations

import pytest

import fastnn

# Functions with keepdim and without, and what else they need.
KEEPING = (
    *("prod", "max", "min", "median", "nanmedian", "mode", "amax", "amin", "all", "any", "var"),
    *("std", "nansum", "nanmean", "logsumexp", "std_mean", "var_mean", "aminmax"),
    *("kthvalue", "quantile", "nanquantile"),
)
OTHERS = (
    *("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "sort", "argsort", "unsqueeze"),
    *("squeeze", "unbind", "count_nonzero", "diff", "chunk", "topk", "select", "narrow"),
    *("repeat_interleave", "tensor_split", "unflatten", "index_select", "gather"),
    *("take_along_dim", "renorm"),
)
REST = {
    "kthvalue": {"k": 1},
    "quantile": {"q": 0.5},
    "nanquantile": {"q": 0.5},
    "chunk": {"chunks": 2},
    "topk": {"k": 1},
    "select": {"index": 0},
    "narrow": {"start": 0, "length": 1},
    "repeat_interleave": {"repeats": 2},
    "tensor_split": {"indices_or_sections": 2},
    "unflatten": {"sizes": (1, 2)},
    "index_select": {"index": fastnn.tensor([1])},
    "gather": {"index": fastnn.tensor([[0, 1, 0]])},
    "take_along_dim": {"indices": fastnn.tensor([[0, 1, 0]])},
    "renorm": {"p": 2, "maxnorm": 1.0},
}


def lists(result):
    return result.tolist() if isinstance(result, fastnn.Tensor) else [r.tolist() for r in result]


@pytest.mark.parametrize("name", [*KEEPING, *OTHERS])
def test_axis_is_dim_in_every_function(name):
    x = fastnn.tensor([[1.0, 4.0, 2.0], [3.0, 0.5, 5.0]])
    f, rest = getattr(fastnn, name), REST.get(name, {})
    assert lists(f(x, axis=0, **rest)) == lists(f(x, dim=0, **rest))
    if hasattr(x, name):
        assert lists(getattr(x, name)(axis=0, **rest)) == lists(f(x, dim=0, **rest))
    if name in KEEPING:
        assert lists(f(x, axis=1, keepdims=True, **rest)) == lists(
            f(x, dim=1, keepdim=True, **rest)
        )
    with pytest.raises(TypeError, match=f"{name}: expected dim or axis"):
        f(x, dim=0, axis=0, **rest)


def test_axis_is_dim_when_tensors_are_joined():
    x = fastnn.ones(2, 3)
    for f in (fastnn.cat, fastnn.concat, fastnn.concatenate):
        assert f([x, x], axis=1).shape == (2, 6)
    assert fastnn.stack([x, x], axis=2).shape == (2, 3, 2)
    y = fastnn.zeros(2, 3).scatter(axis=1, index=fastnn.tensor([[0], [2]]), value=1.0)
    assert y.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize("name", ["index_copy", "index_fill", "index_reduce", "index_add"])
def test_axis_is_dim_where_entries_are_written(name):
    x, index = fastnn.arange(6.0).reshape(2, 3), fastnn.tensor([0, 2])
    rest = {"value": 9.0} if name == "index_fill" else {"source": fastnn.full((2, 2), 9.0)}
    if name == "index_reduce":
        rest["reduce"] = "prod"
    wanted = getattr(fastnn, name)(x, 1, index, *rest.values())
    assert not wanted.equal(x)
    assert getattr(fastnn, name)(x, axis=1, index=index, **rest).equal(wanted)
    assert getattr(x, name)(axis=1, index=index, **rest).equal(wanted)
    with pytest.raises(TypeError, match=f"{name}_?: expected dim or axis"):
        getattr(x, name + "_")(dim=1, axis=1, index=index, **rest)
    assert getattr(x, name + "_")(axis=1, index=index, **rest) is x
    assert x.equal(wanted)

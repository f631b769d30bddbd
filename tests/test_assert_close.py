# SPDX-License-Identifier: BSD-3-Clause
"""testing.assert_close, typename and utils.dlpack, as torch's."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.utils import dlpack

close = fastnn.testing.assert_close
T = fastnn.tensor
NAN, INF = math.nan, math.inf
HALF = {"dtype": fastnn.float16}


@pytest.mark.parametrize(
    ("actual", "expected", "options"),
    [
        (T([1.0, INF]), T([1.0 + 1e-6, INF]), {}),
        (T([1.0], **HALF), T([1.001], **HALF), {}),
        (T([1.0], **HALF), T([1.0009], dtype=fastnn.float64), {"check_dtype": False}),
        (T([1.0]), T([1]), {"check_dtype": False}),
        (T([NAN]), T([NAN]), {"equal_nan": True}),
        (T([10]), T([11]), {"rtol": 0.2, "atol": 0}),
        (nn.Parameter(fastnn.ones(2)), fastnn.ones(2), {}),
        (fastnn.zeros(0), fastnn.zeros(0), {}),
        (np.ones(2), np.ones(2), {}),
        (1.0, 1.0 + 1e-9, {}),
        (np.float64(1.0), 1.0, {}),
        (1, 1.0, {"check_dtype": False}),
        (NAN, NAN, {"equal_nan": True}),
        (None, None, {}),
        (True, True, {}),
        ([1.0], (1.0,), {}),
        ({"a": [T(1.0), {"b": 2}]}, {"a": [T(1.0), {"b": 2}]}, {}),
    ],
)
def test_what_is_close(actual, expected, options):
    close(actual, expected, **options)


@pytest.mark.parametrize(
    ("actual", "expected", "options", "text"),
    [
        (T([1.0, 2.0, 3.0]), T([1.0, 2.5, 4.0]), {}, r"not close!\n\nMismatched elements: 2 / 3 \(66.7%\)\nGreatest absolute difference: 1.0 at index \(2,\) \(up to 1e-05 allowed\)\nGreatest relative difference: 0.25 at index \(2,\) \(up to 1.3e-06"),  # noqa: E501
        (fastnn.zeros(2, 2), T([[0.0, 0.0], [1.0, 0.0]]), {}, r"difference: 1.0 at index \(1, 0\)"),
        (T(1.0), T(2.0), {}, r"Scalars are not close!\n\nExpected 2.0 but got 1.0"),
        (T([1, 2]), T([1, 4]), {}, r"not equal!(?s:.)*absolute difference: 2 at index \(1,\)\n"),
        (T([True]), T([False]), {}, "absolute difference: 1 at"),
        (T([255], dtype=fastnn.uint8), T([1], dtype=fastnn.uint8), {}, "absolute difference: 254"),
        (T([1.0]), T([1]), {}, r"'dtype' do not match: fastnn.float32 != fastnn.int64"),
        (fastnn.zeros(2), fastnn.zeros(3), {}, r"'shape' do not match: \(2,\) != \(3,\)"),
        (fastnn.zeros(2, 3).t(), fastnn.zeros(3, 2), {"check_stride": True}, r"'stride\(\)'"),
        (T([NAN]), T([NAN]), {}, "difference: nan"),
        (T([INF, 1.0]), T([1.0, 1.0]), {}, r"1 / 2 \(50.0%\)\nGreatest absolute difference: inf"),
        (T([1.0], dtype=fastnn.float64), T([1 + 1e-6], dtype=fastnn.float64), {}, "up to 1e-07"),
        (T([1.0], **HALF), T([1.01], **HALF), {}, "up to 0.001 allowed"),
        (T([1.0]), T([1.01]), {"rtol": 0, "atol": 0}, "not equal!"),
        (1.0, 1.5, {}, r"Scalars are not close!\n\nExpected 1.5 but got 1.0.\nAbsolute diff.* 0.5"),
        (1, 2, {}, "Scalars are not equal!"),
        (1.0, 0.0, {}, "Relative difference: inf"),
        (1, 1.0, {}, r"\(d\)types do not match"),
        (True, False, {}, "Booleans mismatch"),
        (None, 1, {}, "None mismatch"),
        ([1, 2], [1], {}, "length of the sequences mismatch: 2 != 1"),
        ({"a": 1}, {"b": 1}, {}, r"(?s)Missing keys .*\['b'\].*Additional keys .*\['a'\]"),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, {}, r"failure occurred for item \['a'\]\[1\]"),
        (T([1.0]), T([2.0]), {"msg": "mine"}, "^mine$"),
        ([T([1.0])], [T([2.0])], {"msg": lambda m: f"X {m}"}, r"(?s)^X Tensor.*item \[0\]$"),
    ],
)  # fmt: skip
def test_what_is_not(actual, expected, options, text):
    with pytest.raises(AssertionError, match=text):
        close(actual, expected, **options)


def test_what_cannot_be_compared():
    for given in (("a", "a"), (T(1.0), 1.0), (np.ones(1), T([1.0])), ({1}, {1}), (True, 1)):
        with pytest.raises(TypeError, match="assert_close: expected two tensors, arrays, numbers"):
            close(*given)
    with pytest.raises(TypeError, match=r"at \['a'\]; convert"):
        close({"a": "x"}, {"a": "x"})
    with pytest.raises(TypeError, match="expected two tensors"):
        close(nn.Parameter(fastnn.ones(2)), fastnn.ones(2), allow_subclasses=False)
    with pytest.raises(ValueError, match=r"both of rtol and atol, .* got no atol"):
        close(1.0, 1.0, rtol=1e-3)
    with pytest.raises(ValueError, match="expected rtol and atol >= 0"):
        close(1.0, 1.0, rtol=-1.0, atol=0.0)


class Outer:
    class Inner:
        pass


def test_typename():
    assert fastnn.typename(fastnn.ones(1)) == "torch.FloatTensor"
    assert fastnn.typename(nn.Parameter(fastnn.ones(1))) == "torch.FloatTensor"
    assert fastnn.typename(fastnn.ones(1, dtype=fastnn.int64)) == "torch.LongTensor"
    assert [fastnn.typename(v) for v in (3, "a", [], len, None)] == [
        "int", "str", "list", "len", "NoneType",
    ]  # fmt: skip
    assert fastnn.typename(nn.Linear(1, 1)) == fastnn.typename(nn.Linear)
    assert fastnn.typename(Outer.Inner()) == fastnn.typename(Outer.Inner)
    assert fastnn.typename(Outer.Inner).endswith(".Outer.Inner")
    assert fastnn.typename(nn.Linear).endswith(".Linear")


def test_capsules_share_memory_once():
    x = fastnn.arange(3.0)
    capsule = dlpack.to_dlpack(x)
    y = dlpack.from_dlpack(capsule)
    assert y.data_ptr() == x.data_ptr()
    with pytest.raises((ValueError, RuntimeError, BufferError)):
        dlpack.from_dlpack(capsule)
    x[0] = 5.0
    assert y.tolist() == [5.0, 1.0, 2.0]
    assert dlpack.from_dlpack(np.arange(3)).tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="to_dlpack: expected tensor as a Tensor"):
        dlpack.to_dlpack([1.0])
    with pytest.raises(TypeError, match="from_dlpack: expected an array with __dlpack__"):
        dlpack.from_dlpack([1.0])

# SPDX-License-Identifier: BSD-3-Clause
"""Making tensors: ranges, identity and triangles, tensors like others, formats, types' limits."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn

X = fastnn.ones(2, 3, dtype=fastnn.float64)


def test_linspace_is_exact_at_both_ends() -> None:
    x = fastnn.linspace(-0.1, 0.7, 11)
    want = np.float32([-0.1, 0.7])
    assert (x[0].item(), x[-1].item()) == tuple(want.tolist())
    np.testing.assert_allclose(x.numpy(), np.linspace(-0.1, 0.7, 11), rtol=1e-6)
    assert fastnn.linspace(0, 10, 5, dtype=fastnn.int64).tolist() == [0, 2, 5, 7, 10]
    assert fastnn.linspace(5, 1, 3).tolist() == [5.0, 3.0, 1.0]
    assert fastnn.linspace(2.5, 9, 1, dtype=fastnn.int32).tolist() == [2]
    assert fastnn.linspace(0, 1, 0).shape == (0,)
    ends = fastnn.tensor(1.0), fastnn.tensor(3)
    assert fastnn.linspace(*ends, steps=3).tolist() == [1.0, 2.0, 3.0]
    assert fastnn.linspace(start=0, end=1, steps=2, requires_grad=True).requires_grad


def test_logspace() -> None:
    assert fastnn.logspace(0, 3, 4).tolist() == [1.0, 10.0, 100.0, 1000.0]
    assert fastnn.logspace(0, 3, 4, base=2, dtype=fastnn.int64).tolist() == [1, 2, 4, 8]
    assert fastnn.logspace(0, 4, 5, base=3, dtype=fastnn.int32).tolist() == [1, 3, 9, 27, 81]
    assert fastnn.logspace(0.5, 1, 1, dtype=fastnn.int64).tolist() == [3]
    assert fastnn.logspace(0, 1, 0).dtype is fastnn.float32


def test_arange_of_integers_drops_fractions_first() -> None:
    assert fastnn.arange(0.5, 3.5, dtype=fastnn.int64).tolist() == [0, 1, 2]
    assert fastnn.arange(1.9, 4.2, dtype=fastnn.int64).tolist() == [1, 2, 3]
    assert fastnn.arange(0.5, 3.6, dtype=fastnn.int32).tolist() == [0, 1, 2, 3]
    assert fastnn.arange(end=3).tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match=r"arange: expected a step other than 0"):
        fastnn.arange(0, 1, 0.5, dtype=fastnn.int64)
    with pytest.raises(RuntimeError, match=r"arange: expected a type of numbers"):
        fastnn.arange(3, dtype=fastnn.bool)


def test_eye_and_triangles() -> None:
    np.testing.assert_array_equal(fastnn.eye(2, 3).numpy(), np.eye(2, 3, dtype=np.float32))
    assert fastnn.eye(3, dtype=fastnn.bool).sum().item() == 3
    assert fastnn.eye(0).shape == (0, 0)
    for rows, columns, offset in ((3, 3, -1), (2, 4, 1), (4, 2, 0), (3, 3, 5), (0, 3, 0)):
        for name, numpy in (("tril", np.tril_indices), ("triu", np.triu_indices)):
            got = getattr(fastnn, name + "_indices")(rows, columns, offset)
            np.testing.assert_array_equal(got.numpy(), np.stack(numpy(rows, offset, columns)))
    assert fastnn.triu_indices(2, 2, dtype=fastnn.int32).dtype is fastnn.int32


def test_scalar_tensor_is_of_the_default_type() -> None:
    x = fastnn.scalar_tensor(3)
    assert (x.shape, x.dtype, x.item()) == ((), fastnn.float32, 3.0)
    assert fastnn.scalar_tensor(True, dtype=fastnn.bool).item() is True


@pytest.mark.parametrize(
    "name", ["zeros_like", "ones_like", "empty_like", "rand_like", "randn_like"]
)
def test_tensors_like_others(name: str) -> None:
    make = getattr(fastnn, name)
    made = make(X, memory_format=fastnn.preserve_format, layout=fastnn.strided, device="cpu")
    assert (made.shape, made.dtype) == ((2, 3), fastnn.float64)
    assert make(X, dtype=fastnn.float32, requires_grad=True).requires_grad
    for options, match in (
        ({"layout": 3}, "expected layout fastnn.strided, got 3"),
        ({"memory_format": "a"}, "expected a memory format"),
        ({"pin_memory": True}, "expected pin_memory=False"),
    ):
        with pytest.raises((TypeError, RuntimeError), match=f"{name}: {match}"):
            make(X, **options)


def test_new_tensors_have_the_type_of_the_first() -> None:
    assert X.new_zeros(2, 2).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert X.new_zeros((2,)).dtype is fastnn.float64
    assert X.new_ones(size=(1,)).tolist() == [1.0]
    assert X.new_full((2,), 7, dtype=fastnn.int64).tolist() == [7, 7]
    assert X.new_empty(4, requires_grad=True).requires_grad
    assert X.new_tensor([1, 2]).dtype is fastnn.float64
    assert fastnn.full_like(X, 2.5, dtype=fastnn.float32).tolist() == [[2.5] * 3] * 2


WRONG: list[tuple[Any, str]] = [
    (lambda: fastnn.linspace(0, 1, -1), "linspace: expected steps >= 0, got -1; "),
    (lambda: fastnn.linspace(0, 1, 2.5), "linspace: expected steps as an int, got 2.5; "),
    (lambda: fastnn.linspace(0, 1, 2, dtype=fastnn.bool), "linspace: expected a type of numbers"),
    (lambda: fastnn.linspace("a", 1, 2), "linspace: expected a tensor or a number, got str; "),
    (lambda: fastnn.linspace(0, X, 2), "linspace: expected end as a number or 0-d tensor"),
    (lambda: fastnn.logspace(0, 1, -1), "logspace: expected steps >= 0, got -1; "),
    (lambda: fastnn.logspace(0, 1, 2, base="a"), "logspace: expected a tensor or a number, got "),
    (lambda: fastnn.eye(-1), "eye: expected n >= 0, got -1; "),
    (lambda: fastnn.eye(2, -1), "eye: expected m >= 0, got -1; "),
    (lambda: fastnn.eye("a"), "eye: expected n as an int, got 'a'; "),
    (lambda: fastnn.tril_indices(-3, 3), "tril_indices: expected row >= 0, got -3; "),
    (lambda: fastnn.triu_indices(3, -3), "triu_indices: expected col >= 0, got -3; "),
    (lambda: fastnn.triu_indices(3, 3, 0.5), "triu_indices: expected offset as an int, got 0.5; "),
    (lambda: fastnn.tril_indices(3, 3, dtype=fastnn.float32), "expected an integer type, got "),
    (lambda: fastnn.scalar_tensor("a"), "scalar_tensor: expected a tensor or a number, got str; "),
    (X.new_zeros, "new_zeros: expected a size, got none; "),
    (lambda: X.new_full("a", 1), "new_full: expected sizes as ints, got "),
    (lambda: fastnn.zeros_like(3), "zeros_like: expected input as a Tensor, got int; "),
    (lambda: fastnn.zeros(2, pin_memory=True), "zeros: expected pin_memory=False, got True"),
    (lambda: fastnn.full((2,), 1, layout="a"), "full: expected layout fastnn.strided, got 'a'; "),
    (lambda: fastnn.finfo(fastnn.int32), "finfo: expected a floating-point type, got "),
    (lambda: fastnn.iinfo(fastnn.bool), "iinfo: expected an integer type, got fastnn.bool; "),
    (lambda: fastnn.iinfo(fastnn.float32), "iinfo: expected an integer type, got "),
    (lambda: fastnn.finfo("a"), "finfo: expected a fastnn dtype, int, float or bool as dtype"),
    (lambda: fastnn.asarray([1, 2], copy=False), "asarray: expected data on whose memory"),
    (lambda: fastnn.use_deterministic_algorithms(1), "expected mode as a bool, got 1; "),
    (lambda: fastnn.set_printoptions(profile="a"), "profile default, short or full, got 'a'; "),
    (lambda: fastnn.set_printoptions(precision=1.5), "expected precision as an int, got 1.5; "),
    (lambda: fastnn.set_printoptions(threshold=-1), "expected threshold >= 0, got -1; "),
    (lambda: X.apply_(3), "apply_: expected a function, got int; "),
    (lambda: X.clone().map_(3, max), "map_: expected tensor as a Tensor, got int; "),
    (lambda: fastnn.is_nonzero(X), "is_nonzero: expected a tensor of one element, got shape "),
    (lambda: fastnn.numel(3), "numel: expected input as a Tensor, got int; "),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[w[1][:40] for w in WRONG])
def test_wrong_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises((RuntimeError, TypeError, ValueError)) as caught:
        call()
    assert message in str(caught.value)
    assert "; " in str(caught.value)


def test_asarray_shares_or_copies() -> None:
    array = np.ones(3, np.float32)
    assert np.shares_memory(fastnn.asarray(array).numpy(), array)
    assert np.shares_memory(fastnn.asarray(array, copy=False).numpy(), array)
    assert not np.shares_memory(fastnn.asarray(array, copy=True).numpy(), array)
    t = fastnn.ones(2, requires_grad=True)
    assert not fastnn.asarray(t).requires_grad
    assert fastnn.asarray([1.0], requires_grad=True).requires_grad


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_finfo_is_numpys(name: str) -> None:
    ours, theirs = fastnn.finfo(getattr(fastnn, name)), np.finfo(name)
    for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution"):
        assert getattr(ours, field) == pytest.approx(float(getattr(theirs, field)), rel=1e-3), field
    assert (ours.eps, ours.max) == (float(theirs.eps), float(theirs.max))
    assert ours.dtype == name
    assert ours == fastnn.finfo(getattr(fastnn, name)) != fastnn.iinfo(fastnn.int8)


def test_repr_of_the_limits() -> None:
    assert repr(fastnn.finfo()) == (
        "finfo(resolution=1e-06, min=-3.40282e+38, max=3.40282e+38, eps=1.19209e-07, "
        "smallest_normal=1.17549e-38, tiny=1.17549e-38, dtype=float32)"
    )
    assert repr(fastnn.iinfo(fastnn.int8)) == "iinfo(min=-128, max=127, dtype=int8)"
    assert fastnn.iinfo(fastnn.uint8).max == 255
    assert fastnn.iinfo(fastnn.int64).bits == 64


def test_print_options() -> None:
    x = fastnn.tensor([1.0 / 3.0, 2.0])
    try:
        fastnn.set_printoptions(precision=2)
        assert repr(x) == "tensor([0.33, 2.00])"
        fastnn.set_printoptions(sci_mode=True)
        assert repr(x) == "tensor([3.33e-01, 2.00e+00])"
        fastnn.set_printoptions(profile="default", threshold=4, edgeitems=1)
        assert repr(fastnn.arange(6)) == "tensor([0,  ..., 5])"
        fastnn.set_printoptions(profile="full", linewidth=24)
        assert repr(fastnn.arange(6)) == "tensor([0, 1, 2, 3, 4,\n        5])"
        fastnn.set_printoptions(sci_mode=False)
        assert repr(fastnn.tensor([1e-6, 1.5])) == "tensor([0.0000, 1.5000])"
    finally:
        fastnn.set_printoptions(profile="default")
    assert repr(x) == "tensor([0.3333, 2.0000])"


def test_formats_and_switches() -> None:
    assert repr(fastnn.channels_last) == "fastnn.channels_last"
    x = X[:, :2]
    assert x.clone(memory_format=fastnn.channels_last).is_contiguous()
    assert x.contiguous(memory_format=fastnn.contiguous_format).is_contiguous()
    assert x.to(fastnn.int32, memory_format=fastnn.channels_last).dtype is fastnn.int32
    assert x.float(memory_format=fastnn.preserve_format).dtype is fastnn.float32
    image = fastnn.zeros(2, 4, 5, 3).permute(0, 3, 1, 2)
    assert image.is_contiguous(memory_format=fastnn.channels_last)
    assert not image.is_contiguous(memory_format=fastnn.contiguous_format)
    assert not fastnn.zeros(3).is_contiguous(memory_format=fastnn.channels_last)
    with pytest.raises(TypeError, match="clone: expected a memory format, got 3; "):
        x.clone(memory_format=3)
    assert pickle.loads(pickle.dumps(fastnn.strided)) is fastnn.strided
    assert X.layout is fastnn.strided
    assert fastnn.use_deterministic_algorithms(False, warn_only=True) is None
    assert fastnn.are_deterministic_algorithms_enabled() is True


def test_what_a_tensor_says_about_itself() -> None:
    x = fastnn.zeros(3, 4)
    assert (x.itemsize, x.nbytes, x.is_cuda) == (4, 48, False)
    assert (x.storage_offset(), x[1, 2:].storage_offset(), x.T[2].storage_offset()) == (0, 6, 2)
    assert (fastnn.numel(x), fastnn.is_floating_point(x), fastnn.is_complex(x)) == (12, True, False)
    assert x.is_signed() is True
    assert fastnn.zeros(1, dtype=fastnn.uint8).is_signed() is False
    assert (fastnn.is_nonzero(fastnn.tensor([2])), x[0, 0].is_nonzero()) == (True, False)


def test_functions_of_numbers_on_each_element() -> None:
    x = fastnn.tensor([[1.0, 2.0], [3.0, 4.0]]).T
    version = x._version
    assert x.apply_(lambda v: v * 10) is x
    assert x.tolist() == [[10.0, 30.0], [20.0, 40.0]]
    assert x._version > version
    assert fastnn.tensor([3]).apply_(lambda v: v * 2.5).tolist() == [7]
    assert x.map_(fastnn.tensor([1.0, 2.0]), math.copysign).tolist() == [[10.0, 30.0], [20.0, 40.0]]
    with pytest.raises(RuntimeError, match="apply_: expected a tensor without grad"):
        fastnn.ones(2, requires_grad=True).apply_(abs)

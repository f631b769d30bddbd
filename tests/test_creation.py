# SPDX-License-Identifier: BSD-3-Clause
"""Making tensors from numbers: what fits, what is refused, how sizes are spelled."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn

INF, NAN = float("inf"), float("nan")

NUMBERS = [
    *(0, 1, -1, 127, 128, -128, -129, 200, 255, 256, -255, -256, 40000, 2**31, -(2**31)),
    *(2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**70, 0.1, 3.7, -0.5, -3.7, 255.5, 300.7, 1e10),
    *(1e20, 1e39, 7e4, INF, -INF, NAN, True, np.int64(300), np.float64(300.0)),
]
CASES = [
    (n, d)
    for d in ("uint8", "int8", "int16", "int32", "int64", "bool", "float16", "float32", "float64")
    for n in NUMBERS
]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        *((300, "uint8"), (-256, "uint8"), (128, "int8"), (2**31, "int32"), (3e9, "int32")),
        *((NAN, "int64"), (INF, "uint8"), (2.0**63, "int64"), (-0.5, "uint8"), (40000, "int16")),
    ],
)
def test_a_number_that_does_not_fit_is_refused(value, dtype, nested):
    data = [[1, value]] if nested else value
    with pytest.raises(RuntimeError, match=f"tensor: expected a number that fits fastnn.{dtype}"):
        fastnn.tensor(data, dtype=getattr(fastnn, dtype))


@pytest.mark.parametrize("data", [2**63, [2**63], [0, 2**70], [[-(2**70)]]])
def test_whole_numbers_beyond_64_bits_are_refused(data):
    with pytest.raises(ValueError, match="expected a number that fits 64 bits"):
        fastnn.tensor(data)
    with pytest.raises(ValueError, match="expected a number that fits 64 bits"):
        fastnn.tensor(data, dtype=fastnn.int64)
    assert np.isfinite(fastnn.tensor(data, dtype=fastnn.float64).numpy()).all()


def test_negative_numbers_wrap_in_unsigned_types_within_their_width():
    assert fastnn.tensor([-1, -255, 255], dtype=fastnn.uint8).tolist() == [255, 1, 255]


def test_numbers_go_to_the_type_asked_for_without_a_detour():
    assert fastnn.tensor([0.1], dtype=fastnn.float64).item() == 0.1
    assert fastnn.tensor(0.1, dtype=fastnn.float64).item() == 0.1
    assert fastnn.tensor([2**53 + 1]).item() == 2**53 + 1


def test_the_elements_of_an_array_are_converted_and_not_checked():
    assert fastnn.tensor(np.array([300]), dtype=fastnn.uint8).tolist() == [44]
    assert fastnn.tensor(fastnn.tensor([300]), dtype=fastnn.uint8).tolist() == [44]


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(300, "uint8"), (NAN, "int64"), (1e20, "int64"), (1e6, "float16"), (1e39, "float32")],
)
def test_fill_refuses_what_does_not_fit(value, dtype):
    kind = getattr(fastnn, dtype)
    with pytest.raises(RuntimeError, match=r"fill_: expected a number that fits"):
        fastnn.zeros(2, dtype=kind).fill_(value)
    with pytest.raises(RuntimeError, match=r"fill_: expected a number that fits"):
        fastnn.full((2,), value, dtype=kind)


def test_fill_takes_what_fits():
    assert fastnn.zeros(2, dtype=fastnn.uint8).fill_(-1).tolist() == [255, 255]
    assert fastnn.zeros(1, dtype=fastnn.float16).fill_(INF).tolist() == [INF]
    assert fastnn.zeros(1, dtype=fastnn.uint8).fill_(fastnn.tensor(300)).tolist() == [44]
    assert fastnn.zeros(1, dtype=fastnn.bool).fill_(7).tolist() == [True]


def outcome(lib, make):
    try:
        made = make(lib)
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        return type(error).__name__
    return made.tolist(), str(made.dtype).split(".")[1]


@pytest.mark.torch
@pytest.mark.parametrize(("value", "dtype"), CASES)
def test_numbers_as_torch(value, dtype):
    torch = pytest.importorskip("torch")
    makes = [
        lambda lib: lib.tensor(value, dtype=getattr(lib, dtype)),
        lambda lib: lib.tensor([value], dtype=getattr(lib, dtype)),
    ]
    if not isinstance(value, np.generic):
        makes += [lambda lib: lib.tensor([value]), lambda lib: lib.tensor(value)]
    for make in makes:
        np.testing.assert_equal(outcome(fastnn, make), outcome(torch, make))


@pytest.mark.parametrize("make", ["zeros", "ones", "empty", "rand", "randn"])
def test_sizes_are_spelled_in_three_ways(make):
    f = getattr(fastnn, make)
    assert f(2, 3).shape == f((2, 3)).shape == f([2, 3]).shape == f(size=(2, 3)).shape == (2, 3)
    assert f(()).shape == ()
    with pytest.raises(TypeError, match=f"{make}: expected a size"):
        f()
    with pytest.raises(TypeError, match=f"{make}: expected the size once"):
        f(2, size=(2,))
    with pytest.raises(TypeError, match=f"{make}: expected size as a tuple"):
        f(size=2)
    with pytest.raises(RuntimeError, match=rf"{make}: expected sizes >= 0, got \(2, -1\); "):
        f(2, -1)


def test_randint_takes_its_arguments_by_name():
    for made in (
        fastnn.randint(5, (3,)),
        fastnn.randint(0, 5, (3,)),
        fastnn.randint(5, size=(3,)),
        fastnn.randint(0, 5, size=(3,)),
        fastnn.randint(high=5, size=(3,)),
        fastnn.randint(low=0, high=5, size=(3,)),
    ):
        assert made.shape == (3,)
        assert all(0 <= i < 5 for i in made.tolist())
    for wrong in ((5,), (0, 1, (2,), 3)):
        with pytest.raises(TypeError, match="randint: expected"):
            fastnn.randint(*wrong)


def test_the_class_makes_tensors_as_that_of_torch():
    assert fastnn.Tensor(2, 3).shape == (2, 3)
    assert fastnn.Tensor(2, 3).dtype is fastnn.float32
    assert fastnn.Tensor().shape == (0,)
    assert fastnn.Tensor([1, 2]).tolist() == [1.0, 2.0]
    assert fastnn.Tensor((2, 3)).dtype is fastnn.float32
    assert fastnn.Tensor(np.int64(3)).shape == (3,)
    assert fastnn.Tensor(data=[1]).tolist() == [1.0]
    assert fastnn.Tensor(size=(2,)).shape == (2,)
    assert fastnn.Tensor(2, device="cpu").shape == (2,)
    array = np.zeros(2, "f4")
    fastnn.Tensor(array)[0] = 9.0
    assert array[0] == 9.0
    whole = fastnn.tensor([1, 2])
    same = fastnn.Tensor(whole)
    assert same.dtype is fastnn.int64
    assert same.data_ptr() == whole.data_ptr()
    x = fastnn.ones(2).requires_grad_()
    fastnn.Tensor(x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((2.5,), {}, "data as a sequence, got float"),
        ((None,), {}, "data as a sequence, got NoneType"),
        ((True,), {}, "data as a sequence, got bool"),
        (("a",), {}, "data as a sequence, got str"),
        ((2, 3.5), {}, "expected sizes"),
        (([2], [3]), {}, "expected sizes"),
        (([1],), {"dtype": fastnn.int32}, "expected sizes.*fastnn.tensor"),
        ((), {"requires_grad": True}, "got requires_grad"),
    ],
)
def test_the_class_refuses_other_arguments(args, kwargs, message):
    with pytest.raises(TypeError, match=f"Tensor: .*{message}"):
        fastnn.Tensor(*args, **kwargs)


def test_tensors_without_elements_show_their_type():
    assert repr(fastnn.randperm(0)) == "tensor([], dtype=fastnn.int64)"
    assert repr(fastnn.zeros(0, dtype=fastnn.bool)) == "tensor([], dtype=fastnn.bool)"
    assert repr(fastnn.zeros(0)) == "tensor([])"
    assert repr(fastnn.zeros(0, 3)) == "tensor([], size=(0, 3))"


def test_reductions_take_the_names_of_numpy():
    x = fastnn.arange(6.0).reshape(2, 3)
    assert fastnn.sum(x, axis=0).tolist() == [3.0, 5.0, 7.0]
    assert x.sum(axis=1, keepdims=True).tolist() == [[3.0], [12.0]]
    assert x.sum(1, keepdims=True).shape == (2, 1)
    assert fastnn.mean(x, axis=(0, 1), keepdims=True).tolist() == [[2.5]]
    assert x.argmax(axis=1, keepdims=True).tolist() == [[2], [2]]
    assert fastnn.sum(x, axis=None).item() == 15.0
    for f in (fastnn.softmax, fastnn.log_softmax):
        assert f(x, axis=0).tolist() == f(x, 0).tolist()
    assert x.softmax(axis=0).tolist() == x.softmax(0).tolist()
    for f in (fastnn.sum, fastnn.mean, fastnn.argmax, fastnn.softmax, fastnn.log_softmax):
        with pytest.raises(TypeError, match=r"expected dim or axis"):
            f(x, 0, axis=1)
    with pytest.raises(TypeError, match="under both"):
        x.sum(0, True, keepdims=True)


@pytest.mark.parametrize("size", [1, [1], [0]])
def test_a_tensor_without_dimensions_cannot_be_split(size):
    with pytest.raises(RuntimeError, match="split: expected a tensor of at least one dimension"):
        fastnn.split(fastnn.tensor(1.0), size)


@pytest.mark.parametrize("n", [2**31, 2**40, 2**70])
def test_more_threads_than_a_number_holds_are_refused(n):
    before = fastnn.get_num_threads()
    with pytest.raises(ValueError, match="set_num_threads: expected an int"):
        fastnn.set_num_threads(n)
    assert fastnn.get_num_threads() == before


def test_a_list_of_tensors_of_one_element():
    """Each is a number of its own type, as in torch; they are not stacked."""
    one = fastnn.tensor
    for data, values, dtype in (
        ([one(1), one(2)], [1, 2], fastnn.int64),
        ([one(1), one(2.0)], [1.0, 2.0], fastnn.float32),
        ([one(1), 2.5], [1.0, 2.5], fastnn.float32),
        ([one(True), one(False)], [True, False], fastnn.bool),
        ([one(True), 1], [1, 1], fastnn.int64),
        ([one(1, dtype=fastnn.uint8), True], [1, 1], fastnn.uint8),
        ([[one(1.0, dtype=fastnn.float64), 2], [3, 4]], [[1.0, 2.0], [3.0, 4.0]], fastnn.float64),
        ([one(2**53 + 1)], [2**53 + 1], fastnn.int64),
        ([one([1]), one([[2]])], [1, 2], fastnn.int64),
        ((one(3.0, requires_grad=True),), [3.0], fastnn.float32),
    ):
        made = fastnn.tensor(data)
        assert made.tolist() == values
        assert made.dtype is dtype
        assert not made.requires_grad
    assert fastnn.tensor([one(1), one(2)], dtype=fastnn.float64).dtype is fastnn.float64
    for bad in ([one([1, 2]), one([3, 4])], [one([])]):
        with pytest.raises(ValueError, match="tensors of one element inside of a sequence"):
            fastnn.tensor(bad)


@pytest.mark.torch
def test_a_list_of_torch_scalars():
    torch = pytest.importorskip("torch")
    made = fastnn.tensor([torch.tensor(1), torch.tensor(2.5)])
    assert made.tolist() == [1.0, 2.5]
    assert made.dtype is fastnn.float32
    assert fastnn.tensor([torch.tensor(1), torch.tensor(2)]).dtype is fastnn.int64


@pytest.mark.parametrize("name", ["empty", "zeros", "ones"])
def test_sizes_beyond_any_memory_are_refused(name):
    for size in ((2**62,), (2**64,), (2**40, 2**40, 0)):
        with pytest.raises(RuntimeError, match=rf"{name}: expected .* fewer than 2\^60 elements"):
            getattr(fastnn, name)(size)
    with pytest.raises(RuntimeError, match=r"full: expected .* fewer than 2\^60 elements"):
        fastnn.full((2**62,), 1.0)
    with pytest.raises(RuntimeError, match=r"arange: expected .* fewer than 2\^60 elements"):
        fastnn.arange(2**61)

# SPDX-License-Identifier: BSD-3-Clause
"""Tensor: creation, storage and views, promotion, conversion, what prints."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import _dtypes


def test_views_share_memory_storage_and_version() -> None:
    x = fastnn.zeros(2, 3)
    views = [
        x.view(3, 2),
        x.t(),
        x[0],
        x.unsqueeze(0),
        x.detach(),
        x.expand(2, 3),
        x.flatten(),
    ]
    for v in views:
        assert v.storage is x.storage
        assert np.shares_memory(v.numpy(), x.numpy())
    before = x._version
    views[0].add_(1.0)
    assert x._version == before + 1
    np.testing.assert_array_equal(x.numpy(), np.ones((2, 3)))


def test_reshape_copies_only_where_it_must() -> None:
    x = fastnn.arange(6.0).reshape(2, 3)
    assert x.reshape(3, 2).storage is x.storage
    assert x.t().reshape(6).storage is not x.storage
    with pytest.raises(RuntimeError, match=r"use reshape\(\)"):
        x.t().view(6)
    assert x.t().view(3, 2, 1).storage is x.storage


def test_data_is_assignable_and_array_is_raw() -> None:
    x = fastnn.tensor([1.0, 2.0], requires_grad=True)
    x.data = fastnn.tensor([5.0, 6.0, 7.0])
    assert x.requires_grad
    assert x.tolist() == [5.0, 6.0, 7.0]
    assert isinstance(x.array, np.ndarray)
    with pytest.raises(TypeError, match="expected a Tensor"):
        x.data = 3.0


def test_numpy_of_a_tensor_that_requires_grad_raises() -> None:
    x = fastnn.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"detach\(\)"):
        x.numpy()
    assert np.asarray(x.detach()).tolist() == [1.0]
    assert np.from_dlpack(x.detach()).tolist() == [1.0]


def test_types_of_new_tensors_are_torchs() -> None:
    assert fastnn.tensor(1.5).dtype is fastnn.float32
    assert fastnn.tensor([1, 2]).dtype is fastnn.int64
    assert fastnn.tensor([True]).dtype is fastnn.bool
    assert fastnn.tensor(np.zeros(2)).dtype is fastnn.float64
    assert fastnn.tensor([[1.0, 2.0]], dtype=fastnn.float64).dtype is fastnn.float64
    assert fastnn.tensor([]).dtype is fastnn.float32
    assert fastnn.tensor([fastnn.tensor(1.0), fastnn.tensor(2.0)]).tolist() == [1.0, 2.0]


def test_tensor_copies_and_as_tensor_shares() -> None:
    a = np.arange(3.0)
    copied, shared = fastnn.tensor(a), fastnn.as_tensor(a)
    a[0] = 9.0
    assert copied.tolist() == [0.0, 1.0, 2.0]
    assert shared.tolist() == [9.0, 1.0, 2.0]


@pytest.mark.parametrize("kind", [">f4", ">f8", ">i8"])
def test_foreign_byte_order_is_converted(kind: str) -> None:
    a = np.arange(4).astype(kind)
    t = fastnn.from_numpy(a)
    assert t.tolist() == [0, 1, 2, 3]
    assert (t + t).tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([[1.0], [1.0, 2.0]], ValueError, "equal lengths"),
        (["a"], TypeError, "expected numbers"),
        ([None], TypeError, "expected numbers"),
        (1j, TypeError, "expected"),
        (np.array(["a"]), TypeError, "expected one of"),
        (np.zeros(2, "M8[s]"), TypeError, "expected one of"),
    ],
)
def test_bad_data_is_refused(data: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fastnn.tensor(data)


# torch.promote_types, written down: rows and columns in the order of _dtypes.ALL.
PROMOTION = """
bool    uint8   int8    int16   int32   int64   float16 float32 float64
uint8   uint8   int16   int16   int32   int64   float16 float32 float64
int8    int16   int8    int16   int32   int64   float16 float32 float64
int16   int16   int16   int16   int32   int64   float16 float32 float64
int32   int32   int32   int32   int32   int64   float16 float32 float64
int64   int64   int64   int64   int64   int64   float16 float32 float64
float16 float16 float16 float16 float16 float16 float16 float32 float64
float32 float32 float32 float32 float32 float32 float32 float32 float64
float64 float64 float64 float64 float64 float64 float64 float64 float64
"""


def test_promotion_table() -> None:
    rows = [line.split() for line in PROMOTION.strip().splitlines()]
    for a, row in zip(_dtypes.ALL, rows, strict=True):
        for b, want in zip(_dtypes.ALL, row, strict=True):
            assert fastnn.promote_types(a, b).name == want


def test_numbers_and_0d_tensors_do_not_widen_tensors_with_dimensions() -> None:
    f32, i64 = fastnn.ones(2), fastnn.ones(2, dtype=fastnn.int64)
    assert (f32 + 1).dtype is fastnn.float32
    assert (f32 + fastnn.tensor(1.0, dtype=fastnn.float64)).dtype is fastnn.float32
    assert (i64 + 1.5).dtype is fastnn.float32
    assert (i64 + fastnn.tensor(1.5, dtype=fastnn.float64)).dtype is fastnn.float64
    assert (i64 + f32).dtype is fastnn.float32
    assert (i64 / i64).dtype is fastnn.float32
    assert (
        fastnn.ones(2, dtype=fastnn.uint8) + fastnn.ones(2, dtype=fastnn.int8)
    ).dtype is fastnn.int16
    with pytest.raises(RuntimeError, match="expected a result that"):
        i64.add_(0.5)


@pytest.mark.torch
def test_promotion_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    operands = [(d, r) for d in _dtypes.ALL for r in (1, 0)] + [(True, -1), (1, -1), (1.5, -1)]

    def make(lib: object, d: object, r: int) -> object:
        return d if r < 0 else lib.ones((2,) * r, dtype=getattr(lib, d.name))  # type: ignore[attr-defined]

    for a in operands:
        for b in operands:
            if a[1] < 0 and b[1] < 0:
                continue
            want = torch.result_type(make(torch, *a), make(torch, *b))
            got = fastnn.result_type(make(fastnn, *a), make(fastnn, *b))
            assert str(want) == f"torch.{got.name}", (a, b)


def test_scalars_truth_and_length() -> None:
    assert float(fastnn.tensor(2.5)) == 2.5
    assert int(fastnn.tensor(3)) == 3
    assert bool(fastnn.tensor([0.0])) is False
    assert [10, 20][fastnn.tensor(1)] == 20
    assert len(fastnn.zeros(3, 2)) == 3
    assert [r.tolist() for r in fastnn.tensor([[1], [2]])] == [[1], [2]]
    with pytest.raises(RuntimeError, match="ambiguous"):
        bool(fastnn.zeros(2))
    with pytest.raises(RuntimeError, match="one element"):
        fastnn.zeros(2).item()
    with pytest.raises(TypeError, match="0-d"):
        len(fastnn.tensor(1.0))


def test_repr_is_short_and_says_what_matters() -> None:
    assert repr(fastnn.tensor([1.0, 2.5])) == "tensor([1.0000, 2.5000])"
    assert repr(fastnn.tensor([1, 2])) == "tensor([1, 2])"
    assert "dtype=fastnn.float64" in repr(fastnn.zeros(1, dtype=fastnn.float64))
    assert "requires_grad=True" in repr(fastnn.zeros(1, requires_grad=True))
    assert "grad_fn=<Add>" in repr(fastnn.zeros(1, requires_grad=True) + 1.0)
    assert "..." in repr(fastnn.zeros(2000))
    assert len(repr(fastnn.zeros(300, 300))) < 1000


def test_deepcopy_and_pickle_of_leaves() -> None:
    x = fastnn.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    for made in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert made.tolist() == [1.0, 2.0]
        assert made.requires_grad
        assert not np.shares_memory(made.array, x.array)
    assert copy.deepcopy(x).grad.tolist() == [2.0, 4.0]
    with pytest.raises(RuntimeError, match="expected a leaf"):
        copy.deepcopy(x * 2.0)


def test_comparison_in_place_fill_and_copy() -> None:
    x = fastnn.tensor([1.0, 2.0, 3.0])
    assert (x == 2.0).tolist() == [False, True, False]
    assert (x != fastnn.tensor([1.0, 0.0, 3.0])).tolist() == [False, True, False]
    x.copy_(fastnn.tensor([4, 5, 6]))
    assert x.tolist() == [4.0, 5.0, 6.0]
    x[1:] = 0
    assert x.tolist() == [4.0, 0.0, 0.0]
    x.zero_()
    assert x.tolist() == [0.0, 0.0, 0.0]


def test_comparison_with_what_is_no_number_is_false() -> None:
    x = fastnn.ones(2)
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True
    with pytest.raises(TypeError, match="a tensor or a number"):
        x.eq("a")


def test_requires_grad_only_for_floating_point() -> None:
    with pytest.raises(RuntimeError, match="floating-point"):
        fastnn.tensor([1], requires_grad=True)
    x = fastnn.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        (x * 2.0).requires_grad_(False)


def test_huge_shapes_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"fewer than 2\^60 elements.*smaller sizes"):
        fastnn.empty(2**40, 2**40)
    with pytest.raises((MemoryError, ValueError)):
        fastnn.empty(2**45)


def test_numpy_numbers_and_arrays_in_arithmetic_give_tensors() -> None:
    x = fastnn.ones(2, requires_grad=True)
    for made in (
        np.float64(2.0) * x,
        x * np.float64(2.0),
        x * np.full(2, 2.0, np.float32),
        np.float32(4.0) - 2.0 * x,
    ):
        assert isinstance(made, fastnn.Tensor)
        assert made.tolist() == [2.0, 2.0]
    assert fastnn.arange(5.0)[np.array([0, 3])].tolist() == [0.0, 3.0]
    assert x.detach().clone().add_(2, alpha=3).tolist() == [7.0, 7.0]
    with pytest.raises(TypeError, match="a tensor or a number"):
        x.detach().add_("a")


def test_index_assignment_drops_leading_ones_of_the_value() -> None:
    x = fastnn.zeros(2, 3)
    x[0] = fastnn.ones(1, 3)
    x[1, 0] = fastnn.full((1,), 5.0)
    assert x.tolist() == [[1.0, 1.0, 1.0], [5.0, 0.0, 0.0]]


def test_half_precision_is_added_up_in_single() -> None:
    assert fastnn.ones(100_000, dtype=fastnn.float16).mean().item() == 1.0


@pytest.mark.parametrize("dtype", [fastnn.float16, fastnn.float32, fastnn.float64])
def test_uniform_numbers_stay_below_the_upper_end(dtype: fastnn.dtype) -> None:
    generator = fastnn.Generator().manual_seed(0)
    x = fastnn.empty(400_000, dtype=dtype).uniform_(1000.0, 1001.0, generator=generator)
    assert float(x.numpy().max()) < 1001.0
    assert float(x.numpy().min()) >= 1000.0
    assert float(fastnn.rand(400_000, dtype=dtype, generator=generator).numpy().max()) < 1.0


def test_functions_of_integers_are_of_the_default_type() -> None:
    x = fastnn.tensor([0, 1])
    for function in (fastnn.tanh, fastnn.sigmoid, fastnn.exp):
        assert function(x).dtype is fastnn.float32
        assert function(x).tolist() == function(x.float()).tolist()


def test_results_on_a_subclass_are_plain_tensors() -> None:
    class Marked(fastnn.Tensor):
        def doubled(self) -> fastnn.Tensor:
            return self * 2

    x = Marked([1.0, 2.0])
    assert type(x) is Marked
    assert type(x.add_(1.0)) is Marked
    for result in (x.doubled(), x + x, x[0], x.detach(), fastnn.relu(x), fastnn.cat([x, x])):
        assert type(result) is fastnn.Tensor
    x.requires_grad_()
    x.doubled().sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0]


def test_a_subclass_with_torch_function_is_refused_not_ignored() -> None:
    with pytest.raises(
        TypeError,
        match=r"Logged: expected a subclass without __torch_function__, .* override methods",
    ):

        class Logged(fastnn.nn.Parameter):
            @classmethod
            def __torch_function__(cls, *_: object) -> None:
                raise AssertionError

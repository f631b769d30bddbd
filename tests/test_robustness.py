# SPDX-License-Identifier: BSD-3-Clause
"""What models and tensors must bear: copies of tied weights, weights in a mapped read-only file,
arrays in foreign byte order or at odd addresses, batches of one, tensors of other libraries."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn


class Convolutions(nn.Module):
    """Two convolutions with one kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.second = nn.Conv2d(2, 2, 3, padding=1)
        self.second.weight = self.first.weight

    def forward(self, x: Any) -> Any:
        return self.second(fastnn.relu(self.norm(self.first(x))))


class Language(nn.Module):
    """A character model whose output layer has the weights of its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Embedding(7, 4)
        self.lstm = nn.LSTM(4, 4, num_layers=2)
        self.second = nn.Linear(4, 7)
        self.second.weight = self.first.weight

    def forward(self, x: Any) -> Any:
        return self.second(self.lstm(self.first(x))[0])


def images() -> Any:
    return fastnn.tensor(np.random.default_rng(1).normal(size=(2, 2, 5, 4)).astype(np.float32))


def letters() -> Any:
    return fastnn.tensor(np.random.default_rng(1).integers(0, 7, (5, 3)))


MODELS = [(Convolutions, images), (Language, letters)]


def train_one_step(model: Any, x: Any) -> None:
    optimizer = fastnn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    (model(x) ** 2).sum().backward()
    optimizer.step()


def state(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(("kind", "data"), MODELS)
def test_a_copied_model_keeps_its_weights_tied(kind: Any, data: Callable[[], Any]) -> None:
    model, x = kind(), data()
    model(x).sum().backward()
    before = state(model)
    made = copy.deepcopy(model)
    assert made.second.weight is made.first.weight
    assert made.first.weight is not model.first.weight
    assert len(list(made.parameters())) == len(list(model.parameters()))
    assert made.first.weight.grad is None  # as of a copied parameter in torch
    train_one_step(made, x)
    assert made.second.weight is made.first.weight
    for name, value in state(model).items():
        np.testing.assert_array_equal(value, before[name])

    train_one_step(twin := load(kind, before), x)
    assert twin.second.weight is twin.first.weight
    for name, value in state(twin).items():
        np.testing.assert_array_equal(state(made)[name], value)


def load(kind: Any, values: dict[str, Any], assign: bool = False) -> Any:
    model = kind()
    model.load_state_dict(values, assign=assign)
    return model


def mapped(values: dict[str, np.ndarray[Any, Any]], directory: Path) -> dict[str, Any]:
    """The same values in files that are mapped for reading only."""
    maps = {}
    for name, value in values.items():
        file = directory / name
        value.tofile(file)
        maps[name] = np.memmap(file, value.dtype, "r", shape=value.shape or (1,))
    return maps


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize(("kind", "data"), MODELS)
def test_weights_in_a_read_only_file_compute_and_train(
    kind: Any, data: Callable[[], Any], assign: bool, tmp_path: Path
) -> None:
    x = data()
    model = kind()
    values = state(model)
    files = mapped(values, tmp_path)
    other = load(kind, files, assign)
    assert np.shares_memory(other.first.weight.array, files["first.weight"]) == assign
    model.eval()
    other.eval()
    np.testing.assert_array_equal(other(x).detach().numpy(), model(x).detach().numpy())
    model.train()
    other.train()
    if assign:  # the tie is with the module's own tensor, which each name replaced with its own
        other.second.weight = other.first.weight
    for _ in range(2):
        train_one_step(model, x)
        train_one_step(other, x)
    for name, value in state(model).items():
        np.testing.assert_array_equal(state(other)[name].reshape(value.shape), value)
    for name, value in values.items():
        np.testing.assert_array_equal(np.fromfile(tmp_path / name, value.dtype), value.ravel())


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.InstanceNorm1d])
def test_statistics_in_a_read_only_file_move_in_training(kind: Any, tmp_path: Path) -> None:
    model, x = kind(2, track_running_stats=True), images()[:, :, 0]
    files = mapped(state(model), tmp_path)
    other = kind(2, track_running_stats=True)
    other.load_state_dict(files, assign=True)
    assert np.shares_memory(other.eval().running_var.array, files["running_var"])
    assert other(x).tolist() == model.eval()(x).tolist()
    assert np.shares_memory(other.running_var.array, files["running_var"])
    assert other.train()(x).tolist() == model.train()(x).tolist()
    assert other.running_var.tolist() == model.running_var.tolist()
    assert other.running_mean.tolist() == model.running_mean.tolist()
    assert files["running_var"].tolist() == [1, 1]


def test_a_tensor_on_a_read_only_file_refuses_writes(tmp_path: Path) -> None:
    array = mapped({"x": np.arange(6, dtype=np.float32)}, tmp_path)["x"]
    t = fastnn.from_numpy(array)
    assert np.shares_memory(t.array, array)
    assert (t * 2).tolist() == [0, 2, 4, 6, 8, 10]
    writes: list[Callable[[], Any]] = [
        lambda: t.add_(1),
        lambda: t.fill_(0),
        lambda: t.copy_(fastnn.ones(6)),
        lambda: t.uniform_(0, 1),
        lambda: t.__setitem__(0, 1),
        lambda: t[2:].mul_(2),
    ]
    for write in writes:
        with pytest.raises(RuntimeError, match=r"read-only memory; clone\(\) it first"):
            write()
    assert t.tolist() == [0, 1, 2, 3, 4, 5]
    assert fastnn.tensor(array).add_(1).tolist() == [1, 2, 3, 4, 5, 6]


def at_odd_address(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    memory = np.zeros(values.nbytes + 1, np.uint8)
    made = memory[1:].view(values.dtype).reshape(values.shape)
    made[...] = values
    return made


def field_of_records(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    records = np.zeros(values.shape, np.dtype([("tag", np.uint8), ("value", values.dtype)]))
    records["value"] = values
    return records["value"]


LAYOUTS: list[Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = [
    lambda a: a.astype(a.dtype.newbyteorder(">")),
    lambda a: a.astype(a.dtype.newbyteorder(">")).T,
    at_odd_address,
    field_of_records,
    lambda a: at_odd_address(a.astype(a.dtype.newbyteorder(">")))[:, ::2],
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "i4", "i8"])
@pytest.mark.parametrize("make", ["tensor", "as_tensor", "from_numpy"])
def test_foreign_byte_order_and_odd_addresses(make: str, dtype: str, layout: Any) -> None:
    array = layout((np.arange(12) - 5).reshape(3, 4).astype(dtype))
    assert not (array.flags.aligned and array.dtype.isnative)
    t = getattr(fastnn, make)(array)
    assert t.dtype is getattr(fastnn, np.dtype(dtype).name)
    assert t.tolist() == array.tolist()
    assert (t + t).tolist() == (array + array).tolist()
    assert t.sum(0).tolist() == array.sum(0).tolist()
    assert not np.shares_memory(t.array, array)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_such_arrays_as_operands_indices_and_weights(layout: Any) -> None:
    values = (np.arange(12) - 5).reshape(3, 4)
    array = layout(values.astype("f4"))
    plain = fastnn.tensor(array.astype("f4"))
    assert (plain + array).tolist() == (plain + plain).tolist()
    target = fastnn.zeros(*array.shape)
    target[:] = array
    assert target.tolist() == plain.tolist()
    places = layout(np.arange(12).reshape(3, 4))
    assert fastnn.arange(12)[places].tolist() == places.tolist()
    layer = nn.Linear(array.shape[1], array.shape[0], bias=False)
    for assign in (False, True):
        layer.load_state_dict({"weight": array}, assign=assign)
        assert layer.weight.tolist() == plain.tolist()
        assert layer(fastnn.ones(1, array.shape[1])).tolist() == [plain.sum(1).tolist()]


@pytest.mark.parametrize("dtype", [">u4", ">c8", "M8[s]", "S3", "O"])
@pytest.mark.parametrize("make", ["tensor", "as_tensor", "from_numpy"])
def test_types_that_there_are_not_are_named(make: str, dtype: str) -> None:
    with pytest.raises(TypeError, match=r"NumPy dtype .*convert with array.astype"):
        getattr(fastnn, make)(np.zeros(2, dtype))


@pytest.mark.parametrize(
    ("layer", "too_small", "enough"),
    [
        (nn.BatchNorm1d, [(1, 3), (1, 3, 1)], [(2, 3), (1, 3, 2)]),
        (nn.BatchNorm2d, [(1, 3, 1, 1)], [(1, 3, 2, 1), (2, 3, 1, 1)]),
    ],
)
def test_batch_norm_of_a_batch_of_one(layer: Any, too_small: Any, enough: Any) -> None:
    for shape in too_small:
        net = layer(3)
        before = state(net)
        with pytest.raises(ValueError, match="expected more than 1 value per channel"):
            net(fastnn.ones(*shape))
        for name in ("running_mean", "running_var"):
            np.testing.assert_array_equal(state(net)[name], before[name])
        assert net.eval()(fastnn.ones(*shape)).shape == shape
    for shape in enough:
        x = fastnn.tensor(np.random.default_rng(2).normal(size=shape), dtype=fastnn.float32)
        y = layer(3)(x).detach().numpy()
        axes = (0, *range(2, len(shape)))
        np.testing.assert_allclose(y.mean(axes), 0, atol=1e-6)
        np.testing.assert_allclose(y.var(axes), 1, atol=1e-2)


class Foreign:
    """An array of a library that fastnn does not know."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.values, dtype) if copy else np.asarray(self.values, dtype)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: Any) -> Any:
        return self.values[i]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "i4", "i8", "u1", "?", ">f8"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_arrays_of_other_libraries_keep_their_type(dtype: str, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(3).normal(size=shape).astype(dtype)
    expected = getattr(fastnn, values.dtype.name)
    for make in (fastnn.tensor, fastnn.as_tensor):
        made = make(Foreign(values))
        assert made.dtype is expected
        assert made.tolist() == values.tolist()
        assert make(Foreign(values), dtype=fastnn.float32).dtype is fastnn.float32
    if values.size and values.dtype.isnative:
        assert np.shares_memory(fastnn.as_tensor(Foreign(values)).array, values)
    assert not np.shares_memory(fastnn.tensor(Foreign(values)).array, values)
    with pytest.raises(TypeError, match="NumPy dtype complex64"):
        fastnn.tensor(Foreign(np.zeros(2, np.complex64)))


@pytest.mark.torch
@pytest.mark.parametrize("requires_grad", [False, True])
def test_tensors_of_torch_keep_their_type(requires_grad: bool) -> None:
    torch = pytest.importorskip("torch")
    for name in ("float16", "float32", "float64", "int16", "int32", "int64", "uint8", "bool"):
        for shape in ((), (2, 3)):
            given = torch.arange(6.0)[: max(1, 3 * len(shape))].sum().expand(shape).clone() / 3
            given = given.to(getattr(torch, name))
            given.requires_grad_(requires_grad and given.is_floating_point())
            for make in (fastnn.tensor, fastnn.as_tensor):
                made = make(given)
                assert made.dtype is getattr(fastnn, name)
                assert made.tolist() == given.tolist()
                assert not made.requires_grad
    shared = torch.zeros(3, dtype=torch.float64)
    fastnn.as_tensor(shared)[0] = 2.0
    fastnn.tensor(shared)[1] = 2.0
    assert shared.tolist() == [2.0, 0.0, 0.0]


@pytest.mark.torch
@pytest.mark.parametrize("assign", [False, True])
def test_a_model_of_torch_in_double_precision_loads_exactly(assign: bool) -> None:
    torch = pytest.importorskip("torch")
    given = torch.nn.Linear(3, 2).double()
    model = nn.Linear(3, 2)
    if not assign:
        model.double()
    model.load_state_dict(given.state_dict(), assign=assign)
    assert model.weight.dtype is fastnn.float64
    assert model.weight.tolist() == given.weight.tolist()
    model.load_state_dict(dict(given.named_parameters()), assign=assign)  # these require gradients
    assert model.bias.tolist() == given.bias.tolist()

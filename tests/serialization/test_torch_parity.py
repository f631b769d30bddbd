# SPDX-License-Identifier: BSD-3-Clause
"""Files go both ways between fastnn and torch."""

from __future__ import annotations

import io
import warnings
from collections import Counter, OrderedDict

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.serialization import TensorFileError

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def from_torch(torch, obj, **kwargs):
    file = io.BytesIO()
    torch.save(obj, file, **kwargs)
    file.seek(0)
    return fastnn.load(file)


def same(ours, theirs):
    """Whether two trees are alike, torch's tensors being ours."""
    if hasattr(theirs, "detach"):
        assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
        assert ours.shape == tuple(theirs.shape)
        assert ours.stride() == theirs.stride() or not theirs.numel()
        assert ours.requires_grad == theirs.requires_grad
        assert ours.tolist() == theirs.tolist()
    elif isinstance(theirs, dict):
        assert type(ours) is type(theirs)
        assert list(ours) == list(theirs)
        for key, value in theirs.items():
            same(ours[key], value)
    elif isinstance(theirs, list | tuple):
        assert type(ours) is (list if isinstance(theirs, list) else tuple)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
    else:
        assert type(ours) is type(theirs)
        assert ours == theirs


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_torch_saves_is_read(torch, protocol):
    base = torch.arange(24.0).reshape(2, 3, 4)
    tree = {
        "types": [
            torch.tensor([0, 1, 1]).to(getattr(torch, name))
            for name in ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float64")
        ],
        "views": (base, base[1], base.transpose(0, 2), base[:, ::2, 1:], base[0, 0].expand(2, 4)),
        "none": torch.ones(0, 3),
        "one": torch.tensor(2.5),
        "leaf": torch.ones(2, requires_grad=True),
        "parameter": torch.nn.Parameter(torch.ones(2), requires_grad=False),
        "plain": [1, 2.5, "text", None, True, (1, 2), {"a": 2**70}, Counter("aab")],
        "ordered": OrderedDict([("b", 1), ("a", torch.ones(1))]),
    }
    ours = from_torch(torch, tree, pickle_protocol=protocol)
    same(ours, tree)
    assert type(ours["parameter"]) is nn.Parameter
    ours["views"][0].mul_(2)
    assert ours["views"][1].tolist() == (base[1] * 2).tolist()
    others = [torch.Size([2, 3]), torch.float16, torch.device("cuda", 1), {1, 2}]
    size, dtype, device, group = from_torch(torch, others, pickle_protocol=protocol)
    assert (size, dtype, group) == ((2, 3), fastnn.float16, {1, 2})
    assert device == fastnn.device("cuda:1")


def test_bfloat16_is_read(torch):
    pytest.importorskip("ml_dtypes")
    t = torch.tensor([1.5, -2.0, float("inf")], dtype=torch.bfloat16)
    same(from_torch(torch, [t, t[1:]]), [t, t[1:]])


def test_a_tensor_with_attributes_is_read(torch):
    t = torch.ones(2)
    t.tag = "mine"
    p = torch.nn.Parameter(torch.ones(2))
    p.tag = 3
    ours = from_torch(torch, [t, p])
    assert [x.tag for x in ours] == ["mine", 3]


def test_what_torch_refuses_to_read_plainly_is_refused_here(torch):
    class Net(torch.nn.Linear):
        pass

    Net.__qualname__ = "Net"
    globals()["Net"] = Net
    try:
        for obj, text in (
            (Net(1, 1), "Net"),
            ([np.ones(2)], "_reconstruct"),
            ([np.float64(1)], "scalar"),
            (torch.eye(2).to_sparse(), "to_dense"),
            (torch.ones(1, dtype=torch.complex64), "ComplexFloatStorage"),
            (torch.ones(1, dtype=torch.uint16), "uint16"),
        ):
            with pytest.raises(TensorFileError, match=text):
                from_torch(torch, obj)
    finally:
        del globals()["Net"]
    with pytest.raises(TensorFileError, match="a pickle, which fastnn never runs"):
        from_torch(torch, [torch.ones(1)], _use_new_zipfile_serialization=False)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), file)
    file.seek(0)
    with pytest.raises(TensorFileError, match="TorchScript"):
        fastnn.load(file)


def test_a_file_without_checksums_is_read_mapped(torch, tmp_path):
    path = tmp_path / "state.pt"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.arange(3.0)}, path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert fastnn.load(path, mmap=True)["a"].tolist() == [0.0, 1.0, 2.0]


def build(lib):
    return lib.Sequential(
        lib.Conv2d(1, 2, 3), lib.BatchNorm2d(2), lib.ReLU(), lib.Flatten(), lib.Linear(32, 3)
    )


def test_models_go_both_ways(torch, tmp_path):
    load_file = pytest.importorskip("safetensors.torch").load_file
    theirs, ours = build(torch.nn), build(nn)
    path = tmp_path / "model.pt"
    torch.save(theirs.state_dict(), path)
    state = fastnn.load(path)
    assert state._metadata == theirs.state_dict()._metadata
    ours.load_state_dict(state)
    x = np.random.default_rng(0).normal(size=(4, 1, 6, 6)).astype("f4")
    a, b = theirs(torch.from_numpy(x)), ours(fastnn.tensor(x))
    np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=1e-4, atol=1e-5)
    # The running statistics have moved on, and go back.
    fastnn.save(ours.state_dict(), path)
    other = build(torch.nn)
    other.load_state_dict(load_file(path))
    for name, value in ours.state_dict().items():
        assert other.state_dict()[name].tolist() == value.tolist(), name


def test_tied_weights_go_to_torch(torch, tmp_path):
    load_file = pytest.importorskip("safetensors.torch").load_file
    path = tmp_path / "tied.safetensors"
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    fastnn.save(model.state_dict(), path)
    other = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    other.load_state_dict(load_file(path))
    assert other[1].weight.tolist() == model[0].weight.tolist()


def steps(make_optimizer, model, lib, n):
    optimizer = make_optimizer(model.parameters())
    for _ in range(n):
        optimizer.zero_grad()
        model(lib.ones(2, 3)).square().sum().backward()
        optimizer.step()
    return optimizer


@pytest.mark.parametrize(("name", "options"), [("Adam", {}), ("SGD", {"momentum": 0.9})])
def test_optimisers_go_on_from_torch_s_file(torch, name, options):
    theirs, ours = torch.nn.Linear(3, 2), nn.Linear(3, 2)
    first = steps(lambda p: getattr(torch.optim, name)(p, lr=0.05, **options), theirs, torch, 3)
    state = from_torch(torch, {"model": theirs.state_dict(), "optimizer": first.state_dict()})
    same(state["optimizer"]["param_groups"], first.state_dict()["param_groups"])
    ours.load_state_dict(state["model"])
    mine = getattr(optim, name)(ours.parameters(), lr=0.05, **options)
    mine.load_state_dict(state["optimizer"])
    for lib, model, optimizer in ((torch, theirs, first), (fastnn, ours, mine)):
        for _ in range(3):
            optimizer.zero_grad()
            model(lib.ones(2, 3)).square().sum().backward()
            optimizer.step()
    np.testing.assert_allclose(
        ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-5
    )


def test_torch_reads_the_tensors_of_any_tree(torch, tmp_path):
    load_file = pytest.importorskip("safetensors.torch").load_file
    path = tmp_path / "all.pt"
    kinds = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
    tree = {k: fastnn.tensor([[0, 1], [1, 1]]).to(getattr(fastnn, k)) for k in kinds}
    fastnn.save({"a": [tree], "n": 3}, path)
    found = load_file(path)
    for kind in kinds:
        assert found[f"a/0/{kind}"].dtype is getattr(torch, kind)
        assert found[f"a/0/{kind}"].tolist() == tree[kind].tolist()

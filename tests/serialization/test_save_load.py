# SPDX-License-Identifier: BSD-3-Clause
"""fastnn.save and fastnn.load: objects come back as they were, and what cannot is named."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import pickle
import stat
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import fastnn
from fastnn import nn, optim
from fastnn.serialization import TensorFileError
from fastnn.serialization.source import Malformed
from fastnn.serialization.tree import Unpacker
from fastnn.train import save_checkpoint

KINDS = (
    fastnn.bool, fastnn.uint8, fastnn.int8, fastnn.int16, fastnn.int32, fastnn.int64,
    fastnn.float16, fastnn.float32, fastnn.float64,
)  # fmt: skip


def there_and_back(obj, **kwargs):
    file = io.BytesIO()
    fastnn.save(obj, file)
    return fastnn.load(io.BytesIO(file.getvalue()), **kwargs)


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.bin", "a", "a.safetensors"])
def test_the_file_is_safetensors_whatever_its_name(tmp_path, name):
    path = tmp_path / name
    state = {"weight": fastnn.tensor([[1.0, 2.0]]), "steps": fastnn.tensor(3)}
    fastnn.save(state, path)
    assert load_file(path)["weight"].tolist() == [[1.0, 2.0]]
    for where in (path, str(path)):
        found = fastnn.load(where)
        assert list(found) == ["weight", "steps"]
        assert found["weight"].tolist() == [[1.0, 2.0]]
        assert found["steps"].dtype is fastnn.int64
    with path.open("rb") as file:
        assert fastnn.load(file)["steps"].item() == 3


@pytest.mark.parametrize("kind", [*KINDS, fastnn.bfloat16], ids=str)
def test_every_type_comes_back(kind):
    if kind is fastnn.bfloat16:
        pytest.importorskip("ml_dtypes")
    made = fastnn.tensor([[0.0, 1.0, 1.0]]).to(kind)
    for t in (made, made[:, ::2], made[:, :0], made[0, 1]):
        found = there_and_back(t)
        assert found.dtype is kind
        assert found.shape == t.shape
        assert found.tolist() == t.tolist()


def test_plain_data_comes_back_as_it_was():
    tree = {
        "none": None, "truth": [True, False], "numbers": (0, -1, 2**80, 1e300, -0.0, 0.1),
        "texts": ["", "ä", "\ud800", "$"], "empty": [[], (), {}], "$": 1, "": 2,
        "keys": {1: "a", None: "b", 2.5: "c", False: "d", ("x", 2): "e"},
        "ordered": OrderedDict([("b", 1), ("a", {"$": "tensor"})]), "counts": Counter("aab"),
    }  # fmt: skip
    found = there_and_back(tree)
    assert found == tree
    assert repr(found) == repr(tree)
    for value in (math.inf, -math.inf):
        assert there_and_back([value]) == [value]
    assert math.isnan(there_and_back(math.nan))


@pytest.mark.parametrize("length", range(0, 700, 7))
def test_no_length_of_the_header_is_taken_for_a_pickle(length):
    assert there_and_back(["x" * length]) == ["x" * length]


def test_numbers_of_numpy_become_python_s():
    found = there_and_back([np.float32(0.5), np.int8(3), np.bool_(True), np.float64(1.0)])
    assert list(map(type, found)) == [float, int, bool, float]
    assert found == [0.5, 3, True, 1.0]


def test_tensors_are_named_by_their_way(tmp_path):
    path = tmp_path / "all.safetensors"
    t = fastnn.ones(2)
    tree = {
        "model": {"0.weight": t + 1}, "model/0.weight": t + 2, "list": [(t + 3,)],
        "__metadata__": t + 4, 7: {None: t + 5}, "\ud800": t + 6,
    }  # fmt: skip
    fastnn.save(tree, path)
    names = {"model/0.weight", "model/0.weight~2", "list/0/0", "__metadata__~2", "7/None"}
    assert set(load_file(path)) == names | {"\\ud800"}
    found = fastnn.load(path)
    assert found["model"]["0.weight"].tolist() == [2.0, 2.0]
    assert found["model/0.weight"].tolist() == [3.0, 3.0]
    assert found["list"][0][0].tolist() == [4.0, 4.0]
    assert found["__metadata__"].tolist() == [5.0, 5.0]
    assert found[7][None].tolist() == [6.0, 6.0]
    assert found["\ud800"].tolist() == [7.0, 7.0]


def test_parameters_stay_parameters():
    p, q = nn.Parameter(fastnn.ones(2)), nn.Parameter(fastnn.ones(2), requires_grad=False)
    t, result = fastnn.ones(2, requires_grad=True), p * 2
    found = there_and_back([p, q, t, result])
    assert [type(x) for x in found] == [nn.Parameter, nn.Parameter, fastnn.Tensor, fastnn.Tensor]
    assert [x.requires_grad for x in found] == [True, False, True, True]
    assert all(x.is_leaf for x in found)


def test_one_memory_comes_back_as_one_tensor(tmp_path):
    path = tmp_path / "tied.safetensors"
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    state = model.state_dict()
    fastnn.save(state, path)
    assert set(load_file(path)) == set(state)
    found = fastnn.load(path)
    assert found["0.weight"] is found["1.weight"]
    assert found["0.bias"] is not found["1.bias"]
    # Where another program has changed one of the two, they are two.
    with safe_open(path, "numpy") as file:
        about = file.metadata()
    arrays = load_file(path)
    arrays["1.weight"] = arrays["1.weight"] + 1
    save_file(arrays, path, metadata=about)
    found = fastnn.load(path)
    assert found["1.weight"].tolist() == (found["0.weight"] + 1).tolist()


def test_a_state_dict_keeps_its_versions():
    model = nn.Sequential(nn.BatchNorm1d(2))
    found = there_and_back({"model": model.state_dict()})["model"]
    assert type(found) is OrderedDict
    assert found._metadata == model.state_dict()._metadata
    assert found._metadata["0"] == {"version": 2}
    nn.Sequential(nn.BatchNorm1d(2)).load_state_dict(found)


def trained(state=None, steps=3):
    fastnn.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    schedule = optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
    for _ in range(steps):
        optimizer.zero_grad()
        model(fastnn.ones(1, 3)).square().sum().backward()
        optimizer.step()
        schedule.step()
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    return {name: part.state_dict() for name, part in parts.items()}


def test_training_goes_on_from_what_was_saved():
    found = there_and_back(trained())
    whole, resumed = trained(steps=6), trained(found)
    assert resumed["model"]["weight"].tolist() == whole["model"]["weight"].tolist()
    assert resumed["schedule"] == whole["schedule"]
    assert list(found["optimizer"]["state"]) == [0, 1]


Point = namedtuple("Point", "x y")


class Text(str):
    """A text that is more than a text."""


def holds_itself():
    inner = {"list": []}
    inner["list"].append(inner)
    return inner


def nested(n):
    found = []
    for _ in range(n):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("obj", "path", "text"),
    [
        ({1, 2}, "object", "got set"),
        ({"a": [1, {"b": print}]}, "object['a'][1]['b']", "got builtin_function_or_method"),
        ([nn.Linear(1, 1)], "object[0]", "got Linear at object[0]; save its state_dict()"),
        ({"x": np.ones(2)}, "object['x']", "save fastnn.from_numpy(array)"),
        ((1j,), "object[0]", "got complex"),
        ([b"bytes"], "object[0]", "got bytes"),
        ({3: fastnn.float32}, "object[3]", "got dtype"),
        ([defaultdict(list)], "object[0]", "got defaultdict"),
        ([Point(1, 2)], "object[0]", "got Point"),
        ([Text("a")], "object[0]", "got Text"),
        ({"k": {fastnn.int8: 1}}, "object['k']", "expected texts and numbers as keys, got dtype"),
        ({((1, 2), 3): 1}, "object", "expected texts and numbers as keys, got tuple"),
        (holds_itself(), "object['list'][0]", "got a container that holds itself"),
        (nested(150), "object[0][0]", "more than 100 deep"),
        ([2**20_000], "object[0]", "whole numbers of up to 10000 bits"),
    ],
)
def test_what_cannot_be_saved_is_named_with_its_place(tmp_path, obj, path, text):
    file = tmp_path / "state.pt"
    fastnn.save([1], file)
    with pytest.raises(TypeError, match=r"^save: expected .*; ") as info:
        fastnn.save(obj, file)
    assert text in str(info.value)
    assert f"at {path}" in str(info.value)
    assert fastnn.load(file) == [1]
    assert os.listdir(tmp_path) == ["state.pt"]  # noqa: PTH208


def test_attributes_of_an_ordered_dict_are_not_lost_silently():
    state = OrderedDict(a=1)
    state.extra = 3
    with pytest.raises(TypeError, match="expected an OrderedDict without attributes, got extra"):
        there_and_back(state)
    state = OrderedDict(a=1)
    state._metadata = {"x": {1}}
    with pytest.raises(TypeError, match=r"got set at object\._metadata\['x'\]"):
        there_and_back(state)


def test_a_container_in_several_places_comes_back_as_one():
    part = [1, fastnn.ones(2)]
    found = there_and_back({"a": part, "b": [part], "c": (part, 2), "d": [1, fastnn.ones(2)]})
    assert found["a"] is found["b"][0]
    assert found["a"] is found["c"][0]
    assert found["a"] is not found["d"]
    assert found["a"][0] == 1
    assert found["a"][1].tolist() == [1.0, 1.0]
    for part in ({"x": 1}, OrderedDict(x=1), Counter("aab"), [], (1, [2])):
        first, second = there_and_back([part, part])
        assert first is second
        assert first == part
        assert type(first) is type(part)
    state = nn.BatchNorm1d(2).state_dict()
    versions = state._metadata
    found = there_and_back([state, versions])
    assert found[0]._metadata is found[1]


def test_containers_that_only_look_the_same_stay_apart():
    first, second = there_and_back([[1], [1]])
    assert first is not second
    betas = (0.9, 0.999)
    assert there_and_back({"a": betas, betas: betas}) == {"a": betas, betas: betas}


def test_nested_containers_in_two_places_take_no_time_nor_space(tmp_path):
    """2^90 ways lead to the innermost list."""
    nest = [fastnn.ones(1)]
    for i in range(90):
        nest = [nest, nest] if i % 2 else {"a": nest, "b": (nest,)}
    path = tmp_path / "nest.pt"
    fastnn.save(nest, path)
    assert path.stat().st_size < 20_000
    found, ways = fastnn.load(path), 0
    while len(found) == 2:
        last, found = (found[1], found[0]) if type(found) is list else (found["b"][0], found["a"])
        assert last is found
        ways += 1
    assert (ways, found[0].tolist()) == (90, [1.0])
    found.append([found])
    with pytest.raises(TypeError, match=r"a container that holds itself at object\[1\]\[0\]; take"):
        fastnn.save(found, path)


@pytest.mark.parametrize(
    "node",
    [
        {"$": "again", "id": 0},
        {"$": "shared", "id": 0, "value": [{"$": "again", "id": 0}]},
        {"$": "shared", "value": []},
        {"$": "shared", "id": [], "value": []},
        {"$": "shared", "id": 0},
    ],
)
def test_a_damaged_share_is_named(node):
    with pytest.raises(Malformed, match="its tree is damaged"):
        Unpacker({}, lambda tensor, _: tensor)(node)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    fastnn.save([1], path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as info:
        fastnn.save([2], path)
    assert info.value.filename == str(path)
    assert fastnn.load(path) == [1]
    assert os.listdir(tmp_path) == ["state.pt"]  # noqa: PTH208


def test_a_link_stays_a_link_and_permissions_stay(tmp_path):
    real, link = tmp_path / "run-7.pt", tmp_path / "latest.pt"
    fastnn.save({"a": 1}, real)
    real.chmod(0o600)
    link.symlink_to(real)
    fastnn.save({"a": 2}, link)
    assert link.is_symlink()
    assert fastnn.load(real) == {"a": 2}
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_a_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that opening for writing does not wait
    try:
        fastnn.save({"a": 3}, pipe)
        content = os.read(reader, 1 << 16)
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert fastnn.load(io.BytesIO(content)) == {"a": 3}


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    missing = tmp_path / "no" / "a.pt"
    with pytest.raises(FileNotFoundError) as info:
        fastnn.save(1, missing)
    assert info.value.filename == str(missing)
    with pytest.raises(IsADirectoryError) as error:
        fastnn.save(1, tmp_path)
    assert error.value.filename == str(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_is_read_from_its_position_on():
    file = io.BytesIO()
    file.write(b"head")
    fastnn.save({"a": fastnn.ones(2)}, file)
    file.seek(4)
    assert fastnn.load(file)["a"].tolist() == [1.0, 1.0]


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(TypeError, match="load: expected a path or a file opened with mode 'rb'"):
        fastnn.load(3)
    with pytest.raises(TypeError, match="load: expected a path or a file opened with mode 'rb'"):
        fastnn.load(io.StringIO("text"))
    with pytest.raises(TypeError, match="save: expected a path or a file opened with mode 'wb'"):
        fastnn.save([1], 3)
    with pytest.raises(FileNotFoundError, match="nothing"):
        fastnn.load(tmp_path / "nothing")


def test_torch_s_arguments_are_taken():
    file = io.BytesIO()
    fastnn.save([1], file, pickle, 5, _use_new_zipfile_serialization=False)
    for only in (True, False, None):
        file.seek(0)
        assert fastnn.load(file, "cpu", pickle, weights_only=only, mmap=None) == [1]
    file.seek(0)
    assert fastnn.load(file, encoding="latin1") == [1]
    with pytest.raises(TypeError, match="got map_locaton; leave it out"):
        fastnn.load(file, map_locaton="cpu")


def test_a_mapped_file_is_changed_in_memory_only(tmp_path):
    path = tmp_path / "state.safetensors"
    fastnn.save({"a": fastnn.ones(3)}, path)
    before = path.read_bytes()
    t = fastnn.load(path, mmap=True)["a"]
    t.mul_(2)
    assert t.tolist() == [2.0] * 3
    assert path.read_bytes() == before


def test_files_of_other_programs_and_checkpoints_are_read(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"b": np.ones(2), "a": np.zeros((1, 2), "i4")}, path, metadata={"format": "pt"})
    found = fastnn.load(path)
    assert {k: v.tolist() for k, v in found.items()} == {"b": [1.0, 1.0], "a": [[0, 0]]}
    save_checkpoint(path, {"state": {1: fastnn.ones(1), "n": (1, math.inf)}})
    found = fastnn.load(path)["state"]
    assert found[1].tolist() == [1.0]
    assert found["n"] == (1, math.inf)


def damaged(tree, path):
    metadata = {"fastnn": json.dumps({"about": {"object": tree}})}
    save_file({"a": np.ones(2, "f4")}, path, metadata=metadata)


@pytest.mark.parametrize(
    "tree",
    [
        {"$": "tensor"}, {"$": "tensor", "name": "b"}, {"$": "tensor", "name": []},
        {"$": "what", "items": []}, {"$": []}, {"$": "tuple"}, {"$": "tuple", "items": 3},
        {"$": "map", "items": [[1]]}, {"$": "map", "items": [[[], 1]]},
        {"$": "float", "value": "1"}, {"$": "counter", "items": [1]},
        {"$": "tensor", "name": "a", "device": "mps"},
    ],
    ids=str,
)  # fmt: skip
def test_damaged_trees_are_refused(tmp_path, tree):
    path = tmp_path / "state.safetensors"
    damaged([tree], path)
    with pytest.raises(TensorFileError, match=r"load: expected a whole file of fastnn.save.*; "):
        fastnn.load(path)


leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4))
keys = st.one_of(st.text(max_size=4), st.integers(), st.none(), st.tuples(st.text(max_size=2)))
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=12,
)


@settings(max_examples=100)
@given(trees)
def test_any_tree_comes_back(tree):
    assert repr(there_and_back(tree)) == repr(tree)


node = st.sampled_from(["tensor", "float", "tuple", "map", "ordered", "counter", "name", "a"])
loose = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4), node),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$", "name", "items", "value", "same", "metadata"]),
            inner, max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=100)
@given(loose)
def test_made_up_trees_are_read_or_refused(tmp_path_factory, tree):
    path = tmp_path_factory.getbasetemp() / "made-up.safetensors"
    damaged(tree, path)
    with contextlib.suppress(TensorFileError):
        repr(fastnn.load(path))


def test_import_does_not_load_what_only_files_need():
    code = "import sys, fastnn; print('fastnn.serialization' in sys.modules, fastnn.save.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "save"]
    assert {"save", "load", "serialization"} <= set(dir(fastnn))

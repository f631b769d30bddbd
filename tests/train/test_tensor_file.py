# SPDX-License-Identifier: BSD-3-Clause
"""Files of tensors: aliases, memory maps, and what is refused."""

from __future__ import annotations

import json
import os
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load, save

import fastnn
from fastnn import nn, optim
from fastnn.train import TensorFileError, encode_tensors, load_tensors

KINDS = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?"]


def raw(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def write(folder, content):
    path = folder / "file.safetensors"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("mmap", [False, True])
def test_every_type_comes_back_bit_for_bit(tmp_path, mmap):
    rng = np.random.default_rng(0)
    arrays = {kind: (rng.random((3, 2)) * 100).astype(kind) for kind in KINDS}
    arrays |= {"empty": np.zeros((0, 3), "f4"), "one": np.array(1.5)}
    file = load_tensors(write(tmp_path, encode_tensors(arrays, {"n": 1})), mmap)
    assert file.about == {"n": 1}
    assert file.tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        loaded = file.tensors[name].numpy()
        assert loaded.dtype == array.dtype
        assert loaded.shape == array.shape
        assert loaded.tobytes() == array.tobytes()


def test_the_library_reads_ours_and_we_read_the_library_s(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.ones(1, "i2")}
    assert {k: v.tolist() for k, v in load(encode_tensors(arrays)).items()} == {
        k: v.tolist() for k, v in arrays.items()
    }
    file = load_tensors(write(tmp_path, save(arrays, metadata={"format": "pt"})))
    assert file.about is None
    assert {k: v.tolist() for k, v in file.tensors.items()} == {
        k: v.tolist() for k, v in arrays.items()
    }


class Tied(nn.Module):
    """An encoder and a decoder with one matrix."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x))


def test_a_weight_with_two_names_is_stored_once_and_comes_back_as_one(tmp_path):
    model = Tied()
    state = model.state_dict()
    assert list(state) == ["first.weight", "first.bias", "second.weight"]
    path = write(tmp_path, encode_tensors(state))
    assert sorted(load(path.read_bytes())) == ["first.bias", "first.weight"]
    tensors = load_tensors(path).tensors
    assert tensors["first.weight"] is tensors["second.weight"]

    other = Tied()
    other.load_state_dict(tensors)
    assert other.second.weight is other.first.weight
    assert np.array_equal(other.second.weight.numpy(force=True), state["first.weight"].numpy())


def test_views_of_one_memory_that_differ_are_not_aliases():
    base = np.arange(9.0).reshape(3, 3)
    assert len(load(encode_tensors({"a": base, "t": base.T, "row": base[0]}))) == 3


@pytest.mark.parametrize("method", [optim.SGD, optim.Adam])
@pytest.mark.parametrize("assign", [False, True])
def test_mapped_weights_are_read_only_and_train(tmp_path, method, assign):
    before = nn.Linear(3, 2)
    path = write(tmp_path, encode_tensors(before.state_dict()))
    content = path.read_bytes()
    tensors = load_tensors(path, mmap=True).tensors
    with pytest.raises((RuntimeError, ValueError), match="read-only"), fastnn.no_grad():
        tensors["weight"].add_(1.0)

    results = []
    for given_tensors in (tensors, before.state_dict()):
        model = nn.Linear(3, 2)
        model.load_state_dict(given_tensors, assign=assign and given_tensors is tensors)
        optimizer = method(model.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            model(fastnn.ones(1, 3)).sum().backward()
            optimizer.step()
        results.append({k: v.numpy().tobytes() for k, v in model.state_dict().items()})
    assert results[0] == results[1]
    assert path.read_bytes() == content
    assert tensors["weight"].numpy().tobytes() == before.weight.detach().numpy().tobytes()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "cut off or empty: 0 bytes"),
        (b"\1\0\0", "cut off or empty"),
        (struct.pack("<Q", 2**64 - 1) + b"{}", "its header would have 18446744073709551615 bytes"),
        (struct.pack("<Q", 3) + b"{}", "its header would have 3 bytes"),
        (raw(b"\xff\xff"), "not JSON"),
        (raw(b"[" * 100_000), "not JSON"),
        (raw(b"[]"), "not a JSON object"),
        (raw(b'{"a": NaN}'), "NaN in its header"),
        (raw(b'{"a": 1' + b"0" * 5000 + b"}"), "not JSON"),
        (raw(b'{"a": 1, "a": 2}'), "a key comes twice"),
        (raw({"__metadata__": {"a": 1}}), "from text to text"),
        (raw({"__metadata__": {"fastnn": "{"}}), "metadata is not JSON"),
        (raw({"__metadata__": {"fastnn": "[1]"}}), "is not a JSON object"),
        (raw({"a": 7}), "has not just"),
        (raw({"a": {**entry(), "more": 1}}, bytes(8)), "has not just"),
        (raw({"a": entry("F8_E5M2")}, bytes(8)), "has elements 'F8_E5M2'"),
        (raw({"a": entry(["F32"])}, bytes(8)), "has elements"),
        (raw({"a": entry(shape=(-2,))}, bytes(8)), "has the shape"),
        (raw({"a": entry(shape=(True, 2))}, bytes(8)), "has the shape"),
        (raw({"a": entry(shape=(2**64,))}, bytes(8)), "has the shape"),
        (raw({"a": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}), "has the shape"),
        (raw({"a": entry(shape=[1] * 3000, offsets=(0, 4))}, bytes(4)), "has the shape"),
        (raw({"a": entry(shape=[2**62] * 3000)}, bytes(8)), "has the shape"),
        (raw({"a": entry(shape=[1] * 100, offsets=(0, 4))}, bytes(4)), "has the shape"),
        (raw({"a": entry(shape=(2**62, 4))}, bytes(8)), "it needs 73786976294838206464 bytes"),
        (raw({"a": entry(offsets=(8, 0))}, bytes(8)), "it needs 8 bytes"),
        (raw({"a": entry(offsets=(0, 2**80))}, bytes(8)), "has the offsets"),
        (raw({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)), "starts at byte 4"),
        (raw({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20)), "starts at byte 12"),
        (raw({"a": entry(), "b": entry()}, bytes(8)), "starts at byte 0 of the data, expected 8"),
        (raw({"a": entry()}, bytes(7)), "cut off"),
        (raw({"a": entry()}, bytes(9)), "1 bytes at its end"),
        (raw({"a": entry("BOOL", (2,), (0, 2))}, b"\1\2"), "truth values"),
        (
            raw({"__metadata__": {"fastnn": '{"aliases": {"b": "c"}}'}, "a": entry()}, bytes(8)),
            "stands for 'c'",
        ),
        (
            raw({"__metadata__": {"fastnn": '{"aliases": {"a": "a"}}'}, "a": entry()}, bytes(8)),
            "a tensor of its own too",
        ),
    ],
)
@pytest.mark.parametrize("mmap", [False, True])
def test_hostile_files_are_refused_by_name(tmp_path, content, text, mmap):
    path = write(tmp_path, content)
    with pytest.raises(TensorFileError, match=r"file\.safetensors, which cannot be read") as info:
        load_tensors(path, mmap)
    assert text in str(info.value)


def test_every_truncation_is_noticed(tmp_path):
    content = encode_tensors({"a": np.arange(3.0), "b": np.arange(2)}, {"x": [1]})
    for length in range(len(content)):
        with pytest.raises(TensorFileError):
            load_tensors(write(tmp_path, content[:length]))


VALID = encode_tensors({"a": np.arange(3.0), "b": np.arange(4, dtype="i4"), "c": np.ones(2, "?")})


def read_or_error(path):
    try:
        return {k: v.numpy().tobytes() for k, v in load_tensors(path).tensors.items()}
    except TensorFileError:
        return None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), min_size=1, max_size=4
    ),
    st.integers(-9, 9),
)
def test_a_file_with_wrong_bytes_is_read_as_the_library_does_or_refused(tmp_path, bytes_, length):
    content = bytearray(VALID)
    for position, value in bytes_:
        content[position] = value
    if length:
        content = content[:length] if length < 0 else content + bytes(length)
    ours = read_or_error(write(tmp_path, bytes(content)))
    try:
        theirs = {k: v.tobytes() for k, v in load(bytes(content)).items()}
    except (SafetensorError, KeyError, ValueError, OverflowError, UnicodeDecodeError):
        theirs = None
    if theirs is None:
        assert ours is None
    elif ours is not None:  # we refuse more: other element types, truth values beside 0 and 1
        assert ours == theirs


values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=3)
)
loose = st.recursive(
    values,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["dtype", "shape", "data_offsets", "__metadata__", "a"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "I64", "BOOL", "U8", "F8"]) | values,
        "shape": st.lists(st.integers(-1, 3) | values, max_size=3) | values,
        "data_offsets": st.lists(st.integers(0, 16) | values, max_size=3) | values,
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "__metadata__"]), st.one_of(entries, loose), max_size=3
    ),
    st.integers(0, 24),
)
def test_made_up_headers_are_read_or_refused(tmp_path, header, size):
    found = read_or_error(write(tmp_path, raw(header, bytes(size))))
    if found is not None:
        assert sum(map(len, found.values())) == size


@pytest.mark.parametrize("mmap", [False, True])
def test_a_sparse_terabyte_is_not_read(tmp_path, mmap):
    path = write(tmp_path, raw({"a": entry()}, bytes(8)))
    os.truncate(path, 2**40)
    with pytest.raises(TensorFileError, match="bytes at its end belong to no tensor"):
        load_tensors(path, mmap)


def test_a_file_beyond_memory_is_refused(tmp_path, monkeypatch):
    def fromfile(*_, **__):
        raise MemoryError

    monkeypatch.setattr(np, "fromfile", fromfile)
    with pytest.raises(TensorFileError, match="bytes, more than there is memory"):
        load_tensors(write(tmp_path, raw({"a": entry()}, bytes(8))))

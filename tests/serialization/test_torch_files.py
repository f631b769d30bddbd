# SPDX-License-Identifier: BSD-3-Clause
"""torch's files without torch: what is read, and that nothing else is, let alone run."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import zipfile
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import nn
from fastnn.serialization import TensorFileError
from pt_files import Build, Call, Global, Raw, Stored, archive, encode, pickled, storage, tensor

FOUR = np.arange(4, dtype="f4").tobytes()


def load(content, **kwargs):
    return fastnn.load(io.BytesIO(content), **kwargs)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("DoubleStorage", "f8"), ("FloatStorage", "f4"), ("HalfStorage", "f2"),
        ("LongStorage", "i8"), ("IntStorage", "i4"), ("ShortStorage", "i2"),
        ("CharStorage", "i1"), ("ByteStorage", "u1"), ("BoolStorage", "?"),
    ],
)  # fmt: skip
def test_every_type_is_read(kind, dtype):
    array = np.array([1, 0, 1, 1, 0, 1], dtype)
    t = load(archive(tensor(6, (2, 3), (3, 1), kind=kind), {"0": array.tobytes()}))
    assert isinstance(t, fastnn.Tensor)
    assert t.array.dtype == array.dtype
    assert t.tolist() == array.reshape(2, 3).tolist()
    assert not t.requires_grad


def test_bfloat16_is_read():
    pytest.importorskip("ml_dtypes")
    content = np.array([0x3F80, 0xC000], "<u2").tobytes()
    t = load(archive(tensor(2, (2,), (1,), kind="BFloat16Storage"), {"0": content}))
    assert t.dtype is fastnn.bfloat16
    assert t.float().tolist() == [1.0, -2.0]


def test_a_storage_without_a_type_has_that_of_the_tensor():
    memory = Stored(("storage", Global("torch.storage", "UntypedStorage"), "0", "cpu", 16))
    rebuild = Global("torch._utils", "_rebuild_tensor_v3")
    arguments = (memory, 1, (2,), (1,), True, OrderedDict(), Global("torch", "float32"))
    t = load(archive(Call(rebuild, arguments), {"0": FOUR}))
    assert t.tolist() == [1.0, 2.0]
    assert t.requires_grad


def test_views_go_on_sharing_their_storage():
    whole = tensor(4, (4,), (1,))
    part = tensor(4, (2,), (2,), offset=1)
    turned = tensor(4, (2, 2), (1, 2))
    many = tensor(4, (3, 2), (0, 1))
    a, b, c, d = load(archive([whole, part, turned, many], {"0": FOUR}))
    assert b.tolist() == [1.0, 3.0]
    assert c.tolist() == [[0.0, 2.0], [1.0, 3.0]]
    assert d.tolist() == [[0.0, 1.0]] * 3
    a[1] = 10.0
    assert (b[0].item(), c[1, 0].item(), d[2, 1].item()) == (10.0, 10.0, 10.0)
    assert a.storage is b.storage is c.storage


def test_tensors_without_elements_and_without_dimensions():
    empty = tensor(0, (0, 3), (3, 1))
    one = tensor(1, (), (), key="1")
    a, b = load(archive([empty, one], {"0": b"", "1": FOUR[4:8]}))
    assert (a.shape, b.shape, b.item()) == ((0, 3), (), 1.0)


def test_parameters_and_their_attributes():
    data = tensor(4, (4,), (1,), requires_grad=True)
    plain = Call(Global("torch._utils", "_rebuild_parameter"), (data, True, OrderedDict()))
    state = Global("torch._utils", "_rebuild_parameter_with_state")
    named = Call(state, (data, False, OrderedDict(), {"tag": "bias"}))
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    kind = Global("torch", "Tensor")
    marked = Call(
        Global("torch._tensor", "_rebuild_from_type_v2"),
        (rebuild, kind, data.arguments, {"mark": 3}),
    )
    p, q, t = load(archive([plain, named, marked], {"0": FOUR}))
    assert type(p) is nn.Parameter
    assert p.requires_grad
    assert type(q) is nn.Parameter
    assert not q.requires_grad
    assert q.tag == "bias"
    assert type(t) is fastnn.Tensor
    assert t.mark == 3


def test_a_state_dict_has_its_order_and_versions():
    state = OrderedDict(weight=tensor(4, (2, 2), (2, 1)), bias=tensor(4, (2,), (1,)))
    versions = OrderedDict([("", {"version": 1})])
    found = load(archive(Build(state, {"_metadata": versions}), {"0": FOUR}))
    assert type(found) is OrderedDict
    assert list(found) == ["weight", "bias"]
    assert found._metadata == versions
    layer = nn.Linear(2, 2)
    layer.load_state_dict(found)
    assert layer.weight.tolist() == [[0.0, 1.0], [2.0, 3.0]]


def test_plain_data_of_every_kind():
    tree = {
        "none": None, "yes": True, "no": False, "big": -(2**100), "small": 7, "x": 1.5,
        "text": "ä\ud800", "bytes": b"\xff", "list": [1, (2, [])], 3: (), (1, "a"): {},
    }  # fmt: skip
    assert load(archive(tree)) == tree
    others = [
        Call(Global("torch", "Size"), ((2, 3),)),
        Call(Global("torch", "device"), ("cuda", 1)),
        Global("torch", "int16"),
        Call(Global("collections", "Counter"), ({"a": 2},)),
        Call(Global("__builtin__", "set"), ([1, 2],)),
        Call(Global("_codecs", "encode"), ("\xfe", "latin1")),
        Call(Global("collections", "defaultdict"), (Global("__builtin__", "list"),)),
    ]
    size, device, dtype, counter, group, content, default = load(archive(others))
    assert size == (2, 3)
    assert device == fastnn.device("cuda:1")
    assert dtype is fastnn.int16
    assert type(counter) is Counter
    assert counter == {"a": 2}
    assert group == {1, 2}
    assert content == b"\xfe"
    assert type(default) is defaultdict
    assert default["new"] == []


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickle_is_read(protocol):
    shared = [1, 2]
    tree = {"a": shared, "b": shared, "c": (1.5, 300, 70000, -1, "x" * 300), "d": {1, 2}}
    found = load(archive(pickle.dumps(tree, protocol)))
    assert found == tree
    assert found["a"] is found["b"]


def test_a_file_of_the_other_byte_order():
    order = {"byteorder": b"big"}
    swapped = np.arange(4, dtype=">f4").tobytes()
    a, b = load(archive([tensor(4, (4,), (1,)), tensor(4, (2,), (2,))], {"0": swapped}, more=order))
    assert a.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert b.tolist() == [0.0, 2.0]


@pytest.mark.parametrize("location", ["cuda:0", "mps", "meta"])
def test_map_location(location):
    content = archive(tensor(4, (4,), (1,), location=location), {"0": FOUR})
    with pytest.raises(TensorFileError, match=f"it has tensors on '{location}'.*map_location"):
        load(content)
    for where in ("cpu", fastnn.device("cpu"), {location: "cpu"}, lambda s, _: s):
        assert load(content, map_location=where).tolist() == [0.0, 1.0, 2.0, 3.0]
    for where in ({"cpu": "cpu"}, lambda *_: None):
        with pytest.raises(TensorFileError, match="it has tensors on"):
            load(content, map_location=where)
    for where in ("cuda:0", {"cpu": "cuda:0"}, fastnn.device("cuda", 0)):  # the file is not damaged
        here = archive(tensor(4, (4,), (1,)), {"0": FOUR})
        with pytest.raises(RuntimeError, match="a device that is in use as map_location"):
            load(here, map_location=where)
    with pytest.raises(TypeError, match="expected map_location to return the storage"):
        load(content, map_location=lambda *_: 3)
    with pytest.raises(KeyError, match="gpu"):
        load(content, map_location=lambda *_: {}["gpu"])
    with pytest.raises(TypeError, match="expected a device, a dict of devices or a function"):
        load(content, map_location=3)


def test_a_mapped_file_is_changed_in_memory_only(tmp_path):
    path = tmp_path / "state.pt"
    path.write_bytes(archive([tensor(4, (4,), (1,))], {"0": FOUR}))
    before = path.read_bytes()
    (t,) = fastnn.load(path, mmap=True, weights_only=True)
    t[0] = 5.0
    assert t.tolist() == [5.0, 1.0, 2.0, 3.0]
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="expected a path with mmap=True"):
        load(before, mmap=True)


def rebuild(name, *arguments):
    return Call(Global("torch._utils", name), arguments)


def cycle():
    return Raw(pickle.EMPTY_LIST + pickle.BINPUT + b"\0" + pickle.BINGET + b"\0" + pickle.APPEND)


def deep(n):
    return Raw(pickle.EMPTY_LIST + (pickle.EMPTY_LIST * n) + pickle.APPEND * n)


def laughs():
    """A tuple of tuples of tuples ... whose hash would take for ever."""
    code = encode(("ha",))
    for _ in range(64):
        code += pickle.BINPUT + b"\0" + pickle.BINGET + b"\0" + pickle.TUPLE2
    return Raw(pickle.EMPTY_DICT + code + pickle.NONE + pickle.SETITEM)


ONE = {"0": FOUR}
HOSTILE = {
    "os.system": (Call(Global("os", "system"), ("echo",)), "it needs os.system"),
    "eval": (Call(Global("builtins", "eval"), ("1",)), "it needs builtins.eval"),
    "class": (Call(Global("__main__", "Net"), ()), "it needs __main__.Net"),
    "numpy": (Call(Global("numpy.core.multiarray", "_reconstruct"), ()), "from_numpy"),
    "sparse": (rebuild("_rebuild_sparse_tensor"), "to_dense"),
    "quantized": (rebuild("_rebuild_qtensor"), "dequantize"),
    "dotted": (Global("torch", "nn.Module"), "it needs torch.nn.Module"),
    "dunder": (Global("torch", "__dict__"), "it needs torch.__dict__"),
    "dtype we have not": (Global("torch", "complex64"), "it needs torch.complex64"),
    "function": (Global("torch._utils", "_rebuild_tensor_v2"), "it holds the function"),
    "call of data": (Call([], ()), "calls a list, which is no function"),
    "call of a dtype": (Call(Global("torch", "int8"), ()), "calls a dtype"),
    "arguments": (Call(Global("torch", "Size"), [1]), "with no tuple"),
    "too many": (rebuild("_rebuild_tensor_v2", *range(20)), "wrongly"),
    "no storage": (rebuild("_rebuild_tensor_v2", 1, 0, (1,), (1,)), "without a storage"),
    "Tensor()": (Call(Global("torch", "Tensor"), (10**12,)), "no storage"),
    "parameter": (rebuild("_rebuild_parameter", 3, True, None), "without a tensor"),
    "hooks": (
        rebuild("_rebuild_tensor_v2", storage(4), 0, (4,), (1,), False, {"a": 1}),
        "with hooks",
    ),
    "flags": (
        rebuild("_rebuild_tensor_v2", storage(4), 0, (4,), (1,), False, None, {"neg": True}),
        "'neg'",
    ),
    "attribute": (
        rebuild("_rebuild_parameter_with_state", tensor(4, (4,), (1,)), True, None, {"array": 1}),
        "attribute 'array'",
    ),
    "dict's method": (Build(OrderedDict(), {"items": 1}), "attribute 'items'"),
    "attributes of a list": (Build([], {"x": 1}), "attributes of a list"),
    "grad of ints": (
        tensor(2, (2,), (1,), kind="LongStorage", requires_grad=True), "wrongly: ",
    ),
    "too long": (tensor(4, (5,), (1,)), "reaches to element 5 of 4"),
    "strides": (tensor(4, (2, 2), (3, 1)), "reaches to element 5 of 4"),
    "offset": (tensor(4, (1,), (1,), offset=4), "reaches to element 5 of 4"),
    "offset < 0": (tensor(4, (1,), (1,), offset=-1), "starts at -1"),
    "size < 0": (tensor(4, (-1,), (1,)), "has the size"),
    "stride < 0": (tensor(4, (2,), (-1,), offset=2), "has the size"),
    "size and stride": (tensor(4, (2, 1), (1,)), "has the size"),
    "size no tuple": (tensor(4, "ab", (1, 1)), "has the size"),
    "size of texts": (tensor(4, ("a",), (1,)), "has the size"),
    "dimensions": (tensor(4, (1,) * 65, (1,) * 65), "has the size"),
    "huge": (tensor(4, (2**61, 2**61), (0, 0)), "has the size"),
    "huge and empty": (tensor(4, (0, 2**61, 2**61), (1, 1, 1)), "has the size"),
    "huger": (tensor(4, (2**62,), (1,)), "has the size"),
    "count": (tensor(5, (4,), (1,)), "has 16 bytes, not 5 of float32"),
    "no entry": (tensor(4, (4,), (1,), key="7"), "no entry 'data/7'"),
    "another entry": (tensor(4, (4,), (1,), key="../version"), "no entry"),
    "truth": (tensor(16, (4,), (1,), kind="BoolStorage"), "truth values"),
    "persistent": (Stored("weights"), "which is no storage"),
    "storage": (Stored(("storage", "FloatStorage", "0", "cpu", 4)), "not described"),
    "cycle": (cycle(), "holds itself"),
    "deep": (deep(5000), "more than 500 deep"),
    "key": ({"a": 1, (1, (2,)): 2}, "a tuple as a key"),
    "laughs": (laughs(), "a tuple as a key"),
    "list as key": (Raw(pickle.EMPTY_DICT + encode([1]) + encode(1) + pickle.SETITEM), "as a key"),
    "key alone": (Raw(pickle.EMPTY_DICT + pickle.MARK + encode(1) + pickle.SETITEMS), "without"),
    "append to a dict": (Raw(encode({}) + encode(1) + pickle.APPEND), "appends to a dict"),
    "item of a list": (Raw(encode([]) + encode(1) * 2 + pickle.SETITEM), "sets items of a list"),
    "add to a list": (Raw(encode([]) + pickle.MARK + pickle.ADDITEMS), "adds to a list"),
    "long number": (Raw(pickle.LONG4 + struct.pack("<i", 2**30)), "a number of 1073741824 bytes"),
    "negative length": (Raw(pickle.LONG4 + struct.pack("<i", -1)), "a number of -1 bytes"),
    "recall": (Raw(pickle.MEMOIZE), "takes more than it has"),
    "no mark": (Raw(encode([]) + pickle.APPENDS), "takes more than it has"),
    "no list": (Raw(pickle.MARK + pickle.APPENDS), "takes more than it has"),
    "global of numbers": (Raw(encode(1) * 2 + pickle.STACK_GLOBAL), "by what is no text"),
    "long text": (Raw(pickle.BINUNICODE8 + struct.pack("<Q", 2**60) + b"a"), "cut off"),
    "no text": (Raw(pickle.BINUNICODE + struct.pack("<I", 1) + b"\xff"), "that are no text"),
    "memo": (Raw(pickle.BINGET + b"\7"), "refers to its object 7"),
    "nothing": (Raw(b""), "no single result"),
    "two": (Raw(encode(1) * 2), "no single result"),
    "mark": (Raw(pickle.MARK + encode(1)), "no single result"),
    "pop": (Raw(pickle.POP), "takes more than it has"),
    "old protocol": (Raw(b"I1\n"), "opcode b'I'"),
    "instance": (Raw(pickle.MARK + b"ios\nsystem\n"), "opcode b'i'"),
    "object": (Raw(encode(Global("os", "system")) + encode(()) + pickle.NEWOBJ), "os.system"),
    "new protocol": (Raw(pickle.PROTO + b"\xfe"), "protocol 254"),
    "extension": (Raw(pickle.EXT1 + b"\1"), "opcode"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_plain_data_is_refused_by_name(name):
    value, text = HOSTILE[name]
    content = archive(value, ONE)
    tracemalloc.start()
    with pytest.raises(TensorFileError, match=r"^load: expected a state_dict .*; ") as info:
        load(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert text in str(info.value)
    assert len(str(info.value)) < 800
    assert peak < 2_000_000


GOOD = archive({"w": tensor(4, (2, 2), (2, 1)), "n": [1, 2.5, "x"]}, ONE)


def changed(**entries):
    """GOOD with other fields in its directory."""
    content = bytearray(GOOD)
    at = content.index(b"PK\1\2", content.rindex(b"archive/data/0") - 60)
    places = {"method": (10, "<H"), "crc": (16, "<I"), "packed": (20, "<I"), "size": (24, "<I"),
              "offset": (42, "<I"), "flags": (8, "<H")}  # fmt: skip
    for field, value in entries.items():
        offset, layout = places[field]
        struct.pack_into(layout, content, at + offset, value)
    return bytes(content)


def several():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a/data.pkl", pickled(1))
        file.writestr("b/data.pkl", pickled(2))
    return buffer.getvalue()


def twice():
    content = bytearray(archive(1, {"1": b"", "2": b""}))
    for at in (content.index(b"data/2"), content.rindex(b"data/2")):
        content[at : at + 6] = b"data/1"
    return bytes(content)


ARCHIVES = {
    "compressed": (archive(bytes(10**6), compression=zipfile.ZIP_DEFLATED), "is compressed"),
    "no folder": (archive(1, root=""), "without data.pkl"),
    "folders": (several(), "or with several"),
    "script": (archive(1, more={"constants.pkl": b""}), "TorchScript"),
    "other zip": (archive(1, root="a/b"), "without data.pkl"),
    "empty zip": (b"PK\5\6" + bytes(18), "without data.pkl"),
    "order": (archive(1, more={"byteorder": b"middle"}), "byte order is 'middle'"),
    "twice": (twice(), "two entries"),
    "damaged": (GOOD.replace(FOUR, FOUR[::-1]), "checksum of 'data/0'"),
    "directory": (GOOD[:-30], "damaged zip archive"),
    "crc": (changed(crc=1), "checksum of 'data/0'"),
    "method": (changed(method=8), "is compressed"),
    "encrypted": (changed(flags=1), "or encrypted"),
    "bomb": (changed(size=2**31, packed=2**31), "its entries have 2147"),
    "larger": (changed(size=99, packed=99), "checksum of 'data/0'"),
    "smaller": (changed(size=8, packed=8), "checksum of 'data/0'"),
    "packed": (changed(packed=8), "is compressed"),
    "elsewhere": (changed(offset=3), "not where its directory says"),
    "outside": (changed(offset=2**31), "cut off"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_damaged_archives_are_refused(name):
    content, text = ARCHIVES[name]
    with pytest.raises(TensorFileError, match=r"^load: expected a state_dict .*; ") as info:
        load(content)
    assert text in str(info.value)


@pytest.mark.parametrize(
    "content",
    [
        pickled(1),
        pickle.dumps({"a": 1}, 4),
        pickle.dumps(0x1950A86A20F9469CFC6C, 2) + b"rest",
        bytes(257) + b"ustar\x0000" + bytes(300),
    ],
)
def test_old_files_and_pickles_are_refused(content):
    with pytest.raises(TensorFileError, match=r"a pickle, which fastnn never runs; load it in"):
        load(content)


def test_every_truncation_is_noticed(tmp_path):
    path = tmp_path / "state.pt"
    for length in range(0, len(GOOD), 7):
        path.write_bytes(GOOD[:length])
        for mmap in (False, True):
            with pytest.raises(TensorFileError):
                fastnn.load(path, mmap=mmap)


BODY = pickled(
    {"w": tensor(4, (2, 2), (2, 1)), "n": [1, (2.5, None)], "o": OrderedDict(a=True), 3: "text"}
)


@settings(max_examples=400)
@given(
    st.lists(st.tuples(st.integers(0, len(BODY) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(-9, 0),
)
def test_a_pickle_with_wrong_bytes_is_read_or_refused(bytes_, length):
    content = bytearray(BODY)
    for position, value in bytes_:
        content[position] = value
    try:
        found = load(archive(bytes(content[: len(content) + length]), ONE))
    except TensorFileError:
        return
    repr(found)


@settings(max_examples=200)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_an_archive_with_a_wrong_byte_is_read_or_refused(position, value):
    content = bytearray(GOOD)
    content[position] = value
    try:
        found = load(bytes(content))
    except TensorFileError:
        return
    repr(found)

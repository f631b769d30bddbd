# SPDX-License-Identifier: BSD-3-Clause
"""IDX files and MNIST: what is read, and what is refused and how."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastnn.data import DataFileError, Vocabulary, load_mnist, read_idx, read_text
from mnist_files import idx, pretend_mnist


def write(path, content, zipped=False):
    path.write_bytes(gzip.compress(content, mtime=0) if zipped else content)
    return path


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("shape", [(5,), (3, 2, 4), (0, 28, 28), (1, 1, 1)])
def test_arrays_come_back(tmp_path, shape, zipped):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    content = idx(array)
    found, header = read_idx(write(tmp_path / "x", content, zipped), len(shape))
    assert found.dtype == np.uint8
    assert np.array_equal(found, array)
    assert header + found.tobytes() == content


GOOD = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
ZIPPED = gzip.compress(GOOD, mtime=0)  # the same on every day: it names tests


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "starts with 00 00 08, got ''"),
        (b"\0\0", "got '00 00'"),
        (b"\x89PNG\r\n\x1a\n", "got '89 50 4e 47'"),
        (idx(np.zeros(2, "u1"), kind=0x0D), "got '00 00 0d 01'"),
        (idx(np.zeros(2, "u1")), "expected 3 dimensions, got 1; is it the right file?"),
        (b"\0\0\x08\xff" + bytes(2000), "expected 3 dimensions, got 255"),
        (GOOD[:9], "cut off inside its header"),
        (GOOD[:-1], "cut off: the shape (2, 3, 4) needs 24 bytes, got 23"),
        (GOOD + b"\0", "more bytes follow than the shape (2, 3, 4)"),
        (b"\0\0\x08\3" + b"\xff" * 12 + bytes(99), "claims the shape (4294967295, 4294967295,"),
        (b"\0\0\x08\3" + struct.pack(">3I", 2**10, 2**10, 2**10) + bytes(9), "got 9"),
        (ZIPPED[:-3], "gzip wrapper is damaged"),
        (ZIPPED[:5], "gzip wrapper is damaged"),
        (b"\x1f\x8b" + bytes(30), "gzip wrapper is damaged"),
        (ZIPPED[:12] + b"\xff\xff\xff" + ZIPPED[15:], "gzip"),
        (gzip.compress(GOOD + bytes(10**7), mtime=0), "more bytes follow"),
    ],
)
def test_wrong_files_are_refused_by_name(tmp_path, content, text):
    path = write(tmp_path / "some-idx3-ubyte", content)
    with pytest.raises(DataFileError, match="some-idx3-ubyte: ") as info:
        read_idx(path, 3)
    assert text in str(info.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataFileError, match=r"nothing: cannot be read: No such file"):
        read_idx(tmp_path / "nothing", 1)
    with pytest.raises(DataFileError, match=r"cannot be read: Is a directory"):
        read_idx(tmp_path, 1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX files")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataFileError, match=r"pipe: expected a regular file"):
        read_idx(tmp_path / "pipe", 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=5),
    st.integers(0, 80),
)
def test_damaged_files_are_read_rightly_or_refused(tmp_path, zipped, changes, length):
    whole = ZIPPED if zipped else GOOD
    content = bytearray(whole)
    for position, value in changes:
        if position < len(content):
            content[position] = value
    content = bytes(content[: len(whole) - length if length < len(whole) else 0])
    path = write(tmp_path / "x", content)
    try:
        array, header = read_idx(path, 3)
    except DataFileError:
        assert content != whole
        return
    assert array.size == np.prod(array.shape)
    if not zipped:
        assert header + array.tobytes() == content
    else:  # what gzip does not protect are its name, time and system
        assert header + array.tobytes() == GOOD


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.binary(max_size=60), st.booleans(), st.integers(1, 3))
def test_any_bytes_are_read_or_refused(tmp_path, content, headed, dimensions):
    if headed:
        content = bytes([0, 0, 8, dimensions]) + content
    try:
        array, header = read_idx(write(tmp_path / "x", content), dimensions)
    except DataFileError:
        return
    assert header + array.tobytes() == content


@pytest.fixture
def small(tmp_path, monkeypatch):
    return pretend_mnist(tmp_path, monkeypatch)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("pointed", [False, True])
def test_the_four_files_gzipped_or_not_under_both_spellings(small, zipped, pointed):
    for path in list(small.iterdir()):
        content = path.read_bytes()
        path.unlink()
        name = path.name.replace("-idx", ".idx") if pointed else path.name
        write(small / (name + ".gz" * zipped), content, zipped)
    data = load_mnist(str(small))
    assert data.train_images.shape == (30, 28, 28)
    assert data.train_labels.shape == (30,)
    assert data.test_images.shape == (10, 28, 28)
    assert data.test_labels.max() <= 9


def test_a_missing_file_is_named(small):
    (small / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataFileError, match=r"expected t10k-labels-idx1-ubyte or .* got neither"):
        load_mnist(small)
    with pytest.raises(DataFileError, match="expected a folder"):
        load_mnist(small / "nowhere")


def test_a_file_under_another_s_name_is_named(small):
    shutil.copy(small / "t10k-labels-idx1-ubyte", small / "train-labels-idx1-ubyte")
    with pytest.raises(DataFileError, match=r"expected the shape \(30,\) in .*, got \(10,\)"):
        load_mnist(small)


def test_one_changed_pixel_is_noticed(small):
    path = small / "train-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=r"damaged or another data set: expected SHA-256 "):
        load_mnist(small)


@pytest.mark.data
def test_the_real_files(data_dir):
    if not (data_dir / "mnist").is_dir():
        pytest.skip("no folder mnist in the directory of the data sets")
    data = load_mnist(data_dir / "mnist")
    assert data.train_images.shape == (60_000, 28, 28)
    # The first labels, and the class counts, that everyone who has plotted MNIST knows.
    assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(data.test_labels).tolist() == counts
    assert round(float(data.train_images.mean()) / 255, 4) == 0.1307


def test_texts_and_their_vocabulary(tmp_path):
    path = tmp_path / "text"
    path.write_text("hé\nhello", "utf-8")
    text = read_text(path)
    vocabulary = Vocabulary.of(text)
    assert vocabulary.characters == "\nehloé"
    numbers = vocabulary.encode(text)
    assert numbers.dtype == np.int64
    assert numbers.tolist() == [2, 5, 0, 2, 1, 3, 3, 4]
    assert vocabulary.decode(numbers) == text
    with pytest.raises(ValueError, match="expected characters of the vocabulary, got 'z'"):
        vocabulary.encode("z")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read: No such file"),
        (b"", "the file is empty"),
        (b"ab\xff", "expected UTF-8 in .*got byte 0xff at position 2"),
    ],
)
def test_texts_that_are_refused(tmp_path, content, text):
    path = tmp_path / "text"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataFileError, match=text) as info:
        read_text(path)
    assert re.search(re.escape(str(path)), str(info.value))

# SPDX-License-Identifier: BSD-3-Clause
"""The digits in the package, how they are made, and the stratified split."""

from __future__ import annotations

import gzip
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn.data import digits, load_digits, stratified_split
from fastnn.data.split import _shares

TOOL = Path(__file__).resolve().parent.parent / "tools" / "make_digits.py"


def test_shapes_types_and_ranges():
    images, labels = load_digits()
    assert images.shape == (1797, 8, 8)
    assert labels.shape == (1797,)
    assert images.dtype == labels.dtype == np.uint8
    assert images.min() == 0
    assert images.max() == 16
    # The class counts that UCI documents for the test part.
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_first_image_is_the_zero_of_the_source():
    images, labels = load_digits()
    assert labels[:10].tolist() == list(range(10))
    assert images[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert images[0, 7].tolist() == [0, 0, 6, 13, 10, 0, 0, 0]


def test_arrays_are_fresh_and_writable():
    images, labels = load_digits()
    images[:] = 0
    labels[:] = 0
    again, their_labels = load_digits()
    assert again.any()
    assert their_labels.any()


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b[:-1] + b"\x07", lambda _: b""])
def test_a_damaged_file_is_refused(monkeypatch, change):
    content = digits._read()
    monkeypatch.setattr(digits, "_read", lambda: change(content))
    with pytest.raises(RuntimeError, match=r"damaged: expected SHA-256 .* got .*install"):
        load_digits()


def test_a_missing_file_is_named(monkeypatch):
    monkeypatch.setattr(digits, "_FILE", "nowhere.safetensors")
    with pytest.raises(RuntimeError, match=r"nowhere\.safetensors .*install"):
        load_digits()


def test_the_licence_lies_beside_the_data():
    text = Path(digits.__file__).with_name("digits.LICENSE.txt").read_text("utf-8")
    assert "CC BY 4.0" in text
    assert "Alpaydin" in text


def load_tool():
    spec = importlib.util.spec_from_file_location("make_digits", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tool_rebuilds_the_file_from_its_own_values():
    """Without the source at hand: its lines, written from our arrays, give our file again."""
    images, labels = load_digits()
    rows = np.hstack([images.reshape(-1, 64), labels[:, None]])
    text = "".join(",".join(map(str, row)) + "\n" for row in rows.tolist())
    tool = load_tool()
    assert tool.encode(*tool.parse(gzip.compress(text.encode()))) == digits._read()


def test_the_tool_refuses_another_source(tmp_path):
    source = tmp_path / "digits.csv.gz"
    source.write_bytes(gzip.compress(b"0,1,2\n"))
    output = tmp_path / "digits.safetensors"
    command = [sys.executable, str(TOOL), str(source), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "expected 09f66e6d" in done.stderr
    assert not output.exists()


def test_split_of_the_digits_keeps_the_proportions():
    _, labels = load_digits()
    train, test = stratified_split(labels, 0.2, seed=0)
    assert len(test) == round(0.2 * 1797)
    assert sorted([*train, *test]) == list(range(1797))
    share = np.bincount(labels[test]) / np.bincount(labels)
    assert np.abs(share - 0.2).max() < 1 / np.bincount(labels).min()


def test_split_is_the_same_every_time_and_differs_by_seed():
    _, labels = load_digits()
    train, test = stratified_split(labels)
    again = stratified_split(labels, seed=0)
    assert np.array_equal(train, again[0])
    assert np.array_equal(test, again[1])
    assert not np.array_equal(test, stratified_split(labels, seed=1)[1])


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**32),
)
def test_split_is_a_stratified_partition(counts, fraction, seed):
    labels = np.repeat(np.arange(len(counts)) * 3 - 4, counts)
    wanted = round(len(labels) * fraction)
    if not 0 < wanted < len(labels):
        with pytest.raises(ValueError, match="one part empty"):
            stratified_split(labels, fraction, seed)
        return
    train, test = stratified_split(labels, fraction, seed)
    assert len(test) == wanted
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(len(labels)))
    for label, count in zip(np.unique(labels), counts, strict=True):
        assert abs((labels[test] == label).sum() - count * fraction) < 1


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20), st.floats(0.001, 0.999))
def test_shares_add_up(counts, fraction):
    shares = _shares(counts, fraction)
    assert sum(shares) == round(sum(counts) * fraction)
    assert all(abs(s - c * fraction) < 1 + 1e-9 for s, c in zip(shares, counts, strict=True))


@pytest.mark.parametrize(
    ("labels", "fraction", "error", "text"),
    [
        ([], 0.2, ValueError, r"n > 0, got \(0,\)"),
        ([[0, 1]], 0.2, ValueError, r"shape \(n,\) .* got \(1, 2\)"),
        ([0.5, 1.5], 0.2, TypeError, r"integer labels, got float64"),
        ([0, 1, 0, 1], 0.0, ValueError, r"0 < test_fraction < 1, got 0\.0"),
        ([0, 1, 0, 1], 1.5, ValueError, r"got 1\.5"),
        ([0, 1, 0, 1], float("nan"), ValueError, r"got nan"),
        ([0, 1], 0.1, ValueError, r"one part empty"),
    ],
)
def test_bad_arguments_of_the_split(labels, fraction, error, text):
    with pytest.raises(error, match=text):
        stratified_split(labels, fraction)

# SPDX-License-Identifier: BSD-3-Clause
"""The page that lists torch's names, and the comparison of parameters behind it."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys

import pytest

import fastnn
from torch_names import collect, compare, page
from torch_names.differences import DIFFERENCES, TAKEN
from torch_names.reasons import NOT_YET, reason_of

if not page.PAGE.is_file():
    pytest.skip("not in a source tree", allow_module_level=True)
CURE = "write it with: python -m tests.torch_names"


@pytest.fixture(scope="module")
def lists() -> dict[tuple[str, str], list[str]]:
    """(namespace, heading) -> names, as a reader finds them on the page."""
    found: dict[tuple[str, str], list[str]] = {}
    where = kind = ""
    for line in page.PAGE.read_text("utf-8").splitlines():
        if line.startswith("## "):
            where = line[3:]
        elif line.startswith("### "):
            kind = line[4:].partition(" (")[0]
            found[where, kind] = []
            assert where.startswith("torch")
        elif where and line.startswith(("`", "| ")):
            cells = line.strip("| ").split(" | ")
            text = cells[1] if kind == "Not there" else cells[0]
            found[where, kind] += re.findall(r"`([\w.]+)`", text)
    return found


def test_the_page_is_up_to_date() -> None:
    assert page.text() == page.PAGE.read_text("utf-8"), CURE


def test_names_are_there_or_not_as_the_page_says(lists: dict[tuple[str, str], list[str]]) -> None:
    wrong = []
    for (path, kind), names in lists.items():
        assert names, (path, kind)
        for name in names:
            try:
                owner = importlib.import_module(path.replace("torch", "fastnn", 1))
            except ModuleNotFoundError:  # a class
                parent, _, last = path.replace("torch", "fastnn", 1).rpartition(".")
                owner = getattr(importlib.import_module(parent), last, None)
            there = owner is not None and (hasattr(owner, name) or page.has(owner, name))
            if there != (kind != "Not there"):
                wrong.append(f"{path}.{name} {kind}")
    assert not wrong, CURE
    assert sum(len(n) for (_, kind), n in lists.items() if kind == "There") > 1200
    everything = sorted(f"{path}.{name}" for (path, _), names in lists.items() for name in names)
    listed = [f"{path}.{n.name}" for path, names in page.parts_of_torch().items() for n in names]
    assert everything == sorted(listed)


def test_the_counts_are_of_the_lists(lists: dict[tuple[str, str], list[str]]) -> None:
    rows = re.findall(
        r"\| (?:\[([\w.]+)\]\(#\w+\)|all) \| (\d+) \| (\d+) \| (\d+) \|",
        page.PAGE.read_text("utf-8"),
    )
    kinds = ("There", "With a difference", "Not there")
    sums = [0, 0, 0]
    for path, *counts in rows:
        got = [int(n) for n in counts]
        if path:
            assert got == [len(lists.get((path, kind), ())) for kind in kinds], path
            sums = [a + b for a, b in zip(sums, got, strict=True)]
        else:
            assert got == sums
    assert len(rows) == len(page.parts_of_torch()) + 1


def test_differences_are_of_names_that_are_there() -> None:
    known = {f"{path}.{n.name}": n for path, names in page.parts_of_torch().items() for n in names}
    for full in (*DIFFERENCES, *TAKEN):
        path, _, name = full.rpartition(".")
        assert full in known, full
        assert page.has(page.namespace(path), name), f"{full} is not there: drop its sentence"
    for full, parameters in TAKEN.items():
        names = {p for w in known[full].overloads or () for p in (*w.positional, *w.keyword_only)}
        assert parameters <= names, full


def test_absent_names_have_reasons() -> None:
    assert reason_of("torch", "complex64") == "out of scope: complex numbers"
    assert reason_of("torch.Tensor", "to_sparse").startswith("out of scope: sparse")
    assert reason_of("torch", "histogramdd") == NOT_YET
    assert reason_of("torch.cuda", "max_memory_allocated").startswith("streams, graphs")


# ---- the comparison ----


def differences(theirs: str, ours: str, taken: tuple[str, ...] = ()) -> list[str]:
    ways = [compare.overload(text) for text in theirs.split(" | ")]
    function = eval(f"lambda {ours}: None", {"fastnn": fastnn})
    own = list(inspect.signature(function).parameters.values())
    return compare.differences([w for w in ways if w is not None], own, taken)


def test_calls_that_torch_takes_and_fastnn_would_not() -> None:
    assert differences("x, dim=0, *, out=None", "x, dim=0") == []
    assert differences("x, dim=0", "x, dim=0, extra=1") == []
    assert differences("x, dim=0, size=3", "x") == ["without `dim`, `size`"]
    assert differences("x, *, dim=0", "x") == ["without `dim`"]
    assert differences("x, *, dim=0", "x", ("dim",)) == []
    assert differences("x, dim", "x, *, dim") == ["`dim` by keyword only"]
    assert differences("x, dim | x, *, dim", "x, *, dim") == []
    assert differences("x, dim=0", "x, dim") == ["`dim` has to be given"]
    assert differences("x | x, dim", "x, dim=None") == []
    assert differences("input, n", "A, n") == ["`input` by position only"]
    assert differences("a, b=1, c=2", "a, c=2, b=1") == ["by position in the order `a`, `c`, `b`"]
    assert differences("*sizes, out=None", "*size") == []
    assert differences("size, fill", "*size") == []
    assert differences("x, size=None", "x, *rest") == ["without `size`"]
    assert differences("a=1, b=2", "**options") == []


def test_defaults() -> None:
    assert differences("p=0.5", "p=0.5") == []
    assert differences("p=1", "p=1.0") == []
    assert differences("p=1.0 / 8", "p=0.125") == []
    assert differences("p=...", "p=3") == []
    assert differences("p=torch.float32", "p=fastnn.float32") == []
    assert differences("p=0 | p=1", "p=1") == []
    assert differences("p='mean'", 'p="sum"') == ["`p` is `sum` if left out, in torch `mean`"]
    assert differences("p=True", "p=None") == ["`p` is `None` if left out, in torch `True`"]


def test_parameters_are_written_as_they_are_read() -> None:
    def f(self, a, b=(1, 2), *rest, c="x", d=int, **more): ...

    def g(x, *, y=None): ...

    text = collect.of_signature(inspect.signature(f))
    assert text == "a, b=(1, 2), *rest, c='x', d=int, **more"
    way = compare.overload(text)
    assert way is not None
    assert list(way.positional) == ["a", "b"]
    assert way.keyword_only == {"c": "x", "d": "int"}
    assert way.rest
    assert way.options
    assert collect.of_signature(inspect.signature(g)) == "x, *, y=None"
    assert compare.overload("?") is None


@pytest.mark.torch
def test_the_names_are_those_of_the_installed_torch() -> None:
    torch = importlib.import_module("torch")
    if not torch.__version__.startswith("2.13."):
        pytest.skip("the names are torch 2.13's")
    committed = page.DATA.read_text("utf-8")
    # In a process of its own: torch binds names, such as onnx, when other tests first use them.
    code = "from torch_names import collect; print(collect.text(), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == committed, "write them with: python -m tests.torch_names --collect"

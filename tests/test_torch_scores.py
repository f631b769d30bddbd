# SPDX-License-Identifier: BSD-3-Clause
"""The program that scores fastnn by torch's databases: what passes, fails, crashes, and counts."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from torch_scores import names, pool, report
from torch_scores.record import Record

# Workers without torch, that answer as the name says.
FAKE = """
import json, os, sys, time
print('{"at": ""}', flush=True)
for line in sys.stdin:
    job = json.loads(line)
    passed = 0
    for label in ("a", "b", "c"):
        print(json.dumps({"at": label}), flush=True)
        if label in job["skip"]:
            continue
        if label == "b" and job["name"] == "crash":
            os.abort()
        if label == "b" and job["name"] == "hang":
            time.sleep(60)
        if job["name"] == "hopeless":
            os._exit(3)
        passed += 1
    record = {"name": job["name"], "samples": 3, "passed": passed}
    print(json.dumps({"record": record}), flush=True)
"""


def fake(seconds=60.0):
    return pool.Worker([sys.executable, "-c", FAKE], seconds)


def scored(*wanted, make=fake):
    records = {}
    pool.run(wanted, 2, lambda r: records.__setitem__(r.name, r), make)
    assert set(records) == set(wanted)
    return records


def test_a_crash_costs_the_sample_and_nothing_else():
    found = scored("good", "crash", "fine", "hopeless")
    assert [(r.passed, r.samples, r.crashes) for r in map(found.get, ("good", "fine"))] == [
        (3, 3, 0)
    ] * 2
    assert (found["crash"].passed, found["crash"].samples, found["crash"].crashes) == (2, 3, 1)
    assert "crash at b: exit status -6" in found["crash"].failures
    # It ends at the first sample of every process: a, b and c are skipped in turn.
    assert found["hopeless"].passed == 0
    assert found["hopeless"].crashes == 3


def test_what_hangs_is_ended():
    record = scored("hang", make=lambda: fake(1.0))["hang"]
    assert (record.passed, record.crashes) == (2, 1)
    assert "no answer in 1 s" in record.failures[0]


def test_a_worker_that_does_not_start_is_no_endless_loop():
    record = scored("x", make=lambda: pool.Worker([sys.executable, "-c", "raise SystemExit(7)"]))
    assert (record["x"].samples, record["x"].passed, record["x"].crashes) == (1, 0, 1)


def test_names_are_chosen_by_group_and_by_any_of_their_names():
    assert len(names.selected([])) == len(names.GROUPS) > 450
    assert names.selected(["relu", "nn.ReLU", "softmax"]) == [
        "nn.functional.relu", "nn.ReLU", "softmax",
    ]  # fmt: skip
    assert names.selected(["core"]) == list(names.CORE)
    assert names.selected(["Softmax"]) == ["nn.Softmax"]
    with pytest.raises(ValueError, match="got 'softmacks'"):
        names.selected(["relu", "softmacks"])


def record(name, passed=100, samples=100, **more):
    return Record(name, samples=samples, passed=passed, **more)


def test_the_thresholds():
    good = [record("add"), record("atan2"), record("nn.ReLU")]
    assert report.problems(good) == []
    assert report.problems([record("add", 90), record("mul", 10_000, 10_000)]) == []
    for records, text in (
        ([record("add", 89), record("mul", 10_000, 10_000)], "add: 89.0% of 100 samples"),
        ([record("atan2", 96)], "all: 96.00% of 100 samples, expected 97%"),
        ([record("nn.ReLU", 99)], "nn.ReLU: 99.0% of 100 samples, expected 100%"),
        ([record("add", crashes=1)], "add: 1 samples crashed"),
        ([record("add", error_inputs=3, raised=2)], "add: 1 of 3 error inputs were not refused"),
        ([record("add", 0, 0), record("mul")], "add: 0.0% of 0 samples"),
        ([record("atan2", 0, 0), record("mul")], "atan2: 0.0% of 0 samples"),
    ):
        assert text in " ".join(report.problems(records))
    # A name of the second group may be low as long as all together are high.
    assert report.problems([record("atan2", 50), record("add", 10_000, 10_000)]) == []


def test_the_table_has_a_line_for_each_name():
    records = [record("add", 45, 60, seconds=1.25), record("atan2", 0, absent=True)]
    lines = list(report.rows(records))
    assert len(lines) == 3
    assert lines[1].split() == ["add", "core", "75.0%", "45", "/", "60", "0/0", "1.2"]
    assert lines[2].endswith("absent")
    assert any("functions" in line and "28.12%" in line for line in report.summary(records))
    copied = Record.from_json(json.loads(json.dumps(records[0].as_json())))
    assert copied == records[0]


# ---- with torch ----


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.mark.torch
def test_every_name_has_samples(torch):
    del torch
    from torch_scores import functions, modules  # noqa: PLC0415

    wanted = [*names.CORE, *names.THEN]
    assert [name for name in wanted if not functions.infos(name)] == []
    assert [name for name in names.MODULES if modules.info(name) is None] == []


@pytest.mark.torch
def test_samples_become_fastnn_s_with_strides_and_shared_memory(torch):
    import fastnn  # noqa: PLC0415
    from torch_scores.translate import Lacking, NotCounted, Translator  # noqa: PLC0415

    base = torch.arange(6.0).reshape(2, 3)
    leaf = torch.ones(2, dtype=torch.float64, requires_grad=True)
    sample = [base, base.t(), base[:, 1:].expand(4, 2, 2), leaf, leaf, torch.int64, (2, None)]
    a, b, c, d, e, dtype, plain = Translator()(sample)
    assert a.tolist() == base.tolist()
    assert b.stride() == (1, 3)
    assert c.stride() == (0, 3, 1)
    assert c.tolist() == base[:, 1:].expand(4, 2, 2).tolist()
    assert d is e
    assert d.requires_grad
    assert dtype is fastnn.int64
    assert plain == (2, None)
    a.fill_(7)
    assert b.tolist()[2] == [7, 7]
    assert base[0, 0].item() == 0
    for value in (torch.ones(1, dtype=torch.complex64), torch.complex64, 1j, torch.sparse_coo):
        with pytest.raises(NotCounted):
            Translator()(value)
    with pytest.raises(Lacking, match="float8"):
        Translator()(torch.float8_e5m2)


@pytest.mark.torch
def test_differences_are_found(torch):
    import fastnn  # noqa: PLC0415
    from torch_scores import compare  # noqa: PLC0415

    def check(ours, theirs, values=True):
        compare.results("x", ours, theirs, compare.Tolerances(), values)

    one, nan = torch.ones(2), torch.tensor([float("nan"), float("inf")])
    check(fastnn.ones(2), one)
    check(fastnn.tensor([float("nan"), float("inf")]), nan)
    check((fastnn.ones(2) + 5e-6, [3, True]), [one, [3, True]])
    check(fastnn.zeros(2), one, values=False)
    for ours, theirs, text in (
        (fastnn.ones(2) + 5e-5, one, "2 of 2 elements differ"),
        (fastnn.ones(2, dtype=fastnn.float64) + 5e-7, one.double(), "elements differ"),
        (fastnn.ones(2, dtype=fastnn.float64), one, "dtype float64 for float32"),
        (fastnn.ones(2, 1), one, r"\(2, 1\) for"),
        (fastnn.tensor([1, 2]), torch.tensor([1, 3]), r"1 of 2 elements differ, at \[1\] 2 for 3"),
        (np.ones(2), one, "a ndarray for a Tensor"),
        ((fastnn.ones(2),), (one, one), "tuple for 2 results"),
        (1, True, "1 for True"),
        (2.0, 2, "2.0 for 2"),
        (1.0, 1.1, "1.0 for 1.1"),
        ({"a": 1}, {"b": 1}, "for a dict of"),
    ):
        with pytest.raises(compare.Different, match=text):
            check(ours, theirs)
    tolerance = compare.Tolerances({torch.float32: (0.0, 1e-3)})
    compare.results("x", fastnn.ones(2) + 5e-4, one, tolerance)


@pytest.mark.torch
def test_gradients_are_compared(torch):
    import fastnn  # noqa: PLC0415
    from torch_scores import compare  # noqa: PLC0415

    a = torch.ones(3, dtype=torch.float64, requires_grad=True)
    b = fastnn.ones(3, dtype=fastnn.float64, requires_grad=True)
    unused = (torch.ones(1, dtype=torch.float64, requires_grad=True), fastnn.ones(
        1, dtype=fastnn.float64, requires_grad=True))  # fmt: skip
    plain = compare.Tolerances()
    compare.gradients([b * 2, b.detach()], [a * 2, a.detach()], [(a, b), unused], plain)
    with pytest.raises(compare.Different, match="gradient 0: 3 of 3"):
        compare.gradients(b * 2.001, a * 2, [(a, b)], plain)
    with pytest.raises(compare.Different, match="requires_grad False for True"):
        compare.gradients(b.detach(), a * 2, [(a, b)], plain)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("raised", "theirs", "counted"),
    [
        (RuntimeError, RuntimeError, True),
        (ValueError, RuntimeError, False),
        (ValueError, ValueError, True),  # what torch itself raises counts, too
        (NotImplementedError, RuntimeError, False),
        (NotImplementedError, NotImplementedError, True),
        (RecursionError, RuntimeError, False),
        (AttributeError, RuntimeError, False),
        (AssertionError, AssertionError, True),
        (UnicodeError, ValueError, True),
        (None, RuntimeError, False),
    ],
)
def test_refusals_count_by_their_type(torch, raised, theirs, counted):
    del torch
    from torch.testing._internal.opinfo.core import ErrorInput  # noqa: PLC0415

    from torch_scores.functions import count_refusal  # noqa: PLC0415

    def call():
        if raised:
            raise raised

    record = Record("x", error_inputs=1)
    wanted = ErrorInput(None, error_type=RuntimeError, error_regex="wanted")
    count_refusal(record, "0", call, wanted, theirs("no"), "sample")
    assert record.raised == counted
    assert len(record.failures) == (not counted)


@pytest.mark.torch
def test_functions_and_modules_are_scored(torch, monkeypatch):
    del torch
    import fastnn  # noqa: PLC0415
    from torch_scores import functions, modules  # noqa: PLC0415

    def every(label):
        return not label.endswith("float32 0")

    found = functions.score("sigmoid", every)
    assert 2 < found.samples == found.passed + 1
    assert found.failures == ["float32 0: crashed"]
    assert not found.absent
    found = modules.score("nn.Sigmoid", lambda _: True)
    assert found.samples == found.passed > 4
    real = fastnn.sigmoid
    monkeypatch.setattr(fastnn, "sigmoid", lambda x: real(x) * 1.001)
    found = functions.score("sigmoid", lambda _: True)
    assert found.passed <= found.samples / 2
    assert "elements differ" in found.failures[0]
    monkeypatch.delitem(fastnn._NAMES, "sigmoid")  # of the package's own __getattr__
    monkeypatch.delattr(fastnn, "sigmoid")
    monkeypatch.delattr(fastnn.Tensor, "sigmoid")
    found = functions.score("sigmoid", lambda _: True)
    assert found.absent
    assert found.passed == 0 < found.samples


@pytest.mark.torch
def test_methods_and_in_place_forms_are_scored(torch, monkeypatch):
    del torch
    import fastnn  # noqa: PLC0415
    from torch_scores import variants  # noqa: PLC0415

    found = variants.score("sub", lambda _: True)
    assert found.samples > 100
    assert not found.absent
    real = fastnn.Tensor.sub_
    monkeypatch.setattr(fastnn.Tensor, "sub_", lambda x, y, **more: real(x, y, **more).clone())
    worse = variants.score("sub", lambda _: True)
    assert worse.passed < found.passed
    assert any("the result is another tensor" in text for text in worse.failures)
    monkeypatch.delattr(fastnn.Tensor, "sub_")
    worse = variants.score("sub", lambda _: True)
    assert worse.absent
    assert any("Tensor has no sub_" in text for text in worse.failures)


@pytest.mark.torch
def test_error_inputs_have_to_raise(torch, monkeypatch):
    del torch
    import fastnn  # noqa: PLC0415
    from torch_scores import functions  # noqa: PLC0415

    found = functions.score("narrow", lambda _: True)
    assert found.error_inputs > 3
    monkeypatch.setattr(fastnn, "narrow", lambda *_, **__: None)
    found = functions.score("narrow", lambda _: True)
    assert found.raised == 0
    assert "nothing raised, torch: " in found.failures[-1]


@pytest.mark.torch
def test_the_program_prints_the_table_and_ends_with_the_verdict(torch, tmp_path, capsys):
    del torch
    import torch_scores.__main__ as program  # noqa: PLC0415

    path = tmp_path / "scores.json"
    status = program.main(["--only", "neg", "--json", str(path), "--failures", "1"])
    text = capsys.readouterr().out
    (entry,) = json.loads(path.read_text())
    assert entry["name"] == "neg"
    assert entry["samples"] > 2
    assert status == (1 if "below" in text.splitlines()[-1] else 0)
    assert "neg" in text
    with pytest.raises(SystemExit):
        program.main(["--only", "no such name"])

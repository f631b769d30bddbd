# SPDX-License-Identifier: BSD-3-Clause
"""What is timed beside the cases, what it costs at least, and that libraries agree on it."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import testing
from fastnn.cli.bench import adapter_fastnn, ceilings, measure, steps_modules
from fastnn.cli.bench.cases import Subject, find
from fastnn.cli.bench.ceilings import Ceilings, Cost, Watch
from fastnn.cli.bench.peers import PEERS, pythons
from fastnn.cli.bench.programs import PROGRAMS, Program
from fastnn.cli.bench.session import QUICK, Session
from fastnn.cli.bench.workers import NotInstalled

CASES = {case.id: case for case in testing.all_cases()}
RUNS = [(p, pass_) for p in PROGRAMS.values() for pass_ in p.passes]


@pytest.mark.parametrize(("program", "pass_"), RUNS, ids=lambda v: getattr(v, "name", v))
def test_every_program_runs_by_fastnn(program: Program, pass_: str) -> None:
    adapter = adapter_fastnn.Adapter(fastnn.get_num_threads(), {})
    backward = pass_ == "forward_backward"
    run, results = steps_modules.prepare(adapter, program.name, program.make(), backward)
    run()
    assert results
    assert all(np.isfinite(array).all() for array in results)
    if program.kind == "step":
        assert results[0].shape == (3,)
        assert results[0][2] < results[0][0], "three steps on one batch lower its loss"


def test_logistic_regression_is_what_its_formula_says() -> None:
    program = PROGRAMS["logreg"]
    arrays = {k: v.astype(np.float64) for k, v in program.make().items()}
    x, w, b = arrays["x"], arrays["p.weight"], arrays["p.bias"]
    target = arrays["target"].astype(int)
    losses = []
    for _ in range(3):
        z = x @ w.T + b
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        losses.append(-np.log(p[np.arange(32), target]).mean())
        p[np.arange(32), target] -= 1
        w, b = w - 0.01 * p.T @ x / 32, b - 0.01 * p.mean(0)
    adapter = adapter_fastnn.Adapter(1, {})
    _, (got,) = steps_modules.prepare(adapter, "logreg", program.make(), True)
    np.testing.assert_allclose(got, losses, rtol=1e-5)


def no_update(patch: pytest.MonkeyPatch, arrays: dict[str, Any]) -> None:
    del arrays
    for kind in (fastnn.optim.SGD, fastnn.optim.Adam):
        patch.setattr(kind, "step", lambda _: None)


def negated_gradients(patch: pytest.MonkeyPatch, arrays: dict[str, Any]) -> None:
    backward = fastnn.Tensor.backward

    def negated(tensor: fastnn.Tensor, grad: fastnn.Tensor | None = None) -> None:
        backward(tensor, -(fastnn.ones_like(tensor.detach()) if grad is None else grad))

    patch.setattr(fastnn.Tensor, "backward", negated)
    if "grad" in arrays:
        arrays["grad"] = -arrays["grad"]


WRONG = [
    (program, pass_, wrong)
    for program, pass_ in RUNS
    for wrong in (no_update, negated_gradients)
    if program.kind in ("step", "optimizer")
    or (wrong is negated_gradients and pass_ == "forward_backward")
]


@pytest.mark.parametrize(("program", "pass_", "wrong"), WRONG, ids=lambda v: getattr(v, "name", v))
def test_a_peer_that_learns_nothing_or_backwards_is_refused(
    program: Program, pass_: str, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> list[Any]:
        adapter = adapter_fastnn.Adapter(fastnn.get_num_threads(), {})
        backward = pass_ == "forward_backward"
        return steps_modules.prepare(adapter, program.name, arrays, backward)[1]

    subject, arrays = Subject(None, program, pass_), program.make()
    right = run()
    assert subject.disagreement(right, right) is None
    wrong(monkeypatch, arrays)
    assert "differs by" in (subject.disagreement(right, run()) or "")


def test_costs_are_the_least_that_has_to_be_done() -> None:
    n = 4.0 * 1024 * 4096
    relu = Subject(CASES["relu-1024x4096"], None)
    x = np.zeros((1024, 4096), np.float32)
    assert relu.cost([x]) == Cost(None, 2 * n, 2 * n)
    both = Subject(CASES["relu-1024x4096"], None, "forward_backward")
    assert both.cost([x, x]) == Cost(None, 4 * n + n / 32, 3 * n, read=n / 32), "a bit of each"
    smooth = Subject(CASES["tanh-1024x4096"], None, "forward_backward")
    assert smooth.cost([x, x]) == Cost(None, 5 * n, 3 * n, read=n)
    halved = Subject(CASES["max_pool2d-32x64x56x56-2"], None, "forward_backward")
    image, out = np.zeros((32, 64, 56, 56), np.float32), np.zeros((32, 64, 28, 28), np.float32)
    moved = 2 * image.nbytes + 2 * out.nbytes + out.size * 2 / 8
    assert halved.cost([out, image]).traffic == moved, "two bits of each output"
    square = CASES["conv2d-32x32x14x14-64x32x3x3-64-padding=1"]
    cost = Subject(square, None, "forward_backward").cost([x] * 4)
    assert cost.flops == 6 * 32 * 14 * 14 * 64 * 32 * 9
    assert cost.needed == cost.least_flops == pytest.approx(cost.flops * 4 / 9), "by Winograd"
    large = Subject(CASES["conv2d-16x3x64x64-64x3x7x7-64-stride=2-padding=3"], None)
    assert large.cost([x]).needed == pytest.approx((large.cost([x]).flops or 0) / 2)
    single = Subject(CASES["conv2d-32x1x28x28-32x1x5x5-32-padding=2"], None)
    assert single.cost([x]).needed == single.cost([x]).flops
    total = Subject(CASES["sum-1024x4096"], None, "forward_backward")
    assert total.cost([x[0, 0], x]).traffic == 2 * n + 8, "no gradient of a sum needs its terms"
    product = Subject(CASES["mm-64x64-64x64"], None, "forward_backward")
    square = np.zeros((64, 64), np.float32)
    assert product.cost([square] * 3).flops == 3 * 2 * 64**3
    assert PROGRAMS["adam"].cost("forward").traffic == 28 * 10e6
    step = PROGRAMS["mlp_small"].cost("forward_backward")
    assert step.flops == 2 * 64 * (2 * 784 * 128 + 3 * 128 * 10), "nobody needs the data's gradient"
    logistic = PROGRAMS["logreg"].cost("forward_backward")
    assert logistic.flops == 2 * 2 * 32 * 64 * 10
    strided = CASES["conv2d-16x3x64x64-64x3x7x7-64-stride=2-padding=3"]
    picked = Subject(CASES["nll_loss-4096x1000-('int',(4096,),0,1000)"], None)
    assert picked.cost([x[0, 0]]).traffic == 4096 * (64 + 8) + 4, "a line of every row"
    rows = Subject(CASES["embedding-('int',(64,100),0,10000)-10000x256"], None)
    assert rows.cost([x[:, :0]]).traffic == 6400 * (4 * 256 + 8)
    assert strided.flops == 2.0 * 16 * 64 * 3 * 49 * 32 * 32


class FixedProbe:
    """100 GFLOP/s a thread; 80 GB/s up to a megabyte, then half of it per factor of four; reading
    is twice as fast."""

    def fma(self, threads: int) -> float:
        return 100.0 * threads

    def memory(self, kind: str, threads: int, size: int) -> float:
        assert threads == 2
        return (
            80.0
            * {"stream": 1.0, "copy": 0.9, "read": 2.0}[kind]
            / 2 ** max(0.0, math.log2(size) / 2 - 10)
        )


def test_ceilings() -> None:
    probe: Any = FixedProbe()
    watch = Watch(probe, 2)
    top = Ceilings(probe, watch, 2)
    assert top.fma is None
    assert watch.complaint(watch.read()) is None
    assert top.fma == 200.0

    def bandwidth(size: float, read: float = 0.0) -> float:
        return top.bandwidth(Cost(None, 1e6, size, read=read)) or 0.0

    assert bandwidth(1000) == pytest.approx(80.0)
    assert bandwidth(1000, read=1e6) == pytest.approx(160.0)
    assert bandwidth(1000, read=0.5e6) == pytest.approx(1 / (0.5 / 80 + 0.5 / 160))
    assert bandwidth(2**22) == pytest.approx(40.0)
    assert 40.0 < bandwidth(2**21) < 80.0
    assert bandwidth(2**60) == top.dram
    work = Cost(flops=2e6, traffic=4.0 * 2**20, working_set=2.0**22)
    products, bytes_ = 2e6 / 200e3, 4.0 * 2**20 / 40e3
    assert top.time_us(work) == pytest.approx(max(products, bytes_))
    whole = Cost(work.flops, work.traffic, work.working_set, parts=True)
    assert top.time_us(whole) == pytest.approx(products + bytes_)
    fewer = Cost(work.flops, work.traffic, work.working_set, parts=True, least_flops=1e6)
    assert top.time_us(fewer) == pytest.approx(products / 2 + bytes_)
    assert top.time_us(Cost(None, None, 0.0)) is None
    nothing = Ceilings(None, Watch(None, 2), 2)
    assert nothing.time_us(work) is None
    assert Watch(None, 2).complaint(Watch(None, 2).read()) is None


class WakingProbe(FixedProbe):
    """Its second thread sleeps at first."""

    def __init__(self, asleep: int) -> None:
        self.asleep = asleep

    def fma(self, threads: int) -> float:
        if threads > 1:
            self.asleep -= 1
        return 100.0 if self.asleep >= 0 else super().fma(threads)


def test_the_first_readings_wait_for_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings.os, "sched_getaffinity", lambda _: {0, 1})
    probe: Any = WakingProbe(9)
    watch = Watch(probe, 2)
    watch.settle(60.0)
    assert probe.asleep < 0
    assert watch.best_many == 200.0
    probe = WakingProbe(10**9)
    Watch(probe, 2).settle(0.0)
    assert probe.asleep == 10**9 - 3, "a disturbance is looked at three times, then it counts"


def test_what_is_chosen() -> None:
    assert [s.label for s in find(["lenet"])] == ["lenet"]
    assert {s.program.kind for s in find(["layer"]) if s.program} == {"layer"}
    assert {s.id for s in find(["mm-*"])} == {s.id for s in find(["mm"])}
    assert len({s.label for s in find([])}) == len(find([]))
    with pytest.raises(ValueError, match="to name one of logreg"):
        find(["nothing"])


@pytest.fixture
def session() -> Iterator[Session]:
    """Peers may be in other environments: FASTNN_PEER_PYTHON says where."""
    given = pythons([])
    with tempfile.TemporaryDirectory() as folder, Session(Path(folder), QUICK, given) as opened:
        yield opened


def compared(session: Session, peer: str, programs: Iterable[Program]) -> set[str]:
    """The names of the programs that a peer runs, all with fastnn's results."""
    found = set()
    for program in programs:
        for pass_ in program.passes:
            absent = measure._Absent()
            measure._prepare(session, Subject(None, program, pass_), [peer], 2, None, absent)
            assert not absent.failed, absent.why
            found |= set() if absent.why else {program.name}
    return found


@pytest.mark.torch
@pytest.mark.parametrize("peer", ["torch", "torch-channels-last"])
def test_torch_agrees_on_every_program(session: Session, peer: str) -> None:
    images = {"lenet", "cnn", "resnet_tiny"}
    layouts = bool(PEERS[peer].options.get("channels_last"))
    some = images | {"logreg", "lstm", "sgd", "add_8"}
    programs = [p for p in PROGRAMS.values() if not layouts or p.name in some]
    wanted = images if layouts else set(PROGRAMS) - {"lstm_peephole", "lstm_layer_norm"}
    assert compared(session, peer, programs) == wanted


RECURRENT = {"lstm", "lstm_big", "lstm_bidirectional", "gru"}


def test_jax_agrees_on_every_program_that_is_written_down(session: Session) -> None:
    try:
        session.worker("jax", 2)
    except NotInstalled:
        pytest.skip("jax is not installed")
    steps = {name for name, program in PROGRAMS.items() if program.kind == "step"}
    assert compared(session, "jax", PROGRAMS.values()) == steps | RECURRENT | {"add_8"}


@pytest.mark.torch
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_layers_and_calls_agree(session: Session) -> None:
    small = [PROGRAMS[name] for name in ("lstm_bidirectional", "gru", "add_8", "chain_20", "sgd")]
    expected = {"lstm_bidirectional", "gru", "add_8"}
    assert compared(session, "torch-compile", small) == expected

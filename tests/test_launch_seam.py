# SPDX-License-Identifier: BSD-3-Clause
"""The launch seam carries a whole training step: recorded, moved to other memory, replayed.

Everything that a step does to arrays must go through the seam, and everything that changes from
step to step must lie in memory cells; else the replay differs from eager in some bit.
"""

from __future__ import annotations

import copy
import ctypes
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, nn, optim
from fastnn.nn import functional as F

pytestmark = pytest.mark.skipif(_backend.name != "cpu", reason="needs the native kernels")


class Recorder:
    """Records launches, gives every intermediate buffer another address, and replays."""

    def __init__(self, persistent: list[Any]) -> None:
        # Parameters, optimiser state, random cells and inputs stay where they are.
        self.keep = {self.owner(a) for a in persistent}
        self.launches: list[Any] = []

    @staticmethod
    def owner(array: Any) -> int:
        """id of the object at the end of an array's chain of bases: one per allocation."""
        last = array
        while isinstance(last.base, np.ndarray):
            last = last.base
        return id(last if last.base is None else last.base)

    def __enter__(self) -> Recorder:
        self.before = _backend.cpu.set_recorder(self.launches)
        return self

    def __exit__(self, *_: object) -> None:
        _backend.cpu.set_recorder(self.before)

    def moved(self) -> list[tuple[int, int, bytearray]]:
        """The launches with intermediates at new addresses; the old ones are filled with NaN."""
        first_access: dict[int, tuple[str, int, int]] = {}
        for _, _, _, slots in self.launches:
            for _, owner, base, size, _, _, access in slots:
                first_access.setdefault(id(owner), (access, base, size))
        self.memory: list[Any] = []
        shift: dict[int, int] = {}
        for key, (access, base, size) in first_access.items():
            if key in self.keep:
                continue
            fresh = np.full(size + 64, 0xFF, np.uint8)
            self.memory.append(fresh)
            target = fresh.ctypes.data + (-fresh.ctypes.data) % 64
            if access == "in":  # a constant of the step: read before anything wrote it
                ctypes.memmove(target, base, size)
            shift[key] = target - base
            ctypes.memset(base, 0xFF, size)
        plan = []
        for kernel, variant, block, slots in self.launches:
            patched = bytearray(block)
            for position, owner, _, _, _, _, _ in slots:
                (address,) = struct.unpack_from("<Q", patched, position)
                struct.pack_into("<Q", patched, position, address + shift.get(id(owner), 0))
            plan.append((kernel, variant, patched))
        self.intermediates = len(shift)
        return plan


def replay(plan: list[tuple[int, int, bytearray]]) -> None:
    for kernel, variant, block in plan:
        _backend.cpu.launch(kernel, variant, bytes(block))


OPTIMIZERS: dict[str, Any] = {
    "adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=1e-3),
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    # What changes in them from step to step beside the count: a product, a case, the rates.
    "nadam": lambda p: optim.NAdam(p, lr=0.01, momentum_decay=0.1),
    "radam": lambda p: optim.RAdam(p, lr=0.01, betas=(0.9, 0.95)),
    "asgd": lambda p: optim.ASGD(p, lr=0.1, lambd=0.1, t0=8),
}


class Training:
    """An MLP with dropout, and an optimiser; one step on fixed input buffers."""

    def __init__(self, optimizer: str) -> None:
        fastnn.manual_seed(7)
        self.model = nn.Sequential(
            nn.Linear(20, 64),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(64, 32),
            nn.Tanh(),
            nn.Linear(32, 5),
        )
        self.optimizer: Any = OPTIMIZERS[optimizer](self.model.parameters())
        self.x = fastnn.zeros(48, 20)
        self.y = fastnn.zeros(48, dtype=fastnn.int64)

    def load(self, i: int) -> None:
        rng = np.random.default_rng(i)
        self.x.array[...] = rng.standard_normal((48, 20))
        self.y.array[...] = rng.integers(0, 5, 48)

    def step(self) -> Any:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss

    def persistent(self) -> list[Any]:
        arrays = [p.array for p in self.model.parameters()] + [self.x.array, self.y.array]
        arrays.append(fastnn.default_generator.cell)
        for state in self.optimizer.state.values():
            arrays += [v.array for v in state.values() if isinstance(v, fastnn.Tensor)]
        return arrays

    def weights(self) -> list[np.ndarray[Any, Any]]:
        return [np.array(p.detach().numpy()) for p in self.model.parameters()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_recorded_step_replays_elsewhere_bit_for_bit(optimizer: str) -> None:
    training = Training(optimizer)
    for i in range(2):
        training.load(i)
        training.step()
    with Recorder(training.persistent()) as recorder:
        training.load(2)
        loss = training.step()
    loss_array = loss.array
    plan = recorder.moved()
    assert recorder.intermediates >= 10
    assert np.isnan(loss_array).all(), "the old intermediates are poisoned"

    start = training.weights()
    state = copy.deepcopy(training.optimizer.state_dict())
    cell = fastnn.default_generator.cell.copy()
    for i in range(3, 23):
        training.load(i)
        replay(plan)
    replayed = training.weights()

    for p, w in zip(training.model.parameters(), start, strict=True):
        p.array[...] = w
    training.optimizer.load_state_dict(state)
    fastnn.default_generator.cell[...] = cell
    for i in range(3, 23):
        training.load(i)
        training.step()
    eager = training.weights()
    assert any((a != b).any() for a, b in zip(start, eager, strict=True))
    for a, b in zip(replayed, eager, strict=True):
        np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


def test_slots_name_buffers_offsets_and_accesses() -> None:
    launches: list[Any] = []
    x = fastnn.arange(12.0).reshape(3, 4)
    before = _backend.cpu.set_recorder(launches)
    try:
        y = x[1:] + 1.0
    finally:
        _backend.cpu.set_recorder(before)
    (entry,) = [e for e in launches if e[0] == _backend.native["add"].id]
    _, _, block, slots = entry
    assert [s[6] for s in slots] == ["in", "in", "out"]
    position, owner, base, size, offset, extent, _ = slots[0]
    assert id(owner) == Recorder.owner(x.array)
    assert size >= 48
    assert offset == x.array[1:].ctypes.data - base
    assert extent == 8 * 4
    assert struct.unpack_from("<Q", block, position)[0] == x.array[1:].ctypes.data
    assert id(slots[2][1]) == Recorder.owner(y.array)


def test_kernels_refuse_what_would_crash() -> None:
    k = _backend.native["relu_forward"]
    x = np.ones(6, np.float32)
    with pytest.raises(ValueError, match="same shape"):
        k(x, np.ones(5, np.float32))
    with pytest.raises(ValueError, match="C-contiguous"):
        k(np.ones(12, np.float32)[::2], x)
    with pytest.raises(ValueError, match="shares memory"):
        k(x[:5], x[1:])
    with pytest.raises(ValueError, match=r"numpy\.ndarray"):
        k([1.0], x)
    with pytest.raises(TypeError, match="expected 2 positional"):
        k(x)
    readonly = np.ones(6, np.float32)
    readonly.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        k(x, readonly)
    with pytest.raises(ValueError, match="element types together"):
        k(x, np.ones(6))
    gemm = _backend.native["gemm"]
    with pytest.raises(ValueError, match="dimension 0 = 3"):
        gemm(np.ones((2, 3)), np.ones((4, 5)), np.ones((2, 5)), False)
    square = np.ones((4, 4))
    with pytest.raises(ValueError, match="shares memory"):
        gemm(square, np.ones((4, 4)), square, False)
    strided = np.lib.stride_tricks.as_strided
    for shape, strides in (((3, 4), (0, 4)), ((4, 4), (4, 4))):
        with pytest.raises(ValueError, match="memory of their own"):
            _backend.native["copy"](
                np.ones(shape, np.float32), strided(np.ones(16, np.float32), shape, strides)
            )
    with pytest.raises(ValueError, match="a kernel id"):
        _backend.cpu.launch(10**6, 0, b"")


def test_lists_may_be_cleared_while_a_kernel_runs() -> None:
    class Clears:
        def __float__(self) -> float:
            params.clear()
            grads.clear()
            return 0.5

    params = [np.ones(100_000, np.float32) for _ in range(20)]
    grads = [p.copy() for p in params]
    sgd = _backend.native["sgd_step"]
    sgd(params, grads, [], np.array([0.1]), Clears(), 0.0, 0.0, False, False, False)
    assert params == []

    params = [np.ones(100_000, np.float32) for _ in range(50)]
    grads = [p.copy() for p in params]
    kept = list(params)
    thread = threading.Thread(target=lambda: (params.clear(), grads.clear()))
    thread.start()
    sgd(
        list(kept),
        [p.copy() for p in kept],
        [],
        np.array([0.1]),
        0.0,
        0.0,
        0.0,
        False,
        False,
        False,
    )
    thread.join()


def test_launches_of_other_element_types_go_to_the_reference() -> None:
    x = np.ones(6, np.float16)
    y = np.empty_like(x)
    _backend.native["relu_forward"](x, y)
    np.testing.assert_array_equal(y, x)


def test_stub_is_up_to_date() -> None:
    tool = Path(__file__).resolve().parent.parent / "tools" / "make_stubs.py"
    if not tool.is_file():
        pytest.skip("not in a source tree")
    done = subprocess.run([sys.executable, str(tool), "--check"], check=False)
    assert done.returncode == 0, "run tools/make_stubs.py"

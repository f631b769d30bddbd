# SPDX-License-Identifier: BSD-3-Clause
"""The SIMT emulation itself: what kernels may rely on, and which broken rules it reports."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from cuda_emulation import backend, build, checks


@pytest.mark.parametrize("check", checks.EMULATOR, ids=lambda check: check.__name__)
def test_kernels_in_every_order(ordered: ModuleType, check: Callable[[ModuleType], None]) -> None:
    check(ordered)


# In the order of the table in kernels/fault.cu.
FAULTS = [
    ("exit before a barrier", r"barrier after 1 of 64 threads have exited|thread 3 exits while"),
    ("barrier in a branch", r"threads have exited|exits while \d+ threads wait at this barrier"),
    ("divergent barriers", r"divergent barrier: \d+ threads wait at fault\.cu:\d+"),
    ("mask without its caller", r"with the mask 0xfffffffe, which lacks it"),
    ("full mask in half a warp", r"lane \d+ exits while lane \d+ waits|which has exited"),
    ("masks that differ", r"while lane \d+ waits in __shfl_sync"),
    ("operations that differ", r"calls __shfl\w+ .* while lane \d+ waits in __shfl"),
    ("source outside the mask", r"reads lane 20, which is not in the mask 0x0000ffff"),
    ("barrier against shuffle", r"deadlock: \d+ threads wait at barriers and \d+ in warp"),
]


@pytest.mark.parametrize("which", range(len(FAULTS)), ids=[name for name, _ in FAULTS])
def test_a_broken_rule_is_reported(ordered: ModuleType, which: int) -> None:
    y = np.zeros(64, np.float32)
    with pytest.raises(RuntimeError, match=FAULTS[which][1]) as raised:
        ordered.fault(y, which)
    assert "fault.cu:" in str(raised.value)
    assert (y == 0).all()  # a failed call changes nothing
    checks.warp_collectives(ordered)  # and leaves nothing behind


LIMITS = [
    ((0, 1, 32, 0, False), "a grid of no blocks"),
    ((1, 65536, 32, 0, False), "a grid larger than"),
    ((1, 1, 1056, 0, False), "a block of 1056 threads, expected 1 to 1024"),
    ((1, 1, 48, 0, False), "a block of 48 threads, expected a multiple of 32"),
    ((1, 1, 32, 227 * 1024 + 1, False), "bytes of shared memory, expected at most 232448"),
    ((1000, 1, 1024, 0, True), "a cooperative grid whose blocks are not all resident"),
]


@pytest.mark.parametrize(("launch", "message"), LIMITS)
def test_a_launch_beyond_the_limits_fails(
    emulated: ModuleType, launch: tuple[int, ...], message: str
) -> None:
    with pytest.raises(RuntimeError, match=message):
        emulated.launch_empty(np.zeros(1, np.float32), *launch)


def test_a_launch_at_the_limits_runs(emulated: ModuleType) -> None:
    y = np.zeros(1, np.float32)
    emulated.launch_empty(y, 2, 3, 1024, 227 * 1024, False)
    emulated.launch_empty(y, 16, 1, 1024, 0, True)


def test_an_ordinary_launch_cannot_wait_for_other_blocks(ordered: ModuleType) -> None:
    x = np.zeros(500, np.float32)
    with pytest.raises(RuntimeError, match=r"livelock: .* \(only a cooperative launch"):
        ordered.smooth(x, np.empty_like(x), np.zeros(1, np.int32), 2, False)


REDUCE = build.HERE / "kernels" / "reduce.cu"
FIRST_BARRIER = build.Mutation(REDUCE, "__syncthreads();  // every part is written", "")
SECOND_BARRIER = build.Mutation(REDUCE, "__syncthreads();  // every part is read", "//")


@pytest.mark.parametrize(
    ("mutation", "orders"),
    [(FIRST_BARRIER, backend.ORDERS), (SECOND_BARRIER, (backend.GREEDY_FORWARD,))],
    ids=["before the reads", "after the reads"],
)
def test_a_removed_barrier_changes_the_result(
    mutation: build.Mutation, orders: tuple[int, ...]
) -> None:
    module = backend.load_path(build.build(kernels=[REDUCE], mutations=[mutation]))
    for order in orders:
        backend.set_order(module, order)
        with pytest.raises(AssertionError):
            checks.row_moments(module)

# SPDX-License-Identifier: BSD-3-Clause
"""Tensors of more than 2^31 elements: every place is reached, at the right number.

Inputs are private mappings of no file: pages that are only read are all the system's one page of
zeros and take no memory. What is not zero was planted at the near end, about element 2^31 and at
the far end. Tests are skipped where less than 20 GiB of memory are free, and must not have more
than 18 GiB resident.
"""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="lazy mappings: Linux only"),
]

GIB = 2**30
NEEDED = 20 * GIB
MOST_RESIDENT = 18 * GIB
EDGE = 2**31  # the first place that 32 bits with a sign cannot say
COUNT = EDGE + 1027


def kilobytes(file: str, name: str) -> int:
    """A line ``name:  123 kB`` of a file under /proc, in bytes."""
    lines = Path(file).read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":")) * 1024


def number(path: Path) -> float:
    """The number in a file of a control group; infinity for ``max`` and for a file that is not."""
    text = path.read_text("ascii").strip() if path.is_file() else "max"
    return math.inf if text == "max" else float(text)


def left_in_group(group: Path, limit: str, usage: str, idle: str) -> float:
    """What a control group may still take; the idle part of the file cache counts as free."""
    most = number(group / limit)
    if math.isinf(most):
        return most
    stat = (group / "memory.stat").read_text("ascii").splitlines()
    cache = next((float(line.split()[1]) for line in stat if line.startswith(idle + " ")), 0.0)
    return most - number(group / usage) + cache


def free_memory() -> float:
    """Bytes that this process can still take from the machine and from its control groups."""
    free: float = kilobytes("/proc/meminfo", "MemAvailable")
    mount = Path("/sys/fs/cgroup")
    for line in Path("/proc/self/cgroup").read_text("ascii").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, files = mount, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = mount / "memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = top / path.lstrip("/")
        for directory in (group, *group.parents):  # each is bound by those above
            if directory.is_relative_to(top):
                free = min(free, left_in_group(directory, *files))
    return free


@pytest.fixture(autouse=True)
def room() -> Iterator[None]:
    """Skips where memory is short; a test that had too much of it resident fails."""
    fastnn.empty_cache()
    free = free_memory()
    if free < NEEDED:
        pytest.skip(f"needs {NEEDED // GIB} GiB of free memory, found {free / GIB:.1f}")
    yield
    fastnn.empty_cache()
    assert kilobytes("/proc/self/status", "VmHWM") <= MOST_RESIDENT


def mapped(shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """Zeros that have no memory before they are written."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(memory, dtype).reshape(shape)


def test_sum_and_argmax_reach_the_far_end() -> None:
    array = mapped((COUNT,), np.float32)
    x = fastnn.from_numpy(array)
    array[0], array[EDGE + 5], array[-2] = 1, 2, 4
    assert x.sum().item() == 7
    assert x.argmax().item() == COUNT - 2
    assert x.max().item() == 4
    array[-2] = 0
    assert x.argmax().item() == EDGE + 5
    rows = x[:-1].reshape(-1, 2)  # element 2^31 + 5 is the second of its row
    assert rows.sum(0).tolist() == [1, 2]
    assert rows.argmax(0).tolist() == [0, (EDGE + 5) // 2]


def test_index_reads_and_writes_at_the_far_end() -> None:
    array = mapped((COUNT,), np.float32)
    x = fastnn.from_numpy(array)
    array[-1], array[EDGE] = 4, 3
    assert x[-1].item() == x[COUNT - 1].item() == 4
    assert x[EDGE].item() == 3
    assert x[EDGE - 1 :: 2][:2].tolist() == [0, 0]
    assert x[EDGE - 2 :: 2][:3].tolist() == [0, 3, 0]
    places = fastnn.tensor([0, EDGE, COUNT - 1, -1])
    assert x[places].tolist() == [0, 3, 4, 4]
    assert fastnn.gather(x, 0, places[:3]).tolist() == [0, 3, 4]
    assert fastnn.index_select(x, 0, places[:3]).tolist() == [0, 3, 4]
    with pytest.raises(IndexError):
        x[COUNT]
    with pytest.raises(IndexError):
        x[fastnn.tensor([COUNT])]

    x[EDGE + 3] = 7
    x[-2] = 8
    x[-5:-3] = 9
    x[fastnn.tensor([EDGE + 1, EDGE])] = fastnn.tensor([1.0, 2.0])
    assert array[EDGE : EDGE + 5].tolist() == [2, 1, 0, 7, 0]
    assert array[-6:].tolist() == [0, 9, 9, 0, 8, 4]
    assert not array[:1027].any()  # the same places modulo 2^31
    assert repr(x) == "tensor([0., 0., 0.,  ..., 0., 8., 4.])"


def test_a_mask_picks_without_a_list_of_places() -> None:
    """Of 8 bytes for each of 2^31 elements such a list would be more than may be resident."""
    array, mask = mapped((COUNT,), np.uint8), mapped((COUNT,), np.bool_)
    array[EDGE + 5], array[-1] = 2, 4
    mask[:] = True
    mask[1] = False
    x, where = fastnn.from_numpy(array), fastnn.from_numpy(mask)
    y = x[where]
    assert y.shape == (COUNT - 1,)
    assert (y[EDGE + 4].item(), y[-1].item()) == (2, 4)
    assert np.count_nonzero(y.numpy()) == 2
    x[where] = 3
    assert array[1] == 0
    assert np.count_nonzero(array == 3) == COUNT - 1


def test_add_in_place_changes_every_element_once() -> None:
    array = mapped((COUNT,), np.float32)
    array[EDGE], array[-1] = 2, 4
    x = fastnn.from_numpy(array)
    x += 1
    assert (array[EDGE], array[-1]) == (3, 5)
    array[EDGE] = array[-1] = 1
    assert array.min() == array.max() == 1
    other = mapped((COUNT,), np.float32)
    other[EDGE + 1], other[-1] = 2, 4
    x += fastnn.from_numpy(other)
    assert (array[EDGE + 1], array[-1]) == (3, 5)
    array[EDGE + 1] = array[-1] = 1
    assert array.min() == array.max() == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_])
def test_copies_and_comparisons_of_bytes(dtype: Any) -> None:
    array = mapped((COUNT,), dtype)
    array[EDGE + 1] = array[-1] = 1
    x = fastnn.from_numpy(array)
    y = x.clone()
    assert np.flatnonzero(y.numpy()[EDGE - 1 :]).tolist() == [2, COUNT - EDGE]
    assert np.count_nonzero(y.numpy()) == 2
    assert (x == y).all().item()
    y[EDGE] = 1
    unequal = x != y
    assert unequal[EDGE].item()
    assert np.count_nonzero(unequal.numpy()) == 1
    del unequal
    y.copy_(x)
    assert not (x != y).any().item()


# All hold more than 2^31 elements; the last in two rows, as many products to a sum.
@pytest.mark.parametrize(("m", "k"), [(65537, 32768), (32768, 65537), (2, 2**30 + 1)])
@pytest.mark.parametrize("transposed", [False, True])
def test_product_of_a_large_matrix_and_a_column(m: int, k: int, transposed: bool) -> None:
    array = mapped((k, m) if transposed else (m, k), np.float32)
    a = array.T if transposed else array
    assert a.size > EDGE
    column = mapped((k, 1), np.float32)
    column[0], column[-1] = 1, 2
    a[0, 0], a[0, -1], a[-1, 0], a[-1, -1] = 1, 3, 5, 7
    y = fastnn.from_numpy(a) @ fastnn.from_numpy(column)
    assert y.shape == (m, 1)
    assert (y[0].item(), y[-1].item()) == (7, 19)
    assert np.count_nonzero(y.numpy()) == 2

# SPDX-License-Identifier: BSD-3-Clause
"""The ceilings that the native module measures: rates that can be, refusals that say why."""

from __future__ import annotations

import pytest

from fastnn import _backend

pytestmark = pytest.mark.skipif(_backend.cpu is None, reason="needs the native module")
SECONDS = 0.02


def test_multiply_adds_have_a_rate() -> None:
    # No machine that runs this does fewer than a tenth of one a nanosecond, or a million.
    assert 0.1 < _backend.cpu.ceiling_fma(1, SECONDS) < 1e6


@pytest.mark.parametrize("kind", ["read", "copy", "stream"])
def test_memory_has_a_rate(kind: str) -> None:
    assert 0.01 < _backend.cpu.ceiling_memory(kind, 1, 1 << 20, SECONDS) < 1e5


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="read, copy or stream, got 'write'"):
        _backend.cpu.ceiling_memory("write", 1, 1 << 20, SECONDS)
    for seconds in (0.0, -1.0, 11.0, float("nan")):
        with pytest.raises(ValueError, match="0 < seconds <= 10"):
            _backend.cpu.ceiling_fma(1, seconds)
        with pytest.raises(ValueError, match="0 < seconds <= 10"):
            _backend.cpu.ceiling_memory("copy", 1, 1 << 20, seconds)
    for threads in (0, -1, 1 << 20):
        assert not _backend.cpu.ceiling_fma(threads, SECONDS) > 0

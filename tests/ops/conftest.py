# SPDX-License-Identifier: BSD-3-Clause
"""The native kernels by name, on the instruction-set level in use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fastnn import _backend


@pytest.fixture(params=[_backend.cpu.isa() if _backend.name == "cpu" else None])
def kernels(request: pytest.FixtureRequest) -> Any:
    if request.param is None:
        pytest.skip("the native CPU kernels are not in use")
    return _backend.cpu.kernels


@pytest.fixture(autouse=True)
def _gathered(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests about threads see every thread take part: on a busy machine, and on one core, too."""
    if "thread" not in request.node.name or _backend.name != "cpu":
        yield
        return
    _backend.cpu.gather_workers(True)
    yield
    _backend.cpu.gather_workers(False)

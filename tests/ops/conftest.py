# SPDX-License-Identifier: BSD-3-Clause
"""The native kernels by name, on every instruction-set level of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fastnn import _backend

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = _backend.cpu.usable_levels() if _backend.name == "cpu" else [None]


@pytest.fixture(params=LEVELS)
def kernels(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param is None:
        pytest.skip("the native CPU kernels are not in use")
    before = _backend.cpu.isa()
    _backend.cpu.set_isa(request.param)
    yield _backend.cpu.kernels
    _backend.cpu.set_isa(before)

# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the emulation's tests: modules, orders, and processes under a sanitizer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

import pytest

from cuda_emulation import backend, build, checks

ALL_KERNELS = (*build.PRODUCT_KERNELS, *build.TEST_KERNELS)
ORDER_NAMES = ("forward", "reverse", "random", "greedy-forward", "greedy-reverse")


@pytest.fixture(scope="session", autouse=True)
def builder() -> None:
    """Skip where nothing can be built; fail instead where the native part is required."""
    reason = build.missing()
    if reason is None:
        return
    if os.environ.get("CI") or os.environ.get("FASTNN_REQUIRE_NATIVE"):
        pytest.fail(f"the emulation cannot be built: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session", params=["plain", "ucontext"])
def emulated(request: pytest.FixtureRequest) -> ModuleType:
    """The module with the product's kernels and the tests' own, with either switch of fibers."""
    return backend.load_path(build.build(request.param, kernels=ALL_KERNELS))


@pytest.fixture(params=backend.ORDERS, ids=ORDER_NAMES)
def ordered(request: pytest.FixtureRequest, emulated: ModuleType) -> Iterator[ModuleType]:
    backend.set_order(emulated, request.param)
    yield emulated
    backend.set_order(emulated, backend.FORWARD)


@pytest.fixture
def sanitized() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run checks in a new process under a sanitizer, with mistakes planted if asked for."""

    def run(
        mode: str,
        *names: str,
        order: int = backend.FORWARD,
        mutations: Sequence[build.Mutation] = (),
    ) -> subprocess.CompletedProcess[str]:
        path = build.build(mode, kernels=ALL_KERNELS, mutations=mutations)
        return subprocess.run(
            [sys.executable, checks.__file__, str(path), str(order), *names],
            check=False,
            capture_output=True,
            text=True,
            env=build.sanitizer_environment(mode),
        )

    return run

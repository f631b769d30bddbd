# SPDX-License-Identifier: BSD-3-Clause
"""Markers with conditions, the data directory, and a watchdog for tests that hang.

A test marked ``torch`` or ``data`` whose requirement is missing is skipped with the reason on a
developer's machine. With ``CI`` set nothing is skipped for want of an install: such tests are left
out of the selection, and ``FASTNN_TEST_REQUIRE=torch,data`` (a CI stage that promises to have
them) makes a missing requirement an error.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}

# NumPy's BLAS threads go on spinning after a product and take the processors from ours, which makes
# everything that compares with NumPy many times slower. Set before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The watchdog ends the process, so it waits a little longer than pytest-timeout, which ends the
# test only, but cannot interrupt a thread that is stuck in native code.
WATCHDOG_MARGIN = 60.0

# No deadline: a shared machine's timing is no property of the code. In CI the same examples each
# time, so that a failure there can be repeated.
hypothesis.settings.register_profile("fastnn", deadline=None, derandomize=CI)
hypothesis.settings.load_profile("fastnn")


def data_directory() -> Path | None:
    """Return the directory of the data sets, or None: ``FASTNN_DATA``, else ../shared/data."""
    given = os.environ.get("FASTNN_DATA")
    path = Path(given) if given else ROOT.parent / "shared" / "data"
    return path if path.is_dir() else None


def missing_torch() -> str | None:
    found = importlib.util.find_spec("torch") is not None
    return None if found else "torch is not installed"


def missing_data() -> str | None:
    return None if data_directory() else "no data sets: set FASTNN_DATA to their directory"


def missing_gpu() -> str | None:
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed"
    import cupy  # noqa: PLC0415 - only where it is asked for

    try:
        return None if cupy.cuda.runtime.getDeviceCount() else "no CUDA device"
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no CUDA device: {error}"


CONDITIONS = {"torch": missing_torch, "data": missing_data, "gpu": missing_gpu}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    required = set(filter(None, os.environ.get("FASTNN_TEST_REQUIRE", "").split(",")))
    slow = config.getoption("--slow") or "slow" in (config.getoption("-m") or "")
    reasons = {
        name: check()
        for name, check in CONDITIONS.items()
        if any(item.get_closest_marker(name) for item in items)
    }
    kept, dropped = [], []
    for item in items:
        keep = slow or item.get_closest_marker("slow") is None
        for name, reason in reasons.items():
            if reason is None or item.get_closest_marker(name) is None:
                continue
            if name in required:
                message = f"{item.nodeid} needs {name}, which FASTNN_TEST_REQUIRE names: {reason}"
                raise pytest.UsageError(message)
            if CI and name != "gpu":
                keep = False
            else:
                item.add_marker(pytest.mark.skip(reason=reason))
        (kept if keep else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The directory of the data sets; a test that uses it carries the marker ``data``."""
    path = data_directory()
    if path is None:
        pytest.skip("no data sets: set FASTNN_DATA to their directory")
    return path


_real_stderr = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is None:
        config.stash[_real_stderr] = os.dup(2)
        return
    with capture.global_and_fixture_disabled():  # descriptor 2 is a temporary file otherwise
        config.stash[_real_stderr] = os.dup(2)


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[_real_stderr])
    del config.stash[_real_stderr]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    marker = item.get_closest_marker("timeout")
    limit = (
        marker.args[0] if marker and marker.args else float(item.config.getini("timeout") or 600)
    )
    faulthandler.dump_traceback_later(
        limit + WATCHDOG_MARGIN, exit=True, file=item.config.stash[_real_stderr]
    )
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()

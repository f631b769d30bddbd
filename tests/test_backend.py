# SPDX-License-Identifier: BSD-3-Clause
"""Which backend runs, how it is chosen, and what is said about the others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import fastnn
from fastnn import _backend


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("FASTNN_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**env, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_numpy_backend_runs_the_same_program() -> None:
    code = (
        "import fastnn; fastnn.manual_seed(1)\n"
        "x = fastnn.randn(3, 4, requires_grad=True); (x.tanh() @ x.t()).sum().backward()\n"
        "print(fastnn._backend.name, float(x.grad.sum()))"
    )
    done = run(code, FASTNN_BACKEND="numpy")
    assert done.returncode == 0, done.stderr
    name, value = done.stdout.split()
    assert name == "numpy"
    fastnn.manual_seed(1)
    x = fastnn.randn(3, 4, requires_grad=True)
    (x.tanh() @ x.t()).sum().backward()
    assert float(value) == pytest.approx(float(x.grad.sum()), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [("gpu", "expected one of numpy, cpu, cuda, got 'gpu'"), ("cuda", "FASTNN_BACKEND=cuda: ")],
)
def test_a_backend_that_cannot_be_had_is_an_error_with_its_reason(name: str, message: str) -> None:
    if name == "cuda" and _backend.native_cuda:
        pytest.skip("there is a GPU")
    done = run("import fastnn", FASTNN_BACKEND=name)
    assert done.returncode != 0
    assert message in done.stderr


@pytest.mark.skipif(_backend.cpu is None, reason="needs the native kernels")
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FASTNN_ISA", "x86_v9", "names no level"),
        ("FASTNN_NUM_THREADS", "many", "FASTNN_NUM_THREADS"),
        ("FASTNN_CACHE_MB", "-x", "FASTNN_CACHE_MB"),
    ],
)
def test_malformed_settings_are_named_in_a_warning(variable: str, value: str, message: str) -> None:
    done = run("import fastnn; print(fastnn.tanh(fastnn.zeros(2)).tolist())", **{variable: value})
    assert done.returncode == 0
    assert done.stdout.strip() == "[0.0, 0.0]"
    assert message in done.stderr


@pytest.mark.skipif(_backend.cpu is None, reason="needs the native kernels")
def test_a_lower_level_can_be_chosen() -> None:
    lowest = _backend.cpu.usable_levels()[0]
    done = run("import fastnn; print(fastnn.show_config())", FASTNN_ISA=lowest)
    assert f"cpu ({lowest}," in done.stdout


def test_show_config_names_the_backend_and_why_not_the_others() -> None:
    text = fastnn.show_config()
    assert text.startswith(f"backend: {_backend.name}")
    assert "not cuda: " in text or _backend.name == "cuda"
    assert ("no CUDA kernel yet:" in text) == (_backend.name == "cuda")
    if _backend.name == "cpu":
        rest = set(_backend.references) - set(_backend.native)
        assert f"kernels: {len(_backend.native)} native, {len(rest)} by reference" in text
        assert all(name in text for name in rest)


def test_kernels_of_unknown_names_say_so() -> None:
    table = _backend.default_table()
    with pytest.raises(AttributeError, match="no kernel named 'conv9d'"):
        table.conv9d()

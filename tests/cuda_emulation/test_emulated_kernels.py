# SPDX-License-Identifier: BSD-3-Clause
"""The CUDA kernels on the host: values in several orders of threads, and the argument checks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cuda_emulation import backend, build, checks


def test_activations_in_every_order(ordered: ModuleType) -> None:
    checks.activations(ordered)


def test_the_case_table_in_every_order(ordered: ModuleType) -> None:
    checks.case_table(ordered)


def test_activations_beyond_one_pass_of_the_grid(emulated: ModuleType) -> None:
    # 8192 blocks of 256 threads; unaligned, so that each thread takes one element at a time.
    n = 8192 * 256 + 77
    x = checks.placed(np.linspace(-1, 1, n, dtype=np.float32), 1)
    y = np.empty_like(x)
    emulated.relu_forward(x, y)
    np.testing.assert_array_equal(y, np.maximum(x, 0))


def test_the_module_says_what_it_is() -> None:
    module = backend.load()
    assert module.is_emulation()
    assert module.device_count() == 1
    assert module.device_problem() == ""
    expected = {f"{name}_{way}" for name in ("relu", "tanh", "sigmoid") for way in CALLS}
    assert expected <= set(module.kernels())
    assert set(backend.kernel_table()) == set(module.kernels())
    assert "relu_backward(y, grad_y, grad_x, stream=0)" in module.relu_backward.__doc__


CALLS = ("forward", "backward")
X = np.ones((2, 3), np.float32)


def _read_only(a: Any) -> Any:
    a = a.copy()
    a.flags.writeable = False
    return a


def _unaligned() -> Any:
    return np.zeros(25, np.uint8)[1:].view(np.float32).reshape(2, 3)


OVERLAP = np.zeros(8, np.float32)

BAD_CALLS: dict[str, tuple[tuple[Any, ...], type[Exception], str]] = {
    "shape": ((X, np.ones(6, "f4")), ValueError, r"y with the shape of x \(2, 3\), got \(6,\)"),
    "dtype": ((X, X.astype("f8")), ValueError, r"got \(x float32, y float64\)"),
    "no kernel for it": ((X.astype("f2"), X), ValueError, r"got \(x <f2, y float32\)"),
    "big-endian": ((X.astype(">f4"), X.copy()), ValueError, r"got \(x >f4"),
    "strides": ((X.T, X.T.copy()), ValueError, "x: expected a C-contiguous array"),
    "unaligned": ((_unaligned(), X.copy()), ValueError, "x: expected data aligned to 4 bytes"),
    "read-only output": ((X, _read_only(X)), ValueError, "y: expected a writable array"),
    "overlap": ((OVERLAP[:4], OVERLAP[1:5]), ValueError, "overlaps x"),
    "no array": ((X, [1.0]), TypeError, r"y: expected a NumPy array .*, got list"),
    "too few": ((X,), TypeError, "expected 2 arguments and the stream, got 1"),
    "too many": ((X, X, 0, 0), TypeError, "expected 2 arguments and the stream, got 4"),
    "stream": ((X, X.copy(), "0"), TypeError, "stream: expected an integer handle or None"),
    "negative stream": ((X, X.copy(), -1), ValueError, "relu_forward"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_wrong_arguments_are_refused(emulated: ModuleType, name: str) -> None:
    arguments, error, message = BAD_CALLS[name]
    with pytest.raises(error, match=message) as raised:
        emulated.relu_forward(*arguments)
    assert str(raised.value).startswith("relu_forward: ")


def test_two_outputs_may_not_share_memory(emulated: ModuleType) -> None:
    x, moment = np.ones((2, 3), np.float32), np.empty(2, np.float32)
    with pytest.raises(ValueError, match="expected mean in memory of its own"):
        emulated.row_moments(x, moment, moment)


def test_good_arguments_of_every_form(emulated: ModuleType) -> None:
    y = np.empty_like(X)
    for stream in ((), (0,), (None,)):
        emulated.relu_forward(_read_only(X), y, *stream)
    scalar = np.array(-2.0)
    emulated.relu_forward(scalar, scalar)
    assert scalar == 0
    column = np.ones((3, 1), np.float32)[:, ::-1]  # strided on paper, contiguous in memory
    emulated.relu_forward(column, np.empty_like(column))
    nothing = np.empty((0, 5))[::-1]
    emulated.relu_forward(nothing, np.empty_like(nothing))


def test_calls_from_several_threads_take_turns(emulated: ModuleType) -> None:
    x = np.linspace(-2, 2, 3000, dtype=np.float32)
    outputs = [np.empty_like(x) for _ in range(4)]

    def work(y: Any) -> None:
        for _ in range(5):
            emulated.tanh_forward(x, y)

    threads = [threading.Thread(target=work, args=(y,)) for y in outputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for y in outputs:
        np.testing.assert_allclose(y, np.tanh(x), rtol=1e-6)


def test_a_sanitizers_module_needs_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    with pytest.raises(RuntimeError, match="libasan preloaded"):
        backend.load("asan")


def test_a_mutation_must_fit_the_file() -> None:
    path = build.PRODUCT_KERNELS[0]
    with pytest.raises(ValueError, match="once, found it 0 times"):
        build.Mutation(path, "no such text", "").apply(path.read_text("utf-8"))


@pytest.fixture
def wrong_module() -> Callable[[build.Mutation], ModuleType]:
    return lambda mutation: backend.load_path(build.build(mutations=[mutation]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x < T(0) ? T(0) : x;", "x >= T(0) ? x : T(0);"),  # a NaN becomes 0
        ("y <= T(0) ? T(0) : grad_y;", "y > T(0) ? grad_y : T(0);"),
        ("grad_y * (T(1) - y * y)", "grad_y * (T(1) - y)"),
        ("math::exp(-math::fabs(x))", "math::exp(-x)"),
        ("vector ? n / kLanes : 0;\n    for (idx v = first; v < vectors; v += step) {\n"
         "        Vector16<T> value", "vector ? n / kLanes : 0;\n    for (idx v = first + 1; "
         "v < vectors; v += step) {\n        Vector16<T> value"),
    ],
    ids=["forward NaN", "backward NaN", "derivative", "overflow", "first vector left out"],
)  # fmt: skip
def test_the_checks_see_a_wrong_kernel(
    wrong_module: Callable[[build.Mutation], ModuleType], old: str, new: str
) -> None:
    module = wrong_module(build.Mutation(build.PRODUCT_KERNELS[0], old, new))
    with pytest.raises(AssertionError):
        checks.activations_small(module)

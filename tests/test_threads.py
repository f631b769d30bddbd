# SPDX-License-Identifier: BSD-3-Clause
"""The same bits on any number of threads, at any place in memory, after fork."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastnn
from fastnn import _backend, autograd, optim
from fastnn.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(_backend.name != "cpu", reason="needs the native kernels")


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = fastnn.get_num_threads()
    yield fastnn.set_num_threads
    fastnn.set_num_threads(before)


@pytest.fixture
def gathered() -> Iterator[None]:
    """Calls begin when all their threads have come: on a busy machine, and on one core, too."""
    _backend.cpu.gather_workers(True)
    yield
    _backend.cpu.gather_workers(False)


def _numbers(*shape: int) -> fastnn.Tensor:
    generator = fastnn.Generator().manual_seed(3)
    return fastnn.randn(*shape, generator=generator)


def _gradients(x: fastnn.Tensor) -> tuple[fastnn.Tensor, ...]:
    w, b = _numbers(96, x.shape[1]).requires_grad_(), fastnn.zeros(96, requires_grad=True)
    target = fastnn.arange(x.shape[0]) - (fastnn.arange(x.shape[0]) >= 96).long() * 96
    target = target * (target < 96).long()
    loss = F.cross_entropy(F.linear(x, w, b, activation="tanh"), target)
    return autograd.grad(loss, [w, b])


def _trained(x: fastnn.Tensor) -> fastnn.Tensor:
    weight, bias = _gradients(x)
    return weight + bias.reshape(96, 1)


def _cross_entropy_gradient(x: fastnn.Tensor, **options: Any) -> fastnn.Tensor:
    logits = x.clone().requires_grad_()
    target = fastnn.arange(x.shape[0])
    (gradient,) = autograd.grad(F.cross_entropy(logits, target, **options), [logits])
    return gradient


def _softmax_gradient(
    function: Callable[[fastnn.Tensor], fastnn.Tensor], x: fastnn.Tensor
) -> fastnn.Tensor:
    x = x.clone().requires_grad_()
    (gradient,) = autograd.grad(function(x), [x], grad_outputs=[_numbers(*x.shape)])
    return gradient


def _stepped(kind: type[optim.Optimizer], x: fastnn.Tensor, **options: Any) -> list[fastnn.Tensor]:
    weights = [x.clone().requires_grad_(), x.t().clone().requires_grad_()]
    optimizer = kind(weights, lr=0.1, **options)
    for step in range(3):
        for weight in weights:
            weight.grad = _numbers(*weight.shape) * (step + 1.0)
        optimizer.step()
    return weights


def _dropped(x: fastnn.Tensor) -> fastnn.Tensor:
    return F.dropout(x, 0.3, generator=fastnn.Generator().manual_seed(9))


# Above every threading threshold: in each, the last kernel with several pieces has four or more.
LARGE: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "add": (lambda x: x + x, (600, 1000)),
    "broadcast": (lambda x: x * x[:1], (600, 1000)),
    "transposed": (lambda x: x.t() + 1.0, (600, 1000)),
    "relu": (lambda x: x.relu(), (600, 1000)),
    "tanh": (lambda x: x.tanh(), (600, 1000)),
    "sigmoid": (lambda x: x.sigmoid(), (600, 1000)),
    "exp": (lambda x: x.exp(), (600, 1000)),
    "where": (lambda x: x.where(x > 0, -x), (600, 1000)),
    "sum": (lambda x: x.sum(), (600, 1000)),
    "sum rows": (lambda x: x.sum(1), (600, 1000)),
    "sum columns": (lambda x: x.sum(0), (2400, 1000)),
    "mean": (lambda x: x.mean(), (600, 1000)),
    "softmax": (lambda x: x.softmax(1), (600, 1000)),
    "log_softmax": (lambda x: x.log_softmax(1), (600, 1000)),
    "matmul": (lambda x: x @ x.t(), (300, 500)),
    "matvec": (lambda x: x @ x[0], (900, 1000)),
    "dropout": (_dropped, (600, 1000)),
    "randn": (lambda x: _numbers(*x.shape), (600, 1000)),
    "argmax": (lambda x: x.argmax(1), (600, 1000)),
    "softmax backward": (lambda x: _softmax_gradient(lambda x: x.softmax(1), x), (600, 1000)),
    "log_softmax backward": (
        lambda x: _softmax_gradient(lambda x: x.log_softmax(1), x),
        (600, 1000),
    ),
    "cross-entropy backward": (_cross_entropy_gradient, (600, 1000)),
    "smoothed cross-entropy backward": (
        lambda x: _cross_entropy_gradient(x, label_smoothing=0.1),
        (600, 1000),
    ),
    "SGD": (lambda x: _stepped(optim.SGD, x, momentum=0.9, nesterov=True), (600, 1000)),
    "Adam": (lambda x: _stepped(optim.Adam, x), (600, 1000)),
    "AdamW": (lambda x: _stepped(optim.AdamW, x, amsgrad=True), (600, 1000)),
    "linear and cross-entropy backward": (_gradients, (2048, 700)),
}


@pytest.mark.usefixtures("gathered")
@pytest.mark.parametrize("what", LARGE)
def test_bits_do_not_depend_on_the_number_of_threads(
    what: str, threads: Callable[[int], None]
) -> None:
    function, shape = LARGE[what]
    x = _numbers(*shape)
    results = []
    for n in (1, 2, 3, 4):
        threads(n)
        result = function(x)
        assert _backend.cpu.last_participants() == n  # in its last kernel that has pieces
        parts = [result] if isinstance(result, fastnn.Tensor) else result
        results.append([part.detach().numpy().tobytes() for part in parts])
    for r in results[1:]:
        assert r == results[0]


def test_four_threads_take_part_when_asked_for() -> None:
    # In a process of its own, with more threads than this machine may have cores: products that
    # last longer than the scheduler's time slices, so that every thread gets its turn.
    code = (
        "import fastnn, fastnn._cpu as c\n"
        "x = fastnn.ones(1536, 1536)\n"
        "best = 0\n"
        "for _ in range(300):\n"
        "    x @ x; best = max(best, c.last_participants())\n"
        "    if best == 4: break\n"
        "print(fastnn.get_num_threads(), best)\n"
    )
    env = {**os.environ, "FASTNN_NUM_THREADS": "4"}
    out = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["4", "4"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_the_place_in_a_buffer(dtype: type) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(77).astype(dtype)
    functions: list[Callable[[fastnn.Tensor], fastnn.Tensor]] = [
        lambda x: x + 0.5,
        lambda x: x * x,
        lambda x: x.relu(),
        lambda x: x.tanh(),
        lambda x: x.sigmoid(),
        lambda x: x.exp(),
        lambda x: (x * x + 0.1).log(),
        lambda x: x.softmax(0),
        lambda x: x.sum(),
        lambda x: x.reshape(7, 11) @ x.reshape(11, 7),
    ]
    for function in functions:
        want = function(fastnn.tensor(values)).numpy().tobytes()
        for offset in range(32):
            buffer = np.zeros(77 + 32, dtype)
            buffer[offset : offset + 77] = values
            got = function(fastnn.from_numpy(buffer[offset : offset + 77])).numpy()
            assert got.tobytes() == want


def test_an_element_does_not_depend_on_its_neighbours() -> None:
    x = _numbers(257)
    for function in (fastnn.tanh, fastnn.sigmoid, fastnn.exp):
        whole = function(x).numpy()
        for n in (1, 3, 8, 15, 16, 17, 33, 63, 129):
            part = function(x[:n].clone()).numpy()
            np.testing.assert_array_equal(part.view(np.uint32), whole[:n].view(np.uint32))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_child_of_a_fork_trains_with_threads_of_its_own() -> None:
    x = _numbers(512, 700)
    want = _trained(x).numpy()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            same = bool((_trained(x).numpy() == want).all())
            os.write(write, b"1" if same else b"0")
        finally:
            os._exit(0)
    os.close(write)
    answer = os.read(read, 1)
    os.close(read)
    os.waitpid(pid, 0)
    assert answer == b"1"
    np.testing.assert_array_equal(_trained(x).numpy(), want)


@pytest.mark.parametrize("n", [0, -1, True, 1.5])
def test_bad_numbers_of_threads_are_refused(n: Any) -> None:
    with pytest.raises(ValueError, match="expected an int >= 1"):
        fastnn.set_num_threads(n)

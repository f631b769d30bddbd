# SPDX-License-Identifier: BSD-3-Clause
"""What the emulated kernels must compute. Each check takes a module and raises AssertionError.

They are plain functions, so that the same ones run in every order of threads, with either switch of
fibers, and in a process of their own under a sanitizer::

    python checks.py MODULE ORDER CHECK...
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
DTYPES = (np.float32, np.float64)


def placed(values: Array, offset: int) -> Array:
    """Copy ``values`` to memory that begins ``offset`` elements after a 64-byte boundary."""
    raw = np.zeros(values.nbytes + 64 + offset * values.itemsize, np.uint8)
    start = -raw.ctypes.data % 64 + offset * values.itemsize
    result = raw[start : start + values.nbytes].view(values.dtype)
    result[...] = values
    return result


def special_values(dtype: type) -> Array:
    info = np.finfo(dtype)
    tiny = float(info.smallest_subnormal)
    numbers = [0.0, -0.0, 1.0, -1.0, 0.1, -20.0, 20.0, 90.0, -90.0, 800.0, -800.0, tiny, -tiny]
    return np.array([*numbers, np.inf, -np.inf, np.nan, info.max, info.min], dtype)


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(np.isnan(x), x, np.where(x >= 0, 1 / (1 + e), e / (1 + e)))


def _expected(name: str, x: Array, g: Array, y: Array) -> tuple[Array, Array]:
    """Value at ``x``, and gradient for the output ``y``, in the precision of the arguments."""
    if name == "relu":
        return np.where(x <= 0, 0, x), np.where(y <= 0, 0, g)
    if name == "tanh":
        return np.tanh(x), g * (1 - y * y)
    return _sigmoid(x), g * (y * (1 - y))


def _check_activation(module: ModuleType, name: str, x: Array, g: Array, offsets: Any) -> None:
    forward, backward = getattr(module, f"{name}_forward"), getattr(module, f"{name}_backward")
    x_offset, g_offset, out_offset = offsets
    x, g = placed(x, x_offset), placed(g, g_offset)
    y, grad_x = (placed(np.full_like(x, 7), out_offset) for _ in range(2))
    forward(x, y)
    backward(y, g, grad_x)
    wide = np.longdouble
    with np.errstate(all="ignore"):
        exact = _expected(name, x.astype(wide), g.astype(wide), y.astype(wide))
        exact_y, exact_g = (e.astype(x.dtype) for e in exact)
    info = np.finfo(x.dtype)
    # ReLU is exact. The others: exp and tanh are within 1 ulp on the host; two operations follow.
    bound = 0 if name == "relu" else 4 * info.eps
    floor = 0 if name == "relu" else 4 * float(info.smallest_subnormal)
    np.testing.assert_allclose(y, exact_y, rtol=bound, atol=floor)
    # 1 - y^2 and 1 - y cancel near 1, so the gradient's bound is absolute.
    scale = np.where(np.isfinite(g), np.abs(g), 0) * bound
    with np.errstate(invalid="ignore"):
        close = np.abs(grad_x - exact_g) <= scale + floor
    agree = close | (grad_x == exact_g) | (np.isnan(grad_x) & np.isnan(exact_g))
    assert agree.all(), (name, x[~agree], grad_x[~agree], exact_g[~agree])
    # In place, the same bits: over the input, over either input of the backward pass.
    again = placed(x, out_offset)
    forward(again, again)
    np.testing.assert_array_equal(again.view(np.uint8), y.view(np.uint8))
    for position in (0, 1):
        inputs = [placed(y, out_offset), placed(g, out_offset)]
        backward(*inputs, inputs[position])
        np.testing.assert_array_equal(inputs[position].view(np.uint8), grad_x.view(np.uint8))


def activations(module: ModuleType, sizes: Any = (0, 1, 3, 4, 31, 257, 1024, 5003)) -> None:
    rng = np.random.default_rng(1)
    for dtype in DTYPES:
        for name in ("relu", "tanh", "sigmoid"):
            for n in sizes:
                x, g = (rng.standard_normal(n).astype(dtype) * 3 for _ in range(2))
                for offsets in ((0, 0, 0), (1, 1, 1), (0, 3, 0), (0, 0, 1)):
                    _check_activation(module, name, x, g, offsets)
            x = special_values(dtype)
            with np.errstate(over="ignore"):
                _check_activation(module, name, x, np.full_like(x, 2), (0, 0, 0))


def activations_small(module: ModuleType) -> None:
    activations(module, sizes=(0, 3, 1030))


def row_moments(module: ModuleType) -> None:
    rng = np.random.default_rng(2)
    for dtype in DTYPES:
        x = rng.standard_normal((3, 300)).astype(dtype)
        mean, variance = np.empty(3, dtype), np.empty(3, dtype)
        module.row_moments(x, mean, variance)
        tolerance = 100 * np.finfo(dtype).eps
        np.testing.assert_allclose(mean, x.mean(1), rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(variance, x.var(1), rtol=tolerance)


def transposes(module: ModuleType) -> None:
    for dtype in DTYPES:
        x = np.arange(70 * 45, dtype=dtype).reshape(70, 45)
        for name, more in (("transpose_static", ()), ("transpose_dynamic", (0,))):
            y = np.empty((45, 70), dtype)
            getattr(module, name)(x, y, 70, *more)
            np.testing.assert_array_equal(y, x.T)


def unwritten_shared_is_nan(module: ModuleType) -> None:
    y = np.zeros(32, np.float32)
    module.unwritten_shared(y)
    assert np.isnan(y).all()


def warp_collectives(module: ModuleType) -> None:
    lane = np.arange(64) % 32
    warp = np.arange(64) - lane
    sources = [
        warp + 31 - lane,
        warp + lane // 8 * 8 + 5,
        warp + np.where(lane >= 3, lane - 3, lane),
        warp + np.where(lane % 16 + 3 < 16, lane + 3, lane),
        warp + (lane ^ 9),
        warp + np.where(lane < 16, lane ^ 1, lane ^ 2),
    ]
    for dtype in (np.float32, np.float64, np.int32):
        x = np.arange(100, 164).astype(dtype)
        out = np.empty((6, 64), dtype)
        module.warp_shuffles(x, out)
        np.testing.assert_array_equal(out, x[np.array(sources)])

    positive = np.zeros(64, bool)
    positive[[1, 5, 30]] = True
    votes = np.empty((7, 64), np.int32)
    module.warp_votes(positive.astype(np.int32), votes)
    ballot = np.where(np.arange(64) < 32, (1 << 1) | (1 << 5) | (1 << 30), 0)
    rows = [ballot, np.arange(64) < 32, 0, 3, 1, 0, 1]
    np.testing.assert_array_equal(votes, np.array([np.broadcast_to(r, 64) for r in rows]))

    x = np.arange(64, dtype=np.float32)
    out = np.empty_like(x)
    module.warp_exchange(x, out)
    np.testing.assert_array_equal(out, x[np.arange(64) ^ 31])


def atomics(module: ModuleType) -> None:
    rng = np.random.default_rng(3)
    bins = rng.integers(0, 7, 1000).astype(np.int32)
    for dtype in DTYPES:
        value = rng.integers(-9, 9, 1000).astype(dtype)  # sums are exact, in any order
        count, weight = np.full(7, 5, np.int32), np.full(7, 0.5, dtype)
        module.histogram(bins, value, count, weight)
        np.testing.assert_array_equal(count, 5 + np.bincount(bins, minlength=7))
        np.testing.assert_array_equal(weight, 0.5 + np.bincount(bins, value, minlength=7))
    value = rng.integers(-50, 50, 500).astype(np.int32)
    out = np.array([0, 0, 1000, 0], np.int32)
    module.extremes(value, out)
    assert out[0] == value.min()
    assert out[1] == value.max()
    assert out[2] in value
    assert out[3] == np.sum(value * value)


def grid_barrier(module: ModuleType, steps: int = 6) -> None:
    for dtype in DTYPES:
        x = np.random.default_rng(4).standard_normal(500).astype(dtype)
        expected = x.copy()
        for _ in range(steps):
            expected[1:-1] = (expected[:-2] + expected[2:]) / 2
        arrived = np.zeros(1, np.int32)
        module.smooth(x, np.empty_like(x), arrived, steps, True)
        np.testing.assert_array_equal(x, expected)
        assert arrived[0] == 4 * steps


PRODUCT = (activations,)
EMULATOR = (
    row_moments,
    transposes,
    unwritten_shared_is_nan,
    warp_collectives,
    atomics,
    grid_barrier,
)


def case_table(module: ModuleType) -> None:
    """The product's case table with the emulated kernels in the place of the references."""
    from case_checks import assert_as_exact_as_numpy, forward_and_gradients  # noqa: PLC0415
    from fastnn import _backend, testing  # noqa: PLC0415

    used: set[str] = set()

    def counted(name: str) -> Any:
        def kernel(*arguments: Any) -> None:
            used.add(name)
            getattr(module, name)(*arguments)

        return kernel

    product = [name for name in module.kernels() if name in _backend.references]
    operations = {name.split("_")[0] for name in product}
    for case in testing.all_cases(bench=False):
        if case.name not in operations:
            continue
        for dtype in ("float32", "float64"):
            with _backend.use_kernels({name: counted(name) for name in product}):
                got = forward_and_gradients(case, dtype)
            assert_as_exact_as_numpy(case, dtype, got, f"{case.id} emulated")
    assert used == set(product), "every kernel took part"


def main() -> None:
    from cuda_emulation import backend  # noqa: PLC0415 - only this use needs the package

    path, order, *names = sys.argv[1:]
    module = backend.load_path(Path(path))
    backend.set_order(module, int(order))
    for name in names:
        globals()[name](module)
        sys.stdout.write(f"{name} passed\n")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()

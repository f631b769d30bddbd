# SPDX-License-Identifier: BSD-3-Clause
"""The emulated kernels under the sanitizers, and planted mistakes that each of them must see."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from cuda_emulation import backend, build, checks

Sanitized = Callable[..., CompletedProcess[str]]
EMULATOR = [check.__name__ for check in checks.EMULATOR]
ACTIVATION = build.ROOT / "cuda" / "ops" / "activation.cu"
KERNELS = build.HERE / "kernels"


def _passed(done: CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("order", [backend.FORWARD, backend.REVERSE, backend.RANDOM])
def test_address_sanitizer_finds_nothing(sanitized: Sanitized, order: int) -> None:
    _passed(sanitized("asan", "activations", "case_table", *EMULATOR, order=order))


OUT_OF_BOUNDS = {
    "one element too many": (
        ACTIVATION,
        "i < n; i += step) y[i]",
        "i <= n; i += step) y[i]",
        "activations_small",
        "heap-buffer-overflow",
    ),
    "one vector too far": (
        ACTIVATION,
        "const Vector16<T> out = load_vector(y + v * kLanes);",
        "const Vector16<T> out = load_vector(y + (v + 1) * kLanes);",
        "activations_small",
        "heap-buffer-overflow",
    ),
    "vectors at any address": (
        ACTIVATION,
        "const bool vector = vector_aligned(x.data, y.data);",
        "const bool vector = true;",
        "activations_small",
        "misaligned address",
    ),
    "shared array, one too far": (
        KERNELS / "reduce.cu",
        "part[threadIdx.x / kWarpSize] = value",
        "part[threadIdx.x / kWarpSize + 1] = value",
        "row_moments",
        "out of bounds",
    ),
    "dynamic shared memory too small": (
        KERNELS / "transpose.cu",
        "kTile * kPitch * sizeof(T) - static_cast<std::size_t>(missing)",
        "(kTile * kPitch - 2) * sizeof(T) - static_cast<std::size_t>(missing)",
        "transposes",
        "heap-buffer-overflow",
    ),
}


@pytest.mark.parametrize("name", OUT_OF_BOUNDS)
def test_address_sanitizer_sees(sanitized: Sanitized, name: str) -> None:
    path, old, new, check, report = OUT_OF_BOUNDS[name]
    done = sanitized("asan", check, mutations=[build.Mutation(path, old, new)])
    assert done.returncode != 0
    assert report in done.stderr
    assert path.name in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("order", [backend.FORWARD, backend.REVERSE, backend.RANDOM])
def test_thread_sanitizer_finds_nothing(sanitized: Sanitized, order: int) -> None:
    _passed(sanitized("tsan", "activations_small", "case_table", *EMULATOR, order=order))


RACES = {
    # Two blocks compute some elements both, and store the same values: no result shows it.
    "blocks that overlap": (
        ACTIVATION,
        "const idx step = static_cast<idx>(gridDim.x) * kThreads;\n"
        "    const idx vectors = vector ? n / kLanes : 0;\n"
        "    for (idx v = first; v < vectors; v += step) {\n"
        "        Vector16<T> value",
        "const idx step = kThreads;\n"
        "    const idx vectors = vector ? n / kLanes : 0;\n"
        "    for (idx v = first; v < vectors; v += step) {\n"
        "        Vector16<T> value",
        "activations_small",
    ),
    "barrier before the reads removed": (
        KERNELS / "reduce.cu",
        "__syncthreads();  // every part is written",
        "",
        "row_moments",
    ),
    "barrier after the reads removed": (
        KERNELS / "reduce.cu",
        "__syncthreads();  // every part is read",
        "// every part is read",
        "row_moments",
    ),
    "barrier between write and transposed read removed": (
        KERNELS / "transpose.cu",
        "    __syncthreads();\n",
        "",
        "transposes",
    ),
    "warp barrier removed": (KERNELS / "warp.cu", "__syncwarp();", "", "warp_collectives"),
    "plain addition for an atomic one": (
        KERNELS / "atomic.cu",
        "atomicAdd(&count[bin[i]], 1);",
        "count[bin[i]] += 1;",
        "atomics",
    ),
    "block barrier for a grid barrier": (
        KERNELS / "atomic.cu",
        "grid_sync(arrived, phase);",
        "(void)arrived, (void)phase, __syncthreads();",
        "grid_barrier",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RACES)
def test_thread_sanitizer_sees(sanitized: Sanitized, name: str) -> None:
    path, old, new, check = RACES[name]
    done = sanitized("tsan", check, mutations=[build.Mutation(path, old, new)])
    assert done.returncode == 66  # as sanitizer_environment asks
    assert "ThreadSanitizer: data race" in done.stderr
    assert path.name in done.stderr

# SPDX-License-Identifier: BSD-3-Clause
"""torch.backends.cpu: what the processor's kernels were compiled for."""

from __future__ import annotations

from fastnn import _backend

__all__ = ["get_cpu_capability"]

_WORDS = {"x86_v2": "NO AVX", "x86_v3": "AVX2", "x86_v4": "AVX512"}


def get_cpu_capability() -> str:
    """The instruction set in use in torch's words: 'AVX512', 'AVX2', 'NO AVX' (SSE4.2), and
    'DEFAULT' for NEON and for NumPy's kernels."""
    return _WORDS.get(_backend.cpu.isa(), "DEFAULT") if _backend.name == "cpu" else "DEFAULT"

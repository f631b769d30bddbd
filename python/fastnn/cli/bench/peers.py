# SPDX-License-Identifier: BSD-3-Clause
"""How each peer is started: its library, environment variables, and options of its adapter."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OWN", "PEERS", "WORKER", "Peer", "environment", "interpreter"]

OWN = "fastnn"
WORKER = Path(__file__).with_name("worker.py")

# MKL takes AVX2 on processors that are not Intel's, whatever its variables say; it asks this one
# function, which a preloaded library can answer in its place.
_MKL_AVX512 = "int mkl_serv_intel_cpu_true(void) { return 1; }\n"

# Keep freed pages: fresh ones cost a page fault each.
_KEEP_PAGES = ":".join(
    (
        "glibc.malloc.hugetlb=1",
        "glibc.malloc.mmap_threshold=1073741824",
        "glibc.malloc.trim_threshold=8589934592",
        "glibc.malloc.top_pad=67108864",
    )
)

# Variables that would change what a peer does behind the back of this table. FASTNN_ISA and
# FASTNN_BACKEND stay: who sets them wants to time just that, and the result file names both.
_REMOVED = re.compile(
    r"^((OMP|MKL|OPENBLAS|KMP|GOMP|DNNL|ONEDNN|BLIS|NUMEXPR|TORCH)_\w+|GLIBC_TUNABLES|LD_PRELOAD"
    r"|FASTNN_(?!ISA$|BACKEND$)\w+)$"
)


@dataclasses.dataclass(frozen=True)
class Peer:
    """One configuration of one library.

    library: what must be importable; ``adapter_<library>.py`` drives it.
    variables: set in its process.
    preload: C source of a library that is preloaded into its process.
    options: given to the adapter.
    """

    library: str
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    preload: str | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


PEERS: dict[str, Peer] = {
    OWN: Peer("fastnn"),
    # OpenBLAS's workers otherwise spin for long after a call, at the cost of whoever runs next.
    "numpy": Peer("numpy", {"OPENBLAS_THREAD_TIMEOUT": "20"}),
    "torch": Peer("torch"),
    "torch-tuned": Peer("torch", {"GLIBC_TUNABLES": _KEEP_PAGES}, preload=_MKL_AVX512),
}


def environment(peer: Peer, threads: int, preload: Path | None = None) -> dict[str, str]:
    """The whole environment of a peer's process: every library held to ``threads`` threads."""
    count = str(threads)
    kept = {k: v for k, v in os.environ.items() if not _REMOVED.match(k)}
    numbers = dict.fromkeys(
        ("FASTNN_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), count
    )
    loaded = {} if preload is None else {"LD_PRELOAD": str(preload)}
    return kept | numbers | dict(peer.variables) | loaded


def interpreter(name: str, given: Mapping[str, str]) -> str:
    """The Python that runs a peer: given for the peer, for its library, or this one."""
    return given.get(name) or given.get(PEERS[name].library) or sys.executable

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
    from collections.abc import Mapping, Sequence

__all__ = [
    "BEFORE",
    "OWN",
    "PEERS",
    "PYTHON_VARIABLE",
    "SHOWN",
    "WORKER",
    "Peer",
    "environment",
    "interpreter",
    "pythons",
]

OWN = "fastnn"
BEFORE = "fastnn-before"
WORKER = Path(__file__).with_name("worker.py")
PYTHON_VARIABLE = "FASTNN_PEER_PYTHON"

# Keep freed pages: fresh ones cost a page fault each.
_KEEP_PAGES = ":".join(
    (
        "glibc.malloc.hugetlb=1",
        "glibc.malloc.mmap_threshold=1073741824",
        "glibc.malloc.trim_threshold=8589934592",
        "glibc.malloc.top_pad=67108864",
    )
)
_TUNED = {"GLIBC_TUNABLES": _KEEP_PAGES}

# Variables that would change what a peer does behind the back of this table. FASTNN_ISA and
# FASTNN_BACKEND stay: who sets them wants to time just that, and the result file names both.
# TORCHINDUCTOR_CACHE_DIR stays, too: it says where compiled code is kept, not what it does.
_REMOVED = re.compile(
    r"^((OMP|MKL|OPENBLAS|KMP|GOMP|DNNL|ONEDNN|BLIS|NUMEXPR|XLA|JAX|ATEN|NPY|MALLOC|ORT)_\w+"
    r"|(PY)?TORCH(?!INDUCTOR_CACHE_DIR$)\w*|GLIBC_TUNABLES|LD_PRELOAD|FASTNN_(?!ISA$|BACKEND$)\w+)$"
)


@dataclasses.dataclass(frozen=True)
class Peer:
    """One configuration of one library.

    library: what must be importable; ``adapter_<library>.py`` drives it.
    variables: set in its process.
    preload: whether the library of preload.py is loaded into its process.
    options: given to the adapter.
    shown: whether ``fastnn bench`` knows it; the others are for rows of targets.toml.
    """

    library: str
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    preload: bool = False
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    shown: bool = True


def _torch(**options: bool) -> Peer:
    return Peer("torch", _TUNED, preload=True, options={"fused": True, **options})


# OpenBLAS's workers otherwise spin for long after a call, at the cost of whoever runs next.
_NUMPY = {"OPENBLAS_THREAD_TIMEOUT": "20"}

PEERS: dict[str, Peer] = {
    OWN: Peer("fastnn"),
    "numpy": Peer("numpy", _NUMPY),
    "torch": Peer("torch"),
    "torch-tuned": _torch(),
    "torch-compile": _torch(compile=True),
    "torch-channels-last": _torch(channels_last=True),
    "torch-compile-channels-last": _torch(compile=True, channels_last=True),
    "jax": Peer("jax"),
    "onnxruntime": Peer("onnxruntime"),
    # Another build of fastnn, in an interpreter of its own: `benchmarks.compare --build`.
    BEFORE: Peer("fastnn", shown=False),
    # fastnn without the option that a program is about: what the option costs.
    "fastnn-plain": Peer("fastnn", options={"plain": True}, shown=False),
    # For fastnn at the level x86_v3. MKL keeps to AVX2 on processors that are not Intel's.
    "numpy-avx2": Peer("numpy", {**_NUMPY, "OPENBLAS_CORETYPE": "Haswell"}, shown=False),
    "torch-avx2": Peer(
        "torch",
        {
            **_TUNED,
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "ATEN_CPU_CAPABILITY": "avx2",
        },
        shown=False,
    ),
}
SHOWN = tuple(name for name, peer in PEERS.items() if peer.shown and name != OWN)


def environment(
    peer: Peer, threads: int, preload: Path | None = None, device: str = "cpu"
) -> dict[str, str]:
    """The whole environment of a peer's process: every library held to ``threads`` threads."""
    count = str(threads)
    kept = {k: v for k, v in os.environ.items() if not _REMOVED.match(k)}
    numbers = dict.fromkeys(
        ("FASTNN_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), count
    )
    loaded = {} if preload is None else {"LD_PRELOAD": str(preload)}
    place = {"JAX_PLATFORMS": device}
    if device == "cuda":
        place["FASTNN_BACKEND"] = "cuda"
    return kept | numbers | place | dict(peer.variables) | loaded


def interpreter(name: str, given: Mapping[str, str]) -> str:
    """The Python that runs a peer: given for the peer, for its library, or this one.

    fastnn itself always runs in this one, but for another build of it.
    """
    if PEERS[name].library == OWN:
        return given.get(name, sys.executable) if name == BEFORE else sys.executable
    return given.get(name) or given.get(PEERS[name].library) or sys.executable


def pythons(given: Sequence[str]) -> dict[str, str]:
    """Interpreters of peers, from ``PEER=PATH`` words after those of FASTNN_PEER_PYTHON.

    ValueError for anything else.
    """
    found = {}
    for word in (*(w for w in os.environ.get(PYTHON_VARIABLE, "").split(",") if w), *given):
        name, sign, path = word.partition("=")
        others = [n for n, peer in PEERS.items() if peer.library != OWN]
        if not sign or not path or name not in others:
            message = (
                f"peer python: expected one of {', '.join(others)}, then =PATH, got {word!r}; "
                "as in torch=/opt/peers/bin/python"
            )
            raise ValueError(message)
        found[name] = path
    return found

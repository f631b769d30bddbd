# SPDX-License-Identifier: BSD-3-Clause
"""Where there is an nvcc: every kernel file, the tests' own too, is also CUDA without a warning.

An ordinary compiler accepts what nvcc does not (a helper without ``__device__``, ``std::max`` in
device code), so the emulation alone cannot show that a kernel file is one source for both.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cuda_emulation import build

ARCHITECTURES = (75, 80, 90)
NVCC = os.environ.get("CUDACXX") or shutil.which("nvcc")


@pytest.mark.slow
@pytest.mark.skipif(NVCC is None, reason="no nvcc on the PATH")
@pytest.mark.parametrize(
    "source", [*build.PRODUCT_KERNELS, *build.TEST_KERNELS], ids=lambda path: path.name
)
def test_nvcc_compiles_without_warning_or_spill(source: Path, tmp_path: Path) -> None:
    targets = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in ARCHITECTURES]
    done = subprocess.run(
        [
            *[str(NVCC), "-std=c++17", "-O3", "-Werror", "all-warnings", "-Xptxas", "-v"],
            *["-Xcompiler", "-fPIC,-fvisibility=hidden,-Wall,-Wextra", *targets],
            *["-I", str(build.ROOT / "cuda"), "-I", str(build.ROOT / "csrc")],
            *["-c", str(source), "-o", str(tmp_path / "kernels.o")],
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    spills = re.findall(r"(\d+) bytes spill stores", done.stdout + done.stderr)
    assert len(spills) >= len(ARCHITECTURES)
    assert set(spills) == {"0"}

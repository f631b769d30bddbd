# SPDX-License-Identifier: BSD-3-Clause
"""MNIST: 70,000 images of 28x28 pixels of handwritten digits, from the four IDX files.

The files are not in the package; anybody's copy does, gzipped or not, for what is compared are the
SHA-256 sums of the decompressed content.
Source: Y. LeCun, C. Cortes, C. Burges; LeCun et al. 1998, Proc. IEEE 86(11).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn.data.errors import DataFileError
from fastnn.data.idx import read_idx

__all__ = ["MNIST_SHA256", "Mnist", "load_mnist"]

MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_SHAPES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}

_Bytes = npt.NDArray[np.uint8]


class Mnist(NamedTuple):
    """The four arrays, uint8 and read-only."""

    train_images: _Bytes
    train_labels: _Bytes
    test_images: _Bytes
    test_labels: _Bytes


def _find(folder: Path, name: str) -> Path:
    """The file, gzipped or not, also under the name with a point (train-images.idx3-ubyte)."""
    spellings = (name, name.replace("-idx", ".idx"))
    candidates = [folder / (stem + end) for end in ("", ".gz") for stem in spellings]
    for path in candidates:
        if path.is_file():
            return path
    message = (
        f"load_mnist: expected {name} or {name}.gz in {folder}, got neither; pass the folder that "
        "has the four files of MNIST"
    )
    raise DataFileError(message)


def _load(folder: Path, name: str) -> _Bytes:
    path = _find(folder, name)
    shape = _SHAPES[name]
    array, header = read_idx(path, len(shape))
    if array.shape != shape:
        message = (
            f"load_mnist: expected the shape {shape} in {path}, got {array.shape}; it is not the "
            "file of MNIST that its name says: fetch that again"
        )
        raise DataFileError(message)
    digest = hashlib.sha256(header)
    digest.update(array.data)
    if digest.hexdigest() != MNIST_SHA256[name]:
        message = (
            f"load_mnist: {path} is damaged or another data set: expected SHA-256 "
            f"{MNIST_SHA256[name]} of the decompressed content, got {digest.hexdigest()};"
            " fetch it again"
        )
        raise DataFileError(message)
    return array


def load_mnist(folder: str | Path) -> Mnist:
    """MNIST from a folder with its four files, each as IDX or as gzipped IDX.

    Returns:  (train_images (60000, 28, 28), train_labels (60000,), test_images (10000, 28, 28),
              test_labels (10000,)): uint8, pixels 0 to 255, labels 0 to 9.
    Raises:   DataFileError if a file is missing, cut off, no IDX, or not MNIST's.
    """
    where = Path(folder)
    if not where.is_dir():
        message = (
            f"load_mnist: expected a folder with the four files of MNIST, got {where}, which is"
            " none; pass the folder, not a file in it"
        )
        raise DataFileError(message)
    arrays: list[Any] = [_load(where, name) for name in MNIST_SHA256]
    return Mnist(*arrays)

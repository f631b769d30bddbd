# SPDX-License-Identifier: BSD-3-Clause
"""IDX files, and four small ones that pass for MNIST."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from fastnn.data import mnist


def idx(array, kind=8):
    header = bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def pretend_mnist(folder, monkeypatch):
    """A folder with 30 training and 10 test images, each brighter the higher its label."""
    rng = np.random.default_rng(0)
    shapes, hashes = {}, {}
    for part, count in (("train", 30), ("t10k", 10)):
        labels = np.arange(count) % 10
        noise = rng.integers(0, 20, (count, 28, 28))
        arrays = {
            f"{part}-images-idx3-ubyte": 20 * labels[:, None, None] + noise,
            f"{part}-labels-idx1-ubyte": labels,
        }
        for name, array in arrays.items():
            content = idx(array.astype(np.uint8))
            shapes[name], hashes[name] = array.shape, hashlib.sha256(content).hexdigest()
            (folder / name).write_bytes(content)
    monkeypatch.setattr(mnist, "_SHAPES", shapes)
    monkeypatch.setattr(mnist, "MNIST_SHA256", hashes)
    return folder

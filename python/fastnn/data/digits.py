# SPDX-License-Identifier: BSD-3-Clause
"""The UCI handwritten digits that ship inside the package.

Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998, CC BY 4.0 (see
digits.LICENSE.txt beside this file): the 1797 images of the test part. Each pixel of an 8x8 image
counts the black pixels, 0 to 16, of a 4x4 block of the scanned 32x32 bitmap.
The file is written by tools/make_digits.py and nothing else.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["DIGITS_SHA256", "load_digits"]

DIGITS_SHA256 = "bf2bb394c23c59ab4b88f1f043209232d17bb4724152ad0f52167ad1c5a0f877"
_FILE = "digits.safetensors"


def _read() -> bytes:
    """The bytes of the data file, as it lies in the installed package."""
    try:
        return resources.files("fastnn.data").joinpath(_FILE).read_bytes()
    except OSError as error:
        message = (
            f"load_digits: expected the data file {_FILE} inside the package, got none that can be "
            f"read ({error}); install fastnn-native again"
        )
        raise RuntimeError(message) from error


def load_digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The UCI handwritten digits: 1797 images of 8x8 pixels with their labels.

    Returns:  (images, labels): images uint8 (1797, 8, 8) with values 0 to 16, labels uint8 (1797,)
              with values 0 to 9; new arrays at every call.
    Raises:   RuntimeError if the file in the package is missing or is not the one that was shipped.
    Source:   E. Alpaydin, C. Kaynak 1998, UCI Machine Learning Repository, doi:10.24432/C50P49.
    """
    from safetensors.numpy import load  # noqa: PLC0415 - `import fastnn` need not pay for it

    content = _read()
    digest = hashlib.sha256(content).hexdigest()
    if digest != DIGITS_SHA256:
        message = (
            f"load_digits: the data file {_FILE} is damaged: expected SHA-256 {DIGITS_SHA256}, "
            f"got {digest} ({len(content)} bytes); install fastnn-native again"
        )
        raise RuntimeError(message)
    arrays: dict[str, npt.NDArray[Any]] = load(content)
    return arrays["images"].copy(), arrays["labels"].copy()

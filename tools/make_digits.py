# SPDX-License-Identifier: BSD-3-Clause
"""Make python/fastnn/data/digits.safetensors from scikit-learn's copy of the UCI digits.

The file that ships in the package is the output of this script and nothing else:

    python -m pip download --no-deps --dest /tmp/digits scikit-learn
    python tools/make_digits.py /tmp/digits/scikit_learn-*.whl

The source is the member ``sklearn/datasets/data/digits.csv.gz`` of the wheel (any release that
carries the same bytes; its SHA-256 is checked), one line per image: 64 pixels from 0 to 16 in row
order, then the digit. The output is a safetensors file written byte by byte here, so that it is
reproducible: images uint8 (1797, 8, 8), labels uint8 (1797,). Its SHA-256 is printed and has to be
the one that fastnn.data.digits checks when it loads the file.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
import zipfile
from pathlib import Path

MEMBER = "sklearn/datasets/data/digits.csv.gz"
SOURCE_SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
COUNT, SIDE, TOP = 1797, 8, 16
OUTPUT = Path(__file__).resolve().parent.parent / "python/fastnn/data/digits.safetensors"
METADATA = {
    "name": "Optical Recognition of Handwritten Digits (the 1797 images of its test part)",
    "authors": "E. Alpaydin and C. Kaynak, 1998",
    "source": "UCI Machine Learning Repository, doi:10.24432/C50P49",
    "license": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    "changes": "stored as two uint8 arrays; no value was changed",
}


def read_source(path: Path) -> bytes:
    """The checked bytes of digits.csv.gz, out of a scikit-learn wheel or given as such."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            packed = wheel.read(MEMBER)
    else:
        packed = path.read_bytes()
    digest = hashlib.sha256(packed).hexdigest()
    if digest != SOURCE_SHA256:
        message = f"{path}: digits.csv.gz has SHA-256 {digest}, expected {SOURCE_SHA256}"
        raise SystemExit(message)
    return packed


def parse(packed: bytes) -> tuple[bytes, bytes]:
    """Pixels (1797 * 64 bytes, row order) and labels (1797 bytes)."""
    images, labels = bytearray(), bytearray()
    for line in gzip.decompress(packed).decode("ascii").splitlines():
        values = [int(float(field)) for field in line.split(",")]
        pixels, label = values[:-1], values[-1]
        if len(pixels) != SIDE * SIDE or max(pixels) > TOP or label > 9:
            message = f"line {len(labels) + 1} of digits.csv.gz is not 64 pixels and a digit"
            raise SystemExit(message)
        images += bytes(pixels)
        labels.append(label)
    if len(labels) != COUNT:
        message = f"digits.csv.gz has {len(labels)} images, expected {COUNT}"
        raise SystemExit(message)
    return bytes(images), bytes(labels)


def encode(images: bytes, labels: bytes) -> bytes:
    """The safetensors file: header length (8 bytes, little endian), JSON header, data."""
    end = len(images) + len(labels)
    header = {
        "__metadata__": METADATA,
        "images": {
            "dtype": "U8",
            "shape": [COUNT, SIDE, SIDE],
            "data_offsets": [0, len(images)],
        },
        "labels": {"dtype": "U8", "shape": [COUNT], "data_offsets": [len(images), end]},
    }
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)  # the format wants the data to start at a multiple of 8
    return len(text).to_bytes(8, "little") + text + images + labels


def main() -> int:
    """Write the file, or with --check compare it with what is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, help="a scikit-learn wheel, or its digits.csv.gz")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: the package's file")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    arguments = parser.parse_args()
    content = encode(*parse(read_source(arguments.source)))
    digest = hashlib.sha256(content).hexdigest()
    if arguments.check:
        same = arguments.output.is_file() and arguments.output.read_bytes() == content
        sys.stdout.write(f"{arguments.output}: {'is' if same else 'is NOT'} {digest}\n")
        return 0 if same else 1
    arguments.output.write_bytes(content)
    sys.stdout.write(f"{arguments.output}: {len(content)} bytes, SHA-256 {digest}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

# SPDX-License-Identifier: BSD-3-Clause
"""Data sets as NumPy arrays, and their split into training and held-out parts."""

from __future__ import annotations

from fastnn.data.digits import load_digits
from fastnn.data.errors import DataFileError
from fastnn.data.idx import read_idx
from fastnn.data.mnist import Mnist, load_mnist
from fastnn.data.split import stratified_split
from fastnn.data.text import Vocabulary, read_text

__all__ = [
    "DataFileError",
    "Mnist",
    "Vocabulary",
    "load_digits",
    "load_mnist",
    "read_idx",
    "read_text",
    "stratified_split",
]

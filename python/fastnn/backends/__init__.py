# SPDX-License-Identifier: BSD-3-Clause
"""Switches of the libraries below torch, under the names of torch.backends: they can be set, with
values of their type, and change nothing: fastnn has kernels of its own, always deterministic and in
full precision. What asks whether such a library is there is answered with no."""

from __future__ import annotations

from fastnn.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp"]

# SPDX-License-Identifier: BSD-3-Clause
"""Weights with orthonormal columns (or rows): the parametrization behind ``orthogonal``."""

from __future__ import annotations

import math

from fastnn import linalg
from fastnn._dtype_info import finfo
from fastnn._grad_mode import no_grad
from fastnn.nn.module import Module
from fastnn.ops import allclose, cat, empty, eye, matrix_exp, stack, where, zeros, zeros_like
from fastnn.ops._initial import orthogonal as orthogonal_factor
from fastnn.ops._refusal import refusal
from fastnn.tensor import Tensor

MAPS = ("matrix_exp", "cayley", "householder")


def _nearest(matrices: Tensor) -> Tensor:
    """The orthogonal factors of matrices (..., n, k), n >= k."""
    batch = matrices.reshape(math.prod(matrices.shape[:-2]), *matrices.shape[-2:])
    if not len(batch):
        return matrices.clone()
    return stack([orthogonal_factor(m) for m in batch]).reshape(matrices.shape)


def _is_orthogonal(q: Tensor) -> bool:
    n, k = q.shape[-2:]
    one = eye(k, dtype=q.dtype, device=q.device).expand(*q.shape[:-2], k, k)
    return bool(allclose(q.mT @ q, one, atol=10 * n * finfo(q.dtype).eps))


def _reflections(q: Tensor) -> Tensor:
    """The orthogonal factors of matrices (..., n, k) as k reflections: below the diagonal their
    vectors, on it the signs of the triangular factor's.

    Householder's method (Golub, Van Loan, "Matrix Computations", 2013, 5.2). No reflection is left
    out, also where there is nothing to reflect: forward leaves none out.
    """
    a = q.clone()
    for i in range(a.shape[-1]):
        x = a[..., i:, i : i + 1].clone()
        first = x[..., :1, :]
        sign = where(first < 0, -1.0, 1.0).to(a.dtype)
        v = x.clone()
        # The diagonal of the triangular factor is -sign.
        v[..., :1, :] = first + sign * (x * x).sum(-2, keepdim=True).sqrt()
        v = where(v[..., :1, :] == 0, 0.0, v / v[..., :1, :])
        v[..., :1, :] = 1.0
        rest = a[..., i:, i + 1 :]
        rest -= v * (2.0 / (v * v).sum(-2, keepdim=True)) @ (v.mT @ rest)
        a[..., i:, i : i + 1] = v
        a[..., i : i + 1, i : i + 1] = -sign
    return a


class _Orthogonal(Module):
    """An orthogonal matrix from any matrix of its shape; with a ``base`` times that."""

    base: Tensor | None

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def _square(self, x: Tensor) -> Tensor:
        """The map of the skew-symmetric matrix that the lower triangle of x stands for."""
        n, k = x.shape[-2:]
        lower = x.tril()
        if n != k:
            fill = zeros(*x.shape[:-2], n, n - k, dtype=x.dtype, device=x.device)
            lower = cat([lower, fill], -1)
        skew = lower - lower.mT
        if self.orthogonal_map == "matrix_exp":
            return matrix_exp(skew)[..., :k]
        one = eye(n, dtype=x.dtype, device=x.device)
        return linalg.solve(one + skew * -0.5, one + skew * 0.5)[..., :k]

    def forward(self, original: Tensor) -> Tensor:
        n, k = original.shape[-2:]
        x = original.mT if n < k else original
        if self.orthogonal_map == "householder":
            vectors = x.tril(-1)
            tau = 2.0 / (1.0 + (vectors * vectors).sum(-2))
            signs = x.diagonal(0, -2, -1).int().unsqueeze(-2)
            q = linalg.householder_product(vectors, tau) * signs
        else:
            q = self._square(x)
        if self.use_trivialization and self.base is not None:
            q = self.base @ q
        return q.mT if n < k else q

    def right_inverse(self, value: Tensor) -> Tensor:
        """What ``value``, or the nearest orthogonal matrix, is computed from."""
        if value.shape != self.shape:
            text = f"a matrix or matrices of shape {self.shape}"
            raise refusal(ValueError, "orthogonal", text, str(value.shape), "reshape() it")
        with no_grad():
            n, k = value.shape[-2:]
            q = value.mT if n < k else value
            if not self.use_trivialization:
                found = self._inverse(q)
                return found.mT if n < k else found
            if n == k:
                self.base = q.clone() if _is_orthogonal(q) else _nearest(q)
            else:  # as many columns more as a square has, and any
                size = (*q.shape[:-1], abs(n - k))
                more = empty(*size, dtype=q.dtype, device=q.device).normal_()
                self.base = _nearest(cat([q, more], -1))
            # All three maps make the unit matrix of this.
            original = zeros_like(value)
            original.diagonal(0, -2, -1).fill_(-1.0)
            return original

    def _inverse(self, q: Tensor) -> Tensor:
        if self.orthogonal_map != "householder":
            message = (
                "orthogonal: expected use_trivialization=True to assign to a weight made by "
                f"{self.orthogonal_map}, got False; assign to the original, or use 'householder'"
            )
            raise NotImplementedError(message)
        return _reflections(q)

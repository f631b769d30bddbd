# SPDX-License-Identifier: BSD-3-Clause
"""Weights as direction and length, of spectral norm 1, and orthogonal, by `parametrize`."""

from __future__ import annotations

import functools
from typing import Any

from fastnn._grad_mode import no_grad
from fastnn.nn._calls import F
from fastnn.nn.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from fastnn.nn.module import Module
from fastnn.nn.utils._orthogonal import MAPS, _Orthogonal
from fastnn.nn.utils.parametrize import register_parametrization
from fastnn.ops import dot, empty, mv, norm
from fastnn.ops._common import integer, one_dim
from fastnn.ops._refusal import refusal
from fastnn.tensor import Tensor

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def tensor_of(op: str, module: Module, name: str) -> Tensor:
    """A tensor of a module; ValueError if it has none of that name."""
    value = getattr(module, name, None)
    if not isinstance(value, Tensor):
        text = f"the name of a parameter or buffer of {type(module).__name__}"
        raise refusal(ValueError, op, text, repr(name), "'weight' is the default")
    return value


class _WeightNorm(Module):
    """w = g v / |v|, the norm taken over all dimensions but ``dim`` (-1: over all)."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def _length(self, v: Tensor) -> Tensor:
        if self.dim == -1:
            return norm(v)
        kept = one_dim("weight_norm", self.dim, v.ndim)
        return norm(v, 2.0, [d for d in range(v.ndim) if d != kept], keepdim=True)

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / self._length(weight_v))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The length and the direction of a weight."""
        return self._length(weight), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Splits a weight into its length and its direction, learned apart; as torch's.

        w = g v / |v|

    with one length for every index of ``dim``, or one for all (None): parametrizations.<name>'s
    original0 is g, original1 is v. A state_dict with the names <name>_g and <name>_v, of the older
    form, loads too. Source: Salimans and Kingma, "Weight normalization", NeurIPS 2016.

    Raises ValueError if the module has no such tensor, IndexError for a bad dim. Returns module.
    """
    tensor_of("weight_norm", module, name)
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    module.register_load_state_dict_pre_hook(functools.partial(_renamed, tensor=name))
    return module


def _renamed(module: Module, state: Any, prefix: str, *_: Any, tensor: str) -> None:
    """Gives the entries of the older form their names."""
    del module
    old = (f"{prefix}{tensor}_g", f"{prefix}{tensor}_v")
    if all(key in state for key in old):
        for i, key in enumerate(old):
            state[f"{prefix}parametrizations.{tensor}.original{i}"] = state.pop(key)


class _SpectralNorm(Module):
    """w over its largest singular value, found by power iteration."""

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        self.dim = one_dim("spectral_norm", dim, weight.ndim)
        self.eps = eps
        if integer("spectral_norm", "n_power_iterations", n_power_iterations) < 1:
            text = "n_power_iterations >= 1"
            raise refusal(ValueError, "spectral_norm", text, n_power_iterations, "1 is usual")
        if weight.ndim < 2:
            return
        self.n_power_iterations = n_power_iterations
        matrix = self._matrix(weight.detach())
        for key, size in zip(("_u", "_v"), matrix.shape, strict=True):
            start = empty(size, dtype=weight.dtype, device=weight.device).normal_()
            self.register_buffer(key, F.normalize(start, dim=0, eps=eps))
        self._iterate(matrix, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        """``dim`` in front, the others behind it as one."""
        return weight.movedim(self.dim, 0).flatten(1)

    def _iterate(self, matrix: Tensor, steps: int) -> None:
        with no_grad():
            for _ in range(steps):
                self._u = F.normalize(mv(matrix, self._v), dim=0, eps=self.eps)
                self._v = F.normalize(mv(matrix.t(), self._u), dim=0, eps=self.eps)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim < 2:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        return weight / dot(self._u, mv(matrix, self._v))

    def right_inverse(self, value: Tensor) -> Tensor:
        """Any weight stands for itself."""
        return value


def spectral_dim(module: Module) -> int:
    """Which dimension of a weight is that of the outputs."""
    return int(isinstance(module, ConvTranspose1d | ConvTranspose2d | ConvTranspose3d))


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divides a weight by its spectral norm, as torch's.

        w / sigma,   sigma = u^T W v the largest singular value of W, ``dim`` against all others

    u and v are buffers, brought nearer by n_power_iterations steps at every use in training. dim: 1
    of transposed convolutions, else 0. A weight of one dimension is divided by its length, at least
    eps. Source: Miyato, Kataoka, Koyama and Yoshida, "Spectral normalization for generative
    adversarial networks", ICLR 2018.

    Raises ValueError if the module has no such tensor and for n_power_iterations < 1, IndexError
    for a bad dim. Returns module.
    """
    weight = tensor_of("spectral_norm", module, name)
    axis = spectral_dim(module) if dim is None else dim
    parametrization = _SpectralNorm(weight, n_power_iterations, axis, eps)
    return register_parametrization(module, name, parametrization)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Makes the columns of a weight (..., n, k) orthonormal, or its rows if n < k; as torch's.

        Q = B f(X)[:, :k],   A = L - L^T,   L the lower triangle of X, with n - k columns of 0

    orthogonal_map: matrix_exp, f = exp(A); cayley, f = (1 - A / 2)^-1 (1 + A / 2); householder, f =
    the product of the reflections whose vectors are below the diagonal of X, which has the signs on
    it. Without it matrix_exp of square weights, else householder.
    use_trivialization: with the buffer ``base`` B, so that X begins at f(X) = 1 and Q at the weight
    as it is, or the nearest orthogonal one. Without it B = 1, and only householder begins there.
    Source: Lezcano-Casado, "Trivializations for gradient-based optimization on manifolds", 2019.

    Raises ValueError if the module has no such tensor, for one of less than two dimensions and for
    another map. Returns module.
    """
    op = "orthogonal"
    weight = tensor_of(op, module, name)
    if weight.ndim < 2:
        text, cure = "a matrix, or a batch of matrices", "weight_norm() takes vectors"
        raise refusal(ValueError, op, text, f"shape {weight.shape}", cure)
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in MAPS:
        text = f"orthogonal_map as {', '.join(MAPS)}"
        raise refusal(ValueError, op, text, repr(orthogonal_map), "leave it out for the usual one")
    made = _Orthogonal(weight, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)

# SPDX-License-Identifier: BSD-3-Clause
"""``weight_norm`` and ``spectral_norm`` by hooks: the older form, which torch keeps with a warning.

The weight is an attribute that is computed before every call of the module, from parameters and
buffers of the module itself.
"""

from __future__ import annotations

import warnings
from typing import Any

from fastnn._grad_mode import no_grad
from fastnn.nn._calls import F
from fastnn.nn.module import Module
from fastnn.nn.parameter import Parameter
from fastnn.nn.utils.parametrizations import _WeightNorm, spectral_dim, tensor_of
from fastnn.ops import dot, empty, mv
from fastnn.ops._common import integer, one_dim
from fastnn.ops._refusal import refusal
from fastnn.tensor import Tensor

__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]


class _Hook:
    """What is called before the module: it sets the attribute ``name``."""

    kind = ""
    parts: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name

    def weight(self, module: Module, training: bool) -> Tensor:
        """The weight for the present values."""
        raise NotImplementedError

    def __call__(self, module: Module, inputs: Any) -> None:
        del inputs
        setattr(module, self.name, self.weight(module, module.training))


class _WeightHook(_Hook):
    kind, parts = "weight_norm", ("g", "v")

    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.norm = _WeightNorm(dim)

    def weight(self, module: Module, training: bool) -> Tensor:
        del training
        g, v = (getattr(module, f"{self.name}_{part}") for part in self.parts)
        result: Tensor = self.norm(g, v)
        return result


class _SpectralHook(_Hook):
    kind, parts = "spectral_norm", ("orig", "u", "v")

    def __init__(self, name: str, steps: int, eps: float, dim: int) -> None:
        super().__init__(name)
        self.steps, self.eps, self.dim = steps, eps, dim

    def matrix(self, weight: Tensor) -> Tensor:
        """``dim`` in front, the others behind it as one."""
        return weight.movedim(self.dim, 0).flatten(1)

    def weight(self, module: Module, training: bool) -> Tensor:
        original, u, v = (getattr(module, f"{self.name}_{part}") for part in self.parts)
        matrix = self.matrix(original)
        with no_grad():
            for _ in range(self.steps if training else 0):
                v = F.normalize(mv(matrix.t(), u), dim=0, eps=self.eps)
                u = F.normalize(mv(matrix, v), dim=0, eps=self.eps)
        setattr(module, f"{self.name}_u", u)
        setattr(module, f"{self.name}_v", v)
        result: Tensor = original / dot(u, mv(matrix, v))
        return result


def _hook_of(module: Module, kind: str, name: str) -> tuple[int, _Hook] | None:
    for key, entry in module._call_hooks.items():
        if isinstance(entry.fn, _Hook) and (entry.fn.kind, entry.fn.name) == (kind, name):
            return key, entry.fn
    return None


def _warn(kind: str) -> None:
    warnings.warn(
        f"{kind} by hooks is the older form; use nn.utils.parametrizations.{kind} instead",
        FutureWarning,
        stacklevel=3,
    )


def _original(kind: str, module: Module, name: str) -> Tensor:
    if _hook_of(module, kind, name) is not None:
        text = f"one {kind} of {name!r}"
        raise refusal(RuntimeError, kind, text, "a second", "remove the first before")
    return tensor_of(kind, module, name)


def _start(module: Module, hook: _Hook) -> Module:
    hook(module, None)
    module.register_forward_pre_hook(hook)
    return module


def _remove(kind: str, module: Module, name: str) -> Module:
    found = _hook_of(module, kind, name)
    if found is None:
        text = f"the name of a weight with {kind}"
        raise refusal(ValueError, f"remove_{kind}", text, repr(name), "'weight' is the default")
    key, hook = found
    with no_grad():
        value = hook.weight(module, False).detach()
    del module._call_hooks[key]
    for attribute in (name, *(f"{name}_{part}" for part in hook.parts)):
        delattr(module, attribute)
    module.register_parameter(name, Parameter(value))
    return module


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Splits a weight into the parameters <name>_g, its length, and <name>_v, its direction.

    As torch.nn.utils.weight_norm; `parametrizations.weight_norm` is the newer form, whose formula
    and dim are the same. Warns. Raises ValueError if the module has no such tensor, RuntimeError if
    it is split already, IndexError for a bad dim. Returns module.
    """
    _warn("weight_norm")
    weight = _original("weight_norm", module, name)
    hook = _WeightHook(name, dim)
    with no_grad():
        g, v = hook.norm.right_inverse(weight)
    delattr(module, name)
    module.register_parameter(f"{name}_g", Parameter(g.detach()))
    module.register_parameter(f"{name}_v", Parameter(v.detach()))
    return _start(module, hook)


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Makes a weight that `weight_norm` has split one parameter again, with its present value.

    Raises ValueError if it is not split. Returns module.
    """
    return _remove("weight_norm", module, name)


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divides a weight, the parameter <name>_orig, by its spectral norm before every call.

    As torch.nn.utils.spectral_norm; `parametrizations.spectral_norm` is the newer form, whose
    formula and options are the same. The buffers are <name>_u and <name>_v. Warns. Raises
    ValueError if the module has no such tensor or it has one dimension, and for
    n_power_iterations < 1, RuntimeError if it is divided already. Returns module.
    """
    kind = "spectral_norm"
    _warn(kind)
    weight = _original(kind, module, name)
    if weight.ndim < 2 or integer(kind, "n_power_iterations", n_power_iterations) < 1:
        text = "a weight of two or more dimensions and n_power_iterations >= 1"
        got = f"{weight.shape} and {n_power_iterations}"
        raise refusal(ValueError, kind, text, got, "1 step is usual")
    axis = one_dim(kind, spectral_dim(module) if dim is None else dim, weight.ndim)
    hook = _SpectralHook(name, n_power_iterations, eps, axis)
    sizes = hook.matrix(weight.detach()).shape
    delattr(module, name)
    original = weight if isinstance(weight, Parameter) else Parameter(weight.detach())
    module.register_parameter(f"{name}_orig", original)
    for part, size in zip("uv", sizes, strict=True):
        start = empty(size, dtype=weight.dtype, device=weight.device).normal_()
        module.register_buffer(f"{name}_{part}", F.normalize(start, dim=0, eps=eps))
    return _start(module, hook)


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Makes a weight that `spectral_norm` divides a parameter again, with its present value.

    Raises ValueError if it is not divided. Returns module.
    """
    return _remove("spectral_norm", module, name)

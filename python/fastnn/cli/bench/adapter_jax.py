# SPDX-License-Identifier: BSD-3-Clause
"""JAX: operations as its users write them, each compiled whole by ``jax.jit``."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


_CPUS = Path("/sys/devices/system/cpu")


def _apart(cpus: Iterable[int]) -> list[int]:
    """Processors in order, one of every core first, where the system tells which share one."""
    seen: dict[str, int] = {}
    turns = []
    for cpu in sorted(cpus):
        try:
            core = (_CPUS / f"cpu{cpu}/topology/thread_siblings_list").read_text("utf-8")
        except OSError:
            core = str(cpu)
        turns.append((seen.setdefault(core, 0), cpu))
        seen[core] += 1
    return [cpu for _, cpu in sorted(turns)]


class Adapter:
    """Runs cases and whole steps by JAX; see worker.py for the interface."""

    programs = "steps_jax"

    def __init__(self, threads: int, options: dict[str, Any]) -> None:
        # XLA has a thread per core that it may use, and no setting; before it is loaded.
        cores = _apart(os.sched_getaffinity(0))
        if threads < len(cores):
            os.sched_setaffinity(0, cores[:threads])
        self.options = options
        self.jax = importlib.import_module("jax")
        try:
            self.jax.devices()
        except RuntimeError as error:
            reason = f"expected a device for JAX_PLATFORMS, got {error}; use --device cpu"
            raise NotImplementedError(reason) from error
        self._functions = _functions(self.jax)

    def about(self) -> dict[str, Any]:
        """Versions and devices."""
        return {
            "jax": self.jax.__version__,
            "devices": ", ".join(map(str, self.jax.devices())),
            "numpy": np.__version__,
            "python": sys.version.split()[0],
        }

    def _function(self, case: dict[str, Any]) -> Callable[..., Any]:
        function = self._functions.get(case["name"])
        if function is None:
            reason = f"no JAX version of {case['id']} is written down"
            raise NotImplementedError(reason)
        return function

    def prepare(
        self, case: dict[str, Any], arguments: list[Any], backward: bool
    ) -> Callable[[], Any]:
        """A function that runs the case, compiled for its shapes."""
        jax = self.jax
        function, kwargs = self._function(case), case["kwargs"]
        places = [i for i, a in enumerate(arguments) if isinstance(a, np.ndarray)]
        values = [jax.numpy.asarray(arguments[i]) for i in places]

        def call(*arrays: Any) -> Any:
            full = list(arguments)
            for i, array in zip(places, arrays, strict=True):
                full[i] = array
            return function(*full, **kwargs)

        try:
            shape = jax.eval_shape(call, *values)
        except TypeError as error:
            reason = f"the JAX version of {case['id']} lacks an option: {error}"
            raise NotImplementedError(reason) from error
        if not backward:
            forward = jax.jit(call)
            return lambda: jax.block_until_ready(forward(*values))
        leaves = [i for i, v in enumerate(values) if v.dtype.kind == "f"]
        # Not a cosine alone: sums of it, as bias gradients are, would be all rounding.
        grad = (0.5 + np.cos(np.arange(shape.size))).reshape(shape.shape).astype(shape.dtype)

        def both(grad: Any, *arrays: Any) -> Any:
            def of_leaves(*given: Any) -> Any:
                full = list(arrays)
                for i, array in zip(leaves, given, strict=True):
                    full[i] = array
                return call(*full)

            out, pull = jax.vjp(of_leaves, *(arrays[i] for i in leaves))
            return (out, *pull(grad))

        compiled, root = jax.jit(both), jax.numpy.asarray(grad)
        return lambda: jax.block_until_ready(compiled(root, *values))

    def arrays(self, value: Any) -> list[Any]:
        """Outputs and gradients."""
        parts = value if isinstance(value, tuple | list) else (value,)
        return [np.asarray(part) for part in parts]


def _window(x: Any, size: Any, stride: Any, padding: Any) -> tuple[Any, Any, Any]:
    """Window, strides and padding of all dimensions of (n, c, h, w)."""
    spatial = x.ndim - 2
    sizes, strides, pads = (
        tuple(v) if isinstance(v, list | tuple) else (v,) * spatial
        for v in (size, size if stride is None else stride, padding)
    )
    return (1, 1, *sizes), (1, 1, *strides), ((0, 0), (0, 0), *((p, p) for p in pads))


def _functions(jax: Any) -> dict[str, Callable[..., Any]]:
    """torch's names, for the arguments of the case table."""
    jnp, lax, nn = jax.numpy, jax.lax, jax.nn

    def linear(x: Any, weight: Any, bias: Any = None) -> Any:
        y = x @ weight.T
        return y if bias is None else y + bias

    def conv2d(
        x: Any, w: Any, b: Any = None, *, stride: Any = 1, padding: Any = 0, groups: int = 1
    ) -> Any:
        _, strides, pads = _window(x, 1, stride, padding)
        y = lax.conv_general_dilated(x, w, strides[2:], pads[2:], feature_group_count=groups)
        return y if b is None else y + b[:, None, None]

    def conv_transpose2d(
        x: Any, w: Any, b: Any = None, *, stride: Any = 1, padding: Any = 0
    ) -> Any:
        _, strides, pads = _window(x, 1, stride, padding)
        around = [(k - 1 - p, k - 1 - p) for k, (p, _) in zip(w.shape[2:], pads[2:], strict=True)]
        flipped = jnp.flip(w, (2, 3)).swapaxes(0, 1)
        y = lax.conv_general_dilated(x, flipped, (1, 1), around, lhs_dilation=strides[2:])
        return y if b is None else y + b[:, None, None]

    def max_pool2d(x: Any, size: Any, stride: Any = None, padding: Any = 0) -> Any:
        return lax.reduce_window(x, -jnp.inf, lax.max, *_window(x, size, stride, padding))

    def avg_pool2d(x: Any, size: Any, stride: Any = None, padding: Any = 0) -> Any:
        window = _window(x, size, stride, padding)
        return lax.reduce_window(x, 0.0, lax.add, *window) / np.prod(window[0])

    def normalized(x: Any, axes: tuple[int, ...], eps: float) -> Any:
        mean = x.mean(axes, keepdims=True)
        return (x - mean) * lax.rsqrt(jnp.square(x - mean).mean(axes, keepdims=True) + eps)

    def batch_norm(
        x: Any, mean: Any, var: Any, w: Any, b: Any, *, training: bool, eps: float = 1e-5
    ) -> Any:
        if mean is not None or var is not None or not training:
            reason = "batch norm in JAX is written down for batches without running statistics"
            raise NotImplementedError(reason)
        channels = (1, -1, *(1,) * (x.ndim - 2))
        y = normalized(x, (0, *range(2, x.ndim)), eps)
        return y * w.reshape(channels) + b.reshape(channels)

    def layer_norm(x: Any, shape: Any, w: Any = None, b: Any = None, eps: float = 1e-5) -> Any:
        y = normalized(x, tuple(range(-len(shape), 0)), eps)
        return y * w + b

    def cross_entropy(x: Any, target: Any) -> Any:
        return -jnp.take_along_axis(nn.log_softmax(x, 1), target[:, None], 1).mean()

    def gelu(x: Any, *, approximate: str = "none") -> Any:
        return nn.gelu(x, approximate=approximate == "tanh")

    return {
        "add": jnp.add,
        "avg_pool2d": avg_pool2d,
        "batch_norm": batch_norm,
        "bmm": jnp.matmul,
        "clone": jnp.copy,
        "conv2d": conv2d,
        "conv_transpose2d": conv_transpose2d,
        "cross_entropy": cross_entropy,
        "elu": nn.elu,
        "erf": lax.erf,
        "exp": jnp.exp,
        "expm1": jnp.expm1,
        "gelu": gelu,
        "layer_norm": layer_norm,
        "leaky_relu": nn.leaky_relu,
        "linear": linear,
        "log": jnp.log,
        "log1p": jnp.log1p,
        "log_softmax": nn.log_softmax,
        "matmul": jnp.matmul,
        "max_pool2d": max_pool2d,
        "mm": jnp.matmul,
        "mm a^T b": lambda a, b: a.T @ b,
        "mm a b^T": lambda a, b: a @ b.T,
        "mm a^T b^T": lambda a, b: a.T @ b.T,
        "mul": jnp.multiply,
        "relu": nn.relu,
        "sigmoid": nn.sigmoid,
        "silu": nn.silu,
        "sin": jnp.sin,
        "softmax": nn.softmax,
        "softplus": nn.softplus,
        "sqrt": jnp.sqrt,
        "sum": jnp.sum,
        "tanh": jnp.tanh,
    }

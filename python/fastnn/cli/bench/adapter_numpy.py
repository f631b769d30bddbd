# SPDX-License-Identifier: BSD-3-Clause
"""NumPy: operations as a careful user writes them, in place where that saves memory traffic."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def _sigmoid(x: Any) -> Any:
    y = np.negative(x)
    np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)


def _softmax(x: Any, axis: int) -> Any:
    y = x - x.max(axis, keepdims=True)
    np.exp(y, out=y)
    y /= y.sum(axis, keepdims=True)
    return y


def _log_softmax(x: Any, axis: int) -> Any:
    y = x - x.max(axis, keepdims=True)
    y -= np.log(np.exp(y).sum(axis, keepdims=True))
    return y


def _cross_entropy(x: Any, target: Any) -> Any:
    top = x.max(1, keepdims=True)
    y = x - top
    picked = y[np.arange(len(x)), target]
    np.exp(y, out=y)
    return np.asarray((np.log(y.sum(1)) - picked).mean())


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    y = x @ weight.T
    if bias is not None:
        y += bias
    return y


def _kernels() -> str:
    """The processor whose kernels the loaded OpenBLAS chose; empty where that cannot be asked."""
    try:
        lines = Path("/proc/self/maps").read_text("utf-8").splitlines()
        paths = {line.split()[-1] for line in lines if "openblas" in line}
        for library in map(ctypes.CDLL, paths):
            for name in ("scipy_openblas_get_corename64_", "openblas_get_corename"):
                if function := getattr(library, name, None):
                    function.restype = ctypes.c_char_p
                    return str(function().decode())
    except (OSError, AttributeError):
        pass
    return ""


class Adapter:
    """Runs cases by NumPy, forward only; see worker.py for the interface."""

    def __init__(self, threads: int, options: dict[str, Any]) -> None:
        del threads  # OpenBLAS reads its variables when it is loaded
        if options.get("device", "cpu") != "cpu":
            reason = "expected device cpu, got another; it has no other"
            raise NotImplementedError(reason)
        rng = np.random.default_rng(0)

        def dropout(x: Any, p: float) -> Any:
            keep = rng.random(x.shape, np.float32) >= p
            y = x * keep
            y *= x.dtype.type(1 / (1 - p))
            return y

        self._functions: dict[str, Callable[..., Any]] = {
            "add": np.add,
            "clone": np.copy,
            "cross_entropy": _cross_entropy,
            "div": np.divide,
            "dropout": dropout,
            "exp": np.exp,
            "linear": _linear,
            "log": np.log,
            "log_softmax": _log_softmax,
            "matmul": np.matmul,
            "mean": np.mean,
            "mm": np.matmul,
            "mm a^T b": lambda a, b: a.T @ b,
            "mm a b^T": lambda a, b: a @ b.T,
            "mm a^T b^T": lambda a, b: a.T @ b.T,
            "mul": np.multiply,
            "neg": np.negative,
            "relu": lambda x: np.maximum(x, 0),
            "sigmoid": _sigmoid,
            "softmax": _softmax,
            "sub": np.subtract,
            "sum": np.sum,
            "tanh": np.tanh,
            "where": np.where,
        }

    def about(self) -> dict[str, Any]:
        """Versions, and the BLAS with the kernels that it chose, if NumPy tells."""
        config: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
        blas = config.get("Build Dependencies", {}).get("blas", {})
        return {
            "numpy": np.__version__,
            "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')} {_kernels()}".strip(),
            "python": sys.version.split()[0],
        }

    def prepare(
        self, case: dict[str, Any], arguments: list[Any], backward: bool
    ) -> Callable[[], Any]:
        """A function that runs the case."""
        if backward:
            reason = "NumPy computes no gradients"
            raise NotImplementedError(reason)
        function = self._functions.get(case["name"])
        if function is None or case["kwargs"]:
            reason = f"no NumPy version of {case['id']} is written down"
            raise NotImplementedError(reason)
        values = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        return lambda: function(*values)

    def arrays(self, value: Any) -> list[Any]:
        """The outputs."""
        parts = value if isinstance(value, tuple | list) else (value,)
        return [np.asarray(part) for part in parts]

# SPDX-License-Identifier: BSD-3-Clause
"""torch: the function that the case table names, from torch.nn.functional, torch or Tensor."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


class Adapter:
    """Runs cases by torch on the CPU; see worker.py for the interface."""

    def __init__(self, threads: int, options: dict[str, Any]) -> None:
        del options
        self._torch = importlib.import_module("torch")
        self._torch.set_num_threads(threads)

    def about(self) -> dict[str, Any]:
        """Versions, and what the library says it may use."""
        return {
            "torch": self._torch.__version__,
            "isa": self._torch.backends.cpu.get_cpu_capability(),
            "threads": self._torch.get_num_threads(),
            "numpy": np.__version__,
            "python": sys.version.split()[0],
        }

    def _function(self, name: str) -> Callable[..., Any]:
        places = (self._torch.nn.functional, self._torch, self._torch.Tensor)
        found = [getattr(p, name) for p in places if name.isidentifier() and hasattr(p, name)]
        if not found:
            message = f"torch has no function named {name!r}"
            raise NotImplementedError(message)
        function: Callable[..., Any] = found[0]
        return function

    def prepare(
        self, case: dict[str, Any], arguments: list[Any], backward: bool
    ) -> Callable[[], Any]:
        """A function that runs the case."""
        torch = self._torch
        fn, kwargs = self._function(case["name"]), case["kwargs"]
        # torch.tensor copies, into memory that is aligned as torch's own results are.
        values = [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arguments]
        if not backward:

            def forward() -> Any:
                with torch.no_grad():
                    return fn(*values, **kwargs)

            return forward
        leaves = [t for t in values if torch.is_tensor(t) and t.is_floating_point()]
        for leaf in leaves:
            leaf.requires_grad_()
        out = fn(*values, **kwargs)
        if not torch.is_tensor(out):
            message = f"{case['id']} is not one output with a gradient"
            raise NotImplementedError(message)
        grad = torch.tensor(np.cos(np.arange(out.numel())).reshape(out.shape), dtype=out.dtype)

        def run() -> Any:
            for leaf in leaves:
                leaf.grad = None
            out = fn(*values, **kwargs)
            out.backward(grad)
            return (out, *(leaf.grad for leaf in leaves))

        return run

    def arrays(self, value: Any) -> list[Any]:
        """Outputs and gradients."""
        parts = value if isinstance(value, tuple | list) else (value,)
        return [part.detach().numpy() for part in parts]

# SPDX-License-Identifier: BSD-3-Clause
"""fastnn itself: the function of the case table, on tensors."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


class Adapter:
    """Runs cases by fastnn; see worker.py for the interface."""

    def __init__(self, threads: int, options: dict[str, Any]) -> None:
        del options
        self._fastnn = importlib.import_module("fastnn")
        self._fastnn.set_num_threads(threads)

    def about(self) -> dict[str, Any]:
        """Versions, backend and instruction-set level."""
        backend = importlib.import_module("fastnn._config").describe()
        kept = {k: backend[k] for k in ("backend", "isa", "threads", "numpy", "python")}
        return {"fastnn": self._fastnn.__version__, **kept}

    def prepare(
        self, case: dict[str, Any], arguments: list[Any], backward: bool
    ) -> Callable[[], Any]:
        """A function that runs the case of the table with that identifier."""
        testing = importlib.import_module("fastnn.testing")
        found = [c for c in testing.all_cases() if c.id == case["id"]]
        if not found:
            message = f"the case table of this fastnn has no {case['id']!r}"
            raise NotImplementedError(message)
        fn, kwargs = found[0].fn, found[0].kwargs
        # A copy into fastnn's own memory, as a user's tensors are.
        values = [self._fastnn.tensor(a) if isinstance(a, np.ndarray) else a for a in arguments]
        if not backward:
            return self._forward(fn, values, kwargs)
        leaves = [t for t in values if self._is_leaf(t)]
        for leaf in leaves:
            leaf.requires_grad_()
        out = fn(*values, **kwargs)
        if isinstance(out, tuple | list) or not leaves or not out.requires_grad:
            message = f"{case['id']} is not one output with a gradient"
            raise NotImplementedError(message)
        grad = self._fastnn.tensor(
            np.cos(np.arange(out.numel())).reshape(out.shape), dtype=out.dtype
        )

        def run() -> Any:
            for leaf in leaves:
                leaf.grad = None
            out = fn(*values, **kwargs)
            out.backward(grad)
            return (out, *(leaf.grad for leaf in leaves))

        return run

    def _is_leaf(self, value: Any) -> bool:
        return isinstance(value, self._fastnn.Tensor) and value.is_floating_point()

    def _forward(
        self, fn: Callable[..., Any], values: list[Any], kwargs: dict[str, Any]
    ) -> Callable[[], Any]:
        no_grad = self._fastnn.no_grad

        def run() -> Any:
            with no_grad():
                return fn(*values, **kwargs)

        return run

    def arrays(self, value: Any) -> list[Any]:
        """Outputs and gradients."""
        parts = value if isinstance(value, tuple | list) else (value,)
        return [part.detach().numpy() for part in parts]

# SPDX-License-Identifier: BSD-3-Clause
"""fastnn itself: the function of the case table, on tensors."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


class Adapter:
    """Runs cases and programs by fastnn; see worker.py for the interface."""

    programs = "steps_modules"

    def __init__(self, threads: int, options: dict[str, Any]) -> None:
        self.device = options.get("device", "cpu")
        try:
            self.library = importlib.import_module("fastnn")
        except RuntimeError as error:  # of FASTNN_BACKEND
            if self.device == "cpu":
                raise
            why = str(error).partition("; ")[0]
            reason = f"expected a GPU that it can use, got none: {why}; use --device cpu"
            raise NotImplementedError(reason) from error
        self.library.set_num_threads(threads)
        self.options = options

    def about(self) -> dict[str, Any]:
        """Versions, backend and instruction-set level."""
        backend = importlib.import_module("fastnn._config").describe()
        kept = {k: backend[k] for k in ("backend", "isa", "threads", "numpy", "python")}
        return {"fastnn": self.library.__version__, **kept}

    def tensor(self, array: Any) -> Any:
        """A copy into fastnn's own memory, as a user's tensors are."""
        return self.library.tensor(array)

    def numpy(self, tensor: Any) -> Any:
        """A copy out of it."""
        return np.array(tensor.detach().cpu().numpy())

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Eager."""
        return function

    def synchronize(self) -> None:
        """Waits for the GPU, where there is one in use."""
        if self.device == "cuda":
            importlib.import_module("fastnn._backend").cupy.cuda.Device().synchronize()

    def prepare(
        self, case: dict[str, Any], arguments: list[Any], backward: bool
    ) -> Callable[[], Any]:
        """A function that runs the case of the table with that identifier."""
        testing = importlib.import_module("fastnn.testing")
        found = [c for c in testing.all_cases() if c.id == case["id"]]
        if not found:
            reason = f"the case table of this fastnn has no {case['id']!r}"
            raise NotImplementedError(reason)
        fn, kwargs = found[0].fn, found[0].kwargs
        values = [self.tensor(a) if isinstance(a, np.ndarray) else a for a in arguments]
        if not backward:
            return self._forward(fn, values, kwargs)
        leaves = [t for t in values if self._is_leaf(t)]
        for leaf in leaves:
            leaf.requires_grad_()
        out = _first(fn(*values, **kwargs))
        if not leaves or not out.requires_grad:
            reason = f"{case['id']} has no output with a gradient"
            raise NotImplementedError(reason)
        shape = tuple(out.shape)
        # Not a cosine alone: sums of it, as bias gradients are, would be all rounding.
        root = (0.5 + np.cos(np.arange(out.numel()))).reshape(shape)
        grad = self.library.tensor(root, dtype=out.dtype)

        def run() -> Any:
            for leaf in leaves:
                leaf.grad = None
            result = fn(*values, **kwargs)
            _first(result).backward(grad)
            return (*_parts(result), *(leaf.grad for leaf in leaves))

        return run

    def _is_leaf(self, value: Any) -> bool:
        return isinstance(value, self.library.Tensor) and value.is_floating_point()

    def _forward(
        self, fn: Callable[..., Any], values: list[Any], kwargs: dict[str, Any]
    ) -> Callable[[], Any]:
        no_grad = self.library.no_grad

        def run() -> Any:
            with no_grad():
                return fn(*values, **kwargs)

        return run

    def arrays(self, value: Any) -> list[Any]:
        """Outputs and gradients."""
        return [self.numpy(part) for part in _parts(value)]


def _parts(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _first(value: Any) -> Any:
    """The output whose gradient is given: the others of a recurrent layer are its last states."""
    return _parts(value)[0]

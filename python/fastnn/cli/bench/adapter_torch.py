# SPDX-License-Identifier: BSD-3-Clause
"""torch: the function that the case table names, from torch.nn.functional, torch or Tensor.

Options: fused (optimisers), channels_last (of all arrays with four dimensions), compile, device.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


class Adapter:
    """Runs cases and programs by torch; see worker.py for the interface."""

    programs = "steps_modules"

    def __init__(self, threads: int, options: dict[str, Any]) -> None:
        self.library = importlib.import_module("torch")
        self.library.set_num_threads(threads)
        self.options = options
        self.device = options.get("device", "cpu")
        if self.device == "cuda" and not self.library.cuda.is_available():
            reason = "expected a GPU, got none that it can use; use --device cpu"
            raise NotImplementedError(reason)

    def about(self) -> dict[str, Any]:
        """Versions, and what the library says it may use."""
        return {
            "torch": self.library.__version__,
            "isa": self.library.backends.cpu.get_cpu_capability(),
            "threads": self.library.get_num_threads(),
            "numpy": np.__version__,
            "python": sys.version.split()[0],
        }

    def tensor(self, array: Any) -> Any:
        """A copy, in memory that is aligned as torch's own results are."""
        return self.library.tensor(array).to(self.device)

    def numpy(self, tensor: Any) -> Any:
        """A copy back, contiguous whatever the memory format."""
        return np.array(tensor.detach().cpu().numpy(), order="C")

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """torch.compile for fixed shapes if that is the option; what fails there is unsupported."""
        if not self.options.get("compile"):
            return function
        fast = self.library.compile(function, dynamic=False)

        def call(*values: Any) -> Any:
            try:
                return fast(*values)
            except Exception as error:
                reason = f"torch.compile failed: {error!s:.300}"
                raise NotImplementedError(reason) from error

        return call

    def synchronize(self) -> None:
        """Waits for the GPU, where there is one in use."""
        if self.device == "cuda":
            self.library.cuda.synchronize()

    def _recurrent(self, name: str, kwargs: dict[str, Any]) -> Callable[..., Any]:
        """One layer in one direction, as fastnn's functions of these names."""
        torch = self.library
        function = {"lstm_layer": torch.lstm, "gru_layer": torch.gru, "rnn_layer": torch.rnn_tanh}[
            name
        ]
        reverse = kwargs.get("reverse", False)

        def call(x: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *states: Any) -> Any:
            x = x.flip(0) if reverse else x
            hx = [s.unsqueeze(0) for s in states]
            weights = [w_ih, w_hh, b_ih, b_hh]
            first = hx if name == "lstm_layer" else hx[0]
            y, *last = function(x, first, weights, True, 1, 0.0, False, False, False)
            return (y.flip(0) if reverse else y, *(s.squeeze(0) for s in last))

        return call

    def _function(self, name: str, kwargs: dict[str, Any]) -> Callable[..., Any]:
        products: dict[str, Callable[..., Any]] = {
            "mm a^T b": lambda a, b: a.t() @ b,
            "mm a b^T": lambda a, b: a @ b.t(),
            "mm a^T b^T": lambda a, b: a.t() @ b.t(),
        }
        if name in products:
            return products[name]
        if name in ("lstm_layer", "gru_layer", "rnn_layer"):
            return self._recurrent(name, kwargs)
        torch = self.library
        places = (torch.nn.functional, torch, torch.Tensor)
        found = [getattr(p, name) for p in places if name.isidentifier() and hasattr(p, name)]
        if not found:
            reason = f"torch has no function named {name!r}"
            raise NotImplementedError(reason)
        return lambda *values: found[0](*values, **kwargs)

    def _value(self, argument: Any) -> Any:
        if not isinstance(argument, np.ndarray):
            return argument
        t = self.tensor(argument)
        if self.options.get("channels_last") and t.ndim == 4:
            t = t.contiguous(memory_format=self.library.channels_last)
        return t

    def prepare(
        self, case: dict[str, Any], arguments: list[Any], backward: bool
    ) -> Callable[[], Any]:
        """A function that runs the case."""
        torch = self.library
        if self.options.get("channels_last") and not any(np.ndim(a) == 4 for a in arguments):
            reason = f"{case['id']} has no images, so channels_last changes nothing"
            raise NotImplementedError(reason)
        fn = self.compiled(self._function(case["name"], case["kwargs"]))
        values = [self._value(a) for a in arguments]
        if not backward:

            def forward() -> Any:
                with torch.no_grad():
                    return fn(*values)

            return forward
        leaves = [t for t in values if torch.is_tensor(t) and t.is_floating_point()]
        for leaf in leaves:
            leaf.requires_grad_()
        out = _parts(fn(*values))[0]
        if not leaves or not out.requires_grad:
            reason = f"{case['id']} has no output with a gradient"
            raise NotImplementedError(reason)
        grad = torch.empty_like(out, requires_grad=False)
        # Not a cosine alone: sums of it, as bias gradients are, would be all rounding.
        root = 0.5 + np.cos(np.arange(out.numel()))
        grad.copy_(self.tensor(root.reshape(tuple(out.shape))))

        def run() -> Any:
            for leaf in leaves:
                leaf.grad = None
            result = _parts(fn(*values))
            result[0].backward(grad)
            return (*result, *(leaf.grad for leaf in leaves))

        return run

    def arrays(self, value: Any) -> list[Any]:
        """Outputs and gradients."""
        return [self.numpy(part) for part in _parts(value)]


def _parts(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)

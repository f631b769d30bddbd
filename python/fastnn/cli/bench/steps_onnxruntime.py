# SPDX-License-Identifier: BSD-3-Clause
"""The recurrent layers of programs.py by onnxruntime, forward. Loaded by worker.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["prepare"]

# torch's gates stand in the orders i f g o and r z n; ONNX has i o f c and z r h.
_ORDERS = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}


def _reordered(array: Any, order: tuple[int, ...]) -> Any:
    parts = np.split(array, len(order))
    return np.concatenate([parts[i] for i in order])


def prepare(
    adapter: Any, name: str, arrays: dict[str, Any], backward: bool
) -> tuple[Callable[[], Any], list[Any]]:
    """A function that runs a layer, and its output (t, b, directions * h)."""
    kind = "GRU" if name == "gru" else "LSTM"
    if backward or name not in ("lstm", "lstm_big", "lstm_bidirectional", "gru"):
        reason = f"no onnxruntime version of {name} is written down; it computes no gradients"
        raise NotImplementedError(reason)
    both = "p.weight_ih_l0_reverse" in arrays
    suffixes = ("", "_reverse") if both else ("",)

    def stacked(key: str) -> list[Any]:
        return [_reordered(arrays[f"p.{key}_l0{s}"], _ORDERS[kind]) for s in suffixes]

    w, r = np.stack(stacked("weight_ih")), np.stack(stacked("weight_hh"))
    pairs = zip(stacked("bias_ih"), stacked("bias_hh"), strict=True)
    b = np.stack([np.concatenate(pair) for pair in pairs])
    attributes: dict[str, Any] = {
        "hidden_size": r.shape[-1],
        "direction": "bidirectional" if both else "forward",
    }
    if kind == "GRU":
        attributes["linear_before_reset"] = 1
    run = adapter.model(kind, [arrays["x"], w, r, b], 1, attributes)
    y = run()[0]  # (t, directions, b, h)
    return run, [y.transpose(0, 2, 1, 3).reshape(*y.shape[:1], y.shape[2], -1)]

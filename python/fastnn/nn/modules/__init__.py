# SPDX-License-Identifier: BSD-3-Clause
"""Layers under the names of torch's files, for ``from torch.nn.modules.module import Module``,
``nn.modules.batchnorm._BatchNorm`` and the like. New code takes them from ``fastnn.nn``.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

from fastnn import nn
from fastnn.nn.modules import utils

# torch's files by the files here that have their classes.
_FILES = {
    "activation": ("activation", "activation_layers", "attention"),
    "batchnorm": ("batchnorm",),
    "channelshuffle": ("resampling",),
    "container": ("containers", "parameter_containers"),
    "conv": ("conv",),
    "distance": ("distance",),
    "dropout": ("dropout",),
    "flatten": ("flatten",),
    "fold": ("fold",),
    "instancenorm": ("normalization",),
    "linear": ("linear", "distance"),  # distance has Bilinear
    "loss": ("loss", "margin_loss", "likelihood_loss"),
    "module": ("module",),
    "normalization": ("normalization", "local_response_norm"),
    "padding": ("padding",),
    "pixelshuffle": ("resampling",),
    "pooling": ("pooling", "more_pooling"),
    "rnn": ("rnn", "rnn_cell", "_rnn_base"),
    "sparse": ("embedding", "embedding_bag"),
    "transformer": ("transformer", "transformer_layers"),
    "upsampling": ("resampling",),
}


def _file(name: str, homes: tuple[str, ...]) -> types.ModuleType:
    """One of torch's files; what it has is looked up when it is asked for."""
    made = types.ModuleType(f"{__name__}.{name}", f"torch's ``nn/modules/{name}.py``.")

    def __getattr__(attribute: str) -> Any:
        for home in homes:
            found = vars(importlib.import_module(f"fastnn.nn.{home}")).get(attribute)
            if found is not None and not attribute.startswith("__"):
                return found
        message = f"module {made.__name__!r} has no attribute {attribute!r}"
        raise AttributeError(message)

    vars(made)["__getattr__"] = __getattr__
    return made


def __getattr__(name: str) -> Any:
    found = None if name.startswith("__") else getattr(nn, name, None)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return found


for _name, _homes in _FILES.items():
    globals()[_name] = sys.modules[f"{__name__}.{_name}"] = _file(_name, _homes)

__all__ = ["utils", *_FILES]  # noqa: PLE0604 - names

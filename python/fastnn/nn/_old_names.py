# SPDX-License-Identifier: BSD-3-Clause
"""Names of initialisers without underscore, which torch keeps with a warning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from fastnn.tensor import Tensor


def old_name(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    new = str(function.__name__)
    old = new.removesuffix("_")

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(
            f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.",
            FutureWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = old
    call.__doc__ = f"Deprecated, as in torch: `{new}`."
    return call

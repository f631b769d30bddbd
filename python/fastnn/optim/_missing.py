# SPDX-License-Identifier: BSD-3-Clause
"""A warning for parameters that are not trained: at a first step they have no gradient.

A layer that was made and never called, a branch behind detach() or a list of layers that no module
knows of costs nothing but accuracy. Looked for once for each optimiser, at the first step that sees
gradients; where no parameter has one there was no backward() at all, as in a test of a schedule.
"""

from __future__ import annotations

import gc
import sys
import warnings
from typing import TYPE_CHECKING, Any

from fastnn._callers import user_line

if TYPE_CHECKING:
    from fastnn.tensor import Tensor

_SHOWN = 4


def saw_gradients(owner: str, groups: list[dict[str, Any]]) -> bool:
    """Whether any parameter has a gradient; warns of those that require one and have none."""
    seen = False
    missing: list[tuple[str | None, str, Tensor]] = []
    for number, group in enumerate(groups):
        names = group.get("param_names") or ()
        for i, p in enumerate(group["params"]):
            if p.grad is not None:
                seen = True
            elif p.requires_grad:
                name = names[i] if i < len(names) else None
                missing.append((name, f"param_groups[{number}]['params'][{i}]", p))
    if seen and missing:
        _warn(owner, missing)
    return seen


def _warn(owner: str, missing: list[tuple[str | None, str, Tensor]]) -> None:
    known = {} if all(name for name, _, _ in missing) else _names_in_modules(missing)
    shown = [
        f"{name or known.get(id(p), place)} {tuple(p.shape)}" for name, place, p in missing[:_SHOWN]
    ]
    if len(missing) > _SHOWN:
        shown.append(f"{len(missing) - _SHOWN} more")
    warnings.warn(
        f"{owner}: expected a gradient for every parameter at the first step, got none for "
        f"{', '.join(shown)}: the loss does not depend on it, and it stays as it is; use it in the "
        "forward pass, freeze it with requires_grad_(False), or leave it out of the optimiser",
        stacklevel=user_line()[0],
    )


def _names_in_modules(missing: list[tuple[str | None, str, Tensor]]) -> dict[int, str]:
    """The longest name under which any living module has a parameter: that from its root.

    model.parameters() gives tensors without names, and a tensor does not know its module. All
    objects are looked through, which takes some milliseconds: once, and only for this message.
    """
    nn = sys.modules.get("fastnn.nn.module")
    if nn is None:
        return {}
    wanted = {id(p) for _, _, p in missing}
    found: dict[int, str] = {}
    for thing in gc.get_objects():
        # type(), as isinstance() would ask proxies what they stand for.
        if issubclass(type(thing), nn.Module) and "_modules" in vars(thing):
            for name, p in nn.Module.named_parameters(thing):
                if id(p) in wanted and len(name) > len(found.get(id(p), "")):
                    found[id(p)] = name
    return found

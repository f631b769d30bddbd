# SPDX-License-Identifier: BSD-3-Clause
"""Mixed precision under the names of torch.amp: programs that can switch it off run.

No operation here chooses its type by itself: `autocast` raises where it would have to, and is what
it is in torch where it is disabled. `GradScaler` scales losses and gradients as torch's does.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from fastnn import _backend
from fastnn._callers import user_line
from fastnn._device import device as device_of
from fastnn._dtypes import bfloat16, float16, float32
from fastnn._dtypes import dtype as DType
from fastnn._grad_mode import no_grad
from fastnn.ops.creation import tensor
from fastnn.tensor import Tensor

if TYPE_CHECKING:
    from fastnn.optim import Optimizer

__all__ = ["GradScaler", "autocast"]

F = TypeVar("F", bound=Callable[..., Any])


class autocast:
    """A context, or decorator, in which nothing changes: mixed precision that is switched off.

    device_type: "cpu" or "cuda", also of a device that is not there. enabled: whether operations
    shall choose their types; where torch disables it itself with a warning (another dtype than
    float16 and bfloat16 on the CPU, "cuda" without CUDA), so does this. cache_enabled changes
    nothing.

    Errors: NotImplementedError if it would be enabled; ValueError for a device_type that is no
    text, RuntimeError for one that is no device's.
    """

    def __init__(
        self,
        device_type: str,
        dtype: DType | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if not isinstance(device_type, str):
            message = (
                f"autocast: expected device_type as a text, got {type(device_type).__name__}; "
                "write 'cpu', or device.type"
            )
            raise ValueError(message)
        self.device = device_of(device_type).type
        self.fast_dtype = dtype or (float16 if self.device == "cuda" else bfloat16)
        self._enabled = False
        self._cache_enabled = bool(cache_enabled)
        if not enabled:
            return
        if self.device == "cuda" and _backend.cupy is None:
            text = "autocast: expected CUDA, got none, so that it is disabled; see show_config()"
            warnings.warn(text, stacklevel=user_line()[0])
            return
        if self.device == "cpu" and self.fast_dtype not in (bfloat16, float16):
            text = (
                f"autocast: expected bfloat16 or float16 on the CPU, got {self.fast_dtype}, so that"
                " it is disabled; pass enabled=False to say so"
            )
            warnings.warn(text, stacklevel=user_line()[0])
            return
        message = (
            f"autocast: expected enabled=False, got True on {self.device!r}: operations do not "
            f"choose {self.fast_dtype} by themselves; pass enabled=False, or convert model and "
            f"inputs with .to({self.fast_dtype})"
        )
        raise NotImplementedError(message)

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *exception: object) -> None: ...

    def __call__(self, func: F) -> F:
        @functools.wraps(func)
        def same(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return same  # type: ignore[return-value]


class GradScaler:
    """Scales losses so that small gradients do not vanish in float16, and gradients back.

        scaler.scale(loss).backward();  scaler.step(optimizer);  scaler.update()

    device:  "cuda", which disables it with a warning where there is no CUDA, or "cpu".
    `step` divides the gradients by the scale, unless `unscale_` did, and leaves the step out if any
    is not finite. `update` then multiplies the scale by ``backoff_factor``, or after
    ``growth_interval`` steps without by ``growth_factor``. With ``enabled=False`` losses stay as
    they are and `step` is the optimiser's.

    Errors: AssertionError or RuntimeError for calls out of turn, ValueError for float16 gradients.
    Source: Micikevicius et al., "Mixed precision training", 2018, section 3.2.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._enabled = bool(enabled)
        if self._enabled and device == "cuda" and _backend.cupy is None:
            text = "GradScaler: expected CUDA, got none, so that it is disabled; see show_config()"
            warnings.warn(text, stacklevel=user_line()[0])
            self._enabled = False
        if self._enabled:
            _require(
                growth_factor > 1.0,
                f"GradScaler: expected growth_factor > 1, got {growth_factor}; try 2",
            )
            _require(
                backoff_factor < 1.0,
                f"GradScaler: expected backoff_factor < 1, got {backoff_factor}; try 0.5",
            )
        self._scale = float(init_scale)
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0  # steps since the scale changed
        self._used = False  # whether `scale` was called
        # By the ids of optimisers: whether an infinity was found, and whether they have stepped.
        self._found: dict[int, bool] = {}
        self._stepped: set[int] = set()

    def scale(self, outputs: Any) -> Any:
        """A tensor, or tensors in lists and tuples, times the scale."""
        if not self._enabled:
            return outputs
        self._used = True
        if isinstance(outputs, Tensor):
            # A tensor, as torch's: as a number it would be an infinity in float16.
            return outputs * tensor(self._scale, dtype=float32, device=outputs.device)
        if isinstance(outputs, Iterable) and not isinstance(outputs, str):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, list | tuple) else scaled
        message = (
            "GradScaler.scale: expected outputs as a Tensor or an iterable of Tensors, got "
            f"{type(outputs).__name__}; scale what backward() is called of"
        )
        raise ValueError(message)

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimiser's parameters by the scale, to clip them, say."""
        if not self._enabled:
            return
        self._check_used("unscale_")
        if id(optimizer) in self._stepped:
            self._out_of_turn("unscale_", "unscale_() is being called after step()")
        if id(optimizer) in self._found:
            text = "unscale_() has already been called on this optimizer since the last update()"
            self._out_of_turn("unscale_", text)
        grads = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        if any(g.dtype is float16 for g in grads):
            message = (
                "GradScaler.unscale_: expected gradients of a wider type, got float16, in which "
                "they may vanish; keep the parameters in float32"
            )
            raise ValueError(message)
        with no_grad():
            finite = [g.isfinite().all() for g in grads]  # asked at the end, for a device's sake
            for g in grads:
                g.mul_(1.0 / self._scale)
        if grads:
            self._found[id(optimizer)] = not all(map(bool, finite))

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args, **kwargs)``, or None where a gradient is not finite."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            self._out_of_turn("step", "Closure use is not supported if it is enabled")
        self._check_used("step")
        if id(optimizer) in self._stepped:
            self._out_of_turn("step", "step() has already been called since the last update()")
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        _require(
            id(optimizer) in self._found,
            "GradScaler.step: expected gradients in the optimizer, got none: No inf checks were "
            "recorded for this optimizer; call backward() before",
        )
        result = None if self._found[id(optimizer)] else optimizer.step(*args, **kwargs)
        self._stepped.add(id(optimizer))
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Choose the next scale; ``new_scale`` sets it."""
        if not self._enabled:
            return
        self._check_used("update")
        if new_scale is not None:
            self._scale = float(new_scale)
        else:
            _require(
                bool(self._found),
                "GradScaler.update: expected a step before, got none: No inf checks were recorded "
                "prior to update; call step()",
            )
            self._adapt(any(self._found.values()))
        self._found.clear()
        self._stepped.clear()

    def _adapt(self, found: bool) -> None:
        if found:
            self._scale *= self._backoff_factor
            self._growth_tracker = 0
            return
        self._growth_tracker += 1
        if self._growth_tracker == self._growth_interval:
            larger = self._scale * self._growth_factor
            self._scale = larger if larger < _LARGEST else self._scale
            self._growth_tracker = 0

    def _check_used(self, call: str) -> None:
        _require(
            self._used,
            f"GradScaler.{call}: expected scale() before, got none; call scale(loss).backward()",
        )

    @staticmethod
    def _out_of_turn(call: str, text: str) -> None:
        message = (
            f"GradScaler.{call}: expected scale, unscale_, step and update in this order, got "
            f"another: {text}; call update() once after the steps of an iteration"
        )
        raise RuntimeError(message)

    def get_scale(self) -> float:
        """The scale; 1 where it is disabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by when it grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after a gradient that is not finite."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many steps the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it scales."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Scale and options; empty where it is disabled."""
        return {key: getattr(self, name) for key, name in _STATE.items()} if self._enabled else {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, also torch's."""
        if self._enabled and not state_dict:
            message = (
                "GradScaler.load_state_dict: expected the state of an enabled GradScaler, got an "
                "empty state dict; save it of one that is enabled"
            )
            raise RuntimeError(message)
        for key, name in _STATE.items() if self._enabled else ():
            setattr(self, name, state_dict[key])


_LARGEST = math.ldexp(1.0, 128)  # of float32, in which losses are
# Entries of state_dict() by the names of the attributes.
_NAMES = ("_scale", "_growth_factor", "_backoff_factor", "_growth_interval")
_STATE = {**{name[1:]: name for name in _NAMES}, "_growth_tracker": "_growth_tracker"}


def _require(good: bool, text: str) -> None:
    if not good:
        raise AssertionError(text)

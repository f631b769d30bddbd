# SPDX-License-Identifier: BSD-3-Clause
"""Averages of a model's weights over its training, and the schedule that goes with them.

average = AveragedModel(model)
schedule = SWALR(optimizer, swa_lr=0.05)
for epoch in range(epochs):
    ...                                   # the steps of the optimizer
    if epoch >= start:
        average.update_parameters(model)
        schedule.step()
update_bn(loader, average)                # running means of batch norm, for the averages
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

from fastnn._dtypes import int64
from fastnn.autograd import no_grad
from fastnn.nn.batchnorm import _BatchNorm
from fastnn.nn.module import Module
from fastnn.ops import tensor
from fastnn.optim._cyclic import for_groups
from fastnn.optim._scheduler import LRScheduler, Rate, require_optimizer
from fastnn.optim.optimizer import Optimizer
from fastnn.tensor import Tensor

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

AverageOne = Callable[[Tensor, Tensor, Any], Tensor]
AverageAll = Callable[[list[Tensor], list[Tensor], Any], None]


def _check_decay(owner: str, decay: Any) -> float:
    if not isinstance(decay, int | float) or not 0.0 <= decay <= 1.0:
        message = (
            f"{owner}: expected a decay in [0,1] range, got {decay!r}, an Invalid decay value; "
            "0.999 is the default"
        )
        raise ValueError(message)
    return float(decay)


def get_ema_avg_fn(decay: float = 0.999) -> AverageOne:
    """(average, value, n) -> decay * average + (1 - decay) * value: the exponential average."""
    kept = _check_decay("get_ema_avg_fn", decay)

    def average(mean: Tensor, value: Tensor, count: Any) -> Tensor:
        del count
        with no_grad():
            return mean * kept + value * (1 - kept)

    return average


def get_swa_avg_fn() -> AverageOne:
    """(average, value, n) -> average + (value - average) / (n + 1): the mean of all."""

    def average(mean: Tensor, value: Tensor, count: Any) -> Tensor:
        with no_grad():
            found: Tensor = mean + (value - mean) / (count + 1)
        return found

    return average


def _in_place(average: AverageOne) -> AverageAll:
    def average_all(means: list[Tensor], values: list[Tensor], count: Any) -> None:
        with no_grad():
            for mean, value in zip(means, values, strict=True):
                mean.copy_(average(mean, value, count))

    return average_all


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageAll:
    """As :func:`get_ema_avg_fn`, over lists, into the averages."""
    return _in_place(get_ema_avg_fn(_check_decay("get_ema_multi_avg_fn", decay)))


def get_swa_multi_avg_fn() -> AverageAll:
    """As :func:`get_swa_avg_fn`, over lists, into the averages."""
    return _in_place(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a model that holds averages of its parameters, as
    torch.optim.swa_utils.AveragedModel: of all with equal weights, or with those of a function.

    model:        copied; ``average(x)`` is the copy's output.
    device:       where the copy is kept, if elsewhere.
    avg_fn:       (average, parameter, n) -> new average, of single tensors, after n updates.
    multi_avg_fn: (averages, parameters, n) writes into the averages, of all tensors of one type.
    use_buffers:  whether buffers are averaged too; else they are those of the model.

    ``update_parameters(model)`` copies at the first call, and averages then. ``n_averaged``, a
    buffer, counts the calls. The functions are not part of the state.
    Errors: AssertionError for both functions at once; TypeError for what is no Module.
    Source: Izmailov, Podoprikhin, Garipov, Vetrov, Wilson 2018; Polyak & Juditsky 1992.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: AverageOne | None = None,
        multi_avg_fn: AverageAll | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        _require_module("AveragedModel", model)
        if avg_fn is not None and multi_avg_fn is not None:
            message = (
                "AveragedModel: expected avg_fn or multi_avg_fn, got both: Only one of avg_fn and "
                "multi_avg_fn should be provided; leave out the other"
            )
            raise AssertionError(message)
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The output of the copy."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Takes the parameters of a model like that one into the averages."""
        _require_module("AveragedModel.update_parameters", model)
        pairs = _pairs(self.module.parameters(), model.parameters())
        buffers = _pairs(self.module.buffers(), model.buffers())
        if self.use_buffers:
            pairs += buffers
        if int(self.n_averaged) == 0:
            for mean, value in pairs:
                mean.copy_(value)
        else:
            self._average(pairs)
        if not self.use_buffers:
            for mean, value in buffers:
                mean.copy_(value)
        self.n_averaged.add_(1)

    def _average(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        if self.avg_fn is not None:
            for mean, value in pairs:
                mean.copy_(self.avg_fn(mean, value, self.n_averaged))
            return
        average = self.multi_avg_fn or get_swa_multi_avg_fn()
        kinds: dict[Any, list[tuple[Tensor, Tensor]]] = {}
        for mean, value in pairs:
            kinds.setdefault((str(mean.device), mean.dtype), []).append((mean, value))
        for alike in kinds.values():
            average([a for a, _ in alike], [b for _, b in alike], self.n_averaged)


def _pairs(means: Iterable[Tensor], values: Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    found = [[t.detach() for t in tensors] for tensors in (means, values)]
    shapes = [[tuple(t.shape) for t in tensors] for tensors in found]
    if shapes[0] != shapes[1]:
        message = (
            f"AveragedModel.update_parameters: expected a model with tensors of shapes {shapes[0]},"
            f" got {shapes[1]}; pass the model of which the average was made"
        )
        raise ValueError(message)
    return [(mean, value.to(mean.device)) for mean, value in zip(*found, strict=True)]


def _require_module(owner: str, model: Any) -> None:
    if not isinstance(model, Module):
        message = f"{owner}: expected a Module, got {type(model).__name__}; pass an nn.Module"
        raise TypeError(message)


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Computes the running statistics of all batch norm layers of a model anew, by one pass over
    the data, as torch.optim.swa_utils.update_bn.

    loader: of batches: the input, or a list or tuple whose first item is the input.
    device: to which inputs are moved before.
    Every batch has the same weight. The model's mode and the layers' momentum are as before then.
    """
    _require_module("update_bn", model)
    layers = {layer: layer.momentum for layer in model.modules() if isinstance(layer, _BatchNorm)}
    if not layers:
        return
    was_training = model.training
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    model.train()
    try:
        for batch in loader:
            given = batch[0] if isinstance(batch, list | tuple) else batch
            model(given if device is None else given.to(device))
    finally:
        for layer, momentum in layers.items():
            layer.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """From the rate that is to ``swa_lr`` in ``anneal_epochs`` steps, and there it stays, as
    torch.optim.swa_utils.SWALR.

    swa_lr: one for all groups, or a list of one for each.
    anneal_strategy: 'cos' or 'linear'.
    Errors: ValueError for other strategies, negative anneal_epochs, and lists of another length.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        require_optimizer("SWALR", optimizer)
        rates = for_groups("SWALR", "swa_lr", optimizer, swa_lr)
        if anneal_strategy not in ("cos", "linear"):
            message = (
                "SWALR: expected anneal_strategy to be one of 'cos' or 'linear', got "
                f"{anneal_strategy!r}; 'cos' is the default"
            )
            raise ValueError(message)
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            message = (
                "SWALR: expected anneal_epochs equal or greater than 0, got "
                f"{anneal_epochs!r}; give a number of steps"
            )
            raise ValueError(message)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How much of the way is done after ``step`` steps."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[Rate]:
        """The rates after as many steps as have been made."""
        rates = self._rates()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        found = []
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            end = group["swa_lr"]
            start = end if before == 1 else (rate - end * before) / (1 - before)
            found.append(end * now + start * (1 - now))
        return found

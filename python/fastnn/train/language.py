# SPDX-License-Identifier: BSD-3-Clause
"""A learner of character sequences: truncated back-propagation through time, and sampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import fastnn
from fastnn.nn import functional as F
from fastnn.nn.utils import clip_grad_norm_
from fastnn.tensor import Tensor
from fastnn.train._model_learner import ModelLearner
from fastnn.train._state import Schedule, check_finite
from fastnn.train.position import BatchStats

if TYPE_CHECKING:
    from fastnn.nn import Module
    from fastnn.optim import Optimizer
    from fastnn.random import Generator

__all__ = ["LanguageLearner", "sample_text", "streams"]

_EVALUATION_STREAMS, _EVALUATION_LENGTH = 16, 256
_Numbers = npt.NDArray[np.int64]


def streams(numbers: _Numbers, count: int) -> tuple[_Numbers, _Numbers]:
    """A text as ``count`` equally long pieces that are read side by side.

    Shapes: numbers (n,) -> inputs and targets (count, (n - 1) // count); targets are the numbers
            that follow the inputs. What does not fill a whole row is left out.
    Raises: ValueError if there is not one character for every piece.
    """
    length = (len(numbers) - 1) // count
    if length < 1:
        message = (
            f"streams: expected at least {count + 1} characters, got {len(numbers)}, which do not "
            f"make {count} pieces; take a longer text or a smaller batch"
        )
        raise ValueError(message)
    end = count * length
    return numbers[:end].reshape(count, length), numbers[1 : end + 1].reshape(count, length)


def _chunks(text: tuple[_Numbers, _Numbers], length: int, first: int) -> Iterator[Any]:
    inputs, targets = text
    for start in range(first * length, inputs.shape[1], length):
        part = slice(start, start + length)
        yield tuple(fastnn.tensor(side[:, part]) for side in (inputs, targets))


def _detached(state: Any) -> Any:
    """A recurrent state without its history: a Tensor, or for the LSTM a pair of them."""
    return tuple(map(_detached, state)) if isinstance(state, tuple) else state.detach()


class LanguageLearner(ModelLearner):
    """Trains ``model(inputs (b, t), state) -> (logits (b, t, characters), state)``.

    The text is read as ``batch_size`` pieces side by side, ``length`` characters a step. The state
    at the end of a step is where the next one starts, without the gradient (truncated BPTT,
    Williams and Peng 1990); it starts at zero with every epoch. Gradients are clipped to the norm
    ``clip``. A loss is in nats per character.
    """

    metrics = ("loss",)

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        train: _Numbers,
        test: _Numbers,
        batch_size: int,
        length: int,
        clip: float,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(model, optimizer, schedule)
        self.length = length
        self.clip = clip
        self._train = streams(train, batch_size)
        self._test = streams(test, min(_EVALUATION_STREAMS, len(test) - 1))
        self._chunk = 0  # steps done in the epoch
        self._carried: Any = None  # states after the last step
        self._computed: Any = None  # states at the end of the step whose update is to come

    def batches(self) -> Iterator[Any]:
        """The chunks of the epoch that are still to come; the model is set to training."""
        self.model.train()
        if self._chunk == self.steps_per_epoch():  # stopped between the last step and the next
            return
        yield from _chunks(self._train, self.length, self._chunk)

    def steps_per_epoch(self) -> int:
        """Chunks of ``length`` characters, the last one may be shorter."""
        characters: int = self._train[0].shape[1]
        return math.ceil(characters / self.length)

    def _loss(self, batch: Any, carried: Any) -> tuple[Tensor, Any]:
        inputs, targets = batch
        logits, carried = self.model(inputs, carried)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), carried

    def compute(self, batch: Any) -> BatchStats:
        """Forward and backward through one chunk, clipping."""
        self.optimizer.zero_grad()
        loss, carried = self._loss(batch, self._carried)
        loss.backward()
        clip_grad_norm_(self.model.parameters(), self.clip)
        self._computed = _detached(carried)
        samples = batch[1].numel()
        return BatchStats(samples, {"loss": loss.item() * samples})

    def update(self) -> None:
        """The optimiser's step; the next chunk starts where this one ended."""
        super().update()
        self._carried, self._computed = self._computed, None
        self._chunk += 1

    def evaluate(self, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """{"test_loss"}: nats per character of the held-out text, read as 16 pieces."""
        self.model.eval()
        total, samples, carried = 0.0, 0, None
        with fastnn.no_grad():
            for batch in _chunks(self._test, _EVALUATION_LENGTH, 0):
                loss, carried = self._loss(batch, carried)
                total += loss.item() * batch[1].numel()
                samples += batch[1].numel()
                if should_stop():
                    return None
        self._chunk, self._carried = 0, None  # the epoch is over
        return {"test_loss": total / samples}

    def mark(self) -> dict[str, Any]:
        """Buffers, the position in the text and the state carried there (never written to)."""
        return self._mark(chunk=self._chunk, carried=self._carried)

    def state_dict(self, mark: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Model, optimiser, schedule, the position in the text and the state carried there."""
        return self._state(self.mark() if mark is None else mark)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take such a state over. Raises: KeyError, TypeError, ValueError, RuntimeError,
        OverflowError."""
        chunk, carried, steps = state["chunk"], state["carried"], self.steps_per_epoch()
        if not isinstance(chunk, int) or isinstance(chunk, bool) or not 0 <= chunk <= steps:
            problem = f"the position in the text is {chunk!r:.40}, of {steps}"
            raise ValueError(problem)
        if (carried is None) != (chunk == 0):
            problem = f"the carried state is {carried!r:.40} after {chunk} steps of the epoch"
            raise ValueError(problem)
        if carried is not None:
            for part in carried if isinstance(carried, tuple) else (carried,):
                check_finite("the carried state", part)
            with fastnn.no_grad():  # refuses, by the layer's own words, a state of another shape
                self.model(fastnn.tensor(self._train[0][:, :1]), carried)
        self._check(state, chunk, steps)
        self._load(state)
        self._chunk, self._carried, self._computed = chunk, carried, None


def sample_text(
    model: Module,
    start: int,
    length: int,
    temperature: float,
    generator: Generator,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[int] | None:
    """``length`` characters that the model writes after the character ``start``; None if it was
    asked to stop.

    Each is drawn from softmax(logits / temperature): below 1 the likely ones become likelier. The
    model is left in evaluation mode.
    """
    model.eval()
    numbers, carried = [start], None
    draws = fastnn.rand(length, generator=generator, dtype=fastnn.float64).numpy()
    with fastnn.no_grad():
        for draw in draws:
            if should_stop():
                return None
            inputs = fastnn.tensor(np.array([numbers[-1:]], dtype=np.int64))
            logits, carried = model(inputs, carried)
            values = logits.numpy().reshape(-1).astype(np.float64)
            # The largest becomes 0 before the division, which then overflows to -inf only.
            with np.errstate(over="ignore"):
                scaled = (values - values.max()) / temperature
            cumulative = np.cumsum(np.exp(scaled))
            chosen = int(np.searchsorted(cumulative, draw * cumulative[-1], side="right"))
            numbers.append(min(chosen, len(cumulative) - 1))
    return numbers[1:]

# SPDX-License-Identifier: BSD-3-Clause
"""A learner that classifies: batches of (inputs, class numbers), a loss on logits, accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import fastnn
from fastnn.train._model_learner import ModelLearner
from fastnn.train._state import Schedule
from fastnn.train.position import BatchStats

if TYPE_CHECKING:
    from fastnn.nn import Module
    from fastnn.optim import Optimizer
    from fastnn.tensor import Tensor
    from fastnn.utils.data import DataLoader

__all__ = ["Classifier"]


class Classifier(ModelLearner):
    """A model that maps inputs (n, ...) to logits (n, classes), and what trains and tests it.

    ``criterion(logits, labels)`` is the mean loss over the batch, as nn.CrossEntropyLoss.
    ``schedule`` is stepped after every optimiser step.
    """

    metrics = ("loss", "accuracy")

    def __init__(
        self,
        model: Module,
        criterion: Callable[[Tensor, Tensor], Tensor],
        optimizer: Optimizer,
        train_loader: DataLoader,
        test_loader: DataLoader,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(model, optimizer, schedule)
        self.criterion = criterion
        self.train_loader = train_loader
        self.test_loader = test_loader
        self._exhausted = False  # the epoch's batches are done, its evaluation is not

    def batches(self) -> Iterator[Any]:
        """Those of the loader; the model is set to training (evaluate() had set it to eval)."""
        self.model.train()
        if not self._exhausted:
            yield from self.train_loader
            self._exhausted = True

    def steps_per_epoch(self) -> int:
        """The loader's number of batches."""
        return len(self.train_loader)

    def compute(self, batch: Any) -> BatchStats:
        """Forward and backward."""
        inputs, labels = batch
        self.optimizer.zero_grad()
        logits = self.model(inputs)
        loss = self.criterion(logits, labels)
        loss.backward()
        return self._stats(logits, labels, loss)

    def evaluate(self, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """{"test_loss", "test_accuracy"} over the test loader, in eval mode, without gradients."""
        self.model.eval()
        samples, totals = 0, dict.fromkeys(self.metrics, 0.0)
        with fastnn.no_grad():
            for inputs, labels in self.test_loader:
                logits = self.model(inputs)
                stats = self._stats(logits, labels, self.criterion(logits, labels))
                samples += stats.samples
                for name in totals:
                    totals[name] += stats.sums[name]
                if should_stop():
                    return None
        self._exhausted = False
        return {f"test_{name}": total / max(samples, 1) for name, total in totals.items()}

    def mark(self) -> dict[str, Any]:
        """Buffers, and the loader's position with its generator."""
        return self._mark(loader=self.train_loader.state_dict())

    def state_dict(self, mark: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Model, optimiser, schedule, and the loader's position with its generator."""
        return self._state(self.mark() if mark is None else mark)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take such a state over. Raises: KeyError, TypeError, ValueError, RuntimeError,
        OverflowError."""
        before = self.train_loader.state_dict()
        self.train_loader.load_state_dict(state["loader"])  # checks as it loads
        try:
            self._check(state, state["loader"]["batch"], self.steps_per_epoch())
        except Exception:
            self.train_loader.load_state_dict(before)
            raise
        self._load(state)
        self._exhausted = False

    @staticmethod
    def _stats(logits: Tensor, labels: Tensor, loss: Tensor) -> BatchStats:
        samples = len(labels)
        correct = (logits.argmax(1) == labels).sum().item()
        return BatchStats(samples, {"loss": loss.item() * samples, "accuracy": float(correct)})

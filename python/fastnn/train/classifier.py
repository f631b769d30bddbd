# SPDX-License-Identifier: BSD-3-Clause
"""A learner that classifies: batches of (inputs, class numbers), a loss on logits, accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import fastnn
from fastnn.train._state import (
    Schedule,
    checked_model_state,
    checked_optimizer_state,
    checked_schedule_state,
)
from fastnn.train.loop import BatchStats

if TYPE_CHECKING:
    from fastnn.nn import Module
    from fastnn.optim import Optimizer
    from fastnn.tensor import Tensor
    from fastnn.utils.data import DataLoader

__all__ = ["Classifier"]


class Classifier:
    """A model that maps inputs (n, ...) to logits (n, classes), and what trains and tests it.

    ``criterion(logits, labels)`` is the mean loss over the batch, as nn.CrossEntropyLoss.
    ``schedule`` is stepped after every optimiser step.
    """

    def __init__(
        self,
        model: Module,
        criterion: Callable[[Tensor, Tensor], Tensor],
        optimizer: Optimizer,
        train_loader: DataLoader,
        test_loader: DataLoader,
        schedule: Schedule | None = None,
    ) -> None:
        self.model = model
        self.criterion = criterion
        self.optimizer = optimizer
        self.train_loader = train_loader
        self.test_loader = test_loader
        self.schedule = schedule

    def batches(self) -> Iterable[Any]:
        """The loader itself; the model is set to training (evaluate() had set it to eval)."""
        self.model.train()
        return self.train_loader

    def steps_per_epoch(self) -> int:
        """The loader's number of batches."""
        return len(self.train_loader)

    def train_batch(self, batch: Any) -> BatchStats:
        """Forward, backward, one optimiser step."""
        inputs, labels = batch
        self.optimizer.zero_grad()
        logits = self.model(inputs)
        loss = self.criterion(logits, labels)
        loss.backward()
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        return self._stats(logits, labels, loss)

    def evaluate(self, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """{"test_loss", "test_accuracy"} over the test loader, in eval mode, without gradients."""
        self.model.eval()
        samples, totals = 0, {"loss": 0.0, "accuracy": 0.0}
        with fastnn.no_grad():
            for inputs, labels in self.test_loader:
                logits = self.model(inputs)
                stats = self._stats(logits, labels, self.criterion(logits, labels))
                samples += stats.samples
                for name in totals:
                    totals[name] += stats.sums[name]
                if should_stop():
                    return None
        return {f"test_{name}": total / max(samples, 1) for name, total in totals.items()}

    def state_dict(self) -> dict[str, Any]:
        """Model, optimiser, schedule, and the loader's position with its generator."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "loader": self.train_loader.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take such a state over. Raises: KeyError, TypeError, ValueError, RuntimeError."""
        model = checked_model_state(self.model, state["model"])
        optimizer = checked_optimizer_state(self.optimizer, state["optimizer"])
        schedule = state["schedule"]
        if self.schedule is not None:
            checked_schedule_state(self.schedule, schedule)
        self.train_loader.load_state_dict(state["loader"])
        self.model.load_state_dict(model)
        self.optimizer.load_state_dict(optimizer)
        if self.schedule is not None:
            self.schedule.load_state_dict(schedule)

    @staticmethod
    def _stats(logits: Tensor, labels: Tensor, loss: Tensor) -> BatchStats:
        samples = len(labels)
        correct = (logits.argmax(1) == labels).sum().item()
        return BatchStats(samples, {"loss": loss.item() * samples, "accuracy": float(correct)})

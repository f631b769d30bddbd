# SPDX-License-Identifier: BSD-3-Clause
"""A learner that classifies: batches of (inputs, class numbers), a loss on logits, accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import fastnn
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
    """

    def __init__(
        self,
        model: Module,
        criterion: Callable[[Tensor, Tensor], Tensor],
        optimizer: Optimizer,
        train_loader: DataLoader,
        test_loader: DataLoader,
    ) -> None:
        self.model = model
        self.criterion = criterion
        self.optimizer = optimizer
        self.train_loader = train_loader
        self.test_loader = test_loader

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
        return self._stats(logits, labels, loss)

    def evaluate(self) -> dict[str, float]:
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
        return {f"test_{name}": total / max(samples, 1) for name, total in totals.items()}

    @staticmethod
    def _stats(logits: Tensor, labels: Tensor, loss: Tensor) -> BatchStats:
        samples = len(labels)
        correct = (logits.argmax(1) == labels).sum().item()
        return BatchStats(samples, {"loss": loss.item() * samples, "accuracy": float(correct)})

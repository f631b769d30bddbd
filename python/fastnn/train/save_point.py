# SPDX-License-Identifier: BSD-3-Clause
"""The state between two steps, which can be saved at any moment, even in the middle of one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from fastnn.random import default_generator
from fastnn.train.learner import Learner
from fastnn.train.position import Position

__all__ = ["SavePoint"]


class SavePoint:
    """A run as it was after its last whole step.

    Parameters, the optimiser's state and the position change only inside of :meth:`change`, which
    holds ``lock``; everything else that a step moves (buffers, the place in the data, the random
    cells) is copied at the end of it. So whoever has the lock, in whichever thread, finds in
    :meth:`state` what the last change left, and the step in progress is not in it. What writes
    files of the run holds the lock too.
    """

    def __init__(self, learner: Learner, position: Position | None = None) -> None:
        self.learner = learner
        self.position = Position() if position is None else position
        self.lock = threading.RLock()
        self._take()

    def _take(self) -> None:
        self._mark: Mapping[str, Any] = self.learner.mark()
        self._cell = default_generator.cell.copy()

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """Around an update and what belongs to it: all of it or nothing is in the next state.

        An exception inside leaves the mark of the state before, to which nothing leads back.
        """
        with self.lock:
            yield
            self._take()

    def state(self) -> dict[str, Any]:
        """What the run consists of; to be called with the lock. Tensors are shared with the
        learner, not copied, but for those of its mark."""
        return {
            "learner": self.learner.state_dict(self._mark),
            "random": [int(word) for word in self._cell],
            "position": self.position.state_dict(),
        }

# SPDX-License-Identifier: BSD-3-Clause
"""What is known about one name: how many samples passed, and why others did not."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

KEPT = 200  # failures with their texts


@dataclass
class Record:
    """The score of one name."""

    name: str
    samples: int = 0
    passed: int = 0
    error_inputs: int = 0
    raised: int = 0
    absent: bool = False
    crashes: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def score(self) -> float:
        return self.passed / self.samples if self.samples else 0.0

    @property
    def whole(self) -> bool:
        """Whether every error input raised and nothing crashed."""
        return self.raised == self.error_inputs and not self.crashes

    def failed(self, where: str, why: str) -> None:
        if len(self.failures) < KEPT:
            lines = [line.strip() for line in why.splitlines() if line.strip()]
            self.failures.append(f"{where}: {' '.join(lines)[:300]}")

    def as_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "score": self.score}

    @classmethod
    def from_json(cls, entries: dict[str, Any]) -> Record:
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in entries.items() if k in known})

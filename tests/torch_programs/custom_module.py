# SPDX-License-Identifier: BSD-3-Clause
"""A custom Module: residual blocks with a gate of their own tell two spirals apart.

Parameters, buffers and modules that a class registers itself; a loop in forward().
Reaches:  the right spiral for 95 % of new points.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

AT_LEAST = 0.95


def spirals(torch: Any, n: int, seed: int) -> tuple[Any, Any]:
    """Points (n, 2) on two spirals one in the other, and which of them (n)."""
    rng = np.random.default_rng(seed)
    side = rng.integers(0, 2, n)
    turn = np.sqrt(rng.random(n)) * 2.2 * np.pi
    angle = turn + np.pi * side
    points = np.stack([turn * np.cos(angle), turn * np.sin(angle)], 1)
    points += rng.normal(0, 0.15, points.shape)
    return torch.from_numpy(points.astype(np.float32)), torch.from_numpy(side.astype(np.float32))


def model(torch: Any) -> Any:
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.inner = nn.Linear(width, width)
            self.gate = nn.Parameter(torch.full((width,), 0.5))

        def forward(self, x: Any) -> Any:
            return x + self.gate * torch.tanh(self.inner(x))

    class Net(nn.Module):
        def __init__(self, width: int, blocks: int) -> None:
            super().__init__()
            self.register_buffer("scale", torch.tensor(4.0))
            self.enter = nn.Linear(2, width)
            self.blocks = nn.ModuleList([Block(width) for _ in range(blocks)])
            self.leave = nn.Linear(width, 1)

        def forward(self, x: Any) -> Any:
            x = torch.sin(self.enter(x / self.scale))
            for block in self.blocks:
                x = block(x)
            return self.leave(x).squeeze(1)

    return Net(24, 3)


def train(torch: Any, net: Any, draw: Any) -> Iterator[float]:
    x, y = spirals(torch, 512, seed=1)
    criterion = torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(75):
        order = draw.permutation(len(x))
        for start in range(0, len(x), 128):
            rows = order[start : start + 128]
            loss = criterion(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()


def metric(torch: Any, net: Any, draw: Any) -> float:
    del draw
    x, y = spirals(torch, 400, seed=2)
    with torch.no_grad():
        right = (net(x) > 0) == (y > 0.5)
    return float(right.float().mean())

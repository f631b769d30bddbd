# SPDX-License-Identifier: BSD-3-Clause
"""Deep Q-learning: an agent finds its way through a small world from what it lived through.

The world has 5 x 5 fields, a wall with a gap, and a goal behind it; a step costs 0.05, the goal
pays 1. Replay memory, exploration that fades, a target network that follows slowly, Huber's loss
and clipped gradients, as Mnih et al. 2015.
Reaches:  the goal on a shortest way from 95 % of the fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

AT_LEAST = 0.95
SIDE = 5
GOAL = (0, 4)
WALLS = {(0, 2), (1, 2), (2, 2), (4, 2)}
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
FIELDS = [(i, j) for i in range(SIDE) for j in range(SIDE) if (i, j) not in WALLS | {GOAL}]
GAMMA, BATCH = 0.9, 32


def step(place: tuple[int, int], action: int) -> tuple[tuple[int, int], float, bool]:
    """Where an action leads, what it pays, and whether that is the end."""
    to = (place[0] + MOVES[action][0], place[1] + MOVES[action][1])
    if to in WALLS or not (0 <= to[0] < SIDE and 0 <= to[1] < SIDE):
        to = place
    return to, (1.0 if to == GOAL else -0.05), to == GOAL


def distances() -> dict[tuple[int, int], int]:
    """How many steps every field is from the goal."""
    known, edge = {GOAL: 0}, [GOAL]
    while edge:
        place = edge.pop(0)
        for action in range(4):
            to = step(place, action)[0]
            if to not in known:
                known[to] = known[place] + 1
                edge.append(to)
    return known


def model(torch: Any) -> Any:
    nn = torch.nn

    class QNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer1 = nn.Linear(SIDE * SIDE, 48)
            self.layer2 = nn.Linear(48, 4)

        def forward(self, x: Any) -> Any:
            return self.layer2(nn.functional.relu(self.layer1(x)))

    return nn.ModuleDict({"policy": QNet(), "target": QNet()})


def state(torch: Any, places: list[tuple[int, int]]) -> Any:
    """Fields as one-hot rows."""
    numbers = torch.tensor([i * SIDE + j for i, j in places])
    return torch.nn.functional.one_hot(numbers, SIDE * SIDE).float()


def train(torch: Any, nets: Any, draw: Any) -> Iterator[float]:
    policy, target = nets["policy"], nets["target"]
    target.load_state_dict(policy.state_dict())
    optimizer = torch.optim.AdamW(policy.parameters(), lr=5e-3, amsgrad=True)
    criterion = torch.nn.SmoothL1Loss()
    memory: list[tuple[Any, int, float, Any, bool]] = []
    lived = 0
    for _ in range(110):
        place = FIELDS[int(draw.integers(len(FIELDS), 1).item())]
        for _ in range(20):
            lived += 1
            if draw.uniform(1).item() < max(0.1, 1 - lived / 600):
                action = int(draw.integers(4, 1).item())
            else:
                with torch.no_grad():
                    action = int(policy(state(torch, [place])).max(1).indices.item())
            to, reward, done = step(place, action)
            memory.append((place, action, reward, to, done))
            place = to
            if len(memory) >= BATCH:
                rows = [memory[i] for i in draw.integers(len(memory), BATCH).tolist()]
                places, actions, rewards, nexts, ends = zip(*rows, strict=True)
                values = policy(state(torch, list(places))).gather(
                    1, torch.tensor(actions).unsqueeze(1)
                )
                with torch.no_grad():
                    ahead = target(state(torch, list(nexts))).max(1).values
                    ahead[torch.tensor(ends)] = 0.0
                wanted = torch.tensor(rewards) + GAMMA * ahead
                loss = criterion(values, wanted.unsqueeze(1))
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_value_(policy.parameters(), 1.0)
                optimizer.step()
                with torch.no_grad():
                    for slow, fast in zip(target.parameters(), policy.parameters(), strict=True):
                        slow.mul_(0.95).add_(fast, alpha=0.05)
                yield loss.item()
            if done:
                break


def metric(torch: Any, nets: Any, draw: Any) -> float:
    del draw
    known, found = distances(), 0
    with torch.no_grad():
        best = nets["policy"](state(torch, FIELDS)).argmax(1).tolist()
    ways = dict(zip(FIELDS, best, strict=True))
    for start in FIELDS:
        place, steps = start, 0
        while place != GOAL and steps <= known[start]:
            place, steps = step(place, ways[place])[0], steps + 1
        found += place == GOAL and steps == known[start]
    return found / len(FIELDS)

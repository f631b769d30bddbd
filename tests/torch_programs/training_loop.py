# SPDX-License-Identifier: BSD-3-Clause
"""A training loop: a perceptron with two layers learns the digits.

DataLoader, CrossEntropyLoss, SGD with momentum, a schedule, train() and eval().
Reaches:  the right digit for 90 % of the images that it has not seen, by other writers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch_programs.digits import digits

AT_LEAST = 0.9
SEEN = 1400


def model(torch: Any) -> Any:
    nn = torch.nn
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))


def train(torch: Any, net: Any, draw: Any) -> Iterator[float]:
    data = torch.utils.data
    images, labels = digits(torch)
    dataset = data.TensorDataset(images[:SEEN], labels[:SEEN])
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=8, gamma=0.3)
    net.train()
    for _ in range(16):
        order = draw.permutation(len(dataset)).tolist()
        for x, y in data.DataLoader(dataset, batch_size=64, sampler=order):
            optimizer.zero_grad()
            loss = criterion(net(x), y)
            loss.backward()
            optimizer.step()
            yield loss.item()
        scheduler.step()


def metric(torch: Any, net: Any, draw: Any) -> float:
    del draw
    images, labels = digits(torch)
    net.eval()
    with torch.no_grad():
        guess = net(images[SEEN:]).argmax(dim=1)
    return float((guess == labels[SEEN:]).float().mean().item())

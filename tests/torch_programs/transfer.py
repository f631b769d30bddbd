# SPDX-License-Identifier: BSD-3-Clause
"""Transfer learning: what convolutions learn on the digits 0 to 4 serves for 5 to 9.

The network is trained on one half of the classes; then it is frozen, gets a new last layer in the
place of the old one, and only that is trained, on two hundred images of the other half.
Reaches:  the right digit for 80 % of the other half's images that it has not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch_programs.digits import digits

AT_LEAST = 0.8
FEW = 200


def model(torch: Any) -> Any:
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1, bias=False),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(8, 24, 3, padding=1),
                nn.ReLU(),
            )
            self.fc = nn.Linear(24 * 16, 5)

        def forward(self, x: Any) -> Any:
            return self.fc(torch.flatten(self.features(x), 1))

    # The new layer is made here, so that both libraries start from the same numbers.
    return nn.ModuleDict({"net": Net(), "head": nn.Linear(24 * 16, 5)})


def epochs(
    torch: Any, net: Any, optimizer: Any, data: tuple[Any, Any], draw: Any, n: int
) -> Iterator[float]:
    images, labels = data
    for _ in range(n):
        order = draw.permutation(len(images))
        for start in range(0, len(images), 100):
            rows = order[start : start + 100]
            loss = torch.nn.functional.cross_entropy(net(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()


def train(torch: Any, parts: Any, draw: Any) -> Iterator[float]:
    net = parts["net"]
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    yield from epochs(torch, net, optimizer, digits(torch, 0, 5), draw, 1)

    for parameter in net.parameters():
        parameter.requires_grad = False
    net.fc = parts["head"]
    net.features.eval()
    optimizer = torch.optim.SGD(net.fc.parameters(), lr=0.02, momentum=0.9)
    images, labels = digits(torch, 5, 10)
    yield from epochs(torch, net, optimizer, (images[:FEW], labels[:FEW]), draw, 40)


def metric(torch: Any, parts: Any, draw: Any) -> float:
    del draw
    images, labels = digits(torch, 5, 10)
    with torch.no_grad():
        guess = parts["net"](images[FEW:]).argmax(1)
    return float((guess == labels[FEW:]).float().mean())

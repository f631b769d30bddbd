# SPDX-License-Identifier: BSD-3-Clause
"""A custom autograd Function: weights of one bit, trained straight through their sign.

The Function rounds in forward() and lets the gradient of weights within [-1, 1] pass in backward()
(Courbariaux, Bengio and David, "BinaryConnect", 2015).
Reaches:  the right digit for 85 % of the images that it has not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch_programs.digits import digits

AT_LEAST = 0.85
SEEN = 1400


def model(torch: Any) -> Any:
    nn, F = torch.nn, torch.nn.functional

    class OneBit(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, weight: Any) -> Any:
            ctx.save_for_backward(weight)
            return torch.where(weight >= 0, 1.0, -1.0)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (weight,) = ctx.saved_tensors
            return grad * (weight.abs() <= 1).to(grad.dtype)

    class BinaryLinear(nn.Linear):
        def forward(self, x: Any) -> Any:
            return F.linear(x, OneBit.apply(self.weight), self.bias) / self.in_features**0.5

    return nn.Sequential(
        nn.Flatten(), BinaryLinear(64, 96), nn.BatchNorm1d(96), nn.Hardtanh(), BinaryLinear(96, 10)
    )


def train(torch: Any, net: Any, draw: Any) -> Iterator[float]:
    images, labels = digits(torch)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(10):
        order = draw.permutation(SEEN)
        for start in range(0, SEEN, 100):
            rows = order[start : start + 100]
            loss = torch.nn.functional.cross_entropy(net(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()


def metric(torch: Any, net: Any, draw: Any) -> float:
    del draw
    images, labels = digits(torch)
    net.eval()
    with torch.no_grad():
        guess = net(images[SEEN:]).argmax(1)
    return float((guess == labels[SEEN:]).float().mean())

# SPDX-License-Identifier: BSD-3-Clause
"""A generative adversarial network of convolutions draws digits.

As Radford, Metz and Chintala 2016: transposed convolutions with batch norm against convolutions
with leaky ReLU, weights from N(0, 0.02), Adam with a first moment of 0.5.
Reaches:  the mean image of what it draws is near that of the digits: minus the mean difference of
          their pixels is at least -0.2 (images are within [-1, 1]; at the start it is below -0.5).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch_programs.digits import digits

AT_LEAST = -0.2
NOISE = 16


def model(torch: Any) -> Any:
    nn = torch.nn

    def initial(module: Any) -> None:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)

    generator = nn.Sequential(
        nn.ConvTranspose2d(NOISE, 32, 4, 1, 0, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(True),
        nn.ConvTranspose2d(32, 1, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    critic = nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(16, 32, 4, 1, 0, bias=False),
        nn.BatchNorm2d(32),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(32, 1, 1, bias=False),
        nn.Sigmoid(),
    )
    both = nn.ModuleDict({"generator": generator, "critic": critic})
    both.apply(initial)
    return both


def train(torch: Any, nets: Any, draw: Any) -> Iterator[float]:
    generator, critic = nets["generator"], nets["critic"]
    images, _ = digits(torch)
    images = images * 2 - 1
    criterion = torch.nn.BCELoss()
    adam = torch.optim.Adam
    critic_step = adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.999))
    generator_step = adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    batch = 64
    for _ in range(6):
        order = draw.permutation(len(images))
        for start in range(0, len(images) - batch + 1, batch):
            real = images[order[start : start + batch]]
            drawn = generator(draw.normal(batch, NOISE, 1, 1))
            yes, no = torch.ones(batch), torch.zeros(batch)

            critic_step.zero_grad()
            loss_real = criterion(critic(real).view(-1), yes)
            loss_real.backward()
            loss_drawn = criterion(critic(drawn.detach()).view(-1), no)
            loss_drawn.backward()
            critic_step.step()
            yield loss_real.item() + loss_drawn.item()

            generator_step.zero_grad()
            loss = criterion(critic(drawn).view(-1), yes)
            loss.backward()
            generator_step.step()
            yield loss.item()


def metric(torch: Any, nets: Any, draw: Any) -> float:
    images, _ = digits(torch)
    with torch.no_grad():
        drawn = nets["generator"](draw.normal(500, NOISE, 1, 1))
    return -float((drawn.mean(0) - (images * 2 - 1).mean(0)).abs().mean())

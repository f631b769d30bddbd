# SPDX-License-Identifier: BSD-3-Clause
"""A variational autoencoder of the digits (Kingma and Welling, "Auto-encoding variational Bayes").

Encoder and decoder are perceptrons; the noise of the reparametrisation is drawn outside.
Reaches:  a bound of at least -26 nats on the log-likelihood of a new image, pixels taken as
          probabilities of black.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch_programs.digits import digits

AT_LEAST = -26.0
SEEN, LATENT = 1500, 6


def model(torch: Any) -> Any:
    nn = torch.nn

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2 * LATENT))
            self.decoder = nn.Sequential(
                nn.Linear(LATENT, 64), nn.ReLU(), nn.Linear(64, 64), nn.Sigmoid()
            )

        def forward(self, x: Any, noise: Any) -> Any:
            mean, logvar = self.encoder(x.flatten(1)).chunk(2, dim=1)
            z = mean + noise * torch.exp(0.5 * logvar)
            return self.decoder(z), mean, logvar

    return VAE()


def bound(torch: Any, net: Any, x: Any, noise: Any) -> Any:
    """Minus the evidence lower bound of a batch, for one image."""
    seen, mean, logvar = net(x, noise)
    misses = torch.nn.functional.binary_cross_entropy(seen, x.flatten(1), reduction="sum")
    divergence = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
    return (misses + divergence) / x.size(0)


def train(torch: Any, net: Any, draw: Any) -> Iterator[float]:
    images, _ = digits(torch)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(15):
        order = draw.permutation(SEEN)
        for start in range(0, SEEN, 75):
            x = images[order[start : start + 75]]
            optimizer.zero_grad()
            loss = bound(torch, net, x, draw.normal(x.size(0), LATENT))
            loss.backward()
            optimizer.step()
            yield loss.item()


def metric(torch: Any, net: Any, draw: Any) -> float:
    images, _ = digits(torch)
    x = images[SEEN:]
    with torch.no_grad():
        return -float(bound(torch, net, x, draw.normal(x.size(0), LATENT)))

# SPDX-License-Identifier: BSD-3-Clause
"""A transformer encoder reads rows of symbols and tells which of two came first.

Every row holds both symbols once, among others that do not matter, at places drawn at random;
padding behind it is masked (Vaswani et al., "Attention is all you need", 2017).
Reaches:  the right answer for 95 % of new rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

AT_LEAST = 0.95
SYMBOLS, LENGTH, WIDTH, PADDING = 8, 12, 32, 8


def rows(torch: Any, n: int, seed: int) -> tuple[Any, Any, Any]:
    """Symbols (n, t), where padding stands (n, t), and whether 0 stands before 1 (n)."""
    rng = np.random.default_rng(seed)
    symbols = rng.integers(2, SYMBOLS, (n, LENGTH))
    lengths = rng.integers(6, LENGTH + 1, n)
    first = np.empty(n, np.int64)
    for i, length in enumerate(lengths):
        a, b = rng.permutation(length)[:2]
        symbols[i, a], symbols[i, b] = 0, 1
        first[i] = a < b
    padding = np.arange(LENGTH) >= lengths[:, None]
    symbols[padding] = PADDING
    return torch.from_numpy(symbols), torch.from_numpy(padding), torch.from_numpy(first)


def model(torch: Any) -> Any:
    nn = torch.nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(SYMBOLS + 1, WIDTH)
            layer = nn.TransformerEncoderLayer(
                WIDTH, nhead=4, dim_feedforward=64, dropout=0.0, batch_first=True
            )
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.decide = nn.Linear(WIDTH, 2)
            place = torch.arange(LENGTH).unsqueeze(1)
            rate = torch.exp(torch.arange(0, WIDTH, 2) * (-math.log(10000.0) / WIDTH))
            waves = torch.zeros(LENGTH, WIDTH)
            waves[:, 0::2] = torch.sin(place * rate)
            waves[:, 1::2] = torch.cos(place * rate)
            self.register_buffer("waves", waves)

        def forward(self, symbols: Any, padding: Any) -> Any:
            x = self.embedding(symbols) + self.waves
            x = self.encoder(x, src_key_padding_mask=padding)
            kept = (~padding).unsqueeze(2).to(x.dtype)
            return self.decide((x * kept).sum(1) / kept.sum(1))

    return Classifier()


def train(torch: Any, net: Any, draw: Any) -> Iterator[float]:
    symbols, padding, first = rows(torch, 1500, seed=1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    net.train()
    for _ in range(10):
        order = draw.permutation(1500)
        for start in range(0, 1500, 50):
            part = order[start : start + 50]
            loss = torch.nn.functional.cross_entropy(net(symbols[part], padding[part]), first[part])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            yield loss.item()


def metric(torch: Any, net: Any, draw: Any) -> float:
    del draw
    symbols, padding, first = rows(torch, 400, seed=2)
    net.eval()
    with torch.no_grad():
        guess = net(symbols, padding).argmax(1)
    return float((guess == first).float().mean())

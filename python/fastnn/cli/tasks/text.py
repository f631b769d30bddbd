# SPDX-License-Identifier: BSD-3-Clause
"""The task ``text``: the next character of a text, learned from one file."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fastnn
from fastnn import nn, optim
from fastnn.cli import _args
from fastnn.cli.tasks import Job, Surroundings, check_memory, count_weights, warmup_cosine
from fastnn.data import DataFileError, Vocabulary, read_text
from fastnn.tensor import Tensor
from fastnn.train import Callback, EpochResult
from fastnn.train.language import LanguageLearner, sample_text
from fastnn.train.run import write_atomically

__all__ = ["DEFAULTS", "SUMMARY", "CharacterModel", "add_arguments", "build"]

SUMMARY = "the characters of a text file, whose last tenth is held out"
DEFAULTS: Mapping[str, Any] = {
    "data": None,
    "model": "lstm",
    "epochs": 3,
    "batch_size": 64,
    "lr": 4e-3,
    "layers": 1,
    "hidden_size": 256,
    "embedding_size": 64,
    "dropout": 0.0,
    "bptt": 64,
    "clip": 1.0,
    "temperature": 0.8,
    "sample_length": 300,
}

MODELS = ("lstm", "gru", "rnn")  # layers of fastnn.nn, in capitals
_TEST_FRACTION = 0.1
_FLOOR = 0.05  # of the learning rate, at the end


class CharacterModel(nn.Module):
    """Embedding, recurrent layers, linear output.

    Shapes: numbers of characters (b, t) and a state (None: zero) -> logits (b, t, characters) and
            the state after the last of them.
    """

    def __init__(
        self, kind: str, characters: int, embedding: int, hidden: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, embedding)
        between = dropout if layers > 1 else 0.0
        layer = getattr(nn, kind.upper())
        self.recurrent = layer(
            embedding, hidden, num_layers=layers, batch_first=True, dropout=between
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, characters)

    def forward(self, numbers: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One piece of every sequence in the batch."""
        hidden, state = self.recurrent(self.embedding(numbers), state)
        return self.output(self.dropout(hidden)), state


class _Sampler(Callback):
    """Shows a sample after every epoch and writes it to samples/epoch-<n>.txt.

    Its random numbers depend on seed and epoch alone: an epoch that is repeated after a kill gives
    the same file. A sample that Ctrl-C has cut off is made when the run goes on, which it does
    with the same weights.
    """

    def __init__(
        self,
        job: tuple[CharacterModel, Vocabulary],
        arguments: argparse.Namespace,
        surroundings: Surroundings,
    ) -> None:
        self.model, self.vocabulary = job
        self.arguments = arguments
        self.folder = surroundings.folder.path / "samples"
        self.surroundings = surroundings

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:03d}.txt"

    def _sample(self, epoch: int) -> None:
        generator = fastnn.Generator()
        generator.manual_seed((self.arguments.seed + 2**32 * epoch) % 2**64)
        start = max(self.vocabulary.characters.find("\n"), 0)
        numbers = sample_text(
            self.model,
            start,
            self.arguments.sample_length,
            self.arguments.temperature,
            generator,
            self.surroundings.should_stop,
        )
        if numbers is None:
            return
        text = self.vocabulary.decode(numbers)
        self.folder.mkdir(exist_ok=True)
        write_atomically(self._path(epoch), text.encode("utf-8"))
        for line in text.strip("\n").split("\n"):
            shown = "".join(c if c.isprintable() else " " for c in line)
            self.surroundings.progress.line("  | " + shown)

    def on_fit_start(self, epochs: int, steps_per_epoch: int) -> None:
        del epochs, steps_per_epoch
        position = self.surroundings.position
        if (
            position.step == 0
            and position.epoch > 1
            and not self._path(position.epoch - 1).exists()
        ):
            self._sample(position.epoch - 1)

    def on_epoch_end(self, result: EpochResult) -> None:
        self._sample(result.epoch)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only this task has."""
    parser.add_argument("--data", type=Path, metavar="FILE", help="the text, in UTF-8")
    text = f"the recurrent layer (default: {DEFAULTS['model']})"
    parser.add_argument("--model", choices=MODELS, help=text)
    for flag, kind, unit, meaning in (
        ("layers", _args.up_to(1000), "N", "recurrent layers"),
        ("hidden-size", _args.positive_int, "N", "units of a layer"),
        ("embedding-size", _args.positive_int, "N", "numbers that stand for a character"),
        ("dropout", _args.fraction, "P", "dropout behind every recurrent layer"),
        ("bptt", _args.positive_int, "N", "characters a gradient goes back"),
        ("clip", _args.positive_float, "X", "largest norm of a gradient"),
        ("temperature", _args.positive_float, "X", "of the samples; below 1 is more careful"),
        ("sample-length", _args.up_to(1_000_000), "N", "characters of a sample"),
    ):
        text = f"{meaning} (default: {DEFAULTS[flag.replace('-', '_')]:g})"
        parser.add_argument(f"--{flag}", type=kind, metavar=unit, help=text)


def _headline(metrics: Mapping[str, float]) -> str:
    return f"held-out loss {metrics['test_loss']:.4f} nats/character"


def _check_memory(arguments: argparse.Namespace, length: int, characters: int) -> None:
    """Weights with gradients and two moments, and the states and logits of a step."""
    hidden, layers = arguments.hidden_size, arguments.layers
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[arguments.model]
    weights = arguments.embedding_size * characters + hidden * characters
    weights += gates * hidden * (arguments.embedding_size + hidden + 2 * (layers - 1) * hidden)
    seen = min(arguments.batch_size * arguments.bptt, length)
    needed = 4 * (4 * weights + seen * (layers * (gates + 1) * hidden + 2 * characters))
    cure = "choose a smaller --hidden-size, --embedding-size, --layers, --batch-size or --bptt"
    check_memory("text", needed, cure)


def build(arguments: argparse.Namespace) -> Job:
    """Text, network and optimiser for the parsed flags; seeds what is random."""
    text = read_text(arguments.data)
    fastnn.manual_seed(arguments.seed)  # weights and dropout
    vocabulary = Vocabulary.of(text)
    numbers = vocabulary.encode(text)
    border = len(numbers) - max(2, round(_TEST_FRACTION * len(numbers)))
    _check_memory(arguments, border, len(vocabulary))
    model = CharacterModel(
        arguments.model,
        len(vocabulary),
        arguments.embedding_size,
        arguments.hidden_size,
        arguments.layers,
        arguments.dropout,
    )
    optimizer = optim.Adam(model.parameters(), lr=arguments.lr)
    sizes = (arguments.batch_size, arguments.bptt, arguments.clip)
    try:
        learner = LanguageLearner(model, optimizer, numbers[:border], numbers[border:], *sizes)
    except ValueError as error:
        problem = f"{arguments.data}: {error}"
        raise DataFileError(problem) from None
    factor = warmup_cosine(arguments.epochs * learner.steps_per_epoch(), _FLOOR)
    learner.schedule = optim.lr_scheduler.LambdaLR(optimizer, factor)
    weights = count_weights(model)
    summary = (
        f"text: {border:,} training and {len(numbers) - border:,} held-out characters, "
        f"{len(vocabulary)} different; {arguments.model} with {weights:,} weights, Adam, "
        f"lr {arguments.lr:g}, {arguments.batch_size} x {arguments.bptt} characters a step, "
        f"seed {arguments.seed}"
    )
    config = {
        "network": repr(model),
        "weights": weights,
        "optimizer": {"name": "Adam", "lr": arguments.lr, "schedule": "warm-up, then cosine"},
        "data": {
            "sha256": hashlib.sha256(text.encode("utf-8")).hexdigest(),
            "vocabulary": vocabulary.characters,
            "train": border,
            "test": len(numbers) - border,
        },
    }

    def callbacks(surroundings: Surroundings) -> Sequence[Callback]:
        return (_Sampler((model, vocabulary), arguments, surroundings),)

    return Job(learner, model, summary, config, _headline, callbacks)

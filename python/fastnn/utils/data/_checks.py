# SPDX-License-Identifier: BSD-3-Clause
"""What a ``DataLoader`` refuses: arguments of another kind, options that exclude each other, and
positions that no loader gave."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import Any

from fastnn.random import Generator

__all__ = ["check_iterable", "check_kinds", "check_position", "check_workers"]


def check_kinds(
    dataset: Any, sampler: Any, batch_sampler: Any, generator: Any, **options: Any
) -> None:
    """TypeError for arguments that cannot be what they should be."""
    if not isinstance(dataset, Iterable) and not hasattr(dataset, "__getitem__"):
        message = (
            "DataLoader: expected dataset as something that can be indexed or iterated over, got "
            f"{type(dataset).__name__}; TensorDataset(...) makes one of tensors"
        )
        raise TypeError(message)
    for name, value in (("sampler", sampler), ("batch_sampler", batch_sampler)):
        if value is not None and not hasattr(value, "__iter__"):
            message = (
                f"DataLoader: expected {name} as an iterable of indices, got {value!r}; leave it "
                "out for all of them in order"
            )
            raise TypeError(message)
    if generator is not None and not isinstance(generator, Generator):
        message = (
            f"DataLoader: expected generator as a fastnn.Generator or None, got {generator!r}; make"
            " one with fastnn.Generator()"
        )
        raise TypeError(message)
    for name in ("num_workers", "prefetch_factor"):
        value = options[name]
        if not isinstance(value, int) and not (value is None and name == "prefetch_factor"):
            message = f"DataLoader: expected {name} as an int, got {value!r}; leave it out"
            raise TypeError(message)
    if not isinstance(options["timeout"], numbers.Real):
        message = (
            f"DataLoader: expected timeout as a number of seconds, got {options['timeout']!r}; "
            "0 waits for ever"
        )
        raise TypeError(message)
    for name in ("collate_fn", "worker_init_fn"):
        value = options[name]
        if value is not None and not callable(value):
            message = (
                f"DataLoader: expected {name} as a function or None, got {value!r}; pass the"
                " function itself, not what it returns"
            )
            raise TypeError(message)


def check_position(state: Any) -> tuple[int, int]:
    """Epoch and batch of what a loader's ``state_dict`` gave."""
    names = ("epoch", "batch", "batch_size", "samples", "sampler")
    if not isinstance(state, Mapping):
        message = (
            "DataLoader.load_state_dict: expected what state_dict() returned, got "
            f"{type(state).__name__}; pass that dictionary itself"
        )
        raise TypeError(message)
    missing = [name for name in names if name not in state]
    if missing:
        message = (
            f"DataLoader.load_state_dict: expected the entries {', '.join(names)}, got none for "
            f"{', '.join(missing)}; pass what state_dict() of a DataLoader returned"
        )
        raise ValueError(message)
    for name in ("epoch", "batch"):
        value = state[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            message = (
                f"DataLoader.load_state_dict: expected {name} as an int >= 0, got {value!r}; pass"
                " what state_dict() returned, unchanged"
            )
            raise ValueError(message)
    return state["epoch"], state["batch"]


def check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool
) -> None:
    if num_workers < 0:
        message = (
            f"DataLoader: expected the num_workers option to be non-negative, got {num_workers}; 0 "
            "loads in the calling thread"
        )
        raise ValueError(message)
    if timeout < 0:
        message = (
            f"DataLoader: expected the timeout option to be non-negative, got {timeout}; 0 waits "
            "for ever"
        )
        raise ValueError(message)
    if num_workers == 0 and (prefetch_factor is not None or persistent):
        option = "persistent_workers" if persistent else "prefetch_factor"
        message = (
            f"DataLoader: expected num_workers > 0 with the {option} option, got 0; raise it, or "
            f"leave {option} out"
        )
        raise ValueError(message)
    if prefetch_factor is not None and prefetch_factor < 1:
        message = (
            f"DataLoader: expected a positive prefetch_factor, got {prefetch_factor}; 1 loads one "
            "batch ahead in every worker"
        )
        raise ValueError(message)


def check_iterable(shuffle: bool | None, sampler: Any, batch_sampler: Any) -> None:
    for option, value in (
        ("shuffle", shuffle or None),
        ("sampler", sampler),
        ("batch_sampler", batch_sampler),
    ):
        if value is not None:
            message = (
                f"DataLoader: with an IterableDataset expected unspecified {option} option, got"
                f" {option}={value!r}; leave it out: the data set decides the order"
            )
            raise ValueError(message)

# SPDX-License-Identifier: BSD-3-Clause
"""Modules under the inputs of torch's ModuleInfo database, from torch's ``state_dict``."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

from . import compare
from .functions import Step, count_refusal, torch_refusal
from .record import Record
from .translate import Lacking, NotCounted, Translator, dtype_of, find, recording_modules

DTYPES = (torch.float32, torch.float64)


@cache
def _by_name() -> dict[str, Any]:
    return {info.name: info for info in module_db}


def info(name: str) -> Any:
    """The entry of a name like nn.ReLU, None if there is none."""
    return _by_name().get(name)


def _inputs(entry: Any, function: Any, dtype: torch.dtype, training: bool) -> list[Any]:
    with recording_modules():
        return list(
            function(
                entry, device="cpu", dtype=dtype, requires_grad=dtype == torch.float64,
                training=training,
            )
        )  # fmt: skip


def _build(entry: Any, given: Any, dtype: torch.dtype, training: bool) -> Any:
    made = entry.module_cls(*given.args, **given.kwargs)
    return made.to(dtype).train(training)


def _translated(name: str, given: Any, translate: Translator) -> Any:
    return find(name)(*translate(given.args), **translate(given.kwargs))


def _run(module: Any, args: Any, kwargs: Any, seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return module(*args, **kwargs)


def _is_random(entry: Any, module: Any, training: bool, sample: Any) -> bool:
    given = sample.forward_input
    results = []
    for seed in (1, 2):
        twin = _build(entry, sample.constructor_input, next_dtype(module), training)
        twin.load_state_dict(module.state_dict())
        results.append(compare.leaves(_run(twin, given.args, given.kwargs, seed)))
    return any(
        not torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
        for a, b in zip(*results, strict=True)
    )


def next_dtype(module: Any) -> torch.dtype:
    """The type of a module's first parameter or buffer with a fraction; float32 without any."""
    floats = [t.dtype for t in module.state_dict().values() if t.is_floating_point()]
    return floats[0] if floats else torch.float32


def _check(name: str, entry: Any, sample: Any, dtype: torch.dtype, training: bool) -> None:
    theirs = _build(entry, sample.constructor_input, dtype, training)
    translate = Translator()
    ours = _translated(name, sample.constructor_input, translate)
    ours = ours.to(dtype_of(dtype)).train(training)
    ours.load_state_dict(Translator()(theirs.state_dict()))
    given = sample.forward_input
    args, kwargs = translate(given.args), translate(given.kwargs)
    random = _is_random(entry, theirs, training, sample)
    wanted = _run(theirs, given.args, given.kwargs, 0)
    if any(t.is_complex() for t in compare.leaves(wanted)):
        raise NotCounted
    found = ours(*args, **kwargs)
    allowed = compare.Tolerances()
    compare.results("result", found, wanted, allowed, values=not random)
    compare.results("state", dict(ours.state_dict()), dict(theirs.state_dict()), allowed)
    if dtype == torch.float64:
        inputs = [(t, own) for t, own in translate.tensors if t.requires_grad]
        inputs += [
            (p, q) for p, q in zip(theirs.parameters(), ours.parameters(), strict=True)
            if p.requires_grad
        ]  # fmt: skip
        compare.gradients(found, wanted, inputs, allowed, values=not random)


def score(name: str, step: Step) -> Record:
    """All inputs and error inputs of a module, in training and evaluation."""
    record = Record(name)
    try:
        find(name)
    except Lacking:
        record.absent = True
    entry = info(name)
    for dtype in DTYPES if entry else ():
        for training in (True, False):
            mode = f"{str(dtype).removeprefix('torch.')} {'train' if training else 'eval'}"
            samples = _inputs(entry, entry.module_inputs_func, dtype, training)
            for i, sample in enumerate(samples):
                where = f"{mode} {i} {sample.desc}".strip()
                _sample(record, entry, where, sample, (dtype, training), step)
            if entry.module_error_inputs_func is not None:
                errors = _inputs(entry, entry.module_error_inputs_func, dtype, training)
                for i, error in enumerate(errors):
                    where = f"{mode} error input {i}"
                    _error_input(record, entry, where, error, (dtype, training), step)
    return record


def _sample(
    record: Record, entry: Any, where: str, sample: Any, mode: tuple[Any, bool], step: Step
) -> None:
    record.samples += 1
    if not step(where):
        record.failed(where, "crashed")
        return
    try:
        _check(record.name, entry, sample, *mode)
    except NotCounted:
        record.samples -= 1
    except Exception as error:
        text = str(error) if isinstance(error, compare.Different | Lacking) else repr(error)
        given = sample.constructor_input
        record.failed(where, f"{text} | {given.args!r:.60} {given.kwargs!r:.100}")
    else:
        record.passed += 1


def _torch_call(entry: Any, sample: Any, mode: tuple[Any, bool], forward: bool) -> None:
    module = _build(entry, sample.constructor_input, *mode)
    if forward:
        module(*sample.forward_input.args, **sample.forward_input.kwargs)


def _error_input(
    record: Record, entry: Any, where: str, error: Any, mode: tuple[Any, bool], step: Step
) -> None:
    sample, translate = error.module_error_input, Translator()
    made, given = sample.constructor_input, sample.forward_input
    forward = error.error_on == ModuleErrorEnum.FORWARD_ERROR
    try:
        made_with = translate(made.args), translate(made.kwargs)
        called_with = (translate(given.args), translate(given.kwargs)) if forward else None
    except Exception:
        return  # it cannot be said to fastnn
    theirs = torch_refusal(lambda: _torch_call(entry, sample, mode, forward))
    if theirs is None:
        return
    record.error_inputs += 1
    if not step(where):
        record.failed(where, "crashed")
        return

    def call() -> None:
        ours = find(record.name)(*made_with[0], **made_with[1])
        if called_with is not None:
            ours = ours.to(dtype_of(mode[0])).train(mode[1])
            ours(*called_with[0], **called_with[1])

    count_refusal(record, where, call, error, theirs, f"{made.args!r:.60} {made.kwargs!r:.100}")

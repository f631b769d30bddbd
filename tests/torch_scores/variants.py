# SPDX-License-Identifier: BSD-3-Clause
"""Methods, in-place forms and operators under the samples of the functions: ``x.add(y)``,
``x.add_(y)``, ``x + y``, ``x += y``. Where torch refuses a sample, as it does in place when the
result does not fit, fastnn has to refuse it too."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.testing._internal.opinfo.core import SampleInput

import fastnn

from . import compare
from .functions import DTYPES, Step, described, infos, tolerances
from .record import Record
from .translate import Lacking, NotCounted, Translator, recording_modules


def _method(name: str) -> Callable[..., Any]:
    found = getattr(fastnn.Tensor, name, None)
    if found is None:
        message = f"Tensor has no {name}"
        raise Lacking(message)
    return found  # type: ignore[no-any-return]


def _forms(op: Any) -> Iterator[tuple[str, Any, Any, bool]]:
    """(what, torch's, ours, whether in place); ours is a name or, for operators, torch's too."""
    if isinstance(op.op, types.FunctionType) and op.op.__name__ == "<lambda>":
        return  # a method in the first place
    for what, theirs, mine, in_place in (
        ("method", op.method_variant, op.name, False),
        ("in place", op.inplace_variant, f"{op.name}_", True),
        ("operator", op.operator_variant, None, False),
        ("operator in place", op.inplace_operator_variant, None, True),
    ):
        if theirs is not None and not op.name.startswith("__"):
            yield what, theirs, mine, in_place


def _check(op: Any, theirs: Any, mine: str | None, in_place: bool, sample: SampleInput) -> None:
    if "out" in sample.kwargs or not isinstance(sample.input, torch.Tensor):
        raise NotCounted
    given = sample.input.clone() if in_place else sample.input
    translate = Translator()
    own = translate(given)
    args, kwargs = translate(sample.args), translate(sample.kwargs)
    ours = theirs if mine is None else _method(mine)
    try:
        wanted = theirs(given, *sample.args, **sample.kwargs)
    except Exception as refusal:
        try:
            ours(own, *args, **kwargs)
        except Exception:
            return
        message = f"nothing raised, torch: {refusal}"
        raise compare.Different(message) from None
    if any(t.is_complex() for t in compare.leaves(wanted)):
        raise NotCounted
    found = ours(own, *args, **kwargs)
    compare.results("result", found, wanted, tolerances(op))
    if in_place:
        if found is not own:
            message = "the result is another tensor"
            raise compare.Different(message)
        compare.tensors("the tensor", own, given, tolerances(op))


def score(name: str, step: Step) -> Record:
    """All samples of a name through every form that torch has of it."""
    record = Record(name)
    for op in infos(name):
        for what, theirs, mine, in_place in _forms(op):
            record.absent |= mine is not None and not hasattr(fastnn.Tensor, mine)
            for dtype in DTYPES:
                if dtype not in op.supported_dtypes("cpu"):
                    continue
                kind = str(dtype).removeprefix("torch.")
                with recording_modules():
                    samples = list(op.sample_inputs("cpu", dtype, requires_grad=False))
                for i, sample in enumerate(samples):
                    record.samples += 1
                    where = f"{what} {op.variant_test_name} {kind} {i}"
                    if not step(where):
                        record.failed(where, "crashed")
                        continue
                    try:
                        _check(op, theirs, mine, in_place, sample)
                    except NotCounted:
                        record.samples -= 1
                    except Exception as error:
                        plain = isinstance(error, compare.Different | Lacking)
                        text = str(error) if plain else repr(error)
                        record.failed(where, f"{text} | {described(sample)}")
                    else:
                        record.passed += 1
    return record

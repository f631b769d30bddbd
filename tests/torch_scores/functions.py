# SPDX-License-Identifier: BSD-3-Clause
"""Functions under the samples and error inputs of torch's OpInfo database."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch.testing._internal.common_device_type import toleranceOverride
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import DecorateInfo, SampleInput

import fastnn

from . import compare
from .record import Record
from .translate import Lacking, NotCounted, Translator, find, recording_modules, with_fastnn

DTYPES = (torch.float32, torch.float64, torch.int64, torch.bool)

# The overrides of torch's tests that compare values on the CPU.
_COMPARING = (
    None, "test_noncontiguous_samples", "test_numpy_refs", "test_out",
    "test_variant_consistency_eager",
)  # fmt: skip

# What tells that a program went wrong, or lacks something, and did not refuse its input.
ACCIDENTS = (
    AttributeError, AssertionError, SystemError, RecursionError, UnboundLocalError,
    NotImplementedError,
)  # fmt: skip

Step = Callable[[str], bool]


@cache
def _by_name() -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for op in op_db:
        found.setdefault(op.name, []).append(op)
    return found


def infos(name: str) -> list[Any]:
    """The entries of a name; one name may have several variants."""
    return _by_name().get(name, [])


def is_there(name: str) -> bool:
    """Whether fastnn has the name, as a function or as a method."""
    try:
        find(name)
    except Lacking:
        return "." not in name and hasattr(fastnn.Tensor, name)
    return True


def ours(op: Any) -> Callable[..., Any]:
    """What calls fastnn as ``op.op`` calls torch. Raises Lacking."""
    if op.name.startswith("__"):
        try:
            return getattr(fastnn.Tensor, op.name)  # type: ignore[no-any-return]
        except AttributeError:
            message = f"Tensor has no {op.name}"
            raise Lacking(message) from None
    if isinstance(op.op, types.FunctionType) and op.op.__name__ == "<lambda>":
        return with_fastnn(op.op)
    return find(op.name)  # type: ignore[no-any-return]


def tolerances(op: Any) -> compare.Tolerances:
    own: dict[torch.dtype, tuple[float, float]] = {}
    for info in op.decorators:
        if isinstance(info, DecorateInfo) and info.device_type in (None, "cpu"):
            if info.cls_name != "TestCommon" or info.test_name not in _COMPARING:
                continue
            for decorator in info.decorators:
                if isinstance(decorator, toleranceOverride):
                    own |= {d: (t.rtol, t.atol) for d, t in decorator.d.items()}
    return compare.Tolerances(own)


def _with_seed(op: Any, seed: int) -> Callable[..., Any]:
    """The database's function, where it fixes the seed of torch's generator, with another seed."""

    def seeded(function: Any, *args: Any, **kwargs: Any) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return function(*args, **kwargs)

    names = {**op.op.__globals__, "wrapper_set_seed": seeded}
    made = types.FunctionType(op.op.__code__, names, closure=op.op.__closure__)
    made.__defaults__, made.__kwdefaults__ = op.op.__defaults__, op.op.__kwdefaults__
    return made


def _same(a: Any, b: Any) -> bool:
    return all(
        x.shape == y.shape and torch.equal(torch.nan_to_num(x), torch.nan_to_num(y))
        for x, y in zip(compare.leaves(a), compare.leaves(b), strict=True)
    )


def is_random(op: Any, sample: SampleInput) -> bool:
    """Whether the sample's result depends on torch's generator."""
    code = getattr(op.op, "__code__", None)
    if code is None or "wrapper_set_seed" not in code.co_names:
        return False
    first, second = (
        _with_seed(op, seed)(sample.input, *sample.args, **sample.kwargs) for seed in (1, 2)
    )
    return not _same(first, second)


def _process(function: Any, ours: bool) -> Callable[[Any], Any]:
    if ours and isinstance(function, types.FunctionType) and "torch" in function.__code__.co_names:
        return with_fastnn(function)
    return function  # type: ignore[no-any-return]


def _samples(op: Any, dtype: torch.dtype) -> Iterator[tuple[str, SampleInput, bool]]:
    """(label, sample, whether gradients are compared)."""
    graded = dtype == torch.float64 and op.supports_autograd
    with recording_modules():
        plain = list(op.sample_inputs("cpu", dtype, requires_grad=False))
        samples = list(op.sample_inputs("cpu", dtype, requires_grad=True)) if graded else plain
    if len(samples) != len(plain):  # those that need no gradient are not among them
        yield from ((f"{i} without grad", s, False) for i, s in enumerate(plain))
    yield from ((str(i), s, graded) for i, s in enumerate(samples))


def _check(op: Any, sample: SampleInput, graded: bool) -> None:
    """Raises Different, NotCounted, or whatever fastnn raises."""
    if "out" in sample.kwargs:
        raise NotCounted
    translate = Translator()
    try:
        given = translate(sample.input)
        args, kwargs = translate(sample.args), translate(sample.kwargs)
        function = ours(op)
    except Lacking:
        _torch_result(op, sample)  # complex results are not counted, whatever is lacking
        raise
    random = is_random(op, sample)
    theirs = _torch_result(op, sample)
    mine = function(given, *args, **kwargs)
    allowed = tolerances(op)
    compare.results("result", mine, theirs, allowed, values=not random)
    for i, (t, own) in enumerate(translate.tensors):
        if t._version:  # running statistics, or weights that are normalised in place
            compare.tensors(f"argument {i} afterwards", own, t, allowed, values=not random)
    if graded:
        inputs = [(t, own) for t, own in translate.tensors if t.requires_grad]
        process = sample.output_process_fn_grad
        compare.gradients(
            _process(process, ours=True)(mine), _process(process, ours=False)(theirs), inputs,
            allowed, values=not random,
        )  # fmt: skip


def _torch_result(op: Any, sample: SampleInput) -> Any:
    theirs = op.op(sample.input, *sample.args, **sample.kwargs)
    if any(t.is_complex() or t.layout != torch.strided for t in compare.leaves(theirs)):
        raise NotCounted
    return theirs


def score(name: str, step: Step) -> Record:
    """All samples and error inputs of a name.

    ``step(label)`` is called before each; where it is False the sample crashed in another process
    and counts as failed.
    """
    record = Record(name, absent=not is_there(name))
    for op in infos(name):
        for dtype in DTYPES:
            if dtype not in op.supported_dtypes("cpu"):
                continue
            for label, sample, graded in _samples(op, dtype):
                kind = str(dtype).removeprefix("torch.")
                _sample(record, op, f"{op.variant_test_name} {kind} {label}".strip(), sample,
                        graded, step)  # fmt: skip
        if op.error_inputs_func is not None:
            for i, error in enumerate(op.error_inputs("cpu")):
                where = f"{op.variant_test_name} error input {i}".strip()
                _error_input(record, op, where, error, step)
    return record


def _sample(
    record: Record, op: Any, where: str, sample: SampleInput, graded: bool, step: Step
) -> None:
    record.samples += 1
    if not step(where):
        record.failed(where, "crashed")
        return
    try:
        _check(op, sample, graded)
    except NotCounted:
        record.samples -= 1
    except Exception as error:
        text = str(error) if isinstance(error, compare.Different | Lacking) else repr(error)
        record.failed(where, f"{text} | {described(sample)}")
    else:
        record.passed += 1


def _error_input(record: Record, op: Any, where: str, error: Any, step: Step) -> None:
    sample = error.sample_input
    if "out" in sample.kwargs:
        return
    translate = Translator()
    try:
        given = translate(sample.input)
        args, kwargs = translate(sample.args), translate(sample.kwargs)
    except Exception:
        return  # it cannot be said to fastnn: complex, on another device, of 65 dimensions
    theirs = torch_refusal(lambda: op.op(sample.input, *sample.args, **sample.kwargs))
    if theirs is None:
        return
    record.error_inputs += 1
    if not step(where):
        record.failed(where, "crashed")
        return
    count_refusal(
        record, where, lambda: ours(op)(given, *args, **kwargs), error, theirs, described(sample)
    )


def torch_refusal(call: Callable[[], Any]) -> Exception | None:
    """What torch itself raises; its database lists some calls that it takes."""
    try:
        call()
    except Exception as error:
        return error
    return None


def count_refusal(
    record: Record, where: str, call: Callable[[], Any], wanted: Any, theirs: Exception, what: str
) -> None:
    """Counts a call that must raise: the type that torch's database expects, the one that torch
    raises, or a more special one. Where neither is one of `ACCIDENTS`, these do not count."""
    kinds = (wanted.error_type, type(theirs))
    text = f"torch: {type(theirs).__name__} {wanted.error_regex} | {what}"
    try:
        call()
    except Lacking as lacking:
        record.failed(where, str(lacking))
    except Exception as error:
        if isinstance(error, ACCIDENTS) and not issubclass(type(error), _accidents(kinds)):
            record.failed(where, f"{error!r} is no refusal, {text}")
        elif not isinstance(error, kinds):
            record.failed(where, f"{error!r} is of another type, {text}")
        else:
            record.raised += 1
    else:
        record.failed(where, f"nothing raised, {text}")


def _accidents(kinds: tuple[type[Exception], ...]) -> tuple[type[Exception], ...]:
    return tuple(kind for kind in kinds if issubclass(kind, ACCIDENTS))


def described(value: Any) -> str:
    """A sample in a few words."""
    if isinstance(value, SampleInput):
        parts = [described(value.input), *map(described, value.args)]
        return ", ".join([*parts, *(f"{k}={described(v)}" for k, v in value.kwargs.items())])
    if isinstance(value, torch.Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        return f"{kind}{list(value.shape)}" + ("" if value.is_contiguous() else "*")
    if isinstance(value, list | tuple):
        return "(" + ", ".join(map(described, value)) + ")"
    return f"{value!r:.60}"

# SPDX-License-Identifier: BSD-3-Clause
"""Cases and programs on their way to other processes, and their results on the way back."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import testing
from fastnn.cli.bench.ceilings import Cost
from fastnn.cli.bench.programs import PROGRAMS, Program
from fastnn.cli.bench.workers import Unsupported

__all__ = ["PASSES", "Subject", "disagreement", "find", "results"]

PASSES = ("forward", "forward_backward")


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is timed: a case of the case table or a program, in one direction and type."""

    case: testing.OpCase | None
    program: Program | None
    pass_: str = "forward"
    dtype: str = "float32"

    @property
    def id(self) -> str:
        """The case's or program's name."""
        if self.program is not None:
            return self.program.name
        assert self.case is not None
        return self.case.id

    @property
    def label(self) -> str:
        """With the direction, for people."""
        if self.program is not None and not self.program.both_passes:
            return self.id
        return self.id + (" + backward" if self.pass_ == "forward_backward" else "")

    def order(self, folder: Path) -> dict[str, Any]:
        """The order to prepare it, with its arrays in a file of that folder."""
        inputs, outputs = folder / "inputs.npz", folder / "outputs.npz"
        order: dict[str, Any] = {"do": "prepare", "pass": self.pass_}
        if self.program is not None:
            np.savez(inputs, **self.program.make())
            order["program"] = self.program.name
        else:
            assert self.case is not None
            order["case"] = _describe(self.case, self.dtype, inputs)
        return order | {"inputs": str(inputs), "outputs": str(outputs)}

    def cost(self, outputs: list[Any]) -> Cost:
        """Of one run. ``outputs``: the results of `order`.

        Traffic of a case: every array read or written once per pass: inputs and outputs, then for
        the gradients inputs, output gradients and input gradients. Its backward pass has twice the
        operations of the forward pass: one product for each of the two operands.
        """
        if self.program is not None:
            return self.program.cost(self.pass_)
        assert self.case is not None
        made = testing.make_arrays(self.case, np.dtype(self.dtype))
        arrays = [a for a in made if isinstance(a, np.ndarray)]
        count = len(outputs)
        both = self.pass_ == "forward_backward"
        if both:
            count -= sum(a.dtype.kind == "f" for a in arrays)
        read = float(sum(a.nbytes for a in arrays))
        out = float(sum(a.nbytes for a in outputs[:count]))
        grads = float(sum(a.nbytes for a in outputs[count:]))
        traffic = (2 * (read + out) + grads) if both else (self.case.bytes_moved or read + out)
        flops = self.case.flops
        return Cost(flops and flops * (3 if both else 1), traffic, read + out + grads)


def _describe(case: testing.OpCase, dtype: str, inputs: Path) -> dict[str, Any]:
    """A case for another process: its arrays in a file, everything else as JSON."""
    arrays: dict[str, Any] = {}
    arguments: list[dict[str, Any]] = []
    for i, value in enumerate(testing.make_arrays(case, np.dtype(dtype))):
        if isinstance(value, np.ndarray):
            arrays[str(i)] = value
            arguments.append({"array": str(i)})
        else:
            arguments.append({"value": value})
    np.savez(inputs, **arrays)
    described = {"id": case.id, "name": case.name, "kwargs": case.kwargs, "arguments": arguments}
    try:
        json.dumps(described)
    except TypeError as error:
        reason = f"{case.id}: an argument cannot be given to another process: {error}"
        raise Unsupported(reason) from error
    return described


def results(path: str) -> list[Any]:
    """The arrays that a worker stored."""
    with np.load(path) as stored:
        return [stored[str(i)] for i in range(len(stored.files))]


def disagreement(
    ours: list[Any], theirs: list[Any], *, seeded: bool = False, tolerance: float = 1e-4
) -> str | None:
    """How results differ by more than rounding; None if they do not.

    The case table bounds fastnn's own error; here a peer must only have computed the same thing:
    within ``tolerance`` of the largest value of each array. Where random numbers are drawn, the
    mean size of the values within 5 %.
    """
    if len(ours) != len(theirs):
        return f"{len(theirs)} arrays, not {len(ours)}"
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"array {i} is {b.dtype} {b.shape}, not {a.dtype} {a.shape}"
        x, y = a.astype(np.float64), b.astype(np.float64)
        if seeded:
            x, y = np.abs(x).mean(), np.abs(y).mean()
        bound = (0.05 if seeded else tolerance) * np.abs(x).max(initial=0.0)
        difference = np.abs(x - y).max(initial=0.0)
        if not difference <= bound:
            return f"array {i} differs by {difference:.3g}, at most {bound:.3g} is rounding"
    return None


def _chosen(identifier: str, name: str, patterns: list[str]) -> bool:
    return not patterns or any(
        p in (identifier, name) or fnmatch.fnmatchcase(identifier, p) for p in patterns
    )


def find(patterns: list[str]) -> list[Subject]:
    """The programs, then the timed cases, each in the passes it has, whose identifier or operation
    is, or matches, one of the patterns; all without patterns. ValueError if there is none."""
    found = [
        Subject(None, program, pass_)
        for program in PROGRAMS.values()
        for pass_ in program.passes
        if _chosen(program.name, program.kind, patterns)
    ]
    found += [
        Subject(case, None, pass_)
        for case in testing.all_cases(bench=True)
        for pass_ in (PASSES if case.grad else PASSES[:1])
        if _chosen(case.id, case.name, patterns)
    ]
    if not found:
        names = dict.fromkeys([*PROGRAMS, *(c.name for c in testing.all_cases(bench=True))])
        message = (
            f"cases: expected --only to name one of {', '.join(names)}, or a pattern, got "
            f"{', '.join(patterns)!r:.60}; as in --only mm or --only 'mm-*'"
        )
        raise ValueError(message)
    return found

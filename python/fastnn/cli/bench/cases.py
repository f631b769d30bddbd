# SPDX-License-Identifier: BSD-3-Clause
"""Cases and programs on their way to other processes, and their results on the way back."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import testing
from fastnn.cli.bench.ceilings import Cost
from fastnn.cli.bench.programs import PROGRAMS, Program
from fastnn.cli.bench.workers import Unsupported

__all__ = ["PASSES", "Subject", "disagreement", "find", "results"]

PASSES = ("forward", "forward_backward")

# Of the changes of a step's losses: rounding of the losses themselves is a larger part of them.
_CHANGES = 5e-3
# Operations that read as many elements, or rows, of one argument as another has indices.
_GATHERED = {"embedding": (1, 0), "nll_loss": (0, 1)}  # the argument, its indices
_LINE = 64  # bytes of a cache line: less than that is not read
# Operations of one argument, or sums, whose gradients do not need their inputs.
_LINEAR = {"add", "avg_pool2d", "clone", "embedding", "nll_loss", "pad", "sum", "unfold"}
# Operations whose gradients need no more of their inputs than a bit for each element.
_BITS = {"dropout", "leaky_relu", "relu"}


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
        the gradients what they need of the inputs (`_again`), output gradients and input gradients.
        Of what is gathered from, only what is gathered. The backward pass has twice the operations
        of the forward pass: one product for each of the two operands.
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
        read = _read(self.case.name, arrays)
        out = float(sum(a.nbytes for a in outputs[:count]))
        grads = float(sum(a.nbytes for a in outputs[count:]))
        flops, least = self.case.flops, self.case.least_flops
        held = read + out + grads
        if not both:
            traffic = self.case.bytes_moved or read + out
            beyond = max(0.0, traffic - 2 * out)
            return Cost(flops, traffic, held, read=beyond, least_flops=least)
        again = _again(self.case, arrays, read, out)
        traffic = read + out + again + out + grads
        beyond = max(0.0, traffic - 2 * (out + grads))
        flops, least = (n and 3 * n for n in (flops, least))
        return Cost(flops, traffic, held, read=beyond, least_flops=least)

    def disagreement(self, ours: list[Any], theirs: list[Any]) -> str | None:
        """How a peer's results differ by more than rounding; None if they do not.

        The losses of a step hardly change in three steps, so that wrong gradients leave them within
        the bound for losses; therefore their changes are held against each other, too.
        """
        if self.program is None:
            assert self.case is not None
            return disagreement(ours, theirs, seeded=self.case.seeded)
        found = disagreement(ours, theirs, tolerance=self.program.tolerance)
        if found or self.program.kind != "step":
            return found
        changes = [[a[1:] - a[0] for a in arrays[:1]] for arrays in (ours, theirs)]
        found = disagreement(*changes, tolerance=_CHANGES)
        return found and f"changes of the losses: {found}"


def _read(name: str, arrays: list[Any]) -> float:
    """Bytes of the inputs that an operation has to read."""
    read = sum(a.nbytes for a in arrays)
    if name in _GATHERED:
        table, indices = (arrays[i] for i in _GATHERED[name])
        each = table[0].nbytes if name == "embedding" else _LINE
        read += min(0, indices.size * each - table.nbytes)
    return float(read)


def _again(case: testing.OpCase, arrays: list[Any], read: float, out: float) -> float:
    """Bytes that the gradients need of what the forward pass has read."""
    if case.name in _LINEAR:
        return 0.0
    if case.name in _BITS:
        return float(arrays[0].size) / 8
    if case.name == "max_pool2d":  # which element of its k x k window each output is
        window = case.shapes[1]
        assert isinstance(window, int)
        return out / float(arrays[0].itemsize) * 2 * math.log2(window) / 8
    return read


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
    is, or matches, one of the patterns; all without patterns.

    ValueError for a pattern that matches nothing.
    """
    timed = list(testing.all_cases(bench=True))
    known = [(program.name, program.kind) for program in PROGRAMS.values()]
    known += [(case.id, case.name) for case in timed]
    if empty := [p for p in patterns if not any(_chosen(*pair, [p]) for pair in known)]:
        kinds = dict.fromkeys(program.kind for program in PROGRAMS.values())
        names = dict.fromkeys([*PROGRAMS, *(case.name for case in timed)])
        message = (
            f"cases: expected --only to name one of {', '.join(names)}, a kind ({', '.join(kinds)})"
            f", or a pattern, got {', '.join(empty)!r:.60}; as in --only mm or --only 'mm-*'"
        )
        raise ValueError(message)
    programs = [
        Subject(None, program, pass_)
        for program in PROGRAMS.values()
        for pass_ in program.passes
        if _chosen(program.name, program.kind, patterns)
    ]
    return programs + [
        Subject(case, None, pass_)
        for case in timed
        for pass_ in (PASSES if case.grad else PASSES[:1])
        if _chosen(case.id, case.name, patterns)
    ]

# SPDX-License-Identifier: BSD-3-Clause
"""What looks on while operations are recorded: anomaly detection, and hooks on saved tensors.

While either is on, all operations go through Python's `Op.apply` and `Op.record`, with the look at
their end, and no kernel takes a short way past these. While neither is, nothing here costs a thing.
"""

from __future__ import annotations

import linecache
import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _backend, _engine
from fastnn._callers import user_line
from fastnn._node import own_buffers
from fastnn._op import Op, plain_apply, plain_record, tensor_class
from fastnn._packed import local, pack_saved

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_lock = threading.Lock()
_plain_call = _engine._Pass.call


class _Switches:
    """What is on, for all threads."""

    users = 0  # how many anomaly modes and hooks are entered
    anomaly = False
    check_nan = True
    before: tuple[Any, Any, Any] | None = None  # what begin() replaced


class _Quiet(threading.local):
    depth = 0  # how many backwards of operations run, whose parts are not looked at


switches = _Switches()
quiet = _Quiet()


class _NoShortWay:
    def __getattr__(self, name: str) -> Any:
        return _backend._not_implemented


class _LongWay(_backend.Table):
    """A table's kernels without their short ways past `Op.apply`."""

    def __init__(self, table: _backend.Table) -> None:
        self.__dict__.update(table.__dict__)
        self.fast = _NoShortWay()  # type: ignore[assignment]
        self.table = table

    def __getattr__(self, name: str) -> Any:
        return getattr(self.table, name)


def begin() -> None:
    """Makes operations go the way where they are looked at, until as many calls of `end`."""
    with _lock:
        switches.users += 1
        if switches.users > 1:
            return
        tables = _backend._tables
        switches.before = (Op.__dict__["apply"], Op.__dict__["record"], tables[np.ndarray])
        tables[np.ndarray] = _LongWay(tables[np.ndarray])
        Op.apply = classmethod(_apply)  # type: ignore[method-assign, assignment]
        Op.record = _record  # type: ignore[method-assign, assignment]


def end() -> None:
    """Takes back one `begin`."""
    with _lock:
        switches.users -= 1
        if switches.users or switches.before is None:
            return
        apply, record, table = switches.before
        if isinstance(_backend._tables[np.ndarray], _LongWay):
            _backend._tables[np.ndarray] = table
        Op.apply = apply  # type: ignore[method-assign]
        Op.record = record  # type: ignore[method-assign]


def _apply(cls: type[Op], tensors: tuple[Any, ...], *options: Any) -> Any:
    result = plain_apply(cls, tensors, *options)
    if switches.anomaly:
        look(cls.name, tensors, options, result if type(result) is tuple else (result,))
    return result


def _record(node: Op, tensors: Sequence[Any], results: tuple[Any, ...]) -> None:
    plain_record(node, tensors, results)
    note_line(node)
    if local.hooks and node.saved:
        pack_saved(node)


# ---- anomalies -----------------------------------------------------------------------------------


def set_anomaly(mode: bool, check_nan: bool) -> tuple[bool, bool]:
    """Switches anomaly detection; returns how it was."""
    before = switches.anomaly, switches.check_nan
    if mode and not before[0]:
        begin()
        _engine._Pass.call = _call  # type: ignore[method-assign, assignment]
        _engine.native = None
    elif before[0] and not mode:
        _engine._Pass.call = _plain_call  # type: ignore[method-assign]
        _engine.native = _backend.tape
        end()
    switches.anomaly, switches.check_nan = mode, check_nan
    return before


def note_line(node: Op) -> None:
    """Keeps where a node was made, for messages."""
    if switches.anomaly:
        node.__dict__["_made_at"] = user_line()[1]


def _shown(line: tuple[str, int] | None) -> str:
    if line is None:
        return "a line that is not known, because detect_anomaly was off there"
    code = linecache.getline(*line).strip()
    return f"{line[0]}:{line[1]}" + (f" ({code})" if code else "")


def _kind(array: Any) -> str | None:
    """'nan' or 'inf' for an array of floating-point numbers that has one, NaN first."""
    if array is None or array.dtype.kind in "iub":
        return None
    xp = _backend.array_module(array)
    if bool(xp.isfinite(array).all()):
        return None
    return "nan" if bool(xp.isnan(array).any()) else "inf"


def _kinds_given(options: Iterable[Any]) -> set[str]:
    """The same of the numbers among an operation's options."""
    found = set()
    for o in options:
        if isinstance(o, float) and not math.isfinite(o):
            found.add("nan" if math.isnan(o) else "inf")
        elif isinstance(o, tuple | list):
            found |= _kinds_given(o)
    return found


def look(name: str, tensors: Sequence[Any], options: Iterable[Any], results: Sequence[Any]) -> None:
    """Raises where a result has a NaN, or an infinity, that no operand and no option had: then the
    operation made it. A NaN that came with an operand is refused once it enters a graph."""
    if quiet.depth or not switches.check_nan:
        return
    tensor = tensor_class()
    for r in results:
        kind = _kind(r.array) if isinstance(r, tensor) else None
        if kind is None:
            continue
        came = [_kind(t.array) if isinstance(t, tensor) else None for t in tensors]
        given = {*came, *_kinds_given(options)} - {None}
        if given and (kind == "inf" or ("nan" in given and not r._requires_grad)):
            continue
        origin = "first made here"
        if kind in given:
            place = f"input {came.index('nan')}" if "nan" in came else "an option"
            origin = f"which came with {place}"
        message = (
            f"{name}: expected finite results under detect_anomaly, got {kind}, {origin}, at "
            f"{_shown(user_line()[1])}; look at what goes in, or keep it away from where the "
            "result is not finite"
        )
        raise RuntimeError(message)


def _call(work: Any, node: Op, grads: list[Any]) -> tuple[Any, ...]:
    """`_Pass.call` with a look at the gradients that come out."""
    quiet.depth += 1
    try:
        with own_buffers(node):
            results = tuple(_plain_call(work, node, grads))
    except Exception as error:
        error.add_note(f"in backward of {node.name}, recorded at {_place(node)}")
        raise
    finally:
        quiet.depth -= 1
    if switches.check_nan:
        _look_back(node, grads, results, work.graph)
    return results


def _place(node: Op) -> str:
    return _shown(node.__dict__.get("_made_at"))


def _look_back(node: Op, grads: list[Any], results: tuple[Any, ...], graph: bool) -> None:
    for i, r in enumerate(results):
        kind = None if r is None else _kind(r.array if graph else r)
        if kind is None:
            continue
        came = {_kind(g.array if graph else g) for g in grads if g is not None} - {None}
        if kind == "inf" and came:
            continue
        message = (
            f"{node.name}: expected finite gradients under detect_anomaly, got a backward that "
            f"returned {kind} values in its {i}th output, of the operation recorded at "
            f"{_place(node)}; keep its inputs away from where its derivative is not finite"
        )
        raise RuntimeError(message)

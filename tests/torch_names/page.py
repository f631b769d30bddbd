# SPDX-License-Identifier: BSD-3-Clause
"""The page that says of every name of torch whether fastnn has it: text, from data and fastnn."""

from __future__ import annotations

import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fastnn

from . import compare
from .differences import DIFFERENCES, TAKEN
from .namespaces import CLASSES
from .reasons import reason_of

HERE = Path(__file__).resolve().parent
DATA = HERE / "names.txt"
PAGE = HERE.parent.parent / "docs" / "torch-names.md"

# Classes of which some attributes are made with each instance.
_MADE: dict[type, Callable[[], Any]] = {fastnn.Generator: fastnn.Generator}

_INTRO = """\
# torch's names in fastnn

<!-- Written by `python -m tests.torch_names` from tests/torch_names/; do not edit. -->

Every public name of {version} in the namespaces below, and whether fastnn has it. *There*: at the
same place, taking every argument that torch takes, with torch's defaults. *With a difference*:
there, but for what the table says. *Not there*: reading the name raises `AttributeError`. A test
compares this page with the package; parameters are compared by name, order and default.

These hold everywhere and are not repeated: there is no `out=`, and there are no named tensors
(`names=`), complex numbers, sparse and quantised tensors. The
[README](../README.md#where-fastnn-differs-from-torch) lists the differences in results.

"""


class Name(NamedTuple):
    """One name of torch: its overloads, or None for what is not called."""

    name: str
    overloads: list[compare.Overload] | None


def read(text: str) -> tuple[str, dict[str, list[Name]]]:
    """Which torch, and the names of each namespace, from the text that `collect` writes."""
    head, *lines = text.splitlines()
    found: dict[str, list[Name]] = {}
    path = ""
    for line in lines:
        if line.startswith("["):
            path = line[1:-1]
            found[path] = []
            continue
        name, bracket, rest = line.partition("(")
        ways = map(compare.overload, rest[:-1].split(" | ")) if bracket else ()
        overloads = [way for way in ways if way is not None]
        found[path].append(Name(name, overloads if bracket else None))
    return head.rpartition(" from ")[2].rstrip("."), found


def parts_of_torch() -> dict[str, list[Name]]:
    """The names of each namespace of torch."""
    return read(DATA.read_text("utf-8"))[1]


def namespace(path: str) -> Any:
    """fastnn's counterpart of a namespace of torch; None if there is none."""
    parts = path.split(".")[1:]
    if path in CLASSES:
        owner = namespace(".".join(("torch", *parts[:-1])))
        return getattr(owner, parts[-1], None)
    try:
        return importlib.import_module(".".join((fastnn.__name__, *parts)))
    except ModuleNotFoundError:
        return None


def has(owner: Any, name: str) -> bool:
    """Whether a namespace has a name; of a class also what only its instances have."""
    if isinstance(owner, type) and owner in _MADE and name not in vars(owner):
        return hasattr(owner, name) or hasattr(_MADE[owner](), name)
    return hasattr(owner, name)


def _said(path: str, name: Name, value: Any, in_class: bool) -> str:
    """What of a name is different: a sentence, or nothing."""
    parts = []
    full = f"{path}.{name.name}"
    if full in DIFFERENCES:
        parts.append(DIFFERENCES[full])
    kinds = callable(value), name.overloads is not None
    if kinds != (True, True) and any(kinds) and value is not None:
        parts.append("an attribute, in torch a function" if kinds[1] else "called, in torch not")
    # Operators are called by their signs.
    if name.overloads and callable(value) and not name.name.startswith("__"):
        try:
            parameters = list(inspect.signature(value).parameters.values())
        except (ValueError, TypeError):  # a type of C's without a signature
            parameters = None
        if parameters is not None:
            own = parameters[1:] if in_class and parameters else parameters
            parts += compare.differences(name.overloads, own, TAKEN.get(full, frozenset()))
    return "; ".join(parts)


class Part(NamedTuple):
    """What the page says of one namespace."""

    path: str
    there: list[str]
    different: dict[str, str]
    absent: list[str]


def parts() -> tuple[str, list[Part]]:
    """Which torch, and what there is to say of each namespace."""
    version, names = read(DATA.read_text("utf-8"))
    found = []
    for path, listed in names.items():
        owner = namespace(path)
        part = Part(path, [], {}, [])
        for name in listed:
            if owner is None or not has(owner, name.name):
                part.absent.append(name.name)
                continue
            said = _said(path, name, getattr(owner, name.name, None), path in CLASSES)
            if said:
                part.different[name.name] = said
            else:
                part.there.append(name.name)
        found.append(part)
    return version, found


def _code(names: list[str]) -> str:
    return " ".join(f"`{name}`" for name in names)


def _section(part: Part) -> Iterator[str]:
    yield f"## {part.path}\n"
    if part.there:
        yield f"### There ({len(part.there)})\n"
        yield textwrap.fill(_code(part.there), 140, break_long_words=False, break_on_hyphens=False)
        yield ""
    if part.different:
        yield f"### With a difference ({len(part.different)})\n"
        yield "| name | difference |\n|---|---|"
        # Names that differ in the same way share a row.
        rows: dict[str, list[str]] = {}
        for name, said in part.different.items():
            rows.setdefault(said, []).append(name)
        yield from (f"| {_code(names)} | {said} |" for said, names in rows.items())
        yield ""
    if part.absent:
        yield f"### Not there ({len(part.absent)})\n"
        yield "| why | names |\n|---|---|"
        reasons: dict[str, list[str]] = {}
        for name in part.absent:
            reasons.setdefault(reason_of(part.path, name), []).append(name)
        for why in sorted(reasons):
            yield f"| {why} | {_code(reasons[why])} |"
        yield ""


def text() -> str:
    """The whole page."""
    version, found = parts()
    lines = ["| | there | with a difference | not there |", "|---|--:|--:|--:|"]
    for p in found:
        anchor = p.path.lower().replace(".", "")
        counts = f"{len(p.there)} | {len(p.different)} | {len(p.absent)}"
        lines.append(f"| [{p.path}](#{anchor}) | {counts} |")
    total = [sum(len(getattr(p, k)) for p in found) for k in ("there", "different", "absent")]
    lines += [f"| all | {total[0]} | {total[1]} | {total[2]} |", ""]
    for p in found:
        lines += _section(p)
    return _INTRO.format(version=version) + "\n".join(lines).rstrip("\n") + "\n"

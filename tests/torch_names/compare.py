# SPDX-License-Identifier: BSD-3-Clause
"""What of a call that torch takes fastnn refuses, or understands otherwise, by the parameters."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

# Parameters of torch that are nowhere in fastnn, which the page says once, and internal ones.
EVERYWHERE = {"out", "names", "orig_func", "implicit"}
# Defaults that are written in another way and mean the same.
_EQUAL = {
    ("memory_format", None),
    ("nan", 0.0),
    ("unbiased", None),
    ("dims", None),
    ("compute_mode", None),
    ("stride", None),
}
_REQUIRED = object()
_UNKNOWN = object()


class Overload(NamedTuple):
    """Parameters of one way to call a function: name -> default, `_REQUIRED` if there is none."""

    positional: dict[str, Any]
    keyword_only: dict[str, Any]
    rest: bool  # takes any number by position
    options: bool  # takes any keyword


def _value(node: ast.expr | None) -> Any:
    if node is None:
        return _REQUIRED
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return _value(node.left) / _value(node.right)
    try:
        found = ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node).rpartition(".")[2]  # of torch.float32 the name
    return _UNKNOWN if found is ... else found


def overload(text: str) -> Overload | None:
    """The overload that ``a, b=1, *, c=None`` describes; None for ``?``."""
    if text == "?":
        return None
    node = ast.parse(f"def f({text}): ...").body[0]
    assert isinstance(node, ast.FunctionDef)
    a = node.args
    names = [p.arg for p in (*a.posonlyargs, *a.args)]
    defaults = [None] * (len(names) - len(a.defaults)) + list(a.defaults)
    return Overload(
        dict(zip(names, map(_value, defaults), strict=True)),
        {p.arg: _value(d) for p, d in zip(a.kwonlyargs, a.kw_defaults, strict=True)},
        a.vararg is not None,
        a.kwarg is not None,
    )


def _same(ours: Any, theirs: Any) -> bool:
    if theirs is _UNKNOWN:
        return True
    if isinstance(theirs, str) and not isinstance(ours, str):
        return theirs in (repr(ours).rpartition(".")[2], getattr(ours, "__name__", None))
    return bool(ours == theirs)


def _shown(value: Any) -> str:
    return f"`{value!r}`" if not isinstance(value, str) else f"`{value}`"


def _defaults(p: inspect.Parameter, theirs: list[Any]) -> str | None:
    """The sentence on a parameter's default, of all that torch's overloads have."""
    given = [d for d in theirs if d is not _REQUIRED]
    if p.default is p.empty:
        return f"`{p.name}` has to be given" if len(given) == len(theirs) else None
    if not given or any(_same(p.default, d) for d in given):
        return None
    if (p.name, p.default) in _EQUAL:
        return None
    return f"`{p.name}` is {_shown(p.default)} if left out, in torch {_shown(given[0])}"


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _by_position(name: str, theirs: list[Overload], order: list[str]) -> bool:
    """Whether a parameter of torch's stands, under another name, at its place in fastnn's."""
    for way in theirs:
        place = list(way.positional).index(name) if name in way.positional else len(order)
        if place >= len(order) or order[place] in way.positional:
            return False
    return True


def differences(
    theirs: list[Overload], parameters: list[inspect.Parameter], taken: Collection[str] = ()
) -> list[str]:
    """Parts of a sentence on how fastnn's parameters differ from torch's; none if it takes all.

    ``taken``: parameters that are not compared, because both are called in the same way.
    """
    ours = {p.name: p for p in parameters}
    kinds = {p.kind for p in parameters}
    rest = inspect.Parameter.VAR_POSITIONAL in kinds
    options = inspect.Parameter.VAR_KEYWORD in kinds
    order = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    found: list[str] = []
    wanted: dict[str, list[Any]] = {}
    by_position: set[str] = set()
    for way in theirs:
        for name, default in (*way.positional.items(), *way.keyword_only.items()):
            if name not in EVERYWHERE and name not in taken and not name.startswith("_"):
                wanted.setdefault(name, []).append(default)
        by_position.update(way.positional)
    missing, renamed = [], []
    for name, defaults in wanted.items():
        # What has no default may come by position.
        if name in ours or options or (rest and name in by_position and _REQUIRED in defaults):
            continue
        with_it = [way for way in theirs if name in (*way.positional, *way.keyword_only)]
        (renamed if _by_position(name, with_it, order) else missing).append(name)
    if missing:
        found.append("without " + _words(missing))
    if renamed:
        found.append(_words(renamed) + " by position only")
    for name, defaults in wanted.items():
        p = ours.get(name)
        if p is None:
            continue
        if p.kind is p.KEYWORD_ONLY and name in by_position and not rest:
            if not any(name in way.keyword_only for way in theirs):
                found.append(f"`{name}` by keyword only")
        elif p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and (said := _defaults(p, defaults)):
            found.append(said)
    common = [[n for n in way.positional if n in order] for way in theirs]
    if not any(way == [n for n in order if n in way] for way in common):
        found.append(f"by position in the order {_words(n for n in order if n in wanted)}")
    return found

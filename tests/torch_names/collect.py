# SPDX-License-Identifier: BSD-3-Clause
"""torch's public names and their parameters, read from the torch that is installed.

A line of the list is ``name(parameters)`` for what can be called, overloads joined by `` | ``, and
the bare name for anything else; ``name(?)`` has parameters that are written down nowhere.
Parameters are as in a ``def``, without types. A heading ``[torch.nn]`` says where the names are.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .namespaces import CLASSES, NAMESPACES

# Where torch writes down the parameters of functions in C++.
_STUBS = {
    "torch": ("_C/_VariableFunctions.pyi", None),
    "torch.nn.functional": ("nn/functional.pyi", None),
    "torch.Tensor": ("_C/__init__.pyi", "TensorBase"),
}
_UNKNOWN = "?"
# Operators of Tensor, which dir() shows among much else.
_OPERATOR = re.compile(r"__(?!class|new|init|subclass|torch|set|del|dir|doc|getattr)\w+__")


def _default(text: str) -> str:
    try:
        return repr(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text


def _of_definition(node: ast.FunctionDef) -> str:
    """The parameters of a definition in a stub, without types, ``self`` or ``cls``."""
    a = node.args
    positional = [*a.posonlyargs, *a.args]
    defaults: list[Any] = [None] * (len(positional) - len(a.defaults)) + list(a.defaults)
    words = [
        p.arg + ("" if d is None else f"={_default(ast.unparse(d))}")
        for p, d in zip(positional, defaults, strict=True)
        if p.arg not in ("self", "cls")
    ]
    if a.vararg is not None:
        words.append(f"*{a.vararg.arg}")
    elif a.kwonlyargs:
        words.append("*")
    for p, d in zip(a.kwonlyargs, a.kw_defaults, strict=True):
        words.append(p.arg + ("" if d is None else f"={_default(ast.unparse(d))}"))
    if a.kwarg is not None:
        words.append(f"**{a.kwarg.arg}")
    return ", ".join(words)


def _stub(torch: types.ModuleType, file: str, kind: str | None) -> dict[str, list[str]]:
    """The parameters of every function of a stub file, or of one class of it."""
    assert torch.__file__ is not None
    body = ast.parse((Path(torch.__file__).parent / file).read_text("utf-8")).body
    if kind is not None:
        body = next(n.body for n in body if isinstance(n, ast.ClassDef) and n.name == kind)
    found: dict[str, list[str]] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef) and not any(
            isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list
        ):
            found.setdefault(node.name, []).append(_of_definition(node))
    return found


def _shown(value: object) -> str:
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return value.__name__
    text = repr(value)
    return "..." if " at 0x" in text or text.startswith("<") else text


def of_signature(signature: inspect.Signature) -> str:
    """The parameters of a signature, without types, ``self`` or ``cls``."""
    words: list[str] = []
    star = False
    for p in signature.parameters.values():
        if p.name in ("self", "cls"):
            continue
        if p.kind is p.KEYWORD_ONLY and not star:
            words.append("*")
            star = True
        star = star or p.kind is p.VAR_POSITIONAL
        mark = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        words.append(mark + p.name + ("" if p.default is p.empty else f"={_shown(p.default)}"))
    return ", ".join(words)


def _parameters(name: str, value: Any, stub: dict[str, list[str]]) -> str:
    """``(parameters)``, or nothing for what is not called."""
    if isinstance(value, types.ModuleType) or not callable(value):
        return ""
    found = list(dict.fromkeys(stub.get(name, [])))
    if not found:
        try:
            found = [of_signature(inspect.signature(value))]
        except (ValueError, TypeError):
            # The first line of a docstring: linalg.norm(A, ord=None, *, out=None) -> Tensor
            documented = re.search(rf"\b{name}\((.*?)\) ?->", value.__doc__ or "", re.S)
            text = " ".join(documented.group(1).split()) if documented else _UNKNOWN
            found = [_of_text(text)]
    return "(" + " | ".join(found) + ")"


def _of_text(text: str) -> str:
    """The parameters of a docstring's first line in the form of the others."""
    try:
        node = ast.parse(f"def f({text}): ...").body[0]
    except SyntaxError:
        return _UNKNOWN
    assert isinstance(node, ast.FunctionDef)
    return _of_definition(node)


def public(path: str, namespace: Any) -> Iterator[str]:
    """The public names of a namespace, sorted."""
    listed = getattr(namespace, "__all__", None)
    if isinstance(namespace, type):
        # What a class has beyond every class's: methods, attributes, operators.
        plain = set(dir(object))
        yield from (
            n
            for n in dir(namespace)
            if n not in plain and (not n.startswith("_") or _OPERATOR.fullmatch(n))
        )
        return
    modules = set()
    for name in dir(namespace):
        value = inspect.getattr_static(namespace, name)
        if isinstance(value, types.ModuleType) and value.__name__ == f"{path}.{name}":
            modules.add(name)
    if listed is None:
        listed = [
            n
            for n in dir(namespace)
            if not isinstance(getattr(namespace, n), types.ModuleType)
            and (getattr(getattr(namespace, n), "__module__", None) or path).startswith("torch")
        ]
    yield from sorted(n for n in {*listed, *modules} if not n.startswith("_"))


def text() -> str:
    """The whole list. Imports torch."""
    torch = importlib.import_module("torch")
    lines = [f"# Written by python -m tests.torch_names --collect from torch {torch.__version__}."]
    for path in (*NAMESPACES, *CLASSES):
        namespace: Any = torch
        if path in CLASSES:
            for part in path.split(".")[1:]:
                namespace = getattr(namespace, part)
        else:
            namespace = importlib.import_module(path)
        stub = _stub(torch, *_STUBS[path]) if path in _STUBS else {}
        lines.append(f"[{path}]")
        for name in public(path, namespace):
            try:
                value = getattr(namespace, name)
            except (AttributeError, RuntimeError, ImportError):
                continue
            lines.append(name + _parameters(name, value, stub))
    return "\n".join(lines) + "\n"

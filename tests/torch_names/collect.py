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
# Classes that torch re-exports from its C++ and means for its users; the others are its parts.
_C_CLASSES = {
    *("AcceleratorError", "Event", "Generator", "OutOfMemoryError", "Size", "Stream", "Tensor"),
    *("device", "dtype", "finfo", "iinfo", "layout", "memory_format", "qscheme"),
}
# Not meant for users, but not marked as private: what a module imports for itself.
_NOISE = re.compile(
    r"torch\.nn\.functional\.(Broadcasting|GRID_|TYPE_|Tensor$|handle_|has_torch|boolean_dispatch"
    r"|assert_|.*_notes|\w+Type$|\w+_with_indices$|native_)|torch\.linalg\.common_notes"
    r"|torch\.utils\.checkpoint\.(DefaultDevice|GraphExec|SAC_|detach_|check_b|get_d|set_device)"
    r"|torch\.nn\.(factory_kwargs|common_types|grad$)|torch\.nn\.Module\.(T_dest|dump_|call_super)"
    r"|torch\.backends\.(\w+\.)?(cu[A-Z]|\w+Module$|\w+Prop\b|\w+_DNN|TYPE_|CUDNN_|VERBOSE_)"
    r"|torch\.optim\.Optimizer\.(OptimizerP|profile_)"
)
# Operators of Tensor, which dir() shows among much else.
_OPERATOR = re.compile(
    r"__(?!class|new|init|subclass|torch|set|del|dir|doc|getattr|annot|dict|module|weakref)\w+__"
)


def _default(text: str) -> str:
    try:
        return text if text == "..." else repr(ast.literal_eval(text))
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
    try:
        read = of_signature(inspect.signature(value))
    except (ValueError, TypeError):
        read = ""
    if read and read != "*args, **kwargs":
        return f"({read})"
    found = list(dict.fromkeys(stub.get(name, [])))
    if not found:
        # The first line of a docstring: linalg.norm(A, ord=None, *, out=None) -> Tensor
        says = value.__doc__ if isinstance(value.__doc__, str) else ""
        documented = re.search(rf"\b{re.escape(name)}\((.*?)\) ?->", says, re.S)
        found = [_of_text(documented.group(1)) if documented else read or _UNKNOWN]
    return "(" + " | ".join(found) + ")"


def _of_text(text: str) -> str:
    """The parameters of a docstring's first line in the form of the others."""
    try:
        node = ast.parse(f"def f({' '.join(text.split())}): ...").body[0]
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
            if n not in plain
            and (not n.startswith("_") or _OPERATOR.fullmatch(n))
            and not _NOISE.match(f"{path}.{n}")
        )
        return
    if type(namespace) is not types.ModuleType:  # a wrapper with switches as properties
        switches = [n for n in vars(type(namespace)) if not n.startswith("_")]
        namespace = getattr(namespace, "m", namespace)
        listed = [*switches, *(n for n in dir(namespace) if _is_own(path, namespace, n))]
    if listed is None:
        listed = [n for n in dir(namespace) if _is_own(path, namespace, n)]
    modules = {
        name
        for name in dir(namespace)
        if isinstance(value := inspect.getattr_static(namespace, name), types.ModuleType)
        and value.__name__ == f"{path}.{name}"
    }
    for name in sorted({*listed, *modules}):
        value = getattr(namespace, name, None)
        part = isinstance(value, type) and value.__module__ in ("torch", "torch._C")
        inner = path == "torch" and part and name not in _C_CLASSES and hasattr(_c(), name)
        if not name.startswith("_") and not inner and not _NOISE.match(f"{path}.{name}"):
            yield name


def _c() -> Any:
    return importlib.import_module("torch._C")


def _is_own(path: str, namespace: Any, name: str) -> bool:
    """Whether a name of a module that lists none is of torch, not of what the module imports."""
    value = getattr(namespace, name)
    return not isinstance(value, types.ModuleType) and (
        getattr(value, "__module__", None) or path
    ).startswith("torch")


def text() -> str:
    """The whole list. Imports torch."""
    torch = importlib.import_module("torch")
    version = torch.__version__.partition("+")[0]
    lines = [f"# Written by python -m tests.torch_names --collect from torch {version}."]
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

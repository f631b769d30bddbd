# SPDX-License-Identifier: BSD-3-Clause
"""Writes python/fastnn/_homes.py: where every public name, method and kernel lives.

    python tools/make_homes.py            writes the file
    python tools/make_homes.py --check    exits with 1 if it is not up to date

Names come from the export lines of the ``.pyi`` files, methods from the classes of
``ops/_methods.py``; both are read, not run. Kernels come from importing the operations, as loops
make some of them.
"""

from __future__ import annotations

import ast
import functools
import importlib
import sys
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent / "python" / "fastnn"
HOMES = PACKAGE / "_homes.py"
# The tables by the modules whose names they are of.
TABLES = {
    "FASTNN": "fastnn",
    "OPS": "fastnn.ops",
    "NN": "fastnn.nn",
    "FUNCTIONAL": "fastnn.nn.functional",
    "OPTIM": "fastnn.optim",
}

HEAD = '''# SPDX-License-Identifier: BSD-3-Clause
"""Where every name, method and kernel lives, for `_lazy`.

Written by tools/make_homes.py from the export lines (``__init__.pyi``, ``functional.pyi``), from
``ops/_methods.py`` and from the kernels' references; do not edit.
"""
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from typing import Any

'''


def file_of(module: str) -> Path | None:
    """The source of a module of the package, its stub before it."""
    base = PACKAGE.joinpath(*module.split(".")[1:])
    found = (base / "__init__.pyi", base / "__init__.py", *map(base.with_suffix, (".pyi", ".py")))
    return next((p for p in found if p.is_file()), None)


@functools.cache
def bindings(module: str) -> dict[str, Any]:
    """What the import lines and assignments at the top of a file bind: (module, name) or a node."""
    path = file_of(module)
    assert path is not None, module
    bound: dict[str, Any] = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if alias.name == "*":
                    bound |= {n: (node.module, n) for n in exported(node.module)}
                else:
                    bound[alias.asname or alias.name] = (node.module, alias.name)
        elif isinstance(node, ast.Assign):
            bound |= {t.id: node for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            bound[node.name] = node
    return bound


def exported(module: str) -> list[str]:
    """``__all__`` of a file."""
    path = file_of(module)
    assert path is not None, module
    names: list[str] = []
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign | ast.AugAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if not isinstance(target, ast.Name) or target.id != "__all__":
                continue
            if isinstance(node.value, ast.Attribute):  # of another file
                names += exported(".".join(bindings(module)[ast.unparse(node.value.value)]))
            else:
                names += ast.literal_eval(node.value)
    return names


def home(module: str, name: str) -> str:
    """Where a name of a module lives."""
    if file_of(f"{module}.{name}") and bindings(module).get(name, (module, name)) == (module, name):
        return f"{module}.{name}:".removeprefix("fastnn.")
    bound = bindings(module).get(name)
    if isinstance(bound, tuple) and bound[0].startswith("fastnn"):
        return home(*bound)
    path = file_of(module)
    if path is not None and path.suffix == ".pyi" and isinstance(bound, ast.Assign):
        assert isinstance(bound.value, ast.Name), ast.unparse(bound)
        return home(module, bound.value.id)  # bool = bool_
    return f"{module}:{name}".removeprefix("fastnn.")


def home_of(module: str, node: ast.expr, seen: dict[str, Any]) -> Any:
    """Where the value of an expression in a class of methods lives."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return seen[node.id] if node.id in seen else home(module, node.id)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return home(".".join(bindings(module)[node.value.id]), node.attr)
    if isinstance(node, ast.Call) and not node.keywords:
        given = tuple(home_of(module, a, seen) for a in node.args)
        return (home_of(module, node.func, seen), given, None)
    message = f"make_homes: expected a name, ops.name or a call, got {ast.unparse(node)}"
    raise SystemExit(message)


def methods(module: str = "fastnn.ops._methods", kind: str = "Methods") -> dict[str, Any]:
    """The methods of a class and its bases; of a name in several the first class counts."""
    body = bindings(module)[kind]
    found: dict[str, Any] = {}
    for base in reversed(body.bases):
        found |= methods(*bindings(module)[base.id])
    seen: dict[str, Any] = {}
    for node in body.body:
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name):
                seen[target.id] = home_of(module, node.value, seen)
                continue
            assert isinstance(target, ast.Tuple), ast.unparse(node)
            names = [t.id for t in target.elts if isinstance(t, ast.Name)]
            if isinstance(node.value, ast.Tuple):
                values = [home_of(module, v, seen) for v in node.value.elts]
            else:
                value = home_of(module, node.value, seen)
                source, given, _ = (value, None, None) if isinstance(value, str) else value
                values = [(source, given, i) for i in range(len(names))]
            seen |= dict(zip(names, values, strict=True))
    return found | seen


def kernels() -> dict[str, str]:
    """The file of the operations that registers each reference."""
    backend = importlib.import_module("fastnn._backend")
    plain, found = backend.reference, {}

    def noted(function: Any) -> Any:
        frame = sys._getframe(1)
        while frame.f_code.co_name != "<module>":  # where a loop or `define` was called
            assert frame.f_back is not None
            frame = frame.f_back
        found[function.__name__] = frame.f_globals["__name__"].removeprefix("fastnn.")
        return plain(function)

    early = dict(dict.items(backend.references))
    assert not early, f"make_homes: expected no kernel at import, got {sorted(early)}"
    backend.reference = noted
    for path in sorted((PACKAGE / "ops").glob("*.py")):
        importlib.import_module(f"fastnn.ops.{path.stem}".removesuffix(".__init__"))
    return found


def files() -> dict[str, tuple[str, ...]]:
    """The files of the packages, which are attributes of them as if all were imported."""
    found = {}
    for package in ("", "ops", "nn", "optim"):
        paths = [p for p in (PACKAGE / package).iterdir() if file_of(_module(p))]
        found[package] = tuple(sorted({p.stem for p in paths} - {"__init__", "__main__"}))
    return found


def _module(path: Path) -> str:
    return ".".join(("fastnn", *path.relative_to(PACKAGE).with_suffix("").parts))


def table(name: str, content: dict[str, Any]) -> str:
    """A dictionary's lines."""
    kind = "tuple[str, ...]" if name == "FILES" else "str" if name == "KERNELS" else "Any"
    rows = "".join(f"    {key!r}: {content[key]!r},\n" for key in content)
    return f"{name}: dict[str, {kind}] = {{\n{rows}}}\n".replace("'", '"')


def text(found: dict[str, str]) -> str:
    """The whole file, with these kernels."""
    parts = []
    for name, module in TABLES.items():
        parts.append(table(name, {n: home(module, n) for n in sorted(set(exported(module)))}))
    parts.append(table("METHODS", dict(sorted(methods().items()))))
    parts.append(table("KERNELS", dict(sorted(found.items()))))
    parts.append(table("FILES", files()))
    return HEAD + "\n".join(parts)


def main() -> int:
    """Writes or checks the file."""
    if "--check" in sys.argv[1:]:
        return 0 if HOMES.is_file() and HOMES.read_text("utf-8") == text(kernels()) else 1
    HOMES.write_text(text({}), "utf-8")  # what the operations need of it to be imported
    HOMES.write_text(text(kernels()), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: BSD-3-Clause
"""The rules that a reader relies on: imports point down, arrays go through kernels."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import fastnn

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(fastnn.__file__).parent
ROOT = Path(__file__).resolve().parent.parent
OPS = sorted((PACKAGE / "ops").glob("*.py"))

# The higher a name, the more it may import.
LAYERS = [
    {
        "_homes",
        "_lazy",
        "_callers",
        "_dtype_info",
        "_dtypes",
        "_device",
        "_formats",
        "_hooks",
        "_size",
        "_startup",
        "_system",
    },
    {"_references"},
    {"_backend", "_bfloat16", "_config", "_grad_mode", "_view_history"},
    {
        "_native_tape",
        "_node",
        "_op",
        "_packed",
        "_watch",
        "_engine",
        "_gradients",
        "_joint_hooks",
        "_gradcheck",
        "autograd",
        "_draws",
        "_random_integers",
        "_repr",
        "_assert_close",
        "tensor",
        "testing",
        "ops",
        "random",
    },
    {"accelerator", "amp", "backends", "cuda", "nn", "optim", "serialization", "special", "utils"},
    {"data", "train"},
    {"cli"},
]


def layer_of(module: str) -> int | None:
    parts = module.split(".")
    if parts[0] != "fastnn" or len(parts) < 2:
        return None
    return next((i for i, names in enumerate(LAYERS) if parts[1] in names), None)


def imports_of(path: Path) -> list[tuple[str, bool]]:
    """(module, whether at the top of the file) for every import of fastnn's own modules."""
    tree = ast.parse(path.read_text("utf-8"))
    found = []
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "fastnn":
                names = [f"fastnn.{a.name}" for a in node.names]
            found += [(n, id(node) in top) for n in names]
        elif isinstance(node, ast.Import):
            found += [(a.name, id(node) in top) for a in node.names]
    return found


def test_imports_only_point_down() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        module = "fastnn." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        mine = layer_of(module)
        for name, top in imports_of(path):
            theirs = layer_of(name)
            if top and mine is not None and theirs is not None and theirs > mine:
                wrong.append(f"{module} imports {name}")
    assert not wrong


def test_only_the_backend_imports_native_modules() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.name == "_backend.py":
            continue
        names = {name for name, _ in imports_of(path)}
        assert not names & {"fastnn._cpu", "fastnn._cuda", "cupy"}, path


def is_reference(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and any(
        isinstance(d, ast.Name) and d.id == "reference" for d in node.decorator_list
    )


@pytest.mark.parametrize("path", OPS, ids=lambda p: p.stem)
def test_operations_compute_through_the_kernel_table(path: Path) -> None:
    """NumPy itself is for making tensors from data; elsewhere arrays are computed by kernels."""
    if path.stem not in ("_common", "_given_data", "creation"):
        modules = {name for name, _ in imports_of(path)}
        assert "numpy" not in modules, f"{path.name} computes beside the kernel table"
    # Through a table's array module only views and one-element cells are made.
    allowed = {"zeros", "ones", "arange", "asarray", "broadcast_to", "may_share_memory"}
    for top in ast.parse(path.read_text("utf-8")).body:
        if is_reference(top):
            continue
        for node in ast.walk(top):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Attribute)
                and node.value.attr == "xp"
            ):
                assert node.attr in allowed, f"{path.name}:{node.lineno} uses xp.{node.attr}"


def test_every_operation_file_ends_with_its_cases() -> None:
    for path in OPS:
        # Files with an underscore are what operations share.
        if path.stem[0] == "_" or path.stem in ("creation", "random_fill", "sgd", "adam"):
            continue
        text = path.read_text("utf-8")
        assert "\nCASES = [" in text, path.name
        assert "ERRORS = [" in text, path.name


def test_import_loads_nothing_optional() -> None:
    code = "import sys, json, fastnn; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    optional = {"rich", "matplotlib", "torch", "cupy", "safetensors", "sklearn", "onnx", "pytest"}
    optional |= {"ml_dtypes"}
    assert not loaded & optional
    assert not {m for m in loaded if m.startswith(("fastnn.cli", "fastnn.train", "fastnn.data"))}


def python_blocks(path: Path) -> list[str]:
    parts = path.read_text("utf-8").split("```python\n")[1:]
    return [p.split("```")[0] for p in parts]


def test_the_training_script_of_the_readme_runs(tmp_path: Path) -> None:
    readme = ROOT / "README.md"
    if not readme.is_file():
        pytest.skip("not in a source tree")
    (script,) = python_blocks(readme)
    assert len([line for line in script.splitlines() if line]) <= 15
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    losses = [float(line.split()[1]) for line in done.stdout.splitlines()]
    assert len(losses) == 10
    assert losses[-1] < 0.5 * losses[0]


def lines_of(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def test_files_are_short() -> None:
    """A file over the limit holds two things; operations and layers are split by what they do."""
    thin = {PACKAGE / f"{name}.py" for name in ("tensor", "autograd", "compile")}
    limits = {p: 500 if p in thin else 300 for p in PACKAGE.rglob("*.py")}
    del limits[PACKAGE / "_homes.py"]  # a table, written by tools/make_homes.py
    for folder in ("csrc", "cuda"):
        for kind in ("*.cpp", "*.cu", "*.h", "*.cuh"):
            limits |= dict.fromkeys((ROOT / folder).rglob(kind), 400)
    lengths = {p: lines_of(p) for p in limits}
    assert {p.name: n for p, n in lengths.items() if n > limits[p]} == {}
    # The three of them together are the thin layer that everything else is written on.
    assert sum(lengths[p] for p in thin if p in lengths) <= 1500


def test_methods_are_the_public_functions() -> None:
    from fastnn.ops._methods import Methods  # noqa: PLC0415

    kinds = Methods.__mro__[-2::-1]  # of a name in two of them the last one counts
    listed = {k: v for kind in kinds for k, v in vars(kind).items() if callable(v)}
    assert len(listed) > 70
    for name, function in listed.items():
        assert getattr(fastnn.Tensor, name) is function, name
        assert name.startswith("__") or (function.__doc__ and function.__name__ == name), name
        if name in fastnn.__all__ and name not in fastnn._dtypes.__dict__:
            assert getattr(fastnn, name) is function or isinstance(
                getattr(fastnn, name), fastnn.dtype
            ), name


# Folders of the package whose error messages are checked; "" is the package's own files.
WITH_CURES = (
    "",
    "autograd",
    "ops",
    "nn",
    "nn/utils",
    "optim",
    "serialization",
    "utils",
    "utils/data",
    "backends",
    "data",
    "train",
    "cli",
    "cli/bench",
    "cli/tasks",
)
# A name, maybe of two words and with placeholders, before the colon.
SUBJECT = re.compile(r"[\w.{}]+( \w+)?: ")
# What a setting of the environment asks for and cannot be had is explained by the reason for it.
SETTING = re.compile(r"FASTNN_\w+=(\{\}|1): ")


def text_of(node: ast.AST) -> str:
    """The text of a string, placeholders as {}; of another error's text, as {error}."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(text_of, node.values))
    if isinstance(node, ast.Constant):
        return str(node.value)
    inner = node.value if isinstance(node, ast.FormattedValue) else node
    return "{error}" if isinstance(inner, ast.Name) and inner.id == "error" else "{}"


def messages_of(node: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, text) of what is assigned to ``message``, but for what users do not see: references
    and their helpers, whose errors operations translate, and failed look-ups of names."""
    if isinstance(node, ast.FunctionDef):
        first = node.args.args[0].arg if node.args.args else ""
        if is_reference(node) or first == "kernel" or node.name == "__getattr__":
            return
    if isinstance(node, ast.Assign | ast.AugAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name) and target.id == "message":
            yield node.lineno, text_of(node.value)
    for child in ast.iter_child_nodes(node):
        yield from messages_of(child)


@pytest.mark.parametrize("folder", WITH_CURES)
def test_messages_name_the_operation_what_was_expected_what_came_and_the_cure(folder: str) -> None:
    seen, wrong = 0, []
    for path in sorted((PACKAGE / folder).glob("*.py")):
        for line, text in messages_of(ast.parse(path.read_text("utf-8"))):
            seen += 1
            what, _, cure = text.partition("; ")
            if what.endswith(": {error}"):
                continue  # passes on the text of an error that has all of them
            compared = "expected" in what and "got" in what
            named = SUBJECT.match(what) and (compared or "not there yet" in what)
            if not cure or not (named or SETTING.match(what)):
                wrong.append(f"{path.name}:{line}: {text}")
    assert seen, folder
    assert not wrong, "\n".join(wrong)

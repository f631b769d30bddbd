# SPDX-License-Identifier: BSD-3-Clause
"""Names are imported at first use: few files at import, all names there, the same for all users."""

from __future__ import annotations

import ast
import graphlib
import importlib
import inspect
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import fastnn
from fastnn import _backend, _homes, _lazy
from fastnn.nn import functional

PACKAGE = Path(fastnn.__file__).parent
TABLES = {
    "fastnn": _homes.FASTNN,
    "fastnn.ops": _homes.OPS,
    "fastnn.nn": _homes.NN,
    "fastnn.nn.functional": _homes.FUNCTIONAL,
    "fastnn.optim": _homes.OPTIM,
}


def run(code: str, **environment: str) -> str:
    """What a fresh interpreter prints, whose warnings are errors."""
    environment.setdefault("FASTNN_BACKEND", _backend.name)
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_import_loads_few_files() -> None:
    """Counted, as times depend on the machine: about 30 of more than 200."""
    loaded = json.loads(
        run(
            "import sys, json, fastnn; print(json.dumps([m for m in sys.modules if 'fastnn' in m]))"
        )
    )
    assert len(loaded) <= 40, loaded
    assert [m for m in loaded if m.startswith(("fastnn.ops.", "fastnn.nn", "fastnn.optim"))] == []


def test_a_training_step_loads_what_it_uses() -> None:
    script = """
import sys, fastnn, fastnn.nn.functional as F
from fastnn import nn, optim
model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
optimizer = optim.Adam(model.parameters())
F.cross_entropy(model(fastnn.randn(2, 4)), fastnn.tensor([0, 2])).backward()
optimizer.step()
print(len([m for m in sys.modules if m.startswith("fastnn")]))
"""
    assert int(run(script)) <= 110


def stub_of(module: str) -> Path:
    base = PACKAGE.joinpath(*module.split(".")[1:])
    return next(p for p in (base / "__init__.pyi", base.with_suffix(".pyi")) if p.is_file())


@pytest.mark.parametrize("module", TABLES)
def test_names_are_what_their_export_lines_import(module: str) -> None:
    """The lines that type checkers read are run here, all imports at once."""
    lines: dict[str, object] = {}
    exec(compile(stub_of(module).read_text("utf-8"), module, "exec"), {"__name__": "lines"}, lines)
    names = importlib.import_module(module)
    assert set(names.__all__) == set(lines["__all__"]) == set(TABLES[module])  # type: ignore[call-overload]
    assert len(names.__all__) == len(set(names.__all__))
    for name in names.__all__:
        assert getattr(names, name) is lines[name], name
    assert set(names.__all__) <= set(dir(names))
    starred: dict[str, object] = {}
    exec(f"from {module} import *", starred)
    assert set(names.__all__) <= set(starred)


def test_the_table_of_homes_is_up_to_date() -> None:
    tool = PACKAGE.parent.parent / "tools" / "make_homes.py"
    if not tool.is_file():
        pytest.skip("not in a source tree")
    done = subprocess.run([sys.executable, tool, "--check"], check=False, capture_output=True)
    assert done.returncode == 0, f"run tools/make_homes.py; {done.stderr.decode()}"


def test_every_reference_has_a_home() -> None:
    """So that no kernel is missing while its operation is not imported yet."""
    importlib.import_module("fastnn.testing").operator_modules()
    assert set(_backend.references) == set(_homes.KERNELS)
    for home in set(_homes.KERNELS.values()):
        importlib.import_module(f"fastnn.{home}")


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_a_kernel_is_there_before_its_operation(backend: str) -> None:
    if _backend.cpu is None and backend == "cpu":
        pytest.skip("no native module")
    script = """
import sys, numpy, fastnn
from fastnn import _backend
x = numpy.array([-1.0, 2.0], "float32")
y = numpy.empty_like(x)
table = _backend.kernels(x)
fast = table.fast.add(x, x)
assert fast is NotImplemented or fast.tolist() == [-2.0, 4.0]
assert table.fast.add(numpy.ones(2, "float16"), numpy.ones(3, "float16")) is NotImplemented
assert "fastnn.ops.activation" not in sys.modules
table.relu_forward(x, y)
assert y.tolist() == [0.0, 2.0]
half = x.astype("float16")
table.tanh_forward(half, half)  # which only the reference has
assert "tanh_forward" in vars(table)
assert not hasattr(table, "no_such_kernel")
assert "softmax_forward" in _backend.references and len(_backend.references) > 200
assert _backend.references.get("no_such_kernel") is None
print(table.name)
"""
    assert run(script, FASTNN_BACKEND=backend).split() == [backend]


def test_methods_settle_in_the_class() -> None:
    script = """
import inspect, pickle, sys, fastnn
Tensor = fastnn.Tensor
x = fastnn.tensor([1.0, -2.0])
assert "softplus" not in dir(x) and "topk" in dir(x) and "__add__" in dir(Tensor)
assert "fastnn.ops.sorting" not in sys.modules
class Mine(Tensor):
    def sort(self): return "mine"
    def topk(self, k): return super().topk(k)
assert hasattr(Mine, "argsort") and "fastnn.ops.sorting" in sys.modules
assert Tensor.__dict__["argsort"] is fastnn.argsort
assert list(inspect.signature(Tensor.topk).parameters)[0] == "input"
assert Tensor.__dict__["topk"] is fastnn.topk and Tensor.topk.__doc__ is fastnn.topk.__doc__
assert (x + 1).tolist() == [2.0, -1.0] and (1 - x).tolist() == [0.0, 3.0]
x += 1
assert x.tolist() == [2.0, -1.0] and (x @ x).item() == 5 and (-x)[0].item() == -2
assert x.float().dtype is fastnn.float32 and x.mul(2).tolist() == [4.0, -2.0]
Tensor.sinh = lambda self: "theirs"  # before its first use
assert x.sinh() == "theirs"
assert pickle.loads(pickle.dumps(fastnn.topk)) is fastnn.topk
print(type(Tensor.__dict__["cosh"]).__name__)
"""
    assert run(script).split() == ["Method"]


def test_two_names_of_one_method_are_one_object() -> None:
    from fastnn.ops._methods import Methods  # noqa: PLC0415

    assert fastnn.Tensor.__rdiv__ is fastnn.Tensor.__rtruediv__  # type: ignore[attr-defined]
    assert fastnn.Tensor.bool is Methods.bool
    for name in _homes.METHODS:
        assert not isinstance(inspect.getattr_static(Methods, name), _lazy.Method), name


def test_a_function_keeps_its_name_when_its_file_is_imported() -> None:
    """A file of the same name is bound to the package by Python itself."""
    same = [n for n, home in _homes.OPS.items() if home == f"ops.{n}:{n}"]
    assert {"softmax", "matmul", "linear"} <= set(same)
    code = "import fastnn\n" + "\n".join(f"import fastnn.ops.{n}" for n in same)
    code += f"\nprint([n for n in {same!r} if not callable(getattr(fastnn.ops, n))])"
    assert run(code).strip() == "[]"
    assert isinstance(sys.modules["fastnn.ops.softmax"], types.ModuleType)
    assert run("import fastnn.tensor; print(fastnn.tensor(1).item())").split() == ["1"]


def test_files_are_attributes_and_others_are_refused() -> None:
    code = """
import fastnn
from fastnn import nn, optim
print(nn.parameter.Parameter is nn.Parameter, optim.lr_scheduler.StepLR.__name__)
print(nn.utils.rnn.pad_sequence.__name__, fastnn.random.Generator is fastnn.Generator)
"""
    assert run(code).split() == ["True", "StepLR", "pad_sequence", "True"]
    for module in (fastnn, fastnn.ops, fastnn.nn, fastnn.optim, functional):
        assert not hasattr(module, "no_such_name")
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute"):
            _ = module.no_such_name
        with pytest.raises(ImportError, match="no_such_name"):
            exec(f"from {module.__name__} import no_such_name", {})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_every_file_can_be_the_first() -> None:
    """Each imported alone, in a child of a process that has none of them."""
    code = """
import importlib, os, sys, traceback, fastnn
from fastnn import _homes
for package in ("ops", "nn", "optim"):
    for file in _homes.FILES[package]:
        child = os.fork()
        if child == 0:
            try:
                importlib.import_module(f"fastnn.{package}.{file}")
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            print(package, file)
"""
    assert run(code) == ""


def imported(path: Path) -> set[str]:
    """The files of the package that one imports when it is imported itself."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fastnn"):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                file = PACKAGE.joinpath(*name.split(".")[1:])
                is_file = file.with_suffix(".py").is_file() or (file / "__init__.py").is_file()
                found.add(name if is_file else node.module)
    return found


def test_no_files_import_each_other_in_a_ring() -> None:
    """In which two threads, each with the first import of one file, could wait for each other."""
    graph = {}
    for folder in ("", "ops", "nn", "nn/utils", "optim"):
        for path in (PACKAGE / folder).glob("*.py"):
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            graph[".".join(("fastnn", *parts)).removesuffix(".__init__")] = imported(path)
    graph.pop("fastnn")  # imported as a whole before anything is looked up
    for package in ("fastnn.ops", "fastnn.nn", "fastnn.optim"):
        # A file's import waits for its package's, which must not wait for files.
        assert not [m for m in graph[package] if m.startswith(package)], package
    order = graphlib.TopologicalSorter(graph)
    assert len(list(order.static_order())) > 200  # CycleError names the ring


def test_threads_look_names_up_at_the_same_time() -> None:
    script = """
import sys, threading
sys.setswitchinterval(1e-6)
import fastnn
from fastnn import _homes
found, ready = [[] for _ in range(6)], threading.Barrier(6)
tables = [(fastnn, _homes.FASTNN), (fastnn.Tensor, _homes.METHODS), (fastnn.nn, _homes.NN),
          (fastnn.nn.functional, _homes.FUNCTIONAL), (fastnn.optim, _homes.OPTIM)]
names = [(o, n) for o, table in tables for n in table]
def look(mine, turn):
    ready.wait()
    order = names[turn:] + names[:turn] if turn % 2 else (names[turn:] + names[:turn])[::-1]
    for owner, name in order:
        mine.append((repr(owner), name, getattr(owner, name)))
threads = [threading.Thread(target=look, args=(f, 211 * i)) for i, f in enumerate(found)]
[t.start() for t in threads]
[t.join(60) for t in threads]
assert not any(t.is_alive() for t in threads)
assert all(len(f) == len(names) for f in found)
seen = {}
for mine in found:
    for owner, name, value in mine:
        assert seen.setdefault((owner, name), value) is value, name
print("equal")
"""
    assert run(script).split() == ["equal"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_imports_by_itself() -> None:
    script = """
import os, sys, warnings
import fastnn
x = fastnn.tensor([3.0, 1.0])
child = os.fork()
if child == 0:
    good = x.sort()[0].tolist() == [1.0, 3.0] and "fastnn.ops.sorting" in sys.modules
    os._exit(0 if good else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert "fastnn.ops.sorting" not in sys.modules
print(x.sort()[1].tolist())
"""
    assert run(script).strip() == "[1, 0]"


def test_the_package_can_be_reloaded() -> None:
    script = """
import importlib, fastnn
kind = fastnn.Tensor
for module in (fastnn, fastnn.ops, fastnn.nn, fastnn.nn.functional, fastnn.optim, fastnn):
    importlib.reload(module)
assert fastnn.Tensor is kind
print(fastnn.tensor([1.0]).tolist())
"""
    assert run(script).strip() == "[1.0]"

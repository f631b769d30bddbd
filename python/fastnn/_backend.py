# SPDX-License-Identifier: BSD-3-Clause
"""The kernel table: one row per kernel, one column per backend.

This is the only module that imports ``_cpu``, ``_cuda`` or ``cupy``. A column is a `Table`, an
object with one attribute per kernel and an `empty`; `kernels(array)` finds the column for an
array's type. The columns are filled as the operations are imported, at the latest when one of their
kernels is looked up for the first time, so a call costs no ``if``:

* ``numpy``: the references, plain NumPy, always there;
* ``cpu``: the native kernel where there is one, else the reference. A native kernel hands element
  types that it does not have to the reference by itself;
* ``cuda``: the same with ``_cuda`` and CuPy, on CuPy's current stream.

``FASTNN_BACKEND=numpy|cpu|cuda`` selects; without it the best that works.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import types
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fastnn import _startup
from fastnn._bfloat16 import through_single
from fastnn._homes import KERNELS
from fastnn._references import References, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_F = TypeVar("_F", bound="Callable[..., Any]")

NAMES = ("numpy", "cpu", "cuda")
REINSTALL = "pip install --no-cache-dir --force-reinstall <the fastnn-native you installed from>"


def _not_implemented(*_: Any) -> Any:
    return NotImplemented


def _numpy_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    return np.empty(shape, dtype)


class Table:
    """A backend's column: ``table.relu_forward(x, y)``.

    ``table.empty(shape, dtype)`` gives uninitialised C-contiguous memory. ``table.fast.add(x, y)``
    allocates, launches and returns the output when the arrays are contiguous, of one shape and of
    a native type, and returns NotImplemented otherwise.
    """

    def __init__(self, name: str, xp: Any, empty: Callable[..., Any]) -> None:
        self.name = name
        self.xp = xp
        self.empty = empty
        # All from the start: a __getattr__ would make every look-up slower.
        self.fast = types.SimpleNamespace(**dict.fromkeys(KERNELS, _not_implemented))

    def __getattr__(self, name: str) -> Any:
        if load(name) and name in self.__dict__:
            return self.__dict__[name]
        message = f"the {self.name} backend has no kernel named {name!r}"
        raise AttributeError(message)


references: dict[str, Any] = References()
native: dict[str, Any] = {}  # name -> Kernel of _cpu
native_cuda: dict[str, Any] = {}
reasons: dict[str, str] = {}  # backend -> why it is not used
_mutations = 0


def build_log() -> str:
    """The last lines of the build that gave no native module; empty if none were kept."""
    from pathlib import Path  # noqa: PLC0415  (slow to import, and seldom needed)

    note = Path(__file__).with_name("_native_missing.txt")
    return note.read_text("utf-8") if note.is_file() else ""


def _load_cpu() -> Any:
    try:
        return importlib.import_module("fastnn._cpu")
    except ModuleNotFoundError as error:
        if error.name != "fastnn._cpu":
            raise
        known = build_log().splitlines() or ["this installation holds no native module"]
        reasons["cpu"] = known[0]
    except ImportError as error:
        reasons["cpu"] = f"the native module is there but cannot be loaded: {error}"
    return None


def _load_cuda() -> Any:
    """(_cuda, cupy), or (None, None) with the reason stored. Looked at only when asked for."""
    try:
        module = importlib.import_module("fastnn._cuda")
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        reasons["cuda"] = (
            "this build has no CUDA kernels (FASTNN_CUDA=ON builds them)" if missing else str(error)
        )
        return None, None
    if module.device_count() == 0:
        reasons["cuda"] = module.device_problem()
        return None, None
    try:
        return module, importlib.import_module("cupy")
    except ImportError as error:
        reasons["cuda"] = f"CuPy holds fastnn's GPU arrays and cannot be imported: {error}"
        return None, None


@_startup.one_sentence
def _choose() -> str:
    wanted = os.environ.get("FASTNN_BACKEND", "").strip().lower()
    if wanted and wanted not in NAMES:
        message = (
            f"FASTNN_BACKEND: expected one of {', '.join(NAMES)}, got {wanted!r}; unset it to run "
            "on the fastest there is"
        )
        raise ValueError(message)
    if wanted == "numpy":
        reasons["cpu"] = "FASTNN_BACKEND=numpy"
        reasons["cuda"] = "FASTNN_BACKEND=numpy"
        return "numpy"
    if (wanted == "cuda" and cupy is None) or (wanted == "cpu" and cpu is None):
        message = f"FASTNN_BACKEND={wanted}: {reasons[wanted]}; unset it to run on what there is"
        raise RuntimeError(message)
    if wanted == "cuda":
        return "cuda"
    reasons.setdefault("cuda", "not asked for: arrays are on the CPU unless FASTNN_BACKEND=cuda")
    if cpu is not None:
        return "cpu"
    if _startup.is_on("FASTNN_REQUIRE_NATIVE"):
        message = f"FASTNN_REQUIRE_NATIVE=1: {reasons['cpu']}; {REINSTALL}"
        raise ImportError(message)
    _startup.warn(
        f"fastnn runs on NumPy, slowly: {reasons['cpu']} (`fastnn info` shows the build's last "
        f"lines; once mended: {REINSTALL})"
    )
    return "numpy"


cpu = _load_cpu()
for _problem in () if cpu is None else cpu.config_problems():
    _startup.warn(_problem)
cuda: Any = None
cupy: Any = None
if os.environ.get("FASTNN_BACKEND", "").strip().lower() == "cuda":
    cuda, cupy = _load_cuda()

_numpy_table = Table("numpy", np, _numpy_empty)
_cpu_table = Table("cpu", np, _numpy_empty if cpu is None else cpu.empty)
if cpu is not None:
    native.update(cpu.kernels)
    vars(_cpu_table.fast).update(
        {k: own.allocating for k, own in native.items() if own.is_allocating}
    )
name = _choose()
tape: Any = None if name == "numpy" else cpu  # has the hot part of the tape in C++ (csrc/tape)
_tables: dict[type, Table] = {np.ndarray: _cpu_table if cpu is not None else _numpy_table}
if name == "numpy":
    _tables[np.ndarray] = _numpy_table
if cupy is not None:
    _tables[cupy.ndarray] = Table("cuda", cupy, cupy.empty)
    native_cuda.update({k: getattr(cuda, k) for k in cuda.kernels()})


def _with_stream(kernel: Callable[..., Any]) -> Callable[..., Any]:
    def launch(*args: Any) -> None:
        kernel(*args, cupy.cuda.get_current_stream().ptr)

    return launch


def _of_floats(kernel: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """A CUDA kernel, which is for float32 and float64, with its reference for other types."""

    def launch(*args: Any) -> None:
        for a in args:
            dtype = getattr(a, "dtype", None)
            if dtype is not None and dtype.char not in "fd":
                function(*args)
                return
        kernel(*args)

    return launch


def reference(function: _F) -> _F:
    """Registers a reference kernel, by its name, as a row of the table.

    A reference writes into the outputs that it is given, takes NumPy and CuPy arrays alike
    (``xp = array_module(x)``) of any element type, and is the specification of its kernel.
    """
    kernel = function.__name__
    # Kernels never warn: infinities and NaN are values like others.
    quiet: Any = np.errstate(all="ignore")(through_single(function))
    references[kernel] = quiet
    setattr(_numpy_table, kernel, quiet)
    own = native.get(kernel)
    if own is not None:
        own.fallback = quiet
    setattr(_cpu_table, kernel, quiet if own is None else own)
    if cupy is not None:
        table = _tables[cupy.ndarray]
        gpu = native_cuda.get(kernel)
        setattr(table, kernel, quiet if gpu is None else _of_floats(_with_stream(gpu), quiet))
    for table in (_numpy_table, _cpu_table, *_tables.values()):
        vars(table.fast).setdefault(kernel, _not_implemented)
    return quiet  # type: ignore[no-any-return]


def kernels(array: Any) -> Table:
    """The column of the backend that an array belongs to."""
    return _tables[type(array)]


def default_table() -> Table:
    """The column on which new tensors are made."""
    return _tables[cupy.ndarray if name == "cuda" else np.ndarray]


def array_module(array: Any) -> Any:
    """``numpy`` or ``cupy``: the namespace of an array, for references."""
    return _tables[type(array)].xp


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """An uninitialised array on the default backend."""
    return default_table().empty(shape, np.dtype(dtype))


def zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array of zeros on the default backend."""
    table = default_table()
    out = table.empty(shape, np.dtype(dtype))
    table.fill(table.xp.zeros(1, out.dtype), out)
    return out


@contextlib.contextmanager
def _arrays_on(table: Table) -> Iterator[None]:
    before = _tables[np.ndarray]
    _tables[np.ndarray] = table
    try:
        yield
    finally:
        _tables[np.ndarray] = before


def use(backend: str) -> AbstractContextManager[None]:
    """Runs NumPy arrays on another column for a while, 'numpy' or 'cpu': for tests."""
    if backend == "cpu" and cpu is None:
        message = f"use: expected the cpu backend, got none: {reasons['cpu']}; {REINSTALL}"
        raise RuntimeError(message)
    return _arrays_on({"numpy": _numpy_table, "cpu": _cpu_table}[backend])


def use_kernels(kernels: dict[str, Callable[..., Any]]) -> AbstractContextManager[None]:
    """Runs NumPy arrays on the references with some kernels replaced, for a while: for tests."""
    table = Table("numpy with others", np, _numpy_empty)
    for kernel, function in references.items():
        own = kernels.get(kernel)
        setattr(table, kernel, function if own is None else _of_floats(own, function))
    return _arrays_on(table)


def bump_mutation_stamp() -> None:
    """Says that some module, parameter or optimiser changed its structure or flags."""
    global _mutations  # noqa: PLW0603
    _mutations += 1


def mutation_stamp() -> int:
    """The number of such changes so far in this process."""
    return _mutations


def move(array: Any, device: str) -> Any:
    """An array on the other device: 'cpu' or 'cuda'. Waits for the copy."""
    if device == "cpu":
        return array if isinstance(array, np.ndarray) else array.get()
    if cupy is None:
        why = reasons.get("cuda", "CuPy is not in use")
        message = f"to: expected a GPU, got none: {why}; start Python with FASTNN_BACKEND=cuda"
        raise RuntimeError(message)
    return cupy.asarray(array)


def is_gpu_array(value: Any) -> bool:
    """Whether a value is a CuPy array (never true while CuPy is not in use)."""
    return cupy is not None and isinstance(value, cupy.ndarray)

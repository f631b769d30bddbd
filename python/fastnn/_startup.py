# SPDX-License-Identifier: BSD-3-Clause
"""What has to happen before NumPy is imported or while fastnn is: for the ``fastnn`` command, whose
first lines run only afterwards, and for warnings, which point to the line that imports fastnn."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_MODULES = ("fastnn", "fastnn.cli")
_BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
_WRONG_USAGE, _INTERRUPTED = 2, 130


def is_command(argv: Sequence[str], orig_argv: Sequence[str]) -> bool:
    """Whether this process is ``fastnn ...`` or ``python -m fastnn ...``, by its ``sys.argv`` and
    ``sys.orig_argv``. While the package of ``-m`` is imported, ``argv[0]`` is still ``-m``."""
    if not argv:
        return False
    if argv[0] == "-m":
        after = (b for a, b in itertools.pairwise(orig_argv) if a == "-m")
        return any(name in _MODULES for name in after)
    return argv[0].rpartition(os.sep)[2] == "fastnn"


def is_on(name: str) -> bool:
    """Whether a switch of the environment is set, to anything but a word for no."""
    return os.environ.get(name, "").strip().lower() not in ("", "0", "false", "off", "no")


def blas_settings(environment: Mapping[str, str], has_native: bool) -> dict[str, str]:
    """Environment variables that keep NumPy's BLAS to one thread where fastnn computes with it:
    the threads of OpenBLAS wait spinning, and on a busy machine small products then take many
    times as long. Nothing if the user has set any of them, or native kernels do the work."""
    wanted = environment.get("FASTNN_BACKEND", "").strip().lower()
    if has_native and wanted != "numpy":
        return {}
    if any(environment.get(name) for name in (*_BLAS, "OMP_NUM_THREADS")):
        return {}
    return dict.fromkeys(_BLAS, "1")


def one_sentence(choose: Callable[[], str]) -> Callable[[], str]:
    """For the command, what a choice refuses is one sentence and exit status 2; for those who
    import fastnn, the exception itself."""

    @functools.wraps(choose)
    def chosen() -> str:
        try:
            return choose()
        except (ValueError, RuntimeError, ImportError) as error:
            if not is_command(sys.argv, sys.orig_argv):
                raise
            if sys.stderr is not None:
                sys.stderr.write(f"fastnn: error: {error}\n")
            sys.exit(_WRONG_USAGE)

    return chosen


def warn(message: str) -> None:
    """A RuntimeWarning at the line outside of fastnn that imports it."""
    here = __file__.rpartition(os.sep)[0]
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_code.co_filename.startswith((here, "<frozen importlib"))
    ):
        frame = frame.f_back
    warnings.warn_explicit(
        message,
        RuntimeWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        frame.f_globals.get("__name__"),
        frame.f_globals.setdefault("__warningregistry__", {}),
    )


def interrupted(number: int, frame: object) -> None:
    """The handler of Ctrl-C while the command loads its modules, and after its work: an exception
    out of an import would be a traceback, or be taken for a missing module."""
    del number, frame
    with contextlib.suppress(OSError):
        os.write(2, b"fastnn: interrupted\n")
    os._exit(_INTERRUPTED)


def exchange_handler(old: object, new: Any) -> bool:
    """Make ``new`` the handler of Ctrl-C if ``old`` is; a program's own or an ignored signal
    stays. Whether it was changed."""
    import signal  # noqa: PLC0415  (for the command alone)
    import threading  # noqa: PLC0415

    if threading.current_thread() is not threading.main_thread():
        return False
    if signal.getsignal(signal.SIGINT) is not old:
        return False
    signal.signal(signal.SIGINT, new)
    return True


if is_command(sys.argv, sys.orig_argv):
    import signal

    exchange_handler(signal.default_int_handler, interrupted)
    if "numpy" not in sys.modules:
        import importlib.util

        _native = importlib.util.find_spec("fastnn._cpu") is not None
        os.environ.update(blas_settings(os.environ, _native))

# SPDX-License-Identifier: BSD-3-Clause
"""The command line: ``fastnn train | bench | info``.

Every command is a module with add_arguments(parser) and run(arguments) -> exit status, listed in
COMMANDS and imported when it is named. Exit status: 0 done, 1 failed,
2 wrong usage, 130 ended by Ctrl-C, 141 the reader of the output went away.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence

import fastnn
from fastnn import _startup

__all__ = ["main"]

COMMANDS = {  # name -> (module, summary); the modules are heavy, this table is not
    "train": ("fastnn.cli.train", "train a network on a data set and write the run to a folder"),
    "bench": ("fastnn.cli.bench.command", "time kernels and training steps beside other libraries"),
    "info": ("fastnn.cli.info", "say which backend runs, and why not the others"),
}
_FAILED, _INTERRUPTED, _BROKEN_PIPE = 1, 130, 141


def _build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of all commands; only the one that is asked for gets its flags."""
    parser = argparse.ArgumentParser(
        prog="fastnn",
        description="Neural networks on fast kernels: train, measure, look around.",
    )
    parser.add_argument("--version", action="version", version=f"fastnn {fastnn.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="command", required=True)
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        if name in arguments:
            implementation = importlib.import_module(module)
            implementation.add_arguments(command)
            command.set_defaults(run=implementation.run)
    return parser


def _prepare_streams() -> None:
    """Streams that can be written to: what was closed (``>&-``) goes nowhere, and a path that the
    terminal cannot show is escaped instead of ending the program."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # Until the process ends; it takes the number of the closed one, as no file should.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Python flushes standard output once more at exit; let that go nowhere, quietly."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status (argparse itself exits on wrong usage)."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    _prepare_streams()
    loading = False
    try:
        parsed = _build_parser(arguments).parse_args(arguments)
        loading = _startup.exchange_handler(_startup.interrupted, signal.default_int_handler)
        status = int(parsed.run(parsed))
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("fastnn: interrupted\n")
        return _INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return _BROKEN_PIPE
    except OSError as error:
        # A stream has no file name: the device behind standard output is full or gone.
        what = error if error.filename else f"cannot write the output: {error.strerror}"
        sys.stderr.write(f"fastnn: error: {what}\n")
        _drop_output()
        return _FAILED
    finally:
        if loading:
            _startup.exchange_handler(signal.default_int_handler, _startup.interrupted)
    return status

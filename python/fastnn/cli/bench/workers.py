# SPDX-License-Identifier: BSD-3-Clause
"""The other end of worker.py and of ceilings_worker.py: processes that answer lines."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastnn.cli.bench import preload
from fastnn.cli.bench.peers import OWN, PEERS, WORKER, environment, interpreter

__all__ = ["LineProcess", "NotInstalled", "Probe", "Unsupported", "Worker", "WorkerError"]

_TIMEOUT = 300.0  # seconds without an answer after which a process counts as hung


class WorkerError(RuntimeError):
    """A process ended, hung or answered nonsense."""


class NotInstalled(WorkerError):
    """The peer's interpreter has no such library."""


class Unsupported(WorkerError):
    """The library has no such operation."""


class LineProcess:
    """A child process that answers every line on its input by a line on its output."""

    cure = "--only and --peers leave it out"  # for one that fails

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._command, self._env = list(command), env
        self._start()

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._pending = b""
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=None if self._env is None else dict(self._env),
                bufsize=0,
            )
        except OSError as error:
            self._errors.close()
            python = self._command[0]
            message = f"{self.name}: expected {python} to start, got {error}; give another path"
            raise NotInstalled(message) from error

    def _fail(self, got: str, patience: float = 5.0) -> WorkerError:
        """What came instead of an answer, and what the process said last; one that has ended may
        still be saying it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._process.kill()
        self._process.wait()
        self._errors.seek(0)
        tail = self._errors.read().decode(errors="replace").splitlines()[-12:]
        message = f"{self.name}: expected an answer, got {got}; {self.cure}"
        return WorkerError("\n  ".join([message, *tail]))

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def send(self, line: str) -> None:
        """Write a line."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError as error:
            got = "the end of the process"
            raise self._fail(got) from error

    def receive(self, timeout: float = _TIMEOUT) -> str:
        """Read a line."""
        assert self._process.stdout is not None
        file = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout
        while b"\n" not in self._pending:
            ready, _, _ = select.select([file], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                got = f"none within {timeout:g} s"
                raise self._fail(got, 0.0)
            chunk = os.read(file, 65536)
            if not chunk:
                got = "the end of the process"
                raise self._fail(got)
            self._pending += chunk
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode(errors="replace")

    def _answer(self) -> dict[str, Any]:
        """Read a line that is an answer; a process that prints other text is ended."""
        line = self.receive()
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            got = f"{line!r:.100}; nothing else may write to its standard output"
            raise self._fail(got, 0.0)
        return answer

    def _hello(self) -> dict[str, Any]:
        """The first line, of a process that has one; a process that fails to start is closed."""
        try:
            hello = self._answer()
        except WorkerError:
            self.close()
            raise
        return hello

    def close(self) -> None:
        """End the process and wait for it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


def _preloaded(peer: str, folder: Path) -> Path | None:
    """The library that a peer needs on this processor."""
    if not PEERS[peer].preload or not preload.is_needed():
        return None
    try:
        return preload.build(folder)
    except preload.NoCompiler as error:
        message = f"{peer}: {error}"
        raise NotInstalled(message) from error


class Worker(LineProcess):
    """One peer in its own process."""

    def __init__(
        self,
        peer: str,
        threads: int,
        folder: Path,
        pythons: Mapping[str, str] | None = None,
        isa: str | None = None,
        device: str = "cpu",
    ) -> None:
        spec = PEERS[peer]
        loaded = _preloaded(peer, folder) if device == "cpu" else None
        env = environment(spec, threads, loaded, device)
        if isa is not None:
            env["FASTNN_ISA"] = isa
        options = json.dumps({**spec.options, "device": device})
        python = interpreter(peer, pythons or {})
        # -P: the worker's own folder is no place to import libraries from.
        command = [python, "-P", str(WORKER), spec.library, str(threads), options]
        super().__init__(peer, command, env)
        hello = self._hello()
        if why := hello.get("missing"):
            self.close()
            library = spec.library
            message = (
                f"{peer}: expected {library} in {python}, got {why}; install it there, or name a "
                f"Python that has it: --peer-python {library}=PATH"
            )
            raise NotInstalled(message)
        if error := hello.get("unsupported"):
            self.close()
            message = f"{peer}: {error}"
            raise NotInstalled(message)
        self.about: dict[str, Any] = hello["about"]

    def ask(self, **order: Any) -> dict[str, Any]:
        """One order, one answer."""
        self.send(json.dumps(order))
        answer = self._answer()
        if error := answer.get("unsupported"):
            message = f"{self.name}: {error}"
            raise Unsupported(message)
        if error := answer.get("error"):
            message = f"{self.name}: {error}"
            raise WorkerError(message)
        return answer


class Probe(LineProcess):
    """The process that measures what the machine can do at most, by fastnn's native module.

    One that ended is started again when it is next asked: it costs one row, not all after it.
    """

    cure = "measure again"

    def __init__(self, level: str | None) -> None:
        env = environment(PEERS[OWN], 1)
        if level is not None:
            env["FASTNN_ISA"] = level
        command = [sys.executable, "-P", "-m", "fastnn.cli.bench.ceilings_worker"]
        super().__init__("ceilings", command, env)

    def _start(self) -> None:
        super()._start()
        hello = self._hello()
        if "missing" in hello:
            self.close()
            raise NotInstalled(hello["missing"])

    def _rate(self, **order: Any) -> float:
        if not self.alive:
            self.close()
            self._start()
        self.send(json.dumps(order))
        rate = float(self._answer().get("rate", 0.0))
        if rate <= 0:
            message = f"ceilings: expected a rate for {order}, got none; free memory or threads"
            raise WorkerError(message)
        return rate

    def fma(self, threads: int, seconds: float = 0.003) -> float:
        """GFLOP/s of multiply-adds in registers, measured now."""
        return self._rate(threads=threads, seconds=seconds)

    def memory(self, kind: str, threads: int, size: int, seconds: float = 0.01) -> float:
        """GB/s over a working set of ``size`` bytes: kind read, copy or stream; measured now."""
        return self._rate(threads=threads, seconds=seconds, kind=kind, bytes=size)

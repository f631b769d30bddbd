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

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.name = Path(command[-1]).name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._pending = b""
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=None if env is None else dict(env),
                bufsize=0,
            )
        except OSError as error:
            self._errors.close()
            message = f"{command[0]} cannot be started: {error}"
            raise WorkerError(message) from error

    def _fail(self, what: str, patience: float = 5.0) -> WorkerError:
        """What went wrong, and what the process said; one that has ended may still be saying it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._process.kill()
        self._process.wait()
        self._errors.seek(0)
        tail = self._errors.read().decode(errors="replace").splitlines()[-12:]
        return WorkerError("\n  ".join([f"{self.name}: {what}", *tail]))

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
            message = "the process ended"
            raise self._fail(message) from error

    def receive(self, timeout: float = _TIMEOUT) -> str:
        """Read a line."""
        assert self._process.stdout is not None
        file = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout
        while b"\n" not in self._pending:
            ready, _, _ = select.select([file], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                message = f"no answer within {timeout:g} s"
                raise self._fail(message, 0.0)
            chunk = os.read(file, 65536)
            if not chunk:
                message = "the process ended"
                raise self._fail(message)
            self._pending += chunk
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode()

    def _hello(self) -> dict[str, Any]:
        """The first line, of a process that has one; a process that fails to start is closed."""
        try:
            hello: dict[str, Any] = json.loads(self.receive())
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
        library = None
        if spec.preload and device == "cpu" and preload.is_needed():
            try:
                library = preload.build(folder)
            except preload.NoCompiler as error:
                message = f"{peer}: {error}"
                raise NotInstalled(message) from error
        env = environment(spec, threads, library, device)
        if isa is not None:
            env["FASTNN_ISA"] = isa
        options = json.dumps({**spec.options, "device": device})
        python = interpreter(peer, pythons or {})
        # -P: the worker's own folder is no place to import libraries from.
        super().__init__([python, "-P", str(WORKER), spec.library, str(threads), options], env)
        self.name = peer
        hello = self._hello()
        if "missing" in hello:
            self.close()
            message = f"{peer}: {hello['missing']} ({python})"
            raise NotInstalled(message)
        self.about: dict[str, Any] = hello["about"]

    def ask(self, **order: Any) -> dict[str, Any]:
        """One order, one answer."""
        self.send(json.dumps(order))
        answer: dict[str, Any] = json.loads(self.receive())
        if "unsupported" in answer:
            message = f"{self.name}: {answer['unsupported']}"
            raise Unsupported(message)
        if "error" in answer:
            message = f"{self.name}: {answer['error']}"
            raise WorkerError(message)
        return answer


class Probe(LineProcess):
    """The process that measures what the machine can do at most, by fastnn's native module."""

    def __init__(self, level: str | None) -> None:
        env = environment(PEERS[OWN], 1)
        if level is not None:
            env["FASTNN_ISA"] = level
        super().__init__([sys.executable, "-P", "-m", "fastnn.cli.bench.ceilings_worker"], env)
        self.name = "ceilings"
        hello = self._hello()
        if "missing" in hello:
            self.close()
            raise NotInstalled(hello["missing"])

    def _rate(self, **order: Any) -> float:
        self.send(json.dumps(order))
        rate = float(json.loads(self.receive())["rate"])
        if rate <= 0:
            message = f"ceilings: {order} could not be measured; free memory or threads"
            raise WorkerError(message)
        return rate

    def fma(self, threads: int, seconds: float = 0.003) -> float:
        """GFLOP/s of multiply-adds in registers, measured now."""
        return self._rate(threads=threads, seconds=seconds)

    def memory(self, kind: str, threads: int, size: int, seconds: float = 0.01) -> float:
        """GB/s over a working set of ``size`` bytes: kind read, copy or stream; measured now."""
        return self._rate(threads=threads, seconds=seconds, kind=kind, bytes=size)

# SPDX-License-Identifier: BSD-3-Clause
"""The other end of fastnn/cli/bench/worker.py, and of probe.c: processes that answer lines."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import native
from fastnn.cli.bench.peers import PEERS, WORKER, environment, interpreter

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

    def _fail(self, what: str) -> WorkerError:
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
                raise self._fail(message)
            chunk = os.read(file, 65536)
            if not chunk:
                message = "the process ended"
                raise self._fail(message)
            self._pending += chunk
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode()

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
    ) -> None:
        spec = PEERS[peer]
        preload = None if spec.preload is None else native.build_preload(spec.preload, folder)
        env = environment(spec, threads, preload)
        if isa is not None:
            env["FASTNN_ISA"] = isa
        options = json.dumps(dict(spec.options))
        python = interpreter(peer, pythons or {})
        # -P: the worker's own folder is no place to import libraries from.
        super().__init__([python, "-P", str(WORKER), spec.library, str(threads), options], env)
        self.name = peer
        hello = json.loads(self.receive())
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
    """The multiply-add rate of a number of threads, in GFLOP/s."""

    def __init__(self, level: str | None, folder: Path) -> None:
        super().__init__([str(native.build_probe(level, folder))])

    def rate(self, threads: int, milliseconds: float = 3.0) -> float:
        """Measured now."""
        self.send(f"{threads} {milliseconds}")
        return float(self.receive())

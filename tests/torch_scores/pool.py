# SPDX-License-Identifier: BSD-3-Clause
"""Workers that score names; one that crashes or hangs is replaced and goes on after that sample."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from .record import Record

CRASHES = 5  # of one name; then it is given up


def _environment() -> dict[str, str]:
    """In which Python finds this package under the name that it has here."""
    above = Path(__file__).resolve().parents[len(__package__.split("."))]
    path = [str(above), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


class Worker:
    """One process. ``seconds``: how long it may be silent, which it is for one sample at most.
    ``forms``: it scores methods and in-place forms."""

    def __init__(
        self, command: list[str] | None = None, seconds: float = 60.0, forms: bool = False
    ) -> None:
        self.forms = forms
        self.command = command or [sys.executable, "-m", f"{__package__}.worker"]
        self.seconds = seconds
        self._process: subprocess.Popen[str] | None = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=_environment(),
            )
        return self._process

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _attempt(self, name: str, skip: list[str]) -> tuple[Record | None, str, str]:
        """(the record, if it came; the label that was last begun; how the process ended)."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        at, ended = "", ""
        silence = threading.Timer(0, lambda: None)
        hung = threading.Event()

        def stop() -> None:
            hung.set()
            process.kill()

        try:
            process.stdin.write(
                json.dumps({"name": name, "skip": skip, "forms": self.forms}) + "\n"
            )
            process.stdin.flush()
            while True:
                silence = threading.Timer(self.seconds, stop)
                silence.daemon = True
                silence.start()
                line = process.stdout.readline()
                silence.cancel()
                if not line:
                    break
                entry = json.loads(line)
                if "record" in entry:
                    return Record.from_json(entry["record"]), at, ""
                at = entry["at"] or at
        except BrokenPipeError:
            pass
        finally:
            silence.cancel()
        code = process.wait()
        ended = f"no answer in {self.seconds:.0f} s" if hung.is_set() else f"exit status {code}"
        self.close()
        return None, at, ended

    def score(self, name: str) -> Record:
        """The record of a name, whatever happens."""
        skip: list[str] = []
        notes: list[str] = []
        while True:
            record, at, ended = self._attempt(name, skip)
            if record is None:
                notes.append(f"{at or 'before the first sample'}: {ended}")
                # The same sample twice, or none at all: it would never end.
                if len(notes) < CRASHES and at and at not in skip:
                    skip.append(at)
                    continue
                record = Record(name, samples=1)
            record.crashes = len(notes)
            record.failures = [*(f"crash at {note}" for note in notes), *record.failures]
            return record


def run(
    names: Iterable[str],
    jobs: int,
    finished: Callable[[Record], None],
    make: Callable[[], Worker] = Worker,
) -> None:
    """Score all names with ``jobs`` workers; ``finished`` gets each record as it comes."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in names:
        waiting.put(name)
    lock = threading.Lock()
    errors: list[BaseException] = []

    def work() -> None:
        worker = make()
        try:
            while True:
                try:
                    name = waiting.get_nowait()
                except queue.Empty:
                    return
                record = worker.score(name)
                with lock:
                    finished(record)
        except BaseException as error:
            errors.append(error)
        finally:
            worker.close()

    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]

# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C between two steps instead of inside one."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

__all__ = ["DeferredInterrupt"]

_ASKED = 0  # in the pipe: no signal has this number


class DeferredInterrupt:
    """While active, the first SIGINT is only remembered.

    The loop asks the object (it is callable) after every step, so that no weight is left half
    updated. Outside the main thread Python allows no signal handlers: there it does nothing.

    Python runs its handlers between two instructions of the main thread, and so not at all while a
    native call is busy. Therefore a thread watches too, which the signal wakes through a pipe. If
    the loop has not asked ``grace`` seconds after the signal, it calls ``give_up(False)``; at a
    second signal it calls ``give_up(True)`` at once. This should leave the process; if it returns,
    there was nothing to leave. Without ``give_up`` a second signal raises KeyboardInterrupt.
    """

    def __init__(self, give_up: Callable[[bool], None] | None = None, grace: float = 2.0) -> None:
        self.requested = False
        self._give_up = give_up
        self._grace = grace
        self._asked = False
        self._previous: Any = None
        self._previous_fd = -1
        self._pipe: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None

    def __call__(self) -> bool:
        if self.requested and not self._asked:
            self._asked = True
            if self._pipe is not None:
                os.write(self._pipe[1], bytes([_ASKED]))
        return self.requested

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.requested and self._thread is None:
            raise KeyboardInterrupt
        self.requested = True

    def _watch(self, read_end: int, give_up: Callable[[bool], None]) -> None:
        signals, deadline = 0, float("inf")
        while True:
            left = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
            if not select.select([read_end], [], [], left)[0]:
                give_up(False)
                deadline = float("inf")
                continue
            numbers = os.read(read_end, 64)
            if not numbers:
                return
            for number in numbers:
                if number == _ASKED:
                    deadline = float("inf")
                elif number == signal.SIGINT:
                    signals += 1
                    if signals == 1:
                        deadline = time.monotonic() + self._grace
                    else:
                        give_up(True)

    def __enter__(self) -> DeferredInterrupt:
        if threading.current_thread() is not threading.main_thread():
            return self
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a job in a script's background
            return self
        if self._give_up is not None and os.name == "posix":  # select() takes no pipe on Windows
            read_end, write_end = os.pipe()
            os.set_blocking(write_end, False)
            self._pipe = (read_end, write_end)
            self._previous_fd = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
            self._thread = threading.Thread(
                target=self._watch, args=(read_end, self._give_up), daemon=True
            )
            self._thread.start()
        self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None
        if self._pipe is not None and self._thread is not None:
            signal.set_wakeup_fd(self._previous_fd)
            read_end, write_end = self._pipe
            os.close(write_end)  # the thread reads the end of the pipe
            self._thread.join()
            os.close(read_end)
            self._pipe = self._thread = None

# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C is remembered once, obeyed at the second, and given back afterwards."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from fastnn.train import DeferredInterrupt


def test_first_is_remembered_second_raises():
    before = signal.getsignal(signal.SIGINT)
    with DeferredInterrupt() as interrupt:
        assert not interrupt()
        signal.raise_signal(signal.SIGINT)
        assert interrupt()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_loop_that_does_not_ask_is_given_up():
    given_up = threading.Event()
    with DeferredInterrupt(lambda _: given_up.set(), grace=0.05) as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert given_up.wait(30)
        assert interrupt()


def test_a_loop_that_asks_is_not_given_up():
    given_up = []
    with DeferredInterrupt(given_up.append, grace=30) as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt()
    assert not given_up
    assert not any("_watch" in thread.name for thread in threading.enumerate())


@pytest.mark.parametrize("asks", [False, True])
def test_a_second_signal_gives_up_at_once(asks):
    calls, called = [], threading.Event()

    def give_up(at_once):
        calls.append(at_once)
        called.set()

    with DeferredInterrupt(give_up, grace=30) as interrupt:
        signal.raise_signal(signal.SIGINT)
        if asks:
            assert interrupt()
        assert not calls
        signal.raise_signal(signal.SIGINT)
        assert called.wait(30)
    assert calls == [True]


def test_the_watch_goes_on_when_there_was_nothing_to_leave():
    calls, called = [], threading.Semaphore(0)

    def give_up(at_once):
        calls.append(at_once)
        called.release()

    with DeferredInterrupt(give_up, grace=0.05):
        signal.raise_signal(signal.SIGINT)
        assert called.acquire(timeout=30)
        signal.raise_signal(signal.SIGINT)
        assert called.acquire(timeout=30)
    assert calls == [False, True]


def test_nothing_is_given_up_without_a_signal():
    given_up = []
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    with DeferredInterrupt(given_up.append, grace=0.0):
        pass
    assert not given_up
    after = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(after)
    assert after == before


def test_handler_is_restored_after_an_exception():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), DeferredInterrupt():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_nothing_is_installed():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def enter():
        with DeferredInterrupt() as interrupt:
            seen.append((interrupt(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_an_ignored_signal_stays_ignored() -> None:
    """As a shell leaves it for a job in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with DeferredInterrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interrupt()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)

"""Stop: set by the caller's event or for another reason; the caller's own is never touched."""

from __future__ import annotations

import threading
import time

from archkit.building.context import Stop


def test_the_callers_event_counts_and_is_not_touched() -> None:
    caller = threading.Event()
    stop = Stop(caller)
    assert not stop.is_set()
    stop.set()
    assert (stop.is_set(), caller.is_set()) == (True, False)
    caller.set()
    assert Stop(caller).is_set()


def test_waiting_ends_with_either_of_them() -> None:
    for own in (True, False):
        caller = threading.Event()
        stop = Stop(caller)
        timer = threading.Timer(0.05, stop.set if own else caller.set)
        timer.start()
        assert stop.wait(30)
        assert stop.wait() is True
        timer.join()


def test_waiting_has_an_end() -> None:
    begun = time.monotonic()
    assert Stop(threading.Event()).wait(0.1) is False
    assert Stop().wait(0.05) is False
    assert 0.1 < time.monotonic() - begun < 10

"""What builders get beside the request: where images go, what starts tools, whom to tell, and when to stop."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from archkit.events import Listener
from archkit.ports.registry import ImageStore
from archkit.ports.runner import Runner

if TYPE_CHECKING:
    from archkit.events import Event
    from archkit.ports.builder import BuildContext

_LOOK = 0.05
"""Seconds between two looks at the caller's event."""


class Stop(threading.Event):
    """Set when the caller's event is, and when a build is to stop for another reason; the caller's own is never touched."""

    def __init__(self, caller: threading.Event | None = None) -> None:
        super().__init__()
        self._caller = caller

    def is_set(self) -> bool:
        return super().is_set() or (self._caller is not None and self._caller.is_set())

    def wait(self, timeout: float | None = None) -> bool:
        if self._caller is None:
            return super().wait(timeout)
        until = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = _LOOK if until is None else min(_LOOK, until - time.monotonic())
            if left <= 0:
                return False
            super().wait(left)
        return True


class OneAtATime:
    """A listener that is never called by two threads at once, so that what it writes is not mixed up."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._lock = listener, threading.RLock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._listener(event)


@attrs.frozen
class CallContext:
    """The ``BuildContext`` of one call of a builder."""

    registry: ImageStore
    runner: Runner
    workdir: Path
    cancelled: threading.Event
    listener: Listener

    def emit(self, event: Event) -> None:
        """See :meth:`archkit.ports.builder.BuildContext.emit`."""
        self.listener(event)


if TYPE_CHECKING:
    _conforms: type[BuildContext] = CallContext

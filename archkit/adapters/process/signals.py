"""Ctrl-C, SIGTERM and SIGHUP while archkit works: first what it started is ended and removed, then they do what they do.

Python acts on signals in its main thread only, so there is nothing to do in others. A handler that the program has
installed itself stays in charge.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType, TracebackType

    from typing_extensions import Self

_NAMES = ("SIGTERM", "SIGHUP", "SIGINT")
_NUMBERS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""SIGINT last: it is taken first and given back last, since its usual handler raises wherever the program is."""


class Terminated(BaseException):
    """The process was told to end; not an ``Exception``, so that only what cleans up sees it."""


class _Unwinder:
    """A handler that raises once; told again, it leaves the cleaning up alone."""

    def __init__(self) -> None:
        self.received = 0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if not self.received:
            self.received = number
            raise Terminated(signal.Signals(number).name)


@contextlib.contextmanager
def unwinding() -> Generator[None, None, None]:
    """A block that SIGTERM and SIGHUP leave as an exception does; afterwards they end the process as ever.

    Without it they end a process on the spot, and its temporary folders and child processes stay.
    """
    handler = _Unwinder()
    taken = [number for number in _NUMBERS if _in_main_thread() and signal.getsignal(number) == signal.SIG_DFL]
    try:
        for number in taken:
            signal.signal(number, handler)
        yield
    except Terminated:
        if not handler.received:  # of an outer block
            raise
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
        if handler.received:
            signal.raise_signal(handler.received)


class HeldSignals:
    """A block in which the signals that would end the program only count; at its end they are delivered.

    So no signal can come between the start of a process and the moment that it is known to be ours.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        """In order; empty: nobody wants an end."""
        self._before: dict[int, signal.Handlers | _Unwinder] = {}

    def __enter__(self) -> Self:
        if _in_main_thread():
            try:
                for number in reversed(_NUMBERS):
                    handler = signal.getsignal(number)
                    if handler in {signal.SIG_DFL, signal.default_int_handler} or (isinstance(handler, _Unwinder) and not handler.received):
                        self._before[number] = handler  # type: ignore[assignment]  # one of the three
                        signal.signal(number, self._note)
            except BaseException:
                self._give_back()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._give_back()
        for number in self.received[:1]:
            signal.raise_signal(number)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)

    def _give_back(self) -> None:
        for number in _NUMBERS:
            if number in self._before:
                signal.signal(number, self._before.pop(number))


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()

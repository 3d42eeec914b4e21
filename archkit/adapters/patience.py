"""How long one answer is waited for in all, however it drips in."""

from __future__ import annotations

import http.client
import io
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

    from typing_extensions import Buffer


_LIMITS: ContextVar[tuple[float, float]] = ContextVar("archkit_patience", default=(120.0, 1024.0))


class TooSlow(TimeoutError):
    """An answer that comes, but would take for ever."""


@contextmanager
def patience(longest: float, slowest: float) -> Generator[None, None, None]:
    """How long answers to what is asked inside are waited for, read whenever they may be.

    Args:
        longest: Seconds spent waiting, beyond those that the bytes so far may take.
        slowest: Bytes per second; each so many give the answer a second more. Infinite: they give it none.
    """
    token = _LIMITS.set((longest, slowest))
    try:
        yield
    finally:
        _LIMITS.reset(token)


class PatientResponse(http.client.HTTPResponse):
    """An answer of which head and body are read with :func:`patience`.

    A socket's own timeout begins anew with every byte. What counts here is the time spent waiting for bytes: one who
    reads slowly, because what is read goes somewhere slow, is not to blame the server for it.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = io.BufferedReader(_PatientReader(self.fp.detach(), sock, *_LIMITS.get()))


class _PatientReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, longest: float, slowest: float) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._each = sock.gettimeout()
        self._left = longest
        self._slowest = slowest

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        super().close()
        self._raw.close()

    def readinto(self, buffer: Buffer, /) -> int | None:
        if self._left <= 0:
            raise TooSlow
        each = self._sock.gettimeout() if self._each is None else self._each
        self._sock.settimeout(self._left if each is None else min(each, self._left))
        started = time.monotonic()
        try:
            size = self._raw.readinto(buffer)
        except TimeoutError as error:
            if time.monotonic() - started >= self._left:
                raise TooSlow from error
            raise
        self._left += (size or 0) / self._slowest - (time.monotonic() - started)
        if self._each is not None:
            self._sock.settimeout(self._each)  # the connection's next request begins anew
        return size

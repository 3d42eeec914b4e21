"""A lock between processes on an open file; the operating system releases it when its holder dies."""

from __future__ import annotations

import sys
import time
from typing import IO

if sys.platform == "win32":
    import msvcrt

    _BEYOND = 1 << 30  # a locked range cannot be read by others, so one is locked that holds nothing

    def try_lock(file: IO[bytes]) -> bool:
        """Take the lock if it is free."""
        file.seek(_BEYOND)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(file: IO[bytes]) -> None:
        """Release the lock."""
        file.seek(_BEYOND)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(file: IO[bytes]) -> bool:
        """Take the lock if it is free."""
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(file: IO[bytes]) -> None:
        """Release the lock."""
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)


def lock(file: IO[bytes], *, timeout: float) -> bool:
    """Take the lock, waiting up to ``timeout`` seconds; False when it did not become free."""
    wait, deadline = 0.0005, time.monotonic() + timeout
    while not try_lock(file):
        if time.monotonic() > deadline:
            return False
        time.sleep(wait)
        wait = min(wait * 2, 0.05)
    return True

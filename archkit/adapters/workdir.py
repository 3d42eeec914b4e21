"""Temporary folders that never pile up: each has a lock, and the next run removes those whose lock is free."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from archkit.adapters.file_lock import try_lock

if TYPE_CHECKING:
    from collections.abc import Generator

PREFIX = "archkit-work-"
_LOCK = ".lock"


@contextlib.contextmanager
def workdir() -> Generator[Path, None, None]:
    """An empty folder, removed at the end.

    A process that is killed leaves its folder behind; its lock is then free, and the next call removes it. Folders of
    processes that still run are never touched.
    """
    parent = Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    folder, lock = _locked_folder(parent)
    try:
        with lock:
            content = folder / "content"
            content.mkdir()
            yield content
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(parent: Path) -> tuple[Path, IO[bytes]]:
    """A new folder and its lock, held; another process may take one for abandoned before it is locked, then it is made again."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = (folder / _LOCK).open("wb")
        with contextlib.suppress(FileNotFoundError):
            if try_lock(lock) and os.path.samestat(os.fstat(lock.fileno()), (folder / _LOCK).stat()):
                return folder, lock
        lock.close()


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / _LOCK).open("rb+") as lock:
            if try_lock(lock):
                shutil.rmtree(folder, ignore_errors=True)

"""Temporary folders that never pile up: each has a lock, and the next run removes those whose lock is free."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from archkit.adapters.file_lock import try_lock
from archkit.adapters.process.tree import end_recorded

if TYPE_CHECKING:
    from collections.abc import Generator

PREFIX = "archkit-work-"
_LOCK = ".lock"
_RECORDS = "processes"


@contextlib.contextmanager
def workdir() -> Generator[Path, None, None]:
    """An empty folder, removed at the end.

    A process that is killed leaves its folder behind; its lock is then free, and the next call ends the programs that
    are written down in it (:func:`records_of`) and removes it. Folders of processes that still run are never touched.
    """
    parent = Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    folder, lock = _locked_folder(parent)
    try:
        with lock:
            content = folder / "content"
            content.mkdir()
            records_of(content).mkdir(mode=0o700)
            yield content
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def records_of(content: Path) -> Path:
    """Where the programs that a process runs are written down, beside its temporary folder."""
    return content.parent / _RECORDS


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
                end_recorded(folder / _RECORDS)
                shutil.rmtree(folder, ignore_errors=True)

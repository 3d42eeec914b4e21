"""Where an embedded registry keeps its content: in memory, or in a folder that outlives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import attrs

from archkit.adapters.file_lock import try_lock, unlock

if TYPE_CHECKING:
    import os

_STATE = "_repository.json"
"""No path of a repository has a part that begins so."""
_LOCK = "archkit-lock"


@attrs.define
class Repository:
    """What one repository holds, by name; the content is in the storage."""

    blobs: dict[str, int] = attrs.field(factory=dict[str, int])
    """Size by digest."""
    manifests: dict[str, str] = attrs.field(factory=dict[str, str])
    """Media type by digest, oldest first."""
    tags: dict[str, str] = attrs.field(factory=dict[str, str])
    """Digest by tag."""


class Storage(Protocol):
    """Keeps bytes by digest, uploads that are not complete, and which repository holds what."""

    def load(self) -> dict[str, Repository]:
        """The repositories, by path."""
        ...

    def save(self, name: str, repository: Repository) -> None:
        """Keep what a repository holds."""
        ...

    def read(self, digest: str) -> bytes | None:
        """The content of a digest."""
        ...

    def write(self, digest: str, content: bytes) -> None:
        """Keep a content."""
        ...

    def remove(self, digest: str) -> None:
        """Drop a content."""
        ...

    def append(self, session: str, content: bytes) -> None:
        """Add to an upload, which begins with the first piece, be it empty."""
        ...

    def received(self, session: str) -> int | None:
        """How many bytes an upload has; None where there is none."""
        ...

    def take(self, session: str) -> bytes:
        """End an upload; its bytes."""
        ...

    def open(self) -> bool:
        """Hold it again after :meth:`close`; whether others may have changed it meanwhile."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class MemoryStorage:
    """Content that is gone with the process."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}
        self._uploads: dict[str, bytearray] = {}

    def load(self) -> dict[str, Repository]:
        """See :meth:`Storage.load`."""
        return {}

    def save(self, name: str, repository: Repository) -> None:
        """There is nothing to do: the registry holds the same object."""

    def read(self, digest: str) -> bytes | None:
        """See :meth:`Storage.read`."""
        return self._contents.get(digest)

    def write(self, digest: str, content: bytes) -> None:
        """See :meth:`Storage.write`."""
        self._contents[digest] = content

    def remove(self, digest: str) -> None:
        """See :meth:`Storage.remove`."""
        self._contents.pop(digest, None)

    def append(self, session: str, content: bytes) -> None:
        """See :meth:`Storage.append`."""
        self._uploads.setdefault(session, bytearray()).extend(content)

    def received(self, session: str) -> int | None:
        """See :meth:`Storage.received`."""
        upload = self._uploads.get(session)
        return None if upload is None else len(upload)

    def take(self, session: str) -> bytes:
        """See :meth:`Storage.take`."""
        return bytes(self._uploads.pop(session))

    def open(self) -> bool:
        """Nobody else sees it."""
        return False

    def close(self) -> None:
        """See :meth:`Storage.close`."""


class FolderStorage:
    """Content in a folder: one file per digest and per upload, and one per repository that says what it holds.

    A file is whole before it has its name. One registry at a time may use the folder.

    Args:
        path: The folder; it is made when it is not there.

    Raises:
        RuntimeError: Another registry uses the folder.
        OSError: It cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        """The folder."""
        self._uploads, self._repositories = self.path / "uploads", self.path / "repositories"
        self._uploads.mkdir(parents=True, exist_ok=True)
        self._lock: IO[bytes] | None = None
        self.open()

    def load(self) -> dict[str, Repository]:
        """See :meth:`Storage.load`."""
        files = sorted(self._repositories.rglob(_STATE))
        return {file.parent.relative_to(self._repositories).as_posix(): Repository(**json.loads(file.read_bytes())) for file in files}

    def save(self, name: str, repository: Repository) -> None:
        """See :meth:`Storage.save`."""
        folder = self._repositories / name
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / _STATE, json.dumps(attrs.asdict(repository), separators=(",", ":")).encode())

    def read(self, digest: str) -> bytes | None:
        """See :meth:`Storage.read`."""
        try:
            return self._file(digest).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, digest: str, content: bytes) -> None:
        """See :meth:`Storage.write`."""
        file = self._file(digest)
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(file, content)

    def remove(self, digest: str) -> None:
        """See :meth:`Storage.remove`."""
        self._file(digest).unlink(missing_ok=True)

    def append(self, session: str, content: bytes) -> None:
        """See :meth:`Storage.append`."""
        with (self._uploads / session).open("ab") as file:
            file.write(content)

    def received(self, session: str) -> int | None:
        """See :meth:`Storage.received`."""
        if not session.isalnum():  # whatever a client made up is no name of a file
            return None
        try:
            return (self._uploads / session).stat().st_size
        except FileNotFoundError:
            return None

    def take(self, session: str) -> bytes:
        """See :meth:`Storage.take`."""
        file = self._uploads / session
        content = file.read_bytes()
        file.unlink()
        return content

    def open(self) -> bool:
        """See :meth:`Storage.open`.

        Raises:
            RuntimeError: Another registry uses the folder.
        """
        if self._lock is not None:
            return False
        held = (self.path / _LOCK).open("ab")
        if not try_lock(held):
            held.close()
            raise RuntimeError(f"another embedded registry uses the folder {self.path}")
        self._lock = held
        return True

    def close(self) -> None:
        """Another registry may use the folder."""
        held, self._lock = self._lock, None
        if held is not None:
            unlock(held)
            held.close()

    def _file(self, digest: str) -> Path:
        algorithm, _, name = digest.partition(":")
        return self.path / "blobs" / algorithm / name


def _write(file: Path, content: bytes) -> None:
    beside = file.with_name(f"{file.name}.new")
    beside.write_bytes(content)
    beside.replace(file)

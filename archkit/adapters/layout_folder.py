"""The files of an OCI image layout: marker, index and blobs, written so that others may read and write at the same time.

What is written is whole before it has its name; a lock that all writers share is on ``oci-layout``, the one file that is
always there and never replaced.
"""

from __future__ import annotations

import json
import os
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from archkit.adapters.content import checked
from archkit.adapters.file_lock import lock, try_lock, unlock
from archkit.errors import RegistryError
from archkit.model.oci import OCI_INDEX

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

    from archkit.model.reference import Digest

_MARKER, _INDEX, _BLOBS = "oci-layout", "index.json", "blobs"
_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_TEMPORARY = "archkit-"
_PIECE = 1024 * 1024
_INDEX_LIMIT = 64 * 1024 * 1024
_LOCK_TIMEOUT = 30.0


class LayoutFolder:
    """A folder that is a layout, or becomes one with the first write. Raises ``RegistryError``."""

    def __init__(self, path: Path) -> None:
        self.path: Path = path

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"layout {self.path}"

    # ---- reading ------------------------------------------------------------------------------------------------

    def is_layout(self) -> bool:
        """Whether the layout is there; nothing is there where the folder is missing or empty."""
        name = self.name
        try:
            with (self.path / _MARKER).open("rb") as file:
                content = file.read(_PIECE)
            version = json.loads(content)["imageLayoutVersion"] if content else "1.0.0"  # empty: being made right now
        except FileNotFoundError:
            if self._is_blank():
                return False
            if (self.path / _MARKER).exists():  # made by somebody else between the two looks
                return True
            raise RegistryError(name, f"the folder is no OCI layout: it has no {_MARKER}", remedy="name another folder") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RegistryError(name, f"{_MARKER} cannot be read: {error}") from error
        except OSError as error:
            raise _unusable(name, error) from error
        if not isinstance(version, str) or not version.startswith("1."):
            raise RegistryError(name, f"the layout has version {version!r}; archkit knows version 1")
        return True

    def _is_blank(self) -> bool:
        try:
            return all(path.name.startswith(_TEMPORARY) for path in self.path.iterdir())
        except FileNotFoundError:
            return True
        except OSError as error:
            raise _unusable(self.name, error) from error

    def document(self) -> dict[str, Any]:
        name = self.name
        if not self.is_layout():
            return {"manifests": []}
        try:
            with (self.path / _INDEX).open("rb") as file:
                content = file.read(_INDEX_LIMIT + 1)
            fields = json.loads(content)
        except FileNotFoundError:
            return {"manifests": []}
        except (ValueError, RecursionError) as error:
            raise RegistryError(name, f"{_INDEX} cannot be read: {error}") from error
        except OSError as error:
            raise _unusable(name, error) from error
        document: dict[str, Any] = fields if isinstance(fields, dict) else {"manifests": None}
        entries = document.setdefault("manifests", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise RegistryError(name, f"{_INDEX} cannot be read: it is no index")
        return document

    def size(self, digest: Digest) -> int | None:
        """Bytes of a blob; None where it is not there."""
        self.is_layout()
        with self._told(self.name):
            try:
                return self._blob(digest).stat().st_size
            except FileNotFoundError:
                return None

    def read(self, digest: Digest, limit: int, *, name: str) -> bytes | None:
        """A blob of at most ``limit`` bytes, not verified; None where it is not there."""
        self.is_layout()
        with self._told(name):
            try:
                with self._blob(digest).open("rb") as file:
                    content = file.read(limit + 1)
            except FileNotFoundError:
                return None
        if len(content) > limit:
            raise RegistryError(name, f"the blob {digest} is longer than the limit of {limit} bytes")
        return content

    def pieces(self, digest: Digest, *, name: str) -> Iterator[bytes]:
        """A blob in pieces, not verified."""
        with self._told(name), self._blob(digest).open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def _blob(self, digest: Digest) -> Path:
        return self.path / _BLOBS / digest.algorithm / digest.hex

    # ---- writing ------------------------------------------------------------------------------------------------

    @contextmanager
    def changed_entries(self) -> Generator[list[dict[str, Any]], None, None]:
        """The entries of ``index.json`` for changing; written when the block ends, with no other writer in between."""
        with self._locked():
            document = self.document()
            yield document["manifests"]
            content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, **document}, separators=(",", ":"))
            temporary = self._temporary_path()
            try:
                temporary.write_bytes(content.encode())
                temporary.replace(self.path / _INDEX)  # a reader, also after a kill, finds the old file or the new one
            finally:
                temporary.unlink(missing_ok=True)

    def write(self, pieces: Iterable[bytes], digest: Digest, size: int, *, name: str) -> None:
        """Store a blob whose size and digest are right."""
        temporary = self._temporary_path()
        with self._locked():
            self._remove_leftovers()
            file = temporary.open("xb")
            try_lock(file)
        try:
            with file:
                for piece in checked(pieces, digest, size, name=name):
                    with self._told(name):
                        file.write(piece)
                with self._locked():  # nobody holds the file once it is closed, and a cleaner would take it for a leftover
                    file.close()  # Windows moves no open file
                    self._blob(digest).parent.mkdir(parents=True, exist_ok=True)
                    temporary.replace(self._blob(digest))
        finally:
            temporary.unlink(missing_ok=True)

    def _temporary_path(self) -> Path:
        return self.path / f"{_TEMPORARY}{uuid.uuid4().hex}.tmp"

    def _remove_leftovers(self) -> None:
        """Remove what a killed run left: temporary files that nobody holds."""
        for path in self.path.glob(f"{_TEMPORARY}*.tmp"):
            with suppress(OSError):
                with path.open("r+b") as file:
                    free = try_lock(file)
                if free:
                    path.unlink()

    @contextmanager
    def _locked(self) -> Generator[None, None, None]:
        """No other process or thread writes while the block runs; makes the layout if it is not there."""
        name = self.name
        with self._told(name):
            if not self.is_layout():
                self.path.mkdir(parents=True, exist_ok=True)
                with suppress(FileExistsError), (self.path / _MARKER).open("xb") as made:
                    made.write(_VERSION)
            with (self.path / _MARKER).open("r+b") as marker:  # the lock: a file that is always there and never replaced
                if not lock(marker, timeout=_LOCK_TIMEOUT):
                    raise RegistryError(name, f"another process has been writing for {_LOCK_TIMEOUT:g} s")
                try:
                    if marker.seek(0, os.SEEK_END) == 0:  # whoever made it was killed in between
                        marker.write(_VERSION)
                        marker.flush()
                    yield
                finally:
                    unlock(marker)

    @contextmanager
    def _told(self, name: str) -> Generator[None, None, None]:
        try:
            yield
        except RegistryError:
            raise
        except OSError as error:
            raise _unusable(name, error) from error


def _unusable(name: str, error: OSError) -> RegistryError:
    return RegistryError(name, f"cannot be used: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""))

"""Image layers: written so that equal folders give equal bytes, and read to find one program in them."""

from __future__ import annotations

import hashlib
import itertools
import os
import posixpath
import tarfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast

import attrs

from archkit.model.reference import Digest
from archkit.planning.elf import HEADER_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archkit.adapters.source_folder import SourceEntry

CHUNK = 1 << 20
"""Bytes that are read or sent at a time."""

Compression = Literal["none", "gzip"]


@attrs.frozen
class LayerFile:
    """A layer in a file, ready to be sent."""

    path: Path
    digest: Digest
    """Of the bytes that are sent."""
    size: int
    """Bytes that are sent."""
    diff_id: Digest
    """Of the uncompressed tar: what the image config lists."""
    compression: Compression = "none"

    def chunks(self) -> Iterator[bytes]:
        """The bytes in pieces."""
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


class _Sink:
    """Writes through to a file, hashing what was written before and after compression."""

    def __init__(self, file: IO[bytes], compression: Compression) -> None:
        self._file = file
        self._plain, self._sent, self.size = hashlib.sha256(), hashlib.sha256(), 0
        # wbits 31: a gzip header with time 0 and no name, so that equal content gives equal bytes
        self._compressor = zlib.compressobj(6, zlib.DEFLATED, 31) if compression == "gzip" else None

    def write(self, data: bytes) -> int:
        self._plain.update(data)
        self._send(self._compressor.compress(data) if self._compressor else data)
        return len(data)

    def finish(self) -> tuple[Digest, Digest]:
        if self._compressor:
            self._send(self._compressor.flush())
        return Digest(f"sha256:{self._sent.hexdigest()}"), Digest(f"sha256:{self._plain.hexdigest()}")

    def _send(self, data: bytes) -> None:
        self._sent.update(data)
        self._file.write(data)
        self.size += len(data)


def write_layer(entries: Iterable[SourceEntry], path: Path, compression: Compression = "none") -> LayerFile:
    """Write a layer with these entries, in their order.

    Modes are 0755 for folders and programs and 0644 for other files; time, owner and group are 0: nothing of the
    machine gets in.

    Raises:
        OSError: A file cannot be read, or changed its size meanwhile.
    """
    with path.open("wb") as file:
        sink = _Sink(file, compression)
        # tarfile asks only for write() in the streaming mode
        with tarfile.open(
            mode="w|", fileobj=cast("IO[bytes]", sink), bufsize=CHUNK, format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
        ) as tar:
            for entry in entries:
                _add(tar, entry)
        digest, diff_id = sink.finish()
    return LayerFile(path, digest, sink.size, diff_id, compression)


def _add(tar: tarfile.TarFile, entry: SourceEntry) -> None:
    info = tarfile.TarInfo(entry.path)
    if entry.kind == "folder":
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
    elif entry.kind == "link":
        info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, entry.target
        tar.addfile(info)
    else:
        info.mode = 0o755 if entry.executable else 0o644
        with entry.source.open("rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            tar.addfile(info, file)


@attrs.frozen
class LayerEntry:
    """What one name in a layer is."""

    kind: Literal["file", "folder", "link", "removed"]
    target: str = ""
    """Where a link points, as it stands."""
    header: bytes = b""
    """The first bytes of a file."""


_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW = 31
"""For zlib: the largest window, with the header of gzip."""


class LayerTooLarge(ValueError):
    """A layer beyond the limit, or in a compression that Python cannot read."""


def read_layer(chunks: Iterable[bytes], media_type: str, *, limit: int) -> dict[str, LayerEntry]:
    """The names in a layer, without leading ``/`` or ``./``, with the first bytes of each file.

    Names that a layer removes (``.wh.NAME``, OCI image specification, ``layer.md``) are kind ``removed``; an opaque
    folder is the name ``FOLDER/.wh..wh..opq``.

    Args:
        chunks: The layer as it is stored.
        media_type: Tells whether it can be read at all. Not the compression: engines mount a plain layer of a base and
            name it gzip, and runtimes look at the first bytes too.
        limit: Most bytes that are unpacked.

    Raises:
        LayerTooLarge: More than ``limit``, or a compression other than gzip.
        ValueError: Damaged.
    """
    if media_type.endswith(("zstd", "encrypted")):
        raise LayerTooLarge(f"layers of type {media_type} are not unpacked")
    reader = _Unpacked(chunks, limit=limit)
    entries: dict[str, LayerEntry] = {}
    try:
        with tarfile.open(mode="r|", fileobj=cast("IO[bytes]", reader), bufsize=CHUNK) as tar:
            for member in tar:
                name = posixpath.normpath(member.name.lstrip("/"))
                folder, base = posixpath.split(name)
                if base.startswith(".wh.") and base != ".wh..wh..opq":
                    entries[posixpath.join(folder, base.removeprefix(".wh."))] = LayerEntry("removed")
                elif member.issym():
                    entries[name] = LayerEntry("link", member.linkname)
                elif member.islnk():
                    entries[name] = entries.get(posixpath.normpath(member.linkname.lstrip("/")), LayerEntry("file"))
                elif member.isdir():
                    entries[name] = LayerEntry("folder")
                else:
                    file = tar.extractfile(member) if member.isreg() else None
                    entries[name] = LayerEntry("file", "", file.read(HEADER_SIZE) if file else b"")
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise ValueError(f"the layer is damaged: {error}") from error
    return entries


class _Unpacked:
    """A file-like of the uncompressed bytes, with a limit against layers that unpack to more than anyone needs."""

    def __init__(self, chunks: Iterable[bytes], *, limit: int) -> None:
        self._chunks = iter(chunks)
        first = b""
        while len(first) < len(_ZSTD) and (chunk := next(self._chunks, None)) is not None:
            first += chunk
        if first.startswith(_ZSTD):
            raise LayerTooLarge("layers in zstd are not unpacked")
        self._chunks = itertools.chain([first], self._chunks)
        self._inflater = zlib.decompressobj(_GZIP_WINDOW) if first.startswith(_GZIP) else None
        self._buffer, self._left = b"", limit

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._buffer) < size:
            piece = self._piece()
            if piece is None:
                break
            self._left -= len(piece)
            if self._left < 0:
                raise LayerTooLarge("the layer unpacks to more than the limit")
            self._buffer += piece
        taken, self._buffer = (self._buffer, b"") if size < 0 else (self._buffer[:size], self._buffer[size:])
        return taken

    def _piece(self) -> bytes | None:
        if self._inflater is None:
            return next(self._chunks, None)
        if self._inflater.eof:  # one stream may follow the other
            rest = self._inflater.unused_data or next(self._chunks, None)
            self._inflater = zlib.decompressobj(_GZIP_WINDOW)
            return self._inflater.decompress(rest, CHUNK) if rest and rest.startswith(_GZIP[:1]) else None  # padding ends it
        if self._inflater.unconsumed_tail:
            return self._inflater.decompress(self._inflater.unconsumed_tail, CHUNK)
        chunk = next(self._chunks, None)
        return None if chunk is None else self._inflater.decompress(chunk, CHUNK)

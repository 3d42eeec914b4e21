"""The files of a source folder, in an order and with modes that do not depend on the machine."""

from __future__ import annotations

import os
import posixpath
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs

from archkit.planning.ignore import IgnorePatternError, IgnoreRules

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence


class SourceFolderError(ValueError):
    """A source folder that cannot go into an image; the text says which entry and why."""


@attrs.frozen
class SourceEntry:
    """One file, folder or symbolic link."""

    path: str
    """Relative to the folder, with ``/``."""
    kind: Literal["file", "folder", "link"]
    source: Path
    executable: bool = False
    target: str = ""
    """Where a link points, as it stands."""


@attrs.frozen
class SourceFolder:
    """What of a folder goes into an image, sorted by path, and what stays out."""

    entries: tuple[SourceEntry, ...]
    left_out: tuple[tuple[str, str], ...]
    """Path and the pattern that decided; of a whole folder only the folder."""


def read_source_folder(
    folder: Path, *, exclude: Sequence[str] = (), apart: Collection[Path] = (), ignore: str = ".dockerignore"
) -> SourceFolder:
    """List a folder by the rules of its ``.dockerignore``.

    Args:
        folder: An existing folder.
        exclude: Further patterns, behind those of the ``.dockerignore``.
        apart: Files and folders that are no part of it though they stand below it.
        ignore: The file of the rules, from the folder; empty: there is none.

    Raises:
        SourceFolderError: A link that leaves the folder, a socket, pipe or device, an unreadable pattern or entry.
    """
    try:
        lines = ignore_lines(folder / ignore) if ignore else []
        rules = IgnoreRules.parse([*lines, *exclude])
    except (IgnorePatternError, UnicodeDecodeError) as error:
        raise SourceFolderError(f"{folder / (ignore or '.dockerignore')}: {error}") from error
    walk = _Walk(folder, rules, {path.resolve() for path in apart})
    try:
        entries = tuple(walk.entries(folder, ""))
    except OSError as error:
        raise SourceFolderError(f"cannot read {error.filename or folder}: {error.strerror or error}") from error
    return SourceFolder(_with_parents(entries, folder), tuple(walk.left_out))


def ignore_lines(file: Path) -> list[str]:
    """The lines of a file of patterns; none where there is no such file."""
    return file.read_text("utf-8").splitlines() if file.is_file() else []


@attrs.define
class _Walk:
    root: Path
    rules: IgnoreRules
    apart: set[Path]
    left_out: list[tuple[str, str]] = attrs.field(factory=list)

    def entries(self, folder: Path, prefix: str) -> Iterator[SourceEntry]:
        with os.scandir(folder) as listing:
            names = sorted(entry.name for entry in listing)
        for name in names:
            path, source = prefix + name, folder / name
            if self.apart and source.resolve() in self.apart:
                self.left_out.append((path, "it belongs to one platform"))
                continue
            mode = source.lstat().st_mode
            reason = self.rules.reason(path)
            if reason:
                self.left_out.append((path, reason))
                if stat.S_ISDIR(mode) and self.rules.has_exceptions:
                    yield from self.entries(source, f"{path}/")
            elif stat.S_ISDIR(mode):
                yield SourceEntry(path, "folder", source)
                yield from self.entries(source, f"{path}/")
            elif stat.S_ISLNK(mode):
                yield self.link(path, source)
            elif stat.S_ISREG(mode):
                yield SourceEntry(path, "file", source, executable=bool(mode & stat.S_IXUSR))
            else:
                what = "a socket" if stat.S_ISSOCK(mode) else "a named pipe" if stat.S_ISFIFO(mode) else "a device"
                raise SourceFolderError(f"{source} is {what}; it cannot go into an image, exclude it")

    def link(self, path: str, source: Path) -> SourceEntry:
        target = os.readlink(source)  # noqa: PTH115 - the text as it stands, not a normalised path
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if posixpath.isabs(target) or inside == ".." or inside.startswith("../"):
            raise SourceFolderError(f"the link {source} points to {target}, outside of {self.root}; exclude it or copy what it points to")
        return SourceEntry(path, "link", source, target=target)


def _with_parents(entries: tuple[SourceEntry, ...], root: Path) -> tuple[SourceEntry, ...]:
    """The entries with the folders of those that an exception let in from an ignored folder; sorted by path."""
    found = {entry.path: entry for entry in entries}
    for entry in entries:
        parent = posixpath.dirname(entry.path)
        while parent and parent not in found:
            found[parent] = SourceEntry(parent, "folder", root / parent)
            parent = posixpath.dirname(parent)
    return tuple(found[path] for path in sorted(found, key=lambda path: path.split("/")))

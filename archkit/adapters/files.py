"""Manifests on disk: read whole, replaced at once."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from archkit.errors import ManifestSyntaxError, ManifestTooLarge

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_BYTES_PER_CHARACTER = 4


def read_text(path: Path, limit: int) -> str:
    """The text of a file in UTF-8, line ends and byte order mark as they are.

    Args:
        path: The file.
        limit: Characters that are read at most.

    Raises:
        ManifestSyntaxError: It cannot be read or is not UTF-8.
        ManifestTooLarge: It is longer than the limit.
    """
    most = limit * _MOST_BYTES_PER_CHARACTER
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ManifestSyntaxError(str(path), error.strerror or str(error)) from error
    if len(content) > most:
        raise ManifestTooLarge(str(path), f"more than the limit of {limit} characters (characters)")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
        raise ManifestSyntaxError(str(path), f"the byte {content[error.start]:#04x} is not UTF-8", line, column) from error


def write_all(texts: Mapping[Path, str]) -> None:
    """Replace files, each at once: all of them, or none where one fails. Modes and symbolic links stay.

    Raises:
        OSError: A file could not be written; those before it were put back.
    """
    staged: list[tuple[Path, Path, bytes]] = []
    replaced: list[tuple[Path, bytes]] = []
    try:
        for path, text in texts.items():
            target = Path(os.path.realpath(path))
            before = target.read_bytes()
            staged.append((target, _stage(target, text.encode()), before))
        for target, temporary, before in staged:
            temporary.replace(target)
            replaced.append((target, before))
    except BaseException:
        for target, before in replaced:
            _stage(target, before).replace(target)
        raise
    finally:
        for _, temporary, _ in staged:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()


def _stage(target: Path, content: bytes) -> Path:
    """The content in a file of its own beside the target, with the target's mode."""
    handle, name = tempfile.mkstemp(prefix="archkit-", suffix=target.suffix, dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(target.stat().st_mode & 0o7777)
    except BaseException:
        temporary.unlink()
        raise
    return temporary

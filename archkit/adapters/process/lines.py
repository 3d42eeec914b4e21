"""What a program prints, as lines: bounded, without secrets, the last ones kept."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archkit.planning.masking import Masker

LONGEST_LINE = 16 * 1024
"""Characters of a line that are passed on."""
CUT = " [cut]"
_END = re.compile(rb"\r\n|\n|\r")  # a lone carriage return too: progress bars end their lines so


class LineCutter:
    """Bytes in, lines of text out; a line that does not end takes bounded memory.

    Args:
        masker: Takes secrets out of each line, also out of one that is cut in the middle of a secret.
        longest: Characters of a line that are passed on.
    """

    def __init__(self, masker: Masker, longest: int = LONGEST_LINE) -> None:
        self._masker, self._longest = masker, longest
        self._room = (longest + masker.longest) * 4 + 4  # bytes of so many characters
        self._begun = bytearray()
        self._cut = False
        self._after_return = False

    def feed(self, piece: bytes) -> Iterator[str]:
        """The lines that end in this piece."""
        if self._after_return and piece[:1] == b"\n":
            piece = piece[1:]
        self._after_return = piece[-1:] == b"\r" or (self._after_return and not piece)
        at = 0
        for end in _END.finditer(piece):
            self._keep(piece[at : end.start()])
            yield self._line()
            at = end.end()
        self._keep(piece[at:])

    def finish(self) -> Iterator[str]:
        """The last line, where it has no end."""
        if self._begun:
            yield self._line()

    def _keep(self, part: bytes) -> None:
        room = self._room - len(self._begun)
        self._begun += part[:room]
        self._cut = self._cut or len(part) > room

    def _line(self) -> str:
        text = self._begun.decode("utf-8", "replace")
        cut, self._cut = self._cut or len(text) > self._longest, False
        self._begun.clear()
        return self._masker(text, end=self._longest) + CUT if cut else self._masker(text)


class LastLines:
    """The last lines of an output, of ``limit`` bytes together at most."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._lines: deque[bytes] = deque()

    def add(self, line: str) -> None:
        content = line.encode("utf-8", "replace") + b"\n"
        self._lines.append(content)
        self._size += len(content)
        while self._size > self._limit and self._lines:
            self._size -= len(self._lines.popleft())

    def content(self) -> bytes:
        return b"".join(self._lines)

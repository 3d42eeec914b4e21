"""Taking secrets out of texts that are shown."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from archkit.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "***"
_SHORTEST_LINE = 4
"""A line of a secret of several lines is hidden by itself from this length on: keys are printed line by line."""


class Masker:
    """Replaces secrets by ``***``, also as they stand in a URL, in JSON or in base64.

    Args:
        secrets: The texts to hide; empty ones are passed over.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {spelling for secret in secrets for spelling in _spellings(secret.reveal() if isinstance(secret, Secret) else secret)}
        self.longest: int = max(map(len, spellings), default=0)
        """Characters of the longest text that is hidden; 0: nothing is."""
        longest_first = sorted(spellings, key=lambda text: (-len(text), text))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if spellings else None

    def __call__(self, text: str, *, end: int | None = None) -> str:
        """The text without secrets.

        Args:
            text: What may hold some.
            end: Characters of the text that are wanted; what begins before and is hidden is hidden as a whole.
        """
        end = len(text) if end is None else end
        if self._pattern is None:
            return text[:end]
        pieces: list[str] = []
        at = 0
        for found in self._pattern.finditer(text):
            if found.start() >= end:
                break
            pieces += text[at : found.start()], MASK
            at = found.end()
        pieces.append(text[at:end])
        return "".join(pieces)


def _spellings(secret: str) -> Iterable[str]:
    """How a secret may be printed; ``secret`` is an ordinary text here, not a ``Secret``."""
    if not secret.strip():
        return
    yield secret
    yield secret.strip()  # read from a file, it may end with a newline that nobody prints
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    if len(secret) >= _SHORTEST_LINE:
        encoded = secret.encode("utf-8", "surrogateescape")
        for text in (base64.b64encode(encoded).decode(), base64.urlsafe_b64encode(encoded).decode()):
            yield text
            yield text.rstrip("=")
    lines = secret.splitlines()
    if len(lines) > 1 or lines[0] != secret:
        yield from (line for line in map(str.strip, lines) if len(line) >= _SHORTEST_LINE)

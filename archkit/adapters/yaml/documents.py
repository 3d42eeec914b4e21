"""Cuts a YAML text into its documents.

``---`` and ``...`` in column 0 end a document even inside block scalars and quotes (YAML 1.2, rule c-forbidden), so
cutting at lines is exact, and one broken document does not spoil the others. Anchors do not cross documents.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from archkit.errors import ManifestTooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BOM = "\ufeff"

_MARKER = re.compile(r"(?:^|(?<=[\n\r\x85\u2028\u2029]))(---|\.\.\.)(?=[ \t\n\r\x85\u2028\u2029]|$(?![\n]))")
"""A document marker at the start of a line, whatever libyaml counts as a line."""
_PLAIN_MARKER = re.compile(r"^(---|\.\.\.)(?=[ \t\n]|$(?![\n]))", re.MULTILINE)
"""The same, three times as fast, for texts whose only line break is the line feed."""
_OTHER_BREAKS = "\r\x85\u2028\u2029"
_MARKERS = ("---", "...")
_LINE_END = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]|$(?![\n])")
_DIRECTIVES_ONLY = re.compile(r"\ufeff?(?:(?:%[^\n\r]*|[ \t]*#[^\n\r]*|[ \t]*)(?:[\n\r\x85\u2028\u2029]|$(?![\n])))*")


@attrs.frozen
class ManifestLimits:
    """How much of a manifest is read; beyond, ``ManifestTooLarge`` names the limit."""

    characters: int = 64 << 20
    """Of the whole text."""
    document_characters: int = 16 << 20
    """Of one document that holds images."""
    documents: int = 100_000
    depth: int = 256
    """Mappings and lists inside each other; libyaml takes quadratic time on deep flow text."""
    nodes: int = 2_000_000
    """Values in one document: each takes memory, however short it is."""


@attrs.frozen
class Chunk:
    """One document with the marker before it and the comments around it."""

    text: str
    line: int
    """Of its first character in the whole text, counted from 1."""


def split(text: str, name: str, limits: ManifestLimits) -> Iterator[Chunk]:
    """The documents of a text; joined, they are the text.

    Raises:
        ManifestTooLarge: More text or more documents than ``limits`` allows.
    """
    if len(text) > limits.characters:
        raise ManifestTooLarge(name, f"{len(text)} characters, more than the limit of {limits.characters} (characters)")
    line = 1
    for count, piece in enumerate(_pieces(text), 1):
        if count > limits.documents:
            raise ManifestTooLarge(name, f"more than the limit of {limits.documents} documents (documents)", line)
        yield Chunk(piece, line)
        line += line_breaks(piece)


def split_stream(lines: Iterable[str], name: str, limits: ManifestLimits) -> Iterator[Chunk]:
    """The documents of a text that comes in pieces, each as soon as the next one begins.

    Raises:
        ManifestTooLarge: One document is beyond its limit; a stream may have any number of them.
    """
    line = 1
    parts: list[str] = []  # of the document that is not complete yet: whole lines
    begun: list[str] = []  # of a line that is not complete yet
    size = 0
    for piece in lines:
        size += len(piece)
        end = piece.find("\n") + 1
        if end == len(piece) and not begun:  # a line, as files give them
            parts.append(piece)
            complete = piece.startswith(_MARKERS)
        else:
            end = piece.rfind("\n") + 1
            if end:
                parts.append("".join([*begun, piece[:end]]))
                begun.clear()
            begun.append(piece[end:])
            complete = bool(end) and _MARKER.search(parts[-1]) is not None
        if complete:
            *documents, rest = _pieces("".join(parts))
            for document in documents:
                yield Chunk(document, line)
                line += line_breaks(document)
            parts, size = [rest], len(rest) + sum(map(len, begun))
        if size > limits.document_characters:
            reason = f"a document of more than the limit of {limits.document_characters} characters (document_characters)"
            raise ManifestTooLarge(name, reason, line)
    if parts or begun:
        for document in _pieces("".join([*parts, *begun])):
            yield Chunk(document, line)
            line += line_breaks(document)


def _pieces(text: str) -> Iterator[str]:
    start = 0
    fresh = True  # directives are possible: at the start of the text and behind `...`
    for marker in _marker_in(text).finditer(text):
        at = marker.start()
        if marker.group(1) == "---":
            if at == start or (fresh and _DIRECTIVES_ONLY.fullmatch(text, start, at)):
                fresh = False
                continue  # what stands before belongs to the document that begins here
            yield text[start:at]
            start, fresh = at, False
        else:
            found = _LINE_END.search(text, marker.end())
            end = found.end() if found else len(text)
            yield text[start:end]
            start, fresh = end, True
    if start < len(text) or not text:
        yield text[start:]


def _marker_in(text: str) -> re.Pattern[str]:
    return _MARKER if any(sign in text for sign in _OTHER_BREAKS) else _PLAIN_MARKER


def line_breaks(text: str, end: int | None = None) -> int:
    """How many lines a text, or its part before ``end``, ends, as editors count."""
    breaks = text.count("\n", 0, end)
    return breaks + text.count("\r", 0, end) - text.count("\r\n", 0, end) if "\r" in text else breaks

"""The log of a build, line by line as it grows: an object in a bucket, or entries in Cloud Logging."""

from __future__ import annotations

import re
from typing import Any, Protocol

import attrs

from archkit.adapters.google.api import Api
from archkit.adapters.google.storage import Objects

_MOST_PIECES = 16
"""Pieces of a log, or pages of entries, that are read before the build is looked at again."""
_LONGEST_LINE = 2000
_PAGE = 500


_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class BuildLog(Protocol):
    """Where the lines of one build come from."""

    def more(self, *, last: bool = False) -> list[str]:
        """The lines since the last call.

        Args:
            last: The build has ended: what is left counts as lines too.
        """
        ...


@attrs.define
class BucketLog:
    """A text object; Cloud Build puts more behind it every few seconds."""

    objects: Objects
    name: str
    _at: int = attrs.field(default=0, init=False)
    _rest: bytes = attrs.field(default=b"", init=False)

    def more(self, *, last: bool = False) -> list[str]:
        """See :meth:`BuildLog.more`."""
        for _ in range(_MOST_PIECES):
            piece = self.objects.read(self.name, self._at)
            if not piece:
                break
            self._at += len(piece)
            self._rest += piece
        *lines, self._rest = self._rest.split(b"\n")
        if last and self._rest:
            lines, self._rest = [*lines, self._rest], b""
        return [_shown(line.decode("utf-8", "replace")) for line in lines]


@attrs.define
class CloudLog:
    """Entries of Cloud Logging, which come some seconds late. Source: reference of ``entries.list``."""

    api: Api
    project: str
    identity: str
    _since: str = attrs.field(default="", init=False)
    _seen: set[str] = attrs.field(factory=set[str], init=False)
    """The entries of the last moment, which the next question gives again."""

    def more(self, *, last: bool = False) -> list[str]:  # noqa: ARG002 - of the port
        """See :meth:`BuildLog.more`."""
        lines: list[str] = []
        question, page = self._question(), ""
        for _ in range(_MOST_PIECES):
            fields = {**question, "pageToken": page} if page else question
            answer = self.api.ask("read-cloud-logging", "POST", "/v2/entries:list", fields=fields, repeatable=True)
            entries = answer.get("entries")
            for entry in entries if isinstance(entries, list) else ():
                lines += self._lines(entry)
            page = str(answer.get("nextPageToken") or "")
            if not page:
                break
        return lines

    def _question(self) -> dict[str, Any]:
        wanted = [f'resource.type="build" AND resource.labels.build_id="{self.identity}"']
        wanted += [f'timestamp>="{self._since}"'] if self._since else []
        return {
            "resourceNames": [f"projects/{self.project}"],
            "filter": " AND ".join(wanted),
            "orderBy": "timestamp asc",
            "pageSize": _PAGE,
        }

    def _lines(self, entry: Any) -> list[str]:
        if not isinstance(entry, dict) or str(entry.get("insertId")) in self._seen:
            return []
        moment = str(entry.get("timestamp") or "")
        if moment != self._since:
            self._since, self._seen = moment, set()
        self._seen.add(str(entry.get("insertId")))
        return [_shown(line) for line in str(entry.get("textPayload") or "").splitlines()]


def _shown(line: str) -> str:
    return _COLOURS.sub("", line).rstrip("\r")[:_LONGEST_LINE]

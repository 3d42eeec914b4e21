"""HTTP messages as the embedded servers see them: values, without any socket."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

import attrs

from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts

if TYPE_CHECKING:
    from collections.abc import Iterable


def _merged(headers: Iterable[tuple[str, str]]) -> FrozenMap[str, str]:
    merged: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        merged[key] = f"{merged[key]}, {value}" if key in merged else value
    return FrozenMap(merged)


@attrs.frozen
class Request:
    """What a client sent."""

    method: str
    target: str
    """Path and query, as they were sent."""
    headers: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=_merged)
    """Given as pairs, in the order sent. Names in lower case; a header sent several times is one value, joined by commas (regctl sends an Accept line per type)."""
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path, percent-decoded."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; the last one wins where a name stands twice."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def values(self, name: str) -> list[str]:
        """Every value that the query has for a parameter, in order."""
        return [value for key, value in parse_qsl(self.target.partition("?")[2], keep_blank_values=True) if key == name]


@attrs.frozen
class Response:
    """What is answered."""

    status: int
    headers: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    body: bytes = b""
    cut: int | None = None
    """After how many bytes of the whole answer, head included, the connection is closed; None: it stays open."""
    cut_body: int | None = None
    """After how many bytes of the body the connection is closed, though the head announces all of it."""
    late: float = 0.0
    """Seconds after which the answer begins."""
    drip: float | None = None
    """Seconds between two bytes of the answer, head included; None: it comes at once."""
    stream: Callable[[Callable[[], bool]], Iterator[bytes]] | None = attrs.field(default=None, eq=False)
    """Of an answer that goes on, such as a watch: gives its pieces, each sent as it comes; instead of a body. Called with
    a function that says whether nobody listens any more."""


TOKEN_PATH = "/token"  # noqa: S105 - a path


@attrs.frozen
class Route:
    """What a path of the distribution API asks for."""

    kind: str
    """``base``, ``manifest``, ``blob``, ``upload``, ``tags``, ``referrers``, ``catalog``, ``token``, or ``unknown`` for every other path."""
    repository: str = ""
    reference: str = ""
    """Tag, digest or upload session; empty where the path names none."""


_ROUTES = (
    ("upload", re.compile(r"/v2/(.+)/blobs/uploads/([^/]*)")),
    ("manifest", re.compile(r"/v2/(.+)/manifests/([^/]+)")),
    ("blob", re.compile(r"/v2/(.+)/blobs/([^/]+)")),
    ("tags", re.compile(r"/v2/(.+)/tags/list()")),
    ("referrers", re.compile(r"/v2/(.+)/referrers/([^/]+)")),
    ("catalog", re.compile(r"/v2/_catalog()()")),
)


def route(path: str) -> Route:
    """What a path asks for. Repositories may hold words such as ``blobs``; the last match counts."""
    if path in {"/v2", "/v2/"}:
        return Route("base")
    if path == TOKEN_PATH:
        return Route("token")
    for kind, pattern in _ROUTES:
        if found := pattern.fullmatch(path):
            return Route(kind, found.group(1), found.group(2))
    return Route("unknown")

"""HTTP: requests, answers, and the policy for asking again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import attrs

from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PORTS = {"http": 80, "https": 443}
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})  # RFC 9110, section 9.2.2
_REFUSED_UNREAD = frozenset({429, 503})
"""Answers that, with a Retry-After, say that the server did not act on the request."""


@attrs.define(eq=False, slots=False)
class TransportError(Exception):
    """No usable answer came; adapters turn this into the error of their own port."""

    reason: str
    transient: bool = True
    """Whether asking again may help."""

    def __str__(self) -> str:
        return self.reason


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what must be the same for a credential to go along (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)


def _lower(headers: Mapping[str, str]) -> FrozenMap[str, str]:
    return FrozenMap((name.lower(), value) for name, value in headers.items())


@attrs.frozen
class HttpRequest:
    """One request."""

    method: str
    url: str
    headers: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    body: bytes | Iterator[bytes] | None = attrs.field(default=None, eq=False, repr=False)
    """An iterator is sent as it comes, once; ``Content-Length`` must stand in the headers then."""
    repeatable: bool | None = None
    """Whether sending it twice does no more than sending it once; None: what the method promises (RFC 9110, 9.2.2)."""

    @property
    def may_repeat(self) -> bool:
        """Whether it may be sent again without knowing what became of it."""
        return self.replayable and (self.method in _IDEMPOTENT if self.repeatable is None else self.repeatable)

    @property
    def replayable(self) -> bool:
        """Whether its body can be sent a second time at all."""
        return self.body is None or isinstance(self.body, bytes)


@attrs.frozen
class HttpResponse:
    """One answer."""

    status: int
    headers: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=_lower)
    """Names in lower case; the values of a repeated header are joined by commas."""
    body: bytes = attrs.field(default=b"", repr=False)
    """Whole, exact; of a status of 400 and above the first part only. Empty while it is being streamed."""
    url: str = ""
    """Where the answer came from, after redirects."""


@attrs.frozen
class StreamedResponse:
    """An answer whose body comes in pieces."""

    head: HttpResponse
    pieces: Iterator[bytes] = attrs.field(eq=False)
    """Empty unless the status is 200 or 206; raises ``TransportError`` when the body breaks off."""


@attrs.frozen(kw_only=True)
class Retries:
    """When a request is sent again, and how long is waited before.

    Connection failures and the listed statuses are retried for requests that may be repeated. A POST is sent again
    only when the server refused it with 429 or 503 and said when to come back.
    """

    attempts: int = attrs.field(default=4, validator=attrs.validators.ge(1))
    """How often a request is sent at most."""
    first_wait: float = attrs.field(default=0.2, validator=attrs.validators.ge(0))
    """Seconds before the second attempt; doubles with each further one, and up to half of it is taken off at random."""
    longest_wait: float = attrs.field(default=30.0, validator=attrs.validators.ge(0))
    """Seconds. A server that asks for a longer wait is not asked again; the error says how long it wanted."""
    statuses: frozenset[int] = attrs.field(default=frozenset({408, 429, 500, 502, 503, 504}), converter=frozenset)

    def wait(self, sent: int, jitter: float) -> float | None:
        """Seconds to wait before sending again after ``sent`` attempts without word from the server; None: give up.

        Args:
            sent: How often the request was sent.
            jitter: From 0 to 1, at random.
        """
        if sent >= self.attempts:
            return None
        return min(self.first_wait * 2.0 ** (sent - 1), self.longest_wait) * (1 - jitter / 2)

    def wait_for(
        self, request: HttpRequest, response: HttpResponse, sent: int, *, retry_after: float | None, jitter: float
    ) -> float | None:
        """Seconds to wait before sending again after this answer; None: the answer stands.

        Args:
            request: What was sent.
            response: What came back.
            sent: How often it was sent.
            retry_after: What the server asked for, in seconds.
            jitter: From 0 to 1, at random.
        """
        if response.status not in self.statuses or (retry_after is not None and retry_after > self.longest_wait):
            return None
        told = retry_after is not None and response.status in _REFUSED_UNREAD and request.replayable
        if not (request.may_repeat or told):
            return None
        wait = self.wait(sent, jitter)
        return wait if wait is None or retry_after is None else max(wait, retry_after)


class HttpClient(Protocol):
    """Sends requests. Raises ``TransportError`` and nothing else; every status is an answer, not an error.

    Redirects of GET and HEAD are followed; credentials never go to another scheme, host or port.
    """

    def send(self, request: HttpRequest, *, limit: int, error_limit: int) -> HttpResponse:
        """The answer with its body.

        Args:
            request: What to send.
            limit: Bytes that the body may have; more is a ``TransportError``.
            error_limit: Bytes that are read of a body whose status is 400 or above; the rest is dropped.
        """
        ...

    def stream(self, request: HttpRequest, *, error_limit: int) -> StreamedResponse:
        """The answer, its body in pieces."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...

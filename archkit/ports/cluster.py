"""Requests to the API server of one cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archkit.ports.http import HttpResponse


class ClusterApi(Protocol):
    """One signed-in way to one API server; thread-safe.

    Raises ``ClusterError`` where no answer comes, and nothing else; an answer of any status is an answer.
    """

    @property
    def name(self) -> str:
        """What a person would call it: context and server."""
        ...

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout: float = 30.0,
        repeatable: bool | None = None,
    ) -> HttpResponse:
        """One answer, whole.

        A reading request, and any other that is ``repeatable``, is sent again after a broken connection; 429 with
        ``Retry-After`` is waited for; after a 401 the credentials are read afresh, once.

        Args:
            method: Of HTTP.
            path: From the root of the server, such as ``/api/v1/nodes``, percent-encoded.
            query: Parameters.
            body: What is sent.
            content_type: Of ``body``.
            timeout: Seconds for the answer in all, waits included.
            repeatable: Whether sending it twice does no more than sending it once; None: what the method promises.
        """
        ...

    def lines(self, path: str, *, query: Mapping[str, str] | None = None, timeout: float = 30.0) -> Iterator[bytes]:
        """The lines of an answer that goes on, such as a watch, as they come.

        Ends when the server ends it, or after ``timeout`` seconds; a connection that breaks off is a ``ClusterError``,
        as is an answer other than 200 (its status in the text).
        """
        ...

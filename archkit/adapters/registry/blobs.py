"""The blobs of registries: read, looked for, uploaded, mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import attrs

from archkit.adapters.content import check, checked
from archkit.adapters.registry.answers import closing_url, session_url
from archkit.adapters.registry.challenges import Scope
from archkit.adapters.registry.limits import Limits
from archkit.adapters.registry.recent import Recent
from archkit.adapters.registry.requests import READ, RegistryRequests
from archkit.errors import RegistryError
from archkit.ports.http import HttpRequest, HttpResponse, Retries, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archkit.model.reference import Digest, ImageReference

_NOT_MOUNTED = frozenset({400, 401, 403, 404, 405})
_RESTART = frozenset({404, 500, 502, 503, 504})  # of an upload: the session is gone, or its end is not known


@attrs.frozen(repr=False)
class RegistryBlobs:
    """What the client does with blobs; each method is that of :class:`RegistryClient` with the same task."""

    requests: RegistryRequests
    limits: Limits
    retries: Retries
    recent: Recent

    def read(self, ref: ImageReference, digest: Digest, limit: int | None) -> bytes:
        """A whole blob."""
        name = f"{ref.name}@{digest}"
        response = self.requests.send("GET", ref, f"blobs/{digest}", limit=self.limits.config if limit is None else limit, name=name)
        if response.status != 200:
            raise self.requests.refused(name, ref, response)
        check(response.body, digest, None, name=name)
        return response.body

    def stream(self, ref: ImageReference, digest: Digest) -> Iterator[bytes]:
        """A blob in pieces."""
        name = f"{ref.name}@{digest}"
        streamed = self.requests.stream(ref, f"blobs/{digest}", name)
        if streamed.head.status != 200:
            raise self.requests.refused(name, ref, streamed.head)
        return checked(self._pieces(streamed.pieces, name, ref), digest, None, name=name, limit=self.limits.blob)

    def _pieces(self, pieces: Iterator[bytes], name: str, ref: ImageReference) -> Iterator[bytes]:
        try:
            yield from pieces
        except TransportError as error:
            raise self.requests.unreachable(name, ref, error) from error

    def find(self, ref: ImageReference, digest: Digest) -> HttpResponse | None:
        """What the registry says of a blob without sending it; None when it is not there."""
        name = f"{ref.name}@{digest}"
        response = self.requests.send("HEAD", ref, f"blobs/{digest}", limit=0, name=name)
        if response.status not in {200, 404}:
            raise self.requests.refused(name, ref, response)
        return response if response.status == 200 else None

    def _seems_to_have(self, ref: ImageReference, digest: Digest) -> bool:
        """Whether a blob need not be sent: Artifactory and GHCR forbid to look for what is not there."""
        try:
            return self.find(ref, digest) is not None
        except RegistryError as error:
            if error.status == 403:
                return False
            raise

    def store(self, ref: ImageReference, content: bytes | Iterator[bytes], digest: Digest, size: int) -> None:
        """Store a blob that is not there yet."""
        name = f"{ref.name}@{digest}"
        if isinstance(content, bytes):
            check(content, digest, size, name=name)
        if self._seems_to_have(ref, digest):
            return
        last = RegistryError(name, "the upload did not end")
        for _ in range(self.retries.attempts if isinstance(content, bytes) else 1):
            try:
                response = self._upload(ref, content, digest, size, name)
            except TransportError as error:
                last = self.requests.unreachable(name, ref, error)
                last.__cause__ = error
            else:
                if response.status in {200, 201, 204}:
                    self._check_stored(response, digest, name)
                    self.recent.add(ref.name, digest)
                    return
                last = self.requests.refused(name, ref, response)
                if response.status not in _RESTART:
                    raise last
            if self.find(ref, digest) is not None:  # the blob arrived, only the answer did not
                return
        raise last

    def _upload(self, ref: ImageReference, content: bytes | Iterator[bytes], digest: Digest, size: int, name: str) -> HttpResponse:
        """One upload session: opened, filled and closed, or cancelled. The answer of the last request."""
        # A session that nobody fills expires, so opening one may be repeated.
        opened = self.requests.send("POST", ref, "blobs/uploads/", headers={"Content-Length": "0"}, body=b"", repeatable=True, name=name)
        if opened.status != 202:
            raise self.requests.refused(name, ref, opened)
        session = session_url(opened)
        if session is None:
            raise RegistryError(name, "the registry opened an upload without saying where", opened.status)
        if urlsplit(session).scheme not in {"https", urlsplit(opened.url).scheme}:
            raise RegistryError(name, "the registry wants the upload over a connection that is not secure", opened.status)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        body = content if isinstance(content, bytes) else checked(content, digest, size, name=name)
        request = HttpRequest("PUT", closing_url(session, digest), headers, body, repeatable=False)
        try:
            return self.requests.send_to_session(session, request, ref, name)
        except Exception:
            self._cancel(session, ref)
            raise

    def _check_stored(self, response: HttpResponse, digest: Digest, name: str) -> None:
        stored = response.headers.get("docker-content-digest", digest)
        if stored != digest:
            raise RegistryError(name, f"the registry says that it stored {stored}", response.status)

    def _cancel(self, session: str | None, ref: ImageReference) -> None:
        """End an upload session without a blob, if the registry lets itself be told; it expires otherwise."""
        if session is None:
            return
        try:
            self.requests.send_to_session(session, HttpRequest("DELETE", session, repeatable=False), ref, str(ref), method="PUT")
        except (TransportError, RegistryError):
            return

    def mount(self, ref: ImageReference, digest: Digest, there: ImageReference) -> bool:
        """Make a blob of another repository appear here; False when refused."""
        if ref.registry != there.registry:
            return False
        name = f"{ref.name}@{digest}"
        query = urlencode({"mount": str(digest), "from": there.repository})
        try:
            response = self.requests.send(
                "POST",
                ref,
                f"blobs/uploads/?{query}",
                headers={"Content-Length": "0"},
                body=b"",
                repeatable=True,
                name=name,
                also=[Scope(there.repository, READ)],
            )
        except RegistryError as error:
            if error.status in _NOT_MOUNTED:  # the token server does not let us read the source
                return False
            raise
        if response.status == 201:
            self.recent.add(ref.name, digest)
            return True
        if response.status == 202:
            self._cancel(session_url(response), ref)
            return False
        if response.status in _NOT_MOUNTED:
            return False
        raise self.requests.refused(name, ref, response)

"""Requests to one registry after another: their addresses, what they are signed in for, and what went wrong in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from archkit.adapters.registry.answers import refused
from archkit.adapters.registry.challenges import Scope
from archkit.adapters.registry.endpoints import base_url
from archkit.adapters.registry.limits import Limits
from archkit.adapters.registry.signin import Asked, SignIn
from archkit.errors import RegistryError
from archkit.ports.http import HttpClient, HttpRequest, HttpResponse, TransportError, origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from archkit.model.reference import ImageReference
    from archkit.ports.http import StreamedResponse

READ = frozenset({"pull"})
WRITE = frozenset({"pull", "push"})
_ACTIONS = {"GET": READ, "HEAD": READ, "DELETE": WRITE | {"delete"}}


@attrs.frozen(repr=False)
class RegistryRequests:
    """What every method of the client sends through."""

    http: HttpClient
    signin: SignIn
    limits: Limits
    plain_http: frozenset[str]
    """Hosts that speak plain HTTP though they are not on this machine."""
    https: frozenset[str]
    """Hosts that speak TLS though they are on this machine."""

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def announce(self, ref: ImageReference, sources: Iterable[ImageReference]) -> None:
        """Say that the reference's repository will be written and those of ``sources`` read. No request."""
        scopes = [Scope(ref.repository, WRITE), *(Scope(source.repository, READ) for source in sources)]
        self.signin.announce(self.url(ref, ""), scopes)

    def url(self, ref: ImageReference, path: str) -> str:
        """The address of something in the reference's repository."""
        return f"{base_url(ref.registry, self.plain_http, self.https)}{ref.repository}/{path}"

    def send(
        self,
        method: str,
        ref: ImageReference,
        path: str,
        *,
        limit: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        repeatable: bool | None = None,
        name: str = "",
        also: Sequence[Scope] = (),
    ) -> HttpResponse:
        """Send a request, signed in, for the path in the reference's repository.

        Args:
            method: HTTP method; it tells what to sign in for.
            ref: Names the registry and the repository.
            path: Behind the repository, such as ``manifests/latest``.
            limit: Most bytes of the answer's body; None: of a manifest.
            headers: Beside those of the sign-in.
            body: What to send.
            repeatable: Whether it may be sent again; None: as its method says.
            name: What errors call it; empty: the reference.
            also: What to sign in for beside the repository itself.

        Raises:
            RegistryError: The registry cannot be reached, or the sign-in fails.
        """
        request = HttpRequest(method, self.url(ref, path), headers or {}, body, repeatable)
        asked = self.asked(method, ref, name or str(ref), also)
        return self.exchange(request, ref, asked, self.limits.manifest if limit is None else limit)

    def exchange(self, request: HttpRequest, ref: ImageReference, asked: Asked, limit: int) -> HttpResponse:
        """Send a request to an address that the registry gave. Raises as :meth:`send`."""
        try:
            return self.signin.send(request, asked, limit=limit, error_limit=self.limits.error_body)
        except TransportError as error:
            raise self.unreachable(asked.name, ref, error) from error

    def stream(self, ref: ImageReference, path: str, name: str) -> StreamedResponse:
        """GET something in pieces. Raises as :meth:`send`."""
        request = HttpRequest("GET", self.url(ref, path))
        try:
            return self.signin.stream(request, self.asked("GET", ref, name), error_limit=self.limits.error_body)
        except TransportError as error:
            raise self.unreachable(name, ref, error) from error

    def send_to_session(self, session: str, request: HttpRequest, ref: ImageReference, name: str, *, method: str = "") -> HttpResponse:
        """Send to an upload session: signed where the registry itself holds it, unsigned where another host does.

        Raises:
            TransportError: It broke off.
            RegistryError: The sign-in fails.
        """
        limit, error_limit = self.limits.manifest, self.limits.error_body
        if origin(session) != origin(self.url(ref, "")):
            return self.http.send(request, limit=limit, error_limit=error_limit)
        return self.signin.send(request, self.asked(method or request.method, ref, name), limit=limit, error_limit=error_limit)

    def asked(self, method: str, ref: ImageReference, name: str, also: Sequence[Scope] = ()) -> Asked:
        """What a request of this method needs to be signed in for."""
        scopes = (Scope(ref.repository, _ACTIONS.get(method, WRITE)), *also)
        return Asked(name, ref.registry, ref.repository, scopes)

    def refused(self, name: str, ref: ImageReference, response: HttpResponse) -> RegistryError:
        """The error for an answer that is none that was hoped for, without secrets."""
        url = self.url(ref, "")
        return refused(name, self.signin.scrub(response, url), self.signin.advice(url, ref.registry, ref.repository))

    def unreachable(self, name: str, ref: ImageReference, error: TransportError) -> RegistryError:
        """The error for a registry that did not answer."""
        plain = self.url(ref, "").startswith("http:")
        remedy = "" if plain or "secure" not in error.reason else f"if {ref.registry} speaks plain HTTP, name it in plain_http"
        return RegistryError(name, f"{ref.registry}: {error.reason}", remedy=remedy)

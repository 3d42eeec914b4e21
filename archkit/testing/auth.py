"""Sign-in for the embedded registry: by name and password, or by tokens that it hands out itself.

Sources: RFC 7617 and 6750; the distribution project's token authentication specification.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs

import attrs

from archkit.model.secret import Secret
from archkit.ports.credentials import Login
from archkit.testing.messages import TOKEN_PATH, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archkit.testing.messages import Request, Route

_JSON = "application/json"
_PULL = frozenset({"pull"})
_PUSH = frozenset({"pull", "push"})


class Auth(Protocol):
    """How an embedded registry wants to be signed in to."""

    def check(self, request: Request, route: Route, url: str) -> Response | None:
        """The refusal of a request; None where it may go on.

        Args:
            request: What came.
            route: What it asks for.
            url: Of the registry.
        """
        ...

    def token(self, request: Request) -> Response | None:
        """The answer of the token server; None where there is none."""
        ...

    def login(self) -> Login:
        """What to sign in with."""
        ...

    def who(self, request: Request) -> str:
        """The name that a request is signed with; empty where it is signed with none that is known."""
        ...


def needed(request: Request, route: Route) -> dict[str, frozenset[str]]:
    """Actions by repository that a request needs, as the distribution project's registry asks for them."""
    if not route.repository:
        return {}
    if request.method in {"GET", "HEAD"}:
        return {route.repository: _PULL}
    if request.method == "DELETE" and route.kind != "upload":
        return {route.repository: frozenset({"delete"})}
    wanted = {route.repository: _PUSH}
    source = request.query.get("from")
    if route.kind == "upload" and source and source != route.repository:
        wanted[source] = _PULL
    return wanted


@attrs.frozen
class BasicAuth:
    """Every request needs a name and a password."""

    username: str = "user"
    password: Secret = attrs.field(default=Secret("password"), converter=Secret)
    realm: str = "embedded registry"

    def check(self, request: Request, route: Route, url: str) -> Response | None:  # noqa: ARG002 - the protocol's
        """See :meth:`Auth.check`."""
        if _pair(request) == (self.username, self.password.reveal()):
            return None
        return _refusal(f'Basic realm="{self.realm}"', "UNAUTHORIZED", "authentication required")

    def token(self, request: Request) -> Response | None:  # noqa: ARG002 - the protocol's
        """There is no token server."""
        return None

    def login(self) -> Login:
        """See :meth:`Auth.login`."""
        return Login(self.username, self.password)

    def who(self, request: Request) -> str:
        """See :meth:`Auth.who`."""
        return self.username if _pair(request) == (self.username, self.password.reveal()) else ""


@attrs.define
class Grant:
    """A token that was handed out."""

    value: Secret = attrs.field(converter=Secret)
    scopes: tuple[str, ...]
    """As they were asked for, in that order."""
    actions: dict[str, frozenset[str]]
    """What it allows, by repository."""
    username: str
    """Empty for one that was given without a name."""
    until: float


class BearerAuth:
    """Every request needs a token of the registry's own token server, at ``/token``.

    Args:
        username: Who gets tokens that allow everything.
        password: With that.
        identity_token: Is exchanged for tokens like the password; empty: there is none.
        anonymous: What tokens allow that are given without a name, in every repository.
        expires_in: Seconds that a token is good for; None: 60, and the answer does not say so.
        post: Whether identity tokens are taken by POST; otherwise the answer to it is 404, as GCR gives it.
        service: What the token server calls the registry.
    """

    def __init__(
        self,
        username: str = "user",
        password: str = "password",  # noqa: S107 - of a registry in a test
        *,
        identity_token: str = "",
        anonymous: Iterable[str] = (),
        expires_in: float | None = 300,
        post: bool = True,
        service: str = "embedded registry",
    ) -> None:
        self.username = username
        self.password: Secret = Secret(password)
        self.identity_token: Secret = Secret(identity_token)
        self.anonymous: frozenset[str] = frozenset(anonymous)
        self.expires_in = expires_in
        self.post = post
        self.service = service
        self.grants: list[Grant] = []
        """Every token so far, in order."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"BearerAuth({self.username!r})"

    def revoke(self) -> None:
        """End every token that was handed out."""
        with self._lock:
            for grant in self.grants:
                grant.until = 0

    def check(self, request: Request, route: Route, url: str) -> Response | None:
        """See :meth:`Auth.check`."""
        wanted, grant, error = needed(request, route), self._granted(request), ""
        if grant is not None and grant.until > time.monotonic():
            if all(grant.actions.get(name, frozenset()) >= actions for name, actions in wanted.items()):
                return None
            error = "insufficient_scope"
        elif request.headers.get("authorization"):
            error = "invalid_token"
        scope = " ".join(f"repository:{name}:{','.join(sorted(actions))}" for name, actions in wanted.items())
        parameters = {"realm": f"{url}{TOKEN_PATH}", "service": self.service, "scope": scope, "error": error}
        challenge = ",".join(f'{name}="{text}"' for name, text in parameters.items() if text)
        return _refusal(f"Bearer {challenge}", "DENIED" if error == "insufficient_scope" else "UNAUTHORIZED", "authentication required")

    def token(self, request: Request) -> Response | None:
        """See :meth:`Auth.token`."""
        if request.method == "POST":
            if not self.post:
                return Response(404)
            form = parse_qs(request.body.decode("utf-8", "replace"))
            given = form.get("refresh_token", [""])[0]
            if not self.identity_token or given != self.identity_token.reveal() or form.get("grant_type") != ["refresh_token"]:
                return Response(401, {"Content-Type": _JSON}, b'{"details":"the refresh token is not known"}')
            return self._grant(form.get("scope", [""])[0].split(), self.username, "access_token")
        query = parse_qs(request.target.partition("?")[2])
        scopes = [word for scope in query.get("scope", ()) for word in scope.split()]
        if "authorization" not in request.headers:
            return self._grant(scopes, "", "token")
        secrets_ = {self.password.reveal(), self.identity_token.reveal()} - {""}
        username, password = _pair(request) or ("", "")
        if username != self.username or password not in secrets_:
            return Response(401, {"Content-Type": _JSON}, b'{"details":"incorrect username or password"}')
        return self._grant(scopes, username, "token")

    def login(self) -> Login:
        """See :meth:`Auth.login`."""
        return Login(self.username, self.password, identity_token=self.identity_token)

    def who(self, request: Request) -> str:
        """See :meth:`Auth.who`."""
        grant = self._granted(request)
        if grant is not None:
            return grant.username
        return self.username if _pair(request) == (self.username, self.password.reveal()) else ""

    def _granted(self, request: Request) -> Grant | None:
        """What the token of a request was given for."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        with self._lock:
            return next((each for each in self.grants if each.value.reveal() == value and scheme.lower() == "bearer"), None)

    def _grant(self, scopes: list[str], username: str, field: str) -> Response:
        actions: dict[str, frozenset[str]] = {}
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, words = rest.rpartition(":")
            asked = frozenset(words.split(","))
            if kind == "repository":
                actions[name] = actions.get(name, frozenset()) | (asked if username else asked & self.anonymous)
        life = 60.0 if self.expires_in is None else self.expires_in
        grant = Grant(secrets.token_urlsafe(24), tuple(scopes), actions, username, time.monotonic() + life)
        with self._lock:
            self.grants.append(grant)
        answer: dict[str, object] = {field: grant.value.reveal()}
        if self.expires_in is not None:
            answer["expires_in"] = self.expires_in
        return Response(200, {"Content-Type": _JSON}, json.dumps(answer).encode())


def _refusal(challenge: str, code: str, message: str) -> Response:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Response(401, {"Content-Type": _JSON, "WWW-Authenticate": challenge}, body)


def _pair(request: Request) -> tuple[str, str] | None:
    """Name and password that a request brings."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        username, colon, password = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
    except ValueError:
        return None
    return (username, password) if colon else None


if TYPE_CHECKING:
    _basic: type[Auth] = BasicAuth
    _bearer: type[Auth] = BearerAuth

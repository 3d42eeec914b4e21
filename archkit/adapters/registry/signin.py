"""Sign-in to registries over any HTTP client: nothing is sent unasked, one token serves all that was announced.

The first request of a registry carries no credentials. Its 401 says how to sign in; that is remembered, so later
requests bring what is wanted along. Credentials go to the registry that they are for and to the token server that it
names, and nowhere else.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

import attrs

from archkit.adapters.registry.answers import what_was_said
from archkit.adapters.registry.challenges import Scope, covered, merge_scopes, read_challenges, read_scopes
from archkit.adapters.registry.tokens import Token, TokenSource, asking, basic, bearer, read_token, refreshing
from archkit.errors import RegistryError
from archkit.model.secret import Secret
from archkit.ports.credentials import Login
from archkit.ports.http import TransportError, origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from archkit.ports.credentials import Credentials
    from archkit.ports.http import HttpClient, HttpRequest, HttpResponse, StreamedResponse

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_ROUNDS = 3  # without a name or with what is remembered, with a new token, with a token of more scopes
_NO_REFRESH = frozenset({400, 401, 404, 405})
"""Answers of token servers that know no refresh tokens: GCR 404, JFrog 401, the specification's GET-only ones 405."""


@attrs.frozen
class Asked:
    """What a request is about."""

    name: str
    """Of the image, for messages."""
    registry: str
    repository: str
    scopes: tuple[Scope, ...]
    """What a token must allow for it."""


@attrs.frozen
class _Signature:
    """What a request is signed with."""

    header: Secret
    token: Token | None = None
    source: TokenSource | None = None
    fresh: bool = False
    """Whether it was made for this very request: another one would fare no better."""


@attrs.define
class _Site:
    """What is known of one registry."""

    lock: threading.RLock = attrs.field(factory=threading.RLock)
    first: threading.Lock = attrs.field(factory=threading.Lock)
    """Held while nothing is known yet and the first answer is awaited."""
    scheme: str | None = None
    """``basic``, ``bearer``, or ``none`` while it has asked for nothing; None: it has not answered yet."""
    source: TokenSource | None = None
    tokens: list[Token] = attrs.field(factory=list)
    logins: dict[str, Login | None] = attrs.field(factory=dict)
    """By repository."""
    announced: dict[str, tuple[Scope, ...]] = attrs.field(factory=dict)
    """By repository: all that the work it belongs to needs."""


class SignIn:
    """Sends requests signed; thread-safe.

    Args:
        http: What sends them.
        credentials: Who knows how to sign in; None: nobody does.
        token_limit: Bytes that a token server's answer may have.
        error_limit: Bytes that are read of its errors.
        clock: Seconds, for the life of tokens.
    """

    def __init__(
        self,
        http: HttpClient,
        credentials: Credentials | None,
        *,
        token_limit: int,
        error_limit: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._credentials = credentials
        self._token_limit = token_limit
        self._error_limit = error_limit
        self._clock = clock
        self._lock = threading.Lock()
        self._sites: dict[tuple[str, str, int], _Site] = {}

    def announce(self, url: str, scopes: Iterable[Scope]) -> None:
        """Say what the work at hand needs of a registry, so that one token serves all of it."""
        merged = merge_scopes(scopes)
        site = self._site(url)
        with site.lock:
            site.announced.update((scope.name, merged) for scope in merged)

    def send(self, request: HttpRequest, asked: Asked, *, limit: int, error_limit: int) -> HttpResponse:
        """As :meth:`archkit.ports.http.HttpClient.send`, signed.

        Raises:
            RegistryError: The credentials cannot be had, or the token server refuses them.
        """
        return self._signed(request, asked, lambda signed: self._http.send(signed, limit=limit, error_limit=error_limit), lambda head: head)

    def stream(self, request: HttpRequest, asked: Asked, *, error_limit: int) -> StreamedResponse:
        """As :meth:`archkit.ports.http.HttpClient.stream`, signed."""
        return self._signed(
            request, asked, lambda signed: self._http.stream(signed, error_limit=error_limit), lambda streamed: streamed.head
        )

    def advice(self, url: str, registry: str, repository: str) -> str:
        """What to do when the registry at this address refuses."""
        login = self._site(url).logins.get(repository)
        return _advice(registry, login)

    def scrub(self, response: HttpResponse, url: str, *more: Secret) -> HttpResponse:
        """An error answer without the secrets that it may repeat."""
        if response.status < 400 or not response.body:
            return response
        site = self._site(url)
        with site.lock:
            logins = [login for login in site.logins.values() if login is not None]
            secrets = [*more, *(token.value for token in site.tokens)]
        for login in logins:
            secrets += [login.password, login.identity_token, login.registry_token, basic(login)]
        body = response.body
        for secret in sorted({_bare(secret) for secret in secrets}, key=len, reverse=True):
            body = body.replace(secret.encode(), b"***") if secret else body
        return attrs.evolve(response, body=body)

    # ---- one request --------------------------------------------------------------------------------------------

    def _signed(self, request: HttpRequest, asked: Asked, once: Callable[[HttpRequest], _T], head_of: Callable[[_T], HttpResponse]) -> _T:
        site = self._site(request.url)
        with self._awaiting_first(site, asked):
            used = self._known(site, asked)
            for left in reversed(range(_ROUNDS)):
                result = once(_with(request, used))
                head = head_of(result)
                if head.status != 401:
                    with site.lock:
                        site.scheme = site.scheme or "none"
                    return result
                elsewhere = origin(head.url or request.url) != origin(request.url)
                again = None if elsewhere or not left or not request.replayable else self._challenged(site, asked, head, used)
                if again is None:
                    return result
                used = again
        raise AssertionError  # the last round returned

    def _awaiting_first(self, site: _Site, asked: Asked) -> AbstractContextManager[object]:
        """Holds others back while the first answer is awaited, where there seems to be a login: one 401 is enough."""
        if site.scheme is not None or self._credentials is None or not self._credentials.knows(asked.registry, asked.repository):
            return nullcontext()
        site.first.acquire()
        if site.scheme is None:
            return _Held(site.first)
        site.first.release()
        return nullcontext()

    def _known(self, site: _Site, asked: Asked) -> _Signature | None:
        """What a request is signed with before it is refused."""
        with site.lock:
            if site.scheme == "bearer" and site.source is not None:
                return self._token(site, site.source, asked, asked.scopes)
            login = self._login(site, asked) if site.scheme == "basic" else None
            return None if login is None else _Signature(basic(login))

    def _challenged(self, site: _Site, asked: Asked, head: HttpResponse, used: _Signature | None) -> _Signature | None:
        """What to sign with after a 401; None where nothing would help."""
        ways = {challenge.scheme: challenge.parameters for challenge in reversed(read_challenges(head.headers.get("www-authenticate", "")))}
        with site.lock:
            wanted = ways.get("bearer")
            if wanted is not None and wanted.get("realm"):
                realm = urljoin(head.url, wanted["realm"])
                _check_realm(realm, head.url, asked)
                source = TokenSource(realm, wanted.get("service", ""))
                scopes = merge_scopes(asked.scopes, read_scopes(wanted.get("scope", "")))
                return self._new_token(site, source, asked, scopes, used)
            if "basic" not in ways:
                return None
            site.logins.pop(asked.repository, None)
            login = self._login(site, asked)
            if login is None or (used is not None and used.header.reveal() == basic(login).reveal()):
                return None
            site.scheme = "basic"
            return _Signature(basic(login), fresh=True)

    def _new_token(
        self, site: _Site, source: TokenSource, asked: Asked, scopes: tuple[Scope, ...], used: _Signature | None
    ) -> _Signature | None:
        site.scheme, site.source = "bearer", source
        if used is not None and used.token is not None:
            if used.fresh and used.source == source and covered(scopes, used.token.scopes):
                return None
            site.tokens = [token for token in site.tokens if token is not used.token]
        made = self._token(site, source, asked, scopes)
        return None if used is not None and made.header.reveal() == used.header.reveal() else made

    # ---- tokens -------------------------------------------------------------------------------------------------

    def _token(self, site: _Site, source: TokenSource, asked: Asked, scopes: tuple[Scope, ...]) -> _Signature:
        """A token for these scopes: one that is there, or a new one for all that was announced with them."""
        now = self._clock()
        for token in site.tokens:
            if token.until > now and covered(scopes, token.scopes):
                return _Signature(bearer(token.value), token, source)
        login = self._login(site, asked)
        if login is not None and login.registry_token:
            return _Signature(bearer(login.registry_token))
        announced = (site.announced.get(scope.name, ()) for scope in scopes)
        made = self._fetched(source, merge_scopes(scopes, *announced), asked, login)
        site.tokens = [*(token for token in site.tokens if token.until > now), made]
        return _Signature(bearer(made.value), made, source, fresh=True)

    def _fetched(self, source: TokenSource, scopes: tuple[Scope, ...], asked: Asked, login: Login | None) -> Token:
        _log.debug("asking %s for a token for %s as %s", _plain(source.realm), " ".join(map(str, scopes)), _who(login))
        if login is not None and login.identity_token:
            response = self._ask(refreshing(source, scopes, login), source, asked)
            if response.status not in _NO_REFRESH:
                return self._read(response, source, scopes, asked, login)
        return self._read(self._ask(asking(source, scopes, login), source, asked), source, scopes, asked, login)

    def _ask(self, request: HttpRequest, source: TokenSource, asked: Asked) -> HttpResponse:
        try:
            return self._http.send(request, limit=self._token_limit, error_limit=self._error_limit)
        except TransportError as error:
            failed = RegistryError(asked.name, f"sign-in at {_plain(source.realm)} failed: {error.reason}")
            raise failed from error.with_traceback(None)  # its frames hold what was sent

    def _read(self, response: HttpResponse, source: TokenSource, scopes: tuple[Scope, ...], asked: Asked, login: Login | None) -> Token:
        if response.status == 200:
            token = read_token(response.body, scopes, now=self._clock())
            if token is not None:
                return token
            raise RegistryError(asked.name, f"sign-in at {_plain(source.realm)} failed: the answer holds no token", response.status)
        secrets = () if login is None else (login.password, login.identity_token, basic(login))
        codes, said = what_was_said(self.scrub(response, source.realm, *secrets))
        reason = f"sign-in at {_plain(source.realm)} as {_who(login)} was refused"
        raise RegistryError(asked.name, f"{reason}: {said}" if said else reason, response.status, codes, _advice(asked.registry, login))

    def _login(self, site: _Site, asked: Asked) -> Login | None:
        if asked.repository not in site.logins:
            found = None if self._credentials is None else self._credentials.find(asked.registry, asked.repository)
            site.logins[asked.repository] = found
        return site.logins[asked.repository]

    def _site(self, url: str) -> _Site:
        with self._lock:
            return self._sites.setdefault(origin(url), _Site())


class _Held:
    """A lock that is released at the end of the block."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        """It is held already."""

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _with(request: HttpRequest, used: _Signature | None) -> HttpRequest:
    if used is None:
        return request
    return attrs.evolve(request, headers={**request.headers, "Authorization": used.header})


def _bare(secret: Secret) -> str:
    """A secret without the scheme of a header."""
    return secret.reveal().removeprefix("Basic ").removeprefix("Bearer ")


def _check_realm(realm: str, url: str, asked: Asked) -> None:
    """Credentials must not leave an encrypted connection for one that is not."""
    wanted, at = urlsplit(realm), urlsplit(url)
    if wanted.scheme not in {"https", at.scheme} or not wanted.hostname:
        raise RegistryError(
            asked.name,
            f"the registry wants the sign-in at {_plain(realm)}, which is refused",
            401,
            remedy="nothing was sent there; the registry must name a token server with https",
        )


def _plain(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _who(login: Login | None) -> str:
    if login is None:
        return "nobody"
    return repr(login.username) if login.username else "the owner of a token"


def _advice(registry: str, login: Login | None) -> str:
    if login is None:
        return f"sign in with `docker login {registry}`, or hand `credentials` to the RegistryClient"
    source = f" from {login.source}" if login.source else ""
    return f"signed in as {_who(login)}{source}, who may not do this; check the rights, or sign in again with `docker login {registry}`"

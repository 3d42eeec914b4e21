"""Access tokens: Application Default Credentials by google-auth, of which this is the only importer, or one at hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from archkit.errors import ToolNotFoundError
from archkit.model.secret import Secret
from archkit.ports.http import HttpClient, HttpRequest, TransportError

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_LIMIT = 1 << 20
_INSTALL = "install it with `pip install 'archkit[cloudbuild]'`"
_SIGN_IN = "sign in with `gcloud auth application-default login`, or let GOOGLE_APPLICATION_CREDENTIALS name a key file"


@attrs.define(eq=False, slots=False)
class SignInError(Exception):
    """There are no credentials, or they are not good any more."""

    reason: str
    remedy: str = _SIGN_IN


class GoogleCredentials(Protocol):
    """Who is asked for access to Google Cloud; thread-safe."""

    def headers(self, http: HttpClient, *, renew: bool = False) -> Mapping[str, str]:
        """What goes along with a request: ``Authorization``, and what the credentials want besides.

        Args:
            http: Sends what is asked on the way.
            renew: The last ones were refused.

        Raises:
            SignInError: There are none.
            ToolNotFoundError: google-auth is not installed.
        """
        ...


@attrs.frozen
class GoogleAccessToken:
    """A token at hand, such as that of ``gcloud auth print-access-token``; it holds for an hour."""

    token: Secret = attrs.field(converter=Secret)

    def headers(self, http: HttpClient, *, renew: bool = False) -> Mapping[str, str]:  # noqa: ARG002 - of the port
        """See :meth:`GoogleCredentials.headers`."""
        if renew:
            raise SignInError("the access token was refused; it may have expired", "give a new one, or none, to use your own sign-in")
        return {"Authorization": Secret(f"Bearer {self.token.reveal()}")}


class ApplicationDefault:
    """Application Default Credentials: what ``gcloud auth application-default login`` left, a key file, or the machine's own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credentials: Any = None

    def headers(self, http: HttpClient, *, renew: bool = False) -> Mapping[str, str]:
        """See :meth:`GoogleCredentials.headers`."""
        auth, exceptions = _google_auth()
        transport = _Transport(http, exceptions.TransportError)
        problem, headers = "", dict[str, str]()
        with self._lock:
            try:
                if self._credentials is None:
                    self._credentials, _ = auth.default(scopes=[SCOPE], request=transport)
                if renew or not self._credentials.valid:
                    self._credentials.refresh(transport)
                self._credentials.apply(headers)
            except exceptions.DefaultCredentialsError:
                raise SignInError("nobody is signed in to Google Cloud here (no Application Default Credentials)") from None
            except exceptions.GoogleAuthError as error:
                problem = type(error).__name__
        if problem:  # outside: what google-auth raises may hold tokens in its frames and texts
            raise SignInError(f"the Application Default Credentials give no access ({problem})")
        return {name: Secret(value) if name.lower() == "authorization" else value for name, value in headers.items()}


def _google_auth() -> tuple[Any, Any]:
    try:
        import google.auth
        import google.auth.exceptions
    except ImportError as error:
        raise ToolNotFoundError("google-auth", _INSTALL) from error
    return google.auth, google.auth.exceptions


@attrs.frozen
class _Answer:
    """As google-auth wants it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


@attrs.frozen
class _Transport:
    """google-auth's requests, sent as all others are."""

    http: HttpClient
    failed: Callable[[str], Exception]

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the client has its own
        **_: object,
    ) -> _Answer:
        content = body.encode() if isinstance(body, str) else body
        try:
            answer = self.http.send(HttpRequest(method, url, headers or {}, content), limit=_LIMIT, error_limit=_LIMIT)
        except TransportError as error:
            raise self.failed(error.reason) from None
        return _Answer(answer.status, answer.headers, answer.body)


if TYPE_CHECKING:
    _tokens: type[GoogleCredentials] = GoogleAccessToken
    _defaults: type[GoogleCredentials] = ApplicationDefault

"""Authorized requests to Google's REST APIs, and what comes back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from archkit.adapters.google.signin import GoogleCredentials
from archkit.planning.cloudbuild_errors import ApiFailure, Doing, read_failure
from archkit.ports.http import HttpClient, HttpRequest, HttpResponse, TransportError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_LIMIT = 8 << 20
_ERROR_LIMIT = 64 * 1024
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
OK: Collection[int] = (200,)


@attrs.define(eq=False, slots=False)
class ApiError(Exception):
    """An answer that is no success."""

    failure: ApiFailure

    def __str__(self) -> str:
        return self.failure.message


def is_local(url: str) -> bool:
    """Whether an address is on this machine."""
    return (urlsplit(url).hostname or "") in _LOOPBACK


@attrs.frozen
class Api:
    """One of Google's APIs. Raises ``ApiError``, ``SignInError`` and ``TransportError``."""

    url: str
    """``https://HOST``."""
    http: HttpClient
    tokens: GoogleCredentials

    def ask(
        self,
        doing: Doing,
        method: str,
        path: str,
        *,
        fields: Mapping[str, Any] | None = None,
        good: Collection[int] = OK,
        repeatable: bool | None = None,
    ) -> dict[str, Any]:
        """The answer's JSON; empty where it has none."""
        body = None if fields is None else json.dumps(fields).encode()
        answer = self.send(doing, method, path, body=body, good=good, repeatable=repeatable)
        try:
            found = json.loads(answer.body) if answer.body.strip() else {}
        except ValueError as error:
            raise TransportError("the answer is no JSON") from error
        if not isinstance(found, dict):
            raise TransportError("the answer is no JSON object")
        return found

    def send(
        self,
        doing: Doing,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        good: Collection[int] = OK,
        repeatable: bool | None = None,
    ) -> HttpResponse:
        """The answer, of one of the statuses that are good; once more with a new token where the old one has expired.

        Args:
            doing: For the error.
            method: Of HTTP.
            path: With its query; or a whole URL of the same host, as an upload is given one.
            body: JSON, unless the headers say otherwise.
            headers: Besides those of the token.
            good: Other statuses are errors.
            repeatable: See :class:`~archkit.ports.http.HttpRequest`.
        """
        url = path if path.startswith(("http://", "https://")) else f"{self.url}{path}"
        if not url.startswith("https://") and not is_local(url):
            raise TransportError(f"{urlsplit(url).netloc} is asked without TLS, and no token goes there", transient=False)
        if urlsplit(url).netloc != urlsplit(self.url).netloc:
            raise TransportError(f"{urlsplit(url).netloc} is another host than {self.url}, and no token goes there", transient=False)
        kind = {"Content-Type": "application/json; charset=utf-8"} if body is not None else {}
        answer = self._once(method, url, body, {**kind, **(headers or {})}, repeatable, renew=False)
        if answer.status == 401:
            answer = self._once(method, url, body, {**kind, **(headers or {})}, repeatable, renew=True)
        if answer.status not in good:
            raise ApiError(read_failure(doing, answer.status, answer.body))
        return answer

    def _once(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        repeatable: bool | None,
        *,
        renew: bool,
    ) -> HttpResponse:
        all_headers = {**headers, **self.tokens.headers(self.http, renew=renew)}
        return self.http.send(HttpRequest(method, url, all_headers, body, repeatable), limit=_LIMIT, error_limit=_ERROR_LIMIT)

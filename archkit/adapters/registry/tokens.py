"""Bearer tokens: how one is asked for, and what the answer says. Pure functions from value to value.

Source: the distribution project's token authentication specification, and its OAuth 2 part for identity tokens.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import attrs

from archkit.adapters.registry.challenges import Scope
from archkit.model.secret import Secret
from archkit.ports.http import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.ports.credentials import Login

_CLIENT = "archkit"
_DEFAULT_LIFE = 60.0  # seconds, where the answer says nothing
_LONGEST_LIFE = 7 * 24 * 3600.0
_MARGIN = 0.9
"""The part of its life for which a token is used: it must not end between here and there."""


@attrs.frozen
class TokenSource:
    """Where a registry sends those who want a token."""

    realm: str
    service: str = ""


@attrs.frozen
class Token:
    """A bearer token."""

    value: Secret
    scopes: tuple[Scope, ...]
    """What was asked for; the server may have granted less."""
    until: float
    """When it is not used any more, on the clock of the call that read it."""


def basic(login: Login) -> Secret:
    """The ``Authorization`` header of a login (RFC 7617)."""
    password = login.password or login.identity_token
    pair = f"{login.username}:{password.reveal()}".encode()
    return Secret(f"Basic {base64.b64encode(pair).decode('ascii')}")


def bearer(token: Secret) -> Secret:
    """The ``Authorization`` header of a token (RFC 6750)."""
    return Secret(f"Bearer {token.reveal()}")


def asking(source: TokenSource, scopes: Sequence[Scope], login: Login | None) -> HttpRequest:
    """The request for a token: signed in by name and password, or without a name."""
    parts = urlsplit(source.realm)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if source.service:
        query.append(("service", source.service))
    query.extend(("scope", str(scope)) for scope in scopes)
    headers = {} if login is None else {"Authorization": basic(login)}
    return HttpRequest("GET", urlunsplit(parts._replace(query=urlencode(query), fragment="")), headers)


def refreshing(source: TokenSource, scopes: Sequence[Scope], login: Login) -> HttpRequest:
    """The request that exchanges an identity token for a token. It may be repeated: a second token harms nobody."""
    form = {
        "grant_type": "refresh_token",
        "service": source.service,
        "client_id": _CLIENT,
        "scope": " ".join(map(str, scopes)),
        "refresh_token": login.identity_token.reveal(),
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return HttpRequest("POST", source.realm, headers, Secret(urlencode(form)).encode(), repeatable=True)


def read_token(body: bytes, scopes: Sequence[Scope], *, now: float) -> Token | None:
    """The token in an answer; None where there is none.

    Args:
        body: Of the answer.
        scopes: What was asked for.
        now: When the answer came, seconds of any clock. Its own time stamps are not looked at: clocks differ.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    value = fields.get("token") or fields.get("access_token")
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return None
    life = fields.get("expires_in")
    seconds = float(life) if isinstance(life, (int, float)) and 0 <= life <= _LONGEST_LIFE else _DEFAULT_LIFE
    return Token(Secret(value), tuple(scopes), now + seconds * _MARGIN)

"""What stands in the files that ``docker login`` and ``podman login`` write. Pure: text in, value out.

Sources: docker/cli ``cli/config/configfile``, containers-auth.json(5).
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import attrs

from archkit.model.frozen import FrozenMap
from archkit.model.reference import DOCKER_HUB
from archkit.model.secret import Secret
from archkit.ports.credentials import Login, prefixes

HUB_KEY = "https://index.docker.io/v1/"
"""What Docker calls Docker Hub, in its files and towards credential helpers."""
_HUB_HOSTS = frozenset({"index.docker.io", "registry-1.docker.io"})
_API_PATHS = frozenset({"v1", "v2"})


@attrs.frozen
class AuthFile:
    """The logins of one file, and the programs that know others."""

    logins: FrozenMap[str, Login | None]
    """By registry, or registry and the beginning of a path; None where a program holds the login."""
    helpers: FrozenMap[str, str]
    """Which program knows about a registry."""
    store: str = ""
    """The program that knows about every other registry."""

    def login(self, registry: str, repository: str) -> Login | None:
        """The login that stands in the file itself; the longest path counts."""
        return next((found for key in prefixes(registry, repository) if (found := self.logins.get(key)) is not None), None)

    def lists(self, registry: str, repository: str) -> bool:
        """Whether the file names this registry at all."""
        return any(key in self.logins or key in self.helpers for key in prefixes(registry, repository))

    def programs(self, registry: str, repository: str) -> list[tuple[str, str]]:
        """The programs to ask, the one for this registry first, and what each calls the registry."""
        own = [(self.helpers[key], server_name(key)) for key in prefixes(registry, repository) if key in self.helpers]
        return [*own[:1], *([(self.store, server_name(registry))] if self.store else [])]


def server_name(registry: str) -> str:
    """What a credential helper calls a registry."""
    return HUB_KEY if registry == DOCKER_HUB else registry


def registry_key(key: str) -> str:
    """The registry, or registry and path, that a key of a file means.

    Docker writes keys with a scheme and a path of its API, podman with the beginning of a repository's path.

    >>> registry_key("https://index.docker.io/v1/"), registry_key("https://ghcr.io"), registry_key("ghcr.io/team")
    ('docker.io', 'ghcr.io', 'ghcr.io/team')
    """
    scheme, mark, rest = key.partition("://")
    host, _, path = (rest if mark else scheme).partition("/")
    path = path.strip("/")
    if mark or path in _API_PATHS:
        path = ""
    host = DOCKER_HUB if host in _HUB_HOSTS else host
    return f"{host}/{path}" if path else host


def parse_auth_file(content: str | bytes, source: str) -> AuthFile | str:
    """The logins in a file; a text that says what is wrong where there are none, without a word of the content.

    Args:
        content: Of the file.
        source: Its name, which the logins carry.
    """
    try:
        fields = json.loads(content)
    except json.JSONDecodeError as error:
        return f"not JSON (line {error.lineno}, column {error.colno})"
    except (ValueError, RecursionError):
        return "not JSON"
    if not isinstance(fields, dict):
        return "not a JSON object"
    auths, helpers, store = fields.get("auths") or {}, fields.get("credHelpers") or {}, fields.get("credsStore") or ""
    if not isinstance(auths, dict) or not isinstance(helpers, dict) or not isinstance(store, str):
        return "auths and credHelpers must be objects, credsStore a text"
    if not all(isinstance(name, str) for name in helpers.values()):
        return "credHelpers must name a program for every registry"
    logins: dict[str, Login | None] = {}
    for key in sorted(auths, key=lambda key: registry_key(key) != key):  # one written plainly counts before another spelling
        login = _login(auths[key], source)
        if isinstance(login, str):
            return f"auths, {key}: {login}"
        name = registry_key(key)
        logins[name] = logins.get(name) or login
    return AuthFile(FrozenMap(logins), FrozenMap({registry_key(key): name for key, name in helpers.items()}), store)


def _login(entry: Any, source: str) -> Login | str | None:
    """The login of an entry, None where it is empty, or what is wrong with it."""
    if not isinstance(entry, dict):
        return "not an object"
    names = ("username", "password", "auth", "identitytoken", "registrytoken")
    if any(not isinstance(entry.get(name) or "", str) for name in names):
        return f"{', '.join(names)} must be texts"
    username, password, auth, identity, registry = (entry.get(name) or "" for name in names)
    if auth:
        pair = _decoded(auth)
        if pair is None:
            return "auth is not the base64 form of NAME:PASSWORD"
        username, password = pair
    if not (username or password or identity or registry):
        return None
    return Login(username, password, identity_token=identity, registry_token=registry, source=source)


def _decoded(auth: str) -> tuple[str, str] | None:
    """Name and password; old clients of Docker left NUL bytes behind the password."""
    try:
        username, colon, password = base64.b64decode("".join(auth.split()), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return (username, password.rstrip("\x00")) if colon else None


def parse_helper_answer(content: bytes, source: str) -> Login | None:
    """The login that a credential helper prints; None where it prints none.

    Source: docker/docker-credential-helpers; the name ``<token>`` says that the secret is an identity token.
    """
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    username, secret = fields.get("Username"), fields.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str) or not secret:
        return None
    if username == "<token>":
        return Login(username, identity_token=Secret(secret), source=source)
    return Login(username, Secret(secret), source=source)

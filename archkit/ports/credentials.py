"""Sign-in to registries: who says with what, and the value it says it with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from archkit.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING = Secret()


@attrs.frozen
class Login:
    """What somebody signs in to a registry with; none of the secrets shows in ``repr()``, logs or tracebacks.

    >>> Login("bob", "hunter2")
    Login(username='bob', password='***', identity_token='', registry_token='', source='')
    """

    username: str = ""
    password: Secret = attrs.field(default=_NOTHING, converter=Secret)
    """Or an access token that the registry takes in place of one."""
    identity_token: Secret = attrs.field(default=_NOTHING, converter=Secret, kw_only=True)
    """A refresh token (OAuth 2), which is exchanged for access tokens; it counts before the password."""
    registry_token: Secret = attrs.field(default=_NOTHING, converter=Secret, kw_only=True)
    """A token that the registry takes as it is; it counts before everything else."""
    source: str = attrs.field(default="", kw_only=True, eq=False)
    """Where it comes from, for messages."""


class Credentials(Protocol):
    """Who knows how to sign in. Raises ``RegistryError`` and nothing else."""

    def knows(self, registry: str, repository: str) -> bool:
        """Whether there seems to be a login, told without starting a program or asking a network.

        Where there is, the first answer of the registry is awaited before further requests, so that one of them alone
        learns how to sign in.
        """
        ...

    def find(self, registry: str, repository: str) -> Login | None:
        """What to sign in with; None: without a name.

        Args:
            registry: Host and port as in an image reference; Docker Hub is ``docker.io``.
            repository: Path of the repository.
        """
        ...


class StaticCredentials:
    """Logins that the program knows itself.

    >>> StaticCredentials({"ghcr.io": Login("bob", "hunter2")}).find("ghcr.io", "team/app").username
    'bob'

    Args:
        logins: By registry, or by registry and the beginning of a path (``ghcr.io/team``); the longest that fits counts.
    """

    def __init__(self, logins: Mapping[str, Login]) -> None:
        self._logins = {key.rstrip("/"): login for key, login in logins.items()}

    def __repr__(self) -> str:
        return f"StaticCredentials({sorted(self._logins)})"

    def knows(self, registry: str, repository: str) -> bool:
        """See :meth:`Credentials.knows`."""
        return self.find(registry, repository) is not None

    def find(self, registry: str, repository: str) -> Login | None:
        """See :meth:`Credentials.find`."""
        return next((self._logins[key] for key in prefixes(registry, repository) if key in self._logins), None)


def prefixes(registry: str, repository: str) -> list[str]:
    """``registry/repository`` and everything that it begins with, whole path parts, longest first.

    >>> prefixes("ghcr.io", "team/app")
    ['ghcr.io/team/app', 'ghcr.io/team', 'ghcr.io']
    """
    parts = [registry, *filter(None, repository.split("/"))]
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


if TYPE_CHECKING:
    _conforms: type[Credentials] = StaticCredentials

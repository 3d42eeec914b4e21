"""Who may do what in the embedded cluster: tokens that end, and what is denied."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

import attrs

from archkit.model.secret import Secret
from archkit.testing.cluster.statuses import ApiError

if TYPE_CHECKING:
    from archkit.testing.cluster.asked import Asked
    from archkit.testing.messages import Request


@attrs.frozen
class Denial:
    """Something that nobody may do, as if a role did not allow it."""

    verb: str
    """``get``, ``list``, ``watch``, ``create``, ``update``, ``patch``, ``delete``, ``deletecollection``; ``*`` is each."""
    resource: str
    """Its plural, ``deployments``, also with a part, ``deployments/scale``; ``*`` is each."""
    namespace: str | None = None
    """None: in all, and for what has none."""
    name: str | None = None
    """None: of any name."""

    def meets(self, asked: Asked) -> bool:
        """Whether this is about a request."""
        return (
            self.verb in {"*", asked.verb}
            and self.resource in {"*", asked.resource_text}
            and self.namespace in {None, asked.namespace}
            and self.name in {None, asked.name}
        )


class Access:
    """The sign-in of one cluster: one user, whose tokens come one after another.

    Args:
        user: What the API server calls the user.
        bare: Whether a request without any token is the user's: kubectl sends none over plain HTTP.
    """

    def __init__(self, user: str, *, bare: bool = False) -> None:
        self.user = user
        self._bare = bare
        self.denials: tuple[Denial, ...] = ()
        self._tokens: list[Secret] = []
        self._lock = threading.Lock()

    def new_token(self) -> Secret:
        """A token that is good until :meth:`expire`."""
        token = Secret(f"archkit-{secrets.token_urlsafe(18)}")
        with self._lock:
            self._tokens.append(token)
        return token

    def expire(self) -> None:
        """End every token that was given."""
        with self._lock:
            self._tokens.clear()

    def who(self, request: Request) -> str:
        """The user of a request; empty where its token is not good."""
        if self._bare and "authorization" not in request.headers:
            return self.user
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        with self._lock:
            good = scheme.lower() == "bearer" and any(token.reveal() == given for token in self._tokens)
        return self.user if good else ""

    def check(self, request: Request) -> None:
        """Raises ``ApiError`` 401 where the request is not signed in."""
        if not self.who(request):
            raise ApiError(401, "Unauthorized", "Unauthorized")

    def allows(self, asked: Asked) -> bool:
        """Whether nothing denies it."""
        return not any(denial.meets(asked) for denial in self.denials)

    def refusal(self, asked: Asked) -> ApiError:
        """403, in the API server's words."""
        what = f"{asked.plural}.{asked.group}" if asked.group else asked.plural
        named = f'{what} "{asked.name}"' if asked.name else what
        where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
        message = f'{named} is forbidden: User "{self.user}" cannot {asked.verb} resource "{asked.resource_text}" in API group "{asked.group}" {where}'
        details = {"name": asked.name, "group": asked.group, "kind": asked.plural}
        return ApiError(403, "Forbidden", message, details={key: value for key, value in details.items() if value})

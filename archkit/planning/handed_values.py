"""Values that a tool gets through its environment, because everybody on a machine can read its command line. Pure.

A tool that takes ``--flag NAME`` for "the value is in my environment" (``docker build --build-arg``, ``pack build --env``)
is given them so; only what the tool itself would look at under that name stands on the command line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archkit.errors import BuildError
from archkit.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOOLS_OWN = re.compile(
    r"PATH|HOME|USER|TMPDIR|SSH_AUTH_SOCK|KUBECONFIG|(?i:[a-z]+_proxy)|(?:DOCKER|BUILDX|BUILDKIT|CONTAINERS|LD|OTEL|PACK|SSL|XDG)_\w+"
)
"""Environment that the tool itself looks at; a value for the build must not change what it does."""
_SOUNDS_SECRET = re.compile(r"passw|secret|token|credential|api_?key|access_?key|private_?key|auth", re.IGNORECASE)


def handed(values: Mapping[str, str]) -> dict[str, str]:
    """What goes through the environment; what is called like a secret is one from there on."""
    return {
        name: Secret(value) if _SOUNDS_SECRET.search(name) else value for name, value in values.items() if not _TOOLS_OWN.fullmatch(name)
    }


def flags(flag: str, values: Mapping[str, str]) -> list[str]:
    """The words of the command line: names alone, wherever that can be."""
    return [word for name, value in values.items() for word in (flag, f"{name}={value}" if _TOOLS_OWN.fullmatch(name) else name)]


def refuse_exposed(image: str, what: str, values: Mapping[str, str], remedy: str) -> None:
    """Refuse a secret that would have to stand on the command line.

    Args:
        image: The artifact, as the caller named it.
        what: What a value is, such as ``build argument``.
        values: By name.
        remedy: What to do instead.

    Raises:
        BuildError: A value that is a ``Secret``, or called like one, has a name that the tool itself looks at.
    """
    for name, value in values.items():
        if _TOOLS_OWN.fullmatch(name) and (isinstance(value, Secret) or _SOUNDS_SECRET.search(name)):
            reason = f"the {what} {name} is a secret, and the client itself looks at the environment of that name"
            raise BuildError(image, reason, "", remedy)

"""How a registry wants to be signed in to: the ``WWW-Authenticate`` header of a 401, and the scopes of tokens.

Sources: RFC 9110, section 11; the distribution project's token authentication specification.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110, 5.6.2
_SPACE = re.compile(r"[\s,]*")
_SCHEME = re.compile(rf"({_TOKEN})(?:[ \t]+|(?=[\s,]|$))")
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?=,|$)')
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*\s*(?=,|$)")
_ESCAPE = re.compile(r"\\(.)")
_USUAL = ("pull", "push", "delete")


@attrs.frozen
class Challenge:
    """One way to sign in."""

    scheme: str
    """In lower case: ``bearer``, ``basic``, ``negotiate``."""
    parameters: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    """Names in lower case."""


def read_challenges(header: str) -> list[Challenge]:
    """The ways to sign in that a ``WWW-Authenticate`` header names, in its order; what cannot be read is left out.

    Args:
        header: Its value; several headers joined by commas.
    """
    found: list[Challenge] = []
    at = 0
    while True:
        at = _end(_SPACE.match(header, at), at)
        if at >= len(header):
            return found
        parameter = _PARAMETER.match(header, at)
        if parameter is not None:
            if found:
                name, quoted, plain = parameter.groups()
                value = plain if quoted is None else _ESCAPE.sub(r"\1", quoted)
                found[-1] = attrs.evolve(found[-1], parameters={**found[-1].parameters, name.lower(): value})
            at = parameter.end()
            continue
        scheme = _SCHEME.match(header, at)
        if scheme is None:  # nothing that RFC 9110 allows; go on behind the next comma
            at = header.find(",", at) % (len(header) + 1)
            continue
        found.append(Challenge(scheme.group(1).lower()))
        at = scheme.end()
        if not _PARAMETER.match(header, at):
            at = _end(_TOKEN68.match(header, at), at)


def _end(found: re.Match[str] | None, at: int) -> int:
    return found.end() if found else at


def _actions(actions: Iterable[str]) -> frozenset[str]:
    return frozenset(actions)


@attrs.frozen
class Scope:
    """What a token is for: a resource and what may be done to it."""

    name: str
    """Of the repository, as a rule."""
    actions: frozenset[str] = attrs.field(converter=_actions)
    kind: str = "repository"

    def __str__(self) -> str:
        usual = [action for action in _USUAL if action in self.actions]
        return f"{self.kind}:{self.name}:{','.join([*usual, *sorted(self.actions.difference(_USUAL))])}"

    def covers(self, other: Scope) -> bool:
        """Whether everything that the other allows is allowed by this one."""
        return (self.kind, self.name) == (other.kind, other.name) and self.actions >= other.actions


def read_scopes(text: str) -> tuple[Scope, ...]:
    """The scopes of a challenge, separated by spaces; what is none is left out.

    >>> [str(scope) for scope in read_scopes("repository:team/app:push,pull registry:catalog:*")]
    ['repository:team/app:pull,push', 'registry:catalog:*']
    """
    found: list[Scope] = []
    for word in text.split():
        kind, _, rest = word.partition(":")
        name, colon, actions = rest.rpartition(":")
        if kind and name and colon and actions:
            found.append(Scope(name, filter(None, actions.split(",")), kind))
    return tuple(found)


def merge_scopes(*scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """One scope per resource, those that write first (some servers read only the first one), then in the order given."""
    merged: dict[tuple[str, str], Scope] = {}
    for scope in (scope for several in scopes for scope in several):
        key = (scope.kind, scope.name)
        known = merged.get(key)
        merged[key] = scope if known is None else attrs.evolve(known, actions=known.actions | scope.actions)
    return tuple(sorted(merged.values(), key=lambda scope: not scope.actions - {"pull"}))


def covered(needed: Iterable[Scope], granted: Iterable[Scope]) -> bool:
    """Whether every scope that is needed is within one that is there."""
    granted = tuple(granted)
    return all(any(there.covers(scope) for there in granted) for scope in needed)

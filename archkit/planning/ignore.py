"""Which files of a source folder stay out of an image: ``.dockerignore`` rules, and secrets that never go in.

The rules are Docker's (docs of ``.dockerignore``; github.com/moby/patternmatcher): one pattern a line, ``#`` for
comments, ``!`` for exceptions, ``**`` for any number of folders; a pattern that matches a folder covers all below
it, and the last pattern that matches decides.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

SECRETS = (
    ".git .env* .netrc .npmrc .pypirc .ssh .aws .kube .docker *.pem *.key id_*".split()  # noqa: SIM905 - reads as the list it is
)
"""Names that stay out at any depth: credentials and history do not belong into an image."""


class IgnorePatternError(ValueError):
    """A pattern that cannot be read."""


@attrs.frozen
class _Rule:
    text: str
    expression: re.Pattern[str]
    excepts: bool


@attrs.frozen
class IgnoreRules:
    """Patterns in order; and, before them, the secrets.

    A secret is let in only by an exception that names it itself (``!ca.pem``, ``!**/ca.pem``), not by one for the
    folder that holds it.
    """

    rules: tuple[_Rule, ...] = ()

    @classmethod
    def parse(cls, lines: Iterable[str]) -> IgnoreRules:
        """The rules in the lines of a ``.dockerignore``.

        Raises:
            IgnorePatternError: A pattern that cannot be read; says which.
        """
        return cls(tuple(rule for line in lines if (rule := _rule(line)) is not None))

    @property
    def has_exceptions(self) -> bool:
        """Whether something below an ignored folder may be let in, so that ignored folders have to be walked."""
        return any(rule.excepts for rule in self.rules)

    def reason(self, path: str) -> str:
        """Why a path stays out: the pattern that decided; an empty text when it goes in.

        Args:
            path: Relative to the source folder, with ``/``.
        """
        decided = ""
        prefixes = [path[: found.start()] for found in re.finditer("/", path)]
        for rule in self.rules:
            if rule.expression.fullmatch(path) or any(rule.expression.fullmatch(prefix) for prefix in prefixes):
                decided = "" if rule.excepts else rule.text
        return decided or self._secret(path)

    def _secret(self, path: str) -> str:
        for name in path.split("/"):
            for rule in _SECRET_RULES:
                if rule.expression.fullmatch(name):
                    allowed = any(other.excepts and other.expression.fullmatch(path) and _ends_in_name(other.text) for other in self.rules)
                    return "" if allowed else f"{rule.text} (secrets and history never go in)"
        return ""


def from_gitignore(lines: Iterable[str]) -> list[str]:
    """Patterns as ``.gitignore`` and ``.gcloudignore`` have them, as those of a ``.dockerignore``.

    A pattern without a slash counts at any depth, and one that ends in a slash means what is in folders of that name.
    ``#!include:`` of a ``.gcloudignore`` is a comment here: whoever reads the file looks for it.
    """
    found: list[str] = []
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        body = text.removeprefix("!")
        inner = body.rstrip("/")
        anchored = inner.lstrip("/") if "/" in inner else f"**/{inner}"
        if inner.strip("/"):
            found.append(f"{'!' if text.startswith('!') else ''}{anchored}{'/**' if body.endswith('/') else ''}")
    return found


def _ends_in_name(pattern: str) -> bool:
    """Whether a pattern names a file, where ``!*`` or ``!**`` only mean "all"."""
    return posixpath.basename(pattern.lstrip("!")).strip("*?.") != ""


def _rule(line: str) -> _Rule | None:
    text = line.removeprefix("\ufeff").strip()
    if not text or text.startswith("#"):
        return None
    excepts, body = text.startswith("!"), text.removeprefix("!").strip()
    if not body:
        raise IgnorePatternError(f"an exception without a pattern: {text!r}")
    body = posixpath.normpath(body).lstrip("/")
    if body == ".":
        return None
    return _Rule(text, re.compile(_expression(body)), excepts)


def _expression(pattern: str) -> str:
    """A Docker pattern as a regular expression over the whole path (Go ``filepath.Match`` plus ``**``)."""
    out, at = [], 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            at += 2
            if pattern.startswith("/", at):
                at += 1
                out.append("(?:.*/)?")
            else:
                out.append(".*")
            continue
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            end = pattern.find("]", at + 2)
            if end < 0:
                raise IgnorePatternError(f"a '[' that is never closed: {pattern!r}")
            inner = pattern[at + 1 : end]
            negated = inner.startswith(("^", "!"))
            body = re.sub(r"([\\\[\]^&|~])", r"\\\1", inner[1:] if negated else inner)
            out.append(f"[{'^' if negated else ''}{body}]")
            at = end
        elif char == "\\" and at + 1 < len(pattern):
            at += 1
            out.append(re.escape(pattern[at]))
        else:
            out.append(re.escape(char))
        at += 1
    return "(?s:" + "".join(out) + ")"


_SECRET_RULES: tuple[_Rule, ...] = IgnoreRules.parse(SECRETS).rules

"""A Dockerfile as its instructions: continued lines joined, comments and here-documents taken out.

Lenient: what cannot be understood is left to Docker, which says it better. Source: Dockerfile reference (parser
directives, line continuation, here-documents) and BuildKit ``frontend/dockerfile/parser``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*")
_FLAG = re.compile(r"--([A-Za-z-]+)(?:=(\S*))?(?:\s+|$)")
_WORD = re.compile(r""" (?: "(?:\\.|[^"\\])*" | '[^']*' | \\. | [^\s"'] )+ """, re.VERBOSE)
_HERE = re.compile(r"""\d*<<(-?)(["']?)([^<\s"']+)\2""")
_TAKE_HERE_DOCUMENTS = {"RUN", "COPY", "ADD"}


@attrs.frozen
class Instruction:
    """One instruction."""

    line: int
    """Where it starts; the first line is 1."""
    keyword: str
    """In capitals."""
    flags: tuple[tuple[str, str], ...]
    """``--name=value`` in front of the arguments, in order; one without a value has an empty one."""
    text: str
    """Its arguments, on one line."""
    has_here_document: bool = False

    def values(self, flag: str) -> tuple[str, ...]:
        """What a flag was given, each time it stands there."""
        return tuple(value for name, value in self.flags if name == flag)

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments, cut at blanks outside quotes; quotes stay."""
        return tuple(_WORD.findall(self.text))


@attrs.frozen
class DockerfileText:
    """A Dockerfile that has been read."""

    instructions: tuple[Instruction, ...]
    syntax: str = ""
    """The frontend that ``# syntax=`` names; empty: Docker's own."""

    @property
    def is_dockerfile(self) -> bool:
        """Whether its frontend is one of Docker's: others read what they like from such a file."""
        name = self.syntax.removeprefix("docker.io/")
        return not name or re.match(r"docker/dockerfile(-upstream)?([:@]|$)", name) is not None


def read_dockerfile(text: str) -> DockerfileText:
    """The instructions of a Dockerfile, in order."""
    lines = text.removeprefix("\ufeff").splitlines()
    directives = _directives(lines)
    escape = directives.get("escape", "\\")
    return DockerfileText(tuple(_instructions(lines, escape if escape in {"\\", "`"} else "\\")), directives.get("syntax", ""))


def _directives(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None:
            break
        found.setdefault(match.group(1).lower(), match.group(2))
    return found


def _instructions(lines: list[str], escape: str) -> Iterator[Instruction]:
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        start = at + 1
        at += 1
        if not line or line.startswith("#"):
            continue
        pieces: list[str] = []
        while True:
            continued = line.endswith(escape)
            pieces.append(line.removesuffix(escape))
            if not continued:
                break
            while at < len(lines) and (not lines[at].strip() or lines[at].lstrip().startswith("#")):
                at += 1  # comments and empty lines do not end an instruction
            if at == len(lines):
                break
            line = lines[at].strip()
            at += 1
        instruction = _instruction(start, " ".join(piece.strip() for piece in pieces).strip())
        ends = _here_documents(instruction)
        for strip, end in ends:
            while at < len(lines) and (lines[at].lstrip("\t") if strip else lines[at]) != end:
                at += 1
            at += 1
        yield attrs.evolve(instruction, has_here_document=bool(ends))


def _instruction(line: int, text: str) -> Instruction:
    keyword, _, rest = text.partition(" ")
    rest = rest.strip()
    flags: list[tuple[str, str]] = []
    while (found := _FLAG.match(rest)) is not None:
        flags.append((found.group(1), found.group(2) or ""))
        rest = rest[found.end() :]
    return Instruction(line, keyword.upper(), tuple(flags), rest)


def _here_documents(instruction: Instruction) -> list[tuple[bool, str]]:
    """Whether leading tabs go, and the line that ends it, of each here-document that an instruction starts."""
    if instruction.keyword not in _TAKE_HERE_DOCUMENTS:
        return []
    found = (_HERE.match(word) for word in instruction.words)
    return [(match.group(1) == "-", match.group(3)) for match in found if match is not None]


# ---- variables ---------------------------------------------------------------------------------------------------

_VARIABLE = re.compile(r"\\(.)|\$([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)(?:(:?[-+?])([^{}]*))?\}|\$")


def expand(text: str, values: Mapping[str, str]) -> str | None:
    """A word with its variables filled in and its quotes gone; None where it uses a form that is not known here.

    Source: Dockerfile reference, "Environment replacement": ``$name``, ``${name}``, ``${name:-word}``,
    ``${name:+word}`` and the same without colon.
    """
    unknown = False

    def fill(match: re.Match[str]) -> str:
        nonlocal unknown
        escaped, plain, name, how, word = match.groups()
        if escaped is not None:
            return escaped
        if plain is not None:
            return values.get(plain, "")
        if name is None:
            unknown = True
            return ""
        if how is None:
            return values.get(name, "")
        there = bool(values.get(name)) if how.startswith(":") else name in values
        if how.endswith("?"):
            unknown = unknown or not there
            return values.get(name, "")
        if how.endswith("-"):
            return values[name] if there else expand(word, values) or ""
        return expand(word, values) or "" if there else ""

    filled = _VARIABLE.sub(fill, text)
    return None if unknown else filled.replace('"', "").replace("'", "")

"""ko's command line and environment, and what it prints. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archkit.errors import ReferenceSyntaxError
from archkit.model.reference import Digest
from archkit.planning.go_csv import csv_field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CPU_VARIABLES = (
    "GOOS",
    "GOARCH",
    "GO386",
    "GOAMD64",
    "GOARM",
    "GOARM64",
    "GOMIPS",
    "GOMIPS64",
    "GOPPC64",
    "GORISCV64",
    "GOWASM",
)
"""What says for which CPU Go compiles: ko refuses some of them beside ``--platform``, and lets the others win over it."""
OLDEST = (0, 15, 4)
OLDEST_WITH = {"annotations": (0, 17, 0), "user": (0, 17, 0), "ldflags": (0, 19, 0)}
"""The first version that has the flag which an argument of ``KoBuilder`` needs. Source: ko's releases."""

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)\b")
_TIME = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ")
_BUILDING = re.compile(r"Building \S+ for (\S+)")
_MOST_LINES = 20
"""Lines of a compiler's errors that go into an error of archkit."""


def environment(parent: Mapping[str, str], own: Mapping[str, str], *, repository: str, base: str | None, temporary: str) -> dict[str, str]:
    """The whole environment of ko, Go and everything that they start.

    Args:
        parent: This process's: cache folders, proxies, ``DOCKER_CONFIG``, ``GOFLAGS`` and ko's own settings pass.
        own: Wins over it.
        repository: Where ko puts the image.
        base: The base; None: as the parent's environment and ``.ko.yaml`` say.
        temporary: Where ko and Go put temporary files, which they leave behind when they are killed.
    """
    merged = {name: value for name, value in parent.items() if name not in CPU_VARIABLES}
    merged |= own
    merged |= {"KO_DOCKER_REPO": repository, "TMPDIR": temporary}
    merged.pop("GOTMPDIR", None)
    if base is not None:
        merged["KO_DEFAULTBASEIMAGE"] = base
    return merged


def go_flags(before: str, tags: Sequence[str], flags: Sequence[str]) -> str:
    """``GOFLAGS`` with build tags and flags behind what stands there; the last of equal names counts.

    >>> go_flags("-mod=vendor", ["netgo"], ["-gcflags=all=-N -l"])
    "-mod=vendor '-gcflags=all=-N -l' -tags=netgo"
    """
    added = [*flags, *([f"-tags={','.join(tags)}"] if tags else [])]
    return " ".join(filter(None, [before.strip(), *map(_go_word, added)]))


def _go_word(flag: str) -> str:
    """Quoted as Go splits ``GOFLAGS``: whole words in one kind of quotes, nothing escaped (cmd/internal/quoted)."""
    if not re.search(r"\s|^['\"]", flag):
        return flag
    quote = '"' if "'" in flag else "'"
    return f"{quote}{flag}{quote}"


def list_flag(name: str, values: Iterable[str]) -> list[str]:
    """One flag per value; ko splits each at commas as CSV does, so those that need it are quoted.

    >>> list_flag("ldflags", ["-s", "-X main.colours=red,blue"])
    ['--ldflags=-s', '--ldflags="-X main.colours=red,blue"']
    """
    return [f"--{name}={csv_field(value)}" for value in values]


def platform_flag(entry: Mapping[str, object]) -> str:
    """A platform as ko wants it: the base's own spelling, because ko compares texts.

    >>> platform_flag({"os": "linux", "architecture": "arm64", "variant": "v8"})
    'linux/arm64/v8'

    Source: ko's ``platformMatcher`` and go-containerregistry's ``v1.ParsePlatform``.
    """
    parts = (entry.get("os"), entry.get("architecture"), entry.get("variant"))
    version = entry.get("os.version")
    return "/".join(str(part) for part in parts if part) + (f":{version}" if version else "")


def version_of(text: str) -> tuple[int, int, int] | None:
    """The version in what ``ko version`` prints; None for a build of no version.

    >>> version_of("v0.19.1")
    (0, 19, 1)
    """
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def digest_in(output: str) -> Digest | None:
    """The digest in ``REPO:TAG@sha256:…``, the line that ko prints for an image; None when there is none."""
    for line in reversed(output.splitlines()):
        _, at, text = line.strip().rpartition("@")
        if at:
            try:
                return Digest(text)
            except ReferenceSyntaxError:
                continue
    return None


def progress(line: str) -> tuple[str, str | None]:
    """A line of ko's log without its time, and the platform that it is about, where it names one."""
    text = _TIME.sub("", line, count=1).strip()
    found = _BUILDING.fullmatch(text)
    return text, found[1] if found else None


def failure(stderr: str) -> str:
    """What ko says went wrong: its ``Error:`` line with those behind it, which are the compiler's."""
    before, marker, error = stderr.rpartition("\nError: ")
    if not marker and stderr.startswith("Error: "):
        marker, error = "Error: ", stderr[len("Error: ") :]
    text = error if marker else (before or stderr)
    lines = [line.rstrip() for line in text.strip().splitlines() if line.strip()]
    return "\n".join(lines[:_MOST_LINES]) or "no message"

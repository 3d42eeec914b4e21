"""pack's command line, and what it prints. Pure.

Sources: pack's ``internal/commands/build.go``; what 0.38.2 did with lifecycle 0.20.5.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from archkit.model.reference import Digest, ImageReference
from archkit.planning.strategy import child_tag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archkit.model.platform import Platform

OLDEST = (0, 35, 0)
"""From here on ``pack build`` has ``--platform``. Source: buildpacks/pack issue 2154."""
CACHE_PREFIX = "archkit-cache-"
"""How the cache volumes are called that archkit names."""
OWN_FLAGS = frozenset(
    [
        "--builder",
        "-B",
        "--cache",
        "--cache-image",
        "--descriptor",
        "-d",
        "--docker-host",
        "--env",
        "-e",
        "--interactive",
        "--lifecycle-image",
        "--network",
        "--path",
        "-p",
        "--platform",
        "--publish",
        "--pull-policy",
        "--quiet",
        "-q",
        "--report-output-dir",
        "--run-image",
        "--tag",
        "-t",
        "--trust-builder",
        "--trust-extra-buildpacks",
        "--volume",
    ]
)
"""What archkit itself says, or what would change where the image goes; not to be given as further arguments."""

_VERSION = re.compile(r"\bv?(\d+)\.(\d+)\.(\d+)")
_DIGEST = re.compile(r'^digest = "(sha256:[0-9a-f]{64})"$', re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PHASE = re.compile(r"^\s*\[\w+\] ?")
_STATUS = re.compile(r"failed with status code: (\d+)")
_MOST_LINES = 12
"""Lines of a buildpack's own output that go into an error of archkit."""
_NO_BUILDPACK = frozenset({20, 21, 22})
"""What the lifecycle ends with when no group of buildpacks fits. Source: lifecycle's ``platform/exit_codes.go``."""


def version_of(text: str) -> tuple[int, int, int] | None:
    """The version in what ``pack version`` prints; None for a build of no version.

    >>> version_of("0.38.2+git-0000000.build-1")
    (0, 38, 2)
    """
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def platform_word(platform: Platform) -> str:
    """A platform as pack wants it, which knows no Windows builds."""
    return "/".join(filter(None, (platform.os, platform.arch, platform.variant)))


def trusted(listed: str, builder: str) -> bool:
    """Whether pack trusts a builder by itself.

    Args:
        listed: What ``pack config trusted-builders list`` prints.
        builder: The builder image, as the caller names it.

    >>> trusted("Trusted Builders:\\n  heroku/builder:24\\n  ghcr.io/team/builder\\n", "ghcr.io/team/builder:1")
    True
    """
    names = [line.strip() for line in listed.splitlines() if line.startswith(" ") and line.strip()]
    own = ImageReference.parse(builder)
    return any(_names(name, builder, own) for name in names)


def _names(entry: str, builder: str, own: ImageReference) -> bool:
    if entry == builder:
        return True
    try:
        other = ImageReference.parse(entry)
    except ValueError:
        return False
    return other == own if other.tag or other.digest else other.repository_only == own.repository_only


def cache_words(repository: ImageReference, platform: Platform, *, caches: Iterable[str], image: str, key: str) -> list[str]:
    """The flags for caches, which no two platforms share: a cached layer says nothing of its CPU.

    pack's own cache is lost with every new tag; without a word of the caller's it is kept by repository and platform.

    Args:
        repository: Where the image goes.
        platform: What is built.
        caches: The caller's, with ``{platform}``.
        image: A cache image; its tag gets the platform's suffix.
        key: What makes the name of a cache hard to guess for others on the same engine (``PACK_VOLUME_KEY``).
    """
    given = [text.replace("{platform}", platform.tag_suffix) for text in caches]
    words = [word for text in given for word in ("--cache", text)]
    if image:
        named = ImageReference.parse(image)
        return [*words, "--cache-image", str(child_tag(named.with_tag(named.tag or "latest"), platform))]
    kinds = [kind for kind in ("build", "launch") if not any(f"type={kind}" in text for text in given)]
    number = hashlib.sha256(f"{repository.name}{key}".encode()).hexdigest()[:16]
    own = [f"type={kind};format=volume;name={CACHE_PREFIX}{number}-{platform.tag_suffix}.{kind}" for kind in kinds]
    return [*words, *(word for text in own for word in ("--cache", text))]


def reported_digest(report: str) -> Digest | None:
    """The digest in the ``report.toml`` of a published image; None where it has none.

    Source: Cloud Native Buildpacks, Platform specification, ``report.toml``.
    """
    found = _DIGEST.search(report)
    return Digest(found[1]) if found else None


def failure(stdout: str) -> str:
    """What the lifecycle or a buildpack says went wrong; empty where neither does.

    Args:
        stdout: Where both say it; pack itself only says on stderr that they failed.
    """
    lines = [_PHASE.sub("", _COLOUR.sub("", line)).rstrip() for line in stdout.splitlines()]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    if not errors:
        return ""
    text = errors[-1].removeprefix("ERROR: ")
    if "failed to build:" not in text:
        return text
    at = len(lines) - 1 - lines[::-1].index(errors[-1])  # a buildpack's own words stand before the lifecycle's
    words = [line for line in lines[:at] if line and not line.startswith(("Timer:", "===>"))][-_MOST_LINES:]
    return "\n".join([text, *words])


def no_buildpack_fits(stderr: str) -> bool:
    """Whether the lifecycle ended because no group of buildpacks wants the folder."""
    found = _STATUS.search(stderr)
    return found is not None and int(found[1]) in _NO_BUILDPACK

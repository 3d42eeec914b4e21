"""What went wrong, told from what a tool printed. Pure; one table for all tools.

The texts were seen with the real tools (docker 20.10 and 28, BuildKit, buildx, ko, pack, jib).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import attrs

from archkit.errors import (
    ArchkitError,
    BuildError,
    BuildToolError,
    CommandError,
    CommandTimeoutError,
    EmulationMissing,
    ToolNotFoundError,
    ToolTooOldError,
)
from archkit.planning.emulation import emulation_advice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archkit.model.platform import Platform

Kind = Literal[
    "api-disabled",
    "base-lacks-platform",
    "base-missing",
    "billing-disabled",
    "builder-missing",
    "disk-full",
    "emulation-missing",
    "emulator-crashed",
    "engine-down",
    "failed",
    "invalid-platform",
    "multi-platform-unsupported",
    "out-of-memory",
    "permission-denied",
    "pull-denied",
    "push-denied",
    "quota-exceeded",
    "rate-limited",
    "registry-unreachable",
    "registry-untrusted",
    "sign-in-refused",
    "timeout",
    "tool-missing",
    "tool-too-old",
]
"""Stable codes of why a tool failed."""

_LOOKED_AT = 60
"""Last lines of each output that are looked at: what a build printed long before its end is not why it ended."""
_LONGEST = 500
_KEPT = 40
"""Last lines of each output that an error keeps."""


@attrs.frozen
class Diagnosis:
    """What went wrong."""

    kind: Kind
    line: str
    """The line that says so."""
    remedy: str = ""


_OTHER_BASE = "use a base that has it, or do not ask for it"
_SIGN_IN = "sign in with `docker login HOST` (or the tool's own way), or check that the login has not run out"
_TABLE: tuple[tuple[Kind, str, str], ...] = (
    # the first row that fits counts: several texts occur together, the more telling ones stand first
    ("emulation-missing", r"exec format error", ""),
    (
        "emulator-crashed",
        r"qemu: uncaught target signal|qemu-\S+: .*(?:Segmentation fault|Illegal instruction)",
        "the emulator crashed: try a newer qemu, cross-compile, or build on a machine of that CPU",
    ),
    (
        "disk-full",
        r"[Nn]o space left on device|[Dd]isk quota exceeded|ENOSPC",
        "free some space, for example with `docker system prune` or `docker buildx prune`",
    ),
    (
        "out-of-memory",
        r"[Cc]annot allocate memory|OOMKilled|out of memory",
        "give the engine more memory, or build fewer platforms at once",
    ),
    (
        "engine-down",
        (
            r"Cannot connect to the Docker daemon|failed to connect to the docker API|failed to connect to docker socket|"
            r"'docker info' command failed|error during connect:|Cannot connect to Podman|"
            r"[Ii]s the docker daemon running|listing workers for Build"
        ),
        "start the engine, or point DOCKER_HOST or the docker context to one that runs",
    ),
    (
        "tool-missing",
        r"unknown command: docker buildx|buildx component is missing or broken|'buildx' is not a docker command",
        "install Docker's buildx plugin",
    ),
    ("builder-missing", r'no builder "', "list the builders with `docker buildx ls`, or make one with `docker buildx create`"),
    ("tool-too-old", r"unknown flag: --|unknown shorthand flag|flag provided but not defined", "install a newer version of the tool"),
    (
        "invalid-platform",
        r"unknown operating system or architecture|is an invalid component of|Platform must be of form",
        "write os/arch or os/arch/variant, for example linux/arm64",
    ),
    (
        "multi-platform-unsupported",
        (
            r"Multi-platform build is not supported|exporter is not supported for the docker driver|multi-platform image building not supported|"
            r"Build an OCI image index is not yet supported|does not currently support exporting manifest lists"
        ),
        "make a builder that can with `docker buildx create --driver docker-container`, or build one platform",
    ),
    (
        "base-lacks-platform",
        (
            r"no matching platforms in base image|does not match desired platforms|no matching manifest for|no match for platform in manifest|"
            r"does not contain an image for architecture=|is not a manifest list|the configured platform \("
        ),
        _OTHER_BASE,
    ),
    (
        "pull-denied",
        r"pull access denied for|(?:fetching base image|pulling|failed to resolve source metadata).*(?:DENIED|denied|403 Forbidden)",
        f"check the base's name, and {_SIGN_IN}",
    ),
    (
        "sign-in-refused",
        (
            r"401 Unauthorized|UNAUTHORIZED|no basic auth credentials|unauthorized: |incorrect username or password|"
            r"were not sent because the connection was over HTTP"
        ),
        _SIGN_IN,
    ),
    (
        "push-denied",
        r"403 Forbidden|\bDENIED\b|: denied$|^(?:ERROR: )?denied\b|denied: |insufficient_scope",
        "sign in with an account that may push there, or push elsewhere with another default_repo",
    ),
    ("rate-limited", r"toomanyrequests|429 Too Many Requests|TOOMANYREQUESTS", "wait, sign in, or use a mirror of the base"),
    (
        "base-missing",
        (
            r"MANIFEST_UNKNOWN|manifest unknown|not found: manifest|does not exist on the daemon|NAME_UNKNOWN|"
            r"failed to resolve source metadata.*not found|failed to resolve reference.*not found"
        ),
        "check the base's name and tag",
    ),
    (
        "registry-untrusted",
        r"x509: |certificate signed by unknown authority|PKIX path building failed",
        "make the registry's certificate authority known to the tool",
    ),
    (
        "registry-unreachable",
        (
            r"[Cc]onnection refused|no such host|Unsupported or unrecognized SSL message|server gave HTTP response to HTTPS client|"
            r"i/o timeout|network is unreachable|Temporary failure in name resolution|TLS handshake timeout"
        ),
        "check the registry's name, the network and the proxy; a registry without TLS must be known to the tool as insecure",
    ),
)
_ROWS: tuple[tuple[Kind, re.Pattern[str], str], ...] = tuple((kind, re.compile(pattern), remedy) for kind, pattern, remedy in _TABLE)


def base_lacks_platform(
    image: str, base: str, has: Iterable[Platform], platform: Platform, needed: Platform | None = None, *, role: str = "base"
) -> BuildToolError:
    """The error for a base that was looked at before the build and lacks a platform; its kind is ``base-lacks-platform``.

    Args:
        image: The artifact, as the caller named it.
        base: What messages call the base.
        has: The platforms that it has.
        platform: The one that is being built for.
        needed: The one that the base is needed for, where it may be another, such as that of the machine which builds.
        role: What it is, where it is no base, such as ``builder image``.
    """
    there = ", ".join(map(str, has)) or "no image"
    wanted = "" if needed is None else f", {needed} is needed"
    remedy = f"use a {role} that has it, or do not ask for it"
    return BuildToolError(image, f"the {role} {base} has only {there}{wanted}", str(platform), remedy, "base-lacks-platform")


def diagnose(stderr: str, stdout: str = "") -> Diagnosis | None:
    """Why a tool that printed this failed; None where no text is known.

    Args:
        stderr: What it printed; its last lines count.
        stdout: The same; some tools say here what went wrong.
    """
    lines = [line.strip() for text in (stderr, stdout) for line in text.splitlines()[-_LOOKED_AT:] if line.strip()]
    for kind, pattern, remedy in _ROWS:
        for line in reversed(lines):
            if pattern.search(line):
                return Diagnosis(kind, _short(line), remedy)
    return None


def tool_failure(error: ArchkitError, image: str, *, builder: str, platform: str = "") -> BuildError:
    """The error of a build whose tool failed: what went wrong, as the tool says it, and what to do.

    Args:
        error: Of a ``Runner``, or of a look at a tool's version; any other is told as it is.
        image: The artifact, as the caller named it.
        builder: What messages call the builder.
        platform: The platform being built; empty for all of them.
    """
    if isinstance(error, BuildError):
        return error
    if isinstance(error, ToolNotFoundError):
        reason = f"{builder} needs {error.tool}, which is not installed or not on PATH"
        return BuildToolError(image, reason, platform, error.advice(), "tool-missing")
    if isinstance(error, ToolTooOldError):
        return BuildToolError(image, f"{builder} failed: {error.problem()}", platform, error.advice(), "tool-too-old")
    if not isinstance(error, CommandError):
        return BuildError(image, f"{builder} failed: {error}", platform)
    log = _log(error)
    if isinstance(error, CommandTimeoutError):
        return BuildToolError(image, f"{builder} failed: {error.problem()}", platform, error.advice(), "timeout", log)
    found = diagnose(error.stderr, error.stdout)
    tool = error.command[0] if error.command else builder
    if found is None:
        told = next((line for line in reversed(error.stderr.splitlines()) if line.startswith("ERROR: ")), "")  # advice may follow it
        reason = f"{tool} ended with status {error.status}: {_short(told)}" if told else error.problem()
        return BuildToolError(image, f"{builder} failed: {reason}", platform, "", "failed", log)
    reason = f"{builder} failed: {tool} ended with status {error.status}: {found.line}"
    if found.kind == "emulation-missing":
        return EmulationMissing(image, reason, platform, emulation_advice([platform] if platform else []), found.kind, log)
    return BuildToolError(image, reason, platform, found.remedy, found.kind, log)


def _log(error: CommandError) -> str:
    """The last lines of both outputs."""
    return "\n".join(line for text in (error.stdout, error.stderr) for line in text.splitlines()[-_KEPT:])


def _short(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} […]"

"""Which builders a source folder suggests, told from the names in it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection

Kind = Literal["docker", "ko", "jib", "buildpacks"]


@attrs.frozen
class Suggestion:
    """A builder that a folder suggests."""

    kind: Kind
    file: str
    """What suggests it."""
    reason: str
    """For a person, such as ``it has a Dockerfile, which is for Docker``."""


_TABLE: tuple[tuple[str, Kind, str], ...] = (
    # what somebody wrote for one builder comes first, then what a language's own files suggest
    ("Dockerfile", "docker", "it has a Dockerfile, which is for Docker"),
    ("Containerfile", "docker", "it has a Containerfile, which is for Docker or podman"),
    ("project.toml", "buildpacks", "it has a project.toml, which is for Buildpacks"),
    ("go.mod", "ko", "it is a Go module, which ko builds"),
    ("pom.xml", "jib", "it is a Maven project, which Jib builds"),
    ("build.gradle", "jib", "it is a Gradle project, which Jib builds"),
    ("build.gradle.kts", "jib", "it is a Gradle project, which Jib builds"),
    ("package.json", "buildpacks", "it is a Node.js project, which Buildpacks build"),
    ("pyproject.toml", "buildpacks", "it is a Python project, which Buildpacks build"),
    ("requirements.txt", "buildpacks", "it is a Python project, which Buildpacks build"),
    ("Gemfile", "buildpacks", "it is a Ruby project, which Buildpacks build"),
    ("composer.json", "buildpacks", "it is a PHP project, which Buildpacks build"),
)
FILES = tuple(name for name, _, _ in _TABLE)
"""What is looked for, in order."""


def suggestions(names: Collection[str]) -> tuple[Suggestion, ...]:
    """The builders that a folder with these names suggests, the likeliest first, each once.

    >>> [one.kind for one in suggestions(["go.mod", "Dockerfile", "main.go"])]
    ['docker', 'ko']
    """
    found: dict[Kind, Suggestion] = {}
    for name, kind, reason in _TABLE:
        if name in names and kind not in found:
            found[kind] = Suggestion(kind, name, reason)
    return tuple(found.values())

"""detect_builder(): which builder a folder suggests, and why. Nothing is ever built with it unasked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from archkit.builders.buildpacks import BuildpacksBuilder
from archkit.builders.docker import DockerBuilder
from archkit.builders.jib import JibBuilder
from archkit.builders.ko import KoBuilder
from archkit.errors import BuildError
from archkit.planning.suggestions import FILES, suggestions
from archkit.ports.builder import Builder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archkit.planning.suggestions import Suggestion

_READ_LIMIT = 64 * 1024
"""Bytes of a file that are looked at."""
_MOST_FOLDERS = 2000
"""Folders of a Go module that are looked at."""
_NO_PROGRAMS = frozenset({"vendor", "testdata", "node_modules"})


@attrs.frozen
class DetectedBuilder:
    """A builder that a folder suggests."""

    builder: Builder
    """Ready to be an artifact's; buildpacks without a builder image where no ``project.toml`` is there to name one."""
    reason: str
    """A sentence about the folder, such as ``it has a Dockerfile, which is for Docker``."""
    others: tuple[DetectedBuilder, ...] = ()
    """What else would fit, the likelier first."""

    def __str__(self) -> str:
        return f"{self.builder.name}: {self.reason}"


def detect_builder(path: str | os.PathLike[str]) -> DetectedBuilder:
    """Propose a builder for a source folder. Only its files are looked at, and nothing builds with it but the caller.

    What somebody wrote for one builder (a ``Dockerfile``, a ``project.toml``) comes before what the files of a language
    suggest (``go.mod``, ``pom.xml``, ``build.gradle``, ``package.json`` and the like).

    Args:
        path: The folder.

    Raises:
        BuildError: It is no folder, or nothing in it suggests a builder.
    """
    folder = Path(path)
    try:
        names = {entry.name for entry in folder.iterdir()}
    except OSError as error:
        reason = f"the folder cannot be read: {error.strerror or error}"
        raise BuildError(str(folder), reason, "", "give the folder of the program's source") from error
    found = [one for suggestion in suggestions(names) for one in _builders(folder, suggestion)]
    if not found:
        reason = f"no file in the folder suggests a builder; looked for {', '.join(FILES)}"
        if "go.mod" in names:
            reason = "it is a Go module without a program (package main)"
        raise BuildError(str(folder), reason, "", "name a builder, such as FilesBuilder(entrypoint=…) or CustomBuilder(…)")
    return attrs.evolve(found[0], others=tuple(found[1:]))


def _builders(folder: Path, suggestion: Suggestion) -> Iterator[DetectedBuilder]:
    if suggestion.kind == "docker":
        yield DetectedBuilder(DockerBuilder(dockerfile=suggestion.file), suggestion.reason)
    elif suggestion.kind == "ko":
        for program in _go_programs(folder):
            where = "" if program == "." else f"; its program is in {program}"
            yield DetectedBuilder(KoBuilder("" if program == "." else program), suggestion.reason + where)
    elif suggestion.kind == "jib":
        lacks = suggestion.file != "pom.xml" and not _says(folder / suggestion.file, b"com.google.cloud.tools.jib")
        yield DetectedBuilder(JibBuilder(), f"{suggestion.reason}{'; its build file does not name the jib plugin yet' if lacks else ''}")
    else:
        named = suggestion.file == "project.toml" and _says(folder / suggestion.file, b"builder")
        yield DetectedBuilder(BuildpacksBuilder(), f"{suggestion.reason}{'' if named else '; name a builder image'}")


def _go_programs(folder: Path) -> list[str]:
    """The folders with a program, as ``./cmd/web``, those nearer to the top first; not those of modules within the module."""
    found: list[str] = []
    for count, (place, folders, files) in enumerate(os.walk(folder)):
        here = Path(place)
        if here != folder and "go.mod" in files:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name not in _NO_PROGRAMS and not name.startswith((".", "_")))
        sources = [name for name in files if name.endswith(".go") and not name.endswith("_test.go")]
        if any(_is_program(here / name) for name in sources):
            inside = here.relative_to(folder).as_posix()
            found.append("." if inside == "." else f"./{inside}")
        if count >= _MOST_FOLDERS:
            break
    return sorted(found, key=lambda name: (name.count("/"), name))


def _is_program(source: Path) -> bool:
    """Whether a Go file is part of a program that is built (one that is ignored by a build constraint is not)."""
    try:
        with source.open("rb") as file:
            lines = file.read(_READ_LIMIT).splitlines()
    except OSError:
        return False
    return b"package main" in (line.split(b"//")[0].strip() for line in lines) and b"//go:build ignore" not in lines


def _says(file: Path, text: bytes) -> bool:
    try:
        with file.open("rb") as opened:
            return text in opened.read(_READ_LIMIT)
    except OSError:
        return False

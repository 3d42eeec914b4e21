"""What a Dockerfile needs for a platform: which bases, and which of its commands run foreign code. Pure.

Source: Dockerfile reference (FROM, ARG before FROM, "Automatic platform ARGs in the global scope"); BuildKit
``frontend/dockerfile/dockerfile2llb``: a stage has the platform that its FROM names, else that of the stage it is
built on, else the target's; only stages that the wanted one needs are built. The classic builder builds every stage
up to the wanted one, for the target's platform.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from archkit.errors import PlatformSyntaxError
from archkit.model.platform import Platform
from archkit.planning.dockerfile_syntax import Instruction, expand, read_dockerfile

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRATCH = "scratch"


@attrs.frozen
class Stage:
    """One ``FROM`` and what follows it."""

    number: int
    name: str
    """In small letters; empty where it has none."""
    line: int
    base: str
    """As written, variables not filled in."""
    platform: str | None
    """What ``--platform`` says, as written; None where there is none."""
    instructions: tuple[Instruction, ...]

    @property
    def label(self) -> str:
        """What a person calls it."""
        return f"stage {self.name!r}" if self.name else f"stage {self.number}"


@attrs.frozen
class Base:
    """An image that a build starts from or copies from."""

    reference: str
    platform: Platform
    line: int


@attrs.frozen
class ForeignRun:
    """A ``RUN`` whose program is for another CPU than the machine that builds."""

    line: int
    stage: str
    platform: Platform


@attrs.frozen
class Needs:
    """What a build of one platform needs."""

    bases: tuple[Base, ...] = ()
    foreign: tuple[ForeignRun, ...] = ()
    """In order; none: nothing needs an emulator."""


@attrs.frozen
class Dockerfile:
    """The stages of a Dockerfile."""

    stages: tuple[Stage, ...]
    arguments: tuple[Instruction, ...]
    """``ARG`` before the first ``FROM``."""

    @classmethod
    def parse(cls, text: str) -> Dockerfile | None:
        """The stages in a text; None where ``# syntax=`` names a frontend of somebody else, or there is no ``FROM``."""
        read = read_dockerfile(text)
        if not read.is_dockerfile:
            return None
        heads = [at for at, one in enumerate(read.instructions) if one.keyword == "FROM"]
        if not heads:
            return None
        stages = [
            _stage(number, read.instructions[at:end])
            for number, (at, end) in enumerate(zip(heads, [*heads[1:], len(read.instructions)], strict=True))
        ]
        return cls(tuple(stages), tuple(one for one in read.instructions[: heads[0]] if one.keyword == "ARG"))

    def find(self, name: str, *, before: int | None = None) -> Stage | None:
        """The stage of a name or number, among those before one; None when there is none."""
        stages = self.stages[:before]
        named = [stage for stage in stages if stage.name and stage.name == name.lower()]
        if named:
            return named[-1]
        return stages[int(name)] if name.isdecimal() and int(name) < len(stages) else None

    def needs(
        self,
        target: Platform,
        build: Platform,
        *,
        stage: str = "",
        args: Mapping[str, str] | None = None,
        buildkit: bool = True,
    ) -> Needs:
        """What a build for one platform needs.

        Args:
            target: What the image is for.
            build: The machine that builds.
            stage: The stage that is wanted (``--target``); empty: the last.
            args: Build arguments.
            buildkit: Whether BuildKit builds; else the classic builder.
        """
        wanted = self.find(stage) if stage else self.stages[-1]
        if wanted is None:
            return Needs()  # docker says so
        values = self._values(target, build, args or {}, buildkit=buildkit)
        platforms: dict[int, Platform | None] = {}
        for one in self.stages[: wanted.number + 1]:
            platforms[one.number] = self._platform(one, values, platforms, target)
        built = self._needed(wanted, values) if buildkit else set(range(wanted.number + 1))
        bases: list[Base] = []
        foreign: list[ForeignRun] = []
        for one in (self.stages[number] for number in sorted(built)):
            platform = platforms[one.number]
            bases += self._bases(one, platform, values, target)
            if platform is not None and not platform.runs_on(build):
                foreign += [ForeignRun(each.line, one.label, platform) for each in one.instructions if each.keyword == "RUN"]
        return Needs(tuple(dict.fromkeys(bases)), tuple(foreign))

    def buildkit_only(self) -> tuple[tuple[int, str], ...]:
        """Line and name of what the classic builder cannot do, in order; not everything: what is met most."""
        return tuple(found for stage in self.stages for found in _buildkit_only(stage))

    # ---- resolving ----------------------------------------------------------------------------------------------

    def _values(self, target: Platform, build: Platform, args: Mapping[str, str], *, buildkit: bool) -> dict[str, str]:
        values = {**_automatic("TARGET", target), **_automatic("BUILD", build)} if buildkit else {}
        values |= {name: args[name] for name in values if name in args}
        for instruction in self.arguments:
            for word in instruction.words:
                name, equals, default = word.partition("=")
                if name in args:
                    values[name] = args[name]
                elif equals and (filled := expand(default, values)) is not None:
                    values[name] = filled
        return values

    def _platform(
        self, stage: Stage, values: Mapping[str, str], before: Mapping[int, Platform | None], target: Platform
    ) -> Platform | None:
        if stage.platform is not None:
            text = expand(stage.platform, values)
            try:
                return Platform.parse(text) if text else None
            except PlatformSyntaxError:
                return None
        base = expand(stage.base, values)
        parent = self.find(base, before=stage.number) if base else None
        return target if parent is None else before[parent.number]

    def _needed(self, wanted: Stage, values: Mapping[str, str]) -> set[int]:
        needed: set[int] = set()
        waiting = [wanted]
        while waiting:
            stage = waiting.pop()
            if stage.number in needed:
                continue
            needed.add(stage.number)
            names = [expand(stage.base, values), *(name for _, name in _sources(stage))]
            waiting += [found for name in names if name and (found := self.find(name, before=stage.number)) is not None]
        return needed

    def _bases(self, stage: Stage, platform: Platform | None, values: Mapping[str, str], target: Platform) -> list[Base]:
        found = [(stage.line, expand(stage.base, values), platform)]
        found += [(line, name, target) for line, name in _sources(stage)]
        return [
            Base(name, where, line)
            for line, name, where in found
            if name and where is not None and name.lower() != SCRATCH and "$" not in name and self.find(name, before=stage.number) is None
        ]


def _stage(number: int, instructions: tuple[Instruction, ...]) -> Stage:
    head, words = instructions[0], instructions[0].words
    name = words[2].lower() if len(words) == 3 and words[1].upper() == "AS" else ""
    platforms = head.values("platform")
    return Stage(number, name, head.line, words[0] if words else "", platforms[-1] if platforms else None, instructions[1:])


def _automatic(prefix: str, platform: Platform) -> dict[str, str]:
    parts = {"PLATFORM": str(platform), "OS": platform.os, "ARCH": platform.arch, "VARIANT": platform.variant}
    return {prefix + name: value for name, value in parts.items()}


def _sources(stage: Stage) -> list[tuple[int, str]]:
    """Line and name of what a stage takes files from: an earlier stage, or an image."""
    found: list[tuple[int, str]] = []
    for one in stage.instructions:
        if one.keyword in {"COPY", "ADD"}:
            found += [(one.line, name) for name in one.values("from")]
        elif one.keyword == "RUN":
            mounts = (re.search(r"(?:^|,)from=([^,]+)", mount) for mount in one.values("mount"))
            found += [(one.line, mount.group(1)) for mount in mounts if mount is not None]
    return found


def _buildkit_only(stage: Stage) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    if stage.platform is not None and re.search(r"\$\{?(BUILD|TARGET)(PLATFORM|OS|ARCH|VARIANT)\b", stage.platform):
        found.append((stage.line, f"--platform={stage.platform}"))
    for one in stage.instructions:
        if one.keyword == "RUN" and (flags := [name for name, _ in one.flags if name in {"mount", "network", "security"}]):
            found.append((one.line, f"RUN --{flags[0]}"))
        elif one.keyword in {"COPY", "ADD"} and (
            flags := [name for name, _ in one.flags if name in {"chmod", "link", "parents", "exclude", "checksum"}]
        ):
            found.append((one.line, f"{one.keyword} --{flags[0]}"))
        if one.has_here_document:
            found.append((one.line, f"{one.keyword} <<"))
    return found

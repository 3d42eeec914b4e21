"""JibBuilder: looks at the base, runs Maven or Gradle, reads jib's report."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Literal

import attrs

from archkit.adapters.base_image import BaseSource, open_base
from archkit.adapters.loopback import is_loopback_registry
from archkit.adapters.process import environment
from archkit.errors import BuildError, BuildToolError, CommandError, ReferenceSyntaxError, RegistryError, ToolNotFoundError, ToolTooOldError
from archkit.model.build import BuilderAbilities, Delivered, RegistrySink
from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts, one_or_more
from archkit.model.platform import Platform
from archkit.model.reference import Digest, ImageReference
from archkit.model.secret import Secret
from archkit.planning.jib import (
    IN_POM,
    JAVA_OPTIONS,
    PLUGIN_VERSION,
    PROGRAMS,
    WRAPPERS,
    Tool,
    choose_tool,
    failure,
    gradle,
    java_options,
    maven,
    misses_java,
    properties,
    too_old,
)
from archkit.planning.tool_output import base_lacks_platform, tool_failure
from archkit.ports.builder import tell_lines
from archkit.ports.registry import ImageStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archkit.model.build import ArtifactFacts, BuildRequest, Sink
    from archkit.model.platform_set import PlatformSet
    from archkit.ports.builder import Artifact, BuildContext, Builder

SCRATCH = "scratch"
_REPORT_LIMIT = 1024 * 1024
_OTHER_SOURCES = ("docker://", "tar://")
"""Bases that jib reads from an engine or a file; archkit does not look into them."""
_INSTALL: dict[Tool, str] = {
    "maven": "install Maven and a JDK, or put Maven's wrapper (mvnw) into the project",
    "gradle": "put Gradle's wrapper (gradlew) into the project, or install Gradle",
}


@attrs.frozen
class JibBuilder:
    """Builds a Java program with jib in Maven or Gradle, for all platforms in one run; needs a JDK, and no engine.

    The classes are the same on every CPU; what differs is the base, which is read before jib runs where it is known
    (``base=``): a platform that it lacks is refused with those that it has.
    """

    module: str = ""
    """A module of a multi-module build, as Maven's ``--projects`` or Gradle (``services:web``) names it; empty: the folder's own."""
    base: str | None = attrs.field(default=None, kw_only=True)
    """The base image, or ``scratch``; None: as the build file says, or jib's own choice, which is on the internet."""
    tool: Tool | None = attrs.field(default=None, kw_only=True)
    """None: Gradle where the folder has one of its files, else Maven."""
    profiles: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """Maven's profiles to activate."""
    plugin: str | None = attrs.field(default=None, kw_only=True)
    """The version of jib's Maven plugin; None: the one of the POM, or of a POM without it 3.5.2."""
    image_format: Literal["Docker", "OCI"] | None = attrs.field(default=None, kw_only=True)
    """None: as the build file says, else Docker. jib makes no OCI index, so OCI is for one platform."""
    properties: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, kw_only=True)
    """More settings, such as ``{"jib.container.mainClass": "demo.Main"}``. A ``Secret``, and what is called a password, such as
    ``jib.to.auth.password``, stands on no command line and is shown nowhere."""
    args: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """More arguments of Maven or Gradle, such as ``-DskipTests``."""
    env: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, kw_only=True)
    """Environment of the build, over that of this process."""
    insecure_registries: bool | None = attrs.field(default=None, kw_only=True)
    """Allow plain http and unknown certificates, of every registry; None: only where the image goes to this machine."""
    credentials_over_http: bool = attrs.field(default=False, kw_only=True)
    """Send them to a registry without TLS."""
    program: str | None = attrs.field(default=None, kw_only=True)
    """Maven or Gradle; None: the project's wrapper, else the one on PATH."""
    timeout: float = attrs.field(default=3600.0, kw_only=True)
    """Seconds that a build may take."""
    base_store: ImageStore | None = attrs.field(default=None, kw_only=True)
    """Where the base's platforms are read; None: the registry client of the build."""

    def __attrs_post_init__(self) -> None:
        if self.image_format not in {None, "Docker", "OCI"}:
            raise ValueError(f"image_format is 'Docker' or 'OCI', not {self.image_format!r}")
        if self.module.startswith("-"):
            raise ValueError(f"not a module: {self.module!r}")
        java_options("", self._secrets())  # refuses what Java could not read

    @property
    def name(self) -> str:
        """``jib``."""
        return "jib"

    def abilities(self, context: BuildContext) -> BuilderAbilities:  # noqa: ARG002 - the same everywhere
        """Natively multi-platform, to registries; the base's platforms are looked at when they are known."""
        return BuilderAbilities(native_multi=True, default=Platform("linux", "amd64"), sinks=frozenset({RegistrySink}))

    def preflight(self, artifact: Artifact, platforms: PlatformSet, context: BuildContext, sink: Sink) -> None:  # noqa: ARG002 - of the port
        """Refuse what jib could not build, or would build for other platforms, before anything is built.

        Raises:
            BuildError: The folder has no build file, the format cannot hold the platforms, or the base lacks one.
        """
        self._tool(artifact)
        self._platforms(artifact.image, platforms, context)

    def build(self, request: BuildRequest, context: BuildContext) -> Delivered:
        """Run Maven or Gradle.

        Raises:
            BuildError: As :meth:`preflight`; or the build failed.
        """
        image, folder = request.artifact.image, request.artifact.context
        tool = self._tool(request.artifact)
        platforms = self._platforms(image, request.platforms, context)
        report, temporary = context.workdir / "image.json", context.workdir / "tmp"
        temporary.mkdir(exist_ok=True)
        command = self._command(tool, folder, str(request.reference or request.repository), platforms, report)
        options = "MAVEN_OPTS" if tool == "maven" else "GRADLE_OPTS"
        env = environment({"TMPDIR": str(temporary), **self.env})
        env[options] = f"{env.get(options, '')} -Djava.io.tmpdir={temporary}".strip()
        if secrets := self._secrets():
            env[JAVA_OPTIONS] = Secret(java_options(env.get(JAVA_OPTIONS, ""), secrets))
        try:
            done = context.runner.run(
                command,
                env=env,
                cwd=folder,
                timeout=self.timeout,
                cancel=context.cancelled,
                secrets=secrets.values(),
                on_line=tell_lines(context, image),
            )
        except ToolNotFoundError as error:
            raise ToolNotFoundError(error.tool, _INSTALL[tool]) from error
        except CommandError as error:
            raise _failed(error, image, tool) from error
        return Delivered(_digest(report, image), log=f"{done.output}{done.messages}")

    def why_not_delivered(self, asked: PlatformSet, found: PlatformSet, delivered: Delivered) -> str:  # noqa: ARG002 - of the port
        """jib writes no variants, and takes platforms from where the build file says as well."""
        return "jib writes no variant of a CPU into an image; and a later `jib.from.platforms` among the properties wins"

    def _secrets(self) -> dict[str, Secret]:
        return {name: Secret(value) for name, value in self.properties.items() if isinstance(value, Secret) or name.endswith(".password")}

    # ---- inside -------------------------------------------------------------------------------------------------

    def _tool(self, artifact: ArtifactFacts) -> Tool:
        tool = self.tool or choose_tool([path.name for path in artifact.context.iterdir()])
        if tool is None:
            reason = f"{artifact.context} has no build file of Maven or Gradle"
            raise BuildError(artifact.image, reason, "", "give the folder of pom.xml or build.gradle as the artifact's context")
        return tool

    def _command(self, tool: Tool, folder: Path, image: str, platforms: Sequence[str], report: Path) -> list[str]:
        wrapper = folder / WRAPPERS[tool]
        program = self.program or (str(wrapper.absolute()) if os.access(wrapper, os.X_OK) else PROGRAMS[tool])
        insecure = is_loopback_registry(image.partition("/")[0]) if self.insecure_registries is None else self.insecure_registries
        settings = properties(
            image=image,
            base=self.base,
            platforms=platforms,
            report=str(report),
            image_format=self.image_format,
            insecure=insecure,
            send_credentials=self.credentials_over_http,
            own={name: value for name, value in self.properties.items() if name not in self._secrets()},
        )
        if tool == "gradle":
            return gradle(program, module=self.module, image=image, settings=settings, more=self.args)
        plugin = self.plugin or (None if _names_jib(folder / "pom.xml") else PLUGIN_VERSION)
        return maven(program, module=self.module, profiles=self.profiles, plugin=plugin, settings=settings, more=self.args)

    def _platforms(self, image: str, platforms: PlatformSet, context: BuildContext) -> list[str]:
        """The platforms as jib names them: without variant."""
        if len(platforms) > 1 and self.image_format == "OCI":
            raise BuildError(
                image, "jib makes no OCI index; it makes Docker's manifest lists", "", "leave out image_format, or ask for one platform"
            )
        if self.base not in {None, SCRATCH} and not str(self.base).startswith(_OTHER_SOURCES):
            self._check_base(image, str(self.base), platforms, context)
        for platform in platforms:
            if platform != Platform(platform.os, platform.arch):
                raise BuildError(
                    image, "jib knows operating system and CPU alone, no variants", str(platform), f"ask for {platform.os}/{platform.arch}"
                )
        return [f"{platform.os}/{platform.arch}" for platform in platforms]

    def _check_base(self, image: str, base: str, platforms: PlatformSet, context: BuildContext) -> None:
        remedy = "name a base that can be read, with JibBuilder(base=…)"
        try:
            source = open_base(str(ImageReference.parse(base)), self.base_store or context.registry)
            for platform in platforms:
                _check_platform(image, source, platform)
        except ReferenceSyntaxError as error:
            raise BuildError(image, f"the base {base} is no image reference", "", remedy) from error
        except RegistryError as error:
            raise BuildError(image, f"the base {base} cannot be read: {error.problem()}", "", error.advice() or remedy) from error


def _check_platform(image: str, source: BaseSource, platform: Platform) -> None:
    if source.find(platform) is None:
        raise base_lacks_platform(image, source.name, source.platforms, platform)
    first = next(one for one in source.platforms if (one.os, one.arch) == (platform.os, platform.arch))
    if not first.satisfies(platform):
        reason = f"of {platform.os}/{platform.arch} jib takes the first in the base {source.name}, which is {first}"
        raise BuildError(image, reason, str(platform), f"use a base whose first is {platform}")


def _names_jib(pom: Path) -> bool:
    """Whether a POM has jib's plugin; one that a parent names is asked for by ``plugin=`` or found by Maven's prefix."""
    try:
        with pom.open("rb") as file:
            return IN_POM in file.read(_REPORT_LIMIT)
    except OSError:
        return False


def _digest(report: Path, image: str) -> Digest:
    try:
        with report.open("rb") as file:
            fields = json.loads(file.read(_REPORT_LIMIT))
        return Digest(fields["imageDigest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"jib ended without an error and left no report of what it pushed ({type(error).__name__})"
        raise BuildError(image, reason, "", "the build file may skip jib (jib.skip), or its version be too old") from error


def _failed(error: CommandError, image: str, tool: Tool) -> BuildError:
    output = f"{error.stdout}\n{error.stderr}"
    if misses_java(output):
        return tool_failure(ToolNotFoundError("java", "install a JDK, and set JAVA_HOME or put java on PATH"), image, builder="jib")
    if versions := too_old(output):
        return tool_failure(ToolTooOldError("jib's plugin", versions[0], versions[1]), image, builder="jib")
    known = tool_failure(error, image, builder="jib")
    reason = failure(output)
    if isinstance(known, BuildToolError) and reason and known.kind != "timeout":
        remedy = known.remedy
        return BuildToolError(image, f"jib failed in {tool.capitalize()}: {reason}", "", remedy, known.kind, known.log)
    return known


if TYPE_CHECKING:
    _conforms: type[Builder] = JibBuilder

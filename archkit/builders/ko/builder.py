"""KoBuilder: asks Go, the base's registry and ko."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

import attrs

from archkit.adapters.oci_layout import OciLayout
from archkit.builders.ko.base import base_platforms, read_config
from archkit.builders.ko.command import (
    CPU_VARIABLES,
    OLDEST,
    OLDEST_WITH,
    digest_in,
    environment,
    failure,
    go_flags,
    list_flag,
    progress,
    version_of,
)
from archkit.builders.ko.config import flag_name
from archkit.copying import copy_image
from archkit.errors import BuildError, BuildToolError, CommandError, PlatformSyntaxError, ToolNotFoundError, ToolTooOldError
from archkit.events import Event
from archkit.model.build import BuilderAbilities, Delivered, LayoutSink, RegistrySink
from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts, one_or_more
from archkit.model.platform import Platform
from archkit.planning.names import KO
from archkit.planning.tool_output import tool_failure
from archkit.ports.registry import ImageStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.model.build import ArtifactFacts, BuildRequest, Sink
    from archkit.model.platform_set import PlatformSet
    from archkit.ports.builder import Artifact, BuildContext, Builder
    from archkit.ports.runner import LineListener, Stream

_QUESTION_TIMEOUT = 120.0
"""Seconds for a question to Go or ko; ``go list`` may download modules."""
_INSTALL_KO = "install it, for example with `go install github.com/google/ko@latest`, or give its path as KoBuilder(program=…)"
_NO_MODULE = "give the folder of a Go module as the artifact's context"
_INSTALL_GO = "ko compiles with Go: install Go and put it on PATH"


def _path(value: str | os.PathLike[str] | None) -> Path | None:
    return None if value is None else Path(value)


@attrs.frozen
class KoBuilder:
    """Builds a Go program with ko, for all platforms in one call; needs ko 0.15.4 or later and Go, and no engine.

    The program is compiled for each platform (never emulated) and put on a base image. ko drops platforms that the base
    lacks without a word; here the base is read first and a platform that it lacks is refused, with those that it has.
    ``.ko.yaml`` counts as in every run of ko, except its ``defaultPlatforms``: the platforms are always given.

    An artifact may be named by its import path, as manifests for ko name images: ``ko://example.com/team/app/cmd/web``.

    Raises:
        ValueError: A value that cannot work, such as a platform variable in ``env``.
    """

    main: str = ""
    """The program: an import path, or a folder relative to the artifact's, such as ``./cmd/web``. Empty: the import path in
    the artifact's ``ko://`` name, else the artifact's folder."""
    base: str | None = attrs.field(default=None, kw_only=True)
    """The base image; None: what ``.ko.yaml`` or KO_DEFAULTBASEIMAGE names, else ko's own choice, which is on the internet."""
    config: Path | None = attrs.field(default=None, converter=_path, kw_only=True)
    """A ``.ko.yaml``, or the folder of one, relative to the artifact's folder; None: the artifact's own, or KO_CONFIG_PATH."""
    ldflags: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """For the linker; they replace those of ``.ko.yaml``. ko fills in its templates, such as ``{{.Git.ShortCommit}}``."""
    tags: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """Build tags."""
    flags: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """More flags of ``go build``, each with its value: ``-mod=vendor``."""
    labels: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, kw_only=True)
    annotations: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, kw_only=True)
    user: str = attrs.field(default="", kw_only=True)
    """Who the program runs as; empty: as the base says."""
    env: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, kw_only=True)
    """Environment of ko and Go, over that of this process; GOOS, GOARCH and the like are not among it and never passed on."""
    sbom: Literal["none", "spdx"] = attrs.field(default="none", kw_only=True)
    """``spdx`` makes ko push a list of modules beside each image, tagged ``sha256-….sbom``."""
    sbom_dir: Path | None = attrs.field(default=None, converter=_path, kw_only=True)
    """A folder that these lists are written to as well."""
    disable_optimizations: bool = attrs.field(default=False, kw_only=True)
    """For debuggers."""
    jobs: int | None = attrs.field(default=None, kw_only=True)
    """Platforms that are compiled at the same time; None: as many as there are CPUs."""
    insecure_registry: bool = attrs.field(default=False, kw_only=True)
    """Allow plain http and unknown certificates; the registry client has its own settings for that."""
    program: str = attrs.field(default="ko", kw_only=True)
    """ko's name on PATH, or its path."""
    timeout: float = attrs.field(default=3600.0, kw_only=True)
    """Seconds that a build may take."""
    base_store: ImageStore | None = attrs.field(default=None, kw_only=True)
    """Where the base's platforms are read; None: the registry client of the build, or one of its own."""

    def __attrs_post_init__(self) -> None:
        for name in self.env:
            if name in CPU_VARIABLES:
                raise PlatformSyntaxError(f"{name}={self.env[name]}", "a platform is asked for by the targets of the build, not by env")
        for flag in self.flags:
            if not flag.startswith("-"):
                raise ValueError(f"not a flag: {flag!r}; write a flag and its value as one text, for example -mod=vendor")
        if self.sbom not in {"none", "spdx"}:
            raise ValueError(f"sbom is 'none' or 'spdx', not {self.sbom!r}")
        if self.main.startswith("-"):
            raise ValueError(f"not a package: {self.main!r}")

    @property
    def name(self) -> str:
        """``ko``."""
        return "ko"

    def abilities(self, context: BuildContext) -> BuilderAbilities:
        """Natively multi-platform, to registries and layouts; the base's platforms are looked at when they are known.

        Raises:
            ToolNotFoundError: There is no ko.
            ToolTooOldError: It is too old for what it is asked to do.
        """
        try:
            said = context.runner.run(
                [self.program, "version"], env=self._environment(context, ""), timeout=_QUESTION_TIMEOUT, cancel=context.cancelled
            ).output.strip()
        except ToolNotFoundError as error:
            raise ToolNotFoundError(self.program, _INSTALL_KO) from error
        self._check_version(said)
        ignored = [name for name in CPU_VARIABLES if os.environ.get(name)]
        notes = [f"ko {said} compiles for each platform and emulates nothing"]
        notes += [f"{', '.join(ignored)} of the environment is not passed on to ko"] if ignored else []
        return BuilderAbilities(
            native_multi=True,
            default=Platform("linux", "amd64"),
            sinks=frozenset({RegistrySink, LayoutSink}),
            notes=tuple(notes),
        )

    def preflight(self, artifact: Artifact, platforms: PlatformSet, context: BuildContext, sink: Sink) -> None:
        """Refuse what ko could not build, or would build for other platforms, before anything is built.

        Raises:
            BuildError: Go finds no such program, settings contradict each other, or the base lacks a platform.
            ToolNotFoundError: There is no Go.
        """
        self._prepare(artifact, platforms, context, sink)

    def build(self, request: BuildRequest, context: BuildContext) -> Delivered:
        """Run ko.

        Raises:
            BuildError: As :meth:`preflight`; or ko failed.
        """
        image = request.artifact.image
        import_path, platforms = self._prepare(request.artifact, request.platforms, context, request.sink)
        layout = OciLayout(context.workdir / "layout") if isinstance(request.sink, LayoutSink) else None
        command = self._command(request, import_path, platforms, layout)
        try:
            done = context.runner.run(
                command,
                env=self._environment_of_build(context, request.repository.name),
                cwd=request.artifact.context,
                timeout=self.timeout,
                cancel=context.cancelled,
                on_line=_teller(context, image),
            )
        except CommandError as error:
            raise _failed(error, image) from error
        digest = digest_in(done.output)
        if digest is None:
            raise BuildError(image, "ko ended without an error and named no digest", "", "its version may be newer than archkit knows")
        if layout is not None:
            copy_image(layout, digest, context.registry, request.reference or request.repository)
        return Delivered(digest, log=done.messages)

    def why_not_delivered(self, asked: PlatformSet, found: PlatformSet, delivered: Delivered) -> str:  # noqa: ARG002 - of the port
        """ko builds for whatever of the platforms its base has, and for other CPUs where the configuration says so."""
        if set(asked) <= set(found):
            return "GOOS or GOARCH in `env` or `defaultEnv` of .ko.yaml wins over the platform; take it out"
        return "ko leaves out what its base lacks without a word; the base may have changed during the build"

    # ---- what ko is told ----------------------------------------------------------------------------------------

    def _command(self, request: BuildRequest, import_path: str, platforms: Sequence[str], layout: OciLayout | None) -> list[str]:
        command = [self.program, "build", import_path, f"--platform={','.join(platforms)}", "--bare", f"--sbom={self.sbom}"]
        if layout is not None:
            command += ["--push=false", f"--oci-layout-path={layout.path}"]
        elif request.reference is not None:
            command.append(f"--tags={request.reference.tag}")
        command += list_flag("ldflags", self.ldflags)
        command += list_flag("image-label", (f"{name}={value}" for name, value in self.labels.items()))
        command += list_flag("image-annotation", (f"{name}={value}" for name, value in self.annotations.items()))
        command += [f"--image-user={self.user}"] if self.user else []
        command += [f"--sbom-dir={self.sbom_dir.absolute()}"] if self.sbom_dir is not None else []
        command += ["--disable-optimizations"] if self.disable_optimizations else []
        command += [f"--jobs={self.jobs}"] if self.jobs is not None else []
        command += ["--insecure-registry"] if self.insecure_registry else []
        return command

    def _environment(self, context: BuildContext, repository: str) -> dict[str, str]:
        temporary = context.workdir / "tmp"
        temporary.mkdir(exist_ok=True)
        settings = environment(os.environ, self.env, repository=repository, base=self.base, temporary=str(temporary))
        if self.config is not None:
            settings["KO_CONFIG_PATH"] = str(self.config)
        return settings

    def _environment_of_build(self, context: BuildContext, repository: str) -> dict[str, str]:
        settings = self._environment(context, repository)
        if self.tags or self.flags:
            settings["GOFLAGS"] = go_flags(self._go(context, settings, None, "env", "GOFLAGS"), self.tags, self.flags)
        return settings

    # ---- what is looked at before -------------------------------------------------------------------------------

    def _prepare(self, artifact: ArtifactFacts, platforms: PlatformSet, context: BuildContext, sink: Sink) -> tuple[str, tuple[str, ...]]:
        """The program's import path, and the platforms as the base spells them."""
        image = artifact.image
        settings = self._environment_of_build(context, "")
        import_path, directory = self._find_program(artifact, context, settings)
        config = read_config(image, artifact.context, settings.get("KO_CONFIG_PATH", ""))
        self._check_flags(image, config.flags_of(directory), config.name)
        chosen = config.base_of(import_path, argument=self.base, variable=settings.get("KO_DEFAULTBASEIMAGE", ""))
        if self.base is not None and chosen.reference != self.base:
            reason = f"KoBuilder(base={self.base!r}) and {chosen.said_by} name two bases, and ko would take {chosen.reference}"
            raise BuildError(image, reason, "", "take one of them out")
        store = self.base_store or (context.registry if isinstance(sink, RegistrySink) else None)
        return import_path, base_platforms(image, chosen, platforms, store)

    def _find_program(self, artifact: ArtifactFacts, context: BuildContext, settings: dict[str, str]) -> tuple[str, PurePosixPath]:
        """Import path of the program, and its folder below the artifact's."""
        image, folder = artifact.image, artifact.context
        main = self.main or (image.removeprefix(KO) if image.startswith(KO) else ".")
        if not main.startswith(".") and (folder / main).is_dir():
            main = f"./{main}"
        shape = "{{.ImportPath}}\n{{.Name}}\n{{.Dir}}"
        try:
            said = self._go(context, settings, folder, "list", "-find", "-f", shape, main)
        except CommandError as error:
            reason = f"Go finds no program {main} in {folder}: {' '.join(error.stderr.split())}"
            outside = "go.mod file not found" in error.stderr
            raise BuildError(image, reason, "", _NO_MODULE if outside else self._programs(context, settings, folder)) from error
        import_path, _, rest = said.strip().partition("\n")
        kind, _, directory = rest.partition("\n")
        if "\n" in directory:
            raise BuildError(image, f"{main} is several packages", "", self._programs(context, settings, folder))
        if kind != "main":
            reason = f"{import_path} is a library (package {kind}); ko builds programs (package main)"
            raise BuildError(image, reason, "", self._programs(context, settings, folder))
        return import_path, PurePosixPath(os.path.relpath(os.path.realpath(directory), os.path.realpath(folder)))

    def _programs(self, context: BuildContext, settings: dict[str, str], folder: Path) -> str:
        """Advice that names the programs which are there."""
        shape = '{{if eq .Name "main"}}{{.ImportPath}}{{end}}'
        try:
            found = self._go(context, settings, folder, "list", "-find", "-e", "-f", shape, "./...").split()
        except CommandError:
            return _NO_MODULE
        return f"name one with KoBuilder(main=…): {', '.join(found[:10])}" if found else "there is no program (package main) in the folder"

    def _check_flags(self, image: str, theirs: Sequence[str], file: str) -> None:
        """ko puts the flags of its configuration on the command line, where they win over what archkit can give."""
        mine = {flag_name(flag) for flag in self.flags} | ({"tags"} if self.tags else set())
        both = sorted(mine & {flag_name(flag) for flag in theirs})
        if both:
            reason = f"-{both[0]} is set by KoBuilder and by {file}, and ko would take the file's"
            raise BuildError(image, reason, "", "take one of them out")

    def _check_version(self, said: str) -> None:
        version = version_of(said)
        if version is None:  # built from a working copy
            return
        wants = {name: oldest for name, oldest in OLDEST_WITH.items() if getattr(self, name)}
        name, oldest = max(wants.items(), key=lambda item: item[1], default=("", OLDEST))
        if version < oldest:
            needed = ".".join(map(str, oldest))
            what = f"KoBuilder({name}=…) needs it; " if name else ""
            raise ToolTooOldError(self.program, said, needed, what + _INSTALL_KO)

    def _go(self, context: BuildContext, settings: dict[str, str], folder: Path | None, *arguments: str) -> str:
        program = settings.get("KO_GO_PATH") or "go"
        try:
            done = context.runner.run([program, *arguments], env=settings, cwd=folder, timeout=_QUESTION_TIMEOUT, cancel=context.cancelled)
        except ToolNotFoundError as error:
            raise ToolNotFoundError(program, _INSTALL_GO) from error
        return done.output


def _teller(context: BuildContext, image: str) -> LineListener:
    """As ``tell_lines``, with the platform that a line is about and without ko's times."""

    def tell(stream: Stream, line: str) -> None:
        if stream == "stdout":
            return
        text, platform = progress(line)
        if text:
            context.emit(Event("build", "progress", image, _platform(platform), text))

    return tell


def _platform(text: str | None) -> Platform | None:
    try:
        return None if text is None else Platform.parse(text)
    except PlatformSyntaxError:
        return None


def _failed(error: CommandError, image: str) -> BuildError:
    known = tool_failure(error, image, builder="ko")
    if isinstance(known, BuildToolError) and known.kind == "failed":  # mostly Go's compiler has something to say
        return BuildToolError(image, f"ko failed: {failure(error.stderr)}", "", known.remedy, known.kind, known.log)
    return known


if TYPE_CHECKING:
    _conforms: type[Builder] = KoBuilder

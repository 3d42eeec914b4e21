"""BuildpacksBuilder: asks pack, the engine and the registries, and runs pack."""

from __future__ import annotations

import os
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, get_args

import attrs

from archkit.adapters.binfmt import this_machine
from archkit.adapters.docker_engine import DockerEngine, client_environment
from archkit.adapters.loopback import is_loopback_registry
from archkit.adapters.toml import load_toml
from archkit.builders.buildpacks.command import (
    CACHE_PREFIX,
    OLDEST,
    OWN_FLAGS,
    cache_words,
    failure,
    no_buildpack_fits,
    platform_word,
    reported_digest,
    trusted,
    version_of,
)
from archkit.builders.buildpacks.images import ImageSearch, PullPolicy, TakenImage
from archkit.builders.buildpacks.metadata import LABEL, LIFECYCLE_IMAGE, BuilderMetadata, Descriptor, preferred
from archkit.errors import BuildError, BuildToolError, CommandError, ToolNotFoundError, ToolTooOldError
from archkit.model.build import BuilderAbilities, Delivered, EngineSink, RegistrySink
from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts, one_or_more
from archkit.planning.docker import DockerFacts
from archkit.planning.emulation import BuildMachine, emulation_findings, judge, refuse_missing
from archkit.planning.go_csv import csv_field
from archkit.planning.handed_values import flags, handed, refuse_exposed
from archkit.planning.names import final_reference
from archkit.planning.tool_output import tool_failure
from archkit.ports.builder import tell_lines
from archkit.ports.registry import ImageStore

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator
    from pathlib import Path

    from archkit.model.build import ArtifactFacts, BuildRequest, Sink
    from archkit.model.finding import Finding
    from archkit.model.platform import Platform
    from archkit.model.platform_set import PlatformSet
    from archkit.model.reference import Digest
    from archkit.ports.builder import Artifact, BuildContext, Builder, ExplainsMismatch, Preflight

_QUESTION_TIMEOUT = 60.0
"""Seconds for a question to pack."""
_ABANDONED = 600.0
"""Seconds after which a container of pack that has ended belongs to nobody: pack copies reports out of it, then removes it."""
_FILE_LIMIT = 1024 * 1024
"""Largest ``project.toml`` and ``report.toml`` that is read, in bytes."""
_INSTALL = "install it (https://buildpacks.io/docs/for-platform-operators/how-to/integrate-ci/pack/), or give its path as program=…"


@attrs.frozen
class _Taken:
    """What pack will take for one platform."""

    builder: TakenImage
    run: TakenImage
    lifecycle: TakenImage | None
    """None: the builder's own."""
    trusted: bool
    pull: PullPolicy


_found: weakref.WeakKeyDictionary[threading.Event, dict[tuple[BuildpacksBuilder, str, Path, Platform], _Taken]] = (
    weakref.WeakKeyDictionary()
)
"""What was found, for as long as one run lasts: what was looked at is what is built with."""


@attrs.frozen
class BuildpacksBuilder:
    """Builds a source folder with Cloud Native Buildpacks: pack 0.35 or later, and an engine that it works in.

    Buildpacks run programs of the target, so a platform other than the engine's needs an emulator there. pack takes
    whatever the engine has under a builder's name, whatever platform it is asked for, with status 0; here the builder,
    run and lifecycle images are looked at first, a platform that one lacks is refused with those that it has, and pack
    is given the digest of the platform's own image.

    Raises:
        ValueError: A value that cannot work, such as a flag among ``args`` that archkit gives itself.
    """

    builder: str | None = None
    """The builder image; None: the one that ``project.toml`` names."""
    run_image: str | None = attrs.field(default=None, kw_only=True)
    """What the program is put on; None: the builder's own, from a mirror in the image's registry where it has one."""
    lifecycle_image: str | None = attrs.field(default=None, kw_only=True)
    """For a builder that is not trusted; None: the public one of the builder's version."""
    buildpacks: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """As ``--buildpack`` has them; none: the builder's order decides. A folder counts from the artifact's folder."""
    env: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, kw_only=True)
    """For buildpacks, not for the program when it runs. They never stand on a command line; a ``Secret``, and what is called
    a token or the like, is shown nowhere."""
    descriptor: str | None = attrs.field(default=None, kw_only=True)
    """The project descriptor, from the artifact's folder; None: ``project.toml``, where there is one."""
    default_process: str = attrs.field(default="", kw_only=True)
    """The process that the image starts; empty: ``web``."""
    pull: PullPolicy = attrs.field(default="always", kw_only=True)
    """When the engine asks registries: ``always``; ``if-not-present``: what it has already need not be pulled, and what only
    it has will do; ``never``."""
    trust_builder: bool | None = attrs.field(default=None, kw_only=True)
    """Whether the builder may see the sign-in of registries, which is one container instead of five; None: as pack is set, whose own trust
    False does not undo."""
    trust_extra_buildpacks: bool = attrs.field(default=False, kw_only=True)
    """The same for buildpacks that are not the builder's."""
    cache: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """As ``--cache`` has it, with ``{platform}``; without any, volumes of the engine by repository and platform."""
    cache_image: str = attrs.field(default="", kw_only=True)
    """An image to cache in instead; each platform has a tag of its own, ``TAG_linux_arm64``."""
    clear_cache: bool = attrs.field(default=False, kw_only=True)
    network: str | None = attrs.field(default=None, kw_only=True)
    """Network of the containers; None: ``host`` where the image goes to this machine's own address, else the engine's default
    (one that pack makes itself would be left behind by an interrupted build)."""
    volumes: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """As ``--volume`` has them."""
    insecure_registries: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """Registries without TLS, other than this machine's own. The registry client has its own settings for that."""
    args: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """More arguments of ``pack build``, such as ``--creation-time=now``."""
    host: str | None = attrs.field(default=None, kw_only=True)
    """The engine's address; None: DOCKER_HOST, or that of the docker context."""
    program: str = attrs.field(default="pack", kw_only=True)
    """pack's name on PATH, or its path."""
    timeout: float = attrs.field(default=3600.0, kw_only=True)
    """Seconds that the build of one platform may take."""
    store: ImageStore | None = attrs.field(default=None, kw_only=True, eq=False)
    """Where builder, run and lifecycle images are read; None: the registry client of the build, or one of its own."""
    machine: BuildMachine | None = attrs.field(default=None, kw_only=True)
    """What this machine runs; None: its kernel is asked."""

    def __attrs_post_init__(self) -> None:
        if self.pull not in get_args(PullPolicy):
            raise ValueError(f"pull is one of {', '.join(get_args(PullPolicy))}, not {self.pull!r}")
        for cache in self.cache:
            if "{platform}" not in cache:
                raise ValueError(f"every platform needs a cache of its own; write {{platform}} into its name: {cache!r}")
        for word in self.args:
            if word.partition("=")[0] in OWN_FLAGS or (word.startswith("-") and word[1:2] != "-" and word[:2] in OWN_FLAGS):
                raise ValueError(f"archkit gives {word.partition('=')[0]} itself; use the builder's own argument for it")

    @property
    def name(self) -> str:
        """``buildpacks``."""
        return "buildpacks"

    # ---- before the build ----------------------------------------------------------------------------------------

    def abilities(self, context: BuildContext) -> BuilderAbilities:
        """One platform a call, at the same time, to registries and the engine.

        Raises:
            ToolNotFoundError: There is no pack.
            ToolTooOldError: It has no ``--platform``.
            CommandError: The engine does not answer.
        """
        said = self._pack(context, "version").strip()
        version = version_of(said)
        if version is not None and version < OLDEST:
            raise ToolTooOldError(
                self.program, said, ".".join(map(str, OLDEST)), f"before, it builds for the engine's platform alone; {_INSTALL}"
            )
        facts = self._facts(context)
        return BuilderAbilities(
            default=facts.default,
            sinks=frozenset({RegistrySink, EngineSink}),
            parallel=True,
            notes=(f"pack {said} builds one platform a call, in {facts.engine or 'an engine that could not be asked'}",),
        )

    def preflight(self, artifact: Artifact, platforms: PlatformSet, context: BuildContext, sink: Sink) -> list[Finding]:
        """Look at the builder, run and lifecycle images, and at what the engine's machine can run.

        Raises:
            BuildError: An image cannot be read, is no builder, or lacks a platform; or a setting cannot work here.
            EmulationMissing: The engine's machine runs no programs of a platform.
        """
        image = artifact.image
        refuse_exposed(image, "environment variable", self.env, "give it to the buildpack as a file, with volumes=…")
        if self.cache_image and not isinstance(sink, RegistrySink):
            raise BuildError(image, "a cache image needs an image that goes to a registry", "", "leave out cache_image")
        for platform in platforms:
            self._taken(artifact, platform, context, sink)
        machines = self._facts(context).machines(self.machine or this_machine())
        verdicts = judge(platforms, machines)
        refuse_missing(image, verdicts, machines, where="buildpacks")
        return emulation_findings(image, verdicts)

    def _taken(self, artifact: ArtifactFacts, platform: Platform, context: BuildContext, sink: Sink) -> _Taken:
        known = _found.setdefault(context.cancelled, {})
        key = (self, artifact.image, artifact.context, platform)
        if key not in known:
            known[key] = self._look(artifact, platform, context, sink)
        return known[key]

    def _look(self, artifact: ArtifactFacts, platform: Platform, context: BuildContext, sink: Sink) -> _Taken:
        descriptor = self._descriptor(artifact)
        builder = self.builder or (descriptor.builder if descriptor else "")
        if not builder:
            raise self._no_builder(artifact, descriptor)
        with self._store(context, sink) as store:
            search = ImageSearch(artifact.image, platform, self.pull, store, self._engine(context))
            found = search.in_engine("builder", builder)
            metadata = _metadata(artifact.image, builder, found)
            trusts = self.trust_builder
            if trusts is None:
                trusts = trusted(self._pack(context, "config", "trusted-builders", "list"), builder)
            names = [self.run_image] if self.run_image else list(metadata.run_images)
            if not names:
                raise BuildError(artifact.image, f"the builder image {builder} names no run image", "", "name one with run_image=…")
            pull = self.pull
            if isinstance(sink, RegistrySink):
                registry = final_reference(artifact.image, sink, "latest").registry
                run = search.in_registry("run", preferred(names, registry))
            else:
                run = search.in_engine("run", names[0])
                if pull == "if-not-present" and search.stale("run", names[0]):
                    pull = "always"  # not named by digest, which would keep `pack rebase` from finding a newer one
            extra = (*self.buildpacks, *(descriptor.buildpacks if descriptor else ()))
            needs_own = not trusts or (metadata.lacks(extra) and not self.trust_extra_buildpacks)
            lifecycle = self.lifecycle_image or (f"{LIFECYCLE_IMAGE}:{metadata.lifecycle}" if metadata.lifecycle else "")
            own = search.in_engine("lifecycle", lifecycle) if needs_own and lifecycle else None
            return _Taken(found, run, own, trusts, pull)

    def _no_builder(self, artifact: ArtifactFacts, descriptor: Descriptor | None) -> BuildError:
        path, remedy = self._descriptor_path(artifact), "name one with BuildpacksBuilder('IMAGE'), or as builder in project.toml"
        reason = "no builder image is named"
        if descriptor is None:
            reason = f"{path} can be read by Python 3.11 and later only"
        elif descriptor.ignored:
            reason = f'{path} names no schema version, so pack does not read its [io.buildpacks]; write schema-version = "0.2" below [_]'
        return BuildError(artifact.image, reason, "", remedy)

    # ---- the build -----------------------------------------------------------------------------------------------

    def build(self, request: BuildRequest, context: BuildContext) -> Delivered:
        """Run pack for one platform.

        Raises:
            BuildError: As :meth:`preflight`; or pack failed.
        """
        image, platform = request.artifact.image, request.platform
        self._remove_abandoned(context)
        taken = self._taken(request.artifact, platform, context, request.sink)
        report, temporary = context.workdir / "report", context.workdir / "tmp"
        for folder in (report, temporary):
            folder.mkdir(exist_ok=True)  # where there is no folder for the report, pack writes a file of its name
        changes: dict[str, str | None] = {**handed(self.env), "TMPDIR": str(temporary), **({"DOCKER_HOST": self.host} if self.host else {})}
        try:
            done = context.runner.run(
                self._command(request, taken, report),
                env=client_environment(changes),
                cwd=request.artifact.context,
                timeout=self.timeout,
                cancel=context.cancelled,
                on_line=tell_lines(context, image, platform),
            )
        except ToolNotFoundError as error:
            raise ToolNotFoundError(self.program, _INSTALL) from error
        except CommandError as error:
            raise _failed(error, image, platform) from error
        return Delivered(None if isinstance(request.sink, EngineSink) else _digest(report), log=done.output)

    def why_not_delivered(self, asked: PlatformSet, found: PlatformSet, delivered: Delivered) -> str:  # noqa: ARG002 - of the port
        """pack labels the image as its run image is, and takes what is under its name when it runs."""
        return "pack takes what its images hold when it runs, for whatever platform that is; the builder or run image has changed meanwhile"

    def _command(self, request: BuildRequest, taken: _Taken, report: Path) -> list[str]:
        local = isinstance(request.sink, EngineSink)
        reference = request.reference or request.repository
        network = self.network if self.network is not None else ("host" if is_loopback_registry(reference.registry) else "default")
        command = [self.program, "build", str(reference), "--no-color", "--platform", platform_word(request.platform)]
        command += ["--builder", taken.builder.reference, "--pull-policy", taken.pull, "--path", str(request.artifact.context.absolute())]
        command += [] if local else ["--publish"]
        command += ["--docker-host", "inherit"] if local and (self.host or os.environ.get("DOCKER_HOST")) else []
        command += ["--trust-builder"] if taken.trusted else []
        command += ["--trust-extra-buildpacks"] if self.trust_extra_buildpacks else []
        command += ["--run-image", self.run_image] if self.run_image else []
        command += ["--lifecycle-image", taken.lifecycle.reference] if taken.lifecycle else []
        command += ["--descriptor", self.descriptor] if self.descriptor else []
        command += ["--default-process", self.default_process] if self.default_process else []
        for flag, values in (
            ("--buildpack", map(csv_field, self.buildpacks)),
            ("--volume", self.volumes),
            ("--insecure-registry", self.insecure_registries),
        ):
            command += [word for value in values for word in (flag, value)]
        command += flags("--env", self.env)
        key = os.environ.get("PACK_VOLUME_KEY", "")
        command += cache_words(request.repository, request.platform, caches=self.cache, image=self.cache_image, key=key)
        command += ["--clear-cache"] if self.clear_cache else []
        return [*command, "--network", network, "--report-output-dir", str(report), *self.args]

    # ---- plumbing ------------------------------------------------------------------------------------------------

    def _descriptor_path(self, artifact: ArtifactFacts) -> Path:
        return artifact.context / (self.descriptor or "project.toml")

    def _descriptor(self, artifact: ArtifactFacts) -> Descriptor | None:
        """The project descriptor, an empty one where there is none; None: this Python cannot read it."""
        path = self._descriptor_path(artifact)
        if self.descriptor is None and not path.is_file():
            return Descriptor()
        try:
            with path.open("rb") as file:
                text = file.read(_FILE_LIMIT).decode()
            fields = load_toml(text)
        except (OSError, ValueError) as error:
            reason = f"the project descriptor {path} cannot be read: {(isinstance(error, OSError) and error.strerror) or error}"
            raise BuildError(artifact.image, reason) from error
        return None if fields is None else Descriptor.from_fields(fields)

    @contextmanager
    def _store(self, context: BuildContext, sink: Sink) -> Generator[ImageStore, None, None]:
        if self.store is not None:
            yield self.store
        elif isinstance(sink, RegistrySink):
            yield context.registry
        else:
            from archkit.adapters.registry import RegistryClient

            with RegistryClient() as client:
                yield client

    def _engine(self, context: BuildContext) -> DockerEngine:
        return DockerEngine(host=self.host, runner=context.runner, cancel=context.cancelled)

    def _facts(self, context: BuildContext) -> DockerFacts:
        try:
            return self._engine(context).machine()
        except ToolNotFoundError:  # pack needs no docker client; what it would have told stays unknown
            return DockerFacts()

    def _remove_abandoned(self, context: BuildContext) -> None:
        """What a run leaves that was killed: pack dies with it as soon as it has something to print."""
        with suppress(ToolNotFoundError):
            self._engine(context).remove_abandoned(
                label="author=pack", marks=CACHE_PREFIX, volumes=("pack-layers-", "pack-app-"), images="pack.local/", seconds=_ABANDONED
            )

    def _pack(self, context: BuildContext, *words: str) -> str:
        temporary = context.workdir / "tmp"
        temporary.mkdir(exist_ok=True)
        env = client_environment({"TMPDIR": str(temporary)})
        try:
            done = context.runner.run([self.program, *words, "--no-color"], env=env, timeout=_QUESTION_TIMEOUT, cancel=context.cancelled)
        except ToolNotFoundError as error:
            raise ToolNotFoundError(self.program, _INSTALL) from error
        return done.output


def _metadata(image: str, name: str, builder: TakenImage) -> BuilderMetadata:
    remedy = "name one that `pack builder suggest` lists, or that `pack builder create` made"
    label = builder.labels.get(LABEL)
    if label is None:
        raise BuildError(image, f"{name} is no builder image: it has no label {LABEL}", "", remedy)
    try:
        metadata = BuilderMetadata.parse(label)
    except ValueError as error:
        raise BuildError(image, f"the label {LABEL} of the builder image {name} cannot be read", "", remedy) from error
    return metadata


def _digest(report: Path) -> Digest | None:
    try:
        with (report / "report.toml").open(encoding="utf-8", errors="replace") as file:
            return reported_digest(file.read(_FILE_LIMIT))
    except OSError:  # the tag says it as well
        return None


def _failed(error: CommandError, image: str, platform: Platform) -> BuildError:
    known = tool_failure(error, image, builder="buildpacks", platform=str(platform))
    if not isinstance(known, BuildToolError) or known.kind != "failed":
        return known
    if no_buildpack_fits(error.stderr):
        reason = f"no buildpack of the builder fits the folder: {failure(error.stdout)}"
        remedy = "check the artifact's folder, use a builder for its language, or name buildpacks=…"
        return BuildToolError(image, reason, str(platform), remedy, known.kind, known.log)
    said = failure(error.stdout)
    return BuildToolError(image, f"buildpacks failed: {said}", str(platform), known.remedy, known.kind, known.log) if said else known


if TYPE_CHECKING:
    _builds: type[Builder] = BuildpacksBuilder
    _looks: type[Preflight] = BuildpacksBuilder
    _explains: type[ExplainsMismatch] = BuildpacksBuilder

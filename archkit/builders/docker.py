"""DockerBuilder: Dockerfiles, with whatever Docker is there."""

from __future__ import annotations

import json
import threading
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from archkit.adapters.binfmt import this_machine
from archkit.adapters.docker_engine import DockerEngine, client_environment
from archkit.adapters.dockerfiles import check_bases, check_stage, load_dockerfile
from archkit.errors import BuildError, BuildToolError, CancelledError, PlatformNotDelivered
from archkit.events import Event
from archkit.model.build import BuilderAbilities, Delivered, EngineSink, LayoutSink, RegistrySink
from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts, one_or_more
from archkit.model.secret import Secret
from archkit.planning.docker import pushed_digest
from archkit.planning.docker_command import DockerOptions, Form, image_output, layout_output
from archkit.planning.emulation import BuildMachine, emulation_findings, judge, refuse_missing
from archkit.ports.builder import tell_lines
from archkit.ports.registry import PlatformLookup

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Mapping, Sequence

    from archkit.model.build import BuildRequest, Sink
    from archkit.model.finding import Finding
    from archkit.model.platform import Platform
    from archkit.model.platform_set import PlatformSet
    from archkit.planning.docker import DockerFacts
    from archkit.planning.dockerfile import Dockerfile, Needs
    from archkit.ports.builder import Artifact, BuildContext, Builder, ExplainsMismatch, Preflight
    from archkit.ports.runner import Completed

_found: weakref.WeakKeyDictionary[threading.Event, dict[DockerBuilder, DockerFacts]] = weakref.WeakKeyDictionary()
"""What was found, for as long as one run lasts: asking Docker takes a second."""
_turns: dict[tuple[object, ...], threading.Lock] = {}
"""One build at a time for an engine whose images have one platform: the local base would change under the other's hands."""


def _secrets(items: Mapping[str, str | os.PathLike[str]]) -> FrozenMap[str, str | Path]:
    return FrozenMap((name, Secret(value) if isinstance(value, str) else Path(value)) for name, value in items.items())


_NO_SECRETS: FrozenMap[str, str | Path] = FrozenMap()


@attrs.frozen
class DockerBuilder:
    """Builds a Dockerfile: with a buildx builder, the BuildKit inside the engine, the classic builder, or podman.

    A buildx builder that can do several platforms (docker-container, remote, kubernetes, several nodes, or the engine
    with containerd's image store) makes the index in one call and pushes it by digest. Otherwise one platform is built at
    a time, its push beside the next build, and archkit stitches. The plan says which, and why. The platform is always the
    one that was asked: ``DOCKER_DEFAULT_PLATFORM`` is taken out of the client's environment, and bases are pulled.
    """

    dockerfile: str = attrs.field(default="Dockerfile", kw_only=True)
    """The file, from the artifact's folder."""
    target: str = attrs.field(default="", kw_only=True)
    """The stage to build; empty: the last."""
    build_args: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, kw_only=True)
    """They never stand on a command line. A ``Secret``, and what is called a token or the like, is shown nowhere; but
    images keep the arguments they were built with in their history: give real secrets as ``secrets``."""
    secrets: FrozenMap[str, str | Path] = attrs.field(default=_NO_SECRETS, converter=_secrets, kw_only=True)
    """For ``RUN --mount=type=secret,id=NAME``: a text is the secret itself, a path the file that holds it. BuildKit only."""
    ssh: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """As ``--ssh`` has it, such as ``default``. BuildKit only."""
    cache_from: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """As ``--cache-from`` has it; ``{platform}`` becomes ``linux_arm64``, or ``linux_amd64-linux_arm64`` for both at once."""
    cache_to: tuple[str, ...] = attrs.field(default=(), converter=one_or_more, kw_only=True)
    """As ``--cache-to`` has it, with ``{platform}`` too. BuildKit only."""
    labels: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, kw_only=True)
    annotations: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, kw_only=True)
    """As ``--annotation`` has them, such as ``{"index:org.opencontainers.image.url": …}``; a buildx builder only."""
    provenance: bool | str | None = attrs.field(default=None, kw_only=True)
    """Whether to attest how it was built, or as ``--provenance`` has it; None: no. A buildx builder only."""
    sbom: bool | str | None = attrs.field(default=None, kw_only=True)
    """Whether to list what is in it, or as ``--sbom`` has it; None: no. A buildx builder only."""
    network: str = attrs.field(default="", kw_only=True)
    """Network of ``RUN``, such as ``host``; empty: Docker's default."""
    pull: bool = attrs.field(default=True, kw_only=True)
    """Whether bases are always asked for at their registry; without, an old local base of another CPU may be taken."""
    builder: str | None = attrs.field(default=None, kw_only=True)
    """A buildx builder; None: the one that the client uses."""
    context: str | None = attrs.field(default=None, kw_only=True)
    """A docker context; None: the one that the client uses."""
    host: str | None = attrs.field(default=None, kw_only=True)
    """The engine's address; None: DOCKER_HOST, or that of the context."""
    client_call: tuple[str, ...] = attrs.field(default=("docker",), converter=one_or_more, kw_only=True)
    """The client's program and first arguments, such as ``["podman"]``."""
    timeout: float = attrs.field(default=3600.0, kw_only=True)
    """Seconds that one build, and one push, may take."""
    lookup: PlatformLookup | None = attrs.field(default=None, kw_only=True, eq=False)
    """Who is asked for the platforms of bases; None: the registry."""
    machine: BuildMachine | None = attrs.field(default=None, kw_only=True)
    """What this machine runs; None: its kernel is asked."""

    @property
    def name(self) -> str:
        """``docker``, or what the client is called."""
        return DockerEngine(client_call=self.client_call).kind

    # ---- before the build ----------------------------------------------------------------------------------------

    def abilities(self, context: BuildContext) -> BuilderAbilities:
        """What is there: buildx or not, driver, platforms of each node, engine and its image store.

        Raises:
            ToolNotFoundError, ToolTooOldError, CommandError: No client, an old plugin, no such builder, or no engine.
        """
        facts = self._facts(context)
        native = facts.way == "native"
        return BuilderAbilities(
            native_multi=native,
            default=facts.default,
            sinks=frozenset({RegistrySink, LayoutSink, EngineSink} if native else {RegistrySink, EngineSink}),
            push_by_digest=facts.pushes_by_digest,
            overlap=not native,
            notes=facts.notes(),
        )

    def preflight(self, artifact: Artifact, platforms: PlatformSet, context: BuildContext, sink: Sink) -> list[Finding]:
        """Read the Dockerfile, and ask for the platforms of its bases.

        Raises:
            BuildError: There is no Dockerfile or no such stage, a base lacks a platform, or what was found cannot do what
                is asked.
            EmulationMissing: A command would run a program of a CPU that nothing there runs.
        """
        facts = self._facts(context)
        options = self._options(artifact)
        options.refuse_exposed(artifact.image)
        self._refuse_options(artifact.image, options, facts)
        file = self._read(artifact, options.file)
        if file is None:
            return []
        check_stage(artifact.image, self.dockerfile, file, self.target)
        if facts.way == "classic" and facts.engine is not None and facts.engine.name == "docker" and (found := file.buildkit_only()):
            line, what = found[0]
            reason = f"line {line} of {self.dockerfile} uses {what}, which needs BuildKit, and there is no buildx plugin"
            raise BuildToolError(artifact.image, reason, "", "install Docker's buildx plugin", "tool-missing")
        needs = {platform: self._needs(file, platform, facts) for platform in platforms}
        self._check_bases(artifact.image, needs, context, sink)
        return self._check_emulation(artifact.image, needs, facts)

    def _needs(self, file: Dockerfile, platform: Platform, facts: DockerFacts) -> Needs:
        own = facts.build_platform(platform)
        buildkit = facts.builder is not None or (facts.engine is not None and facts.engine.name != "docker")
        return file.needs(platform, own or platform, stage=self.target, args=self.build_args, buildkit=buildkit)

    def _check_bases(self, image: str, needs: Mapping[Platform, Needs], context: BuildContext, sink: Sink) -> None:
        with self._lookup(context, sink) as lookup:
            check_bases(image, self.dockerfile, needs, lookup)

    def _check_emulation(self, image: str, needs: Mapping[Platform, Needs], facts: DockerFacts) -> list[Finding]:
        machines = facts.machines(self.machine or this_machine())
        runs = {platform: need.foreign for platform, need in needs.items() if need.foreign}
        verdicts = judge([run.platform for foreign in runs.values() for run in foreign], machines)
        for foreign in runs.values():
            run = next((run for run in foreign if verdicts[run.platform] == "missing"), None)
            if run is not None:
                where = f"RUN in line {run.line} of {self.dockerfile}, {run.stage}"
                refuse_missing(image, {run.platform: "missing"}, machines, where=where)
        return emulation_findings(image, verdicts)

    @contextmanager
    def _lookup(self, context: BuildContext, sink: Sink) -> Generator[PlatformLookup, None, None]:
        if self.lookup is not None:
            yield self.lookup
        elif isinstance(sink, RegistrySink):
            yield context.registry
        else:
            from archkit.adapters.registry import RegistryClient

            with RegistryClient() as client:
                yield client

    def _refuse_options(self, image: str, options: DockerOptions, facts: DockerFacts) -> None:
        remedy = "use a buildx builder: `docker buildx create --driver docker-container`, then DockerBuilder(builder=…)"
        if facts.way == "classic" and facts.engine is not None and facts.engine.name == "docker":
            wanted = options.needs_buildkit()
            if wanted:
                raise BuildToolError(image, f"{', '.join(wanted)}: only BuildKit can do that, and there is no buildx plugin", "", remedy)
        elif facts.way != "native" and (wanted := options.needs_exporter()):
            raise BuildToolError(image, f"{', '.join(wanted)}: the image store of {facts.engine} cannot keep that", "", remedy)

    def _read(self, artifact: Artifact, path: Path) -> Dockerfile | None:
        return load_dockerfile(artifact.image, path, "give its name in the artifact's folder as DockerBuilder(dockerfile=…)")

    # ---- the build -----------------------------------------------------------------------------------------------

    def build(self, request: BuildRequest, context: BuildContext) -> Delivered:
        """Build, and push or load.

        Raises:
            BuildError: The image is for another platform.
            ToolNotFoundError, CommandError, CancelledError: As :meth:`archkit.ports.runner.Runner.run`.
        """
        facts = self._facts(context)
        if facts.way == "native":
            return self._build_native(request, context)
        engine = self._engine(context)
        options = self._options(request.artifact)
        reference = request.reference or request.repository
        buildx = facts.way == "docker-driver"
        form: Form = "buildx" if buildx else "podman" if engine.kind == "podman" else "classic"
        command = [*engine.command(), *(["buildx", "build", *self._chosen(), "--load"] if buildx else ["build"])]
        command += [*options.words(request.platforms, form), "--tag", str(reference), str(request.artifact.context.absolute())]
        changes: dict[str, str | None] = {"DOCKER_BUILDKIT": None if buildx else "0"}
        with _turn(self._address(facts), context, request.artifact.image):
            done = self._run(command, options, request, context, changes)
            found = engine.find(reference)
            if form == "classic" and found is not None and not _serves(found.platforms, request.platform):
                command.insert(len(engine.command()) + 1, "--no-cache")  # its cache knows no platforms: FROM scratch gives the last one's
                done = self._run(command, options, request, context, changes)
                found = engine.find(reference)
        self._check_found(request, None if found is None else found.platforms)
        if isinstance(request.sink, EngineSink):
            return Delivered(log=done.messages)
        context.emit(Event("push", "started", request.artifact.image, request.platform, f"pushing {reference}"))
        pushed = self._run([*engine.command(), "push", str(reference)], None, request, context, {})
        context.emit(Event("push", "finished", request.artifact.image, request.platform, f"pushed {reference}"))
        return Delivered(pushed_digest(f"{pushed.output}\n{pushed.messages}".splitlines()), log=pushed.messages)

    def _build_native(self, request: BuildRequest, context: BuildContext) -> Delivered:
        engine, options = self._engine(context), self._options(request.artifact)
        metadata, layout = context.workdir / "metadata.json", context.workdir / "layout"
        if isinstance(request.sink, EngineSink):
            output = ["--load", "--tag", str(request.reference or request.repository)]
        elif isinstance(request.sink, LayoutSink):
            output = layout_output(layout)
        elif request.reference is not None:
            output = image_output(str(request.reference), by_digest=False)
        else:
            output = image_output(str(request.repository))
        command = [*engine.command(), "buildx", "build", *self._chosen(), *options.words(request.platforms, "buildx")]
        command += ["--metadata-file", str(metadata), *output, str(request.artifact.context.absolute())]
        done = self._run(command, options, request, context, {})
        if isinstance(request.sink, EngineSink):
            return Delivered(log=done.messages)
        digest = json.loads(metadata.read_bytes()).get("containerimage.digest")
        if not isinstance(digest, str):
            raise BuildError(request.artifact.image, "buildx did not say which digest it made", "", "")
        delivered = Delivered(digest, log=done.messages)
        if isinstance(request.sink, LayoutSink) and delivered.digest is not None:
            from archkit.adapters.oci_layout import OciLayout
            from archkit.copying import copy_image

            copy_image(OciLayout(layout), delivered.digest, context.registry, request.repository)
        return delivered

    def _run(
        self,
        command: Sequence[str],
        options: DockerOptions | None,
        request: BuildRequest,
        context: BuildContext,
        changes: dict[str, str | None],
    ) -> Completed:
        own: dict[str, str | None] = {**options.environment()} if options is not None else {}
        return context.runner.run(
            command,
            env=client_environment({**changes, **own}),
            timeout=self.timeout,
            cancel=context.cancelled,
            secrets=[value for value in self.build_args.values() if isinstance(value, Secret)],
            on_line=tell_lines(context, request.artifact.image, request.platform if len(request.platforms) == 1 else None),
        )

    def _check_found(self, request: BuildRequest, found: PlatformSet | None) -> None:
        """An image for another platform is not even pushed."""
        if found is None or _serves(found, request.platform):
            return
        texts = tuple(map(str, request.platforms)), tuple(map(str, found))
        reason = f"the engine built an image for {found}; it was not pushed"
        advice = self.why_not_delivered(request.platforms, found, Delivered())
        raise PlatformNotDelivered(request.artifact.image, reason, str(request.platform), advice, *texts, self.name)

    def why_not_delivered(self, asked: PlatformSet, found: PlatformSet, delivered: Delivered) -> str:  # noqa: ARG002 - of the port
        """The engine takes a base for another CPU with a warning at most, and labels the image as the base is."""
        return "a base is there for another platform only: use one that has the platform, with DockerBuilder(pull=True)"

    # ---- plumbing ------------------------------------------------------------------------------------------------

    def _engine(self, context: BuildContext) -> DockerEngine:
        return DockerEngine(
            host=self.host, context=self.context, client_call=self.client_call, runner=context.runner, cancel=context.cancelled
        )

    def _facts(self, context: BuildContext) -> DockerFacts:
        known = _found.setdefault(context.cancelled, {})
        if self not in known:
            known[self] = self._engine(context).facts(self.builder)
        return known[self]

    def _chosen(self) -> list[str]:
        return ["--builder", self.builder] if self.builder is not None else []

    def _address(self, facts: DockerFacts) -> tuple[object, ...]:
        return (self.client_call, self.host, self.context, facts.builder.name if facts.builder else "")

    def _options(self, artifact: Artifact | BuildRequestArtifact) -> DockerOptions:
        return DockerOptions(
            artifact.context.absolute() / self.dockerfile,
            self.target,
            self.build_args,
            self.secrets,
            self.ssh,
            self.cache_from,
            self.cache_to,
            self.labels,
            self.annotations,
            self.provenance,
            self.sbom,
            self.network,
            self.pull,
        )


def _serves(found: PlatformSet, asked: Platform) -> bool:
    return any(one.satisfies(asked) for one in found)


@contextmanager
def _turn(address: tuple[object, ...], context: BuildContext, image: str) -> Generator[None, None, None]:
    """One build at a time for one engine; waiting ends when the run is cancelled."""
    lock = _turns.setdefault(address, threading.Lock())
    while not lock.acquire(timeout=0.05):
        if context.cancelled.is_set():
            raise CancelledError(f"building {image}")
    try:
        yield
    finally:
        lock.release()


if TYPE_CHECKING:
    from archkit.model.build import ArtifactFacts as BuildRequestArtifact

    _builds: type[Builder] = DockerBuilder
    _looks: type[Preflight] = DockerBuilder
    _explains: type[ExplainsMismatch] = DockerBuilder

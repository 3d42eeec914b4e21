"""Pipeline: from source folders and a cluster to images, pinned manifests and running pods, in one object."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from archkit.building import BuildSession, refuse_without_place
from archkit.errors import BuildError, ClusterError, FindingsError
from archkit.events import Event, ignore
from archkit.model.build import BuildPlan, BuildResult, RegistrySink, Sink
from archkit.model.cluster import Cluster
from archkit.model.finding import Finding, worst_first
from archkit.model.frozen import FrozenMap, one_or_more
from archkit.model.platform_set import PlatformSet
from archkit.planning.targets import Mode, Targets, narrow_targets, resolve_targets
from archkit.ports.builder import Artifact

if TYPE_CHECKING:
    import contextlib
    import threading
    from collections.abc import Iterable, Mapping, Sequence

    from archkit.applying import Applied, Rollout  # noqa: TC004 - YAML is loaded when manifests are read
    from archkit.events import Listener
    from archkit.model.platform import Platform
    from archkit.ports.cluster import ClusterApi
    from archkit.ports.engine import Engine
    from archkit.ports.runner import Runner
    from archkit.rendering import Rendering  # noqa: TC004 - likewise

_MANIFEST_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


@attrs.frozen
class PipelinePlan:
    """What a pipeline would do, and why, before it does anything."""

    mode: Mode
    targets: tuple[tuple[str, Targets], ...]
    """For each artifact, by its image's name, the platforms to build for."""
    build: BuildPlan | None
    """None: the pipeline has no tag, so nothing can be built yet."""
    cluster: Cluster | None = None
    target: str = ""
    """Context and server of the cluster that it will touch; empty: none."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found on the way, errors first, each once."""
        found = [
            *(self.cluster.findings if self.cluster else ()),
            *(finding for _, targets in self.targets for finding in targets.findings),
            *(self.build.findings if self.build else ()),
        ]
        return tuple(worst_first(dict.fromkeys(found)))

    def explain(self) -> str:
        """The plan for a person: the cluster, the platforms of each artifact with the reasons, the builds, the findings."""
        lines = [f"mode: {self.mode.value}"]
        if self.target:
            lines.append(f"applies to: cluster {self.target}")
        if self.cluster is not None:
            lines += ["", attrs.evolve(self.cluster, findings=()).explain()]
        lines.append("")
        if self.build is not None:  # it tells the targets and their reasons too
            lines.append(attrs.evolve(self.build, findings=()).explain())
        else:
            for image, targets in self.targets:
                names = "the builder's default" if targets.platforms is None else str(targets.platforms).replace(",", ", ")
                lines += [f"{image}: {names}", *(f"  because {reason}" for reason in targets.reasons)]
            lines.append("no tag is given: nothing can be built yet" if self.targets else "nothing is built")
        if self.findings:
            lines += ["", *map(str, self.findings)]
        return "\n".join(lines)


@attrs.frozen
class PipelineRun:
    """What a run did."""

    plan: PipelinePlan
    build: BuildResult
    renderings: FrozenMap[Path, Rendering] = attrs.field(hash=False)
    """By manifest file, in their order."""
    applied: Applied
    rollout: Rollout

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found on the way, errors first, each once."""
        found = [*self.plan.findings, *self.build.findings, *_found_in(self.renderings.values())]
        return tuple(worst_first(dict.fromkeys(found)))

    def explain(self) -> str:
        """The same for a person: the images, the objects with their diffs, the workloads, the findings."""
        images = [f"{image.name}: {image.reference}" for image in self.build.images]
        return "\n".join([*images, self.applied.explain(), self.rollout.explain(), *map(str, self.findings)])


class Pipeline:
    """Plans, builds, renders, applies and waits for some artifacts and the manifests that use them.

    Args:
        artifacts: One or several; none where every image was built elsewhere.
        manifests: Files to render; of a folder its ``.yaml``, ``.yml`` and ``.json`` files.
        connection: The cluster to apply to; its nodes are read where ``cluster`` is None. See :class:`~archkit.ClusterConnection`.
        cluster: Where it will run, as a ``ClusterInspector`` read it; None: what ``connection`` tells, without one not known.
        sink: Where images go; None: a registry, below ``default_repo``.
        default_repo: ``HOST[:PORT]/path`` for names without a registry.
        tag: The tag of every image; needed to build.
        requested: The platforms that somebody asked for; None: nobody did.
        renderer: Keyword arguments for :class:`~archkit.AffinityRenderer`, such as ``{"affinity": "always"}``.
        cancel: Set it to stop a build.
        on_event: Told of every step.
        runner: Starts the tools that builders drive; None: the real one.
        engine: The local engine, for an ``EngineSink``; None: Docker's.
    """

    def __init__(
        self,
        artifacts: Artifact | Iterable[Artifact],
        *,
        manifests: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
        connection: ClusterApi | None = None,
        cluster: Cluster | None = None,
        sink: Sink | None = None,
        default_repo: str | None = None,
        tag: str | None = None,
        requested: PlatformSet | str | Iterable[Platform | str] | None = None,
        renderer: Mapping[str, object] = {},
        cancel: threading.Event | None = None,
        on_event: Listener | None = None,
        runner: Runner | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.artifacts: tuple[Artifact, ...] = (artifacts,) if isinstance(artifacts, Artifact) else tuple(artifacts)
        self.manifests: tuple[Path, ...] = _paths(manifests)
        self.connection = connection
        self.cluster = cluster
        self.sink: Sink = _sink(sink, default_repo)
        self.tag = tag
        self.requested: PlatformSet | None = None if requested is None else PlatformSet.parse(requested)
        self.renderer: dict[str, object] = dict(renderer)
        self._cancel, self._on_event = cancel, on_event
        self._runner, self._engine = runner, engine
        self._mode: Mode | None = None
        self._result: BuildResult | None = None
        self._inspected: Cluster | None = None

    def plan(self, mode: Mode = Mode.RUN) -> PipelinePlan:
        """What would be built and why; everything that can be refused is refused here.

        A later :meth:`build` without a mode builds what was planned last.

        Raises:
            TargetsError, BuildError, ReferenceSyntaxError, RegistryError: As :func:`archkit.build`.
            ClusterError: The nodes of ``connection`` cannot be read.
        """
        with self._session(mode) as session:
            planned = self._plan(session, mode)
        self._mode = mode
        return planned

    def build(self, mode: Mode | None = None) -> BuildResult:
        """Build every artifact, verify, and move the tags.

        Args:
            mode: What the build is for; None: as the last :meth:`plan`, without one ``Mode.BUILD``.

        Raises:
            BuildError: There is no tag, or as :func:`archkit.build`.
            TargetsError, RegistryError, CancelledError: As :func:`archkit.build`.
        """
        return self._built_by(mode or self._mode or Mode.BUILD)[1]

    def _built_by(self, mode: Mode) -> tuple[PipelinePlan, BuildResult]:
        with self._session(mode) as session:
            planned = self._plan(session, mode)
            if not self.artifacts:  # manifests of images that others built
                self._result = result = BuildResult(())
            elif planned.build is None:
                raise BuildError(self._names, "no tag is given", "", "give the pipeline a `tag`")
            else:
                self._result = result = session.run(planned.build, self.artifacts)
        return planned, result

    def render(self, result: BuildResult | str | os.PathLike[str] | None = None) -> dict[Path, Rendering]:
        """The manifests with the built images pinned and affinity added; nothing is written.

        Args:
            result: What was built, or the path of a build-output file; None: what this object built last.

        Returns:
            One rendering per manifest file, in the order of the files.

        Raises:
            BuildError: Nothing was built, or the build-output file cannot be read.
            ManifestSyntaxError: A manifest cannot be read.
        """
        from archkit.rendering import AffinityRenderer  # YAML: only when manifests are rendered

        builds = self._built() if result is None else result if isinstance(result, BuildResult) else _read_result(Path(result))
        options: dict[str, object] = {"builds": builds, "cluster": self._known_cluster(), **self.renderer}
        return AffinityRenderer(**options).render_files(self._manifest_files())  # type: ignore[arg-type]  # the caller's own keywords

    def run(
        self, allow: Iterable[str] = (), *, timeout: float = 600.0, force: bool = False, replace_immutable: bool = False
    ) -> PipelineRun:
        """Inspect, resolve, build, stitch, render, apply, and wait until what was applied is there.

        The manifests are read before anything is built, and nothing is applied where a rendering has an error finding.

        Args:
            allow: Codes of error findings that do not stop it, such as ``no-node-for-pod``.
            timeout: Seconds that the workloads may take to get ready.
            force: As for :meth:`archkit.Applier.apply`.
            replace_immutable: As for :meth:`archkit.Applier.apply`.

        Raises:
            ClusterError: There is no ``connection``, or its nodes cannot be read.
            ManifestSyntaxError, ManifestTooLarge: A manifest cannot be read; nothing was built.
            BuildError, PlatformNotDelivered, TargetsError, RegistryError: As :meth:`build`; nothing was applied.
            FindingsError: The renderings have error findings; nothing was applied.
            ApplyError: As :meth:`archkit.Applier.apply`.
            RolloutError, RolloutTimeoutError: As :meth:`archkit.Applier.wait`; what was applied stays.
            CancelledError: ``cancel`` was set.
        """
        from archkit.adapters.files import read_text
        from archkit.adapters.yaml import ManifestLimits
        from archkit.applying import Applier, read_documents

        if self.connection is None:
            remedy = "give the pipeline a `connection`, such as ClusterConnection.from_kubeconfig()"
            raise ClusterError("(none)", "there is no cluster to run on", remedy)
        files = self._manifest_files()
        if not read_documents({str(file): read_text(file, ManifestLimits().characters) for file in files}):
            raise BuildError(self._names, "there is nothing to apply", "", "give the pipeline `manifests`")
        self._inspected = None
        planned, result = self._built_by(Mode.RUN)
        renderings = self.render(result)
        allowed = set(one_or_more(allow))
        errors = [finding for finding in _found_in(renderings.values()) if finding.severity == "error" and finding.code not in allowed]
        if errors:
            raise FindingsError(errors)
        applier = Applier(self.connection, cancel=self._cancel, on_event=self._on_event)
        texts = {str(file): rendering.text for file, rendering in renderings.items()}
        applied = applier.apply(texts, force=force, replace_immutable=replace_immutable)
        return PipelineRun(planned, result, FrozenMap(renderings), applied, applier.wait(applied, timeout))

    @property
    def _names(self) -> str:
        return ", ".join(artifact.image for artifact in self.artifacts)

    def _known_cluster(self) -> Cluster | None:
        """The cluster that was given, else what the connection tells, which is asked once."""
        if self.cluster is not None or self.connection is None:
            return self.cluster
        if self._inspected is None:
            from archkit.inspection import ClusterInspector

            tell, name = self._on_event or ignore, self.connection.name
            tell(Event("inspect", "started", message=f"cluster {name}"))
            try:
                self._inspected = found = ClusterInspector(self.connection).inspect()
            except BaseException as error:
                tell(Event("inspect", "failed", message=str(error) or type(error).__name__))
                raise
            platforms = str(found.platforms).replace(",", ", ") or "no platforms"
            tell(Event("inspect", "finished", message=f"cluster {name}: {len(found.nodes)} nodes, {platforms}"))
        return self._inspected

    def _built(self) -> BuildResult:
        if self._result is None:
            raise BuildError("the artifacts", "nothing has been built yet", "", "call build() first, or pass a build-output file")
        return self._result

    def _session(self, mode: Mode) -> contextlib.AbstractContextManager[BuildSession]:
        refuse_without_place(Targets(self.requested, requested=self.requested is not None), self.sink, mode)
        return BuildSession.open(self.sink, cancel=self._cancel, on_event=self._on_event, runner=self._runner, engine=self._engine)

    def _plan(self, session: BuildSession, mode: Mode) -> PipelinePlan:
        supported = [session.supported(artifact) for artifact in self.artifacts]
        targets = self._targets(supported, mode, holds_index=session.holds_index)
        build = None if self.tag is None or not self.artifacts else session.plan(self.artifacts, targets, tag=self.tag)
        names = tuple((artifact.image, one) for artifact, one in zip(self.artifacts, targets, strict=True))
        return PipelinePlan(mode, names, build, self._known_cluster(), "" if self.connection is None else self.connection.name)

    def _targets(self, supported: Sequence[PlatformSet | None], mode: Mode, *, holds_index: bool) -> list[Targets]:
        """The targets of each artifact; in a mode of one platform the same one for all, where they have any in common."""
        cluster = self._known_cluster()

        def resolve(able: PlatformSet | None) -> Targets:
            return resolve_targets(requested=self.requested, supported=able, cluster=cluster, mode=mode, can_hold_index=holds_index)

        if mode.one_platform:
            common = PlatformSet.ALL
            for able in supported:
                common &= able if able is not None else PlatformSet.ALL
            if common:
                shared = resolve(common)
                return [narrow_targets(shared, mode=mode) for _ in supported]
        return [resolve(able) for able in supported]

    def _manifest_files(self) -> list[Path]:
        files: list[Path] = []
        for path in self.manifests:
            if path.is_dir():
                files += sorted(file for file in path.iterdir() if file.suffix in _MANIFEST_SUFFIXES and file.is_file())
            else:
                files.append(path)
        return files


def _found_in(renderings: Iterable[Rendering]) -> list[Finding]:
    return [finding for rendering in renderings for finding in rendering.findings]


def _paths(manifests: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[Path, ...]:

    return (Path(manifests),) if isinstance(manifests, (str, os.PathLike)) else tuple(map(Path, manifests))


def _sink(sink: Sink | None, default_repo: str | None) -> Sink:
    if sink is None:
        return RegistrySink(default_repo)
    if default_repo is None:
        return sink
    if isinstance(sink, RegistrySink) and sink.default_repo in {None, default_repo}:
        return RegistrySink(default_repo)
    raise BuildError("the artifacts", f"default_repo {default_repo} does not go with {sink}", "", "give one of them")


def _read_result(path: Path) -> BuildResult:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BuildError(str(path), f"the build-output file cannot be read: {error.strerror or error}") from error
    return BuildResult.from_json(content)

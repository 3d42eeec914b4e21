"""BuildSession: a sink that is open for builds; asks builders, plans, runs, reads back, and moves the tags last."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs

from archkit.adapters.process import ProcessRunner, unwinding
from archkit.adapters.workdir import records_of, workdir
from archkit.building.calls import builder_of, explained, requests_of, shown
from archkit.building.context import CallContext, OneAtATime, Stop
from archkit.building.engine import EnginePlace
from archkit.errors import ArchkitError, BuildError, CancelledError, RegistryError
from archkit.events import Event, Listener, Stage, ignore
from archkit.model.build import (
    BuilderAbilities,
    BuildPlan,
    BuildRequest,
    BuildResult,
    BuiltImage,
    Delivered,
    EngineSink,
    LayoutSink,
    PlannedBuild,
    RegistrySink,
    Sink,
)
from archkit.model.finding import Finding
from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import ImageReference
from archkit.planning.names import final_reference
from archkit.planning.strategy import can_hold_index, plan_build, plan_findings
from archkit.planning.tool_output import tool_failure
from archkit.ports.builder import Artifact, Builder, Preflight
from archkit.ports.registry import ImageStore
from archkit.ports.runner import Runner
from archkit.publishing import Staging, publish
from archkit.readback import Pushed, read_back, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from archkit.planning.targets import Targets
    from archkit.ports.engine import Engine

T = TypeVar("T")
_LAYOUT = "layout"
"""Folder, among the temporary ones of a session, of images that will be loaded into an engine."""


@attrs.frozen
class _Call:
    """What one call of a builder made."""

    pushed: Pushed | PlatformSet
    """What was read back; of an image in an engine its platforms."""
    findings: tuple[Finding, ...]


@attrs.define
class BuildSession:
    """A sink that is open for builds: ask abilities, plan, run."""

    sink: Sink
    store: ImageStore
    runner: Runner
    folder: Path
    stop: Stop
    listener: Listener
    engine: EnginePlace | None = None
    """For an ``EngineSink``; ``store`` is a layout then, for what is built as one and loaded."""
    _folders: int = 0
    _able: dict[int, BuilderAbilities] = attrs.field(factory=dict[int, BuilderAbilities])
    _staging: dict[ImageReference, Staging] = attrs.field(factory=dict)
    """By final name: what is looked at and removed of staging tags."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        sink: Sink | None,
        *,
        registry: ImageStore | None = None,
        cancel: threading.Event | None = None,
        on_event: Listener | None = None,
        runner: Runner | None = None,
        engine: Engine | None = None,
    ) -> Generator[BuildSession, None, None]:
        """Open a sink; temporary files are gone and connections closed at the end.

        Raises:
            BuildError: There is no sink, or the engine cannot be asked.
        """
        if sink is None:
            raise BuildError("the artifacts", "there is nowhere to put images", "", "give a RegistrySink or a LayoutSink")
        with contextlib.ExitStack() as stack:
            stack.enter_context(unwinding())  # first in, last out: SIGTERM ends the process when all else is cleaned up
            folder = stack.enter_context(workdir())
            store = registry if registry is not None and isinstance(sink, RegistrySink) else stack.enter_context(_opened(sink, folder))
            starter, stop = runner or ProcessRunner(records=records_of(folder)), Stop(cancel)
            place = EnginePlace.open(engine, starter, stop) if isinstance(sink, EngineSink) else None
            yield cls(sink, store, starter, folder, stop, OneAtATime(on_event or ignore), place)

    @property
    def holds_index(self) -> bool:
        """Whether an image of several platforms has a place here."""
        return can_hold_index(self.sink, self.engine.info if self.engine else None)

    def supported(self, artifact: Artifact) -> PlatformSet | None:
        """What an artifact and its builder can be built for; None: unknown."""
        able = self.abilities(artifact).platforms
        if able is None or artifact.platforms is None:
            return artifact.platforms if able is None else able
        return artifact.platforms & able

    def abilities(self, artifact: Artifact) -> BuilderAbilities:
        """What an artifact's builder can do here; it is asked once.

        Raises:
            BuildError: The builder could not tell (chained).
        """
        if id(artifact) not in self._able:  # a caller's builder need not be hashable, and so the artifact may not be
            builder = builder_of(artifact)
            self._able[id(artifact)] = self._call(artifact, "", lambda: builder.abilities(self._context()))
        return self._able[id(artifact)]

    def plan(self, artifacts: Sequence[Artifact], targets: Sequence[Targets], *, tag: str, child_tags: bool = True) -> BuildPlan:
        """How each artifact will be built; everything that can be refused is refused here.

        Args:
            artifacts: In order.
            targets: One for each artifact, narrowed to what it supports.
            tag: The tag of every image.
            child_tags: As :func:`build`.

        Raises:
            BuildError, TargetsError, ReferenceSyntaxError: As :func:`build`.
        """
        if not artifacts:
            raise BuildError("nothing", "there are no artifacts", "", "give at least one Artifact")
        names: dict[ImageReference, str] = {}
        for artifact in artifacts:
            target = final_reference(artifact.image, self.sink, tag)
            if target in names:
                raise BuildError(artifact.image, f"it would be {target}, and so would {names[target]}", "", "give them different names")
            names[target] = artifact.image
            if not artifact.context.is_dir():
                what = "is not a folder" if artifact.context.exists() else "does not exist"
                raise BuildError(
                    artifact.image, f"the source folder {artifact.context} {what}", "", "give the artifact's folder as `context`"
                )
        host = Platform.host()
        builds: list[PlannedBuild] = []
        looked: list[Finding] = []
        for artifact, target, decided in zip(artifacts, names, targets, strict=True):
            planned = plan_build(
                artifact.image,
                builder=builder_of(artifact).name,
                abilities=self.abilities(artifact),
                target=target,
                platforms=decided.platforms,
                sink=self.sink,
                host=host,
                supported=self.supported(artifact),
                child_tags=child_tags,
                reasons=decided.reasons,
                engine=self.engine.info if self.engine else None,
            )
            looked += self._preflight(artifact, planned)
            builds.append(self._showing(artifact, planned))
        found = [
            *(finding for decided in targets for finding in decided.findings),
            *(one for item in builds for one in plan_findings(item)),
            *looked,
        ]
        return BuildPlan(tuple(builds), self.sink, tuple(dict.fromkeys(found)))

    def run(self, plan: BuildPlan, artifacts: Sequence[Artifact]) -> BuildResult:
        """Build by the plan; the final tags move when every image has been read back and found right.

        Raises:
            BuildError, PlatformNotDelivered, RegistryError, CancelledError: As :func:`build`.
        """
        try:
            return self._run(plan, artifacts)
        except BaseException:
            self.stop.set()
            for planned in plan.builds:
                if self.engine is None:
                    self._staging.get(planned.target, Staging(None)).abandon(self.store)
                else:
                    self.engine.abandon(planned)
            raise

    def _run(self, plan: BuildPlan, artifacts: Sequence[Artifact]) -> BuildResult:
        before = [self._platforms_under(planned.target) for planned in plan.builds]
        self._staging = {planned.target: Staging.look(self.store, planned) for planned in plan.builds}
        calls = [self._build(planned, artifact) for planned, artifact in zip(plan.builds, artifacts, strict=True)]
        self._check_cancelled("the final tags were not moved")
        findings = list(plan.findings)
        images: list[BuiltImage] = []
        for planned, made, old in zip(plan.builds, calls, before, strict=True):
            findings += [finding for call in made for finding in call.findings]
            with self._step("tag", planned.image, None, str(planned.target)):
                image, found = self._publish(planned, [call.pushed for call in made])
            images.append(attrs.evolve(image, layout=self.sink.path if isinstance(self.sink, LayoutSink) else None))
            findings += found
            lost = PlatformSet(old or ()) - PlatformSet(image.platforms or ())
            if lost:
                names = ", ".join(sorted(map(str, lost)))
                findings.append(Finding.of("platforms-lost", f"{planned.target} had {names} before, the new image has not", planned.image))
        return BuildResult(images, findings=tuple(dict.fromkeys(findings)))

    def _publish(self, planned: PlannedBuild, made: Sequence[Pushed | PlatformSet]) -> tuple[BuiltImage, list[Finding]]:
        if self.engine is not None and isinstance(made[0], PlatformSet):
            return self.engine.publish(planned, made[0]), []
        pushed = [one for one in made if isinstance(one, Pushed)]
        image, findings = publish(self.store, planned, pushed, self._staging[planned.target])
        if self.engine is None:
            return image, findings
        return self.engine.publish(planned, self.engine.load(planned, self.store, image, self.folder)), findings

    # ---- building -----------------------------------------------------------------------------------------------

    def _build(self, planned: PlannedBuild, artifact: Artifact) -> list[_Call]:
        requests = requests_of(artifact, planned, self._sink_of(planned))
        if len(requests) == 1 or not (planned.abilities.parallel or planned.abilities.overlap):
            return [self._build_one(planned, artifact, request) for request in requests]
        with ThreadPoolExecutor(len(requests), "archkit-build") as pool:
            futures = [pool.submit(self._build_one, planned, artifact, request) for request in requests]
            good = False
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                good = all(future.exception() is None for future in done)
            finally:
                if not good:
                    self.stop.set()  # the others need not go on
        errors = [error for future in futures if (error := future.exception()) is not None]
        for error in sorted(errors, key=lambda one: isinstance(one, CancelledError)):
            raise error
        return [future.result() for future in futures]

    def _build_one(self, planned: PlannedBuild, artifact: Artifact, request: BuildRequest) -> _Call:
        builder = builder_of(artifact)
        platform = request.platform if len(request.platforms) == 1 else None
        self._check_cancelled(f"building {planned.image}")
        with self._step("build", planned.image, platform, f"{builder.name} builds {str(request.platforms).replace(',', ', ')}"):
            delivered, request = self._push(planned, artifact, request)
        self._check_cancelled(f"building {planned.image}")
        with self._step("verify", planned.image, platform, "reading back what was pushed"):
            if self.engine is not None and planned.engine == "built":
                return _Call(self._found(self.engine, request, delivered, builder), ())
            pushed = self._read(request, delivered, builder)
            with explained(builder, request, delivered, pushed.platforms):
                findings = verify(
                    pushed, request.platforms, image=planned.image, builder=builder.name, store=self.store, repository=request.repository
                )
        return _Call(pushed, tuple(findings))

    def _push(self, planned: PlannedBuild, artifact: Artifact, request: BuildRequest) -> tuple[Delivered, BuildRequest]:
        """Let the builder build and push; once more where the staging tag of an earlier run may not be written again."""
        builder, staging = builder_of(artifact), self._staging[planned.target]
        platform = request.platform if len(request.platforms) == 1 else None
        try:
            return self._call(artifact, str(platform or ""), lambda: builder.build(request, self._context())), request
        except BuildError as error:
            if self.engine is not None or not staging.step_aside(self.store, error):
                raise
        message = f"{request.reference} is there already and its registry writes no tag twice; the next try is {staging.reference}"
        self.listener(Event("build", "progress", planned.image, platform, message))
        again = attrs.evolve(request, reference=staging.reference)
        return self._call(artifact, str(platform or ""), lambda: builder.build(again, self._context())), again

    def _found(self, engine: EnginePlace, request: BuildRequest, delivered: Delivered, builder: Builder) -> PlatformSet:
        reference = request.reference or request.repository
        there = engine.platforms(reference, request.artifact.image)
        with explained(builder, request, delivered, there or PlatformSet()):
            return engine.check(there, reference, request.platforms, image=request.artifact.image, builder=builder.name)

    def _sink_of(self, planned: PlannedBuild) -> Sink:
        """Where the builder puts its image: for what will be loaded into an engine, a layout."""
        return LayoutSink(self.folder / _LAYOUT) if planned.engine == "loaded" else self.sink

    def _read(self, request: BuildRequest, delivered: Delivered, builder: Builder) -> Pushed:
        image = request.artifact.image
        where = request.repository.with_digest(delivered.digest) if delivered.digest else request.reference
        if where is None:
            raise BuildError(image, f"{builder.name} did not say what it pushed", "", "return the digest")
        try:
            return read_back(self.store, where)
        except RegistryError as error:
            if error.status != 404:
                raise
            raise BuildError(image, f"{builder.name} ended without an error, but {where} is not there", "", "") from error

    def _preflight(self, artifact: Artifact, planned: PlannedBuild) -> Sequence[Finding]:
        builder = builder_of(artifact)
        if not isinstance(builder, Preflight):
            return ()
        return (
            self._call(artifact, "", lambda: builder.preflight(artifact, planned.platforms, self._context(), self._sink_of(planned))) or ()
        )

    def _showing(self, artifact: Artifact, planned: PlannedBuild) -> PlannedBuild:
        return attrs.evolve(planned, shown=self._call(artifact, "", lambda: shown(artifact, planned, self._sink_of(planned))))

    # ---- plumbing -----------------------------------------------------------------------------------------------

    def _platforms_under(self, target: ImageReference) -> PlatformSet | None:
        """What the final tag holds now; None where there is nothing or it may not be read."""
        if self.engine is not None:
            return self.engine.platforms(target, target.familiar)
        try:
            return self.store.platforms(target)
        except RegistryError as error:
            if error.status is None:
                raise
            return None

    def _context(self) -> CallContext:
        with self._lock:
            self._folders += 1
            folder = self.folder / str(self._folders)
        folder.mkdir()
        return CallContext(self.store, self.runner, folder, self.stop, self.listener)

    def _call(self, artifact: Artifact, platform: str, work: Callable[[], T]) -> T:
        """Run the caller's code: whatever it raises becomes a ``BuildError``, chained."""
        try:
            return work()
        except (BuildError, CancelledError):
            raise
        except ArchkitError as error:
            raise tool_failure(error, artifact.image, builder=builder_of(artifact).name, platform=platform) from error
        except Exception as error:
            reason = f"{builder_of(artifact).name} failed: {type(error).__name__}: {error}"
            raise BuildError(artifact.image, reason, platform) from error

    def _check_cancelled(self, work: str) -> None:
        if self.stop.is_set():
            raise CancelledError(work)

    @contextlib.contextmanager
    def _step(self, work: str, image: str, platform: Platform | None, message: str) -> Generator[None, None, None]:
        def tell(stage: Stage, text: str) -> None:
            self.listener(Event(work, stage, image, platform, text))

        tell("started", message)
        try:
            yield
        except BaseException as error:
            tell("failed", str(error) or type(error).__name__)
            raise
        tell("finished", message)


@contextlib.contextmanager
def _opened(sink: Sink, folder: Path) -> Generator[ImageStore, None, None]:
    if isinstance(sink, RegistrySink):
        from archkit.adapters.registry import RegistryClient

        with RegistryClient() as client:
            yield client
    else:
        from archkit.adapters.oci_layout import OciLayout

        yield OciLayout(sink.path if isinstance(sink, LayoutSink) else folder / _LAYOUT)

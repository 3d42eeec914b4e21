"""build(): artifacts in, verified images out; the final tag moves last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.building.session import BuildSession
from archkit.errors import BuildError
from archkit.model.build import EngineSink, RegistrySink
from archkit.model.platform_set import PlatformSet
from archkit.planning.strategy import can_hold_index
from archkit.planning.targets import Mode, Targets, narrow_targets
from archkit.ports.builder import Artifact

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

    from archkit.events import Listener
    from archkit.model.build import BuildResult, Sink
    from archkit.model.platform import Platform
    from archkit.ports.engine import Engine
    from archkit.ports.registry import ImageStore
    from archkit.ports.runner import Runner


def build(
    artifacts: Artifact | Iterable[Artifact],
    *,
    targets: Targets | PlatformSet | str | Iterable[Platform | str] | None,
    sink: Sink | str | None,
    tag: str,
    registry: ImageStore | None = None,
    child_tags: bool = True,
    cancel: threading.Event | None = None,
    on_event: Listener | None = None,
    runner: Runner | None = None,
    engine: Engine | None = None,
) -> BuildResult:
    """Build artifacts, verify what was pushed, and only then move the final tags.

    Everything that can be refused is refused before anything is built. Each image is read back from where it was
    pushed and compared with what was asked; the tags move when all images of the call have passed.

    Args:
        artifacts: One or several.
        targets: What to build for; a text or set is a request, ``Targets`` what :func:`resolve_targets` decided; None:
            each builder's default.
        sink: Where images go; a text is ``RegistrySink(text)``.
        tag: The tag of every image.
        registry: The client to use; None: one of its own.
        child_tags: Whether the single-platform images of an index get tags, ``TAG_linux_amd64``.
        cancel: Set it to stop; nothing that was pushed is visible under the final tags then.
        on_event: Told of every step, from the thread that does the work.
        runner: Starts the tools that builders drive; None: the real one.
        engine: The local engine, for an ``EngineSink``; None: Docker's.

    Returns:
        One image per artifact, in their order.

    Raises:
        PlatformSyntaxError: ``targets`` is no platform.
        ReferenceSyntaxError: A name or the tag is not in the grammar, or a tag with a platform's suffix is too long.
        TargetsError: The platforms asked for cannot all be had.
        BuildError: Refused, or a builder failed (chained).
        PlatformNotDelivered: A builder pushed something else than it was asked for.
        RegistryError: The registry could not be asked, or refused.
        CancelledError: ``cancel`` was set.
    """
    place = RegistrySink(sink) if isinstance(sink, str) else sink
    wanted = _as_targets(targets)
    refuse_without_place(wanted, place)
    items = [artifacts] if isinstance(artifacts, Artifact) else list(artifacts)
    with BuildSession.open(place, registry=registry, cancel=cancel, on_event=on_event, runner=runner, engine=engine) as session:
        narrowed = [narrow_targets(wanted, supported=session.supported(item), can_hold_index=session.holds_index) for item in items]
        plan = session.plan(items, narrowed, tag=tag, child_tags=child_tags)
        return session.run(plan, items)


def refuse_without_place(targets: Targets, sink: Sink | None, mode: Mode = Mode.BUILD) -> None:
    """Refuse what somebody asked for and the sink cannot hold, before the sink is opened; an engine is asked later.

    Raises:
        TargetsError: Several platforms were asked for, and there is no place for an image of several.
    """
    if targets.requested and not isinstance(sink, EngineSink):
        narrow_targets(targets, mode=mode, can_hold_index=can_hold_index(sink))


def _as_targets(targets: Targets | PlatformSet | str | Iterable[Platform | str] | None) -> Targets:
    if isinstance(targets, Targets):
        return targets
    if targets is None:
        return Targets(None)
    platforms = PlatformSet.parse(targets)
    if not platforms:
        raise BuildError("nothing", "an empty set of platforms was asked for", "", "give targets=None for each builder's default")
    return Targets(platforms, (f"{str(platforms).replace(',', ', ')} requested",), (), requested=True)

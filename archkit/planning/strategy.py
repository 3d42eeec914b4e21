"""How an artifact is built: one native call, or one call per platform, and under which names. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from archkit.errors import BuildError, TargetsError
from archkit.model.build import STAGING_SUFFIX, EngineSink, LayoutSink, PlannedBuild
from archkit.model.finding import Finding
from archkit.model.platform_set import PlatformSet

if TYPE_CHECKING:
    from archkit.model.build import BuilderAbilities, Sink
    from archkit.model.engine import EngineInfo
    from archkit.model.platform import Platform
    from archkit.model.reference import ImageReference

    Requests = tuple[tuple[PlatformSet, ImageReference | None], ...]


def can_hold_index(sink: Sink | None, engine: EngineInfo | None = None) -> bool:
    """Whether an image of several platforms has a place there.

    Args:
        sink: Where images go.
        engine: What the local engine says of itself, where images are for it.
    """
    return engine is not None and engine.holds_index if isinstance(sink, EngineSink) else sink is not None


def plan_build(
    image: str,
    *,
    builder: str,
    abilities: BuilderAbilities,
    target: ImageReference,
    platforms: PlatformSet | None,
    sink: Sink,
    host: Platform,
    supported: PlatformSet | None = None,
    child_tags: bool = True,
    reasons: tuple[str, ...] = (),
    engine: EngineInfo | None = None,
) -> PlannedBuild:
    """The plan of one artifact.

    Args:
        image: The artifact, as the caller named it.
        builder: What messages call the builder.
        abilities: What the builder can do.
        target: The final name with its tag.
        platforms: What to build for, already narrowed; None: the builder's default.
        sink: Where images go.
        host: What a builder without a default builds.
        supported: What the artifact and builder can be built for; it corrects a default that is not among them.
        child_tags: Whether single-platform images get tags of their own.
        reasons: How the platforms were decided.
        engine: What the local engine says of itself, where images are for it.

    Raises:
        BuildError: The builder cannot put images where they should go.
        TargetsError: "all" was asked of a builder that cannot list what it builds, or several platforms of a sink that holds one.
        ReferenceSyntaxError: The tag with a platform's suffix is too long.
    """
    loaded = isinstance(sink, EngineSink) and EngineSink not in abilities.sinks and LayoutSink in abilities.sinks
    if type(sink) not in abilities.sinks and not loaded:
        able = ", ".join(sorted(kind.__name__ for kind in abilities.sinks)) or "nothing"
        raise BuildError(image, f"the builder {builder} cannot put images into a {type(sink).__name__}", "", f"it can use: {able}")
    why = list(reasons)
    chosen = platforms
    if chosen is None:
        chosen = PlatformSet([_default(abilities, host, supported)])
        why.append(f"{chosen} is the builder's default here")
    if chosen.is_all:
        raise TargetsError(f"the builder {builder} cannot tell what 'all' platforms are for {image}", "all", "", "name the platforms")
    if len(chosen) > 1 and not can_hold_index(sink, engine):
        raise TargetsError(f"{sink} holds one platform, {chosen} were asked", str(chosen), "", "use a registry or an OCI layout")
    place: Literal["", "built", "loaded"] = "loaded" if loaded else "built" if isinstance(sink, EngineSink) else ""
    if place:
        where = engine or sink
        why.append(f"{builder} makes an OCI layout, and {where} loads it" if loaded else f"{builder} leaves the image in {where}")
    tagged = child_tags and len(chosen) > 1 and not place
    if place == "built":
        requests, how = _in_engine(builder, abilities, target, chosen), ""
    else:
        requests, how = _calls(builder, abilities, target, chosen, tagged=tagged)
    if tagged:
        for one in chosen:
            child_tag(target, one)  # too long a tag is refused now, not after the build
    reasons = (*why, *filter(None, [how]), *abilities.notes)
    return PlannedBuild(image, builder, target, chosen, abilities, requests, tagged, reasons, place)


def _calls(builder: str, abilities: BuilderAbilities, target: ImageReference, chosen: PlatformSet, *, tagged: bool) -> tuple[Requests, str]:
    """Each call of a builder that puts images where archkit can read them, and how that is told."""
    if abilities.native_multi:
        return ((chosen, _native_reference(abilities, target)),), (
            f"{builder} builds all of them in one call" if len(chosen) > 1 else f"{builder} is called once"
        )
    requests = tuple(
        (PlatformSet([one]), _child_reference(abilities, target, one, tagged=tagged, single=len(chosen) == 1)) for one in chosen
    )
    if len(chosen) == 1:
        return requests, f"{builder} is called once"
    order = "one after the other, each pushed beside the next build" if abilities.overlap else "one after the other"
    if abilities.parallel:
        order = "at the same time"
    return requests, f"{builder} builds one platform at a time ({order}); archkit stitches them under {target.tag}"


def _in_engine(builder: str, abilities: BuilderAbilities, target: ImageReference, chosen: PlatformSet) -> Requests:
    """The one call of a builder that leaves its image in the engine."""
    if len(chosen) > 1 and not abilities.native_multi:
        reason = f"{builder} builds one platform at a time, and nothing joins images in an engine"
        raise TargetsError(reason, str(chosen), "", "use a registry or an OCI layout")
    return ((chosen, target if abilities.pushes_final_tag else staging_reference(target)),)


def plan_findings(plan: PlannedBuild) -> tuple[Finding, ...]:
    """What a person should know of a plan before it runs."""
    findings: list[Finding] = []
    foreign = [platform for platform in plan.platforms if platform in plan.abilities.emulated]
    if foreign:
        names = ", ".join(map(str, foreign))
        findings.append(Finding.of("emulated-build", f"{names} will be built under emulation, which is slow", plan.image))
    if len(plan.platforms) > 1 and not plan.child_tags and not plan.engine:
        message = "the single-platform images get no tags; a registry that removes untagged manifests would break the index"
        findings.append(Finding.of("untagged-children", message, plan.image))
    return tuple(findings)


def _default(abilities: BuilderAbilities, host: Platform, supported: PlatformSet | None) -> Platform:
    preferred = abilities.default or host
    if supported is None or supported.is_all or not supported or preferred in supported:
        return preferred
    same_cpu = [platform for platform in supported if platform.os_arch == preferred.os_arch]
    return same_cpu[0] if same_cpu else next(iter(supported))


def _native_reference(abilities: BuilderAbilities, target: ImageReference) -> ImageReference | None:
    if abilities.pushes_final_tag:
        return target
    return None if abilities.push_by_digest else staging_reference(target)


def staging_reference(target: ImageReference) -> ImageReference:
    """The name of what is not verified yet: ``TAG_archkit-staging``.

    Raises:
        ReferenceSyntaxError: Longer than a tag may be.
    """
    return target.with_tag(f"{target.tag}{STAGING_SUFFIX}")


def _child_reference(
    abilities: BuilderAbilities, target: ImageReference, platform: Platform, *, tagged: bool, single: bool
) -> ImageReference | None:
    if single and abilities.pushes_final_tag:
        return target
    return None if abilities.push_by_digest and not tagged else child_tag(target, platform)


def child_tag(target: ImageReference, platform: Platform) -> ImageReference:
    """The name of one platform's image: ``TAG_linux_arm_v7``, as Skaffold names it.

    Raises:
        ReferenceSyntaxError: Longer than a tag may be.
    """
    return target.with_tag(f"{target.tag}_{platform.tag_suffix}")

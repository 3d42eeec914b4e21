"""How an artifact is built: one native call, or one call per platform, and under which names. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.errors import BuildError, TargetsError
from archkit.model.build import STAGING_SUFFIX, EngineSink, PlannedBuild
from archkit.model.finding import Finding
from archkit.model.platform_set import PlatformSet

if TYPE_CHECKING:
    from archkit.model.build import BuilderAbilities, Sink
    from archkit.model.platform import Platform
    from archkit.model.reference import ImageReference


def can_hold_index(sink: Sink | None) -> bool:
    """Whether an image of several platforms has a place there."""
    return sink is not None and not isinstance(sink, EngineSink)


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

    Raises:
        BuildError: The builder cannot put images where they should go.
        TargetsError: "all" was asked of a builder that cannot list what it builds, or several platforms of a sink that holds one.
        ReferenceSyntaxError: The tag with a platform's suffix is too long.
    """
    if type(sink) not in abilities.sinks:
        able = ", ".join(sorted(kind.__name__ for kind in abilities.sinks)) or "nothing"
        raise BuildError(image, f"the builder {builder} cannot put images into a {type(sink).__name__}", "", f"it can use: {able}")
    why = list(reasons)
    chosen = platforms
    if chosen is None:
        chosen = PlatformSet([_default(abilities, host, supported)])
        why.append(f"{chosen} is the builder's default here")
    if chosen.is_all:
        raise TargetsError(f"the builder {builder} cannot tell what 'all' platforms are for {image}", "all", "", "name the platforms")
    if len(chosen) > 1 and not can_hold_index(sink):
        raise TargetsError(f"{sink} holds one platform, {chosen} were asked", str(chosen), "", "use a registry or an OCI layout")
    tagged = child_tags and len(chosen) > 1
    if abilities.native_multi:
        requests: tuple[tuple[PlatformSet, ImageReference | None], ...] = ((chosen, _native_reference(abilities, target)),)
        why.append(f"{builder} builds all of them in one call" if len(chosen) > 1 else f"{builder} is called once")
    else:
        requests = tuple(
            (PlatformSet([one]), _child_reference(abilities, target, one, tagged=tagged, single=len(chosen) == 1)) for one in chosen
        )
        if len(chosen) == 1:
            why.append(f"{builder} is called once")
        else:
            order = "at the same time" if abilities.parallel else "one after the other"
            why.append(f"{builder} builds one platform at a time ({order}); archkit stitches them under {target.tag}")
    if tagged:
        for one in chosen:
            child_tag(target, one)  # too long a tag is refused now, not after the build
    return PlannedBuild(image, builder, target, chosen, abilities, requests, tagged, (*why, *abilities.notes))


def plan_findings(plan: PlannedBuild) -> tuple[Finding, ...]:
    """What a person should know of a plan before it runs."""
    findings: list[Finding] = []
    foreign = [platform for platform in plan.platforms if platform in plan.abilities.emulated]
    if foreign:
        names = ", ".join(map(str, foreign))
        findings.append(Finding.of("emulated-build", f"{names} will be built under emulation, which is slow", plan.image))
    if len(plan.platforms) > 1 and not plan.child_tags:
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
    return None if abilities.push_by_digest else target.with_tag(f"{target.tag}{STAGING_SUFFIX}")


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

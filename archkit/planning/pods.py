"""What is to be done with one pod of a manifest, from what is known of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import attrs

from archkit.model.cluster import Cluster
from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet
from archkit.planning.affinity import AffinityPlan, Note, plan_affinity, variant_note
from archkit.planning.cells import Shape
from archkit.planning.edits import Append, Data, Edit, Path, Replace, applied, at, is_empty, put
from archkit.planning.placement import Places, arch_taints, as_daemon, place, tolerates
from archkit.planning.pod_platforms import ImagePlatforms, common_platforms
from archkit.planning.recent import Recent

if TYPE_CHECKING:
    from archkit.planning.images import KnownImage
    from archkit.planning.kinds import FoundPod, ImagePlace

Affinity: TypeAlias = Literal["mixed", "always", "never"]


@attrs.frozen
class Wishes:
    """What the caller of the renderer asked for."""

    affinity: Affinity = "mixed"
    shape: Shape = "per-platform"
    cluster: Cluster | None = None
    prefer: Mapping[Platform, int] = attrs.field(factory=dict[Any, int])
    tolerate_arch_taints: bool = True
    match_windows_build: bool = False
    strict: bool = False

    @property
    def writes_affinity(self) -> bool:
        """Whether node affinity is written at all."""
        mixed = self.affinity == "mixed" and self.cluster is not None and self.cluster.mixed
        return mixed or self.affinity == "always"

    @property
    def undecided(self) -> bool:
        """Whether affinity would be written on a mixed cluster, and nobody said which cluster it is."""
        return self.affinity == "mixed" and self.cluster is None


@attrs.frozen
class Decision:
    """What one pod needs, and what is to say about it."""

    edits: tuple[Edit, ...]
    notes: tuple[tuple[Path, Note], ...]
    """Each with the path of what it is about."""
    platforms: PlatformSet | None
    places: Places | None = None
    """Which nodes remain; None without a cluster, and for kinds whose pods are described elsewhere."""
    rules: Mapping[str, object] = attrs.field(factory=dict[str, object], eq=False)
    """What decides where the pod may run, before the edits."""

    @property
    def pinned(self) -> Mapping[Path, str]:
        """The images that are replaced, by path."""
        return {edit.at: edit.value for edit in self.edits if isinstance(edit, Replace)}


def decide(pod: FoundPod[Any], images: Sequence[tuple[ImagePlace, KnownImage]], rules: Mapping[str, object], wishes: Wishes) -> Decision:
    """The edits and notes of one pod.

    Args:
        pod: Where it stands.
        images: Its images, with what is known of each.
        rules: The mapping at its path, as far as it decides where the pod may run.
        wishes: What the caller asked for.
    """
    where = pod.path
    notes = [(found.path, note) for found, known in images for note in known.notes]
    said = [ImagePlatforms(found.image, known.platforms) for found, known in images if known.index or not found.mounted]
    common = common_platforms(said)
    if common is not None and not common:
        named = ", ".join(str(image) for image in dict.fromkeys(said) if image.platforms is not None and not image.platforms.is_all)
        message = f"no platform runs all of this pod's images: {named}"
        note = Note("no-common-platform", message, "build the images for a common platform; the pod was left as it was")
        return _placed(pod, wishes, Decision((), (*notes, (where, note)), common, rules=rules))
    edits: list[Edit] = [Replace(found.path, known.pinned) for found, known in images if known.pinned is not None]
    if wishes.writes_affinity or wishes.strict:
        for found, known in images:
            if known.platforms is None and not found.mounted:
                notes.append((found.path, _unknown(found.image, known.reason, strict=wishes.strict)))
    plan = AffinityPlan()
    if common is not None:
        plan = _affinity(pod, common, rules, wishes)
        notes += [(where, note) for note in plan.notes]
        edits += plan.edits
    return _placed(pod, wishes, Decision(tuple(edits), tuple(notes), common, rules=rules))


def _unknown(image: str, reason: str, *, strict: bool) -> Note:
    message = f"the platforms of {image} are not known: {reason}"
    hint = "name them in `platforms`, or pass a registry client there"
    return Note("image-platforms-unknown", message, hint, "error" if strict else None)


def _affinity(pod: FoundPod[Any], common: PlatformSet, rules: Mapping[str, object], wishes: Wishes) -> AffinityPlan:
    holder = pod.holder or ()
    plan = plan_affinity(
        common,
        rules,
        pod.path,
        holder,
        shape=wishes.shape,
        prefer=wishes.prefer,
        match_windows_build=wishes.match_windows_build,
    )
    edits = list(plan.edits) if wishes.writes_affinity else []
    notes = list(plan.notes)
    if pod.holder is None:
        if edits:
            names = str(common).replace(",", ", ")
            message = f"a {pod.kind} has no place for affinity; its images run on {names}"
            notes.append(Note("kind-without-affinity", message, "restrict the pods where they are started"))
        return AffinityPlan((), tuple(notes), plan.cells)
    if edits:
        variant = _variants.get(common, "", lambda: variant_note(common))
        notes += [variant] if variant is not None else []
        if pod.caution:
            notes.append(Note("kind-without-affinity", pod.caution, "turn it on, or render with affinity='never'"))
    if not at(rules, (*holder, "nodeName")):
        edits += _tolerations(pod, plan, rules, wishes)
    return AffinityPlan(tuple(edits), tuple(notes), plan.cells)


_variants: Recent[Note | None] = Recent()


def _tolerations(pod: FoundPod[Any], plan: AffinityPlan, rules: Mapping[str, object], wishes: Wishes) -> list[Edit]:
    """Tolerations for taints of the cluster that keep pods off a CPU on which this pod's images run."""
    if wishes.cluster is None or not wishes.tolerate_arch_taints or pod.holder is None:
        return []
    own = at(rules, (*pod.holder, "tolerations"))
    taints = arch_taints(wishes.cluster, ((cell.os, cell.arch) for cell in plan.cells))
    missing: list[Data] = [
        {"key": taint.key, "operator": "Equal", "value": taint.value, "effect": taint.effect}
        for taint in taints
        if not tolerates(own, taint)
    ]
    if not missing:
        return []
    if is_empty(own):
        return [put(pod.path, rules, (*pod.holder, "tolerations"), missing)]
    if not isinstance(own, list):
        return []
    return [Append((*pod.path, *pod.holder, "tolerations"), missing)]


def _placed(pod: FoundPod[Any], wishes: Wishes, decision: Decision) -> Decision:
    """The decision with what remains of the cluster, if one is given."""
    cluster = wishes.cluster
    if cluster is None or pod.holder is None or not (cluster.nodes or cluster.pools):
        return decision
    after = at(applied(decision.rules, pod.path, decision.edits), pod.holder)
    found = cast("Mapping[str, object]", after) if isinstance(after, Mapping) else {}
    places = place(decision.platforms, as_daemon(found) if pod.kind == "DaemonSet" else found, cluster)
    decision = attrs.evolve(decision, places=places)
    if places.nodes or places.pools or any((note.severity or "error") == "error" and note.code in _FATAL for _, note in decision.notes):
        return decision
    platforms = "nothing" if decision.platforms is None else str(decision.platforms).replace(",", ", ")
    if not places.fits_some:
        message = f"no node of the cluster runs this pod: its images run on {platforms}, the cluster has {_had(cluster)}"
        note = Note("no-node-for-pod", message, "build the images for a platform of the cluster, or add such nodes")
    else:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(places.excluded.items())[:3])
        more = len(places.excluded) - 3
        message = f"no node remains for this pod ({reasons}{f'; and {more} more' if more > 0 else ''})"
        note = Note("unschedulable-as-written", message, "check its selectors and tolerations")
    return attrs.evolve(decision, notes=(*decision.notes, (pod.path, note)))


def left_alone(pod: FoundPod[Any], decision: Decision, wishes: Wishes) -> Decision:
    """The same decision for a pod that is not edited after all."""
    left = _placed(pod, wishes, attrs.evolve(decision, edits=()))
    return attrs.evolve(left, notes=decision.notes)


_FATAL = frozenset({"platform-conflict", "pod-os-conflict", "no-common-platform"})


def _had(cluster: Cluster) -> str:
    names = {str(node.platform) for node in cluster.nodes if node.platform is not None}
    return ", ".join(sorted(names | {str(platform) for platform in cluster.platforms})) or "no node"

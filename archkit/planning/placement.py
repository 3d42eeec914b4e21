"""Which nodes a pod may use, and why the others are out: the scheduler's filters, as far as platforms depend on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from archkit.model.frozen import NO_TEXTS, FrozenMap
from archkit.model.node import ARCH_LABEL, OS_LABEL, Node, Taint
from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet
from archkit.planning.affinity import REQUIRED
from archkit.planning.edits import at
from archkit.planning.selectors import Expression, MalformedSelectorError, Term, matches, parse_terms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archkit.model.cluster import Cluster, Pool


@attrs.frozen
class PodPlacement:
    """Where one pod (or each pod of a template) can run."""

    where: str
    """Where it stands: ``file:line kind/namespace/name path``."""
    images: tuple[str, ...]
    """As they stand after rendering, in the order of the manifest."""
    platforms: PlatformSet | None
    """What its images have in common; empty when nothing; None: not known."""
    nodes: tuple[str, ...] | None = None
    """Nodes of the given cluster that remain; None without a cluster."""
    pools: tuple[str, ...] = ()
    """Pools of the cluster that may bring a fitting node."""
    excluded: FrozenMap[str, str] = NO_TEXTS
    """Every other node, and why it is out."""

    def explain(self) -> str:
        """The same for a person."""
        platforms = "not known" if self.platforms is None else str(self.platforms).replace(",", ", ") or "none"
        lines = [f"{self.where}: platforms {platforms}"]
        if self.nodes is not None:
            lines.append(f"  nodes: {', '.join(self.nodes) or 'none'}")
            lines += [f"  pool {pool} may bring one" for pool in self.pools]
            lines += [f"  not {name}: {reason}" for name, reason in self.excluded.items()]
        return "\n".join(lines)


@attrs.frozen
class Places:
    """What remains of a cluster for one pod."""

    nodes: tuple[str, ...]
    pools: tuple[str, ...]
    excluded: FrozenMap[str, str]
    fits_some: bool
    """Whether at least one node or pool is of a platform that the images run on, whatever else keeps the pod off."""


def place(platforms: PlatformSet | None, pod: Mapping[str, object], cluster: Cluster) -> Places:
    """The nodes and pools that remain for a pod.

    Args:
        platforms: What its images have in common; None: not known, so that platforms exclude nothing.
        pod: The pod spec's keys that concern placement, after rendering.
        cluster: The nodes.
    """
    remaining: list[str] = []
    excluded: dict[str, str] = {}
    fits = False
    for node in cluster.nodes:
        wrong = _wrong_platform(platforms, node)
        fits = fits or not (wrong or node.virtual)
        reason = wrong or _kept_off(pod, node)
        if reason:
            excluded[node.name] = reason
        else:
            remaining.append(node.name)
    pools: list[str] = []
    for pool in cluster.pools:
        nodes = _nodes_of(pool, platforms)
        fits = fits or pool.open_ended or any(not _wrong_platform(platforms, node) for node in nodes)
        if any(not (_wrong_platform(platforms, node) or _kept_off(pod, node, partial=pool.more_labels)) for node in nodes):
            pools.append(pool.name)
    return Places(tuple(remaining), tuple(pools), FrozenMap(excluded), fits)


def runs(image: Platform, node: Platform) -> bool:
    """Whether an image can run on a node, of whose CPU variant nothing is known."""
    return image.os == node.os and (image.arch == node.arch or Platform(image.os, image.arch, image.variant).runs_on(node))


def _wrong_platform(platforms: PlatformSet | None, node: Node) -> str:
    if platforms is None or platforms.is_all:
        return ""
    if node.platform is None:
        return "it does not say which platform it is"
    if not any(runs(image, node.platform) for image in platforms):
        return f"it is {node.platform}, the images run on {str(platforms).replace(',', ', ') or 'nothing'}"
    return ""


def _nodes_of(pool: Pool, platforms: PlatformSet | None) -> list[Node]:
    """Nodes that the pool may bring; an open-ended one brings what the images need."""
    closed = None if pool.open_ended else pool.platforms
    brought = closed if closed is not None else (platforms if platforms is not None and not platforms.is_all else None)
    listed = [Platform("linux", "amd64")] if brought is None else list(brought)
    return [Node(pool.name, {OS_LABEL: platform.os, ARCH_LABEL: platform.arch, **pool.labels}, pool.taints) for platform in listed]


def _kept_off(pod: Mapping[str, object], node: Node, *, partial: bool = False) -> str:
    """Why the scheduler would not put the pod on this node; empty when it would.

    Args:
        pod: The pod spec's keys that concern placement.
        node: The node.
        partial: Whether it has further labels, unknown here, that may be what the pod asks for.
    """
    name = pod.get("nodeName")
    if name:
        if name != node.name:
            return f"nodeName is {name}"
    elif node.cordoned and not tolerates(pod.get("tolerations"), Taint("node.kubernetes.io/unschedulable")):
        return "it is cordoned"
    os_name = at(pod, ("os", "name"))
    if isinstance(os_name, str) and node.platform is not None and os_name in {"linux", "windows"} and node.platform.os != os_name:
        return f"os.name is {os_name}"
    selector = pod.get("nodeSelector")
    for key, value in (selector if isinstance(selector, Mapping) else {}).items():
        if node.labels.get(key) != value and not (partial and key not in node.labels):
            return f"nodeSelector asks for {key}={value}"
    required = at(pod, ("affinity", "nodeAffinity", REQUIRED))
    if required is not None:
        try:
            terms = parse_terms(at(required, ("nodeSelectorTerms",)))
        except MalformedSelectorError as error:
            return f"its node affinity is malformed: {error}"
        if not any(matches(_known(term, node) if partial else term, node.labels, node.name) for term in terms):
            return "no node selector term matches it"
    effects = {"NoExecute"} if name else {"NoSchedule", "NoExecute"}
    for taint in node.taints:
        if taint.effect in effects and not tolerates(pod.get("tolerations"), taint):
            return f"the taint {taint} is not tolerated"
    return ""


def _known(term: Term, node: Node) -> Term:
    """The term as far as the labels that it asks for are known; it says something still where it did."""
    known = tuple(item for item in term.expressions if item.key in node.labels)
    anything = () if known or term.empty else (Expression(OS_LABEL, "Exists"),)
    return Term(known or anything, term.fields)


_DAEMON_TOLERATIONS: tuple[Mapping[str, object], ...] = tuple(
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
    for key, effect in (
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    )
)


def as_daemon(pod: Mapping[str, object]) -> Mapping[str, object]:
    """The pod as a DaemonSet's controller makes it: a cordon does not keep it off.

    Source: Kubernetes documentation, DaemonSet, "Taints and tolerations".
    """
    own = pod.get("tolerations")
    listed = own if isinstance(own, Sequence) and not isinstance(own, str) else ()
    return {**pod, "tolerations": [*listed, *_DAEMON_TOLERATIONS]}


# ---- taints --------------------------------------------------------------------------------------------------------


def tolerates(tolerations: object, taint: Taint) -> bool:
    """Whether a pod's tolerations let it onto a node with this taint.

    Source: Kubernetes API reference, Toleration: an empty effect means every effect, an empty key with ``Exists``
    every taint, and no operator means ``Equal``.
    """
    if not isinstance(tolerations, Sequence) or isinstance(tolerations, str):
        return False
    return any(isinstance(item, Mapping) and _matches_taint(item, taint) for item in tolerations)


def _matches_taint(toleration: Mapping[str, object], taint: Taint) -> bool:
    effect, key = toleration.get("effect") or "", toleration.get("key") or ""
    if effect not in {"", taint.effect} or key not in {"", taint.key}:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    return operator == "Equal" and bool(key) and (toleration.get("value") or "") == taint.value


def arch_taints(cluster: Cluster, wanted: Iterable[tuple[str, str]]) -> tuple[Taint, ...]:
    """The taints by which this cluster's nodes and pools keep pods off a CPU, for CPUs that are wanted.

    Such a taint's key ends with ``arch`` (``kubernetes.io/arch`` as Google Kubernetes Engine sets it, ``arch`` as
    people do) and its value is the node's own CPU.

    Args:
        cluster: The nodes and pools.
        wanted: Operating system and CPU of what the pod runs on.
    """
    pairs = set(wanted)
    found: dict[Taint, None] = {}
    for node in cluster.nodes:
        if node.platform is not None and node.platform.os_arch in pairs and not node.virtual:
            found.update(dict.fromkeys(taint for taint in node.taints if _is_arch_taint(taint, {node.platform.arch})))
    for pool in cluster.pools:
        arches = (
            {arch for _, arch in pairs}
            if pool.platforms is None or pool.open_ended
            else {item.arch for item in pool.platforms if item.os_arch in pairs}
        )
        found.update(dict.fromkeys(taint for taint in pool.taints if _is_arch_taint(taint, arches)))
    return tuple(found)


def _is_arch_taint(taint: Taint, arches: set[str]) -> bool:
    return taint.repels and taint.key.rpartition("/")[2] == "arch" and taint.value in arches

"""assert_placed: where the pods of an object may run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from archkit.inspection import ClusterInspector
from archkit.model.cluster import Cluster
from archkit.model.node import ARCH_LABEL, OS_LABEL, Node
from archkit.model.platform_set import PlatformSet
from archkit.rendering import AffinityRenderer
from archkit.testing.cluster import EmbeddedCluster

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archkit.model.platform import Platform
    from archkit.planning.kinds import KindRule
    from archkit.planning.placement import PodPlacement


def assert_placed(
    obj: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    on: PlatformSet | str | Iterable[Platform | str] = (),
    *,
    not_on: PlatformSet | str | Iterable[Platform | str] = (),
    nodes: EmbeddedCluster | Cluster | Iterable[Node] | None = None,
    kinds: Iterable[KindRule] = (),
) -> tuple[PodPlacement, ...]:
    """Fail unless the pods of an object may run on nodes of some platforms, and on none of others; where they may run.

    Selectors, affinity, tolerations and ``nodeName`` count, what the images are does not (``assert_runs_on`` is for that).

    >>> pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"nodeSelector": {"kubernetes.io/arch": "arm64"}}}
    >>> pod["spec"]["containers"] = [{"name": "a", "image": "a"}]
    >>> _ = assert_placed(pod, "linux/arm64", not_on="linux/amd64")

    Args:
        obj: A manifest, or several; each pod in them is looked at.
        on: Each of these needs a node on which the pods may run.
        not_on: No node of these may be one on which they may run.
        nodes: Those of a cluster; None: one for each platform, without anything special.
        kinds: Where the pods are in kinds that archkit does not know.

    Raises:
        AssertionError: With a table of the platforms, their nodes, and what keeps the pods off.
    """
    __tracebackhide__ = True  # the message says it all
    wanted, unwanted = PlatformSet(_several(on)), PlatformSet(_several(not_on))
    if not (wanted or unwanted):
        raise ValueError("say where the pods must be able to run (on), or must not (not_on)")
    cluster = _cluster(nodes, PlatformSet([*wanted, *unwanted]))
    objects = [cast(Mapping[str, Any], obj)] if isinstance(obj, Mapping) else list(obj)
    renderer = AffinityRenderer(affinity="never", cluster=cluster, tolerate_arch_taints=False, kinds=tuple(kinds))
    placements = renderer.render_objects(objects).pods
    if not placements:
        raise AssertionError("there is no pod in " + (", ".join(str(each.get("kind")) for each in objects) or "nothing"))
    for placement in placements:
        rows = [_row(placement, platform, cluster, wanted=platform in wanted) for platform in PlatformSet([*wanted, *unwanted])]
        if any(wrong for wrong, _ in rows):
            head = f"  {'platform':24} {'wanted':7} {'may run on':24} kept off"
            table = "\n".join([head, *(f"{'>' if wrong else ' '} {text}" for wrong, text in rows)])
            raise AssertionError(f"{placement.where}: its pods may run elsewhere than wanted:\n{table}")
    return placements


def _several(platforms: PlatformSet | str | Iterable[Platform | str]) -> Iterable[Platform | str]:
    return PlatformSet.parse(platforms) if isinstance(platforms, str) else platforms


def _cluster(nodes: EmbeddedCluster | Cluster | Iterable[Node] | None, platforms: PlatformSet) -> Cluster:
    if nodes is None:
        return Cluster([Node(str(each), {OS_LABEL: each.os, ARCH_LABEL: each.arch}) for each in platforms])
    if isinstance(nodes, EmbeddedCluster):
        return ClusterInspector.from_nodes(nodes.objects("nodes")).inspect()
    return nodes if isinstance(nodes, Cluster) else Cluster(nodes)


def _row(placement: PodPlacement, platform: Platform, cluster: Cluster, *, wanted: bool) -> tuple[bool, str]:
    """Whether a platform is other than wanted, and its line."""
    there = [node.name for node in cluster.nodes if node.platform is not None and node.platform.os_arch == platform.os_arch]
    open_to = [name for name in there if name in (placement.nodes or ())]
    reasons = [f"{name}: {placement.excluded[name]}" for name in there if name in placement.excluded] or (
        [] if there else ["there is no such node"]
    )
    shown = ", ".join(open_to[:3]) + (f" and {len(open_to) - 3} more" if len(open_to) > 3 else "") or "none"
    kept_off = "; ".join(reasons[:2]) + (f"; and {len(reasons) - 2} more" if len(reasons) > 2 else "")
    return bool(open_to) is not wanted, f"{platform!s:24} {'yes' if wanted else 'no':7} {shown:24} {kept_off}".rstrip()

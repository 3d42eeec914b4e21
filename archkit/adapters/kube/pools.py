"""What may bring nodes to a cluster: Karpenter, Cluster API, GKE's own provisioners; as far as one may read it.

Which of them there are, the list of API groups tells (one request, which everybody who is signed in may make by default);
only those are asked. Nothing here is required: whoever may read nodes alone gets nodes alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from archkit.adapters.kube.listing import Page, collect_if_permitted, decoded
from archkit.model.cluster import Pool
from archkit.model.node import Taint
from archkit.planning import provisioners
from archkit.planning.selectors import Expression

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archkit.model.node import Node
    from archkit.ports.cluster import ClusterApi

_KARPENTER = "karpenter.sh"
_VERSIONS = ("v1", "v1beta1")
_CLUSTER_API = "cluster.x-k8s.io"
_SOME_NODES = 20
IN_FLIGHT = "node being made"


class _Version(msgspec.Struct):
    version: str = ""


class _Group(msgspec.Struct):
    name: str = ""
    versions: list[_Version] | None = None


class _Groups(msgspec.Struct):
    groups: list[_Group] | None = None


class _Requirement(msgspec.Struct):
    key: str = ""
    operator: str = "In"
    values: list[str] | None = None


class _TaintFields(msgspec.Struct):
    key: str = ""
    value: str | None = None
    effect: str | None = None


class _Meta(msgspec.Struct):
    name: str = ""
    namespace: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletionTimestamp: str | None = None  # noqa: N815 - the API's spelling


class _NodeSpec(msgspec.Struct):
    """What Karpenter says of nodes: of a claim, and of a pool's template."""

    requirements: list[_Requirement] | None = None
    taints: list[_TaintFields] | None = None


class _Template(msgspec.Struct):
    metadata: _Meta | None = None
    spec: _NodeSpec | None = None


class _PoolSpec(msgspec.Struct):
    template: _Template | None = None


class _NodePool(msgspec.Struct):
    metadata: _Meta
    spec: _PoolSpec | None = None


class _ClaimStatus(msgspec.Struct):
    nodeName: str | None = None  # noqa: N815 - the API's spelling


class _Claim(msgspec.Struct):
    metadata: _Meta
    spec: _NodeSpec | None = None
    status: _ClaimStatus | None = None


class _MachineSpec(msgspec.Struct):
    clusterName: str | None = None  # noqa: N815 - the API's spelling
    replicas: int | None = None


class _Machines(msgspec.Struct):
    metadata: _Meta
    spec: _MachineSpec | None = None


class _NodeNote(msgspec.Struct):
    cluster: str | None = msgspec.field(name="cluster.x-k8s.io/cluster-name", default=None)


class _NodeMeta(msgspec.Struct):
    annotations: _NodeNote | None = None


class _AnnotatedNode(msgspec.Struct):
    metadata: _NodeMeta | None = None


_NODE_NOTES = msgspec.json.Decoder(Page[_AnnotatedNode])
_POOLS = msgspec.json.Decoder(Page[_NodePool])
_CLAIMS = msgspec.json.Decoder(Page[_Claim])
_MACHINES = msgspec.json.Decoder(Page[_Machines])


def read_pools(api: ClusterApi, nodes: Sequence[Node], *, timeout: float) -> list[Pool]:
    """The pools and nodes in the making that this cluster's API tells of, in the order of the kinds, then by name.

    Args:
        api: The cluster.
        nodes: What was read of it.
        timeout: Seconds for each answer.

    Raises:
        ClusterError: No answer.
    """
    groups = _groups(api, timeout)
    pools = _karpenter(api, nodes, groups, timeout)
    if _CLUSTER_API in groups:
        pools += _cluster_api(api, groups[_CLUSTER_API], timeout)
    return pools + provisioners.google(nodes, groups)


def _groups(api: ClusterApi, timeout: float) -> dict[str, tuple[str, ...]]:
    """Versions by API group; nothing where one may not ask."""
    answer = api.request("GET", "/apis", timeout=timeout)
    if answer.status != 200:
        return {}
    try:
        listed = msgspec.json.decode(answer.body, type=_Groups).groups or []
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return {group.name: tuple(item.version for item in group.versions or ()) for group in listed}


def _karpenter(api: ClusterApi, nodes: Sequence[Node], groups: Mapping[str, tuple[str, ...]], timeout: float) -> list[Pool]:
    """Node pools, and claims whose node is not there yet; one open-ended pool where there are some that cannot be read."""
    version = next((name for name in _VERSIONS if name in groups.get(_KARPENTER, ())), "")
    seen = _KARPENTER in groups or any(provisioners.KARPENTER_LABELS & node.labels.keys() for node in nodes)
    root = f"/apis/{_KARPENTER}/{version}"

    found = collect_if_permitted(api, f"{root}/nodepools", _POOLS, _pool, timeout=timeout) if version else None
    if found is None:
        return [Pool("Karpenter", origin="node pools that cannot be read", more_labels=True)] if seen else []
    there = {node.name for node in nodes}

    def in_flight(item: _Claim) -> Pool | None:
        return None if item.status and item.status.nodeName in there else _claim(item)

    return found + (collect_if_permitted(api, f"{root}/nodeclaims", _CLAIMS, in_flight, timeout=timeout) or [])


def _pool(item: _NodePool) -> Pool | None:
    template = (item.spec and item.spec.template) or _Template()
    labels = {provisioners.NODE_POOL_LABEL: item.metadata.name, **((template.metadata and template.metadata.labels) or {})}
    return None if item.metadata.deletionTimestamp else _karpenter_pool(item.metadata.name, "NodePool", labels, template.spec)


def _claim(item: _Claim) -> Pool | None:
    labels = item.metadata.labels or {}
    return None if item.metadata.deletionTimestamp else _karpenter_pool(item.metadata.name, IN_FLIGHT, labels, item.spec)


def _karpenter_pool(name: str, origin: str, labels: Mapping[str, str], spec: _NodeSpec | None) -> Pool | None:
    spec = spec or _NodeSpec()
    wanted = [Expression(item.key, item.operator, tuple(item.values or ())) for item in spec.requirements or ()]
    taints = [Taint(taint.key, taint.value or "", taint.effect or "NoSchedule") for taint in spec.taints or ()]
    return provisioners.karpenter(name, origin, labels, wanted, taints)


def _cluster_api(api: ClusterApi, versions: Sequence[str], timeout: float) -> list[Pool]:
    """The machine pools of the cluster that these very nodes are of; those of others, a management cluster's, are not."""
    path = "/api/v1/nodes"
    notes = api.request("GET", path, query={"limit": str(_SOME_NODES)}, timeout=timeout)
    if notes.status != 200:
        return []
    listed = decoded(api, path, notes, _NODE_NOTES).items or ()
    ours = {item.metadata.annotations.cluster for item in listed if item.metadata and item.metadata.annotations} - {None}
    if not ours or not versions:
        return []
    found: list[Pool] = []
    for plural, kind in (("machinedeployments", "MachineDeployment"), ("machinepools", "MachinePool")):

        def keep(item: _Machines, kind: str = kind) -> Pool | None:
            return _machines(item, kind) if item.spec and item.spec.clusterName in ours else None

        found += collect_if_permitted(api, f"/apis/{_CLUSTER_API}/{versions[0]}/{plural}", _MACHINES, keep, timeout=timeout) or []
    return found


def _machines(item: _Machines, kind: str) -> Pool | None:
    spec = item.spec or _MachineSpec()
    return provisioners.machines(item.metadata.name, kind, item.metadata.annotations or {}, spec.replicas)

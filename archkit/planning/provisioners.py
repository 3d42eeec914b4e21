"""What provisioners say of the nodes that they would make, as pools: pure functions.

Sources: Karpenter's API ``karpenter.sh/v1`` and ``v1beta1`` (NodePool, NodeClaim); the Cluster API provider of the
Kubernetes cluster autoscaler (capacity annotations, for pools at zero); Google's documentation of GKE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.model.cluster import Pool
from archkit.model.node import ARCH_LABEL, BETA_ARCH_LABEL, BETA_OS_LABEL, OS_LABEL, Taint
from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet
from archkit.planning.selectors import Expression, finite_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from archkit.model.node import Node

NODE_POOL_LABEL = "karpenter.sh/nodepool"
KARPENTER_LABELS = frozenset({NODE_POOL_LABEL, "karpenter.sh/provisioner-name"})
GKE_POOL_LABEL = "cloud.google.com/gke-nodepool"
_CAPACITY = "capacity.cluster-autoscaler.kubernetes.io/"
_SIZE = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-"
_ALIASES = {BETA_ARCH_LABEL: ARCH_LABEL, BETA_OS_LABEL: OS_LABEL}


def karpenter(
    name: str, origin: str, labels: Mapping[str, str], requirements: Iterable[Expression], taints: Iterable[Taint]
) -> Pool | None:
    """The pool that a NodePool, or a NodeClaim, is; None where it contradicts itself and makes no nodes.

    Without a requirement on the CPU, or with one that names only what it is not, any CPU that the provider offers may
    come. Without one on the operating system it is Linux: Windows needs images of its own, which are asked for by it.

    Args:
        name: Of the object.
        origin: What it is, for a person.
        labels: That its nodes will have.
        requirements: On labels, ANDed. Karpenter takes the beta names of operating system and CPU for the others.
        taints: That its nodes will keep (start-up taints are taken away, and keep nobody off for long).
    """
    wanted = [Expression(_ALIASES.get(item.key, item.key), item.operator, item.values) for item in requirements]
    wanted += [Expression(_ALIASES.get(key, key), "In", (value,)) for key, value in labels.items()]
    by_key: dict[str, list[Expression]] = {}
    for item in wanted:
        by_key.setdefault(item.key, []).append(item)
    arches = finite_values(by_key.get(ARCH_LABEL, []))
    systems = finite_values(by_key.get(OS_LABEL, []))
    if arches == () or systems == ():
        return None
    single = {key: values for key, items in by_key.items() if (values := finite_values(items)) is not None and len(values) == 1}
    known = {key: values[0] for key, values in single.items() if key not in {ARCH_LABEL, OS_LABEL}}
    platforms = None if arches is None else _product(systems or ("linux",), arches)
    return Pool(name, platforms, known, tuple(taints), origin=origin, more_labels=True)


def machines(name: str, kind: str, annotations: Mapping[str, str], replicas: int | None) -> Pool | None:
    """The pool that a MachineDeployment or MachinePool of the Cluster API is; None where it brings nothing unseen.

    Args:
        name: Of the object.
        kind: Of the object.
        annotations: The autoscaler's among them say what its nodes are like, and how many there may be.
        replicas: How many machines it has now; None: one.
    """
    most = annotations.get(f"{_SIZE}max-size")
    if most is not None and most.isdigit() and not int(most):
        return None
    pairs = (pair.partition("=") for pair in _listed(annotations.get(f"{_CAPACITY}labels", "")))
    labels = {key: value for key, _, value in pairs}
    taints = tuple(filter(None, map(_taint, _listed(annotations.get(f"{_CAPACITY}taints", "")))))
    arch = labels.pop(ARCH_LABEL, "") or labels.pop(BETA_ARCH_LABEL, "")
    if arch:
        system = labels.pop(OS_LABEL, "") or labels.pop(BETA_OS_LABEL, "") or "linux"
        return Pool(name, _product((system,), (arch,)), labels, taints, origin=kind, more_labels=True)
    if replicas == 0 and most is not None:  # its nodes may come, and nothing tells what they will be
        return Pool(name, None, labels, taints, origin=kind, more_labels=True)
    return None


def google(nodes: Sequence[Node], groups: Iterable[str]) -> list[Pool]:
    """What GKE itself may bring: Autopilot and node auto-provisioning make Arm nodes as soon as a pod asks for them.

    Args:
        nodes: Autopilot's are called ``gk3-...``, and the node pools that auto-provisioning made ``nap-...``.
        groups: The cluster's API groups; Autopilot has ``auto.gke.io``.
    """
    if "auto.gke.io" in groups or any(node.name.startswith("gk3-") for node in nodes):
        return [Pool("Autopilot", origin="GKE", more_labels=True)]
    if any(node.labels.get(GKE_POOL_LABEL, "").startswith("nap-") for node in nodes):
        return [Pool("node auto-provisioning", origin="GKE", more_labels=True)]
    return []


def _product(systems: Iterable[str], arches: Sequence[str]) -> PlatformSet:
    return PlatformSet(Platform.from_oci({"os": system, "architecture": arch}) for system in systems for arch in arches)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _taint(text: str) -> Taint | None:
    """``key=value:effect``, as ``kubectl taint`` and the autoscaler write it."""
    left, colon, effect = text.rpartition(":")
    key, _, value = left.partition("=")
    return Taint(key, value, effect) if colon and key else None

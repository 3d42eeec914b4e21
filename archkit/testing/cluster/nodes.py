"""Nodes as kubelets report them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archkit.model.node import ARCH_LABEL, OS_LABEL, Taint
from archkit.testing.cluster.scheduling import UNSCHEDULABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from archkit.model.platform import Platform

POOL_LABEL = "cloud.google.com/gke-nodepool"
_NOT_READY = (Taint("node.kubernetes.io/not-ready", "", "NoSchedule"), Taint("node.kubernetes.io/not-ready", "", "NoExecute"))
_SIZE = {"cpu": "8", "memory": "32Gi", "pods": "110"}


def parse_taint(taint: Taint | str) -> Taint:
    """A taint as ``key=value:Effect``.

    Raises:
        ValueError: It is none.
    """
    if isinstance(taint, Taint):
        return taint
    rest, _, effect = taint.rpartition(":")
    key, _, value = rest.partition("=")
    if not key or effect not in {"NoSchedule", "NoExecute", "PreferNoSchedule"}:
        raise ValueError(f"no taint: {taint!r}; write key=value:NoSchedule")
    return Taint(key, value, effect)


def node_taints(platform: Platform, own: Iterable[Taint | str], *, arch_taint: bool, ready: bool, cordoned: bool) -> list[Taint]:
    """A node's own taints, and those that come with its state."""
    taints = [*map(parse_taint, own)]
    taints += [Taint(ARCH_LABEL, platform.arch)] if arch_taint else []
    taints += () if ready else _NOT_READY
    return taints + ([UNSCHEDULABLE] if cordoned else [])


def node_object(
    name: str, platform: Platform, labels: Mapping[str, str], taints: Sequence[Taint], *, ready: bool, cordoned: bool, version: str
) -> dict[str, Any]:
    """A node of a platform, with its status."""
    own = {OS_LABEL: platform.os, ARCH_LABEL: platform.arch, "kubernetes.io/hostname": name}
    spec: dict[str, Any] = {"unschedulable": True} if cordoned else {}
    if taints:
        spec["taints"] = [
            {key: text for key, text in (("key", each.key), ("value", each.value), ("effect", each.effect)) if text} for each in taints
        ]
    info = {  # every field: typed clients refuse a node that lacks one
        "operatingSystem": platform.os,
        "architecture": platform.arch,
        "kubeletVersion": version,
        "kubeProxyVersion": version,
        "containerRuntimeVersion": "containerd://2.0.0",
        "osImage": "embedded",
        "kernelVersion": "6.12.0",
        "machineID": name,
        "systemUUID": name,
        "bootID": name,
    }
    state = {"type": "Ready", "status": "True" if ready else "False", "reason": "KubeletReady" if ready else "KubeletNotReady"}
    addresses = [{"type": "Hostname", "address": name}]
    status = {"capacity": _SIZE, "allocatable": _SIZE, "conditions": [state], "nodeInfo": info, "addresses": addresses}
    return {"metadata": {"name": name, "labels": {**own, **labels}}, "spec": spec, "status": status}

"""Node: the facts of a Kubernetes node that decide where a pod may run."""

from __future__ import annotations

import attrs

from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts
from archkit.model.platform import Platform

OS_LABEL = "kubernetes.io/os"
ARCH_LABEL = "kubernetes.io/arch"
BETA_OS_LABEL = "beta.kubernetes.io/os"
BETA_ARCH_LABEL = "beta.kubernetes.io/arch"
WINDOWS_BUILD_LABEL = "node.kubernetes.io/windows-build"
CONTROL_PLANE_TAINTS = frozenset({"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"})
VIRTUAL_TAINT = "virtual-kubelet.io/provider"
NODE_STATE_TAINTS = frozenset(
    {"node.kubernetes.io/unschedulable", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", VIRTUAL_TAINT}
)
"""What the node controller says by a taint of what stands in the node's own fields."""
REPELLING_EFFECTS = frozenset({"NoSchedule", "NoExecute"})


@attrs.frozen
class Taint:
    """What keeps pods off a node unless they tolerate it."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"
    """``NoSchedule``, ``NoExecute`` or ``PreferNoSchedule``."""

    @property
    def repels(self) -> bool:
        """Whether a pod without a toleration cannot be placed (``PreferNoSchedule`` only discourages)."""
        return self.effect in REPELLING_EFFECTS

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@attrs.frozen
class Node:
    """One node, as far as placement is concerned.

    The scheduler looks at labels only, so the labels decide :attr:`platform`; what the kubelet reports is kept in
    ``reported`` and takes their place where they are missing.
    """

    name: str
    labels: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    taints: tuple[Taint, ...] = ()
    cordoned: bool = False
    ready: bool = True
    reported: Platform | None = None
    """``status.nodeInfo``: operating system and CPU as the kubelet sees them."""

    @property
    def platform(self) -> Platform | None:
        """Operating system and CPU (Kubernetes knows no variants); None where the node says neither."""
        os_name = self.labels.get(OS_LABEL) or self.labels.get(BETA_OS_LABEL) or (self.reported.os if self.reported else "")
        arch = self.labels.get(ARCH_LABEL) or self.labels.get(BETA_ARCH_LABEL) or (self.reported.arch if self.reported else "")
        if not (os_name and arch):
            return None
        return Platform.from_oci({"os": os_name, "architecture": arch})

    @property
    def control_plane(self) -> bool:
        """Whether a control-plane taint keeps ordinary pods off this node."""
        return any(taint.key in CONTROL_PLANE_TAINTS and taint.repels for taint in self.taints)

    @property
    def virtual(self) -> bool:
        """Whether a virtual kubelet stands behind this node: it runs no containers of its own."""
        return self.labels.get("type") == "virtual-kubelet" or any(taint.key == VIRTUAL_TAINT for taint in self.taints)

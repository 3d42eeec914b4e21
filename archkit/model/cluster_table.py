"""How many nodes of a platform can take pods, what keeps pods off the others, and the table that shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from archkit.model.node import NODE_STATE_TAINTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from archkit.model.cluster import Pool
    from archkit.model.node import Node, Taint


@attrs.frozen
class NodeCounts:
    """Nodes of one platform, counted; a node may be in several of these beside ``nodes``."""

    nodes: int = 0
    """All of them."""
    schedulable: int = 0
    """Take a pod that tolerates nothing: ready, not cordoned, without a taint that repels, not virtual."""
    cordoned: int = 0
    """Marked as unschedulable, as for an upgrade."""
    not_ready: int = 0
    """Their kubelet says so, or says nothing."""
    tainted: int = 0
    """Repel pods by a taint that is about more than being cordoned, ready, or of the control plane."""
    control_plane: int = 0
    """Of the control plane, which keeps ordinary pods off."""
    virtual: int = 0
    """Behind a virtual kubelet, which runs no containers of its own."""

    @classmethod
    def of(cls, nodes: Sequence[Node]) -> NodeCounts:
        """Of these nodes."""
        return cls(
            len(nodes),
            sum(_schedulable(node) for node in nodes),
            sum(node.cordoned for node in nodes),
            sum(not node.ready for node in nodes),
            sum(bool(telling_taints(node)) for node in nodes),
            sum(node.control_plane for node in nodes),
            sum(node.virtual for node in nodes),
        )


def _schedulable(node: Node) -> bool:
    return node.ready and not node.cordoned and not node.virtual and not any(taint.repels for taint in node.taints)


def telling_taints(node: Node) -> list[Taint]:
    """The taints that repel pods and say more than the columns of the table do."""
    if node.control_plane:
        return []
    return [taint for taint in node.taints if taint.repels and taint.key not in NODE_STATE_TAINTS]


def node_table(nodes: Iterable[Node]) -> list[str]:
    """Lines: a row per platform, sorted by its text."""
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        groups.setdefault(str(node.platform or "unknown"), []).append(node)
    rows: list[tuple[str, ...]] = [
        ("PLATFORM", "NODES", "SCHEDULABLE", "CORDONED", "NOT READY", "TAINTED", "CONTROL PLANE", "VIRTUAL", "TAINTS")
    ]
    for name in sorted(groups):
        taints = sorted({str(taint) for node in groups[name] for taint in telling_taints(node)})
        rows.append((name, *map(str, attrs.astuple(NodeCounts.of(groups[name]))), ", ".join(taints) or "-"))
    return _aligned(rows) if groups else ["no nodes"]


def pool_table(pools: Iterable[Pool]) -> list[str]:
    """Lines: a row per pool, in their order; nothing where there are none."""
    rows: list[tuple[str, ...]] = [("MAY COME FROM", "KIND", "PLATFORMS", "TAINTS")]
    for pool in pools:
        brought = "any" if pool.open_ended else str(pool.platforms).replace(",", ", ")
        rows.append((pool.name, pool.origin or "declared", brought, ", ".join(map(str, pool.taints)) or "-"))
    return _aligned(rows) if len(rows) > 1 else []


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

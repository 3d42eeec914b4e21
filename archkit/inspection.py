"""ClusterInspector: which platforms a cluster has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from archkit.model.cluster import Cluster, Pool
from archkit.model.finding import Finding
from archkit.ports.nodes import NodeSource

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from archkit.model.node import Node


def _tuple(pools: Iterable[Pool]) -> tuple[Pool, ...]:
    return tuple(pools)


@attrs.frozen
class ClusterInspector:
    """Reads the platforms of a cluster from wherever its nodes can be read.

    >>> nodes = [{"metadata": {"name": "a", "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}}}]
    >>> ClusterInspector.from_nodes(nodes).inspect().platforms
    PlatformSet('linux/arm64')
    """

    source: NodeSource
    """Where the nodes come from."""
    declared: tuple[Pool, ...] = attrs.field(default=(), converter=_tuple, kw_only=True)
    """Pools that the caller knows of, such as those scaled to zero."""

    @classmethod
    def from_nodes(
        cls,
        x: str | os.PathLike[str] | bytes | Mapping[str, Any] | Iterable[Node | Mapping[str, Any]],
        *,
        declared: Iterable[Pool] = (),
    ) -> ClusterInspector:
        """An inspector of recorded nodes: no cluster is asked.

        Args:
            x: The path of a file that ``kubectl get nodes -o json`` or ``-o yaml`` wrote (``str`` or path), its
                content (``bytes``), the decoded object, or nodes.
            declared: Pools that may bring more nodes.
        """
        from archkit.adapters.nodes import RecordedNodes  # msgspec: only when nodes are read

        return cls(RecordedNodes(x), declared=declared)

    def inspect(self) -> Cluster:
        """The cluster as it is now.

        Raises:
            NodeListError: A recording that cannot be read.
        """
        nodes, findings = self.source.nodes()
        found = list(findings)
        if not nodes and not self.declared:
            hint = "declare the pools that will bring nodes, or request platforms"
            found.append(Finding.of("no-nodes", "the cluster has no nodes and no pools are declared", self.source.name, hint))
        return Cluster(nodes, self.declared, found, self.source.name)

"""KubeNodeSource: the nodes of a cluster, and what may bring more, asked for in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import msgspec

from archkit.adapters.kube.listing import Page, collect
from archkit.adapters.kube.pools import read_pools
from archkit.adapters.node_objects import NodeObject, doubts, to_node
from archkit.ports.cluster import ClusterApi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.model.cluster import Pool
    from archkit.model.finding import Finding
    from archkit.model.node import Node
    from archkit.ports.nodes import NodeSource, PoolSource

NODES = "/api/v1/nodes"


_NODES = msgspec.json.Decoder(Page[NodeObject])


@attrs.frozen
class KubeNodeSource:
    """A ``NodeSource`` and a ``PoolSource`` over the API of a cluster."""

    api: ClusterApi
    timeout: float = 30.0
    """Seconds for each answer."""

    @property
    def name(self) -> str:
        """Context and server."""
        return self.api.name

    def nodes(self) -> tuple[Sequence[Node], Sequence[Finding]]:
        """Every node in the server's order, and what is amiss with them.

        Raises:
            ClusterError: No answer, or one that refuses.
        """
        texts: dict[str, str] = {}

        def keep(item: NodeObject) -> Node:
            return _sharing(to_node(item, self.name), texts)

        nodes = collect(self.api, NODES, _NODES, keep, timeout=self.timeout)
        return nodes, doubts(nodes)

    def pools(self, nodes: Sequence[Node]) -> Sequence[Pool]:
        """What may bring more nodes: provisioners, node pools, nodes being made. What one may not read is left out.

        Raises:
            ClusterError: No answer.
        """
        return read_pools(self.api, nodes, timeout=self.timeout)


def _sharing(node: Node, texts: dict[str, str]) -> Node:
    """The same node with label texts that all nodes share: most of a big cluster's labels are equal."""
    labels = {texts.setdefault(key, key): texts.setdefault(value, value) for key, value in node.labels.items()}
    return attrs.evolve(node, labels=labels)


if TYPE_CHECKING:
    _conforms: type[NodeSource] = KubeNodeSource
    _brings: type[PoolSource] = KubeNodeSource

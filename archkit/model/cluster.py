"""Cluster: which platforms a Kubernetes cluster has, counted, with what is uncertain about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from archkit.errors import NodeListError, PlatformSyntaxError
from archkit.model.finding import Finding
from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts
from archkit.model.node import Node, Taint
from archkit.model.platform import Platform
from archkit.model.platform_set import PlatformSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from archkit.model.cluster_table import NodeCounts

_FORMAT = "archkit.cluster/1"


def _platforms(value: PlatformSet | str | Iterable[Platform | str] | None) -> PlatformSet | None:
    if value is None:
        return None
    platforms = PlatformSet.parse(value)
    if not platforms:
        raise PlatformSyntaxError("", "a pool of no platform brings no nodes; leave `platforms` out where any may come")
    return platforms


@attrs.frozen
class Pool:
    """Nodes that may come: a node pool that is scaled to zero, or a provisioner.

    ``platforms`` None means that any platform may come (an open-ended provisioner).

    Raises:
        PlatformSyntaxError: ``platforms`` names none, or something that is no platform.
    """

    name: str
    platforms: PlatformSet | None = attrs.field(default=None, converter=_platforms)
    labels: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts)
    taints: tuple[Taint, ...] = ()
    origin: str = attrs.field(default="", kw_only=True)
    """What it is where a cluster tells of it, such as ``NodePool`` or ``node being made``; empty: declared by the caller."""
    more_labels: bool = attrs.field(default=False, kw_only=True)
    """Whether its nodes have further labels, unknown here (zone, machine type): a pod that asks for them may fit."""

    @property
    def open_ended(self) -> bool:
        """Whether nodes of any platform may come."""
        return self.platforms is None or self.platforms.is_all


def _nodes(nodes: Iterable[Node]) -> tuple[Node, ...]:
    return tuple(nodes)


def _pools(pools: Iterable[Pool]) -> tuple[Pool, ...]:
    return tuple(pools)


def _findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(findings)


@attrs.frozen
class Cluster:
    """The nodes of a cluster and the pools that may bring more, as read at one moment."""

    nodes: tuple[Node, ...] = attrs.field(default=(), converter=_nodes)
    pools: tuple[Pool, ...] = attrs.field(default=(), converter=_pools)
    findings: tuple[Finding, ...] = attrs.field(default=(), converter=_findings)
    source: str = ""
    """Where it was read: a context and server, or a file."""

    @property
    def open_ended(self) -> bool:
        """Whether nodes of platforms that are not there yet may come at any time."""
        return any(pool.open_ended for pool in self.pools)

    @property
    def platforms(self) -> PlatformSet:
        """Operating system and CPU of what ordinary pods may run on, sorted by text.

        Nodes without a control-plane taint that are not virtual, and declared pools. Cordoned and not-ready nodes
        count, so that a pool being upgraded does not change the answer.
        """
        live = {node.platform for node in self.nodes if node.platform and node.platform.known and not (node.virtual or node.control_plane)}
        return PlatformSet(sorted(live | self._declared(), key=str))

    @property
    def mixed(self) -> bool:
        """Whether it may hold more than one operating system and CPU: every node but virtual ones counts, and pools.

        So does a CPU that archkit has not heard of: nothing that is built for another one may land there.
        """
        live = {node.platform.os_arch for node in self.nodes if node.platform and not node.virtual}
        return self.open_ended or len(live | {platform.os_arch for platform in self._declared()}) > 1

    def _declared(self) -> set[Platform]:
        closed = (pool.platforms for pool in self.pools if pool.platforms is not None and not pool.platforms.is_all)
        return {Platform(platform.os, platform.arch) for platforms in closed for platform in platforms}

    def count(self, platform: Platform | str) -> int:
        """How many nodes of this operating system and CPU ordinary pods may run on (as in :attr:`platforms`)."""
        wanted = Platform.parse(platform) if isinstance(platform, str) else platform
        return sum(
            1
            for node in self.nodes
            if node.platform and node.platform.os_arch == wanted.os_arch and not (node.virtual or node.control_plane)
        )

    def counts(self, platform: Platform | str) -> NodeCounts:
        """The nodes of this operating system and CPU, counted by what keeps pods off them; every node counts."""
        from archkit.model.cluster_table import NodeCounts

        wanted = Platform.parse(platform) if isinstance(platform, str) else platform
        return NodeCounts.of([node for node in self.nodes if node.platform and node.platform.os_arch == wanted.os_arch])

    def provenance(self, platform: Platform | str) -> tuple[str, ...]:
        """Why this platform is among those of the cluster: how many nodes, which pools; empty where it is not.

        >>> Cluster(pools=[Pool("spot", "linux/arm64")]).provenance("linux/arm64")
        ('declared pool spot',)
        """
        wanted = Platform.parse(platform) if isinstance(platform, str) else platform
        live = self.count(wanted)
        nodes = [f"{live} node{'' if live == 1 else 's'}"] if live else []
        named = [
            pool for pool in self.pools if not pool.open_ended and any(item.os_arch == wanted.os_arch for item in pool.platforms or ())
        ]
        told = [f"{pool.origin or 'declared pool'} {pool.name}" for pool in named]
        return (*nodes, *told)

    def explain(self) -> str:
        """A table for a person: nodes by platform, what keeps pods off them, what may come, and what is uncertain."""
        from archkit.model.cluster_table import node_table, pool_table  # deciding needs no table: importing stays cheap

        lines = node_table(self.nodes) + pool_table(self.pools)
        kind = "mixed" if self.mixed else "one architecture" if self.platforms else "unknown"
        names = f"platforms: {str(self.platforms).replace(',', ', ') or 'none'} ({kind}"
        lines.append(names + (", and any other may come)" if self.open_ended else ")"))
        head = [f"cluster read from {self.source}"] if self.source else []
        return "\n".join([*head, *lines, *map(str, self.findings)])

    def to_json(self) -> str:
        """This cluster as text that :meth:`from_json` reads back to an equal one."""
        fields = {
            "format": _FORMAT,
            "source": self.source,
            "nodes": [_node_fields(node) for node in self.nodes],
            "pools": [
                {
                    "name": pool.name,
                    "platforms": None if pool.platforms is None else str(pool.platforms),
                    "labels": dict(pool.labels),
                    "taints": [attrs.asdict(taint) for taint in pool.taints],
                    "origin": pool.origin,
                    "more_labels": pool.more_labels,
                }
                for pool in self.pools
            ],
            "findings": [attrs.asdict(finding) for finding in self.findings],
        }
        return json.dumps(fields, indent=1)

    @classmethod
    def from_json(cls, content: str | bytes) -> Cluster:
        """The cluster that :meth:`to_json` recorded.

        Raises:
            NodeListError: Not what :meth:`to_json` writes.
        """
        try:
            fields = json.loads(content)
            if fields["format"] != _FORMAT:
                raise ValueError(f"the format is {fields['format']!r}, {_FORMAT!r} is wanted")  # noqa: TRY301 - joins the others below
            return cls(
                (_node(entry) for entry in fields["nodes"]),
                map(_pool, fields["pools"]),
                (Finding(**entry) for entry in fields["findings"]),
                str(fields["source"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise NodeListError("recorded cluster", f"not what Cluster.to_json() writes: {type(error).__name__}: {error}") from error


def _node_fields(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "labels": dict(node.labels),
        "taints": [attrs.asdict(taint) for taint in node.taints],
        "cordoned": node.cordoned,
        "ready": node.ready,
        "reported": None if node.reported is None else node.reported.to_oci(),
    }


def _node(fields: Mapping[str, Any]) -> Node:
    reported = fields["reported"]
    return Node(
        fields["name"],
        fields["labels"],
        tuple(map(_taint, fields["taints"])),
        bool(fields["cordoned"]),
        bool(fields["ready"]),
        None if reported is None else Platform.from_oci(reported),
    )


def _pool(fields: Mapping[str, Any]) -> Pool:
    taints = tuple(map(_taint, fields["taints"]))
    origin, more = str(fields.get("origin", "")), bool(fields.get("more_labels"))  # recordings of before have neither
    return Pool(fields["name"], fields["platforms"], fields["labels"], taints, origin=origin, more_labels=more)


def _taint(fields: Mapping[str, Any]) -> Taint:
    return Taint(str(fields["key"]), str(fields["value"]), str(fields["effect"]))

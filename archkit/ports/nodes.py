"""Where node facts come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.model.cluster import Pool
    from archkit.model.finding import Finding
    from archkit.model.node import Node


@runtime_checkable
class NodeSource(Protocol):
    """A cluster, or a recording of one. Raises ``ClusterError`` or ``NodeListError`` and nothing else."""

    @property
    def name(self) -> str:
        """What a person would call it: context and server, or a file."""
        ...

    def nodes(self) -> tuple[Sequence[Node], Sequence[Finding]]:
        """Every node, and what was found amiss while reading them."""
        ...


@runtime_checkable
class PoolSource(Protocol):
    """A ``NodeSource`` that also knows what may bring more nodes. Raises ``ClusterError`` and nothing else."""

    def pools(self, nodes: Sequence[Node]) -> Sequence[Pool]:
        """Every pool; those that one may not read are left out.

        Args:
            nodes: What :meth:`NodeSource.nodes` gave.
        """
        ...

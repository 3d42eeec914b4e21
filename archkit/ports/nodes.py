"""Where node facts come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.model.finding import Finding
    from archkit.model.node import Node


class NodeSource(Protocol):
    """A cluster, or a recording of one. Raises ``ClusterError`` or ``NodeListError`` and nothing else."""

    @property
    def name(self) -> str:
        """What a person would call it: context and server, or a file."""
        ...

    def nodes(self) -> tuple[Sequence[Node], Sequence[Finding]]:
        """Every node, and what was found amiss while reading them."""
        ...

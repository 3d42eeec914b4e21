"""ClusterInspector: which platforms a cluster has."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from archkit.errors import ClusterError, ClusterForbiddenError
from archkit.model.cluster import Cluster, Pool
from archkit.model.finding import Finding
from archkit.ports.cluster import ClusterApi
from archkit.ports.nodes import NodeSource, PoolSource

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterable, Mapping

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

    source: NodeSource | ClusterApi
    """Where the nodes come from: a recording, or a connection to a cluster (``ClusterConnection``)."""
    declared: tuple[Pool, ...] = attrs.field(default=(), converter=_tuple, kw_only=True)
    """Pools that the caller knows of, such as those scaled to zero."""
    timeout: float = attrs.field(default=30.0, kw_only=True, validator=attrs.validators.gt(0))
    """Seconds for each answer of a cluster; nodes come in pages of 500."""

    @classmethod
    def from_kubeconfig(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        context: str | None = None,
        declared: Iterable[Pool] = (),
        timeout: float = 30.0,
    ) -> ClusterInspector:
        """An inspector of a cluster that kubectl knows.

        Args:
            path: A kubeconfig; None: the files of ``KUBECONFIG``, or ``~/.kube/config``.
            context: One of its contexts; None: the current one.
            declared: Pools that may bring more nodes.
            timeout: Seconds for each answer.

        Raises:
            KubeconfigError: No file, no such context, or not readable.
        """
        from archkit.adapters.kube import ClusterConnection  # urllib3: only when a cluster is asked

        with _other_sources():
            return cls(ClusterConnection.from_kubeconfig(path, context=context), declared=declared, timeout=timeout)

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
        """The cluster as it is now: its nodes, the pools that its provisioners tell of, and the declared ones.

        Raises:
            NodeListError: A recording that cannot be read.
            ClusterUnreachableError: No answer from the cluster.
            ClusterSignInError: It does not know who asks.
            ClusterForbiddenError: One may not list its nodes; the error has the role that would allow it.
            ClusterError: It cannot be read for another reason.
        """
        source = self._source()
        with _other_sources():
            nodes, doubts = source.nodes()
            brought = source.pools(nodes) if isinstance(source, PoolSource) else ()
        found = list(doubts)
        pools = (*brought, *self.declared)
        if not nodes and not pools:
            hint = "declare the pools that will bring nodes, or request platforms"
            found.append(Finding.of("no-nodes", "the cluster has no nodes and no pools are declared", source.name, hint))
        return Cluster(nodes, pools, found, source.name)

    def _source(self) -> NodeSource:
        if isinstance(self.source, NodeSource):
            return self.source
        from archkit.adapters.kube.nodes import KubeNodeSource  # msgspec: only when a cluster is asked

        return KubeNodeSource(self.source, self.timeout)


_OTHER_SOURCES = (
    "platforms can be told without asking, too: ClusterInspector.from_nodes() with what `kubectl get nodes -o json` recorded, "
    "or with no nodes and declared=[Pool(...)]"
)


@contextmanager
def _other_sources() -> Generator[None, None, None]:
    """Errors of a cluster say where else its platforms may be had from; a role to apply comes last."""
    try:
        yield
    except ClusterForbiddenError as error:
        error.remedy = f"{_OTHER_SOURCES}; {error.remedy}"
        raise
    except ClusterError as error:
        error.remedy = "; ".join(filter(None, (error.remedy, _OTHER_SOURCES)))
        raise

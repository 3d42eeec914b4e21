"""An embedded Kubernetes API: :class:`EmbeddedCluster`.

From the outside in: ``embedded_cluster`` is what tests use; ``api`` turns requests into answers, with ``asked``,
``access``, ``discovery``, ``lists``, ``tables`` and ``part_requests``; ``objects`` carries writes out, with ``reading``,
``completing``, ``defaults``, ``validation``, ``patches`` and, for server-side apply, ``managers`` over ``fieldsets``; ``store`` keeps
objects and their history; ``control`` is what goes on by itself: ``scheduling``, ``kubelet``, ``workloads`` and
``pod_sets``. What kinds and fields there are is in ``resources`` and ``schemas``.
"""

from archkit.testing.cluster.embedded_cluster import EmbeddedCluster as EmbeddedCluster

__all__ = ["EmbeddedCluster"]

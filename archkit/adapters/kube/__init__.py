"""One Kubernetes cluster: the only importer of ``kubernetes``.

``kubeconfig`` chooses context, cluster and user out of files, ``plugin`` runs sign-in programs, ``signin`` hands both to
the ``kubernetes`` package, which makes the connections; ``connection`` asks through them, ``answers`` says in words what
came back instead of an answer. Requests are sent raw: the package's generated models are slow and refuse real answers.
"""

from archkit.adapters.kube.answers import refused as refused
from archkit.adapters.kube.connection import ClusterConnection as ClusterConnection

__all__ = ["ClusterConnection", "refused"]

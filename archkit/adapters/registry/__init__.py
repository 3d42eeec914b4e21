"""Registries, over the OCI distribution API.

``client`` asks and stores, ``blobs`` does so with blobs, both through ``requests``; ``answers`` reads what a registry says,
errors included; ``endpoints`` knows where a registry is, ``limits`` how much is read, ``recent`` what was stored a moment
ago. ``signin`` signs requests: ``challenges`` reads how a registry wants that, ``tokens`` what a token server answers,
``credentials`` and ``auth_files`` what was left on this machine to sign in with. HTTP itself is ``archkit.adapters.http``.
"""

from archkit.adapters.registry.client import RegistryClient as RegistryClient
from archkit.adapters.registry.credentials import DockerCredentials as DockerCredentials
from archkit.adapters.registry.limits import Limits as Limits
from archkit.ports.http import Retries as Retries

__all__ = ["DockerCredentials", "Limits", "RegistryClient", "Retries"]

"""Where a registry is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.adapters.loopback import is_loopback_registry
from archkit.model.reference import DOCKER_HUB

if TYPE_CHECKING:
    from collections.abc import Collection

_DOCKER_HUB_API = "registry-1.docker.io"


def base_url(registry: str, plain_http: Collection[str], https: Collection[str] = ()) -> str:
    """The root of a registry's API: plain HTTP on this machine and for hosts named in ``plain_http``, else HTTPS.

    A host of this machine that is named in ``https`` speaks TLS.

    Nothing is probed: a failed TLS handshake per connection would cost more than saying it.
    """
    scheme = "http" if registry in plain_http or (is_loopback_registry(registry) and registry not in https) else "https"
    return f"{scheme}://{_DOCKER_HUB_API if registry == DOCKER_HUB else registry}/v2/"

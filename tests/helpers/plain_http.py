"""One request to an embedded registry, with nothing of archkit's client in between."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archkit.testing import EmbeddedRegistry


def ask(
    registry: EmbeddedRegistry, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in small letters, and body of the answer."""
    connection = http.client.HTTPConnection(registry.host, timeout=5)
    try:
        connection.request(method, path, body or None, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()

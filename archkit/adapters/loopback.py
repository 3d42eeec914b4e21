"""Which hosts are this machine itself."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host is written as, one of version 6 with or without brackets; None for a name."""
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether a host, without port, is this machine: ``localhost``, 127.0.0.0/8 or ``::1``."""
    address = address_of(host)
    return host == "localhost" if address is None else address.is_loopback


def is_loopback_registry(registry: str) -> bool:
    """The same for ``HOST[:PORT]``, as image references have it."""
    return is_loopback(urlsplit(f"//{registry}").hostname or "")

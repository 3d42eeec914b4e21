"""Which proxy a request goes through."""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs

from archkit.adapters.loopback import address_of, is_loopback
from archkit.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Self

_PORTS = {"http": "80", "https": "443"}


def _entries(value: Iterable[str] | str) -> tuple[str, ...]:
    """What stands in ``NO_PROXY``, or is given one by one."""
    words = value.split(",") if isinstance(value, str) else value
    return tuple(filter(None, (word.strip().lower() for word in words)))


@attrs.frozen(kw_only=True)
class Proxies:
    """Proxies by scheme; none by default. A host on this machine is never asked through one.

    >>> Proxies(https="http://bob:hunter2@proxy.test:3128")
    Proxies(http='', https='***', bypass=())
    """

    http: Secret = attrs.field(default=Secret(), converter=Secret)
    """``http://[NAME:PASSWORD@]HOST:PORT`` for requests in plain HTTP."""
    https: Secret = attrs.field(default=Secret(), converter=Secret)
    """The same for requests over TLS."""
    bypass: tuple[str, ...] = attrs.field(default=(), converter=_entries)
    """Hosts that are asked directly: names (with all below them), addresses, networks (``10.0.0.0/8``), each with a port
    where only that one is meant; ``*`` is every host."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """What ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` say; names in lower case count before those in capitals."""
        env = os.environ if environ is None else environ

        def value(name: str) -> str:
            if name == "http_proxy" and "REQUEST_METHOD" in env:  # a CGI script's HTTP_PROXY is a header of its client
                return env.get(name, "")
            return env.get(name) or env.get(name.upper(), "")

        return cls(http=Secret(value("http_proxy")), https=Secret(value("https_proxy")), bypass=value("no_proxy"))

    def of(self, url: str) -> Secret:
        """The proxy for a URL, with its scheme; empty where it is asked directly."""
        parts = urlsplit(url)
        proxy = self.https if parts.scheme == "https" else self.http
        host = (parts.hostname or "").lower()
        if not proxy or is_loopback(host):
            return Secret()
        port = str(parts.port or _PORTS.get(parts.scheme, ""))
        if any(_meant(entry, host, port) for entry in self.bypass):
            return Secret()
        return proxy if "://" in proxy else Secret(f"http://{proxy.reveal()}")


def _meant(entry: str, host: str, port: str) -> bool:
    """Whether an entry of ``NO_PROXY`` means this host."""
    if entry == "*":
        return True
    address = address_of(host)
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    whole = address_of(entry)
    name, colon, wanted = ("", "", "") if whole is not None else entry.rpartition(":")
    if colon and wanted.isdigit():
        if wanted != port:
            return False
        entry, whole = name, address_of(name)
    if whole is not None or address is not None:
        return whole == address
    entry = entry.removeprefix("*").removeprefix(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))

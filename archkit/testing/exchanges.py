"""What was asked of an embedded server, and what it answered."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import overload

import attrs

_SECRET = re.compile(r"(?i)([?&](?:[^=&]*(?:token|secret|password|signature|credential)[^=&]*|sig|key)=)[^&]*")


def masked(target: str) -> str:
    """Path and query as the log may show them.

    >>> masked("/v2/app/blobs/uploads/1?digest=x&X-Amz-Signature=abc")
    '/v2/app/blobs/uploads/1?digest=x&X-Amz-Signature=***'
    """
    return _SECRET.sub(r"\1***", target)


@attrs.frozen
class Exchange:
    """One request and its answer."""

    method: str
    path: str
    """With its query, in which secrets are masked."""
    kind: str
    """Of a registry ``manifest``, ``blob``, ``upload``, ``tags``, ``referrers``, ``base``, ``catalog``, ``token`` or
    ``unknown``; of a cluster the resource, such as ``pods`` or ``pods/status``, or the first step of another path."""
    repository: str
    """Of a registry."""
    reference: str
    """Of a registry: tag, digest or upload session."""
    status: int
    """0 when the connection was closed without an answer."""
    request_size: int
    """Bytes of the body."""
    response_size: int
    """Bytes of the body."""
    seconds: float
    """From the complete request to the answer being ready."""
    started: float
    """``time.monotonic()`` when the request was complete."""
    connection: int = 0
    """Which TCP connection of the server it came over, counted from 1; 0 for a request that came over none."""
    user: str = ""
    """Who was signed in; empty where nobody was."""
    verb: str = ""
    """Of a cluster: ``get``, ``list``, ``watch``, ``create``, ``update``, ``patch``, ``delete`` or ``deletecollection``."""
    namespace: str = ""
    """Of a cluster."""
    name: str = ""
    """Of a cluster: the object's."""

    @property
    def ended(self) -> float:
        """``time.monotonic()`` when the answer was ready."""
        return self.started + self.seconds

    def __str__(self) -> str:
        return f"{self.status:3} {self.method:6} {self.path}"


class ExchangeLog(Sequence[Exchange]):
    """Exchanges in the order in which they were answered; what is in it does not change, it only grows."""

    def __init__(self, exchanges: Sequence[Exchange] = ()) -> None:
        self._exchanges = list(exchanges)
        self._lock = threading.Lock()

    def append(self, exchange: Exchange) -> None:
        """Add an exchange."""
        with self._lock:
            self._exchanges.append(exchange)

    def clear(self) -> None:
        """Forget everything so far."""
        with self._lock:
            self._exchanges.clear()

    def where(
        self,
        *,
        method: str | None = None,
        kind: str | None = None,
        repository: str | None = None,
        reference: str | None = None,
        status: int | None = None,
        verb: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
    ) -> ExchangeLog:
        """Those that are as said, in their order."""
        wanted = {"method": method, "kind": kind, "repository": repository, "reference": reference, "status": status}
        wanted |= {"verb": verb, "namespace": namespace, "name": name}
        named = [(field, value) for field, value in wanted.items() if value is not None]
        return ExchangeLog(
            [exchange for exchange in list(self._exchanges) if all(getattr(exchange, field) == value for field, value in named)]
        )

    @property
    def counts(self) -> Mapping[str, int]:
        """How many exchanges there were of each kind, such as ``{"GET manifest": 2}``, in the order of the first ones."""
        return Counter(f"{exchange.method} {exchange.kind}" for exchange in list(self._exchanges))

    @property
    def connections(self) -> int:
        """Over how many TCP connections they came."""
        return len({exchange.connection for exchange in list(self._exchanges)} - {0})

    @property
    def round_trips(self) -> int:
        """The longest chain of exchanges each of which began after the one before had ended.

        What a client asks at the same time is one round trip, as far as it overlaps: on a registry that answers within
        a fraction of a millisecond it may not, which is why :meth:`EmbeddedRegistry.budget` makes it slower.
        """
        chain, end = 0, float("-inf")
        for exchange in sorted(self._exchanges, key=lambda each: each.ended):
            if exchange.started >= end:
                chain, end = chain + 1, exchange.ended
        return chain

    def table(self, *, surplus: int | None = None) -> str:
        """One line per exchange: status, time in milliseconds, size in and out, method and path.

        Args:
            surplus: From which exchange on, counted from 0, the lines are marked; None: none is.
        """
        lines = [
            f"{'>' if surplus is not None and number >= surplus else ' '}{exchange.status:5} {exchange.seconds * 1000:7.2f} "
            f"{exchange.request_size:9} {exchange.response_size:9}  {exchange.method:6} {exchange.path}"
            for number, exchange in enumerate(list(self._exchanges))
        ]
        return "\n".join(["status      ms        in       out  request", *lines])

    @overload
    def __getitem__(self, index: int) -> Exchange: ...
    @overload
    def __getitem__(self, index: slice) -> ExchangeLog: ...
    def __getitem__(self, index: int | slice) -> Exchange | ExchangeLog:
        return ExchangeLog(self._exchanges[index]) if isinstance(index, slice) else self._exchanges[index]

    def __len__(self) -> int:
        return len(self._exchanges)

    def __repr__(self) -> str:
        return f"<ExchangeLog of {len(self)} exchanges>\n{self.table()}"

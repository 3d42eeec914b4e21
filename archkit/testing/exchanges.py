"""What was asked of an embedded server, and what it answered."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import overload

import attrs


@attrs.frozen
class Exchange:
    """One request and its answer."""

    method: str
    path: str
    """With its query."""
    kind: str
    """``manifest``, ``blob``, ``upload``, ``tags``, ``referrers``, ``base``, ``catalog``, ``token`` or ``unknown``."""
    repository: str
    reference: str
    """Tag, digest or upload session."""
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
    ) -> ExchangeLog:
        """Those that are as said, in their order."""
        wanted = {"method": method, "kind": kind, "repository": repository, "reference": reference, "status": status}
        named = [(name, value) for name, value in wanted.items() if value is not None]
        return ExchangeLog(
            [exchange for exchange in list(self._exchanges) if all(getattr(exchange, name) == value for name, value in named)]
        )

    def table(self) -> str:
        """One line per exchange: status, time in milliseconds, size in and out, method and path."""
        lines = [
            f"{exchange.status:6} {exchange.seconds * 1000:7.2f} {exchange.request_size:9} {exchange.response_size:9}  "
            f"{exchange.method:6} {exchange.path}"
            for exchange in list(self._exchanges)
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

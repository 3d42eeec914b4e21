"""What the embedded servers have in common: their life, the rules for what goes wrong, and the log."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING

from archkit.testing.budget import Budget
from archkit.testing.exchanges import Exchange, ExchangeLog, masked
from archkit.testing.faults import Fault, FaultRule, Faults
from archkit.testing.server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from archkit.testing.messages import Request, Response
    from archkit.testing.tls import EmbeddedTls


class EmbeddedServer(ABC):
    """A server in this process, on a free port of 127.0.0.1.

    A context manager. Leaving it without an exception fails with ``AssertionError`` when a rule of ``on()`` waited for
    requests that did not come.

    Args:
        tls: Speak TLS with these certificates, which are removed when it stops; True: with some of its own; None or
            False: plain HTTP.
    """

    def __init__(self, tls: EmbeddedTls | bool | None) -> None:
        if isinstance(tls, bool):
            from archkit.testing.tls import EmbeddedTls  # with trustme, which need not be there

            tls = EmbeddedTls() if tls else None
        self.tls: EmbeddedTls | None = tls
        self.log: ExchangeLog = ExchangeLog()
        """Every request so far."""
        self._faults = Faults()
        self._server = LoopbackServer(self._answer, context=None if tls is None else tls.context)
        self._pace = 0.0

    # ---- life ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()
        if kind is None:
            self.check()

    def start(self) -> None:
        """Listen."""
        self._server.start()

    def stop(self) -> None:
        """Close every connection; what it holds and its log stay readable. Stopping twice is no error."""
        self._server.stop()
        if self.tls is not None:
            self.tls.close()

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``."""
        return self._server.host

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, or with ``https``."""
        return f"{'http' if self.tls is None else 'https'}://{self.host}"

    # ---- what goes wrong ----------------------------------------------------------------------------------------

    def _rule(self, method: str, where: Mapping[str, str | None], query: Mapping[str, str] | None) -> FaultRule:
        """A rule for requests that are about this; what is None is any."""
        return self._faults.add(Fault(method, {name: value for name, value in where.items() if value is not None}, query or {}))

    def check(self) -> None:
        """Raises ``AssertionError`` when a rule of ``on()`` waited for requests that did not come, or forbade one that came.

        Each rule is told once.
        """
        __tracebackhide__ = True  # the message says it all
        unmet = self._faults.take_unmet()
        if unmet:
            rules = "\n".join(f"  {fault}" for fault in unmet)
            forbade = any(fault.forbidden for fault in unmet)
            what = "rules that waited for requests which did not come" + (", or forbade some that came" if forbade else "")
            raise AssertionError(f"{what}:\n{rules}\nwhat came:\n{self.log.table()}")

    @contextmanager
    def budget(
        self, *, requests: int | None = None, round_trips: int | None = None, pace: float = 0.02
    ) -> Generator[ExchangeLog, None, None]:
        """Fail with ``AssertionError``, and a table of all that came, when the block costs more.

        >>> from archkit.testing import EmbeddedRegistry
        >>> with EmbeddedRegistry() as registry, registry.budget(requests=1, round_trips=1) as spent:
        ...     _ = registry.client().tags(f"{registry.host}/team/app")
        >>> dict(spent.counts)
        {'GET tags': 1}

        Args:
            requests: Most requests, those of a sign-in included; None: any number.
            round_trips: Most of :attr:`ExchangeLog.round_trips`; None: any number.
            pace: Seconds that every answer takes longer while round trips are counted, so that requests which are
                made at the same time are seen to be.

        Yields:
            The log of the block, complete at its end.
        """
        __tracebackhide__ = True  # the message says it all
        before, spent = len(self.log), ExchangeLog()
        self._pace = pace if round_trips is not None else 0.0
        try:
            yield spent
        finally:
            self._pace = 0.0
            for exchange in self.log[before:]:
                spent.append(exchange)
        Budget(requests, round_trips).check(spent)

    # ---- requests -----------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """The answer to a request, without any socket: faults and log as with one."""
        return self._answer(request, 0)

    @abstractmethod
    def _about(self, request: Request) -> Mapping[str, str]:
        """What a request is about: what rules may name, and fields of its exchange."""

    @abstractmethod
    def _served(self, request: Request, about: Mapping[str, str]) -> Response:
        """What is made of a request to which nothing happens."""

    def _refused(self, response: Response) -> Response:
        """What a rule answers, as this kind of server would."""
        return response

    def _answer(self, request: Request, connection: int) -> Response:
        started = time.monotonic()
        about = self._about(request)
        fault = self._faults.meet(request, about)
        if fault is not None and fault.before is not None:
            response = self._refused(fault.before)
        else:
            response = self._served(request, about)
            if fault is not None and fault.after is not None:
                response = fault.after(response)
        if self._pace:
            time.sleep(self._pace)
        self.log.append(
            Exchange(
                request.method,
                masked(request.target),
                about.get("kind", ""),
                about.get("repository", ""),
                about.get("reference", ""),
                0 if response.cut == 0 else response.status,
                len(request.body),
                0 if request.method == "HEAD" else len(response.body),
                time.monotonic() - started,
                started,
                connection,
                about.get("user", ""),
                about.get("verb", ""),
                about.get("namespace", ""),
                about.get("name", ""),
            )
        )
        return response

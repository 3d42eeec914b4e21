"""EmbeddedRegistry."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from archkit.model.reference import DOCKER_HUB, ImageReference
from archkit.testing.budget import Budget
from archkit.testing.contents import RegistryContents
from archkit.testing.distribution import DistributionApi
from archkit.testing.exchanges import Exchange, ExchangeLog, masked
from archkit.testing.faults import Fault, FaultRule, Faults
from archkit.testing.messages import Response, route
from archkit.testing.rules import RepositoryRules
from archkit.testing.server import LoopbackServer
from archkit.testing.storage import FolderStorage

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from archkit.adapters.registry import RegistryClient
    from archkit.model.oci import RawManifest
    from archkit.model.platform_set import PlatformSet
    from archkit.model.reference import Digest
    from archkit.testing.auth import Auth
    from archkit.testing.messages import Request, Route
    from archkit.testing.rules import Rules
    from archkit.testing.tls import EmbeddedTls


class EmbeddedRegistry:
    """An OCI registry in this process, on a free port of 127.0.0.1, in memory or on a folder; any registry client can use it.

    A context manager. Leaving it without an exception fails with ``AssertionError`` when a rule of :meth:`on` waited
    for requests that did not come.

    >>> with EmbeddedRegistry() as registry:
    ...     registry.client().tags(f"{registry.host}/team/app")
    []

    Args:
        delete: Whether it deletes manifests, tags and blobs; otherwise it answers 405 everywhere.
        rules: What its repositories allow, all of them alike, or by path.
        folder: Where it keeps its content; what is there already is served. None: in memory.
        auth: How it wants to be signed in to: :class:`~archkit.testing.BasicAuth`, :class:`~archkit.testing.BearerAuth`;
            None: anybody may do everything.
        tls: Speak TLS with these certificates, which are removed when it stops; True: with some of its own; None or
            False: plain HTTP.
    """

    def __init__(
        self,
        *,
        delete: bool = True,
        rules: Rules | None = None,
        folder: str | os.PathLike[str] | None = None,
        auth: Auth | None = None,
        tls: EmbeddedTls | bool | None = None,
    ) -> None:
        if rules is not None and not delete:
            raise ValueError("delete=False counts for every repository; say it in the rules instead")
        self.contents: RegistryContents = RegistryContents(None if folder is None else FolderStorage(folder))
        """What it holds, for code in this process; nothing of it passes through the log."""
        self.log: ExchangeLog = ExchangeLog()
        """Every request so far."""
        self.auth = auth
        if isinstance(tls, bool):
            from archkit.testing.tls import EmbeddedTls  # with trustme, which need not be there

            tls = EmbeddedTls() if tls else None
        self.tls: EmbeddedTls | None = tls
        rules = RepositoryRules(delete=delete) if rules is None else rules
        self._api = DistributionApi(self.contents, rules=rules, discover=auth is None)
        self._faults = Faults()
        self._server = LoopbackServer(self._answer, context=None if tls is None else tls.context)
        self._client: RegistryClient | None = None
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
        """Listen.

        Raises:
            RuntimeError: Another registry uses the folder.
        """
        self.contents.open()
        self._server.start()

    def stop(self) -> None:
        """Close every connection; what it holds and its log stay readable. Stopping twice is no error."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
        self._server.stop()
        self.contents.close()
        if self.tls is not None:
            self.tls.close()

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``: what stands before the repository in a reference."""
        return self._server.host

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, or with ``https``."""
        return f"{'http' if self.tls is None else 'https'}://{self.host}"

    def client(self) -> RegistryClient:
        """A client, one for the life of the registry; it knows how to sign in and whom to trust."""
        if self._client is None:
            from archkit.adapters.registry import RegistryClient
            from archkit.ports.credentials import StaticCredentials

            login = None if self.auth is None else self.auth.login()
            credentials = StaticCredentials({} if login is None else {self.host: login})
            if self.tls is None:
                self._client = RegistryClient(credentials=credentials)
            else:
                self._client = RegistryClient(
                    credentials=credentials, https=[self.host], ca_file=self.tls.ca_file, client_cert=self.tls.client_cert
                )
        return self._client

    # ---- what it holds ------------------------------------------------------------------------------------------

    def reference(self, text: ImageReference | str) -> ImageReference:
        """The full reference of ``repository:tag``, with this registry's host where the text has none."""
        if isinstance(text, ImageReference):
            return text
        parsed = ImageReference.parse(text)
        named = parsed.registry != DOCKER_HUB or text.startswith((DOCKER_HUB, f"index.{DOCKER_HUB}"))
        return parsed if named else ImageReference.parse(f"{self.host}/{text}")

    def tags(self, repository: ImageReference | str) -> list[str]:
        """The repository's tags, sorted; none when there is no such repository."""
        return self.contents.tags(self.reference(repository))

    def resolve(self, reference: ImageReference | str) -> Digest:
        """The digest of what stands under a reference, such as ``app:1`` or ``127.0.0.1:PORT/app:1``.

        Raises:
            RegistryError: With status 404 when nothing does.
        """
        return self.manifest(reference).digest

    def manifest(self, reference: ImageReference | str) -> RawManifest:
        """What stands under a reference, exact bytes.

        Raises:
            RegistryError: With status 404 when nothing does.
        """
        return self.contents.manifest(self.reference(reference))

    def platforms(self, reference: ImageReference | str) -> PlatformSet | None:
        """The image's platforms; None when it is not there."""
        return self.contents.platforms(self.reference(reference))

    # ---- what goes wrong ----------------------------------------------------------------------------------------

    def on(
        self,
        method: str,
        *,
        kind: str | None = None,
        repository: str | None = None,
        reference: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> FaultRule:
        """A rule for what goes wrong; say what with a method of the rule. The first rule that meets a request counts.

        >>> with EmbeddedRegistry() as registry:
        ...     _ = registry.on("PUT", kind="manifest").answer(429, retry_after=1).times(2).optional()
        ...     _ = registry.on("POST", query={"mount": "*", "from": "team/base"}).answer(403).optional()

        Args:
            method: HTTP method; ``*`` is any.
            kind: ``manifest``, ``blob``, ``upload``, ``tags``, ``referrers``, ``base``, ``catalog``, ``token`` or ``unknown``;
                None is any.
            repository: Path of the repository, without host; None is any.
            reference: Tag, digest or upload session; None is any.
            query: Parameters that the request must have, such as ``mount`` and ``from``; ``*`` is any value.
        """
        return self._faults.add(Fault(method, kind, repository, reference, query or {}))

    def check(self) -> None:
        """Raises ``AssertionError`` when a rule of :meth:`on` waited for requests that did not come, or forbade one that came.

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

    def _answer(self, request: Request, connection: int) -> Response:
        started = time.monotonic()
        where = route(request.path)
        fault = self._faults.meet(request, where)
        if fault is not None and fault.before is not None:
            response = fault.before
        else:
            response = self._served(request, where)
            if fault is not None and fault.after is not None:
                response = fault.after(response)
        if self._pace:
            time.sleep(self._pace)
        self.log.append(
            Exchange(
                request.method,
                masked(request.target),
                where.kind,
                where.repository,
                where.reference,
                0 if response.cut == 0 else response.status,
                len(request.body),
                0 if request.method == "HEAD" else len(response.body),
                time.monotonic() - started,
                started,
                connection,
                "" if self.auth is None else self.auth.who(request),
            )
        )
        return response

    def _served(self, request: Request, where: Route) -> Response:
        if self.auth is not None:
            answer = self.auth.token(request) if where.kind == "token" else self.auth.check(request, where, self.url)
            if answer is not None:
                return answer
        return self._api.handle(request)

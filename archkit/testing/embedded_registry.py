"""EmbeddedRegistry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.model.reference import DOCKER_HUB, ImageReference
from archkit.testing.contents import RegistryContents
from archkit.testing.distribution import DistributionApi
from archkit.testing.embedded_server import EmbeddedServer
from archkit.testing.messages import Route, route
from archkit.testing.rules import RepositoryRules
from archkit.testing.storage import FolderStorage

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from archkit.adapters.registry import RegistryClient
    from archkit.model.oci import RawManifest
    from archkit.model.platform_set import PlatformSet
    from archkit.model.reference import Digest
    from archkit.testing.auth import Auth
    from archkit.testing.faults import FaultRule
    from archkit.testing.messages import Request, Response
    from archkit.testing.rules import Rules
    from archkit.testing.tls import EmbeddedTls


class EmbeddedRegistry(EmbeddedServer):
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
        self.auth = auth
        super().__init__(tls)
        rules = RepositoryRules(delete=delete) if rules is None else rules
        self._api = DistributionApi(self.contents, rules=rules, discover=auth is None)
        self._client: RegistryClient | None = None

    # ---- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen.

        Raises:
            RuntimeError: Another registry uses the folder.
        """
        self.contents.open()
        super().start()

    def stop(self) -> None:
        """Close every connection; what it holds and its log stay readable. Stopping twice is no error."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
        super().stop()
        self.contents.close()

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
        user: str | None = None,
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
            user: Who is signed in; None is any.
        """
        return self._rule(method, {"kind": kind, "repository": repository, "reference": reference, "user": user}, query)

    # ---- requests -----------------------------------------------------------------------------------------------

    def _about(self, request: Request) -> Mapping[str, str]:
        where = route(request.path)
        user = "" if self.auth is None else self.auth.who(request)
        return {"kind": where.kind, "repository": where.repository, "reference": where.reference, "user": user}

    def _served(self, request: Request, about: Mapping[str, str]) -> Response:
        where = Route(about["kind"], about["repository"], about["reference"])
        if self.auth is not None:
            answer = self.auth.token(request) if where.kind == "token" else self.auth.check(request, where, self.url)
            if answer is not None:
                return answer
        return self._api.handle(request)

"""ClusterConnection: one signed-in way to one API server."""

from __future__ import annotations

import math
import threading
import time
import zlib
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode, urlsplit

import attrs

from archkit._version import __version__
from archkit.adapters.http import UrllibHttpClient
from archkit.adapters.kube import kubeconfig
from archkit.adapters.kube.answers import refused, unreachable
from archkit.adapters.kube.signin import SignedIn, sign_in
from archkit.adapters.loopback import is_loopback
from archkit.adapters.process import ProcessRunner
from archkit.adapters.proxies import Proxies
from archkit.ports.http import HttpRequest, HttpResponse, Retries, TransportError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from typing_extensions import Self

    from archkit.adapters.kube.kubeconfig import Settings
    from archkit.ports.cluster import ClusterApi
    from archkit.ports.runner import Runner

_LIMIT = 256 * 1024 * 1024
"""Bytes of one answer, unpacked."""
_ERROR_LIMIT = 64 * 1024
_LONGEST_LINE = 16 * 1024 * 1024
_LATE = 0.2
"""Seconds before the end of its time in which a watch that falls silent has come to its end."""
_DEFAULT_RETRIES = Retries()
_T = TypeVar("_T")


class ClusterConnection:
    """One signed-in way to one API server; thread-safe. The kubeconfig is never written.

    Making one reads files and asks nobody; signing in comes with the first request, again when credentials expire, and
    once more where the server does not take them.

    Args:
        settings: Reads the settings, each time anew: a token may have been put into the file in the meantime.
        retries: When a request is sent again.
        runner: Starts sign-in programs.
    """

    def __init__(self, settings: Callable[[], Settings], *, retries: Retries = _DEFAULT_RETRIES, runner: Runner | None = None) -> None:
        self._read = settings
        self._settings = settings()
        self._retries = retries
        self._runner: Runner = runner or ProcessRunner()
        self._lock = threading.Lock()
        self._signed_in: SignedIn | None = None

    @classmethod
    def from_kubeconfig(cls, path: str | os.PathLike[str] | None = None, *, context: str | None = None) -> Self:
        """A connection to a cluster that kubectl knows.

        Args:
            path: A kubeconfig; None: the files of ``KUBECONFIG``, or ``~/.kube/config``.
            context: One of its contexts; None: the current one.

        Raises:
            KubeconfigError: No file, no such context (those that there are, are named), or not readable.
        """
        files = kubeconfig.kubeconfig_files(path)
        context = kubeconfig.choose(files, context).context  # whoever switches the current context does not move this one
        return cls(lambda: kubeconfig.choose(files, context))

    @classmethod
    def in_cluster(cls) -> Self:
        """A connection from inside a pod, as its service account.

        Raises:
            KubeconfigError: This is no pod, or it has no token.
        """
        return cls(kubeconfig.in_cluster)

    @property
    def context(self) -> str:
        """The kubeconfig's name for cluster and user; ``in-cluster`` inside a pod."""
        return self._settings.context

    @property
    def server(self) -> str:
        """The address of the API server."""
        return self._settings.server

    @property
    def namespace(self) -> str:
        """Where objects go that name no namespace."""
        return self._settings.namespace

    @property
    def name(self) -> str:
        """Context and server."""
        return self._settings.name

    def __repr__(self) -> str:
        return f"ClusterConnection({self.name})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections. A later request opens new ones."""
        with self._lock:
            signed_in, self._signed_in = self._signed_in, None
        if signed_in is not None:
            signed_in.manager.clear()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout: float = 30.0,
        repeatable: bool | None = None,
    ) -> HttpResponse:
        """See :meth:`archkit.ports.cluster.ClusterApi.request`.

        Raises:
            ClusterUnreachableError: No answer came, or it broke off.
            ClusterSignInError: There is nothing to sign in with. (That the server does not take it, is an answer: 401.)
        """
        headers = {"Accept": "application/json", "Accept-Encoding": self._packing()}
        if body is not None:
            headers["Content-Type"] = content_type
        request = HttpRequest(method, self._url(path, query), headers, body, repeatable)
        end = math.inf

        def once(signed_in: SignedIn) -> HttpResponse:
            nonlocal end
            end = time.monotonic() + timeout  # signing in has a time of its own
            with self._client(signed_in, timeout) as http:
                return http.send(_with(request, signed_in), limit=_LIMIT, error_limit=_ERROR_LIMIT)

        try:
            return _unpacked(self._signed(once, _status))
        except TransportError as error:
            late = time.monotonic() >= end - _LATE
            raise unreachable(self.name, self.server, f"no answer within {timeout:g} s" if late else str(error)) from error

    def lines(self, path: str, *, query: Mapping[str, str] | None = None, timeout: float = 30.0) -> Iterator[bytes]:
        """See :meth:`archkit.ports.cluster.ClusterApi.lines`.

        Raises:
            ClusterUnreachableError: No answer came, or it broke off.
            ClusterForbiddenError: One may not watch this.
            ClusterSignInError: The server does not take the credentials, or there are none.
            ClusterError: It refused for another reason.
        """
        request = HttpRequest("GET", self._url(path, query), {"Accept": "application/json"})
        end = math.inf

        def once(signed_in: SignedIn) -> tuple[HttpResponse, Iterator[bytes]]:
            nonlocal end
            end = time.monotonic() + timeout
            with self._client(signed_in, timeout) as http:
                streamed = http.stream(_with(request, signed_in), error_limit=_ERROR_LIMIT)
                return streamed.head, streamed.pieces

        try:
            head, pieces = self._signed(once, lambda answer: answer[0].status)
            if head.status != 200:
                raise refused(self.name, "GET", path, head, query)
            yield from _lines(pieces, end)
        except TransportError as error:
            if time.monotonic() < end - _LATE:
                raise unreachable(self.name, self.server, str(error)) from error

    def _signed(self, once: Callable[[SignedIn], _T], status_of: Callable[[_T], int]) -> _T:
        """What comes of it, signed in; where the server does not know us, signed in afresh."""
        signed_in = self._credentials(None)
        answer = once(signed_in)
        if status_of(answer) != 401:
            return answer
        return once(self._credentials(signed_in))

    def _credentials(self, refused_ones: SignedIn | None) -> SignedIn:
        """What is signed in with; never what was refused."""
        with self._lock:
            found = self._signed_in
            if found is None or found is refused_ones or found.over:
                self._settings = self._read()
                found = self._signed_in = sign_in(self._settings, self._runner)
            return found

    def _client(self, signed_in: SignedIn, timeout: float) -> UrllibHttpClient:
        return UrllibHttpClient(
            timeout=timeout,
            retries=self._retries,
            longest=timeout,
            slowest=math.inf,
            proxies=Proxies(),
            within=timeout,
            manager=signed_in.manager,
        )

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        return f"{self.server}{path}?{urlencode(query)}" if query else f"{self.server}{path}"

    def _packing(self) -> str:
        """Packed unless the kubeconfig says otherwise, or nothing is saved by it: between processes of one machine."""
        near = is_loopback(urlsplit(self.server).hostname or "")
        return "identity" if near or self._settings.cluster.get("disable-compression") == "true" else "gzip"


def _with(request: HttpRequest, signed_in: SignedIn) -> HttpRequest:
    headers = {**request.headers, "User-Agent": f"archkit/{__version__}", **signed_in.headers()}
    return attrs.evolve(request, headers=headers)


def _status(answer: HttpResponse) -> int:
    return answer.status


def _unpacked(answer: HttpResponse) -> HttpResponse:
    if answer.headers.get("content-encoding") != "gzip":
        return answer
    unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        body = unpacking.decompress(answer.body, _LIMIT)
    except zlib.error as error:
        raise TransportError(f"the answer cannot be unpacked: {error}") from error
    if unpacking.unconsumed_tail:
        raise TransportError(f"the answer is longer than the limit of {_LIMIT} bytes", transient=False)
    if not unpacking.eof and answer.status < 400:  # of a long refusal only the first part is read
        raise TransportError("the answer broke off before its end")
    headers = {name: value for name, value in answer.headers.items() if name not in {"content-encoding", "content-length"}}
    return attrs.evolve(answer, body=body, headers=headers)


def _lines(pieces: Iterator[bytes], end: float) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from filter(None, whole)
        if time.monotonic() >= end:
            return
        if len(rest) > _LONGEST_LINE:
            raise TransportError(f"a line is longer than the limit of {_LONGEST_LINE} bytes", transient=False)
    if rest:
        yield rest


if TYPE_CHECKING:
    _conforms: type[ClusterApi] = ClusterConnection

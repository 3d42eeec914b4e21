"""HTTP over urllib3, of which this is the only importer: kept-alive connections, limits, redirects, retries."""

from __future__ import annotations

import math
import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import attrs

from archkit.adapters.patience import PatientResponse, TooSlow, patience
from archkit.adapters.proxies import Proxies
from archkit.adapters.tls import Tls
from archkit.ports.http import DEFAULT_PORTS, HttpRequest, HttpResponse, Retries, StreamedResponse, TransportError, origin

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    import urllib3
    from typing_extensions import Self

    from archkit.model.secret import Secret
    from archkit.ports.http import HttpClient

_PIECE = 256 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_WITH_CONTENT = frozenset({200, 206})
_FOR_ONE_HOST = frozenset({"authorization", "cookie", "proxy-authorization"})
_NO_PIECES: tuple[bytes, ...] = ()
_T = TypeVar("_T")


class UrllibHttpClient:
    """Sends requests over kept-alive connections; thread-safe.

    Args:
        timeout: Seconds to wait for a connection, and for each piece of an answer.
        retries: When a request is sent again.
        connections: How many idle connections are kept per host.
        longest: Seconds spent waiting for one answer in all, beyond those that its bytes take at ``slowest``.
        slowest: Bytes per second.
        tls: Whom secure connections trust.
        proxies: Where requests go through; None: what the environment says now.
        sleep: Waits that many seconds between attempts.
        within: Seconds for one answer in all, further attempts and the waits between them included; None: no such limit.
        manager: Connections that somebody else set up, ``tls`` and ``proxies`` included; it should be :func:`patient`.
    """

    def __init__(
        self,
        *,
        timeout: float = 30.0,
        retries: Retries | None = None,
        connections: int = 8,
        longest: float = 120.0,
        slowest: float = 1024,
        tls: Tls | None = None,
        proxies: Proxies | None = None,
        sleep: Callable[[float], object] = time.sleep,
        within: float | None = None,
        manager: urllib3.PoolManager | None = None,
    ) -> None:
        self._timeout = timeout
        self._within = within
        self._given = manager
        self._retries = retries or Retries()
        self._connections = connections
        self._sleep = sleep
        self._longest, self._slowest = longest, slowest
        self._tls = tls or Tls()
        self._proxies = Proxies.from_environment() if proxies is None else proxies
        self._lock = threading.Lock()
        self._managers: dict[tuple[bool, str], urllib3.PoolManager] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections. A later request opens new ones."""
        with self._lock:
            managers, self._managers = self._managers, {}
        for manager in managers.values():
            manager.clear()

    def send(self, request: HttpRequest, *, limit: int, error_limit: int) -> HttpResponse:
        """See :meth:`archkit.ports.http.HttpClient.send`."""

        def once(timeout: float) -> HttpResponse:
            answer, url = self._follow(request, timeout)
            return _head(answer, url, _body(request, answer, limit, error_limit, timeout))

        return self._retried(request, once, _same)

    def stream(self, request: HttpRequest, *, error_limit: int) -> StreamedResponse:
        """See :meth:`archkit.ports.http.HttpClient.stream`."""

        def once(timeout: float) -> StreamedResponse:
            answer, url = self._follow(request, timeout)
            if answer.status not in _WITH_CONTENT:
                return StreamedResponse(_head(answer, url, _body(request, answer, error_limit, error_limit, timeout)), iter(_NO_PIECES))
            return StreamedResponse(_head(answer, url, b""), _pieces(request, answer, timeout))

        return self._retried(request, once, lambda streamed: streamed.head)

    def _retried(self, request: HttpRequest, once: Callable[[float], _T], head_of: Callable[[_T], HttpResponse]) -> _T:
        sent = 0
        left = math.inf if self._within is None else self._within
        end = time.monotonic() + left
        while True:
            sent += 1
            jitter = random.random()  # noqa: S311 - spreads clients in time, hides nothing
            try:
                result = once(min(self._timeout, left))
            except TransportError as error:
                left = end - time.monotonic()
                wait = self._retries.wait(sent, jitter) if error.transient and request.may_repeat else None
                if wait is None or wait >= left:
                    raise
            else:
                head = head_of(result)
                retry_after = _seconds(head.headers.get("retry-after"))
                left = end - time.monotonic()
                wait = self._retries.wait_for(request, head, sent, retry_after=retry_after, jitter=jitter)
                if wait is None or wait >= left:
                    return result
            self._sleep(wait)
            left -= wait

    def _follow(self, request: HttpRequest, timeout: float) -> tuple[urllib3.BaseHTTPResponse, str]:
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._once(request, timeout)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or request.method not in {"GET", "HEAD"} or not location:
                return answer, request.url
            with _translated(timeout):
                answer.drain_conn()
            request = _redirected(request, location)
        raise TransportError(f"more than {_MAX_REDIRECTS} redirects, the last to {_without_query(request.url)}", transient=False)

    def _once(self, request: HttpRequest, timeout: float) -> urllib3.BaseHTTPResponse:
        import urllib3  # tens of milliseconds: only when something is sent

        manager = self._manager(request.url)
        longest = self._longest if self._within is None else min(self._longest, timeout)
        body = request.body
        headers = {"Accept-Encoding": "identity", **request.headers}
        if isinstance(body, bytes) and len(body) > _PIECE:  # a socket's timeout is for all that is handed to it at once
            headers.setdefault("Content-Length", str(len(body)))
        source = None if body is None or (isinstance(body, bytes) and len(body) <= _PIECE) else _Source(body)
        try:
            with _translated(timeout), patience(longest, self._slowest):
                answer = manager.request(
                    request.method,
                    request.url,
                    body=request.body if source is None else source,
                    headers=headers,
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                    timeout=urllib3.Timeout(connect=timeout, read=timeout),
                )
            if not answer.headers:  # http.client takes a head that breaks off for a whole one
                answer.close()
                raise TransportError("the answer broke off in its head")  # noqa: TRY301 - joins what broke off elsewhere
        except TransportError:
            if source is not None and source.error is not None:  # the body's own failure, which urllib3 takes for the connection's
                raise source.error from source.error.__cause__
            raise
        return answer

    def _manager(self, url: str) -> urllib3.PoolManager:
        """The connections that requests to this URL share."""
        if self._given is not None:
            return self._given
        secure, proxy = url.startswith("https:"), self._proxies.of(url)
        with self._lock:
            found = self._managers.get((secure, proxy.reveal()))
            if found is None:
                found = self._managers[secure, proxy.reveal()] = self._new_manager(secure=secure, proxy=proxy)
            return found

    def _new_manager(self, *, secure: bool, proxy: Secret) -> urllib3.PoolManager:
        import urllib3

        options: dict[str, Any] = {"maxsize": self._connections, "retries": False}
        if secure:
            options["ssl_context"] = self._tls.context()
        if proxy:
            parts = urlsplit(proxy.reveal())
            if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
                shown = _without_query(proxy.reveal())
                raise TransportError(f"the proxy {shown} cannot be used: archkit goes through HTTP proxies only", transient=False)
            if parts.username is not None:
                pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
                options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=pair)
            address = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
            manager: urllib3.PoolManager = urllib3.ProxyManager(address, **options)
        else:
            manager = urllib3.PoolManager(**options)
        return patient(manager)


def patient(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """The same connections, to be made, whose answers are read with patience that ends (see :mod:`archkit.adapters.patience`)."""
    import urllib3
    from urllib3.connection import HTTPConnection, HTTPSConnection

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = cast(Any, type("_Connection", (HTTPConnection,), {"response_class": PatientResponse}))

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = cast(Any, type("_SecureConnection", (HTTPSConnection,), {"response_class": PatientResponse}))

    classes: dict[str, Any] = {"http": PlainPool, "https": SecurePool}
    manager.pool_classes_by_scheme = classes
    return manager


class _Source:
    """A body that is sent piece by piece; remembers what went wrong in it."""

    def __init__(self, body: bytes | Iterator[bytes]) -> None:
        self._pieces = _cut(body) if isinstance(body, bytes) else body
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise


def _cut(body: bytes) -> Iterator[bytes]:
    return (body[start : start + _PIECE] for start in range(0, len(body), _PIECE))


def _same(response: HttpResponse) -> HttpResponse:
    return response


def _head(answer: urllib3.BaseHTTPResponse, url: str, body: bytes) -> HttpResponse:
    return HttpResponse(answer.status, dict(answer.headers.itermerged()), body, url)


def _body(request: HttpRequest, answer: urllib3.BaseHTTPResponse, limit: int, error_limit: int, timeout: float) -> bytes:
    failed = answer.status >= 400
    most = error_limit if failed else limit
    pieces: list[bytes] = []
    size = 0
    for piece in _pieces(request, answer, timeout):
        pieces.append(piece)
        size += len(piece)
        if size > most:
            answer.close()
            if failed:
                break
            raise TransportError(f"the answer is longer than the limit of {most} bytes", transient=False)
    return b"".join(pieces)[:most]


def _pieces(request: HttpRequest, answer: urllib3.BaseHTTPResponse, timeout: float) -> Iterator[bytes]:
    complete = False
    # http.client takes a head that breaks off for a whole one, so the length may be missing because of that.
    framed = "content-length" in answer.headers or "transfer-encoding" in answer.headers
    cut = request.method == "GET" and answer.status == 200 and not framed
    try:
        with _translated(timeout):
            for piece in answer.stream(_PIECE, decode_content=False):
                cut = False
                yield piece
        if cut:
            raise TransportError("the answer broke off before its body")
        complete = True
    finally:
        if complete:
            answer.release_conn()
        else:
            answer.close()  # what is left of the body must not be read as the next answer


def _redirected(request: HttpRequest, location: str) -> HttpRequest:
    url = urljoin(request.url, location)
    before, after = urlsplit(request.url), urlsplit(url)
    if after.scheme not in DEFAULT_PORTS or (before.scheme == "https" and after.scheme == "http"):
        raise TransportError(f"redirected from {before.scheme} to {_without_query(url)}, which is refused", transient=False)
    same_host = origin(request.url) == origin(url)
    headers = {name: value for name, value in request.headers.items() if same_host or name.lower() not in _FOR_ONE_HOST}
    return attrs.evolve(request, url=url, headers=headers)


def _without_query(url: str) -> str:
    """The URL as messages may show it: signatures and tokens stand in the query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _seconds(retry_after: str | None) -> float | None:
    """What Retry-After asks for: seconds or a date (RFC 9110, 10.2.3)."""
    if not retry_after:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


@contextmanager
def _translated(timeout: float) -> Generator[None, None, None]:
    """Re-raises what urllib3 and the sockets below it raise as the port's error."""
    from urllib3 import exceptions

    try:
        yield
    except (exceptions.HTTPError, OSError) as error:
        transient = not isinstance(error, (exceptions.SSLError, exceptions.LocationValueError)) and not _too_slow(error)
        raise TransportError(_reason(error, timeout), transient) from _without_frames(error)


def _without_frames(error: BaseException) -> BaseException:
    """The error alone: the frames below hold what was sent, credentials included."""
    inner: BaseException | None = error
    while inner is not None:
        inner.__traceback__ = None
        inner = inner.__cause__ or inner.__context__
    return error


def _too_slow(error: BaseException) -> bool:
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, TooSlow):
            return True
        inner = inner.__cause__ or inner.__context__
    return False


def _reason(error: Exception, timeout: float) -> str:
    from urllib3 import exceptions

    cause = error.__cause__
    match error:
        case _ if _too_slow(error):
            return "the answer comes too slowly"
        case exceptions.ProxyError():
            return f"the proxy does not let through: {error.args[-1]}"
        case exceptions.NameResolutionError():
            return "the host name cannot be resolved"
        case exceptions.NewConnectionError():
            return f"no connection: {(isinstance(cause, OSError) and cause.strerror) or error}"
        case exceptions.ConnectTimeoutError():  # the two above derive from it
            return f"no connection within {timeout:g} s"
        case exceptions.ReadTimeoutError():
            return f"no answer within {timeout:g} s"
        case exceptions.SSLError():
            return f"no secure connection: {error}"
        case exceptions.IncompleteRead():
            return f"the answer broke off after {error.partial} of {error.partial + (error.expected or 0)} bytes"
        case exceptions.ProtocolError() if isinstance(cause := error.args[-1], exceptions.IncompleteRead):
            return _reason(cause, timeout)
        case exceptions.ProtocolError():
            return f"the connection broke: {error.args[-1]}"
        case _:
            return str(error) or type(error).__name__


if TYPE_CHECKING:
    _conforms: type[HttpClient] = UrllibHttpClient

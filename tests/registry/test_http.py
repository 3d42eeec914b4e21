"""The HTTP adapter: when it asks again, whom it tells what, what it keeps open."""

from __future__ import annotations

import email.utils
import math
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import urllib3

from archkit.adapters.http import UrllibHttpClient, patient
from archkit.ports.http import HttpRequest, HttpResponse, Retries, TransportError
from archkit.testing import Request, Response
from archkit.testing.server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = {"limit": 1000, "error_limit": 1000}


class Server:
    """Answers what a test says and remembers what it was asked."""

    def __init__(self, answer: Callable[[Request], Response]) -> None:
        self.seen: list[Request] = []
        self.connections: set[int] = set()
        self._answer = answer
        self._server = LoopbackServer(self._handle)
        self._server.start()
        self.url = f"http://{self._server.host}"
        self.stop = self._server.stop

    def _handle(self, request: Request, connection: int) -> Response:
        self.seen.append(request)
        self.connections.add(connection)
        return self._answer(request)


Serve = Callable[[Callable[[Request], Response]], Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def start(answer: Callable[[Request], Response]) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


class Clock:
    """Takes the waits instead of waiting."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def http(clock: Clock) -> Iterator[UrllibHttpClient]:
    with UrllibHttpClient(timeout=5, sleep=clock) as made:
        yield made


def answers(*responses: Response) -> Callable[[Request], Response]:
    left = list(responses)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


# ---- when it asks again: the decision ---------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "jitter", "wait"), [(1, 0, 0.2), (2, 0, 0.4), (3, 0, 0.8), (3, 1, 0.4), (4, 0, None), (9, 0, None)])
def test_waits_double_and_end(sent: int, jitter: float, wait: float | None) -> None:
    assert Retries().wait(sent, jitter) == wait


def test_no_wait_is_longer_than_the_longest() -> None:
    assert Retries(attempts=20, longest_wait=3).wait(15, 0) == 3


GET, POST = HttpRequest("GET", "http://x/"), HttpRequest("POST", "http://x/", {}, b"body")
STREAM = HttpRequest("PUT", "http://x/", {}, iter([b"once"]))
SESSION = HttpRequest("POST", "http://x/", {}, b"", repeatable=True)
FINAL = HttpRequest("PUT", "http://x/", {}, b"body", repeatable=False)


@pytest.mark.parametrize(
    ("request_", "status", "retry_after", "wait"),
    [
        pytest.param(GET, 503, None, 0.2, id="get"),
        pytest.param(GET, 503, 7, 7, id="get-told"),
        pytest.param(GET, 503, 0, 0.2, id="get-told-at-once"),
        pytest.param(GET, 429, 31, None, id="told-too-long"),
        pytest.param(GET, 404, None, None, id="refused"),
        pytest.param(GET, 200, None, None, id="fine"),
        pytest.param(POST, 503, None, None, id="post-blind"),
        pytest.param(POST, 503, 1, 1, id="post-told"),
        pytest.param(POST, 429, 1, 1, id="post-told-too-many"),
        pytest.param(POST, 500, 1, None, id="post-maybe-done"),
        pytest.param(SESSION, 500, None, 0.2, id="post-that-may"),
        pytest.param(FINAL, 500, None, None, id="put-that-may-not"),
        pytest.param(STREAM, 503, 1, None, id="body-is-gone"),
    ],
)
def test_an_answer_is_asked_again_only_where_that_is_safe(
    request_: HttpRequest, status: int, retry_after: float | None, wait: float | None
) -> None:
    assert Retries().wait_for(request_, HttpResponse(status), 1, retry_after=retry_after, jitter=0) == wait


@pytest.mark.parametrize(
    "make",
    [lambda: Retries(attempts=0), lambda: Retries(first_wait=-1), lambda: Retries(longest_wait=-1)],
    ids=["attempts", "first", "longest"],
)
def test_a_policy_that_makes_no_sense_is_refused(make: Callable[[], Retries]) -> None:
    with pytest.raises(ValueError, match="must be >="):
        make()


# ---- when it asks again: doing it -------------------------------------------------------------------------------


def test_a_wait_in_seconds_is_kept(serve: Serve, http: UrllibHttpClient, clock: Clock) -> None:
    server = serve(answers(Response(429, {"Retry-After": "7"}), Response(200, {}, b"done")))
    assert http.send(HttpRequest("GET", server.url), **LIMITS).body == b"done"
    assert clock.waits == [7]


def test_a_wait_until_a_date_is_kept(serve: Serve, http: UrllibHttpClient, clock: Clock) -> None:
    date = email.utils.formatdate(time.time() + 20, usegmt=True)
    server = serve(answers(Response(503, {"Retry-After": date}), Response(200)))
    assert http.send(HttpRequest("POST", server.url, {}, b"x"), **LIMITS).status == 200
    assert clock.waits == [pytest.approx(20, abs=2)]


@pytest.mark.parametrize("value", ["soon", "", "Thu, 99 Foo 2026"])
def test_a_wait_that_nobody_can_read_is_not_kept(serve: Serve, http: UrllibHttpClient, clock: Clock, value: str) -> None:
    server = serve(answers(Response(503, {"Retry-After": value}), Response(200)))
    assert http.send(HttpRequest("GET", server.url), **LIMITS).status == 200
    assert len(clock.waits) == 1
    assert clock.waits[0] <= 0.2


def test_waits_between_broken_connections_grow(serve: Serve, http: UrllibHttpClient, clock: Clock) -> None:
    server = serve(lambda _: Response(0, cut=0))
    with pytest.raises(TransportError, match="the connection broke"):
        http.send(HttpRequest("GET", server.url), **LIMITS)
    assert len(server.seen) == 4
    assert [0.1, 0.2, 0.4] <= clock.waits <= [0.2, 0.4, 0.8]


@pytest.mark.parametrize("request_", [HttpRequest("POST", "", {}, b"x"), HttpRequest("PUT", "", {}, b"x", repeatable=False)])
def test_what_may_have_been_done_is_not_sent_again(serve: Serve, http: UrllibHttpClient, request_: HttpRequest) -> None:
    server = serve(lambda _: Response(0, cut=0))
    with pytest.raises(TransportError):
        http.send(HttpRequest(request_.method, server.url, {}, request_.body, request_.repeatable), **LIMITS)
    assert len(server.seen) == 1


# ---- redirects --------------------------------------------------------------------------------------------------


def test_credentials_do_not_follow_to_another_host(serve: Serve, http: UrllibHttpClient) -> None:
    elsewhere = serve(lambda _: Response(200, {}, b"there"))
    server = serve(answers(Response(307, {"Location": "/again"}), Response(302, {"Location": f"{elsewhere.url}/blob?sig=1"})))
    headers = {"Authorization": "Bearer secret", "cookie": "secret", "Accept": "x"}
    answer = http.send(HttpRequest("GET", f"{server.url}/first", headers), **LIMITS)
    assert (answer.body, answer.url) == (b"there", f"{elsewhere.url}/blob?sig=1")
    assert [request.headers.get("authorization") for request in server.seen] == ["Bearer secret", "Bearer secret"]
    assert elsewhere.seen[0].headers.get("accept") == "x"
    assert not {"authorization", "cookie"} & set(elsewhere.seen[0].headers)


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_what_writes_is_not_redirected(serve: Serve, http: UrllibHttpClient, method: str) -> None:
    server = serve(lambda _: Response(307, {"Location": "/elsewhere"}))
    assert http.send(HttpRequest(method, server.url, {}, b"x"), **LIMITS).status == 307
    assert len(server.seen) == 1


def test_a_redirect_message_shows_no_signature(serve: Serve, http: UrllibHttpClient) -> None:
    server = serve(lambda _: Response(302, {"Location": "ftp://user:secret@files.test/blob?sig=secret"}))
    with pytest.raises(TransportError) as caught:
        http.send(HttpRequest("GET", server.url), **LIMITS)
    assert str(caught.value) == "redirected from http to ftp://files.test/blob, which is refused"


# ---- bodies and connections -------------------------------------------------------------------------------------


def test_connections_are_kept(serve: Serve, http: UrllibHttpClient) -> None:
    server = serve(answers(Response(200, {}, b"x" * 1000), Response(404, {}, b"no"), Response(307, {"Location": "/"}), Response(200)))
    for method in ("GET", "GET", "GET", "HEAD", "PUT"):
        http.send(HttpRequest(method, server.url, {}, b"x" if method == "PUT" else None), **LIMITS)
    streamed = http.stream(HttpRequest("GET", server.url), error_limit=10)
    assert b"".join(streamed.pieces) == b""
    assert len(server.connections) == 1


def test_a_stream_that_is_given_up_does_not_spoil_the_next_answer(serve: Serve, http: UrllibHttpClient) -> None:
    server = serve(answers(Response(200, {}, b"x" * 1_000_000), Response(200, {}, b"next")))
    streamed = http.stream(HttpRequest("GET", server.url), error_limit=10)
    assert next(streamed.pieces).startswith(b"xxx")
    del streamed
    assert http.send(HttpRequest("GET", server.url), **LIMITS).body == b"next"


def test_a_long_error_is_cut_and_a_long_answer_refused(serve: Serve, http: UrllibHttpClient) -> None:
    server = serve(answers(Response(400, {}, b"x" * 5000), Response(200, {}, b"x" * 5000)))
    assert http.send(HttpRequest("GET", server.url), limit=10, error_limit=20).body == b"x" * 20
    with pytest.raises(TransportError, match="longer than the limit of 10 bytes"):
        http.send(HttpRequest("GET", server.url), limit=10, error_limit=20)


def test_repeated_headers_are_joined(serve: Serve, http: UrllibHttpClient) -> None:
    server = serve(lambda _: Response(200, {"Link": "<a>", "LINK": "<b>"}))
    assert http.send(HttpRequest("GET", server.url), **LIMITS).headers["link"] == "<a>, <b>"


def test_compressed_answers_are_not_asked_for_and_not_unpacked(serve: Serve, http: UrllibHttpClient) -> None:
    server = serve(lambda _: Response(200, {"Content-Encoding": "gzip"}, b"exact bytes"))
    assert http.send(HttpRequest("GET", server.url), **LIMITS).body == b"exact bytes"
    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_a_host_that_does_not_exist_is_told(http: UrllibHttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # no test waits for a name server
    with pytest.raises(TransportError, match="cannot be resolved"):
        http.send(HttpRequest("GET", "http://host.invalid/"), **LIMITS)


def test_a_plain_server_asked_in_tls_is_told(serve: Serve, http: UrllibHttpClient) -> None:
    server = serve(lambda _: Response(200))
    with pytest.raises(TransportError, match="no secure connection"):
        http.send(HttpRequest("GET", server.url.replace("http", "https")), **LIMITS)
    assert not server.seen


def test_it_can_be_used_again_after_closing(serve: Serve, http: UrllibHttpClient) -> None:
    server = serve(lambda _: Response(200))
    http.close()
    assert http.send(HttpRequest("GET", server.url), **LIMITS).status == 200
    http.close()
    assert http.send(HttpRequest("GET", server.url), **LIMITS).status == 200
    assert len(server.connections) == 2


# ---- one answer within a time, on connections of somebody else ------------------------------------------------------


def test_one_answer_takes_no_longer_than_it_may_further_attempts_included(serve: Serve) -> None:
    server = serve(answers(Response(503, {}, b"busy")))
    waits: list[float] = []
    with UrllibHttpClient(retries=Retries(attempts=9, first_wait=1.0), within=2.0, sleep=waits.append) as http:
        assert http.send(HttpRequest("GET", server.url), **LIMITS).status == 503
    assert 1 <= len(waits) < 8


def test_an_answer_that_drips_is_given_up_at_the_end_of_its_time(serve: Serve) -> None:
    server = serve(answers(Response(200, {}, b"x" * 1000, drip=0.01)))
    with UrllibHttpClient(retries=Retries(attempts=1), within=0.3, slowest=math.inf) as http:
        started = time.monotonic()
        with pytest.raises(TransportError, match="too slowly"):
            http.send(HttpRequest("GET", server.url), **LIMITS)
    assert time.monotonic() - started < 3


def test_connections_of_somebody_else_are_used(serve: Serve) -> None:
    server = serve(answers(Response(200, {}, b"done")))
    manager = patient(urllib3.PoolManager(headers={"User-Agent": "nobody"}))
    with UrllibHttpClient(manager=manager) as http:
        assert http.send(HttpRequest("GET", server.url), **LIMITS).body == b"done"
    assert len(manager.pools) == 1
    manager.clear()

"""A small HTTP/1.1 server on 127.0.0.1: sockets and framing, nothing of what is served.

Not ``http.server``: its answers leave in several segments, which costs 40 ms each on a kept-alive connection (delayed
acknowledgements), and it greets a TLS client in HTTP/0.9, which Docker's client does not take for "try plain HTTP".
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from archkit.testing.messages import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader

_LONGEST_LINE = 64 * 1024
_MOST_HEADERS = 200
_TLS_HANDSHAKE = b"\x16"
_LINGER = 1.0
"""Seconds that a refused client has to read why before its connection is closed."""
_JOIN = 5.0


class BadRequest(Exception):
    """What came is no HTTP/1.1 request that this server can read."""

    def __init__(self, status: int = 400) -> None:
        super().__init__(status)
        self.status = status


class LoopbackServer:
    """Serves a function from request to response; one thread per connection.

    Args:
        handle: Gets a request and the number of its connection; must not raise.
        max_body: Bytes that a request's body may have; more is answered with 413.
        context: Of TLS; None: it speaks plain HTTP.
    """

    def __init__(
        self,
        handle: Callable[[Request, int], Response],
        *,
        max_body: int = 1024 * 1024 * 1024,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._handle = handle
        self._context = context
        self._stopping = threading.Event()
        self._max_body = max_body
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._accepting: threading.Thread | None = None
        self._count = 0
        self._host = ""

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``, still known when it has stopped.

        Raises:
            RuntimeError: It was never started.
        """
        if not self._host:
            raise RuntimeError("the server was not started; use it as a context manager")
        return self._host

    def start(self) -> None:
        """Listen on a free port."""
        self._stopping.clear()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._accepting = threading.Thread(target=self._accept, args=(self._listener,), name="archkit-embedded-server", daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """Close every connection; returns when no request is being handled any more."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._stopping.set()
        with suppress(OSError), socket.create_connection(listener.getsockname(), timeout=_JOIN):
            pass  # wakes the accepting thread: closing a socket wakes nobody
        if self._accepting is not None:
            self._accepting.join(_JOIN)
        listener.close()
        with self._lock:
            connections = list(self._connections.items())
        for connection, _ in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in connections:
            thread.join(_JOIN)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if self._listener is not listener:
                connection.close()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._count += 1
            thread = threading.Thread(target=self._serve, args=(connection, self._count), daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            secured = self._secured(connection)
            if secured is None:
                return
            connection, plain = secured, connection
            with self._lock:
                self._connections[connection] = self._connections.pop(plain)
            with connection, connection.makefile("rb") as reader, suppress(OSError):
                try:
                    while self._serve_one(connection, reader, number):
                        pass
                except BadRequest as error:
                    connection.sendall(_head(Response(error.status), 0, close=True))
                    _linger(connection)
        finally:
            with self._lock:
                del self._connections[connection]

    def _secured(self, connection: socket.socket) -> socket.socket | None:
        """The connection to talk over; None where no handshake came about."""
        if self._context is None:
            return connection
        connection.settimeout(_JOIN)
        with suppress(OSError):
            if connection.recv(1, socket.MSG_PEEK) != _TLS_HANDSHAKE:  # say so, as Go's servers do
                connection.sendall(_head(Response(400), 0, close=True))
                _linger(connection)
                connection.close()
                return None
            secured = self._context.wrap_socket(connection, server_side=True)
            secured.settimeout(None)
            return secured
        connection.close()
        return None

    def _serve_one(self, connection: socket.socket, reader: BufferedReader, number: int) -> bool:
        """Answer the next request of a connection; False when it is the last one."""
        if self._context is None and reader.peek(1)[:1] == _TLS_HANDSHAKE:
            raise BadRequest
        read = read_request(reader, self._max_body, lambda: connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n"))
        if read is None:
            return False
        request, keep = read
        response = self._handle(request, number)
        if response.stream is not None and response.cut is None:
            self._send_stream(connection, response)
            return False
        body = b"" if request.method == "HEAD" else response.body
        if response.cut_body is not None:
            body = body[: response.cut_body]
        keep = keep and response.cut is None and response.cut_body is None
        answer = _head(response, len(response.body), close=not keep) + body
        self._stopping.wait(response.late)
        answer = answer if response.cut is None else answer[: response.cut]
        if response.drip is None:
            connection.sendall(answer)
            return keep
        for position in range(len(answer)):
            connection.sendall(answer[position : position + 1])
            if self._stopping.wait(response.drip):
                break
        return keep

    def _send_stream(self, connection: socket.socket, response: Response) -> None:
        """Send an answer that goes on, in chunks, until it ends or nobody listens."""
        if response.stream is None:
            return
        self._stopping.wait(response.late)
        headers = {**response.headers, "Transfer-Encoding": "chunked"}
        connection.sendall(_head(Response(response.status, headers), None, close=True))
        left = response.cut_body
        for piece in response.stream(lambda: self._stopping.is_set() or _hung_up(connection)):
            part = piece if left is None else piece[:left]
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if part else b"")
            if left is not None:
                left -= len(part)
                if left <= 0:
                    return
        connection.sendall(b"0\r\n\r\n")


def _hung_up(connection: socket.socket) -> bool:
    """Whether the client has closed its side; over TLS that is seen when the next piece is sent."""
    if isinstance(connection, ssl.SSLSocket):
        return False
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except (OSError, ValueError):
        return True


def read_request(reader: BufferedReader, max_body: int, go_on: Callable[[], object]) -> tuple[Request, bool] | None:
    """The next request of a connection and whether another may follow it; None when the client has hung up.

    Args:
        reader: What the client sends.
        max_body: Bytes that the body may have.
        go_on: Called when the client waits for leave to send the body (``Expect: 100-continue``).

    Raises:
        BadRequest: It is no HTTP/1.1 request, or too long.
    """
    line = _line(reader)
    if not line:
        return None
    parts = line.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest
    method, target, version = parts
    headers: list[tuple[str, str]] = []
    while text := _line(reader):
        name, colon, value = text.partition(":")
        if not colon or len(headers) == _MOST_HEADERS:
            raise BadRequest
        headers.append((name, value.strip()))
    request = Request(method, target, headers)
    if request.headers.get("expect", "").lower() == "100-continue":
        go_on()
    body = _body(reader, request, max_body)
    keep = "close" not in request.headers.get("connection", "").lower() and version != "HTTP/1.0"
    return Request(method, target, headers, body), keep


def _line(reader: BufferedReader) -> str:
    line = reader.readline(_LONGEST_LINE + 1)
    if len(line) > _LONGEST_LINE:
        raise BadRequest(431)
    return line.decode("latin-1").rstrip("\r\n")


def _body(reader: BufferedReader, request: Request, max_body: int) -> bytes:
    if request.headers.get("transfer-encoding", "").lower() == "chunked":
        pieces: list[bytes] = []
        left = max_body
        while size := _number(_line(reader).partition(";")[0].strip(), 16):
            left -= size
            if left < 0:
                raise BadRequest(413)
            pieces.append(_exactly(reader, size))
            _line(reader)
        while _line(reader):  # trailers
            pass
        return b"".join(pieces)
    size = _number(request.headers.get("content-length", "0"), 10)
    if size > max_body:
        raise BadRequest(413)
    return _exactly(reader, size)


def _number(text: str, base: int) -> int:
    try:
        number = int(text, base)
    except ValueError:
        raise BadRequest from None
    if number < 0:
        raise BadRequest
    return number


def _exactly(reader: BufferedReader, size: int) -> bytes:
    content = reader.read(size)
    if len(content) < size:
        raise BadRequest
    return content


def _head(response: Response, length: int | None, *, close: bool) -> bytes:
    try:
        phrase = HTTPStatus(response.status).phrase
    except ValueError:
        phrase = "Unknown"
    given = {name.lower() for name in response.headers}
    lines = [f"HTTP/1.1 {response.status} {phrase}", *(f"{name}: {value}" for name, value in response.headers.items())]
    if length is not None and "content-length" not in given:
        lines.append(f"Content-Length: {length}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _linger(connection: socket.socket) -> None:
    """Read what a refused client still sends: a connection closed with unread bytes is reset, and the answer lost."""
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(_LINGER)
    while connection.recv(_LONGEST_LINE):
        pass

"""A server on loopback in the place of an API server: answers what a test says, remembers what it was asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from archkit.testing import EmbeddedTls, Request, Response
from archkit.testing.server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from typing_extensions import Self


def answer(body: object, status: int = 200, **headers: str) -> Response:
    """An answer in JSON; a header's underscores stand for dashes."""
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


def status(code: int, message: str, **headers: str) -> Response:
    """A ``Status``, as API servers say no."""
    return answer({"kind": "Status", "status": "Failure", "message": message, "code": code}, code, **headers)


class ApiDouble:
    """Serves a function of the request.

    Args:
        serve: From request to answer.
        tls: What it secures its connections with; None: plain HTTP.
    """

    def __init__(self, serve: Callable[[Request], Response], *, tls: EmbeddedTls | None = None) -> None:
        self.serve = serve
        self.seen: list[Request] = []
        self._tls = tls
        self._server = LoopbackServer(self._handle, context=None if tls is None else tls.context)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def stop(self) -> None:
        """Close every connection, and take no more."""
        self._server.stop()

    @property
    def url(self) -> str:
        """The address."""
        return f"{'https' if self._tls else 'http'}://{self._server.host}"

    @property
    def tokens(self) -> list[str]:
        """What came as ``Authorization``, in order."""
        return [request.headers.get("authorization", "") for request in self.seen]

    def _handle(self, request: Request, _: int) -> Response:
        self.seen.append(request)
        return self.serve(request)

    def kubeconfig(self, folder: Path, user: Mapping[str, Any] | None = None, **cluster: Any) -> Path:
        """A kubeconfig with the context ``here`` for this server; a field's underscores stand for dashes."""
        fields = {name.replace("_", "-"): value for name, value in cluster.items()}
        if self._tls is not None:
            fields = {"certificate-authority": str(self._tls.ca_file), **fields}
        return kubeconfig(folder / "config", {"here": ({"server": self.url, **fields}, user or {})})


def kubeconfig(path: Path, contexts: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]], current: str | None = None) -> Path:
    """A kubeconfig of contexts: cluster and user of each; the first is the current one where none is named."""
    fields = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": next(iter(contexts)) if current is None else current,
        "contexts": [{"name": name, "context": {"cluster": f"{name}-cluster", "user": f"{name}-user"}} for name in contexts],
        "clusters": [{"name": f"{name}-cluster", "cluster": dict(cluster)} for name, (cluster, _) in contexts.items()],
        "users": [{"name": f"{name}-user", "user": dict(user)} for name, (_, user) in contexts.items()],
    }
    path.write_text(json.dumps(fields))  # JSON is YAML
    return path

"""What a connection sends, waits for and sends again; what it says where no answer comes."""

from __future__ import annotations

import gzip
import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from api_double import ApiDouble, answer, kubeconfig, status

from archkit import ClusterConnection, ClusterError, ClusterForbiddenError, ClusterSignInError, ClusterUnreachableError, Retries
from archkit.adapters.kube import kubeconfig as kubeconfigs
from archkit.adapters.kube import refused
from archkit.adapters.kube.answers import Access, rbac
from archkit.ports.http import HttpResponse
from archkit.testing import Response

if TYPE_CHECKING:
    from pathlib import Path

Start = Callable[..., tuple[ApiDouble, ClusterConnection]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(*answers: Response, **cluster: Any) -> tuple[ApiDouble, ClusterConnection]:
            left = list(answers)
            server = stack.enter_context(ApiDouble(lambda _: left.pop(0) if len(left) > 1 else left[0]))
            path = server.kubeconfig(tmp_path, {"token": "hunter2"}, **cluster)
            files = kubeconfigs.kubeconfig_files(path)
            retries = Retries(first_wait=0.01)
            return server, stack.enter_context(ClusterConnection(lambda: kubeconfigs.choose(files, None), retries=retries))

        yield started


# ---- one answer ----------------------------------------------------------------------------------------------------


def test_a_request_is_sent_as_it_is_given(start: Start) -> None:
    server, connection = start(answer({"kind": "x"}, 201))

    got = connection.request(
        "PATCH", "/api/v1/namespaces/x/pods/a%20b", query={"fieldManager": "a b"}, body=b"kind: Pod", content_type="application/yaml"
    )

    (sent,) = server.seen
    assert (sent.method, sent.target) == ("PATCH", "/api/v1/namespaces/x/pods/a%20b?fieldManager=a+b")
    assert (sent.body, sent.headers["content-type"], sent.headers["accept"]) == (b"kind: Pod", "application/yaml", "application/json")
    assert (got.status, json.loads(got.body)) == (201, {"kind": "x"})


def test_a_server_below_a_path_is_asked_below_it(start: Start, tmp_path: Path) -> None:
    server, _ = start(answer({}))
    path = kubeconfig(tmp_path / "other", {"rancher": ({"server": f"{server.url}/k8s/clusters/c-1/"}, {})})

    with ClusterConnection.from_kubeconfig(path) as connection:
        connection.request("GET", "/version")

    assert server.seen[-1].target == "/k8s/clusters/c-1/version"


FAR = "http://api.example.test:6443"


@pytest.mark.parametrize(
    ("cluster", "packing"),
    [
        pytest.param({"server": FAR}, "gzip", id="far away"),
        pytest.param({"server": FAR, "disable_compression": "true"}, "identity", id="turned off"),
        pytest.param({}, "identity", id="on this machine"),
    ],
)
def test_answers_are_packed_where_that_saves_something(cluster: dict[str, str], packing: str, start: Start, tmp_path: Path) -> None:
    server, _ = start(answer({}))
    path = server.kubeconfig(tmp_path, {}, proxy_url=server.url, **cluster)
    with ClusterConnection.from_kubeconfig(path) as connection:
        connection.request("GET", "/version")

    assert server.seen[0].headers["accept-encoding"] == packing


def test_answers_are_unpacked(start: Start) -> None:
    body = b'{"a": "' + b"x" * 100_000 + b'"}'
    _, connection = start(Response(200, {"Content-Encoding": "gzip"}, gzip.compress(body)))

    got = connection.request("GET", "/version")

    assert got.body == body
    assert "content-encoding" not in got.headers


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"not gzip", "cannot be unpacked"), (gzip.compress(b"x" * 1000)[:-12], "broke off before its end")],
    ids=["not packed", "cut"],
)
def test_what_cannot_be_unpacked_is_no_answer(body: bytes, said: str, start: Start) -> None:
    _, connection = start(Response(200, {"Content-Encoding": "gzip"}, body))

    with pytest.raises(ClusterUnreachableError, match=said):
        connection.request("GET", "/version")


@pytest.mark.parametrize("code", [200, 201, 400, 401, 403, 404, 409, 410, 422])
def test_an_answer_of_any_status_is_an_answer(code: int, start: Start) -> None:
    _, connection = start(status(code, "so it is"))

    assert connection.request("GET", "/x").status == code


# ---- again ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "repeatable", "first", "again"),
    [
        pytest.param("GET", None, status(429, "slow down", Retry_After="0"), True, id="429"),
        pytest.param("POST", None, status(429, "slow down", Retry_After="0"), True, id="429 to a post: it was not done"),
        pytest.param("GET", None, status(500, "leader changed"), True, id="500"),
        pytest.param("PATCH", None, status(500, "leader changed"), False, id="500 to a patch: it may have been done"),
        pytest.param("PATCH", True, status(500, "leader changed"), True, id="500 to an apply: twice is once"),
        pytest.param("GET", None, Response(200, {}, b"{}" * 100, cut_body=3), True, id="broken off"),
        pytest.param("GET", None, Response(200, {}, b"{}", cut=0), True, id="no word"),
        pytest.param("GET", None, status(429, "slow down", Retry_After="3600"), False, id="429 for an hour"),
    ],
)
def test_what_may_be_sent_again_is(method: str, repeatable: bool | None, first: Response, again: bool, start: Start) -> None:
    server, connection = start(first, answer({"done": True}))

    got = connection.request(method, "/x", body=b"{}" if method != "GET" else None, repeatable=repeatable)

    assert (len(server.seen), got.status == 200) == ((2, True) if again else (1, False))


def test_waits_are_kept_within_the_time_for_the_answer(start: Start) -> None:
    server, connection = start(status(429, "slow down", Retry_After="5"))

    started = time.monotonic()
    assert connection.request("GET", "/x", timeout=1).status == 429
    assert time.monotonic() - started < 4
    assert len(server.seen) == 1


def test_a_server_that_does_not_answer_is_given_up_in_time(start: Start) -> None:
    _, connection = start(Response(200, {}, b"{}", late=20))

    started = time.monotonic()
    with pytest.raises(ClusterUnreachableError, match=r"no answer within 0\.4 s; give it more time"):
        connection.request("GET", "/x", timeout=0.4)
    assert time.monotonic() - started < 5


def test_a_server_that_is_gone_is_named_with_what_to_do(start: Start) -> None:
    server, connection = start(answer({}))
    server.stop()

    with pytest.raises(ClusterUnreachableError, match="start the cluster on this machine") as caught:
        connection.request("GET", "/x")
    assert server.url in str(caught.value)
    assert isinstance(caught.value, ConnectionError)


def test_many_threads_share_a_connection_and_its_sign_in(start: Start) -> None:
    server, connection = start(answer({}))
    threads = [threading.Thread(target=connection.request, args=("GET", f"/{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(request.target for request in server.seen) == [f"/{number}" for number in range(8)]


# ---- lines ---------------------------------------------------------------------------------------------------------


def test_lines_come_one_by_one_whatever_pieces_they_come_in(start: Start) -> None:
    _, connection = start(Response(200, {}, b'{"a": 1}\n{"b": 2}\n\n{"c": 3}'))

    assert list(connection.lines("/watch", query={"watch": "1"})) == [b'{"a": 1}', b'{"b": 2}', b'{"c": 3}']


def test_lines_end_when_their_time_is_over(start: Start) -> None:
    _, connection = start(Response(200, {"Transfer-Encoding": "chunked"}, b"3\r\n{}\n\r\n" * 400, drip=0.002))

    started = time.monotonic()
    found = list(connection.lines("/watch", timeout=1.0))

    assert 0 < len(found) < 400
    assert 0.5 < time.monotonic() - started < 5


def test_lines_that_break_off_are_an_error(start: Start) -> None:
    _, connection = start(Response(200, {"Transfer-Encoding": "chunked"}, b"3\r\n{}\n\r\n9\r\n{", cut_body=10))

    lines = connection.lines("/watch", timeout=20)
    assert next(lines) == b"{}"
    with pytest.raises(ClusterUnreachableError):
        list(lines)


@pytest.mark.parametrize(
    ("code", "error"), [(401, ClusterSignInError), (403, ClusterForbiddenError), (410, ClusterError), (404, ClusterError)]
)
def test_lines_that_are_refused_are_an_error_with_the_status(code: int, error: type[ClusterError], start: Start) -> None:
    _, connection = start(status(code, "no"))

    with pytest.raises(error, match=str(code)):
        list(connection.lines("/api/v1/pods", query={"watch": "1"}, timeout=5))


# ---- in words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "query", "told"),
    [
        ("GET", "/api/v1/nodes", {}, "list nodes"),
        ("GET", "/api/v1/nodes/a", {}, "get nodes"),
        ("GET", "/api/v1/namespaces/shop/pods/a/log", {}, "get pods/log in the namespace shop"),
        ("GET", "/apis/apps/v1/namespaces/shop/deployments", {"watch": "1"}, "watch deployments.apps in the namespace shop"),
        ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web", {}, "create and patch deployments.apps in the namespace shop"),
        ("POST", "/api/v1/namespaces", {}, "create namespaces"),
        ("GET", "/api/v1/namespaces/shop", {}, "get namespaces"),
        ("DELETE", "/apis/batch/v1/namespaces/shop/jobs/once", {}, "delete jobs.batch in the namespace shop"),
        ("DELETE", "/apis/batch/v1/namespaces/shop/jobs", {}, "deletecollection jobs.batch in the namespace shop"),
    ],
)
def test_what_a_request_needs_is_read_off_its_path(method: str, path: str, query: dict[str, str], told: str) -> None:
    assert str(Access.of(method, path, query)) == told


def forbidden(user: str, path: str = "/api/v1/nodes") -> ClusterForbiddenError:
    message = f'nodes is forbidden: User "{user}" cannot list resource "nodes" in API group "" at the cluster scope'
    error = refused("here", "GET", path, HttpResponse(403, body=json.dumps({"kind": "Status", "message": message}).encode()))
    assert isinstance(error, ClusterForbiddenError)
    return error


def test_what_is_forbidden_comes_with_the_role_that_would_allow_it() -> None:
    error = forbidden("system:serviceaccount:ci:deployer")

    assert "system:serviceaccount:ci:deployer may not list nodes (HTTP 403: nodes is forbidden" in str(error)
    assert (
        error.rbac
        == """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: archkit-list-nodes
rules:
- apiGroups: [""]
  resources: ["nodes"]
  verbs: [list]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: archkit-list-nodes
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: archkit-list-nodes
subjects:
- kind: ServiceAccount
  name: deployer
  namespace: ci
"""
    )
    assert str(error).endswith(error.rbac)
    assert pickle.loads(pickle.dumps(error)).rbac == error.rbac


@pytest.mark.parametrize(
    ("user", "name"), [("jane", "jane"), ("jane@example.com", '"jane@example.com"'), ("0123", '"0123"'), ("", '"WHO"')]
)
def test_a_user_is_named_as_yaml_needs_it(user: str, name: str) -> None:
    assert rbac(Access(("list",), "nodes"), user).endswith(f"  kind: User\n  name: {name}\n")


def test_in_a_namespace_a_role_of_that_namespace_is_enough() -> None:
    error = forbidden("jane", "/apis/apps/v1/namespaces/shop/deployments")

    assert error.rbac.count("  namespace: shop\n") == 2
    assert "kind: Role\n" in error.rbac
    assert "ClusterRole" not in error.rbac


def test_whoever_sends_nothing_is_told_to_sign_in() -> None:
    assert "sign in: no credentials were sent" in str(forbidden("system:anonymous"))


def test_a_401_says_that_one_must_sign_in_again() -> None:
    error = refused("here", "GET", "/api/v1/nodes", HttpResponse(401, body=b'{"kind":"Status","message":"Unauthorized"}'))

    assert isinstance(error, ClusterSignInError)
    assert "sign in again" in str(error)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "it says no more"),
        (b"<html><h1>Bad gateway</h1></html>", "HTTP 502: Bad gateway"),
        (b"[1]", r"HTTP 502: \[1\]"),
        (b"x" * 2000, r"x{600}\.\.\."),
    ],
    ids=["nothing", "a page", "a list", "long"],
)
def test_any_other_answer_is_shown_in_one_line(body: bytes, said: str) -> None:
    error = refused("here", "GET", "/api/v1/nodes", HttpResponse(502, body=body))

    assert type(error) is ClusterError
    assert "\n" not in str(error)
    with pytest.raises(ClusterError, match=said):
        raise error


def test_a_busy_server_says_when_to_come_back() -> None:
    error = refused("here", "GET", "/api/v1/nodes", HttpResponse(429, {"Retry-After": "60"}, b"{}"))

    assert "try again in 60 s" in str(error)


def test_no_secret_stands_in_a_connection_or_its_errors(start: Start) -> None:
    server, connection = start(answer({}))
    connection.request("GET", "/x")
    server.stop()

    with pytest.raises(ClusterUnreachableError) as caught:
        connection.request("GET", "/x")
    texts = [repr(connection), connection.name, str(caught.value), repr(caught.value)]
    inner: BaseException | None = caught.value
    while inner is not None:
        texts.append(str(inner))
        inner = inner.__cause__ or inner.__context__
    assert not [text for text in texts if "hunter2" in text]


def test_a_connection_that_was_closed_opens_again(start: Start) -> None:
    server, connection = start(answer({}))
    connection.request("GET", "/1")
    connection.close()
    connection.close()
    connection.request("GET", "/2")

    assert [request.target for request in server.seen] == ["/1", "/2"]

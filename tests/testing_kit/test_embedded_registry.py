"""EmbeddedRegistry: the protocol, spoken by hand; its log; what goes wrong on purpose."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from plain_http import ask

from archkit import Digest, PlatformSet, RegistryError
from archkit.model.oci import OCI_INDEX, OCI_MANIFEST
from archkit.testing import EmbeddedRegistry, ImageFactory, Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOB = b"0123456789"
DIGEST = Digest.of(BLOB)


@pytest.fixture
def registry() -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry() as made:
        yield made


def codes(body: bytes) -> list[str]:
    return [error["code"] for error in json.loads(body)["errors"]]


def put_blob(registry: EmbeddedRegistry, name: str = "app", content: bytes = BLOB) -> None:
    status, _, _ = ask(registry, "POST", f"/v2/{name}/blobs/uploads/?digest={Digest.of(content)}", content)
    assert status == 201


# ---- life -------------------------------------------------------------------------------------------------------


def test_it_listens_on_loopback_only_while_it_runs() -> None:
    with EmbeddedRegistry() as registry:
        assert registry.host.startswith("127.0.0.1:")
        assert registry.url == f"http://{registry.host}"
        assert ask(registry, "GET", "/v2/")[0] == 200
        client = registry.client()
        assert registry.client() is client
        assert client.head(f"{registry.host}/app:1") is None
        port = int(registry.host.partition(":")[2])
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass
    assert [exchange.kind for exchange in registry.log] == ["base", "manifest"], "the log stays readable"


def test_it_has_no_host_before_it_runs() -> None:
    with pytest.raises(RuntimeError, match="the server was not started"):
        _ = EmbeddedRegistry().host


def test_stopping_ends_connections_that_are_open_and_threads() -> None:
    before = set(threading.enumerate())
    registry = EmbeddedRegistry()
    registry.start()
    port = int(registry.host.partition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as idle:
        idle.sendall(b"GET /v2/ HTTP/1.1\r\n")
        registry.stop()
        registry.stop()
        with suppress(ConnectionResetError):  # what a client sees whose half request was not read yet
            assert idle.recv(100) == b""
    assert set(threading.enumerate()) <= before


def test_two_registries_share_nothing(registry: EmbeddedRegistry) -> None:
    put_blob(registry)
    with EmbeddedRegistry() as other:
        assert other.host != registry.host
        assert ask(other, "GET", f"/v2/app/blobs/{DIGEST}")[0] == 404


def test_start_and_stop_take_no_time() -> None:
    started = time.perf_counter()
    for _ in range(20):
        with EmbeddedRegistry() as registry:
            assert ask(registry, "GET", "/v2/")[0] == 200
    assert (time.perf_counter() - started) / 20 < 0.1, "5 ms is the target; this bound only tells a polling loop from none"


# ---- manifests --------------------------------------------------------------------------------------------------


@pytest.fixture
def image(registry: EmbeddedRegistry) -> Digest:
    digest = ImageFactory(registry).push("app:1", "linux/amd64").digest
    assert digest is not None
    return digest


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("by_digest", [False, True])
def test_a_manifest_is_given_with_length_type_and_digest(registry: EmbeddedRegistry, image: Digest, method: str, by_digest: bool) -> None:
    status, headers, body = ask(registry, method, f"/v2/app/manifests/{image if by_digest else '1'}")
    content = registry.manifest("app:1").content
    assert status == 200
    assert body == (content if method == "GET" else b"")
    assert headers["content-length"] == str(len(content))
    assert headers["content-type"] == OCI_MANIFEST
    assert headers["docker-content-digest"] == image


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([], 200),
        ([OCI_INDEX, OCI_MANIFEST], 200),
        ([f"{OCI_INDEX}, {OCI_MANIFEST};q=0.5"], 200),
        (["*/*"], 200),
        ([OCI_INDEX], 404),
    ],
)
def test_accept_lines_are_merged_and_honoured(registry: EmbeddedRegistry, image: Digest, lines: list[str], status: int) -> None:
    request = Request("GET", "/v2/app/manifests/1", [("Accept", line) for line in lines])
    assert registry.handle(request).status == status
    with socket.create_connection(("127.0.0.1", int(registry.host.partition(":")[2]))) as raw:
        accept = "".join(f"Accept: {line}\r\n" for line in lines)
        raw.sendall(f"GET /v2/app/manifests/1 HTTP/1.1\r\nHost: x\r\n{accept}Connection: close\r\n\r\n".encode())
        assert raw.makefile("rb").readline() == f"HTTP/1.1 {status} {'OK' if status == 200 else 'Not Found'}\r\n".encode()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v2/none/manifests/1", 404, "NAME_UNKNOWN"),
        ("/v2/app/manifests/none", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/app/manifests/{DIGEST}", 404, "MANIFEST_UNKNOWN"),
        ("/v2/app/manifests/sha256:12", 400, "DIGEST_INVALID"),
        (f"/v2/app/blobs/{Digest.of(b'none')}", 404, "BLOB_UNKNOWN"),
        ("/v2/app/blobs/nodigest", 400, "DIGEST_INVALID"),
        ("/v2/app/blobs/uploads/none", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("/v2/none/tags/list", 404, "NAME_UNKNOWN"),
        ("/v2/app/tags/list?n=many", 400, "PAGINATION_NUMBER_INVALID"),
        ("/v2/app/unheard-of", 404, "UNSUPPORTED"),
        ("/", 404, "UNSUPPORTED"),
    ],
)
def test_errors_have_the_form_of_the_specification(registry: EmbeddedRegistry, image: Digest, path: str, status: int, code: str) -> None:
    answer = ask(registry, "GET", path)
    assert (answer[0], codes(answer[2])) == (status, [code])
    assert answer[1]["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "body", "media_type", "code"),
    [
        ("/v2/app/manifests/2", b"{}", OCI_MANIFEST, "MANIFEST_INVALID"),
        ("/v2/app/manifests/2", b"no json", OCI_MANIFEST, "MANIFEST_INVALID"),
        ("/v2/app/manifests/2", b'{"schemaVersion":2,"manifests":[]}', "text/plain", "MANIFEST_INVALID"),
        ("/v2/app/manifests/-", b'{"schemaVersion":2,"manifests":[]}', OCI_INDEX, "TAG_INVALID"),
        (f"/v2/app/manifests/{DIGEST}", b'{"schemaVersion":2,"manifests":[]}', OCI_INDEX, "DIGEST_INVALID"),
        ("/v2/App/manifests/2", b'{"schemaVersion":2,"manifests":[]}', OCI_INDEX, "NAME_INVALID"),
    ],
)
def test_a_wrong_manifest_is_refused(registry: EmbeddedRegistry, path: str, body: bytes, media_type: str, code: str) -> None:
    status, _, answer = ask(registry, "PUT", path, body, {"Content-Type": media_type})
    assert (status, codes(answer)) == (400, [code])
    assert registry.tags("app") == []


def test_every_part_that_is_missing_is_named(registry: EmbeddedRegistry) -> None:
    content = ImageFactory(registry).image("linux/amd64")
    status, _, answer = ask(registry, "PUT", "/v2/app/manifests/1", content.manifest.content, {"Content-Type": OCI_MANIFEST})
    assert (status, codes(answer)) == (400, ["MANIFEST_BLOB_UNKNOWN"] * 2)
    assert [error["detail"] for error in json.loads(answer)["errors"]] == [Digest.of(blob) for blob in content.blobs]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 1}]}
    _, _, answer = ask(registry, "PUT", "/v2/app/manifests/1", json.dumps(index).encode(), {"Content-Type": OCI_INDEX})
    assert json.loads(answer)["errors"][0]["detail"] == DIGEST


def test_a_manifest_is_stored_under_tag_and_digest(registry: EmbeddedRegistry, image: Digest) -> None:
    content = registry.manifest("app:1").content
    status, headers, _ = ask(registry, "PUT", "/v2/app/manifests/2", content, {"Content-Type": f"{OCI_MANIFEST}; charset=utf-8"})
    assert status == 201
    assert headers["docker-content-digest"] == image
    assert ask(registry, "GET", headers["location"])[2] == content
    assert registry.tags("app") == ["1", "2"]


def test_deleting_a_tag_leaves_the_manifest_and_deleting_the_digest_takes_the_tags(registry: EmbeddedRegistry, image: Digest) -> None:
    assert ask(registry, "DELETE", "/v2/app/manifests/1")[0] == 202
    assert ask(registry, "GET", f"/v2/app/manifests/{image}")[0] == 200
    assert ask(registry, "DELETE", "/v2/app/manifests/1")[0] == 404
    ImageFactory(registry).push("app:2", "linux/amd64")
    assert ask(registry, "DELETE", f"/v2/app/manifests/{image}")[0] == 202
    assert ask(registry, "GET", f"/v2/app/manifests/{image}")[0] == 404
    assert registry.tags("app") == []


def test_a_registry_may_refuse_to_delete() -> None:
    with EmbeddedRegistry(delete=False) as registry:
        ImageFactory(registry).push("app:1", "linux/amd64")
        put_blob(registry)
        assert ask(registry, "DELETE", "/v2/app/manifests/1")[0] == 405
        assert ask(registry, "DELETE", f"/v2/app/blobs/{DIGEST}")[0] == 405
        assert not registry.client().delete_tag(f"{registry.host}/app:1")
        assert registry.tags("app") == ["1"]


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v2/app/manifests/1"), ("PUT", f"/v2/app/blobs/{DIGEST}"), ("PUT", "/v2/app/tags/list"), ("PUT", "/v2/")]
)
def test_other_methods_are_refused(registry: EmbeddedRegistry, method: str, path: str) -> None:
    assert ask(registry, method, path)[0] == 405


# ---- blobs ------------------------------------------------------------------------------------------------------


def test_a_blob_in_one_post(registry: EmbeddedRegistry) -> None:
    status, headers, _ = ask(registry, "POST", f"/v2/app/blobs/uploads/?digest={DIGEST}", BLOB)
    assert (status, headers["location"]) == (201, f"/v2/app/blobs/{DIGEST}")
    assert ask(registry, "GET", headers["location"])[2] == BLOB


def test_a_blob_in_post_and_put(registry: EmbeddedRegistry) -> None:
    status, headers, _ = ask(registry, "POST", "/v2/app/blobs/uploads/")
    assert status == 202
    assert ask(registry, "PUT", f"{headers['location']}?digest={DIGEST}", BLOB)[0] == 201
    assert ask(registry, "HEAD", f"/v2/app/blobs/{DIGEST}")[1]["content-length"] == "10"


def test_a_blob_in_chunks(registry: EmbeddedRegistry) -> None:
    _, headers, _ = ask(registry, "POST", "/v2/app/blobs/uploads/")
    status, headers, _ = ask(registry, "PATCH", headers["location"], BLOB[:4], {"Content-Range": "0-3"})
    assert (status, headers["range"]) == (202, "0-3")
    status, _, answer = ask(registry, "PATCH", headers["location"], BLOB[5:], {"Content-Range": "5-9"})
    assert (status, codes(answer)) == (416, ["BLOB_UPLOAD_INVALID"])
    status, state, _ = ask(registry, "GET", headers["location"])
    assert (status, state["range"]) == (204, "0-3")
    assert ask(registry, "PATCH", headers["location"], BLOB[4:8])[0] == 202
    assert ask(registry, "PUT", f"{headers['location']}?digest={DIGEST}", BLOB[8:], {"Content-Range": "8-9"})[0] == 201
    assert ask(registry, "GET", f"/v2/app/blobs/{DIGEST}")[2] == BLOB


def test_a_body_in_transfer_chunks(registry: EmbeddedRegistry) -> None:
    connection = http.client.HTTPConnection(registry.host, timeout=5)
    connection.request("POST", f"/v2/app/blobs/uploads/?digest={DIGEST}", iter([BLOB[:3], BLOB[3:]]), encode_chunked=True)
    assert connection.getresponse().status == 201
    connection.close()


def test_a_client_that_waits_for_leave_gets_it(registry: EmbeddedRegistry) -> None:
    with socket.create_connection(("127.0.0.1", int(registry.host.partition(":")[2])), timeout=5) as raw, raw.makefile("rb") as reader:
        head = f"POST /v2/app/blobs/uploads/?digest={DIGEST} HTTP/1.1\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
        raw.sendall(head.encode())
        assert reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        raw.sendall(BLOB)
        assert reader.readline() == b"\r\n"
        assert reader.readline() == b"HTTP/1.1 201 Created\r\n"


def test_an_upload_with_another_digest_is_refused(registry: EmbeddedRegistry) -> None:
    _, headers, _ = ask(registry, "POST", "/v2/app/blobs/uploads/")
    status, _, answer = ask(registry, "PUT", f"{headers['location']}?digest={Digest.of(b'other')}", BLOB)
    assert (status, codes(answer)) == (400, ["DIGEST_INVALID"])
    assert ask(registry, "GET", f"/v2/app/blobs/{Digest.of(b'other')}")[0] == 404
    _, headers, _ = ask(registry, "POST", "/v2/app/blobs/uploads/")
    assert codes(ask(registry, "PUT", headers["location"], BLOB)[2]) == ["DIGEST_INVALID"]


def test_an_upload_can_be_cancelled(registry: EmbeddedRegistry) -> None:
    _, headers, _ = ask(registry, "POST", "/v2/app/blobs/uploads/")
    assert ask(registry, "DELETE", headers["location"])[0] == 204
    assert ask(registry, "PUT", f"{headers['location']}?digest={DIGEST}", BLOB)[0] == 404


@pytest.mark.parametrize(
    ("asked", "status", "content", "stated"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-100", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, None, None),
        ("bytes=4-2", 416, None, None),
        ("bytes=-", 200, BLOB, None),
        ("lines=1-2", 200, BLOB, None),
    ],
)
def test_ranges(registry: EmbeddedRegistry, asked: str, status: int, content: bytes | None, stated: str | None) -> None:
    put_blob(registry)
    found = ask(registry, "GET", f"/v2/app/blobs/{DIGEST}", headers={"Range": asked})
    assert (found[0], found[1].get("content-range")) == (status, stated)
    if content is not None:
        assert found[2] == content


def test_a_blob_is_mounted_from_another_repository(registry: EmbeddedRegistry) -> None:
    put_blob(registry, "other")
    assert ask(registry, "POST", f"/v2/app/blobs/uploads/?mount={DIGEST}&from=other")[0] == 201
    assert ask(registry, "GET", f"/v2/app/blobs/{DIGEST}")[2] == BLOB
    status, headers, _ = ask(registry, "POST", f"/v2/app/blobs/uploads/?mount={Digest.of(b'none')}&from=other")
    assert status == 202
    assert headers["location"].startswith("/v2/app/blobs/uploads/")


def test_a_blob_is_deleted(registry: EmbeddedRegistry) -> None:
    put_blob(registry)
    assert ask(registry, "DELETE", f"/v2/app/blobs/{DIGEST}")[0] == 202
    assert ask(registry, "HEAD", f"/v2/app/blobs/{DIGEST}")[0] == 404


def test_repositories_may_be_named_after_the_words_of_the_api(registry: EmbeddedRegistry) -> None:
    put_blob(registry, "v2/blobs/manifests")
    assert ask(registry, "GET", f"/v2/v2/blobs/manifests/blobs/{DIGEST}")[2] == BLOB


# ---- tags -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "tags", "link"),
    [
        ("", ["a", "b", "c"], None),
        ("?n=2", ["a", "b"], '</v2/app/tags/list?n=2&last=b>; rel="next"'),
        ("?n=2&last=b", ["c"], None),
        ("?n=3", ["a", "b", "c"], None),
        ("?last=a", ["b", "c"], None),
        ("?n=0", [], None),
    ],
)
def test_tags_come_sorted_and_in_pages(registry: EmbeddedRegistry, query: str, tags: list[str], link: str | None) -> None:
    for tag in "cab":
        ImageFactory(registry).push(f"app:{tag}", "linux/amd64")
    status, headers, body = ask(registry, "GET", f"/v2/app/tags/list{query}")
    assert (status, json.loads(body), headers.get("link")) == (200, {"name": "app", "tags": tags}, link)


# ---- what clients do that is no request --------------------------------------------------------------------------


def test_a_tls_client_is_told_in_http(registry: EmbeddedRegistry) -> None:
    with socket.create_connection(("127.0.0.1", int(registry.host.partition(":")[2])), timeout=5) as raw, raw.makefile("rb") as reader:
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))
        assert reader.readline() == b"HTTP/1.1 400 Bad Request\r\n"
        raw.shutdown(socket.SHUT_WR)
        assert b"Connection: close" in reader.read()
    assert not registry.log


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nContent-Length: 9999999999999\r\n\r\n", 413),
        (b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused(registry: EmbeddedRegistry, sent: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", int(registry.host.partition(":")[2])), timeout=5) as raw, raw.makefile("rb") as reader:
        raw.sendall(sent)
        assert reader.readline().startswith(f"HTTP/1.1 {status} ".encode())
        raw.shutdown(socket.SHUT_WR)
        reader.read()


def test_a_connection_is_kept_and_closed_when_asked(registry: EmbeddedRegistry) -> None:
    connection = http.client.HTTPConnection(registry.host, timeout=5)
    for _ in range(3):
        connection.request("GET", "/v2/")
        connection.getresponse().read()
    connection.request("GET", "/v2/", headers={"Connection": "close"})
    assert connection.getresponse().getheader("Connection") == "close"
    connection.close()
    assert [exchange.connection for exchange in registry.log] == [1, 1, 1, 1]


# ---- looking into it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [False, True])
def test_what_it_holds_can_be_asked_with_and_without_host(registry: EmbeddedRegistry, host: bool) -> None:
    image = ImageFactory(registry).push("team/app:1", ["linux/amd64", "linux/arm64"])
    prefix = f"{registry.host}/" if host else ""
    assert registry.resolve(f"{prefix}team/app:1") == image.digest
    assert registry.resolve(f"{prefix}team/app@{image.digest}") == image.digest
    assert registry.manifest(f"{prefix}team/app:1").media_type == OCI_INDEX
    assert registry.platforms(f"{prefix}team/app:1") == PlatformSet("linux/amd64,linux/arm64")
    assert registry.tags(f"{prefix}team/app") == ["1"]
    assert not registry.log, "looking leaves no trace"


def test_what_is_not_there_is_told(registry: EmbeddedRegistry) -> None:
    assert registry.tags("app") == []
    assert registry.platforms("app:1") is None
    with pytest.raises(RegistryError, match=rf"{registry.host}/app:1: there is no such repository") as caught:
        registry.resolve("app:1")
    assert caught.value.status == 404


def test_the_log_says_what_was_asked(registry: EmbeddedRegistry) -> None:
    put_blob(registry)
    ask(registry, "GET", f"/v2/app/blobs/{DIGEST}")
    ask(registry, "HEAD", "/v2/app/manifests/1")
    upload, blob, manifest = registry.log
    assert (upload.method, upload.kind, upload.repository, upload.status, upload.request_size) == ("POST", "upload", "app", 201, 10)
    assert (blob.method, blob.kind, blob.reference, blob.status, blob.response_size) == ("GET", "blob", DIGEST, 200, 10)
    assert (manifest.method, manifest.reference, manifest.status, manifest.response_size) == ("HEAD", "1", 404, 0)
    assert upload.started < blob.started
    assert 0 <= blob.seconds < 5
    assert list(registry.log.where(kind="blob")) == [blob]
    assert list(registry.log.where(method="HEAD", status=404, repository="app", reference="1")) == [manifest]
    assert not registry.log.where(kind="tags")
    assert str(blob) == f"200 GET    /v2/app/blobs/{DIGEST}"
    assert [line.split()[-1] for line in registry.log.table().splitlines()[1:]] == [exchange.path for exchange in registry.log]
    assert list(registry.log[1:]) == [blob, manifest]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        blob.status = 500  # type: ignore[misc]
    registry.log.clear()
    assert len(registry.log) == 0


# ---- faults -----------------------------------------------------------------------------------------------------


def test_an_answer_instead_of_carrying_out(registry: EmbeddedRegistry) -> None:
    registry.on("POST", kind="upload").answer(429, body="later", headers={"X-Why": "test"}, retry_after=3).times(1)
    status, headers, body = ask(registry, "POST", f"/v2/app/blobs/uploads/?digest={DIGEST}", BLOB)
    assert (status, headers["retry-after"], headers["x-why"], body) == (429, "3", "test", b"later")
    assert ask(registry, "GET", f"/v2/app/blobs/{DIGEST}")[0] == 404
    put_blob(registry)


@pytest.mark.parametrize(("after", "stored"), [(None, False), (0, True), (10, True)])
def test_a_dropped_connection(registry: EmbeddedRegistry, after: int | None, stored: bool) -> None:
    registry.on("POST").drop(after)
    with pytest.raises((http.client.RemoteDisconnected, http.client.BadStatusLine, ConnectionResetError)):
        ask(registry, "POST", f"/v2/app/blobs/uploads/?digest={DIGEST}", BLOB)
    assert (ask(registry, "GET", f"/v2/app/blobs/{DIGEST}")[0] == 200) is stored
    assert registry.log[0].status == (201 if after else 0)


def test_a_truncated_body(registry: EmbeddedRegistry) -> None:
    put_blob(registry)
    registry.on("GET", kind="blob").truncate(4)
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(registry, "GET", f"/v2/app/blobs/{DIGEST}")
    assert caught.value.partial == BLOB[:4]
    assert caught.value.expected == 6


def test_a_tampered_answer(registry: EmbeddedRegistry) -> None:
    put_blob(registry)
    registry.on("GET").tamper(lambda response: Response(203, {**response.headers, "X-Was": str(response.status)}, response.body[::-1]))
    status, headers, body = ask(registry, "GET", f"/v2/app/blobs/{DIGEST}")
    assert (status, headers["x-was"], body) == (203, "200", BLOB[::-1])


@pytest.mark.parametrize(
    ("rule", "met"),
    [
        ({"method": "GET"}, True),
        ({"method": "*"}, True),
        ({"method": "PUT"}, False),
        ({"method": "GET", "kind": "blob"}, True),
        ({"method": "GET", "kind": "manifest"}, False),
        ({"method": "GET", "repository": "app", "reference": DIGEST}, True),
        ({"method": "GET", "repository": "other"}, False),
        ({"method": "GET", "reference": "1"}, False),
    ],
)
def test_a_rule_is_about_what_it_names(registry: EmbeddedRegistry, rule: dict[str, Any], met: bool) -> None:
    put_blob(registry)
    registry.on(**rule).answer(418).optional()
    assert (ask(registry, "GET", f"/v2/app/blobs/{DIGEST}")[0] == 418) is met


@pytest.mark.parametrize(
    ("query", "met"),
    [
        ({}, True),
        ({"mount": DIGEST, "from": "team/base"}, True),
        ({"mount": "*"}, True),
        ({"from": "other"}, False),
        ({"digest": "*"}, False),
        ({"mount": "*", "from": "other"}, False),
    ],
)
def test_a_rule_may_be_about_the_query(registry: EmbeddedRegistry, query: dict[str, str], met: bool) -> None:
    registry.on("POST", kind="upload", query=query).answer(403, body="no mount").optional()
    status, _, body = ask(registry, "POST", f"/v2/app/blobs/uploads/?mount={DIGEST}&from=team%2Fbase")
    assert (status, body == b"no mount") == ((403, True) if met else (202, False))


def test_the_message_of_an_unmet_rule_names_its_query(registry: EmbeddedRegistry) -> None:
    registry.on("POST", query={"mount": "*"}).answer(202)
    with pytest.raises(AssertionError, match=r"on\('POST', query=\{'mount': '\*'\}\)\.answer\(202\) met 0"):
        registry.check()


def test_the_first_rule_that_meets_counts_and_then_the_next(registry: EmbeddedRegistry) -> None:
    registry.on("GET").answer(500).times(1)
    registry.on("GET").answer(502).times(2)
    assert [ask(registry, "GET", "/v2/")[0] for _ in range(4)] == [500, 502, 502, 200]


def test_a_rule_that_nothing_met_fails_and_says_what_came() -> None:
    def use() -> None:
        with EmbeddedRegistry() as registry:
            registry.on("PUT", kind="manifest").answer(429).times(2)
            registry.on("GET", kind="blob").drop().optional()
            ask(registry, "GET", "/v2/")

    with pytest.raises(AssertionError) as caught:
        use()
    assert "rules that waited for requests which did not come:" in str(caught.value)
    assert "on('PUT', kind='manifest').answer(429).times(2) met 0 requests" in str(caught.value)
    assert "drop" not in str(caught.value)
    assert "GET    /v2/" in str(caught.value)


def test_a_rule_that_was_met_too_seldom_fails_once(registry: EmbeddedRegistry) -> None:
    registry.on("GET").answer(500).times(2)
    ask(registry, "GET", "/v2/")
    with pytest.raises(AssertionError, match=r"answer\(500\)\.times\(2\) met 1 requests"):
        registry.check()
    registry.check()


def test_an_error_of_the_test_itself_comes_first() -> None:
    def use() -> None:
        with EmbeddedRegistry() as registry:
            registry.on("GET").answer(500)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()


def test_many_clients_at_once(registry: EmbeddedRegistry) -> None:
    failures: list[object] = []

    def work(number: int) -> None:
        try:
            ImageFactory(registry.client()).push(f"{registry.host}/app{number % 3}:{number}", ["linux/amd64", "linux/arm64"])
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sum(len(registry.tags(f"app{number}")) for number in range(3)) == 12

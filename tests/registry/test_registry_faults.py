"""RegistryClient when something goes wrong: recovered, or a typed error that names the reference; nothing is changed."""

from __future__ import annotations

import gc
import socket
from typing import TYPE_CHECKING

import attrs
import pytest

from archkit import Digest, Limits, OciLayout, RegistryClient, RegistryError, Retries
from archkit.ports.http import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from archkit.ports.http import HttpRequest, HttpResponse
    from archkit.testing import EmbeddedRegistry, ImageFactory, Response

CONTENT = bytes(range(256)) * 512
DIGEST = Digest.of(CONTENT)
PAGE = "<html><head><title>502 Bad Gateway</title><style>x{}</style></head><body><h1>nginx</h1></body></html>"


@pytest.fixture
def app(archkit_registry: EmbeddedRegistry) -> str:
    return f"{archkit_registry.host}/team/app"


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with RegistryClient(retries=Retries(first_wait=0, longest_wait=1), timeout=5) as made:
        yield made


def changed_body(change: Callable[[bytes], bytes]) -> Callable[[Response], Response]:
    return lambda response: attrs.evolve(response, body=change(response.body))


def test_a_registry_that_is_down_is_named(client: RegistryClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(RegistryError, match=rf"registry, {host}/app:1: {host}: no connection: Connection refused") as caught:
        client.manifest(f"{host}/app:1")
    assert caught.value.status is None
    assert isinstance(caught.value, OSError)


def test_a_registry_that_does_not_answer_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            RegistryClient(timeout=0.05, retries=Retries(attempts=1)) as client,
            pytest.raises(RegistryError, match=r"no answer within 0\.05 s"),
        ):
            client.head(f"{host}/app:1")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_asked_again(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str, status: int
) -> None:
    image = archkit_images.push("team/app:1", "linux/amd64")
    archkit_registry.on("GET", kind="manifest").answer(status).times(3)
    assert client.manifest(f"{app}:1").digest == image.digest
    assert len(archkit_registry.log) == 4


@pytest.mark.parametrize("status", [500, 503])
def test_a_lasting_failure_is_an_error_with_what_the_registry_said(
    archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, status: int
) -> None:
    body = '{"errors":[{"code":"UNKNOWN","message":"disk\\n full","detail":{"volume":"/data"}}]}'
    archkit_registry.on("GET").answer(status, body=body)
    with pytest.raises(RegistryError) as caught:
        client.manifest(f"{app}:1")
    assert str(caught.value) == f'registry, {app}:1: UNKNOWN: disk full ({{"volume": "/data"}}) (HTTP {status})'
    assert caught.value.codes == ("UNKNOWN",)
    assert len(archkit_registry.log) == 4


@pytest.mark.parametrize("status", [400, 403, 404, 416, 501])
def test_a_refusal_is_not_asked_again(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, status: int) -> None:
    archkit_registry.on("GET").answer(status)
    with pytest.raises(RegistryError, match=rf"HTTP {status}\)"):
        client.manifest(f"{app}:1")
    assert len(archkit_registry.log) == 1


@pytest.mark.parametrize("body", ['{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}', ""])
def test_a_registry_that_wants_sign_in_says_so(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, body: str) -> None:
    archkit_registry.on("*").answer(401, body=body, headers={"WWW-Authenticate": 'Basic realm="registry"'})
    for ask in (client.manifest, client.head, client.platforms, client.tags, client.delete_tag):
        with pytest.raises(RegistryError, match=r"the registry asks for sign-in.*HTTP 401.*sign in with `docker login") as caught:
            ask(f"{app}:1")
        assert caught.value.status == 401


def test_a_long_wait_that_the_registry_asks_for_is_told_and_not_waited(
    archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str
) -> None:
    archkit_registry.on("GET").answer(429, retry_after=3600, body='{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}')
    with pytest.raises(RegistryError, match=r"TOOMANYREQUESTS: slow down \(HTTP 429\); the registry says to try again in 3600 s"):
        client.manifest(f"{app}:1")
    assert len(archkit_registry.log) == 1


@pytest.mark.parametrize("after", [None, 0, 30, 400])
def test_a_connection_that_breaks_while_reading_is_made_again(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str, after: int | None
) -> None:
    image = archkit_images.push("team/app:1", "linux/amd64")
    archkit_registry.on("GET", kind="manifest").drop(after).times(2)
    assert client.manifest(f"{app}:1").digest == image.digest


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda client, app, _: client.manifest(f"{app}:1"), id="manifest"),
        pytest.param(lambda client, app, blob: client.blob(app, blob), id="blob"),
    ],
)
def test_a_truncated_body_is_an_error_in_the_end(
    archkit_registry: EmbeddedRegistry,
    archkit_images: ImageFactory,
    client: RegistryClient,
    app: str,
    read: Callable[[RegistryClient, str, Digest], object],
) -> None:
    content = archkit_images.image("linux/amd64")
    archkit_images.put("team/app:1", content)
    archkit_registry.on("GET").truncate(10)
    with pytest.raises(RegistryError, match=rf"{app}.*the answer broke off after 10 of \d+ bytes"):
        read(client, app, Digest.of(content.config))
    assert len(archkit_registry.log) == 4


def test_a_stream_that_breaks_off_is_an_error(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    archkit_registry.on("GET", kind="blob").truncate(len(CONTENT) - 1)
    with pytest.raises(RegistryError, match=f"{app}@{DIGEST}.*broke off after {len(CONTENT) - 1} of {len(CONTENT)} bytes"):
        b"".join(client.stream_blob(app, DIGEST))


def test_content_of_another_digest_is_an_error(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    image = archkit_images.push("team/app:1", "linux/amd64")
    client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    archkit_registry.on("GET").tamper(changed_body(lambda body: body[:-1] + b"!"))
    with pytest.raises(RegistryError, match=rf"{app}.*the content has the digest sha256:[0-9a-f]+, expected was {image.digest}"):
        client.manifest(image.reference)
    with pytest.raises(RegistryError, match=f"expected was {DIGEST}"):
        client.blob(app, DIGEST)
    got: list[bytes] = []
    with pytest.raises(RegistryError, match=f"expected was {DIGEST}"):
        got.extend(client.stream_blob(app, DIGEST))
    assert len(b"".join(got)) < len(CONTENT), "the last piece is held back"


def test_head_with_another_digest_than_asked_for_is_settled_by_the_content(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient
) -> None:
    def lie(response: Response) -> Response:
        return attrs.evolve(response, headers={**response.headers, "Docker-Content-Digest": DIGEST})

    image = archkit_images.push("team/app:1", "linux/amd64")
    archkit_registry.on("HEAD").tamper(lie)
    assert client.head(image.reference) == image.descriptor


def test_a_registry_that_stores_something_else_is_an_error(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    def lie(response: Response) -> Response:
        return attrs.evolve(response, headers={**response.headers, "Docker-Content-Digest": Digest.of(b"other")})

    image = archkit_images.push("team/app:1", "linux/amd64")
    archkit_registry.on("PUT").tamper(lie)
    with pytest.raises(RegistryError, match=f"the registry says that it stored {Digest.of(b'other')}, but {image.digest} was sent"):
        client.put_manifest(f"{app}:2", archkit_registry.manifest("team/app:1"))
    with pytest.raises(RegistryError, match=f"the registry says that it stored {Digest.of(b'other')}"):
        client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))


@pytest.mark.parametrize(
    ("body", "media_type", "reason"),
    [
        pytest.param(PAGE, "text/html", "not JSON", id="html-page"),
        pytest.param("{}", "application/json", "a manifest of type application/json cannot be read", id="other-json"),
        pytest.param(
            '{"schemaVersion":1}', "application/vnd.docker.distribution.manifest.v1+json", "manifest.v1.json cannot be read", id="schema-1"
        ),
        pytest.param('{"schemaVersion":2,"manifests":{}}', "", "manifests is no list", id="wrong-type"),
        pytest.param("[" * 100_000, "", "not JSON", id="deep"),
        pytest.param("", "", "not JSON", id="empty"),
    ],
)
def test_what_is_no_manifest_is_an_error(
    archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, body: str, media_type: str, reason: str
) -> None:
    archkit_registry.on("GET").answer(200, body=body, headers={"Content-Type": media_type})
    with pytest.raises(RegistryError, match=rf"{app}:1: no manifest that archkit can read: .*{reason}"):
        client.manifest(f"{app}:1")


def test_content_type_and_document_must_agree(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    def index_type(response: Response) -> Response:
        return attrs.evolve(response, headers={**response.headers, "Content-Type": "application/vnd.oci.image.index.v1+json"})

    archkit_images.push("team/app:1", "linux/amd64")
    archkit_registry.on("GET").tamper(index_type)
    with pytest.raises(RegistryError, match=r"the document says it is .*manifest.*the transport says .*index"):
        client.manifest(f"{app}:1")


def test_parameters_of_a_content_type_do_not_matter(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    def with_charset(response: Response) -> Response:
        return attrs.evolve(response, headers={**response.headers, "Content-Type": f"{response.headers['Content-Type']}; charset=utf-8"})

    image = archkit_images.push("team/app:1", "linux/amd64")
    archkit_registry.on("*").tamper(with_charset).times(2)
    assert client.manifest(f"{app}:1").digest == image.digest
    assert client.head(f"{app}:1") == image.descriptor


def test_an_error_page_is_shortened_to_its_title(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    archkit_registry.on("GET").answer(502, body=PAGE, headers={"Content-Type": "text/html"})
    with pytest.raises(RegistryError) as caught:
        client.manifest(f"{app}:1")
    assert str(caught.value) == f"registry, {app}:1: 502 Bad Gateway (HTTP 502)"


@pytest.mark.parametrize("body", ["<b>" + "x" * 100_000 + "</b>", '{"errors":[{"code":"X","message":"%s"}]}' % ("y" * 10_000)])
def test_a_long_error_is_shortened(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, body: str) -> None:
    archkit_registry.on("GET").answer(400, body=body)
    with pytest.raises(RegistryError) as caught:
        client.manifest(f"{app}:1")
    assert len(str(caught.value)) < 600


def test_no_more_is_read_than_the_limits_say(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, app: str) -> None:
    archkit_images.push("team/app:1", "linux/amd64")
    manifest = archkit_registry.manifest("team/app:1")
    archkit_registry.client().put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    with RegistryClient(limits=Limits(manifest=100, config=1000, blob=2000)) as client:
        with pytest.raises(RegistryError, match=rf"{app}:1: .*the answer is longer than the limit of 100 bytes"):
            client.manifest(f"{app}:1")
        with pytest.raises(RegistryError, match="longer than the limit of 1000 bytes"):
            client.blob(app, DIGEST)
        with pytest.raises(RegistryError, match="longer than the limit of 50 bytes"):
            client.blob(app, DIGEST, limit=50)
        with pytest.raises(RegistryError, match="more bytes than the limit of 2000"):
            b"".join(client.stream_blob(app, DIGEST))
        with pytest.raises(RegistryError, match=r"the manifest has .* bytes, more than the limit of 100"):
            client.put_manifest(f"{app}:2", manifest)
    assert archkit_registry.tags("team/app") == ["1"]


@pytest.mark.parametrize("after", [None, 0])
def test_an_upload_that_breaks_is_begun_again_in_a_new_session(
    archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, after: int | None
) -> None:
    archkit_registry.on("PUT", kind="upload").drop(after).times(1)
    client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    assert client.blob(app, DIGEST) == CONTENT
    stored_by_the_first = after == 0
    assert len(archkit_registry.log.where(method="POST")) == (1 if stored_by_the_first else 2)


def test_an_upload_whose_session_is_lost_is_begun_again(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    archkit_registry.on("PUT", kind="upload").answer(404, body='{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}').times(2)
    client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    assert client.has_blob(app, DIGEST)


def test_an_upload_that_always_breaks_is_an_error(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    archkit_registry.on("PUT", kind="upload").drop()
    with pytest.raises(RegistryError, match=f"{app}@{DIGEST}: .*the connection broke"):
        client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    assert len(archkit_registry.log.where(method="PUT")) == 4


def test_a_refused_upload_is_not_tried_again(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    archkit_registry.on("PUT", kind="upload").answer(413, body="too large")
    with pytest.raises(RegistryError, match=r"too large \(HTTP 413\)"):
        client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    assert len(archkit_registry.log.where(method="PUT")) == 1


def test_a_streamed_upload_is_sent_once(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    archkit_registry.on("PUT", kind="upload").drop().times(1)
    with pytest.raises(RegistryError, match="the connection broke"):
        client.put_blob(app, iter([CONTENT[:9], CONTENT[9:]]), digest=DIGEST, size=len(CONTENT))


def test_an_upload_without_a_session_is_an_error(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    archkit_registry.on("POST", kind="upload").answer(202)
    with pytest.raises(RegistryError, match="the registry opened an upload without saying where"):
        client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))


def test_redirects_are_followed_for_reading(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    image = archkit_images.push("team/app:1", "linux/amd64")
    archkit_registry.on("GET", reference="1").answer(307, headers={"Location": f"/v2/team/app/manifests/{image.digest}"})
    assert client.manifest(f"{app}:1").digest == image.digest


@pytest.mark.parametrize(
    ("location", "reason"),
    [("/v2/team/app/manifests/1", "more than 5 redirects"), ("file:///etc/passwd", "redirected from http to file:///etc/passwd")],
)
def test_redirects_to_nowhere_end(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, location: str, reason: str) -> None:
    archkit_registry.on("GET").answer(302, headers={"Location": location})
    with pytest.raises(RegistryError, match=reason):
        client.manifest(f"{app}:1")


@pytest.mark.parametrize(
    ("method", "use"),
    [
        ("GET", lambda client, app: client.blob(app, DIGEST)),
        ("GET", lambda client, app: client.stream_blob(app, DIGEST)),
        ("GET", lambda client, app: client.tags(app)),
        ("HEAD", lambda client, app: client.has_blob(app, DIGEST)),
        ("HEAD", lambda client, app: client.head(f"{app}:1")),
        ("POST", lambda client, app: client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))),
        ("POST", lambda client, app: client.mount_blob(app, DIGEST, f"{app}2")),
        ("DELETE", lambda client, app: client.delete_tag(f"{app}:1")),
    ],
)
@pytest.mark.parametrize("what", ["answer", "drop"])
def test_every_request_that_fails_is_an_error_that_names_the_reference(
    archkit_registry: EmbeddedRegistry,
    client: RegistryClient,
    app: str,
    method: str,
    use: Callable[[RegistryClient, str], object],
    what: str,
) -> None:
    rule = archkit_registry.on(method)
    if what == "answer":
        rule.answer(418)
    else:
        rule.drop()
    with pytest.raises(RegistryError, match=r"HTTP 418" if what == "answer" else "the connection broke") as caught:
        use(client, app)
    assert caught.value.reference.startswith(app)
    assert caught.value.status == (418 if what == "answer" else None)


@pytest.mark.parametrize("status", [403, 507])
def test_a_refused_manifest_is_an_error(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str, status: int
) -> None:
    archkit_images.push("team/app:1", "linux/amd64")
    archkit_registry.on("PUT").answer(status, body='{"errors":[{"code":"DENIED"}, "?", {"message":"read only"}]}')
    with pytest.raises(RegistryError, match=rf"{app}:2: DENIED; read only \(HTTP {status}\)"):
        client.put_manifest(f"{app}:2", archkit_registry.manifest("team/app:1"))
    assert archkit_registry.tags("team/app") == ["1"]


def test_a_status_that_nobody_knows_is_told(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    archkit_registry.on("GET").answer(499)
    with pytest.raises(RegistryError, match=r"an unknown status \(HTTP 499\)"):
        client.manifest(f"{app}:1")


def test_an_upload_that_cannot_be_cancelled_either_is_one_error(
    archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str
) -> None:
    archkit_registry.on("PUT", kind="upload").drop().times(1)
    archkit_registry.on("DELETE", kind="upload").drop().times(1)
    with pytest.raises(RegistryError, match="the connection broke"):
        client.put_blob(app, iter([CONTENT]), digest=DIGEST, size=len(CONTENT))


def test_a_mount_that_opens_an_upload_nowhere_is_false(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    archkit_registry.on("POST").answer(202)
    assert not client.mount_blob(app, DIGEST, f"{app}2")


def test_head_of_what_disappears_meanwhile_is_none(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    archkit_registry.on("HEAD").answer(200)
    assert client.head(f"{app}:1") is None
    archkit_registry.on("GET").answer(403)
    with pytest.raises(RegistryError, match="HTTP 403"):
        client.head(f"{app}:1")


def test_a_failed_tls_handshake_says_what_may_be_the_reason() -> None:
    from archkit.adapters.http import UrllibHttpClient

    class NoHandshake(UrllibHttpClient):
        """Stands in for a host that speaks no TLS."""

        def send(self, request: HttpRequest, *, limit: int, error_limit: int) -> HttpResponse:
            raise TransportError("no secure connection: wrong version number", transient=False)

    with (
        RegistryClient(http=NoHandshake()) as client,
        pytest.raises(RegistryError, match=r"if registry\.test:5000 speaks plain HTTP, name it in plain_http"),
    ):
        client.manifest("registry.test:5000/app:1")


def test_a_stream_that_nobody_reads_leaves_nothing_open(
    archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, tmp_path: Path
) -> None:
    client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    client.stream_blob(app, DIGEST)
    layout = OciLayout(tmp_path / "layout")
    layout.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    layout.stream_blob(app, DIGEST)
    gc.collect()  # what is left open is a warning here, and warnings are errors
    assert client.blob(app, DIGEST) == CONTENT

"""RegistryClient against the embedded registry: what it stores, finds and asks for."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

import attrs
import pytest

from archkit import Descriptor, Digest, ImageReference, Limits, PlatformSet, RawManifest, RegistryClient, RegistryError
from archkit.adapters.loopback import is_loopback_registry
from archkit.adapters.registry.endpoints import base_url
from archkit.model.oci import DOCKER_LIST, OCI_INDEX, OCI_MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archkit.testing import EmbeddedRegistry, ImageFactory

CONTENT = b"some content" * 1000
DIGEST = Digest.of(CONTENT)


@pytest.fixture
def app(archkit_registry: EmbeddedRegistry) -> str:
    return f"{archkit_registry.host}/team/app"


@pytest.fixture
def client(archkit_registry: EmbeddedRegistry) -> RegistryClient:
    return archkit_registry.client()


def asked(registry: EmbeddedRegistry) -> list[str]:
    return [f"{exchange.method} {exchange.kind} {exchange.status}" for exchange in registry.log]


# ---- where a registry is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.3.2.1", True),
        ("[::1]:5000", True),
        ("localhost.example.com", False),
        ("128.0.0.1", False),
        ("[2001:db8::1]:5000", False),
        ("ghcr.io", False),
    ],
)
def test_loopback_hosts_are_known(registry: str, expected: bool) -> None:
    assert is_loopback_registry(registry) is expected


@pytest.mark.parametrize(
    ("registry", "plain_http", "expected"),
    [
        ("127.0.0.1:5000", (), "http://127.0.0.1:5000/v2/"),
        ("registry.test:5000", (), "https://registry.test:5000/v2/"),
        ("registry.test:5000", ("registry.test:5000",), "http://registry.test:5000/v2/"),
        ("registry.test", ("registry.test:5000",), "https://registry.test/v2/"),
        ("docker.io", (), "https://registry-1.docker.io/v2/"),
    ],
)
def test_only_loopback_and_named_hosts_are_asked_in_plain_http(registry: str, plain_http: tuple[str, ...], expected: str) -> None:
    assert base_url(registry, plain_http) == expected


# ---- manifests --------------------------------------------------------------------------------------------------


def test_manifest_gives_the_exact_bytes_in_one_request(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    image = archkit_images.push("team/app:1", "linux/amd64")
    found = client.manifest(f"{app}:1")
    assert found == archkit_registry.manifest("team/app:1")
    assert found.digest == image.digest
    assert asked(archkit_registry) == ["GET manifest 200"]


def test_the_digest_of_a_reference_wins_over_its_tag(archkit_images: ImageFactory, client: RegistryClient, app: str) -> None:
    first = archkit_images.push("team/app:1", "linux/amd64")
    archkit_images.push("team/app:1", "linux/arm64")
    assert client.manifest(first.reference).digest == first.digest


@pytest.mark.parametrize("docker", [False, True])
def test_head_describes_a_manifest_without_reading_it(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str, docker: bool
) -> None:
    image = archkit_images.push("team/app:1", ["linux/amd64", "linux/arm64"], docker=docker)
    found = client.head(f"{app}:1")
    assert found == image.descriptor
    assert found is not None
    assert found.media_type == (DOCKER_LIST if docker else OCI_INDEX)
    assert asked(archkit_registry) == ["HEAD manifest 200"]


def test_nothing_there_is_none_for_head_and_platforms_and_an_error_for_manifest(client: RegistryClient, app: str) -> None:
    assert client.head(f"{app}:1") is None
    assert client.platforms(f"{app}:1") is None
    with pytest.raises(RegistryError, match=rf"{app}:1.*NAME_UNKNOWN: there is no such repository.*HTTP 404") as caught:
        client.manifest(f"{app}:1")
    assert caught.value.status == 404
    assert caught.value.codes == ("NAME_UNKNOWN",)


@pytest.mark.parametrize("missing", ["Docker-Content-Digest", "Content-Type"])
def test_head_without_a_header_falls_back_to_get(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str, missing: str
) -> None:
    from archkit.testing import Response

    def without(response: Response) -> Response:
        headers = {name: value for name, value in response.headers.items() if name != missing}
        return Response(response.status, headers, response.body)

    image = archkit_images.push("team/app:1", "linux/amd64")
    archkit_registry.on("HEAD", kind="manifest").tamper(without)
    assert client.head(f"{app}:1") == image.descriptor
    assert asked(archkit_registry) == ["HEAD manifest 200", "GET manifest 200"]


def test_head_that_a_registry_does_not_know_falls_back_to_get(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    image = archkit_images.push("team/app:1", "linux/amd64")
    archkit_registry.on("HEAD", kind="manifest").answer(405)
    assert client.head(f"{app}:1") == image.descriptor
    assert client.head(f"{app}:2") is None


def test_a_manifest_is_put_under_its_tag(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient) -> None:
    image = archkit_images.push("team/app:1", "linux/amd64")
    made = client.put_manifest(f"{archkit_registry.host}/team/app:2", archkit_registry.manifest("team/app:1"))
    assert made == image.descriptor
    assert archkit_registry.resolve("team/app:2") == image.digest
    assert archkit_registry.tags("team/app") == ["1", "2"]


def test_a_manifest_is_put_by_digest_where_there_is_no_tag(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    content = archkit_images.image("linux/riscv64")
    for blob in content.blobs:
        client.put_blob(app, blob, digest=Digest.of(blob), size=len(blob))
    client.put_manifest(app, content.manifest)
    assert archkit_registry.tags("team/app") == []
    assert client.manifest(f"{app}@{content.manifest.digest}") == content.manifest


def test_a_manifest_that_is_not_what_the_reference_names_is_not_sent(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    content = archkit_images.image("linux/amd64")
    with pytest.raises(RegistryError, match=f"the content has the digest {content.manifest.digest}, expected was {DIGEST}"):
        client.put_manifest(f"{app}:1@{DIGEST}", content.manifest)
    assert not archkit_registry.log


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (RawManifest(OCI_MANIFEST, b"<html>"), "not JSON"),
        (RawManifest(OCI_MANIFEST, b'{"mediaType":"%s"}' % OCI_INDEX.encode()), "the document says it is application.vnd.oci.image.index"),
        (RawManifest("text/plain", b'{"schemaVersion":1}'), "a manifest of type text/plain cannot be read"),
    ],
)
def test_what_is_no_manifest_is_not_sent(
    archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, manifest: RawManifest, reason: str
) -> None:
    with pytest.raises(RegistryError, match=reason):
        client.put_manifest(f"{app}:1", manifest)
    assert not archkit_registry.log


def test_missing_parts_are_named(archkit_images: ImageFactory, client: RegistryClient, app: str) -> None:
    content = archkit_images.image("linux/amd64")
    with pytest.raises(RegistryError) as caught:
        client.put_manifest(f"{app}:1", content.manifest)
    assert caught.value.codes == ("MANIFEST_BLOB_UNKNOWN",) * 2
    assert all(Digest.of(blob) in str(caught.value) for blob in content.blobs)


def test_a_reference_without_tag_and_digest_is_refused(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    with pytest.raises(RegistryError, match=f"{app}: names neither a tag nor a digest; write NAME:TAG"):
        client.manifest(app)
    assert not archkit_registry.log


# ---- blobs ------------------------------------------------------------------------------------------------------


def pieces(content: bytes, size: int = 1000) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


@pytest.mark.parametrize("content", [CONTENT, pieces(CONTENT)], ids=["bytes", "iterator"])
def test_a_blob_is_uploaded_in_three_requests(
    archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, content: bytes | Iterator[bytes]
) -> None:
    client.put_blob(app, content, digest=DIGEST, size=len(CONTENT))
    assert asked(archkit_registry) == ["HEAD blob 404", "POST upload 202", "PUT upload 201"]
    assert client.has_blob(app, DIGEST)
    assert client.blob(app, DIGEST) == CONTENT
    assert b"".join(client.stream_blob(app, str(DIGEST))) == CONTENT


def test_a_blob_that_is_there_is_not_sent_again(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    archkit_registry.log.clear()
    client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    assert asked(archkit_registry) == ["HEAD blob 200"]


def test_an_empty_blob_can_be_kept(client: RegistryClient, app: str) -> None:
    client.put_blob(app, b"", digest=Digest.of(b""), size=0)
    assert client.blob(app, Digest.of(b"")) == b""
    assert b"".join(client.stream_blob(app, Digest.of(b""))) == b""


def test_sha512_blobs_are_verified_too(client: RegistryClient, app: str) -> None:
    digest = Digest(f"sha512:{hashlib.sha512(CONTENT).hexdigest()}")
    client.put_blob(app, CONTENT, digest=digest, size=len(CONTENT))
    assert client.blob(app, digest) == CONTENT


@pytest.mark.parametrize(
    ("size", "digest", "reason"),
    [
        pytest.param(len(CONTENT) + 1, DIGEST, f"there are only {len(CONTENT)} of {len(CONTENT) + 1} bytes", id="too-short"),
        pytest.param(len(CONTENT) - 1, DIGEST, f"there are more than the expected {len(CONTENT) - 1} bytes", id="too-long"),
        pytest.param(len(CONTENT), Digest.of(b"other"), f"the content has the digest {DIGEST}, expected was", id="other-digest"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_blob_that_is_not_what_was_promised_is_not_stored(
    archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, size: int, digest: Digest, reason: str, streamed: bool
) -> None:
    with pytest.raises(RegistryError, match=reason):
        client.put_blob(app, pieces(CONTENT) if streamed else CONTENT, digest=digest, size=size)
    assert not client.has_blob(app, digest)
    assert not archkit_registry.log.where(status=201)
    if streamed:
        assert asked(archkit_registry)[-2:] == ["DELETE upload 204", "HEAD blob 404"], "the session is cancelled"
    else:
        assert not archkit_registry.log.where(method="POST")


def test_an_error_of_the_content_itself_comes_through(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    def broken() -> Iterator[bytes]:
        yield CONTENT[:100]
        raise FileNotFoundError("layer.tar")

    with pytest.raises(FileNotFoundError, match=r"layer\.tar"):
        client.put_blob(app, broken(), digest=DIGEST, size=len(CONTENT))
    assert asked(archkit_registry)[-1] == "DELETE upload 204"


def test_an_upload_session_may_have_a_query_and_be_absolute(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    from archkit.testing import Response

    def absolute(response: Response) -> Response:
        location = f"{archkit_registry.url}{response.headers['Location']}?_state=a%2Bb&empty="
        return Response(response.status, {**response.headers, "Location": location})

    archkit_registry.on("POST", kind="upload").tamper(absolute)
    client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    assert "?_state=a%2Bb&empty=&digest=sha256%3A" in archkit_registry.log.where(method="PUT")[0].path


def test_a_blob_of_another_repository_is_mounted_in_one_request(
    archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str
) -> None:
    other = f"{archkit_registry.host}/other"
    client.put_blob(other, CONTENT, digest=DIGEST, size=len(CONTENT))
    archkit_registry.log.clear()
    assert client.mount_blob(app, DIGEST, other)
    assert asked(archkit_registry) == ["POST upload 201"]
    assert client.has_blob(app, DIGEST)


def test_a_mount_that_opens_an_upload_instead_is_cancelled(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    assert not client.mount_blob(app, DIGEST, f"{archkit_registry.host}/other")
    assert asked(archkit_registry) == ["POST upload 202", "DELETE upload 204"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_refused_mount_is_false(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, status: int) -> None:
    archkit_registry.on("POST", kind="upload").answer(status)
    assert not client.mount_blob(app, DIGEST, f"{archkit_registry.host}/other")


def test_nothing_is_mounted_across_registries(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    assert not client.mount_blob(app, DIGEST, "localhost:1/other")
    assert not archkit_registry.log


# ---- tags -------------------------------------------------------------------------------------------------------


def test_tags_are_sorted_and_none_where_there_is_no_repository(archkit_images: ImageFactory, client: RegistryClient, app: str) -> None:
    assert list(client.tags(app)) == []
    for tag in ("b", "a", "1.10", "1.9"):
        archkit_images.push(f"team/app:{tag}", "linux/amd64")
    assert list(client.tags(ImageReference.parse(app))) == ["1.10", "1.9", "a", "b"]


def test_the_size_of_a_blob_is_told_without_reading_it(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    client.put_blob(app, b"content", digest=Digest.of(b"content"), size=7)
    archkit_registry.log.clear()
    assert client.blob_size(app, Digest.of(b"content")) == 7
    assert client.blob_size(app, Digest.of(b"other")) is None
    assert asked(archkit_registry) == ["HEAD blob 200", "HEAD blob 404"]
    archkit_registry.on("HEAD", kind="blob").tamper(lambda answer: attrs.evolve(answer, headers={**answer.headers, "Content-Length": "?"}))
    with pytest.raises(RegistryError):
        client.blob_size(app, Digest.of(b"content"))


def test_who_may_not_look_for_a_blob_may_still_store_it(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    archkit_registry.on("HEAD", kind="blob").answer(403)
    client.put_blob(app, b"content", digest=Digest.of(b"content"), size=7)
    assert client.blob(app, Digest.of(b"content")) == b"content"
    with pytest.raises(RegistryError, match="HTTP 403"):
        client.has_blob(app, Digest.of(b"content"))


def test_every_page_of_tags_is_read(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    manifest = archkit_images.push("team/app:t0000", "linux/amd64")
    stored = archkit_registry.contents.repository("team/app")
    stored.tags.update({f"t{number:04}": str(manifest.digest) for number in range(2500)})
    assert list(client.tags(app)) == [f"t{number:04}" for number in range(2500)]
    assert asked(archkit_registry) == ["GET tags 200"] * 3


def test_an_endless_tag_list_ends(archkit_registry: EmbeddedRegistry, app: str) -> None:
    archkit_registry.on("GET", kind="tags").answer(200, body='{"tags":["a"]}', headers={"Link": '</v2/team/app/tags/list>; rel="next"'})
    with RegistryClient(limits=Limits(tag_pages=5)) as client, pytest.raises(RegistryError, match="more than 5 pages"):
        client.tags(app)
    assert len(archkit_registry.log) == 5


def test_a_next_page_on_another_host_is_not_fetched(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    archkit_registry.on("GET").answer(200, body='{"tags":[]}', headers={"Link": '<http://localhost:1/v2/x/tags/list>; rel="next"'})
    with pytest.raises(RegistryError, match="the next page of tags is said to be on another host"):
        client.tags(app)


@pytest.mark.parametrize("body", ["[]", "{}", '{"tags":"a"}', '{"tags":[1]}', "<html>"])
def test_what_is_no_tag_list_is_an_error(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, body: str) -> None:
    archkit_registry.on("GET", kind="tags").answer(200, body=body)
    with pytest.raises(RegistryError, match=f"{app}: the answer is no list of tags"):
        client.tags(app)


def test_null_is_an_empty_tag_list(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    archkit_registry.on("GET", kind="tags").answer(200, body='{"name":"team/app","tags":null}')
    assert list(client.tags(app)) == []


def test_deleting_a_tag_leaves_the_manifest(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    image = archkit_images.push("team/app:1", "linux/amd64")
    assert client.delete_tag(image.reference)
    assert archkit_registry.tags("team/app") == []
    assert client.head(f"{app}@{image.digest}") == image.descriptor
    assert not client.delete_tag(image.reference)
    assert [exchange.reference for exchange in archkit_registry.log.where(method="DELETE")] == ["1", "1"], "never by digest"


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_registry_that_cannot_delete_by_tag_is_false(
    archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, status: int
) -> None:
    archkit_registry.on("DELETE").answer(status)
    assert not client.delete_tag(f"{app}:1")


def test_nothing_is_ever_deleted_by_digest(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    with pytest.raises(RegistryError, match="names no tag, so there is nothing to remove"):
        client.delete_tag(f"{app}@{DIGEST}")
    assert not archkit_registry.log


# ---- platforms --------------------------------------------------------------------------------------------------


def test_platforms_of_an_index_come_from_its_entries_in_one_request(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    archkit_images.push("team/app:1", ["linux/arm64", "linux/amd64"], attestations=True)
    found = client.platforms(f"{app}:1")
    assert found == PlatformSet("linux/arm64,linux/amd64")
    assert str(found) == "linux/arm64,linux/amd64"
    assert asked(archkit_registry) == ["GET manifest 200"]


def test_platforms_of_a_plain_image_come_from_its_configuration(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    archkit_images.push("team/app:1", "linux/arm/v6")
    assert client.platforms(f"{app}:1") == PlatformSet("linux/arm/v6")
    assert asked(archkit_registry) == ["GET manifest 200", "GET blob 200"]


def test_an_entry_that_names_no_platform_is_asked_for_it(archkit_images: ImageFactory, client: RegistryClient, app: str) -> None:
    from archkit.planning.index import compose_index, encode_index

    content = archkit_images.image("linux/s390x")
    reference = archkit_images.put(f"{app}:child", content)
    plain = Descriptor(content.manifest.media_type, content.manifest.digest, len(content.manifest.content))
    client.put_manifest(reference.with_tag("1"), encode_index(compose_index([plain], target=app)))
    assert client.platforms(f"{app}:1") == PlatformSet("linux/s390x")


def test_what_is_no_image_has_no_platforms(client: RegistryClient, app: str) -> None:
    from archkit.planning.index import canonical_json

    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": str(Digest.of(b"{}")), "size": 2}
    client.put_blob(app, b"{}", digest=Digest.of(b"{}"), size=2)
    chart = canonical_json({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty, "layers": [empty]})
    client.put_manifest(f"{app}:chart", RawManifest(OCI_MANIFEST, chart))
    assert client.platforms(f"{app}:chart") == PlatformSet()


# ---- configurations inside manifests ----------------------------------------------------------------------------


def embedding(registry: EmbeddedRegistry, data: str) -> RawManifest:
    """An image's manifest with the configuration in its descriptor, as the image specification allows."""
    from archkit.planning.index import canonical_json

    fields = json.loads(registry.manifest("team/app:1").content)
    fields["config"]["data"] = data
    return RawManifest(OCI_MANIFEST, canonical_json(fields))


def test_a_configuration_that_stands_in_the_manifest_is_not_read_again(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    archkit_images.push("team/app:1", "linux/s390x")
    data = base64.b64encode(archkit_images.image("linux/s390x").config).decode()
    client.put_manifest(f"{app}:2", embedding(archkit_registry, data))
    archkit_registry.log.clear()
    assert client.platforms(f"{app}:2") == PlatformSet("linux/s390x")
    assert asked(archkit_registry) == ["GET manifest 200"]


@pytest.mark.parametrize(("data", "reason"), [("e30=", "there are only 2 of"), ("not base64", "the data in its descriptor is not base64")])
def test_a_configuration_that_stands_in_the_manifest_is_verified(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str, data: str, reason: str
) -> None:
    archkit_images.push("team/app:1", "linux/s390x")
    client.put_manifest(f"{app}:2", embedding(archkit_registry, data))
    with pytest.raises(RegistryError, match=rf"{app}@sha256:[0-9a-f]+: {reason}"):
        client.platforms(f"{app}:2")


def test_a_configuration_that_is_no_json_is_an_error(client: RegistryClient, app: str) -> None:
    from archkit.model.oci import OCI_CONFIG
    from archkit.planning.index import canonical_json

    client.put_blob(app, b"[]", digest=Digest.of(b"[]"), size=2)
    config = {"mediaType": OCI_CONFIG, "digest": str(Digest.of(b"[]")), "size": 2}
    fields = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []}
    client.put_manifest(f"{app}:1", RawManifest(OCI_MANIFEST, canonical_json(fields)))
    with pytest.raises(RegistryError, match="the image configuration is not a JSON object"):
        client.platforms(f"{app}:1")

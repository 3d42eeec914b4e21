"""RegistryClient with registries that are slow, drip, or show late what was stored; and with packed answers."""

from __future__ import annotations

import gzip
import time
from typing import TYPE_CHECKING

import attrs
import pytest

from archkit import Digest, IndexStitcher, Limits, RegistryClient, RegistryError, Retries
from archkit.adapters.registry.recent import Recent
from archkit.testing import ImageFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archkit.testing import EmbeddedRegistry, Response

CONTENT = bytes(range(256)) * 4
DIGEST = Digest.of(CONTENT)
UNKNOWN = '{{"errors":[{{"code":"{code}","message":"unknown","detail":{detail}}}]}}'


@pytest.fixture
def app(archkit_registry: EmbeddedRegistry) -> str:
    return f"{archkit_registry.host}/team/app"


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with RegistryClient(retries=Retries(first_wait=0), timeout=5) as made:
        yield made


# ---- slow -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_drips_is_given_up(archkit_registry: EmbeddedRegistry, app: str, streamed: bool) -> None:
    archkit_registry.contents.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    archkit_registry.on("GET", kind="blob").drip(0.01)
    limits = Limits(longest_answer=0.3, slowest_answer=10_000)
    with RegistryClient(limits=limits, timeout=5) as client:
        started = time.monotonic()
        with pytest.raises(RegistryError, match="the answer comes too slowly"):
            b"".join(client.stream_blob(app, DIGEST)) if streamed else client.blob(app, DIGEST)
        assert time.monotonic() - started < 4
    assert len(archkit_registry.log) == 1, "asking again would take as long"


def test_an_answer_that_drips_fast_enough_is_read(archkit_registry: EmbeddedRegistry, app: str) -> None:
    archkit_registry.contents.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    archkit_registry.on("GET", kind="blob").drip(0.0001)
    with RegistryClient(limits=Limits(longest_answer=0.3, slowest_answer=100)) as client:
        assert client.blob(app, DIGEST) == CONTENT


def test_a_late_answer_is_asked_for_again(archkit_registry: EmbeddedRegistry, app: str) -> None:
    archkit_registry.on("GET").wait(1).times(1)
    with RegistryClient(timeout=0.2, retries=Retries(first_wait=0)) as client:
        assert client.tags(app) == []
    assert len(archkit_registry.log) == 2


def test_whoever_reads_slowly_is_not_the_registrys_fault(archkit_registry: EmbeddedRegistry, app: str) -> None:
    content = b"x" * 2_000_000
    digest = Digest.of(content)
    archkit_registry.contents.put_blob(app, content, digest=digest, size=len(content))
    with RegistryClient(limits=Limits(longest_answer=0.2)) as client:
        pieces = client.stream_blob(app, digest)
        got = next(pieces)
        time.sleep(0.5)
        assert got + b"".join(pieces) == content


def test_large_bodies_are_sent_piece_by_piece(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    content = bytes(range(256)) * 20_000
    client.put_blob(app, content, digest=Digest.of(content), size=len(content))
    archkit_registry.on("PUT", kind="upload").drop().times(1)
    client.put_blob(f"{app}2", content, digest=Digest.of(content), size=len(content))
    assert client.blob(f"{app}2", Digest.of(content), limit=len(content)) == content


# ---- late -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [(404, "MANIFEST_UNKNOWN"), (400, "MANIFEST_BLOB_UNKNOWN"), (404, "MANIFEST_BLOB_UNKNOWN")])
@pytest.mark.parametrize("named", [True, False])
def test_an_index_whose_children_show_late_is_put_again(
    archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, status: int, code: str, named: bool
) -> None:
    parts = [ImageFactory(client).push(f"{app}:{arch}", f"linux/{arch}") for arch in ("amd64", "arm64")]
    detail = f'{{"digest":"{parts[1].digest}"}}' if named else "null"
    archkit_registry.on("PUT", reference="1").answer(status, body=UNKNOWN.format(code=code, detail=detail)).times(2)
    made = IndexStitcher(client).stitch(f"{app}:1", parts)
    assert archkit_registry.resolve("team/app:1") == made.digest
    assert len(archkit_registry.log.where(method="PUT", reference="1")) == 3


def test_children_that_nobody_stored_are_missing_at_once(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    ImageFactory(archkit_registry).push("team/app:1", "linux/amd64")
    manifest = archkit_registry.manifest("team/app:1")
    with pytest.raises(RegistryError, match="MANIFEST_BLOB_UNKNOWN") as caught:
        client.put_manifest(f"{app}2:1", manifest)
    assert len(archkit_registry.log) == 1
    assert set(caught.value.codes) == {"MANIFEST_BLOB_UNKNOWN"}


def test_children_that_never_show_end_in_the_registrys_error(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    part = ImageFactory(client).push(f"{app}:amd64", "linux/amd64")
    archkit_registry.on("PUT", reference="1").answer(404, body=UNKNOWN.format(code="MANIFEST_UNKNOWN", detail=f'"{part.digest}"'))
    with pytest.raises(RegistryError, match="MANIFEST_UNKNOWN: unknown"):
        client.put_manifest(f"{app}:1", archkit_registry.manifest("team/app:amd64"))
    assert len(archkit_registry.log.where(method="PUT", reference="1")) == 4


@pytest.mark.parametrize("body", ["", "[]", '{"errors":[]}', '{"errors":[{"code":"DENIED"}]}', '{"errors":[1]}'])
def test_another_refusal_is_not_taken_for_lateness(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, body: str) -> None:
    ImageFactory(client).push(f"{app}:amd64", "linux/amd64")
    archkit_registry.on("PUT", reference="1").answer(404, body=body)
    with pytest.raises(RegistryError, match="HTTP 404"):
        client.put_manifest(f"{app}:1", archkit_registry.manifest("team/app:amd64"))
    assert len(archkit_registry.log.where(method="PUT", reference="1")) == 1


@pytest.mark.parametrize("read", ["manifest", "head"])
def test_what_was_just_stored_is_asked_for_again(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, read: str) -> None:
    image = ImageFactory(client).push(f"{app}:1", "linux/amd64")
    archkit_registry.on("GET" if read == "manifest" else "HEAD", kind="manifest").answer(404).times(2)
    assert getattr(client, read)(f"{app}:1").digest == image.digest


def test_what_others_stored_is_missing_at_once(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    assert client.head(f"{app}:1") is None
    ImageFactory(client).push(f"{app}:1", "linux/amd64")
    client.delete_tag(f"{app}:1")
    archkit_registry.log.clear()
    assert client.head(f"{app}:1") is None
    assert len(archkit_registry.log) == 1


def test_a_moment_ends_and_little_is_remembered() -> None:
    now = [0.0]
    recent = Recent(clock=lambda: now[0])
    recent.add("a", "x", None, "y")
    assert recent.all_of("a", ["x", "y"])
    assert not recent.all_of("a", ["x", "z"])
    assert not recent.all_of("b", ["x"])
    assert not recent.all_of("a", [])
    now[0] = 59
    recent.add("a", "x")
    now[0] = 61
    assert recent.all_of("a", ["x"])
    assert not recent.all_of("a", ["y"])
    recent.add("a", *map(str, range(20_000)))
    assert not recent.all_of("a", ["5"])
    assert recent.all_of("a", ["19999"])


# ---- packed -----------------------------------------------------------------------------------------------------


def test_a_packed_manifest_is_an_error_and_is_not_unpacked(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, app: str
) -> None:
    bomb = gzip.compress(bytes(50_000_000))

    def packed(response: Response) -> Response:
        return attrs.evolve(response, body=bomb, headers={**response.headers, "Content-Encoding": "gzip"})

    archkit_images.push("team/app:1", "linux/amd64")
    archkit_registry.on("GET").tamper(packed)
    with pytest.raises(RegistryError, match=r"team/app:1: the answer is compressed \(gzip\), which nobody asked for"):
        client.manifest(f"{app}:1")


def test_a_blob_is_the_bytes_that_its_digest_is_of(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str) -> None:
    layer = gzip.compress(b"content")
    client.put_blob(app, layer, digest=Digest.of(layer), size=len(layer))

    def labelled(response: Response) -> Response:
        return attrs.evolve(response, headers={**response.headers, "Content-Encoding": "gzip"})

    archkit_registry.on("GET").tamper(labelled).times(1)
    assert client.blob(app, Digest.of(layer)) == layer


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_redirect_of_a_write_says_where_to(archkit_registry: EmbeddedRegistry, client: RegistryClient, app: str, method: str) -> None:
    location = "https://bob:secret@registry.test/v2/?sig=secret"
    archkit_registry.on(method).answer(307, headers={"Location": location})
    with pytest.raises(RegistryError, match=r"points elsewhere \(https://registry\.test/v2/\) \(HTTP 307\)") as caught:
        client.put_blob(app, CONTENT, digest=DIGEST, size=len(CONTENT))
    assert "secret" not in str(caught.value)

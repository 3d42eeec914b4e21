"""Sources in other repositories and registries: what is asked for, what is there afterwards, and what a fault leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from archkit import Digest, IndexStitcher, RegistryClient, RegistryError, Retries
from archkit.model.oci import Index
from archkit.testing import BearerAuth, EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

TWO = ("linux/amd64", "linux/arm64")


@pytest.fixture
def other() -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry() as registry:
        yield registry


def push_two(registry: EmbeddedRegistry, *, attestations: bool = False) -> list[str]:
    return [ImageFactory(registry).push(f"part/{platform[6:]}:1", platform, attestations=attestations).reference for platform in TWO]


def asked(registry: EmbeddedRegistry) -> list[str]:
    return sorted(f"{exchange.method} {exchange.kind}" for exchange in registry.log)


def assert_whole(registry: EmbeddedRegistry, reference: str) -> None:
    """Every manifest and blob that the index names is in its repository."""
    ref = registry.reference(reference)
    document = registry.manifest(ref).document()
    assert isinstance(document, Index)
    for entry in document.manifests:
        child = registry.manifest(ref.repository_only.with_digest(entry.digest)).document()
        assert not isinstance(child, Index)
        for blob in (child.config, *child.layers):
            assert len(registry.contents.blob(ref, blob.digest)) == blob.size


def test_images_of_two_other_repositories_cost_eleven_requests(archkit_registry: EmbeddedRegistry) -> None:
    parts = push_two(archkit_registry)
    target = f"{archkit_registry.host}/app:1"
    made = IndexStitcher(archkit_registry.client()).stitch(target, parts)
    assert asked(archkit_registry) == [*["GET blob"] * 2, *["GET manifest"] * 2, *["POST upload"] * 4, *["PUT manifest"] * 3]
    assert archkit_registry.log[-1].reference == "1"
    assert archkit_registry.resolve("app:1") == made.digest
    assert archkit_registry.tags("app") == ["1"]
    assert_whole(archkit_registry, "app:1")


def test_one_sign_in_serves_all_repositories() -> None:
    with EmbeddedRegistry(auth=BearerAuth()) as registry:
        parts = push_two(registry)
        IndexStitcher(registry.client()).stitch(f"{registry.host}/app:1", parts)
        assert len(registry.log.where(kind="token")) == 1
        assert len(registry.log) - 1 - len(registry.log.where(status=401)) == 11
        assert_whole(registry, "app:1")


def test_images_that_are_there_already_cost_five(archkit_registry: EmbeddedRegistry) -> None:
    parts = push_two(archkit_registry)
    stitcher = IndexStitcher(archkit_registry.client())
    first = stitcher.stitch(f"{archkit_registry.host}/app:1", parts)
    archkit_registry.log.clear()
    assert stitcher.stitch(f"{archkit_registry.host}/app:2", parts).manifest == first.manifest
    assert asked(archkit_registry) == [*["GET manifest"] * 2, *["PUT manifest"] * 3]  # what a configuration says is remembered


def test_what_is_not_there_after_all_is_mounted(archkit_registry: EmbeddedRegistry) -> None:
    images, stitcher = ImageFactory(archkit_registry), IndexStitcher(archkit_registry.client())
    stitcher.stitch(f"{archkit_registry.host}/app:1", [images.push("part:1", "linux/amd64").reference])
    stitcher.stitch(f"{archkit_registry.host}/app:2", [images.push("part:2", "linux/arm64").reference])
    assert_whole(archkit_registry, "app:2")


def test_only_what_the_registry_misses_is_mounted(archkit_registry: EmbeddedRegistry) -> None:
    images, stitcher = ImageFactory(archkit_registry), IndexStitcher(archkit_registry.client())
    stitcher.stitch(f"{archkit_registry.host}/app:1", [images.push("part:1", "linux/amd64").reference])
    second = images.push("part:2", "linux/amd64", labels={"version": "2"})  # the same layer, another configuration
    archkit_registry.log.clear()
    stitcher.stitch(f"{archkit_registry.host}/app:2", [second.reference])
    config = json.loads(archkit_registry.manifest(second.reference).content)["config"]["digest"]
    assert [exchange.path.partition("mount=")[2][:71] for exchange in archkit_registry.log.where(method="POST")] == [
        config.replace(":", "%3A")[:71]
    ]
    assert_whole(archkit_registry, "app:2")


def test_a_registry_that_leaves_unsaid_what_it_misses_gets_everything(archkit_registry: EmbeddedRegistry) -> None:
    images, stitcher = ImageFactory(archkit_registry), IndexStitcher(archkit_registry.client())
    stitcher.stitch(f"{archkit_registry.host}/app:1", [images.push("part:1", "linux/amd64").reference])
    second = images.push("part:2", "linux/amd64", labels={"version": "2"})
    archkit_registry.on("PUT", kind="manifest", reference=second.digest).answer(404).times(1)
    archkit_registry.log.clear()
    stitcher.stitch(f"{archkit_registry.host}/app:2", [second.reference])
    assert len(archkit_registry.log.where(method="POST")) == 2
    assert_whole(archkit_registry, "app:2")


def test_the_bytes_are_those_of_one_repository(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    expected = archkit_images.push("whole:1", list(TWO))
    assert IndexStitcher(archkit_registry.client()).stitch(f"{archkit_registry.host}/app:1", push_two(archkit_registry)).digest == (
        expected.digest
    )


def test_a_dry_run_brings_nothing(archkit_registry: EmbeddedRegistry) -> None:
    IndexStitcher(archkit_registry.client()).stitch(f"{archkit_registry.host}/app:1", push_two(archkit_registry), dry_run=True)
    assert {exchange.method for exchange in archkit_registry.log} == {"GET"}


@pytest.mark.parametrize("attestations", [False, True])
def test_images_of_another_registry_are_copied(archkit_registry: EmbeddedRegistry, other: EmbeddedRegistry, attestations: bool) -> None:
    parts = push_two(other, attestations=attestations)
    with RegistryClient() as client:
        made = IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts)
    assert archkit_registry.resolve("app:1") == made.digest
    assert len(made.descriptors) == (4 if attestations else 2)
    assert_whole(archkit_registry, "app:1")
    assert not other.log.where(method="PUT")


def test_a_copy_that_is_there_costs_one_look_for_each_image(archkit_registry: EmbeddedRegistry, other: EmbeddedRegistry) -> None:
    parts = push_two(other)
    with RegistryClient() as client:
        IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts)
        archkit_registry.log.clear()
        IndexStitcher(client).stitch(f"{archkit_registry.host}/app:2", parts)
    assert asked(archkit_registry) == ["HEAD manifest", "HEAD manifest", "PUT manifest"]


def test_a_nested_index_is_copied_with_its_images(archkit_registry: EmbeddedRegistry, other: EmbeddedRegistry) -> None:
    both = ImageFactory(other).push("both:1", list(TWO))
    with RegistryClient() as client:
        made = IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", [both.reference], flatten=False)
    assert [entry.digest for entry in made.descriptors] == [both.digest]
    assert_whole(archkit_registry, f"{archkit_registry.host}/app@{both.digest}")


def test_a_refused_mount_becomes_a_copy(archkit_registry: EmbeddedRegistry) -> None:
    parts = push_two(archkit_registry)

    class Refused(RegistryClient):
        def mount_blob(self, reference: object, digest: object, source: object) -> bool:
            return False

    with Refused() as client:
        IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts)
    assert_whole(archkit_registry, "app:1")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_mount_that_the_registry_refuses_becomes_a_copy(archkit_registry: EmbeddedRegistry, status: int) -> None:
    parts = push_two(archkit_registry)
    archkit_registry.on("POST", kind="upload", query={"mount": "*"}).answer(status)
    with RegistryClient() as client:
        made = IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts)
    assert archkit_registry.resolve("app:1") == made.digest
    assert_whole(archkit_registry, "app:1")
    assert len(archkit_registry.log.where(method="PUT", kind="upload")) == 4


def test_an_upload_that_is_opened_instead_of_a_mount_becomes_a_copy(archkit_registry: EmbeddedRegistry) -> None:
    parts = push_two(archkit_registry)
    session = "/v2/app/blobs/uploads/never"
    archkit_registry.on("POST", kind="upload", query={"mount": "*"}).answer(202, headers={"Location": session, "Range": "0-0"})
    with RegistryClient() as client:
        made = IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts)
    assert archkit_registry.resolve("app:1") == made.digest
    assert_whole(archkit_registry, "app:1")
    assert len(archkit_registry.log.where(method="DELETE", reference="never")) == 4


def test_a_blob_that_is_not_what_its_digest_says_is_not_stored(archkit_registry: EmbeddedRegistry, other: EmbeddedRegistry) -> None:
    parts = push_two(other)
    document = other.manifest(parts[0]).document()
    assert not isinstance(document, Index)
    layer = document.layers[0]
    ref = other.reference(parts[0])
    other.contents.damage(ref.repository, layer.digest, b"x" * layer.size)
    with RegistryClient() as client, pytest.raises(RegistryError, match=f"expected was {layer.digest}"):
        IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts)
    assert archkit_registry.tags("app") == []


@pytest.mark.parametrize("answered", range(11))
def test_whenever_the_connection_is_cut_the_tag_is_whole_and_the_next_run_finishes(answered: int) -> None:
    with EmbeddedRegistry() as registry:
        old: Digest | None = ImageFactory(registry).push("app:1", ["linux/s390x", "linux/386"]).digest
        parts, target = push_two(registry), f"{registry.host}/app:1"
        if answered:
            registry.on("*").tamper(lambda response: response).times(answered)
        registry.on("*").drop().times(1)
        # a DELETE that tidies up behind a failure is no request of the stitch
        with RegistryClient(retries=Retries(attempts=1)) as client:
            with pytest.raises(RegistryError):
                IndexStitcher(client).stitch(target, parts)
            assert registry.resolve("app:1") == old
            assert_whole(registry, "app:1")
            made = IndexStitcher(client).stitch(target, parts)
        assert registry.resolve("app:1") == made.digest
        assert_whole(registry, "app:1")


def test_a_source_that_breaks_off_is_read_again(archkit_registry: EmbeddedRegistry, other: EmbeddedRegistry) -> None:
    parts = push_two(other)
    document = other.manifest(parts[0]).document()
    assert not isinstance(document, Index)
    other.on("GET", kind="blob", reference=document.layers[0].digest).truncate(100).times(2)
    with RegistryClient(retries=Retries(attempts=3, first_wait=0.001)) as client:
        IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts)
    assert_whole(archkit_registry, "app:1")


@pytest.mark.parametrize("status", [500, 503])
def test_an_upload_that_fails_is_sent_again(archkit_registry: EmbeddedRegistry, other: EmbeddedRegistry, status: int) -> None:
    parts = push_two(other)
    archkit_registry.on("PUT", kind="upload").answer(status).times(2)
    with RegistryClient(retries=Retries(attempts=3, first_wait=0.001)) as client:
        IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts)
    assert_whole(archkit_registry, "app:1")


def test_a_registry_that_takes_no_upload_is_not_asked_again(archkit_registry: EmbeddedRegistry, other: EmbeddedRegistry) -> None:
    parts = push_two(other)[:1]
    archkit_registry.on("PUT", kind="upload").answer(413, body="too large")
    with RegistryClient() as client, pytest.raises(RegistryError, match="too large"):
        IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts)
    assert len(archkit_registry.log.where(method="PUT", kind="upload")) <= 2  # one for each blob
    assert archkit_registry.tags("app") == []


def test_an_image_that_the_registry_does_not_take_is_an_error(archkit_registry: EmbeddedRegistry) -> None:
    images, stitcher = ImageFactory(archkit_registry), IndexStitcher(archkit_registry.client())
    first = stitcher.stitch(f"{archkit_registry.host}/app:1", [images.push("part:1", "linux/amd64").reference])
    second = images.push("part:2", "linux/arm64")
    archkit_registry.on("PUT", kind="manifest", reference=second.digest).answer(403)
    with pytest.raises(RegistryError) as caught:
        stitcher.stitch(f"{archkit_registry.host}/app:1", [second.reference])
    assert caught.value.status == 403
    assert archkit_registry.resolve("app:1") == first.digest


def test_indexes_inside_each_other_have_an_end_when_they_are_copied(archkit_registry: EmbeddedRegistry, other: EmbeddedRegistry) -> None:
    with RegistryClient() as client:
        stitcher = IndexStitcher(client)
        source = stitcher.stitch(f"{other.host}/app:n", [ImageFactory(other).push("app:0", list(TWO))])
        for number in range(4):
            source = stitcher.stitch(f"{other.host}/app:n{number}", [source], flatten=False, annotations={"n": str(number)})
        with pytest.raises(RegistryError, match="more than 4 indexes stand inside each other"):
            stitcher.stitch(f"{archkit_registry.host}/app:1", [source], flatten=False)
    assert archkit_registry.tags("app") == []


def test_images_of_many_layers_are_moved_by_few_at_a_time(archkit_registry: EmbeddedRegistry, other: EmbeddedRegistry) -> None:
    parts = [ImageFactory(other).push(f"part:{number}", "linux/amd64", labels={"n": str(number)}).reference for number in range(12)]
    with RegistryClient() as client:
        IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts, duplicates="keep-order")
    assert len({exchange.connection for registry in (archkit_registry, other) for exchange in registry.log}) <= 8
    assert len(archkit_registry.log.where(method="PUT", kind="upload")) == 13  # each configuration, and the one layer once


def test_a_registry_that_forbids_to_look_for_what_is_not_there_gets_it(archkit_registry: EmbeddedRegistry, other: EmbeddedRegistry) -> None:
    parts = push_two(other)
    archkit_registry.on("HEAD").answer(403)
    with RegistryClient() as client:
        dry = IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts, dry_run=True)
        assert IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts) == dry
    assert_whole(archkit_registry, "app:1")

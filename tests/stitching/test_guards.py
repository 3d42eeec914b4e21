"""``expect`` and ``if_absent`` with writers at the same time and registries that show a write late."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from archkit import Digest, IndexStitcher, OciLayout, RegistryClient, RegistryError, Retries, TagMovedError
from archkit.testing import EmbeddedRegistry, ImageFactory, Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archkit import BuiltImage

QUICK = Retries(attempts=3, first_wait=0.001)


@pytest.fixture
def stitcher() -> Iterator[IndexStitcher]:
    with RegistryClient(retries=QUICK) as client:
        yield IndexStitcher(client)


@pytest.fixture
def app(archkit_registry: EmbeddedRegistry) -> str:
    return f"{archkit_registry.host}/app:1"


@pytest.fixture
def old(archkit_images: ImageFactory) -> BuiltImage:
    return archkit_images.push("app:1", ["linux/s390x", "linux/386"])


@pytest.fixture
def part(archkit_images: ImageFactory) -> str:
    return archkit_images.push("app:part", "linux/amd64").reference


def test_a_writer_directly_behind_the_stitch_is_noticed(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, old: BuiltImage, part: str
) -> None:
    somebody = archkit_images.push("app:else", "linux/386")

    def overwrite(answer: Response) -> Response:
        archkit_registry.contents.put_manifest(app, archkit_registry.manifest("app:else"))
        return answer

    archkit_registry.on("PUT", kind="manifest", reference="1").tamper(overwrite)
    made = stitcher.stitch(app, [part], dry_run=True)
    with pytest.raises(TagMovedError) as caught:
        stitcher.stitch(app, [part], expect=old.digest)
    assert (caught.value.expected, caught.value.found) == (made.digest, somebody.digest)
    assert str(caught.value) == (
        f"cannot stitch {app}: {made.digest} was written, but the tag is {somebody.digest}: somebody else writes it, too; "
        "look at what is there, and stitch again"
    )


def test_without_a_guard_nobody_looks(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, old: BuiltImage, part: str
) -> None:
    stitcher.stitch(app, [part])
    assert not archkit_registry.log.where(method="HEAD")


@pytest.mark.parametrize("absent", [False, True])
def test_a_registry_that_shows_the_write_late_is_waited_for(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, part: str, absent: bool
) -> None:
    old = None if absent else archkit_images.push("app:1", ["linux/s390x", "linux/386"])
    stale = Response(404) if old is None else archkit_registry.handle(_head("app", "1"))
    count = itertools.count()

    def late(answer: Response) -> Response:
        return stale if next(count) in {1, 2} else answer  # the guard sees the truth, then twice what was

    archkit_registry.on("HEAD", kind="manifest", reference="1").tamper(late)
    made = stitcher.stitch(app, [part], if_absent=absent, expect=None if old is None else old.digest)
    assert archkit_registry.resolve("app:1") == made.digest
    assert len(archkit_registry.log.where(method="HEAD", reference="1", repository="app")) >= 4


def test_a_registry_that_never_shows_the_write_is_reported(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, old: BuiltImage, part: str
) -> None:
    stale = archkit_registry.handle(_head("app", "1"))
    archkit_registry.log.clear()
    archkit_registry.on("HEAD", kind="manifest", reference="1").tamper(lambda answer: stale)
    with pytest.raises(TagMovedError) as caught:
        stitcher.stitch(app, [part], expect=old.digest)
    assert caught.value.found == old.digest
    assert len(archkit_registry.log.where(method="HEAD")) == 1 + QUICK.attempts


def test_the_guard_is_looked_at_again_when_the_images_have_been_brought(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, old: BuiltImage
) -> None:
    part = archkit_images.push("part:1", "linux/amd64")
    somebody = archkit_images.push("app:else", "linux/386")

    def overwrite(answer: Response) -> Response:
        archkit_registry.contents.put_manifest(app, archkit_registry.manifest("app:else"))
        return answer

    archkit_registry.on("POST", kind="upload").tamper(overwrite)
    with pytest.raises(TagMovedError) as caught:
        stitcher.stitch(app, [part.reference], expect=old.digest)
    assert (caught.value.expected, caught.value.found) == (old.digest, somebody.digest)
    assert not archkit_registry.log.where(method="PUT", reference="1")


def test_nothing_is_brought_when_the_guard_refuses(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, old: BuiltImage
) -> None:
    part = archkit_images.push("part:1", "linux/amd64")
    with pytest.raises(TagMovedError):
        stitcher.stitch(app, [part.reference], expect=Digest.of(b"other"))
    assert {exchange.method for exchange in archkit_registry.log} == {"GET", "HEAD"}


def test_the_errors_say_both_digests(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, old: BuiltImage, part: str
) -> None:
    other = Digest.of(b"other")
    with pytest.raises(TagMovedError) as caught:
        stitcher.stitch(app, [part], expect=other)
    assert (caught.value.expected, caught.value.found) == (other, old.digest)
    with pytest.raises(TagMovedError) as caught:
        stitcher.stitch(app, [part], if_absent=True)
    assert (caught.value.expected, caught.value.found) == ("", old.digest)
    with pytest.raises(TagMovedError) as caught:
        stitcher.stitch(f"{archkit_registry.host}/app:new", [part], expect=other)
    assert (caught.value.expected, caught.value.found) == (other, "")


def test_a_conflict_that_the_registry_reports_stays_its_answer(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, old: BuiltImage, part: str
) -> None:
    archkit_registry.on("PUT", kind="manifest", reference="1").answer(412)
    with pytest.raises(RegistryError) as caught:
        stitcher.stitch(app, [part], expect=old.digest)
    assert caught.value.status == 412
    assert archkit_registry.resolve("app:1") == old.digest


def test_a_layout_is_guarded_too(tmp_path: Path, stitcher: IndexStitcher, part: str) -> None:
    made = stitcher.stitch(f"oci:{tmp_path}:1", [part], if_absent=True)
    with pytest.raises(TagMovedError, match=f"cannot stitch oci:{tmp_path}:1: it is {made.digest}, expected was"):
        stitcher.stitch(f"oci:{tmp_path}:1", [part], annotations={"a": "b"}, expect=Digest.of(b"other"))
    assert OciLayout(tmp_path).entry("1").digest == made.digest


def test_of_two_that_read_the_same_index_the_second_is_told(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, old: BuiltImage, part: str
) -> None:
    second = archkit_images.push("app:second", "linux/arm64").reference
    first = stitcher.extend(app, [part], expect=old.digest)
    with pytest.raises(TagMovedError) as caught:
        stitcher.extend(app, [second], expect=old.digest)
    assert (caught.value.expected, caught.value.found) == (old.digest, first.digest)
    assert str(stitcher.extend(app, [second]).platforms) == "linux/s390x,linux/386,linux/amd64,linux/arm64"


def _head(repository: str, tag: str) -> Request:
    return Request("HEAD", f"/v2/{repository}/manifests/{tag}", [("Accept", "*/*")])

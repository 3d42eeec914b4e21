"""An index that is there is extended, or images of it are replaced or removed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from archkit import AnnotatedSource, Digest, IndexStitcher, Platform, RegistryError, StitchError, TagMovedError
from archkit.model.oci import ATTESTED, DOCKER_LIST, OCI_INDEX, Index
from archkit.planning.index import compose_index, encode_index

if TYPE_CHECKING:
    from archkit import BuiltImage, StitchedIndex
    from archkit.testing import EmbeddedRegistry, ImageFactory, Response

TWO = ["linux/amd64", "linux/arm64"]
WINDOWS = "windows(10.0.20348.{})/amd64"


@pytest.fixture
def stitcher(archkit_registry: EmbeddedRegistry) -> IndexStitcher:
    return IndexStitcher(archkit_registry.client())


@pytest.fixture
def app(archkit_registry: EmbeddedRegistry) -> str:
    return f"{archkit_registry.host}/app:1"


@pytest.fixture
def old(archkit_images: ImageFactory) -> BuiltImage:
    return archkit_images.push("app:1", TWO, attestations=True)


def platforms(made: StitchedIndex) -> list[str]:
    return list(map(str, made.platforms))


# ---- extend -----------------------------------------------------------------------------------------------------


def test_an_image_is_added_behind_the_others(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, old: BuiltImage
) -> None:
    new = archkit_images.push("app:new", "linux/s390x", attestations=True)
    before = archkit_registry.manifest("app:1").document()
    made = stitcher.extend(app, [new.reference])
    assert isinstance(before, Index)
    assert made.descriptors[:4] == before.manifests
    assert platforms(made) == [*TWO, "linux/s390x"]
    assert made.descriptors[5].annotations[ATTESTED] == made.descriptors[4].digest
    assert archkit_registry.resolve("app:1") == made.digest


def test_the_index_is_guarded_by_the_digest_that_was_read(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, old: BuiltImage
) -> None:
    new = archkit_images.push("app:new", "linux/s390x")
    somebody = archkit_images.push("app:else", "linux/386")

    def write_between(answer: Response) -> Response:
        archkit_registry.contents.put_manifest(app, archkit_registry.manifest("app:else"))
        return answer

    archkit_registry.on("GET", kind="manifest", reference=new.digest).tamper(write_between).times(1)
    with pytest.raises(TagMovedError) as caught:
        stitcher.extend(app, [new.reference])
    assert (caught.value.expected, caught.value.found) == (old.digest, somebody.digest)
    assert archkit_registry.resolve("app:1") == somebody.digest


def test_what_is_expected_is_read_and_changed(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, old: BuiltImage
) -> None:
    new = archkit_images.push("app:new", "linux/s390x")
    made = stitcher.extend(app, [new.reference], expect=old.digest)
    assert stitcher.extend(app, [new.reference], expect=old.digest) == made  # as after an answer that was lost
    archkit_images.push("app:1", "linux/386")
    with pytest.raises(TagMovedError, match=f"expected was {old.digest}"):
        stitcher.extend(app, [new.reference], expect=old.digest)


def test_extending_twice_is_extending_once(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, old: BuiltImage
) -> None:
    new = archkit_images.push("app:new", "linux/s390x")
    made = stitcher.extend(app, [new])
    archkit_registry.log.clear()
    assert stitcher.extend(app, [new]) == made
    assert not archkit_registry.log.where(method="PUT")


def test_a_platform_that_is_there_is_an_error_naming_both(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, old: BuiltImage
) -> None:
    new = archkit_images.push("app:new", "linux/arm64", labels={"version": "2"})
    there = old.children[Platform.parse("linux/arm64")]
    with pytest.raises(StitchError) as caught:
        stitcher.extend(app, [new.reference])
    assert (
        str(caught.value) == f"cannot stitch {app}: two images are for linux/arm64: {app} ({there.digest}) and "
        f"{new.reference} ({new.digest}); replace() or extend(replace=True) takes the new one"
    )
    assert not archkit_registry.log.where(method="PUT")
    assert platforms(stitcher.extend(app, [new.reference], replace=True)) == TWO
    assert platforms(stitcher.extend(app, [there], duplicates="keep-order")) == TWO  # PlatformSet names each once


def test_another_index_may_be_the_base(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str
) -> None:
    base = archkit_images.push("other/base:1", TWO)
    new = archkit_images.push("part:1", "linux/s390x")
    made = stitcher.extend(app, [new.reference], base=base.reference, if_absent=True, tags=["2"])
    assert platforms(made) == [*TWO, "linux/s390x"]
    assert archkit_registry.resolve("app:1") == made.digest == archkit_registry.resolve("app:2")
    assert archkit_registry.resolve("other/base:1") == base.digest
    assert stitcher.extend(app, [new], base=base) == made
    assert platforms(stitcher.extend(app, [new.reference], base=made)) == platforms(made)


def test_a_plain_image_is_an_index_of_itself(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    archkit_images.push("app:1", "linux/amd64")
    new = archkit_images.push("app:new", "linux/arm64")
    made = stitcher.extend(app, [new.reference])
    assert platforms(made) == TWO
    assert made.media_type == OCI_INDEX


def test_an_entry_without_platform_is_asked_for_it(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str
) -> None:
    both = archkit_images.push("app:both", TWO)
    bare = [attrs.evolve(child, platform_fields=None) for child in both.children.values()]
    archkit_registry.contents.put_manifest(app, encode_index(compose_index(bare, target=app)))
    new = archkit_images.push("app:new", "linux/arm64", labels={"version": "2"})
    with pytest.raises(StitchError, match="two images are for linux/arm64"):
        stitcher.extend(app, [new])


@pytest.mark.parametrize("tag", ["1", "gone"])
def test_what_is_not_there_cannot_be_changed(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, tag: str) -> None:
    new = archkit_images.push("part:1", "linux/arm64")
    if tag == "gone":
        archkit_images.push("app:other", "linux/amd64")
    with pytest.raises(StitchError) as extended:
        stitcher.extend(app, [new])
    with pytest.raises(StitchError) as replaced:
        stitcher.replace(app, [new])
    with pytest.raises(StitchError) as removed:
        stitcher.remove(app, "linux/arm64")
    expected = f"cannot stitch {app}: {app} is not there, so it cannot be changed; stitch() makes an index"
    assert {str(caught.value) for caught in (extended, replaced, removed)} == {expected}


def test_a_base_that_cannot_be_read_is_the_registrys_error(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, old: BuiltImage
) -> None:
    archkit_registry.on("GET", kind="manifest").answer(403)
    with pytest.raises(RegistryError) as caught:
        stitcher.remove(app, "linux/arm64")
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("target", "options", "reason"),
    [
        ("{host}/app", {}, "the target has no tag that could be changed; write NAME:TAG, or pass base="),
        ("{host}/app:1", {"if_absent": True}, "if_absent says that the target does not exist, but it is to be changed; pass base="),
        ("{host}/app:1", {"if_absent": True, "expect": "sha256:" + "0" * 64}, "choose one"),
    ],
)
def test_what_cannot_be_changed_is_refused_before_anything_is_asked(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, target: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(StitchError, match=reason.replace("(", r"\(")):
        stitcher.extend(target.format(host=archkit_registry.host), ["x:1"], **options)
    assert not archkit_registry.log


def test_a_single_source_is_a_type_error(stitcher: IndexStitcher, app: str) -> None:
    for method in (stitcher.extend, stitcher.replace):
        with pytest.raises(TypeError, match="sources must be several"):
            method(app, "x:1")


# ---- replace ----------------------------------------------------------------------------------------------------


def test_an_image_takes_the_place_of_the_one_for_its_platform(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, old: BuiltImage
) -> None:
    new = archkit_images.push("app:new", "linux/amd64", labels={"version": "2"}, attestations=True)
    before = archkit_registry.manifest("app:1").document()
    made = stitcher.replace(app, [new.reference])
    assert isinstance(before, Index)
    assert platforms(made) == TWO
    image, about, *rest = made.descriptors
    assert image.digest == new.children[Platform.parse("linux/amd64")].digest
    assert about.annotations[ATTESTED] == image.digest
    assert tuple(rest) == (before.manifests[1], before.manifests[3])  # without the attestation of what was replaced


def test_a_platform_to_replace_must_be_there(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, old: BuiltImage) -> None:
    new = archkit_images.push("app:new", "linux/386")
    with pytest.raises(StitchError) as caught:
        stitcher.replace(app, [new])
    assert (
        str(caught.value) == f"cannot stitch {app}: {app} has no image for linux/386 to replace; it has linux/amd64, linux/arm64; "
        "extend() adds one"
    )


def test_a_patched_windows_takes_the_place_of_the_one_before(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    archkit_images.push("app:1", ["windows(10.0.17763.1)/amd64", WINDOWS.format(1), "linux/amd64"])
    new = archkit_images.push("app:new", WINDOWS.format(2))
    made = stitcher.replace(app, [new])
    assert platforms(made) == ["windows(10.0.17763.1)/amd64", WINDOWS.format(2), "linux/amd64"]
    assert platforms(stitcher.extend(app, [archkit_images.push("app:3", WINDOWS.format(3))]))[-1] == WINDOWS.format(3)


def test_replacing_an_image_by_itself_keeps_what_is_said_of_it(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str
) -> None:
    part = archkit_images.push("app:part", "linux/amd64")
    before = stitcher.stitch(app, [AnnotatedSource(part, {"team": "a", "kept": "yes"})])
    assert stitcher.replace(app, [part]) == before
    changed = stitcher.replace(app, [AnnotatedSource(part, {"team": "b"})])
    assert changed.descriptors[0].annotations == {"team": "b", "kept": "yes"}


# ---- remove -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text", "platform", "list", "digest", "digest-text"])
def test_an_image_goes_with_its_attestations(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, old: BuiltImage, kind: str
) -> None:
    arm = Platform.parse("linux/arm64")
    digest = old.children[arm].digest
    unwanted: dict[str, Any] = {"text": "linux/aarch64", "platform": arm, "list": [arm], "digest": [digest], "digest-text": str(digest)}
    before = archkit_registry.manifest("app:1").document()
    made = stitcher.remove(app, unwanted[kind])
    assert isinstance(before, Index)
    assert made.descriptors == (before.manifests[0], before.manifests[2])
    assert archkit_registry.resolve(f"app@{digest}") == digest  # nothing is deleted


def test_what_is_removed_must_be_there(archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, old: BuiltImage) -> None:
    with pytest.raises(StitchError) as caught:
        stitcher.remove(app, "linux/amd64,linux/386")
    assert str(caught.value) == f"cannot stitch {app}: {app} has no image for linux/386 to remove; it has linux/amd64, linux/arm64"
    with pytest.raises(StitchError, match=f"has no entry {Digest.of(b'')} to remove"):
        stitcher.remove(app, Digest.of(b""))
    assert not archkit_registry.log.where(method="PUT")


def test_an_index_is_not_emptied(stitcher: IndexStitcher, app: str, old: BuiltImage) -> None:
    with pytest.raises(StitchError, match=f"no image of {app} would be left; remove the tag instead"):
        stitcher.remove(app, TWO)


@pytest.mark.parametrize("unwanted", [[], ""])
def test_nothing_to_remove_is_a_mistake(stitcher: IndexStitcher, app: str, unwanted: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        stitcher.remove(app, unwanted)


def test_a_windows_without_version_is_every_version(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    archkit_images.push("app:1", [WINDOWS.format(1), "linux/amd64", "windows(10.0.17763.1)/amd64"])
    assert platforms(stitcher.remove(app, "windows/amd64")) == ["linux/amd64"]


# ---- what is kept -----------------------------------------------------------------------------------------------


def test_annotations_are_kept_and_overridden_one_by_one(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    new = archkit_images.push("app:new", "linux/s390x")
    stitcher.stitch(app, [archkit_images.push("app:part", "linux/amd64")], annotations={"a": "1", "b": "2"}, artifact_type="application/x")
    made = json.loads(stitcher.extend(app, [new], annotations={"b": "3", "c": "4"}).manifest)
    assert made["annotations"] == {"a": "1", "b": "3", "c": "4"}
    assert made["artifactType"] == "application/x"


@pytest.mark.parametrize(
    ("base", "added", "media_type"),
    [(True, True, DOCKER_LIST), (True, False, OCI_INDEX), (False, True, OCI_INDEX), (False, False, OCI_INDEX)],
)
def test_the_type_is_kept_while_it_can_hold_the_entries(
    archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, base: bool, added: bool, media_type: str
) -> None:
    archkit_images.push("app:1", TWO, docker=base)
    new = archkit_images.push("app:new", "linux/s390x", docker=added)
    assert stitcher.extend(app, [new]).media_type == media_type


def test_an_index_of_docker_images_stays_an_index(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    part = archkit_images.push("app:part", "linux/amd64", docker=True)
    stitcher.stitch(app, [part], media_type=OCI_INDEX)
    assert stitcher.extend(app, [archkit_images.push("app:new", "linux/arm64", docker=True)]).media_type == OCI_INDEX

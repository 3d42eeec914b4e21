"""What stands in entries: annotations of sources, several images for one platform, platforms that are believed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from archkit import AnnotatedSource, IndexStitcher, RegistryError, Source, StitchError
from archkit.model.oci import ATTESTATION, ATTESTED, DOCKER_LIST, OCI_INDEX, OCI_MANIFEST, Index
from archkit.planning.index import encode_index

if TYPE_CHECKING:
    from archkit.testing import EmbeddedRegistry, ImageFactory

TWO = ("linux/amd64", "linux/arm64")


@pytest.fixture
def stitcher(archkit_registry: EmbeddedRegistry) -> IndexStitcher:
    return IndexStitcher(archkit_registry.client())


@pytest.fixture
def app(archkit_registry: EmbeddedRegistry) -> str:
    return f"{archkit_registry.host}/app:1"


# ---- annotations ------------------------------------------------------------------------------------------------


def test_annotations_stand_on_the_entries_of_their_source(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    parts = [archkit_images.push(f"app:{platform[6:]}", platform).reference for platform in TWO]
    made = stitcher.stitch(app, [AnnotatedSource(parts[0], {"team": "a & b"}), parts[1]])
    first, second = json.loads(made.manifest)["manifests"]
    assert list(first) == ["mediaType", "digest", "size", "annotations", "platform"]
    assert first["annotations"] == {"team": "a & b"}
    assert "annotations" not in second


@pytest.mark.parametrize("flatten", [True, False])
def test_an_index_is_annotated_as_it_stands(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, flatten: bool) -> None:
    both = archkit_images.push("app:both", list(TWO), attestations=True)
    made = stitcher.stitch(app, [AnnotatedSource(both.reference, {"team": "a"})], flatten=flatten)
    images = [entry for entry in made.descriptors if ATTESTATION not in entry.annotations]
    others = [entry for entry in made.descriptors if ATTESTATION in entry.annotations]
    assert [dict(entry.annotations) for entry in images] == [{"team": "a"}] * (2 if flatten else 1)
    assert all(set(entry.annotations) == {ATTESTATION, ATTESTED} for entry in others)
    assert len(others) == (2 if flatten else 0)


def test_a_mapping_takes_annotated_sources(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    part = archkit_images.push("app:amd64", "linux/amd64")
    made = stitcher.stitch(app, {"linux/amd64": AnnotatedSource(part, {"team": "a"})})
    assert made.descriptors[0].annotations == {"team": "a"}


@pytest.mark.parametrize("media_type", [None, DOCKER_LIST])
def test_a_docker_list_cannot_hold_them(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, media_type: str | None
) -> None:
    source = AnnotatedSource(archkit_images.push("app:amd64", "linux/amd64", docker=True), {"team": "a"})
    with pytest.raises(StitchError, match=r"a Docker manifest list cannot hold annotations \(team\); ask for media_type="):
        stitcher.stitch(app, [source], media_type=media_type)
    assert not archkit_registry.log.where(method="PUT")
    assert stitcher.stitch(app, [source], media_type=OCI_INDEX).descriptors[0].annotations == {"team": "a"}


@pytest.mark.parametrize("name", [ATTESTATION, ATTESTED])
def test_nobody_makes_an_image_an_attestation(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, name: str
) -> None:
    source = AnnotatedSource(archkit_images.push("app:amd64", "linux/amd64"), {name: "x"})
    with pytest.raises(StitchError, match=f"{name} says that an entry is an attestation"):
        stitcher.stitch(app, [source])


def test_a_single_annotated_source_is_a_type_error(stitcher: IndexStitcher, app: str) -> None:
    source: Any = AnnotatedSource("x:1", {"a": "b"})
    with pytest.raises(TypeError, match="sources must be several"):
        stitcher.stitch(app, source)


# ---- several images for one platform ----------------------------------------------------------------------------


def test_the_caller_may_order_images_for_one_platform(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    images = [archkit_images.push(f"app:{number}", "linux/amd64", labels={"number": str(number)}) for number in range(3)]
    order: list[Source] = [images[2], images[0], images[1], images[0]]
    made = stitcher.stitch(app, order, duplicates="keep-order")
    assert [entry.digest for entry in made.descriptors] == [images[number].digest for number in (2, 0, 1)]
    with pytest.raises(StitchError, match="two images are for linux/amd64"):
        stitcher.stitch(app, order)


def test_an_extension_keeps_the_order_too(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    first, second = (archkit_images.push(f"app:{number}", "linux/amd64", labels={"number": str(number)}) for number in range(2))
    stitcher.stitch(app, [first])
    made = stitcher.extend(app, [second], duplicates="keep-order")
    assert [entry.digest for entry in made.descriptors] == [first.digest, second.digest]


# ---- platforms that are believed --------------------------------------------------------------------------------


def test_a_platform_that_is_believed_costs_no_configuration(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str
) -> None:
    parts = {platform: archkit_images.push(f"app:{platform[6:]}", platform) for platform in TWO}
    names = {platform: image.reference for platform, image in parts.items()}
    made = stitcher.stitch(app, names, verify=False)
    assert sorted(exchange.method for exchange in archkit_registry.log) == ["HEAD", "HEAD", "PUT"]
    assert made == stitcher.stitch(app, names)
    archkit_registry.log.clear()
    bare = {platform: image.descriptor or "" for platform, image in parts.items()}
    assert stitcher.stitch(app, bare, verify=False).manifest == made.manifest
    assert [exchange.method for exchange in archkit_registry.log] == ["PUT"]


def test_an_index_is_read_though_it_is_believed(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    one = archkit_images.push("app:amd64", "linux/amd64", attestations=True)
    assert len(stitcher.stitch(app, {"linux/amd64": one.reference}, verify=False).descriptors) == 2
    with pytest.raises(StitchError, match="was given as linux/arm64, but it is linux/amd64"):
        stitcher.stitch(app, {"linux/arm64": one.reference}, verify=False)


def test_what_is_believed_must_be_there(stitcher: IndexStitcher, app: str, archkit_registry: EmbeddedRegistry) -> None:
    with pytest.raises(RegistryError, match=f"{archkit_registry.host}/app:none: it is not there") as caught:
        stitcher.stitch(app, {"linux/amd64": f"{archkit_registry.host}/app:none"}, verify=False)
    assert caught.value.status == 404


def test_belief_needs_platforms(archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str) -> None:
    with pytest.raises(StitchError, match="verify=False believes the platforms that it is told; give sources="):
        stitcher.stitch(app, ["x:1"], verify=False)
    assert not archkit_registry.log


# ---- entries that are odd ---------------------------------------------------------------------------------------


def test_all_platforms_are_every_entry(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    both = archkit_images.push("app:both", list(TWO), attestations=True)
    assert len(stitcher.stitch(app, [both.reference], platforms="all").descriptors) == 4


@pytest.mark.parametrize("flatten", [True, False])
def test_a_nested_index_is_of_no_platform(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, flatten: bool) -> None:
    both = archkit_images.push("app:both", list(TWO))
    single = archkit_images.push("app:single", "linux/s390x")
    if flatten:
        made = stitcher.stitch(app, [both.reference, single.reference], platforms="linux/s390x,linux/arm64")
        assert str(made.platforms) == "linux/arm64,linux/s390x"
    else:
        made = stitcher.stitch(app, [both.reference, single.reference], platforms="linux/s390x", flatten=False)
        assert [entry.digest for entry in made.descriptors] == [single.digest]
        with pytest.raises(StitchError, match="no source has an image for linux/arm64; the sources have linux/s390x; an index that stays"):
            stitcher.stitch(app, [both.reference, single.reference], platforms="linux/arm64", flatten=False)


def test_a_nested_index_can_be_added_and_removed(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    first = stitcher.stitch(app, [archkit_images.push("app:single", "linux/s390x").reference])
    both = archkit_images.push("app:both", list(TWO))
    made = stitcher.extend(app, [both.reference], flatten=False)
    assert [entry.digest for entry in made.descriptors] == [first.descriptors[0].digest, both.digest]
    assert both.digest is not None
    assert stitcher.remove(app, both.digest) == first
    with pytest.raises(StitchError, match=f"has no image for {both.digest} to replace"):
        stitcher.replace(app, [both.reference], flatten=False)


def test_an_entry_that_lies_about_its_type_is_refused(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str
) -> None:
    both = archkit_images.push("app:both", list(TWO))
    assert both.descriptor is not None
    liar = attrs.evolve(both.descriptor, media_type=OCI_MANIFEST)
    archkit_registry.contents.put_manifest(app, encode_index(Index(OCI_INDEX, (liar,))))
    with pytest.raises(StitchError, match=f"app@{both.digest} is an index, but its entry in .* says {re.escape(OCI_MANIFEST)}"):
        stitcher.stitch(f"{app}2", [app])

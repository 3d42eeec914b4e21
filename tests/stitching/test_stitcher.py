"""IndexStitcher against the embedded registry: what it makes, what it asks for, what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from archkit import (
    BuiltImage,
    Descriptor,
    Digest,
    ImageReference,
    IndexStitcher,
    OciLayout,
    PlatformSet,
    RawManifest,
    RegistryClient,
    RegistryError,
    Retries,
    Source,
    StitchedIndex,
    StitchError,
)
from archkit.model.oci import ATTESTED, DOCKER_LIST, OCI_INDEX
from archkit.testing import EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def app(archkit_registry: EmbeddedRegistry) -> str:
    return f"{archkit_registry.host}/team/app"


@pytest.fixture
def stitcher(archkit_registry: EmbeddedRegistry) -> IndexStitcher:
    return IndexStitcher(archkit_registry.client())


@pytest.fixture
def parts(archkit_images: ImageFactory, app: str) -> list[str]:
    for platform in ("linux/amd64", "linux/arm64"):
        archkit_images.push(f"team/app:1_{platform.replace('/', '_')}", platform)
    return [f"{app}:1_linux_amd64", f"{app}:1_linux_arm64"]


def asked(registry: EmbeddedRegistry) -> list[str]:
    return sorted(f"{exchange.method} {exchange.kind}" for exchange in registry.log)


def entries(made: StitchedIndex) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(made.manifest)["manifests"]
    return found


# ---- what it makes ----------------------------------------------------------------------------------------------


def test_two_tags_become_one_index(archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, parts: list[str]) -> None:
    made = stitcher.stitch(f"{app}:1", parts)
    stored = archkit_registry.manifest("team/app:1")
    assert stored == RawManifest(OCI_INDEX, made.manifest)
    assert str(made.reference) == f"{app}:1@{stored.digest}"
    assert (made.digest, made.size, made.media_type) == (stored.digest, len(stored.content), OCI_INDEX)
    assert str(made.platforms) == "linux/amd64,linux/arm64"
    assert archkit_registry.platforms("team/app:1") == made.platforms
    assert made.descriptors == tuple(Descriptor.from_json(entry) for entry in entries(made))
    assert str(parts[0]).encode() not in made.manifest


def test_two_tags_cost_five_requests(archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, parts: list[str]) -> None:
    stitcher.stitch(f"{app}:1", parts)
    assert asked(archkit_registry) == ["GET blob", "GET blob", "GET manifest", "GET manifest", "PUT manifest"]
    assert archkit_registry.log[-1].method == "PUT"


def test_known_descriptors_cost_one_request(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, app: str) -> None:
    known = [archkit_images.push(f"team/app:{tag}", platform) for tag, platform in (("a", "linux/amd64"), ("b", "linux/arm64"))]
    descriptors = [descriptor for image in known for descriptor in image.children.values()]
    made = IndexStitcher(archkit_registry.client()).stitch(f"{app}:1", descriptors)
    assert asked(archkit_registry) == ["PUT manifest"]
    assert made.platforms == PlatformSet("linux/amd64,linux/arm64")


def test_images_that_a_build_handed_over_cost_one_request(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str
) -> None:
    known = [archkit_images.push(f"team/app:{tag}", platform) for tag, platform in (("a", "linux/amd64"), ("b", "linux/arm64"))]
    made = stitcher.stitch(f"{app}:1", known)
    assert asked(archkit_registry) == ["PUT manifest"]
    again = stitcher.stitch(f"{app}:2", [made])
    assert asked(archkit_registry) == ["PUT manifest", "PUT manifest"]
    assert again.manifest == made.manifest


@pytest.mark.parametrize("kind", ["tags", "digests", "references", "images", "descriptors", "bare-descriptors", "index"])
def test_every_kind_of_source_gives_the_same_bytes(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, kind: str
) -> None:
    images = [archkit_images.push(f"team/app:{tag}", platform) for tag, platform in (("a", "linux/amd64"), ("b", "linux/arm64"))]
    digests = [image.digest for image in images]
    sources: dict[str, list[Source]] = {
        "tags": [f"{app}:a", f"{app}:b"],
        "digests": [f"{app}@{digest}" for digest in digests],
        "references": [ImageReference.parse(image.reference) for image in images],
        "images": [BuiltImage(image.name, image.reference) for image in images],
        "descriptors": [child for image in images for child in image.children.values()],
        "bare-descriptors": [image.descriptor for image in images if image.descriptor is not None],
        "index": [archkit_images.push("team/app:both", ["linux/amd64", "linux/arm64"]).reference],
    }
    expected = archkit_images.push("team/app:expected", ["linux/amd64", "linux/arm64"])
    made = stitcher.stitch(f"{app}:1", sources[kind])
    assert made.manifest == archkit_registry.manifest("team/app:expected").content
    assert made.digest == expected.digest


def test_one_source_may_be_an_index_of_its_own(stitcher: IndexStitcher, app: str, parts: list[str]) -> None:
    assert stitcher.stitch(f"{app}:1", parts[:1]).platforms == PlatformSet("linux/amd64")


def test_platform_fields_stand_as_the_configuration_has_them(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    configs: list[dict[str, object]] = [
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
        {"architecture": "amd64", "os": "windows", "os.version": "10.0.20348.1", "os.features": ["win32k"]},
    ]
    platforms = ["linux/arm64", "windows/amd64"]
    for number, (config, platform) in enumerate(zip(configs, platforms, strict=True)):
        archkit_images.push(f"team/app:{number}", platform, config={platform: config})
    made = stitcher.stitch(f"{app}:1", [f"{app}:0", f"{app}:1"])
    assert [entry["platform"] for entry in entries(made)] == configs
    assert str(made.platforms) == "linux/arm64,windows(10.0.20348.1+win32k)/amd64"


@pytest.mark.parametrize(("docker", "expected"), [([True, True], DOCKER_LIST), ([False, False], OCI_INDEX), ([True, False], OCI_INDEX)])
def test_media_type_follows_the_sources(
    archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, docker: list[bool], expected: str
) -> None:
    archkit_images.push("team/app:a", "linux/amd64", docker=docker[0])
    archkit_images.push("team/app:b", "linux/arm64", docker=docker[1])
    assert stitcher.stitch(f"{app}:1", [f"{app}:a", f"{app}:b"]).media_type == expected


def test_annotations_stand_on_the_index(stitcher: IndexStitcher, app: str, parts: list[str]) -> None:
    made = stitcher.stitch(f"{app}:1", parts, annotations={"org.opencontainers.image.version": "1 & <2>"})
    assert json.loads(made.manifest)["annotations"] == {"org.opencontainers.image.version": "1 & <2>"}


def test_the_order_of_the_sources_is_kept(stitcher: IndexStitcher, app: str, parts: list[str]) -> None:
    assert str(stitcher.stitch(f"{app}:1", reversed(parts)).platforms) == "linux/arm64,linux/amd64"


def test_the_same_image_given_twice_stands_once(stitcher: IndexStitcher, app: str, parts: list[str]) -> None:
    assert len(stitcher.stitch(f"{app}:1", [*parts, parts[0]]).descriptors) == 2


def test_a_target_without_tag_is_stored_by_digest_only(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, parts: list[str]
) -> None:
    made = stitcher.stitch(app, parts)
    assert str(made.reference) == f"{app}@{made.digest}"
    assert archkit_registry.manifest(made.reference).content == made.manifest
    assert archkit_registry.tags("team/app") == ["1_linux_amd64", "1_linux_arm64"]


def test_a_dry_run_gives_the_bytes_and_stores_nothing(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, parts: list[str]
) -> None:
    dry = stitcher.stitch(f"{app}:1", parts, dry_run=True)
    assert not archkit_registry.log.where(method="PUT")
    assert archkit_registry.tags("team/app") == ["1_linux_amd64", "1_linux_arm64"]
    assert stitcher.stitch(f"{app}:1", parts) == dry


# ---- indexes as sources -----------------------------------------------------------------------------------------


def test_attestations_follow_their_images(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    for tag, platform in (("a", "linux/amd64"), ("b", "linux/arm64")):
        archkit_images.push(f"team/app:{tag}", platform, attestations=True)
    made = stitcher.stitch(f"{app}:1", [f"{app}:a", f"{app}:b"])
    assert str(made.platforms) == "linux/amd64,linux/arm64"
    first, about_first, second, about_second = made.descriptors
    assert about_first.annotations[ATTESTED] == first.digest
    assert about_second.annotations[ATTESTED] == second.digest


def test_a_built_index_is_read_only_where_it_holds_more_than_its_images(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str
) -> None:
    plain = archkit_images.push("team/app:plain", ["linux/amd64", "linux/arm64"])
    attested = archkit_images.push("team/app:attested", ["linux/amd64", "linux/arm64"], attestations=True)
    assert len(stitcher.stitch(f"{app}:1", [plain]).descriptors) == 2
    assert asked(archkit_registry) == ["PUT manifest"]
    assert len(stitcher.stitch(f"{app}:2", [attested]).descriptors) == 4
    assert asked(archkit_registry) == ["GET manifest", "PUT manifest", "PUT manifest"]


def test_an_index_is_flattened_without_reading_its_images(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str
) -> None:
    archkit_images.push("team/app:both", ["linux/amd64", "linux/arm64"])
    archkit_images.push("team/app:c", "linux/s390x")
    made = stitcher.stitch(f"{app}:1", [f"{app}:both", f"{app}:c"])
    assert str(made.platforms) == "linux/amd64,linux/arm64,linux/s390x"
    assert asked(archkit_registry) == ["GET blob", "GET manifest", "GET manifest", "PUT manifest"]


def test_an_index_inside_an_index_is_flattened_too(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    both = archkit_images.push("team/app:both", ["linux/amd64", "linux/arm64"])
    nested = stitcher.stitch(f"{app}:nested", [both.reference], flatten=False)
    assert [descriptor.media_type for descriptor in nested.descriptors] == [OCI_INDEX]
    assert stitcher.stitch(f"{app}:1", [f"{app}:nested"]).digest == both.digest


def test_an_index_may_stand_in_the_index_itself(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str
) -> None:
    both = archkit_images.push("team/app:both", ["linux/amd64", "linux/arm64"])
    sources: list[Source] = [both.reference, both, both.descriptor or "", stitcher.stitch(f"{app}:2", [both])]
    made = stitcher.stitch(f"{app}:1", sources, flatten=False)
    assert made.descriptors == (both.descriptor,)
    assert archkit_registry.manifest("team/app:1").content == made.manifest


def test_indexes_inside_each_other_have_an_end(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    source = stitcher.stitch(f"{app}:n", [archkit_images.push("team/app:0", ["linux/amd64", "linux/arm64"])])
    for number in range(4):
        source = stitcher.stitch(f"{app}:n{number}", [source], flatten=False, annotations={"n": str(number)})
    with pytest.raises(StitchError, match="more than 4 indexes stand inside each other"):
        stitcher.stitch(f"{app}:1", [source.reference])


def test_an_entry_without_platform_is_read(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str
) -> None:
    from archkit.planning.index import compose_index, encode_index

    both = archkit_images.push("team/app:both", ["linux/amd64", "linux/arm64"])
    bare = [attrs.evolve(child, platform_fields=None, annotations={"kept": "yes"}) for child in both.children.values()]
    archkit_registry.contents.put_manifest(f"{app}:bare", encode_index(compose_index(bare, target=app)))
    made = stitcher.stitch(f"{app}:1", [f"{app}:bare"])
    assert str(made.platforms) == "linux/amd64,linux/arm64"
    assert all(descriptor.annotations == {"kept": "yes"} for descriptor in made.descriptors)


# ---- what each source must be -----------------------------------------------------------------------------------


def test_a_mapping_says_what_each_source_must_be(stitcher: IndexStitcher, app: str, parts: list[str]) -> None:
    made = stitcher.stitch(f"{app}:1", {"linux/amd64": parts[0], "linux/aarch64": parts[1]})
    assert str(made.platforms) == "linux/amd64,linux/arm64"


@pytest.mark.parametrize("known", [False, True])
def test_a_source_that_is_something_else_is_refused(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, parts: list[str], known: bool
) -> None:
    image = archkit_images.push("team/app:x", "linux/amd64")
    source: Source = image if known else image.reference
    with pytest.raises(StitchError) as caught:
        stitcher.stitch(f"{app}:1", {"linux/amd64": parts[0], "linux/arm64": source})
    expected = f"cannot stitch {app}:1: {image.reference} was given as linux/arm64, but it is linux/amd64; give it for its own platform"
    assert str(caught.value) == expected
    assert not archkit_registry.log.where(method="PUT")


@pytest.mark.parametrize("flatten", [False, True])
def test_a_source_of_several_platforms_is_not_one(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, flatten: bool) -> None:
    both = archkit_images.push("team/app:both", ["linux/amd64", "linux/arm64"])
    with pytest.raises(StitchError, match="given as linux/amd64, but it is linux/amd64, linux/arm64; name the digest"):
        stitcher.stitch(f"{app}:1", {"linux/amd64": both.reference}, flatten=flatten)


def test_an_image_with_an_attestation_is_one_image(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    archkit_images.push("team/app:a", "linux/amd64", attestations=True)
    assert len(stitcher.stitch(f"{app}:1", {"linux/amd64": f"{app}:a"}).descriptors) == 2


def test_a_windows_version_that_nobody_asked_for_is_no_mismatch(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    archkit_images.push("team/app:w", "windows(10.0.20348.1)/amd64")
    assert str(stitcher.stitch(f"{app}:1", {"windows/amd64": f"{app}:w"}).platforms) == "windows(10.0.20348.1)/amd64"
    with pytest.raises(StitchError, match=r"given as windows\(10\.0\.17763\.1\)/amd64, but it is windows\(10\.0\.20348\.1\)/amd64"):
        stitcher.stitch(f"{app}:1", {"windows(10.0.17763.1)/amd64": f"{app}:w"})


@pytest.mark.parametrize("config", [{}, {"architecture": "arm64"}, {"os": "linux"}])
def test_a_configuration_that_says_nothing_takes_the_platform_of_the_mapping(
    archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, config: dict[str, object]
) -> None:
    archkit_images.push("team/app:x", "linux/arm64", config={"linux/arm64": config})
    made = stitcher.stitch(f"{app}:1", {"linux/arm64": f"{app}:x"})
    assert entries(made)[0]["platform"] == {"architecture": "arm64", "os": "linux"}
    with pytest.raises(StitchError, match=rf"the configuration of {app}:x names no platform; say which it is"):
        stitcher.stitch(f"{app}:1", [f"{app}:x"])


def test_a_configuration_that_says_half_must_agree(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    archkit_images.push("team/app:x", "linux/arm64", config={"linux/arm64": {"architecture": "arm64"}})
    with pytest.raises(StitchError, match=r"was given as linux/amd64, but its configuration says \{'architecture': 'arm64'\}"):
        stitcher.stitch(f"{app}:1", {"linux/amd64": f"{app}:x"})


# ---- what it refuses --------------------------------------------------------------------------------------------


def test_two_images_for_one_platform_are_refused(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str
) -> None:
    first = archkit_images.push("team/app:a", "linux/arm64")
    second = archkit_images.push(
        "team/app:b", "linux/arm64", config={"linux/arm64": {"os": "linux", "architecture": "arm64", "variant": "v8"}}
    )
    with pytest.raises(StitchError) as caught:
        stitcher.stitch(f"{app}:1", [f"{app}:a", f"{app}:b"])
    assert (
        str(caught.value)
        == f"cannot stitch {app}:1: two images are for linux/arm64: {app}:a ({first.digest}) and {app}:b ({second.digest}); "
        "leave one of them out"
    )
    assert not archkit_registry.log.where(method="PUT")


@pytest.mark.parametrize("source", ["x:1", "app", b"x", None])
def test_a_single_source_is_a_type_error(stitcher: IndexStitcher, app: str, source: Any) -> None:
    with pytest.raises(TypeError, match=r"sources must be several|not iterable"):
        stitcher.stitch(f"{app}:1", source)


def test_a_single_image_is_a_type_error(archkit_images: ImageFactory, stitcher: IndexStitcher, app: str) -> None:
    image: Any = archkit_images.push("team/app:a", "linux/amd64")
    reference: Any = ImageReference.parse(image.reference)
    for source in (image, image.descriptor, reference):
        with pytest.raises(TypeError, match="sources must be several"):
            stitcher.stitch(f"{app}:1", source)


def test_something_else_as_a_source_is_a_type_error(stitcher: IndexStitcher, app: str) -> None:
    wrong: Any = [1]
    with pytest.raises(TypeError, match="not a source of an index: 1"):
        stitcher.stitch(f"{app}:1", wrong)


@pytest.mark.parametrize("sources", [[], {}])
def test_no_sources_are_refused(archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, sources: Any) -> None:
    with pytest.raises(StitchError, match=rf"cannot stitch {app}:1: there are no sources"):
        stitcher.stitch(f"{app}:1", sources)
    assert not archkit_registry.log


def test_a_source_that_is_not_there_is_named_and_nothing_is_pushed(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, parts: list[str]
) -> None:
    with pytest.raises(RegistryError, match=rf"{app}:none.*MANIFEST_UNKNOWN") as caught:
        stitcher.stitch(f"{app}:1", [*parts, f"{app}:none"])
    assert caught.value.status == 404
    assert not archkit_registry.log.where(method="PUT")


def test_a_target_with_a_digest_is_refused(stitcher: IndexStitcher, app: str, parts: list[str]) -> None:
    with pytest.raises(StitchError, match="the digest of an index follows from what is in it"):
        stitcher.stitch(f"{app}:1@{Digest.of(b'x')}", parts)


def test_annotations_on_a_docker_list_are_refused_before_anything_is_stored(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str
) -> None:
    archkit_images.push("team/app:a", "linux/amd64", docker=True)
    with pytest.raises(StitchError, match="a Docker manifest list cannot hold annotations"):
        stitcher.stitch(f"{app}:1", [f"{app}:a"], annotations={"a": "b"})
    assert not archkit_registry.log.where(method="PUT")
    assert stitcher.stitch(f"{app}:1", [f"{app}:a"], annotations={"a": "b"}, media_type=OCI_INDEX).media_type == OCI_INDEX


def test_a_missing_child_leaves_the_old_index(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, parts: list[str]
) -> None:
    before = stitcher.stitch(f"{app}:1", parts)
    gone = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"gone"), 4).with_platform(
        {"os": "linux", "architecture": "s390x"}
    )
    with pytest.raises(RegistryError, match=rf"MANIFEST_BLOB_UNKNOWN.*{gone.digest}"):
        stitcher.stitch(f"{app}:1", [*before.descriptors, gone])
    assert archkit_registry.resolve("team/app:1") == before.digest


def test_a_store_that_holds_something_else_is_an_error(app: str) -> None:
    class Forgetful:
        def put_manifest(self, reference: object, manifest: RawManifest) -> Descriptor:
            return attrs.evolve(manifest.descriptor, digest=Digest.of(b"other"))

    store: Any = Forgetful()
    known = Descriptor(OCI_INDEX.replace("index", "manifest"), Digest.of(b"a"), 1).with_platform({"os": "linux", "architecture": "amd64"})
    with pytest.raises(StitchError, match=f"the store answers that it holds {Digest.of(b'other')}"):
        IndexStitcher(store).stitch(f"{app}:1", [known])


# ---- guards -----------------------------------------------------------------------------------------------------


def test_if_absent_stores_where_nothing_is(archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, parts: list[str]) -> None:
    made = stitcher.stitch(f"{app}:1", parts, if_absent=True)
    assert archkit_registry.resolve("team/app:1") == made.digest
    assert [exchange.method for exchange in archkit_registry.log.where(kind="manifest")][-3:] == ["HEAD", "PUT", "HEAD"]


def test_if_absent_refuses_another_index_and_accepts_the_same(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, parts: list[str]
) -> None:
    before = stitcher.stitch(f"{app}:1", parts)
    archkit_registry.log.clear()
    assert stitcher.stitch(f"{app}:1", parts, if_absent=True) == before
    with pytest.raises(StitchError, match=f"it exists already, as {before.digest}"):
        stitcher.stitch(f"{app}:1", parts[:1], if_absent=True)
    assert not archkit_registry.log.where(method="PUT")


def test_expect_replaces_only_what_is_expected(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, parts: list[str]
) -> None:
    other = Digest.of(b"other")
    with pytest.raises(StitchError, match=f"it does not exist, expected was {other}"):
        stitcher.stitch(f"{app}:1", parts, expect=other)
    before = stitcher.stitch(f"{app}:1", parts)
    with pytest.raises(StitchError, match=f"it is {before.digest}, expected was {other}"):
        stitcher.stitch(f"{app}:1", parts[:1], expect=other)
    assert archkit_registry.resolve("team/app:1") == before.digest
    after = stitcher.stitch(f"{app}:1", parts[:1], expect=str(before.digest))
    assert archkit_registry.resolve("team/app:1") == after.digest


@pytest.mark.parametrize(
    ("target", "guards", "reason"),
    [
        ("{app}", {"if_absent": True}, "guard a tag, and the target has none"),
        ("{app}", {"expect": "sha256:" + "0" * 64}, "guard a tag, and the target has none"),
        ("{app}:1", {"expect": "sha256:" + "0" * 64, "if_absent": True}, "choose one"),
    ],
)
def test_guards_that_cannot_hold_are_refused(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, app: str, parts: list[str], target: str, guards: Any, reason: str
) -> None:
    with pytest.raises(StitchError, match=reason):
        stitcher.stitch(target.format(app=app), parts, **guards)
    assert not archkit_registry.log


# ---- when the registry fails ------------------------------------------------------------------------------------


@pytest.mark.parametrize("answered", range(5))
@pytest.mark.parametrize("after", [None, 0], ids=["before-doing-it", "before-the-answer"])
def test_whenever_the_registry_dies_the_tag_is_the_old_index_or_the_new(answered: int, after: int | None) -> None:
    with EmbeddedRegistry() as registry:
        images, app = ImageFactory(registry), f"{registry.host}/team/app"
        parts = [images.push(f"team/app:{tag}", platform).reference for tag, platform in (("a", "linux/amd64"), ("b", "linux/arm64"))]
        old = images.push("team/app:1", "linux/s390x")
        with registry.client() as client:
            new = IndexStitcher(client).stitch(f"{app}:1", parts, dry_run=True)
        if answered:
            registry.on("*").tamper(lambda response: response).times(answered)
        registry.on("*").drop(after)
        with RegistryClient(retries=Retries(attempts=1)) as client, pytest.raises(RegistryError, match="the connection broke"):
            IndexStitcher(client).stitch(f"{app}:1", parts)
        done = answered == 4 and after == 0
        assert registry.resolve("team/app:1") == (new.digest if done else old.digest)


# ---- other stores -----------------------------------------------------------------------------------------------


def test_a_layout_gives_the_same_bytes_as_a_registry(
    tmp_path: Path, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str, parts: list[str]
) -> None:
    layout = OciLayout(tmp_path / "layout")
    images = ImageFactory(layout)
    names = [str(images.push(f"{app}:{tag}", platform).reference) for tag, platform in (("a", "linux/amd64"), ("b", "linux/arm64"))]
    made = IndexStitcher(layout).stitch(f"{app}:1", names)
    assert made.manifest == stitcher.stitch(f"{app}:1", parts).manifest
    assert layout.manifest(f"{app}:1").digest == made.digest
    assert list(layout.tags(app)) == ["1", "a", "b"]


def test_without_a_store_a_registry_client_is_made(archkit_registry: EmbeddedRegistry, app: str, parts: list[str]) -> None:
    made = IndexStitcher().stitch(f"{app}:1", parts)
    assert archkit_registry.resolve("team/app:1") == made.digest


def test_many_sources_are_read_over_few_connections(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, app: str
) -> None:
    platforms = ["linux/amd64", "linux/arm64", "linux/arm/v6", "linux/arm/v7", "linux/s390x", "linux/ppc64le", "linux/riscv64", "linux/386"]
    sources = [archkit_images.push(f"team/app:{number}", platform).reference for number, platform in enumerate(platforms)]
    made = stitcher.stitch(f"{app}:1", sources)
    assert list(map(str, made.platforms)) == platforms
    assert len(archkit_registry.log) == 2 * len(platforms) + 1
    assert len({exchange.connection for exchange in archkit_registry.log}) <= 4

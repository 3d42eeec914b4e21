"""verify(): an image is whole and what it says it is, or every defect is named."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from archkit import (
    BuiltImage,
    DefectiveImageError,
    Descriptor,
    Digest,
    OciLayout,
    Platform,
    PlatformSet,
    RegistryError,
    Verification,
    verify,
)
from archkit.model.oci import ATTESTED, OCI_INDEX, Index, RawManifest
from archkit.planning.index import compose_index, encode_index
from archkit.testing import EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from pathlib import Path

TWO = ["linux/amd64", "linux/arm64"]
AMD64, ARM64 = map(Platform.parse, TWO)


def defects(registry: EmbeddedRegistry, name: str = "app:1", **options: Any) -> list[tuple[str, str]]:
    """Code and digest of every defect."""
    with pytest.raises(DefectiveImageError) as caught:
        verify(f"{registry.host}/{name}", **options)
    found = [(finding.code, finding.where.partition("@")[2]) for finding in caught.value.defects]
    assert all(digest in str(caught.value) for _, digest in found)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return found


def layer_of(registry: EmbeddedRegistry, child: Descriptor) -> Descriptor:
    document = registry.manifest(f"app@{child.digest}").document()
    assert not isinstance(document, Index)
    return document.layers[0]


def config_of(registry: EmbeddedRegistry, child: Descriptor) -> Descriptor:
    document = registry.manifest(f"app@{child.digest}").document()
    assert not isinstance(document, Index)
    return document.config


def put_index(registry: EmbeddedRegistry, entries: list[Descriptor]) -> None:
    whole = encode_index(compose_index(entries, target="app:1"))
    registry.contents.put_manifest(f"{registry.host}/app:1", whole)


@pytest.fixture
def image(archkit_images: ImageFactory) -> BuiltImage:
    return archkit_images.push("app:1", TWO, attestations=True)


# ---- whole ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [False, True])
def test_a_whole_image_is_told_to_be_whole(archkit_registry: EmbeddedRegistry, image: BuiltImage, content: bool) -> None:
    found = verify(f"{archkit_registry.host}/app:1", content=content)
    assert found == Verification(f"{archkit_registry.host}/app:1", found.digest, PlatformSet(TWO), 5, 8)
    assert found.digest == image.digest
    assert str(found) == f"{archkit_registry.host}/app:1 is whole: 5 manifests, 8 blobs, linux/amd64, linux/arm64"


def test_blobs_are_only_looked_for(archkit_registry: EmbeddedRegistry, image: BuiltImage) -> None:
    verify(f"{archkit_registry.host}/app:1", programs=False)
    assert len(archkit_registry.log.where(method="HEAD", kind="blob")) == 8
    assert len(archkit_registry.log.where(method="GET", kind="blob")) == 2  # the configurations
    assert len(archkit_registry.log) == 15


def test_a_single_image_is_verified(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    archkit_images.push("app:1", "linux/arm/v7")
    found = verify(f"{archkit_registry.host}/app:1")
    assert (found.manifests, found.blobs, str(found.platforms)) == (1, 2, "linux/arm/v7")


def test_a_layout_is_verified(tmp_path: Path) -> None:
    layout = OciLayout(tmp_path)
    image = ImageFactory(layout).push("registry.test/app:1", TWO, attestations=True)
    assert verify("registry.test/app:1", layout, content=True).blobs == 8
    assert verify(f"oci:{tmp_path}:1").platforms == PlatformSet(TWO)
    child = image.children[AMD64]
    (tmp_path / "blobs" / "sha256" / child.digest.hex).unlink()
    with pytest.raises(DefectiveImageError, match="manifest-missing"):
        verify(f"oci:{tmp_path}:1")


def test_nested_indexes_are_walked(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    inner = archkit_images.push("app:inner", TWO)
    assert inner.descriptor is not None
    put_index(archkit_registry, [inner.descriptor])
    assert verify(f"{archkit_registry.host}/app:1").platforms == PlatformSet(TWO)
    archkit_registry.contents.damage("app", inner.children[ARM64].digest, None)
    assert defects(archkit_registry) == [("manifest-missing", inner.children[ARM64].digest)]


# ---- broken -----------------------------------------------------------------------------------------------------


def test_every_defect_is_named(archkit_registry: EmbeddedRegistry, image: BuiltImage) -> None:
    amd64, arm64 = image.children.values()
    layer, config = layer_of(archkit_registry, amd64), config_of(archkit_registry, arm64)
    archkit_registry.contents.damage("app", layer.digest, None)
    archkit_registry.contents.damage("app", config.digest, None)
    assert sorted(defects(archkit_registry)) == sorted([("blob-missing", layer.digest), ("blob-missing", config.digest)])


def test_a_manifest_that_is_missing_is_named(archkit_registry: EmbeddedRegistry, image: BuiltImage) -> None:
    archkit_registry.contents.damage("app", image.children[ARM64].digest, None)
    assert defects(archkit_registry) == [("manifest-missing", image.children[ARM64].digest)]


def test_a_manifest_of_another_digest_is_named(archkit_registry: EmbeddedRegistry, image: BuiltImage) -> None:
    archkit_registry.contents.damage("app", image.children[ARM64].digest, b'{"schemaVersion":2}')
    assert defects(archkit_registry) == [("content-wrong", image.children[ARM64].digest)]


def test_a_blob_of_another_size_is_named(archkit_registry: EmbeddedRegistry, image: BuiltImage) -> None:
    layer = layer_of(archkit_registry, image.children[AMD64])
    archkit_registry.contents.damage("app", layer.digest, b"short")
    assert defects(archkit_registry) == [("size-wrong", layer.digest)]


def test_a_blob_of_another_content_is_seen_when_content_is_read(archkit_registry: EmbeddedRegistry, image: BuiltImage) -> None:
    layer = layer_of(archkit_registry, image.children[AMD64])
    archkit_registry.contents.damage("app", layer.digest, b"x" * layer.size)
    assert verify(f"{archkit_registry.host}/app:1", programs=False).blobs == 8
    assert defects(archkit_registry, content=True) == [("content-wrong", layer.digest)]
    assert defects(archkit_registry) == [("content-wrong", image.children[AMD64].digest)], "its program was looked at"


def test_a_configuration_of_another_content_is_named(archkit_registry: EmbeddedRegistry, image: BuiltImage) -> None:
    config = config_of(archkit_registry, image.children[AMD64])
    archkit_registry.contents.damage("app", config.digest, b"x" * config.size)
    assert defects(archkit_registry) == [("content-wrong", config.digest)]


def test_an_entry_that_lies_about_the_platform_is_named(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    image = archkit_images.push("app:1", TWO, config={"linux/arm64": "linux/amd64"}, elf={"linux/arm64": "amd64"})
    assert defects(archkit_registry) == [("platform-untrue", image.children[ARM64].digest)]


def test_a_program_for_another_cpu_is_named(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    image = archkit_images.push("app:1", TWO, elf={"linux/arm64": "amd64"})
    assert defects(archkit_registry) == [("program-untrue", image.children[ARM64].digest)]
    assert verify(f"{archkit_registry.host}/app:1", programs=False).findings == ()


def test_a_32_bit_program_is_a_warning(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    archkit_images.push("app:1", TWO, elf={"linux/arm64": "arm"})
    found = verify(f"{archkit_registry.host}/app:1")
    assert [finding.code for finding in found.findings] == ["entrypoint-32-bit"]
    assert "entrypoint-32-bit" in str(found)


def test_an_entry_with_a_wrong_size_or_type_is_named(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    amd64, arm64 = archkit_images.push("app:old", TWO).children.values()
    put_index(archkit_registry, [attrs.evolve(amd64, size=amd64.size + 1), arm64])
    assert defects(archkit_registry) == [("size-wrong", amd64.digest)]
    put_index(archkit_registry, [attrs.evolve(amd64, media_type=OCI_INDEX), arm64])
    assert defects(archkit_registry) == [("content-wrong", amd64.digest)]


@pytest.mark.parametrize("about", [str(Digest.of(b"nobody")), None])
def test_an_attestation_of_nothing_is_named(archkit_registry: EmbeddedRegistry, image: BuiltImage, about: str | None) -> None:
    whole = archkit_registry.manifest("app:1").document()
    assert isinstance(whole, Index)
    first, second, attestation, _ = whole.manifests
    annotations = {**attestation.annotations, ATTESTED: about} if about else {"vnd.docker.reference.type": "attestation-manifest"}
    put_index(archkit_registry, [first, second, attrs.evolve(attestation, annotations=annotations)])
    assert defects(archkit_registry) == [("attestation-without-image", attestation.digest)]


def test_two_images_for_one_platform_are_a_warning(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    one = archkit_images.push("app:a", "linux/amd64").children[AMD64]
    other = archkit_images.push("app:b", "linux/amd64", labels={"a": "b"}).children[AMD64]
    content = encode_index(Index(OCI_INDEX, (one, other)))
    archkit_registry.contents.put_manifest(f"{archkit_registry.host}/app:1", RawManifest(OCI_INDEX, content.content))
    found = verify(f"{archkit_registry.host}/app:1")
    assert [finding.code for finding in found.findings] == ["platform-twice"]


# ---- when it cannot be told -------------------------------------------------------------------------------------


def test_a_registry_that_does_not_answer_is_no_defect(archkit_registry: EmbeddedRegistry, image: BuiltImage) -> None:
    archkit_registry.on("HEAD", kind="blob").answer(403, body="no")
    with pytest.raises(RegistryError, match="HTTP 403") as caught:
        verify(f"{archkit_registry.host}/app:1")
    assert not isinstance(caught.value, DefectiveImageError)


def test_what_is_not_there_is_an_error_of_404(archkit_registry: EmbeddedRegistry) -> None:
    with pytest.raises(RegistryError) as caught:
        verify(f"{archkit_registry.host}/app:1")
    assert (caught.value.status, isinstance(caught.value, DefectiveImageError)) == (404, False)


def test_how_much_is_asked_at_once_is_bounded(archkit_registry: EmbeddedRegistry, image: BuiltImage) -> None:
    assert verify(f"{archkit_registry.host}/app:1", parallel=1).blobs == 8
    assert {exchange.connection for exchange in archkit_registry.log} == {1}
    with pytest.raises(ValueError, match="parallel must be 1 at least"):
        verify(f"{archkit_registry.host}/app:1", parallel=0)

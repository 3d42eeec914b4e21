"""inspect(): what docker manifest inspect prints, as a value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from archkit import ContentError, Digest, IndexStitcher, OciLayout, Platform, PlatformSet, RegistryClient, RegistryError, inspect
from archkit.model.oci import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, RawManifest
from archkit.planning.index import canonical_json
from archkit.testing import EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from pathlib import Path

TWO = ["linux/amd64", "linux/arm64"]


def test_an_index_costs_one_request(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    made = archkit_images.push("team/app:1", TWO, attestations=True)
    found = inspect(f"{archkit_registry.host}/team/app:1")
    assert len(archkit_registry.log) == 1
    assert (found.media_type, found.digest, found.is_index, found.platform) == (OCI_INDEX, made.digest, True, None)
    assert found.content == archkit_registry.manifest("team/app:1").content
    assert found.size == len(found.content)
    assert found.platforms == PlatformSet(TWO)
    assert [entry.kind for entry in found.entries] == ["image", "image", "attestation", "attestation"]
    assert [entry.platform for entry in found.entries] == [*map(Platform.parse, TWO), None, None]
    assert [entry.attests for entry in found.attestations] == [entry.descriptor.digest for entry in found.entries[:2]]
    assert found.stored_size is None


def test_an_image_costs_two_and_says_its_platform(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    archkit_images.push("app:1", "linux/arm/v7", docker=True, labels={"a": "b"})
    found = inspect(f"{archkit_registry.host}/app:1", archkit_registry.client())
    assert len(archkit_registry.log) == 2
    assert (found.media_type, str(found.platform), found.entries) == (DOCKER_MANIFEST, "linux/arm/v7", ())
    assert found.config is not None
    assert found.config.entrypoint == ("/app",)
    assert found.stored_size == found.size + found.config_size + found.layers[0].size


def test_children_are_read_when_asked_for(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    archkit_images.push("app:1", TWO, attestations=True)
    found = inspect(f"{archkit_registry.host}/app:1", children=True)
    images = [entry.image for entry in found.entries]
    assert [str(image.platform) for image in images if image is not None] == [*TWO, "unknown/unknown", "unknown/unknown"]
    assert " in all" in str(found)


def test_annotations_subject_and_artifact_type_are_told(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    image = archkit_images.push("app:1", "linux/amd64")
    assert image.descriptor is not None
    fields = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "artifactType": "application/x.list",
        "manifests": [],
        "subject": {"mediaType": OCI_MANIFEST, "digest": image.digest, "size": image.descriptor.size},
        "annotations": {"by": "me"},
    }
    archkit_registry.contents.put_manifest(f"{archkit_registry.host}/app:2", RawManifest(OCI_INDEX, canonical_json(fields)))
    found = inspect(f"{archkit_registry.host}/app:2")
    assert (found.artifact_type, dict(found.annotations)) == ("application/x.list", {"by": "me"})
    assert found.subject is not None
    assert found.subject.digest == image.digest
    assert str(found).splitlines()[3:] == ["  artifact type: application/x.list", f"  about: {image.digest}", "  by: me"]
    assert json.loads(found.to_json())["subject"]["digest"] == image.digest


def test_the_text_is_for_people(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    parts = archkit_images.push("app:1", TWO, attestations=True)
    found = inspect(f"{archkit_registry.host}/app:1")
    amd64, arm64 = (image.digest for image in parts.children.values())
    lines = str(found).splitlines()
    assert lines[:3] == [f"{archkit_registry.host}/app:1", f"  {OCI_INDEX}", f"  {parts.digest}, {found.size} bytes"]
    assert lines[3].startswith(f"  linux/amd64                 {amd64}, ")
    assert lines[4].startswith(f"  linux/arm64                 {arm64}, ")
    assert lines[5].startswith("  attestation of linux/amd64  sha256:")
    single = str(inspect(f"{archkit_registry.host}/app@{amd64}"))
    assert "  linux/amd64, 1 layer, " in single


def test_the_json_is_for_programs(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    made = archkit_images.push("app:1", ["linux/arm/v7", "windows(10.0.17763.1)/amd64"])
    fields = json.loads(inspect(f"{archkit_registry.host}/app:1", children=True).to_json())
    assert (fields["digest"], fields["mediaType"], fields["reference"]) == (made.digest, OCI_INDEX, f"{archkit_registry.host}/app:1")
    first, second = fields["manifests"]
    assert first["platform"] == {"architecture": "arm", "os": "linux", "variant": "v7"}
    assert second["platform"]["os.version"] == "10.0.17763.1"
    assert second["image"]["platform"] == second["platform"]
    assert first["kind"] == "image"
    assert first["image"]["layers"][0]["size"] > 0
    assert first["image"]["config"]["entrypoint"] == ["/app"]


@pytest.mark.parametrize("named", [False, True])
def test_a_layout_is_inspected_too(tmp_path: Path, named: bool) -> None:
    layout = OciLayout(tmp_path / "layout")
    made = ImageFactory(layout).push("registry.test/app:1", TWO)
    found = inspect(f"oci:{layout.path}:1") if named else inspect("registry.test/app:1", layout)
    assert (found.digest, found.platforms) == (made.digest, PlatformSet(TWO))
    assert inspect(f"oci:{layout.path}@{made.digest}").digest == made.digest


def test_what_a_stitcher_made_is_what_is_inspected(archkit_registry: EmbeddedRegistry) -> None:
    with RegistryClient() as client:
        parts = [ImageFactory(client).push(f"{archkit_registry.host}/app:{number}", name) for number, name in enumerate(TWO)]
        made = IndexStitcher(client).stitch(f"{archkit_registry.host}/app:all", parts, annotations={"a": "b"})
        found = inspect(made.reference, client)
    assert (found.content, dict(found.annotations)) == (made.manifest, {"a": "b"})


def test_what_is_not_there_is_an_error_of_404(archkit_registry: EmbeddedRegistry) -> None:
    with pytest.raises(RegistryError) as caught:
        inspect(f"{archkit_registry.host}/app:1")
    assert caught.value.status == 404


def test_a_manifest_of_another_digest_is_a_content_error(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    digest = str(archkit_images.push("app:1", "linux/amd64").digest)
    archkit_registry.contents.damage("app", digest, b"{}")
    with pytest.raises(ContentError, match=f"expected was {digest}"):
        inspect(f"{archkit_registry.host}/app@{digest}")
    assert Digest.of(b"{}") != digest

"""ImageFactory: small real images of any platform."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from archkit import Digest, OciLayout, Platform, PlatformSet
from archkit.model.oci import (
    ATTESTATION,
    ATTESTED,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Index,
    parse_config,
)
from archkit.testing import EmbeddedRegistry, ImageContent, ImageFactory
from archkit.testing.elf import program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def images(archkit_images: ImageFactory) -> ImageFactory:
    return archkit_images


def files(image: ImageContent) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for layer in image.layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            for member in archive.getmembers():
                content = archive.extractfile(member)
                assert content is not None
                found[member.name] = content.read()
    return found


@pytest.mark.parametrize(
    ("platform", "machine"),
    [
        ("linux/386", b"\x03\0"),
        ("linux/amd64", b"\x3e\0"),
        ("linux/arm/v7", b"\x28\0"),
        ("linux/arm64", b"\xb7\0"),
        ("linux/loong64", b"\x02\x01"),
        ("linux/mips64le", b"\x08\0"),
        ("linux/ppc64le", b"\x15\0"),
        ("linux/riscv64", b"\xf3\0"),
        ("linux/s390x", b"\0\x16"),
    ],
)
def test_the_program_is_for_the_cpu_of_the_platform(images: ImageFactory, platform: str, machine: bytes) -> None:
    content = files(images.image(platform))["app"]
    assert content[:4] == b"\x7fELF"
    assert content[18:20] == machine
    assert len(content) == (64 if content[4] == 2 else 52)


def test_windows_and_webassembly_have_programs_of_their_own(images: ImageFactory) -> None:
    windows = files(images.image("windows/amd64"))["app.exe"]
    offset = int.from_bytes(windows[60:64], "little")
    assert windows[:2] == b"MZ"
    assert windows[offset : offset + 6] == b"PE\0\0\x64\x86"
    assert files(images.image("wasi/wasm"))["app"] == b"\0asm\x01\0\0\0"


@pytest.mark.parametrize(("os", "arch"), [("linux", "sparc"), ("windows", "s390x")])
def test_a_cpu_without_a_known_header_is_an_error(os: str, arch: str) -> None:
    with pytest.raises(ValueError, match=rf"program header is known for {arch}"):
        program(os, arch)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("docker", [False, True])
def test_an_image_is_complete(images: ImageFactory, docker: bool, compressed: bool) -> None:
    big = bytes(100_000)
    image = images.image(
        "linux/arm/v6", docker=docker, files={"/etc/big": big}, labels={"a": "b"}, entrypoint="/bin/run", compressed=compressed
    )
    manifest = json.loads(image.manifest.content)
    config = json.loads(image.config)
    assert image.manifest.media_type == (DOCKER_MANIFEST if docker else OCI_MANIFEST)
    assert manifest["config"]["digest"] == Digest.of(image.config)
    archives = [gzip.decompress(layer) if compressed else layer for layer in image.layers]
    assert [layer["digest"] for layer in manifest["layers"]] == list(map(Digest.of, image.layers))
    assert config["rootfs"]["diff_ids"] == list(map(Digest.of, archives))
    assert all(layer["mediaType"].endswith("gzip") is compressed for layer in manifest["layers"])
    assert config["config"] == {"Entrypoint": ["/bin/run"], "WorkingDir": "/", "Labels": {"a": "b"}}
    assert parse_config(image.config).platform == Platform.parse("linux/arm/v6")
    assert set(files(image)) == {"bin/run", "etc/big"}
    assert files(image)["etc/big"] == big
    assert image.descriptor.platform == Platform.parse("linux/arm/v6")
    assert image.descriptor.digest == image.manifest.digest


def test_the_same_arguments_give_the_same_digest() -> None:
    with EmbeddedRegistry() as one, EmbeddedRegistry() as other:
        pushed = [ImageFactory(registry).push("app:1", ["linux/amd64", "linux/arm64"]).digest for registry in (one, other)]
    # The same in every version of archkit and Python, so that tests may write digests down.
    assert pushed == ["sha256:f2de975cc6c55c97662f433a6faf1951efc75dc8cdb21389d1aee8485b93d746"] * 2


@pytest.mark.parametrize(("docker", "media_type"), [(False, OCI_INDEX), (True, DOCKER_LIST)])
def test_several_platforms_become_an_index(archkit_registry: EmbeddedRegistry, images: ImageFactory, docker: bool, media_type: str) -> None:
    image = images.push("team/app:1", ["linux/arm64", "linux/amd64"], docker=docker)
    assert image.name == f"{archkit_registry.host}/team/app"
    assert image.reference == f"{archkit_registry.host}/team/app:1@{archkit_registry.resolve('team/app:1')}"
    assert archkit_registry.manifest("team/app:1").media_type == media_type
    assert archkit_registry.platforms("team/app:1") == image.platforms == PlatformSet("linux/arm64,linux/amd64")
    assert [str(platform) for platform in image.children] == ["linux/arm64", "linux/amd64"]
    assert all(archkit_registry.manifest(f"team/app@{child.digest}").descriptor.size == child.size for child in image.children.values())


@pytest.mark.parametrize(("index", "media_type"), [(None, OCI_MANIFEST), (False, OCI_MANIFEST), (True, OCI_INDEX)])
def test_one_platform_is_a_plain_manifest_unless_asked_otherwise(
    archkit_registry: EmbeddedRegistry, images: ImageFactory, index: bool | None, media_type: str
) -> None:
    image = images.push("app:1", "linux/amd64", index=index)
    assert archkit_registry.manifest("app:1").media_type == media_type
    assert image.descriptor is not None
    assert image.descriptor.digest == archkit_registry.resolve("app:1") == image.digest


@pytest.mark.parametrize("platforms", ["linux/amd64", "linux/amd64,linux/arm64"])
def test_attestations_stand_beside_the_images(archkit_registry: EmbeddedRegistry, images: ImageFactory, platforms: str) -> None:
    images.push("app:1", platforms, attestations=True)
    index = archkit_registry.manifest("app:1").document()
    assert isinstance(index, Index)
    attestations = [entry for entry in index.manifests if ATTESTATION in entry.annotations]
    assert [entry.annotations[ATTESTED] for entry in attestations] == [entry.digest for entry in index.images]
    assert {str(entry.platform) for entry in attestations} == {"unknown/unknown"}
    assert archkit_registry.platforms("app:1") == PlatformSet(platforms)


def test_an_image_may_lie_about_its_program_or_its_platform(archkit_registry: EmbeddedRegistry, images: ImageFactory) -> None:
    lying = images.image("linux/arm64", elf="amd64", config="linux/s390x", entry={"os": "linux", "architecture": "ppc64le"})
    assert files(lying)["app"] == program("linux", "amd64")
    assert str(parse_config(lying.config).platform) == "linux/s390x"
    assert str(lying.descriptor.platform) == "linux/ppc64le"
    images.push("app:1", ["linux/amd64", "linux/arm64"], elf={"linux/arm64": "amd64"}, config={"linux/arm64": "linux/amd64"})
    assert archkit_registry.platforms("app:1") == PlatformSet("linux/amd64,linux/arm64")
    _, arm64 = archkit_registry.manifest("app:1").document().manifests  # type: ignore[union-attr]
    assert archkit_registry.platforms(f"app@{arm64.digest}") == PlatformSet("linux/amd64")


def test_a_configuration_may_say_nothing(images: ImageFactory) -> None:
    assert not parse_config(images.image("linux/arm64", config={}).config).platform_fields


def test_one_image_is_put_under_a_tag_or_by_digest(archkit_registry: EmbeddedRegistry, images: ImageFactory) -> None:
    content = images.image("linux/amd64")
    assert str(images.put("app:1", content)) == f"{archkit_registry.host}/app:1@{content.manifest.digest}"
    assert str(images.put("other", content)) == f"{archkit_registry.host}/other@{content.manifest.digest}"
    assert archkit_registry.tags("other") == []


def test_nothing_of_it_passes_through_the_log(archkit_registry: EmbeddedRegistry, images: ImageFactory) -> None:
    images.push("app:1", "linux/amd64,linux/arm64")
    assert not archkit_registry.log


def test_images_go_to_clients_and_layouts_too(archkit_registry: EmbeddedRegistry, images: ImageFactory, tmp_path: Path) -> None:
    inside = images.push("app:1", "linux/amd64,linux/arm64", attestations=True)
    over_http = ImageFactory(archkit_registry.client()).push(f"{archkit_registry.host}/app:2", "linux/amd64,linux/arm64", attestations=True)
    layout = OciLayout(tmp_path / "layout")
    on_disk = ImageFactory(layout).push("app:3", "linux/amd64,linux/arm64", attestations=True)
    assert inside.digest == over_http.digest == on_disk.digest
    assert layout.platforms("docker.io/library/app:3") == inside.platforms

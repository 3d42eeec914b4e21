"""What archkit stitched, of one repository, of others and of another registry, is read by six other tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import peers
import pytest

from archkit import IndexStitcher, OciLayout, Platform, PlatformSet, StitchedIndex
from archkit.model.oci import OCI_INDEX
from archkit.testing import EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

PLATFORMS = PlatformSet("linux/amd64,linux/arm64,linux/arm/v7,windows(10.0.20348.2849)/amd64")
WHERE = ["same-repository", "other-repositories", "other-registry"]


@attrs.frozen
class Stitched:
    """An index that archkit stored, and the images that it was made of."""

    reference: str
    made: StitchedIndex
    images: dict[Platform, str]
    """By platform, the digest."""

    @property
    def entries(self) -> list[tuple[str, str, str]]:
        return [(platform.os, platform.arch, self.images[platform]) for platform in PLATFORMS]


def stitched_in(registry: EmbeddedRegistry, where: str, *, docker: bool) -> Stitched:
    app = f"{registry.host}/team/app"
    with EmbeddedRegistry() as other, registry.client() as client:
        factory = ImageFactory(other if where == "other-registry" else registry)
        parts = {
            platform: factory.push(
                f"team/app-{platform.arch}:1" if where == "other-repositories" else f"team/app:{platform.tag_suffix}",
                platform,
                docker=docker,
            )
            for platform in PLATFORMS
        }
        made = IndexStitcher(client).stitch(f"{app}:1", [image.reference for image in parts.values()])
    return Stitched(f"{app}:1", made, {platform: str(image.digest) for platform, image in parts.items()})


@pytest.fixture(params=[f"{where}-{kind}" for where in WHERE for kind in ("oci", "docker")], scope="module")
def stitched(request: pytest.FixtureRequest) -> Iterator[Stitched]:
    where, _, kind = request.param.rpartition("-")
    with EmbeddedRegistry() as registry:
        yield stitched_in(registry, where, docker=kind == "docker")


def entries(document: str | bytes) -> list[tuple[str, str, str]]:
    """System, CPU and digest of each entry of an index."""
    found = json.loads(document)["manifests"]
    return [(entry["platform"]["os"], entry["platform"]["architecture"], entry["digest"]) for entry in found]


def test_crane(crane: Path, stitched: Stitched, tmp_path: Path) -> None:
    tool = peers.crane(crane, tmp_path)
    assert tool("manifest", stitched.reference).encode() == stitched.made.manifest
    assert tool("digest", stitched.reference).strip() == stitched.made.digest
    assert "PASS" in tool("validate", "--remote", stitched.reference)
    for platform in ("linux/arm64", "linux/arm/v7"):
        assert tool("digest", "--platform", platform, stitched.reference).strip() == stitched.images[Platform.parse(platform)]
        tool("pull", "--platform", platform, stitched.reference, tmp_path / "image.tar")
        assert "PASS" in tool("validate", "--tarball", tmp_path / "image.tar")


def test_regctl(regctl: Path, stitched: Stitched, tmp_path: Path) -> None:
    tool = peers.regctl(regctl, tmp_path, [stitched.made.reference.registry])
    assert tool("manifest", "get", "--format", "raw-body", stitched.reference).encode() == stitched.made.manifest
    assert tool("image", "digest", stitched.reference).strip() == stitched.made.digest
    for platform, digest in stitched.images.items():
        asked = f"windows/amd64,osver={platform.os_version}" if platform.os == "windows" else str(platform)
        assert tool("image", "digest", "--platform", asked, stitched.reference).strip() == digest
        config = json.loads(tool("image", "config", "--platform", asked, stitched.reference))
        assert (config["os"], config["architecture"]) == platform.os_arch
    tool("image", "export", "--platform", "linux/arm64", stitched.reference, tmp_path / "image.tar")


def test_oras(oras: Path, stitched: Stitched, tmp_path: Path) -> None:
    tool = peers.oras(oras, tmp_path)
    assert tool("manifest", "fetch", stitched.reference).encode() == stitched.made.manifest
    assert (
        json.loads(tool("manifest", "fetch", "--descriptor", "--platform", "linux/arm64", stitched.reference))["digest"]
        == (stitched.images[Platform.parse("linux/arm64")])
    )


def test_docker_manifest_inspect(docker: Path, stitched: Stitched, tmp_path: Path) -> None:
    tool = peers.docker(docker, tmp_path)
    answer = tool("manifest", "inspect", "--insecure", stitched.reference)
    assert json.loads(answer)["mediaType"] == stitched.made.media_type
    assert entries(answer) == stitched.entries
    each = json.loads(tool("manifest", "inspect", "--insecure", "--verbose", stitched.reference))
    assert [entry["Descriptor"]["digest"] for entry in each] == [digest for _, _, digest in stitched.entries]


def test_buildx_imagetools_inspect(docker: Path, buildx: Path, stitched: Stitched, tmp_path: Path) -> None:
    tool = peers.docker(docker, tmp_path, buildx)
    assert tool("buildx", "imagetools", "inspect", "--raw", stitched.reference).encode() == stitched.made.manifest
    found = json.loads(tool("buildx", "imagetools", "inspect", "--format", "{{json .}}", stitched.reference))
    assert found["manifest"]["digest"] == stitched.made.digest
    assert [entry["digest"] for entry in found["manifest"]["manifests"]] == [digest for _, _, digest in stitched.entries]
    assert {image["architecture"] for image in found["image"].values()} == {"amd64", "arm64", "arm"}


def test_skopeo(skopeo: Path, stitched: Stitched, tmp_path: Path) -> None:
    tool = peers.skopeo(skopeo, tmp_path)
    assert tool("inspect", "--raw", "--tls-verify=false", f"docker://{stitched.reference}").encode() == stitched.made.manifest
    arm = json.loads(tool("--override-arch", "arm64", "inspect", "--tls-verify=false", f"docker://{stitched.reference}"))
    assert (arm["Os"], arm["Architecture"]) == ("linux", "arm64")
    registry = stitched.made.reference.registry
    copied = f"docker://{registry}/copied/app:1"
    tool("copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{stitched.reference}", copied)
    assert tool("inspect", "--raw", "--tls-verify=false", copied).encode() == stitched.made.manifest
    if stitched.made.media_type == OCI_INDEX:  # a layout holds no list of Docker's type: skopeo makes another index of it
        tool("copy", "--all", "--src-tls-verify=false", f"docker://{stitched.reference}", f"oci:{tmp_path / 'layout'}:1")
        assert OciLayout(tmp_path / "layout").manifest("registry.test/app:1").content == stitched.made.manifest


@pytest.fixture(params=["oci", "docker"])
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[OciLayout, StitchedIndex]:
    """A layout, and the index that was stitched in it under the tag 1."""
    made = OciLayout(tmp_path / "made")
    app = "registry.test/team/app"
    images = ImageFactory(made)
    tags = [images.push(f"{app}:{platform.tag_suffix}", platform, docker=request.param == "docker").reference for platform in PLATFORMS]
    return made, IndexStitcher(made).stitch(f"{app}:1", tags)


@pytest.mark.parametrize("layout", ["oci"], indirect=True)  # skopeo finds no entry of Docker's types in a layout
def test_skopeo_reads_layouts(
    skopeo: Path, archkit_registry: EmbeddedRegistry, layout: tuple[OciLayout, StitchedIndex], tmp_path: Path
) -> None:
    tool = peers.skopeo(skopeo, tmp_path)
    folder, made = layout
    assert tool("inspect", "--raw", f"oci:{folder.path}:1").encode() == made.manifest
    pushed = f"{archkit_registry.host}/team/app:1"
    tool("copy", "--all", "--dest-tls-verify=false", f"oci:{folder.path}:1", f"docker://{pushed}")
    assert archkit_registry.manifest("team/app:1").content == made.manifest
    assert archkit_registry.client().platforms(pushed) == PLATFORMS


def test_regctl_oras_and_crane_read_layouts(
    regctl: Path, oras: Path, crane: Path, archkit_registry: EmbeddedRegistry, layout: tuple[OciLayout, StitchedIndex], tmp_path: Path
) -> None:
    folder, made = layout
    host = archkit_registry.host
    tool = peers.regctl(regctl, tmp_path, [host])
    assert tool("image", "digest", f"ocidir://{folder.path}:1").strip() == made.digest
    tool("image", "copy", f"ocidir://{folder.path}:1", f"{host}/team/app:1")
    assert archkit_registry.resolve("team/app:1") == made.digest
    assert "PASS" in peers.crane(crane, tmp_path)("validate", "--remote", f"{host}/team/app:1")
    fetched = peers.run(*peers.oras(oras, tmp_path).command()[:-1], "manifest", "fetch", "--oci-layout", f"{folder.path}:1")
    assert fetched.encode() == made.manifest

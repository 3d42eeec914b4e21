"""crane, regctl and the docker client against the embedded registry, the client, the layout and the stitcher."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import peers
import pytest
from peers import run

from archkit import IndexStitcher, OciLayout, PlatformSet
from archkit.model.oci import DOCKER_LIST, OCI_INDEX, ImageManifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archkit.testing import EmbeddedRegistry, ImageFactory

pytestmark = pytest.mark.live

TWO = PlatformSet("linux/amd64,linux/arm64")


@pytest.fixture
def tool(regctl: Path, archkit_registry: EmbeddedRegistry, tmp_path: Path) -> peers.Peer:
    return peers.regctl(regctl, tmp_path, [archkit_registry.host])


# ---- what archkit pushed, read by others --------------------------------------------------------------------------


@pytest.mark.parametrize("elsewhere", [False, True], ids=["repository", "registry"])
def test_crane_and_regctl_read_what_archkit_stitched_from_elsewhere(
    crane: Path, archkit_registry: EmbeddedRegistry, tool: peers.Peer, elsewhere: bool
) -> None:
    from archkit import RegistryClient
    from archkit.testing import EmbeddedRegistry, ImageFactory

    with EmbeddedRegistry() as other, RegistryClient() as client:
        images = ImageFactory(other if elsewhere else archkit_registry)
        parts = [images.push(f"part/{platform.arch}:1", platform).reference for platform in TWO]
        made = IndexStitcher(client).stitch(f"{archkit_registry.host}/team/app:1", parts)
    assert tool("image", "digest", f"{archkit_registry.host}/team/app:1").strip() == made.digest
    assert "PASS" in run(crane, "validate", "--remote", f"{archkit_registry.host}/team/app:1")


@pytest.fixture
def stitched(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> str:
    """A reference to an index that archkit stitched of two tags that its client pushed."""
    from archkit.testing import ImageFactory

    app = f"{archkit_registry.host}/team/app"
    over_http = ImageFactory(archkit_registry.client())
    tags = [str(over_http.push(f"{app}:1_{platform.tag_suffix}", platform).reference) for platform in TWO]
    IndexStitcher(archkit_registry.client()).stitch(f"{app}:1", tags)
    return f"{app}:1"


def test_crane_reads_what_archkit_pushed(crane: Path, archkit_registry: EmbeddedRegistry, stitched: str, tmp_path: Path) -> None:
    assert run(crane, "manifest", stitched).encode() == archkit_registry.manifest(stitched).content
    assert run(crane, "digest", stitched).strip() == archkit_registry.resolve(stitched)
    assert run(crane, "ls", stitched.rpartition(":")[0]).split() == ["1", "1_linux_amd64", "1_linux_arm64"]
    assert "PASS" in run(crane, "validate", "--remote", stitched)
    run(crane, "pull", "--platform", "linux/arm64", stitched, tmp_path / "image.tar")
    assert "PASS" in run(crane, "validate", "--tarball", tmp_path / "image.tar")


def test_regctl_reads_what_archkit_pushed(archkit_registry: EmbeddedRegistry, tool: peers.Peer, stitched: str) -> None:
    assert tool("image", "digest", stitched).strip() == archkit_registry.resolve(stitched)
    assert tool("tag", "ls", stitched.rpartition(":")[0]).split() == ["1", "1_linux_amd64", "1_linux_arm64"]
    config = json.loads(tool("image", "config", "--platform", "linux/arm64", stitched))
    assert (config["os"], config["architecture"]) == ("linux", "arm64")


@pytest.mark.parametrize("docker_types", [False, True])
def test_docker_reads_what_archkit_pushed(
    docker: Path, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, docker_types: bool
) -> None:
    app = f"{archkit_registry.host}/team/app"
    images = [archkit_images.push(f"{app}:{platform.tag_suffix}", platform, docker=docker_types) for platform in TWO]
    IndexStitcher(archkit_registry.client()).stitch(f"{app}:1", images)
    answer = json.loads(run(docker, "manifest", "inspect", "--insecure", f"{app}:1"))
    assert answer["mediaType"] == (DOCKER_LIST if docker_types else OCI_INDEX)
    assert [(entry["platform"]["os"], entry["platform"]["architecture"], entry["digest"]) for entry in answer["manifests"]] == [
        ("linux", "amd64", str(images[0].digest)),
        ("linux", "arm64", str(images[1].digest)),
    ]
    verbose = json.loads(run(docker, "manifest", "inspect", "--insecure", "--verbose", f"{app}:1"))
    assert [entry["Descriptor"]["digest"] for entry in verbose] == [str(image.digest) for image in images]


# ---- what others push, read by archkit ----------------------------------------------------------------------------


def test_crane_pushes_and_copies_into_the_registry(
    crane: Path, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tmp_path: Path
) -> None:
    host = archkit_registry.host
    image = archkit_images.push("team/app:1", TWO)
    run(crane, "pull", "--format", "oci", f"{host}/team/app:1", tmp_path / "layout")
    run(crane, "push", tmp_path / "layout", f"{host}/pushed:1")
    assert archkit_registry.resolve("pushed:1") == image.digest
    run(crane, "copy", f"{host}/team/app:1", f"{host}/copied:1")
    assert archkit_registry.client().platforms(f"{host}/copied:1") == TWO
    run(
        crane,
        "append",
        "--new_tag",
        f"{host}/appended:1",
        "--base",
        f"{host}/team/app:1",
        "--platform",
        "linux/arm64",
        "--new_layer",
        _tar(tmp_path),
    )
    document = archkit_registry.client().manifest(f"{host}/appended:1").document()
    assert isinstance(document, ImageManifest)
    assert len(document.layers) == 2
    run(crane, "tag", f"{host}/copied:1", "2")
    run(crane, "delete", f"{host}/copied:2")
    assert archkit_registry.tags("copied") == ["1"]


def _tar(folder: Path) -> Path:
    (folder / "file").write_text("content")
    run("tar", "-C", folder, "-cf", folder / "layer.tar", "file")
    return folder / "layer.tar"


def test_crane_appends_to_an_index_and_archkit_flattens_it(
    crane: Path, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory
) -> None:
    app = f"{archkit_registry.host}/team/app"
    for platform in TWO:
        archkit_images.push(f"{app}:{platform.tag_suffix}", platform)
    run(crane, "index", "append", "--tag", f"{app}:crane", "-m", f"{app}:linux_amd64", "-m", f"{app}:linux_arm64")
    made = IndexStitcher(archkit_registry.client()).stitch(f"{app}:1", [f"{app}:crane"])
    assert made.platforms == TWO
    assert b"artifactType" in archkit_registry.manifest("team/app:crane").content
    assert made.manifest == IndexStitcher(archkit_registry.client()).stitch(app, [f"{app}:linux_amd64", f"{app}:linux_arm64"]).manifest


def test_regctl_copies_into_the_registry_and_deletes_tags(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tool: peers.Peer
) -> None:
    host = archkit_registry.host
    image = archkit_images.push("team/app:1", TWO, attestations=True)
    tool("image", "copy", f"{host}/team/app:1", f"{host}/copied:1")
    tool("image", "copy", f"{host}/team/app:1", f"{host}/copied:2")
    assert archkit_registry.resolve("copied:1") == image.digest
    tool("tag", "delete", f"{host}/copied:1")
    assert archkit_registry.tags("copied") == ["2"]
    assert archkit_registry.client().platforms(f"{host}/copied:2") == TWO


# ---- layouts -----------------------------------------------------------------------------------------------------


def _push_two(layout: OciLayout) -> Sequence[str]:
    from archkit.testing import ImageFactory

    return [str(ImageFactory(layout).push(f"registry.test/team/app:{platform.tag_suffix}", platform).digest) for platform in TWO]


def test_others_read_layouts_that_archkit_wrote(crane: Path, archkit_registry: EmbeddedRegistry, tool: peers.Peer, tmp_path: Path) -> None:
    layout = OciLayout(tmp_path / "layout")
    _push_two(layout)
    app = "registry.test/team/app"
    made = IndexStitcher(layout).stitch(f"{app}:1", [f"{app}:linux_amd64", f"{app}:linux_arm64"])
    assert tool("image", "digest", f"ocidir://{layout.path}:1").strip() == made.digest
    assert sorted(tool("tag", "ls", f"ocidir://{layout.path}").split()) == ["1", "linux_amd64", "linux_arm64"]
    tool("image", "copy", f"ocidir://{layout.path}:1", f"{archkit_registry.host}/team/app:1")
    assert archkit_registry.resolve("team/app:1") == made.digest
    assert archkit_registry.platforms("team/app:1") == TWO
    assert "PASS" in run(crane, "validate", "--remote", f"{archkit_registry.host}/team/app:1")


def test_archkit_reads_layouts_that_others_wrote(
    crane: Path, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tool: peers.Peer, tmp_path: Path
) -> None:
    host = archkit_registry.host
    image = archkit_images.push("team/app:1", TWO)
    other = archkit_images.push("team/app:2", "linux/s390x")
    run(crane, "pull", "--format", "oci", f"{host}/team/app:1", tmp_path / "crane")
    written = OciLayout(tmp_path / "crane")
    assert written.entry().digest == image.digest
    assert written.platforms("registry.test/whatever") == TWO
    for tag in ("1", "2"):
        tool("image", "copy", f"{host}/team/app:{tag}", f"ocidir://{tmp_path / 'regctl'}:{tag}")
    written = OciLayout(tmp_path / "regctl")
    assert written.manifest(f"{host}/team/app:1").digest == image.digest
    assert written.manifest("registry.test/whatever:2").digest == other.digest
    assert list(written.tags("registry.test/whatever")) == ["1", "2"]

"""Layouts that regctl, skopeo and crane wrote are stitched, ours are read by them, and indexes are changed to the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import peers
import pytest

from archkit import IndexStitcher, RegistryClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archkit.testing import EmbeddedRegistry, ImageFactory

pytestmark = pytest.mark.live

TWO = ["linux/amd64", "linux/arm64"]


@pytest.fixture
def stitcher() -> Iterator[IndexStitcher]:
    with RegistryClient() as client:
        yield IndexStitcher(client)


@pytest.fixture
def reg(regctl: Path, archkit_registry: EmbeddedRegistry, tmp_path: Path) -> peers.Peer:
    return peers.regctl(regctl, tmp_path, [archkit_registry.host])


@pytest.fixture
def sko(skopeo: Path, tmp_path: Path) -> peers.Peer:
    return peers.skopeo(skopeo, tmp_path)


# ---- layouts ----------------------------------------------------------------------------------------------------


def test_a_layout_that_regctl_wrote_is_a_source(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, reg: peers.Peer, tmp_path: Path
) -> None:
    both = archkit_images.push("part:1", TWO, attestations=True)
    reg("image", "copy", f"{archkit_registry.host}/part:1", f"ocidir://{tmp_path / 'layout'}:1")
    made = stitcher.stitch(f"{archkit_registry.host}/app:1", [f"oci:{tmp_path / 'layout'}:1"])
    assert made.platforms == both.platforms
    assert len(made.descriptors) == 4  # with the attestations
    assert reg("image", "digest", f"{archkit_registry.host}/app:1").strip() == made.digest


def test_a_layout_that_skopeo_wrote_is_a_source(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, sko: peers.Peer, tmp_path: Path
) -> None:
    both = archkit_images.push("part:1", TWO)
    source = f"docker://{archkit_registry.host}/part:1"
    sko("copy", "--all", "--src-tls-verify=false", source, f"oci:{tmp_path / 'layout'}:1")
    assert stitcher.stitch(f"{archkit_registry.host}/app:1", [f"oci:{tmp_path / 'layout'}:1"]).digest == both.digest


def test_a_layout_that_crane_wrote_is_a_source(
    crane: Path, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, tmp_path: Path
) -> None:
    both = archkit_images.push("part:1", TWO)
    peers.crane(crane, tmp_path)("pull", "--format=oci", f"{archkit_registry.host}/part:1", tmp_path / "layout")
    assert stitcher.stitch(f"{archkit_registry.host}/app:1", [f"oci:{tmp_path / 'layout'}"]).digest == both.digest


def test_regctl_skopeo_and_crane_read_a_layout_that_archkit_filled(
    crane: Path,
    archkit_registry: EmbeddedRegistry,
    archkit_images: ImageFactory,
    stitcher: IndexStitcher,
    reg: peers.Peer,
    sko: peers.Peer,
    tmp_path: Path,
) -> None:
    parts = [archkit_images.push(f"part:{platform[6:]}", platform).reference for platform in TWO]
    layout = tmp_path / "layout"
    made = stitcher.stitch(f"oci:{layout}:1", parts)
    assert reg("image", "digest", f"ocidir://{layout}:1").strip() == made.digest
    target = f"{archkit_registry.host}/copied"
    reg("image", "copy", f"ocidir://{layout}:1", f"{target}:regctl")
    sko("copy", "--all", "--dest-tls-verify=false", f"oci:{layout}:1", f"docker://{target}:skopeo")
    peers.crane(crane, tmp_path)("push", "--index", layout, f"{target}:crane")
    assert archkit_registry.resolve("copied:regctl") == archkit_registry.resolve("copied:skopeo") == made.digest
    assert archkit_registry.manifest(f"copied@{made.digest}").content == made.manifest


# ---- changes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_regctl_adds_and_removes_to_the_same_bytes(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, reg: peers.Peer, docker: bool
) -> None:
    host = archkit_registry.host
    for tag in ("ours", "theirs"):
        archkit_images.push(f"app:{tag}", [*TWO, "windows(10.0.20348.1)/amd64"], docker=docker)
    part = archkit_images.push("app:part", "linux/arm/v7", docker=docker).reference
    stitcher.extend(f"{host}/app:ours", [part])
    reg("index", "add", f"{host}/app:theirs", "--ref", part)
    assert archkit_registry.resolve("app:ours") == archkit_registry.resolve("app:theirs")
    stitcher.remove(f"{host}/app:ours", "linux/arm64")
    reg("index", "delete", f"{host}/app:theirs", "--platform", "linux/arm64")
    assert archkit_registry.resolve("app:ours") == archkit_registry.resolve("app:theirs")


def test_oras_makes_the_same_changes(
    oras: Path, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, tmp_path: Path
) -> None:
    host = archkit_registry.host
    for tag in ("ours", "theirs"):
        archkit_images.push(f"app:{tag}", TWO)
    part = archkit_images.push("app:part", "linux/s390x")
    arm = next(child.digest for platform, child in archkit_images.push("app:x", TWO).children.items() if platform.arch == "arm64")
    stitcher.extend(f"{host}/app:ours", [part.reference])
    stitcher.remove(f"{host}/app:ours", arm)
    peers.oras(oras, tmp_path)("manifest", "index", "update", f"{host}/app:theirs", "--add", "part", "--remove", arm)
    assert archkit_registry.resolve("app:ours") == archkit_registry.resolve("app:theirs")

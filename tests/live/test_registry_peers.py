"""crane, regctl and the docker client against the embedded registry, the client, the layout and the stitcher."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from archkit import IndexStitcher, OciLayout, PlatformSet
from archkit.model.oci import DOCKER_LIST, OCI_INDEX, ImageManifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from archkit.testing import EmbeddedRegistry, ImageFactory

pytestmark = pytest.mark.live

TWO = PlatformSet("linux/amd64,linux/arm64")


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """What a tool prints; a failure shows what it said."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, encoding="utf-8", timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


class Regctl:
    """regctl with a configuration of its own, which says that the registry speaks plain HTTP."""

    def __init__(self, program: Path, registry: EmbeddedRegistry, folder: Path) -> None:
        self._program = program
        self._env = {"REGCTL_CONFIG": str(folder / "regctl.json")}
        self("registry", "set", "--skip-check", "--tls", "disabled", registry.host)

    def __call__(self, *arguments: str) -> str:
        return run(self._program, *arguments, env=self._env)


@pytest.fixture
def tool(regctl: Path, archkit_registry: EmbeddedRegistry, tmp_path: Path) -> Regctl:
    return Regctl(regctl, archkit_registry, tmp_path)


# ---- the same digest as another tool -----------------------------------------------------------------------------

CASES: dict[str, dict[str, Any]] = {
    "two": {"platforms": ["linux/amd64", "linux/arm64"]},
    "ten": {
        "platforms": [
            *("linux/amd64", "linux/arm64", "linux/arm/v5", "linux/arm/v6", "linux/arm/v7"),
            *("linux/386", "linux/ppc64le", "linux/riscv64", "linux/s390x", "linux/mips64le"),
        ]
    },
    "variant-v8-kept": {
        "platforms": ["linux/arm64", "linux/arm/v7"],
        "config": {"linux/arm64": {"architecture": "arm64", "os": "linux", "variant": "v8"}},
    },
    "windows": {"platforms": ["windows(10.0.17763.6659)/amd64", "windows(10.0.20348.2849+win32k+a)/amd64", "linux/amd64"]},
    "order": {"platforms": ["linux/s390x", "linux/amd64", "linux/arm64"]},
    "docker": {"platforms": ["linux/amd64", "linux/arm64"], "docker": True},
    "annotations": {
        "platforms": ["linux/amd64", "linux/arm64"],
        "annotations": {"org.opencontainers.image.title": 'a <b> & "c" \u2028 é', "a.first": "=", "Z": "upper"},
    },
}


@pytest.mark.parametrize("case", CASES)
def test_regctl_makes_the_same_index_of_the_same_parts(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tool: Regctl, case: str
) -> None:
    wanted = CASES[case]
    app = f"{archkit_registry.host}/team/app"
    tags: list[str] = []
    for platform in PlatformSet(wanted["platforms"]):
        tags.append(f"{app}:1_{platform.tag_suffix}")
        archkit_images.push(
            tags[-1],
            platform,
            docker=wanted.get("docker", False),
            config={
                str(platform): config for key, config in wanted.get("config", {}).items() if PlatformSet([key]) == PlatformSet([platform])
            },
        )
    annotations: Mapping[str, str] = wanted.get("annotations", {})
    made = IndexStitcher(archkit_registry.client()).stitch(f"{app}:archkit", tags, annotations=annotations)
    tool(
        *("index", "create", f"{app}:regctl", "--media-type", DOCKER_LIST if wanted.get("docker") else OCI_INDEX),
        *(argument for tag in tags for argument in ("--ref", tag)),
        *(argument for key, value in annotations.items() for argument in ("--annotation", f"{key}={value}")),
    )
    assert archkit_registry.manifest("team/app:regctl").content == made.manifest
    assert archkit_registry.resolve("team/app:regctl") == made.digest


def test_regctl_makes_the_same_index_of_another_repositorys_index_with_attestations(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tool: Regctl
) -> None:
    source = archkit_images.push("parts/app:1", "linux/amd64", attestations=True)
    host = archkit_registry.host
    made = IndexStitcher(archkit_registry.client()).stitch(f"{host}/team/app:1", [source.reference])
    tool("image", "copy", source.reference.partition("@")[0], f"{host}/team/app:regctl")
    assert archkit_registry.resolve("team/app:regctl") == made.digest == source.digest


@pytest.mark.parametrize("elsewhere", [False, True], ids=["repository", "registry"])
def test_crane_and_regctl_read_what_archkit_stitched_from_elsewhere(
    crane: Path, archkit_registry: EmbeddedRegistry, tool: Regctl, elsewhere: bool
) -> None:
    from archkit import RegistryClient
    from archkit.testing import EmbeddedRegistry, ImageFactory

    with EmbeddedRegistry() as other, RegistryClient() as client:
        images = ImageFactory(other if elsewhere else archkit_registry)
        parts = [images.push(f"part/{platform.arch}:1", platform).reference for platform in TWO]
        made = IndexStitcher(client).stitch(f"{archkit_registry.host}/team/app:1", parts)
    assert tool("image", "digest", f"{archkit_registry.host}/team/app:1").strip() == made.digest
    assert "PASS" in run(crane, "validate", "--remote", f"{archkit_registry.host}/team/app:1")


# ---- what archkit pushed, read by others --------------------------------------------------------------------------


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


def test_regctl_reads_what_archkit_pushed(archkit_registry: EmbeddedRegistry, tool: Regctl, stitched: str) -> None:
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
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tool: Regctl
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


def test_others_read_layouts_that_archkit_wrote(crane: Path, archkit_registry: EmbeddedRegistry, tool: Regctl, tmp_path: Path) -> None:
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
    crane: Path, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tool: Regctl, tmp_path: Path
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

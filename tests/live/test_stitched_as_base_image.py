"""An index that archkit stitched is a base image: for jib, and for BuildKit."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import peers
import pytest
from buildkit import running

from archkit import IndexStitcher, PlatformSet
from archkit.model.oci import ImageManifest, Index
from archkit.testing import EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archkit import Platform, StitchedIndex

pytestmark = pytest.mark.live

TWO = PlatformSet("linux/amd64,linux/arm64")


@pytest.fixture(params=["oci", "docker", "attestations"], scope="module")
def base(request: pytest.FixtureRequest) -> Iterator[tuple[EmbeddedRegistry, StitchedIndex]]:
    """A registry, and an index in it whose images came from another repository."""
    with EmbeddedRegistry() as registry, registry.client() as client:
        images = ImageFactory(registry)
        docker, attestations = request.param == "docker", request.param == "attestations"
        parts = [
            images.push(
                f"parts/{platform.arch}:1", platform, docker=docker, attestations=attestations, files={"base": platform.arch.encode()}
            )
            for platform in TWO
        ]
        yield registry, IndexStitcher(client).stitch(f"{registry.host}/base:1", [part.reference for part in parts])


def layers(registry: EmbeddedRegistry, reference: str) -> dict[Platform | None, tuple[str, ...]]:
    """By platform of an index, the digests of the layers."""
    with registry.client() as client:
        index = client.manifest(reference).document()
        assert isinstance(index, Index)
        found = {}
        for entry in index.images:
            image = client.manifest(f"{reference.rpartition(':')[0]}@{entry.digest}").document()
            assert isinstance(image, ImageManifest)
            found[entry.platform] = tuple(str(layer.digest) for layer in image.layers)
        return found


def built_on(registry: EmbeddedRegistry, app: str) -> None:
    """Fails unless each platform of the application stands on the layers of the same platform of the base."""
    below, above = layers(registry, f"{registry.host}/base:1"), layers(registry, app)
    assert {*above} == {*TWO} == {*below}
    for platform in TWO:
        assert above[platform][: len(below[platform])] == below[platform]
        assert len(above[platform]) > len(below[platform])
    assert len({*below.values()}) == len(TWO)


def test_jib_builds_on_it(mvn: Path, java_project: Path, base: tuple[EmbeddedRegistry, StitchedIndex], tmp_path: Path) -> None:
    registry, _ = base
    app = f"{registry.host}/app:jib"
    settings = {
        "jib.from.image": f"{registry.host}/base:1",
        "jib.from.platforms": "linux/amd64,linux/arm64",
        "jib.to.image": app,
        "jib.allowInsecureRegistries": "true",
        "jib.disableUpdateChecks": "true",
        "jib.baseImageCache": str(tmp_path / "base"),
        "jib.applicationCache": str(tmp_path / "app"),
        "jib.outputPaths.digest": str(tmp_path / "digest"),
    }
    peers.run(
        *(mvn, "-B", "-q", "package", "jib:build"),
        *(f"-D{name}={value}" for name, value in settings.items()),
        cwd=java_project,
        env={"DOCKER_CONFIG": str(tmp_path)},
        timeout=300,
    )
    assert (tmp_path / "digest").read_text() == registry.resolve("app:jib")
    built_on(registry, app)


@pytest.fixture(scope="module")
def buildkit(buildkitd: Path, buildctl: Path, base: tuple[EmbeddedRegistry, StitchedIndex]) -> Iterator[peers.Peer]:
    """The client of a BuildKit daemon that knows the registry."""
    with tempfile.TemporaryDirectory(prefix="archkit-") as folder, running(buildkitd, Path(folder), [base[0].host]) as address:
        yield peers.Peer(buildctl, {"DOCKER_CONFIG": folder}, before=("--addr", address))


def test_buildkit_builds_on_it(buildkit: peers.Peer, base: tuple[EmbeddedRegistry, StitchedIndex], tmp_path: Path) -> None:
    registry, made = base
    app = f"{registry.host}/app:buildkit"
    (tmp_path / "hello").write_text("hello")
    (tmp_path / "Dockerfile").write_text(f"FROM {registry.host}/base:1@{made.digest}\nCOPY hello /hello\n")
    buildkit(
        *("build", "--frontend", "dockerfile.v0", "--local", f"context={tmp_path}", "--local", f"dockerfile={tmp_path}"),
        *("--opt", "platform=linux/amd64,linux/arm64", "--metadata-file", tmp_path / "metadata.json"),
        *("--output", f"type=image,name={app},push=true,registry.insecure=true"),
    )
    assert json.loads((tmp_path / "metadata.json").read_text())["containerimage.digest"] == registry.resolve("app:buildkit")
    built_on(registry, app)

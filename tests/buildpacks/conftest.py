"""A pack, an engine and images that do what a test says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fake_docker import FakeDocker
from fake_pack import BOTH, Pack, Run

from archkit import Artifact, BuildpacksBuilder, Platform, RegistrySink, build
from archkit.planning.emulation import BuildMachine

if TYPE_CHECKING:
    from pathlib import Path

    from archkit import BuildResult
    from archkit.testing import EmbeddedRegistry, FakeRunner, ImageFactory

EMULATES = BuildMachine(Platform("linux", "amd64"), (Platform("linux", "arm64"),))


@pytest.fixture
def pack(archkit_process: FakeRunner, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> Pack:
    found = Pack(FakeDocker(archkit_process, archkit_images), archkit_images, archkit_registry)
    found.there()
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    return tmp_path / "src"


@pytest.fixture
def run(pack: Pack, folder: Path) -> Run:
    def go(targets: str | None = BOTH, *, more: dict[str, Any] | None = None, **options: Any) -> BuildResult:
        host = pack.registry.host
        given = {"builder": f"{host}/builder:1", "trust_builder": True, "machine": EMULATES, **options}
        artifact = Artifact("web", folder, builder=BuildpacksBuilder(**given))
        return build(artifact, **{"targets": targets, "sink": RegistrySink(host), "tag": "v1", **(more or {})})

    return go

"""DockerBuilder with an engine that keeps images of several platforms: one native build, also into the engine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from archkit import (
    Artifact,
    DockerBuilder,
    DockerEngine,
    EngineSink,
    LayoutSink,
    OciLayout,
    PlatformSet,
    RegistryClient,
    RegistrySink,
    build,
)

if TYPE_CHECKING:
    from pathlib import Path

    from engine import Engine

pytestmark = pytest.mark.live

BOTH = "linux/amd64,linux/arm64"
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}


@pytest.fixture
def hello(new_engine: Engine, buildx: Path, busybox_bases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    config, source = tmp_path / "config", tmp_path / "src"
    (config / "cli-plugins").mkdir(parents=True)
    (config / "cli-plugins" / "docker-buildx").symlink_to(buildx)
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    monkeypatch.setenv("PATH", f"{new_engine.client.parent}{os.pathsep}{os.environ['PATH']}")
    source.mkdir()
    text = f'FROM {busybox_bases}/base:1\nRUN uname -m > /made-on\nCMD ["-c", "echo Hello world! Running on $(cat /made-on)"]\n'
    (source / "Dockerfile").write_text(text)
    return Artifact("hello-store", source, builder=DockerBuilder(host=new_engine.host, builder="default", network="host"))


def test_one_native_build_to_a_registry(hello: Artifact, new_engine: Engine, busybox_bases: str) -> None:
    image = build(hello, targets=BOTH, sink=RegistrySink(busybox_bases), tag="v1").images[0]
    assert image.platforms == PlatformSet(BOTH)
    for name, cpu in MACHINES.items():
        assert new_engine.run(image.reference, name) == f"Hello world! Running on {cpu}\n"
    with RegistryClient() as client:
        assert {"v1", "v1_linux_amd64", "v1_linux_arm64"} <= {*client.tags(f"{busybox_bases}/hello-store")}
    assert "staging" not in new_engine.docker("image", "ls").stdout


def test_both_platforms_in_the_engine(hello: Artifact, new_engine: Engine) -> None:
    image = build(hello, targets=BOTH, sink=EngineSink(), tag="v1", engine=DockerEngine(host=new_engine.host)).images[0]
    assert image.platforms == PlatformSet(BOTH)
    for name, cpu in MACHINES.items():
        printed = new_engine.docker("run", "--rm", "--network", "none", "--platform", name, "hello-store:v1").stdout
        assert printed == f"Hello world! Running on {cpu}\n"
    assert "staging" not in new_engine.docker("image", "ls").stdout


def test_a_layout(hello: Artifact, tmp_path: Path) -> None:
    build(hello, targets=BOTH, sink=LayoutSink(tmp_path / "out"), tag="v1")
    assert OciLayout(tmp_path / "out").platforms("hello-store:v1") == PlatformSet(BOTH)

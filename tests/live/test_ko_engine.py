"""What ko built, run by a real engine on both CPUs; images for the engine; what ko does not say of platforms there."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import distribution_registry
import pytest

from archkit import (
    Artifact,
    DockerEngine,
    EngineSink,
    ImageReference,
    KoBuilder,
    PlatformSet,
    RegistryClient,
    RegistrySink,
    TargetsError,
    build,
)
from archkit.testing import ImageFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine import Engine

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="written for an amd64 machine that emulates arm64"),
]

BOTH = "linux/amd64,linux/arm64"
PROJECT = Path(__file__).parent / "projects" / "go"


@pytest.fixture(scope="module")
def host(docker_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A docker-registry with a base of both platforms."""
    with distribution_registry.running(docker_registry, tmp_path_factory.mktemp("registry")) as host, RegistryClient() as client:
        ImageFactory(client).push(f"{host}/base:1", BOTH)
        yield host


@pytest.fixture(autouse=True)
def _tools(ko: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{ko.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def hello(host: str) -> Artifact:
    return Artifact("hello", PROJECT, builder=KoBuilder("./cmd/hello", base=f"{host}/base:1"))


def test_hello_runs_on_both(engine: Engine, host: str) -> None:
    image = build(hello(host), targets=BOTH, sink=RegistrySink(host), tag="v1").images[0]

    assert image.platforms == PlatformSet(BOTH)
    for name in BOTH.split(","):
        assert engine.run(image.reference, name).splitlines()[0] == f"Hello world! Running on {name}"


@pytest.mark.parametrize("name", BOTH.split(","))
def test_an_image_for_the_engine(name: str, engine: Engine, host: str) -> None:
    image = build(hello(host), targets=name, sink=EngineSink(), tag="local", engine=DockerEngine(host=engine.host)).images[0]

    assert image.platforms == PlatformSet(name)
    done = engine.docker("run", "--rm", "--network", "none", "--platform", name, "hello:local")
    assert done.stdout.splitlines()[0] == f"Hello world! Running on {name}"


def test_ko_itself_loads_one_platform_of_two_and_archkit_refuses_that(engine: Engine, host: str, tmp_path: Path) -> None:
    env = {
        **os.environ,
        "DOCKER_HOST": engine.host,
        "KO_DEFAULTBASEIMAGE": f"{host}/base:1",
        "KO_DOCKER_REPO": "lie",
        "TMPDIR": str(tmp_path),
    }
    command = ["ko", "build", "-L", "--bare", "--sbom=none", "--tags=1", f"--platform={BOTH}", "./cmd/hello"]
    done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    loaded = DockerEngine(host=engine.host)
    found = loaded.find(ImageReference.parse("lie:1"))
    assert found is not None
    assert found.platforms == PlatformSet("linux/amd64")

    with pytest.raises(TargetsError, match="linux/arm64"):
        build(hello(host), targets=BOTH, sink=EngineSink(), tag="both", engine=loaded)

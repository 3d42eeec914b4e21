"""Real tools as fixtures: each gives the path of the program.

They come from the cache folder that `python3 noxfile.py tools` fills, or from PATH. Without one the test is skipped
with that advice; under CI=true it fails, so that nothing is left out in silence.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import buildpacks as buildpack_images
import control_plane as control_planes
import distribution_registry
import docker_ways
import engine as engines
import maven_tools
import pytest
import realtools
import toolbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def require(name: str) -> Path:
    """The tool of this name, or the end of the test."""
    path = realtools.find(name)
    if path is None:
        unable(f"{name} is not installed; `python3 noxfile.py tools` puts it into {toolbox.BIN}")
    return path


def unable(reason: str) -> NoReturn:
    """Skip the test, for a reason that says what would help; under CI=true it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def crane() -> Path:
    """crane of go-containerregistry."""
    return require("crane")


@pytest.fixture(scope="session")
def regctl() -> Path:
    """regctl of regclient."""
    return require("regctl")


@pytest.fixture(scope="session")
def oras() -> Path:
    """oras."""
    return require("oras")


@pytest.fixture(scope="session")
def skopeo() -> Path:
    """skopeo, as Debian has it."""
    return require(realtools.SKOPEO)


@pytest.fixture(scope="session")
def buildx() -> Path:
    """The program of docker's buildx plugin."""
    return require("buildx")


@pytest.fixture(scope="session")
def buildkitd() -> Path:
    """BuildKit's daemon, with the runc that it starts containers with."""
    if os.geteuid() != 0:
        unable("BuildKit's daemon makes containers: run this test as root")
    require("runc")
    return require("buildkitd")


@pytest.fixture(scope="session")
def buildctl() -> Path:
    """The client of BuildKit."""
    return require("buildctl")


@pytest.fixture(scope="session")
def mvn() -> Path:
    """Maven, with jib's plugin in its local repository."""
    return require("mvn")


@pytest.fixture(scope="session")
def java_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the Java project of these tests, to build in."""
    folder = tmp_path_factory.mktemp("java") / "project"
    shutil.copytree(maven_tools.JAVA_PROJECT, folder)
    return folder


@pytest.fixture(scope="session")
def ggcr_registry() -> Path:
    """The registry of go-containerregistry."""
    return require("registry")


@pytest.fixture(scope="session")
def docker_registry() -> Path:
    """The registry of the distribution project, as Debian has it."""
    return require(realtools.DOCKER_REGISTRY)


@pytest.fixture(scope="session")
def ko() -> Path:
    """ko, which builds Go programs into images; it needs Go."""
    return require("ko")


@pytest.fixture(scope="session")
def conformance() -> Path:
    """The conformance suite of the OCI distribution specification."""
    return require("conformance")


@pytest.fixture(scope="session")
def engine(docker: Path, qemu_aarch64: Path) -> Iterator[engines.Engine]:
    """A dockerd of our own, on a machine that runs arm64 programs; `engine.run(reference, platform)` runs an image."""
    if os.geteuid() != 0:
        unable("an engine of one's own makes containers: run this test as root")
    programs = {name: require(name) for name in realtools.ENGINE}
    with engines.arm64_emulated(qemu_aarch64), engines.running(programs, docker) as found:
        yield found


@pytest.fixture(scope="session")
def new_engine(docker: Path, qemu_aarch64: Path) -> Iterator[engines.Engine]:
    """As `engine`, of this year, with containerd's image store."""
    if os.geteuid() != 0:
        unable("an engine of one's own makes containers: run this test as root")
    programs = {name: require("dockerd-28" if name == "dockerd" else name) for name in realtools.ENGINE}
    with engines.arm64_emulated(qemu_aarch64), engines.running(programs, docker, store=True) as found:
        yield found


@pytest.fixture(scope="session")
def busybox_bases(docker_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A docker-registry with real bases of Debian's busybox: `base:1` for amd64 and arm64, `base:amd64` for amd64 alone."""
    from archkit import Artifact, FilesBuilder, RegistrySink, build

    folder = tmp_path_factory.mktemp("bases")
    (folder / "empty").mkdir()
    files: dict[str, Path] = {}
    for cpu in realtools.BUSYBOX_CPUS:
        root = files[f"linux/{cpu}"] = folder / cpu
        for name in ("bin", "etc", "tmp"):
            (root / name).mkdir(parents=True)
        shutil.copy(require(f"busybox-{cpu}"), root / "bin" / "busybox")
        for name in "cat cp echo env ls mkdir rm sh sleep test uname".split():  # noqa: SIM905 - reads as the list it is
            (root / "bin" / name).symlink_to("busybox")
        (root / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    with distribution_registry.running(docker_registry, tmp_path_factory.mktemp("registry")) as host:
        for tag, targets in (("1", ",".join(files)), ("amd64", "linux/amd64")):
            base = Artifact("base", folder / "empty", builder=FilesBuilder(files=files, entrypoint=["/bin/sh"], env={"PATH": "/bin"}))
            build(base, targets=targets, sink=RegistrySink(host), tag=tag, child_tags=False)
        yield host


@pytest.fixture(scope="session")
def buildpacks(
    engine: engines.Engine, docker_registry: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[buildpack_images.Buildpacks]:
    """pack, and a docker-registry with a builder image, its run image and a lifecycle image for both CPUs."""
    require("pack")
    with distribution_registry.running(docker_registry, tmp_path_factory.mktemp("registry")) as host:
        folder = tmp_path_factory.mktemp("buildpacks")
        yield buildpack_images.made(host, engine, folder, require, realtools.LIFECYCLE.lstrip("v"))


@pytest.fixture(scope="session")
def docker() -> Path:
    """A docker client, 23 or later; there may be no engine behind it."""
    return require("docker")


@pytest.fixture(scope="session")
def python_client() -> Callable[[str], Path]:
    """Gives the interpreter of an environment of its own, such as `python-kubernetes-31`."""
    return require


@pytest.fixture(scope="session")
def kubectl() -> Path:
    """kubectl; there may be no cluster behind it."""
    return require("kubectl")


@pytest.fixture(scope="session")
def qemu_aarch64() -> Path:
    """qemu's user-mode emulator for arm64 programs."""
    return require(realtools.QEMU)


@pytest.fixture(scope="session")
def oracle() -> Path:
    """The program of tests/live/oracles: what containerd's and distribution's libraries say."""
    return require("archkit-oracle")


@pytest.fixture(params=docker_ways.NAMES, scope="module")
def way(request: pytest.FixtureRequest, engine: engines.Engine, buildx: Path, buildkitd: Path) -> Iterator[docker_ways.DockerWay]:
    """Each way in which Docker builds, with the `engine`."""
    with (
        tempfile.TemporaryDirectory(prefix="archkit-") as folder,
        docker_ways.prepared(request.param, engine, Path(folder), buildx=buildx, buildkitd=buildkitd) as found,
    ):
        yield found


@pytest.fixture(scope="session")
def shared_control_plane() -> Iterator[control_planes.ControlPlane]:
    """A real control plane for the whole run, with whatever tests left in it; most want `control_plane`."""
    with control_planes.running({name: require(name) for name in control_planes.PROGRAMS}) as plane:
        yield plane


@pytest.fixture
def control_plane(shared_control_plane: control_planes.ControlPlane) -> control_planes.ControlPlane:
    """A real control plane that is up and holds neither nodes nor workloads; a test may stop parts of it."""
    shared_control_plane.up()
    shared_control_plane.wipe()
    return shared_control_plane

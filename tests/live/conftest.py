"""Real tools as fixtures: each gives the path of the program.

They come from the cache folder that `python3 noxfile.py tools` fills, or from PATH. Without one the test is skipped
with that advice; under CI=true it fails, so that nothing is left out in silence.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NoReturn

import maven_tools
import pytest
import realtools
import toolbox

if TYPE_CHECKING:
    from pathlib import Path


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
def docker() -> Path:
    """A docker client, 23 or later; there may be no engine behind it."""
    return require("docker")


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

"""The ways in which Docker builds: a BuildKit of its own behind buildx, the BuildKit inside the engine, the classic builder."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import buildkit

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from engine import Engine

NAMES = ("buildkit", "docker-driver", "classic")


@dataclass
class DockerWay:
    """What a DockerBuilder needs to go this way."""

    name: str
    options: dict[str, Any]
    """For DockerBuilder."""
    environ: dict[str, str]
    """For the process that builds."""

    @property
    def written(self) -> str:
        """The options as Python text."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


@contextmanager
def prepared(name: str, engine: Engine, folder: Path, *, buildx: Path, buildkitd: Path) -> Generator[DockerWay, None, None]:
    """One of :data:`NAMES`.

    Args:
        name: Which.
        engine: A dockerd that runs.
        folder: An empty one with a short path, for the client's configuration and BuildKit.
        buildx: The plugin.
        buildkitd: BuildKit's daemon.
    """
    config = folder / "config"
    config.mkdir()
    environ = {"DOCKER_CONFIG": str(config), "PATH": os.pathsep.join([str(engine.client.parent), os.environ["PATH"]])}
    options: dict[str, Any] = {"host": engine.host}
    if name == "classic":
        yield DockerWay(name, options, environ)
        return
    (config / "cli-plugins").mkdir()
    (config / "cli-plugins" / "docker-buildx").symlink_to(buildx)
    if name == "docker-driver":
        yield DockerWay(name, {**options, "builder": "default", "network": "host"}, environ)
        return
    with buildkit.running(buildkitd, folder) as address:
        create = [str(engine.client), "buildx", "create", "--name", "archkit-test", "--driver", "remote", address]
        subprocess.run(create, env={**os.environ, **environ}, check=True, capture_output=True, timeout=60)
        yield DockerWay(name, {**options, "builder": "archkit-test"}, environ)

"""Other tools that read and write registries, each with a configuration of its own, away from that of whoever runs this."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 120) -> str:
    """What a tool prints; a failure shows what it said."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, encoding="utf-8", timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@attrs.frozen
class Peer:
    """A tool, called with its arguments."""

    program: Path
    env: Mapping[str, str] = {}
    """Beside what this process has."""
    behind: tuple[str, ...] = ()
    """Arguments that stand behind all others."""
    before: tuple[str, ...] = ()
    """Arguments that stand before all others."""

    def command(self, *arguments: str | Path) -> list[str]:
        return [str(word) for word in (self.program, *self.before, *arguments, *self.behind)]

    def __call__(self, *arguments: str | Path) -> str:
        return run(*self.command(*arguments), env=self.env)


def regctl(program: Path, folder: Path, plain: Iterable[str]) -> Peer:
    """It must be told which registries speak plain HTTP; layouts are ``ocidir://PATH:TAG``."""
    config = folder / "regctl.json"
    config.write_text(json.dumps({"hosts": {host: {"tls": "disabled", "hostname": host} for host in plain}}))
    config.chmod(0o600)
    return Peer(program, {"REGCTL_CONFIG": str(config)})


def oras(program: Path, folder: Path) -> Peer:
    """Always in plain HTTP."""
    return Peer(program, _own_config(folder), behind=("--plain-http",))


def crane(program: Path, folder: Path) -> Peer:
    """It takes loopback for plain HTTP by itself."""
    return Peer(program, _own_config(folder))


def skopeo(program: Path, folder: Path) -> Peer:
    """Its options for plain HTTP differ by subcommand; images are ``docker://REFERENCE`` and ``oci:PATH:TAG``."""
    (folder / "auth.json").write_text("{}")
    own = ("--insecure-policy", "--registries.d", str(folder), "--tmpdir", str(folder))
    return Peer(program, {"REGISTRY_AUTH_FILE": str(folder / "auth.json")}, before=own)


def docker(program: Path, folder: Path, buildx: Path | None = None) -> Peer:
    """A docker client; with buildx as its plugin where that is given."""
    env = _own_config(folder)
    if buildx is not None:
        plugin = folder / "docker" / "cli-plugins" / "docker-buildx"
        plugin.parent.mkdir(exist_ok=True)
        if not plugin.exists():
            plugin.symlink_to(buildx)
    return Peer(program, env)


def _own_config(folder: Path) -> dict[str, str]:
    own = folder / "docker"
    own.mkdir(exist_ok=True)
    return {"DOCKER_CONFIG": str(own), "REGISTRY_AUTH_FILE": str(own / "auth.json")}

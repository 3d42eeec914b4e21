"""DockerBuilder with a builder of several nodes, each for one CPU: one build, and nothing counts as emulated."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import buildkit
import pytest

from archkit import Artifact, DockerBuilder, PlatformSet, RegistrySink, build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine import Engine

    from archkit import Event

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="written for an amd64 machine that emulates arm64"),
]

NODES = ("linux/amd64", "linux/arm64")


@pytest.fixture
def folder(engine: Engine, buildx: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A client's configuration of one's own, with buildx, below a short path."""
    with tempfile.TemporaryDirectory(prefix="archkit-") as name:
        (Path(name) / "cli-plugins").mkdir()
        (Path(name) / "cli-plugins" / "docker-buildx").symlink_to(buildx)
        monkeypatch.setenv("DOCKER_CONFIG", name)
        monkeypatch.setenv("DOCKER_HOST", engine.host)
        monkeypatch.setenv("PATH", f"{engine.client.parent}{os.pathsep}{os.environ['PATH']}")
        yield Path(name)


@pytest.fixture
def builder_of_two_nodes(folder: Path, engine: Engine, buildkitd: Path) -> Iterator[str]:
    """Two BuildKits, of which one is said to be for amd64 alone and one for arm64 (which it emulates here)."""
    with ExitStack() as stack:
        for node in NODES:
            own = folder / node.partition("/")[2]
            own.mkdir()
            address = stack.enter_context(buildkit.running(buildkitd, own))
            create = [str(engine.client), "buildx", "create", "--name", "farm", "--driver", "remote", "--platform", node]
            create += [*(["--append"] if node != NODES[0] else []), "--node", own.name, address]
            subprocess.run(create, check=True, capture_output=True, timeout=60)
        yield "farm"


def test_each_platform_is_built_on_the_node_that_is_for_it(
    builder_of_two_nodes: str, engine: Engine, busybox_bases: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f'FROM {busybox_bases}/base:1\nRUN uname -m > /made-on\nCMD ["-c", "cat /made-on"]\n')
    events: list[Event] = []
    artifact = Artifact("farmed", tmp_path, builder=DockerBuilder(builder=builder_of_two_nodes, host=engine.host))
    result = build(artifact, targets=",".join(NODES), sink=RegistrySink(busybox_bases), tag="v1", on_event=events.append)
    assert result.images[0].platforms == PlatformSet(NODES)
    assert {name: engine.run(result.images[0].reference, name) for name in NODES} == {NODES[0]: "x86_64\n", NODES[1]: "aarch64\n"}
    assert result.findings == ()
    assert len([event for event in events if (event.work, event.stage) == ("build", "started")]) == 1  # one native build

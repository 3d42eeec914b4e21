"""A run of the real ko that is interrupted while it compiles, while it pushes, or while archkit reads back what it pushed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from interruption import GENTLE, How, Interruption, assert_ended
from process_watch import ended, needs_proc

from archkit.testing import EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.live, needs_proc]

PROJECT = Path(__file__).parent / "projects" / "go"
BOTH = "linux/amd64,linux/arm64"
SETUP = """
from archkit import KoBuilder
artifact = Artifact("hello", "src", builder=KoBuilder("./cmd/hello", base=f"{HOST}/base:1", timeout=6 if HURRY else 600))
"""
GO = """#!/bin/sh
if [ "$1" = build ]; then sleep 300; fi
exec go "$@"
"""
"""A Go that takes its time to compile."""
PHASES = {"compiling": "Building", "pushing": "Publishing", "verifying": "verify started"}
CASES = [(how, phase) for how in GENTLE for phase in PHASES if how != "timeout" or phase == "compiling"]
"""The limit of time is that of ko's run, wherever it is by then."""


@pytest.fixture
def registry() -> Iterator[EmbeddedRegistry]:
    """With a base, and with an image under the final tag."""
    with EmbeddedRegistry() as registry:
        ImageFactory(registry).push("base:1", BOTH)
        ImageFactory(registry).push("hello:latest", BOTH)
        yield registry


@pytest.fixture
def build(ko: Path, registry: EmbeddedRegistry, tmp_path: Path) -> Interruption:
    """The build of the Go project."""
    shutil.copytree(PROJECT, tmp_path / "src")
    (tmp_path / "docker").mkdir()
    environ = {"PATH": f"{ko.parent}{os.pathsep}{os.environ['PATH']}", "DOCKER_CONFIG": str(tmp_path / "docker")}
    return Interruption(tmp_path, SETUP, registry.host, environ=environ)


def slow(phase: str, build: Interruption, registry: EmbeddedRegistry) -> None:
    """Let a phase take its time."""
    if phase == "compiling":
        (build.folder / "go").write_text(GO)
        (build.folder / "go").chmod(0o755)
        build.environ["KO_GO_PATH"] = str(build.folder / "go")
    else:
        kind = "upload" if phase == "pushing" else "blob"
        registry.on("*", kind=kind).wait(1.0).optional()


@pytest.mark.parametrize(("how", "phase"), CASES)
def test_nothing_is_left(how: How, phase: str, build: Interruption, registry: EmbeddedRegistry) -> None:
    before = registry.resolve("hello:latest")
    slow(phase, build, registry)

    outcome = build.run(how, PHASES[phase])

    assert_ended(outcome, how)
    assert outcome.clean, outcome
    assert list(registry.tags("hello")) == ["latest"]
    assert registry.resolve("hello:latest") == before


@pytest.mark.parametrize("phase", PHASES)
def test_after_sigkill_the_next_run_removes_what_is_left(phase: str, build: Interruption, registry: EmbeddedRegistry) -> None:
    before = registry.resolve("hello:latest")
    slow(phase, build, registry)
    killed = build.run("SIGKILL", PHASES[phase])
    assert_ended(killed, "SIGKILL")
    assert killed.files != []
    for process in killed.processes:  # nobody is left to end them; what still pushes writes the staging tag at most
        if phase == "compiling":
            os.kill(process, 9)
        assert ended(process, within=60)
    assert registry.resolve("hello:latest") == before
    if phase != "pushing":  # then ko may or may not get to it: it dies as soon as it has something to print
        assert ("latest_archkit-staging" in registry.tags("hello")) == (phase == "verifying")

    build.environ.pop("KO_GO_PATH", None)
    built = build.run("nothing")

    assert_ended(built, "nothing")
    assert built.clean, built
    assert registry.resolve("hello:latest") != before
    assert list(registry.tags("hello")) == ["latest", "latest_linux_amd64", "latest_linux_arm64"]

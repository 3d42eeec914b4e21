"""pack's builds that are interrupted in the middle: no process, container, volume, network or folder left; the tag as it was."""

from __future__ import annotations

import os
import platform
import time
import uuid
from typing import TYPE_CHECKING

import pytest
from buildpacks import BOTH
from interruption import GENTLE, How, Interruption, assert_ended

from archkit import RegistryClient
from archkit.testing import ImageFactory

if TYPE_CHECKING:
    from pathlib import Path

    from buildpacks import Buildpacks
    from engine import Engine

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="written for an amd64 machine that emulates arm64"),
]

SETUP = """
from archkit import BuildpacksBuilder
from archkit.builders.buildpacks import builder as module
module._ABANDONED = 2.0
builder = BuildpacksBuilder(f"{{HOST}}/builder:1", {options}, timeout=15 if HURRY else 600)
artifact = Artifact("{image}", "src", builder=builder)
"""
KINDS = (("ps", "--all", "--format", "{{.Image}} {{.Command}}"), ("volume", "ls", "--quiet"), ("network", "ls", "--quiet"))
TRUST = {"trusted": "trust_builder=True", "untrusted": 'trust_builder=False, lifecycle_image=f"{HOST}/lifecycle:1"'}


class Case:
    """A build that is interrupted; there is an image under its tag."""

    def __init__(self, trust: str, buildpacks: Buildpacks, engine: Engine, folder: Path) -> None:
        self.host, self.image, self.engine = buildpacks.host, f"stopped-{uuid.uuid4().hex[:8]}", engine
        self.mark = f"middle-{uuid.uuid4().hex}"
        self.source = folder / "src"
        self.source.mkdir()
        path = os.pathsep.join([str(buildpacks.pack.parent), str(engine.client.parent), os.environ["PATH"]])
        setup = SETUP.format(image=self.image, options=TRUST[trust])
        self.build = Interruption(folder, setup, self.host, environ={**buildpacks.environ, "PATH": path})
        with RegistryClient() as client:
            ImageFactory(client).push(f"{self.host}/{self.image}:latest", BOTH)
        self.before, self.things = self.digest(), self.kept()

    def digest(self) -> str:
        with RegistryClient() as client:
            found = client.head(f"{self.host}/{self.image}:latest")
            assert found is not None
            return found.digest

    def kept(self) -> list[list[str]]:
        """What the engine keeps: containers, volumes other than caches, networks, and images that pack made."""
        found = [[line for line in self.engine.docker(*words).stdout.splitlines() if "-cache-" not in line] for words in KINDS]
        images = self.engine.docker("images", "--format", "{{.Repository}}").stdout.splitlines()
        return [*map(sorted, found), sorted(name for name in images if name.startswith("pack.local/"))]

    def nothing_is_left(self) -> None:
        until = time.monotonic() + 15
        while (left := self.kept()) != self.things:
            assert time.monotonic() < until, left
            time.sleep(0.2)


@pytest.mark.parametrize(("how", "trust"), [*((how, "trusted") for how in GENTLE), ("SIGINT", "untrusted"), ("cancel", "untrusted")])
def test_in_the_middle_of_a_buildpack(how: How, trust: str, buildpacks: Buildpacks, engine: Engine, tmp_path: Path) -> None:
    case = Case(trust, buildpacks, engine, tmp_path)
    (case.source / "slow").write_text(f"{case.mark}\n")
    outcome = case.build.run(how, case.mark, times=2)  # both platforms
    assert_ended(outcome, how)
    assert outcome.clean, outcome
    assert case.digest() == case.before
    case.nothing_is_left()


@pytest.mark.parametrize("trust", TRUST)
def test_after_sigkill_the_next_run_removes_what_is_left(trust: str, buildpacks: Buildpacks, engine: Engine, tmp_path: Path) -> None:
    case = Case(trust, buildpacks, engine, tmp_path)
    (case.source / "slow").write_text(f"{case.mark}\n")
    killed = case.build.run("SIGKILL", case.mark, times=2)
    assert_ended(killed, "SIGKILL")
    assert killed.files != []
    assert killed.processes != []  # pack, and its container goes on
    assert case.digest() == case.before
    (case.source / "slow").unlink()
    built = case.build.run("nothing")
    assert_ended(built, "nothing")
    assert built.clean, built
    assert case.digest() != case.before
    case.nothing_is_left()


def test_after_sigkill_pack_dies_of_what_it_prints_and_a_later_run_removes_what_is_left(
    buildpacks: Buildpacks, engine: Engine, tmp_path: Path
) -> None:
    case = Case("trusted", buildpacks, engine, tmp_path)
    (case.source / "chatty").write_text(f"{case.mark}\n")
    assert_ended(case.build.run("SIGKILL", case.mark, times=2), "SIGKILL")
    until = time.monotonic() + 120
    while engine.docker("ps", "--quiet").stdout:  # the containers come to their end by themselves
        assert time.monotonic() < until
        time.sleep(0.5)
    assert case.digest() == case.before
    assert case.kept() != case.things
    time.sleep(3)
    (case.source / "chatty").unlink()
    built = case.build.run("nothing")
    assert_ended(built, "nothing")
    assert built.clean, built
    case.nothing_is_left()

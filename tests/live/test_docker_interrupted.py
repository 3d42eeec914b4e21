"""Docker builds that are interrupted in the middle, each way: no process, container or temporary folder left; the tag as it was."""

from __future__ import annotations

import os
import platform
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from interruption import GENTLE, How, Interruption, assert_ended
from process_watch import ended, mentioning

from archkit import RegistryClient

if TYPE_CHECKING:
    from docker_ways import DockerWay
    from engine import Engine

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="written for an amd64 machine that emulates arm64"),
]

SETUP = """
from archkit import DockerBuilder
artifact = Artifact("{image}", "src", builder=DockerBuilder({options}, timeout=6 if HURRY else 600))
"""


class Case:
    """One image, built once and then interrupted."""

    def __init__(self, way: DockerWay, engine: Engine, host: str, folder: Path) -> None:
        self.host, self.image, self.engine = host, f"stopped-{uuid.uuid4().hex[:8]}", engine
        self.mark = f"middle-{uuid.uuid4().hex}"
        self.source = folder / "src"
        self.source.mkdir()
        setup = SETUP.format(image=self.image, options=way.written)
        self.build = Interruption(folder, setup, host, environ=way.environ)
        self.write(f"RUN echo first-{self.mark}")
        assert_ended(self.build.run("nothing"), "nothing")
        self.before = self.digest()

    def write(self, step: str) -> None:
        (self.source / "Dockerfile").write_text(f"FROM {self.host}/base:1\n{step}\n")

    def digest(self) -> str:
        with RegistryClient() as client:
            found = client.head(f"{self.host}/{self.image}:latest")
            assert found is not None
            return found.digest

    def tags(self) -> list[str]:
        with RegistryClient() as client:
            return list(client.tags(f"{self.host}/{self.image}"))

    def slow(self) -> None:
        self.write(f"RUN echo {self.mark} && sleep 250 && true")  # not as the last command, which the shell would become

    def nothing_runs(self) -> None:
        for pid in mentioning(f"echo {self.mark}"):
            assert pid == os.getpid() or ended(pid, within=15.0), Path(f"/proc/{pid}/cmdline").read_bytes()
        until = time.monotonic() + 15
        while left := self.engine.docker("ps", "--all", "--format", "{{.ID}} {{.Command}} {{.Status}}").stdout:
            assert time.monotonic() < until, left
            time.sleep(0.2)


@pytest.mark.parametrize("how", GENTLE)
def test_in_the_middle_of_a_command(how: How, way: DockerWay, engine: Engine, busybox_bases: str, tmp_path: Path) -> None:
    case = Case(way, engine, busybox_bases, tmp_path)
    case.slow()
    outcome = case.build.run(how, case.mark, times=2)  # once in the step's headline, once printed
    assert_ended(outcome, how)
    assert outcome.clean, outcome
    assert case.digest() == case.before
    assert case.tags() == ["latest", "latest_linux_amd64", "latest_linux_arm64"]
    case.nothing_runs()


def test_after_sigkill_the_next_run_removes_what_is_left(way: DockerWay, engine: Engine, busybox_bases: str, tmp_path: Path) -> None:
    case = Case(way, engine, busybox_bases, tmp_path)
    case.slow()
    killed = case.build.run("SIGKILL", case.mark, times=2)
    assert_ended(killed, "SIGKILL")
    assert killed.files != []
    assert killed.processes != []  # nobody can end them at this moment
    assert mentioning(f"echo {case.mark}")  # and the step goes on
    assert case.digest() == case.before
    case.write(f"RUN echo last-{case.mark}")
    built = case.build.run("nothing")
    assert_ended(built, "nothing")
    assert built.clean, built
    assert case.digest() != case.before
    assert case.tags() == ["latest", "latest_linux_amd64", "latest_linux_arm64"]
    case.nothing_runs()

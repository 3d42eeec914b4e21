"""A build that is interrupted in the middle leaves no process, staging tag or temporary folder; the final tag is as it was."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from interruption import GENTLE, How, Interruption, assert_ended
from process_watch import needs_proc

if TYPE_CHECKING:
    from pathlib import Path

    from archkit.testing import EmbeddedRegistry, ImageFactory

pytestmark = [needs_proc, pytest.mark.skipif(sys.platform == "win32", reason="builders run on Linux and macOS")]

PUSH = """
import os, subprocess, sys, tempfile, time
from archkit import RegistryClient
from archkit.testing import ImageFactory
tempfile.mkdtemp()
with RegistryClient() as client:
    ImageFactory(client).push(os.environ["IMAGE"], os.environ["PLATFORMS"].split(","), files={"new": b"1"})
subprocess.Popen(["sleep", "300"])
print("pushed", flush=True)
time.sleep(300 if os.path.exists("slow") else 0)
"""
"""A command that pushes, has started a program, and takes long from then on; with the file `slow` gone it ends."""

COMMAND = """
artifact = Artifact("web", ".", builder=CustomBuilder([sys.executable, "push.py"], staged=True, per_platform={per_platform},
    parallel=True, timeout=2.5 if HURRY else 600))
"""
FILES = """
Path("src").mkdir(exist_ok=True)
Path("src/new").write_text("1")
artifact = Artifact("web", "src", builder=FilesBuilder(entrypoint=["/x"], native={native}))
"""


@pytest.fixture
def registry(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> EmbeddedRegistry:
    """With an image under the final tag."""
    archkit_images.push("web:latest", ["linux/amd64", "linux/arm64"])
    return archkit_registry


def command(registry: EmbeddedRegistry, folder: Path, *, per_platform: bool = False) -> Interruption:
    (folder / "push.py").write_text(PUSH)
    (folder / "slow").touch()
    return Interruption(folder, COMMAND.format(per_platform=per_platform), registry.host)


@pytest.mark.parametrize("how", GENTLE)
def test_a_command_for_all_platforms(how: How, registry: EmbeddedRegistry, tmp_path: Path) -> None:
    before = registry.resolve("web:latest")
    outcome = command(registry, tmp_path).run(how, "pushed")
    assert_ended(outcome, how)
    assert outcome.clean, outcome
    assert list(registry.tags("web")) == ["latest"]
    assert registry.resolve("web:latest") == before


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "cancel", "timeout"])
def test_two_commands_at_the_same_time(how: How, registry: EmbeddedRegistry, tmp_path: Path) -> None:
    """Per-platform tags are overwritten by the next build, and never deleted."""
    before = registry.resolve("web:latest")
    outcome = command(registry, tmp_path, per_platform=True).run(how, "pushed", times=2)
    assert_ended(outcome, how)
    assert outcome.clean, outcome
    assert registry.resolve("web:latest") == before
    assert not [tag for tag in registry.tags("web") if "staging" in tag]


def test_after_sigkill_the_next_run_removes_what_is_left(registry: EmbeddedRegistry, tmp_path: Path) -> None:
    before = registry.resolve("web:latest")
    build = command(registry, tmp_path)
    killed = build.run("SIGKILL", "pushed")
    assert_ended(killed, "SIGKILL")
    assert killed.files != []
    assert killed.processes != []  # nobody can end them at this moment
    assert registry.resolve("web:latest") == before

    (tmp_path / "slow").unlink()
    built = build.run("nothing")
    assert_ended(built, "nothing")
    assert built.clean, built
    assert registry.resolve("web:latest") != before
    assert list(registry.tags("web")) == ["latest", "latest_linux_amd64", "latest_linux_arm64"]


@pytest.mark.parametrize(
    ("how", "native"),
    [(how, True) for how in ("SIGINT", "SIGTERM", "SIGHUP", "cancel", "SIGKILL")] + [("SIGTERM", False), ("SIGKILL", False)],
)
def test_files(how: How, native: bool, registry: EmbeddedRegistry, tmp_path: Path) -> None:
    """The registry takes its time, so that the build is in the middle of its uploads."""
    before = registry.resolve("web:latest")
    rule = registry.on("*", kind="upload").wait(0.3).optional()
    build = Interruption(tmp_path, FILES.format(native=native), registry.host)
    outcome = build.run(how, "build started")
    assert_ended(outcome, how)
    assert registry.resolve("web:latest") == before
    assert how == "SIGKILL" or outcome.clean, outcome
    rule.times(0)

    built = build.run("nothing")
    assert_ended(built, "nothing")
    assert built.clean, built
    assert registry.resolve("web:latest") != before

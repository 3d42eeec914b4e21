"""README's two commands, and .ci/run, which must run all of its steps and fail when one of them does."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERBS = ["test", "lint", "tools", "live"]


@pytest.mark.parametrize(
    ("section", "command"), [("Run it", "python3 noxfile.py demo"), ("Test it", "python3 noxfile.py test")], ids=["run", "test"]
)
def test_readme_has_one_command_for_each(section: str, command: str) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (body,) = re.findall(rf"(?ms)^## {section}$(.*?)(?=^## |\Z)", text)
    blocks = re.findall(r"(?ms)^```\w*\n(.*?)^```$", body)
    assert blocks == [f"{command}\n"]


def run(folder: Path, failing: str = "") -> tuple[int, list[str]]:
    """Run .ci/run beside a python3 that only notes what it was given; returns the status and the verbs."""
    checkout = folder / "checkout"
    (checkout / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", checkout / ".ci")
    shutil.copy(ROOT / "README.md", checkout)
    python = folder / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$2 CI=$CI CORPUS=$ARCHKIT_CORPUS" >> {folder}/calls\n[ "$2" != "{failing}" ]\n')
    python.chmod(0o755)
    environment = {"PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run([checkout / ".ci" / "run"], env=environment, cwd=folder, capture_output=True, timeout=60, check=False)
    calls = folder / "calls"
    return done.returncode, calls.read_text().splitlines() if calls.exists() else []


def test_ci_runs_every_step(tmp_path: Path) -> None:
    assert run(tmp_path) == (0, [f"{verb} CI=true CORPUS=" for verb in VERBS])


@pytest.mark.parametrize("failing", VERBS)
def test_ci_fails_when_a_step_fails(tmp_path: Path, failing: str) -> None:
    status, calls = run(tmp_path, failing)
    assert status != 0
    assert len(calls) == VERBS.index(failing) + 1


def test_ci_hands_over_the_manifests_that_lie_beside_the_checkout(tmp_path: Path) -> None:
    corpus = tmp_path / "shared" / "corpus"
    corpus.mkdir(parents=True)
    (corpus / "a.yaml").touch()
    assert run(tmp_path) == (0, [f"{verb} CI=true CORPUS={corpus}" for verb in VERBS])


def test_ci_fails_when_there_should_be_manifests_and_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "shared" / "corpus").mkdir(parents=True)
    status, calls = run(tmp_path)
    assert status != 0
    assert calls == []

"""The example of a small team: its own test suite passes, and each of its tests can fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "deploy-script"


def suite(folder: Path, *options: str) -> str:
    """What its test suite prints, run as its team would."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COVERAGE_", "COV_", "PYTHONPATH"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False).stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache")))


def test_its_suite_passes(project: Path) -> None:
    out = suite(project)
    assert re.search(r"^\d+ passed in", out, re.MULTILINE), out


@pytest.mark.parametrize(
    ("right", "wrong", "failing"),
    [
        ("builds=[image], cluster=cluster", "builds=[image], affinity='never'", "test_a_release_runs_on_both_cpus"),
        ("    rendering.raise_for_findings()\n", "", "test_images_for_the_wrong_cpu_never_get_there"),
        ("dry_run=dry_run, name", "force=True, dry_run=dry_run, name", "test_what_somebody_else_scaled_is_not_taken_away"),
    ],
)
def test_a_mistake_in_the_script_is_found(project: Path, right: str, wrong: str, failing: str) -> None:
    script = project / "deploy.py"
    text = script.read_text(encoding="utf-8")
    assert text.count(right) == 1
    script.write_text(text.replace(right, wrong), encoding="utf-8")
    out = suite(project, "-k", failing)
    assert f"FAILED tests/test_deploy.py::{failing}" in out, out

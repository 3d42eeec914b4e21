"""A docker client that does what a test says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from fake_docker import FakeDocker

if TYPE_CHECKING:
    from pathlib import Path

    from archkit.testing import EmbeddedRegistry, FakeRunner, ImageFactory


@pytest.fixture
def docker(
    archkit_process: FakeRunner,
    archkit_registry: EmbeddedRegistry,
    archkit_images: ImageFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> FakeDocker:
    """A docker client on PATH; what it does must be said."""
    for name in ("docker", "podman"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\nexit 99\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return FakeDocker(archkit_process, archkit_images, str(tmp_path / "bin" / "docker"))

"""Naming a DockerBuilder costs nothing of what talks to Docker."""

from __future__ import annotations

import subprocess
import sys


def test_python_on_whales_is_loaded_when_docker_is_asked() -> None:
    code = "import sys; from archkit import DockerBuilder, DockerEngine; DockerBuilder(); DockerEngine()"
    code += "; print([name for name in ('python_on_whales', 'pydantic', 'urllib3', 'kubernetes') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=60, check=True)
    assert done.stdout == "[]\n"

"""What a user's script is told by a type checker, and that it runs as it stands (`lint` runs mypy over it)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

USER = Path(__file__).with_name("user.py")


def test_the_users_script_runs() -> None:
    done = subprocess.run([sys.executable, USER], capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("  - image: x.io/web:1\n\nlinux/arm64\n")

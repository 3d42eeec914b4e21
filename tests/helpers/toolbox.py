"""Where the real tools are kept, and what every recipe for one needs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "archkit"
BIN = CACHE / "bin"
OLDEST_DOCKER = 23
"""`docker manifest inspect` reads OCI indexes from this version on; Debian 12 has 20.10."""


class Missing(Exception):
    """A tool cannot be put there; says what to do."""


if TYPE_CHECKING:
    Recipe = Callable[[TextIO], None]
    """Puts a tool into place; what it runs and what that says goes to the log. Raises ``Missing``."""


def run(log: TextIO, *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a command; returns its output, its messages go to the log."""
    print("+", *command, file=log, flush=True)
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        log.write(done.stdout)
        raise Missing(f"{' '.join(map(str, command[:2]))} failed")
    return done.stdout


def source_folder(name: str) -> Path:
    """An empty folder to make this tool in."""
    import shutil

    folder = CACHE / "src" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def docker_version(program: Path) -> int:
    """Major version of a docker client; 0 where it does not say one."""
    done = subprocess.run([program, "--version"], capture_output=True, encoding="utf-8", timeout=60, check=False)
    found = re.search(r"version (\d+)\.", done.stdout)
    return int(found.group(1)) if found else 0

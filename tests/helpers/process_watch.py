"""Looking at the processes of this machine, for tests that say that none is left."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks at /proc, which only Linux has")


def ended(pid: int, *, within: float = 5.0) -> bool:
    """Whether a process has ended, waited for a moment: a killed orphan is collected by init, not by us."""
    until = time.monotonic() + within
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.02)


def wait_for(path: Path, *, within: float = 30.0) -> str:
    """The content of a file that another process writes, once there is one."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        if path.is_file() and (content := path.read_text(encoding="utf-8")).endswith("\n"):
            return content
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written within {within:g} s")


def mentioning(text: str) -> list[int]:
    """The running processes whose arguments or environment hold a text."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                content = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if text.encode() in content and not ended(int(entry.name), within=0):
                found.append(int(entry.name))
    return found

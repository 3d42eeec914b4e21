"""A program and everything that it started: who belongs to it, and its end."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

_PROC = Path("/proc")
HAS_PROC = Path("/proc/self/stat").is_file()
_GRACE = 10.0
"""Seconds that a program of a killed process gets to clean up."""
_LOOK = 0.05


@attrs.frozen
class ProcessFacts:
    """One process as ``/proc/PID/stat`` describes it (proc_pid_stat(5)); number and start time name it for good."""

    pid: int
    started: int
    parent: int = attrs.field(eq=False)
    group: int = attrs.field(eq=False)
    session: int = attrs.field(eq=False)
    state: str = attrs.field(eq=False)

    @property
    def runs(self) -> bool:
        """Whether it has not ended; one that nobody has waited for yet has."""
        return self.state not in {"Z", "X", "x"}


def _facts(pid: int) -> ProcessFacts | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # its name stands in brackets and may hold anything
    return ProcessFacts(pid, int(fields[19]), int(fields[1]), int(fields[2]), int(fields[3]), fields[0])


def _all() -> Iterator[ProcessFacts]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            found = _facts(int(entry.name))
            if found is not None:
                yield found


class ProcessTree:
    """A program that was started in a session of its own, with all that comes from it.

    To it belongs whoever is in its session, or descends from one that does: a child that made a session of its own is
    found by its parents, as long as those live. Only a daemon whose parents have ended is beyond reach, as it means to
    be. Where there is no ``/proc`` (macOS) the process group is all that can be seen.

    The program must not be waited for before :meth:`signal` was last called: until then its number is its own.
    """

    def __init__(self, pid: int, process: subprocess.Popen[bytes] | None = None) -> None:
        self._pid, self._process = pid, process
        self._known: set[ProcessFacts] = set()

    def ended(self) -> bool:
        """Whether the program itself has ended; it is not waited for."""
        if self._process is None or self._process.returncode is not None:
            return True
        if sys.platform == "linux":
            try:
                return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
            except ChildProcessError:  # this process ignores SIGCHLD: the kernel waits for its children
                return True
        return self._process.poll() is not None

    def running(self) -> bool:
        """Whether anything of it still runs."""
        if not HAS_PROC:
            return not self.ended()
        return any(one.runs for one in self._members())

    def terminate(self) -> None:
        """Ask all of it to end."""
        self._signal(signal.SIGTERM)

    def kill(self, *, only_group: bool = False) -> None:
        """End all of it; ``only_group``: not what made a session of its own."""
        if sys.platform == "win32":
            if self._process is not None:
                self._process.kill()
        else:
            self._signal(signal.SIGKILL, only_group=only_group)

    def _signal(self, number: int, *, only_group: bool = False) -> None:
        if sys.platform == "win32":
            if self._process is not None:
                self._process.terminate()
            return
        members = self._members() if HAS_PROC and not only_group else set[ProcessFacts]()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)
        for one in members:
            if one.group != self._pid and _facts(one.pid) == one:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(one.pid, number)

    def _members(self) -> set[ProcessFacts]:
        """Whoever belongs to it now, and whoever was seen to belong to it and still runs."""
        everyone = list(_all())
        present = set(everyone)
        pids = {self._pid, *(one.pid for one in self._known & present)}
        members: set[ProcessFacts] = set()
        grew = True
        while grew:
            more = {one for one in everyone if one.pid in pids or one.parent in pids or one.session == self._pid}
            grew = more != members
            members = more
            pids |= {one.pid for one in members}
        self._known = members
        return members


# ---- those of a process that was killed --------------------------------------------------------------------------


def record(folder: Path, pid: int) -> Path | None:
    """Write down that a program runs, for whoever cleans up should this process be killed; the file, where there is one."""
    found = _facts(pid) if HAS_PROC else None
    if found is None:
        return None
    path = folder / str(pid)
    try:
        path.write_text(f"{found.pid} {found.started}\n", encoding="ascii")
    except OSError:
        return None
    return path


def end_recorded(folder: Path) -> None:
    """End the programs that are written down in a folder and still run, with all that comes from them.

    Only a folder of this user's own that nobody else can write to counts: else somebody could name any program.
    """
    if sys.platform == "win32" or not HAS_PROC:
        return
    with suppress(OSError):
        state = folder.stat()
        if state.st_uid != os.geteuid() or state.st_mode & 0o077:
            return
        recorded = [found for path in folder.iterdir() if (found := _recorded(path)) is not None]
        _end({one: ProcessTree(one.pid) for one in recorded})


def _recorded(path: Path) -> ProcessFacts | None:
    """The program that is written down in a file, where it still runs."""
    pid, _, started = path.read_text(encoding="ascii").strip().partition(" ")
    found = _facts(int(pid)) if pid.isdecimal() else None
    return found if found is not None and str(found.started) == started else None


def _end(trees: Mapping[ProcessFacts, ProcessTree]) -> None:
    """Ask all of them to end, for some have containers to remove; then end what has not."""
    for tree in trees.values():
        tree.terminate()
    until = time.monotonic() + _GRACE
    left = dict(trees)
    while left:
        # once a number is somebody else's, all that had it has ended
        left = {one: tree for one, tree in left.items() if _facts(one.pid) in (one, None) and tree.running()}
        if time.monotonic() >= until:
            break
        time.sleep(_LOOK)
    for tree in left.values():
        tree.kill()

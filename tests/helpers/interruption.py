"""Builds that are interrupted in the middle, seen from outside: what their end leaves behind.

The build runs in a process of its own, with a folder of its own for temporary files. When it has said a certain thing,
it gets a signal, is cancelled, or is left to its own timeout. Nothing here knows which builder or tool it is about:
`Interruption` takes the Python text that makes the artifact.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from process_watch import mentioning

if TYPE_CHECKING:
    from pathlib import Path

How = Literal["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL", "cancel", "timeout", "nothing"]
GENTLE: tuple[How, ...] = ("SIGINT", "SIGTERM", "SIGHUP", "cancel", "timeout")
"""Everything that lets a build clean up."""

_PROGRAM = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup, and a shell's "&", hand down ignored signals
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from pathlib import Path
from archkit import ArchkitError, Artifact, CustomBuilder, FilesBuilder, RegistrySink, build

HOST, TAG, TARGETS = sys.argv[1:4]
HURRY = sys.argv[4] == "timeout"  # give the builder a short timeout then
cancel = threading.Event()
options = {{}}

def watch():
    while not Path("cancel").exists():
        time.sleep(0.02)
    cancel.set()

threading.Thread(target=watch, daemon=True).start()

def tell(event):
    print(event.work, event.stage, event.platform or "-", event.message, flush=True)

{setup}
try:
    build(artifact, targets=TARGETS, sink=RegistrySink(HOST), tag=TAG, cancel=cancel, on_event=tell, **options)
except ArchkitError as error:
    print("ERROR", type(error).__name__, getattr(error, "kind", "-"), error, flush=True)
    sys.exit(3)
print("BUILT", flush=True)
"""


@dataclass
class Outcome:
    """How a build ended, and what it left."""

    status: int
    """Of the process; negative: the signal that ended it."""
    output: str
    processes: list[int]
    """Those that it started and that still run."""
    files: list[str]
    """What is left in its folder for temporary files."""

    @property
    def clean(self) -> bool:
        """Whether no process and no temporary file is left."""
        return not self.processes and not self.files


@dataclass
class Interruption:
    """A build that can be interrupted, again and again in one folder.

    Args:
        folder: Where it runs; its temporary files are in `t` there.
        setup: Python text that assigns `artifact`, and may put more arguments of `build` into `options`. It finds
            Artifact, CustomBuilder, FilesBuilder, HOST, TAG, TARGETS, and HURRY (true: the builder is to have a short
            timeout); it imports the rest.
        host: The registry.
    """

    folder: Path
    setup: str
    host: str
    targets: str = "linux/amd64,linux/arm64"
    tag: str = "latest"
    environ: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def temporary(self) -> Path:
        """Where its temporary files are."""
        return self.folder / "t"

    def run(self, how: How, when: str = "", *, times: int = 1, within: float = 120.0) -> Outcome:
        """Build, and interrupt it.

        Args:
            how: In which way; "timeout" waits for the builder's own, "nothing" for the end of the build.
            when: What a line of its events must hold before.
            times: How many lines must.
            within: Seconds that all of it may take.
        """
        self.temporary.mkdir(exist_ok=True)
        (self.folder / "cancel").unlink(missing_ok=True)
        program = _PROGRAM.format(setup=textwrap.dedent(self.setup))
        environ = {**os.environ, "TMPDIR": str(self.temporary), "ARCHKIT_TEST_MARK": self.mark, **self.environ}
        process = subprocess.Popen(
            [sys.executable, "-c", program, self.host, self.tag, self.targets, how],
            cwd=self.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        lines: list[str] = []
        seen = threading.Event()
        reader = threading.Thread(target=_read, args=(process, lines, seen, when, times), daemon=True)
        reader.start()
        try:
            if how not in {"timeout", "nothing"}:
                until = time.monotonic() + within
                while not seen.wait(0.05):
                    assert process.poll() is None, f"it ended before it said {when!r}:\n{''.join(lines)}"
                    assert time.monotonic() < until, f"it did not say {when!r}:\n{''.join(lines)}"
                if how == "cancel":
                    (self.folder / "cancel").touch()
                else:
                    process.send_signal(signal.Signals[how])
            status = process.wait(timeout=within)
        finally:
            process.kill()
            process.wait()
        until = time.monotonic() + (0.2 if how == "SIGKILL" else 3)
        while (left := mentioning(self.mark)) and time.monotonic() < until:
            time.sleep(0.05)  # killed orphans are collected by init
        reader.join(timeout=10)
        return Outcome(status, "".join(lines), left, sorted(path.name for path in self.temporary.iterdir()))


def _read(process: subprocess.Popen[str], lines: list[str], seen: threading.Event, when: str, times: int) -> None:
    assert process.stdout is not None
    found = 0
    with process.stdout:
        for line in process.stdout:
            lines.append(line)
            found += bool(when) and when in line
            if found >= times:
                seen.set()


EXPECTED: dict[How, tuple[int, str]] = {
    "SIGINT": (-signal.SIGINT, "KeyboardInterrupt"),
    "SIGTERM": (-signal.SIGTERM, ""),
    "SIGHUP": (-signal.SIGHUP, ""),
    "SIGKILL": (-signal.SIGKILL, ""),
    "cancel": (3, "ERROR CancelledError"),
    "timeout": (3, "ERROR BuildToolError timeout"),
    "nothing": (0, "BUILT"),
}
"""Status of the process, and what its output must hold."""


def assert_ended(outcome: Outcome, how: How) -> None:
    """The process ended as somebody would expect who interrupts it so."""
    status, said = EXPECTED[how]
    assert outcome.status == status, outcome.output
    assert said in outcome.output

"""The only starter of processes: argument lists, a group of their own, a limit for time and output."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from archkit.errors import CommandError, ToolNotFoundError
from archkit.ports.runner import Completed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from archkit.ports.runner import Runner

_PIECE = 64 * 1024
_POLL = 0.05
_GRACE = 2.0
"""Seconds that the outputs may stay open when the program has ended: a daemon that it started may hold them."""


class ProcessRunner:
    """Runs programs of this machine; thread-safe."""

    def run(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        timeout: float,
        stdin: bytes = b"",
        cwd: Path | None = None,
        limit: int = 1024 * 1024,
        check: bool = True,
    ) -> Completed:
        """See :meth:`archkit.ports.runner.Runner.run`."""
        if isinstance(command, str) or not command:
            raise TypeError("a command is a list of program and arguments")
        program = shutil.which(command[0], path=env.get("PATH", ""))
        if program is None:
            raise ToolNotFoundError(command[0])
        try:
            process = subprocess.Popen(
                [program, *command[1:]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,  # a group of its own: it ends as a whole, and no Ctrl-C of the terminal reaches it
            )
        except OSError as error:
            raise CommandError(tuple(command), 127, f"cannot be started: {error.strerror or error}") from error
        return _Running(process, tuple(command), limit).finish(stdin, timeout, check=check)


class _Running:
    """A program that runs, and the threads that talk with it."""

    def __init__(self, process: subprocess.Popen[bytes], command: tuple[str, ...], limit: int) -> None:
        self._process = process
        self._command = command
        self._limit = limit
        self._outputs = bytearray(), bytearray()
        self._too_long = threading.Event()

    def finish(self, stdin: bytes, timeout: float, *, check: bool) -> Completed:
        """Wait for its end; whatever happens, nothing of it is left."""
        process, deadline = self._process, time.monotonic() + timeout
        threads = [
            threading.Thread(target=self._read, args=(process.stdout, self._outputs[0]), daemon=True),
            threading.Thread(target=self._read, args=(process.stderr, self._outputs[1]), daemon=True),
            threading.Thread(target=self._write, args=(process.stdin, stdin), daemon=True),
        ]
        try:
            for thread in threads:
                thread.start()
            reason = self._wait(deadline)
            if not reason:
                for thread in threads:
                    thread.join(_GRACE)
        finally:
            _kill(process)
            for thread in threads:
                if thread.ident is not None:
                    thread.join(_GRACE)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        if self._too_long.is_set():
            reason = f"killed: it printed more than {self._limit} bytes"
        if reason:
            raise CommandError(self._command, process.returncode, reason.format(timeout=timeout))
        stdout, stderr = map(bytes, self._outputs)
        if check and process.returncode:
            raise CommandError(self._command, process.returncode, stderr.decode("utf-8", "replace"))
        return Completed(self._command, process.returncode, stdout, stderr)

    def _wait(self, deadline: float) -> str:
        """Wait until the program has ended; the reason to kill it where there is one."""
        while not self._too_long.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return "killed: it did not end within {timeout:g} s"
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(min(left, _POLL))
                return ""
        return "killed"

    def _read(self, pipe: IO[bytes], output: bytearray) -> None:
        with suppress(OSError, ValueError):  # closed under our hands: it was killed
            while piece := os.read(pipe.fileno(), _PIECE):
                output += piece
                if len(output) > self._limit:
                    self._too_long.set()
                    return

    def _write(self, pipe: IO[bytes], content: bytes) -> None:
        with suppress(OSError, ValueError):  # it does not read all of it, which is its own business
            pipe.write(content)
        with suppress(OSError):
            pipe.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and everything in its group."""
    if sys.platform == "win32":
        process.kill()
    else:
        import signal

        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if TYPE_CHECKING:
    _conforms: type[Runner] = ProcessRunner

"""ProcessRunner: argument lists, a session of their own, limits of time and output, and no child left behind."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Literal

from archkit.adapters.process.lines import LastLines, LineCutter
from archkit.adapters.process.signals import HeldSignals
from archkit.adapters.process.tree import ProcessTree, record
from archkit.errors import CancelledError, CommandError, CommandTimeoutError, ToolNotFoundError
from archkit.model.secret import Secret, SecretBytes
from archkit.planning.masking import Masker
from archkit.ports.runner import Completed, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from archkit.ports.runner import LineListener, Runner

Stop = Literal["timeout", "cancel", "signal", "flood"]

_PIECE = 64 * 1024
_PIPE_PIECE = 512
"""Bytes that a pipe which is ready takes without blocking: what POSIX promises at least (``PIPE_BUF``)."""
_WAITING_PIECES = 16
"""Pieces of output that wait to be looked at; with these a program that prints faster than we read is slowed down."""
_POLL = 0.05
"""Seconds between two looks at the clock, the caller's event and signals."""
_READY_MILLISECONDS = 200
"""How long a thread waits for its pipe before it looks whether it is still wanted."""
_LINGER = 2.0
"""Seconds that the outputs may stay open when the program has ended: a daemon that it started may hold them."""
_ERROR_TEXT = 32 * 1024
"""Bytes of each output that an error carries."""


def environment(changes: Mapping[str, str | None] = {}, *, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment with changes.

    Args:
        changes: What is set; None: what is taken out.
        base: What is changed; None: the environment of this process.
    """
    changed: dict[str, str] = dict(os.environ if base is None else base)
    for name, value in changes.items():
        if value is None:
            changed.pop(name, None)
        else:
            changed[name] = value
    return changed


class ProcessRunner:
    """Runs programs of this machine; thread-safe.

    Args:
        grace: Seconds between asking a program to end (SIGTERM) and ending it (SIGKILL).
        records: A folder in which the programs that run are written down, so that somebody else can end them should
            this process be killed.
    """

    def __init__(self, *, grace: float = 5.0, records: Path | None = None) -> None:
        self._grace, self._records = grace, records

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
        cancel: threading.Event | None = None,
        secrets: Iterable[str] = (),
        on_line: LineListener | None = None,
    ) -> Completed:
        """See :meth:`archkit.ports.runner.Runner.run`."""
        words = checked_command(command)
        masker = Masker(secrets_of(secrets, env, stdin))
        shown = tuple(map(masker, words))
        program = _find(words[0], env, cwd)
        if cancel is not None and cancel.is_set():
            raise CancelledError(f"{words[0]} was not started")
        with HeldSignals() as held:
            try:
                process = subprocess.Popen(
                    [program, *words[1:]],
                    stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=dict(env),
                    cwd=cwd,
                    start_new_session=True,  # ended as a whole; and no Ctrl-C of the terminal reaches it before us
                )
            except (OSError, ValueError) as error:
                raise CommandError(shown, 127, f"cannot be started: {masker(_why(error, cwd))}") from None
            written = record(self._records, process.pid) if self._records is not None else None
            running = _Running(process, held, limit, masker, on_line)
            try:
                stop = running.follow(stdin, time.monotonic() + timeout, cancel, self._grace)
            finally:
                if written is not None:
                    written.unlink(missing_ok=True)
        kept = {stream: output[-_ERROR_TEXT:].decode("utf-8", "replace") for stream, output in running.kept().items()}
        messages, printed = masker(kept["stderr"]), masker(kept["stdout"])
        status = process.returncode
        if stop == "timeout":
            raise CommandTimeoutError(shown, status, messages, printed, timeout)
        if stop in {"cancel", "signal"}:
            raise CancelledError(f"{words[0]} was ended")
        if stop == "flood":
            raise CommandError(shown, status, f"killed: it printed more than {limit} bytes", printed)
        if check and status:
            raise CommandError(shown, status, messages, printed)
        return Completed(shown, status, **running.kept())


def checked_command(command: Sequence[str]) -> list[str]:
    """The words of a command; a text and a secret among the words are a ``TypeError``."""
    if isinstance(command, str) or not command:
        raise TypeError("a command is a list of program and arguments")
    if any(isinstance(word, Secret) for word in command):
        raise TypeError(f"a secret is among the arguments of {command[0]}, which everybody can read; put it into the environment")
    return list(command)


def secrets_of(secrets: Iterable[str], env: Mapping[str, str], stdin: bytes) -> Iterator[str]:
    """What must not be shown of a run."""
    yield from secrets
    yield from (value for value in env.values() if isinstance(value, Secret))
    if isinstance(stdin, SecretBytes):
        yield stdin.decode("utf-8", "replace")


def _find(name: str, env: Mapping[str, str], cwd: Path | None) -> str:
    """The program's path; one with a slash counts from where the program will run."""
    if cwd is not None and set(name) & {"/", os.sep}:
        name = str(cwd / name)
    program = shutil.which(name, path=env.get("PATH", ""))
    if program is None:
        raise ToolNotFoundError(name)
    return os.path.abspath(program)  # noqa: PTH100 - links stay: programs look at the name that they were called by


def _why(error: OSError | ValueError, cwd: Path | None) -> str:
    if cwd is not None and not cwd.is_dir():
        return f"the folder {cwd} to run in is not there"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class _Running:
    """A program that runs, and the threads that talk with it."""

    def __init__(
        self, process: subprocess.Popen[bytes], held: HeldSignals, limit: int, masker: Masker, on_line: LineListener | None
    ) -> None:
        self._process, self._held, self._tree = process, held, ProcessTree(process.pid, process)
        self._pieces: queue.Queue[tuple[Stream, bytes]] = queue.Queue(_WAITING_PIECES)
        self._closed = threading.Event()
        self._open: set[Stream] = {"stdout", "stderr"}
        self._outputs: dict[Stream, _Lines | _Whole] = {
            stream: _Whole(limit) if on_line is None else _Lines(stream, limit, masker, on_line) for stream in self._open
        }

    def kept(self) -> dict[Stream, bytes]:
        return {stream: output.content() for stream, output in self._outputs.items()}

    def follow(self, stdin: bytes, deadline: float, cancel: threading.Event | None, grace: float) -> Stop | None:
        """Wait for its end; whatever happens, nothing of it is left. Returns why it was ended, None where it ended itself."""
        process = self._process
        threads = [
            threading.Thread(target=self._read, args=(process.stdout, "stdout"), daemon=True),
            threading.Thread(target=self._read, args=(process.stderr, "stderr"), daemon=True),
        ]
        if stdin:
            threads.append(threading.Thread(target=self._write, args=(process.stdin, stdin), daemon=True))
        finished = False
        try:
            for thread in threads:
                thread.start()
            stop = self._wait(deadline, cancel)
            if stop:
                self._end(grace)
            else:
                self._tree.kill(only_group=True)  # what it left running in its own group
                self._drain()
            for stream in list(self._open):
                self._outputs[stream].finish()
            finished = True
        finally:
            if not finished:
                self._tree.kill()
            process.wait()
            self._closed.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
        return stop

    def _wait(self, deadline: float, cancel: threading.Event | None) -> Stop | None:
        """Pass on what it prints until it has ended; why it is to be ended where it has not."""
        lingers: float | None = None
        pause = 0.001
        while True:
            now = time.monotonic()
            if self._held.received:
                return "signal"
            if cancel is not None and cancel.is_set():
                return "cancel"
            if any(output.flooded for output in self._outputs.values()):
                return "flood"
            if self._tree.ended():
                lingers = lingers or now + _LINGER
                if not self._open or now >= lingers:
                    return None
            elif now >= deadline:
                return "timeout"
            if self._open:
                self._take(min(_POLL, max(deadline - now, 0)) if lingers is None else _POLL)
            else:
                time.sleep(min(pause, max(deadline - now, 0)))
                pause = min(pause * 2, _POLL)

    def _end(self, grace: float) -> None:
        """Ask all of it to end, then end what has not; a second signal makes it short."""
        self._tree.terminate()
        until, told = time.monotonic() + grace, len(self._held.received)
        while self._tree.running() and time.monotonic() < until and len(self._held.received) == told:
            self._take(_POLL)
        until = time.monotonic() + _LINGER
        while self._tree.running() and time.monotonic() < until:
            self._tree.kill()
            self._take(_POLL)
        self._drain()

    def _drain(self) -> None:
        """What was printed before the end; somebody else may hold the outputs open, so not for long."""
        until = time.monotonic() + _POLL
        while self._open and (not self._pieces.empty() or time.monotonic() < until):
            self._take(0.001)

    def _take(self, timeout: float) -> None:
        try:
            stream, piece = self._pieces.get(timeout=timeout) if timeout > 0 else self._pieces.get_nowait()
        except queue.Empty:
            if not self._open:
                time.sleep(timeout)
            return
        if piece:
            self._outputs[stream].add(piece)
        else:
            self._open.discard(stream)
            self._outputs[stream].finish()

    # ---- in threads of their own: pipes cannot be waited for together everywhere --------------------------------------

    def _read(self, pipe: IO[bytes], stream: Stream) -> None:
        ready = _readiness(pipe, writing=False)
        with suppress(OSError):
            while not self._closed.is_set():
                if ready():
                    piece = os.read(pipe.fileno(), _PIECE)
                    self._put(stream, piece)
                    if not piece:
                        return

    def _put(self, stream: Stream, piece: bytes) -> None:
        while not self._closed.is_set():
            with suppress(queue.Full):
                self._pieces.put((stream, piece), timeout=_POLL)
                return

    def _write(self, pipe: IO[bytes], content: bytes) -> None:
        ready = _readiness(pipe, writing=True)
        left = memoryview(content)
        with suppress(OSError):  # it does not read all of it, which is its own business
            while left and not self._closed.is_set():
                if ready():
                    left = left[os.write(pipe.fileno(), left[:_PIPE_PIECE]) :]
        with suppress(OSError):
            pipe.close()


class _Whole:
    """An output that is wanted as a whole."""

    def __init__(self, limit: int) -> None:
        self._limit, self._content = limit, bytearray()

    @property
    def flooded(self) -> bool:
        return len(self._content) > self._limit

    def add(self, piece: bytes) -> None:
        if not self.flooded:
            self._content += piece

    def finish(self) -> None:
        """Nothing is left to do."""

    def content(self) -> bytes:
        return bytes(self._content[: self._limit])


class _Lines:
    """An output that is passed on line by line; its last lines are kept."""

    flooded = False

    def __init__(self, stream: Stream, limit: int, masker: Masker, on_line: LineListener) -> None:
        self._stream: Stream = stream
        self._cutter, self._last, self._on_line = LineCutter(masker), LastLines(limit), on_line

    def add(self, piece: bytes) -> None:
        self._pass(self._cutter.feed(piece))

    def finish(self) -> None:
        self._pass(self._cutter.finish())

    def content(self) -> bytes:
        return self._last.content()

    def _pass(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._last.add(line)
            self._on_line(self._stream, line)


if sys.platform == "win32":

    def _readiness(pipe: IO[bytes], *, writing: bool) -> Callable[[], bool]:  # noqa: ARG001 - nothing to ask there
        return lambda: True

else:
    import select

    def _readiness(pipe: IO[bytes], *, writing: bool) -> Callable[[], bool]:
        """Whether the pipe can be used, waited for a moment: a thread that is not wanted any more must not hang in it."""
        poll = select.poll()
        poll.register(pipe.fileno(), select.POLLOUT if writing else select.POLLIN)
        return lambda: bool(poll.poll(_READY_MILLISECONDS))


if TYPE_CHECKING:
    _conforms: type[Runner] = ProcessRunner

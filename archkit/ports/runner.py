"""Running programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import attrs

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

Stream = Literal["stdout", "stderr"]


@attrs.frozen
class Completed:
    """A program that has ended. What it printed does not show in ``repr()``: it may be a password."""

    command: tuple[str, ...]
    status: int
    """0 where it is content; negative: the signal that ended it."""
    stdout: bytes = attrs.field(default=b"", repr=False)
    stderr: bytes = attrs.field(default=b"", repr=False)

    @property
    def output(self) -> str:
        """``stdout`` as text; bytes that are no UTF-8 are replaced."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def messages(self) -> str:
        """``stderr`` as text; bytes that are no UTF-8 are replaced."""
        return self.stderr.decode("utf-8", "replace")


class LineListener(Protocol):
    """Whoever reads along. Called in the thread that called ``run``, one line at a time."""

    def __call__(self, stream: Stream, line: str, /) -> object: ...


class Runner(Protocol):
    """Starts programs and waits for them.

    Raises ``ToolNotFoundError``, ``CommandError`` (of it ``CommandTimeoutError``) and ``CancelledError`` and nothing
    else; a command that is no list is a ``TypeError``.
    """

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
        """Run a program to its end. Nothing that it started is left afterwards, however it ends.

        Only a daemon is beyond that: what made a session of its own stays after a program that ended by itself, and what
        has also lost its parents cannot be found where it is to be ended.

        Args:
            command: Program and arguments; no shell looks at them. A ``Secret`` among them is refused: everybody on the
                machine can read the arguments of programs.
            env: The whole environment; the program is looked for on its ``PATH``.
            timeout: Seconds; the program and everything that it started is ended then.
            stdin: What it reads.
            cwd: Where it runs; None: here.
            limit: Bytes that are kept of each of its outputs. With ``on_line`` the last ones are; without, a program
                that prints more is ended.
            check: Whether a status other than 0 is an error.
            cancel: Set it, and the program and everything that it started is ended.
            secrets: Hidden in lines, in what is kept of them, and in errors. Every ``Secret`` in ``env``, and ``stdin``
                where it is one, is hidden too.
            on_line: Gets each line of both outputs as it is printed, without its line end; a very long line is cut.

        Returns:
            What it printed: all of it, or with ``on_line`` the last lines, without the secrets.

        Raises:
            ToolNotFoundError: There is no such program.
            CommandTimeoutError: It took too long.
            CancelledError: ``cancel`` was set.
            CommandError: It could not be started, printed too much, or (``check``) ended with another status than 0.
        """
        ...

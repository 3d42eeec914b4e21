"""Running programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@attrs.frozen
class Completed:
    """A program that has ended. What it printed does not show in ``repr()``: it may be a password."""

    command: tuple[str, ...]
    status: int
    """0 where it is content; negative: the signal that ended it."""
    stdout: bytes = attrs.field(default=b"", repr=False)
    stderr: bytes = attrs.field(default=b"", repr=False)


class Runner(Protocol):
    """Starts programs and waits for them. Raises ``ToolNotFoundError`` and ``CommandError`` and nothing else."""

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
        """Run a program to its end.

        Args:
            command: Program and arguments; no shell looks at them.
            env: The whole environment; the program is looked for on its ``PATH``.
            timeout: Seconds; the program and everything that it started is killed then.
            stdin: What it reads.
            cwd: Where it runs; None: here.
            limit: Bytes that each of its outputs may have; more kills it too.
            check: Whether a status other than 0 is an error.

        Raises:
            ToolNotFoundError: There is no such program.
            CommandError: It could not be started, took too long, printed too much, or (``check``) ended with another
                status than 0.
        """
        ...

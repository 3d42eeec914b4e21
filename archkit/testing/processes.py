"""FakeRunner: tools that do what a test says, and no others."""

from __future__ import annotations

import difflib
import re
import shlex
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING

import attrs

from archkit.adapters.process.lines import LastLines
from archkit.adapters.process.runner import checked_command, secrets_of
from archkit.errors import CancelledError, CommandError, CommandTimeoutError, ToolNotFoundError
from archkit.planning.masking import Masker
from archkit.ports.runner import Completed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from archkit.ports.runner import LineListener, Runner, Stream

Word = str | re.Pattern[str] | Callable[[str], bool] | EllipsisType
"""What a word of a command must be: this text, a match of this pattern, what the function is true for; ``...`` is any
number of any words."""


class UnexpectedCommand(AssertionError):
    """A command that no rule of the test is about."""


@attrs.frozen
class Call:
    """A command that was run."""

    command: tuple[str, ...]
    env: Mapping[str, str] = attrs.field(repr=False)
    stdin: bytes = attrs.field(repr=False)
    cwd: Path | None
    timeout: float
    cancel: threading.Event | None = attrs.field(repr=False)


@attrs.frozen
class Answer:
    """What a tool prints, and its status."""

    stdout: str | bytes = ""
    stderr: str | bytes = ""
    status: int = 0


@attrs.define
class CommandRule:
    """What happens to some commands; every method gives the rule itself, so that calls can be chained."""

    words: tuple[Word, ...]
    env: Mapping[str, str | None]
    stdin: bytes | None
    used: int = 0
    _act: Callable[[Call], Answer] = attrs.field(default=lambda _: Answer(), repr=False)
    _limit: int | None = None
    _needed: bool = True

    def answer(self, stdout: str | bytes = "", stderr: str | bytes = "", *, status: int = 0) -> CommandRule:
        """Print this and end with this status."""
        return self.do(lambda _: Answer(stdout, stderr, status))

    def do(self, work: Callable[[Call], Answer | None]) -> CommandRule:
        """Do what the tool would do, such as writing a file or pushing an image; None is an answer without output."""
        self._act = lambda call: work(call) or Answer()
        return self

    def not_installed(self) -> CommandRule:
        """There is no such tool."""

        def absent(call: Call) -> Answer:
            raise ToolNotFoundError(call.command[0])

        return self.do(absent)

    def too_slow(self, stderr: str = "") -> CommandRule:
        """It prints this and does not end in time; nobody waits for it."""

        def late(call: Call) -> Answer:
            raise CommandTimeoutError(call.command, -15, stderr, "", call.timeout)

        return self.do(late)

    def until_cancelled(self) -> CommandRule:
        """It runs until the caller cancels, or until its time is over."""

        def wait(call: Call) -> Answer:
            if call.cancel is not None and call.cancel.wait(call.timeout):
                raise CancelledError(f"{call.command[0]} was ended")
            raise CommandTimeoutError(call.command, -15, "", "", call.timeout)

        return self.do(wait)

    def times(self, count: int) -> CommandRule:
        """Be about the first ``count`` such commands only; all of them must come."""
        self._limit = count
        return self

    def optional(self) -> CommandRule:
        """Do not fail the test when no such command comes."""
        self._needed = False
        return self

    @property
    def unmet(self) -> bool:
        """Whether it waits for commands that did not come."""
        return self._needed and self.used < (1 if self._limit is None else self._limit)

    @property
    def spent(self) -> bool:
        """Whether it was about as many commands as it should be."""
        return self._limit is not None and self.used >= self._limit

    def act(self, call: Call) -> Answer:
        """Do it."""
        return self._act(call)

    def mismatch(self, call: Call) -> str:
        """Why it is not about a command; an empty text where it is."""
        if not _match(self.words, call.command):
            return "other words"
        for name, wanted in self.env.items():
            found = call.env.get(name)
            if found is None and wanted is not None:
                return f"{name} is not in its environment"
            if wanted is None and found is not None:
                return f"{name} is in its environment"
            if found != wanted:
                return f"{name} is {found!r} in its environment"
        if self.stdin is not None and self.stdin != call.stdin:
            return f"it reads {len(call.stdin)} other bytes"
        return ""

    def __str__(self) -> str:
        wanted = [f"{name}={'(absent)' if value is None else shlex.quote(str(value))}" for name, value in self.env.items()]
        often = "" if self._limit is None else f", {self._limit} times"
        return " ".join([*wanted, *map(_shown, self.words)]) + f"  (came {self.used} times{often})"


class FakeRunner:
    """A ``Runner`` that starts nothing: each command must be one that the test is prepared for.

    A command that no rule is about raises :class:`UnexpectedCommand`, and so does :meth:`check` afterwards, should
    somebody have caught it. :meth:`check` fails too when a rule still waits for its command. Both show what is
    different and everything that was run. Usable from several threads. As a context manager it is checked at the end,
    unless the block raised.

    >>> with FakeRunner() as runner:
    ...     rule = runner.on("ko", "version").answer("0.19.1")
    ...     runner.run(["ko", "version"], env={}, timeout=5).output
    '0.19.1'
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        """Every command that was run, in order, unexpected ones too."""
        self._rules: list[CommandRule] = []
        self._unexpected: list[str] = []
        self._endings: dict[int, str] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if kind is None:
            self.check()

    def on(self, *words: Word, env: Mapping[str, str | None] = {}, stdin: bytes | None = None) -> CommandRule:
        """Be prepared for commands; of several rules the first that is about a command and not used up counts.

        Args:
            words: Program and arguments, each a text, a pattern or a function; ``...`` is any number of words.
            env: What the environment must hold among other things; None: what must not be in it.
            stdin: What it must read; None: anything.

        Returns:
            The rule, which says what happens; without more it prints nothing and ends with status 0.
        """
        with self._lock:
            self._rules.append(CommandRule(words, dict(env), stdin))
            return self._rules[-1]

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
        """See :meth:`archkit.ports.runner.Runner.run`; what a rule raises is raised here."""
        words = checked_command(command)
        masker = Masker(secrets_of(secrets, env, stdin))
        if cancel is not None and cancel.is_set():
            raise CancelledError(f"{words[0]} was not started")
        shown = tuple(map(masker, words))
        call = Call(tuple(words), dict(env), stdin, cwd, timeout, cancel)
        number, rule = self._meet(call, shown)
        try:
            _check_folder(cwd, shown)
            answer = rule.act(call)
            self._end(number, f"status {answer.status}")
            return self._completed(shown, answer, masker, limit, check=check, on_line=on_line)
        except Exception as error:
            self._end(number, type(error).__name__)
            raise

    def check(self) -> None:
        """Raises :class:`UnexpectedCommand` where a command was unexpected, or a rule still waits for one."""
        unmet = [str(rule) for rule in self._rules if rule.unmet]
        told = list(self._unexpected)
        if unmet:
            told.append("commands that were expected and did not come:\n" + "\n".join(f"  {line}" for line in unmet))
        if told:
            raise UnexpectedCommand("\n".join([*told, self.transcript()]))

    def transcript(self) -> str:
        """What was run and how it ended, without secrets, one command a line."""
        lines = [f"  {self._line(number, call)}" for number, call in enumerate(self.calls)]
        return "\n".join(["what was run:", *(lines or ["  nothing"])])

    # ---- inside -------------------------------------------------------------------------------------------------

    def _meet(self, call: Call, shown: tuple[str, ...]) -> tuple[int, CommandRule]:
        with self._lock:
            self.calls.append(call)
            number = len(self.calls) - 1
            about = [rule for rule in self._rules if not rule.mismatch(call)]
            for rule in about:
                if not rule.spent:
                    rule.used += 1
                    return number, rule
            self._endings[number] = "unexpected"
            message = _difference(shown, call, self._rules, came_too_often=bool(about))
            self._unexpected.append(message)
            raise UnexpectedCommand(f"{message}\n{self.transcript()}")

    def _end(self, number: int, ending: str) -> None:
        with self._lock:
            self._endings[number] = ending

    def _line(self, number: int, call: Call) -> str:
        masker = Masker(secrets_of((), call.env, call.stdin))
        return f"{masker(shlex.join(call.command))}  ({self._endings.get(number, 'running')})"

    def _completed(
        self, command: tuple[str, ...], answer: Answer, masker: Masker, limit: int, *, check: bool, on_line: LineListener | None
    ) -> Completed:
        whole = {stream: _bytes(text) for stream, text in (("stdout", answer.stdout), ("stderr", answer.stderr))}
        kept: dict[str, bytes] = whole
        if on_line is not None:
            kept = {"stdout": _passed("stdout", whole, masker, limit, on_line), "stderr": _passed("stderr", whole, masker, limit, on_line)}
        elif any(len(content) > limit for content in whole.values()):
            raise CommandError(command, -9, f"killed: it printed more than {limit} bytes")
        if check and answer.status:
            messages, printed = (masker(kept[stream].decode("utf-8", "replace")) for stream in ("stderr", "stdout"))
            raise CommandError(command, answer.status, messages, printed)
        return Completed(command, answer.status, kept["stdout"], kept["stderr"])


def _check_folder(cwd: Path | None, command: tuple[str, ...]) -> None:
    if cwd is not None and not cwd.is_dir():
        raise CommandError(command, 127, f"cannot be started: the folder {cwd} to run in is not there")


def _passed(stream: Stream, whole: Mapping[str, bytes], masker: Masker, limit: int, on_line: LineListener) -> bytes:
    last = LastLines(limit)
    for line in whole[stream].decode("utf-8", "replace").splitlines():
        shown = masker(line)
        last.add(shown)
        on_line(stream, shown)
    return last.content()


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _match(words: Sequence[Word], command: Sequence[str]) -> bool:
    if not words:
        return not command
    first, *rest = words
    if isinstance(first, EllipsisType):
        return any(_match(rest, command[at:]) for at in range(len(command) + 1))
    return bool(command) and _fits(first, command[0]) and _match(rest, command[1:])


def _fits(word: str | re.Pattern[str] | Callable[[str], bool], found: str) -> bool:
    if isinstance(word, str):
        return word == found
    if isinstance(word, re.Pattern):
        return word.fullmatch(found) is not None
    return bool(word(found))


def _shown(word: Word) -> str:
    if isinstance(word, EllipsisType):
        return "..."
    if isinstance(word, str):
        return shlex.quote(word)
    return f"/{word.pattern}/" if isinstance(word, re.Pattern) else f"<{getattr(word, '__name__', 'function')}>"


def _difference(shown: tuple[str, ...], call: Call, rules: Sequence[CommandRule], *, came_too_often: bool) -> str:
    """Why a command was not expected, with the rule that is most like it word by word."""
    head = f"unexpected command: {shlex.join(shown)}"
    if came_too_often:
        return f"{head}\n  it came more often than was expected"
    if not rules:
        return f"{head}\n  no command was expected"
    given = list(map(shlex.quote, shown))

    def likeness(rule: CommandRule) -> float:
        return difflib.SequenceMatcher(None, list(map(_shown, rule.words)), given).ratio()

    nearest = max(rules, key=likeness)
    why = nearest.mismatch(call)
    if why != "other words":
        return f"{head}\n  expected: {nearest}\n  but {Masker(secrets_of((), call.env, call.stdin))(why)}"
    lines = [line for line in difflib.ndiff(list(map(_shown, nearest.words)), given) if not line.startswith("?")]
    return "\n".join([head, "  most like what was expected (- expected, + given):", *(f"    {line.rstrip()}" for line in lines)])


if TYPE_CHECKING:
    _conforms: type[Runner] = FakeRunner

"""ProcessRunner: what goes in and out, and that nothing is left behind."""

from __future__ import annotations

import os
import pickle
import sys
import time
from pathlib import Path

import pytest

from archkit import CommandError, ToolNotFoundError
from archkit.adapters.process import ProcessRunner

ENV = {"PATH": os.environ["PATH"]}
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="builders and helpers run on Linux and macOS")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_input_and_both_outputs_pass() -> None:
    code = "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data[::-1]); print(len(data), file=sys.stderr)"
    big = os.urandom(500_000)
    done = ProcessRunner().run(python(code), env=ENV, stdin=big, timeout=60)
    assert (done.status, done.stdout, done.stderr) == (0, big[::-1], b"500000\n")


def test_what_is_printed_does_not_show() -> None:
    done = ProcessRunner().run(python("print('hunter2')"), env=ENV, timeout=60)
    assert done.stdout == b"hunter2\n"
    assert "hunter2" not in repr(done).replace(repr(done.command), "")


def test_the_environment_is_exactly_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHKIT_SECRET", "x")
    done = ProcessRunner().run(["env"], env={**ENV, "ONE": "1"}, timeout=60)
    assert {line.partition(b"=")[0] for line in done.stdout.split()} == {b"PATH", b"ONE"}


def test_arguments_meet_no_shell(tmp_path: Path) -> None:
    done = ProcessRunner().run(["echo", "$HOME; touch x", "*"], env=ENV, timeout=60, cwd=tmp_path)
    assert done.stdout == b"$HOME; touch x *\n"
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(ToolNotFoundError, match="archkit-no-such-tool is not installed or not on PATH") as caught:
        ProcessRunner().run(["archkit-no-such-tool"], env=ENV, timeout=60)
    assert pickle.loads(pickle.dumps(caught.value)).tool == "archkit-no-such-tool"
    with pytest.raises(ToolNotFoundError):
        ProcessRunner().run(["ls"], env={}, timeout=60)


def test_a_program_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("no program")
    (tmp_path / "broken").chmod(0o755)
    with pytest.raises(CommandError, match="cannot be started: Exec format error"):
        ProcessRunner().run([str(tmp_path / "broken")], env=ENV, timeout=60)


def test_a_failing_program_says_its_last_line_or_is_looked_at_by_the_caller() -> None:
    command = python("import sys; print('first\\nlast', file=sys.stderr); sys.exit(3)")
    with pytest.raises(CommandError, match="ended with status 3: last") as caught:
        ProcessRunner().run(command, env=ENV, timeout=60)
    assert caught.value.stderr == "first\nlast\n"
    assert ProcessRunner().run(command, env=ENV, timeout=60, check=False).status == 3


def gone(pid: int) -> bool:
    """Whether a process has ended, waited for a moment: a killed orphan is collected by init, not by us."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks at /proc")
def test_after_a_timeout_no_child_is_left(tmp_path: Path) -> None:
    child = tmp_path / "pid"
    started = time.monotonic()
    with pytest.raises(CommandError, match=r"ended with status -9: killed: it did not end within 1 s"):
        ProcessRunner().run(["sh", "-c", f"sleep 300 & echo $! > {child}; sleep 300"], env=ENV, timeout=1)
    assert time.monotonic() - started < 30
    assert gone(int(child.read_text()))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks at /proc")
def test_a_child_that_outlives_its_program_is_not_waited_for(tmp_path: Path) -> None:
    child = tmp_path / "pid"
    done = ProcessRunner().run(["sh", "-c", f"sleep 300 & echo $! > {child}; echo done"], env=ENV, timeout=60)
    assert done.stdout == b"done\n"
    assert gone(int(child.read_text()))


@pytest.mark.parametrize("where", ["stdout", "stderr"])
def test_too_much_output_ends_the_program(where: str) -> None:
    code = f"import sys\nwhile True: sys.{where}.write('x' * 10000)"
    with pytest.raises(CommandError, match="killed: it printed more than 5000 bytes"):
        ProcessRunner().run(python(code), env=ENV, timeout=60, limit=5000)


def test_a_program_need_not_read_its_input() -> None:
    assert ProcessRunner().run(["true"], env=ENV, stdin=b"x" * 1_000_000, timeout=60).status == 0


@pytest.mark.parametrize("command", ["ls", []])
def test_a_command_is_a_list(command: list[str]) -> None:
    with pytest.raises(TypeError, match="a list of program and arguments"):
        ProcessRunner().run(command, env=ENV, timeout=60)

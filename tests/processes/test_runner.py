"""ProcessRunner: what goes in and out, and that nothing is left behind."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
from process_watch import ended, needs_proc

from archkit import CancelledError, CommandError, CommandTimeoutError, ToolNotFoundError
from archkit.adapters.process import ProcessRunner, environment
from archkit.model.secret import Secret

ENV = {"PATH": os.environ["PATH"]}
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="builders and helpers run on Linux and macOS")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


# ---- in and out -------------------------------------------------------------------------------------------------


def test_input_and_both_outputs_pass() -> None:
    code = "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data[::-1]); print(len(data), file=sys.stderr)"
    big = os.urandom(500_000)
    done = ProcessRunner().run(python(code), env=ENV, stdin=big, timeout=60)
    assert (done.status, done.stdout, done.stderr) == (0, big[::-1], b"500000\n")


def test_what_is_printed_does_not_show() -> None:
    done = ProcessRunner().run(python("print('hunter2')"), env=ENV, timeout=60)
    assert done.stdout == b"hunter2\n"
    assert "hunter2" not in repr(done).replace(repr(done.command), "")


def test_what_is_printed_is_text_whatever_the_bytes() -> None:
    done = ProcessRunner().run(["printf", r"caf\303\251\377"], env=ENV, timeout=60)
    assert done.output == "café\ufffd"
    assert done.messages == ""


def test_the_environment_is_exactly_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHKIT_SECRET", "x")
    done = ProcessRunner().run(["env"], env={**ENV, "ONE": "1"}, timeout=60)
    assert {line.partition(b"=")[0] for line in done.stdout.split()} == {b"PATH", b"ONE"}


def test_an_environment_with_changes_leaves_this_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOS", "plan9")
    changed = environment({"GOOS": None, "NEVER_SET": None, "NEW": "1"})
    assert (changed["NEW"], "GOOS" in changed, os.environ["GOOS"], "NEW" in os.environ) == ("1", False, "plan9", False)
    assert environment({"B": "2"}, base={"A": "1"}) == {"A": "1", "B": "2"}


def test_arguments_meet_no_shell(tmp_path: Path) -> None:
    done = ProcessRunner().run(["echo", "$HOME; touch x", "*"], env=ENV, timeout=60, cwd=tmp_path)
    assert done.stdout == b"$HOME; touch x *\n"
    assert list(tmp_path.iterdir()) == []


def test_a_program_may_be_named_from_where_it_runs(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").write_text("#!/bin/sh\npwd\n")
    (tmp_path / "bin" / "tool").chmod(0o755)
    done = ProcessRunner().run(["bin/tool"], env=ENV, timeout=60, cwd=tmp_path)
    assert Path(done.output.strip()).resolve() == tmp_path.resolve()


def test_a_program_need_not_read_its_input() -> None:
    assert ProcessRunner().run(["true"], env=ENV, stdin=b"x" * 1_000_000, timeout=60).status == 0


def test_without_input_a_program_finds_its_end() -> None:
    assert ProcessRunner().run(["cat"], env=ENV, timeout=60).stdout == b""


# ---- what cannot be run -----------------------------------------------------------------------------------------


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


def test_a_folder_to_run_in_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"cannot be started: the folder .*nowhere to run in is not there"):
        ProcessRunner().run(["true"], env=ENV, timeout=60, cwd=tmp_path / "nowhere")


def test_an_argument_that_no_program_can_get_is_told() -> None:
    with pytest.raises(CommandError, match="cannot be started: embedded null byte"):
        ProcessRunner().run(["echo", "a\0b"], env=ENV, timeout=60)


@pytest.mark.parametrize("command", ["ls", []])
def test_a_command_is_a_list(command: list[str]) -> None:
    with pytest.raises(TypeError, match="a list of program and arguments"):
        ProcessRunner().run(command, env=ENV, timeout=60)


def test_a_failing_program_says_its_last_line_or_is_looked_at_by_the_caller() -> None:
    command = python("import sys; print('first\\nlast', file=sys.stderr); print('out'); sys.exit(3)")
    with pytest.raises(CommandError, match="ended with status 3: last") as caught:
        ProcessRunner().run(command, env=ENV, timeout=60)
    assert (caught.value.stderr, caught.value.stdout) == ("first\nlast\n", "out\n")
    assert ProcessRunner().run(command, env=ENV, timeout=60, check=False).status == 3


# ---- line by line -----------------------------------------------------------------------------------------------


def lines_of(code: str, **options: object) -> tuple[list[tuple[str, str]], bytes, bytes]:
    lines: list[tuple[str, str]] = []
    done = ProcessRunner().run(python(code), env=ENV, timeout=60, on_line=lambda *line: lines.append(line), **options)  # type: ignore[arg-type]
    return lines, done.stdout, done.stderr


def test_lines_come_as_they_are_printed(tmp_path: Path) -> None:
    """The program waits for what its first line causes."""
    code = f"import os, time\nprint('first', flush=True)\nwhile not os.path.exists({str(tmp_path / 'seen')!r}): time.sleep(0.01)\nprint('second')"

    def seen(stream: str, line: str) -> None:
        (tmp_path / "seen").touch()
        lines.append((stream, line))

    lines: list[tuple[str, str]] = []
    ProcessRunner().run(python(code), env=ENV, timeout=60, on_line=seen)
    assert lines == [("stdout", "first"), ("stdout", "second")]


def test_lines_come_in_the_callers_thread() -> None:
    threads: set[threading.Thread] = set()
    code = "import sys; print('a'); print('b', file=sys.stderr)"
    ProcessRunner().run(python(code), env=ENV, timeout=60, on_line=lambda *_: threads.add(threading.current_thread()))
    assert threads == {threading.current_thread()}


def test_both_outputs_are_read_and_their_last_lines_kept() -> None:
    code = "import sys\nfor n in range(1000): print('out', n); print('err', n, file=sys.stderr)"
    lines, stdout, stderr = lines_of(code, limit=20)
    assert [line for stream, line in lines if stream == "stdout"] == [f"out {n}" for n in range(1000)]
    assert [line for stream, line in lines if stream == "stderr"] == [f"err {n}" for n in range(1000)]
    assert (stdout, stderr) == (b"out 998\nout 999\n", b"err 998\nerr 999\n")


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        pytest.param(b"a\r\nb\n", ["a", "b"], id="both line ends"),
        pytest.param(b"10%\r20%\rdone\n", ["10%", "20%", "done"], id="progress bar"),
        pytest.param(b"a\n\nb", ["a", "", "b"], id="empty line and no last line end"),
        pytest.param(b"\xff\xfe caf\xc3\xa9\n", ["\ufffd\ufffd café"], id="not UTF-8"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_lines_end_where_a_terminal_would_end_them(written: bytes, lines: list[str]) -> None:
    passed, _, _ = lines_of(f"import sys; sys.stdout.buffer.write({written!r})")
    assert passed == [("stdout", line) for line in lines]


def test_a_flood_takes_bounded_memory() -> None:
    """64 MiB of one line, then 64 MiB of short ones, kept to 64 KiB."""
    code = "import sys\nfor _ in range(1024): sys.stdout.write('x' * 65536)\nprint()\nfor _ in range(1024): sys.stdout.write('y' * 65535 + '\\n')"
    longest = 0

    def look(_: str, line: str) -> None:
        nonlocal longest
        longest = max(longest, len(line))

    tracemalloc.start()
    try:
        done = ProcessRunner().run(python(code), env=ENV, timeout=120, limit=65536, on_line=look)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert longest < 17_000
    assert len(done.stdout) <= 65536
    assert done.stdout.endswith(b"y [cut]\n")
    assert peak < 8 << 20


@pytest.mark.parametrize("where", ["stdout", "stderr"])
def test_too_much_output_of_a_program_whose_output_is_wanted_ends_it(where: str) -> None:
    code = f"import sys\nwhile True: sys.{where}.write('x' * 10000)"
    with pytest.raises(CommandError, match="killed: it printed more than 5000 bytes"):
        ProcessRunner().run(python(code), env=ENV, timeout=60, limit=5000)


@needs_proc
def test_a_listener_that_raises_ends_the_program(tmp_path: Path) -> None:
    def broken(_stream: str, line: str) -> None:
        (tmp_path / "pid").write_text(line)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ProcessRunner().run(["sh", "-c", "echo $$; sleep 300"], env=ENV, timeout=60, on_line=broken)
    assert ended(int((tmp_path / "pid").read_text()))


# ---- secrets ----------------------------------------------------------------------------------------------------

PASSWORD = 'p%ss "w0rd"'
PRINTED = "import os, sys, json, base64, urllib.parse; s = os.environ['TOKEN']; print('t', s, urllib.parse.quote(s, safe=''), json.dumps(s), base64.b64encode(s.encode()).decode()); print(s, file=sys.stderr)"


def test_secrets_of_the_environment_stand_in_no_line() -> None:
    lines: list[tuple[str, str]] = []
    done = ProcessRunner().run(
        python(PRINTED), env={**ENV, "TOKEN": Secret(PASSWORD)}, timeout=60, on_line=lambda *line: lines.append(line)
    )
    assert sorted(lines) == [("stderr", "***"), ("stdout", 't *** *** "***" ***')]
    assert (done.stdout, done.stderr) == (b't *** *** "***" ***\n', b"***\n")


def test_secrets_stand_in_no_error() -> None:
    code = f"import sys; print({PASSWORD!r}); print({PASSWORD!r}, file=sys.stderr); sys.exit(1)"
    with pytest.raises(CommandError) as caught:
        ProcessRunner().run(python(code), env=ENV, secrets=[Secret(PASSWORD)], timeout=60)
    assert PASSWORD not in f"{caught.value} {caught.value!r} {pickle.dumps(caught.value)!r}"
    assert (caught.value.stdout, caught.value.stderr) == ("***\n", "***\n")


def test_a_secret_that_is_read_stands_in_no_line() -> None:
    lines: list[str] = []
    ProcessRunner().run(["cat"], env=ENV, stdin=Secret(PASSWORD).encode(), timeout=60, on_line=lambda _, line: lines.append(line))
    assert lines == ["***"]


def test_a_key_of_several_lines_stands_in_none_of_them() -> None:
    key = "-----BEGIN KEY-----\nabcdefgh\n}\n-----END KEY-----\n"
    lines: list[str] = []
    ProcessRunner().run(
        ["sh", "-c", 'echo "$KEY"; echo "{}"'], env={**ENV, "KEY": Secret(key)}, timeout=60, on_line=lambda _, line: lines.append(line)
    )
    assert lines == ["***", "***", "}", "***", "", "{}"]


@pytest.mark.parametrize("before", range(16_380, 16_386))
def test_a_secret_is_hidden_where_a_long_line_is_cut(before: int) -> None:
    lines, stdout, _ = lines_of(f"print('x' * {before} + 'hunter2' + 'y' * 100000)", secrets=["hunter2"])
    assert "h" not in lines[0][1]
    assert b"hu" not in stdout


def test_a_secret_among_the_arguments_is_refused() -> None:
    with pytest.raises(TypeError, match=r"a secret is among the arguments of docker.*environment") as caught:
        ProcessRunner().run(["docker", "login", "-p", Secret("hunter2")], env=ENV, timeout=60)
    assert "hunter2" not in str(caught.value)


# ---- ending -----------------------------------------------------------------------------------------------------

GROUPS = {
    "a child": "sleep 300 & echo $! >> pids; sleep 300",
    "a child that ignores SIGTERM": "(trap '' TERM; sh -c 'echo $PPID >> pids; sleep 300'; sleep 300) & sleep 300",
    "a grandchild": "sh -c 'sleep 300 & echo $! >> pids; sleep 300' & echo $! >> pids; sleep 300",
    "a child in a group of its own": "set -m; sleep 300 & echo $! >> pids; sleep 300",
    "a child in a session of its own": f'\'{sys.executable}\' -c \'import os, time; os.setsid(); open("pids", "a").write(f"{{os.getpid()}}\\n"); time.sleep(300)\' & sleep 300',
    "a child that is left alone": "sleep 300 & echo $! >> pids; exec >&- 2>&-; trap '' TERM; while :; do sleep 1; done",
}


def started(folder: Path) -> list[int]:
    """The processes that a script wrote down, waited for."""
    for _ in range(1000):
        if (folder / "pids").is_file() and (folder / "pids").read_text().endswith("\n"):
            return [int(line) for line in (folder / "pids").read_text().split()]
        time.sleep(0.01)
    raise AssertionError("it did not start")


@needs_proc
@pytest.mark.parametrize("script", GROUPS.values(), ids=GROUPS)
def test_after_cancelling_no_child_is_left(script: str, tmp_path: Path) -> None:
    cancel = threading.Event()

    def later() -> None:
        started(tmp_path)
        cancel.set()

    thread = threading.Thread(target=later)
    thread.start()
    with pytest.raises(CancelledError, match="cancelled: sh was ended"):
        ProcessRunner(grace=0.3).run(["sh", "-c", script], env=ENV, timeout=60, cwd=tmp_path, cancel=cancel)
    thread.join()
    assert [pid for pid in started(tmp_path) if not ended(pid)] == []


@needs_proc
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_after_a_timeout_no_child_is_left(streamed: bool, tmp_path: Path) -> None:
    begun = time.monotonic()
    lines: list[str] = []
    with pytest.raises(CommandTimeoutError, match=r"sh did not end within 1 s and was ended; it said last: working") as caught:
        ProcessRunner().run(
            ["sh", "-c", "echo working >&2; sleep 300 & echo $! > pids; sleep 300"],
            env=ENV,
            timeout=1,
            cwd=tmp_path,
            on_line=(lambda _, line: lines.append(line)) if streamed else None,
        )
    assert isinstance(caught.value, TimeoutError)
    assert time.monotonic() - begun < 30
    assert [pid for pid in started(tmp_path) if not ended(pid)] == []
    assert lines == ["working"] * streamed


def test_a_program_is_asked_before_it_is_killed(tmp_path: Path) -> None:
    code = "import os, signal, time\ndef end(*_):\n os.write(1, b'cleaned up')\n os._exit(0)\nsignal.signal(signal.SIGTERM, end)\nprint('ready', flush=True)\ntime.sleep(300)"
    cancel, lines = threading.Event(), list[str]()

    def look(_: str, line: str) -> None:
        lines.append(line)
        cancel.set()

    with pytest.raises(CancelledError):
        ProcessRunner().run(python(code), env=ENV, timeout=60, cancel=cancel, on_line=look)
    assert lines == ["ready", "cleaned up"]


def test_what_is_cancelled_already_is_not_started(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError, match="touch was not started"):
        ProcessRunner().run(["touch", "x"], env=ENV, timeout=60, cwd=tmp_path, cancel=cancel)
    assert not (tmp_path / "x").exists()


@needs_proc
def test_a_child_that_outlives_its_program_is_ended(tmp_path: Path) -> None:
    done = ProcessRunner().run(["sh", "-c", "sleep 300 & echo $! > pids; echo done"], env=ENV, timeout=60, cwd=tmp_path)
    assert done.stdout == b"done\n"
    assert [pid for pid in started(tmp_path) if not ended(pid)] == []


@needs_proc
def test_a_daemon_that_holds_the_outputs_is_not_waited_for(tmp_path: Path) -> None:
    """It made a session of its own, as a build daemon does that is meant to stay; the test ends it."""
    code = "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\nopen('pids', 'w').write(f'{os.getpid()}\\n')\ntime.sleep(60)"
    begun = time.monotonic()
    done = ProcessRunner().run(
        ["sh", "-c", f'"{sys.executable}" -c "$CODE"; echo done'], env={**ENV, "CODE": code}, timeout=50, cwd=tmp_path
    )
    assert done.stdout == b"done\n"
    assert time.monotonic() - begun < 25
    for pid in started(tmp_path):
        os.kill(pid, 9)
        assert ended(pid)


def test_no_thread_and_no_file_is_left() -> None:
    before = threading.active_count(), len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        ProcessRunner().run(["sh", "-c", "echo a; echo b >&2"], env=ENV, stdin=b"x", timeout=60)
    assert (threading.active_count(), len(list(Path("/dev/fd").iterdir()))) == before

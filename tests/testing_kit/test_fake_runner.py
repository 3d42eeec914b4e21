"""FakeRunner: what is expected comes out as a real run would; what is not, fails the test and says why."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archkit import ArchkitError, CancelledError, CommandError, CommandTimeoutError, ToolNotFoundError
from archkit.adapters.process import ProcessRunner
from archkit.model.secret import Secret
from archkit.testing import Answer, Call, FakeRunner, UnexpectedCommand

if TYPE_CHECKING:
    from collections.abc import Callable


def run(runner: FakeRunner, *command: str, **options: Any) -> str:
    return runner.run(command, **{"env": {}, "timeout": 5.0, **options}).output


# ---- what comes out ---------------------------------------------------------------------------------------------


def test_a_tool_prints_what_it_should() -> None:
    runner = FakeRunner()
    runner.on("ko", "build", ..., "--push", re.compile(r"--tags=.+"), str.isdigit).answer("out\n", "err\n")
    done = runner.run(["ko", "build", "a", "b", "--push", "--tags=1", "7"], env={}, timeout=5)
    assert (done.command[0], done.status, done.stdout, done.stderr) == ("ko", 0, b"out\n", b"err\n")
    runner.check()


def test_lines_are_passed_masked_and_kept() -> None:
    runner, lines = FakeRunner(), list[tuple[str, str]]()
    runner.on("ko").answer("a hunter2\nb\n", "c\n")
    done = runner.run(["ko"], env={"T": Secret("hunter2")}, timeout=5, limit=4, on_line=lambda *line: lines.append(line))
    assert lines == [("stdout", "a ***"), ("stdout", "b"), ("stderr", "c")]
    assert (done.stdout, done.stderr) == (b"b\n", b"c\n")


@pytest.mark.parametrize(
    ("prepare", "error", "says"),
    [
        pytest.param(lambda rule: rule.answer(stderr="no luck", status=3), CommandError, "ko ended with status 3: no luck", id="status"),
        pytest.param(lambda rule: rule.not_installed(), ToolNotFoundError, "ko is not installed", id="not installed"),
        pytest.param(lambda rule: rule.too_slow("pulling"), CommandTimeoutError, "not end within 5 s .* last: pulling", id="too slow"),
        pytest.param(lambda rule: rule.until_cancelled(), CancelledError, "cancelled: ko was ended", id="cancelled"),
        pytest.param(lambda rule: rule.answer("x" * 2**21), CommandError, "printed more than 1048576 bytes", id="flood"),
    ],
)
def test_a_tool_fails_as_it_should(prepare: Callable[[Any], Any], error: type[Exception], says: str) -> None:
    runner, cancel = FakeRunner(), threading.Event()
    prepare(runner.on("ko"))
    timer = threading.Timer(0.2, cancel.set)
    timer.start()
    with pytest.raises(error, match=says):
        run(runner, "ko", cancel=cancel)
    timer.join()
    runner.check()


def test_a_failing_tool_may_be_looked_at() -> None:
    runner = FakeRunner()
    runner.on("ko").answer(status=4)
    assert runner.run(["ko"], env={}, timeout=5, check=False).status == 4


def test_a_tool_may_do_something(tmp_path: Path) -> None:
    def write(call: Call) -> Answer:
        Path(call.command[1]).write_bytes(call.stdin)
        return Answer("done")

    runner = FakeRunner()
    runner.on("tee", ...).do(write)
    assert run(runner, "tee", str(tmp_path / "x"), stdin=b"content") == "done"
    assert (tmp_path / "x").read_bytes() == b"content"


def test_rules_are_used_up_one_after_the_other() -> None:
    runner = FakeRunner()
    runner.on("ko").answer("first").times(1)
    runner.on("ko").answer("second").times(1)
    assert [run(runner, "ko"), run(runner, "ko")] == ["first", "second"]
    runner.check()


@pytest.mark.parametrize("command", ["ls", [], ["ko", Secret("x")]])
def test_what_the_real_one_refuses_is_refused(command: Any) -> None:
    with pytest.raises(TypeError):
        FakeRunner().run(command, env={}, timeout=5)
    with pytest.raises(TypeError):
        ProcessRunner().run(command, env={}, timeout=5)


def test_a_folder_that_is_not_there_and_what_is_cancelled_already_are_as_in_a_real_run(tmp_path: Path) -> None:
    runner, cancel = FakeRunner(), threading.Event()
    runner.on("ko").optional()
    with pytest.raises(CommandError, match="is not there"):
        run(runner, "ko", cwd=tmp_path / "nowhere")
    cancel.set()
    with pytest.raises(CancelledError, match="ko was not started"):
        run(runner, "ko", cancel=cancel)


# ---- what is not expected ---------------------------------------------------------------------------------------


def unexpected(runner: FakeRunner, *command: str, **options: Any) -> str:
    with pytest.raises(UnexpectedCommand) as at_once:
        run(runner, *command, **options)
    with pytest.raises(UnexpectedCommand) as afterwards:
        runner.check()
    assert str(at_once.value).splitlines()[0] in str(afterwards.value)
    return str(at_once.value)


def test_nothing_was_expected() -> None:
    assert unexpected(FakeRunner(), "rm", "-rf", "a b") == (
        "unexpected command: rm -rf 'a b'\n  no command was expected\nwhat was run:\n  rm -rf 'a b'  (unexpected)"
    )


def test_the_nearest_rule_is_compared_word_by_word() -> None:
    runner = FakeRunner()
    runner.on("docker", "version").answer("28")
    runner.on("ko", "build", "--platform=linux/arm64", ...).optional()
    run(runner, "docker", "version")
    assert unexpected(runner, "ko", "build", "--platform=linux/amd64") == textwrap.dedent("""\
        unexpected command: ko build --platform=linux/amd64
          most like what was expected (- expected, + given):
              ko
              build
            - --platform=linux/arm64
            + --platform=linux/amd64
            - ...
        what was run:
          docker version  (status 0)
          ko build --platform=linux/amd64  (unexpected)""")


@pytest.mark.parametrize(
    ("rule", "env", "says"),
    [
        ({"env": {"GOOS": None}}, {"GOOS": "linux"}, "but GOOS is in its environment"),
        ({"env": {"TOKEN": "a"}}, {}, "but TOKEN is not in its environment"),
        ({"env": {"TOKEN": "a"}}, {"TOKEN": "b"}, "but TOKEN is 'b' in its environment"),
        ({"env": {"TOKEN": "a"}}, {"TOKEN": Secret("hunter2")}, "but TOKEN is '***' in its environment"),
        ({"stdin": b"abc"}, {}, "but it reads 0 other bytes"),
    ],
)
def test_environment_and_input_count(rule: dict[str, Any], env: dict[str, str], says: str) -> None:
    runner = FakeRunner()
    runner.on("ko", **rule).optional()
    told = unexpected(runner, "ko", env=env)
    assert says in told
    assert "hunter2" not in told


def test_too_often_is_unexpected() -> None:
    runner = FakeRunner()
    runner.on("ko").times(1)
    run(runner, "ko")
    assert "it came more often than was expected" in unexpected(runner, "ko")


def test_a_command_that_did_not_come_is_told() -> None:
    runner = FakeRunner()
    runner.on("ko", "build", ..., env={"A": "1", "B": None}).times(2)
    runner.on(re.compile("docker|podman"), str.isalpha).optional()
    run(runner, "ko", "build", env={"A": "1"})
    with pytest.raises(UnexpectedCommand) as caught:
        runner.check()
    assert str(caught.value) == textwrap.dedent("""\
        commands that were expected and did not come:
          A=1 B='(absent)' ko build ...  (came 1 times, 2 times)
        what was run:
          ko build  (status 0)""").replace("'(absent)'", "(absent)")


def test_no_secret_stands_in_a_transcript() -> None:
    runner = FakeRunner()
    runner.on("ko", ...)
    run(runner, "ko", "--token=hunter2", env={"T": Secret("hunter2")})
    assert runner.transcript() == "what was run:\n  ko --token=***  (status 0)"
    assert "hunter2" not in repr(runner.calls[0].env)


# ---- as a fixture -----------------------------------------------------------------------------------------------


def test_it_stands_for_the_real_one(archkit_process: FakeRunner) -> None:
    archkit_process.on("ko", "version").answer("0.19")
    assert ProcessRunner().run(["ko", "version"], env={}, timeout=5).output == "0.19"


def test_a_test_that_swallows_the_failure_fails_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
            import pytest
            from archkit import Artifact, BuildError, CustomBuilder, build, LayoutSink

            def test_swallowing(archkit_process, tmp_path):
                def tool(request, context):
                    context.runner.run(["ko", "build"], env={}, timeout=5)

                with pytest.raises(BuildError):
                    build(Artifact("web", tmp_path, builder=CustomBuilder(tool)), targets="linux/arm64", sink=LayoutSink(tmp_path / "o"), tag="1")

            def test_waiting(archkit_process):
                archkit_process.on("ko", "version")

            def test_prepared(archkit_process):
                archkit_process.on("ko", "version").optional()
        """)
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False).stdout
    assert "2 failed, 1 passed" in out
    assert "unexpected command: ko build" in out
    assert "commands that were expected and did not come" in out


def test_what_a_rule_raises_is_no_archkit_error() -> None:
    assert not issubclass(UnexpectedCommand, ArchkitError)


def test_as_a_context_manager_it_is_checked_at_the_end() -> None:
    with pytest.raises(UnexpectedCommand, match="expected and did not come"), FakeRunner() as runner:
        runner.on("ko", "version").answer("1")
    with pytest.raises(ZeroDivisionError), FakeRunner() as runner:
        runner.on("ko", "version").answer("1")
        raise ZeroDivisionError

"""Programs of a process that was killed: the next run ends those that are written down, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from process_watch import ended, needs_proc

from archkit.adapters.process import ProcessRunner
from archkit.adapters.process.tree import end_recorded, record

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = [needs_proc, pytest.mark.skipif(sys.platform == "win32", reason="looks at /proc")]


@contextmanager
def sleeper() -> Generator[subprocess.Popen[bytes], None, None]:
    process = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def records(tmp_path: Path) -> Path:
    folder = tmp_path / "processes"
    folder.mkdir(mode=0o700)
    return folder


def test_what_is_written_down_is_ended(records: Path) -> None:
    with sleeper() as process:
        assert record(records, process.pid) is not None
        end_recorded(records)
        assert ended(process.pid)


CLEANS_UP = """
import signal, sys, time
from pathlib import Path
def end(*_):
    Path(sys.argv[1]).touch()
    sys.exit()
signal.signal(signal.SIGTERM, end if sys.argv[2] == "cleans up" else signal.SIG_IGN)
print("ready", flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("way", ["cleans up", "stays"])
def test_it_may_clean_up_first(way: str, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "stays":
        monkeypatch.setattr("archkit.adapters.process.tree._GRACE", 0.2)
    command = [sys.executable, "-c", CLEANS_UP, str(tmp_path / "clean"), way]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        record(records, process.pid)
        end_recorded(records)
        assert process.wait(10) == (0 if way == "cleans up" else -9)
    assert (tmp_path / "clean").exists() == (way == "cleans up")


def test_another_process_with_the_same_number_is_let_alone(records: Path) -> None:
    with sleeper() as process:
        path = record(records, process.pid)
        assert path is not None
        pid, _, started = path.read_text().strip().partition(" ")
        path.write_text(f"{pid} {int(started) - 1}\n")
        end_recorded(records)
        time.sleep(0.1)
        assert process.poll() is None


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o755], ids=oct)
def test_a_folder_that_others_can_use_does_not_count(mode: int, records: Path) -> None:
    with sleeper() as process:
        record(records, process.pid)
        records.chmod(mode)
        end_recorded(records)
        time.sleep(0.1)
        assert process.poll() is None


@pytest.mark.parametrize("content", ["", "x y", "-1 0", "1", "99999999999999999999 5"])
def test_a_record_that_cannot_be_read_is_passed_over(content: str, records: Path) -> None:
    (records / "1").write_text(content)
    end_recorded(records)
    end_recorded(records / "nowhere")


def test_a_program_is_written_down_only_while_it_runs(records: Path) -> None:
    seen: list[str] = []

    def look(_: str, line: str) -> None:
        seen.extend([line, *(path.name for path in records.iterdir())])

    ProcessRunner(records=records).run(["sh", "-c", "echo $$; sleep 0.2"], env=dict(os.environ), timeout=60, on_line=look)
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert list(records.iterdir()) == []

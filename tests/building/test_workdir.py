"""Temporary folders: gone at the end, and after a kill gone with the next run."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from archkit.adapters.workdir import PREFIX, workdir

if TYPE_CHECKING:
    from pathlib import Path

HOLD = "import sys\nfrom archkit.adapters.workdir import workdir\nwith workdir() as folder:\n    print(folder, flush=True)\n    sys.stdin.read()\n"


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(f"{PREFIX}*"))


def test_it_is_empty_and_gone_at_the_end_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), workdir() as folder:
        assert list(folder.iterdir()) == []
        (folder / "layer").write_bytes(b"x")
        raise KeyboardInterrupt

    assert left(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="builders do not run on Windows")
def test_what_a_killed_process_left_is_removed_by_the_next_and_a_running_one_is_not(tmp_path: Path) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed,
        subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running,
    ):
        assert killed.stdout is not None
        assert running.stdout is not None
        killed.stdout.readline()
        kept = running.stdout.readline().split("/")[-2]
        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
        assert len(left(tmp_path)) == 2

        with workdir():
            assert kept in left(tmp_path)
            assert len(left(tmp_path)) == 2

        assert left(tmp_path) == [kept]
        running.communicate("", 10)

    assert left(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="builders do not run on Windows")
def test_many_that_begin_at_the_same_moment_do_not_take_each_other_for_abandoned(tmp_path: Path) -> None:
    script = (
        "from archkit.adapters.workdir import workdir\nfor _ in range(50):\n    with workdir() as folder:\n        (folder / 'x').touch()\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(4)]

    assert [process.wait(60) for process in running] == [0, 0, 0, 0]
    assert left(tmp_path) == []

"""Signals while a program runs: it is ended first, then they do what they would have done.

Each case is a process of its own, whose fate is looked at from outside.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
from process_watch import ended, needs_proc, wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="builders and helpers run on Linux and macOS")

START = """
import os, signal, sys, threading
from pathlib import Path
from archkit.adapters.process import ProcessRunner, unwinding

signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup, and a shell's "&", hand down ignored signals
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

def run():
    script = "sleep 300 & echo $$ $! > pids.new; mv pids.new pids; sleep 300"
    ProcessRunner().run(["sh", "-c", script], env=dict(os.environ), timeout=60)

"""


def told(tmp_path: Path, code: str, *numbers: signal.Signals) -> tuple[int, str]:
    """Run a program of ours, signal it when its child runs; its status and what it printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", START + textwrap.dedent(code)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        pids = [int(pid) for pid in wait_for(tmp_path / "pids").split()]
        for number in numbers:
            process.send_signal(number)
        output, messages = process.communicate(timeout=60)
    finally:
        process.kill()
    assert [pid for pid in pids if not ended(pid)] == [], messages
    return process.returncode, output + messages


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_the_program_ends_by_the_signal_as_ever(number: signal.Signals, tmp_path: Path) -> None:
    status, printed = told(tmp_path, "run()", number)
    assert status == -number
    assert ("KeyboardInterrupt" in printed) is (number == signal.SIGINT)


@needs_proc
def test_ctrl_c_can_be_caught_and_the_next_run_is_as_before(tmp_path: Path) -> None:
    code = """
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    try:
        run()
    except KeyboardInterrupt:
        after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        print("caught", before == after, ProcessRunner().run(["echo", "again"], env=dict(os.environ), timeout=60).output)
    """
    assert told(tmp_path, code, signal.SIGINT) == (0, "caught True again\n\n")


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_unwinding_block_cleans_up_before_the_end(number: signal.Signals, tmp_path: Path) -> None:
    code = """
    Path("left").touch()
    with unwinding():
        try:
            with unwinding():
                try:
                    run()
                finally:
                    ProcessRunner().run(["rm", "left"], env=dict(os.environ), timeout=60)
                    print("cleaned up", flush=True)
        except Exception as error:
            print("not an Exception", error)
    print("not reached")
    """
    assert told(tmp_path, code, number) == (-number, "cleaned up\n")
    assert not (tmp_path / "left").exists()


@needs_proc
def test_being_told_twice_does_not_stop_the_cleaning_up(tmp_path: Path) -> None:
    code = """
    with unwinding():
        try:
            run()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            ProcessRunner().run(["touch", "cleaned"], env=dict(os.environ), timeout=60)
    """
    assert told(tmp_path, code, signal.SIGTERM, signal.SIGTERM)[0] == -signal.SIGTERM
    assert (tmp_path / "cleaned").exists()


@needs_proc
def test_a_handler_of_the_program_itself_stays_in_charge(tmp_path: Path) -> None:
    code = """
    def leave(number, frame):
        sys.exit(7)
    signal.signal(signal.SIGTERM, leave)
    with unwinding():
        run()
    """
    assert told(tmp_path, code, signal.SIGTERM)[0] == 7


@needs_proc
def test_in_another_thread_nothing_is_installed(tmp_path: Path) -> None:
    code = """
    cancel = threading.Event()
    def work():
        with unwinding():
            script = "sleep 300 & echo $$ $! > pids.new; mv pids.new pids; sleep 300"
            try:
                ProcessRunner().run(["sh", "-c", script], env=dict(os.environ), timeout=60, cancel=cancel)
            except Exception as error:
                print(error)
    def stop(number, frame):
        cancel.set()
    signal.signal(signal.SIGTERM, stop)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    """
    assert told(tmp_path, code, signal.SIGTERM) == (0, "cancelled: sh was ended\n")

"""The example's programs: real executables for two CPUs, written without a compiler."""

from __future__ import annotations

import importlib.util
import platform
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "examples" / "hello" / "make_hello.py"


@pytest.fixture(scope="module")
def hello() -> ModuleType:
    """examples/hello/make_hello.py as a module."""
    spec = importlib.util.spec_from_file_location("make_hello", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "machine"), [("linux/amd64", 62), ("linux/arm64", 183)])
def test_each_is_a_small_static_executable_of_its_cpu(hello: ModuleType, tmp_path: Path, name: str, machine: int) -> None:
    path = hello.make_hello(tmp_path)[name] / "hello"
    assert path == tmp_path / name.replace("/", "_") / "hello"
    assert path.stat().st_mode & 0o777 == 0o755
    content = path.read_bytes()
    assert len(content) < 200
    assert content[:6] == b"\x7fELF\x02\x01"
    assert struct.unpack_from("<HHI", content, 16) == (2, machine, 1)
    entry, headers = struct.unpack_from("<QQ", content, 24)
    kind, flags, offset, address, _, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", content, headers)
    assert (kind, flags, offset, in_file, in_memory) == (1, 5, 0, len(content), len(content))
    assert address <= entry < address + len(content)
    assert content.endswith(f"Hello world! Running on {name}\n".encode())


@pytest.mark.skipif(
    (sys.platform, platform.machine()) not in {("linux", "x86_64"), ("linux", "aarch64")},
    reason="no program for this machine; the live tests emulate",
)
def test_the_one_of_this_machine_runs(hello: ModuleType, tmp_path: Path) -> None:
    name = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}[platform.machine()]
    done = subprocess.run([hello.make_hello(tmp_path)[name] / "hello"], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Hello world! Running on {name}\n".encode(), b"")


def test_it_is_a_script_too(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, encoding="utf-8", timeout=60, check=True)
    assert done.stdout.splitlines() == [str(tmp_path / "linux_amd64" / "hello"), str(tmp_path / "linux_arm64" / "hello")]


def test_two_runs_write_the_same_bytes(hello: ModuleType, tmp_path: Path) -> None:
    first = {name: (folder / "hello").read_bytes() for name, folder in hello.make_hello(tmp_path / "a").items()}
    again = {name: (folder / "hello").read_bytes() for name, folder in hello.make_hello(tmp_path / "b").items()}
    assert first == again

"""The half of noxfile.py that runs before there is nox: what it says, and the environment that it makes."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

NOXFILE = Path(__file__).parents[2] / "noxfile.py"
SOURCE = NOXFILE.read_text(encoding="utf-8")
UPPER_HALF = SOURCE.partition("# ---- the verbs")[0]

FAKE_NOX = "import sys\nprint('nox was given', *sys.argv[1:])\n"


@pytest.fixture
def noxfile(tmp_path: Path) -> ModuleType:
    """The upper half as a module that works below an empty folder."""
    module = ModuleType("noxfile")
    module.__file__ = str(tmp_path / "noxfile.py")
    exec(compile(UPPER_HALF, str(NOXFILE), "exec"), module.__dict__)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with a copy of noxfile.py, and a wheel of a nox that only prints what it was given."""
    shutil.copy(NOXFILE, tmp_path)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    info = "nox-9999.dist-info"
    with zipfile.ZipFile(wheels / "nox-9999-py3-none-any.whl", "w") as wheel:
        wheel.writestr("nox/__init__.py", "")
        wheel.writestr("nox/__main__.py", FAKE_NOX)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: nox\nVersion: 9999\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return tmp_path


def start(checkout: Path, *arguments: str, forget: tuple[str, ...] = (), path: str = os.defpath) -> subprocess.CompletedProcess[str]:
    """Run the copy as a script on a Python without packages, and without the modules to forget."""
    script = str(checkout / "noxfile.py")
    code = f"import runpy, sys; sys.modules.update(dict.fromkeys({forget!r})); sys.argv = {[script, *arguments]!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    environment = {"PATH": path, "HOME": str(checkout), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout / "wheels")}
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(command, env=environment, cwd=checkout, capture_output=True, encoding="utf-8", timeout=300, check=False)


def test_python_3_8_can_read_it_and_say_what_is_missing() -> None:
    ast.parse(SOURCE, feature_version=(3, 8))


def test_the_script_header_asks_for_what_the_code_asks_for(noxfile: ModuleType) -> None:
    header = re.search(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$", SOURCE)  # the expression of PEP 723
    assert header is not None
    content = [line[2:] for line in header.group("content").splitlines()]
    assert content == [f'requires-python = ">={noxfile.OLDEST[0]}.{noxfile.OLDEST[1]}"', f'dependencies = ["{noxfile.NOX}"]']


def test_an_old_python_gets_one_line_that_names_what_to_install(
    noxfile: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    assert noxfile.main(["test"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert all(word in lines[0] for word in ("3.10", "3.9", sys.executable, "apt install python3"))


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        pytest.param([], ["--list"], id="nothing lists the verbs"),
        pytest.param(["test"], ["-s", "test"], id="a verb"),
        pytest.param(["lint", "test"], ["-s", "lint", "test"], id="verbs"),
        pytest.param(["test", "--", "-k", "x"], ["-s", "test", "--", "-k", "x"], id="the rest for the program"),
        pytest.param(["tests_all", "--python", "3.12"], ["-s", "tests_all", "--python", "3.12"], id="options of nox"),
        pytest.param(["-s", "test"], ["-s", "test"], id="as nox wants it"),
    ],
)
def test_bare_words_are_verbs(noxfile: ModuleType, given: list[str], passed: list[str]) -> None:
    assert noxfile.nox_arguments(given) == passed


def test_without_nox_it_makes_an_environment_and_starts_again(checkout: Path) -> None:
    wheel = checkout / "wheels" / "nox-9999-py3-none-any.whl"
    wheel.rename(checkout / "elsewhere")
    failed = start(checkout, "test")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.splitlines()[-1].startswith("archkit: this failed, see above: ")

    # what the failure left behind is half an environment: it is made again, and taken for ready only then
    (environment,) = (checkout / ".nox").glob("bootstrap-py*")
    (environment / "half-made").touch()
    (checkout / "elsewhere").rename(wheel)
    made = start(checkout, "test", "--", "-k", "x")
    assert (made.returncode, made.stdout) == (0, f"nox was given -f {checkout / 'noxfile.py'} -s test -- -k x\n"), made.stderr
    assert made.stderr.splitlines()[0].endswith("with nox in it, once")
    assert not (environment / "half-made").exists()

    again = start(checkout, "demo")
    assert (again.stdout, again.stderr) == (f"nox was given -f {checkout / 'noxfile.py'} -s demo\n", "")


def test_an_environment_whose_python_has_gone_is_made_again(noxfile: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []

    def call(command: list[str]) -> int:
        made.append(command)
        python = Path(noxfile.ROOT, ".nox", "bootstrap-py{}.{}".format(*sys.version_info), "bin", "python")
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()
        return 0

    monkeypatch.setattr(subprocess, "call", call)
    python = Path(noxfile.bootstrapped_python())
    once = len(made)
    noxfile.bootstrapped_python()
    assert len(made) == once > 0
    python.unlink()
    noxfile.bootstrapped_python()
    assert len(made) == 2 * once


@pytest.mark.parametrize(
    ("missing", "programs", "makers"),
    [
        pytest.param([], {"uv": "/bin/uv"}, ["PYTHON -m venv", "ENV -m pip"], id="venv"),
        pytest.param(["ensurepip"], {"uv": "/bin/uv"}, ["/bin/uv venv", "/bin/uv pip"], id="uv"),
        pytest.param(["venv"], {"uv": "/bin/uv"}, ["/bin/uv venv", "/bin/uv pip"], id="no venv at all"),
        pytest.param(["ensurepip"], {}, ["PYTHON -m virtualenv", "ENV -m pip"], id="virtualenv as a module"),
        pytest.param(
            ["ensurepip", "virtualenv"], {"virtualenv": "/bin/virtualenv"}, ["/bin/virtualenv --quiet", "ENV -m pip"], id="virtualenv"
        ),
    ],
)
def test_environments_are_made_with_what_is_there(
    noxfile: ModuleType, monkeypatch: pytest.MonkeyPatch, missing: list[str], programs: dict[str, str], makers: list[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else name)
    monkeypatch.setattr(shutil, "which", programs.get)
    commands = noxfile.environment_commands("/env", "/env/bin/python")
    words = {sys.executable: "PYTHON", "/env/bin/python": "ENV"}
    firsts = [" ".join([words.get(command[0], command[0]), *command[1:3]]) for command in commands]
    assert [first.startswith(maker) for first, maker in zip(firsts, makers, strict=True)] == [True, True], firsts


def test_a_python_that_can_make_no_environment_gets_one_line_that_says_what_to_install(checkout: Path) -> None:
    done = start(checkout, "test", forget=("ensurepip", "virtualenv"), path=str(checkout))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "apt install python3-venv" in line

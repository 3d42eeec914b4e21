#!/usr/bin/env python3
# /// script
# requires-python = ">=3.10"
# dependencies = ["nox>=2025.11.12"]
# ///
"""Everything that is done with this project, by name: `python3 noxfile.py VERB`.

    demo        show the whole path on this machine: build, push, stitch, pin
    test        unit tests and doctests of the built wheel, with the Python that runs this
    tests_all   the same on every supported Python that is installed
    lint        style, types, public types, layers
    docs        run the pages of docs/ and README.md, follow their links
    tools       put the real tools of the live tests into the cache folder
    live        tests that drive those tools
    bench       benchmarks, peers side by side

Several verbs may follow each other; what stands behind `--` goes to the program that the verb runs, for example
`python3 noxfile.py test -- -k platform`. Everything else goes to nox as it is (`--list`, `-s`, `--python`).

The upper half must stay readable for Python 3.8, which can then say what is missing. It needs nothing but the
standard library: without nox it makes an environment below .nox/, installs nox there and starts itself again.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 10)
ROOT = Path(__file__).resolve().parent
NOX = "nox>=2025.11.12"


def main(arguments: "list[str]") -> int:
    """Run nox on this file; returns its exit status."""
    if sys.version_info < OLDEST:
        have, wanted = ("{}.{}".format(*version) for version in (sys.version_info, OLDEST))
        return complain(
            f"archkit needs Python {wanted} or later, this is {have} ({sys.executable}): "
            "install one, such as `apt install python3.11`, and run this file with it"
        )
    python = sys.executable if importlib.util.find_spec("nox") else bootstrapped_python()
    command = [python, "-m", "nox", "-f", str(ROOT / "noxfile.py"), *nox_arguments(arguments)]
    if os.name != "nt":  # exec returns to the shell at once there
        os.execv(python, command)
    return subprocess.call(command)


def complain(text: str) -> int:
    """One line on the error channel, and the exit status that goes with it."""
    print(text, file=sys.stderr)
    return 1


def nox_arguments(arguments: "list[str]") -> "list[str]":
    """Leading bare words are verbs; without any argument the verbs are listed."""
    if not arguments:
        return ["--list"]
    count = next((at for at, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    verbs, rest = arguments[:count], arguments[count:]
    return [*(["-s", *verbs] if verbs else []), *rest]


def bootstrapped_python() -> str:
    """The Python of an environment that holds nox, made on first use.

    A marker is written last: an environment without it was interrupted half-way and is made again, and so is one
    that was made for something else or whose Python has gone.
    """
    folder = ROOT / ".nox" / "bootstrap-py{}.{}".format(*sys.version_info)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    marker, content = folder / "archkit-ready", f"{NOX}\n{sys.version}\n"
    if not (python.exists() and marker.is_file() and marker.read_text(encoding="utf-8") == content):
        commands = environment_commands(str(folder), str(python))
        print(f"archkit: making {folder} with nox in it, once", file=sys.stderr, flush=True)
        shutil.rmtree(str(folder), ignore_errors=True)
        for command in commands:
            if subprocess.call(command) != 0:
                sys.exit(complain(f"archkit: this failed, see above: {' '.join(command)}"))
        marker.write_text(content, encoding="utf-8")
    return str(python)


def environment_commands(folder: str, python: str) -> "list[list[str]]":
    """What makes an environment in `folder` and installs nox there, with what this machine has."""
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NOX]
    if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):  # Debian ships them apart
        return [[sys.executable, "-m", "venv", folder], pip]
    uv, virtualenv = shutil.which("uv"), shutil.which("virtualenv")
    if uv:
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, folder],
            [uv, "pip", "install", "--quiet", "--python", python, NOX],
        ]
    if importlib.util.find_spec("virtualenv"):
        return [[sys.executable, "-m", "virtualenv", "--quiet", folder], pip]
    if virtualenv:
        return [[virtualenv, "--quiet", "--python", sys.executable, folder], pip]
    message = (
        f"archkit: this Python ({sys.executable}) can make no environment: install its venv module (Debian and Ubuntu: "
        "`apt install python3-venv`), uv or virtualenv, and run this again"
    )
    sys.exit(complain(message))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))


# ---- the verbs: from here on nox runs this file, on a Python that is new enough ----------------------------------

import hashlib
import logging
import platform

import nox
from nox.command import CommandFailed

PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
VERSIONS = ["3.10", "3.11", "3.12", "3.13"]

logging.getLogger("nox").addFilter(lambda record: record.getMessage() != "uv binary not found.")  # nobody asked for it
nox.needs_version = NOX.replace("nox", "")
nox.options.default_venv_backend = "uv" if shutil.which("uv") else "virtualenv"
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["test"]

PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
if PYENV.is_dir():  # its shims hide every Python that is not chosen
    chosen = [name for name in os.environ.get("PYENV_VERSION", "").split(":") if name]
    installed = [path.name for path in PYENV.iterdir() if path.name.startswith(tuple(f"{version}." for version in VERSIONS))]
    os.environ["PYENV_VERSION"] = ":".join(dict.fromkeys([*(chosen or [platform.python_version()]), *sorted(installed)]))


def install(session: nox.Session, *groups: str) -> None:
    """Put the built wheel into the session's environment, with the dependency groups named.

    The wheel is built and installed each time; what it depends on only when the list of it has changed.
    """
    wanted = [*PROJECT["project"]["dependencies"], *nox.project.dependency_groups(PROJECT, "build", *groups)]
    stamp = Path(session.virtualenv.location, "archkit-requirements")
    content = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    if not stamp.is_file() or stamp.read_text(encoding="ascii") != content:
        session.install(*wanted)
        stamp.write_text(content, encoding="ascii")
    folder = Path(session.virtualenv.location, "dist")
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), silent=True)
    session.install("--no-deps", "--force-reinstall", *map(str, folder.glob("*.whl")))


def pytest(session: nox.Session) -> str:
    """The program, not the module: `python -m pytest` would import archkit from the checkout."""
    return str(Path(session.bin, "pytest"))


@nox.session
def demo(session: nox.Session) -> None:
    """Show the whole path on this machine: build, push, stitch, pin."""
    install(session)
    session.run("python", "examples/demo.py", *session.posargs)


@nox.session
def test(session: nox.Session) -> None:
    """Unit tests and doctests of the built wheel: no engine, no cluster, no network but loopback."""
    install(session, "test")
    session.env["COVERAGE_FILE"] = str(Path(session.virtualenv.location, "coverage"))
    session.run("coverage", "erase", silent=True)
    session.run("coverage", "run", pytest(session), *session.posargs)
    session.run("coverage", "combine", "--quiet", silent=True)
    session.run("coverage", "report", *(["--fail-under=0"] if session.posargs else []))


@nox.session(python=VERSIONS)
def tests_all(session: nox.Session) -> None:
    """The unit tests on every supported Python that is installed."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, the types of the public names, layers."""
    install(session, "lint")
    checks = [
        ("ruff", "check"),
        ("ruff", "format", "--check"),
        ("lint-imports", "--no-logo"),
        ("mypy",),
        ("basedpyright",),
        ("pyright", "--verifytypes", "archkit", "--ignoreexternal"),
    ]
    failed: list[str] = []
    for check in checks:  # all of them, whatever the earlier ones say
        try:
            session.run(*check)
        except CommandFailed:
            failed.append(check[0])
    if failed:
        session.error(f"failed: {', '.join(failed)}")


@nox.session
def docs(session: nox.Session) -> None:
    """Run the pages of docs/ and README.md, follow their links."""
    install(session, "test")
    session.run("pytest", "tests/pages", *session.posargs)


@nox.session(python=False)
def tools(session: nox.Session) -> None:
    """Put the real tools of the live tests into the cache folder, outside the checkout."""
    session.run(sys.executable, "tests/helpers/realtools.py", *session.posargs)


@nox.session
def live(session: nox.Session) -> None:
    """Tests that drive real tools (see the verb tools)."""
    install(session, "test")
    session.run("pytest", "-m", "live", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Benchmarks, peers side by side in one run."""
    install(session, "test", "bench")
    names = session.posargs or sorted(path.stem for path in Path("benchmarks").glob("[!_]*.py"))
    for name in names:
        session.run("python", f"benchmarks/{name}.py")

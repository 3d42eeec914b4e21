"""Recipes for tools that come as Debian packages; unpacked into the cache folder wherever they need not be installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, TextIO

from toolbox import BIN, Missing, run, source_folder

if TYPE_CHECKING:
    from pathlib import Path

    from toolbox import Recipe


def installed(package: str, program: str) -> Recipe:
    """A package that must be installed as the system wants it; only where this runs as root."""

    def recipe(log: TextIO) -> None:
        if shutil.which(program):
            return
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Missing(f"install {package} with your system's package manager, for example `sudo apt install {package}`")
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
            run(log, "apt-get", "-qq", *arguments, env={"DEBIAN_FRONTEND": "noninteractive"})

    return recipe


def unpacked(package: str, program: str) -> Recipe:
    """A package that is only unpacked, with the libraries that the system lacks: installed it might start services.

    Args:
        package: Its name.
        program: Where in the package the program is, such as ``usr/bin/skopeo``.
    """

    def recipe(log: TextIO) -> None:
        name = program.rpartition("/")[2]
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise Missing(f"install what has `{name}` with your system's package manager and put it on PATH")
        source = source_folder(name)
        download(log, source, [package])
        libraries = missing_libraries(package)
        if libraries:
            download(log, source, libraries)
        if not (source / program).is_file():
            raise Missing(f"{package} has no {program}")
        if not libraries:
            shutil.move(source / program, BIN / name)
            shutil.rmtree(source)
            return
        folders = {str(path.parent) for path in (source / "usr" / "lib").rglob("*.so*")}
        (BIN / name).write_text(f'#!/bin/sh\nexport LD_LIBRARY_PATH="{":".join(sorted(folders))}"\nexec "{source / program}" "$@"\n')
        (BIN / name).chmod(0o755)

    return recipe


def for_cpu(package: str, program: str, cpu: str) -> Recipe:
    """A program of another CPU, as ``NAME-CPU``; apt gets a state of its own, the machine's list of CPUs stays as it is.

    Args:
        package: Its name.
        program: Where in the package the program is, such as ``bin/busybox``; linked to no library.
        cpu: As Debian calls it, such as ``arm64``.
    """

    def recipe(log: TextIO) -> None:
        name = f"{program.rpartition('/')[2]}-{cpu}"
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise Missing(f"put a {program} for {cpu} without libraries on PATH as `{name}`")
        source = source_folder(name)
        for folder in ("lists/partial", "cache/archives/partial"):
            (source / folder).mkdir(parents=True)
        (source / "status").touch()
        state: dict[str, object] = {"Dir::State": source, "Dir::State::lists": source / "lists", "Dir::State::status": source / "status"}
        state |= {
            "Dir::Cache": source / "cache",
            "APT::Architecture": cpu,
            "APT::Architectures": cpu,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        options = [word for key, value in state.items() for word in ("-o", f"{key}={value}")]
        run(log, "apt-get", "-qq", *options, "update")
        run(log, "apt-get", "-qq", *options, "download", package, cwd=source)
        (found,) = source.glob("*.deb")
        run(log, "dpkg-deb", "-x", found, source / "content")
        shutil.move(source / "content" / program, BIN / name)
        shutil.rmtree(source)

    return recipe


def download(log: TextIO, folder: Path, packages: list[str]) -> None:
    """Unpack these packages into the folder."""
    try:
        run(log, "apt-get", "-qq", "download", *packages, cwd=folder)
    except Missing:
        if os.geteuid() != 0:
            raise Missing(f"`apt-get download {' '.join(packages)}` brought nothing; `sudo apt-get update` may help") from None
        run(log, "apt-get", "-qq", "update")  # there were no lists of packages, or old ones
        run(log, "apt-get", "-qq", "download", *packages, cwd=folder)
    for package in folder.glob("*.deb"):
        run(log, "dpkg-deb", "-x", package, folder)
        package.unlink()


def missing_libraries(package: str) -> list[str]:
    """The packages of libraries that this one needs, directly or through others, and that the system does not have."""
    found: list[str] = []
    waiting = [package]
    while waiting:
        words = subprocess.run(["apt-cache", "depends", "--important", waiting.pop()], capture_output=True, encoding="utf-8", check=False)
        for line in words.stdout.splitlines():
            kind, _, name = line.strip().partition(": ")
            if kind.endswith("Depends") and name.startswith("lib") and name not in found and not is_installed(name):
                found.append(name)
                waiting.append(name)
    return found


def is_installed(package: str) -> bool:
    done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], capture_output=True, encoding="utf-8", check=False)
    return done.stdout == "installed"

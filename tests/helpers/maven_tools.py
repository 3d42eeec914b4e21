"""Recipes for tools that come through Maven."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TextIO

from toolbox import BIN, CACHE, Missing, run, source_folder

JAVA_PROJECT = Path(__file__).parent.parent / "live" / "projects" / "java"
JIB = "".join(
    re.findall(r"<artifactId>jib-maven-plugin<.*?<version>(.*?)<", (JAVA_PROJECT / "pom.xml").read_text(encoding="utf-8"), re.DOTALL)
)
"""The version that the project asks for."""
OLDEST_JAVA = 17
REPOSITORY = CACHE / "m2"


def maven(log: TextIO) -> None:
    """Maven with a local repository of its own, which has what the project of the live tests needs: jib above all.

    What this makes is `mvn` itself with that repository, so that a test downloads nothing.
    """
    system = next((found for folder in _path() if (found := shutil.which("mvn", path=folder))), None)
    java = subprocess.run(["java", "-version"], capture_output=True, encoding="utf-8", check=False).stderr if shutil.which("java") else ""
    version = re.search(r'version "(\d+)', java)
    if system is None or version is None or int(version.group(1)) < OLDEST_JAVA:
        raise Missing(f"install Maven and a JDK {OLDEST_JAVA} or later, for example `sudo apt install maven openjdk-17-jdk-headless`")
    source = source_folder("maven") / "project"
    shutil.copytree(JAVA_PROJECT, source)
    goals = ["package", "jib:buildTar", "-Djib.from.image=scratch", "-Djib.from.platforms=linux/arm64", "-Djib.to.image=demo/hello"]
    run(log, system, "-B", f"-Dmaven.repo.local={REPOSITORY}", *goals, cwd=source)
    (BIN / "mvn").write_text(f'#!/bin/sh\nexec "{system}" "-Dmaven.repo.local={REPOSITORY}" "$@"\n')
    (BIN / "mvn").chmod(0o755)


def _path() -> list[str]:
    """Where programs are looked for, without the folder that this makes them in."""
    return [folder for folder in os.get_exec_path() if Path(folder) != BIN]

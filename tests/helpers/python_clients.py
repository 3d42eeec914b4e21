"""Recipes for Python environments of their own: clients in versions that the tests' own environment does not have."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, TextIO

from toolbox import BIN, Missing, run, source_folder

if TYPE_CHECKING:
    from toolbox import Recipe

CLIENTS = {
    "python-kubernetes-31": ("kubernetes==31.0.0", "lightkube==1.0.1"),
    "python-kubernetes-37": ("kubernetes==37.0.2",),
}
"""Name of the interpreter, and what it has."""


def environment(name: str) -> Recipe:
    """An environment of packages; its interpreter is put beside the tools under this name."""

    def recipe(log: TextIO) -> None:
        folder = source_folder(name)
        python = folder / "bin" / "python"
        if shutil.which("uv"):
            run(log, "uv", "venv", "--quiet", "--python", sys.executable, folder)
            run(log, "uv", "pip", "install", "--quiet", "--python", python, *CLIENTS[name])
        elif importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):  # Debian ships them apart
            run(log, sys.executable, "-m", "venv", folder)
            run(log, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *CLIENTS[name])
        else:
            raise Missing("install this Python's venv module (`apt install python3-venv`) or uv")
        starter = BIN / name  # not a link: an interpreter finds its environment by the name that it is called by
        starter.write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} "$@"\n', encoding="utf-8")
        starter.chmod(0o755)

    return recipe

"""Programs and artifacts that the tests of this folder build."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from archkit import Artifact, FilesBuilder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADERS = {
    "linux/386": (1, "<", 3),
    "linux/amd64": (2, "<", 62),
    "linux/arm/v7": (1, "<", 40),
    "linux/arm64": (2, "<", 183),
    "linux/s390x": (2, ">", 22),
}
"""Word size (1: 32 bits, 2: 64 bits), byte order and machine number in an ELF header."""


def program(platform: str) -> bytes:
    """The header of a program for this platform's CPU."""
    bits, order, machine = HEADERS[platform]
    return b"\x7fELF" + bytes([bits, 1 if order == "<" else 2, 1]) + bytes(9) + struct.pack(f"{order}HH", 2, machine) + bytes(44)


@pytest.fixture
def programs(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Folders with a program /hello for each platform named; `lies` puts another CPU's program into one."""

    def make(*platforms: str, lies: dict[str, str] | None = None) -> dict[str, Path]:
        folders: dict[str, Path] = {}
        for platform in platforms:
            folder = tmp_path / "programs" / platform.replace("/", "_")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "hello").write_bytes(program((lies or {}).get(platform, platform)))
            (folder / "hello").chmod(0o755)
            folders[platform] = folder
        return folders

    return make


@pytest.fixture
def hello(tmp_path: Path, programs: Callable[..., dict[str, Path]]) -> Callable[..., Artifact]:
    """An artifact of a folder with one file and a program for each platform."""

    def make(*platforms: str, image: str = "hello", lies: dict[str, str] | None = None, **options: object) -> Artifact:
        context = tmp_path / "src"
        context.mkdir(exist_ok=True)
        (context / "readme").write_text("hi")
        files = programs(*(platforms or ("linux/amd64", "linux/arm64")), lies=lies)
        return Artifact(image, context, builder=FilesBuilder(**{"files": files, "entrypoint": "/hello", **options}))  # type: ignore[arg-type]

    return make

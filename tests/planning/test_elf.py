"""Which CPU a program is for."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from archkit import Platform
from archkit.planning.elf import HEADER_SIZE, program_cpu, runs_on_platform


def header(machine: int, *, bits: int = 64, big: bool = False) -> bytes:
    order = ">" if big else "<"
    return b"\x7fELF" + bytes([2 if bits == 64 else 1, 2 if big else 1, 1]) + bytes(9) + struct.pack(f"{order}HH", 2, machine)


@pytest.mark.parametrize(
    ("content", "cpu"),
    [
        pytest.param(header(62), "amd64", id="amd64"),
        pytest.param(header(3, bits=32), "386", id="386"),
        pytest.param(header(183), "arm64", id="arm64"),
        pytest.param(header(40, bits=32), "arm", id="arm"),
        pytest.param(header(243), "riscv64", id="riscv64"),
        pytest.param(header(258), "loong64", id="loong64"),
        pytest.param(header(22, big=True), "s390x", id="s390x"),
        pytest.param(header(21), "ppc64le", id="ppc64le"),
        pytest.param(header(21, big=True), "ppc64", id="ppc64"),
        pytest.param(header(8, bits=32), "mipsle", id="mipsle"),
        pytest.param(header(999), None, id="a CPU that nobody knows"),
        pytest.param(header(62)[:19], None, id="cut off"),
        pytest.param(b"#!/bin/sh\n" + bytes(20), None, id="a script"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_program_cpu(content: bytes, cpu: str | None) -> None:
    assert program_cpu(content) == cpu


@pytest.mark.skipif(sys.platform != "linux", reason="programs of other systems are no ELF files")
def test_the_running_python_is_for_this_machine() -> None:
    with Path(sys.executable).resolve().open("rb") as file:
        assert program_cpu(file.read(HEADER_SIZE)) in {Platform.host().arch, "386", "arm"}


@pytest.mark.parametrize(
    ("cpu", "platform", "verdict"),
    [
        ("amd64", "linux/amd64", "runs"),
        ("386", "linux/amd64", "runs"),
        ("amd64", "linux/386", "cannot-run"),
        ("arm", "linux/arm64", "doubtful"),
        ("arm", "linux/arm/v6", "runs"),
        ("arm64", "linux/arm/v7", "cannot-run"),
        ("amd64", "linux/arm64", "cannot-run"),
    ],
)
def test_runs_on_platform(cpu: str, platform: str, verdict: str) -> None:
    assert runs_on_platform(cpu, Platform.parse(platform)) == verdict

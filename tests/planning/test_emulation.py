"""Emulation is planned: what a machine runs, what is missing, and how to get it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archkit import EmulationMissing, Platform
from archkit.adapters.binfmt import this_machine
from archkit.planning.emulation import BuildMachine, Handler, emulation_findings, judge, refuse_missing

if TYPE_CHECKING:
    from pathlib import Path

AMD64, ARM64, S390X = Platform("linux", "amd64"), Platform("linux", "arm64"), Platform("linux", "s390x")
QEMU_ARM64 = """enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: POF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""
QEMU_S390X = QEMU_ARM64.replace("7f454c460201010000000000000000000200b700", "7f454c4602020100000000000000000000020016")
QEMU_ARM = QEMU_ARM64.replace("7f454c460201010000000000000000000200b700", "7f454c4601010100000000000000000002002800")
MONO = "enabled\ninterpreter /usr/bin/mono\nflags: \noffset 0\nmagic 4d5a\n"


@pytest.mark.parametrize(
    ("text", "cpu", "fault"),
    [
        (QEMU_ARM64, "arm64", ""),
        (QEMU_S390X, "s390x", ""),
        (QEMU_ARM, "arm", ""),
        (QEMU_ARM64.replace("enabled", "disabled"), "arm64", "x is registered, but disabled"),
        (QEMU_ARM64.replace("POF", "P"), "arm64", "x is registered without the flag F, so it does not work inside containers"),
        (QEMU_ARM64.replace("offset 0", "offset 4"), None, ""),
        (QEMU_ARM64.replace("magic 7f", "magic zz"), None, ""),
        (MONO, None, ""),
        ("enabled\ninterpreter /usr/bin/wine\nflags: \nextension .exe\n", None, ""),
        ("", None, ""),
    ],
)
def test_a_handler_is_read_by_the_programs_that_it_is_for(text: str, cpu: str | None, fault: str) -> None:
    handler = Handler.parse("x", text)
    assert (handler and handler.cpu, handler.fault if handler else "") == (cpu, fault)


@pytest.fixture
def binfmt(tmp_path: Path) -> Path:
    (tmp_path / "register").write_bytes(b"")
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "qemu-aarch64").write_text(QEMU_ARM64)
    (tmp_path / "qemu-s390x").write_text(QEMU_S390X.replace("enabled", "disabled"))
    (tmp_path / "cli").write_text(MONO)
    return tmp_path


def test_what_the_kernel_has_registered_is_read(binfmt: Path) -> None:
    machine = this_machine(binfmt)
    assert machine.complete
    assert [platform.arch for platform in machine.emulated] == ["arm64"]
    assert machine.faults == (("s390x", "qemu-s390x is registered, but disabled"),)


def test_all_of_it_may_be_switched_off(binfmt: Path) -> None:
    (binfmt / "status").write_text("disabled\n")
    assert this_machine(binfmt).emulated == ()


def test_where_nothing_can_be_seen_nothing_is_said_to_be_missing(tmp_path: Path) -> None:
    machine = this_machine(tmp_path / "nowhere")
    assert not machine.complete
    assert machine.verdict(Platform("linux", "s390x")) in {"unknown", "native"}


HERE = BuildMachine.from_handlers(
    AMD64, [h for h in (Handler.parse("qemu-aarch64", QEMU_ARM64), Handler.parse("qemu-arm", QEMU_ARM.replace("POF", "P"))) if h]
)
ELSEWHERE = BuildMachine(AMD64, complete=False, name="the engine")
NODES = [
    BuildMachine.from_platforms([AMD64, Platform.parse("linux/amd64/v2"), Platform("linux", "386")], name="node a"),
    BuildMachine.from_platforms([ARM64, Platform.parse("linux/arm/v7")], name="node b"),
]


@pytest.mark.parametrize(
    ("machines", "platform", "verdict"),
    [
        ([HERE], "linux/amd64", "native"),
        ([HERE], "linux/386", "native"),
        ([HERE], "linux/arm64", "emulated"),
        ([HERE], "linux/arm/v7", "missing"),
        ([HERE], "linux/s390x", "missing"),
        ([ELSEWHERE], "linux/arm64", "unknown"),
        (NODES, "linux/arm64", "native"),
        (NODES, "linux/amd64", "native"),
        (NODES, "linux/s390x", "missing"),
        ([HERE, *NODES], "linux/arm64", "native"),
        ([HERE, ELSEWHERE], "linux/s390x", "unknown"),
        ([], "linux/arm64", "unknown"),
    ],
)
def test_the_machine_that_runs_it_best_counts(machines: list[BuildMachine], platform: str, verdict: str) -> None:
    wanted = Platform.parse(platform)
    assert judge([wanted], machines) == {wanted: verdict}


def test_what_is_missing_is_refused_with_the_reason_and_the_way_out() -> None:
    with pytest.raises(EmulationMissing) as caught:
        refuse_missing("web", judge([ARM64, Platform.parse("linux/arm/v7"), S390X], [HERE]), [HERE], where="RUN in line 3")
    said = str(caught.value)
    assert caught.value.kind == "emulation-missing"
    assert "programs of linux/arm/v7, linux/s390x (RUN in line 3)" in said
    assert "qemu-arm is registered without the flag F" in said
    assert "this machine (linux/amd64) has no emulator for s390x" in said
    assert "--install arm,s390x" in said


def test_what_is_emulated_or_cannot_be_seen_is_told_and_not_refused() -> None:
    verdicts = judge([AMD64, ARM64], [HERE])
    refuse_missing("web", verdicts, [HERE])
    (finding,) = emulation_findings("web", verdicts)
    assert (finding.code, finding.where) == ("emulated-build", "web")
    assert "linux/arm64 will be built under emulation" in finding.message

    (finding,) = emulation_findings("web", judge([S390X], [ELSEWHERE]))
    assert "cannot be seen" in finding.message
    assert "--install s390x" in finding.hint


def test_a_build_of_nothing_foreign_says_nothing() -> None:
    assert emulation_findings("web", judge([AMD64], [HERE])) == []

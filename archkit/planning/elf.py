"""Which CPU a program is for, from the first bytes of its file.

Source: System V ABI, "ELF header"; machine numbers from the ABI's registry (``e_machine``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from archkit.model.platform import Platform

HEADER_SIZE = 20
"""Bytes that tell the CPU: up to the end of ``e_machine``."""

_MAGIC = b"\x7fELF"
_WORD_SIZES = {1: 32, 2: 64}
_MACHINES: dict[tuple[int, int, str], str] = {
    (3, 32, "little"): "386",
    (62, 64, "little"): "amd64",
    (62, 32, "little"): "amd64",  # x32: 32-bit pointers, runs on amd64 kernels
    (40, 32, "little"): "arm",
    (40, 32, "big"): "armbe",
    (183, 64, "little"): "arm64",
    (183, 64, "big"): "arm64be",
    (258, 64, "little"): "loong64",
    (8, 32, "big"): "mips",
    (8, 32, "little"): "mipsle",
    (8, 64, "big"): "mips64",
    (8, 64, "little"): "mips64le",
    (20, 32, "big"): "ppc",
    (21, 64, "big"): "ppc64",
    (21, 64, "little"): "ppc64le",
    (243, 32, "little"): "riscv",
    (243, 64, "little"): "riscv64",
    (22, 32, "big"): "s390",
    (22, 64, "big"): "s390x",
    (2, 32, "big"): "sparc",
    (43, 64, "big"): "sparc64",
}

Verdict = Literal["runs", "doubtful", "cannot-run"]

_ALSO_RUN = {"amd64": {"386"}, "mips64": {"mips"}, "mips64le": {"mipsle"}, "ppc64": {"ppc"}, "s390x": {"s390"}, "sparc64": {"sparc"}}
"""CPUs whose older 32-bit programs run on every machine of the newer one."""
_MAY_RUN = {"arm64": {"arm"}, "riscv64": {"riscv"}}
"""Here only some machines run them: many arm64 server CPUs have no 32-bit mode."""


def program_cpu(header: bytes) -> str | None:
    """The CPU in Go's spelling that an ELF file is for; None for another kind of file or an unknown CPU."""
    if len(header) < HEADER_SIZE or not header.startswith(_MAGIC):
        return None
    order: Literal["little", "big"] = "big" if header[5] == 2 else "little"
    machine = int.from_bytes(header[18:20], order)
    return _MACHINES.get((machine, _WORD_SIZES.get(header[4], 0), order))


def runs_on_platform(cpu: str, platform: Platform) -> Verdict:
    """Whether a program for this CPU runs in a container of this platform."""
    if cpu == platform.arch or cpu in _ALSO_RUN.get(platform.arch, ()):
        return "runs"
    return "doubtful" if cpu in _MAY_RUN.get(platform.arch, ()) else "cannot-run"

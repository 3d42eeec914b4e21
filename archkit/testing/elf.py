"""Program files that hold nothing but the header of an executable: what says which CPU a program is for."""

from __future__ import annotations

import struct

_EXECUTABLE = 2
_ELF_MACHINES = {
    # CPU: e_machine, bits, little-endian, e_flags; the numbers are those of the ELF specification's registry
    "386": (3, 32, True, 0),
    "amd64": (62, 64, True, 0),
    "arm": (40, 32, True, 0x05000000),
    "arm64": (183, 64, True, 0),
    "loong64": (258, 64, True, 0x43),
    "mips64": (8, 64, False, 0),
    "mips64le": (8, 64, True, 0),
    "ppc64": (21, 64, False, 0),
    "ppc64le": (21, 64, True, 2),
    "riscv64": (243, 64, True, 5),
    "s390x": (22, 64, False, 0),
}
_PE_MACHINES = {"386": 0x14C, "amd64": 0x8664, "arm": 0x1C4, "arm64": 0xAA64}
_WASM = b"\0asm\x01\0\0\0"


def program(os: str, arch: str) -> bytes:
    """The shortest file that says it is a program for this operating system and CPU: ELF, PE on Windows, or WebAssembly.

    Raises:
        ValueError: There is no such format for the CPU here.
    """
    if arch == "wasm":
        return _WASM
    if os == "windows":
        return _pe(arch)
    if arch not in _ELF_MACHINES:
        raise ValueError(f"no program header is known for {arch}; known are {', '.join(sorted(_ELF_MACHINES))}")
    machine, bits, little, flags = _ELF_MACHINES[arch]
    order = "<" if little else ">"
    wide = bits == 64
    identity = b"\x7fELF" + bytes([2 if wide else 1, 1 if little else 2, 1, 0]) + bytes(8)
    address = "Q" if wide else "I"
    header_size, program_size, section_size = (64, 56, 64) if wide else (52, 32, 40)
    # e_type e_machine e_version e_entry e_phoff e_shoff e_flags e_ehsize e_phentsize e_phnum e_shentsize e_shnum e_shstrndx
    fields = (_EXECUTABLE, machine, 1, 0, 0, 0, flags, header_size, program_size, 0, section_size, 0, 0)
    return identity + struct.pack(f"{order}HHI{address}{address}{address}IHHHHHH", *fields)


def _pe(arch: str) -> bytes:
    if arch not in _PE_MACHINES:
        raise ValueError(f"no Windows program header is known for {arch}; known are {', '.join(sorted(_PE_MACHINES))}")
    dos = b"MZ" + bytes(58) + struct.pack("<I", 64)
    return dos + b"PE\0\0" + struct.pack("<HHIIIHH", _PE_MACHINES[arch], 0, 0, 0, 0, 0, 0x0002)

"""Writes the same program for two CPUs, byte by byte: no compiler, no C library, about 190 bytes each.

Each prints ``Hello world! Running on linux/amd64`` (or ``linux/arm64``) and ends. An ELF file of one segment needs an
ELF header, one program header, and what they point at: here ten machine instructions and the text.

    python3 examples/hello/make_hello.py [FOLDER]
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

BASE = 0x400000  # where the file is mapped; a multiple of every page size that Linux has on these CPUs
HEADERS = 64 + 56  # bytes of the ELF header and of one program header; the code follows them


def text(platform: str) -> bytes:
    """What the program of this platform prints."""
    return f"Hello world! Running on {platform}\n".encode()


def amd64(size: int) -> bytes:
    """Instructions that print the `size` bytes behind them and end (Linux system calls: number in eax)."""
    code = [
        b"\xb8\x01\x00\x00\x00",  #                       mov  eax, 1         write
        b"\x89\xc7",  #                                   mov  edi, eax       to standard output
        b"\x48\x8d\x35" + struct.pack("<i", 16),  #       lea  rsi, [rip+16]  from behind the last instruction
        b"\xba" + struct.pack("<i", size),  #             mov  edx, size      so many bytes
        b"\x0f\x05",  #                                   syscall
        b"\xb8\x3c\x00\x00\x00",  #                       mov  eax, 60        exit
        b"\x31\xff",  #                                   xor  edi, edi       with status 0
        b"\x0f\x05",  #                                   syscall
    ]
    return b"".join(code)


def arm64(size: int) -> bytes:
    """The same for arm64 (number in x8); every instruction has 32 bits."""
    code = [
        0xD2800020,  #                mov  x0, #1        to standard output
        0x100000E1,  #                adr  x1, +28       from behind the last instruction
        0xD2800002 | size << 5,  #    mov  x2, #size     so many bytes
        0xD2800808,  #                mov  x8, #64       write
        0xD4000001,  #                svc  #0
        0xD2800000,  #                mov  x0, #0        with status 0
        0xD2800BA8,  #                mov  x8, #93       exit
        0xD4000001,  #                svc  #0
    ]
    return struct.pack("<8I", *code)


PROGRAMS = {"linux/amd64": (62, amd64), "linux/arm64": (183, arm64)}
"""By platform: its machine number in ELF (EM_X86_64, EM_AARCH64), and what makes its instructions."""


def program(platform: str) -> bytes:
    """The program of one of the two platforms, as an executable file."""
    machine, instructions = PROGRAMS[platform]
    body = instructions(len(text(platform))) + text(platform)
    size = HEADERS + len(body)
    identity = b"\x7fELF" + bytes([2, 1, 1])  # 64 bits, little-endian, version 1
    # type 2: executable; entry point; program headers at 64, no section headers; sizes and counts of both
    header = struct.pack("<16sHHIQQQIHHHHHH", identity, 2, machine, 1, BASE + HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    # type 1: to be loaded; flags 5: read and execute; the whole file, from its start
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x10000)
    return header + segment + body


def make_hello(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Write `hello` into a folder per platform below `folder`; returns platform and folder.

    >>> import tempfile
    >>> folders = make_hello(tempfile.mkdtemp())
    >>> {platform: path.name for platform, path in folders.items()}
    {'linux/amd64': 'linux_amd64', 'linux/arm64': 'linux_arm64'}
    """
    folders: dict[str, Path] = {}
    for platform in PROGRAMS:
        folders[platform] = Path(folder) / platform.replace("/", "_")
        folders[platform].mkdir(parents=True, exist_ok=True)
        path = folders[platform] / "hello"
        path.write_bytes(program(platform))
        path.chmod(0o755)
    return folders


if __name__ == "__main__":
    for made in make_hello(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "build").values():
        print(made / "hello")

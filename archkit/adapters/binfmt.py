"""The emulators that this machine's kernel knows: ``/proc/sys/fs/binfmt_misc``."""

from __future__ import annotations

import contextlib
from pathlib import Path

from archkit.model.platform import Platform
from archkit.planning.emulation import BuildMachine, Handler

BINFMT_MISC = Path("/proc/sys/fs/binfmt_misc")
_LARGEST = 64 * 1024
_NO_HANDLERS = {"register", "status"}


def this_machine(folder: Path = BINFMT_MISC) -> BuildMachine:
    """This machine with the emulators that are registered.

    Where the folder is not mounted (macOS; inside many containers, where the emulators of the machine work all the
    same) what else it runs is not known: ``complete`` is False.
    """
    handlers = _handlers(folder)
    if handlers is None:
        return BuildMachine(Platform.host(), complete=False)
    return BuildMachine.from_handlers(Platform.host(), handlers)


def _handlers(folder: Path) -> list[Handler] | None:
    try:
        enabled = _read(folder / "status").strip() == "enabled"
        entries = sorted(folder.iterdir())
    except OSError:
        return None
    if not enabled:
        return []
    found: list[Handler | None] = []
    for entry in entries:
        if entry.name not in _NO_HANDLERS:
            with contextlib.suppress(OSError):  # it was removed while we looked
                found.append(Handler.parse(entry.name, _read(entry)))
    return [handler for handler in found if handler is not None]


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_LARGEST)

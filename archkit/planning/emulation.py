"""Which platforms a machine that builds can run programs of, natively or emulated, and what to do about the others. Pure.

Only a build that runs programs of the target (``RUN`` in a stage for it, buildpacks) needs this; copying files and
cross-compiling do not.

Sources: Linux ``Documentation/admin-guide/binfmt-misc.rst``; the flag ``F`` opens the emulator when it is registered,
which is what makes it work inside containers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

from archkit.errors import EmulationMissing
from archkit.model.finding import Finding
from archkit.model.platform import Platform
from archkit.planning.elf import program_cpu

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Verdict = Literal["native", "emulated", "missing", "unknown"]


@attrs.frozen
class Handler:
    """A program that the kernel starts files of a kind with: one file of ``/proc/sys/fs/binfmt_misc``."""

    name: str
    cpu: str
    """The CPU whose programs it runs, in Go's spelling."""
    enabled: bool
    flags: str = ""

    @classmethod
    def parse(cls, name: str, text: str) -> Handler | None:
        """A handler as the kernel describes it; None where it is not for the programs of a CPU."""
        lines = text.splitlines()
        fields: dict[str, str] = {}
        for line in lines[1:]:
            key, _, value = line.partition(" ")
            fields[key.rstrip(":")] = value.strip()
        try:
            magic = bytes.fromhex(fields.get("magic", ""))
        except ValueError:
            return None
        cpu = program_cpu(magic) if fields.get("offset", "0") == "0" else None
        if cpu is None:
            return None
        return cls(name, cpu, lines[0].strip() == "enabled", fields.get("flags", ""))

    @property
    def fault(self) -> str:
        """Why containers cannot use it; empty: they can."""
        if not self.enabled:
            return f"{self.name} is registered, but disabled"
        return "" if "F" in self.flags else f"{self.name} is registered without the flag F, so it does not work inside containers"


@attrs.frozen
class BuildMachine:
    """A machine that builds, and whose programs it runs."""

    platform: Platform
    """Its own."""
    emulated: tuple[Platform, ...] = ()
    """What it runs under emulation, by os and CPU."""
    faults: tuple[tuple[str, str], ...] = ()
    """CPU, and why its emulator cannot be used."""
    complete: bool = True
    """Whether all that it can run is known; False: it is elsewhere, or does not tell."""
    name: str = "this machine"

    @classmethod
    def from_handlers(cls, platform: Platform, handlers: Iterable[Handler], *, name: str = "this machine") -> BuildMachine:
        """A machine with these emulators registered."""
        found = list(handlers)
        usable = {one.cpu for one in found if not one.fault}
        emulated = [Platform("linux", cpu) for cpu in sorted(usable)]
        return cls(platform, tuple(emulated), tuple((one.cpu, one.fault) for one in found if one.cpu not in usable), name=name)

    @classmethod
    def from_platforms(cls, platforms: Sequence[Platform], *, name: str, complete: bool = True) -> BuildMachine:
        """A machine that lists what it builds, its own platform first, as a node of a buildx builder does."""
        own, *others = platforms
        return cls(own, tuple(one for one in others if not one.runs_on(own)), complete=complete, name=name)

    def verdict(self, platform: Platform) -> Verdict:
        """Whether it runs programs of a platform."""
        if platform.runs_on(self.platform):
            return "native"
        if any((one.os, one.arch) == (platform.os, platform.arch) for one in self.emulated):
            return "emulated"
        return "missing" if self.complete else "unknown"

    def why_not(self, platform: Platform) -> str:
        """Why it runs no programs of a platform."""
        faults = [fault for cpu, fault in self.faults if cpu == platform.arch]
        return faults[0] if faults else f"{self.name} ({self.platform}) has no emulator for {platform.arch}"


def judge(platforms: Iterable[Platform], machines: Sequence[BuildMachine]) -> dict[Platform, Verdict]:
    """How the programs of each platform will run: by the machine that runs them best.

    Args:
        platforms: Those whose programs the build runs.
        machines: Those that build; none: nothing is known.
    """
    order: tuple[Verdict, ...] = ("native", "emulated", "unknown", "missing")
    verdicts: dict[Platform, Verdict] = {}
    for platform in platforms:
        found = {machine.verdict(platform) for machine in machines}
        verdicts[platform] = order[min(map(order.index, found))] if found else "unknown"
    return verdicts


def emulation_findings(image: str, verdicts: Mapping[Platform, Verdict]) -> list[Finding]:
    """What a person should know before the build: which platforms are emulated, or may be.

    Args:
        image: The artifact, as the caller named it.
        verdicts: Of :func:`judge`.
    """
    findings: list[Finding] = []
    emulated = [str(platform) for platform, verdict in verdicts.items() if verdict == "emulated"]
    unknown = [str(platform) for platform, verdict in verdicts.items() if verdict == "unknown"]
    if emulated:
        message = f"{', '.join(emulated)} will be built under emulation, which is slow"
        findings.append(Finding.of("emulated-build", message, image, "cross-compile, or let a machine of that CPU build it"))
    if unknown:
        message = f"the build runs programs of {', '.join(unknown)}; whether there is an emulator cannot be seen from here"
        findings.append(Finding.of("emulated-build", message, image, emulation_advice(unknown)))
    return findings


def refuse_missing(image: str, verdicts: Mapping[Platform, Verdict], machines: Sequence[BuildMachine], *, where: str = "") -> None:
    """Refuse a build that would end in ``exec format error``.

    Args:
        image: The artifact, as the caller named it.
        verdicts: Of :func:`judge`.
        machines: Those that were judged.
        where: What runs the programs, such as ``RUN in line 3 of Dockerfile``.

    Raises:
        EmulationMissing: A platform has no machine that runs its programs.
    """
    missing = [platform for platform, verdict in verdicts.items() if verdict == "missing"]
    if not missing:
        return
    names = ", ".join(map(str, missing))
    reasons = "; ".join(dict.fromkeys(machine.why_not(platform) for platform in missing for machine in machines))
    reason = f"it runs programs of {names}{f' ({where})' if where else ''}, and {reasons}"
    raise EmulationMissing(image, reason, names, emulation_advice(names.split(", ")), "emulation-missing")


def emulation_advice(platforms: Iterable[str] = ()) -> str:
    """How to get an emulator, and how to do without one.

    Args:
        platforms: Those that are concerned; none: not known.
    """
    cpus = ",".join(dict.fromkeys(platform.split("/")[1] for platform in platforms if "/" in platform)) or "all"
    return (
        "register an emulator with qemu-user-static and binfmt-support (Debian, Ubuntu), or with "
        f"`docker run --privileged --rm tonistiigi/binfmt --install {cpus}`; or cross-compile in a stage "
        "`FROM --platform=$BUILDPLATFORM`; or build with a builder that has a machine of that CPU"
    )

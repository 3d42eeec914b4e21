"""Errors of builds, and of the programs that they run."""

from __future__ import annotations

from archkit.errors.base import ArchkitError


class BuildError(ArchkitError, RuntimeError):
    """A build was refused before it started, or failed."""

    image: str
    reason: str
    platform: str = ""
    """The platform being built, or empty when the error concerns all of them."""
    remedy: str = ""

    def problem(self) -> str:
        where = f" for {self.platform}" if self.platform else ""
        return f"cannot build {self.image}{where}: {self.reason}"

    def advice(self) -> str:
        return self.remedy


class BuildToolError(BuildError):
    """A tool that a builder drives is missing, too old, or failed."""

    kind: str = "failed"
    """What went wrong, a stable code such as ``engine-down``; ``failed``: the tool's own words are all that is known."""
    log: str = ""
    """The tool's last lines, without secrets."""


class EmulationMissing(BuildToolError):
    """The build runs programs of another CPU, and no emulator is there to run them."""


class PlatformNotDelivered(BuildError):
    """A builder finished without an error but what it pushed is not what was asked for."""

    asked: tuple[str, ...] = ()
    delivered: tuple[str, ...] = ()
    builder: str = ""

    def problem(self) -> str:
        asked, delivered = ", ".join(self.asked) or "nothing", ", ".join(self.delivered) or "nothing"
        return f"{self.builder or 'the builder'} was asked to build {self.image} for {asked} and delivered {delivered}: {self.reason}"


class ToolNotFoundError(ArchkitError, FileNotFoundError):
    """A program that archkit drives is not installed."""

    tool: str
    remedy: str = ""

    def problem(self) -> str:
        return f"{self.tool} is not installed or not on PATH"

    def advice(self) -> str:
        return self.remedy or f"install {self.tool}"


class ToolTooOldError(ArchkitError, RuntimeError):
    """A program that archkit drives is too old for what is asked of it."""

    tool: str
    found: str
    minimum: str
    remedy: str = ""

    def problem(self) -> str:
        return f"{self.tool} is version {self.found}; {self.minimum} or later is needed"

    def advice(self) -> str:
        return self.remedy or f"install {self.tool} {self.minimum} or later"


class CommandError(ArchkitError, RuntimeError):
    """A program ended with a status other than 0."""

    command: tuple[str, ...]
    status: int
    stderr: str = ""
    """Its last lines, without secrets."""
    stdout: str = ""
    """Its last lines, without secrets; some tools say here what went wrong."""

    def problem(self) -> str:
        return f"{self.command[0] if self.command else 'command'} ended with status {self.status}: {self.last_line()}"

    def last_line(self) -> str:
        """The last thing that it said."""
        return next((text.strip().splitlines()[-1] for text in (self.stderr, self.stdout) if text.strip()), "no message")


class CommandTimeoutError(CommandError, TimeoutError):
    """A program took too long and was ended."""

    seconds: float = 0.0

    hint = "give it more time with `timeout`"

    def problem(self) -> str:
        name = self.command[0] if self.command else "command"
        return f"{name} did not end within {self.seconds:g} s and was ended; it said last: {self.last_line()}"

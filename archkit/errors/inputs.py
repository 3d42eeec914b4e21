"""Errors of what the caller gives: platforms, references, manifests, recordings; and what was found in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.errors.base import ArchkitError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol


class PlatformSyntaxError(ArchkitError, ValueError):
    """A text that is not a platform, or names an operating system or CPU that does not exist."""

    text: str
    reason: str = ""
    suggestion: str = ""

    def problem(self) -> str:
        return f"not a platform: {self.text!r}" + (f" ({self.reason})" if self.reason else "")

    def advice(self) -> str:
        if self.suggestion:
            return f"did you mean {self.suggestion}?"
        return "write os/arch or os/arch/variant, for example linux/arm64"


class ReferenceSyntaxError(ArchkitError, ValueError):
    """A text that is not an image reference or a digest."""

    text: str
    reason: str = ""

    hint = "write [HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST] in lower case, for example ghcr.io/team/app:1.2"

    def problem(self) -> str:
        return f"not an image reference: {self.text!r}" + (f" ({self.reason})" if self.reason else "")


class ManifestSyntaxError(ArchkitError, ValueError):
    """A Kubernetes manifest that cannot be read."""

    name: str
    reason: str
    line: int | None = None
    """Line in the file, counted from 1."""
    column: int | None = None
    """Column in the line, counted from 1."""

    def problem(self) -> str:
        place = ":".join(str(part) for part in (self.name, self.line, self.column) if part is not None)
        return f"cannot read the manifest {place}: {self.reason}"


class ManifestTooLarge(ManifestSyntaxError):
    """A manifest beyond a limit of size, depth or number of documents."""

    hint = "split the manifest, or raise the limit that is named"


class NodeListError(ArchkitError, ValueError):
    """A recorded node list that cannot be read."""

    source: str
    reason: str

    hint = "record one with `kubectl get nodes -o json`"

    def problem(self) -> str:
        return f"cannot read a node list from {self.source}: {self.reason}"


class TargetsError(ArchkitError, ValueError):
    """The platforms asked for cannot all be had; nothing was built."""

    reason: str
    asked: str = ""
    available: str = ""
    remedy: str = ""

    def problem(self) -> str:
        return self.reason

    def advice(self) -> str:
        return self.remedy


if TYPE_CHECKING:

    class ReportedFinding(Protocol):
        """What a finding says, whichever class it is of."""

        @property
        def code(self) -> str: ...
        @property
        def severity(self) -> str: ...
        @property
        def where(self) -> str: ...
        @property
        def message(self) -> str: ...


class FindingsError(ArchkitError, ValueError):
    """A rendering has findings at or above the severity that the caller tolerates."""

    findings: Sequence[ReportedFinding]

    def problem(self) -> str:
        lines = "\n".join(f"  {finding}" for finding in self.findings)
        count = len(self.findings)
        return f"{count} finding{'' if count == 1 else 's'}:\n{lines}"

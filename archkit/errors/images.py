"""Errors of registries, OCI layouts and indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.errors.base import ArchkitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archkit.errors.inputs import ReportedFinding


class RegistryError(ArchkitError, OSError):
    """A registry or an OCI layout could not be asked, refused, or answered with something wrong."""

    reference: str
    reason: str
    status: int | None = None
    """HTTP status, when the registry answered at all."""
    codes: tuple[str, ...] = ()
    """The error codes of the registry's answer, such as ``MANIFEST_UNKNOWN``."""
    remedy: str = ""
    missing: tuple[str, ...] = ()
    """Digests that the registry says it does not have, sorted; empty where it does not say which."""

    def problem(self) -> str:
        status = f" (HTTP {self.status})" if self.status is not None else ""
        return f"registry, {self.reference}: {self.reason}{status}"

    def advice(self) -> str:
        return self.remedy


class ContentError(RegistryError):
    """What a registry or an OCI layout holds is not what its digest, size or type promises."""


class DefectiveImageError(RegistryError):
    """An image is not whole, or not what it says it is; every defect is named."""

    defects: Sequence[ReportedFinding] = ()

    def problem(self) -> str:
        lines = "".join(f"\n  {defect}" for defect in self.defects)
        return f"{super().problem()}{':' if lines else ''}{lines}"


class StitchError(ArchkitError, ValueError):
    """The sources do not make one index; nothing was pushed."""

    target: str
    reason: str
    remedy: str = ""

    def problem(self) -> str:
        return f"cannot stitch {self.target}: {self.reason}"

    def advice(self) -> str:
        return self.remedy


class TagMovedError(StitchError):
    """A tag is not what it was expected to be: somebody else wrote it, before or at the same time."""

    expected: str = ""
    """The digest that it should have; empty: it should not exist."""
    found: str = ""
    """The digest that it has; empty: it does not exist."""

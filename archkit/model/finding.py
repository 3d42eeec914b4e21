"""Finding: something that a person should know, with a stable code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

Severity = Literal["error", "warning", "info"]

SEVERITY_ORDER: tuple[Severity, ...] = ("info", "warning", "error")
"""Severities, mildest first."""

SEVERITIES: dict[str, Severity] = {
    **dict.fromkeys(("no-common-platform", "no-node-for-pod", "platform-conflict", "pod-os-conflict"), "error"),
    **dict.fromkeys(
        (
            "manifest-missing",
            "blob-missing",
            "content-wrong",
            "size-wrong",
            "platform-untrue",
            "program-untrue",
            "attestation-without-image",
        ),
        "error",
    ),
    **dict.fromkeys(
        (
            "image-platforms-unknown",
            "requested-dropped",
            "requested-not-in-cluster",
            "nodes-unreadable",
            "no-nodes",
            "cluster-unknown",
            "cluster-open-ended",
            "node-label-mismatch",
            "unschedulable-as-written",
            "empty-node-selector-term",
            "child-digest-pinned",
            "affinity-narrower-than-images",
            "built-image-unused",
            "kind-without-affinity",
            "templated-document",
            "duplicate-key",
            "shared-by-alias",
            "emulated-build",
            "entrypoint-32-bit",
            "platform-twice",
            "platforms-lost",
            "platforms-not-asked",
            "staging-tag-left",
        ),
        "warning",
    ),
    **dict.fromkeys(("deprecated-label", "variant-not-enforceable", "node-name-set", "digest-kept", "untagged-children"), "info"),
}
"""Every code that archkit reports, and how serious it is."""


@attrs.frozen
class Finding:
    """Something found on the way that did not stop the work."""

    code: str
    """Stable and short, such as ``no-common-platform``; see :data:`SEVERITIES`."""
    severity: Severity
    """How serious it is."""
    where: str
    """Where it stands: ``file:line kind/namespace/name path``, or what else locates it; may be empty."""
    message: str
    """What was found, in a sentence that names the things concerned."""
    hint: str = ""
    """What to do about it."""

    @classmethod
    def of(cls, code: str, message: str, where: str = "", hint: str = "") -> Finding:
        """A finding of one of archkit's own codes, as serious as that code is (:data:`SEVERITIES`)."""
        return cls(code, SEVERITIES[code], where, message, hint)

    def at_least(self, severity: Severity) -> bool:
        """Whether this is as serious as ``severity`` or more."""
        return SEVERITY_ORDER.index(self.severity) >= SEVERITY_ORDER.index(severity)

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.severity}: {where}{self.message} [{self.code}]{hint}"


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The same findings, errors first, otherwise in their order."""
    return sorted(findings, key=lambda finding: -SEVERITY_ORDER.index(finding.severity))

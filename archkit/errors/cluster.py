"""Errors of clusters: asking one, applying to it, waiting for what was applied."""

from __future__ import annotations

from archkit.errors.base import ArchkitError


class ClusterError(ArchkitError, OSError):
    """The cluster could not be asked, or refused."""

    context: str
    reason: str
    remedy: str = ""

    def problem(self) -> str:
        return f"cluster {self.context}: {self.reason}"

    def advice(self) -> str:
        return self.remedy


class KubeconfigError(ClusterError, ValueError):
    """There is no kubeconfig, it cannot be read, or it does not hold what was asked for."""


class ClusterUnreachableError(ClusterError, ConnectionError):
    """No answer came from the API server."""


class ClusterSignInError(ClusterError, PermissionError):
    """The cluster does not know who asks: credentials are missing, expired or wrong, or a sign-in program failed."""


class ClusterForbiddenError(ClusterError, PermissionError):
    """The cluster knows who asks and does not let them."""

    rbac: str = ""
    """What an administrator applies to allow it: YAML of a role and of its binding."""

    def advice(self) -> str:
        return f"{self.remedy}\n{self.rbac}" if self.rbac else self.remedy


class ApplyError(ClusterError):
    """The cluster refused objects, or applying stopped in the middle; what became of each is named."""

    refused: tuple[tuple[str, str], ...] = ()
    """Each object that was refused, as ``Kind/namespace/name (file:line)``, and why."""
    applied: tuple[str, ...] = ()
    """What was applied before; empty: nothing."""
    not_applied: tuple[str, ...] = ()
    """What was not applied."""
    uncertain: tuple[str, ...] = ()
    """What was being applied when no answer came: it may have been, or not."""

    def problem(self) -> str:
        lines = [f"\n  {name}: {reason}" for name, reason in self.refused]
        if self.applied or self.uncertain:
            for title, names in (("applied", self.applied), ("applied or not", self.uncertain), ("not applied", self.not_applied)):
                lines += [f"\n  {title}: {', '.join(names)}"] if names else []
        return super().problem() + "".join(lines)

    def __str__(self) -> str:
        advice = self.advice()
        return f"{self.problem()}\n{advice}" if advice else self.problem()


class FieldConflictError(ApplyError):
    """Somebody else manages fields that would change; their objects stay as they are."""

    conflicts: tuple[tuple[str, str, str], ...] = ()
    """Object, field manager, and the field's path."""


class ImmutableFieldError(ApplyError):
    """Fields would change that cannot change in an object that is there."""

    fields: tuple[tuple[str, str], ...] = ()
    """Object, and the field's path."""


class RolloutError(ClusterError):
    """A workload cannot get to where its manifest wants it; every one that is not there is named with the reason."""

    workloads: tuple[tuple[str, str], ...] = ()
    """Each workload that is not ready, as ``Kind/namespace/name``, and why."""

    def problem(self) -> str:
        return super().problem() + "".join(f"\n  {name}: {reason}" for name, reason in self.workloads)

    def __str__(self) -> str:
        advice = self.advice()
        return f"{self.problem()}\n{advice}" if advice else self.problem()


class RolloutTimeoutError(RolloutError, TimeoutError):
    """Workloads were not ready in time."""

    seconds: float = 0.0

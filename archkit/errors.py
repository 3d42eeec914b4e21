"""Every exception that archkit raises.

All derive from :class:`ArchkitError`. Fields are plain positional values, so errors survive pickling
(process pools, pytest-xdist); ``str()`` says what failed and, where there is one, what to do next. Each class
also derives from the built-in that somebody who does not know archkit would catch. This module imports
nothing of archkit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: object) -> type:
        return lambda cls: cls


@dataclass_transform(eq_default=False)
class ArchkitError(Exception):
    """The base of every error of archkit.

    The annotated names of a subclass are its fields, in order, those of its base first; a value beside the name is
    the default. They are read once per class here and not by attrs, which writes methods for each class: twenty
    classes of that are half of what importing archkit may cost.
    """

    hint: ClassVar[str] = ""
    _fields: ClassVar[tuple[str, ...]] = ()

    if not TYPE_CHECKING:  # checkers see one constructor per class, made of its fields

        def __init_subclass__(cls) -> None:
            cls._fields = tuple(dict.fromkeys((*cls._fields, *cls.__annotations__)))

        def __init__(self, *values: object, **named: object) -> None:
            fields, name = self._fields, type(self).__name__
            if len(values) > len(fields):
                raise TypeError(f"{name} takes at most {len(fields)} values ({', '.join(fields)}), {len(values)} were given")
            given = dict(zip(fields, values, strict=False))
            for field, value in named.items():
                if field not in fields or field in given:
                    raise TypeError(f"{name} got {'two values for' if field in given else 'an unknown field'} {field!r}")
                given[field] = value
            for field in fields:
                if field not in given and not hasattr(type(self), field):
                    raise TypeError(f"{name} misses {field!r}")
                setattr(self, field, given[field] if field in given else getattr(type(self), field))
            # not super(): OSError would make an error number of the first of two
            BaseException.__init__(self, *(getattr(self, field) for field in fields))

    def problem(self) -> str:
        """What failed, in one sentence that names the input."""
        return type(self).__name__

    def advice(self) -> str:
        """What to do next; an empty text when the problem says it all."""
        return self.hint

    def __str__(self) -> str:
        advice = self.advice()
        return f"{self.problem()}; {advice}" if advice else self.problem()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{field}={getattr(self, field)!r}' for field in self._fields)})"


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


class CancelledError(ArchkitError, RuntimeError):
    """The caller cancelled; what was written before stays complete."""

    work: str

    def problem(self) -> str:
        return f"cancelled: {self.work}"

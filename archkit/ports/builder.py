"""Artifact, and the builder that makes an image of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

from archkit.errors import PlatformSyntaxError
from archkit.events import Event
from archkit.model.platform_set import PlatformSet

if TYPE_CHECKING:
    import os
    import threading
    from collections.abc import Iterable, Sequence

    from archkit.model.build import BuilderAbilities, BuildRequest, Delivered, Sink
    from archkit.model.finding import Finding
    from archkit.model.platform import Platform
    from archkit.ports.registry import ImageStore
    from archkit.ports.runner import LineListener, Runner, Stream


class BuildContext(Protocol):
    """What a builder gets from archkit beside the request."""

    @property
    def registry(self) -> ImageStore:
        """Where the image goes: a registry client, or the OCI layout of a ``LayoutSink``."""
        ...

    @property
    def runner(self) -> Runner:
        """What starts tools; hand :attr:`cancelled` to it."""
        ...

    @property
    def workdir(self) -> Path:
        """An empty folder of this build alone, removed afterwards."""
        ...

    @property
    def cancelled(self) -> threading.Event:
        """Set when the caller cancels; long work looks at it."""
        ...

    def emit(self, event: Event) -> None:
        """Tell the caller's listener."""
        ...


@runtime_checkable
class Builder(Protocol):
    """Something that makes images. Any exception it raises becomes a ``BuildError``, chained."""

    @property
    def name(self) -> str:
        """What messages call it, such as ``docker``."""
        ...

    def abilities(self, context: BuildContext) -> BuilderAbilities:
        """What it can do here and now; asked once per build, before anything is built."""
        ...

    def build(self, request: BuildRequest, context: BuildContext) -> Delivered:
        """Build and push; returns what was pushed as far as the tool says."""
        ...


def tell_lines(context: BuildContext, image: str, platform: Platform | None = None) -> LineListener:
    """What hands a tool's lines to the caller's listener, as progress of this artifact and platform.

    Args:
        context: Of the call.
        image: The artifact, as the caller named it.
        platform: What the tool is building; None: several at once.
    """

    def tell(_: Stream, line: str) -> None:
        if line.strip():
            context.emit(Event("build", "progress", image, platform, line))

    return tell


@attrs.frozen(init=False)
class Artifact:
    """A source folder and the image that is made of it.

    Raises:
        PlatformSyntaxError: ``platforms`` names something that is no platform, or nothing.
    """

    image: str
    """The image's name without tag, as manifests name it."""
    context: Path
    """The source folder."""
    platforms: PlatformSet | None
    """The platforms that this artifact can be built for at all: a constraint, never an override."""
    builder: Builder | None
    """None: ``FilesBuilder()``."""

    def __init__(
        self,
        image: str,
        context: str | os.PathLike[str] = ".",
        *,
        platforms: PlatformSet | str | Iterable[Platform | str] | None = None,
        builder: Builder | None = None,
    ) -> None:
        constraint = None if platforms is None else PlatformSet.parse(platforms)
        if constraint is not None and not constraint:
            raise PlatformSyntaxError("", "an artifact of no platform cannot be built; leave `platforms` out for no constraint")
        self.__attrs_init__(image, Path(context), constraint, builder)  # pyright: ignore[reportAttributeAccessIssue] - attrs makes it


@runtime_checkable
class Preflight(Protocol):
    """A builder that can tell before anything is built that a build cannot work."""

    def preflight(self, artifact: Artifact, platforms: PlatformSet, context: BuildContext, sink: Sink) -> Sequence[Finding] | None:
        """Look, and change nothing. Raises ``BuildError`` where the build could not succeed.

        Returns:
            What a person should know before the build, such as ``emulated-build``; it stands in the plan.
        """
        ...


@runtime_checkable
class ExplainsMismatch(Protocol):
    """A builder that knows why a tool like its own delivers other platforms than it was asked for."""

    def why_not_delivered(self, asked: PlatformSet, found: PlatformSet, delivered: Delivered) -> str:
        """The likely reason and what to do, for the error; ``found`` is what was read back."""
        ...


@runtime_checkable
class ShowsCalls(Protocol):
    """A builder that can show beforehand what exactly it will ask for, for the plan."""

    def show(self, request: BuildRequest) -> str:
        """The command line or the request of one call, in any number of lines, without secrets."""
        ...

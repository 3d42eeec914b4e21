"""The calls of an artifact's builder: who it is, what it will be asked, and its word on what went wrong."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from archkit.errors import PlatformNotDelivered
from archkit.model.build import BuildRequest
from archkit.ports.builder import ExplainsMismatch, ShowsCalls

if TYPE_CHECKING:
    from collections.abc import Generator

    from archkit.model.build import Delivered, PlannedBuild, Sink
    from archkit.model.platform_set import PlatformSet
    from archkit.ports.builder import Artifact, Builder


def requests_of(artifact: Artifact, planned: PlannedBuild, sink: Sink) -> list[BuildRequest]:
    """The calls of a plan, in order."""
    repository = planned.target.repository_only
    return [BuildRequest(artifact, platforms, sink, reference, repository=repository) for platforms, reference in planned.requests]


def shown(artifact: Artifact, planned: PlannedBuild, sink: Sink) -> tuple[str, ...]:
    """What each call will ask for; none where the builder does not show it."""
    builder = builder_of(artifact)
    return tuple(map(builder.show, requests_of(artifact, planned, sink))) if isinstance(builder, ShowsCalls) else ()


def builder_of(artifact: Artifact) -> Builder:
    """The artifact's builder; without one, files."""
    if artifact.builder is not None:
        return artifact.builder
    from archkit.builders.files import FilesBuilder

    return FilesBuilder()


@contextlib.contextmanager
def explained(builder: Builder, request: BuildRequest, delivered: Delivered, found: PlatformSet) -> Generator[None, None, None]:
    """The builder's likely reason goes into the error of a platform that is not there."""
    try:
        yield
    except PlatformNotDelivered as error:
        if not isinstance(builder, ExplainsMismatch):
            raise
        reason = builder.why_not_delivered(request.platforms, found, delivered)
        told = PlatformNotDelivered(error.image, error.reason, error.platform, reason, error.asked, error.delivered, error.builder)
        raise told from error

"""A source folder, a double of Google Cloud whose builds push what they were asked for, and the builder that asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from cloudbuild_double import PROJECT, TOKEN, CloudDouble, Work, cloud, pushing

from archkit import Artifact, BuildResult, CloudBuildBuilder, GoogleAccessToken, GoogleEndpoints, RegistrySink, build

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from archkit import Event
    from archkit.testing import EmbeddedRegistry, ImageFactory

Run = Callable[..., BuildResult]


@pytest.fixture
def work(archkit_images: ImageFactory) -> Work:
    """What builds do; a test module may have another."""
    return pushing(archkit_images)


@pytest.fixture
def google(work: Work) -> Iterator[CloudDouble]:
    with cloud(work) as double:
        yield double


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY hello /\n")
    (folder / "hello").write_text("hi")
    return folder


@pytest.fixture
def builder(google: CloudDouble) -> Callable[..., CloudBuildBuilder]:
    def make(**options: Any) -> CloudBuildBuilder:
        endpoints = GoogleEndpoints(builds=google.endpoint, storage=google.endpoint, logging=google.endpoint)
        given = {"credentials": GoogleAccessToken(TOKEN), "endpoints": endpoints, "poll_interval": 0.02, **options}
        return CloudBuildBuilder(PROJECT, **given)

    return make


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def run(archkit_registry: EmbeddedRegistry, project: Path, builder: Callable[..., CloudBuildBuilder], events: list[Event]) -> Run:
    def go(targets: str = "linux/amd64,linux/arm64", *, cancel: threading.Event | None = None, **options: Any) -> BuildResult:
        artifact = Artifact("shop", project, builder=builder(**options))
        return build(artifact, targets=targets, sink=RegistrySink(archkit_registry.host), tag="v1", cancel=cancel, on_event=events.append)

    return go

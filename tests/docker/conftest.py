"""A docker client that does what a test says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_docker import FakeDocker

if TYPE_CHECKING:
    from archkit.testing import EmbeddedRegistry, FakeRunner, ImageFactory


@pytest.fixture
def docker(archkit_process: FakeRunner, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> FakeDocker:
    """What it does must be said."""
    return FakeDocker(archkit_process, archkit_images)

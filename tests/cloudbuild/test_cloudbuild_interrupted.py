"""A build in the cloud that is interrupted here: what becomes of it there, and of the tag."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from cloudbuild_double import PROJECT, TOKEN, CloudBuild, CloudDouble
from interruption import How, Interruption, assert_ended

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archkit.testing import EmbeddedRegistry, ImageFactory

SETUP = """
from archkit import CloudBuildBuilder, DockerRecipe, GoogleAccessToken, GoogleEndpoints
url = {url!r}
endpoints = GoogleEndpoints(builds=url, storage=url, logging=url)
recipe = DockerRecipe(per_platform={per_platform})
builder = CloudBuildBuilder({project!r}, recipe=recipe, credentials=GoogleAccessToken({token!r}), endpoints=endpoints, poll_interval=0.05)
artifact = Artifact("shop", {context!r}, builder=builder)
"""


@pytest.fixture
def work() -> Callable[[CloudBuild], None]:
    """Builds that end when they are cancelled."""

    def runs(made: CloudBuild) -> None:
        made.status = "WORKING"
        made.say("running\n")
        made.cancelled.wait(60)

    return runs


@pytest.mark.parametrize("per_platform", [False, True], ids=["one", "each"])
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "cancel", "SIGKILL"])
def test_what_is_interrupted_here_ends_there(
    google: CloudDouble,
    archkit_registry: EmbeddedRegistry,
    archkit_images: ImageFactory,
    project: Path,
    tmp_path: Path,
    how: How,
    per_platform: bool,
) -> None:
    before = archkit_images.push("shop:latest", "linux/amd64").digest
    (tmp_path / "run").mkdir()
    setup = SETUP.format(url=google.endpoint, per_platform=per_platform, project=PROJECT, token=TOKEN, context=str(project))
    build = Interruption(tmp_path / "run", setup, archkit_registry.host)
    outcome = build.run(how, " running", times=2 if per_platform else 1)
    until = time.monotonic() + 5
    while how != "SIGKILL" and any(made.status == "WORKING" for made in google.builds.values()) and time.monotonic() < until:
        time.sleep(0.05)
    assert_ended(outcome, how)
    assert archkit_registry.resolve("shop:latest") == before
    assert len(google.builds) == (2 if per_platform else 1)
    if how != "SIGKILL":  # a killed build ends by its own timeout, and leaves its source
        assert {made.status for made in google.builds.values()} <= {"CANCELLED"}
        assert google.objects == {}
        assert outcome.clean, outcome

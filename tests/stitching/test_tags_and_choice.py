"""Several tags, immutable tags, and the choice of platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from archkit import IndexStitcher, ReferenceSyntaxError, RegistryError, StitchError
from archkit.model.oci import ATTESTED

if TYPE_CHECKING:
    from archkit.testing import EmbeddedRegistry, ImageFactory

THREE = ["linux/amd64", "linux/arm64", "linux/s390x"]


@pytest.fixture
def stitcher(archkit_registry: EmbeddedRegistry) -> IndexStitcher:
    return IndexStitcher(archkit_registry.client())


@pytest.fixture
def source(archkit_images: ImageFactory) -> str:
    return archkit_images.push("app:all", THREE, attestations=True).reference


def test_one_index_stands_under_several_tags(archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, source: str) -> None:
    made = stitcher.stitch(f"{archkit_registry.host}/app:1.2.3", [source], tags=["1.2", "1", "1.2.3"])
    assert [archkit_registry.resolve(f"app:{tag}") for tag in ("1.2.3", "1.2", "1")] == [made.digest] * 3
    assert [exchange.reference for exchange in archkit_registry.log.where(method="PUT")] == ["1.2.3", "1.2", "1"]


def test_further_tags_are_written_when_the_target_is_as_it_should_be(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, source: str
) -> None:
    made = stitcher.stitch(f"{archkit_registry.host}/app:1", [source])
    stitcher.stitch(f"{archkit_registry.host}/app:1", [source], tags=["2"], if_absent=True)
    assert archkit_registry.resolve("app:2") == made.digest
    assert [exchange.reference for exchange in archkit_registry.log.where(method="PUT")] == ["1", "2"]


@pytest.mark.parametrize(("tags", "error"), [("latest", TypeError), (["no tag"], ReferenceSyntaxError)])
def test_what_are_no_tags_is_refused_before_anything_is_asked(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, source: str, tags: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        stitcher.stitch(f"{archkit_registry.host}/app:1", [source], tags=tags)
    assert not archkit_registry.log


@pytest.mark.parametrize("status", [400, 403, 409, 412])
def test_an_immutable_tag_with_equal_content_is_as_it_should_be(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, source: str, status: int
) -> None:
    target = f"{archkit_registry.host}/app:1"
    made = stitcher.stitch(target, [source])
    archkit_registry.on("PUT", kind="manifest", reference="1").answer(status)
    assert stitcher.stitch(target, [source]) == made
    with pytest.raises(RegistryError) as caught:
        stitcher.stitch(target, [source], platforms="linux/amd64")
    assert caught.value.status == status


def test_platforms_are_chosen_and_attestations_follow(archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, source: str) -> None:
    made = stitcher.stitch(f"{archkit_registry.host}/app:1", [source], platforms="linux/arm64,linux/amd64")
    assert str(made.platforms) == "linux/amd64,linux/arm64"
    assert len(made.descriptors) == 4
    assert made.descriptors[1].annotations[ATTESTED] == made.descriptors[0].digest


def test_a_windows_platform_without_version_takes_every_version(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher
) -> None:
    windows = ["windows(10.0.17763.1)/amd64", "windows(10.0.20348.1)/amd64"]
    source = archkit_images.push("app:w", [*windows, "linux/amd64"]).reference
    made = stitcher.stitch(f"{archkit_registry.host}/app:1", [source], platforms="windows/amd64")
    assert list(map(str, made.platforms)) == windows


def test_a_chosen_platform_that_is_not_there_is_an_error(archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, source: str) -> None:
    with pytest.raises(StitchError, match="no source has an image for linux/386; the sources have linux/amd64, linux/arm64, linux/s390x"):
        stitcher.stitch(f"{archkit_registry.host}/app:1", [source], platforms="linux/386")
    assert not archkit_registry.log.where(method="PUT")

"""A connection that breaks at any request: the tag is the old index or the new one, and the next run finishes the work.

Every request of every shape is cut twice: before it reaches the registry, and after it was carried out but before the
answer came.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from archkit import Digest, IndexStitcher, OciLayout, RegistryClient, RegistryError, Retries, StitchedIndex
from archkit.adapters.oci_layout import LayoutByTag
from archkit.model.oci import Index
from archkit.testing import EmbeddedRegistry, ImageFactory, RepositoryRules

if TYPE_CHECKING:
    from archkit import ImageReference

TWO = ("linux/amd64", "linux/arm64")
OLD = ("linux/s390x", "linux/386")


@attrs.define
class World:
    """A target registry with an old index, and another registry."""

    here: EmbeddedRegistry
    there: EmbeddedRegistry
    old: Digest
    folder: Path
    repository: str = "app"
    """``plain/app`` is one that mounts nothing and lists no referrers."""

    @property
    def app(self) -> str:
        return f"{self.here.host}/{self.repository}:1"

    def push(self, registry: EmbeddedRegistry, repository: str) -> list[str]:
        return [ImageFactory(registry).push(f"{repository}:{platform[6:]}", platform).reference for platform in TWO]

    def tag(self, name: str = "1") -> Digest | None:
        return self.here.resolve(f"{self.repository}:{name}") if name in self.here.tags(self.repository) else None


Run = Callable[[IndexStitcher, bool], StitchedIndex]
"""The second argument: whether it is a dry run."""
Shape = Callable[[World], Run]


def same_repository(world: World) -> Run:
    parts = world.push(world.here, world.repository)
    return lambda stitcher, dry: stitcher.stitch(world.app, parts, dry_run=dry)


def other_repository(world: World) -> Run:
    parts = world.push(world.here, "part")
    return lambda stitcher, dry: stitcher.stitch(world.app, parts, dry_run=dry)


def other_registry(world: World) -> Run:
    parts = world.push(world.there, "part")
    return lambda stitcher, dry: stitcher.stitch(world.app, parts, dry_run=dry)


def from_a_layout(world: World) -> Run:
    for platform in TWO:
        ImageFactory(LayoutByTag(world.folder)).push(f"localhost/layout:{platform[6:]}", platform)
    parts = [f"oci:{world.folder}:{platform[6:]}" for platform in TWO]
    return lambda stitcher, dry: stitcher.stitch(world.app, parts, dry_run=dry)


def several_tags(world: World) -> Run:
    parts = world.push(world.here, world.repository)
    return lambda stitcher, dry: stitcher.stitch(world.app, parts, tags=["2", "3"], dry_run=dry)


def guarded(world: World) -> Run:
    parts = world.push(world.here, "part")
    return lambda stitcher, dry: stitcher.stitch(world.app, parts, expect=world.old, dry_run=dry)


def extended(world: World) -> Run:
    parts = world.push(world.there, "part")[:1]
    return lambda stitcher, dry: stitcher.extend(world.app, parts, dry_run=dry)


def replaced(world: World) -> Run:
    new = ImageFactory(world.here).push("new:1", OLD[0], labels={"version": "2"}).reference
    return lambda stitcher, dry: stitcher.replace(world.app, [new], dry_run=dry)


def removed(world: World) -> Run:
    return lambda stitcher, dry: stitcher.remove(world.app, OLD[0], expect=world.old, dry_run=dry)


def with_subject(world: World) -> Run:
    parts = world.push(world.here, world.repository)
    return lambda stitcher, dry: stitcher.stitch(world.app, parts, subject=parts[0], dry_run=dry)


SHAPES: dict[str, tuple[Shape, int, int]] = {
    "same-repository": (same_repository, 5, 0),
    "other-repository": (other_repository, 11, 0),
    "other-registry": (other_registry, 17, 8),
    "from-a-layout": (from_a_layout, 17, 0),
    "several-tags": (several_tags, 7, 0),
    "guarded": (guarded, 14, 0),
    "extend": (extended, 13, 4),
    "replace": (replaced, 10, 0),
    "remove": (removed, 4, 0),
    "with-subject": (with_subject, 7, 0),
    "plain-with-subject": (with_subject, 10, 0),
    "plain-other-repository": (other_repository, 31, 0),
}
"""How many requests each one makes of the target's registry, and of the other one."""

cuts = pytest.mark.parametrize(
    ("name", "registry", "answered"),
    [
        pytest.param(name, registry, number, id=f"{name}-{registry}-{number}")
        for name, (_, *counts) in SHAPES.items()
        for registry, count in zip(("here", "there"), counts, strict=True)
        for number in range(count)
    ],
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    rules = {"plain/*": RepositoryRules(mounts=False, referrers=False)}
    with EmbeddedRegistry(rules=rules) as here, EmbeddedRegistry() as there:
        old = {ImageFactory(here).push(f"{repository}:1", list(OLD), attestations=True).digest for repository in ("app", "plain/app")}.pop()
        assert old is not None
        yield World(here, there, old, tmp_path / "layout")


@pytest.mark.parametrize("name", list(SHAPES))
def test_every_request_of_the_shape_is_in_the_table(name: str, world: World) -> None:
    shape, here, there = SHAPES[name]
    world.repository = "plain/app" if name.startswith("plain-") else "app"
    run = shape(world)
    with RegistryClient() as client:
        run(IndexStitcher(client), False)
    assert (len(world.here.log), len(world.there.log)) == (here, there)


@cuts
@pytest.mark.parametrize("carried_out", [False, True], ids=["before", "after"])
def test_the_tag_is_the_old_index_or_the_new_and_the_next_run_finishes(
    name: str, registry: str, answered: int, carried_out: bool, world: World
) -> None:
    world.repository = "plain/app" if name.startswith("plain-") else "app"
    run = SHAPES[name][0](world)
    with RegistryClient() as client:
        new = run(IndexStitcher(client), True).digest
    cut: EmbeddedRegistry = getattr(world, registry)
    if answered:
        cut.on("*").tamper(lambda response: response).times(answered)
    cut.on("*").drop(0 if carried_out else None).times(1)
    with RegistryClient(retries=Retries(attempts=1)) as client:
        stitcher = IndexStitcher(client)
        # an upload whose answer is lost is looked for, and found; whether one is cancelled does not matter
        may_succeed = carried_out or name == "plain-other-repository"
        with contextlib.suppress(RegistryError) if may_succeed else pytest.raises(RegistryError):
            run(stitcher, False)
        assert world.tag() in {world.old, new}
        for tag in world.here.tags(world.repository):
            assert_whole(world.here, f"{world.repository}:{tag}")
        made = run(stitcher, False)
    assert made.digest == new == world.tag()
    assert_whole(world.here, world.app)
    if name == "plain-with-subject":
        assert len([tag for tag in world.here.tags(world.repository) if tag.startswith("sha256-")]) == 1
    for tag in ("2", "3") if name == "several-tags" else ():
        assert world.tag(tag) == new


def assert_whole(registry: EmbeddedRegistry, reference: ImageReference | str) -> None:
    """Everything that an image or index names is in its repository."""
    ref = registry.reference(reference)
    document = registry.manifest(ref).document()
    if isinstance(document, Index):
        for entry in document.manifests:
            assert_whole(registry, ref.repository_only.with_digest(entry.digest))
    else:
        for blob in (document.config, *document.layers):
            assert len(registry.contents.blob(ref, blob.digest)) == blob.size


# ---- into a layout ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carried_out", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("answered", range(8))
def test_a_layout_gets_the_tag_last(answered: int, carried_out: bool, world: World, tmp_path: Path) -> None:
    parts = world.push(world.there, "part")
    layout, target = OciLayout(tmp_path), f"oci:{tmp_path}:1"
    old = ImageFactory(layout).push("localhost/app:1", list(OLD))
    if answered:
        world.there.on("*").tamper(lambda response: response).times(answered)
    world.there.on("*").drop(0 if carried_out else None).times(1)
    with RegistryClient(retries=Retries(attempts=1)) as client:
        with pytest.raises(RegistryError):
            IndexStitcher(client).stitch(target, parts)
        assert layout.manifest("localhost/app:1").digest == old.digest
        made = IndexStitcher(client).stitch(target, parts)
    assert layout.manifest("localhost/app:1").digest == made.digest
    for entry in made.descriptors:
        child = layout.manifest(f"localhost/app@{entry.digest}").document()
        assert not isinstance(child, Index)
        assert all(layout.has_blob("localhost/app", blob.digest) for blob in (child.config, *child.layers))

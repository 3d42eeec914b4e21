"""OCI layouts beside registries, as sources and as targets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from archkit import Artifact, FilesBuilder, IndexStitcher, LayoutSink, OciLayout, RegistryClient, RegistryError, Retries, Source, build
from archkit.adapters.oci_layout import LayoutByTag
from archkit.model.oci import Index
from archkit.testing import EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TWO = ("linux/amd64", "linux/arm64")


@pytest.fixture
def stitcher() -> Iterator[IndexStitcher]:
    with RegistryClient() as client:
        yield IndexStitcher(client)


def fill(folder: Path) -> list[str]:
    """One image for each platform in a layout, by their tags alone."""
    layout = LayoutByTag(folder)
    for platform in TWO:
        ImageFactory(layout).push(f"localhost/layout:{platform[6:]}", platform)
    return [f"oci:{folder}:{platform[6:]}" for platform in TWO]


def assert_whole(store: OciLayout | RegistryClient, reference: str) -> None:
    repository = reference.rpartition(":")[0]
    document = store.manifest(reference).document()
    assert isinstance(document, Index)
    for entry in document.manifests:
        child = store.manifest(f"{repository}@{entry.digest}").document()
        assert not isinstance(child, Index)
        for blob in (child.config, *child.layers):
            assert b"".join(store.stream_blob(repository, blob.digest))


def test_a_registry_gets_what_layouts_hold(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, tmp_path: Path
) -> None:
    expected = archkit_images.push("expected:1", list(TWO))
    made = stitcher.stitch(f"{archkit_registry.host}/app:1", fill(tmp_path))
    assert made.digest == expected.digest == archkit_registry.resolve("app:1")
    assert made.layout is None
    assert_whole(archkit_registry.client(), f"{archkit_registry.host}/app:1")
    assert archkit_registry.tags("app") == ["1"]


def test_a_layout_gets_what_registries_hold(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, tmp_path: Path
) -> None:
    expected = archkit_images.push("expected:1", list(TWO))
    parts = [archkit_images.push(f"part:{platform[6:]}", platform).reference for platform in TWO]
    made = stitcher.stitch(f"oci:{tmp_path}:1", parts, tags=["latest"])
    assert (made.digest, made.layout) == (expected.digest, tmp_path)
    entries = json.loads((tmp_path / "index.json").read_text())["manifests"]
    assert [entry["annotations"] for entry in entries] == [
        {"org.opencontainers.image.ref.name": "1"},
        {"org.opencontainers.image.ref.name": "latest"},
    ]
    assert {entry["digest"] for entry in entries} == {made.digest}
    assert_whole(OciLayout(tmp_path), "localhost/layout:1")
    assert {exchange.method for exchange in archkit_registry.log} == {"GET"}


def test_sources_are_mixed(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, stitcher: IndexStitcher, tmp_path: Path
) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    sources = [fill(folders[0])[0], archkit_images.push("part:1", "linux/s390x").reference, fill(folders[1])[1]]
    made = stitcher.stitch(f"{archkit_registry.host}/app:1", sources)
    assert str(made.platforms) == "linux/amd64,linux/s390x,linux/arm64"
    assert_whole(archkit_registry.client(), f"{archkit_registry.host}/app:1")
    again = stitcher.stitch(f"oci:{tmp_path / 'third'}:1", sources)
    assert again.manifest == made.manifest
    assert_whole(OciLayout(tmp_path / "third"), "localhost/layout:1")


def test_what_a_stitch_gave_is_a_source(archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, tmp_path: Path) -> None:
    here = stitcher.stitch(f"oci:{tmp_path / 'two'}:1", fill(tmp_path / "one"))
    there = stitcher.stitch(f"{archkit_registry.host}/app:1", [here])
    assert there.manifest == here.manifest
    assert_whole(archkit_registry.client(), f"{archkit_registry.host}/app:1")


def test_images_that_were_built_into_a_layout_are_sources(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "hello").write_text("hello")
    builder = FilesBuilder(entrypoint=["/hello"], native=False)
    parts: list[Source] = [
        build(
            Artifact("team/app", tmp_path / "source", builder=builder), targets=platform, sink=LayoutSink(tmp_path / platform[6:]), tag="1"
        ).images[0]
        for platform in TWO
    ]
    made = stitcher.stitch(f"{archkit_registry.host}/team/app:1", parts)
    assert str(made.platforms) == ",".join(TWO)
    assert_whole(archkit_registry.client(), f"{archkit_registry.host}/team/app:1")


def test_an_index_in_a_layout_is_flattened_with_its_attestations(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, tmp_path: Path
) -> None:
    both = ImageFactory(LayoutByTag(tmp_path)).push("localhost/layout:1", list(TWO), attestations=True)
    flat = stitcher.stitch(f"{archkit_registry.host}/app:1", [f"oci:{tmp_path}"])
    nested = stitcher.stitch(f"{archkit_registry.host}/app:2", [f"oci:{tmp_path}@{both.digest}"], flatten=False)
    assert len(flat.descriptors) == 4
    assert [entry.digest for entry in nested.descriptors] == [both.digest]
    assert_whole(archkit_registry.client(), f"{archkit_registry.host}/app:1")
    assert archkit_registry.resolve(f"app@{both.digest}") == both.digest


def test_an_index_that_wraps_an_index_is_unwrapped(archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, tmp_path: Path) -> None:
    layout = LayoutByTag(tmp_path)
    both = ImageFactory(layout).push("localhost/layout:1", list(TWO))
    stitcher.stitch(f"oci:{tmp_path}:outer", [both], flatten=False)
    assert stitcher.stitch(f"{archkit_registry.host}/app:1", [f"oci:{tmp_path}:outer"]).digest == both.digest


def test_blobs_that_images_share_are_moved_once(archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, tmp_path: Path) -> None:
    images = ImageFactory(LayoutByTag(tmp_path))
    parts = [images.push(f"localhost/layout:{number}", "linux/amd64", labels={"number": str(number)}).reference for number in range(3)]
    assert len({part.rpartition("@")[2] for part in parts}) == 3
    stitcher.stitch(f"{archkit_registry.host}/app:1", [f"oci:{tmp_path}:{number}" for number in range(3)], duplicates="keep-order")
    assert len(archkit_registry.log.where(method="PUT", kind="upload")) == 4  # a layer and three configurations


def test_a_transfer_that_breaks_off_is_begun_again(archkit_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    parts = fill(tmp_path)
    archkit_registry.on("PUT", kind="upload").drop().times(2)
    with RegistryClient(retries=Retries(attempts=4, first_wait=0.001)) as client:
        IndexStitcher(client).stitch(f"{archkit_registry.host}/app:1", parts)
        assert_whole(client, f"{archkit_registry.host}/app:1")


def test_a_layout_that_is_damaged_is_named_and_nothing_gets_a_tag(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, tmp_path: Path
) -> None:
    parts = fill(tmp_path)
    document = LayoutByTag(tmp_path).manifest("localhost/layout:arm64").document()
    assert not isinstance(document, Index)
    blob = tmp_path / "blobs" / "sha256" / document.layers[0].digest.hex
    content = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(b"x" * len(content))
    with pytest.raises(RegistryError, match=f"oci:{tmp_path}.*expected was {document.layers[0].digest}"):
        stitcher.stitch(f"{archkit_registry.host}/app:1", parts)
    assert archkit_registry.tags("app") == []


def test_a_layout_that_is_not_there_is_named(archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=f"oci:{tmp_path / 'none'}:1: there is no such folder"):
        stitcher.stitch(f"{archkit_registry.host}/app:1", [f"oci:{tmp_path / 'none'}:1"])


def test_an_index_in_a_layout_names_nothing_that_is_not_there(
    archkit_registry: EmbeddedRegistry, stitcher: IndexStitcher, tmp_path: Path
) -> None:
    known = ImageFactory(EmbeddedRegistry()).image("linux/amd64").descriptor
    with pytest.raises(RegistryError, match=f"the layout has no manifest {known.digest}, which the index names"):
        stitcher.stitch(f"oci:{tmp_path}:1", [known])
    assert not (tmp_path / "index.json").exists() or not LayoutByTag(tmp_path).tags("localhost/layout")


def test_a_layout_is_extended_replaced_and_cut_down(stitcher: IndexStitcher, tmp_path: Path) -> None:
    target, parts = f"oci:{tmp_path / 'app'}:1", fill(tmp_path / "parts")
    first = stitcher.stitch(target, parts[:1])
    both = stitcher.extend(target, parts[1:])
    assert str(both.platforms) == ",".join(TWO)
    assert stitcher.replace(target, parts[1:]) == both
    assert stitcher.remove(target, TWO[1], expect=both.digest) == first
    assert OciLayout(tmp_path / "app").entry("1").digest == first.digest


def test_a_dry_run_writes_no_file(archkit_images: ImageFactory, stitcher: IndexStitcher, tmp_path: Path) -> None:
    part = archkit_images.push("part:1", "linux/amd64")
    dry = stitcher.stitch(f"oci:{tmp_path / 'new'}:1", [part.reference], dry_run=True)
    assert not (tmp_path / "new").exists()
    assert stitcher.stitch(f"oci:{tmp_path / 'new'}:1", [part.reference]) == dry


def test_a_stitcher_of_a_layout_takes_other_layouts(stitcher: IndexStitcher, tmp_path: Path) -> None:
    parts, layout = fill(tmp_path / "parts"), OciLayout(tmp_path / "app")
    made = IndexStitcher(layout).stitch("localhost/app:1", parts)
    assert layout.manifest("localhost/app:1").digest == made.digest
    assert_whole(layout, "localhost/app:1")

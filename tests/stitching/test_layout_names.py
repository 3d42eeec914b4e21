"""``oci:PATH[:TAG][@DIGEST]``: entries of a layout by their tag alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archkit import Digest, ImageReference, OciLayout, RawManifest, ReferenceSyntaxError, RegistryError
from archkit.adapters.oci_layout import LayoutByTag
from archkit.model.layout_name import layout_name, layout_reference, read_layout_name
from archkit.testing import ImageFactory

DIGEST = Digest.of(b"")


@pytest.mark.parametrize(
    ("text", "path", "tag", "digest"),
    [
        ("oci:images", "images", None, None),
        ("oci:images:1", "images", "1", None),
        ("oci:/srv/images:1.2", "/srv/images", "1.2", None),
        ("oci:/srv/a:b/images", "/srv/a:b/images", None, None),
        (r"oci:C:\images", r"C:\images", None, None),
        (r"oci:C:\images:1", r"C:\images", "1", None),
        (f"oci:images@{DIGEST}", "images", None, DIGEST),
        (f"oci:images:1@{DIGEST}", "images", "1", DIGEST),
        ("oci:/srv/a@share/images:1", "/srv/a@share/images", "1", None),
        ("oci:images@share", "images@share", None, None),
        (f"oci:/srv/a@sha/images:1@{DIGEST}", "/srv/a@sha/images", "1", DIGEST),
    ],
)
def test_a_layout_is_named_by_path_tag_and_digest(text: str, path: str, tag: str | None, digest: str | None) -> None:
    found = read_layout_name(text)
    assert found is not None
    assert found == (Path(path), layout_reference(tag, digest))
    assert layout_name(path, tag, digest) == text


@pytest.mark.parametrize("text", ["app:1", "ghcr.io/oci:1", "docker.io/library/oci:1"])
def test_another_name_is_none_of_a_layout(text: str) -> None:
    assert read_layout_name(text) is None


@pytest.mark.parametrize("text", ["oci:", "oci:images:no tag", "oci:images@sha256:12", "oci:@" + DIGEST])
def test_a_name_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ReferenceSyntaxError, match="not an image reference: 'oci:"):
        read_layout_name(text)


def names(path: Path) -> list[dict[str, str]]:
    return [entry["annotations"] for entry in json.loads((path / "index.json").read_text())["manifests"]]


def two_images(path: Path) -> tuple[RawManifest, RawManifest]:
    images = ImageFactory(OciLayout(path))
    return images.image("linux/amd64").manifest, images.image("linux/arm64").manifest


def test_a_new_tag_carries_no_full_name(tmp_path: Path) -> None:
    layout = LayoutByTag(tmp_path)
    first, second = two_images(tmp_path)
    layout.put_manifest(layout_reference("1"), first)
    layout.put_manifest(layout_reference("2"), first)
    layout.put_manifest(layout_reference("1"), second)
    assert names(tmp_path) == [{"org.opencontainers.image.ref.name": "2"}, {"org.opencontainers.image.ref.name": "1"}]
    assert layout.manifest(layout_reference("1")) == second
    assert layout.manifest(layout_reference("2")) == first


def test_a_tag_keeps_the_full_name_that_it_has(tmp_path: Path) -> None:
    layout, first = LayoutByTag(tmp_path), two_images(tmp_path)[0]
    OciLayout(tmp_path).put_manifest("ghcr.io/team/app:1", first)
    before = names(tmp_path)
    second = two_images(tmp_path)[1]
    layout.put_manifest(layout_reference("1"), second)
    assert names(tmp_path) == before
    assert OciLayout(tmp_path).manifest("ghcr.io/team/app:1") == second


def test_a_tag_of_two_different_images_is_refused_and_a_digest_helps(tmp_path: Path) -> None:
    layout = LayoutByTag(tmp_path)
    first, second = two_images(tmp_path)
    OciLayout(tmp_path).put_manifest("ghcr.io/team/app:1", first)
    OciLayout(tmp_path).put_manifest("ghcr.io/team/web:1", second)
    message = rf"oci:{tmp_path}:1: 2 different images have this tag: ghcr\.io/team/app:1, ghcr\.io/team/web:1; name a digest"
    with pytest.raises(RegistryError, match=message):
        layout.manifest(layout_reference("1"))
    with pytest.raises(RegistryError, match=message):
        layout.put_manifest(layout_reference("1"), first)
    assert layout.manifest(layout_reference("1", second.digest)) == second


def test_the_only_entry_needs_no_tag(tmp_path: Path) -> None:
    layout = LayoutByTag(tmp_path)
    first, second = two_images(tmp_path)
    layout.put_manifest(layout_reference("1"), first)
    assert layout.manifest(layout_reference()) == first
    layout.put_manifest(layout_reference("2"), second)
    with pytest.raises(RegistryError, match=f"oci:{tmp_path}: there are 2 entries; name one of 1, 2"):
        layout.manifest(layout_reference())


def test_what_is_not_there_is_named_as_the_caller_names_it(tmp_path: Path) -> None:
    layout = LayoutByTag(tmp_path)
    with pytest.raises(RegistryError, match=f"oci:{tmp_path}:none: it is not there") as caught:
        layout.manifest(layout_reference("none"))
    assert caught.value.status == 404
    assert layout.head(layout_reference("none")) is None


def test_only_tag_and_digest_of_a_reference_count(tmp_path: Path) -> None:
    layout, first = LayoutByTag(tmp_path), two_images(tmp_path)[0]
    layout.put_manifest(layout_reference("1"), first)
    assert layout.manifest(ImageReference.parse("ghcr.io/any/name:1")) == first

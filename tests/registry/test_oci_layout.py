"""OciLayout: the operations of a registry on a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archkit import Digest, OciLayout, PlatformSet, RawManifest, RegistryError
from archkit.adapters.file_lock import try_lock
from archkit.testing import ImageFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = "registry.test/team/app"
CONTENT = b"some content" * 1000
DIGEST = Digest.of(CONTENT)
FULL_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"


@pytest.fixture
def layout(tmp_path: Path) -> OciLayout:
    return OciLayout(tmp_path / "layout")


def entries(layout: OciLayout) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((layout.path / "index.json").read_text())["manifests"]
    return found


def rename(layout: OciLayout, annotations: list[dict[str, str] | None]) -> None:
    """What other tools write: the same entries under other annotations."""
    document = json.loads((layout.path / "index.json").read_text())
    for entry, texts in zip(document["manifests"], annotations, strict=True):
        entry.pop("annotations")
        if texts is not None:
            entry["annotations"] = texts
    (layout.path / "index.json").write_text(json.dumps(document))


def files(layout: OciLayout) -> set[str]:
    return {str(path.relative_to(layout.path)) for path in layout.path.rglob("*") if path.is_file()}


def test_images_come_back_as_they_went_in(layout: OciLayout) -> None:
    image = ImageFactory(layout).push(f"{APP}:1", ["linux/amd64", "linux/arm64"])
    assert layout.manifest(f"{APP}:1").digest == image.digest
    assert layout.manifest(image.reference).digest == image.digest
    assert layout.head(f"{APP}:1") == image.descriptor
    assert layout.platforms(f"{APP}:1") == PlatformSet("linux/amd64,linux/arm64")
    child = next(iter(image.children.values()))
    assert layout.head(f"{APP}@{child.digest}") == child.__class__(child.media_type, child.digest, child.size)


def test_the_size_of_a_blob_is_told(layout: OciLayout) -> None:
    assert layout.blob_size(APP, DIGEST) is None
    layout.put_blob(APP, CONTENT, digest=DIGEST, size=len(CONTENT))
    assert layout.blob_size(APP, DIGEST) == len(CONTENT)


def test_the_folder_is_a_layout_of_the_image_specification(layout: OciLayout) -> None:
    image = ImageFactory(layout).push(f"{APP}:1", "linux/amd64")
    assert json.loads((layout.path / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert image.descriptor is not None
    assert json.loads((layout.path / "index.json").read_text()) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": image.descriptor.media_type,
                "digest": str(image.digest),
                "size": image.descriptor.size,
                "annotations": {FULL_NAME: f"{APP}:1", REF_NAME: "1"},
            }
        ],
    }
    blobs = {name for name in files(layout) if name.startswith("blobs")}
    assert all(Digest.of((layout.path / name).read_bytes()).hex == Path(name).name for name in blobs)
    assert files(layout) == {"oci-layout", "index.json", *blobs}


def test_reading_makes_no_folder(layout: OciLayout) -> None:
    assert layout.head(f"{APP}:1") is None
    assert layout.platforms(f"{APP}:1") is None
    assert list(layout.tags(APP)) == []
    assert not layout.has_blob(APP, DIGEST)
    assert not layout.delete_tag(f"{APP}:1")
    with pytest.raises(RegistryError, match=r"there is no such folder.*HTTP 404") as caught:
        layout.manifest(f"{APP}:1")
    assert caught.value.status == 404
    with pytest.raises(RegistryError, match=f"there is no blob {DIGEST}"):
        layout.blob(APP, DIGEST)
    with pytest.raises(RegistryError, match=f"there is no blob {DIGEST}"):
        layout.stream_blob(APP, DIGEST)
    assert not layout.path.exists()


def test_an_unknown_tag_is_an_error_that_names_the_others(layout: OciLayout) -> None:
    ImageFactory(layout).push(f"{APP}:1", "linux/amd64")
    with pytest.raises(RegistryError, match=rf"{APP}:2 in the layout .*it is not there.*there are {APP}:1"):
        layout.manifest(f"{APP}:2")


def test_a_tag_is_replaced_and_others_stay(layout: OciLayout) -> None:
    images = ImageFactory(layout)
    images.push(f"{APP}:1", "linux/amd64")
    images.push("registry.test/other:1", "linux/amd64")
    images.push(f"{APP}:2", "linux/amd64")
    moved = images.push(f"{APP}:1", "linux/arm64")
    assert layout.manifest(f"{APP}:1").digest == moved.digest
    assert len(entries(layout)) == 3
    assert list(layout.tags(APP)) == ["1", "2"]
    assert list(layout.tags("registry.test/other")) == ["1"]


def test_without_a_tag_only_the_blob_is_stored(layout: OciLayout) -> None:
    content = ImageFactory(layout).image("linux/amd64")
    reference = ImageFactory(layout).put(APP, content)
    assert not (layout.path / "index.json").exists()
    assert layout.manifest(reference) == content.manifest


def test_a_tag_is_deleted_and_its_blobs_stay(layout: OciLayout) -> None:
    image = ImageFactory(layout).push(f"{APP}:1", "linux/amd64")
    assert layout.delete_tag(image.reference)
    assert entries(layout) == []
    assert layout.manifest(f"{APP}@{image.digest}").digest == image.digest
    assert not layout.delete_tag(image.reference)


def test_nothing_is_deleted_by_digest(layout: OciLayout) -> None:
    image = ImageFactory(layout).push(f"{APP}:1", "linux/amd64")
    with pytest.raises(RegistryError, match="names no tag, so there is nothing to remove"):
        layout.delete_tag(f"{APP}@{image.digest}")


@pytest.mark.parametrize(
    ("annotations", "reference"),
    [
        pytest.param({REF_NAME: "1"}, f"{APP}:1", id="tag-of-regctl"),
        pytest.param({REF_NAME: f"{APP}:1"}, f"{APP}:1", id="full-name-of-skopeo"),
        pytest.param({FULL_NAME: f"{APP}:1"}, f"{APP}:1", id="full-name-alone"),
        pytest.param({FULL_NAME: "docker.io/library/app:1", REF_NAME: "1"}, "app:1", id="buildkit"),
        pytest.param({FULL_NAME: "app:1"}, "docker.io/library/app:1", id="short-name"),
        pytest.param({FULL_NAME: "Not A Name", REF_NAME: "1"}, f"{APP}:1", id="full-name-that-is-none"),
        pytest.param({REF_NAME: "1"}, APP, id="only-entry-by-no-tag"),
        pytest.param(None, APP, id="only-entry-without-annotations"),
    ],
)
def test_layouts_of_other_tools_are_read(layout: OciLayout, annotations: dict[str, str] | None, reference: str) -> None:
    image = ImageFactory(layout).push(f"{APP}:1", "linux/amd64")
    rename(layout, [annotations])
    assert layout.manifest(reference).digest == image.digest
    assert layout.head(reference) == image.descriptor


def test_a_tag_under_another_full_name_stays_hidden(layout: OciLayout) -> None:
    ImageFactory(layout).push("registry.test/other:1", "linux/amd64")
    assert layout.head(f"{APP}:1") is None


def test_the_full_name_counts_before_the_tag_alone(layout: OciLayout) -> None:
    images = ImageFactory(layout)
    named = images.push(f"{APP}:1", "linux/amd64")
    images.push("registry.test/other:1", "linux/arm64")
    rename(layout, [{FULL_NAME: f"{APP}:1", REF_NAME: "1"}, {REF_NAME: "1"}])
    assert layout.manifest(f"{APP}:1").digest == named.digest
    assert list(layout.tags(APP)) == ["1"]


def test_several_entries_and_no_tag_are_ambiguous(layout: OciLayout) -> None:
    images = ImageFactory(layout)
    images.push(f"{APP}:1", "linux/amd64")
    images.push(f"{APP}:2", "linux/arm64")
    for ask in (layout.manifest, layout.head, layout.platforms):
        with pytest.raises(RegistryError, match=rf"there are 2 entries.*name one of {APP}:1, {APP}:2"):
            ask(APP)


def test_entry_finds_a_tag_of_any_repository(layout: OciLayout) -> None:
    images = ImageFactory(layout)
    image = images.push("registry.test/some/base:3.20", "linux/amd64")
    assert layout.entry().digest == layout.entry("3.20").digest == image.digest
    images.push("registry.test/other:1", "linux/amd64", labels={"a": "b"})
    with pytest.raises(RegistryError, match="there are 2 entries"):
        layout.entry()
    with pytest.raises(RegistryError, match=r"there is no such entry \(HTTP 404\); name one of"):
        layout.entry("9")


def test_foreign_entries_and_fields_are_kept(layout: OciLayout) -> None:
    images = ImageFactory(layout)
    images.push(f"{APP}:1", "linux/amd64")
    document = json.loads((layout.path / "index.json").read_text())
    document["annotations"] = {"made": "elsewhere"}
    document["manifests"][0]["x-unknown"] = [1]
    (layout.path / "index.json").write_text(json.dumps(document))
    images.push(f"{APP}:2", "linux/amd64")
    after = json.loads((layout.path / "index.json").read_text())
    assert after["annotations"] == {"made": "elsewhere"}
    assert after["manifests"][0] == document["manifests"][0]


# ---- blobs ------------------------------------------------------------------------------------------------------


def pieces() -> Iterator[bytes]:
    return (CONTENT[start : start + 1000] for start in range(0, len(CONTENT), 1000))


@pytest.mark.parametrize("streamed", [False, True])
def test_blobs_come_back_as_they_went_in(layout: OciLayout, streamed: bool) -> None:
    layout.put_blob(APP, pieces() if streamed else CONTENT, digest=DIGEST, size=len(CONTENT))
    assert layout.has_blob(APP, DIGEST)
    assert layout.blob(APP, str(DIGEST)) == CONTENT
    assert b"".join(layout.stream_blob(APP, DIGEST)) == CONTENT
    assert layout.mount_blob("registry.test/other", DIGEST, APP)
    assert not layout.mount_blob(APP, Digest.of(b"other"), "registry.test/other")
    assert (layout.path / "blobs/sha256" / DIGEST.hex).stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    os.umask(current := os.umask(0))
    return current


def test_a_blob_that_is_there_is_not_written_again(layout: OciLayout) -> None:
    layout.put_blob(APP, CONTENT, digest=DIGEST, size=len(CONTENT))
    before = (layout.path / "blobs/sha256" / DIGEST.hex).stat()
    layout.put_blob(APP, pieces(), digest=DIGEST, size=len(CONTENT))
    assert (layout.path / "blobs/sha256" / DIGEST.hex).stat() == before


@pytest.mark.parametrize(
    ("size", "digest", "reason"),
    [
        pytest.param(len(CONTENT) + 1, DIGEST, "there are only", id="too-short"),
        pytest.param(len(CONTENT) - 1, DIGEST, "there are more than", id="too-long"),
        pytest.param(len(CONTENT), Digest.of(b"other"), f"the content has the digest {DIGEST}", id="other-digest"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_blob_that_is_not_what_was_promised_is_not_stored(
    layout: OciLayout, size: int, digest: Digest, reason: str, streamed: bool
) -> None:
    with pytest.raises(RegistryError, match=reason):
        layout.put_blob(APP, pieces() if streamed else CONTENT, digest=digest, size=size)
    assert not layout.path.exists() or files(layout) == {"oci-layout"}


def test_an_error_of_the_content_itself_comes_through_and_leaves_nothing(layout: OciLayout) -> None:
    def broken() -> Iterator[bytes]:
        yield CONTENT[:100]
        raise FileNotFoundError("layer.tar")

    with pytest.raises(FileNotFoundError, match=r"layer\.tar"):
        layout.put_blob(APP, broken(), digest=DIGEST, size=len(CONTENT))
    assert files(layout) == {"oci-layout"}


def test_a_changed_blob_is_an_error(layout: OciLayout) -> None:
    image = ImageFactory(layout).push(f"{APP}:1", "linux/amd64")
    layout.put_blob(APP, CONTENT, digest=DIGEST, size=len(CONTENT))
    assert image.digest is not None
    for digest in (image.digest, DIGEST):
        path = layout.path / "blobs/sha256" / digest.hex
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(RegistryError, match=rf"{APP}:1 in the layout .*the content has the digest .*, expected was {image.digest}"):
        layout.manifest(f"{APP}:1")
    with pytest.raises(RegistryError, match=f"expected was {DIGEST}"):
        layout.blob(APP, DIGEST)
    with pytest.raises(RegistryError, match=f"expected was {DIGEST}"):
        list(layout.stream_blob(APP, DIGEST))


def test_a_missing_manifest_blob_is_not_there(layout: OciLayout) -> None:
    image = ImageFactory(layout).push(f"{APP}:1", "linux/amd64")
    assert image.digest is not None
    (layout.path / "blobs/sha256" / image.digest.hex).unlink()
    assert layout.head(f"{APP}:1") is None
    with pytest.raises(RegistryError, match=f"the manifest {image.digest} is not among the blobs"):
        layout.manifest(f"{APP}:1")


def test_no_more_is_read_than_the_limit_says(layout: OciLayout) -> None:
    layout.put_blob(APP, CONTENT, digest=DIGEST, size=len(CONTENT))
    with pytest.raises(RegistryError, match="longer than the limit of 100 bytes"):
        layout.blob(APP, DIGEST, limit=100)


@pytest.mark.parametrize("manifest", [RawManifest("text/plain", b"{}"), RawManifest("application/json", b"no")])
def test_what_is_no_manifest_is_not_stored(layout: OciLayout, manifest: RawManifest) -> None:
    with pytest.raises(RegistryError, match="no manifest that archkit can read"):
        layout.put_manifest(f"{APP}:1", manifest)
    assert not layout.path.exists()


# ---- folders that are no layout ---------------------------------------------------------------------------------


def test_a_folder_with_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    layout = OciLayout(tmp_path)
    for ask in (layout.manifest, layout.head, layout.platforms, layout.tags, layout.delete_tag):
        with pytest.raises(RegistryError, match=rf"layout {tmp_path}: the folder is no OCI layout: it has no oci-layout"):
            ask(f"{APP}:1")
    with pytest.raises(RegistryError, match="the folder is no OCI layout"):
        layout.put_blob(APP, CONTENT, digest=DIGEST, size=len(CONTENT))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_becomes_a_layout(tmp_path: Path) -> None:
    ImageFactory(OciLayout(tmp_path)).push(f"{APP}:1", "linux/amd64")
    assert (tmp_path / "oci-layout").is_file()


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "layout").write_text("a file")
    with pytest.raises(RegistryError, match=r"cannot be used: Not a directory"):
        ImageFactory(OciLayout(tmp_path / "layout")).push(f"{APP}:1", "linux/amd64")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "index.json cannot be read: Expecting"),
        ("[]", "index.json cannot be read: it is no index"),
        ('{"manifests": {}}', "index.json cannot be read: it is no index"),
        ('{"manifests": ["x"]}', "index.json cannot be read: it is no index"),
        ("[" * 100_000, "index.json cannot be read"),
    ],
)
def test_a_corrupt_index_is_an_error_and_stays(layout: OciLayout, content: str, reason: str) -> None:
    images = ImageFactory(layout)
    images.push(f"{APP}:1", "linux/amd64")
    (layout.path / "index.json").write_text(content)
    with pytest.raises(RegistryError, match=rf"layout .*{reason}"):
        layout.manifest(f"{APP}:1")
    with pytest.raises(RegistryError, match=rf"layout .*{reason}"):
        images.push(f"{APP}:2", "linux/amd64")
    assert (layout.path / "index.json").read_text() == content


def test_an_entry_without_a_digest_is_an_error(layout: OciLayout) -> None:
    ImageFactory(layout).push(f"{APP}:1", "linux/amd64")
    (layout.path / "index.json").write_text(json.dumps({"manifests": [{"annotations": {REF_NAME: "1"}}]}))
    with pytest.raises(RegistryError, match=r"index\.json cannot be read: mediaType is missing"):
        layout.manifest(f"{APP}:1")


@pytest.mark.parametrize(
    ("content", "reason"), [("{}", "oci-layout cannot be read"), ('{"imageLayoutVersion":"2.0.0"}', "the layout has version '2.0.0'")]
)
def test_another_version_of_layouts_is_an_error(layout: OciLayout, content: str, reason: str) -> None:
    layout.path.mkdir()
    (layout.path / "oci-layout").write_text(content)
    with pytest.raises(RegistryError, match=reason):
        layout.tags(APP)


# ---- several writers --------------------------------------------------------------------------------------------


def test_parallel_writers_lose_no_entry(layout: OciLayout) -> None:
    together = threading.Barrier(12)

    def push(number: int) -> None:
        together.wait()
        ImageFactory(OciLayout(layout.path)).push(f"{APP}:{number}", "linux/amd64", labels={"number": str(number)})

    threads = [threading.Thread(target=push, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(layout.tags(APP)) == set(map(str, range(12)))
    assert not list(layout.path.glob("archkit-*"))


def test_parallel_processes_lose_no_entry(layout: OciLayout) -> None:
    program = textwrap.dedent(
        """
        import sys
        from archkit import OciLayout
        from archkit.testing import ImageFactory
        for number in range(8):
            ImageFactory(OciLayout(sys.argv[1])).push(f"registry.test/team/app:{sys.argv[2]}-{number}", "linux/amd64")
        """
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(layout.path), str(process)]) for process in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(layout.tags(APP)) == 24


def test_what_a_killed_run_left_is_removed_by_the_next_and_what_a_running_one_holds_is_not(layout: OciLayout) -> None:
    ImageFactory(layout).push(f"{APP}:1", "linux/amd64")
    left, held = layout.path / "archkit-left.tmp", layout.path / "archkit-held.tmp"
    left.write_bytes(b"half")
    with held.open("wb") as file:
        assert try_lock(file)
        layout.put_blob(APP, CONTENT, digest=DIGEST, size=len(CONTENT))
        assert not left.exists()
        assert held.exists()


def test_a_marker_that_was_being_made_is_completed(layout: OciLayout) -> None:
    layout.path.mkdir()
    (layout.path / "oci-layout").touch()
    ImageFactory(layout).push(f"{APP}:1", "linux/amd64")
    assert json.loads((layout.path / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}

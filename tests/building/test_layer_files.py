"""Layers: the same bytes for the same content, and read back to find a program."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import socket
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from archkit.adapters.layer_files import LayerFile, LayerTooLarge, read_layer, write_layer
from archkit.adapters.source_folder import SourceFolderError, read_source_folder
from archkit.model.oci import OCI_LAYER, OCI_LAYER_GZIP

if TYPE_CHECKING:
    from pathlib import Path


def make(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def layer(folder: Path, path: Path, **kwargs: Any) -> LayerFile:
    return write_layer(read_source_folder(folder).entries, path, **kwargs)


def test_two_copies_with_other_times_modes_and_order_give_one_digest(tmp_path: Path) -> None:
    first = make(tmp_path / "one", b__z="1", a="2", b__y="3")
    (first / "a").chmod(0o755)
    (first / "link").symlink_to("b/z")
    second = tmp_path / "two"
    second.mkdir(mode=0o700)
    (second / "link").symlink_to("b/z")
    (second / "b").mkdir(mode=0o711)
    for name in ("b/y", "a", "b/z"):
        shutil.copyfile(first / name, second / name)
        (second / name).chmod(0o700 if name == "a" else 0o600)
        os.utime(second / name, (1, 1))

    one, two = layer(first, tmp_path / "1.tar"), layer(second, tmp_path / "2.tar")

    assert one.digest == two.digest
    with tarfile.open(tmp_path / "1.tar") as tar:
        listed = [(member.name, oct(member.mode), member.mtime, member.uid, member.gid, member.uname) for member in tar]
    assert listed == [
        ("a", "0o755", 0, 0, 0, ""),
        ("b", "0o755", 0, 0, 0, ""),
        ("b/y", "0o644", 0, 0, 0, ""),
        ("b/z", "0o644", 0, 0, 0, ""),
        ("link", "0o777", 0, 0, 0, ""),
    ]


def test_compression_changes_the_digest_but_not_the_diff_id(tmp_path: Path) -> None:
    folder = make(tmp_path / "src", a="x" * 10_000)

    plain, packed = layer(folder, tmp_path / "1"), layer(folder, tmp_path / "2", compression="gzip")

    assert packed.diff_id == plain.diff_id == plain.digest != packed.digest
    assert packed.size < plain.size
    assert layer(folder, tmp_path / "3", compression="gzip").digest == packed.digest
    assert read_layer(packed.chunks(), OCI_LAYER_GZIP, limit=1 << 20) == read_layer(plain.chunks(), OCI_LAYER, limit=1 << 20)


def test_long_and_strange_names_survive(tmp_path: Path) -> None:
    folder = tmp_path / "src"
    names = ["n" * 200, "umläut", "with space", "\udcff-not-utf8"]
    folder.mkdir()
    for name in names:
        (folder / name).write_text("x")

    entries = read_layer(layer(folder, tmp_path / "1").chunks(), OCI_LAYER, limit=1 << 20)

    assert set(entries) == set(names)


def test_the_dockerignore_is_honoured_and_what_is_left_out_is_listed(tmp_path: Path) -> None:
    folder = make(tmp_path / "src", keep="1", docs__a="2", docs__keep="3", _dot_env="4", _dot_dockerignore="docs\n!docs/keep\n")

    source = read_source_folder(folder, exclude=["*.tmp"])

    assert [entry.path for entry in source.entries] == [".dockerignore", "docs", "docs/keep", "keep"]
    assert [path for path, _ in source.left_out] == [".env", "docs", "docs/a"]


def test_folders_that_belong_to_one_platform_are_apart(tmp_path: Path) -> None:
    folder = make(tmp_path / "src", common="1", amd64__prog="2")

    assert [entry.path for entry in read_source_folder(folder, apart=[folder / "amd64"]).entries] == ["common"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside", ".."])
def test_a_link_that_leaves_the_folder_is_refused(target: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "src", sub__a="1")
    (folder / "link").symlink_to(target)

    with pytest.raises(SourceFolderError, match="outside of") as caught:
        read_source_folder(folder)

    assert target in str(caught.value)


@pytest.mark.parametrize("target", ["sub/a", "sub", "./sub/../sub/a", "missing"])
def test_a_link_that_stays_is_kept_as_it_is(target: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "src", sub__a="1")
    (folder / "link").symlink_to(target)

    assert next(entry.target for entry in read_source_folder(folder).entries if entry.kind == "link") == target


def test_sockets_and_pipes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    with pytest.raises(SourceFolderError, match="named pipe"):
        read_source_folder(folder)

    (folder / "pipe").unlink()
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")  # relative: the path of a socket may not be long
        with pytest.raises(SourceFolderError, match="socket"):
            read_source_folder(folder)
    assert read_source_folder(folder, exclude=["socket"]).entries == ()


@pytest.mark.parametrize("content", ["[", "!"])
def test_an_ignore_file_that_cannot_be_read_is_named(content: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "src", _dot_dockerignore=content)

    with pytest.raises(SourceFolderError, match=r"\.dockerignore"):
        read_source_folder(folder)


def tar(*members: tuple[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                file.addfile(info)
            else:
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_reading_tells_links_removals_and_first_bytes() -> None:
    content = tar(("./a/file", b"0123456789" * 5), ("/b", "a/file"), ("a/.wh.gone", b""), ("a/.wh..wh..opq", b""))

    entries = read_layer([content[:700], content[700:]], OCI_LAYER, limit=1 << 20)

    assert {name: (entry.kind, entry.target) for name, entry in entries.items()} == {
        "a/file": ("file", ""),
        "b": ("link", "a/file"),
        "a/gone": ("removed", ""),
        "a/.wh..wh..opq": ("file", ""),
    }
    assert entries["a/file"].header == b"01234567890123456789"


def test_a_layer_that_unpacks_to_too_much_is_given_up(tmp_path: Path) -> None:
    folder = make(tmp_path / "src", bomb="0" * 5_000_000)
    packed = layer(folder, tmp_path / "1", compression="gzip")

    with pytest.raises(LayerTooLarge):
        read_layer(packed.chunks(), OCI_LAYER_GZIP, limit=1_000_000)
    assert packed.size < 50_000


@pytest.mark.parametrize(
    ("content", "media_type"), [(b"no tar" * 200, OCI_LAYER), (b"no gzip", OCI_LAYER_GZIP), (tar(("a", b"x" * 2000))[:1500], OCI_LAYER)]
)
def test_a_damaged_layer_is_an_error(content: bytes, media_type: str) -> None:
    with pytest.raises(ValueError, match="damaged"):
        read_layer([content], media_type, limit=1 << 20)


def test_other_compressions_are_given_up() -> None:
    with pytest.raises(LayerTooLarge):
        read_layer([b""], OCI_LAYER + "+zstd", limit=1)


@pytest.mark.parametrize("media_type", [OCI_LAYER, OCI_LAYER_GZIP])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_compression_is_seen_in_the_bytes(compression: Any, media_type: str, tmp_path: Path) -> None:
    file = layer(make(tmp_path / "in", a="1", b__c="2"), tmp_path / "layer", compression=compression)
    assert {"a", "b", "b/c"} == {*read_layer(file.chunks(), media_type, limit=1 << 20)}


def test_gzip_streams_may_follow_each_other(tmp_path: Path) -> None:
    plain = b"".join(layer(make(tmp_path / "in", a="1", b__c="2"), tmp_path / "layer", compression="none").chunks())
    content = b"".join(gzip.compress(plain[at : at + 700]) for at in range(0, len(plain), 700))
    pieces = [content[at : at + 100] for at in range(0, len(content), 100)]
    assert {"a", "b", "b/c"} == {*read_layer(pieces, OCI_LAYER_GZIP, limit=1 << 20)}

"""Manifests on disk: all of a set or none of it, and no reader ever sees half a file."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archkit import AffinityRenderer, BuiltImage, FindingsError, ManifestLimits, ManifestSyntaxError, ManifestTooLarge, PlatformSet
from archkit.adapters import files

if TYPE_CHECKING:
    from collections.abc import Iterable

REFERENCE = "r.example/web:1@sha256:" + "5" * 64
POD = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: web\n"
RENDERER = AffinityRenderer(builds=[BuiltImage("web", REFERENCE, PlatformSet("linux/arm64"))], affinity="never")
PINNED = POD.replace("web", REFERENCE)


def written(folder: Path, contents: Iterable[bytes]) -> list[Path]:
    paths = [folder / f"{number}.yaml" for number, _ in enumerate(contents)]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def test_files_are_rendered_and_left_alone(tmp_path: Path) -> None:
    paths = written(tmp_path, [POD.encode(), b"kind: Service\n"])

    rendered = RENDERER.render_files(map(str, paths))

    assert list(rendered) == paths
    assert [rendering.text for rendering in rendered.values()] == [PINNED, "kind: Service\n"]
    assert rendered[paths[0]].changes[0].where == f"{paths[0]}:5 Pod spec.containers[0].image"
    assert paths[0].read_text() == POD


def test_write_replaces_what_changed_and_keeps_modes_links_and_bytes(tmp_path: Path) -> None:
    content = ("\ufeff" + POD.replace("\n", "\r\n")).encode()
    paths = written(tmp_path, [content, b"kind: Service\n"])
    paths[0].chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(paths[0])
    untouched = paths[1].stat()

    RENDERER.render_files([link, paths[1]], write=True)

    assert paths[0].read_bytes() == ("\ufeff" + PINNED.replace("\n", "\r\n")).encode()
    assert stat.S_IMODE(paths[0].stat().st_mode) == 0o640
    assert link.is_symlink()
    assert (paths[1].stat().st_ino, paths[1].stat().st_mtime_ns) == (untouched.st_ino, untouched.st_mtime_ns)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.yaml", "1.yaml", "link.yaml"]


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        pytest.param(POD.encode() + b"\tx\n", (6, 1), id="not YAML"),
        pytest.param(b"a: b\n# \xff\n" + POD.encode(), (2, 3), id="not UTF-8"),
        pytest.param(POD.encode("utf-16"), (1, 1), id="UTF-16"),
        pytest.param(None, (None, None), id="not there"),
    ],
)
def test_one_bad_file_stops_the_whole_set(tmp_path: Path, bad: bytes | None, place: tuple[int | None, int | None]) -> None:
    paths = written(tmp_path, [POD.encode(), bad or b""])
    if bad is None:
        paths[1].unlink()

    with pytest.raises(ManifestSyntaxError) as caught:
        RENDERER.render_files(paths, write=True)

    assert (caught.value.name, caught.value.line, caught.value.column) == (str(paths[1]), *place)
    assert paths[0].read_text() == POD


def test_a_file_that_cannot_be_replaced_puts_the_others_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = written(tmp_path, [POD.encode()] * 3)
    replace = Path.replace

    def failing(self: Path, target: Path) -> Path:
        if Path(target) == paths[2]:
            raise PermissionError(13, "denied", str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)

    with pytest.raises(OSError, match="denied"):
        RENDERER.render_files(paths, write=True)

    assert [path.read_text() for path in paths] == [POD] * 3
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user whom file modes bind")
def test_a_folder_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    paths = written(tmp_path, [POD.encode()])
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OSError, match="ermission"):
            RENDERER.render_files(paths, write=True)
    finally:
        tmp_path.chmod(0o700)
    assert paths[0].read_text() == POD


def test_a_file_beyond_the_limit_is_not_read_whole(tmp_path: Path) -> None:
    paths = written(tmp_path, [b"#" * 5000])
    renderer = AffinityRenderer(limits=ManifestLimits(characters=1000))

    with pytest.raises(ManifestTooLarge, match="characters"):
        renderer.render_files(paths)
    assert files.read_text(paths[0], 1250) == "#" * 5000


def test_a_build_that_no_file_names_is_said_once(tmp_path: Path) -> None:
    paths = written(tmp_path, [POD.encode(), POD.replace("web", "other").encode(), b""])
    builds = [BuiltImage(name, f"r.example/{name}:1@sha256:" + "6" * 64, PlatformSet("linux/arm64")) for name in ("web", "other", "lost")]

    rendered = AffinityRenderer(builds=builds, affinity="never").render_files(paths)

    found = [finding for rendering in rendered.values() for finding in rendering.findings]
    assert [finding.code for finding in found] == ["built-image-unused"]
    assert "lost" in found[0].message


def test_raise_for_findings_names_them_worst_first() -> None:
    text = POD + "---\n" + POD.replace("image: web", "image: a\n  - image: b")
    renderer = AffinityRenderer(platforms={"a": "linux/amd64", "b": "linux/arm64"}, affinity="always")
    rendered = renderer.render(text)

    with pytest.raises(FindingsError) as caught:
        rendered.raise_for_findings("warning")
    assert [finding.code for finding in caught.value.findings] == ["no-common-platform", "image-platforms-unknown"]
    with pytest.raises(FindingsError):
        rendered.raise_for_findings()
    renderer.render("").raise_for_findings("info")

"""detect_builder: what the files of a folder suggest, and what they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from archkit import (
    Artifact,
    BuildError,
    BuildpacksBuilder,
    DetectedBuilder,
    DockerBuilder,
    JibBuilder,
    KoBuilder,
    RegistrySink,
    build,
    detect_builder,
)

if TYPE_CHECKING:
    from pathlib import Path

    from archkit import Builder

MAIN, LIBRARY = "// Package main.\npackage main // here\n\nfunc main() {}\n", "package other\n\n// package main\n"


def fill(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.mark.parametrize(
    ("files", "builders", "reason"),
    [
        ({"Dockerfile": ""}, [DockerBuilder()], "it has a Dockerfile"),
        ({"Containerfile": ""}, [DockerBuilder(dockerfile="Containerfile")], "it has a Containerfile"),
        ({"go.mod": "", "main.go": MAIN}, [KoBuilder()], "it is a Go module, which ko builds"),
        ({"go.mod": "", "cmd/web/web.go": MAIN, "lib.go": LIBRARY}, [KoBuilder("./cmd/web")], "its program is in ./cmd/web"),
        (
            {"go.mod": "", "cmd/b/x.go": MAIN, "cmd/a/x.go": MAIN, "tool/x.go": MAIN},
            [KoBuilder("./tool"), KoBuilder("./cmd/a"), KoBuilder("./cmd/b")],
            "./tool",
        ),
        ({"go.mod": "", "main.go": MAIN, "Dockerfile": ""}, [DockerBuilder(), KoBuilder()], "it has a Dockerfile"),
        ({"pom.xml": ""}, [JibBuilder()], "it is a Maven project, which Jib builds"),
        ({"build.gradle": "id 'com.google.cloud.tools.jib'"}, [JibBuilder()], "it is a Gradle project, which Jib builds"),
        ({"build.gradle.kts": ""}, [JibBuilder()], "does not name the jib plugin yet"),
        ({"project.toml": 'builder = "x"'}, [BuildpacksBuilder()], "which is for Buildpacks"),
        ({"project.toml": "", "go.mod": "", "a.go": MAIN}, [BuildpacksBuilder(), KoBuilder()], "name a builder image"),
        ({"package.json": "{}"}, [BuildpacksBuilder()], "it is a Node.js project, which Buildpacks build; name a builder image"),
        ({"requirements.txt": "", "pyproject.toml": ""}, [BuildpacksBuilder()], "it is a Python project"),
    ],
)
def test_what_is_suggested(files: dict[str, str], builders: list[Builder], reason: str, tmp_path: Path) -> None:
    found = detect_builder(fill(tmp_path, files))

    assert [found.builder, *(one.builder for one in found.others)] == builders
    assert reason in found.reason
    assert str(found) == f"{found.builder.name}: {found.reason}"


@pytest.mark.parametrize(
    "files",
    [
        {"vendor/x/main.go": MAIN},
        {"testdata/main.go": MAIN},
        {".hidden/main.go": MAIN},
        {"_old/main.go": MAIN},
        {"main_test.go": MAIN},
        {"inner/go.mod": "", "inner/main.go": MAIN},
        {"gen.go": f"//go:build ignore\n\n{MAIN}"},
        {"lib.go": LIBRARY},
    ],
    ids=lambda files: next(iter(files)),
)
def test_what_is_no_program_of_the_module(files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="a Go module without a program"):
        detect_builder(fill(tmp_path, {"go.mod": "", **files}))


def test_nothing_fits(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no file in the folder suggests a builder; looked for Dockerfile, .*; name a builder"):
        detect_builder(fill(tmp_path, {"README": ""}))


@pytest.mark.parametrize("name", ["absent", "file"])
def test_no_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BuildError, match="the folder cannot be read"):
        detect_builder(tmp_path / name)


def test_a_suggestion_is_a_value(tmp_path: Path) -> None:
    found = detect_builder(fill(tmp_path, {"Dockerfile": ""}))
    assert found == DetectedBuilder(DockerBuilder(), found.reason)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        found.reason = ""  # type: ignore[misc]


@pytest.mark.parametrize(("name", "reason"), [("go.mod", "which ko builds"), ("Containerfile", "which is for Docker or podman")])
def test_files_are_not_published_in_its_place(name: str, reason: str, tmp_path: Path) -> None:
    """It is never used unasked: without a builder the refusal names it."""
    with pytest.raises(BuildError, match=rf"would only publish the folder .*{reason}.*detect_builder\(\)"):
        build(Artifact("x", fill(tmp_path, {name: ""})), targets="linux/amd64", sink=RegistrySink("127.0.0.1:1"), tag="1")

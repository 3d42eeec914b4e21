"""ko's command line and environment, and what it prints."""

from __future__ import annotations

import csv
import io
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit.builders.ko.command import (
    CPU_VARIABLES,
    digest_in,
    environment,
    failure,
    go_flags,
    list_flag,
    platform_flag,
    progress,
    version_of,
)

DIGEST = f"sha256:{'0' * 63}1"
OTHER = f"sha256:{'0' * 63}2"


@pytest.mark.parametrize(
    ("printed", "digest"),
    [
        pytest.param(f"127.0.0.1:5000/web:v1@{DIGEST}\n", DIGEST, id="one tag"),
        pytest.param(f"ghcr.io/team/web@{DIGEST}\n", DIGEST, id="the tag latest, or several"),
        pytest.param(f"/work/x@y/layout@{DIGEST}\n", DIGEST, id="a layout in a folder with @"),
        pytest.param(f"ghcr.io/a@{OTHER}\nghcr.io/b@{DIGEST}\n\n", DIGEST, id="the last of several lines"),
        pytest.param(f"ghcr.io/a@{DIGEST}\nby name@domain\n", DIGEST, id="other lines with @"),
        pytest.param("ghcr.io/team/web:v1\n", None, id="a tag alone"),
        pytest.param("ghcr.io/team/web@sha256:12\n", None, id="half a digest"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_the_digest_is_read_from_what_ko_prints(printed: str, digest: str | None) -> None:
    assert digest_in(printed) == digest


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("v0.19.1\n", (0, 19, 1)),
        ("0.18.0", (0, 18, 0)),
        ("v1.2.3-rc.1+build", (1, 2, 3)),
        ("(devel)", None),
        ("could not determine build information", None),
        ("", None),
    ],
)
def test_versions(printed: str, version: tuple[int, int, int] | None) -> None:
    assert version_of(printed) == version


@pytest.mark.parametrize(
    ("entry", "written"),
    [
        ({"os": "linux", "architecture": "amd64"}, "linux/amd64"),
        ({"os": "linux", "architecture": "arm64", "variant": "v8"}, "linux/arm64/v8"),
        ({"os": "linux", "architecture": "arm64", "variant": ""}, "linux/arm64"),
        ({"os": "windows", "architecture": "amd64", "os.version": "10.0.20348.1"}, "windows/amd64:10.0.20348.1"),
    ],
)
def test_a_platform_is_written_as_the_base_spells_it(entry: dict[str, object], written: str) -> None:
    assert platform_flag(entry) == written


def test_nothing_that_says_for_which_cpu_go_compiles_is_passed_on() -> None:
    parent = {**dict.fromkeys(CPU_VARIABLES, "x"), "PATH": "/bin", "GOFLAGS": "-mod=vendor", "KOCACHE": "/k", "GOTMPDIR": "/t"}

    made = environment(parent, {"PATH": "/own"}, repository="ghcr.io/web", base=None, temporary="/w")

    assert made == {"PATH": "/own", "GOFLAGS": "-mod=vendor", "KOCACHE": "/k", "KO_DOCKER_REPO": "ghcr.io/web", "TMPDIR": "/w"}


@pytest.mark.parametrize(("base", "expected"), [(None, "theirs"), ("mine", "mine")])
def test_a_base_wins_over_the_environment(base: str | None, expected: str) -> None:
    parent = {"KO_DEFAULTBASEIMAGE": "theirs", "KO_DOCKER_REPO": "elsewhere"}

    made = environment(parent, {}, repository="ghcr.io/web", base=base, temporary="/w")

    assert (made["KO_DEFAULTBASEIMAGE"], made["KO_DOCKER_REPO"]) == (expected, "ghcr.io/web")


@pytest.mark.parametrize(
    ("before", "tags", "flags", "expected"),
    [
        ("", ["a", "b"], [], "-tags=a,b"),
        (" -mod=vendor\n", [], ["-v"], "-mod=vendor -v"),
        ("", ["a"], ["-gcflags=all=-N -l"], "'-gcflags=all=-N -l' -tags=a"),
        ("", [], ["-ldflags=-X 'main.v=a b'"], "\"-ldflags=-X 'main.v=a b'\""),
        ("-x", [], [], "-x"),
    ],
)
def test_goflags(before: str, tags: list[str], flags: list[str], expected: str) -> None:
    assert go_flags(before, tags, flags) == expected


@given(st.lists(st.text("abc =-", min_size=1, max_size=8).map(lambda text: f"-{text}x"), max_size=4))
def test_goflags_split_into_what_they_were_made_of(flags: list[str]) -> None:
    assert shlex.split(go_flags("", [], flags)) == flags


@given(st.lists(st.text(min_size=1).filter(lambda text: "\0" not in text), max_size=4))
def test_values_of_list_flags_survive_the_splitting_at_commas(values: list[str]) -> None:
    written = [flag.removeprefix("--image-label=") for flag in list_flag("image-label", values)]

    assert [next(csv.reader(io.StringIO(text, newline=""), strict=True)) for text in written] == [[value] for value in values]


@pytest.mark.parametrize(
    ("line", "text", "platform"),
    [
        ("2026/11/24 14:07:10 Building example.test/app for linux/arm64", "Building example.test/app for linux/arm64", "linux/arm64"),
        ("2026/11/24 14:07:10 Publishing 127.0.0.1:5000/web:v1", "Publishing 127.0.0.1:5000/web:v1", None),
        ("Error: something", "Error: something", None),
    ],
)
def test_progress(line: str, text: str, platform: str | None) -> None:
    assert progress(line) == (text, platform)


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        pytest.param("2026/11/24 x\nError: no matching platforms\n", "no matching platforms", id="the last error"),
        pytest.param(
            "Error: go build: exit status 1: # app\n./main.go:3:8: undefined: x\n",
            "go build: exit status 1: # app\n./main.go:3:8: undefined: x",
            id="what the compiler says",
        ),
        pytest.param("panic: nil\n\ngoroutine 1", "panic: nil\ngoroutine 1", id="no error line"),
        pytest.param("", "no message", id="nothing"),
        pytest.param("Error: " + "\n".join(map(str, range(50))), "\n".join(map(str, range(20))), id="a compiler with much to say"),
    ],
)
def test_what_went_wrong(stderr: str, reason: str) -> None:
    assert failure(stderr) == reason

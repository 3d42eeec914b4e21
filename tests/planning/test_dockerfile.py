"""What a Dockerfile needs for a platform."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit import Platform
from archkit.planning.dockerfile import Dockerfile
from archkit.planning.dockerfile_syntax import expand, read_dockerfile

AMD = Platform.parse("linux/amd64")
ARM = Platform.parse("linux/arm64")

CROSS = """\
FROM --platform=$BUILDPLATFORM golang:1 AS build
ARG TARGETOS TARGETARCH
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH go build -o /app
FROM scratch
COPY --from=build /app /app
"""


def parse(text: str) -> Dockerfile:
    file = Dockerfile.parse(text)
    assert file is not None
    return file


def foreign(text: str, **options: object) -> list[int]:
    return [run.line for run in parse(text).needs(ARM, AMD, **options).foreign]  # type: ignore[arg-type]


def bases(text: str, **options: object) -> list[str]:
    return [f"{base.reference} {base.platform}" for base in parse(text).needs(ARM, AMD, **options).bases]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("FROM a\nCOPY . /\n", [], id="copying-runs-nothing"),
        pytest.param("FROM a\nRUN make\n", [2], id="run-in-the-target"),
        pytest.param(CROSS, [], id="cross-compiling"),
        pytest.param(CROSS + "RUN /app --self-test\n", [6], id="run-behind-a-cross-compile"),
        pytest.param("FROM --platform=${BUILDPLATFORM} a\nRUN x\n", [], id="braces"),
        pytest.param('FROM --platform="$BUILDPLATFORM" a\nRUN x\n', [], id="quotes"),
        pytest.param("FROM --platform=linux/amd64 a\nRUN x\n", [], id="written-out"),
        pytest.param("FROM --platform=$TARGETPLATFORM a\nRUN x\n", [2], id="the-target-by-name"),
        pytest.param("FROM --platform=linux/$BUILDARCH a\nRUN x\n", [], id="parts-of-the-build-platform"),
        pytest.param("FROM --platform=$BUILDPLATFORM a AS b\nFROM b\nRUN x\n", [], id="a-stage-has-the-platform-of-what-it-is-built-on"),
        pytest.param("FROM a AS unused\nRUN x\nFROM b\nCOPY . /\n", [], id="a-stage-that-nobody-needs"),
        pytest.param("FROM a AS b\nRUN x\nFROM c\nCOPY --from=b / /\n", [2], id="a-stage-that-is-copied-from"),
        pytest.param("FROM a\nRUN x\nFROM c\nCOPY --from=0 / /\n", [2], id="by-number"),
        pytest.param("FROM a AS b\nRUN x\nFROM --platform=$BUILDPLATFORM c\nRUN --mount=type=bind,from=b y\n", [2], id="mounted"),
        pytest.param("ARG P=linux/amd64\nFROM --platform=$P a\nRUN x\n", [], id="a-global-argument"),
        pytest.param("FROM --platform=$P a\nRUN x\n", [], id="not-known-is-left-to-docker"),
        pytest.param("FROM a\n# RUN x\n", [], id="comment"),
        pytest.param("FROM a\nCOPY \\\n# note\n\n RUN /\n", [], id="comments-in-a-continued-line"),
        pytest.param("FROM a\nCOPY <<EOF /x\nRUN y\nEOF\nENV A=1\n", [], id="here-document"),
        pytest.param("FROM a\nCOPY <<-'EOF' /x\n\tRUN y\n\tEOF\nRUN z\n", [5], id="here-document-with-tabs"),
        pytest.param("FROM a\nRUN <<A <<B\nx\nA\nRUN y\nB\n", [2], id="two-here-documents"),
        pytest.param('FROM a\nRUN echo "a <<EOF b"\nRUN y\n', [2, 3], id="no-here-document-in-quotes"),
        pytest.param("# escape=`\nFROM a\nCOPY . C:\\\nRUN x\n", [4], id="another-escape"),
        pytest.param("from a\nrun x\n", [2], id="small-letters"),
        pytest.param("FROM a\r\nRUN x\r\n", [2], id="windows-lines"),
    ],
)
def test_what_runs_foreign_code(text: str, lines: list[int]) -> None:
    assert foreign(text) == lines


def test_the_wanted_stage_decides() -> None:
    text = "FROM a AS one\nRUN x\nFROM b AS two\nCOPY . /\n"
    assert (foreign(text, stage="one"), foreign(text, stage="ONE"), foreign(text, stage="0"), foreign(text)) == ([2], [2], [2], [])


def test_the_classic_builder_builds_every_stage_before_the_wanted_one() -> None:
    text = "FROM a AS one\nRUN x\nFROM b\nCOPY . /\n"
    assert (foreign(text), foreign(text, buildkit=False)) == ([], [2])


def test_a_build_argument_decides_the_platform() -> None:
    text = "ARG P\nFROM --platform=$P a\nRUN x\n"
    assert (foreign(text, args={"P": "linux/amd64"}), foreign(text, args={"P": "linux/arm64"})) == ([], [3])


def test_what_the_machine_runs_by_itself_is_not_foreign() -> None:
    arm7 = Platform.parse("linux/arm/v7")
    file = parse("FROM a\nRUN x\n")
    assert not file.needs(arm7, ARM).foreign
    assert file.needs(arm7, AMD).foreign


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(CROSS, ["golang:1 linux/amd64"], id="the-build-platform-and-scratch"),
        pytest.param("ARG V=3\nFROM a:$V\n", ["a:3 linux/arm64"], id="argument"),
        pytest.param("ARG A=x\nARG B=${A}y\nFROM a:${B}\n", ["a:xy linux/arm64"], id="argument-of-an-argument"),
        pytest.param("FROM a:${V:-7}\n", ["a:7 linux/arm64"], id="default"),
        pytest.param("ARG V=1\nFROM a:${V:+set}\n", ["a:set linux/arm64"], id="alternative"),
        pytest.param("FROM a:${V#x}\n", [], id="a-form-that-is-not-known-here"),
        pytest.param("FROM a AS b\nFROM b\n", ["a linux/arm64"], id="stages-are-no-images"),
        pytest.param("FROM a\nCOPY --from=tool:2 /t /t\n", ["a linux/arm64", "tool:2 linux/arm64"], id="copied-from-an-image"),
        pytest.param("FROM a\nFROM b\n", ["b linux/arm64"], id="unused"),
        pytest.param("FROM a:tag@sha256:ab\n", ["a:tag@sha256:ab linux/arm64"], id="digest"),
    ],
)
def test_bases_and_their_platforms(text: str, expected: list[str]) -> None:
    assert bases(text) == expected


@pytest.mark.parametrize(
    ("syntax", "read"),
    [
        ("docker/dockerfile:1", True),
        ("docker.io/docker/dockerfile:1.7-labs", True),
        ("docker/dockerfile-upstream:master", True),
        ("example.com/mine", False),
        ("docker/dockerfileish", False),
    ],
)
def test_a_file_for_another_frontend_is_not_read(syntax: str, read: bool) -> None:
    assert (Dockerfile.parse(f"# syntax={syntax}\nFROM a\n") is not None) is read


def test_a_text_without_from_is_no_dockerfile() -> None:
    assert Dockerfile.parse("") is None
    assert Dockerfile.parse("RUN x") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (CROSS, [(1, "--platform=$BUILDPLATFORM")]),
        ("FROM a\nRUN --mount=type=cache,target=/x y\n", [(2, "RUN --mount")]),
        ("FROM a\nCOPY --link . /\n", [(2, "COPY --link")]),
        ("FROM a\nRUN <<E\nx\nE\n", [(2, "RUN <<")]),
        ("FROM a\nCOPY --chown=1:1 . /\nRUN x\n", []),
    ],
)
def test_what_only_buildkit_can_do(text: str, found: list[tuple[int, str]]) -> None:
    assert list(parse(text).buildkit_only()) == found


@given(st.text(alphabet=st.sampled_from("FROM RUN COPY --platform=$BUILDPLATFORM<<EOF\n\\`#\"'{}:-+ aA1\t"), max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    read_dockerfile(text)
    file = Dockerfile.parse(text)
    if file is not None:
        file.needs(ARM, AMD)


@given(st.text(max_size=50), st.dictionaries(st.text(alphabet="AB_", min_size=1, max_size=2), st.text(max_size=5)))
def test_words_without_variables_stay(text: str, values: dict[str, str]) -> None:
    plain = "".join(char for char in text if char not in "$\\\"'")
    assert expand(plain, values) == plain

"""pack's command line and what it prints; what a builder image and a project descriptor say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit import ImageReference, Platform
from archkit.builders.buildpacks.command import cache_words, failure, no_buildpack_fits, platform_word, reported_digest, trusted, version_of
from archkit.builders.buildpacks.metadata import BuilderMetadata, Descriptor, preferred

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "version"), [("0.38.2+git-0000000.build-1\n", (0, 38, 2)), ("v0.35.0", (0, 35, 0)), ("", None), ("dev-2024-01-01", None)]
)
def test_versions(text: str, version: tuple[int, int, int] | None) -> None:
    assert version_of(text) == version


@pytest.mark.parametrize(("platform", "word"), [("linux/arm64", "linux/arm64"), ("linux/arm64/v8", "linux/arm64"), ("linux/arm/v6",) * 2])
def test_platforms(platform: str, word: str) -> None:
    assert platform_word(Platform.parse(platform)) == word


LISTED = "Trusted Builders:\n  gcr.io/buildpacks/builder:google-22\n  ghcr.io/team/builder\n  a b\n"


@pytest.mark.parametrize(
    ("builder", "trusts"),
    [
        ("gcr.io/buildpacks/builder:google-22", True),
        ("gcr.io/buildpacks/builder:google-18", False),
        ("ghcr.io/team/builder", True),
        ("ghcr.io/team/builder:1", True),
        (f"ghcr.io/team/builder@{DIGEST}", True),
        ("other.io/team/builder:1", False),
        ("trusted", False),
    ],
)
def test_which_builders_pack_trusts(builder: str, trusts: bool) -> None:
    assert trusted(LISTED, builder) == trusts


def test_no_two_platforms_share_a_cache() -> None:
    reference = ImageReference.parse("ghcr.io/team/web")
    words = {
        platform: cache_words(reference, Platform.parse(platform), caches=[], image="", key="")
        for platform in ("linux/amd64", "linux/arm64")
    }
    assert not {*words["linux/amd64"]} & {*words["linux/arm64"]} - {"--cache"}


def test_a_cache_of_the_callers_takes_the_place_of_one_kind() -> None:
    words = cache_words(
        ImageReference.parse("web"),
        Platform.parse("linux/arm64"),
        caches=["type=build;format=bind;source=/c/{platform}"],
        image="",
        key="",
    )
    assert words[:2] == ["--cache", "type=build;format=bind;source=/c/linux_arm64"]
    assert [word.partition(";")[0] for word in words[2:]] == ["--cache", "type=launch"]


@pytest.mark.parametrize(
    ("report", "digest"),
    [
        (f'[build]\n\n[image]\ntags = ["x:1"]\ndigest = "{DIGEST}"\nmanifest-size = 1084\n', DIGEST),
        ('[image]\ntags = ["x:1"]\nimage-id = "0123"\n', None),
        ("", None),
    ],
)
def test_reports(report: str, digest: str | None) -> None:
    assert reported_digest(report) == digest


@pytest.mark.parametrize(
    ("stdout", "said"),
    [
        ("", ""),
        ("===> BUILDING\nall is well\n", ""),
        ("[analyzer] ERROR: failed to analyze: x\n", "failed to analyze: x"),
        (
            "===> BUILDING\n[creator] \x1b[31mmake: no rule\x1b[0m\n[creator] Timer: Builder ended\n[creator] ERROR: failed to build: exit status 2\n",
            "failed to build: exit status 2\nmake: no rule",
        ),
    ],
)
def test_what_went_wrong(stdout: str, said: str) -> None:
    assert failure(stdout) == said


@pytest.mark.parametrize(("status", "fits"), [(20, False), (21, False), (51, True), (1, True)])
def test_no_buildpack_fits(status: int, fits: bool) -> None:
    assert no_buildpack_fits(f"ERROR: failed to build: executing lifecycle: failed with status code: {status}\n") != fits


# ---- metadata --------------------------------------------------------------------------------------------------------

BUILDER = {
    "buildpacks": [{"id": "a/b", "version": "1.0.0"}, {"id": "c"}],
    "images": [{"image": "run:1", "mirrors": ["ghcr.io/run:1"]}],
    "stack": {"runImage": {"image": "older:1", "mirrors": []}},
    "lifecycle": {"version": "0.20.5"},
}


def test_a_builder_image() -> None:
    found = BuilderMetadata.parse(json.dumps(BUILDER))
    assert found.run_images == ("run:1", "ghcr.io/run:1")
    assert found.lifecycle == "0.20.5"
    assert not found.lacks(["a/b", "a/b@1.0.0", "c", "from=builder", "from=builder:x", "urn:cnb:builder:x"])
    assert [found.lacks([one]) for one in ("a/b@2.0.0", "x", "./folder", "docker://x/y")] == [True] * 4


def test_a_builder_image_of_before_platform_api_0_12() -> None:
    older = {name: value for name, value in BUILDER.items() if name != "images"}
    assert BuilderMetadata.parse(json.dumps(older)).run_images == ("older:1",)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*BUILDER, "id", "version", "image", "mirrors", "runImage"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*BUILDER]), _JSON))
def test_whatever_a_label_holds_is_read_or_ignored(fields: dict[str, object]) -> None:
    found = BuilderMetadata.parse(json.dumps(fields))
    assert all(found.run_images)


@pytest.mark.parametrize("label", ["", "[]", "{", "1"])
def test_labels_that_are_no_objects(label: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        BuilderMetadata.parse(label)


def test_mirrors_of_a_registry_come_first() -> None:
    names = ["index.docker.io/run/a", "a b", "ghcr.io/b", "ghcr.io/c"]
    assert preferred(names, "ghcr.io") == ["ghcr.io/b", "ghcr.io/c", "index.docker.io/run/a", "a b"]
    assert preferred(names, "docker.io") == names


def test_project_descriptors() -> None:
    group = [{"id": "a/b", "version": "1"}, {"uri": "docker://x/y"}, {"id": "own", "script": {"inline": "true"}}]
    newer = {"schema-version": "0.2"}
    found = Descriptor.from_fields(
        {"_": newer, "io": {"buildpacks": {"builder": "x:1", "group": group, "pre": {"group": [{"id": "first"}]}}}}
    )
    assert found == Descriptor("x:1", ("a/b@1", "docker://x/y", "first"))
    assert Descriptor.from_fields({"build": {"builder": "y", "buildpacks": [{"id": "z"}]}}) == Descriptor("y", ("z",))
    assert Descriptor.from_fields({"project": {"name": "x"}, "io": []}) == Descriptor()
    assert Descriptor.from_fields({"io": {"buildpacks": {"builder": "x:1"}}}) == Descriptor(ignored=True)
    assert Descriptor.from_fields({"_": newer, "build": {"builder": "y"}}) == Descriptor()

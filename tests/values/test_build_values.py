"""What a build asks and gives: sinks, requests, plans, and the build-output file that Skaffold writes too."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archkit import (
    Artifact,
    BuilderAbilities,
    BuildError,
    BuildPlan,
    BuildRequest,
    BuildResult,
    BuiltImage,
    Delivered,
    Descriptor,
    Digest,
    EngineSink,
    Finding,
    ImageReference,
    LayoutSink,
    PlannedBuild,
    Platform,
    PlatformSet,
    PlatformSyntaxError,
    ReferenceSyntaxError,
    RegistrySink,
    Sink,
)
from archkit.model.oci import OCI_INDEX, OCI_MANIFEST

AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
DIGEST = Digest.of(b"web")


@pytest.mark.parametrize(
    ("sink", "text"),
    [
        (RegistrySink(), "registry"),
        (RegistrySink("x.io/team"), "registry x.io/team"),
        (LayoutSink("out"), "OCI layout out"),
        (EngineSink(), "local engine"),
    ],
)
def test_sinks_say_where_images_go(sink: Sink, text: str) -> None:
    assert str(sink) == text
    assert pickle.loads(pickle.dumps(sink)) == sink


def test_the_default_abilities_are_the_least() -> None:
    least = BuilderAbilities()
    assert (least.native_multi, least.platforms, least.sinks, least.push_by_digest, least.parallel) == (
        False,
        None,
        frozenset({RegistrySink}),
        False,
        False,
    )


def test_an_artifact_is_a_folder_and_a_name() -> None:
    artifact = Artifact("web", platforms="linux/amd64")
    assert (artifact.image, artifact.context, artifact.platforms, artifact.builder) == ("web", Path(), PlatformSet([AMD64]), None)
    assert Artifact("web").platforms is None


@pytest.mark.parametrize("platforms", ["", [], PlatformSet(), "linux/amr64"])
def test_an_artifact_of_no_platform_is_refused(platforms: str | list[str] | PlatformSet) -> None:
    with pytest.raises(PlatformSyntaxError):
        Artifact("web", platforms=platforms)


def test_a_request_knows_its_repository_and_its_one_platform() -> None:
    request = BuildRequest(Artifact("x.io/web"), PlatformSet([AMD64]), RegistrySink(), ImageReference.parse("x.io/web:1_linux_amd64"))
    assert str(request.repository) == "x.io/web"
    assert request.platform == AMD64
    by_digest = BuildRequest(Artifact("x.io/web"), PlatformSet([AMD64, ARM64]), RegistrySink())
    assert str(by_digest.repository) == "x.io/web"
    with pytest.raises(BuildError, match="one platform was expected"):
        _ = by_digest.platform


@pytest.mark.parametrize("digest", ["latest", "sha256:abc", ""])
def test_what_a_tool_says_it_delivered_is_checked(digest: str) -> None:
    assert Delivered(DIGEST).digest == DIGEST
    assert Delivered().digest is None
    with pytest.raises(ReferenceSyntaxError):
        Delivered(digest)


def test_a_plan_explains_itself() -> None:
    build = PlannedBuild(
        "web",
        "docker",
        ImageReference.parse("x.io/web:1"),
        PlatformSet([AMD64, ARM64]),
        BuilderAbilities(),
        ((PlatformSet([AMD64]), ImageReference.parse("x.io/web:1_linux_amd64")), (PlatformSet([ARM64]), None)),
        child_tags=True,
        reasons=("the cluster has both",),
    )
    plan = BuildPlan((build,), RegistrySink("x.io"), (Finding.of("emulated-build", "linux/arm64 is emulated"),))
    assert plan.explain().splitlines() == [
        "web -> x.io/web:1 (registry x.io)",
        "  builder: docker; platforms: linux/amd64, linux/arm64",
        "  build linux/amd64, pushed as 1_linux_amd64",
        "  build linux/arm64, pushed by digest",
        "  because the cluster has both",
        "warning: linux/arm64 is emulated [emulated-build]",
    ]
    assert not build.native
    assert pickle.loads(pickle.dumps(plan)) == plan


# ---- the build-output file ---------------------------------------------------------------------------------------

platforms = st.sampled_from([AMD64, ARM64, Platform.parse("linux/arm/v7"), Platform.parse("windows(10.0.20348.1+a)/amd64")])
descriptors = st.builds(
    lambda content, platform: Descriptor(OCI_MANIFEST, Digest.of(content), len(content)).with_platform(platform.to_oci()),
    st.binary(max_size=3),
    platforms,
)
images = st.builds(
    BuiltImage,
    st.text(max_size=5),
    st.sampled_from(["x.io/web:1", f"x.io/web:1@{DIGEST}", "nginx"]),
    st.none() | st.lists(platforms, max_size=3).map(PlatformSet),
    children=st.dictionaries(platforms, descriptors, max_size=2),
    descriptor=st.none() | st.just(Descriptor(OCI_INDEX, DIGEST, 3)),
)


@given(st.lists(images, max_size=3).map(BuildResult))
def test_a_result_is_read_back(result: BuildResult) -> None:
    assert BuildResult.from_json(result.to_json()) == result
    assert BuildResult.from_json(result.to_json().encode()) == result
    assert pickle.loads(pickle.dumps(result)) == result


def test_the_file_is_skaffolds_with_the_platforms_beside() -> None:
    image = BuiltImage("web", f"x.io/web:1@{DIGEST}", PlatformSet([ARM64, AMD64]))
    assert json.loads(BuildResult([image]).to_json()) == {
        "builds": [{"imageName": "web", "tag": f"x.io/web:1@{DIGEST}", "platforms": ["linux/arm64", "linux/amd64"]}]
    }
    assert image.digest == DIGEST


def test_skaffolds_own_file_is_read() -> None:
    text = json.dumps({"builds": [{"imageName": "web", "tag": f"x.io/web:1@{DIGEST}", "runtimeType": "go"}], "other": 1})
    (image,) = BuildResult.from_json(text).images
    assert (image.name, image.reference, image.platforms, dict(image.children)) == ("web", f"x.io/web:1@{DIGEST}", None, {})
    assert BuiltImage("web", "x.io/web:1").digest is None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param("{}", id="no builds"),
        pytest.param('{"builds": {}}', id="no list"),
        pytest.param('{"builds": [{"imageName": "web"}]}', id="no tag"),
        pytest.param('{"builds": [{"imageName": 1, "tag": "web"}]}', id="no text"),
        pytest.param('{"builds": [{"imageName": "web", "tag": "A B"}]}', id="no reference"),
        pytest.param('{"builds": [{"imageName": "web", "tag": "web", "platforms": ["linux/amr64"]}]}', id="no platform"),
        pytest.param('{"builds": [{"imageName": "web", "tag": "web", "platforms": "linux/amd64"}]}', id="no list of platforms"),
        pytest.param('{"builds": [{"imageName": "web", "tag": "web", "children": {"linux/amd64": {}}}]}', id="no descriptor"),
        pytest.param(b"\xff", id="no text at all"),
        pytest.param("[" * 100_000, id="too deep"),
    ],
)
def test_what_is_no_build_output_file_is_refused(content: Any) -> None:
    with pytest.raises(BuildError, match="the build-output file cannot be read") as caught:
        BuildResult.from_json(content)
    assert '{"builds": [{"imageName"' in str(caught.value)


def test_platforms_of_an_image_may_be_given_as_texts() -> None:
    assert BuiltImage("web", "web:1", ["linux/amd64", "linux/x86_64"]).platforms == PlatformSet([AMD64])

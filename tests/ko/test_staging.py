"""The staging tag: registries that write no tag twice, delete no tag, or drop manifests; runs of one tag that overlap."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from archkit import Artifact, BuildError, BuildResult, KoBuilder, PlatformNotDelivered, RegistryError, RegistrySink, build
from archkit.testing import EmbeddedRegistry, ImageFactory, RepositoryRules
from archkit.testing.processes import Answer

if TYPE_CHECKING:
    from collections.abc import Generator

    from fake_ko import Ko

    from archkit.testing.processes import Call

BOTH = "linux/amd64,linux/arm64"
STAGING = "v1_archkit-staging"
FINAL = ["v1", "v1_linux_amd64", "v1_linux_arm64"]


@pytest.fixture
def registry(request: pytest.FixtureRequest, ko: Ko) -> Generator[EmbeddedRegistry, None, None]:
    """A registry of the rules that the test names, with a base; the ko of the test pushes into it as a client does."""
    with EmbeddedRegistry(rules=RepositoryRules(**getattr(request, "param", {}))) as registry, registry.client() as client:
        ImageFactory(registry).push("base:1", BOTH)
        ko.images = ImageFactory(client)
        yield registry


def run(registry: EmbeddedRegistry, ko: Ko, targets: str = BOTH, **options: Any) -> BuildResult:
    artifact = Artifact("web", ko.folder, builder=KoBuilder("./cmd/web", base=f"{registry.host}/base:1"))
    return build(artifact, targets=targets, sink=RegistrySink(registry.host), tag="v1", **options)


def codes(result: BuildResult) -> list[str]:
    return [finding.code for finding in result.findings]


def tags(registry: EmbeddedRegistry) -> list[str]:
    return list(registry.tags("web"))


def fails_as_real_pushes_do(ko: Ko) -> None:
    """What ko prints where the registry refuses its push."""

    def attempt(call: Call) -> Answer:
        try:
            return ko.build(call)
        except RegistryError as error:
            return Answer("", f"Error: failed to publish images: PUT https://x: {', '.join(error.codes)}: {error.reason}\n", 1)

    ko.instead = attempt


# ---- registries that differ ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registry", "left"),
    [
        pytest.param({}, [], id="deletes the tag alone"),
        pytest.param({"tag_delete": "manifest"}, [], id="drops the manifest with the tag"),
        pytest.param({"tag_delete": "refused"}, [STAGING], id="deletes by digest alone"),
        pytest.param({"delete": False}, [STAGING], id="deletes nothing"),
        pytest.param({"denied": {"delete"}}, [STAGING], id="lets this account delete nothing"),
    ],
    indirect=["registry"],
)
def test_what_is_left_of_the_staging_tag(registry: EmbeddedRegistry, left: list[str], ko: Ko) -> None:
    first = run(registry, ko)
    again = run(registry, ko)

    assert first.images[0].digest == again.images[0].digest == registry.resolve("web:v1")
    assert tags(registry) == sorted([*FINAL, *left])
    assert codes(first) == codes(again) == ["staging-tag-left"] * len(left)
    assert str(registry.platforms("web:v1")) == BOTH


@pytest.mark.parametrize("registry", [{}, {"tag_delete": "manifest"}, {"delete": False}], indirect=True)
def test_another_image_replaces_the_tag_at_once(registry: EmbeddedRegistry, ko: Ko) -> None:
    """Between the old image and the new one there is no moment without the tag."""
    old = run(registry, ko, "linux/amd64").images[0].digest
    registry.log.clear()

    new = run(registry, ko).images[0].digest

    assert old != new == registry.resolve("web:v1")
    writes = [
        (one.method, one.path.rpartition("/")[2]) for one in registry.log if one.method in {"PUT", "DELETE"} and "/manifests/" in one.path
    ]
    staging = [what for what in writes if what[1] == STAGING]
    assert writes.index(("PUT", "v1")) > max(writes.index(what) for what in staging)
    assert writes.count(("PUT", "v1")) == 1


@pytest.mark.parametrize("registry", [{"tag_delete": "manifest"}], indirect=True)
def test_somebody_elses_tag_of_the_same_image_outlives_the_staging_tag(registry: EmbeddedRegistry, ko: Ko) -> None:
    first = run(registry, ko).images[0]
    with registry.client() as client:
        client.put_manifest(f"{registry.host}/web:stable", client.manifest(f"{registry.host}/web:v1"))

    again = run(registry, ko)

    assert again.images[0].digest == first.digest == registry.resolve("web:stable")
    assert tags(registry) == sorted([*FINAL, "stable"])


@pytest.mark.parametrize("registry", [{"immutable_tags": True, "delete": False}], indirect=True)
def test_tags_that_are_written_once_are_as_they_should_be(registry: EmbeddedRegistry, ko: Ko) -> None:
    fails_as_real_pushes_do(ko)
    first = run(registry, ko)
    again = run(registry, ko)

    assert first.images[0].digest == again.images[0].digest
    assert codes(first) == codes(again) == ["staging-tag-left"]
    assert re.fullmatch(rf"{STAGING}-[0-9a-f]{{8}}", tags(registry)[2])
    assert [tag for tag in tags(registry) if "staging" not in tag] == FINAL
    assert "by hand" in again.findings[0].hint


@pytest.mark.parametrize("registry", [{"immutable_tags": True, "delete": False}], indirect=True)
def test_a_staging_tag_of_a_failed_run_that_cannot_be_written_again_does_not_block(registry: EmbeddedRegistry, ko: Ko) -> None:
    fails_as_real_pushes_do(ko)
    ko.delivers = "linux/amd64"
    with pytest.raises(PlatformNotDelivered):
        run(registry, ko)
    assert tags(registry) == [STAGING]
    ko.delivers = None
    told: list[str] = []

    result = run(registry, ko, on_event=lambda event: told.append(event.message))

    assert len(ko.builds) == 3
    assert [tag for tag in tags(registry) if "staging" not in tag] == FINAL
    assert result.images[0].digest == registry.resolve("web:v1")
    assert any("writes no tag twice" in message for message in told)


@pytest.mark.parametrize("registry", [{"immutable_tags": True, "delete": False}], indirect=True)
def test_an_immutable_tag_of_another_image_is_an_error_and_stays(registry: EmbeddedRegistry, ko: Ko) -> None:
    old = run(registry, ko, "linux/amd64").images[0].digest
    fails_as_real_pushes_do(ko)

    with pytest.raises(RegistryError, match="immutable"):
        run(registry, ko)

    assert registry.resolve("web:v1") == old


def test_a_push_that_fails_for_another_reason_is_not_tried_again(registry: EmbeddedRegistry, ko: Ko) -> None:
    ImageFactory(registry).push(f"web:{STAGING}", ["linux/amd64"])
    ko.instead = lambda _: Answer("", "Error: PUT https://x: DENIED: no\n", 1)

    with pytest.raises(BuildError, match="DENIED"):
        run(registry, ko)

    assert len(ko.builds) == 1


# ---- what was left behind ------------------------------------------------------------------------------------------


def test_what_a_killed_run_left_is_removed_by_the_next(registry: EmbeddedRegistry, ko: Ko) -> None:
    ImageFactory(registry).push(f"web:{STAGING}", ["linux/s390x"])

    run(registry, ko)

    assert tags(registry) == FINAL


def test_a_failed_run_removes_what_it_pushed_and_nothing_else(registry: EmbeddedRegistry, ko: Ko) -> None:
    ImageFactory(registry).push(f"web:{STAGING}", ["linux/s390x"])
    theirs = registry.resolve(f"web:{STAGING}")
    ko.instead = lambda _: Answer("", "Error: out of luck\n", 1)
    with pytest.raises(BuildError):
        run(registry, ko)
    assert registry.resolve(f"web:{STAGING}") == theirs

    ko.instead, ko.delivers = None, "linux/amd64"
    with pytest.raises(PlatformNotDelivered):
        run(registry, ko)
    assert tags(registry) == []


# ---- runs that overlap ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registry", "left"), [({}, []), ({"tag_delete": "manifest"}, []), ({"delete": False}, [STAGING])], indirect=["registry"]
)
def test_a_run_inside_another_of_the_same_tag(registry: EmbeddedRegistry, left: list[str], ko: Ko) -> None:
    """The inner one pushes the staging tag after the outer one and ends before it: each gets the image that it built."""
    inner: list[BuildResult] = []

    def build_inside(_: Call) -> None:
        ko.after_push = lambda _: None
        inner.append(run(registry, ko, "linux/arm64"))

    ko.after_push = build_inside
    outer = run(registry, ko)

    assert str(inner[0].images[0].platforms) == "linux/arm64"
    assert str(outer.images[0].platforms) == BOTH
    assert registry.resolve("web:v1") == outer.images[0].digest
    assert tags(registry) == sorted([*FINAL, *left])


def test_a_run_that_ends_leaves_the_staging_tag_of_one_that_goes_on(registry: EmbeddedRegistry, ko: Ko) -> None:
    other = ImageFactory(registry)
    seen: list[str] = []

    def push_between(_: Call) -> None:
        other.push(f"web:{STAGING}", ["linux/s390x"])
        seen.append(registry.resolve(f"web:{STAGING}"))

    ko.after_push = push_between
    result = run(registry, ko)

    assert str(result.images[0].platforms) == BOTH
    assert registry.resolve(f"web:{STAGING}") == seen[0]
    assert result.findings == ()

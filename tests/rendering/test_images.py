"""Which image a manifest means, and what becomes of its tag and digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from archkit import (
    AffinityRenderer,
    BuildResult,
    BuiltImage,
    Descriptor,
    ImageReference,
    Platform,
    PlatformSet,
    PlatformSyntaxError,
    ReferenceSyntaxError,
    RegistryError,
    Rendering,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

INDEX, CHILD, OTHER = ("sha256:" + digit * 64 for digit in "abc")
BOTH = PlatformSet("linux/amd64,linux/arm64")
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def built(name: str, reference: str = f"r.example/team/app:1.2@{INDEX}", platforms: PlatformSet | None = BOTH) -> BuiltImage:
    children = {Platform("linux", "arm64"): Descriptor(OCI_MANIFEST, CHILD, 7)}
    return BuiltImage(name, reference, platforms, children=children)


def render(image: str, builds: Any = (), **options: Any) -> Rendering:
    text = f"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: {image}\n"
    return AffinityRenderer(builds=builds, affinity=options.pop("affinity", "never"), **options).render(text)


def image_of(rendering: Rendering) -> str:
    return rendering.text.rpartition("image: ")[2].strip().strip('"')


def codes(rendering: Rendering) -> list[str]:
    return [finding.code for finding in rendering.findings]


@pytest.mark.parametrize(
    ("name", "image"),
    [
        pytest.param("web", "web", id="bare name"),
        pytest.param("web", "web:1.0", id="a tag loses to the build"),
        pytest.param("web", "docker.io/library/web:old", id="Docker Hub in full"),
        pytest.param("web", "index.docker.io/web", id="Docker Hub's old name"),
        pytest.param("team/web", "docker.io/team/web", id="Docker Hub with a team"),
        pytest.param("docker.io/library/web", "web", id="short in the manifest only"),
        pytest.param("ghcr.io/team/web", "ghcr.io/team/web:1", id="registry"),
        pytest.param("localhost:5000/web", "localhost:5000/web", id="registry with a port"),
        pytest.param("ko://github.com/Team/app/cmd/Web", "ko://github.com/Team/app/cmd/Web", id="ko"),
        pytest.param("github.com/team/app", "ko://github.com/team/app", id="ko in the manifest only"),
    ],
)
def test_a_built_image_is_pinned_wherever_it_is_named(name: str, image: str) -> None:
    rendered = render(image, [built(name)])

    assert image_of(rendered) == f"r.example/team/app:1.2@{INDEX}"
    assert not rendered.findings or codes(rendered) == ["cluster-unknown"]
    assert [change.before for change in rendered.changes] == [image]


@pytest.mark.parametrize(
    "image",
    [
        pytest.param("web/api:1.0", id="a longer path: Skaffold takes web/api for web"),
        pytest.param("ghcr.io/web", id="another registry"),
        pytest.param("team/web", id="another team"),
        pytest.param("web2", id="a longer name"),
        pytest.param("'{{ .Values.image }}'", id="a template"),
        pytest.param("UPPER", id="no reference"),
        pytest.param("''", id="empty"),
        pytest.param("1.25", id="a number"),
    ],
)
def test_other_images_are_not_taken_for_a_built_one(image: str) -> None:
    rendered = render(image, [built("web")])

    assert not rendered.changes
    assert codes(rendered) == ["built-image-unused"]


def test_a_digest_in_the_manifest_is_kept() -> None:
    rendered = render(f"web@{OTHER}", [built("web")])

    assert not rendered.changes
    assert codes(rendered) == ["digest-kept"]


@pytest.mark.parametrize("image", [f"web:1@{CHILD}", f"r.example/team/app@{CHILD}"])
def test_a_digest_of_one_child_is_kept_and_named(image: str) -> None:
    rendered = render(image, [built("web")], affinity="always")

    assert codes(rendered) == ["child-digest-pinned"]
    assert "linux/arm64" in rendered.findings[0].message
    assert rendered.pods[0].platforms == PlatformSet("linux/arm64"), "the child runs on one platform only"


@pytest.mark.parametrize("digest", [CHILD, OTHER])
def test_repin_replaces_a_digest(digest: str) -> None:
    rendered = render(f"web@{digest}", [built("web")], repin=True)

    assert image_of(rendered) == f"r.example/team/app:1.2@{INDEX}"
    assert not rendered.findings


@pytest.mark.parametrize("image", [f"r.example/team/app:1.2@{INDEX}", f"r.example/team/app@{INDEX}"])
def test_what_is_pinned_already_stays_as_it_is(image: str) -> None:
    rendered = render(image, [built("web")], affinity="never")

    assert not rendered.changes
    assert not rendered.findings
    assert rendered.pods[0].platforms == BOTH


def test_a_build_result_and_its_file_are_as_good_as_images() -> None:
    result = BuildResult([built("web")])

    assert image_of(render("web", result)) == image_of(render("web", BuildResult.from_json(result.to_json()))) == built("web").reference


def test_platforms_of_a_result_that_knows_none_come_from_the_mapping() -> None:
    rendered = render("web", [built("web", platforms=None)], platforms={"web": "linux/s390x"})

    assert rendered.pods[0].platforms == PlatformSet("linux/s390x")


@pytest.mark.parametrize(
    ("platforms", "image", "wanted"),
    [
        pytest.param({"nginx": "linux/arm64"}, "nginx:1.25", "linux/arm64", id="a key without tag covers every tag"),
        pytest.param({"docker.io/library/nginx": "linux/arm64"}, "nginx", "linux/arm64", id="keys are normalised"),
        pytest.param({"nginx": "linux/arm64", "nginx:1": "linux/386"}, "nginx:1", "linux/386", id="the exact key wins"),
        pytest.param(
            {"nginx:1": ["linux/arm64", "linux/amd64"]}, f"nginx:1@{OTHER}", "linux/arm64,linux/amd64", id="the tag beside a digest"
        ),
        pytest.param({"nginx:1": PlatformSet("linux/amd64")}, "nginx:2", None, id="another tag"),
        pytest.param({"nginx": "all"}, "nginx", None, id="all says nothing"),
    ],
)
def test_known_platforms_are_found_by_reference(platforms: Mapping[str, Any], image: str, wanted: str | None) -> None:
    found = render(image, platforms=platforms).pods[0].platforms

    assert found == (None if wanted is None else PlatformSet(wanted))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        pytest.param({"platforms": {"Not An Image": "linux/amd64"}}, ReferenceSyntaxError, id="key"),
        pytest.param({"platforms": {"nginx": "linux/amd46"}}, PlatformSyntaxError, id="value"),
        pytest.param({"platforms": {"nginx": []}}, PlatformSyntaxError, id="empty value"),
        pytest.param({"prefer": {"arm46": 1}}, PlatformSyntaxError, id="preference"),
        pytest.param({"prefer": {"arm64": 0}}, ValueError, id="weight"),
        pytest.param({"affinity": "sometimes"}, ValueError, id="mode"),
        pytest.param({"terms": "short"}, ValueError, id="shape"),
    ],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        AffinityRenderer(**options)


class Lookup:
    """Somebody to ask, who counts."""

    def __init__(self, answer: PlatformSet | Exception | None) -> None:
        self.asked: list[str] = []
        self._answer = answer

    def platforms(self, reference: ImageReference | str, /) -> PlatformSet | None:
        self.asked.append(str(reference))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_a_lookup_is_asked_once_per_image_and_not_for_built_ones() -> None:
    lookup = Lookup(BOTH)
    renderer = AffinityRenderer(builds=[built("web")], platforms=lookup, affinity="always")
    text = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: nginx\n  - image: nginx\n  - image: web\n---\n"

    renderer.render(text * 2)
    renderer.render(text)

    assert lookup.asked == ["docker.io/library/nginx"]


@pytest.mark.parametrize(
    ("answer", "reason"), [(None, "it is not there"), (RegistryError("r.example", "refused", 401), "HTTP 401")], ids=["missing", "refused"]
)
def test_what_a_lookup_cannot_say_is_unknown(answer: Any, reason: str) -> None:
    rendered = render("nginx", platforms=Lookup(answer), affinity="always")

    assert codes(rendered) == ["image-platforms-unknown"]
    assert reason in rendered.findings[0].message


def test_an_unknown_image_narrows_nothing_and_is_reported() -> None:
    text = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: web\n  - image: stranger:3\n"
    lenient = AffinityRenderer(builds=[built("web", platforms=PlatformSet("linux/arm64"))], affinity="always")
    strict = AffinityRenderer(builds=[built("web")], affinity="always", strict=True)

    rendered = lenient.render(text, name="pod.yaml")

    assert rendered.pods[0].platforms == PlatformSet("linux/arm64")
    assert [(finding.code, finding.severity) for finding in rendered.findings] == [("image-platforms-unknown", "warning")]
    assert rendered.findings[0].where == "pod.yaml:6 Pod spec.containers[1].image"
    assert [finding.severity for finding in strict.render(text).findings] == ["error"]
    with pytest.raises(ValueError, match="stranger:3"):
        strict.render(text).raise_for_findings()


def test_mounted_images_are_pinned_and_narrow_only_as_an_index() -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: web\n  volumes:\n"
        "  - image: {reference: data}\n  - image: {reference: ''}\n  - image: {}\n  - name: x\n"
    )
    web = built("web", platforms=PlatformSet("linux/amd64,linux/arm64,linux/s390x"))
    single = built("data", f"r.example/data:1@{OTHER}", PlatformSet("linux/amd64"))
    index = built("data", f"r.example/data:1@{OTHER}", BOTH)

    narrow, wide = (AffinityRenderer(builds=[web, data], affinity="always").render(text) for data in (index, single))

    assert f'{{reference: "r.example/data:1@{OTHER}"}}' in narrow.text
    assert narrow.pods[0].platforms == BOTH
    assert wide.pods[0].platforms == web.platforms
    assert not narrow.findings


def test_ephemeral_containers_neither_pin_nor_narrow() -> None:
    text = "apiVersion: v1\nkind: Pod\nspec:\n  ephemeralContainers:\n  - image: web\n  containers:\n  - image: tool\n"
    rendered = AffinityRenderer(builds=[built("web")], platforms={"tool": "linux/s390x"}, affinity="always").render(text)

    assert "image: web\n" in rendered.text
    assert rendered.pods[0].platforms == PlatformSet("linux/s390x")


def test_one_container_named_twice_in_other_ways_is_the_same_image() -> None:
    rendered = render("web:1", [built("web"), built("unused", f"r.example/u:1@{OTHER}")])

    assert codes(rendered) == ["built-image-unused"]
    assert "unused" in rendered.findings[0].message

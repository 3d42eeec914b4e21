"""build(): what is pushed, under which names, and what is refused or found out."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from archkit import (
    ArchkitError,
    Artifact,
    BuildContext,
    BuilderAbilities,
    BuildError,
    BuildRequest,
    BuildResult,
    CancelledError,
    CustomBuilder,
    Delivered,
    Event,
    FilesBuilder,
    Finding,
    LayoutSink,
    OciLayout,
    PlatformNotDelivered,
    PlatformSet,
    ReferenceSyntaxError,
    RegistryClient,
    RegistryError,
    RegistrySink,
    Sink,
    Targets,
    TargetsError,
    build,
)
from archkit.model.oci import ATTESTED, Index

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archkit.testing import EmbeddedRegistry, ImageFactory

BOTH = "linux/amd64,linux/arm64"


def run(registry: EmbeddedRegistry, artifacts: Any, targets: Any = BOTH, /, **options: Any) -> BuildResult:
    return build(artifacts, targets=targets, sink=RegistrySink(registry.host), **{"tag": "latest", **options})


# ---- what is pushed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [True, False], ids=["native", "per platform"])
def test_an_index_and_a_tag_for_each_platform(native: bool, archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    result = run(archkit_registry, hello(native=native))

    (image,) = result.images
    assert image.reference == f"{archkit_registry.host}/hello:latest@{archkit_registry.resolve('hello:latest')}"
    assert list(archkit_registry.tags("hello")) == ["latest", "latest_linux_amd64", "latest_linux_arm64"]
    assert str(archkit_registry.platforms("hello:latest")) == BOTH
    assert str(image.platforms) == BOTH
    for platform, child in image.children.items():
        assert archkit_registry.resolve(f"hello:latest_{platform.tag_suffix}") == child.digest
    assert result.findings == ()


def test_both_strategies_give_the_same_digest(archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    native = run(archkit_registry, hello(image="one", native=True))
    stitched = run(archkit_registry, hello(image="two", native=False))

    assert native.images[0].digest == stitched.images[0].digest


def test_without_child_tags_only_the_final_tag_is_there(archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    result = run(archkit_registry, hello(native=False), child_tags=False)

    assert list(archkit_registry.tags("hello")) == ["latest"]
    assert [finding.code for finding in result.findings] == ["untagged-children"]


def test_one_platform_is_a_plain_image_without_further_tags(archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    image = run(archkit_registry, hello(), "linux/arm64").images[0]

    assert list(archkit_registry.tags("hello")) == ["latest"]
    assert str(image.platforms) == "linux/arm64"
    assert archkit_registry.manifest("hello:latest").media_type == "application/vnd.oci.image.manifest.v1+json"


def test_a_layout_holds_several_platforms(tmp_path: Path, hello: Callable[..., Artifact]) -> None:
    image = build(hello(native=False), targets=BOTH, sink=LayoutSink(tmp_path / "out"), tag="1").images[0]

    assert image.reference.startswith("hello:1@sha256:")
    assert str(OciLayout(tmp_path / "out").platforms("hello:1")) == BOTH


def test_a_registry_and_a_layout_get_the_same_bytes(
    tmp_path: Path, archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]
) -> None:
    there = run(archkit_registry, hello())
    here = build(hello(), targets=BOTH, sink=LayoutSink(tmp_path / "out"), tag="1")
    assert here.images[0].layout == tmp_path / "out"
    assert BuildResult.from_json(here.to_json()).images == here.images

    assert there.images[0].digest == here.images[0].digest


def test_targets_that_a_cluster_gave_are_narrowed_in_silence(archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    result = run(archkit_registry, hello("linux/arm64"), Targets(PlatformSet.parse(BOTH), ("the cluster has them",)))

    assert str(result.images[0].platforms) == "linux/arm64"
    assert result.findings == ()


def test_what_falls_away_of_a_request_is_reported(archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    result = run(archkit_registry, hello("linux/arm64"))

    assert [finding.code for finding in result.findings] == ["requested-dropped"]


def test_platforms_that_the_tag_had_before_are_reported_when_lost(
    archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]
) -> None:
    run(archkit_registry, hello())

    result = run(archkit_registry, hello(), "linux/arm64")

    assert [finding.code for finding in result.findings] == ["platforms-lost"]
    assert "linux/amd64" in result.findings[0].message


def test_targets_none_is_the_default_of_each_builder(archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    result = run(archkit_registry, hello("linux/s390x"), None)

    assert str(result.images[0].platforms) == "linux/s390x"


def test_a_result_survives_its_file(archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    result = run(archkit_registry, hello())

    assert BuildResult.from_json(result.to_json()).images == result.images


def test_steps_are_told_in_order(archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    events: list[Event] = []

    run(archkit_registry, hello(), on_event=events.append)

    assert [(event.work, event.stage) for event in events if event.stage != "progress"] == [
        (work, stage) for work in ("build", "verify", "tag") for stage in ("started", "finished")
    ]


# ---- what is refused before anything runs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "names"),
    [
        pytest.param({"targets": "linux/arm46"}, ArchkitError, ["linux/arm46", "linux/arm64"], id="not a platform"),
        pytest.param({"targets": "all"}, TargetsError, ["all"], id="all of a builder that cannot list them"),
        pytest.param({"sink": RegistrySink()}, BuildError, ["hello", "default_repo"], id="no registry and no default_repo"),
        pytest.param({"sink": None}, TargetsError, ["linux/amd64, linux/arm64", "nowhere"], id="several platforms and no sink"),
        pytest.param({"sink": None, "targets": "linux/arm64"}, BuildError, ["nowhere"], id="no sink"),
        pytest.param({"tag": "no tag"}, ReferenceSyntaxError, ["no tag"], id="not a tag"),
        pytest.param({"tag": "t" * 120}, ReferenceSyntaxError, ["t" * 120], id="a tag too long for its children"),
        pytest.param({"context": "/no/such/folder"}, BuildError, ["/no/such/folder", "hello"], id="no source folder"),
        pytest.param({"builder": FilesBuilder()}, BuildError, ["hello", "entrypoint"], id="files without entrypoint and base"),
        pytest.param({"builder": None}, BuildError, ["hello", "entrypoint"], id="no builder is files"),
        pytest.param({"image": "hello:1"}, BuildError, ["hello:1"], id="a name with a tag"),
        pytest.param({"image": "Hello"}, ReferenceSyntaxError, ["Hello"], id="a name in capitals"),
        pytest.param({"platforms": "linux/s390x"}, TargetsError, ["linux/amd64", "linux/s390x"], id="the artifact cannot be built for it"),
        pytest.param({"targets": []}, ArchkitError, ["no platform"], id="an empty list of targets"),
    ],
)
def test_refused_before_anything_is_built(
    options: dict[str, Any], error: type[ArchkitError], names: list[str], archkit_registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    builder = options.pop("builder", CustomBuilder(lambda _request, _context: pytest.fail("it was built")))
    artifact = Artifact(
        options.pop("image", "hello"), options.pop("context", tmp_path), builder=builder, platforms=options.pop("platforms", None)
    )

    with pytest.raises(error) as caught:
        build(artifact, **{"targets": BOTH, "sink": RegistrySink(archkit_registry.host), "tag": "1", **options})

    assert all(name in str(caught.value) for name in names)
    assert not [exchange for exchange in archkit_registry.log if exchange.method not in {"GET", "HEAD"}]


def test_two_artifacts_with_one_final_name_are_refused(archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    with pytest.raises(BuildError, match=r"127_0_0_1.*would be.*and so would"):
        run(archkit_registry, [hello(image="127.0.0.1/x"), hello(image="127_0_0_1_x")])


def test_no_artifacts_are_refused(archkit_registry: EmbeddedRegistry) -> None:
    with pytest.raises(BuildError, match="no artifacts"):
        run(archkit_registry, [])


@pytest.mark.parametrize(
    ("name", "meant"),
    [("Dockerfile", "Docker"), ("go.mod", "ko"), ("pom.xml", "Jib"), ("project.toml", "Buildpacks"), ("notes.txt", "entrypoint")],
)
def test_a_folder_that_is_meant_for_another_builder_names_it(
    name: str, meant: str, tmp_path: Path, archkit_registry: EmbeddedRegistry
) -> None:
    (tmp_path / name).write_text("")

    with pytest.raises(BuildError) as caught:
        run(archkit_registry, Artifact("hello", tmp_path))

    assert meant in str(caught.value)


# ---- what goes wrong ---------------------------------------------------------------------------------------------


def test_a_function_that_fails_is_a_chained_error_and_moves_no_tag(
    archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact], tmp_path: Path
) -> None:
    def broken(_request: BuildRequest, _context: BuildContext) -> None:
        raise KeyError("oops")

    with pytest.raises(BuildError, match=r"cannot build other.*custom broken failed: KeyError: 'oops'") as caught:
        run(archkit_registry, [hello(), Artifact("other", tmp_path, builder=CustomBuilder(broken))])

    assert isinstance(caught.value.__cause__, KeyError)
    assert "latest" not in archkit_registry.tags("hello")


@pytest.mark.parametrize("per_platform", [True, False], ids=["per platform", "native"])
@pytest.mark.parametrize("staged", [True, False], ids=["staged", "final name"])
def test_a_function_builds_and_archkit_verifies(
    per_platform: bool, staged: bool, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tmp_path: Path
) -> None:
    seen: list[str | None] = []

    def push(request: BuildRequest, _context: BuildContext) -> object:
        assert request.reference is not None
        seen.append(request.reference.tag)
        return archkit_images.push(str(request.reference), list(request.platforms))

    builder = CustomBuilder(push, per_platform=per_platform, staged=staged)
    result = run(archkit_registry, Artifact("web", tmp_path, builder=builder))

    assert str(result.images[0].platforms) == BOTH
    assert archkit_registry.resolve("web:latest") == result.images[0].digest
    expected = ["latest_linux_amd64", "latest_linux_arm64"] if per_platform else ["latest_archkit-staging" if staged else "latest"]
    assert seen == expected
    assert list(archkit_registry.tags("web")) == ["latest", "latest_linux_amd64", "latest_linux_arm64"]
    assert result.findings == ()


@pytest.mark.parametrize("per_platform", [True, False], ids=["per platform", "native"])
def test_attestations_stay_with_their_images(
    per_platform: bool, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tmp_path: Path
) -> None:
    def push(request: BuildRequest, _context: BuildContext) -> object:
        return archkit_images.push(str(request.reference), list(request.platforms), attestations=True)

    result = run(archkit_registry, Artifact("web", tmp_path, builder=CustomBuilder(push, per_platform=per_platform)))

    index = archkit_registry.manifest("web:latest").document()
    assert isinstance(index, Index)
    about = {entry.annotations[ATTESTED] for entry in index.manifests if not entry.is_image}
    assert about == {entry.digest for entry in index.images}
    assert len(index.manifests) == 4
    assert str(result.images[0].platforms) == BOTH


def test_a_builder_is_asked_once_what_it_can_do(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tmp_path: Path) -> None:
    class Counting:
        name = "counting"
        asked = 0

        def abilities(self, context: BuildContext) -> BuilderAbilities:
            self.asked += 1
            return BuilderAbilities()

        def build(self, request: BuildRequest, context: BuildContext) -> Delivered:
            return Delivered(archkit_images.push(str(request.reference), list(request.platforms)).digest)

    builder = Counting()
    run(archkit_registry, Artifact("web", tmp_path, builder=builder))

    assert builder.asked == 1


def test_what_a_builder_finds_before_the_build_stands_in_the_plan(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tmp_path: Path
) -> None:
    class Careful:
        name = "careful"

        def abilities(self, context: BuildContext) -> BuilderAbilities:
            return BuilderAbilities()

        def preflight(self, artifact: Artifact, platforms: PlatformSet, context: BuildContext, sink: Sink) -> list[Finding]:
            return [Finding.of("emulated-build", f"{platforms} will be emulated", artifact.image)]

        def build(self, request: BuildRequest, context: BuildContext) -> Delivered:
            return Delivered(archkit_images.push(str(request.reference), list(request.platforms)).digest)

    result = run(archkit_registry, Artifact("web", tmp_path, builder=Careful()))

    assert [finding.message for finding in result.findings] == [f"{BOTH} will be emulated"]


def test_a_listener_is_never_called_by_two_threads_at_once(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tmp_path: Path
) -> None:
    inside: list[Event] = []

    def talk(request: BuildRequest, context: BuildContext) -> object:
        for _ in range(20):
            context.emit(Event("build", "progress", "web", request.platform, "line"))
        return archkit_images.push(str(request.reference), list(request.platforms))

    def look(event: Event) -> None:
        assert inside == []
        inside.append(event)
        time.sleep(0.001)
        inside.clear()

    builder = CustomBuilder(talk, per_platform=True, parallel=True)
    assert run(archkit_registry, Artifact("web", tmp_path, builder=builder), on_event=look).images


@pytest.mark.parametrize("returned", ["nothing", "digest", "reference", "delivered", "built image"])
def test_every_answer_of_a_function_is_understood(
    returned: str, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tmp_path: Path
) -> None:
    def push(request: BuildRequest, _context: BuildContext) -> object:
        image = archkit_images.push(str(request.reference), list(request.platforms))
        answers = {"digest": str(image.digest), "reference": image.reference, "delivered": Delivered(image.digest), "built image": image}
        return answers.get(returned)

    result = run(archkit_registry, Artifact("web", tmp_path, builder=CustomBuilder(push)))

    assert str(result.images[0].platforms) == BOTH


@pytest.mark.parametrize("answer", [5, "latest", b"sha256"], ids=str)
def test_an_answer_that_is_no_digest_is_refused(answer: object, archkit_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="the function returned"):
        run(archkit_registry, Artifact("web", tmp_path, builder=CustomBuilder(lambda _request, _context: answer)))


def test_a_function_that_pushed_nothing_is_found_out(archkit_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"ended without an error, but .*web:latest is not there"):
        run(archkit_registry, Artifact("web", tmp_path, builder=CustomBuilder(lambda _request, _context: None)))


@pytest.mark.parametrize("per_platform", [True, False], ids=["per platform", "native"])
def test_another_cpu_than_asked_is_found_out_whatever_the_builder_says(
    per_platform: bool, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tmp_path: Path
) -> None:
    archkit_images.push("web:latest", ["linux/amd64", "linux/arm64"])
    before = archkit_registry.resolve("web:latest")

    def lie(request: BuildRequest, _context: BuildContext) -> Delivered:
        image = archkit_images.push(str(request.reference), ["linux/amd64"])
        return Delivered(image.digest, request.platforms)

    builder = CustomBuilder(lie, per_platform=per_platform, staged=True)
    with pytest.raises(PlatformNotDelivered) as caught:
        run(archkit_registry, Artifact("web", tmp_path, builder=builder))

    assert (caught.value.delivered, caught.value.platform) == (("linux/amd64",), "linux/arm64")
    assert "linux/arm64" in caught.value.asked
    assert all(word in str(caught.value) for word in ("web", "linux/arm64", "linux/amd64", "custom lie"))
    assert archkit_registry.resolve("web:latest") == before


def test_platforms_that_nobody_asked_for_are_reported(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, tmp_path: Path
) -> None:
    """Skaffold says nothing: a script that always builds both passes for one."""

    def both(request: BuildRequest, _context: BuildContext) -> object:
        return archkit_images.push(str(request.reference), BOTH)

    result = run(archkit_registry, Artifact("web", tmp_path, builder=CustomBuilder(both)), "linux/arm64")

    assert [finding.code for finding in result.findings] == ["platforms-not-asked"]
    assert "custom both was asked to build linux/arm64 and also delivered linux/amd64" in result.findings[0].message


@pytest.mark.parametrize("native", [True, False], ids=["native", "per platform"])
def test_a_program_for_another_cpu_is_found_out(native: bool, archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    with pytest.raises(PlatformNotDelivered, match=r"linux/arm64 with a program for amd64") as caught:
        run(archkit_registry, hello(lies={"linux/arm64": "linux/amd64"}, native=native))

    assert caught.value.builder == "files"
    assert "latest" not in archkit_registry.tags("hello")


def test_an_older_program_of_the_same_family_is_right(archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    assert run(archkit_registry, hello(lies={"linux/amd64": "linux/386"})).findings == ()


def test_a_32_bit_arm_program_in_an_arm64_image_is_doubtful(archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    result = run(archkit_registry, hello(lies={"linux/arm64": "linux/arm/v7"}))

    assert [finding.code for finding in result.findings] == ["entrypoint-32-bit"]


@pytest.mark.parametrize("native", [True, False], ids=["native", "per platform"])
def test_a_registry_that_fails_in_the_middle_leaves_the_old_tag(
    native: bool, archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]
) -> None:
    first = run(archkit_registry, hello(native=native)).images[0]
    archkit_registry.on("PUT", kind="manifest").answer(500).optional()

    with pytest.raises((BuildError, RegistryError), match="hello"):
        run(archkit_registry, hello("linux/amd64", "linux/arm64", labels={"new": "1"}, native=native))

    assert archkit_registry.resolve("hello:latest") == first.digest


def test_a_registry_that_is_down_is_an_error_that_names_it(hello: Callable[..., Artifact], archkit_registry: EmbeddedRegistry) -> None:
    host = archkit_registry.host
    archkit_registry.stop()

    with pytest.raises(RegistryError, match=host):
        build(hello(), targets=BOTH, sink=RegistrySink(host), tag="1")


def test_cancelled_builds_stop_and_move_no_tag(archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    cancel = threading.Event()

    def cancel_after_the_build(event: Event) -> None:
        if (event.work, event.stage) == ("build", "finished"):
            cancel.set()

    with pytest.raises(CancelledError, match="hello"):
        run(archkit_registry, hello(), cancel=cancel, on_event=cancel_after_the_build)

    assert list(archkit_registry.tags("hello")) == []


def test_a_client_of_the_caller_is_used_and_stays_open(archkit_registry: EmbeddedRegistry, hello: Callable[..., Artifact]) -> None:
    with RegistryClient() as client:
        run(archkit_registry, hello(), registry=client)

        assert str(client.platforms(f"{archkit_registry.host}/hello:latest")) == BOTH

"""Images for the local engine: what is refused before, loaded or left there, and verified in it."""
# ruff: noqa: S604 - `shell` is an argument of the builder under test

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from archkit import (
    Artifact,
    BuilderAbilities,
    BuildError,
    BuildRequest,
    BuildResult,
    BuildToolError,
    CustomBuilder,
    Delivered,
    EngineImage,
    EngineInfo,
    EngineSink,
    LayoutSink,
    Pipeline,
    Platform,
    PlatformNotDelivered,
    PlatformSet,
    TargetsError,
    ToolNotFoundError,
    build,
)
from archkit.testing import FakeRunner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archkit import BuildContext, ImageReference
    from archkit.testing import Answer, Call

BOTH = "linux/amd64,linux/arm64"


class FakeEngine:
    """An engine that reads archives as Docker does: `manifest.json` before 25, else the layout."""

    def __init__(self, *, holds_index: bool = False, lies: str = "") -> None:
        self.images: dict[str, PlatformSet] = {}
        self.holds_index, self.lies = holds_index, lies

    def info(self) -> EngineInfo:
        return EngineInfo("docker", "29.1" if self.holds_index else "20.10", Platform("linux", "amd64"), self.holds_index)

    def find(self, reference: ImageReference) -> EngineImage | None:
        found = self.images.get(reference.familiar)
        return None if found is None else EngineImage("sha256:" + "0" * 64, found)

    def load(self, archive: Path) -> None:
        with tarfile.open(archive) as tar:

            def content(name: str) -> Any:
                file = tar.extractfile(name)
                assert file is not None
                return json.load(file)

            def platform(config: str) -> str:
                fields = content(config)
                return self.lies or f"{fields['os']}/{fields['architecture']}"

            def blob(digest: str) -> str:
                return f"blobs/{digest.replace(':', '/')}"

            (entry,) = content("index.json")["manifests"]
            assert content("oci-layout") == {"imageLayoutVersion": "1.0.0"}
            manifest = content(blob(entry["digest"]))
            if self.holds_index:
                children = [content(blob(child["digest"])) for child in manifest["manifests"]]
                name = entry["annotations"]["io.containerd.image.name"].removeprefix("docker.io/library/")
                self.images[name] = PlatformSet(platform(blob(child["config"]["digest"])) for child in children)
                return
            (image,) = content("manifest.json")
            assert set(image["Layers"]) <= set(tar.getnames())
            for name in image["RepoTags"]:
                self.images[name] = PlatformSet([platform(image["Config"])])

    def tag(self, source: ImageReference, target: ImageReference) -> None:
        self.images[target.familiar] = self.images[source.familiar]

    def remove(self, reference: ImageReference) -> None:
        self.images.pop(reference.familiar, None)


def run(engine: FakeEngine | None, artifact: Artifact, targets: str, **options: Any) -> BuildResult:
    return build(artifact, targets=targets, sink=EngineSink(), tag="1", engine=engine, **options)


@pytest.mark.parametrize("native", [True, False], ids=["native", "per platform"])
def test_what_is_built_as_a_layout_is_loaded(native: bool, hello: Callable[..., Artifact]) -> None:
    engine = FakeEngine()
    (image,) = run(engine, hello(native=native), "linux/arm64").images
    assert engine.images == {"hello:1": PlatformSet("linux/arm64")}
    assert (image.reference, str(image.platforms), image.digest) == ("hello:1", "linux/arm64", None)


def test_an_engine_that_can_hold_several_platforms_gets_them(hello: Callable[..., Artifact]) -> None:
    engine = FakeEngine(holds_index=True)
    result = run(engine, hello(), BOTH)
    assert engine.images == {"hello:1": PlatformSet(BOTH)}
    assert result.findings == ()


def test_several_platforms_are_refused_before_the_build(tmp_path: Path) -> None:
    builder = CustomBuilder(lambda _request, _context: pytest.fail("it was built"))
    with pytest.raises(TargetsError, match=r"linux/amd64, linux/arm64 requested, but there is nowhere .* push to a registry"):
        run(FakeEngine(), Artifact("web", tmp_path, builder=builder), BOTH)


def test_without_an_engine_dockers_is_asked(hello: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BuildToolError, match="the local engine needs docker, which is not installed or not on PATH; install") as caught:
        run(None, hello(), "linux/arm64")
    assert caught.value.kind == "tool-missing"


def test_an_engine_that_cannot_be_asked_is_told(hello: Callable[..., Artifact]) -> None:
    class Absent(FakeEngine):
        def info(self) -> EngineInfo:
            raise ToolNotFoundError("docker")

    with pytest.raises(BuildToolError, match="the local engine needs docker, which is not installed") as caught:
        run(Absent(), hello(), "linux/arm64")
    assert caught.value.kind == "tool-missing"


def test_what_the_engine_made_of_it_is_looked_at_before_the_name_moves(hello: Callable[..., Artifact]) -> None:
    engine = FakeEngine(lies="linux/amd64")
    with pytest.raises(PlatformNotDelivered, match=r"docker 20.10 \(linux/amd64\) has no image for linux/arm64"):
        run(engine, hello(), "linux/arm64")
    assert engine.images == {}


def test_platforms_that_the_name_had_before_are_reported_when_lost(hello: Callable[..., Artifact]) -> None:
    engine = FakeEngine()
    run(engine, hello(), "linux/amd64")
    assert [finding.code for finding in run(engine, hello(), "linux/arm64").findings] == ["platforms-lost"]


@pytest.mark.parametrize("staged", [True, False], ids=["staged", "final name"])
def test_a_command_leaves_its_image_in_the_engine(staged: bool, archkit_process: FakeRunner, tmp_path: Path) -> None:
    engine = FakeEngine()

    def leave(call: Call) -> Answer | None:
        assert call.env["PUSH_IMAGE"] == "false"
        engine.images[call.env["IMAGE"].removeprefix("docker.io/library/")] = PlatformSet(call.env["PLATFORMS"])
        return None

    archkit_process.on("make").do(leave)
    run(engine, Artifact("web", tmp_path, builder=CustomBuilder(["make"], staged=staged)), "linux/arm64")
    assert archkit_process.calls[0].env["IMAGE_TAG"] == ("1_archkit-staging" if staged else "1")
    assert engine.images == {"web:1": PlatformSet("linux/arm64")}


@pytest.mark.parametrize(
    ("left", "error", "says"),
    [
        ("", BuildError, "is not in the engine docker 20.10"),
        ("linux/amd64", PlatformNotDelivered, "custom make was asked to build web for linux/arm64 and delivered linux/amd64: .*PLATFORMS"),
    ],
)
def test_what_a_command_left_is_verified(
    left: str, error: type[BuildError], says: str, archkit_process: FakeRunner, tmp_path: Path
) -> None:
    engine = FakeEngine()
    archkit_process.on("make").do(lambda _: engine.images.update({"web:1_archkit-staging": PlatformSet(left)} if left else {}))
    with pytest.raises(error, match=says):
        run(engine, Artifact("web", tmp_path, builder=CustomBuilder(["make"], staged=True)), "linux/arm64")
    assert engine.images == {}


def test_a_builder_of_one_platform_at_a_time_cannot_fill_an_engine_with_several(tmp_path: Path) -> None:
    class Classic:
        name = "classic"

        def abilities(self, context: BuildContext) -> BuilderAbilities:
            return BuilderAbilities(sinks=frozenset({EngineSink}))

        def build(self, request: BuildRequest, context: BuildContext) -> Delivered:
            pytest.fail("it was built")

    with pytest.raises(TargetsError, match="classic builds one platform at a time"):
        run(FakeEngine(holds_index=True), Artifact("web", tmp_path, builder=Classic()), BOTH)


def test_a_command_cannot_fill_a_layout(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="cannot put images into a LayoutSink"):
        build(
            Artifact("web", tmp_path, builder=CustomBuilder(shell="true")), targets="linux/arm64", sink=LayoutSink(tmp_path / "o"), tag="1"
        )


def test_a_pipeline_fills_an_engine_and_runs_the_tools_that_it_is_given(tmp_path: Path) -> None:
    engine, tools = FakeEngine(), FakeRunner()
    tools.on("make").do(lambda call: engine.images.update({"web:1_archkit-staging": PlatformSet(call.env["PLATFORMS"])}))
    web = Artifact("web", tmp_path, builder=CustomBuilder(["make"], staged=True))
    pipeline = Pipeline(web, sink=EngineSink(), tag="1", requested="linux/arm64", engine=engine, runner=tools)

    plan = pipeline.plan()
    assert plan.build is not None
    assert "build linux/arm64, left as 1_archkit-staging" in plan.explain()
    assert pipeline.build().images[0].reference == "web:1"
    tools.check()

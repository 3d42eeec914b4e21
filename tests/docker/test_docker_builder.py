"""DockerBuilder with a client that does what a test says."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fake_docker import CONTAINERD, INFO

from archkit import (
    Artifact,
    BuildError,
    BuildToolError,
    CommandError,
    DockerBuilder,
    DockerEngine,
    EmulationMissing,
    EngineInfo,
    EngineSink,
    ImageReference,
    Pipeline,
    Platform,
    PlatformNotDelivered,
    PlatformSet,
    RegistrySink,
    Secret,
    ToolNotFoundError,
    build,
)
from archkit.model.oci import OCI_INDEX
from archkit.planning.emulation import BuildMachine

if TYPE_CHECKING:
    from pathlib import Path

    from fake_docker import FakeDocker

    from archkit import BuildResult, Event
    from archkit.testing import Call, EmbeddedRegistry, ImageFactory

AMD, ARM = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
BOTH = "linux/amd64,linux/arm64"
DRIVER = "Name: default\nDriver: docker\n\nNodes:\nName: default\nPlatforms: linux/amd64, linux/arm64\n"
REMOTE = "Name: rem\nDriver: remote\n\nNodes:\nName: rem0\nStatus: running\nPlatforms: linux/amd64, linux/arm64\n"
"""What `docker buildx inspect` prints."""
EMULATES = BuildMachine(AMD, (ARM,))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    return tmp_path / "src"


def run(
    registry: EmbeddedRegistry, folder: Path, targets: str | None = BOTH, *, more: dict[str, Any] | None = None, **options: Any
) -> BuildResult:
    what = Artifact("app", folder, builder=DockerBuilder(**options))
    return build(what, **{"targets": targets, "sink": RegistrySink(registry.host), "tag": "v1", **(more or {})})


# ---- the ways ---------------------------------------------------------------------------------------------------------


def test_the_classic_builder(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/s390x")
    docker.has().builds("build")
    docker.inspects_and_pushes()
    events: list[Event] = []
    image = run(archkit_registry, folder, more={"on_event": events.append}).images[0]
    assert image.platforms == PlatformSet(BOTH)
    assert list(archkit_registry.tags("app")) == ["v1", "v1_linux_amd64", "v1_linux_arm64"]
    calls = [call for call in docker.runner.calls if call.command[1] == "build"]
    assert {call.command[call.command.index("--platform") + 1] for call in calls} == {"linux/amd64", "linux/arm64"}
    for call in calls:
        assert {"--pull", "--force-rm"} <= {*call.command}
        assert call.env["DOCKER_BUILDKIT"] == "0"
        assert "DOCKER_DEFAULT_PLATFORM" not in call.env
    assert [event.stage for event in events if event.work == "push"].count("finished") == 2


def test_the_push_is_beside_the_next_build(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    """The first push ends only when the second build has begun."""
    begun = threading.Event()
    docker.has()
    first = docker.builds("build").times(1)
    second = docker.on("build", ...)

    def build_second(call: Call) -> None:
        begun.set()
        docker.build(call)

    second.do(build_second)
    docker.on("push", ...).do(lambda call: docker.push(call) if begun.wait(20) else None)
    docker.inspects_and_pushes()
    assert run(archkit_registry, folder).images[0].platforms == PlatformSet(BOTH)
    assert (first.used, second.used) == (1, 1)


def test_the_docker_driver(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    docker.has(buildx="0.38.2", builder=DRIVER).builds("buildx", "build")
    docker.inspects_and_pushes()
    assert run(archkit_registry, folder).images[0].platforms == PlatformSet(BOTH)
    builds = [call.command for call in docker.runner.calls if call.command[1:3] == ("buildx", "build")]
    assert len(builds) == 2
    assert all({"--load", "--pull", "--provenance=false"} <= {*words} for words in builds)


@pytest.mark.parametrize("here", [{"builder": REMOTE}, {"builder": DRIVER, "info": CONTAINERD}], ids=["remote", "containerd-store"])
def test_one_native_build(here: dict[str, Any], docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    docker.has(buildx="0.38.2", **here).builds_natively()
    assert run(archkit_registry, folder, builder="rem").images[0].platforms == PlatformSet(BOTH)
    (words,) = [call.command for call in docker.runner.calls if call.command[1:3] == ("buildx", "build")]
    assert words[3:7] == ("--builder", "rem", "--platform", BOTH)
    assert "--tag" not in words


def test_podman(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    docker.program = "podman"
    info = {"host": {"os": "linux", "arch": "amd64", "kernel": "other"}, "version": {"Version": "4.3.1"}}
    docker.on("info", "--format", "json").answer(json.dumps(info))
    docker.builds("build")
    docker.inspects_and_pushes()
    plan = Pipeline(
        Artifact("app", folder, builder=DockerBuilder(client_call=["podman"])), default_repo=archkit_registry.host, tag="v1", requested=BOTH
    ).plan()
    assert "podman 4.3.1 (linux/amd64) has no BuildKit front end" in plan.explain()
    assert run(archkit_registry, folder, client_call=["podman"]).images[0].platforms == PlatformSet(BOTH)
    assert all("--pull=always" in call.command for call in docker.runner.calls if call.command[1] == "build")


def test_the_default_is_the_engines_platform(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    docker.has(info={**INFO, "Architecture": "aarch64"}).builds("build")
    docker.inspects_and_pushes()
    assert run(archkit_registry, folder, None).images[0].platforms == PlatformSet("linux/arm64")


def test_host_and_context_are_handed_over(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    docker.runner.on(docker.program, "--context", "there", "--host", "unix:///x", "buildx", "version").answer(status=1)
    docker.runner.on(docker.program, "--context", "there", "--host", "unix:///x", "info", ...).answer(json.dumps(INFO))
    engine = DockerEngine(host="unix:///x", context="there")
    assert engine.facts().engine == EngineInfo("docker", "20.10.24", AMD)


# ---- what is refused before ------------------------------------------------------------------------------------------


def refused(docker: FakeDocker, registry: EmbeddedRegistry, folder: Path, targets: str = BOTH, **options: Any) -> BuildError:
    with pytest.raises(BuildError) as error:
        run(registry, folder, targets, **options)
    assert not [call for call in docker.runner.calls if "build" in call.command]
    return error.value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "the Dockerfile .*Dockerfile cannot be read: No such file"),
        ("FROM scratch AS a\nFROM a AS b\n", "Dockerfile has no stage 'nobody'; it has a, b"),
    ],
)
def test_a_dockerfile_or_stage_that_is_not_there(
    text: str | None, message: str, docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path
) -> None:
    docker.has(buildx="0.38.2", builder=REMOTE)
    (folder / "Dockerfile").unlink()
    if text is not None:
        (folder / "Dockerfile").write_text(text)
    error = refused(docker, archkit_registry, folder, target="nobody")
    assert pytest.raises(BuildError, match=message).matches(error)


def test_a_base_that_lacks_a_platform(
    docker: FakeDocker, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, folder: Path
) -> None:
    archkit_images.push("base:1", ["linux/amd64"])
    (folder / "Dockerfile").write_text(f"FROM {archkit_registry.host}/base:1\n")
    docker.has(buildx="0.38.2", builder=REMOTE)
    error = refused(docker, archkit_registry, folder)
    assert isinstance(error, BuildToolError)
    assert (error.kind, error.platform) == ("base-lacks-platform", "linux/arm64")


def test_a_base_that_nobody_can_ask_for_is_left_to_docker(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    (folder / "Dockerfile").write_text(f"FROM {archkit_registry.host}/nowhere:1\nFROM Not//valid\n")
    docker.has(buildx="0.38.2", builder=REMOTE).builds_natively()
    assert run(archkit_registry, folder).images[0].platforms == PlatformSet(BOTH)


def test_a_program_that_nothing_runs(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM scratch AS one\nRUN make\nFROM one\n")
    docker.has(buildx="0.38.2", builder=REMOTE.replace(", linux/arm64", ""))
    error = refused(docker, archkit_registry, folder)
    assert isinstance(error, EmulationMissing)
    assert "RUN in line 2 of Dockerfile, stage 'one'" in str(error)
    assert "node 'rem0' of builder 'rem' (linux/amd64) has no emulator for arm64" in str(error)


def test_a_cross_compiling_dockerfile_is_not_blocked(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM --platform=$BUILDPLATFORM scratch AS one\nRUN make\nFROM scratch\nCOPY --from=one / /\n")
    docker.has(buildx="0.38.2", builder=REMOTE.replace(", linux/arm64", "")).builds_natively()
    result = run(archkit_registry, folder)
    assert (result.images[0].platforms, result.findings) == (PlatformSet(BOTH), ())


@pytest.mark.parametrize(
    ("machine", "hint"),
    [(EMULATES, "which is slow"), (BuildMachine(AMD, complete=False), "cannot be seen from here")],
    ids=["here", "unknown"],
)
def test_an_emulated_build_is_told(
    machine: BuildMachine, hint: str, docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archkit.adapters.docker_engine.DockerEngine._is_here", staticmethod(lambda kernel: True))
    (folder / "Dockerfile").write_text("FROM scratch\nRUN make\n")
    docker.has().builds("build")
    docker.inspects_and_pushes()
    (finding,) = run(archkit_registry, folder, machine=machine).findings
    assert finding.code == "emulated-build"
    assert hint in finding.message


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"secrets": {"a": "b"}}, "secrets: only BuildKit"),
        ({"provenance": True, "sbom": True}, "provenance, sbom: only BuildKit"),
        ({"build_args": {"HTTP_PROXY": Secret("x")}}, "HTTP_PROXY is a secret"),
    ],
)
def test_options_that_cannot_be_had(
    options: dict[str, Any], word: str, docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path
) -> None:
    docker.has()
    assert word in str(refused(docker, archkit_registry, folder, **options))


def test_annotations_need_a_store_that_keeps_them(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    docker.has(buildx="0.38.2", builder=DRIVER)
    error = refused(docker, archkit_registry, folder, annotations={"a": "b"})
    assert "annotations: the image store of docker 20.10.24 (linux/amd64) cannot keep that" in str(error)


def test_what_only_buildkit_can_do(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nRUN --mount=type=cache,target=/c make\n")
    docker.has()
    error = refused(docker, archkit_registry, folder)
    assert "line 2 of Dockerfile uses RUN --mount, which needs BuildKit, and there is no buildx plugin" in str(error)


def test_a_file_for_another_frontend_is_left_to_it(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    (folder / "Dockerfile").write_text("# syntax=example.com/mine\nwhatever\n")
    docker.has(buildx="0.38.2", builder=REMOTE).builds_natively()
    assert run(archkit_registry, folder).images[0].platforms == PlatformSet(BOTH)


# ---- what is missing, and what lies ----------------------------------------------------------------------------------


def test_no_client(archkit_registry: EmbeddedRegistry, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        BuildToolError, match=r"docker needs docker, which is not installed or not on PATH; install Docker's client"
    ) as error:
        run(archkit_registry, folder)
    assert error.value.kind == "tool-missing"
    with pytest.raises(ToolNotFoundError, match="install podman"):
        DockerEngine(client_call="podman").info()


def test_the_command_line_is_the_same_with_and_without_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = DockerEngine(client_call=["docker", "--debug"], host="unix:///x", context="c")
    monkeypatch.setenv("PATH", str(tmp_path))
    without = engine.command()
    (tmp_path / "docker").write_text("#!/bin/sh\n")
    (tmp_path / "docker").chmod(0o755)
    assert engine.command() == without == ["docker", "--debug", "--context", "c", "--host", "unix:///x"]


def test_no_engine(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    docker.has(info=None)
    error = refused(docker, archkit_registry, folder)
    assert isinstance(error, BuildToolError)
    assert error.kind == "engine-down"


def test_an_engine_that_answers_nothing(docker: FakeDocker) -> None:
    docker.has(info={"ServerErrors": ["x"]})
    with pytest.raises(CommandError, match="Cannot connect"):
        DockerEngine().info()


def test_a_builder_without_buildx(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    docker.has()
    error = refused(docker, archkit_registry, folder, builder="b")
    assert isinstance(error, BuildToolError)
    assert error.kind == "tool-missing"


def test_an_old_buildx(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    docker.has(buildx="0.9.1", builder=DRIVER)
    error = refused(docker, archkit_registry, folder)
    assert "buildx is version 0.9.1; 0.10 or later is needed" in str(error)


def test_an_image_for_another_cpu_is_not_pushed(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    docker.lies["linux/arm64"] = "linux/amd64"
    docker.has().builds("build")
    docker.inspects_and_pushes()
    with pytest.raises(PlatformNotDelivered, match="it was not pushed") as error:
        run(archkit_registry, folder, "linux/arm64")
    assert (error.value.asked, error.value.delivered) == (("linux/arm64",), ("linux/amd64",))
    assert list(archkit_registry.tags("app")) == []


def test_a_cache_of_another_cpu_is_not_used(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    """The classic builder's cache knows no platforms: a second `FROM scratch` gives the image of the first."""
    docker.lies["linux/arm64"] = "linux/amd64"

    def anew(call: Call) -> None:
        docker.lies.clear()
        docker.build(call)

    docker.has()
    docker.on("build", "--no-cache", ...).do(anew)
    docker.builds("build")
    docker.inspects_and_pushes()
    assert run(archkit_registry, folder).images[0].platforms == PlatformSet(BOTH)


def test_a_native_build_of_another_cpu_moves_no_tag(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    docker.lies["linux/arm64"] = "linux/s390x"
    docker.has(buildx="0.38.2", builder=REMOTE).builds_natively()
    with pytest.raises(PlatformNotDelivered, match="a base is there for another platform only"):
        run(archkit_registry, folder)
    assert "v1" not in archkit_registry.tags("app")


def test_buildx_that_says_no_digest(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    docker.has(buildx="0.38.2", builder=REMOTE)

    def write(call: Any) -> None:
        from pathlib import Path as File

        File(call.command[call.command.index("--metadata-file") + 1]).write_text("{}")

    docker.on("buildx", "build", ...).do(write)
    with pytest.raises(BuildError, match="buildx did not say which digest it made"):
        run(archkit_registry, folder)


def test_a_secret_shows_nowhere(docker: FakeDocker, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    docker.has(buildx="0.38.2", builder=REMOTE)
    docker.on("buildx", "build", ...).answer(stderr="#5 it is hunter2\nERROR: process failed: hunter2\n", status=1)
    events: list[Event] = []
    options: dict[str, Any] = {"build_args": {"TOKEN": "hunter2"}, "secrets": {"a": "hunter2"}}
    with pytest.raises(BuildToolError) as error:
        run(archkit_registry, folder, more={"on_event": events.append}, **options)
    call = docker.runner.calls[-1]
    assert call.env["TOKEN"] == "hunter2"
    assert "hunter2" not in f"{call.command}{events}{error.value!r}{error.value.log}{DockerBuilder(secrets={'a': 'hunter2'})}"
    assert any("it is ***" in event.message for event in events)


# ---- the engine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("builder", [REMOTE, DRIVER], ids=["native", "docker-driver"])
def test_images_for_the_engine(builder: str, docker: FakeDocker, folder: Path) -> None:
    docker.has(buildx="0.38.2", builder=builder).builds("buildx", "build")
    docker.names()
    docker.inspects_and_pushes()
    what = Artifact("app", folder, builder=DockerBuilder())
    image = build(what, targets="linux/arm64", sink=EngineSink(), tag="v1", engine=DockerEngine()).images[0]
    assert image.platforms == PlatformSet("linux/arm64")
    assert [*docker.local.values()] == ["linux/arm64"]


def test_what_the_engine_holds(docker: FakeDocker, tmp_path: Path) -> None:
    shown = {"Id": "sha256:1", "Os": "linux", "Architecture": "amd64", "Descriptor": {"mediaType": OCI_INDEX}}
    docker.on("image", "inspect", "docker.io/library/a:1").answer(json.dumps([shown]))
    docker.on("image", "inspect", "--platform", "linux/arm64", "docker.io/library/a:1").answer("[{}]")
    docker.on("image", "inspect", "--platform", ..., "docker.io/library/a:1").answer(stderr="does not provide the platform", status=1)
    docker.on("image", "inspect", "docker.io/library/gone:1").answer("[]", "Error: No such image: gone", status=1)
    docker.on("image", "inspect", ...).answer("[]", "permission denied", status=1)
    docker.on("load", "--input", "/a.tar")
    docker.on("image", "rm", "docker.io/library/gone:1").answer(status=1)
    docker.on("image", "rm", "docker.io/library/a:1").answer(stderr="image is being used", status=1)
    engine = DockerEngine()
    found = engine.find(ImageReference.parse("a:1"))
    assert found is not None
    assert found.platforms == PlatformSet(BOTH)
    assert engine.find(ImageReference.parse("gone:1")) is None
    with pytest.raises(CommandError, match="permission denied"):
        engine.find(ImageReference.parse("b:1"))
    engine.load(tmp_path.__class__("/a.tar"))
    engine.remove(ImageReference.parse("gone:1"))
    with pytest.raises(CommandError, match="being used"):
        engine.remove(ImageReference.parse("a:1"))

"""CustomBuilder with a command: Skaffold's environment contract, and what its end means."""
# ruff: noqa: S604 - `shell` is an argument of the builder under test

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archkit import (
    Artifact,
    BuildError,
    BuildResult,
    BuildToolError,
    CancelledError,
    CustomBuilder,
    EmulationMissing,
    Event,
    PlatformNotDelivered,
    RegistrySink,
    build,
)
from archkit.model.secret import Secret

if TYPE_CHECKING:
    from archkit.testing import Answer, Call, EmbeddedRegistry, FakeRunner, ImageFactory

BOTH = "linux/amd64,linux/arm64"
CONTRACT = ("BUILD_CONTEXT", "IMAGE", "IMAGE_REPO", "IMAGE_TAG", "PLATFORMS", "PUSH_IMAGE", "SKIP_TEST")


def run(registry: EmbeddedRegistry, folder: Path, builder: CustomBuilder, targets: str = BOTH, **options: Any) -> BuildResult:
    artifact = Artifact("team/web", folder, builder=builder)
    return build(artifact, targets=targets, sink=RegistrySink(registry.host), **{"tag": "v1", **options})


def pushing(images: ImageFactory, platforms: str | None = None) -> Any:
    """A tool that pushes what its environment says."""

    def push(call: Call) -> Answer | None:
        images.push(call.env["IMAGE"], (platforms or call.env["PLATFORMS"]).split(","))
        return None

    return push


def test_the_environment_is_skaffolds_and_archkits_values_win(
    archkit_registry: EmbeddedRegistry,
    archkit_images: ImageFactory,
    archkit_process: FakeRunner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMAGE", "from the caller's shell")
    monkeypatch.setenv("KUBE_CONTEXT", "kind")
    archkit_process.on("make", "image").do(pushing(archkit_images)).times(1)

    run(archkit_registry, tmp_path, CustomBuilder(["make", "image"], env={"PLATFORMS": "linux/s390x", "MORE": "1"}, skip_test=True))

    (call,) = archkit_process.calls
    assert {name: call.env[name] for name in CONTRACT} == {
        "BUILD_CONTEXT": str(tmp_path),
        "IMAGE": f"{archkit_registry.host}/team/web:v1",
        "IMAGE_REPO": f"{archkit_registry.host}/team/web",
        "IMAGE_TAG": "v1",
        "PLATFORMS": BOTH,
        "PUSH_IMAGE": "true",
        "SKIP_TEST": "true",
    }
    assert (call.env["MORE"], call.env["KUBE_CONTEXT"], call.cwd, call.timeout) == ("1", "kind", tmp_path, 3600.0)


@pytest.mark.parametrize("parallel", [True, False], ids=["at the same time", "one after the other"])
def test_a_call_per_platform_gets_the_name_of_that_platform(
    parallel: bool, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, archkit_process: FakeRunner, tmp_path: Path
) -> None:
    archkit_process.on("make").do(pushing(archkit_images)).times(2)

    result = run(archkit_registry, tmp_path, CustomBuilder(["make"], per_platform=True, parallel=parallel))

    assert {(call.env["PLATFORMS"], call.env["IMAGE_TAG"]) for call in archkit_process.calls} == {
        ("linux/amd64", "v1_linux_amd64"),
        ("linux/arm64", "v1_linux_arm64"),
    }
    assert str(result.images[0].platforms) == BOTH


def test_a_staged_command_pushes_the_staging_tag(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, archkit_process: FakeRunner, tmp_path: Path
) -> None:
    archkit_process.on("make").do(pushing(archkit_images))

    run(archkit_registry, tmp_path, CustomBuilder(["make"], staged=True))

    assert archkit_process.calls[0].env["IMAGE_TAG"] == "v1_archkit-staging"
    assert list(archkit_registry.tags("team/web")) == ["v1", "v1_linux_amd64", "v1_linux_arm64"]


def test_only_shell_is_for_the_shell(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, archkit_process: FakeRunner, tmp_path: Path
) -> None:
    archkit_process.on("sh", "-c", "make | cat").do(pushing(archkit_images)).times(1)

    run(archkit_registry, tmp_path, CustomBuilder(shell="make | cat"))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"command": "make image"}, TypeError, "give a text for the shell as shell="),
        ({"command": []}, TypeError, "program first"),
        ({"command": ["make", 1]}, TypeError, "a list of texts"),
        ({"command": 5}, TypeError, "a function of .request, context. or a list, not int"),
        ({}, ValueError, "either a command or shell="),
        ({"command": ["make"], "shell": "make"}, ValueError, "either a command or shell="),
    ],
)
def test_what_is_no_command_is_refused(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        CustomBuilder(**arguments)


def test_its_lines_are_progress_of_the_artifact_and_platform(archkit_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    """Two real commands at once print in turns; each line keeps its platform."""
    script = "for n in 1 2 3 4 5 6 7 8; do echo $PLATFORMS; echo err $PLATFORMS >&2; done; exit 1"
    events: list[Event] = []

    with pytest.raises(BuildToolError):
        run(archkit_registry, tmp_path, CustomBuilder(shell=script, per_platform=True, parallel=True), on_event=events.append)

    lines = [event for event in events if event.stage == "progress"]
    assert {event.image for event in lines} == {"team/web"}
    assert all(event.message.removeprefix("err ") == str(event.platform) for event in lines)
    assert len(lines) >= 16


@pytest.mark.parametrize(
    ("script", "kind", "says"),
    [
        ("echo no luck >&2; exit 3", "failed", "custom sh failed: sh ended with status 3: no luck"),
        ("echo 'denied: requested access to the resource is denied'; exit 1", "push-denied", "may push there"),
        ("archkit-no-such-tool", "failed", "archkit-no-such-tool: not found"),
    ],
)
def test_a_command_that_fails_says_why(script: str, kind: str, says: str, archkit_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    with pytest.raises(BuildToolError, match=says) as caught:
        run(archkit_registry, tmp_path, CustomBuilder(shell=script))

    assert caught.value.kind == kind
    assert list(archkit_registry.tags("team/web")) == []


def test_a_foreign_program_without_emulator_is_an_error_of_its_own(archkit_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    script = "case $PLATFORMS in linux/arm64) echo 'exec /bin/sh: exec format error'; exit 1;; esac"
    with pytest.raises(EmulationMissing, match=r"--install arm64") as caught:
        run(archkit_registry, tmp_path, CustomBuilder(shell=script, per_platform=True), "linux/arm64")
    assert (caught.value.platform, caught.value.log) == ("linux/arm64", "exec /bin/sh: exec format error")


def test_a_program_that_is_not_there_is_told(archkit_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    with pytest.raises(BuildToolError, match="needs archkit-no-such-tool, which is not installed") as caught:
        run(archkit_registry, tmp_path, CustomBuilder(["archkit-no-such-tool"]))
    assert caught.value.kind == "tool-missing"


def test_a_command_that_takes_too_long_is_ended(archkit_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    with pytest.raises(BuildToolError, match=r"did not end within 0.3 s .* last: working") as caught:
        run(archkit_registry, tmp_path, CustomBuilder(shell="echo working; sleep 300", timeout=0.3))
    assert caught.value.kind == "timeout"


def test_when_one_platform_fails_the_other_is_ended(archkit_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    script = "case $PLATFORMS in linux/arm64) echo no arm64; exit 1;; *) sleep 300;; esac"

    with pytest.raises(BuildToolError, match=r"for linux/arm64: .*no arm64"):
        run(archkit_registry, tmp_path, CustomBuilder(shell=script, per_platform=True, parallel=True, timeout=60))


def test_a_cancelled_command_is_ended(archkit_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    cancel = threading.Event()

    def cancel_when_it_works(event: Event) -> None:
        if event.message == "working":
            cancel.set()

    with pytest.raises(CancelledError):
        run(archkit_registry, tmp_path, CustomBuilder(shell="echo working; sleep 300"), cancel=cancel, on_event=cancel_when_it_works)


def test_temporary_files_of_a_command_go_with_the_build(archkit_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    with pytest.raises(BuildError):
        run(archkit_registry, tmp_path, CustomBuilder(shell='mktemp -d > "$BUILD_CONTEXT/where"; exit 1'))
    made = (tmp_path / "where").read_text().strip()
    assert "archkit-work-" in made
    assert not Path(made).exists()


def test_a_command_that_pushes_another_platform_is_found_out_with_its_likely_reason(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, archkit_process: FakeRunner, tmp_path: Path
) -> None:
    archkit_process.on("make").do(pushing(archkit_images, "linux/amd64"))

    with pytest.raises(PlatformNotDelivered) as caught:
        run(archkit_registry, tmp_path, CustomBuilder(["make"], staged=True))

    assert (caught.value.asked, caught.value.delivered, caught.value.builder) == (
        ("linux/amd64", "linux/arm64"),
        ("linux/amd64",),
        "custom make",
    )
    assert str(caught.value).endswith("let it build for $PLATFORMS, or give CustomBuilder(per_platform=True) for a call per platform")
    assert list(archkit_registry.tags("team/web")) == []


def test_no_secret_of_the_environment_is_shown(archkit_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    builder = CustomBuilder(
        [sys.executable, "-c", "import os; print(os.environ['TOKEN']); raise SystemExit(os.environ['TOKEN'])"],
        env={"TOKEN": Secret("hunter2")},
    )
    events: list[Event] = []

    with pytest.raises(BuildToolError) as caught:
        run(archkit_registry, tmp_path, builder, on_event=events.append)

    assert "hunter2" not in f"{builder!r}{events!r}{caught.value!r}{caught.value}{caught.value.__cause__!r}"
    assert [event.message for event in events if event.stage == "progress"] == ["***", "***"]

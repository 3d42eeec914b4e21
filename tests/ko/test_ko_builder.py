"""KoBuilder: what ko is told, what is refused before it runs, and what is found out afterwards."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from archkit import (
    AffinityRenderer,
    Artifact,
    BuildError,
    BuildResult,
    BuildToolError,
    CancelledError,
    Event,
    KoBuilder,
    LayoutSink,
    OciLayout,
    PlatformNotDelivered,
    PlatformSyntaxError,
    RegistrySink,
    Secret,
    build,
)
from archkit.testing.processes import Answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_ko import Ko

    from archkit.testing import EmbeddedRegistry, FakeRunner
    from archkit.testing.processes import Call

    Make = Callable[..., Artifact]

BOTH = "linux/amd64,linux/arm64"


@pytest.fixture
def run(archkit_registry: EmbeddedRegistry) -> Callable[..., BuildResult]:
    """Build into the registry of the test."""

    def go(artifact: Artifact, targets: str = BOTH, *, tag: str = "v1", **options: Any) -> BuildResult:
        return build(artifact, targets=targets, sink=RegistrySink(archkit_registry.host), tag=tag, **options)

    return go


# ---- what ko is told ---------------------------------------------------------------------------------------------


def test_one_run_of_ko_builds_all_platforms(archkit_registry: EmbeddedRegistry, ko: Ko, web: Make, run: Callable[..., BuildResult]) -> None:
    image = run(web()).images[0]

    (call,) = ko.builds
    assert call.command == (
        "ko",
        "build",
        "example.test/app/cmd/web",
        "--platform=linux/amd64,linux/arm64",
        "--bare",
        "--sbom=none",
        "--tags=v1_archkit-staging",
    )
    assert call.cwd == ko.folder
    assert call.env["KO_DOCKER_REPO"] == f"{archkit_registry.host}/web"
    assert call.env["KO_DEFAULTBASEIMAGE"] == f"{archkit_registry.host}/base:1"
    assert str(image.platforms) == BOTH
    assert list(archkit_registry.tags("web")) == ["v1", "v1_linux_amd64", "v1_linux_arm64"]
    assert archkit_registry.resolve("web:v1") == image.digest


def test_everything_that_can_be_set_reaches_ko(ko: Ko, web: Make, run: Callable[..., BuildResult], tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "ldflags": ["-s", "-X main.v=a,b"],
        "tags": ["netgo", "osusergo"],
        "flags": ["-mod=vendor"],
        "labels": {"team": "a,b"},
        "annotations": {"note": 'say "x"'},
        "user": "1000:1000",
        "env": {"CGO_ENABLED": "1"},
        "sbom": "spdx",
        "sbom_dir": tmp_path / "sbom",
        "disable_optimizations": True,
        "jobs": 2,
        "insecure_registry": True,
        "timeout": 77,
    }
    run(web(**options))

    (call,) = ko.builds
    assert call.command[5:] == (
        "--sbom=spdx",
        "--tags=v1_archkit-staging",
        "--ldflags=-s",
        '--ldflags="-X main.v=a,b"',
        '--image-label="team=a,b"',
        '--image-annotation="note=say ""x"""',
        "--image-user=1000:1000",
        f"--sbom-dir={tmp_path / 'sbom'}",
        "--disable-optimizations",
        "--jobs=2",
        "--insecure-registry",
    )
    assert (call.env["GOFLAGS"], call.env["CGO_ENABLED"], call.timeout) == ("-mod=vendor -tags=netgo,osusergo", "1", 77)


def test_a_name_of_ko_is_the_import_path(archkit_registry: EmbeddedRegistry, ko: Ko, web: Make, run: Callable[..., BuildResult]) -> None:
    base = web().builder.base  # type: ignore[union-attr]
    artifact = Artifact("ko://example.test/app/cmd/web", ko.folder, builder=KoBuilder(base=base))

    image = run(artifact).images[0]

    assert image.name == "ko://example.test/app/cmd/web"
    assert image.reference.startswith(f"{archkit_registry.host}/example_test_app_cmd_web:v1@sha256:")
    assert ko.runner.calls[1].command[-1] == "example.test/app/cmd/web"


def test_a_folder_needs_no_dot(ko: Ko, web: Make, run: Callable[..., BuildResult]) -> None:
    base = web().builder.base  # type: ignore[union-attr]

    run(Artifact("web", ko.folder, builder=KoBuilder("cmd/web", base=base)))

    assert ko.runner.calls[1].command[-1] == "./cmd/web"


def test_what_names_a_cpu_in_the_environment_is_not_passed_on(
    ko: Ko, web: Make, run: Callable[..., BuildResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOOS", "GOARCH", "GOARM", "GOAMD64"):
        monkeypatch.setenv(name, "nonsense")
    run(web())

    for call in ko.runner.calls:
        assert not {"GOOS", "GOARCH", "GOARM", "GOAMD64"} & set(call.env)


def test_temporary_files_of_ko_and_go_are_in_a_folder_that_goes(ko: Ko, web: Make, run: Callable[..., BuildResult]) -> None:
    seen: list[str] = []
    ko.before_push = lambda call: seen.append(call.env["TMPDIR"])
    from pathlib import Path

    run(web())

    assert "archkit-work-" in seen[0]
    assert not Path(seen[0]).exists()


def test_lines_of_ko_are_events_with_their_platform(web: Make, run: Callable[..., BuildResult]) -> None:
    events: list[Event] = []

    run(web(), on_event=events.append)

    told = [(event.image, str(event.platform), event.message) for event in events if event.stage == "progress"]
    assert told == [("web", name, f"Building example.test/app/cmd/web for {name}") for name in BOTH.split(",")]


@pytest.mark.parametrize(
    ("entries", "asked", "told"),
    [
        pytest.param(["linux/amd64", "linux/arm64/v8"], BOTH, "linux/amd64,linux/arm64/v8", id="a variant that archkit implies"),
        pytest.param(["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7", "linux/arm/v7", id="the variant of 32-bit ARM"),
    ],
)
def test_platforms_are_spelled_as_the_base_does(
    entries: list[str], asked: str, told: str, archkit_registry: EmbeddedRegistry, ko: Ko, web: Make, run: Callable[..., BuildResult]
) -> None:
    from archkit.model.oci import RawManifest

    ko.images.push("base:2", entries)
    raw = archkit_registry.manifest("base:2")
    content = raw.content.replace(b'"architecture":"arm64"', b'"architecture":"arm64","variant":"v8"') if "v8" in told else raw.content
    archkit_registry.client().put_manifest(f"{archkit_registry.host}/base:2", RawManifest(raw.media_type, content))

    run(web(base=f"{archkit_registry.host}/base:2"), asked)

    assert f"--platform={told}" in ko.builds[0].command


def test_of_a_single_image_ko_is_asked_for_what_it_reads(
    archkit_registry: EmbeddedRegistry, ko: Ko, web: Make, run: Callable[..., BuildResult]
) -> None:
    ko.images.push("base:2", ["linux/arm/v7"])
    ko.delivers = "linux/arm/v7"

    run(web(base=f"{archkit_registry.host}/base:2"), "linux/arm/v7")

    assert "--platform=linux/arm" in ko.builds[0].command


# ---- where images go -----------------------------------------------------------------------------------------------


def test_a_layout_gets_what_ko_wrote_into_one_of_its_own(
    archkit_registry: EmbeddedRegistry, archkit_process: FakeRunner, ko: Ko, web: Make, tmp_path: Path
) -> None:
    from archkit.testing import ImageFactory

    def write(call: Call) -> Answer:
        path = next(word for word in call.command if word.startswith("--oci-layout-path=")).partition("=")[2]
        pushed = ImageFactory(OciLayout(path)).push("any:1", BOTH)
        return Answer(f"{path}@{pushed.digest}\n")

    ko.instead = write
    result = build(web(), targets=BOTH, sink=LayoutSink(tmp_path / "out"), tag="v1")

    assert "--push=false" in ko.builds[0].command
    assert str(OciLayout(tmp_path / "out").platforms("web:v1")) == BOTH
    assert list(OciLayout(tmp_path / "out").tags("web")) == ["v1", "v1_linux_amd64", "v1_linux_arm64"]
    assert result.images[0].reference.startswith("web:v1@sha256:")


# ---- what is refused before ko builds ------------------------------------------------------------------------------


def test_a_platform_that_the_base_lacks_is_refused_with_what_it_has(
    archkit_registry: EmbeddedRegistry, ko: Ko, web: Make, run: Callable[..., BuildResult]
) -> None:
    reason = r"for linux/s390x: the base \S+/base:1 \(named by KoBuilder.*has only linux/amd64, linux/arm64"
    with pytest.raises(BuildToolError, match=reason) as caught:
        run(web(), "linux/amd64,linux/s390x")

    assert caught.value.kind == "base-lacks-platform"
    assert not ko.builds
    assert list(archkit_registry.tags("web")) == []


@pytest.mark.parametrize(
    ("config", "options", "names"),
    [
        pytest.param(
            "defaultBaseImage: HOST/single:1",
            {"base": None},
            ["HOST/single:1", ".ko.yaml (defaultBaseImage)", "linux/amd64"],
            id="named by .ko.yaml",
        ),
        pytest.param(
            "baseImageOverrides: {example.test/app/cmd/web: HOST/single:1}",
            {},
            ["two bases", "HOST/single:1", "baseImageOverrides"],
            id="two bases",
        ),
        pytest.param("defaultBaseImage: HOST/absent:1", {"base": None}, ["HOST/absent:1", "cannot be read", "404"], id="not there"),
        pytest.param("defaultBaseImage: 'a b'", {"base": None}, ["a b", "no image reference"], id="no reference"),
        pytest.param("defaultFlags: -tags=netgo", {"tags": "osusergo"}, ["-tags", ".ko.yaml"], id="tags twice"),
        pytest.param("builds: [{main: ./cmd/web, flags: [-mod=mod]}]", {"flags": "-mod=vendor"}, ["-mod", ".ko.yaml"], id="a flag twice"),
        pytest.param("builds: [", {}, [".ko.yaml", "cannot be read"], id="no YAML"),
        pytest.param("builds: {}\na: b\nbuilds2: ", {"config": "absent.yaml"}, ["absent.yaml", "No such file"], id="no such file"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    config: str,
    options: dict[str, Any],
    names: list[str],
    archkit_registry: EmbeddedRegistry,
    ko: Ko,
    web: Make,
    run: Callable[..., BuildResult],
) -> None:
    ko.images.push("single:1", ["linux/amd64"])
    (ko.folder / ".ko.yaml").write_text(config.replace("HOST", archkit_registry.host))

    with pytest.raises(BuildError) as caught:
        run(web(**options))

    text = str(caught.value).replace(archkit_registry.host, "HOST")
    assert [name for name in names if name not in text] == [], text
    assert not ko.builds


def test_a_variant_that_ko_does_not_read_is_refused(
    archkit_registry: EmbeddedRegistry, ko: Ko, web: Make, run: Callable[..., BuildResult]
) -> None:
    ko.images.push("base:2", ["linux/arm/v6"])

    with pytest.raises(BuildError, match="does not read the variant v6; use a base that is an index"):
        run(web(base=f"{archkit_registry.host}/base:2"), "linux/arm/v6")

    assert not ko.builds


@pytest.mark.parametrize(
    ("options", "error", "names"),
    [
        ({"env": {"GOARCH": "arm64"}}, PlatformSyntaxError, "GOARCH=arm64"),
        ({"flags": ["vendor"]}, ValueError, "vendor"),
        ({"sbom": "cyclonedx"}, ValueError, "cyclonedx"),
        ({"main": "-x"}, ValueError, "-x"),
    ],
)
def test_values_that_cannot_work(options: dict[str, Any], error: type[Exception], names: str) -> None:
    with pytest.raises(error, match=names):
        KoBuilder(**options)


# ---- tools that are missing or too old -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "options", "names"),
    [
        ("v0.14.1", {}, ["v0.14.1", "0.15.4"]),
        ("0.16.0", {"user": "1"}, ["0.16.0", "0.17.0", "user"]),
        ("0.18.1", {"ldflags": "-s", "user": "1"}, ["0.18.1", "0.19.0", "ldflags"]),
    ],
)
def test_a_ko_that_is_too_old(
    version: str, options: dict[str, Any], names: list[str], archkit_registry: EmbeddedRegistry, archkit_process: FakeRunner, tmp_path: Path
) -> None:
    archkit_process.on("ko", "version").answer(version)

    with pytest.raises(BuildToolError) as caught:
        build(Artifact("web", tmp_path, builder=KoBuilder(**options)), targets=BOTH, sink=RegistrySink(archkit_registry.host), tag="1")

    assert caught.value.kind == "tool-too-old"
    assert [name for name in names if name not in str(caught.value)] == []


def test_without_ko(archkit_registry: EmbeddedRegistry, archkit_process: FakeRunner, tmp_path: Path) -> None:
    archkit_process.on("ko", "version").not_installed()

    with pytest.raises(BuildToolError, match=r"ko needs ko, which is not installed or not on PATH; install it.*go install") as caught:
        build(Artifact("web", tmp_path, builder=KoBuilder()), targets=BOTH, sink=RegistrySink(archkit_registry.host), tag="1")

    assert caught.value.kind == "tool-missing"


def test_without_go(archkit_registry: EmbeddedRegistry, archkit_process: FakeRunner, tmp_path: Path) -> None:
    archkit_process.on("ko", "version").answer("(devel)")
    archkit_process.on("go", "list", ...).not_installed()

    with pytest.raises(BuildToolError, match="ko needs go, which is not installed or not on PATH; ko compiles with Go"):
        build(Artifact("web", tmp_path, builder=KoBuilder()), targets=BOTH, sink=RegistrySink(archkit_registry.host), tag="1")


@pytest.mark.parametrize(
    ("found", "stderr", "programs", "names"),
    [
        pytest.param("", "no Go files in /x\n", "a/cmd/b\n\na/cmd/c\n", ["no Go files in /x", "a/cmd/b, a/cmd/c"], id="no package"),
        pytest.param("", "boom\n", None, ["boom", "Go module"], id="nothing can be listed"),
        pytest.param("a/lib\nlib\n/x\n", "", "\n", ["a/lib", "library", "package lib", "no program"], id="a library"),
        pytest.param("a/b\nmain\n/x\na/c\nmain\n/y\n", "", "a/b\na/c\n", ["several packages", "a/b, a/c"], id="several"),
    ],
)
def test_no_program(
    found: str,
    stderr: str,
    programs: str | None,
    names: list[str],
    archkit_registry: EmbeddedRegistry,
    archkit_process: FakeRunner,
    tmp_path: Path,
) -> None:
    archkit_process.on("ko", "version").answer("(devel)")
    archkit_process.on("go", "list", "-find", "-f", ..., ".").answer(found, stderr, status=0 if found else 1)
    archkit_process.on("go", "list", "-find", "-e", ..., "./...").answer(programs or "", status=1 if programs is None else 0)

    with pytest.raises(BuildError) as caught:
        build(Artifact("web", tmp_path, builder=KoBuilder()), targets=BOTH, sink=RegistrySink(archkit_registry.host), tag="1")

    assert [name for name in names if name not in str(caught.value)] == [], str(caught.value)


# ---- what is found out afterwards ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stderr", "kind", "names"),
    [
        ("Error: PUT https://x/v2/: DENIED: requested access to the resource is denied\n", "push-denied", ["DENIED", "may push there"]),
        ("Error: failed: GET https://x: unexpected status code 401 Unauthorized\n", "sign-in-refused", ["401", "docker login"]),
        ("Error: dial tcp 127.0.0.1:1: connect: connection refused\n", "registry-unreachable", ["connection refused", "network"]),
        ("Error: write /t/x: no space left on device\n", "disk-full", ["no space left", "free some space"]),
        ("Error: build: go build: exit status 1: # app\n./main.go:3:8: undefined: x\n", "failed", ["undefined: x", "# app"]),
    ],
)
def test_ko_fails(
    stderr: str, kind: str, names: list[str], archkit_registry: EmbeddedRegistry, ko: Ko, web: Make, run: Callable[..., BuildResult]
) -> None:
    ko.instead = lambda _: Answer("", stderr, 1)

    with pytest.raises(BuildToolError) as caught:
        run(web())

    assert caught.value.kind == kind
    assert [name for name in names if name not in str(caught.value)] == [], str(caught.value)
    assert list(archkit_registry.tags("web")) == []


def test_ko_names_no_digest(ko: Ko, web: Make, run: Callable[..., BuildResult]) -> None:
    ko.instead = lambda _: Answer("pushed something\n")

    with pytest.raises(BuildError, match="named no digest"):
        run(web())


def test_ko_takes_too_long(ko: Ko, web: Make, run: Callable[..., BuildResult], archkit_registry: EmbeddedRegistry) -> None:
    from archkit import CommandTimeoutError

    def late(call: Call) -> Answer:
        raise CommandTimeoutError(call.command, -15, "", "", call.timeout)

    ko.instead = late
    with pytest.raises(BuildToolError, match="within 5 s") as caught:
        run(web(timeout=5))

    assert caught.value.kind == "timeout"
    assert list(archkit_registry.tags("web")) == []


def test_cancel_while_ko_runs(ko: Ko, web: Make, run: Callable[..., BuildResult], archkit_registry: EmbeddedRegistry) -> None:
    cancel = threading.Event()
    ko.after_push = lambda _: cancel.set()

    with pytest.raises(CancelledError):
        run(web(), cancel=cancel)

    assert list(archkit_registry.tags("web")) == []


@pytest.mark.parametrize(
    ("delivers", "elf", "names"),
    [
        pytest.param("linux/amd64", None, ["delivered linux/amd64", "no image for linux/arm64", "base"], id="one platform"),
        pytest.param(BOTH, {"linux/arm64": "amd64"}, ["program for amd64", "linux/arm64", "defaultEnv"], id="a program for another CPU"),
    ],
)
def test_a_lie_is_found_out_before_the_tag_moves(
    delivers: str,
    elf: dict[str, str] | None,
    names: list[str],
    archkit_registry: EmbeddedRegistry,
    ko: Ko,
    web: Make,
    run: Callable[..., BuildResult],
) -> None:
    before = run(web()).images[0].digest
    ko.delivers, ko.elf = delivers, elf

    with pytest.raises(PlatformNotDelivered) as caught:
        run(web())

    assert [name for name in names if name not in str(caught.value)] == [], str(caught.value)
    assert archkit_registry.resolve("web:v1") == before
    assert list(archkit_registry.tags("web")) == ["v1", "v1_linux_amd64", "v1_linux_arm64"]


# ---- beside other parts ----------------------------------------------------------------------------------------------


def test_a_manifest_for_ko_is_pinned_to_what_was_built(ko: Ko, web: Make, run: Callable[..., BuildResult]) -> None:
    base = web().builder.base  # type: ignore[union-attr]
    result = run(Artifact("ko://example.test/app/cmd/web", ko.folder, builder=KoBuilder(base=base)))
    pod = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - name: web\n    image: ko://example.test/app/cmd/web\n"
    )

    text = AffinityRenderer(builds=result, affinity="always").render(pod).text

    assert f"image: {result.images[0].reference}\n" in text
    assert "kubernetes.io/arch" in text


def test_when_a_later_artifact_fails_no_tag_has_moved_and_no_staging_tag_is_left(
    archkit_registry: EmbeddedRegistry, ko: Ko, web: Make
) -> None:
    def fail_second(call: Call) -> Answer:
        if call.env["KO_DOCKER_REPO"].endswith("/second"):
            ko.delivers = "linux/amd64"
        return ko.build(call)

    ko.instead = fail_second
    with pytest.raises(PlatformNotDelivered):
        build([web("first"), web("second")], targets=BOTH, sink=RegistrySink(archkit_registry.host), tag="v1")

    assert list(archkit_registry.tags("first")) == list(archkit_registry.tags("second")) == []


def test_a_secret_of_the_environment_is_shown_to_nobody(ko: Ko, web: Make, run: Callable[..., BuildResult]) -> None:
    ko.instead = lambda call: Answer("", f"2026/11/24 14:07:10 using {call.env['TOKEN'][:]}\nError: {call.env['TOKEN'][:]} is wrong\n", 1)
    events: list[Event] = []

    with pytest.raises(BuildToolError) as caught:
        run(web(env={"TOKEN": Secret("hunter2")}), on_event=events.append)

    assert "hunter2" not in f"{events}{caught.value}{caught.value!r}{caught.value.log}{web(env={'TOKEN': Secret('hunter2')})!r}"
    assert any("using ***" in event.message for event in events)

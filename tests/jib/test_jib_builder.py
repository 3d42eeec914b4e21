"""JibBuilder: what Maven and Gradle are told, what is refused before they run, and what is found out afterwards."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archkit import (
    Artifact,
    BuildError,
    BuildResult,
    BuildToolError,
    CancelledError,
    JibBuilder,
    LayoutSink,
    PlatformNotDelivered,
    RegistrySink,
    Secret,
    build,
)
from archkit.testing.processes import Answer

if TYPE_CHECKING:
    from archkit.testing import EmbeddedRegistry, FakeRunner, ImageFactory
    from archkit.testing.processes import Call

BOTH = "linux/amd64,linux/arm64"
Run = Callable[..., BuildResult]


def setting(call: Call, name: str) -> str:
    return next(word for word in call.command if word.startswith(f"-D{name}=")).partition("=")[2]


@pytest.fixture
def push(archkit_images: ImageFactory) -> Callable[[Call], Answer]:
    """What jib does: a list of Docker's types, and a report."""

    def act(call: Call, delivers: str | None = None) -> Answer:
        platforms = (delivers or setting(call, "jib.from.platforms")).split(",")
        pushed = archkit_images.push(setting(call, "jib.to.image"), platforms, docker=True)
        report: dict[str, object] = {"image": "x", "imageId": "x", "imageDigest": pushed.digest, "tags": [], "imagePushed": True}
        Path(setting(call, "jib.outputPaths.imageJson")).write_text(json.dumps(report))
        return Answer("[INFO] BUILD SUCCESS\n")

    return act


@pytest.fixture
def project(tmp_path: Path, archkit_images: ImageFactory) -> Path:
    """A Maven project whose POM names jib; and the base HOST/base:1 for amd64 and arm64."""
    archkit_images.push("base:1", BOTH)
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "pom.xml").write_text("<plugin><artifactId>jib-maven-plugin</artifactId></plugin>")
    return folder


@pytest.fixture
def run(archkit_registry: EmbeddedRegistry, project: Path) -> Run:
    def go(targets: str = BOTH, *, tag: str = "v1", cancel: threading.Event | None = None, **options: Any) -> BuildResult:
        builder = JibBuilder(**{"base": f"{archkit_registry.host}/base:1", **options})
        artifact = Artifact("web", project, builder=builder)
        return build(artifact, targets=targets, sink=RegistrySink(archkit_registry.host), tag=tag, cancel=cancel)

    return go


# ---- what is run -----------------------------------------------------------------------------------------------------


def test_one_run_of_maven_builds_all_platforms(
    archkit_registry: EmbeddedRegistry, archkit_process: FakeRunner, push: Callable[[Call], Answer], run: Run, project: Path
) -> None:
    archkit_process.on("mvn", ..., "jib:build", ...).do(push)

    image = run().images[0]

    (call,) = archkit_process.calls
    assert setting(call, "jib.to.image") == f"{archkit_registry.host}/web:v1_archkit-staging"
    assert setting(call, "jib.from.platforms") == BOTH
    assert setting(call, "jib.allowInsecureRegistries") == "true"
    assert call.cwd == project
    assert "java.io.tmpdir" in call.env["MAVEN_OPTS"]
    assert str(image.platforms) == BOTH
    assert list(archkit_registry.tags("web")) == ["v1", "v1_linux_amd64", "v1_linux_arm64"]
    assert archkit_registry.resolve("web:v1") == image.digest
    assert archkit_registry.manifest("web:v1").media_type == "application/vnd.docker.distribution.manifest.list.v2+json"


@pytest.mark.parametrize(
    ("files", "options", "words"),
    [
        pytest.param({"pom.xml": ""}, {}, ["mvn", "com.google.cloud.tools:jib-maven-plugin:3.5.2:build"], id="a POM without jib"),
        pytest.param({}, {"plugin": "3.4.0"}, ["mvn", "com.google.cloud.tools:jib-maven-plugin:3.4.0:build"], id="a version"),
        pytest.param({"mvnw": "#!"}, {}, ["FOLDER/mvnw", "jib:build"], id="Maven's wrapper"),
        pytest.param({"build.gradle": ""}, {"module": "web"}, ["gradle", ":web:jib", "--no-daemon"], id="Gradle"),
        pytest.param({"gradlew": "#!"}, {}, ["FOLDER/gradlew", ":jib", "--no-daemon"], id="Gradle's wrapper"),
        pytest.param({"gradlew": "#!"}, {"tool": "maven"}, ["mvn", "jib:build"], id="a tool that is named"),
        pytest.param({}, {"program": "/opt/mvn"}, ["/opt/mvn", "jib:build"], id="a program that is named"),
        pytest.param(
            {},
            {"args": "-DskipTests", "properties": {"jib.container.user": "1000"}},
            ["-DskipTests", "-Djib.container.user=1000"],
            id="more",
        ),
    ],
)
def test_what_is_run(
    files: dict[str, str],
    options: dict[str, Any],
    words: list[str],
    archkit_process: FakeRunner,
    push: Callable[[Call], Answer],
    run: Run,
    project: Path,
) -> None:
    for name, content in files.items():
        (project / name).write_text(content)
        (project / name).chmod(0o755)
    archkit_process.on(...).do(push)

    run(**options)

    command = archkit_process.calls[0].command
    assert [word.replace("FOLDER", str(project)) for word in words if word.replace("FOLDER", str(project)) not in command] == []


def test_passwords_stand_on_no_command_line(
    archkit_process: FakeRunner, push: Callable[[Call], Answer], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1g")
    archkit_process.on("mvn", ...).do(push)

    run(properties={"jib.to.auth.username": "me", "jib.to.auth.password": "hunter2", "jib.other": Secret("more")})

    (call,) = archkit_process.calls
    assert "-Djib.to.auth.username=me" in call.command
    assert not any("hunter2" in word or "jib.other" in word for word in call.command)
    options = call.env["JAVA_TOOL_OPTIONS"]
    assert isinstance(options, Secret)
    assert options.reveal() == "-Xmx1g -Djib.to.auth.password='hunter2' -Djib.other='more'"


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        ("linux/amd64,linux/s390x", {}, r"for linux/s390x: the base \S+/base:1 has only linux/amd64, linux/arm64"),
        (BOTH, {"image_format": "OCI"}, "jib makes no OCI index"),
        (BOTH, {"base": "127.0.0.1:1/absent:1"}, "the base 127.0.0.1:1/absent:1 cannot be read"),
        (BOTH, {"base": "a b"}, "no image reference"),
        ("linux/arm/v6", {"base": None}, "no variants"),
        ("linux/arm/v7", {"base": "HOST/arm:1"}, "jib takes the first in the base .*, which is linux/arm/v6"),
    ],
)
def test_refused_before_anything_runs(
    targets: str,
    options: dict[str, Any],
    message: str,
    archkit_registry: EmbeddedRegistry,
    archkit_images: ImageFactory,
    archkit_process: FakeRunner,
    run: Run,
) -> None:
    archkit_images.push("arm:1", ["linux/arm/v6", "linux/arm/v7"])
    with pytest.raises(BuildError, match=message):
        run(targets, **{name: str(value).replace("HOST", archkit_registry.host) if value else value for name, value in options.items()})

    assert archkit_process.calls == []


def test_no_build_file(archkit_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="has no build file of Maven or Gradle"):
        build(Artifact("web", tmp_path, builder=JibBuilder()), targets=BOTH, sink=RegistrySink(archkit_registry.host), tag="1")


def test_no_layouts(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="cannot put images into a LayoutSink"):
        build(Artifact("web", tmp_path, builder=JibBuilder()), targets=BOTH, sink=LayoutSink(tmp_path / "out"), tag="1")


@pytest.mark.parametrize("options", [{"image_format": "docker"}, {"module": "-x"}])
def test_values_that_cannot_work(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"image_format|module"):
        JibBuilder(**options)


# ---- what is found out -----------------------------------------------------------------------------------------------

GOAL = "[ERROR] Failed to execute goal com.google.cloud.tools:jib-maven-plugin:3.5.2:build (default-cli) on project p: "


@pytest.mark.parametrize(
    ("stdout", "kind", "names"),
    [
        (
            f"{GOAL}make sure your credentials for 'x' are right: Unauthorized for x: 401 Unauthorized -> [Help 1]\n",
            "sign-in-refused",
            ["Unauthorized"],
        ),
        (f"{GOAL}make sure you have permissions for x: 403 Forbidden -> [Help 1]\n", "push-denied", ["403 Forbidden", "may push"]),
        (f"{GOAL}Connect to x failed: Connection refused -> [Help 1]\n", "registry-unreachable", ["Connection refused"]),
        (f"{GOAL}Compilation failure: Main.java:[3,5] cannot find symbol -> [Help 1]\n", "failed", ["Main.java:[3,5]"]),
        (f"{GOAL}Jib plugin version is 2.0.0 but is required to be 2.3.0 -> [Help 1]\n", "tool-too-old", ["2.0.0", "2.3.0"]),
        ("The JAVA_HOME environment variable is not defined correctly,\n", "tool-missing", ["java", "JDK"]),
        ("something\n", "failed", ["something"]),
    ],
)
def test_the_build_fails(
    stdout: str, kind: str, names: list[str], archkit_registry: EmbeddedRegistry, archkit_process: FakeRunner, run: Run
) -> None:
    archkit_process.on("mvn", ...).answer(stdout, status=1)

    with pytest.raises(BuildToolError) as caught:
        run()

    assert caught.value.kind == kind
    assert [name for name in names if name not in str(caught.value)] == [], str(caught.value)
    assert "Help 1" not in caught.value.reason
    assert list(archkit_registry.tags("web")) == []


@pytest.mark.parametrize(("files", "tool"), [([], "mvn"), (["build.gradle"], "gradle")])
def test_without_the_build_tool(files: list[str], tool: str, archkit_process: FakeRunner, run: Run, project: Path) -> None:
    for name in files:
        (project / name).touch()
    archkit_process.on(tool, ...).not_installed()

    with pytest.raises(BuildToolError, match=f"jib needs {tool}, which is not installed.*wrapper") as caught:
        run()

    assert caught.value.kind == "tool-missing"


def test_a_report_that_is_not_there(archkit_process: FakeRunner, run: Run) -> None:
    archkit_process.on("mvn", ...).answer("[INFO] BUILD SUCCESS\n")

    with pytest.raises(BuildError, match="left no report"):
        run()


def test_a_lie_is_found_out_before_the_tag_moves(
    archkit_registry: EmbeddedRegistry, archkit_process: FakeRunner, push: Callable[..., Answer], run: Run
) -> None:
    archkit_process.on("mvn", ...).do(push).times(1)
    before = run().images[0].digest
    archkit_process.on("mvn", ...).do(lambda call: push(call, "linux/amd64")).times(1)

    with pytest.raises(PlatformNotDelivered, match="no image for linux/arm64"):
        run()

    assert archkit_registry.resolve("web:v1") == before
    assert list(archkit_registry.tags("web")) == ["v1", "v1_linux_amd64", "v1_linux_arm64"]


def test_cancel(archkit_registry: EmbeddedRegistry, archkit_process: FakeRunner, run: Run) -> None:
    cancel = threading.Event()

    def cancelled(call: Call) -> Answer:
        assert call.cancel is not None
        cancel.set()
        assert call.cancel.is_set()  # what the runner would see
        raise CancelledError("mvn was ended")

    archkit_process.on("mvn", ...).do(cancelled)

    with pytest.raises(CancelledError):
        run(cancel=cancel)

    assert list(archkit_registry.tags("web")) == []

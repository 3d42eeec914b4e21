"""JibBuilder with the real jib in Maven: lists, layers and configurations; lies; errors; interrupted runs.

No Java base is at hand without the internet, so what is built is looked at and not run. Gradle is a stand-in that knows
jib's commands alone and has Maven do the work.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import distribution_registry
import pytest
from interruption import GENTLE, How, Interruption, assert_ended
from process_watch import ended, needs_proc

from archkit import (
    Artifact,
    BuildError,
    BuildResult,
    BuildToolError,
    JibBuilder,
    Login,
    PlatformNotDelivered,
    PlatformSet,
    RegistryClient,
    RegistrySink,
    Secret,
    StaticCredentials,
    build,
)
from archkit.model.oci import DOCKER_LIST, ImageManifest, Index, parse_config
from archkit.testing import BasicAuth, EmbeddedRegistry, ImageFactory, RepositoryRules

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

BOTH = "linux/amd64,linux/arm64"

GRADLE = """#!/usr/bin/env python3
import os, sys
words = sys.argv[1:]
known = ["--console=plain", "--no-daemon", ":web:_skaffoldFailIfJibOutOfDate", "-Djib.requiredVersion=2.3.0", ":web:jib"]
settings = [word for word in words if word.startswith(("-Djib.", "-DsendCredentials")) and word not in known]
image = [word for word in words if word.startswith("--image=")]
unknown = [word for word in words if word not in known + settings + image]
if unknown or len(image) != 1 or any(word not in words for word in known):
    sys.exit(f"Task or option not found: {unknown or words}")
os.execvp("mvn", ["mvn", "-B", "--non-recursive", "prepare-package", "jib:build", *settings])
"""


@pytest.fixture(autouse=True)
def _tools(mvn: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{mvn.parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "docker").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture(scope="module")
def host(docker_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with distribution_registry.running(docker_registry, tmp_path_factory.mktemp("registry")) as host, RegistryClient() as client:
        fill(ImageFactory(client), host)
        yield host


@pytest.fixture
def embedded() -> Iterator[EmbeddedRegistry]:
    with EmbeddedRegistry() as registry:
        fill(ImageFactory(registry), registry.host)
        yield registry


def fill(images: ImageFactory, host: str) -> None:
    images.push(f"{host}/base:1", BOTH)
    images.push(f"{host}/base:amd64", ["linux/amd64"])


def run(host: str, folder: Path, targets: str = BOTH, *, image: str = "hello", **options: Any) -> BuildResult:
    artifact = Artifact(image, folder, builder=JibBuilder(**{"base": f"{host}/base:1", **options}))
    return build(artifact, targets=targets, sink=RegistrySink(host), tag="v1")


def test_a_list_of_both_platforms(host: str, java_project: Path) -> None:
    result = run(host, java_project)

    image = result.images[0]
    assert image.platforms == PlatformSet(BOTH)
    assert [finding.code for finding in result.findings] == ["staging-tag-left"]  # this registry deletes no tags
    with RegistryClient() as client:
        assert client.tags(f"{host}/hello") == ["v1", "v1_archkit-staging", "v1_linux_amd64", "v1_linux_arm64"]
        whole, base = client.manifest(f"{host}/hello:v1"), client.manifest(f"{host}/base:1").document()
        assert whole.digest == image.digest
        assert whole.media_type == DOCKER_LIST
        assert isinstance(base, Index)
        for platform, child in image.children.items():
            manifest = client.manifest(f"{host}/hello@{child.digest}").document()
            below = client.manifest(f"{host}/base@{next(one.digest for one in base.images if one.platform == platform)}").document()
            assert isinstance(manifest, ImageManifest)
            assert isinstance(below, ImageManifest)
            config = parse_config(client.blob(f"{host}/hello", manifest.config.digest))
            assert config.platform == platform
            assert next(iter(config.entrypoint or ())) == "java"
            assert len(manifest.layers) > len(below.layers)
            for layer in manifest.layers:
                assert client.has_blob(f"{host}/hello", layer.digest)


def test_the_same_source_gives_the_same_digest_and_the_staging_tag_goes(embedded: EmbeddedRegistry, java_project: Path) -> None:
    first, again = (run(embedded.host, java_project) for _ in range(2))

    assert first.images[0].digest == again.images[0].digest
    assert list(embedded.tags("hello")) == ["v1", "v1_linux_amd64", "v1_linux_arm64"]
    assert first.findings == again.findings == ()


def test_one_platform_in_the_format_of_oci(embedded: EmbeddedRegistry, java_project: Path) -> None:
    image = run(embedded.host, java_project, "linux/arm64", image_format="OCI", properties={"jib.container.user": "1000"}).images[0]

    assert image.platforms == PlatformSet("linux/arm64")
    assert embedded.manifest("hello:v1").media_type == "application/vnd.oci.image.manifest.v1+json"


def test_a_pom_without_jib(embedded: EmbeddedRegistry, java_project: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(java_project, tmp_path / "project"))
    text = (folder / "pom.xml").read_text(encoding="utf-8")
    begin, end = text.index("<plugin>"), text.index("</plugin>") + len("</plugin>")
    (folder / "pom.xml").write_text(text[:begin] + text[end:], encoding="utf-8")

    assert run(embedded.host, folder).images[0].platforms == PlatformSet(BOTH)


def test_a_gradle_that_knows_jibs_commands_alone(embedded: EmbeddedRegistry, java_project: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(java_project, tmp_path / "project"))
    (folder / "gradlew").write_text(GRADLE)
    (folder / "gradlew").chmod(0o755)

    assert run(embedded.host, folder, module="web").images[0].platforms == PlatformSet(BOTH)

    with pytest.raises(BuildToolError, match="not found"):
        run(embedded.host, folder, module="web", args="--continuous")


# ---- lies and errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "base", "message"),
    [
        ("linux/amd64,linux/s390x", "1", r"for linux/s390x: .* has only linux/amd64, linux/arm64"),
        (BOTH, "amd64", r"for linux/arm64: .* has only linux/amd64"),
        (BOTH, "absent", "cannot be read"),
    ],
)
def test_a_base_that_lacks_a_platform(targets: str, base: str, message: str, embedded: EmbeddedRegistry, java_project: Path) -> None:
    with pytest.raises(BuildError, match=message):
        run(embedded.host, java_project, targets, base=f"{embedded.host}/base:{base}")

    assert list(embedded.tags("hello")) == []


def test_a_setting_that_takes_a_platform_away_is_found_out(embedded: EmbeddedRegistry, java_project: Path) -> None:
    before = run(embedded.host, java_project).images[0].digest

    with pytest.raises(PlatformNotDelivered, match=r"no image for linux/arm64.*jib\.from\.platforms"):
        run(embedded.host, java_project, properties={"jib.from.platforms": "linux/amd64"})

    assert embedded.resolve("hello:v1") == before
    assert list(embedded.tags("hello")) == ["v1", "v1_linux_amd64", "v1_linux_arm64"]


def test_the_same_lies_are_refused_by_jib_itself(embedded: EmbeddedRegistry, java_project: Path) -> None:
    """Unlike ko it says so; the error says what it said."""
    store = RegistryClient()
    whole = store.manifest(f"{embedded.host}/base:1")

    class Store:
        """The base as it was a moment ago."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def manifest(self, reference: Any) -> Any:
            return whole if str(reference).endswith("base:1") else store.manifest(reference)

    with store:
        store.put_manifest(f"{embedded.host}/base:1", store.manifest(f"{embedded.host}/base:amd64"))
        with pytest.raises(BuildToolError, match="is not a manifest list") as caught:
            run(embedded.host, java_project, base_store=Store())

    assert caught.value.kind == "base-lacks-platform"
    assert list(embedded.tags("hello")) == []


def test_a_push_that_is_denied(java_project: Path) -> None:
    with EmbeddedRegistry(rules={"hello": RepositoryRules(denied={"push"})}) as registry:
        fill(ImageFactory(registry), registry.host)
        with pytest.raises(BuildToolError) as caught:
            run(registry.host, java_project)

    assert caught.value.kind in {"push-denied", "sign-in-refused"}
    assert "403" in str(caught.value)


def test_signing_in_with_settings_of_jib(java_project: Path) -> None:
    """The password reaches jib, over plain http too, and nobody else sees it."""
    secret, told = "hunter2-its", list[str]()
    with EmbeddedRegistry(auth=BasicAuth("me", secret)) as registry:
        with RegistryClient(credentials=StaticCredentials({registry.host: Login("me", secret)})) as client:
            fill(ImageFactory(client), registry.host)
            auth = {"username": "me", "password": Secret(secret)}
            settings = {f"jib.{side}.auth.{name}": value for side in ("from", "to") for name, value in auth.items()}
            builder = JibBuilder(base=f"{registry.host}/base:1", properties=settings, credentials_over_http=True)
            artifact = Artifact("hello", java_project, builder=builder)
            options: dict[str, Any] = {"registry": client, "on_event": lambda event: told.append(event.message)}
            image = build(artifact, targets=BOTH, sink=RegistrySink(registry.host), tag="v1", **options).images[0]
        assert image.platforms == PlatformSet(BOTH)
        assert not any(secret in line for line in told)

        with pytest.raises(BuildToolError) as caught:
            run(registry.host, java_project, base="scratch")
    assert caught.value.kind == "sign-in-refused"


def test_a_program_that_does_not_compile(embedded: EmbeddedRegistry, java_project: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(java_project, tmp_path / "project"))
    (folder / "src" / "main" / "java" / "demo" / "Broken.java").write_text("package demo;\nclass Broken { Missing x; }\n")

    with pytest.raises(BuildToolError, match=r"Broken\.java"):
        run(embedded.host, folder)


def test_without_java(embedded: EmbeddedRegistry, java_project: Path, mvn: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "dirname", "uname", "ls", "readlink", "expr", "cat", "which"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))

    with pytest.raises(BuildToolError) as caught:
        run(embedded.host, java_project, program=str(mvn), env={"PATH": str(tmp_path / "bin"), "JAVA_HOME": ""})

    assert caught.value.kind == "tool-missing"
    assert "install a JDK" in str(caught.value)


def test_without_maven(embedded: EmbeddedRegistry, java_project: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildToolError, match=r"jib needs mvn, which is not installed.*install Maven"):
        run(embedded.host, java_project, env={"PATH": str(tmp_path)})


def test_a_jib_that_is_too_old(embedded: EmbeddedRegistry, java_project: Path) -> None:
    """jib's own check is asked; here for a version that does not exist yet."""
    with pytest.raises(BuildToolError) as caught:
        run(embedded.host, java_project, args="-Djib.requiredVersion=99.0")

    assert caught.value.kind == "tool-too-old"
    assert "99.0" in str(caught.value)


# ---- interrupted -----------------------------------------------------------------------------------------------------

SETUP = """
from archkit import JibBuilder
artifact = Artifact("hello", "src", builder=JibBuilder(base=f"{HOST}/base:1", timeout=4 if HURRY else 600))
"""


@needs_proc
@pytest.mark.parametrize("how", [*GENTLE, "SIGKILL"])
def test_an_interrupted_run_leaves_nothing(how: How, embedded: EmbeddedRegistry, java_project: Path, mvn: Path, tmp_path: Path) -> None:
    ImageFactory(embedded).push("hello:latest", BOTH)
    before = embedded.resolve("hello:latest")
    shutil.copytree(java_project, tmp_path / "src")
    environ = {"PATH": f"{mvn.parent}{os.pathsep}{os.environ['PATH']}", "DOCKER_CONFIG": str(tmp_path / "docker")}
    interruption = Interruption(tmp_path, SETUP, embedded.host, environ=environ)
    rule = embedded.on("*", kind="upload").wait(3.0).optional()

    outcome = interruption.run(how, "Containerizing application")

    assert_ended(outcome, how)
    assert embedded.resolve("hello:latest") == before
    if how != "SIGKILL":
        assert outcome.clean, outcome
        assert list(embedded.tags("hello")) == ["latest"]
        return
    for process in outcome.processes:
        assert ended(process, within=60)
    rule.times(0)
    built = interruption.run("nothing")
    assert_ended(built, "nothing")
    assert built.clean, built
    assert list(embedded.tags("hello")) == ["latest", "latest_linux_amd64", "latest_linux_arm64"]

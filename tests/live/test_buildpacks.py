"""BuildpacksBuilder with the real pack and lifecycle: both CPUs built, pushed and run; what pack does not tell; errors."""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING, Any

import pytest
from buildpacks import BOTH, BUILD, BUILDPACK_TOML, DETECT

from archkit import (
    Artifact,
    BuildError,
    BuildpacksBuilder,
    BuildToolError,
    DockerEngine,
    EngineSink,
    PlatformNotDelivered,
    PlatformSet,
    RegistryClient,
    RegistrySink,
    build,
)
from archkit.model.oci import Index
from archkit.testing import EmbeddedRegistry, RepositoryRules

if TYPE_CHECKING:
    from pathlib import Path

    from buildpacks import Buildpacks
    from engine import Engine

    from archkit import BuildResult, Event

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="written for an amd64 machine that emulates arm64"),
]

MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}


@pytest.fixture(autouse=True)
def _environment(buildpacks: Buildpacks, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in buildpacks.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", os.pathsep.join([str(buildpacks.pack.parent), str(engine.client.parent), os.environ["PATH"]]))
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/s390x")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "README").write_text("an application\n")
    return tmp_path / "src"


def run(
    buildpacks: Buildpacks, folder: Path, targets: str = BOTH, *, image: str, more: dict[str, Any] | None = None, **options: Any
) -> BuildResult:
    given = {"builder": f"{buildpacks.host}/builder:1", "trust_builder": True, **options}
    artifact = Artifact(image, folder, builder=BuildpacksBuilder(**given))
    return build(artifact, **{"targets": targets, "sink": RegistrySink(buildpacks.host), "tag": "v1", **(more or {})})


def test_hello_runs_on_both(buildpacks: Buildpacks, engine: Engine, folder: Path) -> None:
    events: list[Event] = []
    result = run(buildpacks, folder, image="hello", env={"GREETING": "Good morning"}, more={"on_event": events.append})

    image = result.images[0]
    assert image.platforms == PlatformSet(BOTH)
    for name, cpu in MACHINES.items():
        assert engine.run(image.reference, name) == f"Good morning world! Built on {cpu}, running on {cpu}\n"
    with RegistryClient() as client:
        assert client.tags(f"{buildpacks.host}/hello") == ["v1", "v1_linux_amd64", "v1_linux_arm64"]
    told = [(str(event.platform), event.message) for event in events if "building on" in event.message]
    assert {(name, message.partition("building on ")[2]) for name, message in told} == {
        (name, f"{cpu} for {name}") for name, cpu in MACHINES.items()
    }
    (finding,) = result.findings
    assert finding.code == "emulated-build"


def test_a_builder_that_is_not_trusted(buildpacks: Buildpacks, engine: Engine, folder: Path) -> None:
    """Five containers instead of one, four of them of the lifecycle image."""
    lifecycle = f"{buildpacks.host}/lifecycle:1"
    image = run(buildpacks, folder, image="untrusted", trust_builder=None, lifecycle_image=lifecycle).images[0]

    for name, cpu in MACHINES.items():
        assert engine.run(image.reference, name) == f"Hello world! Built on {cpu}, running on {cpu}\n"


@pytest.mark.parametrize("name", MACHINES)
def test_an_image_for_the_engine(name: str, buildpacks: Buildpacks, engine: Engine, folder: Path) -> None:
    more = {"sink": EngineSink(), "engine": DockerEngine(host=engine.host)}
    image = run(buildpacks, folder, name, image="kept", more=more, network="host").images[0]

    assert image.platforms == PlatformSet(name)
    done = engine.docker("run", "--rm", "--network", "none", "--platform", name, "kept:v1")
    assert done.stdout == f"Hello world! Built on {MACHINES[name]}, running on {MACHINES[name]}\n"
    assert engine.docker("images", "--quiet", "kept:v1_archkit-staging").stdout == ""


def test_caches_are_kept_by_repository_and_platform(buildpacks: Buildpacks, engine: Engine, folder: Path) -> None:
    run(buildpacks, folder, image="cached")
    volumes = engine.docker("volume", "ls", "--quiet").stdout.split()
    run(buildpacks, folder, image="cached", more={"tag": "v2"})

    assert engine.docker("volume", "ls", "--quiet").stdout.split() == volumes
    assert {name.rpartition("-")[2] for name in volumes if name.startswith("archkit-cache-")} >= {"linux_amd64.build", "linux_arm64.build"}
    assert engine.docker("ps", "--all", "--quiet").stdout == ""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="archkit reads TOML with Python's own reader, which 3.11 brought")
def test_a_project_descriptor_and_a_buildpack_of_the_folder(buildpacks: Buildpacks, engine: Engine, folder: Path) -> None:
    (folder / "mine" / "bin").mkdir(parents=True)
    (folder / "mine" / "buildpack.toml").write_text(BUILDPACK_TOML.replace("archkit/hello", "archkit/mine"))
    for name, script in (("detect", DETECT), ("build", BUILD.replace("Hello", "Howdy"))):
        (folder / "mine" / "bin" / name).write_text(script)
        (folder / "mine" / "bin" / name).chmod(0o755)
    (folder / "project.toml").write_text(
        f'[_]\nschema-version = "0.2"\n[io.buildpacks]\nbuilder = "{buildpacks.host}/builder:1"\n[[io.buildpacks.group]]\nuri = "mine"\n'
    )
    lifecycle = f"{buildpacks.host}/lifecycle:1"

    image = run(buildpacks, folder, "linux/arm64", image="described", builder=None, lifecycle_image=lifecycle).images[0]

    assert engine.run(image.reference, "linux/arm64") == "Howdy world! Built on aarch64, running on aarch64\n"


# ---- what pack does not tell -----------------------------------------------------------------------------------------


def pushed(reference: str) -> PlatformSet | None:
    with RegistryClient() as client:
        return client.platforms(reference)


def test_pack_builds_with_a_builder_for_another_platform_and_archkit_refuses_it(buildpacks: Buildpacks, folder: Path) -> None:
    host = buildpacks.host
    words = ["--trust-builder", "--publish", "--network", "host", "--path", str(folder), "--platform", "linux/arm64"]
    done = buildpacks.run("build", f"{host}/lie:1", "--builder", f"{host}/builder:amd64", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert pushed(f"{host}/lie:1") == PlatformSet("linux/amd64")

    with pytest.raises(BuildToolError, match=r"for linux/arm64: the builder image \S+/builder:amd64 has only linux/amd64") as caught:
        run(buildpacks, folder, image="refused", builder=f"{host}/builder:amd64")
    assert caught.value.kind == "base-lacks-platform"
    with RegistryClient() as client:
        assert client.tags(f"{host}/refused") == []


def test_pack_takes_what_the_engine_has_and_archkit_does_not(buildpacks: Buildpacks, engine: Engine, folder: Path) -> None:
    host = buildpacks.host
    engine.docker("pull", "--platform", "linux/amd64", f"{host}/builder:1")
    words = ["--trust-builder", "--publish", "--network", "host", "--path", str(folder), "--platform", "linux/arm64"]
    done = buildpacks.run("build", f"{host}/lie:2", "--builder", f"{host}/builder:1", "--pull-policy", "if-not-present", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert pushed(f"{host}/lie:2") == PlatformSet("linux/amd64")

    image = run(buildpacks, folder, "linux/arm64", image="true", pull="if-not-present").images[0]
    assert engine.run(image.reference, "linux/arm64") == "Hello world! Built on aarch64, running on aarch64\n"
    engine.docker("pull", "--platform", "linux/amd64", f"{host}/builder:1")
    with pytest.raises(BuildToolError, match=r"the builder image \S+/builder:1 in the engine has only linux/amd64"):
        run(buildpacks, folder, "linux/arm64", image="true", pull="never")


def test_an_older_run_image_in_the_engine_is_not_taken(buildpacks: Buildpacks, engine: Engine, folder: Path) -> None:
    engine.docker("pull", "--platform", "linux/amd64", f"{buildpacks.host}/cnb:1")
    more = {"sink": EngineSink(), "engine": DockerEngine(host=engine.host)}
    image = run(buildpacks, folder, "linux/arm64", image="fresh", pull="if-not-present", more=more, network="host").images[0]
    assert image.platforms == PlatformSet("linux/arm64")


def test_a_run_image_that_changes_meanwhile_is_found_out_before_the_tag_moves(buildpacks: Buildpacks, folder: Path) -> None:
    host = buildpacks.host
    before = run(buildpacks, folder, image="changed").images[0].digest
    with RegistryClient() as client:
        client.put_manifest(f"{host}/cnb:changing", client.manifest(f"{host}/cnb@{child(client, f'{host}/cnb:1', 'linux/amd64')}"))
        whole = client.manifest(f"{host}/cnb:1")

        class Store:
            """The run image as it was a moment ago."""

            def __getattr__(self, name: str) -> Any:
                return getattr(client, name)

            def manifest(self, reference: Any) -> Any:
                return whole if str(reference).endswith("cnb:changing") else client.manifest(reference)

        with pytest.raises(PlatformNotDelivered, match=r"for linux/arm64 and delivered linux/amd64.*run image has changed meanwhile"):
            run(buildpacks, folder, image="changed", run_image=f"{host}/cnb:changing", store=Store())
        found = client.head(f"{host}/changed:v1")
    assert found is not None
    assert found.digest == before


def child(client: RegistryClient, reference: str, name: str) -> str:
    document = client.manifest(reference).document()
    assert isinstance(document, Index)
    return next(str(entry.digest) for entry in document.images if str(entry.platform) == name)


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_a_platform_that_nobody_has(buildpacks: Buildpacks, folder: Path) -> None:
    with pytest.raises(BuildToolError, match=r"for linux/s390x: the builder image \S+ has only linux/amd64, linux/arm64"):
        run(buildpacks, folder, f"{BOTH},linux/s390x", image="refused")


def test_an_image_that_is_no_builder(buildpacks: Buildpacks, folder: Path) -> None:
    with pytest.raises(BuildError, match="is no builder image"):
        run(buildpacks, folder, image="refused", builder=f"{buildpacks.host}/cnb:1")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("nothing", r"no buildpack of the builder fits the folder: .*use a builder for its language"),
        ("broken", r"failed to build: exit status 7[\s\S]*it is broken"),
    ],
)
@pytest.mark.parametrize("trusts", [True, False])
def test_a_build_that_fails(file: str, message: str, trusts: bool, buildpacks: Buildpacks, engine: Engine, folder: Path) -> None:
    (folder / file).touch()
    with pytest.raises(BuildToolError, match=message) as caught:
        run(buildpacks, folder, "linux/amd64", image="failed", trust_builder=trusts, lifecycle_image=f"{buildpacks.host}/lifecycle:1")
    assert caught.value.kind == "failed"
    assert engine.docker("ps", "--all", "--quiet").stdout == ""
    with RegistryClient() as client:
        assert client.tags(f"{buildpacks.host}/failed") == []


def test_a_push_that_is_denied(buildpacks: Buildpacks, folder: Path) -> None:
    with EmbeddedRegistry(rules={"denied": RepositoryRules(denied={"push"})}) as registry:
        with pytest.raises(BuildToolError, match="may push there") as caught:
            run(buildpacks, folder, image="denied", more={"sink": RegistrySink(registry.host)})
        assert list(registry.tags("denied")) == []
    assert caught.value.kind == "push-denied"


def test_an_engine_that_does_not_run(buildpacks: Buildpacks, folder: Path) -> None:
    with pytest.raises(BuildToolError, match="start the engine") as caught:
        run(buildpacks, folder, image="refused", host="unix:///nowhere/docker.sock")
    assert caught.value.kind == "engine-down"


def test_without_pack(buildpacks: Buildpacks, folder: Path) -> None:
    with pytest.raises(BuildToolError, match=r"needs pack-of-nobody, which is not installed.*install it"):
        run(buildpacks, folder, image="refused", program="pack-of-nobody")

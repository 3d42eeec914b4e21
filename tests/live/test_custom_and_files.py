"""A command of one's own and plain files, for real: pushed to docker-registry, run by dockerd on both CPUs; loaded into it; interrupted."""
# ruff: noqa: S604 - `shell` is an argument of the builder under test

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import distribution_registry
import pytest
from interruption import How, Interruption, assert_ended

from archkit import (
    Artifact,
    CustomBuilder,
    EngineSink,
    FilesBuilder,
    PlatformNotDelivered,
    RegistryClient,
    RegistrySink,
    TargetsError,
    build,
)
from archkit.adapters.docker_engine import DockerEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import engine as engines

    from archkit import Builder

pytestmark = pytest.mark.live

BOTH = "linux/amd64,linux/arm64"
HELLO = Path(__file__).parents[2] / "examples" / "hello" / "make_hello.py"

SCRIPT = """
set -eu
test "$PUSH_IMAGE" = true
scratch=$(mktemp -d)
parts=
for platform in $(echo "$PLATFORMS" | tr , ' '); do
    name=$(echo "$platform" | tr / _)
    tar -C "$BUILD_CONTEXT/$name" -cf "$scratch/$name.tar" hello
    case "$PLATFORMS" in *,*) image="$IMAGE_REPO:part_$name" ;; *) image="$IMAGE" ;; esac
    crane append --insecure -f "$scratch/$name.tar" -t "$image" >/dev/null
    crane mutate --insecure --entrypoint /hello --set-platform "$platform" -t "$image" "$image" >/dev/null
    parts="$parts -m $image"
done
case "$PLATFORMS" in *,*) crane index append --insecure $parts -t "$IMAGE" ;; esac
echo pushed
"""
"""Builds with tar and crane, as somebody's build.sh would: one image, or an index of them, as PLATFORMS says."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of the example in `linux_amd64` and `linux_arm64`, and `build.sh`."""
    path = tmp_path_factory.mktemp("hello")
    (path / "empty").mkdir()
    subprocess.run([sys.executable, HELLO, path], check=True, timeout=60)
    (path / "build.sh").write_text(SCRIPT)
    return path


@pytest.fixture(scope="module")
def host(docker_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with distribution_registry.running(docker_registry, tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def tools(crane: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """crane on PATH, with nobody's logins."""
    monkeypatch.setenv("PATH", f"{crane.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def files(folder: Path, *, native: bool = True) -> FilesBuilder:
    programs: Mapping[str, Path] = {name: folder / name.replace("/", "_") for name in BOTH.split(",")}
    return FilesBuilder(files=programs, entrypoint=["/hello"], native=native)


BUILDERS: dict[str, Callable[[Path], Builder]] = {
    "command": lambda _: CustomBuilder(["sh", "build.sh"]),
    "command, staged": lambda _: CustomBuilder(["sh", "build.sh"], staged=True),
    "command per platform": lambda _: CustomBuilder(shell="sh ./build.sh", per_platform=True, parallel=True),
    "files": files,
    "files per platform": lambda folder: files(folder, native=False),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_both_images_run_on_their_cpu(name: str, folder: Path, host: str, engine: engines.Engine, tools: None) -> None:
    context = folder / "empty" if name.startswith("files") else folder
    artifact = Artifact(name.replace(" ", "-").replace(",", ""), context, builder=BUILDERS[name](folder))

    (image,) = build(artifact, targets=BOTH, sink=RegistrySink(host), tag="1").images

    assert str(image.platforms) == BOTH
    for platform in BOTH.split(","):
        assert engine.run(image.reference, platform) == f"Hello world! Running on {platform}\n"


def test_a_script_that_builds_for_one_cpu_whatever_it_was_asked_is_found_out(folder: Path, host: str, tools: None) -> None:
    """Skaffold takes it: it looks for a tag and nothing else."""
    artifact = Artifact("liar", folder, builder=CustomBuilder(shell="PLATFORMS=linux/amd64 sh build.sh", staged=True))

    with pytest.raises(PlatformNotDelivered, match=r"asked to build liar for linux/amd64, linux/arm64 and delivered linux/amd64"):
        build(artifact, targets=BOTH, sink=RegistrySink(host), tag="1")

    with RegistryClient() as client:
        assert "1" not in client.tags(f"{host}/liar")


@pytest.mark.parametrize("platform", BOTH.split(","))
def test_files_are_loaded_into_an_engine_and_run_there(platform: str, folder: Path, engine: engines.Engine, docker: Path) -> None:
    name = f"loaded-{platform.rpartition('/')[2]}"
    artifact = Artifact(name, folder / "empty", builder=files(folder))
    local = DockerEngine(host=engine.host, client_call=[str(docker)])

    (image,) = build(artifact, targets=platform, sink=EngineSink(), tag="1", engine=local).images

    assert (image.reference, str(image.platforms)) == (f"{name}:1", platform)
    ran = engine.docker("run", "--rm", "--network", "none", "--pull", "never", "--platform", platform, image.reference)
    assert ran.stdout == f"Hello world! Running on {platform}\n"
    assert "archkit-staging" not in engine.docker("image", "ls").stdout


def test_an_engine_of_one_platform_refuses_several_before_the_build(folder: Path, engine: engines.Engine, docker: Path) -> None:
    local = DockerEngine(host=engine.host, client_call=[str(docker)])
    if local.info().holds_index:
        pytest.skip(f"{local.info()} keeps images of several platforms")
    builder = CustomBuilder(lambda _request, _context: pytest.fail("it was built"))

    with pytest.raises(TargetsError, match="nowhere to put an image of several platforms"):
        build(Artifact("web", folder, builder=builder), targets=BOTH, sink=EngineSink(), tag="1", engine=local)


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "cancel", "timeout", "SIGKILL"])
def test_an_interrupted_command_leaves_the_tag_as_it_was(how: How, folder: Path, host: str, tools: None, tmp_path: Path) -> None:
    """And no process or temporary folder. docker-registry cannot delete by tag: a staging tag stays for the next build."""
    name = f"interrupted-{how.lower()}"
    artifact = Artifact(name, folder, builder=CustomBuilder(["sh", "build.sh"]))
    build(artifact, targets="linux/amd64", sink=RegistrySink(host), tag="latest")
    setup = f"""
    artifact = Artifact({name!r}, {str(folder)!r},
        builder=CustomBuilder(shell="sh build.sh; echo waiting; sleep 300", staged=True, timeout=5 if HURRY else 600))
    """
    with RegistryClient() as client:
        before = client.manifest(f"{host}/{name}:latest").digest

        outcome = Interruption(tmp_path, setup, host).run(how, "waiting")

        assert_ended(outcome, how)
        assert how == "SIGKILL" or outcome.clean, outcome
        assert client.manifest(f"{host}/{name}:latest").digest == before

        again = Interruption(tmp_path, setup.replace("; sleep 300", ""), host).run("nothing")

        assert_ended(again, "nothing")
        assert again.clean, again
        assert client.manifest(f"{host}/{name}:latest").digest != before

"""What CloudBuildBuilder asks for, really done: a double of Cloud Build runs the steps on this machine, as Cloud Build would.

Cloud Build itself is not asked. Each step is run in the unpacked source, with the arguments as Cloud Build fills them in
and `$BUILDER_OUTPUT`; what stands in `images` is pushed by the local engine. A step's image is not pulled: its program is
this machine's.
"""

from __future__ import annotations

import io
import os
import platform
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import docker_ways
import pytest
from cloudbuild_double import PROJECT, TOKEN, CloudBuild, cloud

from archkit import (
    Artifact,
    CloudBuildBuilder,
    DockerRecipe,
    GoogleAccessToken,
    GoogleEndpoints,
    JibRecipe,
    KoRecipe,
    PlatformNotDelivered,
    RegistryClient,
    RegistrySink,
    build,
)
from archkit.testing import ImageFactory

if TYPE_CHECKING:
    from docker_ways import DockerWay
    from engine import Engine

    from archkit import BuildResult
    from archkit.planning.cloudbuild_recipes import Recipe

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="written for an amd64 machine, as Cloud Build's are"),
]

BOTH = "linux/amd64,linux/arm64"
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
GO_PROJECT = Path(__file__).parent / "projects" / "go"


def execute(made: CloudBuild, folder: Path, environ: dict[str, str], *, skip: tuple[str, ...] = ()) -> None:
    """Run a build's steps, and push its images, as Cloud Build would.

    Args:
        made: The build.
        folder: An empty one: /workspace, $HOME and $BUILDER_OUTPUT are in it.
        environ: For the programs.
        skip: Steps that prepare what this machine has already.
    """
    workspace, output, home = folder / "workspace", folder / "output", folder / "home"
    with tarfile.open(fileobj=io.BytesIO(made.source)) as tar:
        tar.extractall(workspace, filter="data")
    (home / ".docker").mkdir(parents=True)
    made.status = "WORKING"
    for step in made.request["steps"]:
        if step["id"] in skip:
            continue
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        words = [re.sub(r"\$\$", "$", word) for word in step["args"]]
        own = dict(word.split("=", 1) for word in step.get("env", ()))
        env = {**os.environ, "HOME": str(home), "BUILDER_OUTPUT": str(output), **environ, **own}
        if run(made, [step.get("entrypoint", "docker"), *words], workspace, env):
            made.status = "FAILURE"
            return
        told = output / "output"
        made.tell(told.read_bytes() if told.exists() else b"")
    for image in made.request.get("images", ()):
        if run(made, ["docker", "push", image], workspace, {**os.environ, **environ}):
            made.status = "FAILURE"
            return
        digest = re.findall(r"digest: (sha256:[0-9a-f]{64})", made.log.decode())[-1]
        made.results["images"] = [{"name": image, "digest": digest}]


def run(made: CloudBuild, command: list[str], folder: Path, env: dict[str, str]) -> int:
    done = subprocess.run(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=500, check=False
    )
    made.say(done.stdout)
    return done.returncode


@pytest.fixture
def source(busybox_bases: str, tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    folder.mkdir()
    dockerfile = 'ARG BASE\nFROM $BASE\nARG GREETING\nENV GREETING=$GREETING\nCOPY name /\nCMD ["-c", "echo $GREETING $(cat /name) on $(uname -m)"]\n'
    (folder / "Dockerfile").write_text(dockerfile)
    (folder / "name").write_text("world")
    return folder


def build_there(
    recipe: Recipe, folder: Path, host: str, scratch: Path, environ: dict[str, str], *, skip: tuple[str, ...] = (), targets: str = BOTH
) -> tuple[BuildResult, list[str]]:
    """The result, and what was said."""
    said: list[str] = []

    def work(made: CloudBuild) -> None:
        execute(made, scratch / made.id, environ, skip=skip)

    with cloud(work) as double:
        endpoints = GoogleEndpoints(builds=double.endpoint, storage=double.endpoint, logging=double.endpoint)
        builder = CloudBuildBuilder(PROJECT, recipe=recipe, credentials=GoogleAccessToken(TOKEN), endpoints=endpoints, poll_interval=0.1)
        artifact = Artifact(f"cloud-{recipe.name}", folder, builder=builder)
        result = build(artifact, targets=targets, sink=RegistrySink(host), tag="v1", on_event=lambda event: said.append(event.message))
    return result, said


@pytest.mark.parametrize("way", [name for name in docker_ways.NAMES if name != "classic"], indirect=True)  # there is BuildKit there
def test_the_steps_of_a_dockerfile_make_an_image_that_runs(
    way: DockerWay, engine: Engine, busybox_bases: str, source: Path, tmp_path: Path
) -> None:
    native = way.name == "buildkit"
    recipe = DockerRecipe(per_platform=not native, build_args={"BASE": f"{busybox_bases}/base:1", "GREETING": "$5 'to' the"})
    environ = {**way.environ, "DOCKER_HOST": engine.host, "BUILDX_BUILDER": way.options["builder"]}
    result, said = build_there(recipe, source, busybox_bases, tmp_path, environ, skip=("buildkit",))
    image = result.images[0]
    assert str(image.platforms) == BOTH
    for name, cpu in MACHINES.items():
        assert engine.run(image.reference, name) == f"$5 'to' the world on {cpu}\n"
    assert any("base:1" in line for line in said)
    with RegistryClient() as client:
        tags = set(client.tags(f"{busybox_bases}/cloud-docker"))
    assert tags - {"v1_archkit-staging"} == {"v1", "v1_linux_amd64", "v1_linux_arm64"}  # that registry deletes no tags


@pytest.mark.parametrize("way", ["classic"], indirect=True)  # BuildKit refuses
def test_an_engine_that_builds_for_its_own_cpu_is_caught(
    way: DockerWay, engine: Engine, busybox_bases: str, source: Path, tmp_path: Path
) -> None:
    """The classic builder takes a base of another CPU with a warning, and its step ends well."""
    (source / "Dockerfile").write_text("ARG BASE\nFROM $BASE\n")
    recipe = DockerRecipe(per_platform=True, build_args={"BASE": f"{busybox_bases}/base:1"})
    environ = {**way.environ, "DOCKER_HOST": engine.host}

    def lie(made: CloudBuild) -> None:
        step = made.request["steps"][-1]
        step["env"] = ["DOCKER_BUILDKIT=0"]
        step["args"] = [word.replace("base:1", "base:amd64") for word in step["args"]]  # the base has changed since it was looked at
        execute(made, tmp_path / made.id, environ)

    with cloud(lie) as double:
        endpoints = GoogleEndpoints(builds=double.endpoint, storage=double.endpoint, logging=double.endpoint)
        builder = CloudBuildBuilder(PROJECT, recipe=recipe, credentials=GoogleAccessToken(TOKEN), endpoints=endpoints, poll_interval=0.1)
        lied = Artifact("cloud-lie", source, builder=builder)
        with pytest.raises(PlatformNotDelivered, match="linux/arm64"):
            build(lied, targets="linux/arm64", sink=RegistrySink(busybox_bases), tag="v1")
    with RegistryClient() as client:
        assert "v1" not in client.tags(f"{busybox_bases}/cloud-lie")


def test_the_step_of_ko_makes_an_image_that_runs(engine: Engine, ko: Path, busybox_bases: str, tmp_path: Path) -> None:
    if not shutil.which("go"):
        pytest.fail("the step runs ko with Go; install it and put it on PATH")
    names = ("GOCACHE", "GOMODCACHE", "GOENV", "GOPROXY")  # which go looks for in $HOME
    values = subprocess.run(["go", "env", *names], capture_output=True, encoding="utf-8", check=True).stdout.splitlines()
    environ = {**dict(zip(names, values, strict=True)), "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}  # as the tools were built: minutes less
    recipe = KoRecipe(main="./cmd/hello", base=f"{busybox_bases}/base:1")
    result, _ = build_there(recipe, GO_PROJECT, busybox_bases, tmp_path, environ)
    for name in MACHINES:
        assert "ello" in engine.run(result.images[0].reference, name)


def test_the_step_of_jib_makes_an_image_of_both(mvn: Path, java_project: Path, busybox_bases: str, tmp_path: Path) -> None:
    with RegistryClient() as client:
        ImageFactory(client).push(f"{busybox_bases}/jre:1", BOTH)  # jib reads no layers without compression, as those of base:1
    recipe = JibRecipe(base=f"{busybox_bases}/jre:1", properties={"jib.allowInsecureRegistries": "true"})
    environ = {"PATH": f"{mvn.parent}{os.pathsep}{os.environ['PATH']}"}
    result, _ = build_there(recipe, java_project, busybox_bases, tmp_path, environ)
    assert str(result.images[0].platforms) == BOTH

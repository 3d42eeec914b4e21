"""One Dockerfile for two CPUs with a BuildKit of its own: one build for both, against one after the other; seconds.

The Dockerfile cross-compiles: a stage for the machine that builds works for some seconds for each platform, and nothing
is in a cache. The same once more with the work under emulation (arm64), as a Dockerfile without that stage has it, and
with a stage that waits for two seconds, as for downloads, which needs no core. Cases
take turns within a round; ratios are of medians. "Skaffold's way" is what it does for Docker: a build and push for each
platform, one after the other, and a list of both afterwards (`docker buildx imagetools create`); the commands are run
by themselves. The target is the time of the slower platform alone where there are cores for both, not the sum.

It needs root (BuildKit makes containers), and the tools. ARCHKIT_BENCH_ROUNDS (5) says how often.

    python3 noxfile.py tools
    python3 noxfile.py bench -- build
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

import buildkit
import engine
import realtools

from archkit import Artifact, DockerBuilder, FilesBuilder, RegistrySink, build
from archkit.testing import EmbeddedRegistry

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = int(os.environ.get("ARCHKIT_BENCH_ROUNDS", "5"))
ONE, OTHER = "linux/amd64", "linux/arm64"
BOTH = f"{ONE},{OTHER}"
TOOLS = ("docker", "buildx", "buildkitd", "runc", realtools.QEMU, "busybox-amd64", "busybox-arm64")
WAIT = 'RUN busybox sleep 2; echo "$SALT for $TARGETARCH" > /made'
WORK = 'RUN i=0; while [ $i -lt {times} ]; do i=$((i+1)); done; echo "$SALT for $TARGETARCH" > /made'
CROSS = """\
FROM --platform=$BUILDPLATFORM {host}/base:1 AS build
ARG SALT TARGETARCH
{work}
FROM {host}/base:1
COPY --from=build /made /made
"""
EMULATED = """\
FROM {host}/base:1
ARG SALT TARGETARCH
{work}
"""


def main() -> None:
    """Print one table for each Dockerfile."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    programs = {name: realtools.find(name) for name in TOOLS}
    missing = [name for name, path in programs.items() if path is None]
    if missing or os.geteuid() != 0:
        sys.exit(f"run this as root, with {', '.join(missing or TOOLS)}: `python3 noxfile.py tools`")
    tools = {name: path for name, path in programs.items() if path is not None}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="archkit-")))
        registry = stack.enter_context(EmbeddedRegistry())
        stack.enter_context(engine.arm64_emulated(tools[realtools.QEMU]))
        address = stack.enter_context(buildkit.running(tools["buildkitd"], folder, [registry.host]))
        plugins = folder / "config" / "cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-buildx").symlink_to(tools["buildx"])
        os.environ |= {"DOCKER_CONFIG": str(folder / "config"), "PATH": f"{tools['docker'].parent}{os.pathsep}{os.environ['PATH']}"}
        run("docker", "buildx", "create", "--name", "bench", "--driver", "remote", address)
        push_base(folder, registry.host, tools)
        cases = {
            "cross-compiling": (CROSS, WORK.format(times=400_000)),
            "under emulation": (EMULATED, WORK.format(times=30_000)),
            "waiting": (CROSS, WAIT),
        }
        for title, (text, work) in cases.items():
            source = folder / title.replace(" ", "-")
            source.mkdir()
            (source / "Dockerfile").write_text(text.format(host=registry.host, work=work))
            print(f"\n{title}, {ROUNDS} rounds, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
            table(source, registry.host)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=600)


def push_base(folder: Path, host: str, tools: dict[str, Path]) -> None:
    """A base of both platforms, of Debian's busybox."""
    files: dict[str, Path] = {}
    for cpu in ("amd64", "arm64"):
        root = files[f"linux/{cpu}"] = folder / cpu
        (root / "bin").mkdir(parents=True)
        shutil.copy(tools[f"busybox-{cpu}"], root / "bin" / "busybox")
        (root / "bin" / "sh").symlink_to("busybox")
    (folder / "empty").mkdir()
    base = Artifact("base", folder / "empty", builder=FilesBuilder(files=files, entrypoint=["/bin/sh"], env={"PATH": "/bin"}))
    build(base, targets=BOTH, sink=RegistrySink(host), tag="1")


def table(source: Path, host: str) -> None:
    """Measure all cases in turns."""

    def archkit(*runs: str) -> None:
        builder = DockerBuilder(builder="bench", build_args={"SALT": secrets.token_hex(8)})
        for platforms in runs:
            build(Artifact("app", source, builder=builder), targets=platforms, sink=RegistrySink(host), tag="1")

    def buildx(*runs: tuple[str, str]) -> None:
        salt = secrets.token_hex(8)
        for platforms, tag in runs:
            words = ["--builder", "bench", "--platform", platforms, "--provenance=false", "--push", "--build-arg", f"SALT={salt}"]
            run("docker", "buildx", "build", *words, "--tag", f"{host}/plain:{tag}", str(source))

    def skaffold() -> None:
        parts = {platform: f"1_{platform.replace('/', '_')}" for platform in (ONE, OTHER)}
        buildx(*parts.items())
        run("docker", "buildx", "imagetools", "create", "--tag", f"{host}/plain:1", *(f"{host}/plain:{tag}" for tag in parts.values()))

    cases: dict[str, Callable[[], None]] = {
        "archkit, both in one build": lambda: archkit(BOTH),
        "archkit, one after the other": lambda: archkit(ONE, OTHER),
        f"archkit, {ONE} alone": lambda: archkit(ONE),
        f"archkit, {OTHER} alone": lambda: archkit(OTHER),
        "docker buildx build alone, both at once": lambda: buildx((BOTH, "1")),
        "Skaffold's way: one after the other, then a list": skaffold,
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(ROUNDS + 1):
        order = list(cases)
        random.shuffle(order)  # so that none always runs first
        for name in order:
            start = time.perf_counter()
            cases[name]()
            if number:  # the first round fills caches of what is the same each time
                seconds[name].append(time.perf_counter() - start)
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    slowest = max(middle[f"archkit, {platform} alone"] for platform in (ONE, OTHER))
    print("| what | median s | least s | of the slower platform alone |\n|---|---|---|---|")
    for name, times in seconds.items():
        print(f"| {name} | {middle[name]:.2f} | {min(times):.2f} | {middle[name] / slowest:.2f} |")
    ratio = middle["archkit, both in one build"] / middle["archkit, one after the other"]
    print(f"\nboth in one build takes {ratio:.2f} of one after the other")


if __name__ == "__main__":
    main()

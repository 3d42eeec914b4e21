"""Stitching images that are in a registry, beside what else does it: requests, connections, milliseconds.

Two parts and ten, from the target's repository, from others of the same registry, and from another registry; through a
relay on loopback without delay, and with one that makes a round trip take 50 ms. The registries are those of the
distribution project. All tools take turns in one run, several times; the figures are medians. Programs are measured
from start to end, as is archkit where it says "whole process". What a tool cannot do is left out. Last, a thousand
indexes in one process.

ARCHKIT_BENCH_ROUNDS (5) says how often, ARCHKIT_BENCH_ONLY (such as "2 same") which tables. The load of the machine
stands beside each table: starting a program takes longer on a busy one, waiting for a registry does not.

    python3 noxfile.py tools
    python3 noxfile.py bench -- stitch
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

import attrs

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

import peers
import realtools

from archkit import Descriptor, IndexStitcher, PlatformSet, RegistryClient
from archkit.testing import ImageFactory

ROUNDS = int(os.environ.get("ARCHKIT_BENCH_ROUNDS", "5"))
ONLY = os.environ.get("ARCHKIT_BENCH_ONLY", "")
DELAYS = (0, 50)
"""Milliseconds of a round trip."""
TEN = PlatformSet(
    "linux/amd64,linux/arm64,linux/arm/v7,linux/arm/v6,linux/386,linux/ppc64le,linux/s390x,linux/riscv64,linux/mips64le,linux/loong64"
)
WHERE = {"same": "one repository", "cross": "another repository each", "registry": "another registry"}
MANY = 1000

AS_INSTALLED = {"PYTHONDONTWRITEBYTECODE": ""}
"""Installed packages are compiled: the first run, which is not measured, does that where the installer did not."""
WHOLE_PROCESS = """
import sys
from archkit import IndexStitcher
IndexStitcher().stitch(sys.argv[1], sys.argv[2:])
"""
THOUSAND = """
import gc, json, sys
from archkit import IndexStitcher, RegistryClient
def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4 / 1024
app, sources, many = sys.argv[1], sys.argv[3:], int(sys.argv[2])
with RegistryClient() as client:
    stitcher, sizes = IndexStitcher(client), {}
    for number in range(1, many + 1):
        stitcher.stitch(f"{app}:{number}", sources)
        if number in (1, many // 10, many // 2, many):
            sizes[number] = resident()
print(json.dumps(sizes))
"""


# ---- registries ---------------------------------------------------------------------------------------------------


class Distribution:
    """A registry of the distribution project, which logs its requests."""

    def __init__(self, program: Path, folder: Path) -> None:
        folder.mkdir()
        config = {
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": "127.0.0.1:0"},
        }
        (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        self._log = folder / "log"
        with self._log.open("w") as log:
            env = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
            self._process = subprocess.Popen([program, "serve", folder / "config.yml"], env=env, stdout=log, stderr=log)
        ending = time.monotonic() + 60
        while not (found := re.search(r"listening on 127\.0\.0\.1:(\d+)", self._log.read_text())):
            if self._process.poll() is not None or time.monotonic() > ending:
                sys.exit(self._log.read_text())
            time.sleep(0.05)
        self.port = int(found.group(1))
        self._read = 0

    def requests(self) -> int:
        """How many there were since this was last asked."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            new = log.read()
            self._read = log.tell()
        return len(re.findall(rb'"(?:GET|HEAD|POST|PUT|PATCH|DELETE) /v2', new))

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)


class Relays:
    """The relay of ``_relay.py`` before some registries."""

    def __init__(self, milliseconds: int, ports: list[int]) -> None:
        command = [sys.executable, str(Path(__file__).with_name("_relay.py")), str(milliseconds), *map(str, ports)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="ascii")
        self._ask, self._answers = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        self.hosts = [f"127.0.0.1:{self._answers.readline().strip()}" for _ in ports]

    def connections(self) -> int:
        """How many there were since this was last asked."""
        self._ask.write("\n")
        self._ask.flush()
        return sum(map(int, self._answers.readline().split()))

    def close(self) -> None:
        """End it."""
        self._ask.close()
        self._process.wait(30)


# ---- what is measured ----------------------------------------------------------------------------------------------


@attrs.frozen
class Task:
    """An index to make: where, of what."""

    target: str
    """``HOST/REPOSITORY:TAG``, new for each run."""
    sources: list[str]
    descriptors: list[Descriptor]
    """Of the sources."""
    host: str


@attrs.frozen
class Contender:
    """A way to do it."""

    name: str
    run: Callable[[Task], None]
    where: tuple[str, ...] = tuple(WHERE)


def contenders(folder: Path, hosts: list[str], stack: ExitStack) -> list[Contender]:
    """archkit in its ways, and the tools that are there."""
    client = stack.enter_context(RegistryClient())
    warm = IndexStitcher(client)

    def cold(task: Task) -> None:
        with RegistryClient() as client:
            IndexStitcher(client).stitch(task.target, task.sources)

    def process(task: Task) -> None:
        peers.run(sys.executable, "-c", WHOLE_PROCESS, task.target, *task.sources, env=AS_INSTALLED)

    def handed_over(task: Task) -> None:
        warm.stitch(task.target, task.descriptors)

    def platforms_given(task: Task) -> None:
        platforms = [str(about.platform) for about in task.descriptors]
        warm.stitch(task.target, dict(zip(platforms, task.sources, strict=True)), verify=False)

    found = [
        Contender("archkit, warm client, platforms given and believed", platforms_given, ("same",)),
        Contender("archkit, what the build knows handed over", handed_over, ("same",)),
        Contender("archkit, warm client, images it has seen", lambda task: ignore(warm.stitch(task.target, task.sources))),
        Contender("archkit, warm client", lambda task: ignore(IndexStitcher(client).stitch(task.target, task.sources))),
        Contender("archkit, new client", cold),
        Contender("archkit, whole process", process),
    ]
    programs = {name: realtools.find(name) for name in ("oras", "crane", "regctl", "buildx", "docker")}
    for name, program in programs.items():
        if program is None:
            print(f"{name} is not there: python3 noxfile.py tools")
        else:
            found.append(peer(name, program, folder, hosts))
    return found


def ignore(_: object) -> None:
    """A function of a task returns nothing."""


def peer(name: str, program: Path, folder: Path, hosts: list[str]) -> Contender:
    """A tool, with a configuration of its own."""
    if name == "oras":
        oras = peers.oras(program, folder)
        return Contender(
            name,
            lambda task: ignore(oras("manifest", "index", "create", task.target, *(source.rpartition(":")[2] for source in task.sources))),
            ("same",),
        )
    if name == "crane":
        crane = peers.crane(program, folder)
        return Contender(
            name,
            lambda task: ignore(crane("index", "append", "-t", task.target, *(word for source in task.sources for word in ("-m", source)))),
        )
    if name == "regctl":
        regctl = peers.regctl(program, folder, hosts)
        return Contender(
            name,
            lambda task: ignore(regctl("index", "create", task.target, *(word for source in task.sources for word in ("--ref", source)))),
        )
    docker = peers.docker(program, folder)
    if name == "buildx":
        return Contender("buildx imagetools", lambda task: ignore(docker("imagetools", "create", "-t", task.target, *task.sources)))

    def manifest(task: Task) -> None:
        docker("manifest", "create", "--insecure", task.target, *task.sources)
        docker("manifest", "push", "--insecure", "--purge", task.target)

    return Contender("docker manifest", manifest, ("same", "cross"))


@attrs.define
class Measured:
    """What one way cost at one delay."""

    milliseconds: list[float] = attrs.Factory(list)
    requests: list[int] = attrs.Factory(list)
    connections: list[int] = attrs.Factory(list)


class Field:
    """Two registries, the relays before them, and the parts in them."""

    def __init__(self, program: Path, folder: Path, stack: ExitStack) -> None:
        self._registries = [Distribution(program, folder / name) for name in ("here", "there")]
        for registry in self._registries:
            stack.callback(registry.close)
        self.relays = {delay: Relays(delay, [registry.port for registry in self._registries]) for delay in DELAYS}
        for relays in self.relays.values():
            stack.callback(relays.close)
        self.hosts = [host for relays in self.relays.values() for host in relays.hosts]
        self._number = 0
        self._parts: dict[tuple[str, int], list[tuple[str, Descriptor]]] = {}
        with RegistryClient() as client:
            for where in WHERE:
                images = ImageFactory(client)
                port = self._registries[where == "registry"].port
                for count in (2, 10):
                    self._parts[where, count] = []
                    for platform in list(TEN)[:count]:
                        name = f"bench/{where}{count}" + ("" if where == "same" else f"-{platform.tag_suffix.replace('_', '-')}")
                        image = images.push(f"127.0.0.1:{port}/{name}:1_{platform.tag_suffix}", platform, files={"layer": os.urandom(5000)})
                        about = client.manifest(image.reference).descriptor.with_platform(platform.to_oci())
                        self._parts[where, count].append((f"{name}:1_{platform.tag_suffix}", about))

    def task(self, where: str, count: int, delay: int) -> Task:
        """A new index; a new repository where the parts are not in the target's."""
        self._number += 1
        here, there = self.relays[delay].hosts
        host = there if where == "registry" else here
        repository = f"bench/{where}{count}" if where == "same" else f"bench/target-{self._number}"
        parts = self._parts[where, count]
        return Task(f"{here}/{repository}:{self._number}", [f"{host}/{name}" for name, _ in parts], [about for _, about in parts], here)

    def measure(self, contender: Contender, where: str, count: int, delay: int, into: Measured) -> None:
        """Run once."""
        task, relays = self.task(where, count, delay), self.relays[delay]
        relays.connections()
        for registry in self._registries:
            registry.requests()
        started = time.perf_counter()
        contender.run(task)
        into.milliseconds.append((time.perf_counter() - started) * 1000)
        time.sleep(0.02)  # the log is written after the answer
        into.requests.append(sum(registry.requests() for registry in self._registries))
        into.connections.append(relays.connections())


def table(field: Field, ways: list[Contender], where: str, count: int) -> None:
    """Print what all ways cost for one kind of index."""
    able = [way for way in ways if where in way.where]
    found = {(way.name, delay): Measured() for way in able for delay in DELAYS}
    for way in able:  # once, unmeasured: programs come from the disk, connections are made
        field.measure(way, where, count, DELAYS[0], Measured())
        if way.name.startswith("archkit, w"):
            field.measure(way, where, count, DELAYS[-1], Measured())
    for turn in range(ROUNDS):
        for delay in DELAYS:
            for at in range(len(able)):
                way = able[(at + turn) % len(able)]
                field.measure(way, where, count, delay, found[way.name, delay])
    fast, slow = DELAYS
    best = min(statistics.median(found[way.name, slow].milliseconds) for way in able if not way.name.startswith("archkit"))
    print(f"\n{count} parts from {WHERE[where]} (load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores):\n")
    print(f"| what | requests | connections | ms | ms at {slow} ms | round trips | times the fastest peer |\n|---|---|---|---|---|---|---|")
    for way in able:
        near, far = found[way.name, fast], found[way.name, slow]
        middle, distant = statistics.median(near.milliseconds), statistics.median(far.milliseconds)
        requests, connections = statistics.median(far.requests), statistics.median(far.connections)
        trips = (distant - middle) / slow
        print(
            f"| {way.name} | {requests:g} | {connections:g} | {middle:.0f} | {distant:.0f} | {trips:.1f} | {distant / best:.2f} |",
            flush=True,
        )


def thousand(field: Field) -> None:
    """Print how much memory a process has after many indexes."""
    task = field.task("same", 2, 0)
    app = task.target.rpartition(":")[0]
    started = time.perf_counter()
    output = peers.run(sys.executable, "-c", THOUSAND, app, str(MANY), *task.sources, timeout=600)
    seconds = time.perf_counter() - started
    sizes = ", ".join(f"{size:.1f} MiB after {number}" for number, size in json.loads(output).items())
    print(f"\n{MANY} indexes of two parts in one process: {seconds / MANY * 1000:.1f} ms each; resident {sizes}")


def main() -> None:
    """Print one table for each kind of index."""
    program = realtools.find(realtools.DOCKER_REGISTRY)
    if program is None:
        sys.exit("docker-registry is not there: python3 noxfile.py tools")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="archkit-")))
        field = Field(program, folder, stack)
        ways = contenders(folder, field.hosts, stack)
        for where in WHERE:
            for count in (2, 10):
                if not ONLY or f"{count} {where}" in ONLY:
                    table(field, ways, where, count)
        if not ONLY:
            thousand(field)


if __name__ == "__main__":
    main()

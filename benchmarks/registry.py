"""The fixtures: the embedded registry beside docker-registry and go-containerregistry's registry, the embedded cluster beside kmock.

Rounds are interleaved, so that a busy moment of the machine falls on all of them; minima and medians are printed. The
client is the same for all: bare sockets for the requests, archkit's for the images. Servers that are not installed are left out
(`python3 noxfile.py tools` installs them). kmock runs in a thread, as synchronous tests need it.

    python3 noxfile.py bench -- registry

Targets: start and stop of the fixture under 5 ms, a kept-alive request under 2 ms, an unused plugin under 2 ms of import.
"""

from __future__ import annotations

import asyncio
import http.client
import importlib
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archkit import RegistryClient
from archkit.testing import EmbeddedCluster, EmbeddedRegistry, FakeRunner, ImageFactory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "helpers"))
import realtools

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

ROUNDS = int(os.environ.get("ARCHKIT_BENCH_ROUNDS", "7"))
REQUESTS, IMAGES, NODES = 300, 10, 3
AGAIN = 0.1
"""Seconds for which starting is repeated."""
START_MS, REQUEST_MS, PLUGIN_MS = 5.0, 2.0, 2.0


@contextmanager
def embedded() -> Generator[str, None, None]:
    """In memory."""
    with EmbeddedRegistry() as registry:
        yield registry.host


@contextmanager
def on_folder() -> Generator[str, None, None]:
    """On a folder."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedRegistry(folder=folder) as registry:
        yield registry.host


@contextmanager
def process(command: list[str], says: str) -> Generator[str, None, None]:
    """A server of its own; from its start until it says that it listens."""
    env = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8") as server:
        if server.stdout is None:
            raise RuntimeError("no output")
        try:
            found = next(match for line in server.stdout if (match := re.search(says, line)))
            reader = threading.Thread(target=server.stdout.read)  # a full pipe would stop a server that logs
            reader.start()
            yield f"127.0.0.1:{found.group(1)}"
            server.terminate()
            reader.join()
        finally:
            server.kill()


@contextmanager
def docker_registry(program: Path) -> Generator[str, None, None]:
    """The distribution project's."""
    with tempfile.TemporaryDirectory() as folder:
        config = {
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": True}},
            "http": {"addr": "127.0.0.1:0"},
            "storage": {"filesystem": {"rootdirectory": f"{folder}/data"}},
        }
        Path(folder, "config.yml").write_text(json.dumps(config), encoding="utf-8")
        with process([str(program), "serve", f"{folder}/config.yml"], r"listening on 127\.0\.0\.1:(\d+)") as host:
            yield host


def servers() -> dict[str, Callable[[], AbstractContextManager[str]]]:
    """Those that there are."""
    found: dict[str, Callable[[], AbstractContextManager[str]]] = {"EmbeddedRegistry": embedded, "EmbeddedRegistry(folder=)": on_folder}
    distribution, ggcr = realtools.find("docker-registry"), realtools.find("registry")
    if distribution is not None:
        found["docker-registry"] = lambda: docker_registry(distribution)
    if ggcr is not None:
        found["go-containerregistry's registry"] = lambda: process([str(ggcr), "-port", "0"], r"serving on port (\d+)")
    return found


@contextmanager
def cluster() -> Generator[str, None, None]:
    """An API with some nodes."""
    with EmbeddedCluster() as made:
        made.add_node(count=NODES)
        yield made.host


@contextmanager
def kmock_cluster() -> Generator[str, None, None]:
    """kmock's API with as many, in a thread."""
    kmock: Any = importlib.import_module("kmock")
    listening, ports, stop = threading.Event(), [0], asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        async with kmock.KubernetesEmulator() as emulator, kmock.Server(emulator) as server:
            emulator.resources["v1/nodes"] = kmock.ResourceInfo(kind="Node", singular="node", namespaced=False)
            for number in range(1, NODES + 1):
                emulator.objects["v1/nodes", None, f"node-{number}"] = {"metadata": {"name": f"node-{number}"}}
            ports[0] = server.port
            loops.append(asyncio.get_running_loop())
            listening.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    listening.wait(60)
    try:
        yield f"127.0.0.1:{ports[0]}"
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()


def clusters() -> dict[str, Callable[[], AbstractContextManager[str]]]:
    """Those that there are."""
    found: dict[str, Callable[[], AbstractContextManager[str]]] = {"EmbeddedCluster": cluster}
    if importlib.util.find_spec("kmock") is not None:
        found["kmock"] = kmock_cluster
    return found


def in_process() -> dict[str, float]:
    """Milliseconds to make and to leave the kits that are no servers."""
    times: dict[str, float] = {}
    with EmbeddedRegistry() as registry:
        start = time.perf_counter()
        ImageFactory(registry)
        times["ImageFactory"] = (time.perf_counter() - start) * 1000
    start = time.perf_counter()
    with FakeRunner() as runner:
        runner.on("tool").answer("").optional()
    times["FakeRunner"] = (time.perf_counter() - start) * 1000
    return times


def requests(host: str, path: str = "/v2/") -> float:
    """Milliseconds per request on one connection that is kept alive."""
    connection = http.client.HTTPConnection(host, timeout=30)
    start = time.perf_counter()
    for _ in range(REQUESTS):
        connection.request("GET", path)
        connection.getresponse().read()
    took = (time.perf_counter() - start) * 1000 / REQUESTS
    connection.close()
    return took


def images(host: str) -> float:
    """Milliseconds per image of two platforms that a client pushes and reads."""
    with RegistryClient(credentials=None) as client:
        start = time.perf_counter()
        for number in range(IMAGES):
            ImageFactory(client).push(f"{host}/app:{number}", ["linux/amd64", "linux/arm64"], labels={"n": str(number)})
            client.platforms(f"{host}/app:{number}")
        return (time.perf_counter() - start) * 1000 / IMAGES


def plugin(bytecode: str) -> float:
    """Milliseconds that loading the plugin takes an interpreter that has pytest loaded already.

    Args:
        bytecode: Folder for compiled modules, as an installed package has them, whatever the environment says of that.
    """
    code = "import pytest, time; a = time.perf_counter(); import archkit.pytest_plugin; print((time.perf_counter() - a) * 1000)"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-X", f"pycache_prefix={bytecode}", "-c", code]
    done = subprocess.run(command, cwd=bytecode, env=env, check=True, capture_output=True, encoding="utf-8")
    return float(done.stdout)


def spent(server: Callable[[], AbstractContextManager[str]], measure: Callable[[str], list[float]]) -> list[float]:
    """Milliseconds to start and stop a server, and what is measured while it runs.

    What takes a moment is done again while that lasts a tenth of a second, and the least counts: on a busy machine a
    single start says more of the machine.
    """
    until, times = time.perf_counter() + AGAIN, list[float]()
    found: list[float] = []
    while not found:
        start = time.perf_counter()
        with server() as host:
            begun = time.perf_counter()
            found = measure(host) if times and begun >= until else []
            stopping = time.perf_counter()
        times.append((begun - start + time.perf_counter() - stopping) * 1000)
    return [min(times), *found]


def row(name: str, rounds: list[list[float]]) -> str:
    """A line of a table: minimum and median of each column."""
    columns = zip(*rounds, strict=True)
    return f"| {name} | {' | '.join(f'{min(values):.2f} / {statistics.median(values):.2f}' for values in columns)} |"


def main() -> int:
    """Print the tables; returns 1 where a target is missed."""
    registries: dict[str, list[list[float]]] = {name: [] for name in servers()}
    apis: dict[str, list[list[float]]] = {name: [] for name in clusters()}
    kits: dict[str, list[list[float]]] = {}
    for _ in range(ROUNDS):
        for name, server in servers().items():
            registries[name].append(spent(server, lambda host: [requests(host), images(host)]))
        for name, server in clusters().items():
            apis[name].append(spent(server, lambda host: [requests(host, "/api/v1/nodes/node-1")]))
        for name, taken in in_process().items():
            kits.setdefault(name, []).append([taken])
    with tempfile.TemporaryDirectory() as bytecode:
        plugin(bytecode)  # compiles
        plugins = [plugin(bytecode) for _ in range(ROUNDS)]

    print(f"Python {sys.version.split()[0]}, {ROUNDS} rounds; minimum and median in milliseconds\n")
    print("| registry | start and stop | a kept-alive request | push and read an image of two platforms |")
    print("|---|---|---|---|")
    for name, rounds in registries.items():
        print(row(name, rounds))
    print(f"\n| cluster of {NODES} nodes | start and stop | a kept-alive request for a node |")
    print("|---|---|---|")
    for name, rounds in apis.items():
        print(row(name, rounds))
    print("\n| kit | make and leave |")
    print("|---|---|")
    for name, rounds in kits.items():
        print(row(name, rounds))
    print(f"\nloading the pytest plugin: {min(plugins):.2f} / {statistics.median(plugins):.2f}")
    best = {name: [min(column) for column in zip(*rounds, strict=True)] for name, rounds in {**registries, **apis, **kits}.items()}
    served = ("EmbeddedRegistry", "EmbeddedCluster")
    met = [
        *((f"start and stop of {name} under {START_MS:g} ms", best[name][0] < START_MS) for name in (*served, *kits)),
        *((f"a request to {name} under {REQUEST_MS:g} ms", best[name][1] < REQUEST_MS) for name in served),
        (f"an unused plugin under {PLUGIN_MS:g} ms", min(plugins) < PLUGIN_MS),
    ]
    for what, reached in met:
        print(f"target {what}: {'met' if reached else 'MISSED'}")
    return 0 if all(reached for _, reached in met) else 1


if __name__ == "__main__":
    sys.exit(main())

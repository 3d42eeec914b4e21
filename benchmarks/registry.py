"""The embedded registry beside docker-registry and go-containerregistry's registry: start, requests, images.

Rounds are interleaved, so that a busy moment of the machine falls on all of them; minima and medians are printed. The
client is the same for all: bare sockets for the requests, archkit's for the images. Servers that are not installed are left out
(`python3 noxfile.py tools` installs them).

    python3 noxfile.py bench -- registry

Targets: start and stop of the fixture under 5 ms, a kept-alive request under 2 ms, an unused plugin under 2 ms of import.
"""

from __future__ import annotations

import http.client
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
from typing import TYPE_CHECKING

from archkit import RegistryClient
from archkit.testing import EmbeddedRegistry, ImageFactory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "helpers"))
import realtools

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

ROUNDS = int(os.environ.get("ARCHKIT_BENCH_ROUNDS", "7"))
REQUESTS, IMAGES = 300, 10
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


def requests(host: str) -> float:
    """Milliseconds per request on one connection that is kept alive."""
    connection = http.client.HTTPConnection(host, timeout=30)
    start = time.perf_counter()
    for _ in range(REQUESTS):
        connection.request("GET", "/v2/")
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


def main() -> int:
    """Print the table; returns 1 where a target is missed."""
    found = servers()
    times: dict[str, dict[str, list[float]]] = {name: {"start": [], "request": [], "image": []} for name in found}
    for _ in range(ROUNDS):
        for name, server in found.items():
            start = time.perf_counter()
            with server() as host:
                begun = time.perf_counter()
                times[name]["request"].append(requests(host))
                times[name]["image"].append(images(host))
                stopping = time.perf_counter()
            times[name]["start"].append((begun - start + time.perf_counter() - stopping) * 1000)
    with tempfile.TemporaryDirectory() as bytecode:
        plugin(bytecode)  # compiles
        plugins = [plugin(bytecode) for _ in range(ROUNDS)]

    print(f"Python {sys.version.split()[0]}, {ROUNDS} rounds; minimum and median in milliseconds\n")
    print("| registry | start and stop | a kept-alive request | push and read an image of two platforms |")
    print("|---|---|---|---|")
    for name, parts in times.items():
        cells = (f"{min(values):.2f} / {statistics.median(values):.2f}" for values in parts.values())
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\nloading the pytest plugin: {min(plugins):.2f} / {statistics.median(plugins):.2f}")
    own = times["EmbeddedRegistry"]
    met = [
        (f"start and stop under {START_MS:g} ms", min(own["start"]) < START_MS),
        (f"a request under {REQUEST_MS:g} ms", min(own["request"]) < REQUEST_MS),
        (f"an unused plugin under {PLUGIN_MS:g} ms", min(plugins) < PLUGIN_MS),
    ]
    for what, reached in met:
        print(f"target {what}: {'met' if reached else 'MISSED'}")
    return 0 if all(reached for _, reached in met) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Reading the platforms of a cluster, beside what else reads its nodes: seconds and peak memory of whole processes.

5,000 and 15,000 nodes of 13 KB in a real API server. `kubectl get nodes -o json`, the typed client of the package
kubernetes, lightkube, and archkit take turns in one run; the figures are the best times of all rounds, the memory is the
highest that the kernel saw resident (VmHWM), the processor's time is the program's own: the server, on the same machine,
writes the same JSON for all of them. No other part of the control plane runs meanwhile.

ARCHKIT_BENCH_ROUNDS (3) says how often, ARCHKIT_BENCH_NODES ("5000 15000") how many nodes.

    python3 noxfile.py tools
    python3 noxfile.py bench -- cluster
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import attrs

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

import control_plane
import kube_objects
import realtools

ROUNDS = int(os.environ.get("ARCHKIT_BENCH_ROUNDS", "3"))
SIZES = tuple(map(int, os.environ.get("ARCHKIT_BENCH_NODES", "5000 15000").split()))
IMAGES = 50
"""Of a node: what makes 13 KB of it."""

ARCHKIT = """
import sys
from archkit import ClusterInspector
cluster = ClusterInspector.from_kubeconfig(sys.argv[1]).inspect()
print(len(cluster.nodes), cluster.platforms)
"""
TYPED = """
import sys
from kubernetes import client, config
config.load_kube_config(sys.argv[1])
nodes = client.CoreV1Api().list_node().items
print(len(nodes), sorted({node.metadata.labels["kubernetes.io/arch"] for node in nodes}))
"""
LIGHTKUBE = """
import sys
from lightkube import Client, KubeConfig
from lightkube.resources.core_v1 import Node
nodes = list(Client(KubeConfig.from_file(sys.argv[1]), trust_env=False).list(Node))
print(len(nodes), sorted({node.metadata.labels["kubernetes.io/arch"] for node in nodes}))
"""


@attrs.frozen
class Run:
    """One run of a program."""

    seconds: float
    processor: float
    """Seconds of the processor that the program itself took, the server's not among them."""
    mebibytes: float


def measured(command: list[str], env: dict[str, str]) -> Run:
    """Run a program to its end; its own words are shown where it fails."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    peak = 0
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=said)
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            try:
                found = re.search(r"VmHWM:\s+(\d+)", status.read_text())
            except OSError:
                break
            peak = max(peak, int(found[1]) if found else 0)
            time.sleep(0.005)
        process.wait()
        seconds = time.perf_counter() - started
        if process.returncode:
            said.seek(0)
            sys.exit(f"{command[:3]}: {said.read().decode()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak / 1024)


def declare(plane: control_plane.ControlPlane, first: int, last: int) -> None:
    """Nodes of both CPUs, as many labels as a cloud gives them."""
    for start in range(first, last, 500):
        plane.create(*(_node(number) for number in range(start, min(start + 500, last))))


def _node(number: int) -> dict[str, object]:
    labels = {f"example.com/label-{index}": f"value-{number % 7}" for index in range(10)}
    made = kube_objects.node(f"node-{number:05}", "linux/arm64" if number % 3 == 0 else "linux/amd64", labels=labels, images=IMAGES)
    made["status"]["conditions"] = [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ok"}]
    made["status"]["phase"] = "Running"
    return made


def main() -> None:
    """Print a table per number of nodes."""
    programs = {name: realtools.find(name) for name in (*control_plane.PROGRAMS, "kubectl")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        sys.exit(f"{', '.join(missing)} not there: python3 noxfile.py tools")
    found = {name: path for name, path in programs.items() if path is not None}
    with tempfile.TemporaryDirectory() as home, control_plane.running(found) as plane:
        for name in ("kwok", "kube-controller-manager", "kube-scheduler"):
            plane.stop(name)
        env = {**os.environ, "HOME": home, "PYTHONDONTWRITEBYTECODE": ""}
        config = str(plane.kubeconfig)
        commands = {
            "kubectl get nodes -o json": [str(found["kubectl"]), "--kubeconfig", config, "get", "nodes", "-o", "json"],
            "kubernetes, typed": [sys.executable, "-c", TYPED, config],
            "lightkube": [sys.executable, "-c", LIGHTKUBE, config],
            "archkit": [sys.executable, "-c", ARCHKIT, config],
        }
        there = 100
        declare(plane, 0, there)
        for command in commands.values():  # compiles and caches what is compiled and cached once
            measured(command, env)
        for size in SIZES:
            declare(plane, there, size)
            there = size
            page = plane.request("GET", "api/v1/nodes", query={"limit": "1"})
            print(f"\n{size:,} nodes of {len(str(page)) / 1000:.0f} KB, best of {ROUNDS}, load {os.getloadavg()[0]:.1f}\n")
            runs: dict[str, list[Run]] = {name: [] for name in commands}
            for _ in range(ROUNDS):
                for name, command in commands.items():
                    runs[name].append(measured(command, env))
            base = min(run.seconds for run in runs["kubectl get nodes -o json"])
            print("| what | s | of kubectl | own processor s | peak MiB |\n|---|---|---|---|---|")
            for name, done in runs.items():
                seconds, own, peak = (
                    min(run.seconds for run in done),
                    min(run.processor for run in done),
                    max(run.mebibytes for run in done),
                )
                print(f"| {name} | {seconds:.2f} | {seconds / base:.2f} | {own:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()

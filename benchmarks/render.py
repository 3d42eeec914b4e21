"""Rendering a set of manifests, beside what else reads and writes YAML: seconds and peak memory.

First the ratio that archkit's target is about (at most 4, its own check of the result included): for each shape and
size one process takes rounds of three pieces of work in turn, libyaml's events over the text with nothing done with
them ("the pass"), `render` and `render_stream`. Printed are the ratio of the best times and the median of the ratios of
all rounds.

Then the peers. Every case is a process of its own that reads the same file; its time is that of the work alone,
without imports, for programs that of the whole process. ruamel.yaml and PyYAML only load and dump: they pin nothing
and place nothing. Cases that take longer than ARCHKIT_BENCH_SECONDS (120) are stopped.

    python3 noxfile.py bench -- render
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _manifests import SHAPES, text_of  # type: ignore[import-not-found,unused-ignore]

SIZES = [int(size) for size in os.environ.get("ARCHKIT_BENCH_DOCUMENTS", "10,1000,20000").split(",")]
MEGABYTES = [float(size) for size in os.environ.get("ARCHKIT_BENCH_MEGABYTES", "1,2.5,5,10").split(",")]
SECONDS = float(os.environ.get("ARCHKIT_BENCH_SECONDS", "120"))
PEERS = ("one in four a short pod", "usual pods")
"""Shapes of which peers are measured too."""
ROUNDS = 3
LARGE = 2_000_000
"""Characters from which on two rounds must do."""

SETUP = """
from archkit import AffinityRenderer, BuiltImage, PlatformSet
both = PlatformSet("linux/amd64,linux/arm64")
builds = [BuiltImage(f"app-{number}", f"r.example/app-{number}:1@sha256:{number:064x}", both) for number in range(50)]
renderer = AffinityRenderer(builds=builds, platforms={"envoy": both}, affinity="always")
"""
WORK = {
    "one event pass (libyaml)": """
import yaml
from yaml._yaml import CParser
def work():
    get = CParser(text).get_event
    while get().__class__ is not yaml.StreamEndEvent: pass
""",
    "archkit render": SETUP
    + """def work():
    assert renderer.render(text).text.count("nodeAffinity") == text.count("kind: Deployment")
""",
    "archkit render_stream": SETUP
    + """def work():
    with open(path, newline="") as lines:
        for rendering in renderer.render_stream(lines): pass
text = None
""",
    "PyYAML load and dump (C)": """
import yaml
def work():
    yaml.dump_all(yaml.load_all(text, yaml.CSafeLoader), Dumper=yaml.CSafeDumper)
""",
    "ruamel.yaml round trip": """
import io
from ruamel.yaml import YAML
def work():
    yaml = YAML()
    yaml.dump_all(list(yaml.load_all(text)), io.StringIO())
""",
}
FRAME = """
import json, sys, time
{peak}
path = sys.argv[1]
text = open(path, newline="").read()
{code}
times = []
for _ in range(int(sys.argv[2])):
    started = time.process_time()
    work()
    times.append(time.process_time() - started)
print(json.dumps([min(times), peak()]))
"""
INTERLEAVED = """
import json, sys, time
import yaml
from yaml._yaml import CParser
from _manifests import text_of
{setup}
text = text_of(sys.argv[1], int(sys.argv[2]))
lines = text.splitlines(keepends=True)
def the_pass():
    get = CParser(text).get_event
    while get().__class__ is not yaml.StreamEndEvent: pass
def render():
    assert renderer.render(text).text.count("nodeAffinity") == text.count("kind: Deployment")
def stream():
    for rendering in renderer.render_stream(lines): pass
times = []
for _ in range(int(sys.argv[3])):
    times.append([])
    for work in (the_pass, render, stream):
        started = time.process_time()
        work()
        times[-1].append(time.process_time() - started)
print(json.dumps(times))
"""
PEAK = """
def peak():  # not getrusage: what a child has at its start is its parent's
    return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) / 1024
"""
STREAM_PEAK = """
import sys
{peak}
from _manifests import text_of
{setup}
def lines():
    for number in range(0, int(sys.argv[2]), 100):
        yield from (("---\\n" if number else "") + text_of(sys.argv[1], 100)).splitlines(keepends=True)
for rendering in renderer.render_stream(lines()): pass
print(peak())
"""
KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [manifests.yaml]
images: [{name: app-1, newName: r.example/app-1, newTag: "1"}]
patches:
- target: {kind: Deployment}
  patch: |
    - op: add
      path: /spec/template/spec/affinity
      value: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/arch, operator: In, values: [amd64]}]}]}}}
"""
SKAFFOLD = """\
apiVersion: skaffold/v4beta11
kind: Config
manifests: {rawYaml: [manifests.yaml]}
"""


def main() -> None:
    """Print the table of ratios, and one of peers per shape and size."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print("| documents | how many | MB | the pass, s | render: best, median | render_stream: best, median | its peak MiB |")
    print("|---|---|---|---|---|---|---|")
    for shape in SHAPES:
        for size in SIZES:
            ratios(shape, size)
    for megabytes in MEGABYTES:
        ratios("usual pods", int(megabytes * 1e6 / len(text_of("usual pods", 300)) * 300))
    for shape in PEERS:
        for size in SIZES:
            peers(shape, size)


def ratios(shape: str, size: int) -> None:
    """Print one line: how many times one pass rendering takes, in rounds of one process."""
    length = len(text_of(shape, size))
    rounds = 40 if size <= 100 else 2 if length > LARGE else 7
    times: list[list[float]] = json.loads(measured(INTERLEAVED.format(setup=SETUP), shape, str(size), str(rounds)))
    cells = [f"{shape} | {size} | {length / 1e6:.2f} | {min(row[0] for row in times):.4f}"]
    for column in (1, 2):
        best = min(row[column] for row in times) / min(row[0] for row in times)
        cells.append(f"{best:.1f}, {statistics.median(row[column] / row[0] for row in times):.1f}")
    cells.append(f"{float(measured(STREAM_PEAK.format(setup=SETUP, peak=PEAK), shape, str(size))):.0f}")
    print(f"| {' | '.join(cells)} |")


def measured(code: str, *arguments: str) -> str:
    """What a piece of Python beside the shapes prints."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, env=environment).stdout


def peers(shape: str, size: int) -> None:
    """Print one table: a process for each, with its peak memory."""
    with tempfile.TemporaryDirectory(prefix="archkit-") as name:
        folder = Path(name)
        text = text_of(shape, size)
        (folder / "manifests.yaml").write_text(text)
        (folder / "kustomization.yaml").write_text(KUSTOMIZATION)
        (folder / "skaffold.yaml").write_text(SKAFFOLD)
        print(f"\n{size} documents, {len(text) / 1e6:.2f} MB, {shape}\n")
        print("| what | seconds | times the pass | peak MiB |\n|---|---|---|---|")
        floor: float | None = None
        for what, code in WORK.items():
            floor = row(what, in_python(code, folder / "manifests.yaml", size), floor)
        for what, command in programs(folder).items():
            row(what, as_process(command, folder), floor)


def row(what: str, measured: tuple[float, float] | str, floor: float | None) -> float | None:
    """Print one line; returns the floor."""
    if isinstance(measured, str):
        print(f"| {what} | {measured} | | |")
        return floor
    seconds, peak = measured
    floor = seconds if floor is None else floor
    print(f"| {what} | {seconds:.4f} | {seconds / floor:.1f} | {peak:.0f} |")
    return floor


def in_python(code: str, path: Path, size: int) -> tuple[float, float] | str:
    """Best seconds of some rounds, and peak MiB, of a piece of Python."""
    rounds = 20 if size <= 100 else ROUNDS if size <= 1000 else 1
    command = [sys.executable, "-c", FRAME.format(code=code, peak=PEAK), str(path), str(rounds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"more than {SECONDS:g}"
    seconds, peak = json.loads(done.stdout)
    return seconds, peak


def programs(folder: Path) -> dict[str, list[str]]:
    """The commands of the peers that are on PATH."""
    known = {
        "kubectl kustomize (whole process)": ["kubectl", "kustomize", str(folder)],
        "skaffold render (whole process)": ["skaffold", "render", "--offline", "-f", "skaffold.yaml"],
        "yq (whole process)": ["yq", ".", "manifests.yaml"],
    }
    return {what: command for what, command in known.items() if shutil.which(command[0])}


def as_process(command: list[str], folder: Path) -> tuple[float, float] | str:
    """Seconds of processor and peak MiB of a program, once."""
    code = (
        "import json, resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *command], cwd=folder, capture_output=True, text=True, check=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"more than {SECONDS:g}"
    except subprocess.CalledProcessError:
        return "failed"
    seconds, peak = json.loads(done.stdout)
    return seconds, peak


if __name__ == "__main__":
    main()

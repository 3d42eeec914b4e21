"""Rendering a set of manifests, beside what else reads and writes YAML: seconds and peak memory.

Every case is a process of its own that reads the same file; its time is that of the work alone, without imports, for
programs that of the whole process. The line "one event pass" is the floor: libyaml's events over the same text with
nothing done with them, which archkit's target is a multiple of (at most 4, its own check of the result included).
ruamel.yaml and PyYAML only load and dump: they pin nothing and place nothing. Cases that take longer than
ARCHKIT_BENCH_SECONDS (120) are stopped.

    python3 noxfile.py bench -- render
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = [int(size) for size in os.environ.get("ARCHKIT_BENCH_DOCUMENTS", "10,1000,20000").split(",")]
SECONDS = float(os.environ.get("ARCHKIT_BENCH_SECONDS", "120"))
ROUNDS = 3
WORST = 1000
"""Documents of the last table, in which every single one is edited twice and grows by half."""

DOCUMENTS = [
    """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-{0}  # one of many
  labels: {{app: web, tier: front}}
spec:
  replicas: 3
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
    spec:
      # what runs
      containers:
      - name: web
        image: web:1.0
        ports:
        - containerPort: 8080
        env:
        - name: MODE
          value: "production"
        - name: TOKEN
          valueFrom:
            secretKeyRef: {{name: web, key: token}}
        resources:
          requests: {{cpu: 100m, memory: 64Mi}}
          limits:
            cpu: 200m
            memory: 128Mi
      - name: proxy
        image: envoy:1.30
""",
    """\
apiVersion: v1
kind: Service
metadata:
  name: web-{0}
spec:
  selector:
    app: web
  ports:
  - name: http
    port: 80
    targetPort: 8080
""",
    """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: web-{0}
data:
  server.conf: |
    listen 8080
    # every request is logged
    log /dev/stdout
    upstream 127.0.0.1:9000
  level: info
""",
    """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: web-{0}
rules:
- apiGroups: ["", apps]
  resources: [pods, deployments]
  verbs: [get, list, watch]
""",
]

WORK = {
    "one event pass (libyaml)": """
import yaml
from yaml._yaml import CParser
def work():
    get = CParser(text).get_event
    while get().__class__ is not yaml.StreamEndEvent: pass
""",
    "archkit render": """
from archkit import AffinityRenderer, BuiltImage, PlatformSet
both = PlatformSet("linux/amd64,linux/arm64")
renderer = AffinityRenderer(builds=[BuiltImage("web", "r.example/web:1@sha256:" + "0" * 64, both)], platforms={"envoy": both}, affinity="always")
def work():
    assert renderer.render(text).text.count("nodeAffinity") == text.count("image: web")
""",
    "archkit render_stream": """
from archkit import AffinityRenderer, BuiltImage, PlatformSet
both = PlatformSet("linux/amd64,linux/arm64")
renderer = AffinityRenderer(builds=[BuiltImage("web", "r.example/web:1@sha256:" + "0" * 64, both)], platforms={"envoy": both}, affinity="always")
def work():
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
import json, resource, sys, time
path = sys.argv[1]
text = open(path, newline="").read()
{code}
times = []
for _ in range(int(sys.argv[2])):
    started = time.process_time()
    work()
    times.append(time.process_time() - started)
print(json.dumps([min(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""
KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [manifests.yaml]
images: [{name: web, newName: r.example/web, newTag: "1"}]
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
    """Print one table per size."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for size, kinds in [*((size, len(DOCUMENTS)) for size in SIZES), (WORST, 1)]:
        with tempfile.TemporaryDirectory(prefix="archkit-") as name:
            folder = Path(name)
            text = "---\n".join(DOCUMENTS[number % kinds].format(number) for number in range(size))
            (folder / "manifests.yaml").write_text(text)
            (folder / "kustomization.yaml").write_text(KUSTOMIZATION)
            (folder / "skaffold.yaml").write_text(SKAFFOLD)
            print(f"\n{size} documents, {len(text) / 1e6:.2f} MB, {f'one in {kinds}' if kinds > 1 else 'every one'} with a pod\n")
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
    command = [sys.executable, "-c", FRAME.format(code=code), str(path), str(rounds)]
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

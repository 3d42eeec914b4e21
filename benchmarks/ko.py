"""One Go program for two CPUs: one run of ko for both, against one run after the other; seconds of the whole build.

Every case of every round compiles all of a generated program anew (Go's own library is compiled once, before), on a base
in an embedded registry. Cases take turns within a round; the ratio is that of the medians, the least of each stands
beside it. The target is the time of the slower single platform where there are cores for both, not the sum.

    python3 noxfile.py bench -- ko
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
from pathlib import Path
from typing import TYPE_CHECKING

from archkit import Artifact, KoBuilder, RegistrySink, build
from archkit.testing import EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = int(os.environ.get("ARCHKIT_BENCH_ROUNDS", "5"))
PACKAGES = int(os.environ.get("ARCHKIT_BENCH_PACKAGES", "40"))
FUNCTIONS = 120
BOTH = "linux/amd64,linux/arm64"

FUNCTION = """
func F{0}(values []int) (sum int) {{
	for at, value := range values {{
		switch value % 5 {{
		case 0:
			sum += value * {0}
		case 1:
			sum -= at << 3
		case 2:
			sum ^= len(values) * {1}
		default:
			sum += F{2}(values[:at])
		}}
	}}
	return sum
}}
"""


def write_program(folder: Path, salt: int) -> None:
    """A Go module whose every package differs by the salt."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "go.mod").write_text("module example.test/bench\n\ngo 1.21\n")
    names = [f"p{number}" for number in range(PACKAGES)]
    for name in names:
        (folder / name).mkdir()
        functions = [FUNCTION.format(number, salt, max(0, number - 1)) for number in range(FUNCTIONS)]
        (folder / name / "code.go").write_text(f"package {name}\n{''.join(functions)}")
    imports = "\n".join(f'\t"example.test/bench/{name}"' for name in names)
    calls = "\n".join(f"\tprintln({name}.F{FUNCTIONS - 1}([]int{{1, 2, 3}}))" for name in names)
    (folder / "main.go").write_text(f"package main\n\nimport (\n{imports}\n)\n\nfunc main() {{\n{calls}\n}}\n")


def main() -> int:
    """Print the table."""
    missing = [tool for tool in ("ko", "go") if not shutil.which(tool)]
    if missing:
        sys.exit(f"{' and '.join(missing)} must be on PATH; `python3 noxfile.py tools` brings ko")
    with tempfile.TemporaryDirectory(prefix="archkit-bench-") as temporary, EmbeddedRegistry() as registry:
        folder = Path(temporary)
        ImageFactory(registry).push("base:1", BOTH)
        source = folder / "src"
        environment = {**os.environ, "KO_DEFAULTBASEIMAGE": f"{registry.host}/base:1", "KO_DOCKER_REPO": f"{registry.host}/plain"}
        artifact = Artifact("app", source, builder=KoBuilder(base=f"{registry.host}/base:1"))

        def archkit(*runs: str) -> None:
            for platforms in runs:
                build(artifact, targets=platforms, sink=RegistrySink(registry.host), tag="1")

        def ko(*runs: str) -> None:
            for platforms in runs:
                command = ["ko", "build", ".", f"--platform={platforms}", "--sbom=none", "--bare", "--tags=1"]
                subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True)

        one, other = BOTH.split(",")
        cases: dict[str, Callable[[], None]] = {
            "archkit, both in one run": lambda: archkit(BOTH),
            "archkit, one after the other": lambda: archkit(one, other),
            f"archkit, {one} alone": lambda: archkit(one),
            f"archkit, {other} alone": lambda: archkit(other),
            "ko alone, both in one run (what Skaffold starts too)": lambda: ko(BOTH),
        }
        seconds: dict[str, list[float]] = {name: [] for name in cases}
        for number in range(ROUNDS + 1):
            order = list(cases)
            random.shuffle(order)  # so that none always runs first
            for name in order:
                write_program(source, secrets.randbelow(1 << 30))  # nothing of it is in Go's cache
                start = time.perf_counter()
                cases[name]()
                if number:  # the first round compiles Go's library
                    seconds[name].append(time.perf_counter() - start)
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    slowest = max(middle[name] for name in cases if name.endswith("alone") and name.startswith("archkit"))
    print(f"{PACKAGES} packages, {ROUNDS} rounds, {os.cpu_count()} CPUs\n")
    print("| what | median s | least s | of the slower platform alone |\n|---|---|---|---|")
    for name, times in seconds.items():
        print(f"| {name} | {middle[name]:.2f} | {min(times):.2f} | {middle[name] / slowest:.2f} |")
    ratio = middle["archkit, both in one run"] / middle["archkit, one after the other"]
    print(f"\nboth in one run takes {ratio:.2f} of one after the other")
    return 0


if __name__ == "__main__":
    sys.exit(main())

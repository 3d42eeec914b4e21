"""What importing costs, in fresh interpreters, beside peers; the target is 15 ms above `import attrs`.

Runs are interleaved, so that a busy moment of the machine falls on all of them; medians are printed, and what an
empty interpreter takes is subtracted. Peers that are not installed are left out.

    python3 noxfile.py bench -- imports
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = int(os.environ.get("ARCHKIT_BENCH_ROUNDS", "15"))
TARGET_MS = 15.0
EMPTY = "pass"
ATTRS = "import attrs"
DECIDE = "from archkit import Platform, resolve_targets"
CASES = {
    EMPTY: "",
    ATTRS: "attrs",
    "import archkit": "archkit",
    DECIDE: "archkit",
    "from archkit import AffinityRenderer": "archkit",
    "from archkit import Pipeline": "archkit",
    "from archkit import RegistryClient": "archkit",
    "import archkit.pytest_plugin": "archkit",
    "import yaml": "yaml",
    "import ruamel.yaml": "ruamel.yaml",
    "import urllib3": "urllib3",
    "import oras.client": "oras",
    "import python_on_whales": "python_on_whales",
    "import kubernetes.client": "kubernetes",
}
"""Statement, and the module that must be installed for it."""


def once(statement: str) -> float:
    """Milliseconds from start to end of an interpreter that runs this statement, away from the checkout."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], cwd=tempfile.gettempdir(), check=True)
    return (time.perf_counter() - start) * 1000


def installed(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    return not module or importlib.util.find_spec(module.partition(".")[0]) is not None


def main() -> int:
    """Print the table; returns 1 where the target is missed."""
    statements = [statement for statement, module in CASES.items() if installed(module)]
    for statement in statements:
        once(statement)  # compiles what is not compiled yet
    times: dict[str, list[float]] = {statement: [] for statement in statements}
    for _ in range(ROUNDS):
        for statement in statements:
            times[statement].append(once(statement))
    medians = {statement: statistics.median(values) for statement, values in times.items()}
    base, attrs_only = medians[EMPTY], medians[ATTRS] - medians[EMPTY]

    print(f"Python {sys.version.split()[0]}, medians of {ROUNDS} fresh interpreters; an empty one takes {base:.0f} ms\n")
    print(f"{'statement':48} {'ms':>7} {'above attrs':>12} {'x attrs':>8}")
    for statement, median in medians.items():
        if statement != EMPTY:
            own = median - base
            print(f"{statement:48} {own:7.1f} {own - attrs_only:12.1f} {own / attrs_only:8.2f}")
    # the rounds' own differences, because neighbours in time meet the same machine
    above = statistics.median(decide - plain for decide, plain in zip(times[DECIDE], times[ATTRS], strict=True))
    met = above <= TARGET_MS
    print(f"\n{DECIDE}: {above:.1f} ms above `{ATTRS}`, target {TARGET_MS:.0f} ms: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

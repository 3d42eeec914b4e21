"""The real tools that the live tests drive: where they are, and how they get there.

Run as a program (`python3 noxfile.py tools`) this puts the missing ones into the cache folder, outside the checkout:
Go modules by name and version, and Debian packages, unpacked where they need not be installed. What is there already
is left alone, so a second run takes a second. It needs Go and nothing but the standard library. Names as arguments
choose some of them. The recipes are in `go_tools.py` and `debian_tools.py`.

Imported by tests it only says where things are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from debian_tools import for_cpu, installed, unpacked
from go_tools import build, command, docker_client, docker_engine, install, kubernetes
from maven_tools import JIB, maven
from python_clients import CLIENTS, environment
from toolbox import BIN, CACHE, OLDEST_DOCKER, Missing, docker_version

if TYPE_CHECKING:
    from toolbox import Recipe

CRANE = "v0.22.1"
REGCTL = "v0.11.7"
ORAS = "v1.3.6"
BUILDX = "v0.38.2"
BUILDKIT = "v0.34.2"
BUILDKIT_FLAGS = f"-X github.com/moby/buildkit/version.Version={BUILDKIT}"
GGCR_REGISTRY = "v0.22.1"
CONFORMANCE = "v0.0.0-20260831232431-97274622c111"
"""The suite of the OCI distribution specification; it has no release newer than 1.1.1, which tests less."""
DOCKER_CLI = "v28.5.2+incompatible"
DOCKER_ENGINE = "v28.5.2+incompatible"
KUBERNETES = "v1.36.3"
KUBERNETES_PROGRAMS = ("kubectl", "kube-apiserver", "kube-scheduler", "kube-controller-manager")
KWOK = "v0.8.0"
KO = "v0.19.1"
PACK = "v0.38.2"
LIFECYCLE = "v0.20.5"
"""What a buildpacks builder is made of, beside buildpacks."""
LIFECYCLE_FLAGS = f"-X github.com/buildpacks/lifecycle/cmd.Version={LIFECYCLE.lstrip('v')}"
LIFECYCLE_PROGRAMS = ("lifecycle", "launcher")
LIFECYCLE_CPUS = ("amd64", "arm64")

ORACLES = Path(__file__).parent.parent / "live" / "oracles"
QEMU = "qemu-aarch64-static"
DOCKER_REGISTRY = "docker-registry"
ETCD = "etcd"
SKOPEO = "skopeo"
ENGINE = {"dockerd": ("docker.io", "usr/sbin"), "containerd": ("containerd", "usr/bin"), "runc": ("runc", "usr/sbin")}
ENGINE["containerd-shim-runc-v2"] = ENGINE["containerd"]
BUSYBOX_CPUS = ("amd64", "arm64")
ANY_VERSION = {QEMU, DOCKER_REGISTRY, ETCD, SKOPEO, *ENGINE, *(f"busybox-{cpu}" for cpu in BUSYBOX_CPUS)}
"""Debian packages: whichever version the system has will do."""


def find(name: str) -> Path | None:
    """The tool of this name: from the cache folder, else from PATH; None where there is none that will do."""
    found = shutil.which(name)
    for path in (BIN / name, *([Path(found)] if found else [])):
        if path.is_file() and os.access(path, os.X_OK) and (name != "docker" or docker_version(path) >= OLDEST_DOCKER):
            return path
    return None


def oracle_version() -> str:
    """The oracle is built again when its source changes."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((ORACLES / name).read_bytes())
    return digest.hexdigest()[:12]


# ---- putting them there ------------------------------------------------------------------------------------------

PARTS: dict[str, tuple[str, Recipe]] = {
    "crane": (CRANE, install(f"github.com/google/go-containerregistry/cmd/crane@{CRANE}")),
    "regctl": (REGCTL, install(f"github.com/regclient/regclient/cmd/regctl@{REGCTL}")),
    "oras": (ORAS, install(f"oras.land/oras/cmd/oras@{ORAS}")),
    SKOPEO: ("any", unpacked("skopeo", "usr/bin/skopeo")),
    "registry": (GGCR_REGISTRY, install(f"github.com/google/go-containerregistry/cmd/registry@{GGCR_REGISTRY}")),
    "conformance": (CONFORMANCE, install(f"github.com/opencontainers/distribution-spec/conformance@{CONFORMANCE}")),
    "docker": (DOCKER_CLI, docker_client(DOCKER_CLI)),
    "dockerd-28": (DOCKER_ENGINE, docker_engine(DOCKER_ENGINE, "dockerd-28")),
    "buildx": (
        BUILDX,
        install(f"github.com/docker/buildx/cmd/buildx@{BUILDX}", ldflags=f"-X github.com/docker/buildx/version.Version={BUILDX}"),
    ),
    **{
        name: (BUILDKIT, command(f"github.com/moby/buildkit//cmd/{name}", BUILDKIT, BUILDKIT_FLAGS, "osusergo netgo static_build"))
        for name in ("buildkitd", "buildctl")
    },
    **{name: ("any", unpacked(package, f"{folder}/{name}")) for name, (package, folder) in ENGINE.items()},
    **{f"busybox-{cpu}": ("any", for_cpu("busybox-static", "bin/busybox", cpu)) for cpu in BUSYBOX_CPUS},
    **{name: (KUBERNETES, kubernetes(name, KUBERNETES_PROGRAMS, KUBERNETES)) for name in KUBERNETES_PROGRAMS},
    ETCD: ("any", unpacked("etcd-server", "usr/bin/etcd")),
    "kwok": (KWOK, install(f"sigs.k8s.io/kwok/cmd/kwok@{KWOK}")),
    "ko": (KO, install(f"github.com/google/ko@{KO}")),
    "mvn": (f"jib-{JIB}", maven),
    "pack": (PACK, command("github.com/buildpacks/pack", PACK, f"-X github.com/buildpacks/pack/pkg/client.Version={PACK.lstrip('v')}")),
    **{
        f"{name}-{cpu}": (LIFECYCLE, command(f"github.com/buildpacks/lifecycle//cmd/{name}", LIFECYCLE, LIFECYCLE_FLAGS, cpu=cpu))
        for name in LIFECYCLE_PROGRAMS
        for cpu in LIFECYCLE_CPUS
    },
    "archkit-oracle": (oracle_version(), build(ORACLES, "archkit-oracle")),
    **{name: (packages[0].partition("==")[2], environment(name)) for name, packages in CLIENTS.items()},
    QEMU: ("any", installed("qemu-user-static", QEMU)),
    DOCKER_REGISTRY: ("any", unpacked("docker-registry", "usr/bin/docker-registry")),
}
"""Name of the program, version, and what puts it into place."""


def stamp(name: str) -> Path:
    return CACHE / "stamps" / f"{name}-{PARTS[name][0]}"


def present(name: str) -> bool:
    """Whether this tool is there in the version wanted."""
    return find(name) is not None and (name in ANY_VERSION or stamp(name).exists())


def put(name: str) -> bool:
    """Put one tool into place and say so; returns whether it is there now."""
    version, recipe = PARTS[name]
    head = f"{name:23} {version:22}"
    if present(name):
        print(head, "present")
        return True
    print(head, "...", flush=True)
    start, log = time.monotonic(), CACHE / "log" / f"{name}.log"
    for old in stamp(name).parent.glob(f"{name}-*"):
        old.unlink()
    (BIN / name).unlink(missing_ok=True)
    try:
        with log.open("w", encoding="utf-8") as file:
            recipe(file)
        if find(name) is None:
            raise Missing("it ended without an error but the program is not there")  # noqa: TRY301 - joins the others below
    except Missing as problem:
        print(head, f"FAILED: {problem}")
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]:
            print("   ", line)
        return False
    stamp(name).touch()
    print(head, f"done in {time.monotonic() - start:.0f} s", flush=True)
    return True


def main(names: list[str]) -> int:
    """Put these tools (none: all of them) into place; returns the exit status."""
    import fcntl

    if unknown := sorted({*names} - {*PARTS}):
        print(f"no such tool: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    for folder in (BIN, CACHE / "stamps", CACHE / "log"):
        folder.mkdir(parents=True, exist_ok=True)
    os.nice(10)  # a build must not be in the way of anything else
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time: the Go build uses every core by itself
        results = [put(name) for name in names or PARTS]
    print(f"tools are in {BIN}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

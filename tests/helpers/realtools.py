"""The real tools that the live tests drive: where they are, and how they get there.

Run as a program (`python3 noxfile.py tools`) this puts the missing ones into the cache folder, outside the checkout:
Go modules by name and version, and three Debian packages, one of them only where it runs as root. What is there already is left alone, so
a second run takes a second. It needs Go and nothing but the standard library. Names as arguments choose some of them.

Imported by tests it only says where things are.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

CRANE = "v0.22.1"
REGCTL = "v0.11.7"
GGCR_REGISTRY = "v0.22.1"
DOCKER_CLI = "v28.5.2+incompatible"
KUBERNETES = "v1.36.3"
KUBERNETES_PROGRAMS = ("kubectl", "kube-apiserver", "kube-scheduler", "kube-controller-manager")
KWOK = "v0.8.0"
KO = "v0.19.1"
OLDEST_DOCKER = 23
"""`docker manifest inspect` reads OCI indexes from this version on; Debian 12 has 20.10."""
OLDEST_GO = (1, 26)

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "archkit"
BIN = CACHE / "bin"
ORACLES = Path(__file__).parent.parent / "live" / "oracles"
QEMU = "qemu-aarch64-static"
DOCKER_REGISTRY = "docker-registry"
ETCD = "etcd"
ANY_VERSION = {QEMU, DOCKER_REGISTRY, ETCD}
"""Debian packages: whichever version the system has will do."""


class Missing(Exception):
    """A tool cannot be put there; says what to do."""


def find(name: str) -> Path | None:
    """The tool of this name: from the cache folder, else from PATH; None where there is none that will do."""
    found = shutil.which(name)
    for path in (BIN / name, *([Path(found)] if found else [])):
        if path.is_file() and os.access(path, os.X_OK) and (name != "docker" or docker_version(path) >= OLDEST_DOCKER):
            return path
    return None


def docker_version(program: Path) -> int:
    """Major version of a docker client; 0 where it does not say one."""
    done = subprocess.run([program, "--version"], capture_output=True, encoding="utf-8", timeout=60, check=False)
    found = re.search(r"version (\d+)\.", done.stdout)
    return int(found.group(1)) if found else 0


def oracle_version() -> str:
    """The oracle is built again when its source changes."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((ORACLES / name).read_bytes())
    return digest.hexdigest()[:12]


# ---- putting them there ------------------------------------------------------------------------------------------


def go(log: TextIO, *arguments: str, cwd: Path | None = None) -> str:
    """Run the go command; returns its output, its messages go to the log."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(BIN), "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
    print("+ go", *arguments, file=log, flush=True)
    done = subprocess.run(["go", *arguments], cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=log, encoding="utf-8", check=False)
    if done.returncode:
        raise Missing(f"go {arguments[0]} failed")
    return done.stdout


def needs_go() -> None:
    found = None
    if shutil.which("go"):
        version = subprocess.run(["go", "version"], capture_output=True, encoding="utf-8", check=False).stdout
        found = re.search(r"go(\d+)\.(\d+)", version)
    if found is None or (int(found.group(1)), int(found.group(2))) < OLDEST_GO:
        raise Missing("install Go {}.{} or later and put it on PATH".format(*OLDEST_GO))


def install(package: str) -> Callable[[TextIO], None]:
    def run(log: TextIO) -> None:
        needs_go()
        go(log, "install", "-trimpath", "-ldflags=-s -w", package)

    return run


def build_docker(log: TextIO) -> None:
    """The client alone, as a dependency of an otherwise empty module.

    Upstream has no go.mod; its vendor.mod names what it was released with, which also spares asking which versions
    there are.
    """
    found = shutil.which("docker")
    if found and docker_version(Path(found)) >= OLDEST_DOCKER:
        (BIN / "docker").symlink_to(found)
        return
    needs_go()
    module = "github.com/docker/cli"
    source = CACHE / "src" / "docker"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    (source / "go.mod").write_text("module archkit.test/docker\n")
    folder = re.search(r'"Dir": "(.*)"', go(log, "mod", "download", "-json", f"{module}@{DOCKER_CLI}", cwd=source))
    if folder is None:
        raise Missing("the go command did not say where it put the source")
    released = (Path(folder.group(1)) / "vendor.mod").read_text(encoding="utf-8")
    wanted = re.sub(r"(?m)^module .*$", "module archkit.test/docker", released)
    (source / "go.mod").write_text(f"{wanted}\nrequire {module} {DOCKER_CLI}\n")
    flags = f"-ldflags=-s -w -X {module}/cli/version.Version={DOCKER_CLI.partition('+')[0].lstrip('v')}"
    go(log, "build", "-mod=mod", "-trimpath", flags, "-o", str(BIN / "docker"), f"{module}/cmd/docker", cwd=source)


def build_kubernetes(name: str) -> Callable[[TextIO], None]:
    """One program of Kubernetes; all are built from one module, whose versions are asked for once.

    k8s.io/kubernetes points at folders of its own checkout; point at the modules that are published of them.
    """

    def run(log: TextIO) -> None:
        needs_go()
        module, published = "k8s.io/kubernetes", KUBERNETES.replace("v1.", "v0.")
        source = CACHE / "src" / f"kubernetes-{KUBERNETES}"
        if not (source / "go.sum").exists():
            shutil.rmtree(source, ignore_errors=True)
            source.mkdir(parents=True)
            (source / "go.mod").write_text("module archkit.test/kubernetes\n")
            found = re.search(r'"GoMod": "(.*)"', go(log, "mod", "download", "-json", f"{module}@{KUBERNETES}", cwd=source))
            if found is None:
                raise Missing("the go command did not say where it put the source")
            released = Path(found.group(1)).read_text(encoding="utf-8")
            version = re.search(r"(?m)^go .*$", released)
            replaced = re.findall(r"(?m)^\t(k8s\.io/[a-z-]+) => \./staging", released)
            lines = ["module archkit.test/kubernetes", version.group() if version else "go 1.26", f"require {module} {KUBERNETES}"]
            lines += [f"replace {name} => {name} {published}" for name in replaced]
            (source / "go.mod").write_text("\n".join(lines) + "\n")
            imports = "\n".join(f'import _ "{module}/cmd/{name}"' for name in KUBERNETES_PROGRAMS)
            (source / "tools.go").write_text(f"//go:build tools\n\npackage kubernetes\n\n{imports}\n")
            go(log, "mod", "tidy", cwd=source)
        flags = f"-ldflags=-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES}"
        go(log, "build", "-trimpath", flags, "-o", str(BIN / name), f"{module}/cmd/{name}", cwd=source)

    return run


def build_oracle(log: TextIO) -> None:
    needs_go()
    go(log, "build", "-trimpath", "-o", str(BIN / "archkit-oracle"), ".", cwd=ORACLES)


def install_qemu(log: TextIO) -> None:
    if shutil.which(QEMU):
        return
    package = "qemu-user-static"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Missing(f"install {package} with your system's package manager, for example `sudo apt install {package}`")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
        command = ["apt-get", "-qq", *arguments]
        print("+", *command, file=log, flush=True)
        if subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, check=False).returncode:
            raise Missing(f"{' '.join(command)} failed")


def unpack(package: str, name: str, upstream: str) -> Callable[[TextIO], None]:
    """A server from its Debian package, unpacked into the cache folder: installed it would start a service."""

    def run(log: TextIO) -> None:
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise Missing(f"install {name} of {upstream} and put it on PATH")
        source = CACHE / "src" / package
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        download = ["apt-get", "-qq", "download", package]
        print("+", *download, file=log, flush=True)
        if subprocess.run(download, cwd=source, stdout=log, stderr=log, check=False).returncode and os.geteuid() == 0:
            subprocess.run(["apt-get", "-qq", "update"], stdout=log, stderr=log, check=False)  # there were no lists of packages
            subprocess.run(download, cwd=source, stdout=log, stderr=log, check=False)
        packages = list(source.glob("*.deb"))
        if len(packages) != 1:
            raise Missing(f"`apt-get download {package}` brought nothing; `apt-get update` may help")
        if subprocess.run(["dpkg-deb", "-x", packages[0], source], stdout=log, stderr=log, check=False).returncode:
            raise Missing(f"{packages[0]} cannot be unpacked")
        shutil.move(source / "usr" / "bin" / name, BIN / name)

    return run


PARTS: dict[str, tuple[str, Callable[[TextIO], None]]] = {
    "crane": (CRANE, install(f"github.com/google/go-containerregistry/cmd/crane@{CRANE}")),
    "regctl": (REGCTL, install(f"github.com/regclient/regclient/cmd/regctl@{REGCTL}")),
    "registry": (GGCR_REGISTRY, install(f"github.com/google/go-containerregistry/cmd/registry@{GGCR_REGISTRY}")),
    "docker": (DOCKER_CLI, build_docker),
    **{name: (KUBERNETES, build_kubernetes(name)) for name in KUBERNETES_PROGRAMS},
    ETCD: ("any", unpack("etcd-server", ETCD, "github.com/etcd-io/etcd")),
    "kwok": (KWOK, install(f"sigs.k8s.io/kwok/cmd/kwok@{KWOK}")),
    "ko": (KO, install(f"github.com/google/ko@{KO}")),
    "archkit-oracle": (oracle_version(), build_oracle),
    QEMU: ("any", install_qemu),
    DOCKER_REGISTRY: ("any", unpack(DOCKER_REGISTRY, DOCKER_REGISTRY, "github.com/distribution/distribution")),
}
"""Name of the program, version, and what puts it into place."""


def stamp(name: str) -> Path:
    return CACHE / "stamps" / f"{name}-{PARTS[name][0]}"


def present(name: str) -> bool:
    """Whether this tool is there in the version wanted."""
    return find(name) is not None and (name in ANY_VERSION or stamp(name).exists())


def put(name: str) -> bool:
    """Put one tool into place and say so; returns whether it is there now."""
    version, run = PARTS[name]
    head = f"{name:20} {version:22}"
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
            run(file)
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
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time: the Go build uses every core by itself
        results = [put(name) for name in names or PARTS]
    print(f"tools are in {BIN}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Recipes for tools that come as Go modules, by name and version."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from toolbox import BIN, CACHE, OLDEST_DOCKER, Missing, docker_version, run, source_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolbox import Recipe

OLDEST_GO = (1, 26)


def go(log: TextIO, *arguments: str, cwd: Path | None = None, cpu: str = "") -> str:
    """Run the go command, for another CPU where one is named; returns its output."""
    env = {"CGO_ENABLED": "0", "GOBIN": str(BIN), "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
    return run(log, "go", *arguments, cwd=cwd, env=env | ({"GOARCH": cpu} if cpu else {}))


def needs_go() -> None:
    found = None
    if shutil.which("go"):
        version = subprocess.run(["go", "version"], capture_output=True, encoding="utf-8", check=False).stdout
        found = re.search(r"go(\d+)\.(\d+)", version)
    if found is None or (int(found.group(1)), int(found.group(2))) < OLDEST_GO:
        raise Missing("install Go {}.{} or later and put it on PATH".format(*OLDEST_GO))


def install(package: str, ldflags: str = "") -> Recipe:
    """A command of a published module, as `go install PACKAGE@VERSION` makes it."""

    def recipe(log: TextIO) -> None:
        needs_go()
        go(log, "install", "-trimpath", f"-ldflags=-s -w {ldflags}", package)

    return recipe


def build(package: Path, name: str) -> Recipe:
    """A command of this project."""

    def recipe(log: TextIO) -> None:
        needs_go()
        go(log, "build", "-trimpath", "-o", str(BIN / name), ".", cwd=package)

    return recipe


def docker_client(released: str) -> Recipe:
    """The client alone, as a dependency of an otherwise empty module; one that the system has is taken if it will do.

    Upstream has no go.mod; its vendor.mod names what it was released with, which also spares asking which versions
    there are.
    """

    def recipe(log: TextIO) -> None:
        found = shutil.which("docker")
        if found and docker_version(Path(found)) >= OLDEST_DOCKER:
            (BIN / "docker").symlink_to(found)
            return
        needs_go()
        module = "github.com/docker/cli"
        source = source_folder("docker")
        (source / "go.mod").write_text("module archkit.test/docker\n")
        folder = re.search(r'"Dir": "(.*)"', go(log, "mod", "download", "-json", f"{module}@{released}", cwd=source))
        if folder is None:
            raise Missing("the go command did not say where it put the source")
        vendored = (Path(folder.group(1)) / "vendor.mod").read_text(encoding="utf-8")
        wanted = re.sub(r"(?m)^module .*$", "module archkit.test/docker", vendored)
        (source / "go.mod").write_text(f"{wanted}\nrequire {module} {released}\n")
        flags = f"-ldflags=-s -w -X {module}/cli/version.Version={released.partition('+')[0].lstrip('v')}"
        go(log, "build", "-mod=mod", "-trimpath", flags, "-o", str(BIN / "docker"), f"{module}/cmd/docker", cwd=source)

    return recipe


def docker_engine(released: str, name: str) -> Recipe:
    """The engine alone, made as the client is: from what its vendor.mod names, without cgo."""

    def recipe(log: TextIO) -> None:
        needs_go()
        module = "github.com/docker/docker"
        source = source_folder(name)
        (source / "go.mod").write_text(f"module archkit.test/{name}\n")
        folder = re.search(r'"Dir": "(.*)"', go(log, "mod", "download", "-json", f"{module}@{released}", cwd=source))
        if folder is None:
            raise Missing("the go command did not say where it put the source")
        vendored = (Path(folder.group(1)) / "vendor.mod").read_text(encoding="utf-8")
        wanted = re.sub(r"(?m)^module .*$", f"module archkit.test/{name}", vendored)
        (source / "go.mod").write_text(f"{wanted}\nrequire {module} {released}\n")
        version = released.partition("+")[0].lstrip("v")
        flags = ["-mod=mod", "-trimpath", "-tags=netgo osusergo static_build exclude_graphdriver_btrfs"]
        flags.append(f"-ldflags=-s -w -X {module}/dockerversion.Version={version}")
        go(log, "build", *flags, "-o", str(BIN / name), f"{module}/cmd/dockerd", cwd=source)

    return recipe


def kubernetes(name: str, programs: Sequence[str], released: str) -> Recipe:
    """One program of Kubernetes; all are built from one module, whose versions are asked for once.

    k8s.io/kubernetes points at folders of its own checkout; point at the modules that are published of them.
    """

    def recipe(log: TextIO) -> None:
        needs_go()
        module, published = "k8s.io/kubernetes", released.replace("v1.", "v0.")
        source = CACHE / "src" / f"kubernetes-{released}"
        imports = "\n".join(f'import _ "{module}/cmd/{name}"' for name in programs)
        wanted, file = f"//go:build tools\n\npackage kubernetes\n\n{imports}\n", source / "tools.go"
        if not (source / "go.sum").exists() or not file.exists() or file.read_text(encoding="utf-8") != wanted:
            source = source_folder(source.name)
            (source / "go.mod").write_text("module archkit.test/kubernetes\n")
            found = re.search(r'"GoMod": "(.*)"', go(log, "mod", "download", "-json", f"{module}@{released}", cwd=source))
            if found is None:
                raise Missing("the go command did not say where it put the source")
            their = Path(found.group(1)).read_text(encoding="utf-8")
            version = re.search(r"(?m)^go .*$", their)
            replaced = re.findall(r"(?m)^\t(k8s\.io/[a-z-]+) => \./staging", their)
            lines = ["module archkit.test/kubernetes", version.group() if version else "go 1.26", f"require {module} {released}"]
            lines += [f"replace {name} => {name} {published}" for name in replaced]
            (source / "go.mod").write_text("\n".join(lines) + "\n")
            file.write_text(wanted)
            go(log, "mod", "tidy", cwd=source)
        flags = f"-ldflags=-s -w -X k8s.io/component-base/version.gitVersion={released}"
        go(log, "build", "-trimpath", flags, "-o", str(BIN / name), f"{module}/cmd/{name}", cwd=source)

    return recipe


def command(package: str, released: str, ldflags: str = "", tags: str = "", cpu: str = "") -> Recipe:
    """A command of a published module, built as a dependency of an otherwise empty module.

    For modules that `go install` refuses: those with replace or exclude lines, and those without a list of versions.

    Args:
        package: Import path of the command, ``MODULE//PATH/IN/IT``; or of the module, which is the command.
        released: Version of the module.
        ldflags: For the linker.
        tags: Build tags.
        cpu: The CPU that it is for, as Go calls it, which then stands behind its name; empty: this machine's.
    """

    def recipe(log: TextIO) -> None:
        needs_go()
        module, _, path = package.partition("//")
        name = "-".join(filter(None, (package.rpartition("/")[2], cpu)))
        source = source_folder(name)
        (source / "go.mod").write_text(f"module archkit.test/{name}\n\ngo {OLDEST_GO[0]}.{OLDEST_GO[1]}\n\nrequire {module} {released}\n")
        flags = ["-mod=mod", "-trimpath", f"-ldflags=-s -w {ldflags}", f"-tags={tags}"]
        go(log, "build", *flags, "-o", str(BIN / name), "/".join(filter(None, (module, path))), cwd=source, cpu=cpu)

    return recipe

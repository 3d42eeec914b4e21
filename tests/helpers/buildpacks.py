"""A builder image from nothing: the lifecycle, one buildpack, and busybox to build and to run on, for both CPUs.

What the buildpack makes says where it was built and where it runs. Files of the source folder tell it to do something
else: `slow` says what stands in it and waits, `chatty` says it again and again, `broken` ends with an error, and where
there is `nothing` it does not take part.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archkit import Artifact, FilesBuilder, IndexStitcher, RegistryClient, RegistrySink, build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from engine import Engine

CPUS = ("amd64", "arm64")
BOTH = ",".join(f"linux/{cpu}" for cpu in CPUS)
PHASES = ("analyzer", "builder", "creator", "detector", "exporter", "extender", "rebaser", "restorer")
COMMANDS = "cat chmod cp echo env ls mkdir rm sh sleep test uname".split()  # noqa: SIM905 - reads as the list it is
STACK = "archkit.test"
TEMPORARY = "/dev/shm"  # noqa: S108 - inside images, where FilesBuilder's folders are for root to write
APIS = {
    "buildpack": ["0.7", "0.8", "0.9", "0.10", "0.11"],
    "platform": ["0.7", "0.8", "0.9", "0.10", "0.11", "0.12", "0.13", "0.14"],
}
"""Of the lifecycle."""
BUILDPACK_TOML = """\
api = "0.10"
[buildpack]
id = "archkit/hello"
version = "0.0.1"
[[targets]]
os = "linux"
arch = "amd64"
[[targets]]
os = "linux"
arch = "arm64"
[[stacks]]
id = "*"
"""
DETECT = "#!/bin/sh\n[ ! -e nothing ] || exit 100\n"
BUILD = """\
#!/bin/sh
set -e
echo "building on $(uname -m) for $CNB_TARGET_OS/$CNB_TARGET_ARCH"
if [ -e slow ]; then cat slow; sleep 250; fi
if [ -e chatty ]; then for i in 1 2 3 4 5 6 7 8 9 10; do cat chatty; sleep 1; done; fi
if [ -e broken ]; then echo "it is broken"; exit 7; fi
layer=$CNB_LAYERS_DIR/hello
mkdir -p $layer/bin
printf '[types]\\nlaunch = true\\n' > $layer.toml
greeting=Hello
if [ -e $CNB_PLATFORM_DIR/env/GREETING ]; then greeting=$(cat $CNB_PLATFORM_DIR/env/GREETING); fi
printf '#!/bin/sh\\necho "%s world! Built on %s, running on $(uname -m)"\\n' "$greeting" "$(uname -m)" > $layer/bin/hello
chmod +x $layer/bin/hello
printf '[[processes]]\\ntype = "web"\\ncommand = ["hello"]\\ndefault = true\\n' > $CNB_LAYERS_DIR/launch.toml
"""
BUILDER_TOML = """\
[[buildpacks]]
uri = "buildpack"
[[order]]
[[order.group]]
id = "archkit/hello"
version = "0.0.1"
[build]
image = "{host}/cnb:1"
[[run.images]]
image = "{host}/cnb:1"
[stack]
id = "{stack}"
build-image = "{host}/cnb:1"
run-image = "{host}/cnb:1"
[lifecycle]
uri = "lifecycle-{cpu}.tgz"
"""


@dataclass
class Buildpacks:
    """A registry with images for buildpacks: `builder:1`, `cnb:1` and `lifecycle:1` for both CPUs, and `builder:CPU`."""

    host: str
    pack: Path
    environ: dict[str, str]
    """For pack."""

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run pack itself."""
        command = [str(self.pack), *words, "--no-color"]
        return subprocess.run(command, env={**os.environ, **self.environ}, capture_output=True, encoding="utf-8", timeout=300, check=False)


def made(host: str, engine: Engine, folder: Path, tool: Callable[[str], Path], version: str) -> Buildpacks:
    """Put the images into a registry.

    Args:
        host: The registry.
        engine: Where pack works.
        folder: An empty one.
        tool: Gives the programs `pack`, `busybox-CPU`, `lifecycle-CPU` and `launcher-CPU`.
        version: Of the lifecycle.
    """
    found = Buildpacks(host, tool("pack"), {"DOCKER_HOST": engine.host, "PACK_HOME": str(folder / "home"), "DOCKER_CONFIG": str(folder)})
    roots = {f"linux/{cpu}": _root(folder / cpu, tool(f"busybox-{cpu}")) for cpu in CPUS}
    user = {"CNB_USER_ID": "1000", "CNB_GROUP_ID": "1000", "CNB_STACK_ID": STACK, "PATH": "/bin", "TMPDIR": TEMPORARY}
    labels = {"io.buildpacks.stack.id": STACK, "io.buildpacks.base.distro.name": "archkit", "io.buildpacks.base.distro.version": "1"}
    _push(host, "cnb", folder, roots, env=user, labels=labels, user="1000:1000")
    cnb = {cpu: _lifecycle(folder / f"cnb-{cpu}", {name: tool(f"{name}-{cpu}") for name in ("lifecycle", "launcher")}) for cpu in CPUS}
    apis = json.dumps({kind: {"deprecated": [], "supported": versions} for kind, versions in APIS.items()})
    labels = {"io.buildpacks.lifecycle.version": version, "io.buildpacks.lifecycle.apis": apis}
    for cpu in CPUS:
        shutil.copytree(folder / cpu / "etc", cnb[cpu] / "etc")  # it runs as root, who must have a name
    _push(
        host,
        "lifecycle",
        folder,
        {f"linux/{cpu}": root for cpu, root in cnb.items()},
        env={"PATH": "/cnb/lifecycle", "TMPDIR": TEMPORARY},
        labels=labels,
    )
    _buildpack(folder / "buildpack")
    for cpu in CPUS:
        _archive(folder / f"lifecycle-{cpu}.tgz", cnb[cpu] / "cnb", version)
        config = folder / f"builder-{cpu}.toml"
        config.write_text(BUILDER_TOML.format(host=host, stack=STACK, cpu=cpu))
        done = found.run("builder", "create", f"{host}/builder:{cpu}", "--config", str(config), "--target", f"linux/{cpu}", "--publish")
        assert done.returncode == 0, done.stdout + done.stderr
    with RegistryClient() as client:
        IndexStitcher(client).stitch(f"{host}/builder:1", [f"{host}/builder:{cpu}" for cpu in CPUS])
    return found


def _push(
    host: str, name: str, folder: Path, files: Mapping[str, Path], *, env: dict[str, str], labels: dict[str, str], user: str = ""
) -> None:
    (folder / "empty").mkdir(exist_ok=True)
    builder = FilesBuilder(files=files, entrypoint=["/bin/sh"], env=env, labels=labels, user=user)
    build(Artifact(name, folder / "empty", builder=builder), targets=BOTH, sink=RegistrySink(host), tag="1", child_tags=False)


def _root(root: Path, busybox: Path) -> Path:
    for name in ("bin", "etc", "home/app", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin" / "busybox")
    for name in COMMANDS:
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\napp:x:1000:\n")
    return root


def _lifecycle(root: Path, programs: Mapping[str, Path]) -> Path:
    """The folder `/cnb/lifecycle` of an image."""
    folder = root / "cnb" / "lifecycle"
    folder.mkdir(parents=True)
    for name, program in programs.items():
        shutil.copy(program, folder / name)
        (folder / name).chmod(0o755)
    for name in PHASES:
        (folder / name).symlink_to("lifecycle")
    return root


def _archive(path: Path, cnb: Path, version: str) -> None:
    """The lifecycle as pack wants it for a builder image."""
    apis = "\n".join(f"[apis.{kind}]\ndeprecated = []\nsupported = {json.dumps(versions)}" for kind, versions in APIS.items())
    text = f'[api]\nplatform = "0.7"\nbuildpack = "0.7"\n[apis]\n{apis}\n[lifecycle]\nversion = "{version}"\n'
    (cnb / "lifecycle.toml").write_text(text)
    with tarfile.open(path, "w:gz") as archive:
        for name in ("lifecycle.toml", "lifecycle"):
            archive.add(cnb / name, name)
    (cnb / "lifecycle.toml").unlink()


def _buildpack(folder: Path) -> None:
    (folder / "bin").mkdir(parents=True)
    (folder / "buildpack.toml").write_text(BUILDPACK_TOML)
    for name, script in (("detect", DETECT), ("build", BUILD)):
        (folder / "bin" / name).write_text(script)
        (folder / "bin" / name).chmod(0o755)

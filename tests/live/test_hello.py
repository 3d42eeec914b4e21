"""The example, for real: built, pushed and stitched by archkit, pulled by crane, and run on both CPUs."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archkit import Artifact, FilesBuilder, Pipeline
from archkit.testing import EmbeddedRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

EXAMPLES = Path(__file__).parents[2] / "examples"
PLATFORMS = ["linux/amd64", "linux/arm64"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The pushed example, as repo:tag@sha256 of its index."""
    programs = tmp_path_factory.mktemp("programs")
    subprocess.run([sys.executable, EXAMPLES / "hello" / "make_hello.py", programs], check=True, timeout=60)
    files = {name: programs / name.replace("/", "_") for name in PLATFORMS}
    hello = Artifact("hello", tmp_path_factory.mktemp("empty"), builder=FilesBuilder(files=files, entrypoint=["/hello"], native=False))
    with EmbeddedRegistry() as registry:
        pipeline = Pipeline(hello, default_repo=registry.host, tag="latest", requested=",".join(PLATFORMS))
        yield pipeline.build().images[0].reference


def pulled(crane: Path, reference: str, name: str, folder: Path) -> tuple[dict[str, Any], Path]:
    """Pull one platform into an OCI layout, unpack its layers; returns its configuration and the unpacked files."""
    layout, root = folder / "layout", folder / "root"
    command: list[str | Path] = [crane, "pull", "--insecure", "--format=oci", "--platform", name, reference, layout]
    subprocess.run(command, check=True, timeout=120)

    def blob(digest: str) -> Path:
        return layout / "blobs" / digest.replace(":", "/")

    (entry,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    manifest = json.loads(blob(entry["digest"]).read_bytes())
    for layer in manifest["layers"]:
        with tarfile.open(blob(layer["digest"])) as archive:
            archive.extractall(root, filter="data")
    config: dict[str, Any] = json.loads(blob(manifest["config"]["digest"]).read_bytes())
    return config, root


@pytest.mark.parametrize("name", PLATFORMS)
def test_each_image_runs_on_its_cpu(reference: str, name: str, crane: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    config, root = pulled(crane, reference, name, tmp_path)
    assert f"{config['os']}/{config['architecture']}" == name
    assert [str(path.relative_to(root)) for path in root.rglob("*")] == ["hello"]

    own = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}.get(platform.machine())
    if name not in {own, "linux/arm64"}:
        pytest.skip(f"{name} programs need {name} hardware; only arm64 is emulated here")
    emulator = [] if name == own else [request.getfixturevalue("qemu_aarch64")]
    program = root / config["config"]["Entrypoint"][0].lstrip("/")
    done = subprocess.run([*emulator, program], capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Hello world! Running on {name}\n", "")

"""inspect() beside ``docker manifest inspect``: the same facts of the same image."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from archkit import inspect

if TYPE_CHECKING:
    from pathlib import Path

    from archkit.testing import EmbeddedRegistry, ImageFactory

pytestmark = pytest.mark.live


def told_by_docker(docker: Path, reference: str, *options: str) -> Any:
    command: list[str | Path] = [docker, "manifest", "inspect", "--insecure", *options, reference]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("docker_types", "attestations"), [(False, False), (False, True), (True, False)], ids=["oci", "oci-attested", "docker"]
)
def test_an_index_is_told_alike(
    docker: Path, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, docker_types: bool, attestations: bool
) -> None:
    archkit_images.push(
        "app:1", ["linux/amd64", "linux/arm/v7", "windows(10.0.17763.1)/amd64"], docker=docker_types, attestations=attestations
    )
    reference = f"{archkit_registry.host}/app:1"
    theirs, ours = told_by_docker(docker, reference), json.loads(inspect(reference).to_json())
    assert theirs["mediaType"] == ours["mediaType"]
    names = ("mediaType", "digest", "size", "platform")
    assert [{name: entry[name] for name in names} for entry in ours["manifests"]] == [
        {name: entry[name] for name in names} for entry in theirs["manifests"]
    ]
    told = [entry["annotations"] for entry in ours["manifests"] if "annotations" in entry]  # which docker leaves out
    assert len(told) == (3 if attestations else 0)


def test_a_single_image_is_told_alike(docker: Path, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory) -> None:
    archkit_images.push("app:1", "linux/arm64")
    reference = f"{archkit_registry.host}/app:1"
    theirs, ours = told_by_docker(docker, reference, "-v"), inspect(reference)
    assert theirs["Descriptor"]["digest"] == ours.digest
    assert theirs["Descriptor"]["size"] == ours.size
    assert theirs["Descriptor"]["platform"] == {"architecture": "arm64", "os": "linux"}
    assert str(ours.platform) == "linux/arm64"

"""A ko that exists only in the test, and what it builds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from fake_ko import IMPORT_PATH, Ko

from archkit import Artifact, KoBuilder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archkit.testing import EmbeddedRegistry, FakeRunner, ImageFactory


@pytest.fixture
def ko(archkit_process: FakeRunner, archkit_images: ImageFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ko:
    """A ko 0.19.1 beside a Go that knows one program."""
    for name in ("KO_CONFIG_PATH", "KO_DEFAULTBASEIMAGE", "KO_GO_PATH", "GOFLAGS", "GOOS", "GOARCH", "GOARM", "GOAMD64"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "src"
    (folder / "cmd" / "web").mkdir(parents=True)
    fake = Ko(archkit_process, archkit_images, folder)
    archkit_process.on("ko", "version").answer("v0.19.1\n").optional()
    archkit_process.on("go", "env", "GOFLAGS").answer("\n").optional()
    found = f"{IMPORT_PATH}\nmain\n{folder}/cmd/web\n"
    archkit_process.on("go", "list", "-find", "-f", ..., re.compile(rf"\./cmd/web|\.|{re.escape(IMPORT_PATH)}")).answer(found).optional()
    archkit_process.on("ko", "build", ...).do(fake.act).optional()
    return fake


@pytest.fixture
def web(ko: Ko, archkit_registry: EmbeddedRegistry) -> Callable[..., Artifact]:
    """An artifact that ko builds on the base HOST/base:1, which is there for amd64 and arm64."""
    ko.images.push("base:1", ["linux/amd64", "linux/arm64"])

    def make(image: str = "web", **options: Any) -> Artifact:
        return Artifact(image, ko.folder, builder=KoBuilder("./cmd/web", **{"base": f"{archkit_registry.host}/base:1", **options}))

    return make

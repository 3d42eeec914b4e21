"""FilesBuilder: content, reproducible digests, settings, and bases."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archkit import (
    ArchkitError,
    Artifact,
    BuildError,
    BuiltImage,
    Event,
    FilesBuilder,
    ImageReference,
    LayoutSink,
    OciLayout,
    Platform,
    RegistrySink,
    build,
)
from archkit.adapters.layer_files import read_layer
from archkit.model.oci import DOCKER_MANIFEST, ImageManifest
from archkit.testing import ImageFactory

if TYPE_CHECKING:
    from collections.abc import Callable

    from archkit.testing import EmbeddedRegistry

BOTH = "linux/amd64,linux/arm64"
AMD64 = Platform.parse("linux/amd64")


class Image:
    """One platform's image in a layout, opened."""

    def __init__(self, layout: Path, built: BuiltImage, platform: str = "linux/amd64") -> None:
        store, name = OciLayout(layout), ImageReference.parse(built.reference).repository_only
        manifest = store.manifest(name.with_digest(built.children[Platform.parse(platform)].digest)).document()
        assert isinstance(manifest, ImageManifest)
        self.manifest = manifest
        self.config: dict[str, Any] = json.loads(store.blob(name, manifest.config.digest))
        self.layers = [set(read_layer(store.stream_blob(name, one.digest), one.media_type, limit=1 << 20)) for one in manifest.layers]

    @property
    def names(self) -> set[str]:
        return set().union(*self.layers)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc" / "app.conf").write_text("a=1")
    return folder


def to_layout(path: Path, artifact: Artifact, targets: str | None = "linux/amd64", **options: Any) -> BuiltImage:
    return build(artifact, targets=targets, sink=LayoutSink(path), tag="1", **options).images[0]


def test_content_goes_to_the_root_and_a_platforms_files_over_it(
    tmp_path: Path, folder: Path, programs: Callable[..., dict[str, Path]]
) -> None:
    builder = FilesBuilder(files=programs("linux/amd64", "linux/arm64"), entrypoint=["/hello", "-v"])
    built = to_layout(tmp_path / "out", Artifact("app", folder, builder=builder), BOTH)

    image = Image(tmp_path / "out", built, "linux/arm64")
    assert image.layers == [{"etc", "etc/app.conf"}, {"hello"}]
    assert image.config["config"] == {"Entrypoint": ["/hello", "-v"]}
    assert (image.config["os"], image.config["architecture"], image.config["created"]) == ("linux", "arm64", "1970-01-01T00:00:00Z")
    assert image.config["rootfs"]["diff_ids"] == [layer.digest for layer in image.manifest.layers]
    assert Image(tmp_path / "out", built, "linux/amd64").layers == image.layers


def test_a_file_instead_of_a_folder_goes_to_the_root(tmp_path: Path, folder: Path, programs: Callable[..., dict[str, Path]]) -> None:
    files = {"linux/amd64": programs("linux/amd64")["linux/amd64"] / "hello"}
    built = to_layout(tmp_path / "out", Artifact("app", folder, builder=FilesBuilder(files=files, entrypoint="/hello")))

    assert Image(tmp_path / "out", built).layers[-1] == {"hello"}


def test_copies_of_a_folder_give_one_digest(tmp_path: Path, folder: Path) -> None:
    copy = tmp_path / "another name"
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    copy.chmod(0o700)
    (copy / "etc" / "app.conf").chmod(0o600)
    builder = FilesBuilder(entrypoint="/x")

    one, two = (to_layout(tmp_path / f"out{n}", Artifact("app", path, builder=builder)) for n, path in enumerate((folder, copy)))

    assert one.digest == two.digest


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_compression(compression: Any, tmp_path: Path, folder: Path) -> None:
    built = to_layout(tmp_path / "out", Artifact("app", folder, builder=FilesBuilder(entrypoint="/x", compression=compression)))

    image = Image(tmp_path / "out", built)
    assert image.names == {"etc", "etc/app.conf"}
    assert image.manifest.layers[0].media_type.endswith("gzip") is (compression == "gzip")


def test_settings_of_the_configuration(tmp_path: Path, folder: Path) -> None:
    builder = FilesBuilder(entrypoint="/x", env={"B": "2", "A": "1=1"}, labels={"z": "1", "a": "2"}, user="1000:1000")
    built = to_layout(tmp_path / "out", Artifact("app", folder, builder=builder))

    assert Image(tmp_path / "out", built).config["config"] == {
        "Entrypoint": ["/x"],
        "Env": ["B=2", "A=1=1"],
        "Labels": {"a": "2", "z": "1"},
        "User": "1000:1000",
    }


def test_what_is_left_out_is_told(tmp_path: Path, folder: Path) -> None:
    (folder / ".env").write_text("SECRET=1")
    (folder / "notes.md").write_text("")
    (folder / ".dockerignore").write_text("*.md\n.dockerignore\n")
    events: list[Event] = []

    built = to_layout(
        tmp_path / "out", Artifact("app", folder, builder=FilesBuilder(entrypoint="/x", exclude=["etc"])), on_event=events.append
    )

    assert Image(tmp_path / "out", built).names == set()
    told = [event.message for event in events if event.stage == "progress"]
    assert [Path(message.split(": ")[0]).name for message in told] == [".dockerignore", ".env", "etc", "notes.md"]


@pytest.mark.parametrize("make", ["link", "pipe"])
def test_what_cannot_go_into_an_image_is_an_error_and_pushes_nothing(make: str, folder: Path, archkit_registry: EmbeddedRegistry) -> None:
    import os

    (folder / "bad").symlink_to("/etc/passwd") if make == "link" else os.mkfifo(folder / "bad")

    with pytest.raises(BuildError, match="bad"):
        build(
            Artifact("app", folder, builder=FilesBuilder(entrypoint="/x")), targets=None, sink=RegistrySink(archkit_registry.host), tag="1"
        )

    assert not [exchange for exchange in archkit_registry.log if exchange.method not in {"GET", "HEAD"}]


def test_files_that_do_not_exist_are_refused(tmp_path: Path, folder: Path) -> None:
    builder = FilesBuilder(files={"linux/amd64": tmp_path / "missing"}, entrypoint="/x")

    with pytest.raises(BuildError, match=r"missing does not exist"):
        to_layout(tmp_path / "out", Artifact("app", folder, builder=builder))
    assert not (tmp_path / "out").exists()


# ---- bases -------------------------------------------------------------------------------------------------------


def test_a_base_in_the_same_registry_is_mounted(archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, folder: Path) -> None:
    base = archkit_images.push("team/base:1", ["linux/amd64", "linux/arm64"])
    builder = FilesBuilder(base=f"{archkit_registry.host}/team/base:1")
    built = build(Artifact("app", folder, builder=builder), targets=BOTH, sink=RegistrySink(archkit_registry.host), tag="1").images[0]

    assert str(built.platforms) == BOTH
    own = archkit_registry.manifest(f"app@{built.children[AMD64].digest}").document()
    theirs = archkit_registry.manifest(f"team/base@{base.children[AMD64].digest}").document()
    assert isinstance(own, ImageManifest)
    assert isinstance(theirs, ImageManifest)
    assert [layer.digest for layer in own.layers[:-1]] == [layer.digest for layer in theirs.layers]
    assert not [
        exchange
        for exchange in archkit_registry.log.where(method="GET", kind="blob", repository="team/base")
        if exchange.status == 200 and exchange.reference in {layer.digest for layer in theirs.layers}
    ]


def test_a_base_in_a_layout_is_copied(tmp_path: Path, archkit_registry: EmbeddedRegistry, folder: Path) -> None:
    ImageFactory(OciLayout(tmp_path / "base")).push("base:3", ["linux/amd64", "linux/arm64"])
    builder = FilesBuilder(base=f"oci:{tmp_path / 'base'}:3")
    built = build(Artifact("app", folder, builder=builder), targets=BOTH, sink=RegistrySink(archkit_registry.host), tag="1").images[0]

    assert str(built.platforms) == BOTH


def test_a_layout_of_one_image_needs_no_tag(tmp_path: Path, folder: Path) -> None:
    ImageFactory(OciLayout(tmp_path / "base")).push("base:3", ["linux/amd64"])

    assert to_layout(tmp_path / "out", Artifact("app", folder, builder=FilesBuilder(base=f"oci:{tmp_path / 'base'}"))).platforms


def test_a_registry_base_goes_into_a_layout(
    tmp_path: Path, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, folder: Path
) -> None:
    archkit_images.push("base:1", ["linux/amd64"])

    built = to_layout(tmp_path / "out", Artifact("app", folder, builder=FilesBuilder(base=f"{archkit_registry.host}/base:1")))

    image = Image(tmp_path / "out", built)
    assert len(image.manifest.layers) == 2
    assert len(image.config["rootfs"]["diff_ids"]) == 2


def test_a_docker_base_gives_a_docker_image(
    tmp_path: Path, archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, folder: Path
) -> None:
    archkit_images.push("base:1", ["linux/amd64"], docker=True)

    built = to_layout(tmp_path / "out", Artifact("app", folder, builder=FilesBuilder(base=f"{archkit_registry.host}/base:1")))

    assert Image(tmp_path / "out", built).manifest.media_type == DOCKER_MANIFEST
    assert all("docker" in layer.media_type for layer in Image(tmp_path / "out", built).manifest.layers)


@pytest.mark.parametrize(
    ("base", "error", "names"),
    [
        pytest.param("{host}/base:1", BuildError, ["linux/arm64", "linux/amd64", "base:1"], id="lacks the platform"),
        pytest.param("{host}/missing:1", ArchkitError, ["missing:1"], id="not there"),
        pytest.param("Not A Reference", ArchkitError, ["Not A Reference"], id="not a reference"),
        pytest.param("oci:{path}/nowhere", ArchkitError, ["nowhere"], id="no layout"),
        pytest.param("{host}/lies:1", ArchkitError, ["linux/arm64", "linux/amd64", "lies:1"], id="an index that lies"),
    ],
)
def test_a_base_that_does_not_fit_is_refused_before_anything_is_pushed(
    base: str,
    error: type[ArchkitError],
    names: list[str],
    archkit_registry: EmbeddedRegistry,
    archkit_images: ImageFactory,
    folder: Path,
    tmp_path: Path,
) -> None:
    archkit_images.push("base:1", ["linux/amd64"])
    archkit_images.push("lies:1", ["linux/amd64", "linux/arm64"], config={"linux/arm64": "linux/amd64"})
    builder = FilesBuilder(base=base.format(host=archkit_registry.host, path=tmp_path))

    with pytest.raises(error) as caught:
        build(Artifact("app", folder, builder=builder), targets=BOTH, sink=RegistrySink(archkit_registry.host), tag="1")

    assert all(name in str(caught.value) for name in names)
    assert not [exchange for exchange in archkit_registry.log if exchange.method not in {"GET", "HEAD"}]

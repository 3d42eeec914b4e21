"""regctl and oras make the same index of the same parts, byte for byte.

What oras cannot make is not among its cases: it takes no platform, type or annotation for an entry, so it makes no
Docker manifest list, and what it makes of attestations names no image. It knows one repository only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import peers
import pytest

from archkit import AnnotatedSource, IndexStitcher, PlatformSet
from archkit.model.oci import DOCKER_LIST, OCI_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from archkit import RegistryClient
    from archkit.testing import EmbeddedRegistry, ImageFactory

pytestmark = pytest.mark.live

TEN = [
    *("linux/amd64", "linux/arm64", "linux/arm/v5", "linux/arm/v6", "linux/arm/v7"),
    *("linux/386", "linux/ppc64le", "linux/riscv64", "linux/s390x", "linux/mips64le"),
]
WINDOWS = ["windows(10.0.17763.6659)/amd64", "windows(10.0.20348.2849+win32k+a)/amd64", "linux/amd64"]
TWO = ["linux/amd64", "linux/arm64"]
ANNOTATIONS = {"org.opencontainers.image.title": 'a <b> & "c" \u2028 é', "a.first": "=", "Z": "upper"}

CASES: dict[str, dict[str, Any]] = {
    "two": {"platforms": TWO},
    "one": {"platforms": TWO[:1]},
    "ten": {"platforms": TEN},
    "variant-v8-kept": {
        "platforms": ["linux/arm64", "linux/arm/v7"],
        "config": {"linux/arm64": {"architecture": "arm64", "os": "linux", "variant": "v8"}},
    },
    "variants-of-arm": {"platforms": ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5", "linux/arm64"]},
    "variants-of-amd64": {"platforms": ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64"]},
    "arm-without-variant": {"platforms": ["linux/arm/v7"], "config": {"linux/arm/v7": {"architecture": "arm", "os": "linux"}}},
    "windows-version-and-features": {"platforms": WINDOWS},
    "features-as-they-stand": {
        "platforms": ["windows/amd64"],
        "config": {"windows/amd64": {"architecture": "amd64", "os": "windows", "os.version": "10.0.1", "os.features": ["b", "a", "b"]}},
    },
    "order": {"platforms": ["linux/s390x", "linux/amd64", "linux/arm64"]},
    "annotations": {"platforms": TWO, "annotations": ANNOTATIONS},
    "docker-images-in-an-oci-index": {"platforms": TWO, "docker": True, "media_type": OCI_INDEX},
}
REGCTL_ONLY: dict[str, dict[str, Any]] = {
    "docker-list": {"platforms": TWO, "docker": True, "media_type": DOCKER_LIST},
    "docker-list-of-windows": {"platforms": WINDOWS, "docker": True, "media_type": DOCKER_LIST},
}


@pytest.fixture
def client(archkit_registry: EmbeddedRegistry) -> Iterator[RegistryClient]:
    with archkit_registry.client() as made:
        yield made


@pytest.fixture
def regctl_tool(regctl: Path, archkit_registry: EmbeddedRegistry, tmp_path: Path) -> peers.Peer:
    return peers.regctl(regctl, tmp_path, [archkit_registry.host])


@pytest.fixture
def oras_tool(oras: Path, tmp_path: Path) -> peers.Peer:
    return peers.oras(oras, tmp_path)


def pushed(images: ImageFactory, app: str, case: dict[str, Any]) -> list[str]:
    """The images of a case; their tags."""
    tags: list[str] = []
    for text in case["platforms"]:
        (platform,) = PlatformSet([text])
        tags.append(f"1_{platform.tag_suffix}")
        lie = {platform: case["config"][text]} if text in case.get("config", {}) else {}
        images.push(f"{app}:{tags[-1]}", platform, docker=case.get("docker", False), config=lie)
    return tags


@pytest.mark.parametrize("name", [*CASES, *REGCTL_ONLY])
def test_regctl_makes_the_same_index_of_the_same_parts(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, regctl_tool: peers.Peer, name: str
) -> None:
    case, app = {**CASES, **REGCTL_ONLY}[name], f"{archkit_registry.host}/team/app"
    sources = [f"{app}:{tag}" for tag in pushed(archkit_images, app, case)]
    made = IndexStitcher(client).stitch(f"{app}:archkit", sources, annotations=case.get("annotations"), media_type=case.get("media_type"))
    regctl_tool(
        *("index", "create", f"{app}:regctl", "--media-type", case.get("media_type", OCI_INDEX)),
        *(argument for source in sources for argument in ("--ref", source)),
        *(argument for item in case.get("annotations", {}).items() for argument in ("--annotation", "=".join(item))),
    )
    assert archkit_registry.manifest("team/app:regctl").content == made.manifest
    assert archkit_registry.resolve("team/app:regctl") == made.digest == archkit_registry.resolve("team/app:archkit")


@pytest.mark.parametrize("name", CASES)
def test_oras_makes_the_same_index_of_the_same_parts(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, oras_tool: peers.Peer, name: str
) -> None:
    case, app = CASES[name], f"{archkit_registry.host}/team/app"
    tags = pushed(archkit_images, app, case)
    made = IndexStitcher(client).stitch(
        f"{app}:archkit",
        [f"{app}:{tag}" for tag in tags],
        annotations=case.get("annotations"),
        media_type=case.get("media_type"),
    )
    given = [argument for item in case.get("annotations", {}).items() for argument in ("--annotation", "=".join(item))]
    oras_tool("manifest", "index", "create", f"{app}:oras", *tags, *given)
    assert archkit_registry.manifest("team/app:oras").content == made.manifest
    assert archkit_registry.resolve("team/app:oras") == made.digest == archkit_registry.resolve("team/app:archkit")


@pytest.mark.parametrize("flatten", [True, False], ids=["flat", "nested"])
def test_regctl_makes_the_same_index_of_images_with_attestations(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, regctl_tool: peers.Peer, flatten: bool
) -> None:
    """regctl nests an index; flat entries it is given one by one, with what they say of themselves."""
    app = f"{archkit_registry.host}/team/app"
    built = [archkit_images.push(f"{app}:1_{platform.tag_suffix}", platform, attestations=True) for platform in PlatformSet(TWO)]
    sources = [image.reference for image in built]
    made = IndexStitcher(client).stitch(f"{app}:archkit", sources, flatten=flatten)
    if flatten:
        regctl_tool("index", "create", f"{app}:regctl")
        for entry in made.descriptors:
            about = [argument for item in entry.annotations.items() for argument in ("--desc-annotation", "=".join(item))]
            platform = [] if entry.is_image else ["--desc-platform", "unknown/unknown"]
            regctl_tool("index", "add", f"{app}:regctl", "--ref", f"{app}@{entry.digest}", *platform, *about)
        assert [entry.is_image for entry in made.descriptors] == [True, False, True, False]
    else:
        regctl_tool("index", "create", f"{app}:regctl", *(argument for source in sources for argument in ("--ref", source)))
    assert archkit_registry.manifest("team/app:regctl").content == made.manifest
    assert archkit_registry.resolve("team/app:regctl") == made.digest


def test_oras_makes_the_same_index_of_nested_indexes(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, oras_tool: peers.Peer
) -> None:
    """With attestations in them: nested is the only way in which oras keeps those."""
    app = f"{archkit_registry.host}/team/app"
    built = [archkit_images.push(f"{app}:1_{platform.tag_suffix}", platform, attestations=True) for platform in PlatformSet(TWO)]
    made = IndexStitcher(client).stitch(f"{app}:archkit", [image.reference for image in built], flatten=False)
    oras_tool("manifest", "index", "create", f"{app}:oras", *(f"1_{platform.tag_suffix}" for platform in PlatformSet(TWO)))
    assert archkit_registry.manifest("team/app:oras").content == made.manifest


@pytest.mark.parametrize("docker_types", [False, True], ids=["oci", "docker"])
def test_regctl_copies_what_archkit_stitched_of_another_repository(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, regctl_tool: peers.Peer, docker_types: bool
) -> None:
    source = archkit_images.push("parts/app:1", "linux/amd64", attestations=not docker_types, docker=docker_types, index=True)
    host = archkit_registry.host
    made = IndexStitcher(client).stitch(f"{host}/team/app:1", [source.reference])
    regctl_tool("image", "copy", source.reference.partition("@")[0], f"{host}/team/app:regctl")
    assert archkit_registry.resolve("team/app:regctl") == made.digest == source.digest


@pytest.mark.parametrize("elsewhere", [False, True], ids=["repository", "registry"])
@pytest.mark.parametrize("name", ["ten", "windows-version-and-features", "docker-list"])
def test_regctl_makes_the_same_index_of_parts_from_elsewhere(
    archkit_registry: EmbeddedRegistry, regctl: Path, client: RegistryClient, tmp_path: Path, elsewhere: bool, name: str
) -> None:
    from archkit.testing import EmbeddedRegistry, ImageFactory

    case, host = {**CASES, **REGCTL_ONLY}[name], archkit_registry.host
    with EmbeddedRegistry() as other:
        origin = other if elsewhere else archkit_registry
        tool = peers.regctl(regctl, tmp_path, [host, other.host])
        sources = [f"{origin.host}/parts/app:{tag}" for tag in pushed(ImageFactory(origin), f"{origin.host}/parts/app", case)]
        made = IndexStitcher(client).stitch(f"{host}/team/app:archkit", sources, media_type=case.get("media_type"))
        refs: Sequence[str] = [argument for source in sources for argument in ("--ref", source)]
        tool("index", "create", f"{host}/theirs/app:regctl", "--media-type", case.get("media_type", OCI_INDEX), *refs)
    assert archkit_registry.manifest("theirs/app:regctl").content == made.manifest == archkit_registry.manifest("team/app:archkit").content


def test_both_make_the_same_index_of_what_is_no_image(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, regctl_tool: peers.Peer, oras_tool: peers.Peer
) -> None:
    app, kind = f"{archkit_registry.host}/team/app", "application/vnd.example+type"
    tags = pushed(archkit_images, app, CASES["two"])
    made = IndexStitcher(client).stitch(f"{app}:archkit", [f"{app}:{tag}" for tag in tags], artifact_type=kind)
    regctl_tool("index", "create", f"{app}:regctl", "--artifact-type", kind, *(word for tag in tags for word in ("--ref", f"{app}:{tag}")))
    oras_tool("manifest", "index", "create", f"{app}:oras", *tags, "--artifact-type", kind)
    for tag in ("archkit", "regctl", "oras"):
        assert archkit_registry.manifest(f"team/app:{tag}").content == made.manifest


def test_regctl_makes_the_same_index_about_a_subject(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, regctl_tool: peers.Peer
) -> None:
    """oras takes no subject for an index. regctl keeps the subject's fields as the registry says them."""
    app = f"{archkit_registry.host}/team/app"
    tags = pushed(archkit_images, app, CASES["two"])
    archkit_images.push(f"{app}:subject", "linux/s390x")
    made = IndexStitcher(client).stitch(f"{app}:archkit", [f"{app}:{tag}" for tag in tags], subject=f"{app}:subject")
    refs = [word for tag in tags for word in ("--ref", f"{app}:{tag}")]
    regctl_tool("index", "create", f"{app}:regctl", "--subject", "subject", *refs)
    assert archkit_registry.manifest("team/app:regctl").content == made.manifest


def test_regctl_makes_the_same_index_with_annotated_entries(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, client: RegistryClient, regctl_tool: peers.Peer
) -> None:
    """One by one: regctl has the same annotations for all entries that it adds at a time, oras none."""
    app = f"{archkit_registry.host}/team/app"
    tags = pushed(archkit_images, app, CASES["two"])
    about = {tag: {"example.of": tag, "z": "<&>", "a": "first"} for tag in tags}
    made = IndexStitcher(client).stitch(f"{app}:archkit", [AnnotatedSource(f"{app}:{tag}", about[tag]) for tag in tags])
    regctl_tool("index", "create", f"{app}:regctl")
    for tag in tags:
        words = [word for item in about[tag].items() for word in ("--desc-annotation", "=".join(item))]
        regctl_tool("index", "add", f"{app}:regctl", "--ref", f"{app}:{tag}", *words)
    assert archkit_registry.manifest("team/app:regctl").content == made.manifest


@pytest.mark.parametrize("tool", ["regctl", "oras"])
def test_adding_and_removing_make_the_same_index(
    archkit_registry: EmbeddedRegistry,
    archkit_images: ImageFactory,
    client: RegistryClient,
    regctl_tool: peers.Peer,
    oras_tool: peers.Peer,
    tool: str,
) -> None:
    app, stitcher = f"{archkit_registry.host}/team/app", IndexStitcher(client)
    first, second, third = pushed(archkit_images, app, {"platforms": [*TWO, "linux/s390x"]})
    for tag in ("archkit", "theirs"):
        stitcher.stitch(f"{app}:{tag}", [f"{app}:{first}", f"{app}:{second}"], annotations=ANNOTATIONS)
    stitcher.extend(f"{app}:archkit", [f"{app}:{third}"])
    removed = archkit_registry.resolve(f"team/app:{second}")
    assert removed is not None
    if tool == "regctl":
        regctl_tool("index", "add", f"{app}:theirs", "--ref", f"{app}:{third}")
    else:
        oras_tool("manifest", "index", "update", f"{app}:theirs", "--add", third)
    assert archkit_registry.manifest("team/app:theirs").content == archkit_registry.manifest("team/app:archkit").content
    made = stitcher.remove(f"{app}:archkit", "linux/arm64")
    if tool == "regctl":
        regctl_tool("index", "delete", f"{app}:theirs", "--digest", removed)
    else:
        oras_tool("manifest", "index", "update", f"{app}:theirs", "--remove", removed)
    assert archkit_registry.manifest("team/app:theirs").content == made.manifest

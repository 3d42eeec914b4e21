"""The requests that a dry run names are those that the run makes, and they are few."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from archkit import ImageReference, IndexStitcher, OciLayout, RegistryClient, StitchedIndex, StitchRequest, TagMovedError
from archkit.testing import BearerAuth, EmbeddedRegistry, ImageFactory, RepositoryRules

if TYPE_CHECKING:
    from archkit.testing import Exchange

TWO = ("linux/amd64", "linux/arm64")
Asked = tuple[str, str, str, str]


@attrs.frozen
class Scene:
    """Two registries, a folder for layouts, and a client of both registries."""

    here: EmbeddedRegistry
    there: EmbeddedRegistry
    folder: Path
    client: RegistryClient

    def parts(self, registry: EmbeddedRegistry, repository: str = "part", *, attestations: bool = False) -> list[str]:
        factory = ImageFactory(registry)
        return [factory.push(f"{repository}:{platform[6:]}", platform, attestations=attestations).reference for platform in TWO]

    def app(self, tag: str = "1") -> str:
        return f"{self.here.host}/app:{tag}"

    def asked(self) -> Counter[Asked]:
        """What both registries were asked for."""
        return Counter(_logged(registry, exchange) for registry in (self.here, self.there) for exchange in registry.log)

    def clear(self) -> None:
        self.here.log.clear()
        self.there.log.clear()


def _logged(registry: EmbeddedRegistry, exchange: Exchange) -> Asked:
    query = parse_qs(urlsplit(exchange.path).query)
    where = f"{registry.host}/{exchange.repository}"
    if "mount" in query:
        return exchange.method, "mount", where, query["mount"][0]
    if exchange.kind == "upload":
        return exchange.method, "upload", where, query.get("digest", [""])[0]
    return exchange.method, exchange.kind, where, exchange.reference


def named(request: StitchRequest) -> Asked:
    """A request as the registry's log shows it: what an upload will hold is said only at its end."""
    reference = request.reference
    thing = "" if (request.method, request.kind) == ("POST", "upload") else reference.digest or reference.tag or ""
    return request.method, request.kind, reference.name, thing


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    plain = {"plain/*": RepositoryRules(referrers=False)}
    with EmbeddedRegistry(rules=plain) as here, EmbeddedRegistry() as there, RegistryClient() as client:
        yield Scene(here, there, tmp_path, client)


Run = Callable[[IndexStitcher, bool], StitchedIndex]


def same_repository(scene: Scene, **options: Any) -> Run:
    parts = scene.parts(scene.here, "app")
    return lambda stitcher, dry: stitcher.stitch(scene.app(), parts, dry_run=dry, **options)


def by_digest_only(scene: Scene) -> Run:
    parts = scene.parts(scene.here, "app")
    return lambda stitcher, dry: stitcher.stitch(f"{scene.here.host}/app", parts, dry_run=dry)


def handed_over(scene: Scene) -> Run:
    images = [ImageFactory(scene.here).push(f"app:{platform[6:]}", platform) for platform in TWO]
    return lambda stitcher, dry: stitcher.stitch(scene.app(), images, dry_run=dry)


def believed(scene: Scene) -> Run:
    parts = dict(zip(TWO, scene.parts(scene.here, "app"), strict=True))
    return lambda stitcher, dry: stitcher.stitch(scene.app(), parts, verify=False, dry_run=dry)


def other_repository(scene: Scene) -> Run:
    parts = scene.parts(scene.here)
    return lambda stitcher, dry: stitcher.stitch(scene.app(), parts, dry_run=dry)


def other_repository_again(scene: Scene) -> Run:
    run = other_repository(scene)

    def warm(stitcher: IndexStitcher, dry: bool) -> StitchedIndex:
        first = [ImageFactory(scene.here).push("part:first", "linux/s390x").reference]
        stitcher.stitch(scene.app("first"), first)
        scene.clear()
        return run(stitcher, dry)

    return warm


def all_there_again(scene: Scene) -> Run:
    run = other_repository(scene)

    def warm(stitcher: IndexStitcher, dry: bool) -> StitchedIndex:
        run(stitcher, False)
        scene.clear()
        return run(stitcher, dry)

    return warm


def other_registry(scene: Scene, *, attestations: bool = False) -> Run:
    parts = scene.parts(scene.there, attestations=attestations)
    return lambda stitcher, dry: stitcher.stitch(scene.app(), parts, dry_run=dry)


def half_there(scene: Scene) -> Run:
    parts = scene.parts(scene.there)
    ImageFactory(scene.here).push("app:old", TWO[0])
    return lambda stitcher, dry: stitcher.stitch(scene.app(), parts, dry_run=dry)


def shared_layer(scene: Scene) -> Run:
    factory = ImageFactory(scene.there)
    parts = [factory.push("part:1", TWO[0]).reference, factory.push("part:2", TWO[0], labels={"second": "yes"}).reference]
    return lambda stitcher, dry: stitcher.stitch(scene.app(), parts, duplicates="keep-order", dry_run=dry)


def nested(scene: Scene) -> Run:
    both = ImageFactory(scene.there).push("both:1", list(TWO)).reference
    return lambda stitcher, dry: stitcher.stitch(scene.app(), [both], flatten=False, dry_run=dry)


def from_a_layout(scene: Scene) -> Run:
    folder = scene.folder / "from"
    for platform in TWO:
        ImageFactory(OciLayout(folder)).push(f"localhost/app:{platform[6:]}", platform)
    parts = [f"oci:{folder}:{platform[6:]}" for platform in TWO]
    return lambda stitcher, dry: stitcher.stitch(scene.app(), parts, dry_run=dry)


def to_a_layout(scene: Scene) -> Run:
    parts = [*scene.parts(scene.there)[:1], *scene.parts(scene.here)[1:]]
    return lambda stitcher, dry: stitcher.stitch(f"oci:{scene.folder / 'to'}:1", parts, dry_run=dry)


def extended(scene: Scene, **options: Any) -> Run:
    ImageFactory(scene.here).push("app:1", ["linux/s390x", "linux/386"])
    parts = scene.parts(scene.there)
    return lambda stitcher, dry: stitcher.extend(scene.app(), parts, dry_run=dry, **options)


def extended_elsewhere(scene: Scene) -> Run:
    base = ImageFactory(scene.here).push("base:1", ["linux/s390x", "linux/386"]).reference
    parts = scene.parts(scene.here, "app")
    return lambda stitcher, dry: stitcher.extend(scene.app(), parts, base=base, dry_run=dry)


def replaced(scene: Scene) -> Run:
    ImageFactory(scene.here).push("app:1", list(TWO), attestations=True)
    new = ImageFactory(scene.here).push("app:new", TWO[1], labels={"version": "2"}).reference
    return lambda stitcher, dry: stitcher.replace(scene.app(), [new], dry_run=dry)


def removed(scene: Scene, **options: Any) -> Run:
    ImageFactory(scene.here).push("app:1", list(TWO))
    return lambda stitcher, dry: stitcher.remove(scene.app(), TWO[1], dry_run=dry, **options)


def guarded(scene: Scene) -> Run:
    before = ImageFactory(scene.here).push("app:1", "linux/386").digest
    parts = scene.parts(scene.there)
    return lambda stitcher, dry: stitcher.stitch(scene.app(), parts, expect=before, tags=["2"], dry_run=dry)


def settled(scene: Scene) -> Run:
    run = same_repository(scene, if_absent=True, tags=["2", "3"])

    def again(stitcher: IndexStitcher, dry: bool) -> StitchedIndex:
        run(stitcher, False)
        scene.clear()
        return run(stitcher, dry)

    return again


def with_subject(scene: Scene, repository: str = "app") -> Run:
    subject = ImageFactory(scene.here).push(f"{repository}:subject", "linux/386").reference
    parts, target = scene.parts(scene.here, repository), f"{scene.here.host}/{repository}:1"
    return lambda stitcher, dry: stitcher.stitch(target, parts, subject=subject, artifact_type="application/x", dry_run=dry)


SCENES: dict[str, Callable[[Scene], Run]] = {
    "same-repository": same_repository,
    "several-tags": lambda scene: same_repository(scene, tags=["2", "3"]),
    "if-absent": lambda scene: same_repository(scene, if_absent=True),
    "settled": settled,
    "by-digest-only": by_digest_only,
    "handed-over": handed_over,
    "believed": believed,
    "other-repository": other_repository,
    "other-repository-again": other_repository_again,
    "all-there-again": all_there_again,
    "other-registry": other_registry,
    "other-registry-with-attestations": lambda scene: other_registry(scene, attestations=True),
    "half-there": half_there,
    "shared-layer": shared_layer,
    "nested": nested,
    "from-a-layout": from_a_layout,
    "to-a-layout": to_a_layout,
    "guarded-across": guarded,
    "extend": extended,
    "extend-with-tags": lambda scene: extended(scene, tags=["2"]),
    "extend-elsewhere": extended_elsewhere,
    "replace": replaced,
    "remove": removed,
    "with-subject": with_subject,
    "with-subject-under-a-tag": lambda scene: with_subject(scene, "plain/app"),
}


@pytest.mark.parametrize("name", list(SCENES))
def test_a_dry_run_names_the_requests_of_the_run(name: str, scene: Scene) -> None:
    run = SCENES[name](scene)
    scene.clear()
    dry = run(IndexStitcher(scene.client), True)
    assert {exchange.method for registry in (scene.here, scene.there) for exchange in registry.log} <= {"GET", "HEAD"}
    scene.clear()
    real = run(IndexStitcher(scene.client), False)
    assert Counter(map(named, dry.requests)) == scene.asked()
    assert Counter(dry.requests) == Counter(real.requests)
    assert dry == real


@pytest.mark.parametrize("name", ["same-repository", "other-registry", "extend"])
def test_the_requests_of_a_dry_run_have_an_order(name: str, scene: Scene) -> None:
    run = SCENES[name](scene)
    first, second = (run(IndexStitcher(scene.client), True) for _ in range(2))
    assert first.requests == second.requests
    assert str(first.requests[-1]).startswith(f"{'HEAD' if name == 'extend' else 'PUT'} manifest {scene.app()} (")


def test_a_request_says_what_it_is_for(scene: Scene) -> None:
    dry = same_repository(scene)(IndexStitcher(scene.client), True)
    assert str(dry.requests[-1]) == f"PUT manifest {scene.app()} (write the tag)"
    assert [request.purpose for request in dry.requests] == ["read a source"] * 4 + ["write the tag"]


def test_a_dry_run_refuses_what_the_run_refuses(scene: Scene) -> None:
    run = same_repository(scene, if_absent=True)
    other = ImageFactory(scene.here).push("app:1", "linux/386")
    scene.clear()
    with pytest.raises(TagMovedError) as caught:
        run(IndexStitcher(scene.client), True)
    assert (caught.value.expected, caught.value.found) == ("", other.digest)
    assert {exchange.method for exchange in scene.here.log} <= {"GET", "HEAD"}


def test_a_dry_run_does_not_read_layers(scene: Scene) -> None:
    other_registry(scene)(IndexStitcher(scene.client), True)
    configs = len(TWO)
    assert len(scene.there.log.where(method="GET", kind="blob")) == configs


@pytest.mark.parametrize(
    ("name", "count"), [("same-repository", 5), ("believed", 3), ("handed-over", 1), ("other-repository", 11), ("all-there-again", 5)]
)
def test_requests_are_few(name: str, count: int, scene: Scene) -> None:
    run = SCENES[name](scene)
    scene.clear()
    made = run(IndexStitcher(scene.client), False)
    assert len(scene.here.log) == count == len(made.requests)


@pytest.mark.parametrize(("shape", "count"), [("same", 5), ("other", 11)])
def test_sign_in_costs_two_more_and_only_once(shape: str, count: int) -> None:
    with EmbeddedRegistry(auth=BearerAuth()) as registry:
        images, stitcher = ImageFactory(registry), IndexStitcher(registry.client())
        repository = "app" if shape == "same" else "part"
        parts = [images.push(f"{repository}:{platform[6:]}", platform).reference for platform in TWO]
        made = stitcher.stitch(f"{registry.host}/app:1", parts)
        assert len(registry.log) == count + 2
        assert len(made.requests) == count
        registry.log.clear()
        stitcher.stitch(f"{registry.host}/app:2", parts)
        assert not registry.log.where(kind="token")
        assert not registry.log.where(status=401)


def test_a_layout_takes_no_requests(scene: Scene, tmp_path: Path) -> None:
    layout = OciLayout(tmp_path / "layout")
    parts = [ImageFactory(layout).push(f"localhost/app:{platform[6:]}", platform).reference for platform in TWO]
    assert IndexStitcher(layout).stitch("localhost/app:1", parts).requests == ()


def test_what_requests_are_about_is_a_reference(scene: Scene) -> None:
    dry = other_registry(scene)(IndexStitcher(scene.client), True)
    assert {request.reference.name for request in dry.requests} == {f"{scene.there.host}/part", f"{scene.here.host}/app"}
    assert all(isinstance(request.reference, ImageReference) for request in dry.requests)


def test_a_result_survives_pickling_with_its_requests(scene: Scene) -> None:
    made = same_repository(scene)(IndexStitcher(scene.client), False)
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    assert again.requests == made.requests

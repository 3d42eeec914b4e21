"""Indexes that are about another image: subject, artifact type, and who lists them as referrers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from archkit import IndexStitcher, RegistryClient, RegistryError, Retries, StitchError, TagMovedError
from archkit.adapters.oci_layout import LayoutByTag
from archkit.model.layout_name import layout_reference
from archkit.model.oci import OCI_INDEX, Index
from archkit.planning.index import encode_index
from archkit.testing import EmbeddedRegistry, ImageFactory, RepositoryRules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archkit import BuiltImage
    from archkit.testing import Response


def with_subject(answer: Response, digest: str | None) -> Response:
    """The answer as a registry gives it that lists referrers, or None: that does not."""
    headers = {name: value for name, value in answer.headers.items() if name != "OCI-Subject"}
    return attrs.evolve(answer, headers=headers if digest is None else {**headers, "OCI-Subject": digest})


@pytest.mark.parametrize("listed", [False, True])
def test_the_registry_says_whether_it_lists_referrers(
    archkit_registry: EmbeddedRegistry, archkit_images: ImageFactory, listed: bool
) -> None:
    image = archkit_images.push("app:1", "linux/amd64")
    about = encode_index(Index(OCI_INDEX, tuple(image.children.values()), subject=image.descriptor))

    archkit_registry.on("PUT", kind="manifest", reference="about").tamper(
        lambda answer: with_subject(answer, image.digest if listed else None)
    )
    assert archkit_registry.client().put_referrer(f"{archkit_registry.host}/app:about", about) is listed
    assert archkit_registry.manifest("app:about") == about


@pytest.fixture(params=[True, False], ids=["listed-by-the-registry", "listed-under-a-tag"])
def listing(request: pytest.FixtureRequest) -> Iterator[EmbeddedRegistry]:
    """A registry that lists referrers, and one that does not."""
    with EmbeddedRegistry(rules=RepositoryRules(referrers=request.param)) as registry:
        yield registry


def subject_and_parts(registry: EmbeddedRegistry) -> tuple[BuiltImage, list[str]]:
    images = ImageFactory(registry)
    parts = [images.push(f"app:{platform[6:]}", platform).reference for platform in ("linux/amd64", "linux/arm64")]
    return images.push("app:subject", "linux/386"), parts


def fallback(registry: EmbeddedRegistry, subject: BuiltImage) -> list[dict[str, Any]] | None:
    """What stands under the tag of the subject's referrers."""
    assert subject.digest is not None
    tag = f"sha256-{subject.digest.hex}"
    if tag not in registry.tags("app"):
        return None
    entries: list[dict[str, Any]] = json.loads(registry.manifest(f"app:{tag}").content)["manifests"]
    return entries


@pytest.mark.parametrize("kind", ["text", "digest", "image", "descriptor"])
def test_an_index_says_what_it_is_about(listing: EmbeddedRegistry, kind: str) -> None:
    subject, parts = subject_and_parts(listing)
    given: dict[str, Any] = {
        "text": f"{listing.host}/app:subject",
        "digest": f"{listing.host}/app@{subject.digest}",
        "image": subject,
        "descriptor": subject.descriptor,
    }
    made = IndexStitcher(listing.client()).stitch(
        f"{listing.host}/app:1", parts, subject=given[kind], artifact_type="application/x", annotations={"team": "a"}
    )
    document = json.loads(made.manifest)
    assert list(document) == ["schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"]
    assert document["artifactType"] == "application/x"
    assert subject.descriptor is not None
    expected = {"mediaType": subject.descriptor.media_type, "digest": subject.digest, "size": subject.descriptor.size}
    assert document["subject"] == expected
    assert listing.resolve("app:1") == made.digest
    entry = {"mediaType": made.media_type, "digest": made.digest, "size": made.size}
    listed = fallback(listing, subject)
    assert listed in (None, [{**entry, "annotations": {"team": "a"}, "artifactType": "application/x"}])


def _lists(registry: EmbeddedRegistry) -> bool:
    return registry.client().lists_referrers(f"{registry.host}/app")


def test_it_is_listed_where_the_registry_does_not_do_so_itself(listing: EmbeddedRegistry) -> None:
    subject, parts = subject_and_parts(listing)
    IndexStitcher(listing.client()).stitch(f"{listing.host}/app:1", parts, subject=subject)
    assert (fallback(listing, subject) is None) is _lists(listing)


def test_it_is_listed_before_the_tag_is_written_and_once() -> None:
    with EmbeddedRegistry(rules=RepositoryRules(referrers=False)) as registry:
        subject, parts = subject_and_parts(registry)
        stitcher = IndexStitcher(registry.client())
        made = [stitcher.stitch(f"{registry.host}/app:{tag}", parts, subject=subject) for tag in ("1", "2")]
        other = stitcher.stitch(f"{registry.host}/app:3", parts[:1], subject=subject)
        assert subject.digest is not None
        put = [exchange.reference for exchange in registry.log.where(method="PUT")]
        assert put == [
            *(made[0].digest, f"sha256-{subject.digest.hex}", "1"),
            *(made[1].digest, "2"),
            *(other.digest, f"sha256-{subject.digest.hex}", "3"),
        ]
        listed = fallback(registry, subject)
        assert listed is not None
        assert [entry["digest"] for entry in listed] == [made[0].digest, other.digest]


def test_a_list_that_somebody_else_writes_too_loses_nothing() -> None:
    with EmbeddedRegistry(rules=RepositoryRules(referrers=False)) as registry:
        subject, parts = subject_and_parts(registry)
        assert subject.digest is not None
        tag = f"sha256-{subject.digest.hex}"
        others = encode_index(Index(OCI_INDEX, tuple(ImageFactory(registry).push("app:x", "linux/s390x").children.values())))

        def overwrite(answer: Response) -> Response:
            registry.contents.put_manifest(f"{registry.host}/app:{tag}", others)
            return answer

        registry.on("PUT", kind="manifest", reference=tag).tamper(overwrite).times(1)
        made = IndexStitcher(registry.client()).stitch(f"{registry.host}/app:1", parts, subject=subject)
        listed = fallback(registry, subject)
        assert listed is not None
        assert [entry["platform"]["architecture"] if "platform" in entry else entry["digest"] for entry in listed] == ["s390x", made.digest]


def test_a_list_that_others_always_overwrite_is_reported() -> None:
    with EmbeddedRegistry(rules=RepositoryRules(referrers=False)) as registry:
        subject, parts = subject_and_parts(registry)
        assert subject.digest is not None
        tag = f"sha256-{subject.digest.hex}"
        others = encode_index(Index(OCI_INDEX, ()))

        def overwrite(answer: Response) -> Response:
            registry.contents.put_manifest(f"{registry.host}/app:{tag}", others)
            return answer

        registry.on("PUT", kind="manifest", reference=tag).tamper(overwrite)
        with RegistryClient(retries=Retries(attempts=2, first_wait=0.001)) as client, pytest.raises(TagMovedError, match="others write it"):
            IndexStitcher(client).stitch(f"{registry.host}/app:1", parts, subject=subject)
        assert "1" not in registry.tags("app")


def test_a_tag_that_is_no_list_is_left_alone() -> None:
    with EmbeddedRegistry(rules=RepositoryRules(referrers=False)) as registry:
        subject, parts = subject_and_parts(registry)
        assert subject.digest is not None
        ImageFactory(registry).push(f"app:sha256-{subject.digest.hex}", "linux/386")
        with pytest.raises(StitchError, match="the tag is kept for a list of referrers, but is none"):
            IndexStitcher(registry.client()).stitch(f"{registry.host}/app:1", parts, subject=subject)
        assert "1" not in registry.tags("app")


def test_an_index_that_stands_there_already_is_listed_all_the_same() -> None:
    with EmbeddedRegistry(rules=RepositoryRules(referrers=False)) as registry:
        subject, parts = subject_and_parts(registry)
        stitcher = IndexStitcher(registry.client())
        made = stitcher.stitch(f"{registry.host}/app:1", parts, subject=subject)
        assert subject.digest is not None
        registry.contents.put_manifest(f"{registry.host}/app:sha256-{subject.digest.hex}", encode_index(Index(OCI_INDEX, ())))
        assert stitcher.stitch(f"{registry.host}/app:1", parts, subject=subject, expect=made.digest) == made
        listed = fallback(registry, subject)
        assert listed is not None
        assert [entry["digest"] for entry in listed] == [made.digest]


def test_without_a_tag_it_is_stored_once(listing: EmbeddedRegistry) -> None:
    subject, parts = subject_and_parts(listing)
    made = IndexStitcher(listing.client()).stitch(f"{listing.host}/app", parts, subject=subject)
    assert listing.log.where(method="PUT")[0].reference == made.digest
    assert len(listing.log.where(method="PUT", reference=made.digest)) == 1


def test_a_layout_lists_it_under_a_tag(tmp_path: Path, archkit_registry: EmbeddedRegistry) -> None:
    layout = LayoutByTag(tmp_path)
    subject = ImageFactory(layout).push("localhost/layout:subject", "linux/386")
    part = ImageFactory(layout).push("localhost/layout:part", "linux/amd64")
    made = IndexStitcher(archkit_registry.client()).stitch(f"oci:{tmp_path}:1", [part], subject=f"oci:{tmp_path}:subject")
    assert subject.digest is not None
    listed = layout.manifest(layout_reference(f"sha256-{subject.digest.hex}")).document()
    assert isinstance(listed, Index)
    assert [entry.digest for entry in listed.manifests] == [made.digest]


def test_a_subject_elsewhere_is_refused(archkit_registry: EmbeddedRegistry) -> None:
    _, parts = subject_and_parts(archkit_registry)
    other = ImageFactory(archkit_registry).push("other:1", "linux/386")
    message = f"its subject {other.reference} is in another repository, where nobody would find the index; name an image of"
    with pytest.raises(StitchError, match=message):
        IndexStitcher(archkit_registry.client()).stitch(f"{archkit_registry.host}/app:1", parts, subject=other)
    assert not archkit_registry.log.where(method="PUT")


def test_a_subject_that_is_not_there_is_named(archkit_registry: EmbeddedRegistry) -> None:
    _, parts = subject_and_parts(archkit_registry)
    with pytest.raises(RegistryError, match=f"{archkit_registry.host}/app:none: it is not there"):
        IndexStitcher(archkit_registry.client()).stitch(
            f"{archkit_registry.host}/app:1", parts, subject=f"{archkit_registry.host}/app:none"
        )


@pytest.mark.parametrize(
    ("options", "what"),
    [({"artifact_type": "application/x"}, r"an artifact type \(application/x\)"), ({"subject": "subject"}, r"a subject \(sha256:")],
)
def test_a_docker_list_cannot_hold_them(archkit_registry: EmbeddedRegistry, options: dict[str, Any], what: str) -> None:
    images = ImageFactory(archkit_registry)
    subject = images.push("app:subject", "linux/386")
    part = images.push("app:part", "linux/amd64", docker=True)
    options = {name: subject if value == "subject" else value for name, value in options.items()}
    with pytest.raises(StitchError, match=f"a Docker manifest list cannot hold {what}"):
        IndexStitcher(archkit_registry.client()).stitch(f"{archkit_registry.host}/app:1", [part], **options)
    assert not archkit_registry.log.where(method="PUT")

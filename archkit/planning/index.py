"""Index: which descriptors make one, and its exact bytes.

The canonical form is the one that regctl and oras write: compact JSON in the field order of the image specification,
annotations sorted by key, and ``<``, ``>``, ``&``, U+2028 and U+2029 escaped as Go's ``encoding/json`` does. Two
independent tools therefore give the digest that archkit gives.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import attrs

from archkit.errors import StitchError
from archkit.model.frozen import NO_TEXTS, FrozenMap
from archkit.model.oci import (
    ATTESTATION,
    ATTESTED,
    DOCKER_LIST,
    DOCKER_TYPES,
    INDEX_TYPES,
    OCI_INDEX,
    PLATFORM_FIELDS,
    Descriptor,
    Index,
    RawManifest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from archkit.model.platform import Platform

_ESCAPED_BY_GO = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_REQUIRED = frozenset({"architecture", "os"})


@attrs.frozen
class SourcedEntry:
    """An entry for an index and the name of the source that it came from, for messages."""

    descriptor: Descriptor
    source: str


def merge_entries(entries: Iterable[SourcedEntry], *, target: str, in_order: bool = False) -> tuple[Descriptor, ...]:
    """The entries of one index, in the order given.

    The same digest given twice stands once, where it came first. An attestation stays only with the image that it is
    about, and behind it.

    Args:
        entries: In the caller's order: clients take the first entry that matches.
        target: What messages call the index.
        in_order: Two different images for one platform stand as given: the caller has ordered them.

    Raises:
        StitchError: There is no image, or two different images are for one platform and nobody ordered them.
    """
    images: dict[str, SourcedEntry] = {}
    attestations: dict[str, list[Descriptor]] = {}
    taken: dict[Platform, SourcedEntry] = {}
    for entry in entries:
        descriptor = entry.descriptor
        if ATTESTATION in descriptor.annotations:
            attestations.setdefault(descriptor.annotations.get(ATTESTED, ""), []).append(descriptor)
            continue
        if images.setdefault(descriptor.digest, entry) is not entry or not descriptor.is_image or descriptor.platform is None:
            continue
        platform = descriptor.platform
        other = taken.setdefault(platform, entry)
        if other is not entry and not in_order:
            raise two_images(target, platform, other, entry)
    if not any(entry.descriptor.is_image for entry in images.values()):
        raise StitchError(target, "there is no image among the sources", "name at least one image")
    merged: dict[str, Descriptor] = {}
    for digest, entry in images.items():
        for descriptor in (entry.descriptor, *attestations.get(digest, ())):
            merged.setdefault(descriptor.digest, descriptor)
    return tuple(merged.values())


def two_images(
    target: str, platform: Platform, first: SourcedEntry, second: SourcedEntry, remedy: str = "leave one of them out"
) -> StitchError:
    """The error for two images of one platform."""
    named = f"{first.source} ({first.descriptor.digest}) and {second.source} ({second.descriptor.digest})"
    return StitchError(target, f"two images are for {platform}: {named}", remedy)


def compose_index(
    entries: Iterable[Descriptor],
    *,
    target: str,
    annotations: Mapping[str, str] | None = None,
    media_type: str | None = None,
    entry_annotations: Iterable[str] = (),
    artifact_type: str | None = None,
    subject: Descriptor | None = None,
) -> Index:
    """The index of these entries.

    Args:
        entries: In the order in which they shall stand; fields are kept as they are, but no ``artifactType``, which
            some tools add to images and others refuse.
        target: What messages call the index.
        annotations: On the index itself.
        media_type: The type of the index. None: a Docker manifest list when every entry is of a Docker type, otherwise
            an OCI index (what buildx does; a Docker list with OCI entries breaks strict readers).
        entry_annotations: Names of those that the caller gave to entries, which stand in these already.
        artifact_type: What the index is, where it is no image to run.
        subject: The manifest that the index says something of.

    Raises:
        StitchError: The type is no type of an index, or a Docker manifest list shall have what only an OCI index can hold.
    """
    manifests = tuple(attrs.evolve(entry, artifact_type=None) for entry in entries)
    if media_type is None:
        media_type = DOCKER_LIST if manifests and all(entry.media_type in DOCKER_TYPES for entry in manifests) else OCI_INDEX
    if media_type not in INDEX_TYPES:
        raise StitchError(target, f"{media_type!r} is no type of an index", f"use {OCI_INDEX} or {DOCKER_LIST}")
    if media_type == DOCKER_LIST:
        _refuse_for_list(target, "annotations", {*(annotations or ()), *entry_annotations})
        _refuse_for_list(target, "an artifact type", [artifact_type] if artifact_type else ())
        _refuse_for_list(target, "a subject", [subject.digest] if subject is not None else ())
    notes = FrozenMap(annotations) if annotations else NO_TEXTS
    return Index(media_type, manifests, notes, artifact_type or None, None if subject is None else _as_subject(subject))


def _refuse_for_list(target: str, what: str, asked: Iterable[str]) -> None:
    names = ", ".join(sorted(asked))
    if names:
        raise StitchError(target, f"a Docker manifest list cannot hold {what} ({names})", f"ask for media_type={OCI_INDEX!r}")


def _as_subject(descriptor: Descriptor) -> Descriptor:
    """What a subject says of a manifest: type, digest and size."""
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size)


def encode_index(index: Index) -> RawManifest:
    """The exact bytes of an index, in canonical form: equal indexes give equal bytes."""
    fields: dict[str, object] = {"schemaVersion": 2, "mediaType": index.media_type}
    if index.artifact_type:
        fields["artifactType"] = index.artifact_type
    fields["manifests"] = [_descriptor_fields(entry) for entry in index.manifests]
    if index.subject is not None:
        fields["subject"] = _descriptor_fields(index.subject)
    if index.annotations:
        fields["annotations"] = _sorted(index.annotations)
    return RawManifest(index.media_type, canonical_json(fields))


def canonical_json(fields: object) -> bytes:
    """Compact JSON, texts escaped as Go does it; a lone surrogate becomes U+FFFD, as Go reads it."""
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return _LONE_SURROGATE.sub("\ufffd", text).translate(_ESCAPED_BY_GO).encode()


def _sorted(texts: Mapping[str, str]) -> dict[str, str]:
    return {key: texts[key] for key in sorted(texts)}


def _descriptor_fields(descriptor: Descriptor) -> dict[str, object]:
    fields: dict[str, object] = {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}
    if descriptor.urls:
        fields["urls"] = list(descriptor.urls)
    if descriptor.annotations:
        fields["annotations"] = _sorted(descriptor.annotations)
    if descriptor.data is not None:
        fields["data"] = descriptor.data
    if descriptor.platform_fields is not None:
        stated = descriptor.platform_fields
        fields["platform"] = {name: stated.get(name, "") for name in PLATFORM_FIELDS if name in stated or name in _REQUIRED}
    if descriptor.artifact_type:
        fields["artifactType"] = descriptor.artifact_type
    return fields

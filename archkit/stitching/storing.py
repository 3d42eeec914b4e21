"""The last steps of a stitch: images brought, the guard looked at, the index stored, the tag read back."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import attrs

from archkit.errors import RegistryError, StitchError, TagMovedError
from archkit.model.oci import OCI_INDEX, Descriptor, Index, RawManifest
from archkit.model.reference import Digest
from archkit.planning.index import encode_index

if TYPE_CHECKING:
    from archkit.ports.http import Retries
    from archkit.stitching.places import Located, Places

_REFUSED = frozenset({400, 403, 409, 412})
"""What registries answer when a tag is immutable; ECR does so for equal content, too."""


@attrs.frozen
class Guard:
    """What the target must be before it is written."""

    expect: Digest | None = None
    """The digest that it must have."""
    if_absent: bool = False
    """It must not exist."""

    @property
    def asks(self) -> bool:
        """Whether anything is asked at all."""
        return self.expect is not None or self.if_absent

    def check(self, where: Located, digest: Digest) -> Digest | None:
        """Look at the target, which is to become ``digest``. One request, none when nothing is asked.

        Returns:
            What it is now: ``digest`` when nothing need be written, otherwise what it may be replaced.

        Raises:
            TagMovedError: It is something else than it must be.
        """
        if not self.asks:
            return None
        head = where.store.head(where.reference)
        found = None if head is None else head.digest
        if found in {digest, self.expect}:
            return found
        if self.if_absent:
            remedy = "take another tag, or pass expect= with that digest"
            raise TagMovedError(where.name, f"it exists already, as {found}", remedy, "", found or "")
        now = "does not exist" if found is None else f"is {found}"
        remedy = "look at what changed, and stitch again"
        raise TagMovedError(where.name, f"it {now}, expected was {self.expect}", remedy, self.expect or "", found or "")


def store_index(where: Located, manifest: RawManifest) -> None:
    """Store an index under its tag; one that may not be written again but stands at it already is as it should be.

    Raises:
        RegistryError: The store refused.
        StitchError: The store holds something else.
    """
    try:
        stored = where.store.put_manifest(where.reference, manifest)
    except RegistryError as error:
        if error.status not in _REFUSED or where.reference.tag is None:
            raise
        found = where.store.head(where.reference)
        if found is None or found.digest != manifest.digest:
            raise
        return
    if stored.digest != manifest.digest:
        raise StitchError(where.name, f"the store answers that it holds {stored.digest}, but {manifest.digest} was sent")


def read_back(where: Located, digest: Digest, before: Digest | None) -> None:
    """Look whether the tag is what was just written to it.

    A store that still shows what the tag was before is asked again, as often as its retries allow.

    Args:
        where: The tag.
        digest: What was written.
        before: What it was before; None: it did not exist.

    Raises:
        TagMovedError: It is something else: another writer was at it at the same time.
    """
    sent = 1
    while True:
        head = where.store.head(where.reference)
        found = None if head is None else head.digest
        if found == digest:
            return
        if found != before or not _waited(where.retries, sent):
            now = "is not there" if found is None else f"is {found}"
            reason = f"{digest} was written, but the tag {now}: somebody else writes it, too"
            raise TagMovedError(where.name, reason, "look at what is there, and stitch again", digest, found or "")
        sent += 1


def list_referrer(places: Places, where: Located, index: Index, manifest: RawManifest) -> None:
    """Store an index by digest, and list it among the referrers of its subject where the registry does not do so itself.

    The list is the tag ``sha256-…`` of the repository, read, extended and written. Another writer of it may win: it is
    read back, and extended again while the index is not in it.

    Args:
        places: The stores.
        where: The repository.
        index: The index, which has a subject.
        manifest: Its bytes.

    Raises:
        RegistryError: The store refused.
        TagMovedError: Other writers won every time.

    Source: OCI distribution specification 1.1, "Referrers Tag Schema" and "Pushing Manifests with Subject".
    """
    subject = index.subject
    if subject is None or where.store.put_referrer(where.with_digest(manifest.digest).reference, manifest):
        return
    places.ledger.step = "list the index as a referrer"
    tag = where.with_tag(f"{subject.digest.algorithm[:32]}-{subject.digest.hex[:64]}")
    entry = Descriptor(
        manifest.media_type, manifest.digest, len(manifest.content), annotations=index.annotations, artifact_type=index.artifact_type
    )
    sent = 0
    while True:
        listed = _referrers(tag)
        if entry.digest in {one.digest for one in listed.manifests}:
            return
        if sent and not _waited(tag.retries, sent):
            reason = f"{entry.digest} is not in the list of referrers though it was written there: others write it, too"
            raise TagMovedError(tag.name, reason, "stitch again", entry.digest)
        tag.store.put_manifest(tag.reference, encode_index(attrs.evolve(listed, manifests=(*listed.manifests, entry))))
        sent += 1


def _waited(retries: Retries, sent: int) -> bool:
    """Wait before the next try; False when there is none after so many."""
    wait = retries.wait(sent, random.random())  # noqa: S311 - spreads clients in time
    if wait is None:
        return False
    time.sleep(wait)
    return True


def _referrers(tag: Located) -> Index:
    try:
        document = tag.store.manifest(tag.reference).document()
    except RegistryError as error:
        if error.status != 404:
            raise
        return Index(OCI_INDEX, ())
    if not isinstance(document, Index) or document.media_type != OCI_INDEX:
        raise StitchError(tag.name, "the tag is kept for a list of referrers, but is none", "remove the tag")
    return document

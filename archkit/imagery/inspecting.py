"""inspect()."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from archkit.adapters.content import read_config
from archkit.copying import PARALLEL, in_parallel
from archkit.errors import ContentError
from archkit.imagery.details import ImageDetails, ImageEntry
from archkit.imagery.places import located
from archkit.model.oci import DocumentError, Index

if TYPE_CHECKING:
    from archkit.model.oci import RawManifest
    from archkit.model.reference import ImageReference
    from archkit.ports.registry import ImageStore


def inspect(reference: ImageReference | str, registry: ImageStore | None = None, *, children: bool = False) -> ImageDetails:
    """What stands under a reference: what ``docker manifest inspect`` prints, as a value.

    One request for an index, two for an image; with ``children`` two more for each image of an index, several at a time.

    Args:
        reference: A tag or a digest; ``oci:PATH[:TAG][@DIGEST]`` is in the OCI layout of that folder.
        registry: A ``RegistryClient``, an ``OciLayout`` or any other image store; None: a ``RegistryClient`` of its own.
        children: Also read what the entries of an index lead to.

    Raises:
        RegistryError: It is not there (status 404), or cannot be read.
        ReferenceSyntaxError: The text is no reference.
    """
    with located(reference, registry) as (store, ref):
        details = _read(store, ref, str(reference))
        if not children or not details.is_index:
            return details
        repository = ref.repository_only

        def entry_read(entry: ImageEntry) -> ImageEntry:
            child = repository.with_digest(entry.descriptor.digest)
            return attrs.evolve(entry, image=_read(store, child, str(entry.descriptor.digest)))

        return attrs.evolve(details, entries=tuple(in_parallel(entry_read, details.entries, PARALLEL, "archkit-inspect")))


def _read(store: ImageStore, ref: ImageReference, name: str) -> ImageDetails:
    raw: RawManifest = store.manifest(ref)
    try:
        document = raw.document()
    except DocumentError as error:
        raise ContentError(str(ref), str(error)) from error
    # sha512 where it was asked for by that
    descriptor = raw.descriptor if ref.digest is None else attrs.evolve(raw.descriptor, digest=ref.digest)
    if isinstance(document, Index):
        return ImageDetails(
            name,
            descriptor,
            raw.content,
            tuple(ImageEntry(entry) for entry in document.manifests),
            annotations=document.annotations,
            artifact_type=document.artifact_type,
            subject=document.subject,
        )
    return ImageDetails(
        name,
        descriptor,
        raw.content,
        layers=document.layers,
        config=read_config(store, ref.repository_only, document),
        config_size=document.config.size,
        annotations=document.annotations,
        artifact_type=document.artifact_type,
        subject=document.subject,
    )

"""What a tool wrote into an OCI layout of its own, stored where it belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.errors import RegistryError
from archkit.model.oci import DocumentError, Index

if TYPE_CHECKING:
    from archkit.adapters.oci_layout import OciLayout
    from archkit.model.oci import Descriptor
    from archkit.model.reference import Digest, ImageReference
    from archkit.ports.registry import ImageStore


def copy_from_layout(layout: OciLayout, digest: Digest, store: ImageStore, target: ImageReference) -> Descriptor:
    """Store an image or index of a layout, blobs and children first.

    Args:
        layout: Where it stands.
        digest: What to store.
        store: Where to.
        target: The name that it gets there; without tag, it is stored by digest.

    Returns:
        What stands in the store.

    Raises:
        RegistryError: Something cannot be read or stored.
    """
    place = target.repository_only
    raw = layout.manifest(place.with_digest(digest))
    try:
        document = raw.document()
    except DocumentError as error:
        raise RegistryError(f"{digest} in the layout {layout.path}", str(error)) from error
    if isinstance(document, Index):
        for child in document.manifests:
            copy_from_layout(layout, child.digest, store, place)
    else:
        for blob in (document.config, *document.layers):
            if not blob.urls and not store.has_blob(place, blob.digest):  # what has URLs is fetched from there
                store.put_blob(place, layout.stream_blob(place, blob.digest), digest=blob.digest, size=blob.size)
    return store.put_manifest(target if target.tag is not None else place.with_digest(digest), raw)

"""Where a reference leads."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from archkit.adapters.content import as_reference
from archkit.adapters.oci_layout import LayoutByTag
from archkit.model.layout_name import read_layout_name

if TYPE_CHECKING:
    from collections.abc import Generator

    from archkit.model.reference import ImageReference
    from archkit.ports.registry import ImageStore


@contextmanager
def located(reference: ImageReference | str, registry: ImageStore | None) -> Generator[tuple[ImageStore, ImageReference], None, None]:
    """The store that a reference is in, and the reference in it.

    Args:
        reference: A reference, or the text of one; ``oci:PATH[:TAG][@DIGEST]`` is in the layout of that folder.
        registry: Where it is otherwise; None: a ``RegistryClient`` for as long as this lasts.

    Raises:
        ReferenceSyntaxError: The text is no reference.
    """
    named = read_layout_name(reference) if isinstance(reference, str) else None
    if named is not None:
        path, inside = named
        yield LayoutByTag(path), inside
    elif registry is not None:
        yield registry, as_reference(reference)
    else:
        from archkit.adapters.registry import RegistryClient

        ref = as_reference(reference)
        with RegistryClient() as client:
            yield client, ref

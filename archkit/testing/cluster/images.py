"""What the nodes of the embedded cluster know of images before they pull them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archkit.errors import ReferenceSyntaxError, RegistryError
from archkit.model.oci import Index
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import ImageReference
from archkit.testing.cluster.kubelet import ImageFacts, KnownImages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from archkit.model.platform import Platform
    from archkit.testing.embedded_registry import EmbeddedRegistry


class KnownImagePlatforms:
    """Images of an embedded registry, and those that somebody named.

    Args:
        registry: Its images are looked up where they are, past its log.
        named: Platforms by reference.
    """

    def __init__(self, registry: EmbeddedRegistry | None, named: Mapping[str, PlatformSet | str | Iterable[Platform | str]]) -> None:
        self.registry = registry
        self._named: dict[ImageReference, PlatformSet] = {}
        for reference, platforms in named.items():
            self.set(reference, platforms)

    def set(self, reference: str, platforms: PlatformSet | str | Iterable[Platform | str]) -> None:
        """Say which platforms an image has; one of a single platform is no index.

        Raises:
            ReferenceSyntaxError: The reference is none.
            PlatformSyntaxError: One of the platforms is none.
        """
        self._named[ImageReference.parse(reference)] = PlatformSet.parse(platforms)

    def facts(self, image: str) -> ImageFacts | str | None:
        """See :meth:`KnownImages.facts`."""
        try:
            reference = ImageReference.parse(image)
        except ReferenceSyntaxError:
            return f'couldn\'t parse image name "{image}": invalid reference format'
        named = self._named.get(reference)
        if named is not None:
            return ImageFacts(named, len(named) > 1)
        if self.registry is None or reference.registry != self.registry.host:
            return None
        try:
            manifest = self.registry.manifest(reference)
            platforms = self.registry.platforms(reference)
        except RegistryError:
            return f"failed to resolve reference {image}: not found"
        return None if platforms is None else ImageFacts(platforms, isinstance(manifest.document(), Index))


if TYPE_CHECKING:
    _conforms: type[KnownImages] = KnownImagePlatforms

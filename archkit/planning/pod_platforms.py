"""Which platforms one pod can run on, from those of its images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from archkit.model.platform_set import PlatformSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archkit.model.platform import Platform


@attrs.frozen
class ImagePlatforms:
    """One image of a pod and what is known of its platforms."""

    image: str
    """As messages name it."""
    platforms: PlatformSet | None
    """None: not known."""

    def __str__(self) -> str:
        return f"{self.image} ({str(self.platforms).replace(',', ', ') if self.platforms else 'no platform'})"


def common_platforms(images: Iterable[ImagePlatforms]) -> PlatformSet | None:
    """The platforms of the machines that run every one of these images, in the order of the first.

    An image of an older variant runs on a newer one (``arm/v6`` on ``arm/v7``, ``386`` on ``amd64``), so two images
    share the newer of the two. Images of unknown platforms, and of all platforms, say nothing.

    Returns:
        None when no image says anything; an empty set when they have nothing in common.
    """
    sets = tuple(image.platforms for image in images if image.platforms is not None and not image.platforms.is_all)
    key = tuple(map(id, sets))
    found = _known.get(key)
    if found is None:
        if len(_known) >= _KNOWN_SIZE:
            _known.clear()
        found = _known[key] = (sets, _common(sets))  # the sets are held, so that their identities are not given to others
    return found[1]


_KNOWN_SIZE = 1024
_known: dict[tuple[int, ...], tuple[tuple[PlatformSet, ...], PlatformSet | None]] = {}
"""Pod after pod has the same images: each combination is thought through once."""


def _common(sets: Iterable[PlatformSet]) -> PlatformSet | None:
    common: PlatformSet | None = None
    for platforms in sets:
        known = PlatformSet(platform for platform in platforms if "unknown" not in platform.os_arch)
        common = known if common is None else PlatformSet(_both(common, known))
    return common


def _both(left: PlatformSet, right: PlatformSet) -> Iterable[Platform]:
    for one in left:
        for other in right:
            if one.runs_on(other):
                yield other
            elif other.runs_on(one):
                yield one

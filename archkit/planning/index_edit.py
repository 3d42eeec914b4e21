"""Entries added to an index, put in the place of others, and taken out; the others stay where and as they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from archkit.errors import StitchError
from archkit.model.oci import ATTESTATION, ATTESTED, Descriptor
from archkit.model.platform import Platform
from archkit.planning.index import SourcedEntry, two_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from archkit.model.reference import Digest


@attrs.frozen
class IndexEdit:
    """An index to change."""

    target: str
    """What messages call the index that is made."""
    base: str
    """What messages call the one that it is made of."""
    entries: tuple[Descriptor, ...]
    """Of the base."""

    def extend(
        self, added: Iterable[Descriptor], sources: Mapping[Digest, str], *, replace: bool = False, in_order: bool = False
    ) -> tuple[Descriptor, ...]:
        """The entries with further ones behind them; a digest that is there already stays where and as it is.

        Args:
            added: Images, each with its attestations behind it.
            sources: What messages call the source of each digest.
            replace: An image for a platform that is there takes its place, as :meth:`replace` does it.
            in_order: An image for a platform that is there stands in the index too: the caller has ordered them.

        Raises:
            StitchError: There is another image for a platform, and neither ``replace`` nor ``in_order`` is said.
        """
        made = self.entries
        for image, about in _groups(added):
            rivals = [] if in_order else _rivals(made, image, any_revision=replace)
            if replace and rivals:
                made = _put_in_place(made, rivals, image, about)
            elif rivals and image.platform is not None:
                there, new = SourcedEntry(rivals[0], self.base), SourcedEntry(image, sources.get(image.digest, "a source"))
                raise two_images(self.target, image.platform, there, new, "replace() or extend(replace=True) takes the new one")
            else:
                made = _put_behind(made, image, about)
        return made

    def replace(self, added: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
        """The entries with others in the place of those that are for the same platform.

        The attestations of an image that is replaced go with it. Of a Windows version the revision does not count, so
        that an image of a patched build (``10.0.20348.2``) takes the place of the one before it (``10.0.20348.1``).

        Args:
            added: Images, each with its attestations behind it.

        Raises:
            StitchError: There is no image for the platform of one.
        """
        made = self.entries
        for image, about in _groups(added):
            rivals = _rivals(made, image, any_revision=True) or [entry for entry in made if entry.digest == image.digest]
            if not rivals:
                what = image.digest if image.platform is None else image.platform
                raise StitchError(self.target, f"{self.base} has no image for {what} to replace; {self._there}", "extend() adds one")
            made = _put_in_place(made, rivals, image, about)
        return made

    def remove(self, unwanted: Iterable[Platform | Digest]) -> tuple[Descriptor, ...]:
        """The entries without those for these platforms or of these digests, and without what is about them.

        Args:
            unwanted: A platform without version of the operating system means every version.

        Raises:
            StitchError: One of them is not there, or no image would be left.
        """
        gone: set[str] = set()
        for one in unwanted:
            found = [entry.digest for entry in self.entries if _is_meant(entry, one)]
            if not found:
                what = f"image for {one}" if isinstance(one, Platform) else f"entry {one}"
                raise StitchError(self.target, f"{self.base} has no {what} to remove; {self._there}")
            gone.update(found)
        made = tuple(entry for entry in self.entries if entry.digest not in gone and entry.annotations.get(ATTESTED) not in gone)
        if not any(entry.is_image for entry in made):
            raise StitchError(self.target, f"no image of {self.base} would be left", "remove the tag instead")
        return made

    @property
    def _there(self) -> str:
        images = [entry for entry in self.entries if entry.is_image]
        return f"it has {', '.join(str(entry.platform or entry.digest) for entry in images) or 'no image'}"


def _groups(added: Iterable[Descriptor]) -> list[tuple[Descriptor, list[Descriptor]]]:
    """Each image, or other entry, with the attestations behind it."""
    groups: list[tuple[Descriptor, list[Descriptor]]] = []
    for entry in added:
        if ATTESTATION in entry.annotations and groups:
            groups[-1][1].append(entry)
        else:
            groups.append((entry, []))
    return groups


def _rivals(entries: Sequence[Descriptor], image: Descriptor, *, any_revision: bool) -> list[Descriptor]:
    """The images for the platform of this one; the image itself only where ``any_revision`` asks for what is to be replaced."""
    wanted = _slot(image, any_revision=any_revision)
    if wanted is None:
        return []
    return [
        entry
        for entry in entries
        if entry.is_image and _slot(entry, any_revision=any_revision) == wanted and (any_revision or entry.digest != image.digest)
    ]


def _slot(entry: Descriptor, *, any_revision: bool) -> Platform | None:
    platform = entry.platform if entry.is_image else None
    if platform is None or not any_revision:
        return platform
    return attrs.evolve(platform, os_version=".".join(platform.os_version.split(".")[:3]))


def _put_in_place(
    entries: Sequence[Descriptor], rivals: Sequence[Descriptor], image: Descriptor, about: Sequence[Descriptor]
) -> tuple[Descriptor, ...]:
    """The entries with an image where the first of its rivals stood; what is said of the image itself stays."""
    same = next((entry for entry in rivals if entry.digest == image.digest), image)
    image = attrs.evolve(image, annotations={**same.annotations, **image.annotations})
    gone = {entry.digest for entry in rivals}
    lost = gone - {image.digest}
    made: list[Descriptor] = []
    for entry in entries:
        if entry.digest == rivals[0].digest:
            made.append(image)
        elif entry.digest not in gone and entry.annotations.get(ATTESTED) not in lost:
            made.append(entry)
    return _put_behind(made, image, about)


def _put_behind(entries: Sequence[Descriptor], image: Descriptor, about: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    """The entries with an image, at the end unless it is there, and what is about it behind it."""
    made = list(entries)
    if image.digest not in {entry.digest for entry in made}:
        made.append(image)
    there = {entry.digest for entry in made}
    position = next(number for number, entry in enumerate(made) if entry.digest == image.digest) + 1
    made[position:position] = [entry for entry in about if entry.digest not in there]
    return tuple(made)


def _is_meant(entry: Descriptor, wanted: Platform | Digest) -> bool:
    if not isinstance(wanted, Platform):
        return entry.digest == wanted
    return entry.is_image and entry.platform is not None and entry.platform.satisfies(wanted)

"""Which built image a manifest means, and which platforms an image has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from archkit.errors import ReferenceSyntaxError, RegistryError
from archkit.model.build import BuiltImage
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import ImageReference
from archkit.planning.affinity import Note
from archkit.planning.names import KO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from archkit.model.platform import Platform


def parse_image(text: str) -> ImageReference | None:
    """The image that a manifest names; None for what is no reference, such as a template.

    ``ko://`` names are Go import paths, which may have capital letters that a repository cannot have.
    """
    if text.startswith(KO):
        text = text.removeprefix(KO).lower()
    try:
        return ImageReference.parse(text)
    except ReferenceSyntaxError:
        return None


@attrs.frozen
class KnownImage:
    """What is known of one image of a manifest."""

    pinned: str | None = None
    """The text to write in its place; None: it stays."""
    platforms: PlatformSet | None = None
    index: bool = False
    """Whether it is certainly an index, so that a node without a fitting entry cannot even pull it."""
    built: BuiltImage | None = None
    notes: tuple[Note, ...] = ()
    reason: str = ""
    """Why its platforms are not known."""


class ImageBook:
    """Built images and other images of known platforms, looked up as manifests write them."""

    def __init__(
        self,
        builds: Iterable[BuiltImage],
        platforms: Mapping[str, PlatformSet | str | Iterable[Platform | str]],
        lookup: Callable[[ImageReference], PlatformSet | None] | None,
        *,
        repin: bool,
    ) -> None:
        self._repin = repin
        self._lookup = lookup
        self._known: dict[str, KnownImage] = {}
        self._asked: dict[ImageReference, tuple[PlatformSet | None, str]] = {}
        self.builds: tuple[BuiltImage, ...] = tuple(builds)
        self._by_name: dict[str, BuiltImage] = {}
        self._by_repository: dict[str, list[BuiltImage]] = {}
        for image in self.builds:
            name = parse_image(image.name)
            if name is None:
                raise ReferenceSyntaxError(image.name, "the name of a built image")
            self._by_name[name.name] = image
            self._by_repository.setdefault(ImageReference.parse(image.reference).name, []).append(image)
        self._platforms: dict[ImageReference, PlatformSet] = {}
        for key, value in platforms.items():
            reference = parse_image(key)
            if reference is None:
                raise ReferenceSyntaxError(key, "a key of `platforms`")
            self._platforms[reference] = PlatformSet.parse(value)

    def look_up(self, text: str) -> KnownImage:
        """What is known of the image that a manifest names so; each is looked up once."""
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = self._look_up(text)
        return found

    def _look_up(self, text: str) -> KnownImage:
        reference = parse_image(text)
        if reference is None:
            return KnownImage(reason="it is no image reference")
        if reference.digest is None:
            built = self._by_name.get(reference.name)
            return self._other(reference) if built is None else self._pinned(built, text)
        return self._with_digest(reference, text)

    def _with_digest(self, reference: ImageReference, text: str) -> KnownImage:
        candidates = [*self._by_repository.get(reference.name, ())]
        if (named := self._by_name.get(reference.name)) is not None:
            candidates.insert(0, named)
        for built in candidates:
            if built.digest == reference.digest:
                known = self._pinned(built, text)
                repository = ImageReference.parse(built.reference).name
                return attrs.evolve(known, pinned=None) if reference.name == repository else known
        if not candidates:
            return self._other(reference)
        built = candidates[0]
        if self._repin:
            return self._pinned(built, text)
        for candidate in candidates:
            for platform, child in candidate.children.items():
                if child.digest == reference.digest:
                    return KnownImage(None, PlatformSet([platform]), built=candidate, notes=(_child_note(text, candidate, platform),))
        message = f"{text} keeps its digest, although {built.name} was built as {built.reference}"
        note = Note("digest-kept", message, "remove the digest, or pass repin=True")
        return attrs.evolve(self._other(reference), built=built, notes=(note,))

    def _pinned(self, built: BuiltImage, text: str) -> KnownImage:
        reference = ImageReference.parse(built.reference)
        platforms, reason = built.platforms, ""
        if platforms is None:
            known = self._other(reference)
            platforms, reason = known.platforms, known.reason
            if platforms is None and (name := parse_image(built.name)) is not None:
                platforms = self._written_down(name)
        if built.descriptor is not None:
            index = built.descriptor.is_index
        else:
            index = platforms is not None and not platforms.is_all and len(platforms) > 1
        pinned = built.reference if built.reference != text else None
        return KnownImage(pinned, platforms, index, built, reason=reason)

    def _other(self, reference: ImageReference) -> KnownImage:
        platforms, reason = self._written_down(reference), ""
        if platforms is None:
            platforms, reason = self._ask(reference)
        return KnownImage(None, platforms, platforms is not None and not platforms.is_all and len(platforms) > 1, reason=reason)

    def _written_down(self, reference: ImageReference) -> PlatformSet | None:
        """From the caller's mapping: the whole reference first, then without digest, then without tag."""
        for key in (reference, attrs.evolve(reference, digest=None), reference.repository_only):
            if (found := self._platforms.get(key)) is not None:
                return found
        return None

    def _ask(self, reference: ImageReference) -> tuple[PlatformSet | None, str]:
        if self._lookup is None:
            return None, "nothing says which platforms it has"
        if reference not in self._asked:
            try:
                found = self._lookup(reference)
                answer = (found, "" if found is not None else "it is not there")
            except RegistryError as error:
                answer = (None, str(error))
            self._asked[reference] = answer
        return self._asked[reference]


def _child_note(text: str, built: BuiltImage, platform: Platform) -> Note:
    message = f"{text} is pinned to the {platform} image alone, not to the index {built.reference}"
    return Note("child-digest-pinned", message, "remove the digest, or pass repin=True")

"""Where references lead: the stitcher's own store, or an OCI layout that a text names."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from archkit.adapters.content import as_reference
from archkit.copying import Place
from archkit.errors import RegistryError
from archkit.model.layout_name import layout_name, read_layout_name
from archkit.model.reference import ImageReference
from archkit.ports.http import Retries
from archkit.ports.registry import ImageStore, InFolder, Retrying
from archkit.stitching.requests import Ledger, RecordedStore, RehearsedStore

if TYPE_CHECKING:
    from archkit.model.oci import Descriptor


@attrs.frozen
class Located:
    """A reference, the store that it is in, and what messages call it."""

    store: RecordedStore
    reference: ImageReference
    layout: Path | None = None
    """The folder of the layout that is named by its path."""

    @property
    def place(self) -> Place:
        """The repository."""
        return Place(self.store, self.reference.repository_only)

    @property
    def name(self) -> str:
        """As a caller would write it."""
        if self.layout is None:
            return str(self.reference)
        return layout_name(self.layout, self.reference.tag, self.reference.digest)

    @property
    def retries(self) -> Retries:
        """How long the store may be waited for."""
        return self.store.store.retries if isinstance(self.store.store, Retrying) else Retries()

    @property
    def keeps_anything(self) -> bool:
        """Whether the store takes an index though its images are not there: a folder checks nothing."""
        return isinstance(self.store.store, InFolder)

    def with_tag(self, tag: str) -> Located:
        """The same repository under this tag."""
        return attrs.evolve(self, reference=self.reference.with_tag(tag))

    def with_digest(self, digest: str) -> Located:
        """The same repository at this digest, without tag."""
        return attrs.evolve(self, reference=self.reference.repository_only.with_digest(digest))

    def described(self) -> Descriptor:
        """Type, digest and size of what is there.

        Raises:
            RegistryError: With status 404 when nothing is.
        """
        found = self.store.head(self.reference)
        if found is None:
            raise RegistryError(self.name, "it is not there", 404)
        return found


class Places:
    """The stores of one stitch, whose requests stand in one ledger.

    Args:
        store: Where references are that name no layout.
        dry_run: Nothing is written.
    """

    def __init__(self, store: ImageStore, *, dry_run: bool) -> None:
        self.ledger: Ledger = Ledger()
        self._recorded: type[RecordedStore] = RehearsedStore if dry_run else RecordedStore
        self.own: RecordedStore = self._recorded(store, None if isinstance(store, InFolder) else self.ledger)
        """The stitcher's store."""
        self.retries: Retries = store.retries if isinstance(store, Retrying) else Retries()
        """How long the stitcher's store may be waited for."""
        self._layouts: dict[tuple[Path, bool], RecordedStore] = {}
        self._lock = threading.Lock()

    def locate(self, name: ImageReference | str) -> Located:
        """Where a reference, or the text of one, leads.

        Raises:
            ReferenceSyntaxError: The text is no reference and no name in a layout.
        """
        named = read_layout_name(name) if isinstance(name, str) else None
        if named is not None:
            return self.in_layout(*named)
        return Located(self.own, as_reference(name))

    def in_layout(self, path: Path, reference: ImageReference, *, by_tag: bool = True) -> Located:
        """A reference in the layout of a folder.

        Args:
            path: The folder.
            reference: What is meant in it.
            by_tag: Only its tag and digest count, as where a text names the layout; otherwise the full name does.
        """
        from archkit.adapters.oci_layout import LayoutByTag, OciLayout  # most stitches have none

        layout = LayoutByTag(path) if by_tag else OciLayout(path)
        with self._lock:
            store = self._layouts.setdefault((path.absolute(), by_tag), self._recorded(layout, None))
        return Located(store, reference, path if by_tag else None)

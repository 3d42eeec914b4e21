"""OciLayout: an image store in a folder, in the OCI image layout 1.0."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from archkit.adapters.content import as_reference, check, checked, find_platforms, read_manifest
from archkit.adapters.layout_folder import LayoutFolder
from archkit.errors import ReferenceSyntaxError, RegistryError
from archkit.model.layout_name import layout_name
from archkit.model.oci import Descriptor, DocumentError
from archkit.model.reference import Digest, ImageReference

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from archkit.model.oci import RawManifest
    from archkit.model.platform_set import PlatformSet
    from archkit.ports.registry import ImageStore, InFolder, KnowsSizes

_FULL_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
_MANIFEST_LIMIT = _BLOB_LIMIT = 4 * 1024 * 1024


class OciLayout:
    """The operations of a registry on a folder; any number of threads and processes may share it.

    Names are kept as BuildKit does: the entry of a tag carries the full reference and the tag as annotations. Reading
    also finds the tags of layouts that regctl, skopeo or crane wrote, which carry the tag alone; what they wrote under
    another full name stays hidden. A reference without tag means the only entry of a layout that has only one.

    The folder is made by the first write. A blob that no tag leads to is kept, for garbage collectors to judge.

    Args:
        path: The folder.

    Raises:
        RegistryError: From every method: the folder is no layout, cannot be read or written, or holds something wrong.
        ReferenceSyntaxError: From every method: a text is no reference or no digest.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        """The folder."""
        self._folder = LayoutFolder(self.path)

    def __repr__(self) -> str:
        return f"OciLayout({str(self.path)!r})"

    # ---- manifests ----------------------------------------------------------------------------------------------

    def manifest(self, reference: ImageReference | str) -> RawManifest:
        """The manifest or index under a tag or digest: exact bytes, digest verified."""
        ref = as_reference(reference)
        found = self._find(ref)
        if found is None:
            raise self._missing(ref)
        digest, media_type = found
        name = self._name(ref)
        content = self._folder.read(digest, _MANIFEST_LIMIT, name=name)
        if content is None:
            raise RegistryError(name, f"the manifest {digest} is not among the blobs", 404)
        return read_manifest(content, media_type, digest=digest, name=name)

    def head(self, reference: ImageReference | str) -> Descriptor | None:
        """Type, digest and size of what stands under a tag or digest; None when nothing does."""
        ref = as_reference(reference)
        found = self._find(ref)
        if found is None or self._folder.size(found[0]) is None:
            return None
        return self.manifest(ref.repository_only.with_digest(found[0])).descriptor

    def put_manifest(self, reference: ImageReference | str, manifest: RawManifest) -> Descriptor:
        """Store these exact bytes under the reference's tag, or by digest alone where it has none."""
        ref = as_reference(reference)
        made = read_manifest(manifest.content, manifest.media_type, digest=ref.digest, name=self._name(ref)).descriptor
        digest = ref.digest or made.digest
        self._folder.write((manifest.content,), digest, made.size, name=self._name(ref))
        if ref.tag is not None:
            entry: dict[str, Any] = {"mediaType": made.media_type, "digest": str(digest), "size": made.size}
            with self._folder.changed_entries() as entries:
                replaced = [other for other in entries if self._names(other, ref)]
                entry["annotations"] = self._annotations(ref, replaced)
                entries[:] = [*(other for other in entries if other not in replaced), entry]
        return made

    # ---- blobs --------------------------------------------------------------------------------------------------

    def blob(self, reference: ImageReference | str, digest: Digest | str, *, limit: int | None = None) -> bytes:
        """A whole blob, digest verified, of at most ``limit`` bytes (None: 4 MiB)."""
        digest, name = Digest(digest), self._name(as_reference(reference))
        content = self._folder.read(digest, _BLOB_LIMIT if limit is None else limit, name=name)
        if content is None:
            raise RegistryError(name, f"there is no blob {digest}", 404)
        check(content, digest, None, name=f"{name}, blob {digest}")
        return content

    def stream_blob(self, reference: ImageReference | str, digest: Digest | str) -> Iterator[bytes]:
        """A blob in pieces, in flat memory; the last piece comes only when the digest is right."""
        digest, name = Digest(digest), self._name(as_reference(reference))
        if self._folder.size(digest) is None:
            raise RegistryError(name, f"there is no blob {digest}", 404)
        return checked(self._folder.pieces(digest, name=name), digest, None, name=f"{name}, blob {digest}")

    def has_blob(self, reference: ImageReference | str, digest: Digest | str) -> bool:
        """Whether the layout holds this blob; its repositories share them all."""
        as_reference(reference)
        return self._folder.size(Digest(digest)) is not None

    def blob_size(self, reference: ImageReference | str, digest: Digest | str) -> int | None:
        """Bytes of a blob; None when it is not there."""
        as_reference(reference)
        return self._folder.size(Digest(digest))

    def put_blob(self, reference: ImageReference | str, content: bytes | Iterator[bytes], *, digest: Digest | str, size: int) -> None:
        """Store a blob of ``size`` bytes; nothing is written when it is there already."""
        digest, name = Digest(digest), self._name(as_reference(reference))
        pieces = (content,) if isinstance(content, bytes) else content
        if isinstance(content, bytes):
            check(content, digest, size, name=name)
        if self._folder.size(digest) != size:
            self._folder.write(pieces, digest, size, name=name)

    def mount_blob(self, reference: ImageReference | str, digest: Digest | str, source: ImageReference | str) -> bool:
        """Whether the layout holds this blob: one that any of its repositories has, all have."""
        as_reference(source)
        return self.has_blob(reference, digest)

    # ---- tags ---------------------------------------------------------------------------------------------------

    def tags(self, repository: ImageReference | str) -> Sequence[str]:
        """The repository's tags, sorted, with those that carry no repository's name."""
        ref = as_reference(repository)
        found: set[str] = set()
        for entry in self._entries():
            full, short = _entry_names(entry)
            if full is None and short is not None:
                found.add(short)
            elif full is not None and full.tag is not None and full.repository_only == ref.repository_only:
                found.add(full.tag)
        return sorted(found)

    def delete_tag(self, reference: ImageReference | str) -> bool:
        """Remove the tag and nothing else; False when it is not there."""
        ref = as_reference(reference)
        if ref.tag is None:
            raise RegistryError(self._name(ref), "names no tag, so there is nothing to remove", remedy="write NAME:TAG")
        if not any(self._names(entry, ref) for entry in self._entries()):
            return False
        with self._folder.changed_entries() as entries:
            kept = [entry for entry in entries if not self._names(entry, ref)]
            removed = len(kept) < len(entries)
            entries[:] = kept
        return removed

    def platforms(self, reference: ImageReference | str) -> PlatformSet | None:
        """The image's platforms, from its index or its configuration; None when it is not there."""
        return find_platforms(self, as_reference(reference))

    def entry(self, tag: str | None = None) -> Descriptor:
        """What stands under a tag, whatever the repository; without a tag, the only entry.

        Raises:
            RegistryError: There is none, or there are several.
        """
        name = f"{self.path}" if tag is None else f"{self.path}:{tag}"
        found = [entry for entry in self._entries() if tag is None or _tag_of(entry) == tag]
        if len({entry.get("digest") for entry in found}) != 1:
            raise self._ambiguous(name, len(found))
        try:
            return Descriptor.from_json(found[0])
        except DocumentError as error:
            raise RegistryError(name, f"index.json cannot be read: {error}") from error

    # ---- entries ------------------------------------------------------------------------------------------------

    def _name(self, ref: ImageReference) -> str:
        return f"{ref} in the layout {self.path}"

    def _names(self, entry: Mapping[str, Any], ref: ImageReference) -> bool:
        """Whether an entry is the reference's: by full name, or by tag where it has no full name."""
        full, short = _entry_names(entry)
        if full is None:
            return short is not None and short == ref.tag
        return full.name == ref.name and full.tag == ref.tag

    def _annotations(self, ref: ImageReference, replaced: Sequence[Mapping[str, Any]]) -> dict[str, str]:  # noqa: ARG002 - of a subclass
        """The names of a tag's entry, which takes the place of ``replaced``."""
        return {_FULL_NAME: str(ref.repository_only.with_tag(ref.tag or "")), _REF_NAME: ref.tag or ""}

    def _missing(self, ref: ImageReference) -> RegistryError:
        if not self.path.is_dir():
            return RegistryError(self._name(ref), "there is no such folder", 404)
        return RegistryError(self._name(ref), "it is not there", 404, remedy=f"there are {self._tag_list()}")

    def _ambiguous(self, name: str, count: int) -> RegistryError:
        what = "there is no such entry" if count == 0 else f"there are {count} entries"
        return RegistryError(name, what, 404 if count == 0 else None, remedy=f"name one of {self._tag_list()}")

    def _tag_list(self) -> str:
        names = [str(full) if (full := _entry_names(entry)[0]) is not None else _tag_of(entry) for entry in self._entries()]
        return ", ".join(sorted({name for name in names if name})) or "no tags"

    def _find(self, ref: ImageReference) -> tuple[Digest, str] | None:
        """Digest of what a reference names, and its type as far as ``index.json`` says it."""
        entries = self._entries()
        if ref.digest is not None:
            types = (entry.get("mediaType") for entry in entries if entry.get("digest") == ref.digest)
            found = next((text for text in types if isinstance(text, str)), "")
            return (ref.digest, found) if self._folder.size(ref.digest) is not None else None
        named = [entry for entry in entries if self._names(entry, ref)] if ref.tag is not None else entries
        if ref.tag is None and len({entry.get("digest") for entry in named}) > 1:
            raise self._ambiguous(self._name(ref), len(named))
        if not named:
            return None
        by_full_name = [entry for entry in named if _entry_names(entry)[0] is not None]
        try:
            descriptor = Descriptor.from_json((by_full_name or named)[-1])
        except DocumentError as error:
            raise RegistryError(self._name(ref), f"index.json cannot be read: {error}") from error
        return descriptor.digest, descriptor.media_type

    def _entries(self) -> list[dict[str, Any]]:
        return list(self._folder.document()["manifests"])


def _entry_names(entry: Mapping[str, Any]) -> tuple[ImageReference | None, str | None]:
    """Full reference and tag of an entry, as far as its annotations say them.

    BuildKit and containerd write both, regctl and crane the tag; skopeo writes a full reference where the tag belongs.
    """
    annotations = entry.get("annotations")
    if not isinstance(annotations, dict):
        return None, None
    full, short = annotations.get(_FULL_NAME), annotations.get(_REF_NAME)
    short = short if isinstance(short, str) else None
    if not isinstance(full, str):
        full = short if short is not None and ("/" in short or ":" in short) else None
    if full is None:
        return None, short
    try:
        reference = ImageReference.parse(full)
    except ReferenceSyntaxError:
        return None, short
    return (reference if reference.tag is not None or short is None else reference.with_tag(short)), short


def _tag_of(entry: Mapping[str, Any]) -> str | None:
    full, short = _entry_names(entry)
    return short if full is None else full.tag


class LayoutByTag(OciLayout):
    """A layout whose entries are found by their tag alone, whatever full name they carry: what ``oci:PATH:TAG`` means.

    Of a reference only tag and digest count (:func:`~archkit.model.layout_name.layout_reference` makes one). A tag that is
    written keeps the names that its entry has; a new one gets the tag alone, as regctl, crane and skopeo write it.

    Raises:
        RegistryError: From every method that is given a tag: the layout has different images under it.
    """

    def _name(self, ref: ImageReference) -> str:
        return layout_name(self.path, ref.tag, ref.digest)

    def _names(self, entry: Mapping[str, Any], ref: ImageReference) -> bool:
        return ref.tag is not None and _tag_of(entry) == ref.tag

    def _annotations(self, ref: ImageReference, replaced: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        self._check_one(ref, replaced)
        kept = {name: replaced[0]["annotations"].get(name) for name in (_FULL_NAME, _REF_NAME)} if replaced else {_REF_NAME: ref.tag}
        return {name: text for name, text in kept.items() if isinstance(text, str)}

    def _find(self, ref: ImageReference) -> tuple[Digest, str] | None:
        self._check_one(ref, [entry for entry in self._entries() if ref.digest is None and self._names(entry, ref)])
        return super()._find(ref)

    def _check_one(self, ref: ImageReference, entries: Sequence[Mapping[str, Any]]) -> None:
        if len({entry.get("digest") for entry in entries}) > 1:
            names = ", ".join(sorted(str(_entry_names(entry)[0] or ref.tag) for entry in entries))
            raise RegistryError(self._name(ref), f"{len(entries)} different images have this tag: {names}", remedy="name a digest")


if TYPE_CHECKING:
    _conforms: type[ImageStore] = OciLayout
    _knows_sizes: type[KnowsSizes] = OciLayout
    _in_folder: type[InFolder] = OciLayout

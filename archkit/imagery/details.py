"""What an image or index is, as values that a person or a program can read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from archkit.model.frozen import FrozenMap
from archkit.model.oci import ATTESTATION, ATTESTED, Descriptor, ImageConfig
from archkit.model.platform_set import PlatformSet
from archkit.model.reference import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archkit.model.platform import Platform


@attrs.frozen
class ImageEntry:
    """One entry of an index."""

    descriptor: Descriptor
    """As it stands in the index."""
    image: ImageDetails | None = None
    """What it leads to, where that was asked for and is there."""

    @property
    def platform(self) -> Platform | None:
        """The platform that the index says; None for an attestation, and where it says none."""
        return self.descriptor.platform if self.descriptor.is_image else None

    @property
    def attests(self) -> Digest | None:
        """The image of the same index that an attestation is about; None for every other entry."""
        about = self.descriptor.annotations.get(ATTESTED) if ATTESTATION in self.descriptor.annotations else None
        try:
            return None if about is None else Digest(about)
        except ValueError:
            return None

    @property
    def kind(self) -> str:
        """``image``, ``index``, ``attestation`` or ``artifact``."""
        if ATTESTATION in self.descriptor.annotations:
            return "attestation"
        if not self.descriptor.is_image:
            return "artifact"
        return "index" if self.descriptor.is_index else "image"


@attrs.frozen
class ImageDetails:
    """What stands under a reference.

    ``str()`` is a short text for people, :meth:`to_json` the same for programs.
    """

    reference: str
    """As it was asked for."""
    descriptor: Descriptor
    """Type, digest and size of the manifest."""
    content: bytes = attrs.field(repr=False)
    """The manifest, exact bytes."""
    entries: tuple[ImageEntry, ...] = ()
    """Of an index, in its order; an image has none."""
    layers: tuple[Descriptor, ...] = ()
    """Of an image, lowest first; an index has none."""
    config: ImageConfig | None = None
    """Of an image; None for an index, and for something else than an image."""
    config_size: int = 0
    """Bytes of the configuration."""
    annotations: FrozenMap[str, str] = attrs.field(kw_only=True)
    """Of the manifest."""
    artifact_type: str | None = attrs.field(default=None, kw_only=True)
    subject: Descriptor | None = attrs.field(default=None, kw_only=True)
    """The manifest that this one says something about."""

    @property
    def media_type(self) -> str:
        """Of the manifest."""
        return self.descriptor.media_type

    @property
    def digest(self) -> Digest:
        """Of the manifest."""
        return self.descriptor.digest

    @property
    def size(self) -> int:
        """Bytes of the manifest."""
        return self.descriptor.size

    @property
    def is_index(self) -> bool:
        """Whether it is an index or a manifest list."""
        return self.descriptor.is_index

    @property
    def platform(self) -> Platform | None:
        """What an image's configuration says; None for an index, and for something else than an image."""
        return None if self.config is None else self.config.platform

    @property
    def platforms(self) -> PlatformSet:
        """The platforms of an index's entries, or the one of an image."""
        if self.platform is not None:
            return PlatformSet([self.platform])
        return PlatformSet(entry.platform for entry in self.entries if entry.platform is not None)

    @property
    def attestations(self) -> tuple[ImageEntry, ...]:
        """The entries that say something of an image of this index."""
        return tuple(entry for entry in self.entries if entry.kind == "attestation")

    @property
    def stored_size(self) -> int | None:
        """Bytes that a client fetches for this image: manifest, configuration and layers. None for an index, of which it fetches a part."""
        return None if self.is_index else self.size + self.config_size + sum(layer.size for layer in self.layers)

    def to_json(self) -> str:
        """The same as a JSON object, fields named as in the OCI image specification, indented by two."""
        return json.dumps(self._fields(), indent=2)

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"reference": self.reference, **_described(self.descriptor)}
        if self.artifact_type:
            fields["artifactType"] = self.artifact_type
        if self.config is not None:
            fields["platform"] = _plain(self.config.platform_fields)
            fields["config"] = {
                "entrypoint": list(self.config.entrypoint),
                "cmd": list(self.config.cmd),
                "env": list(self.config.env),
                "workingDir": self.config.working_dir,
            }
        if self.is_index:
            fields["manifests"] = [
                {**_described(entry.descriptor), "kind": entry.kind, **({"image": entry.image._fields()} if entry.image else {})}
                for entry in self.entries
            ]
        else:
            fields["layers"] = [_described(layer) for layer in self.layers]
            fields["storedSize"] = self.stored_size
        if self.annotations:
            fields["annotations"] = dict(self.annotations)
        if self.subject is not None:
            fields["subject"] = _described(self.subject)
        return fields

    def __str__(self) -> str:
        lines = [self.reference, f"  {self.media_type}", f"  {self.digest}, {_bytes(self.size)}"]
        if self.artifact_type:
            lines.append(f"  artifact type: {self.artifact_type}")
        if self.subject is not None:
            lines.append(f"  about: {self.subject.digest}")
        lines += [f"  {name}: {value}" for name, value in self.annotations.items()]
        if self.is_index:
            names = {entry.descriptor.digest: str(entry.platform) for entry in self.entries if entry.platform is not None}
            rows = [(_label(entry, names), entry) for entry in self.entries]
            width = max((len(label) for label, _ in rows), default=0)
            lines += [f"  {label:{width}}  {entry.descriptor.digest}, {_entry_size(entry)}" for label, entry in rows]
        elif self.config is not None:
            lines.append(
                f"  {self.platform}, {len(self.layers)} layer{'' if len(self.layers) == 1 else 's'}, {_bytes(self.stored_size or 0)} in all"
            )
        return "\n".join(lines)


def _label(entry: ImageEntry, names: Mapping[Digest, str]) -> str:
    if entry.kind == "attestation":
        about = entry.attests
        return f"attestation of {names.get(about, about) if about is not None else 'nothing'}"
    return str(entry.platform) if entry.platform is not None else entry.kind


def _entry_size(entry: ImageEntry) -> str:
    stored = None if entry.image is None else entry.image.stored_size
    return _bytes(entry.descriptor.size) if stored is None else f"{_bytes(stored)} in all"


def _bytes(count: int) -> str:
    if count < 10_000:
        return f"{count} bytes"
    return f"{count / 1_000_000:.1f} MB" if count >= 1_000_000 else f"{count / 1000:.1f} kB"


def _described(descriptor: Descriptor) -> dict[str, Any]:
    fields: dict[str, Any] = {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}
    if descriptor.platform_fields is not None:
        fields["platform"] = _plain(descriptor.platform_fields)
    if descriptor.annotations:
        fields["annotations"] = dict(descriptor.annotations)
    if descriptor.artifact_type:
        fields["artifactType"] = descriptor.artifact_type
    return fields


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}

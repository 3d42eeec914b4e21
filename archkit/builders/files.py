"""FilesBuilder: an image of files, without any engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from archkit.adapters.base_image import open_base
from archkit.adapters.layer_files import Compression, LayerFile, write_layer
from archkit.adapters.source_folder import SourceEntry, SourceFolderError, read_source_folder
from archkit.errors import BuildError, CancelledError
from archkit.events import Event
from archkit.model.build import BuilderAbilities, Delivered, LayoutSink, RegistrySink
from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts
from archkit.model.oci import Descriptor, parse_config
from archkit.model.platform import ByPlatform, Platform
from archkit.model.platform_set import PlatformSet
from archkit.planning.image import Layer, Settings, compose_image
from archkit.planning.index import compose_index, encode_index
from archkit.planning.suggestions import suggestions
from archkit.planning.tool_output import base_lacks_platform
from archkit.ports.registry import ImageStore

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from archkit.adapters.base_image import BaseSource
    from archkit.model.build import BuildRequest, Sink
    from archkit.planning.image import BaseImage
    from archkit.ports.builder import Artifact, BuildContext, Builder

SCRATCH = "scratch"


def _files(
    files: ByPlatform[str | os.PathLike[str]] | None,
) -> FrozenMap[Platform, Path]:
    parsed = ((Platform.parse(key) if isinstance(key, str) else key, Path(value)) for key, value in (files or {}).items())
    return FrozenMap(parsed)


def _texts(items: str | Sequence[str]) -> tuple[str, ...]:
    return (items,) if isinstance(items, str) else tuple(items)


@attrs.frozen
class FilesBuilder:
    """Puts a folder, and files of each platform over it, into an image; needs no engine and runs nothing.

    The content goes to ``/``. Equal content gives an equal digest on every machine: modes are 0755 and 0644, time and
    owner are 0. ``.dockerignore`` is honoured; credentials and ``.git`` never go in.

    Raises:
        PlatformSyntaxError: A key of ``files`` is no platform.
    """

    base: str = attrs.field(default=SCRATCH, kw_only=True)
    """``scratch``, an image reference, or ``oci:PATH[:TAG]`` for an OCI layout; must have every platform that is built."""
    files: FrozenMap[Platform, Path] = attrs.field(default=None, converter=_files, kw_only=True)
    """For each platform a folder whose content goes to ``/`` too, over the artifact's; or one file, which goes to
    ``/NAME``. Where any are given, only their platforms are built."""
    entrypoint: tuple[str, ...] = attrs.field(default=(), converter=_texts, kw_only=True)
    env: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, kw_only=True)
    labels: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, kw_only=True)
    user: str = attrs.field(default="", kw_only=True)
    exclude: tuple[str, ...] = attrs.field(default=(), converter=_texts, kw_only=True)
    """Patterns of a ``.dockerignore``, behind those of the folder's own."""
    native: bool = attrs.field(default=True, kw_only=True)
    """False: one platform a call, so that archkit stitches them from per-platform tags."""
    compression: Compression = attrs.field(default="none", kw_only=True)
    base_store: ImageStore | None = attrs.field(default=None, kw_only=True)
    """Where a base that is a reference is read; None: a registry client."""

    @property
    def name(self) -> str:
        """``files``."""
        return "files"

    def abilities(self, context: BuildContext) -> BuilderAbilities:  # noqa: ARG002 - the same everywhere
        """Natively multi-platform (unless ``native=False``), by digest, to registries and layouts."""
        return BuilderAbilities(
            native_multi=self.native,
            platforms=PlatformSet(self.files) if self.files else None,
            sinks=frozenset({RegistrySink, LayoutSink}),
            push_by_digest=True,
            parallel=True,
        )

    def preflight(self, artifact: Artifact, platforms: PlatformSet, context: BuildContext, sink: Sink) -> None:
        """Refuse what would make no sensible image, before anything is built.

        Raises:
            BuildError: The folder or a file is missing, neither a base nor an entrypoint is given, or the base lacks a
                platform.
            RegistryError: The base cannot be read.
        """
        self._check(artifact.image, artifact.context)
        self._bases(artifact.image, platforms, context, sink)

    def _check(self, image: str, folder: Path) -> None:
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise BuildError(image, f"the source folder {folder} {what}", "", "give the artifact's folder as `context`")
        for platform, path in self.files.items():
            if not path.exists():
                raise BuildError(image, f"{path} does not exist", str(platform), "create it before the build, or correct `files`")
        if self.base == SCRATCH and not self.entrypoint:
            found = next((one.reason for one in suggestions([path.name for path in folder.iterdir()])), "")
            remedy = "give FilesBuilder(entrypoint=…), or a base that has one" + ("; see detect_builder()" if found else "")
            reason = f"without entrypoint and base the image would only publish the folder {folder}"
            raise BuildError(image, reason + (f"; {found}" if found else ""), "", remedy)

    def build(self, request: BuildRequest, context: BuildContext) -> Delivered:
        """Build the request's platforms and push them: an index for a native build, else one image.

        Raises:
            BuildError: The folder is missing or cannot go into an image, or the base lacks a platform.
            RegistryError: The base cannot be read, or the image cannot be stored.
        """
        image = request.artifact.image
        self._check(image, request.artifact.context)
        source, bases = self._bases(image, request.platforms, context, request.sink)
        layers = _Layers(self, request, context)
        entries: list[Descriptor] = []
        for platform in request.platforms:
            if context.cancelled.is_set():
                raise CancelledError(f"building {image}")
            base = bases.get(platform)
            own = layers.of(platform)
            layers.push(own)
            if base and source:
                source.copy_layers(base, context.registry, request.repository)
            settings = Settings(self.entrypoint, self.env, self.labels, self.user)
            composed = compose_image(platform, [layer.described for layer in own], settings, base)
            context.registry.put_blob(request.repository, composed.config, digest=composed.config_digest, size=len(composed.config))
            single = len(request.platforms) == 1
            stored = context.registry.put_manifest(
                request.reference if single and request.reference else request.repository, composed.manifest
            )
            entries.append(stored.with_platform(parse_config(composed.config).platform_fields))
        if len(entries) == 1:
            return Delivered(entries[0].digest, request.platforms)
        index = encode_index(compose_index(entries, target=image))
        stored = context.registry.put_manifest(request.reference or request.repository, index)
        return Delivered(stored.digest, request.platforms)

    def _bases(
        self, image: str, platforms: PlatformSet, context: BuildContext, sink: Sink
    ) -> tuple[BaseSource | None, Mapping[Platform, BaseImage]]:
        """The base of each platform, read before anything is pushed."""
        if self.base == SCRATCH:
            return None, {}
        store = self.base_store or (context.registry if isinstance(sink, RegistrySink) else None)
        source = open_base(self.base, store)
        bases: dict[Platform, BaseImage] = {}
        for platform in platforms:
            found = source.find(platform)
            if found is None:
                raise base_lacks_platform(image, self.base, source.platforms, platform)
            bases[platform] = found
        return source, bases


@attrs.frozen
class _BuiltLayer:
    file: LayerFile
    made_by: str

    @property
    def described(self) -> Layer:
        return Layer(self.file.digest, self.file.size, self.file.diff_id, self.file.compression == "gzip", self.made_by)


class _Layers:
    """The layer that all platforms share, made once, and the layer of each platform."""

    def __init__(self, builder: FilesBuilder, request: BuildRequest, context: BuildContext) -> None:
        self._builder, self._request, self._context = builder, request, context
        self._count = 0
        self._pushed: set[str] = set()
        artifact = request.artifact
        self._shared = self._layer(artifact.context, "the source folder", builder.exclude, tuple(builder.files.values()))

    def of(self, platform: Platform) -> list[_BuiltLayer]:
        own = None
        path = self._builder.files.get(platform)
        if path is not None and path.is_dir():
            own = self._layer(path, f"files of {platform}", self._builder.exclude, ())
        elif path is not None:
            executable = bool(path.stat().st_mode & 0o100)
            own = self._write([SourceEntry(path.name, "file", path, executable)], f"files of {platform}")
        return [layer for layer in (self._shared, own) if layer is not None]

    def push(self, layers: Sequence[_BuiltLayer]) -> None:
        """Store the layers that this build has not stored yet."""
        for file in (layer.file for layer in layers if layer.file.digest not in self._pushed):
            self._context.registry.put_blob(self._request.repository, file.chunks(), digest=file.digest, size=file.size)
            self._pushed.add(file.digest)

    def _layer(self, folder: Path, made_of: str, exclude: Sequence[str], apart: Sequence[Path]) -> _BuiltLayer | None:
        image = self._request.artifact.image
        try:
            source = read_source_folder(folder, exclude=exclude, apart=apart)
        except SourceFolderError as error:
            raise BuildError(image, str(error)) from error
        for path, reason in source.left_out:
            self._context.emit(Event("build", "progress", image, None, f"left out {folder / path}: {reason}"))
        return self._write(source.entries, made_of) if source.entries else None

    def _write(self, entries: Sequence[SourceEntry], made_of: str) -> _BuiltLayer:
        self._count += 1
        path = self._context.workdir / f"layer-{self._count}.tar"
        try:
            return _BuiltLayer(write_layer(entries, path, self._builder.compression), f"archkit FilesBuilder: {made_of}")
        except OSError as error:
            reason = f"cannot read {error.filename or made_of}: {error.strerror or error}"
            raise BuildError(self._request.artifact.image, reason) from error


if TYPE_CHECKING:
    _conforms: type[Builder] = FilesBuilder

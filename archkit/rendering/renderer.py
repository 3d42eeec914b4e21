"""AffinityRenderer: the front of rendering."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs

from archkit.adapters import yaml
from archkit.adapters.files import read_text, write_all
from archkit.errors import TargetsError
from archkit.model.build import BuildResult
from archkit.model.finding import Finding
from archkit.model.frozen import FrozenMap
from archkit.model.platform import Platform
from archkit.planning.images import ImageBook
from archkit.planning.kinds import KindRule, KindTable
from archkit.planning.pods import Wishes
from archkit.rendering.objects import render_object
from archkit.rendering.results import RenderedObjects, Rendering
from archkit.rendering.text import collector_paused, render_chunk
from archkit.rendering.work import Report, Seen, Tools

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from archkit.model.build import BuiltImage
    from archkit.model.cluster import Cluster
    from archkit.model.platform_set import PlatformSet
    from archkit.ports.registry import PlatformLookup

_MODES = ("mixed", "always", "never")
_SHAPES = ("per-platform", "compact")
_WEIGHTS = range(1, 101)


class AffinityRenderer:
    """Writes manifests so that every pod can only land where its images run.

    Args:
        builds: Images that manifests name without their registry, tag or digest: each is pinned to what was built.
        platforms: Platforms of other images: a mapping from references (one without a tag covers every tag), or
            somebody to ask, such as a ``RegistryClient``. Without one nothing is asked of any network.
        cluster: The cluster that the manifests are for.
        affinity: ``mixed`` writes node affinity where ``cluster`` may hold several platforms, ``always`` everywhere,
            ``never`` nowhere.
        terms: ``per-platform`` writes one node selector term per platform, ``compact`` one per operating system.
        prefer: Weights from 1 to 100 of platforms to prefer among those that a pod can use.
        tolerate_arch_taints: Whether pods tolerate taints of ``cluster`` that keep them off a CPU their images run on.
        match_windows_build: Whether Windows images are kept on nodes of their own build.
        repin: Whether a digest that stands in a manifest is replaced too.
        strict: Whether an image of unknown platforms is an error instead of a warning.
        kinds: More kinds that hold pods; they win over the built-in ones.
        limits: How much of a manifest is read.

    Raises:
        ReferenceSyntaxError: A key of ``platforms`` or the name of a build is no image reference.
        PlatformSyntaxError: A value of ``platforms`` or a key of ``prefer`` is no platform.
        TargetsError: ``affinity``, ``terms`` or a weight is none of the allowed ones.
    """

    def __init__(
        self,
        *,
        builds: BuildResult | Iterable[BuiltImage] = (),
        platforms: Mapping[str, PlatformSet | str | Iterable[str]] | PlatformLookup | None = None,
        cluster: Cluster | None = None,
        affinity: Literal["mixed", "always", "never"] = "mixed",
        terms: Literal["per-platform", "compact"] = "per-platform",
        prefer: Mapping[Platform | str, int] | Mapping[Platform, int] | Mapping[str, int] = FrozenMap[Platform | str, int](),
        tolerate_arch_taints: bool = True,
        match_windows_build: bool = False,
        repin: bool = False,
        strict: bool = False,
        kinds: Iterable[KindRule] = (),
        limits: yaml.ManifestLimits | None = None,
    ) -> None:
        for name, value, values in (("affinity", affinity, _MODES), ("terms", terms, _SHAPES)):
            if value not in values:
                raise TargetsError(f"{name} is {value!r}", str(value), ", ".join(values), f"use one of {', '.join(values)}")
        weights = {Platform.parse(key) if isinstance(key, str) else key: weight for key, weight in prefer.items()}
        for platform, weight in weights.items():
            if weight not in _WEIGHTS:
                raise TargetsError(f"the weight of {platform} is {weight!r}", str(weight), "1 to 100", "use a whole number from 1 to 100")
        mapping: Mapping[str, PlatformSet | str | Iterable[str]] = platforms if isinstance(platforms, Mapping) else {}
        lookup = None if platforms is None or isinstance(platforms, Mapping) else platforms.platforms
        images = builds.images if isinstance(builds, BuildResult) else tuple(builds)
        wishes = Wishes(affinity, terms, cluster, weights, tolerate_arch_taints, match_windows_build, strict)
        self._tools = Tools(ImageBook(images, mapping, lookup, repin=repin), wishes, KindTable(kinds), limits or yaml.ManifestLimits())

    def render(self, text: str, *, name: str = "<text>") -> Rendering:
        """One manifest, of any number of documents.

        Args:
            text: YAML or JSON.
            name: What messages call it.

        Raises:
            ManifestSyntaxError: A document that may hold pods is not YAML; with line and column.
            ManifestTooLarge: Beyond a limit.
        """
        seen = Seen()
        rendering = self._render(text, name, seen)
        return attrs.evolve(rendering, findings=(*rendering.findings, *self._unused(seen)))

    def render_files(self, paths: Iterable[str | os.PathLike[str]], *, write: bool = False) -> dict[Path, Rendering]:
        """Several files: all of them or, when one cannot be read, none.

        Args:
            paths: Files in UTF-8.
            write: Whether to replace the files that changed. Each is replaced at once, so that no reader ever sees
                half of one; when one cannot be written, those before it are put back.

        Returns:
            A rendering per path, in the order given; a build that no file names is found in the last.

        Raises:
            ManifestSyntaxError: A file cannot be read or is not YAML.
            ManifestTooLarge: Beyond a limit.
            OSError: A file cannot be written; none has changed.
        """
        seen = Seen()
        texts = {path: read_text(path, self._tools.limits.characters) for path in map(Path, paths)}
        rendered = {path: self._render(text, str(path), seen) for path, text in texts.items()}
        if rendered:
            last = next(reversed(rendered))
            rendered[last] = attrs.evolve(rendered[last], findings=(*rendered[last].findings, *self._unused(seen)))
        if write:
            write_all({path: rendering.text for path, rendering in rendered.items() if rendering.text != texts[path]})
        return rendered

    def render_stream(self, lines: Iterable[str], *, name: str = "<stream>") -> Iterator[Rendering]:
        """A manifest of any length, one document at a time in flat memory.

        Args:
            lines: The text in pieces, such as an open file; its line ends count, so open files with ``newline=""``.
            name: What messages call it.

        Yields:
            A rendering per document, as soon as the next one begins; their texts joined are the manifest. A build
            that no document names is found in the last.

        Raises:
            ManifestSyntaxError: A document that may hold pods is not YAML; what was yielded before is right.
            ManifestTooLarge: A document is beyond a limit; the limits of the whole text do not apply.
        """
        seen = Seen()
        held: Rendering | None = None
        for chunk in yaml.split_stream(lines, name, self._tools.limits):
            if held is not None:
                yield held
            report = Report(name)
            with collector_paused():
                held = Rendering(render_chunk(chunk, self._tools, seen, report), report.changes, report.findings, report.pods)
        if held is None:
            held = Rendering("")
        yield attrs.evolve(held, findings=(*held.findings, *self._unused(seen)))

    def render_objects(self, objects: Iterable[object], *, name: str = "<objects>") -> RenderedObjects:
        """Manifests as mappings, such as ``json`` or ruamel.yaml load them; comments of the latter survive.

        Args:
            objects: One per document; None (an empty document) stays. They are not changed.
            name: What messages call them.

        Raises:
            ManifestSyntaxError: One is neither a mapping nor None.
            ManifestTooLarge: Beyond a limit.
        """
        seen, report = Seen(), Report(name)
        done = tuple(render_object(item, number, self._tools, seen, report) for number, item in enumerate(objects))
        return RenderedObjects(done, report.changes, [*report.findings, *self._unused(seen)], report.pods)

    def _render(self, text: str, name: str, seen: Seen) -> Rendering:
        report = Report(name)
        with collector_paused():
            parts = [render_chunk(chunk, self._tools, seen, report) for chunk in yaml.split(text, name, self._tools.limits)]
        return Rendering("".join(parts), report.changes, report.findings, report.pods)

    def _unused(self, seen: Seen) -> list[Finding]:
        return [
            Finding.of(
                "built-image-unused", f"no manifest names the built image {image.name}", "", "check the image names in the manifests"
            )
            for image in self._tools.book.builds
            if image.name not in seen.builds
        ]

"""AffinityRenderer: manifests in which every pod can only land where its images run.

Pins built images, writes node affinity, narrows what is there, reports what contradicts. The text is edited, not
rewritten: what no edit touches is the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from archkit.adapters import yaml
from archkit.adapters.files import read_text, write_all
from archkit.errors import FindingsError, ManifestTooLarge, TargetsError
from archkit.model.build import BuildResult
from archkit.model.finding import Finding, Severity, worst_first
from archkit.model.frozen import FrozenMap
from archkit.model.platform import Platform
from archkit.planning.edits import Edit, Replace, described, path_text
from archkit.planning.images import ImageBook
from archkit.planning.kinds import FoundPod, KindRule, KindTable, TooManyPods, placement_rules
from archkit.planning.placement import PodPlacement as PodPlacement  # noqa: PLC0414 - its public home
from archkit.planning.pods import Decision, Wishes, decide

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from archkit.model.build import BuiltImage
    from archkit.model.cluster import Cluster
    from archkit.model.platform_set import PlatformSet
    from archkit.planning.affinity import Note
    from archkit.ports.registry import PlatformLookup

KnownPlatforms: TypeAlias = "Mapping[str, PlatformSet | str | Iterable[str]]"
"""Image references, normalised on the way in, and the platforms of each; one without tag covers every tag."""

_MODES = ("mixed", "always", "never")
_SHAPES = ("per-platform", "compact")
_WEIGHTS = range(1, 101)


@attrs.frozen
class Change:
    """One change of a manifest."""

    where: str
    """``file:line kind/namespace/name path``."""
    path: str
    """Of the value that changed, from the document's root."""
    before: str
    """As it stood; empty where there was nothing."""
    after: str
    """As it stands now; structure as JSON."""


@attrs.frozen
class Rendering:
    """A manifest after rendering."""

    text: str
    changes: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()
    pods: tuple[PodPlacement, ...] = ()
    """One per pod or pod template, in the order of the text."""

    def raise_for_findings(self, at_least: Severity = "error") -> None:
        """Do nothing, unless there are findings of this severity or worse.

        Raises:
            FindingsError: With those findings, errors first.
        """
        serious = [finding for finding in self.findings if finding.at_least(at_least)]
        if serious:
            raise FindingsError(worst_first(serious))


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
        prefer: Mapping[Platform | str, int] = FrozenMap[Platform | str, int](),
        tolerate_arch_taints: bool = True,
        match_windows_build: bool = False,
        repin: bool = False,
        strict: bool = False,
        kinds: Iterable[KindRule] = (),
        limits: yaml.ManifestLimits = yaml.ManifestLimits(),  # noqa: B008 - frozen
    ) -> None:
        for name, value, values in (("affinity", affinity, _MODES), ("terms", terms, _SHAPES)):
            if value not in values:
                raise TargetsError(f"{name} is {value!r}", str(value), ", ".join(values), f"use one of {', '.join(values)}")
        weights = {_platform(platform): weight for platform, weight in prefer.items()}
        for platform, weight in weights.items():
            if weight not in _WEIGHTS:
                raise TargetsError(f"the weight of {platform} is {weight!r}", str(weight), "1 to 100", "use a whole number from 1 to 100")
        mapping: Mapping[str, PlatformSet | str | Iterable[str]] = platforms if isinstance(platforms, Mapping) else {}
        lookup = None if platforms is None or isinstance(platforms, Mapping) else platforms.platforms
        images = builds.images if isinstance(builds, BuildResult) else tuple(builds)
        wishes = Wishes(affinity, terms, cluster, weights, tolerate_arch_taints, match_windows_build, strict)
        self._tools = _Tools(ImageBook(images, mapping, lookup, repin=repin), wishes, KindTable(kinds), limits)

    def render(self, text: str, *, name: str = "<text>") -> Rendering:
        """One manifest, of any number of documents.

        Args:
            text: YAML or JSON.
            name: What messages call it.

        Raises:
            ManifestSyntaxError: A document that may hold pods is not YAML; with line and column.
            ManifestTooLarge: Beyond a limit.
        """
        used: set[str] = set()
        return self._finished(self._render(text, name, used), used)

    def render_files(self, paths: Iterable[str | os.PathLike[str]], *, write: bool = False) -> dict[Path, Rendering]:
        """Several files: all of them or, when one cannot be read, none.

        Args:
            paths: Files in UTF-8.
            write: Whether to replace the files that changed. Each is replaced at once, so that no reader ever sees
                half of one; when one cannot be written, those before it are put back.

        Raises:
            ManifestSyntaxError: A file cannot be read or is not YAML.
            ManifestTooLarge: Beyond a limit.
            OSError: A file cannot be written; none has changed.
        """
        used: set[str] = set()
        texts = {Path(path): read_text(Path(path), self._tools.limits.characters) for path in paths}
        rendered = {path: self._render(text, str(path), used) for path, text in texts.items()}
        if rendered:  # a build that no file names is said once, with the last
            last = next(reversed(rendered))
            rendered[last] = self._finished(rendered[last], used)
        if write:
            write_all({path: rendering.text for path, rendering in rendered.items() if rendering.text != texts[path]})
        return rendered

    def _render(self, text: str, name: str, used: set[str]) -> Rendering:
        session = _Session(self._tools, name, used)
        return session.rendering([session.document(chunk) for chunk in yaml.split(text, name, self._tools.limits)])

    def _finished(self, rendering: Rendering, used: set[str]) -> Rendering:
        unused = [
            Finding("built-image-unused", f"no manifest names the built image {image.name}", "", "check the image names in the manifests")
            for image in self._tools.book.builds
            if image.name not in used
        ]
        return attrs.evolve(rendering, findings=(*rendering.findings, *unused)) if unused else rendering


def _platform(value: Platform | str) -> Platform:
    return Platform.parse(value) if isinstance(value, str) else value


@attrs.frozen
class _Tools:
    """What a renderer works with, the same for every text."""

    book: ImageBook
    wishes: Wishes
    kinds: KindTable
    limits: yaml.ManifestLimits


class _Session:
    """The work on one text."""

    def __init__(self, tools: _Tools, name: str, used: set[str]) -> None:
        self._tools = tools
        self._name = name
        self._used = used
        self._changes: list[Change] = []
        self._findings: list[Finding] = []
        self._pods: list[PodPlacement] = []

    def rendering(self, parts: Iterable[str]) -> Rendering:
        """What came of the documents so far."""
        if self._tools.wishes.undecided and self._pods:
            message = "affinity='mixed' and no cluster: no node affinity was written"
            hint = "pass cluster=, or affinity='always' or 'never'"
            self._findings.append(Finding("cluster-unknown", message, self._name, hint))
        return Rendering("".join(parts), tuple(self._changes), tuple(self._findings), tuple(self._pods))

    def document(self, chunk: yaml.Chunk) -> str:
        """The text of one document, rendered."""
        if not any(word in chunk.text for word in self._tools.kinds.words) and "\\" not in chunk.text:
            return chunk.text  # a backslash could spell such a word in an escape
        try:
            tree = yaml.read(chunk, self._name, self._tools.limits, self._tools.kinds.wanted)
            if tree is None:
                return chunk.text
            found = list(self._tools.kinds.pods(0, tree))
            decided = [(pod, self._decide(pod, tree)) for pod in found]
        except yaml.Templated as error:
            hint = "render the template first"
            self._findings.append(Finding("templated-document", f"left as it is: {error.reason}", f"{self._name}:{error.line}", hint))
            return chunk.text
        except (TooManyPods, yaml.Oversized) as error:
            raise ManifestTooLarge(self._name, "aliases inside aliases lead to too many values", chunk.line) from error
        text = self._edited(chunk, tree, decided)
        return chunk.text[: len(chunk.text) - len(tree.source)] + text

    def _decide(self, pod: FoundPod[int], tree: yaml.Tree) -> Decision:
        images = [(place, self._tools.book.look_up(place.image)) for place in pod.images]
        self._used.update(known.built.name for _, known in images if known.built is not None)
        rules = placement_rules(pod, tree)
        return decide(pod, images, rules, self._tools.wishes)

    def _edited(self, chunk: yaml.Chunk, tree: yaml.Tree, decided: Sequence[tuple[FoundPod[int], Decision]]) -> str:
        barred: dict[int, Finding] = {}
        for number, (pod, decision) in enumerate(decided):
            if (key := _repeated_key(tree, pod)) is not None:
                message = f"the key {key!r} stands there twice: which one counts is not certain, so this pod was left as it was"
                barred[number] = Finding("duplicate-key", message, self._where(tree, pod, pod.path), "remove one of them")
                decided = [*decided[:number], (pod, attrs.evolve(decision, edits=())), *decided[number + 1 :]]
        groups = [decision.edits for _, decision in decided]
        text, refused = tree.source, frozenset[int]()
        if any(groups):
            edited = yaml.edit(tree, groups, f"{self._name}:{chunk.line}", self._tools.limits)
            text, refused = edited.text, edited.refused
        for number, (pod, decision) in enumerate(decided):
            where = self._where(tree, pod, pod.path)
            if number in barred:
                self._findings.append(barred[number])
            if number in refused:
                message = "an alias shares what had to change with something that must stay, so this pod was left as it was"
                self._findings.append(Finding("shared-by-alias", message, where, "write out what the alias stands for"))
            self._findings += [_finding(note, self._where(tree, pod, path)) for path, note in decision.notes]
            made = () if number in refused else decision.edits
            self._changes += [_change(item, tree, self._where(tree, pod, item.target)) for item in made]
            self._pods.append(_placement(where, pod, decision, made))
        return text

    def _where(self, tree: yaml.Tree, pod: FoundPod[int], path: Sequence[str | int]) -> str:
        line = tree.line_of(tree.mark(tree.locate(path)[0]))
        return f"{self._name}:{line} {pod.object_name} {path_text(tuple(path))}"


def _repeated_key(tree: yaml.Tree, pod: FoundPod[int]) -> str | None:
    """A key that stands twice in a mapping on the way to a pod, or in what was read of the pod."""
    if not tree.repeated:
        return None
    trail = {tree.resolve(node) for node in tree.trail(pod.path)}
    first, last = tree.resolve(pod.node), tree.end(tree.resolve(pod.node))
    return next((key for node, key in tree.repeated.items() if node in trail or first <= node <= last), None)


def _finding(note: Note, where: str) -> Finding:
    if note.severity is None:
        return Finding(note.code, note.message, where, note.hint)
    return Finding(note.code, note.message, where, note.hint, note.severity)


def _change(edit: Edit, tree: yaml.Tree, where: str) -> Change:
    path, before, after = described(edit)
    if isinstance(edit, Replace):
        before = tree.text(tree.locate(edit.at)[0]) or ""
    return Change(where, path_text(path), before, after)


def _placement(where: str, pod: FoundPod[int], decision: Decision, made: Iterable[Edit]) -> PodPlacement:
    pinned = {edit.at: edit.value for edit in made if isinstance(edit, Replace)}
    images = tuple(pinned.get(place.path, place.image) for place in pod.images)
    if decision.places is None:
        return PodPlacement(where, images, decision.platforms)
    places = decision.places
    return PodPlacement(where, images, decision.platforms, places.nodes, places.pools, places.excluded)

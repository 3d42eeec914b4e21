"""The work on one manifest, whatever its form: decide on each pod, keep what is to be said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import attrs

from archkit.adapters.yaml import ManifestLimits
from archkit.model.finding import Finding
from archkit.planning.edits import Replace
from archkit.planning.images import ImageBook
from archkit.planning.kinds import FoundPod, KindTable, Reader, placement_rules
from archkit.planning.placement import PodPlacement
from archkit.planning.pods import Decision, Wishes, decide, left_alone
from archkit.rendering.results import Change, change, finding, placement

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from archkit.planning.edits import Edit, Path

N = TypeVar("N")


@attrs.frozen
class Tools:
    """What a renderer works with, the same for every manifest."""

    book: ImageBook
    wishes: Wishes
    kinds: KindTable
    limits: ManifestLimits
    decided: dict[object, tuple[Decision, frozenset[str]]] = attrs.field(factory=dict[object, tuple[Decision, frozenset[str]]], eq=False)
    """What was decided for pods without placement rules of their own, with the names of their built images."""


@attrs.define
class Seen:
    """What was met so far in everything that is rendered together."""

    builds: set[str] = attrs.field(factory=set[str])
    """Names of the built images that a manifest named."""
    undecided: bool = False
    """Whether it was said already that the cluster is not known."""


@attrs.define
class Report:
    """Changes, findings and pods of one manifest, in order."""

    name: str
    changes: list[Change] = attrs.field(factory=list[Change])
    findings: list[Finding] = attrs.field(factory=list[Finding])
    pods: list[PodPlacement] = attrs.field(factory=list[PodPlacement])


class Form(Protocol[N]):
    """One document in some form."""

    @property
    def reader(self) -> Reader[N]:
        """Its ways from value to value."""
        ...

    def where(self, pod: FoundPod[N], path: Path) -> str:
        """``file:line kind/namespace/name path`` of something in a pod."""
        ...

    def repeated_key(self, pod: FoundPod[N]) -> str | None:
        """A key that stands twice where it makes a pod ambiguous."""
        ...

    def before(self, path: Path) -> str:
        """The text at a path."""
        ...

    def edit(self, groups: Sequence[Sequence[Edit]]) -> Collection[int]:
        """Make each group of edits as a whole or not at all; returns those that sharing forbids."""
        ...


def render_document(form: Form[N], root: N, tools: Tools, seen: Seen, report: Report) -> None:
    """Decide on every pod of a document, make the edits, and write down what happened."""
    work: list[tuple[FoundPod[N], Decision, Finding | None]] = []
    for pod in tools.kinds.pods(root, form.reader):
        decision, built = _decided(pod, placement_rules(pod, form.reader), tools)
        seen.builds |= built
        barred = None
        if (key := form.repeated_key(pod)) is not None:
            message = f"the key {key!r} stands there twice, and readers disagree on which one counts: this pod was left as it was"
            barred = Finding.of("duplicate-key", message, form.where(pod, pod.path), "remove one of them")
            decision = left_alone(pod, decision, tools.wishes)
        work.append((pod, decision, barred))
    groups = [decision.edits for _, decision, _ in work]
    befores = {edit.at: form.before(edit.at) for group in groups for edit in group if isinstance(edit, Replace)}
    refused = form.edit(groups) if any(groups) else ()
    for number, (pod, made, barred) in enumerate(work):
        decision = made
        if barred is not None:
            report.findings.append(barred)
        if number in refused:
            decision = left_alone(pod, made, tools.wishes)
            message = "an alias shares what had to change with something that must stay: this pod was left as it was"
            where = form.where(pod, pod.path)
            report.findings.append(Finding.of("shared-by-alias", message, where, "write out what the alias stands for"))
        report.findings += [finding(note, form.where(pod, path)) for path, note in made.notes]
        report.changes += [change(edit, form.where(pod, edit.target), befores.get(edit.target, "")) for edit in decision.edits]
        report.pods.append(placement(form.where(pod, pod.path), pod, decision))
    if report.pods and tools.wishes.undecided and not seen.undecided:
        seen.undecided = True
        message = "affinity='mixed' and no cluster: no node affinity was written"
        report.findings.append(Finding.of("cluster-unknown", message, report.name, "pass cluster=, or affinity='always' or 'never'"))


_REMEMBERED = 4096


def _decided(pod: FoundPod[N], rules: Mapping[str, object], tools: Tools) -> tuple[Decision, frozenset[str]]:
    """The decision for a pod, and the names of its images that were built.

    It depends on nothing but what the key holds, so that pods with the same images in the same places share one.
    """
    key = None if rules else (pod.kind, pod.path, pod.images, pod.holder, pod.caution)
    found = None if key is None else tools.decided.get(key)
    if found is None:
        images = [(place, tools.book.look_up(place.image)) for place in pod.images]
        found = decide(pod, images, rules, tools.wishes), frozenset(known.built.name for _, known in images if known.built is not None)
        if key is not None:
            if len(tools.decided) >= _REMEMBERED:
                tools.decided.clear()
            tools.decided[key] = found
    return found

"""What a renderer gives back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from archkit.errors import FindingsError
from archkit.model.finding import Finding, Severity, worst_first
from archkit.planning.edits import described, path_text
from archkit.planning.placement import PodPlacement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archkit.planning.affinity import Note
    from archkit.planning.edits import Edit
    from archkit.planning.kinds import FoundPod
    from archkit.planning.pods import Decision


@attrs.frozen
class Change:
    """One change of a manifest."""

    where: str
    """``file:line kind/namespace/name path``."""
    path: str
    """Of the value that changed, from the document's root."""
    before: str
    """The text that stood there; empty where there was nothing, and where something was added to structure."""
    after: str
    """The text that stands there now; structure as JSON, of a list what was added to it."""


def _changes(items: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(items)


def _findings(items: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(items)


def _pods(items: Iterable[PodPlacement]) -> tuple[PodPlacement, ...]:
    return tuple(items)


def raise_for(findings: Iterable[Finding], at_least: Severity) -> None:
    """Raise ``FindingsError`` with the findings of this severity or worse, errors first, if there are any."""
    serious = [finding for finding in findings if finding.at_least(at_least)]
    if serious:
        raise FindingsError(worst_first(serious))


@attrs.frozen
class Rendering:
    """A manifest after rendering."""

    text: str
    changes: tuple[Change, ...] = attrs.field(default=(), converter=_changes)
    findings: tuple[Finding, ...] = attrs.field(default=(), converter=_findings)
    pods: tuple[PodPlacement, ...] = attrs.field(default=(), converter=_pods)
    """One per pod or pod template, in the order of the documents."""

    def raise_for_findings(self, at_least: Severity = "error") -> None:
        """Do nothing, unless there are findings of this severity or worse.

        Raises:
            FindingsError: With those findings, errors first.
        """
        raise_for(self.findings, at_least)


@attrs.frozen(eq=False)
class RenderedObjects:
    """Manifests as objects, after rendering."""

    objects: tuple[Any, ...]
    """In the order given. What changed is a copy, what did not is the caller's own object."""
    changes: tuple[Change, ...] = attrs.field(default=(), converter=_changes)
    findings: tuple[Finding, ...] = attrs.field(default=(), converter=_findings)
    pods: tuple[PodPlacement, ...] = attrs.field(default=(), converter=_pods)

    def raise_for_findings(self, at_least: Severity = "error") -> None:
        """Do nothing, unless there are findings of this severity or worse.

        Raises:
            FindingsError: With those findings, errors first.
        """
        raise_for(self.findings, at_least)


def finding(note: Note, where: str) -> Finding:
    """The finding that a note becomes once it is known where it stands."""
    if note.severity is None:
        return Finding.of(note.code, note.message, where, note.hint)
    return Finding(note.code, note.severity, where, note.message, note.hint)


def change(edit: Edit, where: str, before: str) -> Change:
    """An edit that was made, for a person."""
    path, after = described(edit)
    return Change(where, path_text(path), before, after)


def placement(where: str, pod: FoundPod[Any], decision: Decision) -> PodPlacement:
    """Where a pod can run after the edits of a decision."""
    pinned = decision.pinned
    images = tuple(pinned.get(place.path, place.image) for place in pod.images)
    if decision.places is None:
        return PodPlacement(where, images, decision.platforms)
    places = decision.places
    return PodPlacement(where, images, decision.platforms, places.nodes, places.pools, places.excluded)

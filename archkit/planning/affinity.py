"""Node affinity that keeps a pod where its images run, merged into what the user wrote.

Never removes or rewrites: existing terms are narrowed, an empty term stays dead, a contradiction becomes a note.
Shape of the terms: Skaffold's ("Managing ARM workloads": one term per platform, os before CPU), or the compact one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import attrs

from archkit.model.finding import Severity
from archkit.model.node import ARCH_LABEL, BETA_ARCH_LABEL, BETA_OS_LABEL, OS_LABEL, WINDOWS_BUILD_LABEL
from archkit.model.platform import Platform
from archkit.planning.cells import Box, Cell, Shape, boxes_of, cells_of, expressions_data, node_selector_terms
from archkit.planning.edits import Append, Data, Edit, Insert, Path, at, is_empty, put
from archkit.planning.recent import Recent
from archkit.planning.selectors import Expression, MalformedSelectorError, Term, allowed, finite_values, parse_term, parse_terms

if TYPE_CHECKING:
    from archkit.model.platform_set import PlatformSet

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

_BETA = {BETA_OS_LABEL: OS_LABEL, BETA_ARCH_LABEL: ARCH_LABEL}


@attrs.frozen
class Note:
    """A finding before it is known where it stands."""

    code: str
    message: str
    hint: str = ""
    severity: Severity | None = None
    """None: the code's own."""


@attrs.frozen
class AffinityPlan:
    """What one pod needs."""

    edits: tuple[Edit, ...] = ()
    notes: tuple[Note, ...] = ()
    cells: tuple[Cell, ...] = ()
    """Where the pod may run once the edits are made: what its images support and its own rules leave."""


_bare: Recent[tuple[tuple[Cell, ...], Data]] = Recent()


def _bare_pod(platforms: PlatformSet, shape: Shape, *, match: bool) -> tuple[tuple[Cell, ...], Data]:
    cells = cells_of(platforms, match_windows_build=match)
    return cells, _whole_affinity(cells, shape)


@lru_cache(maxsize=256)
def _whole_affinity(cells: tuple[Cell, ...], shape: Shape) -> Data:
    """The value of ``affinity`` where there is none: one object for all the pods that need the same."""
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": node_selector_terms(cells, shape)}}}


@attrs.frozen
class _Wishes:
    cells: tuple[Cell, ...]
    shape: Shape
    prefer: Mapping[tuple[str, str], int]
    images: str
    """The platforms of the pod's images, for messages."""
    base: Path
    holder: tuple[str, ...]


# ---- one term ------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Labels:
    """What a list of expressions says on the labels that tell platforms apart."""

    os: tuple[Expression, ...]
    arch: tuple[Expression, ...]
    build: tuple[Expression, ...]
    beta_os: tuple[Expression, ...]
    beta_arch: tuple[Expression, ...]

    @classmethod
    def of(cls, expressions: Iterable[Expression]) -> _Labels:
        listed = tuple(expressions)

        def on(key: str) -> tuple[Expression, ...]:
            return tuple(expression for expression in listed if expression.key == key)

        return cls(on(OS_LABEL), on(ARCH_LABEL), on(WINDOWS_BUILD_LABEL), on(BETA_OS_LABEL), on(BETA_ARCH_LABEL))

    def allow(self, cell: Cell, *, beta: bool = False) -> bool:
        """Whether a node of this platform can meet them.

        With ``beta`` the deprecated labels count too: kubelets set them to the same values.
        """
        if beta and not (allowed(self.beta_os, cell.os) and allowed(self.beta_arch, cell.arch)):
            return False
        builds = not cell.builds or any(allowed(self.build, build) for build in cell.builds)
        return builds and allowed(self.os, cell.os) and allowed(self.arch, cell.arch)

    @property
    def impossible(self) -> bool:
        """Whether no node at all meets them."""
        return any(
            finite_values(group) == ()
            for group in (self.os, self.arch, (*self.os, *_stable(self.beta_os)), (*self.arch, *_stable(self.beta_arch)))
        )

    def imply(self, cells: Iterable[Cell]) -> bool:
        """Whether every node that meets them is of one of these platforms."""
        oses, arches, builds = finite_values(self.os), finite_values(self.arch), finite_values(self.build)
        if oses is None or arches is None:
            return False
        there = {(cell.os, cell.arch): cell.builds for cell in cells}
        for pair in ((os_name, arch) for os_name in oses for arch in arches):
            wanted = there.get(pair)
            if wanted is None or (wanted and (builds is None or not set(builds) <= set(wanted))):
                return False
        return True

    def missing(self, box: Box) -> tuple[Expression, ...]:
        """The expressions of ``box`` that do not follow from these."""
        groups = {OS_LABEL: self.os, ARCH_LABEL: self.arch, WINDOWS_BUILD_LABEL: self.build}

        def follows(wanted: Expression) -> bool:
            found = finite_values(groups[wanted.key])
            return found is not None and set(found) <= set(wanted.values)

        return tuple(wanted for wanted in box.expressions() if not follows(wanted))


def _stable(expressions: Iterable[Expression]) -> tuple[Expression, ...]:
    return tuple(attrs.evolve(expression, key=_BETA[expression.key]) for expression in expressions)


def _narrowed(own: Term, labels: _Labels, path: Path, data: object, wishes: _Wishes) -> tuple[list[Edit], list[Data]]:
    """The edits that narrow one live term in place, and the terms to add where one term cannot say it."""
    kept = [cell for cell in wishes.cells if labels.allow(cell)]
    first, *others = boxes_of(kept or wishes.cells, wishes.shape)
    if not kept:
        others = []  # the term admits none of the images' platforms: one product is enough to close it
    copies: list[Data] = []
    for box in others:
        copy = dict(cast("Mapping[str, Data]", data))
        copy["matchExpressions"] = [*cast("Sequence[Data]", copy.get("matchExpressions") or ()), *expressions_data(labels.missing(box))]
        copies.append(copy)
    extra = expressions_data(labels.missing(first))
    if not extra:
        return [], copies
    if own.expressions:
        return [Append((*path, "matchExpressions"), extra)], copies
    return [put(path, data, ("matchExpressions",), extra)], copies


# ---- one pod -------------------------------------------------------------------------------------------------------


def plan_affinity(
    platforms: PlatformSet,
    data: Mapping[str, object],
    base: Path = (),
    holder: Sequence[str] = (),
    *,
    shape: Shape = "per-platform",
    prefer: Mapping[Platform, int] | None = None,
    match_windows_build: bool = False,
) -> AffinityPlan:
    """The edits that keep a pod on nodes of these platforms, and what is to say about its own rules.

    Args:
        platforms: What the pod's images have in common; not empty, not ALL.
        data: The mapping at ``base``, as far as it concerns placement.
        base: The path from the document's root to it.
        holder: From there to the mapping that has, or gets, ``affinity``.
        shape: Of terms that are written where there are none.
        prefer: Weights from 1 to 100.
        match_windows_build: Whether Windows platforms ask for their build.
    """
    if not data and not holder and not prefer:  # most pods: nothing of their own
        cells, affinity = _bare.get(platforms, (shape, match_windows_build), lambda: _bare_pod(platforms, shape, match=match_windows_build))
        return AffinityPlan((Insert(base, "affinity", affinity),), (), cells)
    found = at(data, holder)
    pod = cast("Mapping[str, object]", found) if isinstance(found, Mapping) else {}
    cells = cells_of(platforms, match_windows_build=match_windows_build)
    weights = {platform.os_arch: weight for platform, weight in (prefer or {}).items()}
    try:
        return _plan(pod, data, _Wishes(cells, shape, weights, str(platforms).replace(",", ", "), base, tuple(holder)))
    except MalformedSelectorError as error:
        message = f"the API server will reject this pod's node selector: {error}"
        return AffinityPlan(notes=(Note("unschedulable-as-written", message, "correct it; archkit leaves it alone"),))


def _plan(pod: Mapping[str, object], data: Mapping[str, object], wishes: _Wishes) -> AffinityPlan:
    selector = _selector(pod.get("nodeSelector"))
    affinity = _mapping(pod.get("affinity"), "affinity")
    node_affinity = _mapping(affinity.get("nodeAffinity"), "nodeAffinity")
    required = node_affinity.get(REQUIRED)
    terms_data = _mapping(required, REQUIRED).get("nodeSelectorTerms")
    terms = parse_terms(terms_data) if required is not None else ()
    notes = _deprecated(selector, terms)

    os_name = at(pod, ("os", "name"))
    cells = tuple(cell for cell in wishes.cells if os_name not in {"linux", "windows"} or cell.os == os_name)
    own = _Labels.of(selector)
    if (contradiction := _contradiction(cells, selector, os_name, wishes.images)) is not None:
        return AffinityPlan(notes=(*notes, contradiction))
    wishes = attrs.evolve(wishes, cells=cells)
    edits: list[Edit] = []
    kept = tuple(cell for cell in cells if own.allow(cell))
    if required is not None:
        edits, more, kept = _existing(terms, terms_data, selector, wishes)
        notes += more
    if not kept:
        return AffinityPlan(notes=tuple(notes))
    notes += _narrower(cells, [cell for cell in kept if own.allow(cell, beta=True)])
    if name := pod.get("nodeName"):
        note = Note("node-name-set", f"nodeName {name} bypasses the scheduler, so no affinity is written")
        return AffinityPlan(notes=(*notes, note), cells=kept)
    fresh = required is None and not own.imply(cells)
    edits += _additions(node_affinity, data, kept, wishes, fresh=fresh, whole=fresh and "affinity" not in pod)
    return AffinityPlan(tuple(edits), tuple(notes), kept)


def _contradiction(cells: Sequence[Cell], selector: Sequence[Expression], os_name: object, images: str) -> Note | None:
    """Why none of the images' platforms is left, as far as ``os.name`` and the nodeSelector go."""
    if not cells:
        message = f"spec.os.name is {os_name}, but the pod's images run on {images}"
        return Note("pod-os-conflict", message, "change os.name or build the images for it")
    own = _Labels.of(selector)
    if own.impossible:
        return Note("unschedulable-as-written", f"nodeSelector asks for {_said(selector)}, which no node has", "correct it")
    if not any(own.allow(cell, beta=True) for cell in cells):
        message = f"nodeSelector asks for {_said(selector)}, but the pod's images run on {images}"
        return Note("platform-conflict", message, "change the nodeSelector or build the images for that platform")
    return None


def _additions(
    node_affinity: Mapping[str, object],
    data: Mapping[str, object],
    kept: tuple[Cell, ...],
    wishes: _Wishes,
    *,
    fresh: bool,
    whole: bool,
) -> list[Edit]:
    """What is written beside the user's own rules: required terms if ``fresh``, and preferences."""
    preferred = _preferences(node_affinity.get(PREFERRED), kept, wishes.prefer)
    if whole and not preferred and not wishes.holder:
        return [Insert(wishes.base, "affinity", _whole_affinity(kept, wishes.shape))]
    added: dict[str, Data] = {REQUIRED: {"nodeSelectorTerms": node_selector_terms(kept, wishes.shape)}} if fresh else {}
    keys = (*wishes.holder, "affinity", "nodeAffinity")
    edits: list[Edit] = []
    if preferred and not is_empty(node_affinity.get(PREFERRED)):
        edits.append(Append((*wishes.base, *keys, PREFERRED), preferred))
    elif preferred:
        added[PREFERRED] = preferred
    if is_empty(node_affinity) and added:
        return [*edits, put(wishes.base, data, keys, added)]
    return [*edits, *(put(wishes.base, data, (*keys, key), value) for key, value in added.items())]


def _existing(
    terms: Sequence[Term], data: object, selector: Sequence[Expression], wishes: _Wishes
) -> tuple[list[Edit], list[Note], tuple[Cell, ...]]:
    """Edits, notes and what remains, where the pod has required terms already."""
    path: Path = (*wishes.base, *wishes.holder, "affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms")
    items = cast("Sequence[object]", data or ())
    dead = [index for index, term in enumerate(terms) if term.empty]
    notes = [
        Note("empty-node-selector-term", f"node selector term {index + 1} is empty and matches no node", "fill it or remove it")
        for index in dead
    ]
    if not terms:
        notes.append(
            Note("empty-node-selector-term", "nodeSelectorTerms is empty: the pod matches no node", "remove the required affinity")
        )
    edits: list[Edit] = []
    copies: list[Data] = []
    kept: dict[Cell, None] = {}
    conflicts: list[str] = []
    possible = False
    for index, term in enumerate(terms):
        labels = _Labels.of((*selector, *term.expressions))
        if term.empty or labels.impossible:
            continue
        possible = True
        left = [cell for cell in wishes.cells if labels.allow(cell, beta=True)]
        if not left:
            conflicts.append(
                f"node selector term {index + 1} asks for {_said(term.expressions)}, but the pod's images run on {wishes.images}"
            )
        kept.update(dict.fromkeys(left))
        if not labels.imply(wishes.cells):
            more, copied = _narrowed(term, labels, (*path, index), items[index], wishes)
            edits += more
            copies += copied
    if copies:
        edits.append(Append(path, copies))
    hint = "change the affinity or build the images for that platform"
    if kept:  # other terms still lead somewhere: the contradicting ones are closed, which is no error
        notes += [Note("platform-conflict", message, hint, "warning") for message in conflicts]
    elif possible:
        notes += [Note("platform-conflict", message, hint) for message in conflicts]
        edits = []
    elif len(dead) < len(terms):
        notes.append(Note("unschedulable-as-written", "the pod's own rules contradict each other: no node meets them", "correct them"))
    return edits, notes, tuple(cell for cell in wishes.cells if cell in kept)


def _narrower(cells: Sequence[Cell], kept: Sequence[Cell]) -> list[Note]:
    """A note when the user's rules leave out a CPU of a system that they leave in."""
    oses = {cell.os for cell in kept}
    lost = [str(cell) for cell in cells if cell.os in oses and cell not in kept]
    if not lost:
        return []
    message = f"the pod's own rules leave out {', '.join(lost)}, which its images support"
    return [Note("affinity-narrower-than-images", message, "widen the rules if that is not meant")]


def _preferences(existing: object, kept: Sequence[Cell], prefer: Mapping[tuple[str, str], int]) -> list[Data]:
    """Preferred terms for platforms that remain and that no existing preference speaks of."""
    if not prefer or len(kept) < 2:  # with one platform left there is nothing to prefer
        return []
    if not isinstance(existing, Sequence) or isinstance(existing, str):
        existing = ()
    spoken = {
        arch
        for item in existing
        for expression in parse_term(at(item, ("preference",))).expressions
        if expression.key in {ARCH_LABEL, BETA_ARCH_LABEL} and expression.operator == "In"
        for arch in expression.values
    }
    return [
        {
            "weight": prefer[cell.os, cell.arch],
            "preference": {"matchExpressions": expressions_data(Box((cell.os,), (cell.arch,)).expressions())},
        }
        for cell in kept
        if (cell.os, cell.arch) in prefer and cell.arch not in spoken
    ]


def _deprecated(selector: Iterable[Expression], terms: Iterable[Term]) -> list[Note]:
    used = {item.key for item in selector} | {item.key for term in terms for item in term.expressions}
    return [
        Note("deprecated-label", f"the label {key} is deprecated", f"use {_BETA[key]}")
        for key in (BETA_OS_LABEL, BETA_ARCH_LABEL)
        if key in used
    ]


def _selector(value: object) -> tuple[Expression, ...]:
    labels = _mapping(value, "nodeSelector")
    for key, wanted in labels.items():
        if not isinstance(wanted, str):
            raise MalformedSelectorError(f"nodeSelector {key}: the value must be a text")
    return tuple(Expression(str(key), "In", (str(wanted),)) for key, wanted in labels.items())


def _mapping(value: object, what: str) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise MalformedSelectorError(f"{what} is no mapping")
    return value


def _said(expressions: Iterable[Expression]) -> str:
    """What a selector says on platforms, for a message."""
    keys = {OS_LABEL, ARCH_LABEL, BETA_OS_LABEL, BETA_ARCH_LABEL}
    return " and ".join(str(item) for item in expressions if item.key in keys) or "nothing that tells platforms apart"


def variant_note(platforms: PlatformSet) -> Note | None:
    """A note when an image needs a CPU variant that node labels cannot say."""
    listed = tuple(platforms)
    usual = {platform.os_arch for platform in listed if platform.variant == Platform(platform.os, platform.arch).variant}
    special = [str(platform) for platform in listed if platform.os_arch not in usual]
    if not special:
        return None
    message = f"node labels do not tell CPU variants apart: {', '.join(special)} is placed by operating system and CPU alone"
    return Note("variant-not-enforceable", message, "label such nodes yourself and select the label if they are not all alike")

"""Which node a pod gets: the scheduler's filters and, as far as affinity and taints go, its scores.

Selectors and tolerations are evaluated by archkit's own planning, which tests compare with a real scheduler. Not
modelled: requests of CPU and memory, affinity between pods, topology spread, volumes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from archkit.model.node import Taint
from archkit.planning.affinity import PREFERRED, REQUIRED
from archkit.planning.placement import tolerates
from archkit.planning.selectors import MalformedSelectorError, matches, parse_term
from archkit.testing.cluster.data import at

if TYPE_CHECKING:
    from collections.abc import Iterable

UNSCHEDULABLE = Taint("node.kubernetes.io/unschedulable")
_NOT_SELECTED = "node(s) didn't match Pod's node affinity/selector"
_NOT_NAMED = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
_AFFINITY_WEIGHT, _TAINT_WEIGHT = 2, 3
"""Of the scheduler's default profile."""


@attrs.frozen
class Candidate:
    """A node as the scheduler sees it."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    unschedulable: bool

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> Candidate:
        """From the node's object."""
        metadata, spec = node["metadata"], node.get("spec") or {}
        taints = tuple(Taint(each["key"], each.get("value") or "", each["effect"]) for each in spec.get("taints") or ())
        return cls(metadata["name"], metadata.get("labels") or {}, taints, bool(spec.get("unschedulable")))


@attrs.frozen
class Choice:
    """What the scheduler decided for a pod."""

    node: str = ""
    """Empty: none."""
    message: str = ""
    """Why there is none."""


def why_not(spec: Mapping[str, Any], node: Candidate) -> str:
    """The scheduler's reason against a node, by the first of its filters that rejects it; empty: none does."""
    tolerations = spec.get("tolerations")
    if node.unschedulable and not tolerates(tolerations, UNSCHEDULABLE):
        return "node(s) were unschedulable"
    if any(taint.repels and not tolerates(tolerations, taint) for taint in node.taints):
        return "node(s) had untolerated taint(s)"
    return "" if selected(spec, node) else _NOT_SELECTED


def selected(spec: Mapping[str, Any], node: Candidate) -> bool:
    """Whether the pod's node selector and its required affinity admit the node."""
    if any(node.labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    required = at(spec, ("affinity", "nodeAffinity", REQUIRED))
    if required is None:
        return True
    return any(_matches(term, node) for term in at(required, ("nodeSelectorTerms",)) or ())


def _matches(term: object, node: Candidate) -> bool:
    try:
        return matches(parse_term(term), node.labels, node.name)
    except MalformedSelectorError:  # such as Gt with a text: it matches nothing, the other terms still count
        return False


def choose(spec: Mapping[str, Any], nodes: Sequence[Candidate], load: Mapping[str, int]) -> Choice:
    """The node for a pod.

    Args:
        spec: Of the pod.
        nodes: Of the cluster.
        load: How many pods each node has; among equals the emptiest gets the pod.
    """
    if not nodes:
        return Choice(message="no nodes available to schedule pods")
    named = _named(spec)
    reasons = {node.name: why_not(spec, node) if named is None or node.name in named else _NOT_NAMED for node in nodes}
    fitting = [node for node in nodes if not reasons[node.name]]
    if not fitting:
        return Choice(message=_told(len(nodes), reasons.values()))
    preferred = _scaled({node.name: _preference(spec, node) for node in fitting})
    disliked = {node.name: _discouraging(spec, node) for node in fitting}
    taints = {name: 100 - score for name, score in _scaled(disliked).items()}
    best = min(
        fitting,
        key=lambda node: (
            -(_AFFINITY_WEIGHT * preferred[node.name] + _TAINT_WEIGHT * taints[node.name]),
            load.get(node.name, 0),
            node.name,
        ),
    )
    return Choice(best.name)


def _named(spec: Mapping[str, Any]) -> set[str] | None:
    """The nodes that the required terms ask for by name, at which alone the scheduler looks; None where a term names none."""
    terms = at(spec, ("affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms")) or ()
    found: set[str] = set()
    for term in terms:
        fields = (term or {}).get("matchFields") or ()
        names = [{*field["values"]} for field in fields if field["key"] == "metadata.name" and field["operator"] == "In"]
        if not names:
            return None
        found |= set.intersection(*names)
    return found if terms else None


def _scaled(scores: Mapping[str, int]) -> dict[str, int]:
    most = max(scores.values(), default=0)
    return {name: score * 100 // most if most else 0 for name, score in scores.items()}


def _preference(spec: Mapping[str, Any], node: Candidate) -> int:
    wishes: Iterable[Any] = at(spec, ("affinity", "nodeAffinity", PREFERRED)) or ()
    return sum(int(wish.get("weight") or 0) for wish in wishes if _matches(wish.get("preference"), node))


def _discouraging(spec: Mapping[str, Any], node: Candidate) -> int:
    return sum(1 for taint in node.taints if taint.effect == "PreferNoSchedule" and not tolerates(spec.get("tolerations"), taint))


def _told(total: int, reasons: Iterable[str]) -> str:
    """In the scheduler's words."""
    listed = ", ".join(sorted(f"{count} {reason}" for reason, count in Counter(reasons).items()))
    no_use = f"0/{total} nodes are available: {total} Preemption is not helpful for scheduling."
    return f"0/{total} nodes are available: {listed}. no new claims to deallocate, preemption: {no_use}"

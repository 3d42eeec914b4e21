"""The kube-scheduler's filters that platforms depend on, as the Kubernetes API reference says them; written without a
look at archkit. `tests/live/test_placement_proof.py` compares them with the real scheduler.

Node affinity: eligible is a node that has every pair of ``nodeSelector`` and, where there is required node affinity,
matches at least one of its terms. In a term every expression and every field must hold; a term with neither matches
nothing. ``NotIn`` and ``DoesNotExist`` hold for a node without the label; ``Gt`` and ``Lt`` compare 64-bit whole numbers.

Taints: each of effect ``NoSchedule`` or ``NoExecute`` must be tolerated, and a cordon is a taint.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def schedules(pod: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """Whether the scheduler may bind a pod of this spec to this Node object."""
    return not repelled(pod, node) and selects(pod, node["metadata"].get("labels") or {}, node["metadata"]["name"])


def repelled(pod: Mapping[str, Any], node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The taints of a node that keep the pod off, a cordon among them."""
    spec = node.get("spec") or {}
    taints = [*(spec.get("taints") or []), *([_CORDON] if spec.get("unschedulable") else [])]
    tolerations = pod.get("tolerations") or []
    return [
        taint
        for taint in taints
        if taint["effect"] in {"NoSchedule", "NoExecute"} and not any(_tolerates(toleration, taint) for toleration in tolerations)
    ]


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    match toleration.get("operator") or "Equal":
        case "Exists":
            return True
        case "Equal":
            return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")
        case _:
            raise AssertionError(toleration)


def admits(pod: Mapping[str, Any], labels: Mapping[str, str], name: str) -> bool:
    """Whether scheduler and kubelet take a pod onto a node without taints: the kubelet also looks at ``os.name``."""
    return refuses_os(pod, labels) is False and selects(pod, labels, name)


def refuses_os(pod: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether the kubelet of a node refuses the pod for its ``os.name``, at which the scheduler does not look."""
    os_name = (pod.get("os") or {}).get("name")
    return os_name in {"linux", "windows"} and labels.get("kubernetes.io/os") != os_name


def selects(pod: Mapping[str, Any], labels: Mapping[str, str], name: str) -> bool:
    """Whether a node meets ``nodeSelector`` and the required node affinity."""
    for key, value in (pod.get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            return False
    affinity = (pod.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term(term, labels, name) for term in required.get("nodeSelectorTerms") or [])


def _term(term: Mapping[str, Any] | None, labels: Mapping[str, str], name: str) -> bool:
    term = term or {}
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(_holds(item, labels) for item in expressions) and all(_holds(item, {"metadata.name": name}) for item in fields)


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
    there = key in labels
    match operator:
        case "In":
            return there and labels[key] in values
        case "NotIn":
            return not there or labels[key] not in values
        case "Exists":
            return there
        case "DoesNotExist":
            return not there
        case "Gt" | "Lt":
            number, bound = _number(labels.get(key)), _number(values[0])
            if number is None or bound is None:
                return False
            return number > bound if operator == "Gt" else number < bound
        case _:
            raise AssertionError(operator)


def _number(text: str | None) -> int | None:
    """As Go's strconv.ParseInt reads it, in base 10 and 64 bits."""
    if text is None or not re.fullmatch(r"[+-]?[0-9]+", text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None

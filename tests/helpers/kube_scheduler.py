"""The kube-scheduler's node affinity, as the Kubernetes API reference says it; written without a look at archkit.

Eligible is a node that has every pair of ``nodeSelector`` and, where there is required node affinity, matches at least
one of its terms. In a term every expression and every field must hold; a term with neither matches nothing. ``NotIn``
and ``DoesNotExist`` hold for a node without the label; ``Gt`` and ``Lt`` compare whole numbers.
"""

from __future__ import annotations

from typing import Any


def admits(pod: dict[str, Any], labels: dict[str, str], name: str) -> bool:
    for key, value in (pod.get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            return False
    os_name = (pod.get("os") or {}).get("name")
    if os_name in {"linux", "windows"} and labels.get("kubernetes.io/os") != os_name:
        return False  # the kubelet refuses such a pod
    affinity = (pod.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term(term, labels, name) for term in required.get("nodeSelectorTerms") or [])


def _term(term: dict[str, Any] | None, labels: dict[str, str], name: str) -> bool:
    term = term or {}
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(_holds(item, labels) for item in expressions) and all(_holds(item, {"metadata.name": name}) for item in fields)


def _holds(expression: dict[str, Any], labels: dict[str, str]) -> bool:
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
            try:
                number = int(labels[key]) if there else None
            except ValueError:
                return False
            if number is None:
                return False
            return number > int(values[0]) if operator == "Gt" else number < int(values[0])
    raise AssertionError(operator)

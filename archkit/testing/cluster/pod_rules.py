"""What an API server refuses in the spec of a pod: containers, affinity, tolerations, and later changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archkit.planning.affinity import PREFERRED, REQUIRED
from archkit.testing.cluster import names
from archkit.testing.cluster.data import at
from archkit.testing.cluster.statuses import FieldError, forbidden, invalid, required, unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIELD_KEY = "metadata.name"
_UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)"
)


def pod_spec_errors(spec: Mapping[str, Any], where: str, *, gated_ok: bool = False) -> list[FieldError]:
    """What is wrong with a pod's spec that stands at ``where``."""
    found = _container_errors(spec, where)
    if spec.get("restartPolicy") not in {"Always", "OnFailure", "Never", None}:
        found.append(unsupported(f"{where}.restartPolicy", spec.get("restartPolicy"), ["Always", "OnFailure", "Never"]))
    for key, value in (spec.get("nodeSelector") or {}).items():
        found += [invalid(f"{where}.nodeSelector", key, each) for each in names.label_key(str(key))]
        found += [invalid(f"{where}.nodeSelector", value, each) for each in names.label_value(str(value))]
    found += _affinity_errors(at(spec, ("affinity", "nodeAffinity")), f"{where}.affinity.nodeAffinity")
    found += _toleration_errors(spec.get("tolerations") or (), f"{where}.tolerations")
    os_name = at(spec, ("os", "name"))
    if isinstance(spec.get("os"), Mapping):
        if not os_name:
            found.append(required(f"{where}.os.name"))
        elif os_name not in {"linux", "windows"}:
            found.append(unsupported(f"{where}.os", os_name, ["linux", "windows"]))
    if gated_ok and spec.get("schedulingGates") and spec.get("nodeName"):
        found.append(forbidden(f"{where}.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return found


def _container_errors(spec: Mapping[str, Any], where: str) -> list[FieldError]:
    found: list[FieldError] = []
    containers = spec.get("containers") or []
    if not containers:
        found.append(required(f"{where}.containers"))
    seen: set[str] = set()
    for part, listed in (("containers", containers), ("initContainers", spec.get("initContainers") or [])):
        for number, container in enumerate(listed):
            place, name = f"{where}.{part}[{number}]", str(container.get("name") or "")
            if not name:
                found.append(required(f"{place}.name"))
            else:
                found += [invalid(f"{place}.name", name, each) for each in names.label(name)]
                if name in seen:
                    found.append(FieldError(f"{place}.name", "Duplicate value", value=name))
                seen.add(name)
            if not container.get("image"):
                found.append(required(f"{place}.image"))
    return found


def _affinity_errors(affinity: object, where: str) -> list[FieldError]:
    if not isinstance(affinity, Mapping):
        return []
    found: list[FieldError] = []
    needed = affinity.get(REQUIRED)
    if isinstance(needed, Mapping):
        place, terms = f"{where}.{REQUIRED}.nodeSelectorTerms", needed.get("nodeSelectorTerms") or []
        if not terms:
            found.append(required(place, "must have at least one node selector term"))
        for number, term in enumerate(terms):
            found += _term_errors(term or {}, f"{place}[{number}]", strict=True)
    for number, wish in enumerate(affinity.get(PREFERRED) or []):
        place, weight = f"{where}.{PREFERRED}[{number}]", wish.get("weight", 0)
        if not 1 <= weight <= 100:
            found.append(invalid(f"{place}.weight", weight, "must be in the range 1-100"))
        found += _term_errors(wish.get("preference") or {}, f"{place}.preference", strict=False)
    return found


def _term_errors(term: Mapping[str, Any], where: str, *, strict: bool) -> list[FieldError]:
    found: list[FieldError] = []
    for number, expression in enumerate(term.get("matchExpressions") or []):
        found += _expression_errors(expression, f"{where}.matchExpressions[{number}]", strict=strict)
    for number, expression in enumerate(term.get("matchFields") or []):
        found += _field_expression_errors(expression, f"{where}.matchFields[{number}]")
    return found


def _expression_errors(expression: Mapping[str, Any], where: str, *, strict: bool) -> list[FieldError]:
    operator, values = expression.get("operator", ""), expression.get("values") or []
    found: list[FieldError] = []
    if operator in {"In", "NotIn"}:
        found += [] if values else [required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")]
    elif operator in {"Exists", "DoesNotExist"}:
        found += [forbidden(f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")] if values else []
    elif operator in {"Gt", "Lt"}:
        found += [] if len(values) == 1 else [required(f"{where}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")]
    else:
        found.append(invalid(f"{where}.operator", operator, "not a valid selector operator"))
    key = str(expression.get("key") or "")
    found += [invalid(f"{where}.key", key, each) for each in names.label_key(key)]
    if strict:
        for number, value in enumerate(values):
            found += [invalid(f"{where}.values[{number}]", value, each) for each in names.label_value(str(value))]
    return found


def _field_expression_errors(expression: Mapping[str, Any], where: str) -> list[FieldError]:
    operator, values, key = expression.get("operator", ""), expression.get("values") or [], expression.get("key", "")
    found: list[FieldError] = []
    if operator not in {"In", "NotIn"}:
        found.append(invalid(f"{where}.operator", operator, "not a valid selector operator"))
    elif len(values) != 1:
        found.append(required(f"{where}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
    if key != _FIELD_KEY:
        return [*found, invalid(f"{where}.key", key, "not a valid field selector key")]
    for number, value in enumerate(values):
        found += [invalid(f"{where}.values[{number}]", value, each) for each in names.subdomain(str(value))]
    return found


def _toleration_errors(tolerations: Sequence[Mapping[str, Any]], where: str) -> list[FieldError]:
    found: list[FieldError] = []
    for number, toleration in enumerate(tolerations):
        place = f"{where}[{number}]"
        key, operator, value = toleration.get("key") or "", toleration.get("operator") or "", toleration.get("value") or ""
        effect = toleration.get("effect") or ""
        if key:
            found += [invalid(f"{place}.key", key, each) for each in names.label_key(str(key))]
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            found.append(invalid(f"{place}.operator", operator, detail))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            found.append(invalid(f"{place}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
        if operator in {"", "Equal"}:
            wrong = names.label_value(str(value))
            found += [invalid(f"{place}.operator", value, ";".join(wrong))] if wrong else []
        elif operator == "Exists":
            found += [invalid(f"{place}.operator", value, "value must be empty when `operator` is 'Exists'")] if value else []
        else:
            found.append(unsupported(f"{place}.operator", operator, ["Equal", "Exists"]))
        if effect not in {"", "NoSchedule", "PreferNoSchedule", "NoExecute"}:
            found.append(unsupported(f"{place}.effect", effect, ["NoSchedule", "PreferNoSchedule", "NoExecute"]))
    return found


# ---- later changes --------------------------------------------------------------------------------------------------


def gated_change_errors(spec: Mapping[str, Any], before: Mapping[str, Any]) -> list[FieldError]:
    """What may not change in a pod that is there; one with scheduling gates may be narrowed (KEP-3838)."""
    new, old = dict(spec), dict(before)
    for each in (new, old):
        for part in ("containers", "initContainers"):
            each[part] = [{**container, "image": ""} for container in each.get(part) or ()]
        each["activeDeadlineSeconds"] = None
    gone, left = old.pop("schedulingGates", None) or [], new.pop("schedulingGates", None) or []
    found = [
        forbidden(f"spec.schedulingGates[{number}].name", f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'")
        for number, gate in enumerate(left)
        if gate not in gone
    ]
    tolerations, had = new.pop("tolerations", None) or [], old.pop("tolerations", None) or []
    if not all(each in tolerations for each in had):
        found.append(forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"))
    if gone:
        found += _narrowing_errors(new, old)
    if new != old:
        found.append(forbidden("spec", _UPDATABLE))
    return found


def _narrowing_errors(new: dict[str, Any], old: dict[str, Any]) -> list[FieldError]:
    """Of a gated pod; what may change is made equal in both."""
    found: list[FieldError] = []
    selector, had = new.pop("nodeSelector", None) or {}, old.pop("nodeSelector", None) or {}
    if any(selector.get(key) != value for key, value in had.items()):
        found.append(invalid("spec.nodeSelector", selector, "only additions to spec.nodeSelector are allowed (no mutations or deletions)"))
    wanted, before = (dict(at(each, ("affinity", "nodeAffinity")) or {}) for each in (new, old))
    where = f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms"
    terms, old_terms = (at(each, (REQUIRED, "nodeSelectorTerms")) or [] for each in (wanted, before))
    if old_terms:
        if len(terms) != len(old_terms):
            found.append(invalid(where, terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed"))
        else:
            for number, (term, earlier) in enumerate(zip(terms, old_terms, strict=True)):
                parts = ("matchExpressions", "matchFields")
                if any((term.get(part) or [])[: len(earlier.get(part) or [])] != (earlier.get(part) or []) for part in parts):
                    found.append(invalid(f"{where}[{number}]", term, "only additions are allowed (no mutations or deletions)"))
    for each in (new, old):
        affinity = {name: value for name, value in (each.pop("affinity", None) or {}).items() if name != "nodeAffinity"}
        if affinity:
            each["affinity"] = affinity
    return found

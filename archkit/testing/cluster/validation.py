"""What an API server refuses in an object, beyond unknown fields and wrong types.

These are the rules for what archkit writes and what people get wrong around it: names, labels, selectors, containers,
affinity, tolerations, and fields that do not change. Source: Kubernetes API reference and API conventions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archkit.testing.cluster import names
from archkit.testing.cluster.data import at, mapping_at
from archkit.testing.cluster.pod_rules import gated_change_errors, pod_spec_errors
from archkit.testing.cluster.selection import label_selector_matches
from archkit.testing.cluster.statuses import FieldError, forbidden, invalid, required, unsupported

if TYPE_CHECKING:
    from archkit.testing.cluster.resources import Resource

_WITH_TEMPLATE = {"deployments.apps", "daemonsets.apps", "statefulsets.apps", "replicasets.apps", "replicationcontrollers"}
_LABEL_NAMES = {"namespaces"}
_FREE_NAMES = {f"{name}.rbac.authorization.k8s.io" for name in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")}
_IMMUTABLE = "field is immutable"


def errors_of(resource: Resource, obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """What is wrong with an object.

    Args:
        resource: Its kind.
        obj: It, with defaults.
        old: It before; None: it is new.
    """
    found = _metadata_errors(resource, obj.get("metadata") or {})
    spec = mapping_at(obj, ("spec",))
    if resource.key in _WITH_TEMPLATE:
        found += _workload_errors(resource, spec)
    elif resource.key == "jobs.batch":
        found += _job_errors(spec, "spec")
    elif resource.key == "cronjobs.batch":
        found += [] if spec.get("schedule") else [required("spec.schedule")]
        found += _job_errors(at(spec, ("jobTemplate", "spec")) or {}, "spec.jobTemplate.spec")
    elif resource.key == "pods":
        found += pod_spec_errors(spec, "spec", gated_ok=True)
    elif resource.key == "services":
        found += _service_errors(spec)
    elif resource.key == "nodes":
        found += _node_errors(spec)
    elif resource.key == "customresourcedefinitions.apiextensions.k8s.io":
        found += _definition_errors(obj)
    elif resource.custom is not None:
        from archkit.testing.cluster.custom_rules import custom_errors

        found += custom_errors((resource.custom.get("schema") or {}).get("openAPIV3Schema") or {}, obj, "")
    return found + (_change_errors(resource, obj, old) if old is not None else [])


def _metadata_errors(resource: Resource, metadata: Mapping[str, Any]) -> list[FieldError]:
    name = metadata.get("name")
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    check = names.label if resource.key in _LABEL_NAMES else names.dns_1035 if resource.key == "services" else names.subdomain
    wrong = [] if resource.key in _FREE_NAMES else check(str(name))
    found = [invalid("metadata.name", name, each) for each in wrong]
    return (
        found
        + _label_errors(metadata.get("labels"), "metadata.labels")
        + [
            invalid("metadata.annotations", key, each)
            for key in metadata.get("annotations") or {}
            for each in names.label_key(str(key).lower())
        ]
    )


def _label_errors(labels: object, where: str) -> list[FieldError]:
    found: list[FieldError] = []
    for key, value in (labels if isinstance(labels, Mapping) else {}).items():
        found += [invalid(where, key, each) for each in names.label_key(str(key))]
        found += [invalid(where, value, each) for each in names.label_value(str(value))]
    return found


def _workload_errors(resource: Resource, spec: Mapping[str, Any]) -> list[FieldError]:
    found: list[FieldError] = []
    selector, template = spec.get("selector"), spec.get("template")
    kind = {"deployments.apps": "deployment", "daemonsets.apps": "daemonset", "statefulsets.apps": "statefulset"}.get(
        resource.key, "replicaset"
    )
    if isinstance(spec.get("replicas"), int) and spec["replicas"] < 0:
        found.append(invalid("spec.replicas", spec["replicas"], "must be greater than or equal to 0"))
    labels = at(template, ("metadata", "labels")) if isinstance(template, Mapping) else None
    given = labels if isinstance(labels, Mapping) else {}
    if resource.key != "replicationcontrollers":
        if selector is None:
            found.append(required("spec.selector"))
        elif not (selector.get("matchLabels") or selector.get("matchExpressions")):
            found.append(invalid("spec.selector", selector, f"empty selector is invalid for {kind}"))
        if not label_selector_matches(selector, given):
            found.append(invalid("spec.template.metadata.labels", dict(given), "`selector` does not match template `labels`"))
    if not isinstance(template, Mapping):
        return [*found, required("spec.template")]
    found += _label_errors(labels, "spec.template.labels")
    pod = mapping_at(template, ("spec",))
    found += pod_spec_errors(pod, "spec.template.spec")
    policy = pod.get("restartPolicy")
    if policy not in {None, "Always"}:
        found.append(unsupported("spec.template.spec.restartPolicy", policy, ["Always"]))
    return found


def _job_errors(spec: Any, where: str) -> list[FieldError]:
    pod = at(spec, ("template", "spec"))
    if not isinstance(pod, Mapping):
        return [required(f"{where}.template.spec.containers")]
    found = pod_spec_errors(pod, f"{where}.template.spec")
    policy = pod.get("restartPolicy")
    if policy == "Always":
        found.append(required(f"{where}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    elif policy not in {"OnFailure", "Never"}:
        found.append(unsupported(f"{where}.template.spec.restartPolicy", policy, ["OnFailure", "Never"]))
    return found


def _service_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    ports = spec.get("ports") or []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        return [required("spec.ports")]
    found: list[FieldError] = []
    for number, port in enumerate(ports):
        if len(ports) > 1 and not port.get("name"):
            found.append(required(f"spec.ports[{number}].name"))
        if not 1 <= int(port.get("port") or 0) <= 65535:
            found.append(invalid(f"spec.ports[{number}].port", port.get("port"), "must be between 1 and 65535, inclusive"))
    return found


def _node_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
    return [
        unsupported(f"spec.taints[{number}].effect", taint.get("effect"), effects)
        for number, taint in enumerate(spec.get("taints") or [])
        if taint.get("effect") not in effects
    ]


def _definition_errors(obj: Mapping[str, Any]) -> list[FieldError]:
    spec = obj.get("spec") or {}
    plural, group = at(spec, ("names", "plural")), spec.get("group")
    found: list[FieldError] = []
    if not group:
        found.append(required("spec.group"))
    if not plural:
        found.append(required("spec.names.plural"))
    if not at(spec, ("names", "kind")):
        found.append(required("spec.names.kind"))
    if spec.get("scope") not in {"Namespaced", "Cluster"}:
        found.append(
            unsupported("spec.scope", spec.get("scope"), ["Cluster", "Namespaced"]) if spec.get("scope") else required("spec.scope")
        )
    versions = spec.get("versions") or []
    if sum(version.get("storage") is True for version in versions) != 1:
        found.append(invalid("spec.versions", versions, "must have exactly one version marked as storage version"))
    found += [
        required(f"spec.versions[{number}].schema.openAPIV3Schema", "schemas are required")
        for number, version in enumerate(versions)
        if not at(version, ("schema", "openAPIV3Schema"))
    ]
    if plural and group and at(obj, ("metadata", "name")) != f"{plural}.{group}":
        found.append(invalid("metadata.name", at(obj, ("metadata", "name")), 'must be spec.names.plural+"."+spec.group'))
    return found


# ---- what does not change -------------------------------------------------------------------------------------------

_STATEFUL = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_STATEFUL_TEXT = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
    "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_KEPT: Mapping[str, tuple[str, ...]] = {
    "deployments.apps": ("selector",),
    "daemonsets.apps": ("selector",),
    "replicasets.apps": ("selector",),
    "jobs.batch": ("selector", "completionMode"),
}


def _change_errors(resource: Resource, obj: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    found = [
        invalid(f"spec.{name}", spec.get(name), _IMMUTABLE) for name in _KEPT.get(resource.key, ()) if spec.get(name) != before.get(name)
    ]
    if resource.key == "jobs.batch":
        found += _job_change_errors(spec, before)
    elif resource.key == "statefulsets.apps":
        if {**spec, **dict.fromkeys(_STATEFUL)} != {**before, **dict.fromkeys(_STATEFUL)}:
            found.append(forbidden("spec", _STATEFUL_TEXT))
    elif resource.key == "pods":
        found += gated_change_errors(spec, before)
    elif resource.key == "services":
        if before.get("clusterIP") and spec.get("type") != "ExternalName" and spec.get("clusterIP") != before["clusterIP"]:
            found.append(invalid("spec.clusterIPs[0]", [spec.get("clusterIP")], "may not change once set"))
    elif resource.key in {"configmaps", "secrets"}:
        if resource.key == "secrets" and obj.get("type") != old.get("type"):
            found.append(invalid("type", obj.get("type"), _IMMUTABLE))
        if old.get("immutable") is True:
            if obj.get("immutable") is not True:
                found.append(forbidden("immutable", "field is immutable when `immutable` is set"))
            found += [
                forbidden(name, "field is immutable when `immutable` is set")
                for name in ("data", "binaryData")
                if obj.get(name) != old.get(name)
            ]
    elif resource.key == "customresourcedefinitions.apiextensions.k8s.io":
        found += [
            invalid(f"spec.{'.'.join(path)}", at(spec, path), _IMMUTABLE)
            for path in (("group",), ("scope",), ("names", "kind"))
            if at(spec, path) != at(before, path)
        ]
    return found


def _job_change_errors(spec: Mapping[str, Any], before: Mapping[str, Any]) -> list[FieldError]:
    """A Job's template does not change; while it is suspended and was not started, where its pods may go does."""
    new, old = dict(spec.get("template") or {}), dict(before.get("template") or {})
    where = "spec.template"
    if before.get("suspend"):
        where = "spec.template.spec"
        loose = ("affinity", "nodeSelector", "tolerations", "schedulingGates")
        for template in (new, old):
            template["spec"] = {**(template.get("spec") or {}), **dict.fromkeys(loose)}
            template["spec"]["containers"] = [{**each, "resources": None} for each in template["spec"].get("containers") or ()]
            template["metadata"] = {**(template.get("metadata") or {}), "labels": None, "annotations": None}
    found = [invalid(where, at({"spec": spec}, tuple(where.split("."))), _IMMUTABLE)] if new != old else []
    if spec.get("completions") != before.get("completions") and spec.get("completionMode") != "Indexed":
        found.append(invalid("spec.completions", spec.get("completions"), _IMMUTABLE))
    return found

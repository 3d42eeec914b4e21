"""Values that an API server writes into objects that lack them, as far as somebody sees them: the built-in workloads and services.

Source: Kubernetes API reference ("defaults to" in the description of a field).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from archkit.testing.cluster.resources import Resource

_TEMPLATES = {"deployments.apps", "daemonsets.apps", "statefulsets.apps", "replicasets.apps", "replicationcontrollers", "jobs.batch"}


def defaulted(resource: Resource, obj: dict[str, Any]) -> dict[str, Any]:
    """The object with its defaults; the one given stays as it is."""
    made = copy.deepcopy(obj)
    special = _SPECIAL.get(resource.key)
    spec = made.setdefault("spec", {}) if special is not None or resource.key in _TEMPLATES else made.get("spec")
    if special is not None:
        special(spec if isinstance(spec, dict) else {}, made)
    if resource.key in _TEMPLATES and isinstance(spec, dict):
        _template(spec.get("template"))
    return made


def _template(template: Any) -> None:
    if isinstance(template, dict):
        template.setdefault("metadata", {})
        if isinstance(template.get("spec"), dict):
            _pod_spec(template["spec"])


def _set(fields: dict[str, Any], **values: Any) -> None:
    for name, value in values.items():
        if fields.get(name) is None:
            fields[name] = value


def _pod_spec(spec: dict[str, Any]) -> None:
    _set(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        terminationGracePeriodSeconds=30,
        securityContext={},
    )
    for part in ("containers", "initContainers"):
        for container in spec.get(part) or ():
            if isinstance(container, dict):
                _container(container)
    if spec.get("serviceAccountName"):
        _set(spec, serviceAccount=spec["serviceAccountName"])
    for volume in spec.get("volumes") or ():
        for kind in ("configMap", "secret", "projected"):
            if isinstance(volume, dict) and isinstance(volume.get(kind), dict):
                _set(volume[kind], defaultMode=420)


def _container(container: dict[str, Any]) -> None:
    image = str(container.get("image") or "")
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    latest = "@" not in image and tag in {"", "latest"}
    _set(
        container,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if latest else "IfNotPresent",
        resources={},
    )
    for port in container.get("ports") or ():
        if isinstance(port, dict):
            _set(port, protocol="TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if isinstance(probe, dict):
            _set(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            if isinstance(probe.get("httpGet"), dict):
                _set(probe["httpGet"], path="/", scheme="HTTP")
    for variable in container.get("env") or ():
        field = (variable.get("valueFrom") or {}).get("fieldRef") if isinstance(variable, dict) else None
        if isinstance(field, dict):
            _set(field, apiVersion="v1")


def _pod(spec: dict[str, Any], _: Mapping[str, Any]) -> None:
    _pod_spec(spec)
    _set(spec, serviceAccountName="default", enableServiceLinks=True, priority=0, preemptionPolicy="PreemptLowerPriority")
    _set(spec, serviceAccount=spec["serviceAccountName"])
    own: list[dict[str, Any]] = list(spec.get("tolerations") or ())
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(each.get("key") in {key, None, ""} and each.get("effect") in {"NoExecute", None, ""} for each in own):
            own.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    spec["tolerations"] = own


def _deployment(spec: dict[str, Any], _: Mapping[str, Any]) -> None:
    _set(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    strategy = spec["strategy"]
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _set(strategy, rollingUpdate={})
        _set(strategy["rollingUpdate"], maxSurge="25%", maxUnavailable="25%")


def _daemon_set(spec: dict[str, Any], _: Mapping[str, Any]) -> None:
    _set(spec, revisionHistoryLimit=10, updateStrategy={})
    _set(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _set(spec["updateStrategy"], rollingUpdate={})
        _set(spec["updateStrategy"]["rollingUpdate"], maxSurge=0, maxUnavailable=1)


def _stateful_set(spec: dict[str, Any], _: Mapping[str, Any]) -> None:
    _set(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady", updateStrategy={})
    _set(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _set(spec["updateStrategy"], rollingUpdate={})
        _set(spec["updateStrategy"]["rollingUpdate"], partition=0)
    _set(spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})


def _replicas(spec: dict[str, Any], _: Mapping[str, Any]) -> None:
    _set(spec, replicas=1)


def _job(spec: dict[str, Any], obj: dict[str, Any]) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        _set(spec, completions=1)
    _set(
        spec,
        parallelism=1,
        backoffLimit=6,
        completionMode="NonIndexed",
        suspend=False,
        manualSelector=False,
        podReplacementPolicy="TerminatingOrFailed",
    )
    uid = (obj.get("metadata") or {}).get("uid")
    template = spec.get("template")
    if uid and not spec["manualSelector"] and spec.get("selector") is None and isinstance(template, dict):
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        labels = template.setdefault("metadata", {}).setdefault("labels", {})
        name = obj["metadata"]["name"]
        _set(
            labels,
            **{"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name, "controller-uid": uid, "job-name": name},
        )
        obj["metadata"].setdefault("labels", dict(labels))


def _cron_job(spec: dict[str, Any], _: Mapping[str, Any]) -> None:
    _set(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    job_template = spec.get("jobTemplate")
    if isinstance(job_template, dict):
        job_template.setdefault("metadata", {})
    inner = (job_template or {}).get("spec")
    if isinstance(inner, dict):
        _template(inner.get("template"))


def _service(spec: dict[str, Any], _: Mapping[str, Any]) -> None:
    _set(spec, type="ClusterIP", sessionAffinity="None")
    if spec["type"] != "ExternalName":
        free = spec.get("clusterIP") == "None" and not spec.get("selector")  # whoever fills in its endpoints may use both
        _set(spec, internalTrafficPolicy="Cluster", ipFamilies=["IPv4", "IPv6"] if free else ["IPv4"])
        _set(spec, ipFamilyPolicy="RequireDualStack" if free else "SingleStack")
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        _set(spec, externalTrafficPolicy="Cluster")
    for port in spec.get("ports") or ():
        if isinstance(port, dict):
            _set(port, protocol="TCP", targetPort=port.get("port"))


def _namespace(spec: dict[str, Any], obj: Mapping[str, Any]) -> None:
    _set(spec, finalizers=["kubernetes"])
    metadata = obj["metadata"]
    metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata.get("name", "")


def _secret(_: dict[str, Any], obj: Any) -> None:
    obj.pop("spec", None)
    if obj.get("type") is None:
        obj["type"] = "Opaque"
    texts = obj.pop("stringData", None)
    if texts:
        import base64

        obj["data"] = {**(obj.get("data") or {}), **{name: base64.b64encode(str(text).encode()).decode() for name, text in texts.items()}}


def _definition(spec: dict[str, Any], _: Mapping[str, Any]) -> None:
    names = spec.get("names")
    if isinstance(names, dict) and isinstance(names.get("kind"), str):
        _set(names, singular=names["kind"].lower(), listKind=f"{names['kind']}List")
    _set(spec, conversion={"strategy": "None"})


_SPECIAL: Mapping[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "pods": _pod,
    "deployments.apps": _deployment,
    "daemonsets.apps": _daemon_set,
    "statefulsets.apps": _stateful_set,
    "replicasets.apps": _replicas,
    "replicationcontrollers": _replicas,
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
    "services": _service,
    "namespaces": _namespace,
    "secrets": _secret,
    "customresourcedefinitions.apiextensions.k8s.io": _definition,
}

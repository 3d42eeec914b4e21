"""The controllers that make pods themselves: StatefulSets, DaemonSets and Jobs."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from archkit.planning.affinity import REQUIRED
from archkit.testing.cluster.data import at
from archkit.testing.cluster.kubelet import condition
from archkit.testing.cluster.scheduling import Candidate, why_not

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archkit.testing.cluster.control import ControlPlane
    from archkit.testing.cluster.store import Object

_REVISION_LABEL = "controller-revision-hash"
_BY_ITSELF = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
"""Taints that the pods of every DaemonSet tolerate."""


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod serves."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in (pod.get("status") or {}).get("conditions") or ())


def _revision(obj: Object) -> str:
    text = json.dumps(obj["spec"]["template"], sort_keys=True)
    return f"{obj['metadata']['name']}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _of(pod: Mapping[str, Any]) -> str:
    return str((pod["metadata"].get("labels") or {}).get(_REVISION_LABEL, ""))


def _metadata(obj: Object, **labels: str) -> dict[str, Any]:
    metadata = dict(obj["spec"]["template"].get("metadata") or {})
    return {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}}


# ---- StatefulSets ---------------------------------------------------------------------------------------------------


def stateful_set(control: ControlPlane, obj: Object) -> None:
    """One pod after the other, each with its number; updates go from the last to the first."""
    spec, revision = obj["spec"], _revision(obj)
    wanted, start = int(spec["replicas"]), int(at(spec, ("ordinals", "start")) or 0)
    names = [f"{obj['metadata']['name']}-{start + number}" for number in range(wanted)]
    parallel = spec.get("podManagementPolicy") == "Parallel"
    pods = {pod["metadata"]["name"]: pod for pod in control.owned("pods", obj)}
    surplus = sorted(set(pods) - set(names), key=_ordinal, reverse=True)
    for name in surplus:
        control.delete("pods", pods[name])
    if not surplus:
        _fill(control, obj, names, pods, revision, parallel=parallel)
        _update(control, obj, names, revision)
    _stateful_status(control, obj, revision, wanted)


def _ordinal(name: str) -> int:
    return int(name.rpartition("-")[2])


def _fill(control: ControlPlane, obj: Object, names: list[str], pods: Mapping[str, Object], revision: str, *, parallel: bool) -> None:
    for name in names:
        pod = pods.get(name)
        if pod is None:
            metadata = _metadata(obj, **{_REVISION_LABEL: revision, "statefulset.kubernetes.io/pod-name": name})
            metadata["labels"]["apps.kubernetes.io/pod-index"] = name.rpartition("-")[2]
            spec = {**obj["spec"]["template"]["spec"], "hostname": name}
            if obj["spec"].get("serviceName"):
                spec["subdomain"] = obj["spec"]["serviceName"]
            control.create("pods", {"metadata": {**metadata, "name": name}, "spec": spec}, owner=obj)
        if not parallel and (pod is None or not is_ready(pod)):
            return


def _update(control: ControlPlane, obj: Object, names: list[str], revision: str) -> None:
    strategy = obj["spec"]["updateStrategy"]
    if strategy["type"] != "RollingUpdate":
        return
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    pods = {pod["metadata"]["name"]: pod for pod in control.owned("pods", obj)}
    for name in sorted(names, key=_ordinal, reverse=True):
        pod = pods.get(name)
        if pod is None or _ordinal(name) < partition:
            return
        if _of(pod) != revision:
            control.delete("pods", pod)
            return
        if not is_ready(pod):
            return


def _stateful_status(control: ControlPlane, obj: Object, revision: str, wanted: int) -> None:
    pods, old = control.owned("pods", obj), obj.get("status") or {}
    ready, updated = sum(map(is_ready, pods)), sum(_of(pod) == revision for pod in pods)
    current = old.get("currentRevision") or revision
    if updated == wanted == ready == len(pods):
        current = revision
    status = {
        "observedGeneration": obj["metadata"]["generation"],
        "replicas": len(pods),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "updatedReplicas": updated,
        "currentReplicas": sum(_of(pod) == current for pod in pods),
        "currentRevision": current,
        "updateRevision": revision,
        "collisionCount": 0,
    }
    kept = {"replicas", "availableReplicas", "collisionCount"}
    control.set_status("statefulsets.apps", obj, {name: value for name, value in status.items() if value or name in kept})


# ---- DaemonSets -----------------------------------------------------------------------------------------------------


def daemon_set(control: ControlPlane, obj: Object) -> None:
    """One pod on each node that the template admits."""
    spec, revision = _with_tolerations(obj["spec"]["template"]["spec"]), _revision(obj)
    nodes = [node.name for node in map(Candidate.of, control.store.objects("nodes")) if not why_not(spec, node)]
    pods = control.owned("pods", obj)
    by_node = {_pinned(pod): pod for pod in pods}
    for name, pod in by_node.items():
        if name not in nodes:
            control.delete("pods", pod)
    for name in nodes:
        if name not in by_node:
            metadata = _metadata(
                obj, **{_REVISION_LABEL: revision.rpartition("-")[2], "pod-template-generation": str(obj["metadata"]["generation"])}
            )
            metadata["generateName"] = f"{obj['metadata']['name']}-"
            control.create("pods", {"metadata": metadata, "spec": _pin(spec, name)}, owner=obj)
    if obj["spec"]["updateStrategy"]["type"] == "RollingUpdate":
        _replace_one(control, [by_node[name] for name in nodes if name in by_node], revision)
    _daemon_status(control, obj, revision, len(nodes))


def _with_tolerations(spec: Mapping[str, Any]) -> dict[str, Any]:
    more = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in _BY_ITSELF]
    if spec.get("hostNetwork"):
        more.append({"key": "node.kubernetes.io/network-unavailable", "operator": "Exists", "effect": "NoSchedule"})
    own: list[Any] = list(spec.get("tolerations") or ())
    return {**spec, "tolerations": [*own, *(each for each in more if each not in own)]}


def _pin(spec: Mapping[str, Any], node: str) -> dict[str, Any]:
    """As the controller does it: by name, instead of the required terms, which it has evaluated."""
    affinity = dict(spec.get("affinity") or {})
    pinned = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]}
    affinity["nodeAffinity"] = {**(affinity.get("nodeAffinity") or {}), REQUIRED: pinned}
    return {**spec, "affinity": affinity}


def _pinned(pod: Mapping[str, Any]) -> str:
    terms = at(pod, ("spec", "affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms"))
    return str(at(terms, (0, "matchFields", 0, "values", 0)))


def _replace_one(control: ControlPlane, pods: list[Object], revision: str) -> None:
    stale = [pod for pod in pods if _of(pod) != revision.rpartition("-")[2]]
    if stale and all(is_ready(pod) for pod in pods if pod not in stale):
        control.delete("pods", min(stale, key=is_ready))


def _daemon_status(control: ControlPlane, obj: Object, revision: str, wanted: int) -> None:
    pods = control.owned("pods", obj)
    ready = sum(map(is_ready, pods))
    status = {
        "currentNumberScheduled": len(pods),
        "desiredNumberScheduled": wanted,
        "numberMisscheduled": 0,
        "numberReady": ready,
        "observedGeneration": obj["metadata"]["generation"],
        "updatedNumberScheduled": sum(_of(pod) == revision.rpartition("-")[2] for pod in pods),
        "numberAvailable": ready,
        "numberUnavailable": wanted - ready,
    }
    kept = {"currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"}
    control.set_status("daemonsets.apps", obj, {name: value for name, value in status.items() if value or name in kept})


# ---- Jobs -----------------------------------------------------------------------------------------------------------


def job(control: ControlPlane, obj: Object) -> None:
    """Pods until enough of them have succeeded, or too many failed."""
    spec, old = obj["spec"], obj.get("status") or {}
    if any(each["type"] in {"Complete", "Failed"} and each["status"] == "True" for each in old.get("conditions") or ()):
        return
    pods = control.owned("pods", obj)
    phases = [(pod.get("status") or {}).get("phase") for pod in pods]
    failed, succeeded = phases.count("Failed"), phases.count("Succeeded")
    limit, wanted = int(spec["backoffLimit"]), int(spec.get("completions") or 1)
    crashed = [
        pod for pod in pods if any("terminated" in each.get("lastState", {}) for each in pod["status"].get("containerStatuses") or ())
    ]
    now = control.now()
    if failed > limit or crashed:
        for pod in crashed:  # a restarting container counts towards the limit, and the pod goes with the Job
            control.delete("pods", pod)
        message = "Job has reached the specified backoff limit"
        told = [
            condition(None, name, now, holds=True, reason="BackoffLimitExceeded", message=message) for name in ("FailureTarget", "Failed")
        ]
        control.set_status("jobs.batch", obj, {**_counts(old, now), "failed": failed + len(crashed), "conditions": told})
        return
    if succeeded >= wanted:
        reason, message = "CompletionsReached", "Reached expected number of succeeded pods"
        told = [condition(None, name, now, holds=True, reason=reason, message=message) for name in ("SuccessCriteriaMet", "Complete")]
        done = {**_counts(old, now), "succeeded": succeeded, "completionTime": now, "conditions": told}
        control.set_status("jobs.batch", obj, {**done, "failed": failed} if failed else done)
        return
    if spec.get("suspend"):
        told = [condition(None, "Suspended", now, holds=True, reason="JobSuspended", message="Job suspended")]
        if not any(each["type"] == "Suspended" for each in old.get("conditions") or ()):
            control.set_status("jobs.batch", obj, {**old, "conditions": told})
        return
    active = len(pods) - failed - succeeded
    for _ in range(min(int(spec["parallelism"]), wanted - succeeded) - active):
        metadata = {**_metadata(obj), "generateName": f"{obj['metadata']['name']}-"}
        control.create("pods", {"metadata": metadata, "spec": spec["template"]["spec"]}, owner=obj)
        active += 1
    counts = {"active": active, "failed": failed, "succeeded": succeeded, "ready": sum(map(is_ready, control.owned("pods", obj)))}
    status = {**_counts(old, now), **{name: value for name, value in counts.items() if value or name == "ready"}}
    control.set_status("jobs.batch", obj, status)


def _counts(old: Mapping[str, Any], now: str) -> dict[str, Any]:
    return {"startTime": old.get("startTime") or now, "terminating": 0, "ready": 0, "uncountedTerminatedPods": {}}

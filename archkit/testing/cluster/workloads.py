"""What the controllers of Kubernetes' workloads do, as far as it takes no time: pods are made, replaced and counted.

Source: Kubernetes documentation, Workloads; API reference, the status of each kind. Not modelled: deadlines, back-off
times, disruption budgets, volume claims of StatefulSets, and CronJobs, whose time never comes.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, TypeAlias

from archkit.testing.cluster.kubelet import condition
from archkit.testing.cluster.pod_sets import daemon_set, is_ready, job, stateful_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from archkit.testing.cluster.control import ControlPlane
    from archkit.testing.cluster.store import Object

Reconcile: TypeAlias = "Callable[[ControlPlane, Object], None]"
HASH_LABEL = "pod-template-hash"
_REVISION = "deployment.kubernetes.io/revision"


def template_hash(template: Mapping[str, Any]) -> str:
    """What tells the pods of one template from those of another."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def rounded(value: object, of: int, *, up: bool) -> int:
    """A number of pods, or a percentage of the replicas."""
    if isinstance(value, str) and value.endswith("%"):
        product = int(value[:-1]) * of
        return -(-product // 100) if up else product // 100
    return int(str(value or 0))


def deployment(control: ControlPlane, obj: Object) -> None:
    """Scale the ReplicaSet of the present template up and the others down, within what the strategy allows."""
    spec = obj["spec"]
    if spec.get("paused"):
        return
    wanted = int(spec["replicas"])
    sets = control.owned("replicasets.apps", obj)
    name = f"{obj['metadata']['name']}-{template_hash(spec['template'])}"
    current = next((each for each in sets if each["metadata"]["name"] == name), None)
    if current is None:
        current = _new_set(control, obj, name, sets)
    old = [each for each in control.owned("replicasets.apps", obj) if each["metadata"]["name"] != name]
    _roll(control, obj, current, old, wanted)
    _trim_history(control, obj, old)
    revision = current["metadata"]["annotations"][_REVISION]
    annotations = obj["metadata"].get("annotations") or {}
    if annotations.get(_REVISION) != revision:
        metadata = {**obj["metadata"], "annotations": {**annotations, _REVISION: revision}}
        obj = control.write("deployments.apps", obj, {**obj, "metadata": metadata})
    _deployment_status(control, obj, name, wanted)


def _new_set(control: ControlPlane, obj: Object, name: str, sets: list[Object]) -> Object:
    spec = obj["spec"]
    labels = {**(spec["template"]["metadata"].get("labels") or {}), HASH_LABEL: name.rpartition("-")[2]}
    revision = 1 + max((int(each["metadata"]["annotations"][_REVISION]) for each in sets), default=0)
    template = {**spec["template"], "metadata": {**spec["template"]["metadata"], "labels": labels}}
    selector = dict(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: labels[HASH_LABEL]}
    made = {
        "metadata": {"name": name, "labels": labels, "annotations": {_REVISION: str(revision)}},
        "spec": {"replicas": 0, "selector": selector, "template": template},
    }
    return control.create("replicasets.apps", made, owner=obj)


def _scale(control: ControlPlane, each: Object, replicas: int) -> None:
    control.write("replicasets.apps", each, {**each, "spec": {**each["spec"], "replicas": replicas}})


def _count(each: Object, field: str) -> int:
    return int((each.get("status") or {}).get(field) or 0)


def _roll(control: ControlPlane, obj: Object, current: Object, old: list[Object], wanted: int) -> None:
    strategy = obj["spec"]["strategy"]
    now = int(current["spec"]["replicas"])
    others = sum(int(each["spec"]["replicas"]) for each in old)
    if strategy["type"] == "Recreate":
        for each in old:
            if each["spec"]["replicas"]:
                _scale(control, each, 0)
        if not others and now != wanted:
            _scale(control, current, wanted)
        return
    rolling = strategy.get("rollingUpdate") or {}
    surge = rounded(rolling.get("maxSurge"), wanted, up=True)
    missing = rounded(rolling.get("maxUnavailable"), wanted, up=False)
    if not surge and not missing:
        missing = 1
    target = wanted if now > wanted or not others else max(now, min(wanted, wanted + surge - others))
    if target != now:
        _scale(control, current, target)
        return
    available = _count(current, "availableReplicas") + sum(_count(each, "availableReplicas") for each in old)
    spare = available - (wanted - missing)
    for each in old:
        replicas, ready = int(each["spec"]["replicas"]), _count(each, "availableReplicas")
        goes = replicas - ready + min(ready, max(spare, 0))
        if goes > 0:
            spare -= goes - (replicas - ready)
            _scale(control, each, replicas - goes)


def _trim_history(control: ControlPlane, obj: Object, old: list[Object]) -> None:
    idle = [each for each in old if not each["spec"]["replicas"] and not _count(each, "replicas")]
    for each in idle[: max(0, len(idle) - int(obj["spec"]["revisionHistoryLimit"]))]:
        control.delete("replicasets.apps", each)


def _deployment_status(control: ControlPlane, obj: Object, name: str, wanted: int) -> None:
    sets = control.owned("replicasets.apps", obj)
    current = [each for each in sets if each["metadata"]["name"] == name]
    counts = {field: sum(_count(each, field) for each in sets) for field in ("replicas", "readyReplicas", "availableReplicas")}
    updated = sum(_count(each, "replicas") for each in current)
    rolling = obj["spec"]["strategy"].get("rollingUpdate") or {}
    enough = counts["availableReplicas"] >= wanted - rounded(rolling.get("maxUnavailable"), wanted, up=False)
    complete = updated == wanted == counts["replicas"] == counts["availableReplicas"]
    old = {each["type"]: each for each in (obj.get("status") or {}).get("conditions") or ()}
    now, told = control.now(), f'ReplicaSet "{name}"'
    conditions = [
        _told(old, "Available", now, holds=enough, reasons=("MinimumReplicasAvailable", "MinimumReplicasUnavailable"))
        | {"message": f"Deployment {'has' if enough else 'does not have'} minimum availability."},
        _told(old, "Progressing", now, holds=True, reasons=("NewReplicaSetAvailable" if complete else "ReplicaSetUpdated", ""))
        | {"message": f"{told} has successfully progressed." if complete else f"{told} is progressing."},
    ]
    status = {
        "observedGeneration": obj["metadata"]["generation"],
        **counts,
        "updatedReplicas": updated,
        "unavailableReplicas": max(0, max(wanted, counts["replicas"]) - counts["availableReplicas"]),
    }
    control.set_status("deployments.apps", obj, {**{key: value for key, value in status.items() if value}, "conditions": conditions})


def _told(old: Mapping[str, Any], name: str, now: str, *, holds: bool, reasons: tuple[str, str]) -> dict[str, Any]:
    made = condition(old.get(name), name, now, holds=holds, reason=reasons[0 if holds else 1])
    before = old.get(name, {})
    same = before.get("status") == made["status"] and before.get("reason") == made["reason"]
    return {**made, "lastUpdateTime": before.get("lastUpdateTime", now) if same else now}


def replica_set(kind: str) -> Reconcile:
    """The controller of ReplicaSets or of ReplicationControllers."""

    def reconcile(control: ControlPlane, obj: Object) -> None:
        wanted, template = int(obj["spec"].get("replicas", 1)), obj["spec"]["template"]
        pods = [pod for pod in control.owned("pods", obj) if (pod.get("status") or {}).get("phase") not in {"Failed", "Succeeded"}]
        for _ in range(wanted - len(pods)):
            metadata = {**(template.get("metadata") or {}), "generateName": f"{obj['metadata']['name']}-"}
            control.create("pods", {"metadata": metadata, "spec": template["spec"]}, owner=obj)
        surplus = sorted(pods, key=lambda pod: (is_ready(pod), bool(pod["spec"].get("nodeName"))))
        for pod in surplus[: max(0, len(pods) - wanted)]:
            control.delete("pods", pod)
        pods = control.owned("pods", obj)
        ready = sum(map(is_ready, pods))
        status = {"replicas": len(pods), "observedGeneration": obj["metadata"].get("generation", 1)}
        if pods:
            status["fullyLabeledReplicas"] = len(pods)
        if ready:
            status |= {"readyReplicas": ready, "availableReplicas": ready}
        control.set_status(kind, obj, status)

    return reconcile


CONTROLLERS: Mapping[str, Reconcile] = {
    "deployments.apps": deployment,
    "replicasets.apps": replica_set("replicasets.apps"),
    "replicationcontrollers": replica_set("replicationcontrollers"),
    "statefulsets.apps": stateful_set,
    "daemonsets.apps": daemon_set,
    "jobs.batch": job,
}
"""By kind, in the order in which they have their turn."""

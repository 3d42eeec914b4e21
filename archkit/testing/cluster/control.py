"""What happens in the embedded cluster by itself: pods are bound and run, workloads get their pods, what is orphaned goes.

All of it happens at once, after each write; nothing takes time.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from archkit.model.node import ARCH_LABEL, BETA_ARCH_LABEL, BETA_OS_LABEL, OS_LABEL
from archkit.testing.cluster.defaults import defaulted
from archkit.testing.cluster.kubelet import condition, pod_status
from archkit.testing.cluster.managers import UPDATE, Manager, updated
from archkit.testing.cluster.scheduling import UNSCHEDULABLE, Candidate, choose
from archkit.testing.cluster.workloads import CONTROLLERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from archkit.testing.cluster.kubelet import KnownImages
    from archkit.testing.cluster.resources import Resources
    from archkit.testing.cluster.store import Object, Store

_ROUNDS = 200
"""Far more than any workload needs; a controller that goes round in circles is found."""
_CAUSES = frozenset({"pods", "nodes", "namespaces", *CONTROLLERS})


def utc_now() -> str:
    """The time as the API writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class ControlPlane:
    """The controllers, the scheduler and the kubelets of one cluster.

    Args:
        store: Its objects.
        resources: Its kinds.
        images: What is known of images.
        now: The time.
    """

    def __init__(self, store: Store, resources: Resources, images: KnownImages, now: Callable[[], str] = utc_now) -> None:
        self.store = store
        self.resources = resources
        self.now = now
        self._images = images
        self._settled = 0
        self._counter = 0

    # ---- what controllers do ------------------------------------------------------------------------------------

    def create(self, kind: str, obj: Object, *, owner: Object | None = None, managed: bool = True) -> Object:
        """A new object, controlled by its owner.

        Args:
            kind: As :attr:`Resource.key <archkit.testing.cluster.resources.Resource.key>`.
            obj: Without apiVersion and kind.
            owner: None: it has none.
            managed: Whether it says who manages its fields, which costs most of the time.
        """
        metadata = dict(obj["metadata"])
        if "name" not in metadata:
            metadata["name"] = metadata["generateName"] + self.suffix()
        if owner is not None:
            metadata["namespace"] = owner["metadata"]["namespace"]
            reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"]}
            metadata["ownerReferences"] = [{**reference, "uid": owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}]
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": self.now(), "generation": 1}
        resource = self.resources.named(kind)
        if resource is None:
            raise LookupError(kind)
        made = defaulted(resource, {**obj, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata})
        if kind == "pods":
            made["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
        if not managed:
            return self.store.put(resource.key, made)
        manager = Manager("kube-controller-manager", UPDATE, resource.api_version, frozenset(), self.now())
        return self.store.put(resource.key, updated(resource.schema, None, made, manager))

    def write(self, kind: str, old: Object, new: Object, *, by: str = "kube-controller-manager", part: str = "") -> Object:
        """A change of an object; none where nothing changes."""
        if new == old:
            return old
        resource = self.resources.named(kind)
        if resource is None:
            raise LookupError(kind)
        manager = Manager(by, UPDATE, resource.api_version, frozenset(), self.now(), part)
        return self.store.put(resource.key, updated(resource.schema, old, new, manager))

    def set_status(self, kind: str, old: Object, status: Mapping[str, Any], *, by: str = "kube-controller-manager") -> Object:
        """A new status of an object."""
        if old.get("status") == status:
            return old
        return self.write(kind, old, {**old, "status": dict(status)}, by=by, part="status")

    def delete(self, kind: str, obj: Object) -> None:
        """Remove an object at once."""
        self.store.drop(kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])

    def owned(self, kind: str, owner: Object) -> list[Object]:
        """Objects of a kind that an object controls, the oldest first."""
        uid = owner["metadata"]["uid"]
        found = [
            obj
            for obj in self.store.objects(kind, owner["metadata"].get("namespace", ""))
            if any(each.get("uid") == uid and each.get("controller") for each in obj["metadata"].get("ownerReferences") or ())
        ]
        return sorted(found, key=lambda obj: int(obj["metadata"]["resourceVersion"]))

    def suffix(self) -> str:
        """Five letters as Kubernetes ends names with, another each time."""
        self._counter += 1
        number, letters = self._counter * 7_919 + 11_881_376, ""
        for _ in range(5):
            number, rest = divmod(number, len(_LETTERS))
            letters += _LETTERS[rest]
        return letters

    # ---- what goes on by itself ---------------------------------------------------------------------------------

    def settle(self) -> None:
        """Do what is to be done until nothing is left to do."""
        with self.store.lock:
            if not any(change.kind in _CAUSES or change.new is None for change in self.store.since(self._settled)):
                self._settled = self.store.version
                return
            for _ in range(_ROUNDS):
                before = self.store.version
                self._round()
                if self.store.version == before:
                    self._settled = before
                    return
            raise RuntimeError(f"the embedded cluster did not come to rest within {_ROUNDS} rounds")

    def _round(self) -> None:
        self._namespaces()
        self._nodes()
        self._collect()
        for kind, reconcile in CONTROLLERS.items():
            for obj in self.store.objects(kind):
                if "deletionTimestamp" not in obj["metadata"]:
                    reconcile(self, obj)
        self._bind()
        self._run()

    def _namespaces(self) -> None:
        for namespace in self.store.objects("namespaces"):
            name = namespace["metadata"]["name"]
            if "deletionTimestamp" in namespace["metadata"]:
                for kind, obj in self.store.everything():
                    if obj["metadata"].get("namespace") == name:
                        self.delete(kind, obj)
                self.delete("namespaces", namespace)
                continue
            if (namespace.get("status") or {}).get("phase") != "Active":
                self.store.put("namespaces", {**namespace, "status": {"phase": "Active"}})
            if self.store.get("serviceaccounts", name, "default") is None:
                account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
                self.create("serviceaccounts", account, managed=False)

    def _nodes(self) -> None:
        """The deprecated labels say what the others say, and a node's state is taints: the node lifecycle controller's part."""
        for node in self.store.objects("nodes"):
            labels = node["metadata"].get("labels") or {}
            spec = node.get("spec") or {}
            ready = {item["type"]: item["status"] for item in (node.get("status") or {}).get("conditions") or ()}.get("Ready")
            states = {_NOT_READY: ready == "False", _UNREACHABLE: ready == "Unknown", _CORDON: bool(spec.get("unschedulable"))}
            taints = [each for each in spec.get("taints") or () if states.get(each["key"], True)]
            there = {(each["key"], each["effect"]) for each in taints}
            wanted = [(key, effect) for key, holds in states.items() if holds for effect in _EFFECTS[key]]
            taints += [{"key": key, "effect": effect} for key, effect in wanted if (key, effect) not in there]
            alike = {beta: labels[key] for key, beta in _BETA.items() if key in labels}
            kept = {name: value for name, value in spec.items() if name != "taints"} | ({"taints": taints} if taints else {})
            self.write("nodes", node, {**node, "metadata": {**node["metadata"], "labels": {**labels, **alike}}, "spec": kept})

    def _collect(self) -> None:
        """Remove what only objects own that are gone."""
        uids = {obj["metadata"].get("uid") for _, obj in self.store.everything()}
        for kind, obj in self.store.everything():
            owners = obj["metadata"].get("ownerReferences") or ()
            if owners and not any(owner.get("uid") in uids for owner in owners):
                self.delete(kind, obj)

    def _bind(self) -> None:
        pending = [
            pod for pod in self.store.objects("pods") if not pod["spec"].get("nodeName") and "deletionTimestamp" not in pod["metadata"]
        ]
        if not pending:
            return
        nodes = [Candidate.of(node) for node in self.store.objects("nodes")]
        load: dict[str, int] = {}
        for pod in self.store.objects("pods"):
            name = pod["spec"].get("nodeName")
            if name:
                load[name] = load.get(name, 0) + 1
        for pod in sorted(pending, key=lambda each: int(each["metadata"]["resourceVersion"])):
            spec = pod["spec"]
            if spec.get("schedulerName") != "default-scheduler":
                continue
            if spec.get("schedulingGates"):
                self._not_scheduled(pod, "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")
                continue
            choice = choose(spec, nodes, load)
            if not choice.node:
                self._not_scheduled(pod, "Unschedulable", choice.message)
                continue
            load[choice.node] = load.get(choice.node, 0) + 1
            status = dict(pod.get("status") or {})
            others = [each for each in status.get("conditions") or () if each["type"] != "PodScheduled"]
            status["conditions"] = [*others, condition(None, "PodScheduled", self.now(), holds=True)]
            self.store.put("pods", {**pod, "spec": {**spec, "nodeName": choice.node}, "status": status})

    def _not_scheduled(self, pod: Object, reason: str, message: str) -> None:
        status = dict(pod.get("status") or {})
        conditions = {each["type"]: each for each in status.get("conditions") or ()}
        said = condition(conditions.get("PodScheduled"), "PodScheduled", self.now(), holds=False, reason=reason, message=message)
        status["conditions"] = [*(each for name, each in conditions.items() if name != "PodScheduled"), said]
        self.set_status("pods", pod, status, by="kube-scheduler")

    def _run(self) -> None:
        for pod in self.store.objects("pods"):
            name = pod["spec"].get("nodeName")
            if name and (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}:
                node = self.store.get("nodes", "", name)
                self.set_status("pods", pod, self._kubelet(pod, node), by="kubelet")

    def _kubelet(self, pod: Object, node: Object | None) -> dict[str, Any]:
        status = pod_status(pod, node, self._images, self.now())
        old = pod.get("status") or {}
        return dict(old) if _timeless(status) == _timeless(old) else status


_CORDON, _NOT_READY, _UNREACHABLE = UNSCHEDULABLE.key, "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
_EFFECTS = {_CORDON: ("NoSchedule",), _NOT_READY: ("NoSchedule", "NoExecute"), _UNREACHABLE: ("NoSchedule", "NoExecute")}
_BETA = {OS_LABEL: BETA_OS_LABEL, ARCH_LABEL: BETA_ARCH_LABEL}
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_TIMES = frozenset({"startedAt", "finishedAt"})


def _timeless(value: Any) -> Any:
    """Without the times of containers, which are those of the last look."""
    if isinstance(value, dict):
        return {name: _timeless(inner) for name, inner in value.items() if name not in _TIMES}
    if isinstance(value, list):
        return [_timeless(inner) for inner in value]
    return value

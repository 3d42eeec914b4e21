"""Answers in the forms that clients ask for beside plain objects: tables, as ``kubectl get`` prints them, and metadata alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, TypeAlias

Cell: TypeAlias = Callable[[Mapping[str, Any]], Any]


def wanted_form(accept: str) -> str:
    """``Table``, ``PartialObjectMetadata`` or nothing: the first form of the header that there is."""
    for offer in accept.split(","):
        words: dict[str, str] = {}
        for word in offer.split(";")[1:]:
            name, _, value = word.strip().partition("=")
            words[name] = value
        if words.get("g") == "meta.k8s.io" and words.get("v") == "v1":
            kind = words.get("as", "")
            return "PartialObjectMetadata" if kind.startswith("PartialObjectMetadata") else kind
        if offer.partition(";")[0].strip() in {"application/json", "*/*"} and not words.get("as"):
            return ""
    return ""


def metadata_only(obj: Mapping[str, Any]) -> dict[str, Any]:
    """An object without anything but its metadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _status(field: str) -> Cell:
    return lambda obj: (obj.get("status") or {}).get(field) or 0


def _age(obj: Mapping[str, Any]) -> str:
    created = obj["metadata"].get("creationTimestamp")
    if not created:
        return "<unknown>"
    since = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    seconds = max(0, int((datetime.now(timezone.utc) - since).total_seconds()))
    return f"{seconds}s" if seconds < 120 else f"{seconds // 60}m" if seconds < 7200 else f"{seconds // 3600}h"


def _pod_state(pod: Mapping[str, Any]) -> str:
    status = pod.get("status") or {}
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        for state in ("waiting", "terminated"):
            if reason := (each.get("state", {}).get(state) or {}).get("reason"):
                return str(reason)
    return str(status.get("phase", "Pending"))


def _pod_ready(pod: Mapping[str, Any]) -> str:
    told = (pod.get("status") or {}).get("containerStatuses") or ()
    return f"{sum(bool(each.get('ready')) for each in told)}/{len(pod['spec']['containers'])}"


def _restarts(pod: Mapping[str, Any]) -> int:
    return sum(int(each.get("restartCount") or 0) for each in (pod.get("status") or {}).get("containerStatuses") or ())


def _node_state(node: Mapping[str, Any]) -> str:
    ready: Mapping[str, Any] = next((each for each in (node.get("status") or {}).get("conditions") or () if each["type"] == "Ready"), {})
    told = {"True": "Ready", "False": "NotReady"}.get(ready.get("status", ""), "Unknown")
    return f"{told},SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else told


def _of_replicas(obj: Mapping[str, Any]) -> str:
    return f"{_status('readyReplicas')(obj)}/{(obj.get('spec') or {}).get('replicas', 0)}"


_COLUMNS: Mapping[str, Sequence[tuple[str, Cell]]] = {
    "pods": (("Ready", _pod_ready), ("Status", _pod_state), ("Restarts", _restarts)),
    "nodes": (("Status", _node_state), ("Version", lambda node: (node["status"].get("nodeInfo") or {}).get("kubeletVersion", ""))),
    "deployments.apps": (
        ("Ready", _of_replicas),
        ("Up-to-date", _status("updatedReplicas")),
        ("Available", _status("availableReplicas")),
    ),
    "statefulsets.apps": (("Ready", _of_replicas),),
    "replicasets.apps": (
        ("Desired", lambda obj: (obj.get("spec") or {}).get("replicas", 0)),
        ("Current", _status("replicas")),
        ("Ready", _status("readyReplicas")),
    ),
    "daemonsets.apps": (
        ("Desired", _status("desiredNumberScheduled")),
        ("Current", _status("currentNumberScheduled")),
        ("Ready", _status("numberReady")),
        ("Up-to-date", _status("updatedNumberScheduled")),
        ("Available", _status("numberAvailable")),
    ),
    "jobs.batch": (("Completions", lambda obj: f"{_status('succeeded')(obj)}/{(obj.get('spec') or {}).get('completions', 1)}"),),
    "services": (
        ("Type", lambda obj: obj["spec"].get("type", "")),
        ("Cluster-IP", lambda obj: obj["spec"].get("clusterIP", "<none>")),
        ("Port(s)", lambda obj: ",".join(f"{each.get('port')}/{each.get('protocol', 'TCP')}" for each in obj["spec"].get("ports") or ())),
    ),
    "namespaces": (("Status", lambda obj: (obj.get("status") or {}).get("phase", "")),),
    "configmaps": (("Data", lambda obj: len(obj.get("data") or {}) + len(obj.get("binaryData") or {})),),
    "secrets": (("Type", lambda obj: obj.get("type", "")), ("Data", lambda obj: len(obj.get("data") or {}))),
}


def table(kind: str, objects: Sequence[Mapping[str, Any]], metadata: Mapping[str, Any], include: str) -> dict[str, Any]:
    """The objects of a kind as a table.

    Args:
        kind: As :attr:`Resource.key <archkit.testing.cluster.resources.Resource.key>`.
        objects: One for each row.
        metadata: Of the list, or of the object.
        include: What rows have beside their cells: ``None``, ``Metadata`` or ``Object``.
    """
    columns: list[tuple[str, Cell]] = [("Name", lambda obj: obj["metadata"]["name"]), *_COLUMNS.get(kind, ()), ("Age", _age)]
    rows: list[dict[str, Any]] = []
    for obj in objects:
        row: dict[str, Any] = {"cells": [cell(obj) for _, cell in columns]}
        if include != "None":
            row["object"] = obj if include == "Object" else metadata_only(obj)
        rows.append(row)
    definitions = [
        {"name": name, "type": "string", "format": "name" if name == "Name" else "", "description": "", "priority": 0}
        for name, _ in columns
    ]
    told = {name: value for name, value in metadata.items() if name in {"resourceVersion", "continue", "remainingItemCount"}}
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": told, "columnDefinitions": definitions, "rows": rows}

"""When a workload is where its manifest wants it: the questions that `kubectl rollout status` asks."""

from __future__ import annotations

from typing import Any

import pytest

from archkit.planning.rollout import WORKLOADS, verdict


def workload(kind: str, spec: dict[str, Any], status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"generation": 2, **metadata}, "spec": spec, "status": {"observedGeneration": 2, **status}}


def condition(kind: str, status: str = "True", **more: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Other", "status": "True"}, {"type": kind, "status": status, **more}]}


ALL = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}
LATE = condition("Progressing", "False", reason="ProgressDeadlineExceeded")
REVISIONS = {"updateRevision": "b", "currentRevision": "b"}
DAEMONS = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "state", "reason"),
    [
        ("Deployment", {"replicas": 2}, ALL, "done", "2 of 2 replicas are available"),
        ("Deployment", {}, {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, "done", "1 of 1 replicas are available"),
        ("Deployment", {"replicas": 0}, {}, "done", "0 of 0 replicas are available"),
        ("Deployment", {"replicas": 2}, {**ALL, "updatedReplicas": 1}, "progress", "1 of 2 replicas are updated"),
        ("Deployment", {"replicas": 2}, {**ALL, "replicas": 3}, "progress", "1 old replicas are still there"),
        ("Deployment", {"replicas": 2}, {**ALL, "availableReplicas": 1}, "progress", "1 of 2 updated replicas are available"),
        (
            "Deployment",
            {"replicas": 2},
            {**ALL, "availableReplicas": 1, **LATE},
            "failed",
            "it made no progress within its deadline (1 of 2 replicas",
        ),
        ("Deployment", {"replicas": 2}, {**ALL, **LATE}, "done", "2 of 2"),
        ("Deployment", {"replicas": 2, "paused": True}, {**ALL, "updatedReplicas": 0}, "failed", "it is paused"),
        ("Deployment", {"replicas": 2, "paused": True}, ALL, "done", "2 of 2"),
        (
            "Deployment",
            {"replicas": 2},
            condition("ReplicaFailure", message="exceeded quota"),
            "progress",
            "pods cannot be created: exceeded quota",
        ),
        ("Deployment", {"replicas": 2}, {**ALL, "observedGeneration": 1}, "progress", "its controller has not seen this version yet"),
        ("Deployment", {"replicas": 2}, {**ALL, "observedGeneration": None}, "progress", "its controller has not seen this version yet"),
        ("StatefulSet", {"replicas": 2}, {**ALL, **REVISIONS}, "done", "2 of 2 replicas are ready"),
        ("StatefulSet", {"replicas": 2}, {**ALL, **REVISIONS, "readyReplicas": 1}, "progress", "1 of 2 replicas are ready"),
        ("StatefulSet", {"replicas": 2}, {**ALL, "updateRevision": "b", "currentRevision": "a"}, "progress", "2 of 2 replicas are updated"),
        (
            "StatefulSet",
            {"replicas": 2, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}},
            {**ALL, "updatedReplicas": 1, "updateRevision": "b", "currentRevision": "a"},
            "done",
            "2 of 2 replicas are ready",
        ),
        (
            "StatefulSet",
            {"replicas": 2, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}},
            {**ALL, "updatedReplicas": 0},
            "progress",
            "0 of 1 replicas are updated",
        ),
        (
            "StatefulSet",
            {"replicas": 2, "updateStrategy": {"type": "OnDelete"}},
            {**ALL, "updatedReplicas": 0},
            "done",
            "2 of 2 replicas are ready; they",
        ),
        ("StatefulSet", {}, {**ALL, "observedGeneration": 1}, "progress", "its controller has not seen"),
        ("DaemonSet", {}, DAEMONS, "done", "3 of 3 pods are available"),
        ("DaemonSet", {}, {**DAEMONS, "updatedNumberScheduled": 1}, "progress", "1 of 3 pods are updated"),
        ("DaemonSet", {}, {**DAEMONS, "numberAvailable": 1}, "progress", "1 of 3 pods are available"),
        ("DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, {**DAEMONS, "updatedNumberScheduled": 1}, "done", "3 of 3 pods"),
        ("DaemonSet", {}, {}, "done", "no node is one for its pods"),
        ("Job", {"completions": 3}, {"succeeded": 3, **condition("Complete")}, "done", "3 of 3 pods have succeeded"),
        ("Job", {}, {}, "progress", "0 of 1 pods have succeeded"),
        (
            "Job",
            {},
            condition("Failed", reason="BackoffLimitExceeded", message="Job has failed"),
            "failed",
            "BackoffLimitExceeded: Job has failed",
        ),
        ("Job", {}, condition("FailureTarget", reason="PodFailurePolicy"), "failed", "PodFailurePolicy: no message"),
        ("Job", {"suspend": True}, {}, "done", "it is suspended (spec.suspend)"),
        ("Pod", {}, {"phase": "Running", **condition("Ready")}, "done", "it is ready"),
        ("Pod", {}, {"phase": "Running", **condition("Ready", "False")}, "progress", "it runs and is not ready"),
        ("Pod", {}, {"phase": "Pending"}, "progress", "it is pending"),
        ("Pod", {}, {}, "progress", "it is pending"),
        ("Pod", {}, {"phase": "Succeeded"}, "done", "it has succeeded"),
        (
            "Pod",
            {},
            {"phase": "Failed", "reason": "NodeAffinity", "message": "no match"},
            "failed",
            "it has failed: NodeAffinity: no match",
        ),
        ("Pod", {}, {"phase": "Failed"}, "failed", "it has failed"),
    ],
)
def test_the_verdict(kind: str, spec: dict[str, Any], status: dict[str, Any], state: str, reason: str) -> None:
    found = verdict(workload(kind, spec, status))
    assert found.state == state
    assert found.reason.startswith(reason)


@pytest.mark.parametrize("kind", sorted(kind for _, kind in WORKLOADS))
def test_what_is_being_deleted_never_gets_ready(kind: str) -> None:
    found = verdict(workload(kind, {}, {"phase": "Running", **condition("Ready")}, deletionTimestamp="2026-01-01T00:00:00Z"))
    assert (found.state, found.reason) == ("failed", "it is being deleted")


@pytest.mark.parametrize("kind", sorted(kind for _, kind in WORKLOADS))
def test_a_workload_without_a_status_is_awaited(kind: str) -> None:
    found = verdict({"kind": kind, "metadata": {"generation": 1}, "spec": {"replicas": 1}})
    assert found.state == "progress"


def test_pods_count_only_when_the_controller_knows_the_version() -> None:
    assert not verdict(workload("Deployment", {}, {"observedGeneration": 1})).seen
    assert verdict(workload("Deployment", {}, {})).seen

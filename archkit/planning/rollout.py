"""Whether a workload has come to where its manifest wants it, judged by its status.

Sources: ``kubectl rollout status`` (the same questions in the same order), and the API reference of each kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from archkit.planning.decoded import mapping

if TYPE_CHECKING:
    from collections.abc import Callable

State: TypeAlias = Literal["done", "progress", "failed"]


@attrs.frozen
class Verdict:
    """How far a workload has come."""

    state: State
    reason: str
    """For a person: what is still awaited, or what went wrong."""
    seen: bool = True
    """Whether the workload's controller knows the newest version; its pods are those of an older one until then."""


def verdict(workload: Mapping[str, Any]) -> Verdict:
    """How far a workload of one of :data:`WORKLOADS` has come.

    Args:
        workload: The object, as the API has it.
    """
    status, metadata = mapping(workload.get("status")), mapping(workload.get("metadata"))
    if metadata.get("deletionTimestamp"):
        return Verdict("failed", "it is being deleted")
    generation = _number(metadata, "generation")
    judge, observes = _JUDGES[str(workload.get("kind"))]
    if observes and _number(status, "observedGeneration") < generation:
        return Verdict("progress", "its controller has not seen this version yet", seen=False)
    return judge(mapping(workload.get("spec")), status)


def _deployment(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Verdict:
    conditions = _conditions(status)
    wanted = _number(spec, "replicas", 1)
    updated, there, available = (_number(status, key) for key in ("updatedReplicas", "replicas", "availableReplicas"))
    finished = updated >= wanted and there <= updated and available >= updated
    if finished:
        return Verdict("done", f"{available} of {wanted} replicas are available")
    progressing = conditions.get("Progressing", {})
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Verdict("failed", f"it made no progress within its deadline ({available} of {wanted} replicas are available)")
    if spec.get("paused"):
        return Verdict("failed", "it is paused (spec.paused), so it will not roll out")
    failure = conditions.get("ReplicaFailure", {})
    if failure.get("status") == "True":
        return Verdict("progress", f"pods cannot be created: {failure.get('message')}")
    if updated < wanted:
        return Verdict("progress", f"{updated} of {wanted} replicas are updated")
    if there > updated:
        return Verdict("progress", f"{there - updated} old replicas are still there")
    return Verdict("progress", f"{available} of {updated} updated replicas are available")


def _stateful_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Verdict:
    wanted = _number(spec, "replicas", 1)
    ready, updated = _number(status, "readyReplicas"), _number(status, "updatedReplicas")
    strategy = mapping(spec.get("updateStrategy"))
    if ready < wanted:
        return Verdict("progress", f"{ready} of {wanted} replicas are ready")
    if strategy.get("type") == "OnDelete":
        return Verdict("done", f"{ready} of {wanted} replicas are ready; they are updated when they are deleted (OnDelete)")
    kept = _number(mapping(strategy.get("rollingUpdate")), "partition")
    if updated < wanted - kept:
        return Verdict("progress", f"{updated} of {wanted - kept} replicas are updated")
    if not kept and status.get("updateRevision") != status.get("currentRevision"):
        return Verdict("progress", f"{updated} of {wanted} replicas are updated")
    return Verdict("done", f"{ready} of {wanted} replicas are ready")


def _daemon_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Verdict:
    wanted, updated, available = (_number(status, key) for key in ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"))
    if mapping(spec.get("updateStrategy")).get("type") != "OnDelete" and updated < wanted:
        return Verdict("progress", f"{updated} of {wanted} pods are updated")
    if available < wanted:
        return Verdict("progress", f"{available} of {wanted} pods are available")
    return Verdict("done", f"{available} of {wanted} pods are available" if wanted else "no node is one for its pods")


def _job(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Verdict:
    conditions = _conditions(status)
    done, wanted = _number(status, "succeeded"), _number(spec, "completions", 1)
    if conditions.get("Complete", {}).get("status") == "True":
        return Verdict("done", f"{done} of {wanted} pods have succeeded")
    for kind in ("Failed", "FailureTarget"):
        failed = conditions.get(kind, {})
        if failed.get("status") == "True":
            return Verdict("failed", f"{failed.get('reason') or 'Failed'}: {failed.get('message') or 'no message'}")
    if spec.get("suspend"):
        return Verdict("done", "it is suspended (spec.suspend)")
    return Verdict("progress", f"{done} of {wanted} pods have succeeded")


def _pod(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Verdict:
    del spec
    phase = status.get("phase")
    if phase == "Succeeded":
        return Verdict("done", "it has succeeded")
    if phase == "Failed":
        said = ": ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
        return Verdict("failed", f"it has failed{': ' if said else ''}{said}")
    ready = _conditions(status).get("Ready", {})
    if phase == "Running" and ready.get("status") == "True":
        return Verdict("done", "it is ready")
    return Verdict("progress", "it runs and is not ready" if phase == "Running" else f"it is {str(phase or 'Pending').lower()}")


_JUDGES: dict[str, tuple[Callable[[Mapping[str, Any], Mapping[str, Any]], Verdict], bool]] = {
    "Deployment": (_deployment, True),
    "StatefulSet": (_stateful_set, True),
    "DaemonSet": (_daemon_set, True),
    "Job": (_job, False),
    "Pod": (_pod, False),
}
WORKLOADS = frozenset({("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "DaemonSet"), ("batch", "Job"), ("", "Pod")})
"""Group and kind of what can be waited for."""


def _number(fields: Mapping[str, Any], key: str, default: int = 0) -> int:
    value = fields.get(key)
    return value if isinstance(value, int) else default


def _conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found = status.get("conditions")
    items = found if isinstance(found, Sequence) and not isinstance(found, str) else ()
    return {str(item.get("type")): item for item in items if isinstance(item, Mapping)}

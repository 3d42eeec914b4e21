"""Follows workloads until they are where their manifests want them, or it is clear that they will not be."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import attrs

from archkit.adapters.kube.answers import refused
from archkit.applying.api import Api, grant, rule
from archkit.applying.progress import Progress
from archkit.applying.results import AppliedObject, Rollout
from archkit.errors import CancelledError, ClusterError, ClusterForbiddenError, ClusterSignInError, RolloutError, RolloutTimeoutError
from archkit.model.cluster import Cluster
from archkit.planning.decoded import mapping
from archkit.planning.pod_trouble import Trouble, explained, troubles_of
from archkit.planning.rollout import WORKLOADS, Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHORTEST = 0.3
"""Seconds between two looks at the same workload, however much happens."""
_LONGEST = 2.0
"""Seconds after which it is looked at again though nothing was heard."""
_AT_ONCE = 8
"""Workloads that are looked at at the same time."""
_PODS = 100
"""Pods of one workload that are looked at."""
_TOLD = 3
"""Reasons that are told of one workload."""
_NODES_AGE = 30.0
"""Seconds for which the nodes are believed."""
_LOG_LINES = 5
_UNKNOWN = Verdict("progress", "nothing is known of it yet")


class _NotAllowedError(Exception):
    """What would be read may not be."""


@attrs.define
class _Followed:
    """A workload that is waited for."""

    label: str
    path: str
    verdict: Verdict = _UNKNOWN
    version: str = ""
    """The ``resourceVersion`` at the last look."""


@attrs.define
class Waiting:
    """One wait: looks at every workload in turn; between two rounds a watch tells when something happens.

    What is judged always comes from a fresh read, never from the watch itself, so that a watch that ends, breaks off
    or is too old (410) costs nothing but time.
    """

    api: Api
    progress: Progress
    _cluster: tuple[float, Cluster | None] | None = None
    """When the nodes were read, and they; None: they may not be."""
    _missing: dict[str, None] = attrs.field(factory=dict[str, None])
    """Rules that would have let this see more."""
    _deaf: int = 0
    """How many watches failed one after the other."""
    _silence: str = ""
    """What the cluster last failed to answer."""

    def until_ready(self, objects: Iterable[AppliedObject], timeout: float) -> Rollout:
        """Wait for the workloads among these; see :meth:`archkit.Applier.wait`."""
        followed = [_Followed(item.label, item.path) for item in objects if (item.api_version.rpartition("/")[0], item.kind) in WORKLOADS]
        until = time.monotonic() + timeout
        pending = list(followed)
        with ThreadPoolExecutor(_AT_ONCE, "archkit-wait") as pool:
            while True:
                started = time.monotonic()
                self._look_at(pending, until, pool)
                pending = [one for one in pending if one.verdict.state != "done"]
                if any(one.verdict.state == "failed" for one in pending):
                    raise self._failed(pending, len(followed))
                if not pending:
                    return Rollout(tuple((one.label, one.verdict.reason) for one in followed))
                if time.monotonic() >= until:
                    raise self._too_late(pending, len(followed), timeout)
                self._listen(pending[0], until, started)

    # ---- one round -----------------------------------------------------------------------------------------------

    def _look_at(self, pending: Sequence[_Followed], until: float, pool: ThreadPoolExecutor) -> None:
        if self.progress.cancel.is_set():
            raise CancelledError(f"waiting for {', '.join(one.label for one in pending)}")

        def look(one: _Followed) -> Verdict | ClusterError:
            try:
                return self._judged(one, until)
            except (ClusterForbiddenError, ClusterSignInError):
                raise
            except ClusterError as error:  # it may come back: the API server of a cluster that is upgraded does
                return error

        self._silence = ""
        for one, found in zip(pending, pool.map(look, pending), strict=True):
            if isinstance(found, ClusterError):
                self._silence = found.reason
            elif found != one.verdict:
                one.verdict = found
                self.progress.tell("wait", f"{one.label}: {found.reason}")

    def _judged(self, one: _Followed, until: float) -> Verdict:
        workload = self._read(one.path, until)
        if workload is None:
            return Verdict("failed", "it is not there any more")
        one.version = str(mapping(workload.get("metadata")).get("resourceVersion") or "")
        found = verdict(workload)
        if found.state == "done" or not found.seen:
            return found
        return self._with_troubles(found, workload, one, until)

    def _with_troubles(self, found: Verdict, workload: Mapping[str, Any], one: _Followed, until: float) -> Verdict:
        """The verdict with what is wrong with the pods, which may be beyond mending."""
        try:
            pods = self._pods(workload, one.path, until)
        except _NotAllowedError:
            return found
        troubles = [(pod, trouble) for pod in pods for trouble in troubles_of(pod)[:1]]
        told: dict[str, list[str]] = {}
        final = False
        for pod, trouble in sorted(troubles, key=lambda pair: not pair[1].final):
            shown = self._explained(pod, trouble, until) if len(told) < _TOLD else trouble
            final = final or shown.final
            told.setdefault(shown.reason, []).append(shown.pod)
        if not told:
            return found
        own = workload.get("kind") == "Pod"
        reasons = [reason if own else f"pod {_some(names)}: {reason}" for reason, names in list(told.items())[:_TOLD]]
        return Verdict("failed" if final else found.state, "; ".join((found.reason, *reasons)))

    def _explained(self, pod: Mapping[str, Any], trouble: Trouble, until: float) -> Trouble:
        if trouble.looping:
            trouble = self._from_log(pod, trouble, until)
        return explained(trouble, pod, self._nodes(until)) if trouble.unplaced or trouble.node else trouble

    def _pods(self, workload: Mapping[str, Any], path: str, until: float) -> list[Mapping[str, Any]]:
        """The pods of a workload's newest version."""
        if workload.get("kind") == "Pod":
            return [workload]
        space = f"/api/v1/namespaces/{path.split('/namespaces/')[1].partition('/')[0]}"
        query = {"labelSelector": _selector(workload), "limit": str(_PODS)}
        listed = self._allowed(f"{space}/pods", rule("", "pods", "list"), until, query)
        label, value = self._version_label(workload, path, query, until)
        pods = [pod for pod in listed.get("items") or () if isinstance(pod, dict)]
        return [
            {"kind": "Pod", **pod}
            for pod in pods
            if value is None or mapping(mapping(pod.get("metadata")).get("labels")).get(label, value) == value
        ]

    def _version_label(self, workload: Mapping[str, Any], path: str, query: Mapping[str, str], until: float) -> tuple[str, str | None]:
        """The label that pods of the newest version have, and its value; None where it is not known."""
        kind, status = workload.get("kind"), workload.get("status")
        notes = mapping(workload.get("metadata")).get("annotations") or {}
        if kind == "StatefulSet" and isinstance(status, Mapping):
            return "controller-revision-hash", status.get("updateRevision")
        if kind == "DaemonSet":
            return "pod-template-generation", notes.get("deprecated.daemonset.template.generation")
        if kind != "Deployment":
            return "", None
        label, revision = "pod-template-hash", "deployment.kubernetes.io/revision"
        sets = path.replace("/deployments/", "/replicasets/").rpartition("/")[0]
        try:
            listed = self._allowed(sets, rule("apps", "replicasets", "list"), until, query)
        except _NotAllowedError:
            return label, None
        newest = [
            mapping(mapping(item.get("metadata")).get("labels")).get(label)
            for item in listed.get("items") or ()
            if (mapping(item.get("metadata")).get("annotations") or {}).get(revision) == notes.get(revision)
        ]
        return label, newest[0] if len(newest) == 1 else None

    def _from_log(self, pod: Mapping[str, Any], trouble: Trouble, until: float) -> Trouble:
        """A program for another CPU ends with any exit code, and only its log says why."""
        metadata = mapping(pod.get("metadata"))
        path = f"/api/v1/namespaces/{metadata.get('namespace')}/pods/{metadata.get('name')}/log"
        query = {"container": trouble.looping, "previous": "true", "tailLines": str(_LOG_LINES)}
        try:
            answer = self.api.connection.request("GET", path, query=query, timeout=_left(until))
        except ClusterError:
            return trouble
        return trouble.with_log(answer.body.decode("utf-8", "replace")) if answer.status == 200 else trouble

    def _nodes(self, until: float) -> Cluster | None:
        now = time.monotonic()
        if self._cluster is None or now - self._cluster[0] > _NODES_AGE:
            self._cluster = (now, self._read_nodes(until))
        return self._cluster[1]

    def _read_nodes(self, until: float) -> Cluster | None:
        from archkit.adapters.kube.nodes import KubeNodeSource  # msgspec: only when something is wrong

        try:
            nodes, _ = KubeNodeSource(self.api.connection, _left(until)).nodes()
        except ClusterForbiddenError:
            self._missing[rule("", "nodes", "list")] = None
            return None
        return Cluster(nodes, source=self.api.name)

    # ---- between two rounds --------------------------------------------------------------------------------------

    def _listen(self, one: _Followed, until: float, started: float) -> None:
        """Come back when something happens to this workload, or after a while."""
        self.progress.cancel.wait(max(0.0, min(_SHORTEST, until - time.monotonic())))
        left = min(_LONGEST, until - time.monotonic())
        if left <= 0 or self.progress.cancel.is_set():
            return
        if self._silence or self._deaf > _TOLD or not one.version:
            self.progress.cancel.wait(min(left, max(0.0, started + 1.0 - time.monotonic())))
            return
        parent, _, name = one.path.rpartition("/")
        query = {"watch": "1", "fieldSelector": f"metadata.name={name}", "resourceVersion": one.version, "timeoutSeconds": "2"}
        try:
            for _ in self.api.connection.lines(parent, query=query, timeout=left):
                break
            self._deaf = 0
        except ClusterError:  # 410, a server that went away, or a watch that is not allowed: look again
            self._deaf += 1
            self.progress.cancel.wait(min(left, _SHORTEST))

    # ---- reading -------------------------------------------------------------------------------------------------

    def _read(self, path: str, until: float) -> dict[str, Any] | None:
        """An object; None where it is not there.

        Raises:
            ClusterError: No answer, or a refusal.
        """
        answer = self.api.connection.request("GET", path, timeout=_left(until))
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise refused(self.api.name, "GET", path, answer)
        return self.api.decoded(path, answer)

    def _allowed(self, path: str, needed: str, until: float, query: Mapping[str, str]) -> dict[str, Any]:
        answer = self.api.connection.request("GET", path, query=query, timeout=_left(until))
        if answer.status == 403:
            self._missing[needed] = None
            raise _NotAllowedError
        if answer.status != 200:
            raise refused(self.api.name, "GET", path, answer)
        return self.api.decoded(path, answer)

    # ---- errors --------------------------------------------------------------------------------------------------

    def _failed(self, pending: Sequence[_Followed], total: int) -> RolloutError:
        failed = sum(one.verdict.state == "failed" for one in pending)
        reason = f"{failed} of {total} workloads cannot get ready"
        return RolloutError(self.api.name, reason, self._remedy(), self._named(pending))

    def _too_late(self, pending: Sequence[_Followed], total: int, timeout: float) -> RolloutTimeoutError:
        reason = f"{len(pending)} of {total} workloads are not ready after {timeout:g} s"
        if self._silence:
            reason += f"; the cluster does not answer: {self._silence}"
        return RolloutTimeoutError(self.api.name, reason, self._remedy(), self._named(pending), timeout)

    def _named(self, pending: Sequence[_Followed]) -> tuple[tuple[str, str], ...]:
        return tuple((one.label, one.verdict.reason) for one in sorted(pending, key=lambda one: one.verdict.state != "failed"))

    def _remedy(self) -> str:
        return f"to see why, {grant(self._missing)}" if self._missing else ""


def _left(until: float) -> float:
    """Seconds for one request: a slow cluster gets a few, so that a short wait, too, ends with what there is to say."""
    return min(30.0, max(3.0, until - time.monotonic()))


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _selector(workload: Mapping[str, Any]) -> str:
    """A workload's label selector as text."""
    spec = workload.get("spec")
    selector = spec.get("selector") if isinstance(spec, Mapping) else None
    parts = [f"{key}={value}" for key, value in (selector or {}).get("matchLabels", {}).items()]
    for item in (selector or {}).get("matchExpressions") or ():
        key, operator, values = item.get("key"), item.get("operator"), ",".join(item.get("values") or ())
        parts.append(
            {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": str(key), "DoesNotExist": f"!{key}"}[str(operator)]
        )
    return ",".join(parts)

"""Nodes as kubelets register them, and what kwok says in the place of kubelets."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ARM_TAINT = "kubernetes.io/arch=arm64:NoSchedule"
"""What Google Kubernetes Engine puts on its Arm nodes."""

OUTCOME = "archkit.test/outcome"
"""Annotation of a pod (template) that says how its containers end where there is no kubelet to try: a key of OUTCOMES."""
PULL_FAILURE, EXEC_FORMAT_ERROR, CRASHES, NEVER_READY = "pull-failure", "exec-format-error", "crashes", "never-ready"
OUTCOMES = (PULL_FAILURE, EXEC_FORMAT_ERROR, CRASHES, NEVER_READY)
"""EXEC_FORMAT_ERROR says so in the pod's status, as where the termination message falls back to the log; CRASHES does not."""
WRONG_CPU = "wrong-cpu"
"""A container of this name has `exec format error` in its log; each other one has ORDINARY_LOG."""
ORDINARY_LOG, EXEC_FORMAT_LOG = "no database: giving up\n", "exec /app: exec format error\n"


def taint(text: str) -> dict[str, str]:
    """A taint as `kubectl taint` writes it: ``KEY=VALUE:EFFECT`` or ``KEY:EFFECT``."""
    rest, _, effect = text.rpartition(":")
    key, _, value = rest.partition("=")
    return {"key": key, "value": value, "effect": effect} if value else {"key": key, "effect": effect}


def node(
    name: str,
    platform: str = "linux/amd64",
    *,
    labels: Mapping[str, str | None] | None = None,
    taints: Iterable[str] = (),
    cordoned: bool = False,
    ready: bool = True,
    node_info: Mapping[str, str] | None = None,
    images: int = 0,
) -> dict[str, Any]:
    """A node to declare.

    Args:
        name: Its name; also its label ``kubernetes.io/hostname``.
        platform: ``OS/CPU``, for the labels and for what its kubelet reports.
        labels: More labels, or other values; None leaves one out.
        taints: As `kubectl taint` writes them.
        cordoned: ``kubectl cordon``.
        ready: False: its kubelet says that it is not.
        node_info: Fields of ``status.nodeInfo`` that are not as the platform says.
        images: How many images it has pulled; 50, which is what kubelets report at most, make a node of 13 KB.
    """
    os_name, _, arch = platform.partition("/")
    base: dict[str, str | None] = {
        "kubernetes.io/os": os_name,
        "kubernetes.io/arch": arch,
        "kubernetes.io/hostname": name,
        **(labels or {}),
    }
    info = dict.fromkeys(
        ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion"),
        "",
    )
    resources = {"cpu": "64", "memory": "256Gi", "pods": "5000", "ephemeral-storage": "1Ti"}
    status: dict[str, Any] = {
        "nodeInfo": {**info, "operatingSystem": os_name, "architecture": arch, **(node_info or {})},
        "capacity": resources,
        "allocatable": resources,
    }
    if images:
        status["images"] = [_image(name, number) for number in range(images)]
    if not ready:  # kwok makes a node ready that is not there yet; this one is there, and is not
        status["phase"] = "Running"
        status["conditions"] = [
            {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "container runtime network not ready"}
        ]
    spec: dict[str, Any] = {"taints": [taint(text) for text in taints], "unschedulable": cordoned}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {key: value for key, value in base.items() if value is not None}},
        "spec": {key: value for key, value in spec.items() if value},
        "status": status,
    }


def _image(node_name: str, number: int) -> dict[str, Any]:
    digest = hashlib.sha256(f"{node_name} {number}".encode()).hexdigest()
    name = f"registry.example.com/team/service-{number}"
    return {"names": [f"{name}@sha256:{digest}", f"{name}:1.{number}"], "sizeBytes": 10_000_000 + number}


# ---- in the place of kubelets ------------------------------------------------------------------------------------

_NODE_READY = """\
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: node-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: DoesNotExist}
    - {key: '.status.phase', operator: NotIn, values: [Running]}
  next:
    statusTemplate: |
      phase: Running
      addresses:
      - {type: InternalIP, address: 127.0.0.1}
      daemonEndpoints: {kubeletEndpoint: {Port: KUBELET}}
      conditions:
      - {type: Ready, status: "True", reason: KubeletReady, message: "", lastHeartbeatTime: {{ Now | Quote }}, lastTransitionTime: {{ Now | Quote }}}
"""

_POD_DELETED = """\
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-deleted}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: Exists}
  next:
    finalizers: {empty: true}
    delete: true
"""

_POD = """\
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-NAME}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: DoesNotExist}
    - {key: '.status.startTime', operator: DoesNotExist}
    - {key: '.metadata.annotations["ANNOTATION"]', operator: WHEN}
  next:
    statusTemplate: |
      {{ $now := Now }}
      phase: PHASE
      podIP: 10.0.0.7
      startTime: {{ $now | Quote }}
      conditions:
      - {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
      - {type: Ready, status: "READY", lastTransitionTime: {{ $now | Quote }}}
      - {type: ContainersReady, status: "READY", lastTransitionTime: {{ $now | Quote }}}
      initContainerStatuses:
      {{ range .spec.initContainers }}
      - {image: {{ .image | Quote }}, name: {{ .name | Quote }}, ready: true, restartCount: 0, imageID: "", state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}}
      {{ end }}
      containerStatuses:
      {{ range .spec.containers }}
      - {image: {{ .image | Quote }}, name: {{ .name | Quote }}, ready: IS_READY, imageID: "", CONTAINER}
      {{ end }}
"""

_JOB_DONE = """\
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-of-a-job-done}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: DoesNotExist}
    - {key: '.status.phase', operator: In, values: [Running]}
    - {key: '.metadata.annotations["ANNOTATION"]', operator: DoesNotExist}
    - {key: '.metadata.ownerReferences.[].kind', operator: In, values: [Job]}
  next:
    statusTemplate: |
      {{ $now := Now }}
      phase: Succeeded
      containerStatuses:
      {{ range .spec.containers }}
      - {image: {{ .image | Quote }}, name: {{ .name | Quote }}, ready: false, restartCount: 0, imageID: "", state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}}
      {{ end }}
"""

_RUNNING = "restartCount: 0, started: true, state: {running: {startedAt: {{ $now | Quote }}}}"
_NOT_PULLED = (
    "restartCount: 0, started: false, state: {waiting: {reason: ImagePullBackOff, message: {{ printf"
    ' "Back-off pulling image %q: ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image %q:'
    ' no match for platform in manifest: not found" .image .image | Quote }}}}'
)
_NOT_EXECUTED = (
    "restartCount: 3, started: false, state: {waiting: {reason: CrashLoopBackOff, message: {{ printf"
    ' "back-off 40s restarting failed container=%s" .name | Quote }}}}, lastState: {terminated: {exitCode: 255, reason: Error,'
    ' message: "exec /app: exec format error", startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}'
)


_LOGS = """\
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterLogs
metadata: {name: logs}
spec:
  logs:
  - {containers: [WRONG], logsFile: "FOLDER/WRONG.txt", previousLogsFile: "FOLDER/WRONG.txt"}
  - {logsFile: "FOLDER/ordinary.txt", previousLogsFile: "FOLDER/ordinary.txt"}
"""


def write_logs(folder: Path) -> None:
    """What containers log, as a container runtime keeps it."""
    for name, said in ((WRONG_CPU, EXEC_FORMAT_LOG), ("ordinary", ORDINARY_LOG)):
        lines = [f"2026-01-02T03:04:05.678901234Z stderr F {line}\n" for line in said.splitlines()]
        (folder / f"{name}.txt").write_text("".join(lines))


def stages(kubelet: int, logs: Path) -> str:
    """What kwok does: nodes become ready, pods run, pods of Jobs succeed; those with an OUTCOME end as it says.

    Args:
        kubelet: The port at which it answers for kubelets.
        logs: The folder of `write_logs`.
    """

    def pod(name: str, container: str, *, phase: str = "Running", ready: bool = False) -> str:
        when = "DoesNotExist" if name == "runs" else f"In, values: [{name}]"
        fields = {"NAME": name, "ANNOTATION": OUTCOME, "WHEN": when, "PHASE": phase, "CONTAINER": container}
        text = _POD.replace("IS_READY", str(ready).lower()).replace("READY", str(ready))
        for key, value in fields.items():
            text = text.replace(key, value)
        return text

    documents = [
        _NODE_READY.replace("KUBELET", str(kubelet)),
        _LOGS.replace("FOLDER", str(logs)).replace("WRONG", WRONG_CPU),
        _POD_DELETED,
        _JOB_DONE.replace("ANNOTATION", OUTCOME),
        pod("runs", _RUNNING, ready=True),
        pod(PULL_FAILURE, _NOT_PULLED, phase="Pending"),
        pod(EXEC_FORMAT_ERROR, _NOT_EXECUTED),
        pod(CRASHES, _NOT_EXECUTED.replace('message: "exec /app: exec format error", ', "")),
        pod(NEVER_READY, _RUNNING),
    ]
    return "---\n".join(documents)

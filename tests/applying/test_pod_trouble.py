"""Why a pod does not get ready, from what scheduler, kubelet and container runtime say of it.

The statuses are those that kubelets write (no kubelet runs here): the texts of containerd 1.7 and 2.0, CRI-O 1.30 and
Docker 28 where an image has nothing for a node's platform.
"""

from __future__ import annotations

from typing import Any

import pytest

from archkit import Cluster, Node, Taint
from archkit.planning.pod_trouble import Trouble, asked_platforms, explained, troubles_of

IMAGE = "shop/web:1"


def node(name: str, arch: str, *taints: Taint) -> Node:
    return Node(name, {"kubernetes.io/os": "linux", "kubernetes.io/arch": arch}, taints)


MIXED = Cluster([node("a", "amd64"), node("b", "amd64"), node("c", "arm64", Taint("kubernetes.io/arch", "arm64"))])


def pod(status: dict[str, Any], *, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web-1", **metadata}, "spec": {"nodeName": "a", **(spec or {})}, "status": status}


def container(
    waiting: tuple[str, str] | None = None, ended: dict[str, Any] | None = None, before: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    state: dict[str, Any] = (
        {"terminated": ended} if ended else {"waiting": {"reason": waiting[0], "message": waiting[1]}} if waiting else {}
    )
    return {"name": "web", "image": IMAGE, "state": state, "lastState": {"terminated": before} if before else {}, **more}


NO_PLATFORM = (
    'rpc error: code = NotFound desc = failed to pull and unpack image "shop/web:1": no match for platform in manifest: not found',
    'rpc error: code = NotFound desc = failed to pull and unpack image "shop/web:1": no match for platform in manifest sha256:aa: not found',
    "no matching manifest for linux/arm64/v8 in the manifest list entries",
    "no matching manifest for linux/arm64 in the manifest list entries: no match for platform in manifest: not found",
    "image with reference shop/web:1 was found but does not match the specified platform: wanted linux/arm64, actual: linux/amd64",
    'choosing image instance: no image found in image index for architecture "arm64", variant "v8", OS "linux"',
    'choosing an image from manifest list: no image found in manifest list for architecture arm64, variant "v8", OS linux',
)


@pytest.mark.parametrize("message", NO_PLATFORM)
@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_an_image_that_has_nothing_for_the_node_is_beyond_waiting(reason: str, message: str) -> None:
    found = troubles_of(pod({"phase": "Pending", "containerStatuses": [container((reason, message))]}))
    assert [one.final for one in found] == [True]
    assert found[0].reason.startswith(f"image {IMAGE} has nothing for the platform on node a: ")
    assert explained(found[0], pod({}), MIXED).reason.endswith("; the node is linux/amd64")


@pytest.mark.parametrize("where", ["waiting", "ended", "before"])
@pytest.mark.parametrize("key", ["containerStatuses", "initContainerStatuses"])
def test_a_program_for_another_cpu_is_beyond_waiting(key: str, where: str) -> None:
    said = "exec /app: exec format error"
    made = {
        "waiting": container(("RunContainerError", f"failed to create containerd task: runc create failed: {said}")),
        "ended": container(ended={"exitCode": 128, "reason": "StartError", "message": said}),
        "before": container(("CrashLoopBackOff", "back-off"), before={"exitCode": 255, "message": said}),
    }[where]
    found = troubles_of(pod({"phase": "Running", key: [made]}))
    assert [(one.final, one.reason) for one in found] == [
        (True, f"the program in image {IMAGE} is for another CPU on node a (exec format error)")
    ]


def test_a_looping_container_says_how_it_ends_and_its_log_may_say_why() -> None:
    status = container(("CrashLoopBackOff", "back-off 40s"), before={"exitCode": 1}, restartCount=4)
    found = troubles_of(pod({"phase": "Running", "containerStatuses": [status]}))[0]
    assert (found.final, found.looping) == (False, "web")
    assert found.reason == f"container web ({IMAGE}) ends again and again with exit code 1, restarted 4 times"
    assert found.with_log("password=hunter2\nboom\n") == found
    told = found.with_log("standard_init_linux.go:228: exec user process caused: exec format error\npassword=hunter2")
    assert told.final
    assert "hunter2" not in told.reason


@pytest.mark.parametrize(
    ("waiting", "final", "says"),
    [
        (("ErrImagePull", "unauthorized"), False, f"image {IMAGE}: ErrImagePull: unauthorized"),
        (("ImagePullBackOff", "Back-off pulling image"), False, f"image {IMAGE}: ImagePullBackOff: Back-off pulling image"),
        (("InvalidImageName", "bad"), True, f"image {IMAGE}: InvalidImageName: bad"),
        (("ErrImageNeverPull", "not there"), True, f"image {IMAGE}: ErrImageNeverPull: not there"),
        (
            ("CreateContainerConfigError", 'configmap "x" not found'),
            False,
            'container web: CreateContainerConfigError: configmap "x" not found',
        ),
    ],
)
def test_other_reasons_for_waiting(waiting: tuple[str, str], final: bool, says: str) -> None:
    found = troubles_of(pod({"phase": "Pending", "containerStatuses": [container(waiting)]}))
    assert [(one.final, one.reason) for one in found] == [(final, says)]


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Pending", "containerStatuses": [container(("ContainerCreating", ""))]},
        {"phase": "Pending", "containerStatuses": [container(("PodInitializing", ""))]},
        {"phase": "Running", "containerStatuses": [container()]},
        {"phase": "Succeeded", "containerStatuses": [container(ended={"exitCode": 0})]},
        {"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}]},
        {},
    ],
)
def test_a_pod_that_merely_starts_or_ends_well_has_no_trouble(status: dict[str, Any]) -> None:
    assert troubles_of(pod(status)) == []


def test_a_pod_that_goes_away_has_no_trouble() -> None:
    status = {"containerStatuses": [container(("ErrImagePull", "unauthorized"))]}
    assert troubles_of(pod(status, deletionTimestamp="2026-01-01T00:00:00Z")) == []


def test_what_is_beyond_waiting_comes_first() -> None:
    statuses = [container(("ErrImagePull", "unauthorized")), container(("InvalidImageName", "bad"))]
    assert [one.final for one in troubles_of(pod({"containerStatuses": statuses}))] == [True, False]


def test_how_a_container_and_a_pod_failed() -> None:
    ended = container(ended={"exitCode": 3, "message": "no such table"})
    status = {"phase": "Failed", "reason": "Evicted", "message": "low on memory", "containerStatuses": [ended]}
    assert [one.reason for one in troubles_of(pod(status))] == [
        "Evicted: low on memory",
        f"container web ({IMAGE}) ended with exit code 3: no such table",
    ]


# ---- no node -----------------------------------------------------------------------------------------------------

UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available: 1 node(s) had untolerated taint {kubernetes.io/arch: arm64}, 2 node(s) didn't match Pod's node"
            " affinity/selector. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
        }
    ],
}
ARM = {"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"]}
LINUX = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}


def required(*terms: list[dict[str, Any]]) -> dict[str, Any]:
    selector = {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}
    return {"nodeName": "", "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": selector}}}


def test_the_schedulers_words_and_the_platforms_are_told() -> None:
    made = pod(UNSCHEDULABLE, spec=required([LINUX, ARM]))
    found = troubles_of(made)[0]
    assert (found.final, found.unplaced) == (False, True)
    assert found.reason == (
        "the scheduler finds no node: 0/3 nodes are available: 1 node(s) had untolerated taint {kubernetes.io/arch: arm64},"
        " 2 node(s) didn't match Pod's node affinity/selector"
    )
    assert explained(found, made, MIXED).reason == (
        f"{found.reason} (it may only run on linux/arm64; the nodes are linux/amd64 (2), linux/arm64 (1); not a, b: no node selector"
        " term matches it; not c: the taint kubernetes.io/arch=arm64:NoSchedule is not tolerated)"
    )
    assert explained(found, made, None) == found


def test_a_gated_pod_is_no_matter_of_nodes() -> None:
    status = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}
    assert troubles_of(pod(status)) == [Trouble("web-1", "a scheduling gate holds it back", final=False)]


@pytest.mark.parametrize(
    ("spec", "platforms"),
    [
        (required([LINUX, ARM]), ["linux/arm64"]),
        (required([LINUX, ARM], [LINUX, {**ARM, "values": ["amd64"]}]), ["linux/amd64", "linux/arm64"]),
        (required([ARM]), ["*/arm64"]),
        (required([{"key": "zone", "operator": "Exists"}]), []),
        ({"nodeSelector": {"kubernetes.io/arch": "s390x", "kubernetes.io/os": "linux"}}, ["linux/s390x"]),
        ({"nodeSelector": {"kubernetes.io/arch": "s390x"}}, ["*/s390x"]),
        (required([{"key": "kubernetes.io/arch", "operator": "Is"}]), []),
        ({}, []),
    ],
)
def test_the_platforms_that_a_pod_asks_for(spec: dict[str, Any], platforms: list[str]) -> None:
    assert asked_platforms(spec) == platforms

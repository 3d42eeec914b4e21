"""Applier.wait: until everything is there, with the reason when it will not be. Against the embedded cluster.

Its nodes have no time and no kubelets: what stays unready here is a status that a test wrote, or an image of which the
cluster knows that it does not fit.
"""

from __future__ import annotations

import json
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from app_manifests import CONFIG, DAEMON_SET, DEPLOYMENT, JOB, POD, STATEFUL_SET, stream

from archkit import (
    Applier,
    CancelledError,
    ClusterConnection,
    ClusterForbiddenError,
    ClusterSignInError,
    Event,
    Retries,
    RolloutError,
    RolloutTimeoutError,
)
from archkit.testing.messages import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from archkit.testing import EmbeddedCluster
    from archkit.testing.faults import FaultRule

IMAGES = {
    **dict.fromkeys(("example.test/web:1", "example.test/db:1", "example.test/agent:1"), "linux/amd64"),
    "example.test/web:2": "linux/amd64,linux/s390x",
}


@pytest.fixture
def archkit_cluster_options() -> dict[str, Any]:
    return {"images": IMAGES}


def changed(**status: Any) -> Callable[[Response], Response]:
    """Makes an object in an answer have this status, those of other kinds stay."""

    def change(response: Response) -> Response:
        if response.status != 200:
            return response
        fields = json.loads(response.body)
        fields["status"] = {**fields.get("status", {}), **status}
        return Response(200, {"Content-Type": "application/json"}, json.dumps(fields).encode())

    return change


def reading(cluster: EmbeddedCluster) -> FaultRule:
    """A rule for reads of the Deployment."""
    return cluster.on("GET", resource="deployments", verb="get", name="web")


def test_all_kinds_of_workloads_are_waited_for(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    archkit_cluster.add_node(count=2)
    applied = applier.apply(stream(DEPLOYMENT, STATEFUL_SET, DAEMON_SET, JOB, POD, CONFIG))

    rollout = applier.wait(applied, timeout=10)

    assert dict(rollout.workloads) == {
        "Deployment/default/web": "2 of 2 replicas are available",
        "StatefulSet/default/db": "2 of 2 replicas are ready",
        "DaemonSet/default/agent": "2 of 2 pods are available",
        "Job/default/migrate": "1 of 1 pods have succeeded",
        "Pod/default/hello": "it is ready",
    }
    assert "Deployment/default/web: 2 of 2 replicas are available" in rollout.explain()


def test_a_node_that_comes_later_is_waited_for_and_told(archkit_cluster: EmbeddedCluster, applier: Applier, events: list[Event]) -> None:
    archkit_cluster.add_node("linux/arm64", arch_taint=True)
    applied = applier.apply(DEPLOYMENT)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(_when_told, events, "the scheduler finds no node", archkit_cluster.add_node)
        applier.wait(applied, timeout=20)
        future.result()
    told = [event.message for event in events if event.work == "wait" and event.stage == "progress"]
    assert "the nodes are linux/arm64 (1)" in told[0]
    assert "the taint kubernetes.io/arch=arm64:NoSchedule is not tolerated" in told[0]
    assert told[-1] == "Deployment/default/web: 2 of 2 replicas are available"


def _when_told(events: list[Event], words: str, act: Callable[[], object]) -> None:
    until = time.monotonic() + 10
    while not any(words in event.message for event in list(events)):
        assert time.monotonic() < until, events
        time.sleep(0.05)
    act()


def test_a_pod_that_no_node_takes(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    archkit_cluster.add_node()
    text = DEPLOYMENT.replace("      containers", "      nodeSelector: {kubernetes.io/arch: s390x}\n      containers")
    with pytest.raises(RolloutTimeoutError) as caught:
        applier.wait(applier.apply(stream(text, CONFIG)), timeout=2)
    ((label, reason),) = caught.value.workloads
    assert label == "Deployment/default/web"
    assert "it may only run on */s390x; the nodes are linux/amd64 (1); not node-1: nodeSelector asks for kubernetes.io/arch=s390x" in reason
    assert isinstance(caught.value, TimeoutError)
    assert "1 of 1 workloads are not ready after 2 s" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        pytest.param(
            "example.test/web:1", "is for another CPU on node node-1 (exec format error); the node is linux/arm64", id="single image"
        ),
        pytest.param("example.test/web:2", "has nothing for the platform on node node-1", id="index"),
    ],
)
def test_an_image_that_does_not_fit_ends_the_wait_at_once(
    archkit_cluster: EmbeddedCluster, applier: Applier, image: str, says: str
) -> None:
    archkit_cluster.add_node("linux/arm64")
    started = time.monotonic()
    with pytest.raises(RolloutError) as caught:
        applier.wait(applier.apply(DEPLOYMENT.replace("example.test/web:1", image)), timeout=60)
    assert time.monotonic() - started < 30
    assert not isinstance(caught.value, RolloutTimeoutError)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(
            STATEFUL_SET,
            "StatefulSet/default/db: 0 of 2 replicas are ready; pod db-0: the program in image example.test/db:1",
            id="StatefulSet",
        ),
        pytest.param(DAEMON_SET, "DaemonSet/default/agent: 0 of 1 pods are available; pod agent-", id="DaemonSet"),
        pytest.param(POD.replace("hello:1", "web:1"), "Pod/default/hello: it is pending; the program in image", id="Pod"),
    ],
)
def test_the_pods_of_every_kind_are_looked_at(archkit_cluster: EmbeddedCluster, applier: Applier, text: str, says: str) -> None:
    archkit_cluster.add_node("linux/arm64")
    with pytest.raises(RolloutError, match="exec format error") as caught:
        applier.wait(applier.apply(text), timeout=60)
    assert says in str(caught.value)


def test_a_log_may_say_why_a_container_ends(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    archkit_cluster.add_node()
    applied = applier.apply(POD)
    looping = {
        "name": "hello",
        "image": "example.test/hello:1",
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1}},
    }
    change = changed(conditions=[], containerStatuses=[looping])
    archkit_cluster.on("GET", resource="pods", verb="get", name="hello").tamper(change)
    archkit_cluster.on("GET", resource="pods/log").answer(200, body="password=hunter2\nexec /app: exec format error\n")
    with pytest.raises(RolloutError, match="its log says exec format error") as caught:
        applier.wait(applied, timeout=30)
    assert "ends again and again with exit code 1, restarted 3 times" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert not isinstance(caught.value, RolloutTimeoutError)


def test_every_workload_that_is_not_ready_is_named_worst_first(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    archkit_cluster.add_node()
    applied = applier.apply(stream(DEPLOYMENT, JOB, POD))
    reading(archkit_cluster).tamper(changed(availableReplicas=0))
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached its limit"}
    archkit_cluster.on("GET", resource="jobs", verb="get").tamper(changed(conditions=[failed]))
    with pytest.raises(RolloutError) as caught:
        applier.wait(applied, timeout=30)
    assert caught.value.workloads == (
        ("Job/default/migrate", "BackoffLimitExceeded: Job has reached its limit"),
        ("Deployment/default/web", "0 of 2 updated replicas are available"),
    )
    assert "1 of 3 workloads cannot get ready" in str(caught.value)


def test_pods_of_older_versions_do_not_count(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    archkit_cluster.add_node("linux/arm64")
    with pytest.raises(RolloutError):
        applier.wait(applier.apply(DEPLOYMENT), timeout=30)
    good = applier.apply(DEPLOYMENT.replace("web:1", "web:3"))  # of which nothing is known: it runs
    assert dict(applier.wait(good, timeout=30).workloads) == {"Deployment/default/web": "2 of 2 replicas are available"}


def test_the_pods_are_not_looked_at_while_the_controller_knows_the_old_version_only(
    archkit_cluster: EmbeddedCluster, applier: Applier
) -> None:
    archkit_cluster.add_node("linux/arm64")
    applied = applier.apply(DEPLOYMENT)
    reading(archkit_cluster).tamper(changed(observedGeneration=0))
    with pytest.raises(RolloutTimeoutError, match=r"its controller has not seen this version yet$"):
        applier.wait(applied, timeout=1)


def test_what_is_deleted_meanwhile_is_not_waited_for(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    applied = applier.apply(POD)
    archkit_cluster.on("GET", resource="pods", verb="get").answer(404)
    with pytest.raises(RolloutError, match="it is not there any more"):
        applier.wait(applied, timeout=30)


# ---- a cluster that answers badly --------------------------------------------------------------------------------


def test_a_watch_that_is_refused_breaks_off_or_is_too_old_costs_only_time(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    archkit_cluster.add_node()
    applied = applier.apply(DEPLOYMENT)
    reading(archkit_cluster).tamper(changed(availableReplicas=0)).times(4)
    archkit_cluster.on("GET", resource="deployments", verb="watch").answer(410).times(1)
    archkit_cluster.on("GET", resource="deployments", verb="watch").drop().times(1)
    gone = '{"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}\n'
    archkit_cluster.on("GET", resource="deployments", verb="watch").answer(200, body=gone).times(1)
    assert dict(applier.wait(applied, timeout=30).workloads) == {"Deployment/default/web": "2 of 2 replicas are available"}


def test_who_may_not_watch_looks_again_now_and_then(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    archkit_cluster.add_node()
    applied = applier.apply(DEPLOYMENT)
    archkit_cluster.deny("watch", "deployments")
    reading(archkit_cluster).tamper(changed(availableReplicas=0)).times(6)
    before = len(archkit_cluster.log)
    applier.wait(applied, timeout=30)
    watches = [one for one in archkit_cluster.log[before:] if one.verb == "watch"]
    assert 1 <= len(watches) <= 5


def test_an_answer_that_fails_now_and_then_is_asked_for_again(archkit_cluster: EmbeddedCluster) -> None:
    archkit_cluster.add_node()
    connection = ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig)
    connection._retries = Retries(attempts=1)
    applier = Applier(connection)
    applied = applier.apply(DEPLOYMENT)
    reading(archkit_cluster).answer(500, body="oh").times(1)
    reading(archkit_cluster).drop().times(1)
    reading(archkit_cluster).answer(200, body="no JSON").times(1)
    assert len(applier.wait(applied, timeout=30).workloads) == 1


def test_a_cluster_that_stays_away_is_told(archkit_cluster: EmbeddedCluster) -> None:
    connection = ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig)
    connection._retries = Retries(attempts=1)
    applier = Applier(connection)
    applied = applier.apply(DEPLOYMENT)
    reading(archkit_cluster).drop()
    with pytest.raises(RolloutTimeoutError, match="the cluster does not answer: ") as caught:
        applier.wait(applied, timeout=1)
    assert caught.value.workloads == (("Deployment/default/web", "nothing is known of it yet"),)


def test_who_may_not_see_pods_or_nodes_is_told_what_would_say_more(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    applied = applier.apply(DEPLOYMENT)
    archkit_cluster.deny("list", "pods")
    with pytest.raises(RolloutTimeoutError) as caught:
        applier.wait(applied, timeout=1)
    assert '- {apiGroups: [""], resources: ["pods"], verbs: ["list"]}' in str(caught.value)

    archkit_cluster.deny("list", "nodes")
    again = Applier(ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig))
    with pytest.raises(RolloutTimeoutError):
        again.wait(applied, timeout=1)


def test_who_may_not_see_nodes_or_replica_sets_gets_the_schedulers_words(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    archkit_cluster.add_node(cordoned=True)
    applied = applier.apply(DEPLOYMENT)
    archkit_cluster.deny("list", "nodes")
    archkit_cluster.deny("list", "replicasets")
    with pytest.raises(RolloutTimeoutError) as caught:
        applier.wait(applied, timeout=1)
    assert "the scheduler finds no node: 0/1 nodes are available" in caught.value.workloads[0][1]
    assert "the nodes are" not in caught.value.workloads[0][1]
    assert '- {apiGroups: [""], resources: ["nodes"], verbs: ["list"]}' in str(caught.value)
    assert '- {apiGroups: ["apps"], resources: ["replicasets"], verbs: ["list"]}' in str(caught.value)


def test_who_may_not_read_the_workload_cannot_wait(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    applied = applier.apply(DEPLOYMENT)
    archkit_cluster.deny("get", "deployments")
    with pytest.raises(ClusterForbiddenError, match=r"get deployments\.apps"):
        applier.wait(applied, timeout=30)


def test_credentials_that_expire_meanwhile_end_the_wait(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    applied = applier.apply(DEPLOYMENT)
    reading(archkit_cluster).answer(401, body='{"message": "Unauthorized"}')
    with pytest.raises(ClusterSignInError):
        applier.wait(applied, timeout=30)


def test_cancelling_ends_a_wait(archkit_cluster: EmbeddedCluster) -> None:
    stop = threading.Event()
    applier = Applier(ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig), cancel=stop)
    applied = applier.apply(DEPLOYMENT)
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    with pytest.raises(CancelledError, match="waiting for Deployment/default/web"):
        applier.wait(applied, timeout=60)
    timer.join()


def test_a_wait_is_told_from_start_to_end(archkit_cluster: EmbeddedCluster, applier: Applier, events: list[Event]) -> None:
    archkit_cluster.add_node()
    applied = applier.apply(POD)
    events.clear()
    applier.wait(applied, timeout=5)
    assert [(event.work, event.stage) for event in events] == [("wait", "started"), ("wait", "progress"), ("wait", "finished")]
    assert events[1].message == "Pod/default/hello: it is ready"

"""EmbeddedCluster: where pods go, what becomes of them there, and how workloads roll out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cluster_requests import DEPLOYMENTS, apply, arch_in, ask, deployment, pod_spec, required

from archkit.testing import EmbeddedCluster, EmbeddedRegistry, ImageFactory

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def cluster() -> EmbeddedCluster:
    """Of two amd64 nodes and a tainted arm64 one, without any socket."""
    made = EmbeddedCluster(images={"both:1": "linux/amd64,linux/arm64", "amd:1": "linux/amd64", "index:1": "linux/s390x,linux/riscv64"})
    made.add_node("linux/amd64", count=2)
    made.add_node("linux/arm64", arch_taint=True)
    return made


def pod(name: str = "one", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {**pod_spec(), **spec}}


def node_of(cluster: EmbeddedCluster, **spec: Any) -> str:
    """The node that a pod gets, or why it gets none."""
    cluster.load(pod(**spec))
    found = cluster.get("Pod", "one")
    scheduled = next(each for each in found["status"]["conditions"] if each["type"] == "PodScheduled")
    return str(found["spec"].get("nodeName") or f"{scheduled['reason']}: {scheduled['message']}")


TOLERATES = [{"key": "kubernetes.io/arch", "operator": "Exists"}]
NO_USE = "no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, "node-1"),
        ({"nodeSelector": {"kubernetes.io/hostname": "node-2"}}, "node-2"),
        ({"affinity": required(arch_in("arm64")), "tolerations": TOLERATES}, "node-3"),
        ({"nodeName": "node-3"}, "node-3"),
        ({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-2"]}]}]}}}}, "node-2"),
        ({"tolerations": TOLERATES, "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {"matchExpressions": [arch_in("arm64")]}}]}}}, "node-3"),
        (
            {"affinity": required(arch_in("arm64"))},
            f"Unschedulable: 0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node affinity/selector. {NO_USE}",
        ),
        (
            {"affinity": required({"key": "cpus", "operator": "Gt", "values": ["many"]})},
            f"Unschedulable: 0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node affinity/selector. {NO_USE}",
        ),
        ({"schedulingGates": [{"name": "wait"}]}, "SchedulingGated: Scheduling is blocked due to non-empty scheduling gates"),
    ],
)  # fmt: skip
def test_pods_go_where_the_scheduler_would_put_them(cluster: EmbeddedCluster, spec: dict[str, Any], found: str) -> None:
    assert node_of(cluster, **spec) == found


def test_pending_pods_are_bound_when_a_node_comes(cluster: EmbeddedCluster) -> None:
    cluster.load(pod(nodeSelector={"kubernetes.io/arch": "s390x"}))
    assert cluster.get("Pod", "one")["status"]["phase"] == "Pending"
    cluster.add_node("linux/s390x", name="mainframe")
    assert cluster.get("Pod", "one")["spec"]["nodeName"] == "mainframe"
    assert cluster.get("Pod", "one")["status"]["phase"] == "Running"


def test_an_empty_cluster_and_cordons() -> None:
    empty = EmbeddedCluster()
    assert node_of(empty) == "Unschedulable: no nodes available to schedule pods"
    empty.add_node(cordoned=True)
    empty.add_node(ready=False)
    message = next(each["message"] for each in empty.get("Pod", "one")["status"]["conditions"] if each["type"] == "PodScheduled")
    assert message.startswith("0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.")


def test_another_scheduler_s_pods_are_left_to_it(cluster: EmbeddedCluster) -> None:
    cluster.load(pod(schedulerName="mine"))
    assert "conditions" not in cluster.get("Pod", "one")["status"]


def test_a_gated_pod_may_be_narrowed_and_nothing_else(cluster: EmbeddedCluster) -> None:
    cluster.load(pod(schedulingGates=[{"name": "wait"}]))
    found = cluster.get("Pod", "one")
    path = "/api/v1/namespaces/default/pods/one"
    narrowed = {**found, "spec": {**found["spec"], "affinity": required(arch_in("amd64"))}}
    assert ask(cluster, "PUT", path, narrowed).status == 200
    found = cluster.get("Pod", "one")
    widened = {**found, "spec": {**found["spec"], "affinity": required(arch_in("arm64"))}}
    assert ask(cluster, "PUT", path, widened).status == 422
    free = {**found, "spec": {name: value for name, value in found["spec"].items() if name != "schedulingGates"}}
    assert ask(cluster, "PUT", path, free).status == 200
    found = cluster.get("Pod", "one")
    assert found["spec"]["nodeName"] == "node-1"
    moved = {**found, "spec": {**found["spec"], "affinity": required(arch_in("amd64", "arm64"))}}
    refused = ask(cluster, "PUT", path, moved)
    assert (refused.status, refused.causes) == (422, [("FieldValueForbidden", "spec")])


# ---- what the API refuses ------------------------------------------------------------------------------------------

NODE_AFFINITY = "spec.template.spec.affinity.nodeAffinity"
TERMS = f"{NODE_AFFINITY}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"


def preferred(weight: int) -> dict[str, Any]:
    wish = {"weight": weight, "preference": {"matchExpressions": [arch_in("arm64")]}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}


@pytest.mark.parametrize(
    ("pod_part", "causes"),
    [
        ({"affinity": required({"key": "a", "operator": "Equals", "values": ["b"]})}, [("FieldValueInvalid", f"{TERMS}[0].matchExpressions[0].operator")]),
        ({"affinity": required({"key": "a", "operator": "In"})}, [("FieldValueRequired", f"{TERMS}[0].matchExpressions[0].values")]),
        ({"affinity": required({"key": "a", "operator": "Exists", "values": ["b"]})}, [("FieldValueForbidden", f"{TERMS}[0].matchExpressions[0].values")]),
        ({"affinity": required({"key": "a", "operator": "Gt", "values": ["1", "2"]})}, [("FieldValueRequired", f"{TERMS}[0].matchExpressions[0].values")]),
        ({"affinity": required({"key": "a b", "operator": "Exists"})}, [("FieldValueInvalid", f"{TERMS}[0].matchExpressions[0].key")]),
        ({"affinity": required(arch_in("a b"))}, [("FieldValueInvalid", f"{TERMS}[0].matchExpressions[0].values[0]")]),
        ({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}}, [("FieldValueRequired", TERMS)]),
        ({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["a", "b"]}]}]}}}}, [("FieldValueRequired", f"{TERMS}[0].matchFields[0].values"), ("FieldValueInvalid", f"{TERMS}[0].matchFields[0].key")]),
        ({"affinity": preferred(0)}, [("FieldValueInvalid", f"{NODE_AFFINITY}.preferredDuringSchedulingIgnoredDuringExecution[0].weight")]),
        ({"affinity": preferred(101)}, [("FieldValueInvalid", f"{NODE_AFFINITY}.preferredDuringSchedulingIgnoredDuringExecution[0].weight")]),
        ({"tolerations": [{"operator": "Equal"}]}, [("FieldValueInvalid", "spec.template.spec.tolerations[0].operator")]),
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, [("FieldValueInvalid", "spec.template.spec.tolerations[0].operator")]),
        ({"tolerations": [{"key": "a", "effect": "Never"}]}, [("FieldValueNotSupported", "spec.template.spec.tolerations[0].effect")]),
        ({"nodeSelector": {"a b": "c"}}, [("FieldValueInvalid", "spec.template.spec.nodeSelector")]),
        ({"os": {"name": "macos"}}, [("FieldValueNotSupported", "spec.template.spec.os")]),
        ({"restartPolicy": "Never"}, [("FieldValueNotSupported", "spec.template.spec.restartPolicy")]),
        ({"containers": []}, [("FieldValueRequired", "spec.template.spec.containers")]),
        ({"containers": [{"name": "a"}, {"name": "a", "image": "b"}]}, [("FieldValueRequired", "spec.template.spec.containers[0].image"), ("FieldValueDuplicate", "spec.template.spec.containers[1].name")]),
    ],
)  # fmt: skip
def test_what_an_api_server_refuses_of_a_pod(cluster: EmbeddedCluster, pod_part: dict[str, Any], causes: list[tuple[str, str]]) -> None:
    for refused in (apply(cluster, deployment(**pod_part)), ask(cluster, "POST", DEPLOYMENTS, deployment(**pod_part))):
        assert (refused.status, refused.body["reason"]) == (422, "Invalid")
        assert refused.causes == causes
        assert refused.body["message"].startswith('Deployment.apps "web" is invalid: ')
    assert cluster.objects("Deployment") == []


def test_an_empty_term_is_taken_and_matches_nothing(cluster: EmbeddedCluster) -> None:
    empty: dict[str, Any] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}]}}}
    assert apply(cluster, deployment(affinity=empty)).status == 201
    assert cluster.objects("Pod")[0]["status"]["phase"] == "Pending"


def job(image: str = "nginx:1", policy: str = "Never", **spec: Any) -> dict[str, Any]:
    template = {"spec": pod_spec(image, restartPolicy=policy)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": {"template": template, **spec}}


def stateful_set(image: str = "nginx:1", replicas: int = 3, service: str = "db") -> dict[str, Any]:
    spec = {**deployment(image=image)["spec"], "serviceName": service, "replicas": replicas}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": spec}


def daemon_set(image: str = "nginx:1", **pod_part: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent"},
        "spec": deployment(image=image, **pod_part)["spec"],
    }


@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [
        (job(), job("nginx:2"), ("FieldValueInvalid", "spec.template")),
        (stateful_set(), stateful_set(service="other"), ("FieldValueForbidden", "spec")),
        (pod(), pod(hostNetwork=True), ("FieldValueForbidden", "spec")),
        (deployment(), deployment(spec={"selector": {"matchLabels": {"app": "web", "a": "b"}}}), ("FieldValueInvalid", "spec.template.metadata.labels")),
    ],
)  # fmt: skip
def test_what_does_not_change(cluster: EmbeddedCluster, first: dict[str, Any], second: dict[str, Any], cause: tuple[str, str]) -> None:
    assert apply(cluster, first).status == 201
    refused = apply(cluster, second)
    assert refused.status == 422
    assert cause in refused.causes


def test_a_selector_is_immutable(cluster: EmbeddedCluster) -> None:
    apply(cluster, deployment())
    changed = deployment(spec={"selector": {"matchLabels": {"b": "c"}}})
    changed["spec"]["template"]["metadata"]["labels"] = {"b": "c"}
    refused = apply(cluster, changed)
    assert "field is immutable" in refused.body["message"]
    assert ("FieldValueInvalid", "spec.selector") in refused.causes


# ---- rollouts ------------------------------------------------------------------------------------------------------


def pods(cluster: EmbeddedCluster) -> list[tuple[str, str]]:
    return [(each["spec"]["containers"][0]["image"], each["status"]["phase"]) for each in cluster.objects("Pod")]


def conditions(obj: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each.get("reason", "")) for each in obj["status"]["conditions"]}


def test_a_deployment_becomes_available(cluster: EmbeddedCluster) -> None:
    apply(cluster, deployment(image="both:1", spec={"replicas": 3}))
    found = cluster.get("Deployment", "web")
    status = {name: value for name, value in found["status"].items() if name != "conditions"}
    counts = {"replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "updatedReplicas": 3, "observedGeneration": 1}
    assert status == counts
    assert conditions(found) == {"Available": ("True", "MinimumReplicasAvailable"), "Progressing": ("True", "NewReplicaSetAvailable")}
    assert pods(cluster) == [("both:1", "Running")] * 3


def test_a_new_template_replaces_the_pods(cluster: EmbeddedCluster) -> None:
    apply(cluster, deployment(image="both:1", spec={"replicas": 3}))
    apply(cluster, deployment(image="amd:1", spec={"replicas": 3}))
    assert pods(cluster) == [("amd:1", "Running")] * 3
    found = cluster.get("Deployment", "web")
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"] == 2
    assert sorted(each["spec"]["replicas"] for each in cluster.objects("ReplicaSet")) == [0, 3]


def test_pods_that_do_not_start_leave_the_old_ones_serving(cluster: EmbeddedCluster) -> None:
    apply(cluster, deployment(image="both:1", spec={"replicas": 4}))
    apply(cluster, deployment(image="index:1", spec={"replicas": 4}))
    assert sorted(pods(cluster)) == [("both:1", "Running")] * 3 + [("index:1", "Pending")] * 2
    found = cluster.get("Deployment", "web")
    assert conditions(found)["Progressing"] == ("True", "ReplicaSetUpdated")
    assert found["status"]["updatedReplicas"] == 2
    waiting = next(each for each in cluster.objects("Pod") if each["spec"]["containers"][0]["image"] == "index:1")
    state = waiting["status"]["containerStatuses"][0]["state"]["waiting"]
    assert state["reason"] == "ImagePullBackOff"
    assert "no match for platform in manifest: not found" in state["message"]
    apply(cluster, deployment(image="both:1", spec={"replicas": 4}))
    assert pods(cluster) == [("both:1", "Running")] * 4


def test_recreate_ends_the_old_pods_first(cluster: EmbeddedCluster) -> None:
    apply(cluster, deployment(image="both:1", spec={"replicas": 2, "strategy": {"type": "Recreate"}}))
    apply(cluster, deployment(image="index:1", spec={"replicas": 2, "strategy": {"type": "Recreate"}}))
    assert pods(cluster) == [("index:1", "Pending")] * 2


def test_an_image_of_one_platform_is_pulled_anywhere_and_does_not_start(cluster: EmbeddedCluster) -> None:
    apply(cluster, deployment(image="amd:1", affinity=required(arch_in("arm64")), tolerations=TOLERATES))
    (found,) = cluster.objects("Pod")
    (container,) = found["status"]["containerStatuses"]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["message"] == "exec format error"
    assert cluster.get("Deployment", "web")["status"]["unavailableReplicas"] == 1
    assert conditions(cluster.get("Deployment", "web"))["Available"] == ("False", "MinimumReplicasUnavailable")


def test_nodes_pull_from_an_embedded_registry() -> None:
    with EmbeddedRegistry() as registry, EmbeddedCluster(registry=registry) as cluster:
        ImageFactory(registry).push("app:1", ["linux/amd64", "linux/arm64"])
        cluster.add_node("linux/s390x")
        before = len(registry.log)
        for tag, reason in (("1", "no match for platform"), ("none", "not found")):
            cluster.load(pod(tag, containers=[{"name": "app", "image": f"{registry.host}/app:{tag}"}]))
            state = cluster.get("Pod", tag)["status"]["containerStatuses"][0]["state"]["waiting"]
            assert reason in state["message"]
        assert len(registry.log) == before, "nodes look past the log"


def test_a_stateful_set_fills_in_order_and_updates_from_the_end(cluster: EmbeddedCluster) -> None:
    apply(cluster, stateful_set("both:1"))
    assert [each["metadata"]["name"] for each in cluster.objects("Pod")] == ["db-0", "db-1", "db-2"]
    status = cluster.get("StatefulSet", "db")["status"]
    assert status["readyReplicas"] == status["updatedReplicas"] == status["currentReplicas"] == 3
    assert status["currentRevision"] == status["updateRevision"]
    apply(cluster, stateful_set("index:1"))
    assert pods(cluster) == [("both:1", "Running"), ("both:1", "Running"), ("index:1", "Pending")]
    status = cluster.get("StatefulSet", "db")["status"]
    assert status["currentRevision"] != status["updateRevision"]
    apply(cluster, stateful_set("both:1", replicas=1))
    assert pods(cluster) == [("both:1", "Running")]


def test_a_daemon_set_has_a_pod_on_each_node_that_it_tolerates(cluster: EmbeddedCluster) -> None:
    cluster.add_node(cordoned=True)
    apply(cluster, daemon_set("both:1"))
    assert {each["spec"]["nodeName"] for each in cluster.objects("Pod")} == {"node-1", "node-2", "node-4"}
    status = cluster.get("DaemonSet", "agent")["status"]
    assert status["desiredNumberScheduled"] == status["numberReady"] == status["updatedNumberScheduled"] == 3
    apply(cluster, daemon_set("both:1", tolerations=TOLERATES))
    assert {each["spec"]["nodeName"] for each in cluster.objects("Pod")} == {"node-1", "node-2", "node-3", "node-4"}
    cluster.remove_node("node-4")
    assert cluster.get("DaemonSet", "agent")["status"]["desiredNumberScheduled"] == 3


@pytest.mark.parametrize(
    ("made", "told", "phases"),
    [
        (lambda: job("both:1", completions=3, parallelism=2), ("Complete", "CompletionsReached"), ["Succeeded"] * 3),
        (lambda: job("amd:1", backoffLimit=1), ("Failed", "BackoffLimitExceeded"), ["Failed"] * 2),
        (lambda: job("amd:1", "OnFailure", backoffLimit=1), ("Failed", "BackoffLimitExceeded"), []),
    ],
)
def test_a_job_ends(made: Callable[[], dict[str, Any]], told: tuple[str, str], phases: list[str]) -> None:
    cluster = EmbeddedCluster(images={"amd:1": "linux/amd64", "both:1": "linux/amd64,linux/arm64"})
    cluster.add_node("linux/arm64")
    apply(cluster, made())
    assert conditions(cluster.get("Job", "job"))[told[0]] == ("True", told[1])
    assert [phase for _, phase in pods(cluster)] == phases


def test_a_suspended_job_waits(cluster: EmbeddedCluster) -> None:
    apply(cluster, job("both:1", suspend=True))
    assert cluster.objects("Pod") == []
    apply(cluster, job("both:1", suspend=False))
    assert conditions(cluster.get("Job", "job"))["Complete"][0] == "True"


def test_what_is_owned_goes_with_its_owner_unless_it_is_orphaned(cluster: EmbeddedCluster) -> None:
    apply(cluster, deployment())
    ask(cluster, "DELETE", f"{DEPLOYMENTS}/web", propagationPolicy="Orphan")
    assert len(cluster.objects("ReplicaSet")) == len(cluster.objects("Pod")) == 1
    apply(cluster, deployment("other"))
    ask(cluster, "DELETE", f"{DEPLOYMENTS}/other")
    assert len(cluster.objects("ReplicaSet")) == len(cluster.objects("Pod")) == 1


def test_a_namespace_goes_with_everything_in_it(cluster: EmbeddedCluster) -> None:
    cluster.load({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine"}})
    assert cluster.get("Namespace", "mine")["status"] == {"phase": "Active"}
    assert cluster.get("ServiceAccount", "default", "mine")
    cluster.load(deployment(), namespace="mine")
    assert len(cluster.objects("Pod", "mine")) == 1
    assert ask(cluster, "DELETE", "/api/v1/namespaces/mine").body["status"]["phase"] == "Terminating"
    assert cluster.objects("Pod") == cluster.objects("Deployment") == []
    assert "mine" not in {each["metadata"]["name"] for each in cluster.objects("Namespace")}


def test_finalizers_hold_an_object(cluster: EmbeddedCluster) -> None:
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    cluster.load(made)
    path = "/api/v1/namespaces/default/configmaps/held"
    ask(cluster, "DELETE", path)
    assert "deletionTimestamp" in cluster.get("ConfigMap", "held")["metadata"]
    ask(cluster, "PATCH", path, {"metadata": {"finalizers": None}}, kind="application/merge-patch+json")
    assert cluster.objects("ConfigMap") == []


def test_two_hundred_pods_are_placed_quickly_and_evenly(cluster: EmbeddedCluster) -> None:
    cluster.add_node("linux/amd64", count=8)
    apply(cluster, deployment(spec={"replicas": 200}))
    load: dict[str, int] = {}
    for each in cluster.objects("Pod"):
        load[each["spec"]["nodeName"]] = load.get(each["spec"]["nodeName"], 0) + 1
    assert set(load.values()) == {20}

"""Made-up pods on made-up clusters, rendered by archkit and bound by the real kube-scheduler.

Where a rendered pod may land is asked of the scheduler node by node: beside the pod itself there is one more of it per
node, which also asks for that node's hostname (a nodeSelector is ANDed with everything else, so it takes nothing away
from what is proven). No pod may land on a node that its images do not run on, or against its user's own rules; and
each node that would do must be open to it. Pods that archkit refuses are scheduled as they were, to see that the
refusal was right. The generator and the judgement are those of `tests/rendering/test_placement_proof.py`.

There is no kubelet here: that a container starts where its image has the node's platform is taken for granted.
"""

from __future__ import annotations

import copy
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import kube_objects
import kube_scheduler
import placements
import pytest
from control_plane import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from control_plane import ControlPlane

pytestmark = pytest.mark.live

FLEETS = int(os.environ.get("ARCHKIT_PROOF_FLEETS", "80"))
PODS = 6
"""Scenarios per fleet: a pod and how it is rendered."""


@dataclass
class Asked:
    """One pod, and where the real scheduler puts it."""

    name: str
    spec: Mapping[str, Any]
    landed: str = ""
    eligible: set[str] = field(default_factory=set)


def bound(plane: ControlPlane, asked: Sequence[Asked], nodes: Iterable[str]) -> None:
    """Have the real scheduler decide on every one of these, for itself and for each node."""
    wanted: dict[str, tuple[Asked, str]] = {}
    manifests: list[dict[str, Any]] = []
    for item in asked:
        for node in ("", *nodes):
            spec = copy.deepcopy(dict(item.spec))
            if node:
                spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), "kubernetes.io/hostname": node}
            name = f"{item.name}-{node or 'itself'}"
            wanted[name] = item, node
            unstarted = {kube_objects.OUTCOME: "none"}  # only where it lands is asked
            meta = {"name": name, "annotations": unstarted}
            manifests.append({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    plane.create(*manifests)
    found: dict[str, str | None] = {}

    def decided() -> bool:
        for pod in plane.listed("api/v1/namespaces/default/pods", resourceVersion="0"):
            found[pod["metadata"]["name"]] = _decision(pod)
        return all(found.get(name) is not None for name in wanted)

    wait_until(decided, "the scheduler decided on every pod", pause=0.1)
    for name, (item, node) in wanted.items():
        landed = found[name] or ""
        if not node:
            item.landed = landed
        elif landed:
            assert landed == node
            item.eligible.add(node)
    plane.remove_pods("default")


def _decision(pod: Mapping[str, Any]) -> str | None:
    """The node, empty where there is none for it; None: not decided yet."""
    if "nodeName" in pod["spec"]:
        return str(pod["spec"]["nodeName"])
    conditions = {item["type"]: item.get("reason") for item in pod["status"].get("conditions", [])}
    return "" if conditions.get("PodScheduled") == "Unschedulable" else None


def test_no_pod_lands_where_its_images_do_not_run_and_none_that_could_run_is_left(
    control_plane: ControlPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    start, counts, kinds = time.monotonic(), Counter[str](), Counter[str]()
    problems: list[str] = []
    for seed in range(FLEETS):
        # names of their own: lists from a cache may still have the last fleet's pods, controllers its nodes' states
        rng, names = random.Random(f"live {seed}"), f"f{seed}-n"
        control_plane.wipe()
        control_plane.declare(*placements.fleet(rng, names))
        nodes = control_plane.listed("api/v1/nodes")
        pods = [placements.pod(rng, names) for _ in range(PODS)]
        rendered = [placements.render(pod, nodes, placements.options(rng)) for pod in pods]
        asked = [
            Asked(f"f{seed}-p{number}", item.scheduled(item.before if item.errors else item.after)) for number, item in enumerate(rendered)
        ]

        bound(control_plane, asked, [node["metadata"]["name"] for node in nodes])

        counts["scenarios"] += PODS
        counts["fleets"] += 1
        counts["nodes"] += len(nodes)
        counts["decisions of the scheduler"] += PODS * (1 + len(nodes))
        for pod, item, answer in zip(pods, rendered, asked, strict=True):
            predicted = {node["metadata"]["name"] for node in nodes if kube_scheduler.schedules(answer.spec, node)}
            if predicted != answer.eligible:
                problems.append(f"{answer.name}: the evaluator of the ordinary tests says {predicted}, not {answer.eligible}")
            if answer.landed not in (answer.eligible or {""}):
                problems.append(f"{answer.name}: it landed on {answer.landed!r}, eligible are {answer.eligible}")
            problems += [f"{answer.name}: {wrong} ({item})" for wrong in placements.wrongs(item, nodes, answer.eligible)]
            outcome = "refused rightly" if item.errors else "placed" if answer.landed else "pending rightly"
            counts[outcome] += 1
            kinds[pod.kind] += 1
            changed = item.after != item.before
            counts["changed by archkit"] += changed
            counts["with tolerations by archkit"] += item.after.get("tolerations") != item.before.get("tolerations")
            fits = all(placements.runs(platforms, node) for platforms in item.images.values() for node in nodes)
            counts["placed on a cluster where only some nodes would do"] += bool(answer.landed) and not item.errors and not fits

    with capsys.disabled():
        print(f"\nplacement proof, {time.monotonic() - start:.0f} s:")
        for what, number in [*counts.items(), *kinds.items(), ("wrong", len(problems))]:
            print(f"  {number:6} {what}")
    assert not problems, "\n".join(problems[:5])
    assert counts["placed"] + counts["pending rightly"] >= 300
    assert min(counts[what] for what in ("placed", "pending rightly", "refused rightly", "with tolerations by archkit")) >= 20


def test_on_a_cluster_like_gkes_only_what_runs_on_arm_is_let_onto_arm_nodes(control_plane: ControlPlane) -> None:
    node = kube_objects.node
    control_plane.declare(
        node("intel"),
        node("arm", "linux/arm64", taints=[kube_objects.ARM_TAINT]),
        node("arm-old", "linux/arm64", taints=["gone:NoSchedule"]),
    )
    nodes = control_plane.listed("api/v1/nodes")

    def pod(*platforms: str, **spec: Any) -> placements.MadePod:
        images = {f"example.test/app{number}:1": listed.split(",") for number, listed in enumerate(platforms)}
        containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
        return placements.MadePod("Deployment", {"containers": containers, **spec}, images)

    mine = [{"key": "mine", "operator": "Exists"}]
    pods = {
        "both": (pod("linux/amd64,linux/arm64"), {"intel", "arm"}),
        "one-image-of-amd64-alone": (pod("linux/amd64,linux/arm64", "linux/amd64"), {"intel"}),
        "amd64": (pod("linux/amd64"), {"intel"}),
        "arm64": (pod("linux/arm64", tolerations=mine), {"arm"}),
        "wants-arm": (pod("linux/amd64,linux/arm64", nodeSelector={"kubernetes.io/arch": "arm64"}), {"arm"}),
        "wants-amd64": (pod("linux/amd64,linux/arm64", nodeSelector={"kubernetes.io/arch": "amd64"}), {"intel"}),
    }
    rendered = {name: placements.render(made, nodes, placements.Options()) for name, (made, _) in pods.items()}
    asked = [Asked(name, item.after) for name, item in rendered.items()]

    bound(control_plane, asked, [item["metadata"]["name"] for item in nodes])

    assert {item.name: item.eligible for item in asked} == {name: wanted for name, (_, wanted) in pods.items()}
    exact = {"key": "kubernetes.io/arch", "operator": "Equal", "value": "arm64", "effect": "NoSchedule"}
    assert {name: item.after.get("tolerations") for name, item in rendered.items()} == {
        "both": [exact],
        "one-image-of-amd64-alone": None,
        "amd64": None,
        "arm64": [*mine, exact],
        "wants-arm": [exact],
        "wants-amd64": None,
    }


def test_a_daemon_set_gets_a_pod_on_each_node_that_runs_it_and_on_no_other(control_plane: ControlPlane) -> None:
    node = kube_objects.node
    control_plane.declare(
        node("intel"),
        node("cordoned", cordoned=True),
        node("arm", "linux/arm64", taints=[kube_objects.ARM_TAINT]),
        node("windows", "windows/amd64"),
        node("mainframe", "linux/s390x"),
        node("gpu", taints=["gpu:NoSchedule"]),
    )
    nodes = control_plane.listed("api/v1/nodes")
    images = {"example.test/agent:1": ["linux/amd64", "linux/arm64"]}
    made = placements.MadePod("DaemonSet", {"containers": [{"name": "agent", "image": "example.test/agent:1"}]}, images)
    rendered = placements.render(made, nodes, placements.Options())
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": rendered.after}
    spec = {"selector": {"matchLabels": {"app": "agent"}}, "template": template}

    control_plane.create({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": spec})

    def status() -> dict[str, int]:
        found: dict[str, int] = control_plane.request("GET", "apis/apps/v1/namespaces/default/daemonsets/agent")["status"]
        return found

    wait_until(lambda: status().get("numberAvailable") == status()["desiredNumberScheduled"] == 3, "the daemon set is available")
    landed = {pod["spec"]["nodeName"] for pod in control_plane.listed("api/v1/namespaces/default/pods")}
    assert landed == rendered.predicted == {"intel", "cordoned", "arm"}

"""EmbeddedCluster binds pods as the real control plane does: the same made-up nodes and pods, given to both."""

from __future__ import annotations

import copy
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import kube_objects
import kube_scheduler
import placements
import pytest
from control_plane import Refused, wait_until

from archkit.testing import EmbeddedCluster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from control_plane import ControlPlane

pytestmark = pytest.mark.live

FLEETS, PODS = 25, 8


def manifest(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    unstarted = {kube_objects.OUTCOME: "none"}  # only where it lands is asked
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": unstarted}, "spec": copy.deepcopy(dict(spec))}


def decision(pod: Mapping[str, Any]) -> tuple[str, str] | None:
    """The pod's node, and why it has none; None: not decided yet."""
    if pod["spec"].get("nodeName"):
        return pod["spec"]["nodeName"], ""
    for condition in pod["status"].get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            assert condition["reason"] == "Unschedulable"
            return "", condition["message"]
    return None


def really(plane: ControlPlane, pods: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """What the real scheduler decides for each."""
    plane.create(*pods)
    names = {pod["metadata"]["name"] for pod in pods}
    found: dict[str, tuple[str, str] | None] = {}

    def decided() -> bool:
        found.update({pod["metadata"]["name"]: decision(pod) for pod in plane.listed("api/v1/pods", resourceVersion="0")})
        return all(found.get(name) is not None for name in names)

    wait_until(decided, "the scheduler decided on every pod", pause=0.1)
    return {name: answer for name in names if (answer := found[name]) is not None}


def likes(spec: Mapping[str, Any], node: Mapping[str, Any]) -> int:
    """How much the pod's preferences are worth on this node, as the API reference says: the weights of those that hold."""
    wishes = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(placements.PREFERRED) or []
    meta = node["metadata"]

    def holds(wish: Mapping[str, Any]) -> bool:
        required = {placements.REQUIRED: {"nodeSelectorTerms": [wish["preference"]]}}
        return kube_scheduler.selects({"affinity": {"nodeAffinity": required}}, meta["labels"], meta["name"])

    return sum(wish["weight"] for wish in wishes if holds(wish))


def test_generated_pods_are_bound_or_stay_pending_alike(control_plane: ControlPlane, capsys: pytest.CaptureFixture[str]) -> None:
    start, counts = time.monotonic(), Counter[str]()
    problems: list[str] = []
    for seed in range(FLEETS):
        rng, names = random.Random(f"embedded {seed}"), f"f{seed}-n"
        fleet = placements.fleet(rng, names)
        control_plane.wipe()
        control_plane.declare(*fleet)
        nodes = {node["metadata"]["name"]: node for node in control_plane.listed("api/v1/nodes")}
        made = [placements.pod(rng, names) for _ in range(PODS)]
        specs = [spec for pod in made for spec in (pod.spec, placements.render(pod, [*nodes.values()], placements.options(rng)).after)]
        pods = [manifest(f"f{seed}-{number}", spec) for number, spec in enumerate(specs)]

        real = really(control_plane, pods)
        embedded = EmbeddedCluster()
        for item in (*fleet, *pods):
            embedded.load(item)

        for pod in pods:
            name, spec = pod["metadata"]["name"], pod["spec"]
            theirs, ours = real[name], decision(embedded.get("Pod", name))
            counts["bound" if theirs[0] else "pending"] += 1
            if ours is None or bool(theirs[0]) != bool(ours[0]):
                problems.append(f"{name}: {theirs} on the real control plane, {ours} here: {spec}")
            elif not theirs[0] and theirs[1] != ours[1]:
                problems.append(f"{name}: the real scheduler says {theirs[1]!r}, not {ours[1]!r}")
            elif theirs[0]:
                counts["on the very same node"] += theirs == ours
                if not kube_scheduler.schedules(spec, nodes[ours[0]]):
                    problems.append(f"{name}: bound to {ours[0]}, which it must not use: {spec}")
                if likes(spec, nodes[theirs[0]]) != likes(spec, nodes[ours[0]]):
                    problems.append(f"{name}: the real scheduler prefers {theirs[0]} to {ours[0]}: {spec}")
    with capsys.disabled():
        print(
            f"\nembedded and real control plane, {FLEETS * PODS * 2} pods, {time.monotonic() - start:.0f} s: {dict(counts)}, wrong {len(problems)}"
        )
    assert not problems, "\n".join(problems[:8])
    assert min(counts["bound"], counts["pending"]) > 50


OS, ARCH = placements.OS, placements.ARCH


def required(*terms: Any) -> dict[str, Any]:
    return {"affinity": {"nodeAffinity": {placements.REQUIRED: {"nodeSelectorTerms": [*terms]}}}}


def preferred(*wishes: Any) -> dict[str, Any]:
    return {"affinity": {"nodeAffinity": {placements.PREFERRED: [*wishes]}}}


def expression(operator: str, *values: str, key: str = ARCH) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": [*values]} if values else {})}]}


def names(operator: str, *values: str, key: str = "metadata.name") -> dict[str, Any]:
    return {"matchFields": [{"key": key, "operator": operator, "values": [*values]}]}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(required(), id="no term"),
        pytest.param(required({}), id="an empty term is accepted"),
        pytest.param(required(expression("Equals", "arm64")), id="no such operator"),
        pytest.param(required(expression("In")), id="In without values"),
        pytest.param(required(expression("NotIn")), id="NotIn without values"),
        pytest.param(required(expression("Exists", "arm64")), id="Exists with values"),
        pytest.param(required(expression("DoesNotExist", "arm64")), id="DoesNotExist with values"),
        pytest.param(required(expression("Gt", "1", "2")), id="Gt with two"),
        pytest.param(required(expression("Lt", "many")), id="Lt with a text"),
        pytest.param(required(expression("Gt", "-1")), id="Gt with what is no label value"),
        pytest.param(required(expression("In", "not a label value")), id="no label value"),
        pytest.param(required(expression("In", "x" * 64)), id="a label value that is too long"),
        pytest.param(required(expression("In", "arm64", key="not a key")), id="no label key"),
        pytest.param(required(expression("In", "arm64", key="")), id="no key"),
        pytest.param(required(expression("In", "arm64"), expression("Foo", "x"), expression("In")), id="several at once"),
        pytest.param(required(names("In", "a", "b")), id="a field with two values"),
        pytest.param(required(names("Exists", "a")), id="a field with another operator"),
        pytest.param(required(names("In", "a", key="metadata.uid")), id="another field"),
        pytest.param(preferred({"weight": 0, "preference": expression("In", "arm64")}), id="weight 0"),
        pytest.param(preferred({"weight": 101, "preference": expression("In", "arm64")}), id="weight 101"),
        pytest.param(preferred({"weight": 1, "preference": expression("Equals", "arm64")}), id="an operator in a preference"),
        pytest.param(preferred({"weight": 1, "preference": {}}), id="an empty preference"),
        pytest.param({"nodeSelector": {"not a key": "x"}}, id="a selector's key"),
        pytest.param({"nodeSelector": {OS: "not a value"}}, id="a selector's value"),
        pytest.param({"tolerations": [{"key": ARCH, "operator": "Is", "value": "arm64"}]}, id="a toleration's operator"),
        pytest.param({"tolerations": [{"operator": "Equal", "value": "x"}]}, id="a toleration without key"),
        pytest.param({"tolerations": [{"key": ARCH, "operator": "Exists", "value": "x"}]}, id="Exists with a value in a toleration"),
        pytest.param({"tolerations": [{"key": ARCH, "operator": "Exists", "effect": "Never"}]}, id="a toleration's effect"),
        pytest.param({"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 3}]}, id="seconds"),
        pytest.param({"os": {"name": "plan9"}}, id="os.name"),
        pytest.param(required(expression("In", "arm64")), id="a good one"),
    ],
)
def test_pods_are_refused_alike(shared_control_plane: ControlPlane, spec: dict[str, Any]) -> None:
    pod = manifest("asked", {"containers": [{"name": "c", "image": "example.test/app:1"}], **spec})

    def real() -> str:
        try:
            shared_control_plane.request("POST", "api/v1/namespaces/default/pods?dryRun=All&fieldValidation=Strict", pod)
        except Refused as refused:
            return str(refused.args[1])
        return "accepted"

    def embedded() -> str:
        try:
            EmbeddedCluster().load(pod)
        except ValueError as refused:
            return str(refused)
        return "accepted"

    assert embedded() == real()


def test_a_number_where_a_text_belongs_is_refused_by_both(shared_control_plane: ControlPlane) -> None:
    """In other words: the real one says what Go's JSON decoder says."""
    pod = manifest("asked", {"containers": [{"name": "c", "image": "example.test/app:1"}], "nodeSelector": {OS: 1}})

    with pytest.raises(Refused, match="cannot unmarshal number"):
        shared_control_plane.request("POST", "api/v1/namespaces/default/pods?dryRun=All", pod)
    with pytest.raises(ValueError, match="expected string"):
        EmbeddedCluster().load(pod)

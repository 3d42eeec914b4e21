"""The control plane of these tests: that it is real, does what its helpers say, and is gone when its owner is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import control_plane as control_planes
import kube_objects
import process_watch
import pytest
from control_plane import Refused, wait_until
from kube_objects import ARM_TAINT, OUTCOME, node

if TYPE_CHECKING:
    from control_plane import ControlPlane

pytestmark = pytest.mark.live


def pod(name: str, *, outcome: str = "", **spec: Any) -> dict[str, Any]:
    annotations = {OUTCOME: outcome} if outcome else {}
    spec = {"containers": [{"name": "c", "image": "example.test/app:1"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations}, "spec": spec}


def pods(plane: ControlPlane) -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found for found in plane.listed("api/v1/namespaces/default/pods")}


def test_nodes_of_any_platform_are_declared_and_settle(control_plane: ControlPlane) -> None:
    control_plane.declare(
        node("arm", "linux/arm64", taints=[ARM_TAINT]),
        node("windows", "windows/amd64", cordoned=True),
        node("ill", "linux/s390x", ready=False),
        node("liar", "linux/arm64", node_info={"architecture": "amd64"}),
    )

    found = {item["metadata"]["name"]: item for item in control_plane.listed("api/v1/nodes")}

    taints = {name: sorted({taint["key"] for taint in item["spec"].get("taints", [])}) for name, item in found.items()}
    assert taints == {
        "arm": ["kubernetes.io/arch"],
        "windows": ["node.kubernetes.io/unschedulable"],
        "ill": ["node.kubernetes.io/not-ready"],
        "liar": [],
    }
    assert found["liar"]["status"]["nodeInfo"]["architecture"] == "amd64"
    assert found["arm"]["metadata"]["labels"]["beta.kubernetes.io/arch"] == "arm64"  # its controllers are the real ones


def test_a_node_of_fifty_images_has_thirteen_kilobytes(control_plane: ControlPlane) -> None:
    control_plane.declare(node("big", images=50))

    size = len(str(control_plane.request("GET", "api/v1/nodes/big")))

    assert 11_000 < size < 16_000


def test_the_real_scheduler_binds_and_leaves_pending(control_plane: ControlPlane) -> None:
    control_plane.declare(node("one"), node("tainted", "linux/arm64", taints=[ARM_TAINT]))

    control_plane.create(pod("fits"), pod("kept-off", nodeSelector={"kubernetes.io/arch": "arm64"}))

    wait_until(lambda: "Unschedulable" in str(pods(control_plane)["kept-off"]["status"]), "the scheduler gave its reason")
    wait_until(lambda: pods(control_plane)["fits"]["status"]["phase"] == "Running", "the pod runs")
    assert pods(control_plane)["fits"]["spec"]["nodeName"] == "one"
    assert "untolerated taint" in str(pods(control_plane)["kept-off"]["status"]["conditions"])


def test_what_a_kubelet_would_say_is_made_up_by_annotation(control_plane: ControlPlane) -> None:
    control_plane.declare(node("one"))

    control_plane.create(*(pod(outcome, outcome=outcome) for outcome in kube_objects.OUTCOMES))

    wait_until(lambda: all("startTime" in item["status"] for item in pods(control_plane).values()), "kwok spoke")
    found = {name: item["status"] for name, item in pods(control_plane).items()}
    pulled, executed, crashed, waits = (found[name]["containerStatuses"][0] for name in kube_objects.OUTCOMES)
    assert pulled["state"]["waiting"]["reason"] == "ImagePullBackOff"
    assert "no match for platform in manifest" in pulled["state"]["waiting"]["message"]
    assert executed["lastState"]["terminated"]["message"] == "exec /app: exec format error"
    assert crashed["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert "message" not in crashed["lastState"]["terminated"]
    assert "running" in waits["state"]
    assert not any(status["ready"] for status in (pulled, executed, crashed, waits))


def test_logs_are_made_up_by_the_containers_name(control_plane: ControlPlane, kubectl: Path) -> None:
    control_plane.declare(node("one"))
    containers = [{"name": name, "image": "example.test/app:1"} for name in (kube_objects.WRONG_CPU, "other")]
    control_plane.create(pod("crashes", outcome=kube_objects.CRASHES, containers=containers))
    wait_until(lambda: "startTime" in pods(control_plane)["crashes"]["status"], "kwok spoke")

    def log(*words: str) -> str:
        command = [str(kubectl), "--kubeconfig", str(control_plane.kubeconfig), "logs", "crashes", *words]
        return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=True).stdout

    assert log("-c", kube_objects.WRONG_CPU, "--previous") == kube_objects.EXEC_FORMAT_LOG
    assert log("-c", "other") == kube_objects.ORDINARY_LOG


def test_rollouts_and_jobs_finish(control_plane: ControlPlane) -> None:
    control_plane.declare(node("one"))
    containers = [{"name": "c", "image": "example.test/app:1"}]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}
    web = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    job = {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}}

    control_plane.create(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": web},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": job},
    )

    def status(path: str) -> dict[str, Any]:
        found: dict[str, Any] = control_plane.request("GET", path)["status"]
        return found

    wait_until(lambda: status("apis/apps/v1/namespaces/default/deployments/web").get("availableReplicas") == 2, "available")
    wait_until(lambda: status("apis/batch/v1/namespaces/default/jobs/once").get("succeeded") == 1, "the job succeeded")


def test_users_may_do_what_they_were_granted_until_their_token_ends(control_plane: ControlPlane, kubectl: Path) -> None:
    control_plane.declare(node("one"))
    control_plane.grant("reader", {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]})

    def nodes(kubeconfig: Path) -> str:
        command = [str(kubectl), "--kubeconfig", str(kubeconfig), "get", "nodes", "-o", "name"]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)
        return done.stdout or done.stderr

    reader = control_plane.kubeconfig_of("reader")
    assert nodes(reader) == "node/one\n"
    assert "(Forbidden)" in nodes(control_plane.kubeconfig_of("stranger"))
    assert nodes(control_plane.certificate_user("boss", "system:masters")) == "node/one\n"
    control_plane.expire("reader")
    assert "logged in" in nodes(reader)  # "You must be logged in to the server": 401
    assert nodes(control_plane.kubeconfig_of("reader")) == "node/one\n"


def test_a_list_cannot_be_continued_after_compaction(control_plane: ControlPlane) -> None:
    control_plane.declare(*(node(f"n{number}") for number in range(6)))
    first = control_plane.request("GET", "api/v1/nodes", query={"limit": "2"})
    control_plane.declare(node("later"))

    control_plane.compact()

    with pytest.raises(Refused) as caught:
        control_plane.listed("api/v1/nodes", limit="2", **{"continue": first["metadata"]["continue"]})
    assert caught.value.status == 410


def test_a_killed_api_server_comes_back_with_what_it_had(control_plane: ControlPlane) -> None:
    control_plane.declare(node("one"))

    control_plane.stop("kube-apiserver", kill=True)
    control_plane.up()

    assert [item["metadata"]["name"] for item in control_plane.listed("api/v1/nodes")] == ["one"]
    control_plane.declare(node("two"))  # kwok and the controllers found it again


def test_wiping_leaves_nothing_of_a_test(control_plane: ControlPlane) -> None:
    control_plane.declare(node("one"))
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "made"}}
    control_plane.create(space, pod("one"), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}})
    control_plane.create({**pod("two"), "metadata": {"name": "two", "namespace": "made"}})

    control_plane.wipe()

    assert control_plane.listed("api/v1/nodes") == control_plane.listed("api/v1/pods") == []
    assert "made" not in {item["metadata"]["name"] for item in control_plane.listed("api/v1/namespaces/default/configmaps")}
    names = {item["metadata"]["name"] for item in control_plane.listed("api/v1/namespaces") if item["status"]["phase"] == "Active"}
    assert "made" not in names


@process_watch.needs_proc
def test_a_killed_test_run_leaves_no_process(control_plane: ControlPlane, tmp_path: Path) -> None:
    programs = {name: str(path) for name, path in control_plane.programs.items()}
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(control_planes.__file__).parent)!r})
import control_plane
from pathlib import Path
with control_plane.running({{name: Path(path) for name, path in {programs!r}.items()}}) as plane:
    pids = [process.pid for process in plane.running.values()]
    Path({str(tmp_path / "pids")!r}).write_text(f"{{plane.folder}} {{' '.join(map(str, pids))}}\\n")
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    folder, *pids = process_watch.wait_for(tmp_path / "pids", within=120).split()
    assert len(pids) == len(control_planes.PROGRAMS)

    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)

    assert all(process_watch.ended(int(pid), within=10) for pid in pids)
    wait_until(lambda: not Path(folder).exists(), "its folder is gone")

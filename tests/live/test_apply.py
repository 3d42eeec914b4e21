"""Applier against a real API server, with real controllers and scheduler.

No kubelet runs: what it would say of images that do not fit is made up by an annotation (`kube_objects.OUTCOME`), which
kwok turns into the status that a kubelet would write.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from app_manifests import DEFINITION, stream
from control_plane import wait_until
from kube_objects import ARM_TAINT, CRASHES, EXEC_FORMAT_ERROR, NEVER_READY, OUTCOME, PULL_FAILURE, WRONG_CPU, node

from archkit import (
    Applied,
    Applier,
    ApplyError,
    CancelledError,
    ClusterConnection,
    ClusterError,
    ClusterForbiddenError,
    ClusterSignInError,
    Event,
    FieldConflictError,
    ImmutableFieldError,
    RolloutError,
    RolloutTimeoutError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from control_plane import ControlPlane

pytestmark = pytest.mark.live

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: login, namespace: default}\nstringData: {password: hunter2}\n"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {note: x}}
    spec:
      containers: [{name: web, image: "example.test/web:1"}]
"""
STATEFUL_SET = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: default}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: "example.test/db:1"}]}
"""
DAEMON_SET = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: default}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: "example.test/agent:1"}]}
"""
JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: default}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: migrate, image: "example.test/migrate:1"}]}}}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: hello, namespace: default}
spec: {containers: [{name: hello, image: "example.test/hello:1"}]}
"""
ROBOT = "apiVersion: example.com/v1\nkind: Robot\nmetadata: {name: r2, namespace: default}\nspec: {arms: 2}\n"


def with_outcome(outcome: str) -> str:
    return DEPLOYMENT.replace("note: x", f"{OUTCOME}: {outcome}")


ALL = stream(ROBOT, DEPLOYMENT, STATEFUL_SET, DAEMON_SET, JOB, POD, SECRET, DEFINITION)


@pytest.fixture
def applier(control_plane: ControlPlane) -> Applier:
    return Applier(ClusterConnection.from_kubeconfig(control_plane.kubeconfig))


@pytest.fixture
def mixed(control_plane: ControlPlane) -> ControlPlane:
    wait_until(lambda: not control_plane.listed("apis/apiextensions.k8s.io/v1/customresourcedefinitions"), "kinds of tests before are gone")
    control_plane.declare(node("a"), node("b", "linux/arm64"))
    return control_plane


@pytest.fixture
def shop(mixed: ControlPlane) -> ControlPlane:
    """A mixed cluster; what is applied goes into the namespace `default`, without what tests before left there."""
    for name in names(mixed, "api/v1/namespaces/default/secrets"):
        mixed.request("DELETE", f"api/v1/namespaces/default/secrets/{name}")
    return mixed


_numbers = itertools.count()


@pytest.fixture
def space() -> str:
    """The name of a namespace that is not there: one takes its time to go."""
    return f"shop-{next(_numbers)}"


def namespace(name: str) -> str:
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"


def moved(text: str, space: str) -> str:
    """The same documents in another namespace, which comes with them."""
    return stream(text.replace("namespace: default", f"namespace: {space}"), namespace(space))


def outcomes(applied: Applied) -> dict[str, str]:
    return {item.label: item.outcome for item in applied.objects}


def live(plane: ControlPlane, path: str) -> dict[str, Any]:
    found: dict[str, Any] = plane.request("GET", path)
    return found


def names(plane: ControlPlane, path: str) -> set[str]:
    return {found["metadata"]["name"] for found in plane.listed(path)}


# ---- from nothing to ready, and again ----------------------------------------------------------------------------


def test_a_whole_stream_in_any_order_gets_ready_and_again_changes_nothing(mixed: ControlPlane, applier: Applier, space: str) -> None:
    text = moved(ALL, space)

    applied = applier.apply(text, name="shop.yaml")

    assert list(outcomes(applied).items()) == [
        (f"Namespace/{space}", "created"),
        ("CustomResourceDefinition/robots.example.com", "created"),
        (f"Secret/{space}/login", "created"),
        (f"Deployment/{space}/web", "created"),
        (f"StatefulSet/{space}/db", "created"),
        (f"DaemonSet/{space}/agent", "created"),
        (f"Job/{space}/migrate", "created"),
        (f"Pod/{space}/hello", "created"),
        (f"Robot/{space}/r2", "created"),
    ]
    unchecked = dict(applied.unchecked)
    assert unchecked[f"Robot/{space}/r2"] == "its kind is in the same stream: CustomResourceDefinition/robots.example.com"
    assert unchecked[f"Deployment/{space}/web"] == f"its namespace is in the same stream: {space}"
    assert len(unchecked) == 7

    ready = dict(applier.wait(applied, timeout=60).workloads)

    assert ready == {
        f"Deployment/{space}/web": "2 of 2 replicas are available",
        f"StatefulSet/{space}/db": "2 of 2 replicas are ready",
        f"DaemonSet/{space}/agent": "2 of 2 pods are available",
        f"Job/{space}/migrate": "1 of 1 pods have succeeded",
        f"Pod/{space}/hello": "it is ready",
    }
    assert live(mixed, f"apis/apps/v1/namespaces/{space}/deployments/web")["status"]["availableReplicas"] == 2
    again = applier.apply(text)
    assert set(outcomes(again).values()) == {"unchanged"}
    assert not again.changed
    assert again.unchecked == ()
    assert [item.diff for item in again.objects] == [""] * 9


def test_the_fields_belong_to_archkit(shop: ControlPlane, applier: Applier) -> None:
    applier.apply(DEPLOYMENT)
    owners = live(shop, "apis/apps/v1/namespaces/default/deployments/web")["metadata"]["managedFields"]
    assert [(one["manager"], one["operation"]) for one in owners if one["operation"] == "Apply"] == [("archkit", "Apply")]


def test_a_dry_run_changes_nothing_and_says_what_would(mixed: ControlPlane, applier: Applier, space: str) -> None:
    planned = applier.apply(moved(ALL, space), dry_run=True)

    assert planned.dry_run
    assert set(outcomes(planned).values()) == {"created"}
    assert space not in names(mixed, "api/v1/namespaces")
    assert names(mixed, "apis/apiextensions.k8s.io/v1/customresourcedefinitions") == set()
    with pytest.raises(ApplyError, match="it was a dry run"):
        applier.wait(planned, timeout=1)


def test_the_diff_says_what_changes_without_secrets(shop: ControlPlane, applier: Applier) -> None:
    applier.apply(stream(DEPLOYMENT, SECRET))
    changed = stream(DEPLOYMENT.replace("replicas: 2", "replicas: 3").replace("web:1", "web:2"), SECRET.replace("hunter2", "hunter3"))

    planned = applier.apply(changed, dry_run=True)

    by_label = {item.label: item for item in planned.objects}
    assert by_label["Deployment/default/web"].diff.splitlines() == [
        "~ spec.replicas: 2 -> 3",
        "~ spec.template.spec.containers[web].image: example.test/web:1 -> example.test/web:2",
    ]
    assert by_label["Secret/default/login"].diff == "~ data.password: *** (another value)"
    assert live(shop, "apis/apps/v1/namespaces/default/deployments/web")["spec"]["replicas"] == 2
    assert (
        outcomes(applier.apply(changed))
        == outcomes(planned)
        == {"Secret/default/login": "configured", "Deployment/default/web": "configured"}
    )
    assert live(shop, "apis/apps/v1/namespaces/default/deployments/web")["spec"]["replicas"] == 3


def test_documents_without_namespace_go_where_the_connection_says(shop: ControlPlane, applier: Applier, space: str, tmp_path: Path) -> None:
    applier.apply(namespace(space))
    config = json.loads(shop.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = space
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: here}\n"

    applied = Applier(ClusterConnection.from_kubeconfig(path)).apply(text)

    assert applied.objects[0].label == f"ConfigMap/{space}/here"
    assert "here" in names(shop, f"api/v1/namespaces/{space}/configmaps")
    elsewhere = Applier(ClusterConnection.from_kubeconfig(path), namespace="default").apply(text)
    assert elsewhere.objects[0].path == "/api/v1/namespaces/default/configmaps/here"


def test_a_definition_that_changes_in_the_same_stream_as_what_it_allows(shop: ControlPlane, applier: Applier) -> None:
    applier.apply(stream(DEFINITION, ROBOT))
    wider = DEFINITION.replace("arms: {type: integer}", "arms: {type: integer}, legs: {type: integer}")

    with pytest.raises(ApplyError, match="legs: field not declared in schema"):
        applier.apply(ROBOT.replace("arms: 2", "arms: 2, legs: 2"))
    applied = applier.apply(stream(wider, ROBOT.replace("arms: 2", "arms: 2, legs: 2")))

    assert outcomes(applied)["Robot/default/r2"] == "configured"
    assert applied.unchecked == (("Robot/default/r2", "its kind changes in the same stream: CustomResourceDefinition/robots.example.com"),)
    assert live(shop, "apis/example.com/v1/namespaces/default/robots/r2")["spec"] == {"arms": 2, "legs": 2}


# ---- nothing is applied when one document is bad -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        pytest.param(DEPLOYMENT.replace("replicas: 2", "replicas: -1"), "spec.replicas: Invalid value: -1: must be greater", id="value"),
        pytest.param(DEPLOYMENT.replace("replicas: 2", "replica: 2"), ".spec.replica: field not declared in schema", id="unknown field"),
        pytest.param(DEPLOYMENT.replace("replicas: 2", "replicas: two"), ".spec.replicas: expected numeric", id="type"),
        pytest.param(DEPLOYMENT.replace("apps/v1", "apps/v9"), "there is no Deployment in apps/v9; it is in apps/v1", id="version"),
        pytest.param(DEPLOYMENT.replace("namespace: default", "namespace: nowhere"), 'namespaces "nowhere" not found', id="namespace"),
        pytest.param(SECRET.replace("password: hunter2", "password: {a: hunter2}"), ".stringData.password: expected string", id="secret"),
    ],
)
def test_one_bad_document_keeps_the_others_out(shop: ControlPlane, applier: Applier, bad: str, says: str) -> None:
    good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good, namespace: default}\n"

    with pytest.raises(ApplyError) as caught:
        applier.apply(stream(good, bad), name="app.yaml")

    assert says in str(caught.value)
    assert "(app.yaml:5)" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "nothing was applied" in str(caught.value)
    assert caught.value.applied == ()
    assert "good" not in names(shop, "api/v1/namespaces/default/configmaps")


def test_what_cannot_be_checked_at_first_is_checked_before_the_rest_is_applied(mixed: ControlPlane, applier: Applier, space: str) -> None:
    bad = ROBOT.replace("arms: 2", "arms: many")

    with pytest.raises(ApplyError) as caught:
        good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\n"
        applier.apply(moved(stream(DEFINITION, bad, DEPLOYMENT, good), space))

    assert caught.value.applied == (f"Namespace/{space}", "CustomResourceDefinition/robots.example.com")
    assert caught.value.not_applied == ("ConfigMap/default/good", f"Deployment/{space}/web", f"Robot/{space}/r2")
    assert "expected numeric" in str(caught.value)
    assert "good" not in names(mixed, "api/v1/namespaces/default/configmaps")
    assert mixed.listed(f"apis/apps/v1/namespaces/{space}/deployments") == []


# ---- conflicts and fields that cannot change ---------------------------------------------------------------------


def kubectl_run(kubectl: Path, plane: ControlPlane, *arguments: str, text: str | None = None) -> str:
    command = [str(kubectl), "--kubeconfig", str(plane.kubeconfig), *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_conflict_with_kubectl_is_named_and_may_be_forced(shop: ControlPlane, applier: Applier, kubectl: Path) -> None:
    applier.apply(DEPLOYMENT)
    kubectl_run(kubectl, shop, "scale", "deployment/web", "--replicas=5")
    kubectl_run(kubectl, shop, "set", "image", "deployment/web", "web=example.test/web:hotfix")

    with pytest.raises(FieldConflictError) as caught:
        applier.apply(stream(SECRET, DEPLOYMENT))

    image = '.spec.template.spec.containers[name="web"].image'
    assert {(label, field) for label, _, field in caught.value.conflicts} == {
        ("Deployment/default/web", ".spec.replicas"),
        ("Deployment/default/web", image),
    }
    assert {manager for _, manager, _ in caught.value.conflicts} == {"kubectl", "kubectl-set"}
    assert "force=True" in str(caught.value)
    assert "login" not in names(shop, "api/v1/namespaces/default/secrets")
    assert live(shop, "apis/apps/v1/namespaces/default/deployments/web")["spec"]["replicas"] == 5

    applied = applier.apply(stream(SECRET, DEPLOYMENT), force=True)

    assert outcomes(applied) == {"Secret/default/login": "created", "Deployment/default/web": "configured"}
    assert live(shop, "apis/apps/v1/namespaces/default/deployments/web")["spec"]["replicas"] == 2


def test_kubectls_server_side_apply_and_archkits_agree(shop: ControlPlane, applier: Applier, kubectl: Path) -> None:
    applier.apply(DEPLOYMENT)
    said = kubectl_run(kubectl, shop, "apply", "--server-side", "--field-manager=archkit", "-f", "-", text=DEPLOYMENT)
    assert "serverside-applied" in said
    version = live(shop, "apis/apps/v1/namespaces/default/deployments/web")["metadata"]["generation"]
    assert version == 1
    assert kubectl_run(kubectl, shop, "diff", "--server-side", "--field-manager=archkit", "-f", "-", text=DEPLOYMENT) == ""


def test_a_field_that_cannot_change_is_named_and_pods_and_jobs_may_be_replaced(shop: ControlPlane, applier: Applier) -> None:
    applier.wait(applier.apply(stream(JOB, POD)), timeout=60)
    uids = {path: live(shop, path)["metadata"]["uid"] for path in (JOB_PATH, POD_PATH)}
    changed = stream(JOB.replace("migrate:1", "migrate:2"), POD.replace("hello:1", 'hello:1", command: ["/x"], workingDir: "/'))

    with pytest.raises(ImmutableFieldError) as caught:
        applier.apply(changed)

    assert caught.value.fields == (("Job/default/migrate", "spec.template"), ("Pod/default/hello", "spec"))
    assert "replace_immutable=True" in str(caught.value)
    assert {path: live(shop, path)["metadata"]["uid"] for path in uids} == uids
    planned = applier.apply(changed, dry_run=True, replace_immutable=True)
    assert set(outcomes(planned).values()) == {"replaced"}
    assert {path: live(shop, path)["metadata"]["uid"] for path in uids} == uids

    applied = applier.apply(changed, replace_immutable=True)

    assert outcomes(applied) == {"Job/default/migrate": "replaced", "Pod/default/hello": "replaced"}
    assert applied.objects[0].diff == "~ spec.template.spec.containers[migrate].image: example.test/migrate:1 -> example.test/migrate:2"
    applier.wait(applied, timeout=60)
    assert live(shop, POD_PATH)["spec"]["containers"][0]["command"] == ["/x"]
    assert not {live(shop, path)["metadata"]["uid"] for path in uids} & set(uids.values())


JOB_PATH = "apis/batch/v1/namespaces/default/jobs/migrate"
POD_PATH = "api/v1/namespaces/default/pods/hello"


def test_a_replacement_that_would_be_refused_deletes_nothing(shop: ControlPlane, applier: Applier) -> None:
    applier.wait(applier.apply(JOB), timeout=60)
    uid = live(shop, JOB_PATH)["metadata"]["uid"]

    with pytest.raises(ApplyError, match="restartPolicy"):
        applier.apply(JOB.replace("restartPolicy: Never", "restartPolicy: Always"), replace_immutable=True)

    assert live(shop, JOB_PATH)["metadata"]["uid"] == uid


def test_other_kinds_and_pods_of_controllers_are_never_replaced(shop: ControlPlane, applier: Applier) -> None:
    applier.wait(applier.apply(DEPLOYMENT), timeout=60)
    selector = DEPLOYMENT.replace("app: web", "app: other")
    with pytest.raises(ImmutableFieldError) as caught:
        applier.apply(selector, replace_immutable=True)
    assert caught.value.fields == (("Deployment/default/web", "spec.selector"),)

    name = shop.listed("api/v1/namespaces/default/pods")[0]["metadata"]["name"]
    with pytest.raises(ImmutableFieldError):
        applier.apply(POD.replace("name: hello, namespace", f"name: {name}, namespace"), replace_immutable=True, force=True)
    assert name in names(shop, "api/v1/namespaces/default/pods")


# ---- waiting -----------------------------------------------------------------------------------------------------


def test_the_reason_why_a_pod_cannot_be_placed(control_plane: ControlPlane, applier: Applier) -> None:
    control_plane.declare(node("a"), node("b", "linux/arm64", taints=[ARM_TAINT]))
    selector = DEPLOYMENT.replace(
        "    spec:\n      containers", "    spec:\n      nodeSelector: {kubernetes.io/arch: arm64}\n      containers"
    )
    applied = applier.apply(stream(selector, JOB))

    with pytest.raises(RolloutTimeoutError) as caught:
        applier.wait(applied, timeout=8)

    assert isinstance(caught.value, TimeoutError)
    assert [label for label, _ in caught.value.workloads] == ["Deployment/default/web"]
    reason = caught.value.workloads[0][1]
    assert "the scheduler finds no node: 0/2 nodes are available" in reason
    assert "it may only run on */arm64; the nodes are linux/amd64 (1), linux/arm64 (1)" in reason
    assert "not b: the taint kubernetes.io/arch=arm64:NoSchedule is not tolerated" in reason


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (PULL_FAILURE, "image example.test/web:1 has nothing for the platform on node a"),
        (EXEC_FORMAT_ERROR, "the program in image example.test/web:1 is for another CPU on node a (exec format error)"),
    ],
)
def test_an_image_that_does_not_fit_the_node_ends_the_wait_at_once(
    control_plane: ControlPlane, applier: Applier, outcome: str, says: str
) -> None:
    control_plane.declare(node("a"))
    applied = applier.apply(with_outcome(outcome))
    started = time.monotonic()

    with pytest.raises(RolloutError) as caught:
        applier.wait(applied, timeout=60)

    assert time.monotonic() - started < 30
    assert not isinstance(caught.value, RolloutTimeoutError)
    assert says in str(caught.value)
    assert "the node is linux/amd64" in str(caught.value)


def test_a_program_for_another_cpu_that_only_its_log_tells_of_ends_the_wait_at_once(control_plane: ControlPlane, applier: Applier) -> None:
    control_plane.declare(node("a"))
    applied = applier.apply(with_outcome(CRASHES).replace("name: web, image", f"name: {WRONG_CPU}, image"))

    with pytest.raises(RolloutError, match=r"the program is for another CPU \(its log says exec format error\)") as caught:
        applier.wait(applied, timeout=60)

    assert not isinstance(caught.value, RolloutTimeoutError)
    assert "the node is linux/amd64" in str(caught.value)


def test_pods_of_the_version_before_do_not_count(shop: ControlPlane, applier: Applier) -> None:
    with pytest.raises(RolloutError):
        applier.wait(applier.apply(with_outcome(PULL_FAILURE)), timeout=60)
    assert dict(applier.wait(applier.apply(DEPLOYMENT), timeout=60).workloads) == {
        "Deployment/default/web": "2 of 2 replicas are available"
    }


def test_a_deployment_beyond_its_own_deadline_ends_the_wait(shop: ControlPlane, applier: Applier) -> None:
    late = with_outcome(NEVER_READY).replace("replicas: 2", "replicas: 2\n  progressDeadlineSeconds: 2\n  minReadySeconds: 1")
    with pytest.raises(RolloutError, match=r"it made no progress within its deadline \(0 of 2 replicas are available\)") as caught:
        applier.wait(applier.apply(late), timeout=60)
    assert not isinstance(caught.value, RolloutTimeoutError)


def test_every_workload_that_is_not_ready_is_named(shop: ControlPlane, applier: Applier) -> None:
    applied = applier.apply(stream(with_outcome(NEVER_READY), POD, JOB))
    with pytest.raises(RolloutTimeoutError) as caught:
        applier.wait(applied, timeout=6)
    assert caught.value.workloads == (("Deployment/default/web", "0 of 2 updated replicas are available"),)
    assert caught.value.seconds == 6


def test_a_workload_that_somebody_deletes_ends_the_wait(shop: ControlPlane, applier: Applier) -> None:
    applied = applier.apply(with_outcome(NEVER_READY))
    removed = threading.Timer(1.0, lambda: shop.request("DELETE", "apis/apps/v1/namespaces/default/deployments/web"))
    removed.start()
    with pytest.raises(RolloutError, match=r"it is not there any more|it is being deleted"):
        applier.wait(applied, timeout=60)
    removed.join()


def test_progress_is_told(shop: ControlPlane) -> None:
    events: list[Event] = []
    applier = Applier(ClusterConnection.from_kubeconfig(shop.kubeconfig), on_event=events.append)
    applier.wait(applier.apply(stream(DEPLOYMENT, SECRET)), timeout=60)
    steps = [(event.work, event.stage) for event in events if event.stage != "progress"]
    assert steps == [(work, stage) for work in ("check", "apply", "wait") for stage in ("started", "finished")]
    messages = [event.message for event in events if event.stage == "progress"]
    assert messages[:2] == ["Secret/default/login created", "Deployment/default/web created"]
    assert messages[-1] == "Deployment/default/web: 2 of 2 replicas are available"
    assert not any("hunter2" in message for message in messages)


def test_cancelling_stops_a_wait(shop: ControlPlane) -> None:
    stop = threading.Event()
    applier = Applier(ClusterConnection.from_kubeconfig(shop.kubeconfig), cancel=stop)
    applied = applier.apply(with_outcome(NEVER_READY))
    timer = threading.Timer(1.0, stop.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(CancelledError, match="waiting for Deployment/default/web"):
        applier.wait(applied, timeout=60)
    assert time.monotonic() - started < 15
    timer.join()
    with pytest.raises(CancelledError, match="nothing was applied"):
        applier.apply(DEPLOYMENT)


# ---- what a user may not do --------------------------------------------------------------------------------------

DEPLOYMENTS = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "create", "patch"]}


def test_what_is_not_allowed_is_named_with_the_rules_to_grant(shop: ControlPlane) -> None:
    shop.grant("deployer", DEPLOYMENTS, namespace="default")
    applier = Applier(ClusterConnection.from_kubeconfig(shop.kubeconfig_of("deployer")))

    with pytest.raises(ApplyError) as caught:
        applier.apply(stream(SECRET, DEPLOYMENT, STATEFUL_SET))

    assert [label.split(" ")[0] for label, _ in caught.value.refused] == ["Secret/default/login", "StatefulSet/default/db"]
    assert '- {apiGroups: [""], resources: ["secrets"], verbs: ["get", "create", "patch"]}' in str(caught.value)
    assert '- {apiGroups: ["apps"], resources: ["statefulsets"], verbs: ["get", "create", "patch"]}' in str(caught.value)
    assert shop.listed("apis/apps/v1/namespaces/default/deployments") == []

    rules = [
        DEPLOYMENTS,
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch"]},
        {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["get", "create", "patch"]},
    ]
    shop.grant("deployer", *rules, namespace="default")
    wait_until(lambda: _granted(applier), "the rules that the error names suffice")
    applied = applier.apply(stream(SECRET, DEPLOYMENT, STATEFUL_SET))
    applier.wait(applied, timeout=60)  # without the right to watch, or to see pods


def _granted(applier: Applier) -> bool:
    try:
        applier.apply(stream(SECRET, DEPLOYMENT, STATEFUL_SET), dry_run=True)
    except ApplyError:
        return False
    return True


def test_who_may_not_see_pods_is_told_what_would_say_more(shop: ControlPlane) -> None:
    shop.grant("deployer", DEPLOYMENTS, namespace="default")
    applier = Applier(ClusterConnection.from_kubeconfig(shop.kubeconfig_of("deployer")))
    wait_until(lambda: _may(applier, DEPLOYMENT), "the role is known")
    applied = applier.apply(with_outcome(PULL_FAILURE))
    with pytest.raises(RolloutTimeoutError, match=r'resources: \["pods"\], verbs: \["list"\]'):
        applier.wait(applied, timeout=4)


def _may(applier: Applier, text: str) -> bool:
    try:
        applier.apply(text, dry_run=True)
    except ApplyError:
        return False
    return True


def test_who_may_not_read_what_was_applied_cannot_wait(shop: ControlPlane, applier: Applier) -> None:
    applied = applier.apply(DEPLOYMENT)
    shop.grant("stranger", {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
    stranger = Applier(ClusterConnection.from_kubeconfig(shop.kubeconfig_of("stranger")))
    with pytest.raises(ClusterForbiddenError, match=r"get deployments\.apps in the namespace default"):
        stranger.wait(applied, timeout=30)


def test_an_expired_token_is_an_error_before_anything_is_applied(shop: ControlPlane) -> None:
    applier = Applier(ClusterConnection.from_kubeconfig(shop.kubeconfig_of("deployer")))
    path = shop.kubeconfig_of("deployer")
    content = path.read_text()
    shop.expire("deployer")
    path.write_text(content)  # the user's file still has the old token

    with pytest.raises(ClusterSignInError, match="expired") as caught:
        applier.apply(DEPLOYMENT)

    assert "nothing was applied" in str(caught.value) or "HTTP 401" in str(caught.value)
    assert content.count("token") == 1


# ---- an API server that goes away --------------------------------------------------------------------------------


def test_a_server_that_dies_in_the_middle_leaves_a_list_of_what_was_applied(shop: ControlPlane) -> None:
    def kill(event: Event) -> None:
        if event.message == "Deployment/default/web created":
            shop.stop("kube-apiserver", kill=True)

    applier = Applier(ClusterConnection.from_kubeconfig(shop.kubeconfig), on_event=kill)
    try:
        with pytest.raises(ApplyError) as caught:
            applier.apply(stream(SECRET, DEPLOYMENT, STATEFUL_SET, JOB))
    finally:
        shop.up()

    error = caught.value
    assert error.applied == ("Secret/default/login", "Deployment/default/web")
    assert error.uncertain == ("StatefulSet/default/db",)
    assert error.not_applied == ("Job/default/migrate",)
    assert "repeat the call" in str(error)
    assert isinstance(error.__cause__, ClusterError)
    assert names(shop, "apis/apps/v1/namespaces/default/deployments") == {"web"}
    assert shop.listed("apis/apps/v1/namespaces/default/statefulsets") == []
    again = Applier(ClusterConnection.from_kubeconfig(shop.kubeconfig)).apply(stream(SECRET, DEPLOYMENT, STATEFUL_SET, JOB))
    assert list(outcomes(again).values()) == ["unchanged", "unchanged", "created", "created"]


def test_a_server_that_dies_while_checking_leaves_nothing(shop: ControlPlane) -> None:
    shop.stop("kube-apiserver", kill=True)
    try:
        with pytest.raises(ClusterError) as caught:
            Applier(ClusterConnection.from_kubeconfig(shop.kubeconfig)).apply(DEPLOYMENT)
    finally:
        shop.up()
    assert not isinstance(caught.value, ApplyError)
    assert shop.listed("apis/apps/v1/namespaces/default/deployments") == []


def pods(plane: ControlPlane) -> list[dict[str, Any]]:
    return plane.listed("api/v1/namespaces/default/pods")


def heal(plane: ControlPlane) -> None:
    """Say, in the place of kubelets, that every pod is ready after all."""
    for found in pods(plane):
        path = f"api/v1/namespaces/default/pods/{found['metadata']['name']}/status"
        conditions = [{**one, "status": "True"} for one in found["status"]["conditions"]]
        plane.request("PATCH", path, {"status": {"conditions": conditions}}, content_type="application/merge-patch+json")


@pytest.mark.parametrize("what", ["the server is killed and started again", "its history is forgotten"])
def test_what_happens_to_the_server_in_the_middle_of_a_wait_changes_nothing(shop: ControlPlane, what: str) -> None:
    events: list[Event] = []
    applier = Applier(ClusterConnection.from_kubeconfig(shop.kubeconfig), on_event=events.append)
    applied = applier.apply(with_outcome(NEVER_READY))

    def disturb_and_heal() -> None:
        wait_until(lambda: any(event.work == "wait" for event in events), "the wait has begun")
        wait_until(lambda: len(pods(shop)) == 2, "the pods are there")
        wait_until(lambda: all("startTime" in pod["status"] for pod in pods(shop)), "the pods run")
        if what == "its history is forgotten":
            for number in range(3):
                shop.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "noise"}, "data": {"number": str(number)}})
                shop.compact()  # a watch that begins where the last look was is too old then
                time.sleep(0.7)
        else:
            shop.restart("kube-apiserver", kill=True)
        heal(shop)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(disturb_and_heal)
        rollout = applier.wait(applied, timeout=90)
        future.result()
    assert dict(rollout.workloads) == {"Deployment/default/web": "2 of 2 replicas are available"}


def test_a_server_that_stays_away_is_told_at_the_end_of_the_wait(shop: ControlPlane, applier: Applier) -> None:
    applied = applier.apply(with_outcome(NEVER_READY))
    killer = threading.Timer(1.0, lambda: shop.stop("kube-apiserver", kill=True))
    killer.start()
    try:
        with pytest.raises(RolloutTimeoutError, match="the cluster does not answer") as caught:
            applier.wait(applied, timeout=6)
    finally:
        killer.join()
        shop.up()
    assert caught.value.workloads[0][0] == "Deployment/default/web"


def test_a_server_that_holds_still_does_not_hold_the_caller(shop: ControlPlane, applier: Applier) -> None:
    applied = applier.apply(with_outcome(NEVER_READY))
    started = time.monotonic()
    with shop.frozen(), pytest.raises(RolloutTimeoutError):
        applier.wait(applied, timeout=3)
    assert time.monotonic() - started < 20

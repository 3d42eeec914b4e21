"""Applier.apply: all or nothing before, in order, and whatever happened is told. Against the embedded cluster."""

from __future__ import annotations

import json
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest
from app_manifests import CONFIG, DEFINITION, DEPLOYMENT, JOB, NAMESPACE, POD, ROBOT, SECRET, stream, within

from archkit import (
    Applied,
    Applier,
    ApplyError,
    CancelledError,
    ClusterConnection,
    ClusterError,
    ClusterSignInError,
    Event,
    FieldConflictError,
    ImmutableFieldError,
    ManifestSyntaxError,
    Retries,
)

if TYPE_CHECKING:
    from archkit.testing import EmbeddedCluster


def outcomes(applied: Applied) -> dict[str, str]:
    return {item.label: item.outcome for item in applied.objects}


def names(cluster: EmbeddedCluster, kind: str) -> set[str]:
    return {found["metadata"]["name"] for found in cluster.objects(kind)}


def hasty(cluster: EmbeddedCluster, **options: Any) -> Applier:
    """An applier that does not ask again."""
    connection = ClusterConnection.from_kubeconfig(cluster.kubeconfig)
    connection._retries = Retries(attempts=1)
    return Applier(connection, **options)


# ---- what is done ------------------------------------------------------------------------------------------------


def test_everything_of_a_stream_is_applied_in_an_order_that_works(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    text = stream(*(within("shop", one) for one in (ROBOT, DEPLOYMENT, CONFIG)), DEFINITION, NAMESPACE)

    applied = applier.apply(text)

    assert list(outcomes(applied).items()) == [
        ("Namespace/shop", "created"),
        ("CustomResourceDefinition/robots.example.com", "created"),
        ("ConfigMap/shop/colors", "created"),
        ("Deployment/shop/web", "created"),
        ("Robot/shop/r2", "created"),
    ]
    assert archkit_cluster.get("Robot", "r2", "shop")["spec"] == {"arms": 2}
    assert dict(applied.unchecked) == {
        "ConfigMap/shop/colors": "its namespace is in the same stream: shop",
        "Deployment/shop/web": "its namespace is in the same stream: shop",
        "Robot/shop/r2": "its kind is in the same stream: CustomResourceDefinition/robots.example.com",
    }
    again = applier.apply(text)
    assert set(outcomes(again).values()) == {"unchanged"}
    assert not again.changed


def test_several_texts_are_one_stream(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    applied = applier.apply({"b.yaml": within("shop", CONFIG), "a.yaml": NAMESPACE})
    assert [(item.label, item.where) for item in applied.objects] == [("Namespace/shop", "a.yaml:1"), ("ConfigMap/shop/colors", "b.yaml:1")]
    with pytest.raises(ManifestSyntaxError, match=r"b\.yaml:1: ConfigMap/default/colors stands twice; the other one is at a\.yaml:1"):
        applier.apply({"a.yaml": CONFIG, "b.yaml": CONFIG})
    assert names(archkit_cluster, "configmaps") == {"colors"}


def test_nothing_to_apply_is_no_error(applier: Applier) -> None:
    applied = applier.apply("# nothing\n")
    assert (applied.objects, applied.changed) == ((), False)
    assert applier.wait(applied, timeout=1).explain() == "no workloads"


def test_a_dry_run_only_asks(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    applier.apply(CONFIG)
    before = len(archkit_cluster.log)

    planned = applier.apply(stream(CONFIG.replace("blue", "grey"), within("shop", POD), NAMESPACE), dry_run=True)

    sent = archkit_cluster.log[before:]
    assert all("dryRun=All" in exchange.path for exchange in sent if exchange.method != "GET")
    assert planned.dry_run
    assert outcomes(planned) == {"Namespace/shop": "created", "ConfigMap/default/colors": "configured", "Pod/shop/hello": "created"}
    assert archkit_cluster.get("ConfigMap", "colors")["data"] == {"sky": "blue"}
    text = planned.explain()
    assert text.startswith("dry run: 3 objects, cluster ")
    assert "ConfigMap/default/colors configured\n  ~ data.sky: blue -> grey" in text
    assert "not checked before: Pod/shop/hello: its namespace is in the same stream: shop" in text
    with pytest.raises(ApplyError, match="it was a dry run"):
        applier.wait(planned, timeout=1)


def test_what_is_sent_is_strict_and_in_the_name_of_the_manager(archkit_cluster: EmbeddedCluster) -> None:
    Applier(ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig), field_manager="deployer").apply(CONFIG, force=True)
    sent = [exchange.path.partition("?")[2] for exchange in archkit_cluster.log if exchange.method == "PATCH"]
    options = "fieldManager=deployer&fieldValidation=Strict&force=true"
    assert sent == [f"{options}&dryRun=All", options]
    assert {entry["manager"] for entry in archkit_cluster.get("ConfigMap", "colors")["metadata"]["managedFields"]} == {"deployer"}


def test_kinds_are_looked_up_once(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    applier.apply(stream(DEPLOYMENT, CONFIG, POD))
    applier.apply(stream(DEPLOYMENT, CONFIG, POD))
    asked = [exchange.path for exchange in archkit_cluster.log]
    assert (asked.count("/api/v1"), asked.count("/apis/apps/v1")) == (1, 1)


def test_the_namespace_of_those_that_name_none(archkit_cluster: EmbeddedCluster) -> None:
    connection = ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig)
    applied = Applier(connection, namespace="kube-public").apply(stream(CONFIG, NAMESPACE))
    assert [item.path for item in applied.objects] == ["/api/v1/namespaces/shop", "/api/v1/namespaces/kube-public/configmaps/colors"]


def test_names_are_escaped_in_paths(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    with pytest.raises(ApplyError):
        applier.apply(CONFIG.replace("name: colors", "name: ../../secrets/x?y"))
    assert not any("/secrets" in exchange.path for exchange in archkit_cluster.log)


def test_every_step_is_told_and_no_secret(applier: Applier, events: list[Event]) -> None:
    applied = applier.apply(stream(SECRET, CONFIG))
    assert [(event.work, event.stage) for event in events] == [
        ("check", "started"),
        ("check", "finished"),
        ("apply", "started"),
        ("apply", "progress"),
        ("apply", "progress"),
        ("apply", "finished"),
    ]
    assert events[3].message == "Secret/default/login created"
    assert "hunter2" not in applied.explain() + repr(applied) + repr(events)
    assert "+ stringData.password: ***" in applied.objects[0].diff
    assert applied.explain().splitlines()[1:] == ["Secret/default/login created", "ConfigMap/default/colors created"]


# ---- nothing is applied when something is bad --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        pytest.param("kind: Pod\n", ManifestSyntaxError, "no apiVersion", id="no object"),
        pytest.param(DEPLOYMENT.replace("replicas: 2", "replica: 2"), ApplyError, "replica", id="unknown field"),
        pytest.param(DEPLOYMENT.replace("replicas: 2", "replicas: -1"), ApplyError, "spec.replicas", id="value"),
        pytest.param(
            DEPLOYMENT.replace("apps/v1", "apps/v2"), ApplyError, "there is no Deployment in apps/v2; it is in apps/v1", id="version"
        ),
        pytest.param(ROBOT, ApplyError, "there is no Robot in example.com/v1", id="kind"),
        pytest.param(within("nowhere", POD), ApplyError, 'namespaces "nowhere" not found', id="namespace"),
        pytest.param(CONFIG.replace("colors", "Colors"), ApplyError, "metadata.name", id="name"),
    ],
)
def test_one_bad_document_keeps_all_out(
    archkit_cluster: EmbeddedCluster, applier: Applier, bad: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        applier.apply(stream(CONFIG, bad), name="app.yaml")
    assert names(archkit_cluster, "configmaps") == set()
    assert [one for one in archkit_cluster.log if one.method != "GET" and "dryRun=All" not in one.path] == []


def test_every_bad_document_is_named_at_once(applier: Applier) -> None:
    with pytest.raises(ApplyError) as caught:
        applier.apply(stream(CONFIG, within("nowhere", POD), DEPLOYMENT.replace("replicas: 2", "replicas: -1")), name="app.yaml")
    error = caught.value
    assert [name for name, _ in error.refused] == ["Pod/nowhere/hello (app.yaml:6)", "Deployment/default/web (app.yaml:11)"]
    assert error.applied == ()
    assert error.not_applied == ("ConfigMap/default/colors", *(name.split(" ")[0] for name, _ in error.refused))
    assert "2 of 3 objects are refused; nothing was applied" in str(error)
    assert isinstance(error, OSError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_what_could_not_be_checked_is_checked_before_the_rest(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    text = stream(DEFINITION, ROBOT.replace("arms: 2", "arms: many"), CONFIG)
    with pytest.raises(ApplyError) as caught:
        applier.apply(text)
    assert caught.value.applied == ("CustomResourceDefinition/robots.example.com",)
    assert caught.value.not_applied == ("ConfigMap/default/colors", "Robot/default/r2")
    assert names(archkit_cluster, "configmaps") == set()


def test_a_definition_that_is_never_served_is_given_up(archkit_cluster: EmbeddedCluster) -> None:
    archkit_cluster.on("GET", resource="robots").answer(404, body="404 page not found")
    applier = Applier(ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig), timeout=0.3)
    with pytest.raises(ApplyError, match=r"the kind Robot is not served 0\.3 s after its definition was applied") as caught:
        applier.apply(stream(DEFINITION, ROBOT))
    assert caught.value.applied == ("CustomResourceDefinition/robots.example.com",)


# ---- conflicts and fields that cannot change ---------------------------------------------------------------------


def test_a_conflict_names_the_manager_and_may_be_forced(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    other = Applier(ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig), field_manager="kubectl")
    other.apply(DEPLOYMENT)
    changed = DEPLOYMENT.replace("replicas: 2", "replicas: 3")

    with pytest.raises(FieldConflictError) as caught:
        applier.apply(stream(CONFIG, changed))

    assert caught.value.conflicts == (("Deployment/default/web", "kubectl", ".spec.replicas"),)
    assert "Deployment/default/web (<text>:6): kubectl manages .spec.replicas" in str(caught.value)
    assert "force=True" in str(caught.value)
    assert names(archkit_cluster, "configmaps") == set()
    assert outcomes(applier.apply(changed, force=True)) == {"Deployment/default/web": "configured"}
    assert archkit_cluster.get("Deployment", "web")["spec"]["replicas"] == 3


def test_pods_and_jobs_may_be_replaced(archkit_cluster: EmbeddedCluster, applier: Applier, events: list[Event]) -> None:
    archkit_cluster.add_node()
    applier.apply(stream(JOB, POD))
    before = {kind: archkit_cluster.get(kind, name)["metadata"]["uid"] for kind, name in (("Job", "migrate"), ("Pod", "hello"))}
    changed = stream(JOB.replace("migrate:1", "migrate:2"), POD.replace("hello:1", 'hello:1", command: ["/x"], workingDir: "/'))

    with pytest.raises(ImmutableFieldError) as caught:
        applier.apply(changed)
    assert {label for label, _ in caught.value.fields} == {"Job/default/migrate", "Pod/default/hello"}
    assert "replace_immutable=True" in str(caught.value)
    planned = applier.apply(changed, replace_immutable=True, dry_run=True)
    assert set(outcomes(planned).values()) == {"replaced"}
    assert {kind: archkit_cluster.get(kind, name)["metadata"]["uid"] for kind, name in (("Job", "migrate"), ("Pod", "hello"))} == before

    applied = applier.apply(changed, replace_immutable=True)

    assert set(outcomes(applied).values()) == {"replaced"}
    after = {kind: archkit_cluster.get(kind, name)["metadata"]["uid"] for kind, name in (("Job", "migrate"), ("Pod", "hello"))}
    assert not set(before.values()) & set(after.values())
    assert "Pod/default/hello cannot be changed: the old one is deleted" in [event.message for event in events]
    assert archkit_cluster.get("Pod", "hello")["spec"]["containers"][0]["command"] == ["/x"]


def test_what_would_be_refused_anew_is_not_deleted(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    applier.apply(JOB)
    archkit_cluster.on("DELETE").never().optional()
    with pytest.raises(ApplyError, match="restartPolicy"):
        applier.apply(JOB.replace("restartPolicy: Never", "restartPolicy: Always"), replace_immutable=True)
    assert names(archkit_cluster, "jobs") == {"migrate"}


def test_an_object_that_does_not_go_is_given_up(archkit_cluster: EmbeddedCluster) -> None:
    applier = Applier(ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig), timeout=0.3)
    applier.apply(JOB)
    archkit_cluster.on("DELETE", resource="jobs").answer(200, body="{}")
    with pytest.raises(ApplyError, match=r"is being deleted and still there after 0\.3 s") as caught:
        applier.apply(stream(CONFIG, JOB.replace("migrate:1", "migrate:2")), replace_immutable=True)
    assert caught.value.applied == ("ConfigMap/default/colors",)
    assert caught.value.uncertain == ("Job/default/migrate",)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        pytest.param(
            403, r"Job/default/migrate \(<text>:1\): the old one is deleted, and the new one is refused: exceeded quota", id="refused"
        ),
        pytest.param(0, "stopped at Job/default/migrate .*, whose old object is deleted or being deleted: ", id="no answer"),
    ],
)
def test_an_old_object_that_is_gone_without_a_new_one_is_told(archkit_cluster: EmbeddedCluster, status: int, says: str) -> None:
    def refuse(event: Event) -> None:
        if "cannot be changed" in event.message:
            rule = archkit_cluster.on("PATCH", resource="jobs")
            rule.answer(status, body='{"message": "exceeded quota"}') if status else rule.drop()

    applier = hasty(archkit_cluster, on_event=refuse)
    applier.apply(JOB)
    with pytest.raises(ApplyError, match=says) as caught:
        applier.apply(JOB.replace("migrate:1", "migrate:2"), replace_immutable=True)
    assert names(archkit_cluster, "jobs") == set()
    assert caught.value.applied == ()


def test_other_kinds_are_not_replaced(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    applier.apply(DEPLOYMENT)
    archkit_cluster.on("DELETE").never().optional()
    with pytest.raises(ImmutableFieldError) as caught:
        applier.apply(DEPLOYMENT.replace("app: web", "app: other"), replace_immutable=True)
    assert caught.value.fields == (("Deployment/default/web", "spec.selector"),)


# ---- faults ------------------------------------------------------------------------------------------------------


def test_a_failure_in_the_middle_says_what_was_applied(archkit_cluster: EmbeddedCluster) -> None:
    rule = archkit_cluster.on("PATCH", resource="deployments")
    rule.tamper(lambda response: response)  # the check passes
    applier = hasty(archkit_cluster, on_event=lambda event: rule.drop() if event.message.startswith("ConfigMap") else None)

    with pytest.raises(ApplyError) as caught:
        applier.apply(stream(CONFIG, DEPLOYMENT, POD, JOB))

    error = caught.value
    assert error.applied == ("ConfigMap/default/colors",)
    assert error.uncertain == ("Deployment/default/web",)
    assert error.not_applied == ("Pod/default/hello", "Job/default/migrate")
    assert "applying stopped at Deployment/default/web (<text>:6)" in str(error)
    assert "repeat the call" in str(error)
    assert isinstance(error.__cause__, ClusterError)


def test_a_refusal_in_the_middle_says_what_was_applied(archkit_cluster: EmbeddedCluster) -> None:
    rule = archkit_cluster.on("PATCH", resource="deployments")
    rule.tamper(lambda response: response)
    body = json.dumps({"kind": "Status", "message": 'deployments.apps "web" is forbidden: exceeded quota: q'})
    applier = hasty(archkit_cluster, on_event=lambda event: rule.answer(403, body=body) if event.message.startswith("ConfigMap") else None)

    with pytest.raises(ApplyError, match="exceeded quota") as caught:
        applier.apply(stream(CONFIG, DEPLOYMENT, POD))

    assert (caught.value.applied, caught.value.not_applied) == (
        ("ConfigMap/default/colors",),
        ("Deployment/default/web", "Pod/default/hello"),
    )
    assert "verbs" not in str(caught.value)  # no role helps against a quota


def test_a_busy_server_is_waited_for(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    archkit_cluster.on("PATCH", resource="configmaps").answer(429, retry_after=0).times(2)
    assert outcomes(applier.apply(CONFIG)) == {"ConfigMap/default/colors": "created"}


def test_a_lost_answer_is_asked_for_again(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    archkit_cluster.on("PATCH", resource="configmaps").drop(after=0).times(2)
    assert outcomes(applier.apply(CONFIG)) == {"ConfigMap/default/colors": "created"}
    assert archkit_cluster.get("ConfigMap", "colors")["data"] == {"sky": "blue"}


def test_what_is_not_allowed_is_named_with_the_rules(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    archkit_cluster.deny("*", "deployments")
    archkit_cluster.deny("patch", "secrets")
    with pytest.raises(ApplyError) as caught:
        applier.apply(stream(SECRET, CONFIG, DEPLOYMENT))
    assert [name.split(" ")[0] for name, _ in caught.value.refused] == ["Secret/default/login", "Deployment/default/web"]
    assert '  - {apiGroups: [""], resources: ["secrets"], verbs: ["get", "create", "patch"]}' in str(caught.value)
    assert '  - {apiGroups: ["apps"], resources: ["deployments"], verbs: ["get", "create", "patch"]}' in str(caught.value)
    assert names(archkit_cluster, "configmaps") == set()


def test_expired_credentials_are_an_error_of_signing_in(archkit_cluster: EmbeddedCluster, applier: Applier) -> None:
    applier.apply(CONFIG)
    archkit_cluster.on("*").answer(401, body='{"message": "Unauthorized"}')
    with pytest.raises(ClusterSignInError, match="nothing was applied"):
        applier.apply(CONFIG)


@pytest.mark.parametrize("body", ["[]", "{", ""])
def test_an_answer_that_is_no_object_is_an_error(archkit_cluster: EmbeddedCluster, applier: Applier, body: str) -> None:
    archkit_cluster.on("GET", resource="configmaps").answer(200, body=body)
    with pytest.raises(ClusterError, match="was answered with something that is no"):
        applier.apply(CONFIG)


def test_cancelling_between_two_objects(archkit_cluster: EmbeddedCluster) -> None:
    stop = threading.Event()
    connection = ClusterConnection.from_kubeconfig(archkit_cluster.kubeconfig)
    applier = Applier(connection, cancel=stop, on_event=lambda event: stop.set() if event.message.startswith("ConfigMap") else None)
    with pytest.raises(CancelledError, match="applied: ConfigMap/default/colors; not applied: Pod/default/hello"):
        applier.apply(stream(POD, CONFIG))
    assert names(archkit_cluster, "pods") == set()
    with pytest.raises(CancelledError, match="nothing was applied"):
        applier.apply(POD)


def test_a_failed_step_is_told(applier: Applier, events: list[Event]) -> None:
    with pytest.raises(ApplyError):
        applier.apply(ROBOT)
    assert [(event.work, event.stage) for event in events] == [("check", "started"), ("check", "failed")]

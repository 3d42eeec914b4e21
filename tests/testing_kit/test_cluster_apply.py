"""EmbeddedCluster: server-side apply, its managers and conflicts, and the other ways of writing."""

from __future__ import annotations

from typing import Any

import pytest
from cluster_requests import CONFIGS, DEPLOYMENTS, PATCHES, Answer, apply, arch_in, ask, config, deployment, required

from archkit.testing import EmbeddedCluster


@pytest.fixture
def cluster() -> EmbeddedCluster:
    """Without any socket."""
    return EmbeddedCluster()


def managed(obj: dict[str, Any], manager: str) -> Any:
    return next(entry["fieldsV1"] for entry in obj["metadata"]["managedFields"] if entry["manager"] == manager)


def container(obj: dict[str, Any]) -> Any:
    return obj["spec"]["template"]["spec"]["containers"][0]


def test_what_is_applied_is_there_with_its_manager(cluster: EmbeddedCluster) -> None:
    status, obj, _ = apply(cluster, config(a="1"))
    assert status == 201
    assert obj["data"] == {"a": "1"}
    (entry,) = obj["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}
    assert (entry["manager"], entry["operation"], entry["apiVersion"], entry["fieldsType"]) == ("me", "Apply", "v1", "FieldsV1")


def test_applying_the_same_again_changes_nothing(cluster: EmbeddedCluster) -> None:
    first = apply(cluster, deployment())
    again = apply(cluster, deployment())
    settled = cluster.get("Deployment", "web")
    assert (first.status, again.status) == (201, 200)
    assert apply(cluster, deployment()).body["metadata"]["resourceVersion"] == settled["metadata"]["resourceVersion"]
    assert settled["metadata"]["generation"] == 1


def test_a_field_that_is_applied_no_more_goes_unless_another_manages_it(cluster: EmbeddedCluster) -> None:
    apply(cluster, config(a="1", b="2", c="3"))
    apply(cluster, config(b="2"), "other")
    _, obj, _ = apply(cluster, config(a="1"))
    assert obj["data"] == {"a": "1", "b": "2"}
    assert managed(obj, "other") == {"f:data": {"f:b": {}}}


def test_a_changed_field_of_another_is_a_conflict(cluster: EmbeddedCluster) -> None:
    apply(cluster, deployment(spec={"replicas": 1}))
    refused = apply(cluster, deployment(image="nginx:2", spec={"replicas": 2}), "other")
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    image = '.spec.template.spec.containers[name="app"].image'
    assert refused.causes == [("FieldManagerConflict", ".spec.replicas"), ("FieldManagerConflict", image)]
    assert refused.body["message"] == f'Apply failed with 2 conflicts: conflicts with "me":\n- .spec.replicas\n- {image}'
    one = apply(cluster, deployment(spec={"replicas": 2}), "other")
    assert one.body["message"] == 'Apply failed with 1 conflict: conflict with "me": .spec.replicas'


def test_force_takes_the_field_over(cluster: EmbeddedCluster) -> None:
    apply(cluster, deployment(spec={"replicas": 1}))
    status, obj, _ = apply(cluster, deployment(spec={"replicas": 2}), "other", force="true")
    assert (status, obj["spec"]["replicas"]) == (200, 2)
    assert "f:replicas" not in managed(obj, "me")["f:spec"]
    assert "f:replicas" in managed(obj, "other")["f:spec"]


def test_equal_values_are_shared(cluster: EmbeddedCluster) -> None:
    apply(cluster, deployment(spec={"replicas": 1}))
    assert apply(cluster, deployment(spec={"replicas": 1}), "other").status == 200


def test_required_affinity_is_one_field(cluster: EmbeddedCluster) -> None:
    apply(cluster, deployment(affinity=required(arch_in("amd64"))))
    refused = apply(cluster, deployment(affinity=required(arch_in("amd64", "arm64"))), "other")
    where = ".spec.template.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    assert refused.causes == [("FieldManagerConflict", where)]
    _, obj, _ = apply(cluster, deployment(affinity=required(arch_in("arm64"))), "other", force="true")
    assert obj["spec"]["template"]["spec"]["affinity"] == required(arch_in("arm64"))


def test_containers_are_merged_by_name_in_the_order_applied(cluster: EmbeddedCluster) -> None:
    apply(cluster, deployment())
    sidecar = deployment()
    sidecar["spec"]["template"]["spec"]["containers"] = [{"name": "log", "image": "log:1"}]
    _, obj, _ = apply(cluster, sidecar, "other")
    assert [each["name"] for each in obj["spec"]["template"]["spec"]["containers"]] == ["app", "log"]
    assert managed(obj, "other")["f:spec"]["f:template"]["f:spec"]["f:containers"] == {
        'k:{"name":"log"}': {".": {}, "f:image": {}, "f:name": {}}
    }
    without = deployment()
    _, obj, _ = apply(cluster, without, "other")
    assert [each["name"] for each in obj["spec"]["template"]["spec"]["containers"]] == ["app"]


def test_ports_have_their_protocol_in_their_key(cluster: EmbeddedCluster) -> None:
    made = deployment()
    container(made)["ports"] = [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]
    _, obj, _ = apply(cluster, made)
    keys = managed(obj, "me")["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"app"}']["f:ports"]
    assert set(keys) == {'k:{"containerPort":80,"protocol":"TCP"}', 'k:{"containerPort":80,"protocol":"UDP"}'}


def test_a_conflict_with_an_update_names_its_version(cluster: EmbeddedCluster) -> None:
    ask(cluster, "POST", CONFIGS, config(a="1"), fieldManager="writer")
    refused = apply(cluster, config(a="2"))
    assert refused.body["message"] == 'Apply failed with 1 conflict: conflict with "writer" using v1: .data.a'


@pytest.mark.parametrize("way", ["json", "merge", "strategic", "put"])
def test_every_other_write_takes_what_it_changes_over(cluster: EmbeddedCluster, way: str) -> None:
    apply(cluster, deployment(spec={"replicas": 1}))
    path, answer = f"{DEPLOYMENTS}/web", None
    if way == "put":
        obj = cluster.get("Deployment", "web")
        answer = ask(cluster, "PUT", path, {**obj, "spec": {**obj["spec"], "replicas": 3}}, fieldManager="writer")
    else:
        patch: Any = {"spec": {"replicas": 3}} if way != "json" else [{"op": "replace", "path": "/spec/replicas", "value": 3}]
        answer = ask(cluster, "PATCH", path, patch, kind=f"application/{PATCHES[way]}", fieldManager="writer")
    assert (answer.status, answer.body["spec"]["replicas"]) == (200, 3)
    assert managed(answer.body, "writer") == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in managed(answer.body, "me")["f:spec"]
    assert apply(cluster, deployment(spec={"replicas": 1})).status == 409


def test_a_manager_without_a_name_is_called_after_its_agent(cluster: EmbeddedCluster) -> None:
    answer = ask(cluster, "POST", CONFIGS, config(a="1"))
    assert [entry["manager"] for entry in answer.body["metadata"]["managedFields"]] == ["tester"]


def test_apply_needs_a_manager(cluster: EmbeddedCluster) -> None:
    refused = ask(cluster, "PATCH", f"{CONFIGS}/conf", config(a="1"), kind="application/apply-patch+yaml")
    assert (refused.status, refused.causes) == (422, [("FieldValueRequired", "fieldManager")])


def test_apply_reads_yaml(cluster: EmbeddedCluster) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {on: '1', a: 2026-01-01}\n"
    answer = ask(cluster, "PATCH", f"{CONFIGS}/conf", body, kind="application/apply-patch+yaml", fieldManager="me")
    assert answer.status == 201
    assert answer.body["data"] == {"true": "1", "a": "2026-01-01"}


def test_a_dry_run_checks_and_keeps_nothing(cluster: EmbeddedCluster) -> None:
    assert apply(cluster, config(a="1"), dryRun="All").status == 201
    assert cluster.objects("ConfigMap") == []
    apply(cluster, config(a="1"))
    assert apply(cluster, config(a="2"), dryRun="All").body["data"] == {"a": "2"}
    assert apply(cluster, config(a="2"), "other", dryRun="All").status == 409
    assert cluster.get("cm", "conf")["data"] == {"a": "1"}
    assert ask(cluster, "DELETE", f"{CONFIGS}/conf", dryRun="All").status == 200
    assert cluster.get("cm", "conf")
    assert ask(cluster, "POST", CONFIGS, config("b"), dryRun="Some").status == 400


UNKNOWN = deployment(colour="red")
DOUBLE = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"conf"},"data":{"a":"1","a":"2"}}'


def test_unknown_fields_are_refused_dropped_or_ignored(cluster: EmbeddedCluster) -> None:
    strict = ask(cluster, "POST", DEPLOYMENTS, UNKNOWN, fieldValidation="Strict")
    assert strict.status == 400
    assert strict.body["message"] == (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.template.spec.colour"'
    )
    warned = ask(cluster, "POST", DEPLOYMENTS, UNKNOWN)
    assert warned.status == 201
    assert warned.headers["Warning"] == '299 - "unknown field \\"spec.template.spec.colour\\""'
    assert "colour" not in warned.body["spec"]["template"]["spec"]
    assert "Warning" not in ask(cluster, "PUT", f"{DEPLOYMENTS}/web", UNKNOWN, fieldValidation="Ignore").headers
    applied = apply(cluster, UNKNOWN)
    assert applied.status == 500
    assert applied.body["message"] == (
        "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.template.spec.colour: field not declared in schema"
    )


def test_a_key_that_stands_twice_is_refused_when_strict(cluster: EmbeddedCluster) -> None:
    for method, path, kind in (("POST", CONFIGS, "application/json"), ("PATCH", f"{CONFIGS}/conf", "application/apply-patch+yaml")):
        refused = ask(cluster, method, path, DOUBLE, kind=kind, fieldManager="me", fieldValidation="Strict")
        assert refused.status == 400
        assert "strict decoding" in refused.body["message"]
    taken = ask(cluster, "POST", CONFIGS, DOUBLE)
    assert taken.body["data"] == {"a": "2"}
    assert 'duplicate field \\"a\\"' in taken.headers["Warning"]


def test_wrong_types_are_refused(cluster: EmbeddedCluster) -> None:
    wrong = deployment(spec={"replicas": "three"})
    posted, applied = ask(cluster, "POST", DEPLOYMENTS, wrong), apply(cluster, wrong)
    assert (posted.status, applied.status) == (400, 500)
    for answer in (posted, applied):
        assert '.spec.replicas: expected numeric (int or float), got "three"' in answer.body["message"]


def test_a_write_of_an_old_version_is_refused(cluster: EmbeddedCluster) -> None:
    old = ask(cluster, "POST", CONFIGS, config(a="1")).body
    ask(cluster, "PUT", f"{CONFIGS}/conf", {**old, "data": {"a": "2"}})
    refused = ask(cluster, "PUT", f"{CONFIGS}/conf", {**old, "data": {"a": "3"}})
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in refused.body["message"]


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (lambda cluster: ask(cluster, "GET", f"{CONFIGS}/none"), 404, "NotFound"),
        (lambda cluster: ask(cluster, "POST", "/api/v1/namespaces/none/configmaps", config()), 404, "NotFound"),
        (lambda cluster: ask(cluster, "PUT", f"{CONFIGS}/conf", config()), 404, "NotFound"),
        (lambda cluster: ask(cluster, "GET", "/apis/apps/v1/robots"), 404, "NotFound"),
        (lambda cluster: ask(cluster, "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}), 409, "AlreadyExists"),
        (lambda cluster: ask(cluster, "POST", CONFIGS, deployment()), 400, "BadRequest"),
        (lambda cluster: ask(cluster, "POST", CONFIGS, b"{"), 400, "BadRequest"),
        (lambda cluster: ask(cluster, "POST", CONFIGS, config("Upper")), 422, "Invalid"),
        (lambda cluster: ask(cluster, "PATCH", f"{CONFIGS}/conf", config(), kind="text/plain"), 415, "UnsupportedMediaType"),
        (lambda cluster: ask(cluster, "POST", CONFIGS, b"\x00", kind="application/vnd.kubernetes.protobuf"), 415, "UnsupportedMediaType"),
        (lambda cluster: ask(cluster, "GET", "/api/v1/namespaces/default/pods/a/log"), 501, "NotImplemented"),
    ],
)  # fmt: skip
def test_refusals_are_those_of_an_api_server(cluster: EmbeddedCluster, answer: Any, status: int, reason: str) -> None:
    told: Answer = answer(cluster)
    assert (told.status, told.body["reason"], told.body["kind"], told.body["code"]) == (status, reason, "Status", status)


def test_the_status_is_written_apart(cluster: EmbeddedCluster) -> None:
    cluster.load(deployment(spec={"replicas": 0, "paused": True}))
    obj = cluster.get("Deployment", "web")
    path = f"{DEPLOYMENTS}/web"
    main = ask(cluster, "PUT", path, {**obj, "status": {"replicas": 9}}).body
    assert main.get("status", {}).get("replicas") != 9
    part = ask(
        cluster, "PATCH", f"{path}/status", {"status": {"replicas": 9}, "spec": {"replicas": 7}}, kind="application/merge-patch+json"
    )
    assert (part.body["status"]["replicas"], part.body["spec"]["replicas"]) == (9, 0)
    assert any(entry.get("subresource") == "status" for entry in part.body["metadata"]["managedFields"])

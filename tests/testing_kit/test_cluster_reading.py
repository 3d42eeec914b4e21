"""EmbeddedCluster: lists in pages, watches, forms of answers, sign-in and denials, over a real connection where it matters."""

from __future__ import annotations

import gzip
import http.client
import json
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from cluster_requests import CONFIGS, PODS, ask, config, deployment, pod_spec

from archkit.testing import EmbeddedCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster() as made:
        yield made


def names(body: Any) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


def some(cluster: EmbeddedCluster, count: int) -> None:
    for number in range(count):
        cluster.load({**config(f"conf-{number}"), "metadata": {"name": f"conf-{number}", "labels": {"odd": str(number % 2)}}})


def fetched(cluster: EmbeddedCluster, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(cluster.host, timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


# ---- lists ---------------------------------------------------------------------------------------------------------


def test_pages_are_of_one_moment(cluster: EmbeddedCluster) -> None:
    some(cluster, 5)
    first = ask(cluster, "GET", CONFIGS, limit="2").body
    assert names(first) == ["conf-0", "conf-1"]
    assert first["metadata"]["remainingItemCount"] == 3
    assert (first["kind"], first["apiVersion"]) == ("ConfigMapList", "v1")
    assert "kind" not in first["items"][0]
    ask(cluster, "DELETE", f"{CONFIGS}/conf-3")
    cluster.load(config("conf-9"))
    second = ask(cluster, "GET", CONFIGS, **{"limit": "9", "continue": first["metadata"]["continue"]}).body
    assert names(second) == ["conf-2", "conf-3", "conf-4"]
    assert second["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}


def test_a_page_that_comes_too_late_is_gone_and_may_be_continued_otherwise(cluster: EmbeddedCluster) -> None:
    some(cluster, 3)
    first = ask(cluster, "GET", CONFIGS, limit="1").body
    cluster.forget_history()
    late = ask(cluster, "GET", CONFIGS, **{"limit": "1", "continue": first["metadata"]["continue"]})
    assert (late.status, late.body["reason"]) == (410, "Expired")
    rest = ask(cluster, "GET", CONFIGS, **{"continue": late.body["metadata"]["continue"]})
    assert (rest.status, names(rest.body)) == (200, ["conf-1", "conf-2"])
    assert ask(cluster, "GET", CONFIGS, **{"continue": "rubbish"}).status == 400


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"labelSelector": "odd=1"}, ["conf-1"]),
        ({"labelSelector": "odd!=1"}, ["conf-0", "conf-2"]),
        ({"labelSelector": "odd in (0,1),odd notin (1)"}, ["conf-0", "conf-2"]),
        ({"labelSelector": "odd"}, ["conf-0", "conf-1", "conf-2"]),
        ({"labelSelector": "!odd"}, []),
        ({"fieldSelector": "metadata.name=conf-2"}, ["conf-2"]),
        ({"fieldSelector": "metadata.name!=conf-2,metadata.namespace=default"}, ["conf-0", "conf-1"]),
    ],
)
def test_selectors(cluster: EmbeddedCluster, query: dict[str, str], found: list[str]) -> None:
    some(cluster, 3)
    assert names(ask(cluster, "GET", CONFIGS, **query).body) == found


def test_a_selector_that_is_none_is_refused(cluster: EmbeddedCluster) -> None:
    assert ask(cluster, "GET", CONFIGS, labelSelector="a b c").status == 400
    assert ask(cluster, "GET", CONFIGS, fieldSelector="rubbish").status == 400


def test_metadata_alone_and_tables(cluster: EmbeddedCluster) -> None:
    cluster.add_node("linux/arm64", cordoned=True)
    _, content = fetched(cluster, "/api/v1/nodes", Accept=METADATA)
    listed = json.loads(content)
    assert listed["kind"] == "PartialObjectMetadataList"
    assert set(listed["items"][0]) == {"kind", "apiVersion", "metadata"}
    _, content = fetched(cluster, "/api/v1/nodes?includeObject=None", Accept=TABLE)
    table = json.loads(content)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Status", "Version", "Age"]
    assert table["rows"][0]["cells"][:2] == ["node-1", "Ready,SchedulingDisabled"]
    assert "object" not in table["rows"][0]
    _, content = fetched(cluster, "/api/v1/nodes/node-1", Accept=METADATA.replace("List", ""))
    assert json.loads(content)["kind"] == "PartialObjectMetadata"


def test_large_answers_are_compressed_when_asked_for(cluster: EmbeddedCluster) -> None:
    cluster.add_node(count=300)
    plain, content = fetched(cluster, "/api/v1/nodes")
    packed, smaller = fetched(cluster, "/api/v1/nodes", **{"Accept-Encoding": "gzip"})
    assert (plain.headers["Content-Encoding"], packed.headers["Content-Encoding"]) == (None, "gzip")
    assert gzip.decompress(smaller) == content
    assert fetched(cluster, "/api/v1/nodes?limit=1", **{"Accept-Encoding": "gzip"})[0].headers["Content-Encoding"] is None


# ---- watches -------------------------------------------------------------------------------------------------------


def events(cluster: EmbeddedCluster, path: str, count: int) -> list[dict[str, Any]]:
    """The first events of a watch."""
    connection = http.client.HTTPConnection(cluster.host, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.headers["Transfer-Encoding"] == "chunked"
    found = [json.loads(response.readline()) for _ in range(count)]
    connection.close()
    return found


def said(event: dict[str, Any]) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"].get("name", "")


def test_a_watch_says_what_was_written_since(cluster: EmbeddedCluster) -> None:
    some(cluster, 2)
    version = ask(cluster, "GET", CONFIGS).body["metadata"]["resourceVersion"]
    ask(cluster, "PUT", f"{CONFIGS}/conf-0", config("conf-0", a="1"))
    cluster.load(deployment())
    ask(cluster, "DELETE", f"{CONFIGS}/conf-1")
    found = events(cluster, f"{CONFIGS}?watch=1&resourceVersion={version}", 2)
    assert [said(event) for event in found] == [("MODIFIED", "conf-0"), ("DELETED", "conf-1")]


def test_a_watch_without_a_start_says_what_is_there(cluster: EmbeddedCluster) -> None:
    some(cluster, 2)
    found = fetched(cluster, f"{CONFIGS}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dconf-1")[1]
    assert [said(json.loads(line)) for line in found.splitlines()] == [("ADDED", "conf-1")]


def test_what_comes_to_match_a_selector_is_added_and_what_ceases_is_deleted(cluster: EmbeddedCluster) -> None:
    some(cluster, 2)
    version = ask(cluster, "GET", CONFIGS).body["metadata"]["resourceVersion"]
    for name, odd in (("conf-0", "1"), ("conf-1", "0")):
        patch = {"metadata": {"labels": {"odd": odd}}}
        ask(cluster, "PATCH", f"{CONFIGS}/{name}", patch, kind="application/merge-patch+json")
    found = events(cluster, f"{CONFIGS}?watch=1&labelSelector=odd%3D1&resourceVersion={version}", 2)
    assert [said(event) for event in found] == [("ADDED", "conf-0"), ("DELETED", "conf-1")]


def test_a_list_may_be_streamed(cluster: EmbeddedCluster) -> None:
    some(cluster, 1)
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    added, bookmark = events(cluster, f"{CONFIGS}?{query}", 2)
    assert said(added) == ("ADDED", "conf-0")
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert ask(cluster, "GET", CONFIGS, watch="1", sendInitialEvents="true").status == 400


def test_a_watch_of_what_is_forgotten_says_so(cluster: EmbeddedCluster) -> None:
    cluster.forget_history()
    (error,) = events(cluster, f"{CONFIGS}?watch=1&resourceVersion=1", 1)
    assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_a_watch_hears_of_writes_as_they_come_and_ends_with_the_cluster(cluster: EmbeddedCluster) -> None:
    connection = http.client.HTTPConnection(cluster.host, timeout=10)
    connection.request("GET", f"{CONFIGS}?watch=1")
    response = connection.getresponse()
    cluster.load(config("late"))
    assert said(json.loads(response.readline())) == ("ADDED", "late")
    ended = threading.Event()

    def read() -> None:
        with suppress(http.client.HTTPException, OSError):  # a server that stops need not end what it was saying
            response.read()
        ended.set()

    reader = threading.Thread(target=read)
    reader.start()
    cluster.stop()
    assert ended.wait(5)
    reader.join()
    connection.close()


def test_a_watch_may_break_off(cluster: EmbeddedCluster) -> None:
    some(cluster, 2)
    cluster.on("GET", verb="watch").truncate(40)
    connection = http.client.HTTPConnection(cluster.host, timeout=10)
    connection.request("GET", f"{CONFIGS}?watch=1&timeoutSeconds=30")
    with pytest.raises(http.client.IncompleteRead) as raised:
        connection.getresponse().read()
    assert len(raised.value.partial) == 40
    connection.close()


# ---- sign-in and rights --------------------------------------------------------------------------------------------


def test_the_kubeconfig_leads_here(cluster: EmbeddedCluster) -> None:
    content = json.loads(cluster.kubeconfig.read_text())
    assert content["clusters"][0]["cluster"]["server"] == cluster.url == f"http://{cluster.host}"
    assert content["current-context"] == cluster.context
    assert cluster.kubeconfig.stat().st_mode & 0o077 == 0


def test_over_tls_a_token_is_needed_and_ends() -> None:
    with EmbeddedCluster(tls=True) as cluster:
        assert cluster.tls is not None
        trusted = ssl.create_default_context(cafile=str(cluster.tls.ca_file))

        def status(token: str = "") -> int:
            connection = http.client.HTTPSConnection(cluster.host, timeout=10, context=trusted)
            connection.request("GET", "/api/v1/nodes", headers={"Authorization": f"Bearer {token}"} if token else {})
            found = connection.getresponse()
            body = json.loads(found.read())
            connection.close()
            assert found.status == 200 or (body["reason"], body["message"]) == ("Unauthorized", "Unauthorized")
            return found.status

        def token() -> str:
            return str(json.loads(cluster.kubeconfig.read_text())["users"][0]["user"]["token"])

        old = token()
        assert (status(old), status(), status("wrong")) == (200, 401, 401)
        cluster.expire_tokens()
        assert (status(old), status(token())) == (401, 200)
        cluster.expire_tokens(renew=False)
        assert status(token()) == 401
        assert {exchange.user for exchange in cluster.log} == {"archkit-test", ""}
        assert "archkit-" not in cluster.log.table()


def test_denials_are_worded_as_those_of_roles(cluster: EmbeddedCluster) -> None:
    cluster.deny("list", "pods", namespace="default")
    cluster.deny("*", "nodes")
    pods, nodes = ask(cluster, "GET", PODS), ask(cluster, "GET", "/api/v1/nodes/node-1")
    assert pods.status == nodes.status == 403
    assert pods.body["message"] == (
        'pods is forbidden: User "archkit-test" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    assert nodes.body["message"] == (
        'nodes "node-1" is forbidden: User "archkit-test" cannot get resource "nodes" in API group "" at the cluster scope'
    )
    assert ask(cluster, "GET", "/api/v1/pods").status == 200


def test_rules_for_what_goes_wrong(cluster: EmbeddedCluster) -> None:
    cluster.on("POST", resource="configmaps", namespace="default").answer(429, retry_after=1).times(1)
    cluster.on("GET", resource="version").tamper(lambda answer: type(answer)(200, {}, b"{}"))
    cluster.on("DELETE").never()
    refused = ask(cluster, "POST", CONFIGS, config(a="1"))
    assert (refused.headers["Retry-After"], refused.body["reason"], refused.body["code"]) == ("1", "TooManyRequests", 429)
    assert ask(cluster, "POST", CONFIGS, config(a="1")).status == 201
    assert ask(cluster, "GET", "/version").body == {}
    cluster.check()
    assert dict(cluster.log.counts) == {"POST configmaps": 2, "GET version": 1}
    assert [exchange.status for exchange in cluster.log.where(verb="create", namespace="default")] == [429, 201]


def test_a_rule_that_nothing_met_fails() -> None:
    with (
        pytest.raises(AssertionError, match=r"on\('GET', verb='list', resource='nodes'\)\.wait\(0\.5\) met 0 requests"),
        EmbeddedCluster() as cluster,
    ):
        cluster.on("GET", verb="list", resource="nodes").delay(0.5)


# ---- discovery -----------------------------------------------------------------------------------------------------


def test_discovery_in_both_forms(cluster: EmbeddedCluster) -> None:
    groups = ask(cluster, "GET", "/apis").body
    assert {group["name"] for group in groups["groups"]} >= {"apps", "batch", "rbac.authorization.k8s.io", "apiextensions.k8s.io"}
    apps = ask(cluster, "GET", "/apis/apps/v1").body
    assert {"deployments", "deployments/status", "deployments/scale"} <= {entry["name"] for entry in apps["resources"]}
    assert ask(cluster, "GET", "/apis/apps").body["preferredVersion"]["version"] == "v1"
    response, content = fetched(
        cluster, "/api", Accept="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    )
    assert "APIGroupDiscoveryList" in str(response.headers["Content-Type"])
    assert "pods" in {each["resource"] for each in json.loads(content)["items"][0]["versions"][0]["resources"]}
    assert ask(cluster, "GET", "/version").body["gitVersion"] == "v1.36.3"
    assert fetched(cluster, "/readyz")[1] == b"ok"
    assert ask(cluster, "GET", "/apis/none.example").status == 404


DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "robots.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "robots", "kind": "Robot", "shortNames": ["rb"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["arms"],
                                "properties": {
                                    "arms": {"type": "integer", "minimum": 1},
                                    "colour": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                                    "tools": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {
                                            "type": "object",
                                            "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
                                        },
                                    },
                                    "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                },
                            },
                        },
                    }
                },
            }
        ],
    },
}
ROBOTS = "/apis/example.com/v1/namespaces/default/robots"


def robot(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Robot", "metadata": {"name": "r2"}, "spec": spec}


def test_custom_resources_come_and_go_with_their_definition(cluster: EmbeddedCluster) -> None:
    assert ask(cluster, "GET", ROBOTS).status == 404
    cluster.load(DEFINITION)
    conditions = {each["type"]: each["status"] for each in cluster.get("crd", "robots.example.com")["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    made = ask(cluster, "POST", ROBOTS, robot(arms=2, anything={"a": [1]}, unknown=1))
    assert made.body["spec"] == {"arms": 2, "colour": "red", "anything": {"a": [1]}}
    assert made.headers["Warning"] == '299 - "unknown field \\"spec.unknown\\""'
    assert cluster.get("rb", "r2")["metadata"]["generation"] == 1
    listed = ask(cluster, "GET", ROBOTS).body
    assert (listed["kind"], listed["items"][0]["kind"]) == ("RobotList", "Robot")
    ask(cluster, "DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/robots.example.com")
    assert ask(cluster, "GET", ROBOTS).status == 404


def test_custom_resources_are_checked_and_merged_by_their_schema(cluster: EmbeddedCluster) -> None:
    cluster.load(DEFINITION)
    refused = ask(cluster, "POST", ROBOTS, robot(colour="green"))
    assert refused.status == 422
    assert refused.causes == [("FieldValueRequired", "spec.arms"), ("FieldValueNotSupported", "spec.colour")]
    assert ask(cluster, "POST", ROBOTS, robot(arms=0)).causes == [("FieldValueInvalid", "spec.arms")]
    path = f"{ROBOTS}/r2"
    for manager, tools in (("a", [{"name": "saw", "size": 1}]), ("b", [{"name": "drill"}])):
        ask(cluster, "PATCH", path, robot(arms=1, tools=tools), kind="application/apply-patch+yaml", fieldManager=manager)
    assert cluster.get("Robot", "r2")["spec"]["tools"] == [{"name": "saw", "size": 1}, {"name": "drill"}]
    assert ask(cluster, "PATCH", path, {}, kind="application/strategic-merge-patch+json").status == 415


def test_what_is_loaded_must_be_right(cluster: EmbeddedCluster) -> None:
    with pytest.raises(ValueError, match="unknown field"):
        cluster.load(deployment(colour="red"))
    with pytest.raises(ValueError, match="no kind Robot"):
        cluster.load(robot())
    two = cluster.load("kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n---\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: b}\n")
    assert [each["metadata"]["name"] for each in two] == ["a", "b"]
    assert [each["metadata"]["name"] for each in cluster.objects("configmaps", "default")] == ["a", "b"]
    with pytest.raises(LookupError, match="no ConfigMap 'none' in namespace 'default'"):
        cluster.get("ConfigMap", "none")
    with pytest.raises(LookupError, match="no kind 'Nothing'"):
        cluster.objects("Nothing")


def test_scale_binding_and_eviction(cluster: EmbeddedCluster) -> None:
    cluster.load(deployment())
    scale = "/apis/apps/v1/namespaces/default/deployments/web/scale"
    assert ask(cluster, "GET", scale).body["spec"] == {"replicas": 1}
    ask(cluster, "PATCH", scale, {"spec": {"replicas": 3}}, kind="application/merge-patch+json")
    assert cluster.get("Deployment", "web")["spec"]["replicas"] == 3
    cluster.add_node(cordoned=True)
    cluster.load({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": pod_spec()})
    assert ask(cluster, "POST", f"{PODS}/one/binding", {"target": {"kind": "Node", "name": "node-1"}}).status == 201
    assert cluster.get("Pod", "one")["status"]["phase"] == "Running"
    assert ask(cluster, "POST", f"{PODS}/one/binding", {"target": {"name": "node-1"}}).status == 409
    assert ask(cluster, "POST", f"{PODS}/one/eviction", {}).status == 201
    with pytest.raises(LookupError):
        cluster.get("Pod", "one")

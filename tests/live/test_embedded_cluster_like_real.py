"""The embedded cluster answers as a real API server does: the same requests to both, one story after the other."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import urllib3
from cluster_requests import arch_in, config, deployment, pod_spec, required

from archkit.testing import EmbeddedCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from control_plane import ControlPlane

    Ask = Callable[["Step"], tuple[int, Any]]

pytestmark = pytest.mark.live

Step = tuple[str, str, Any, dict[str, str]]
"""Method, path below the namespace, body, parameters; of a PATCH its kind is among them."""
DEPLOYMENT = "apis/apps/v1/namespaces/{}/deployments"
CONFIG = "api/v1/namespaces/{}/configmaps"
STATEFUL, DAEMON = "apis/apps/v1/namespaces/{}/statefulsets", "apis/apps/v1/namespaces/{}/daemonsets"
CRON = "apis/batch/v1/namespaces/{}/cronjobs"
JOB = "apis/batch/v1/namespaces/{}/jobs"
POD = "api/v1/namespaces/{}/pods"
SERVICE = "api/v1/namespaces/{}/services"
NAMESPACE = "story"
KINDS = {"apply": "apply-patch+yaml", "merge": "merge-patch+json", "strategic": "strategic-merge-patch+json", "json": "json-patch+json"}


def applied(path: str, obj: dict[str, Any], manager: str = "me", **query: str) -> Step:
    return "PATCH", f"{path}/{obj['metadata']['name']}", obj, {"kind": "apply", "fieldManager": manager, **query}


def patched(path: str, name: str, kind: str, patch: Any, **query: str) -> Step:
    return "PATCH", f"{path}/{name}", patch, {"kind": kind, "fieldManager": "patcher", **query}


def posted(path: str, obj: Any, **query: str) -> Step:
    return "POST", path, obj, {"fieldManager": "poster", **query}


def web(image: str = "nginx:1", *, spec: dict[str, Any] | None = None, **pod: Any) -> dict[str, Any]:
    """A Deployment that makes no pods."""
    return deployment(image=image, spec={"paused": True, **({"replicas": 0} if spec is None else spec)}, **pod)


def bare(**pod: Any) -> dict[str, Any]:
    """Selector and template alone."""
    spec: dict[str, Any] = deployment(**pod)["spec"]
    return spec


def with_containers(*containers: dict[str, Any]) -> dict[str, Any]:
    made = web()
    made["spec"]["template"]["spec"]["containers"] = list(containers)
    return made


def labelled(obj: dict[str, Any], **labels: str) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "labels": labels}}


APP, LOG = {"name": "app", "image": "nginx:1"}, {"name": "log", "image": "log:1"}
JOB_OBJECT = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "job"},
    "spec": {"suspend": True, "template": {"spec": pod_spec(restartPolicy="Never")}},
}
SERVICE_OBJECT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "svc"},
    "spec": {"clusterIP": "None", "selector": {"a": "b"}, "ports": [{"port": 80}]},
}

STORIES: dict[str, list[Step]] = {
    "applying, again, less, with another": [
        applied(CONFIG, config(a="1", b="2")),
        applied(CONFIG, config(a="1", b="2")),
        applied(CONFIG, config(b="2", c="3"), "other"),
        applied(CONFIG, config(a="1")),
        applied(CONFIG, config(a="1"), "other"),
        applied(CONFIG, config()),
        ("DELETE", f"{CONFIG}/conf", None, {}),
        ("DELETE", f"{CONFIG}/conf", None, {}),
    ],
    "stateful sets, daemon sets, cron jobs, services": [
        applied(STATEFUL, {**web(), "kind": "StatefulSet", "spec": {**bare(), "serviceName": "web", "replicas": 0}}),
        applied(STATEFUL, {**web(), "kind": "StatefulSet", "spec": {**bare(), "serviceName": "other", "replicas": 0}}, force="true"),
        applied(DAEMON, {**web(), "kind": "DaemonSet", "spec": {**bare(nodeSelector={"none": "such"})}}),
        applied(CRON, {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "cron"}, "spec": {"schedule": "@yearly", "jobTemplate": {"spec": JOB_OBJECT["spec"]}}}),
        applied(SERVICE, SERVICE_OBJECT),
        applied(SERVICE, {**SERVICE_OBJECT, "spec": {**SERVICE_OBJECT["spec"], "ports": [{"port": 80, "name": "a"}, {"port": 81}]}}, "other"),
        ("GET", f"{DAEMON}/web", None, {}),
    ],
    "status and scale": [
        posted(DEPLOYMENT, web()),
        patched(DEPLOYMENT, "web/scale", "merge", {"spec": {"replicas": 0}}),
        ("GET", f"{DEPLOYMENT}/web/scale", None, {}),
        ("GET", f"{DEPLOYMENT}/web/nothing", None, {}),
        ("POST", f"{DEPLOYMENT}/web", web(), {}),
    ],
    "conflicts of one field and of several": [
        applied(DEPLOYMENT, web(spec={"replicas": 0})),
        applied(DEPLOYMENT, web(spec={"replicas": 0, "minReadySeconds": 3}), "other"),
        applied(DEPLOYMENT, web(image="nginx:2"), "other"),
        applied(DEPLOYMENT, web(image="nginx:2", spec={"replicas": 0, "minReadySeconds": 4}), "third"),
        applied(DEPLOYMENT, web(image="nginx:2"), "other", force="true"),
        applied(DEPLOYMENT, web()),
        applied(DEPLOYMENT, web(image="nginx:2")),
    ],
    "affinity is one field": [
        applied(DEPLOYMENT, web(affinity=required(arch_in("amd64")))),
        applied(DEPLOYMENT, web(affinity=required(arch_in("amd64", "arm64"))), "other"),
        applied(DEPLOYMENT, web(affinity=required(arch_in("amd64", "arm64"))), "other", force="true"),
        applied(DEPLOYMENT, web()),
        applied(DEPLOYMENT, web(), "other"),
    ],
    "containers by name": [
        applied(DEPLOYMENT, with_containers(APP)),
        applied(DEPLOYMENT, with_containers(LOG), "other"),
        applied(DEPLOYMENT, with_containers({**APP, "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]})),
        applied(DEPLOYMENT, with_containers({**APP, "env": [{"name": "A", "value": "1"}], "args": ["a"]}), "third"),
        applied(DEPLOYMENT, with_containers(APP)),
        applied(DEPLOYMENT, with_containers(APP), "other"),
    ],
    "labels and what others patched": [
        applied(CONFIG, labelled(config(a="1"), x="1", y="2")),
        patched(CONFIG, "conf", "merge", {"metadata": {"labels": {"z": "3"}, "annotations": {"n": "1"}}}),
        applied(CONFIG, labelled(config(a="1"), x="1", z="4")),
        applied(CONFIG, labelled(config(a="1"), x="1")),
        patched(CONFIG, "conf", "merge", {"data": {"a": None, "b": "1"}}),
        patched(CONFIG, "conf", "json", [{"op": "replace", "path": "/data/b", "value": "2"}]),
        patched(CONFIG, "conf", "strategic", {"data": {"b": "3"}}),
        applied(CONFIG, config(b="9")),
    ],
    "posting first, then applying": [
        posted(DEPLOYMENT, web()),
        posted(DEPLOYMENT, web()),
        applied(DEPLOYMENT, web()),
        applied(DEPLOYMENT, web(image="nginx:2")),
        patched(DEPLOYMENT, "web", "strategic", {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "nginx:3"}]}}}}),
        applied(DEPLOYMENT, web(image="nginx:2"), force="true"),
    ],
    "strict and not": [
        posted(DEPLOYMENT, web(colour="red"), fieldValidation="Strict"),
        applied(DEPLOYMENT, web(colour="red")),
        posted(DEPLOYMENT, web(colour="red"), fieldValidation="Ignore"),
        applied(CONFIG, config(a="1"), dryRun="All"),
        ("GET", f"{CONFIG}/conf", None, {}),
    ],
    "what does not change": [
        applied(JOB, JOB_OBJECT),
        applied(JOB, {**JOB_OBJECT, "spec": {"suspend": True, "template": {"spec": pod_spec("nginx:2", restartPolicy="Never")}}}, force="true"),
        applied(SERVICE, SERVICE_OBJECT),
        applied(SERVICE, {**SERVICE_OBJECT, "spec": {**SERVICE_OBJECT["spec"], "clusterIP": "10.0.0.200"}}, force="true"),
        posted(CONFIG, {**config(a="1"), "immutable": True}),
        patched(CONFIG, "conf", "merge", {"data": {"a": "2"}}),
    ],
    "refused": [
        applied(DEPLOYMENT, {**web(), "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": web()["spec"]["template"]}}),
        posted(DEPLOYMENT, {**web(), "spec": {"template": web()["spec"]["template"]}}),
        applied(DEPLOYMENT, with_containers()),
        applied(DEPLOYMENT, with_containers({"name": "App", "image": ""})),
        applied(DEPLOYMENT, web(affinity=required({"key": "a", "operator": "Equals", "values": ["b"]}))),
        applied(JOB, {**JOB_OBJECT, "spec": {"template": {"spec": pod_spec()}}}),
        posted(CONFIG, config("Upper")),
        posted(CONFIG, labelled(config(), **{"a b": "c"})),
        ("GET", f"{CONFIG}/none", None, {}),
        ("DELETE", f"{DEPLOYMENT}/none", None, {}),
        ("GET", "apis/none.example/v1/robots", None, {}),
        ("PATCH", f"{CONFIG}/conf", config(a="1"), {"kind": "apply"}),
        posted(CONFIG.replace("{}", "none"), config()),
        ("PUT", f"{CONFIG}/none", config("none"), {}),
    ],
}  # fmt: skip


def asking(server: str, headers: dict[str, str], ca_file: str | None) -> Ask:
    pool = urllib3.PoolManager(ca_certs=ca_file, retries=False)

    def ask(step: Step) -> tuple[int, Any]:
        method, path, body, parameters = step
        query = {name: value for name, value in parameters.items() if name != "kind"}
        content = {"Content-Type": f"application/{KINDS.get(parameters.get('kind', ''), 'json')}", "User-Agent": "story/1"}
        url = f"{server}/{path.format(NAMESPACE)}?{urlencode(query)}"
        answer = pool.request(method, url, body=None if body is None else json.dumps(body), headers={**headers, **content}, timeout=30.0)
        return answer.status, json.loads(answer.data) if answer.data.startswith(b"{") else answer.data.decode()

    return ask


@pytest.fixture
def real(shared_control_plane: ControlPlane) -> Iterator[Ask]:
    plane = shared_control_plane
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    plane.apply(namespace)
    yield asking(plane.server, {"Authorization": f"Bearer {plane.tokens['admin']}"}, str(plane.ca_file))
    for path in (DEPLOYMENT, STATEFUL, DAEMON, CRON, JOB, CONFIG, SERVICE):
        plane.request("DELETE", f"{path.format(NAMESPACE)}?propagationPolicy=Background")


@pytest.fixture
def embedded() -> Iterator[Ask]:
    with EmbeddedCluster(user="admin") as cluster:
        cluster.load({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        yield asking(cluster.url, {}, None)


OWN = {"me", "other", "third", "poster", "patcher", "story"}
NOT_MODELLED = {"deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation"}
"""Annotations of controllers, which write them when they like, and one that nobody reads."""
MADE_UP = {"uid", "resourceVersion", "creationTimestamp", "generation"}


def told(answer: tuple[int, Any]) -> Any:
    """What of an answer is the same wherever it comes from."""
    status, body = answer
    if isinstance(body, str):
        return answer
    if body["kind"] == "Status":
        details = body.get("details") or {}
        causes = sorted(
            (cause.get("reason", ""), cause.get("field", ""), _plain(cause["message"])) for cause in details.get("causes") or ()
        )
        rest = {name: value for name, value in details.items() if name not in {"causes", "uid"}}
        return status, body.get("reason"), _plain(body.get("message", "")), rest, causes
    metadata = {name: value for name, value in body["metadata"].items() if name not in MADE_UP}
    annotations = {key: value for key, value in metadata.pop("annotations", {}).items() if key not in NOT_MODELLED}
    managers = [
        {name: value for name, value in entry.items() if name != "time"}
        for entry in metadata.pop("managedFields", [])
        if entry["manager"] in OWN
    ]
    managers.sort(key=lambda entry: (entry["manager"], entry["operation"]))
    labels = {key: value for key, value in metadata.pop("labels", {}).items() if "uid" not in key}
    rest = {name: value for name, value in body.items() if name not in {"metadata", "status"}}
    return status, {**metadata, "labels": labels, "annotations": annotations}, managers, _without_uids(rest)


def _plain(text: str) -> str:
    """Without identifiers, and without the objects that messages show: the real ones are of another language."""
    return re.sub(r"Invalid value: \{.*?\}: (?=field is)", "Invalid value: ", re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "UID", text))


def _without_uids(value: Any) -> Any:
    return json.loads(_plain(json.dumps(value)))


@pytest.mark.parametrize("story", STORIES)
def test_both_tell_the_same_story(story: str, real: Ask, embedded: Ask) -> None:
    for number, step in enumerate(STORIES[story]):
        here, there = told(embedded(step)), told(real(step))
        assert here == there, f"step {number}: {step[0]} {step[1]}"


def test_lists_come_in_the_same_pages(real: Ask, embedded: Ask) -> None:
    def seen(ask: Ask) -> list[Any]:
        for name in ("a", "b", "c"):
            ask(posted(CONFIG, labelled(config(name, a="1"), mine="yes")))
        ask(posted(CONFIG, config("z")))
        found: list[Any] = []
        token = ""
        for _ in range(3):
            _, body = ask(("GET", CONFIG, None, {"limit": "1", "labelSelector": "mine=yes", **({"continue": token} if token else {})}))
            token = body["metadata"].get("continue", "")
            names = [item["metadata"]["name"] for item in body["items"]]
            found.append([body["kind"], body["apiVersion"], sorted(body["metadata"]), names, "kind" in body["items"][0]])
        _, whole = ask(("GET", CONFIG, None, {"limit": "1"}))
        return [*found, sorted(whole["metadata"]), told(ask(("GET", CONFIG, None, {"continue": "rubbish"})))[:2]]

    assert seen(embedded) == seen(real)

"""Requests to the embedded cluster as a client sends them, without any socket; answers as status and object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from archkit.testing import Request

if TYPE_CHECKING:
    from archkit.testing import EmbeddedCluster

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"
CONFIGS = "/api/v1/namespaces/default/configmaps"
PATCHES = {"json": "json-patch+json", "merge": "merge-patch+json", "strategic": "strategic-merge-patch+json", "apply": "apply-patch+yaml"}


class Answer(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Reason and field of each cause of a refusal."""
        return [(cause["reason"], cause["field"]) for cause in self.body["details"]["causes"]]


def ask(cluster: EmbeddedCluster, method: str, path: str, body: object = None, *, kind: str = "application/json", **query: str) -> Answer:
    target = f"{path}?{urlencode(query)}" if query else path
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    response = cluster.handle(Request(method, target, [("Content-Type", kind), ("User-Agent", "tester/1.0")], content))
    answer = json.loads(response.body) if response.body.startswith((b"{", b"[")) else response.body.decode()
    return Answer(response.status, answer, dict(response.headers))


def apply(cluster: EmbeddedCluster, obj: dict[str, Any], manager: str = "me", **query: str) -> Answer:
    """Server-side apply of an object, to where it belongs."""
    group, _, version = obj["apiVersion"].rpartition("/")
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    namespace = "" if obj["kind"] in {"Namespace", "Node", "CustomResourceDefinition"} else "/namespaces/default"
    path = f"{root}{namespace}/{obj['kind'].lower()}s/{obj['metadata']['name']}"
    return ask(cluster, "PATCH", path, obj, kind="application/apply-patch+yaml", fieldManager=manager, **query)


def pod_spec(image: str = "nginx:1", **more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "app", "image": image}], **more}


def deployment(name: str = "web", image: str = "nginx:1", *, spec: dict[str, Any] | None = None, **pod: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": pod_spec(image, **pod)}
    selector = {"matchLabels": {"app": name}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": selector, "template": template, **(spec or {})},
    }


def config(name: str = "conf", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def required(*expressions: dict[str, Any]) -> dict[str, Any]:
    """Affinity of one term."""
    terms = [{"matchExpressions": list(expressions)}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def arch_in(*cpus: str) -> dict[str, Any]:
    return {"key": "kubernetes.io/arch", "operator": "In", "values": list(cpus)}

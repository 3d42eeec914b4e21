"""What a program does with the `kubernetes` package, of whichever version: KUBECONFIG leads to the cluster. Prints what it saw as JSON."""

# Each version of a client has types of its own, or none.
# mypy: ignore-errors
from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from typing import Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

CONFIGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"a": "1"}}


def manifest(image: str, replicas: int) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def main() -> None:
    config.load_kube_config(os.environ["KUBECONFIG"])
    core, apps = client.CoreV1Api(), client.AppsV1Api()
    seen: dict[str, Any] = {"version": version("kubernetes"), "server": client.VersionApi().get_code().git_version}

    page = core.list_node(limit=2)
    names = [node.metadata.name for node in page.items]
    while page.metadata._continue:
        page = core.list_node(limit=2, _continue=page.metadata._continue)
        names += [node.metadata.name for node in page.items]
    seen["nodes"] = names
    seen["arch"] = [node.status.node_info.architecture for node in core.list_node(label_selector="kubernetes.io/arch=arm64").items]

    created = apps.create_namespaced_deployment("default", manifest("nginx:1", 2), field_validation="Strict", field_manager="program")
    seen["uid"] = bool(created.metadata.uid)
    status = apps.read_namespaced_deployment_status("web", "default").status
    seen["available"] = status.available_replicas
    patched = apps.patch_namespaced_deployment("web", "default", {"spec": {"replicas": 3}})
    seen["patched"] = patched.spec.replicas
    whole = apps.read_namespaced_deployment("web", "default")
    whole.spec.replicas = 1
    seen["replaced"] = apps.replace_namespaced_deployment("web", "default", whole).spec.replicas
    scaled = apps.read_namespaced_deployment_scale("web", "default")
    seen["scale"] = scaled.spec.replicas

    try:
        core.create_namespaced_config_map("none", CONFIGS)
    except ApiException as error:
        seen["refused"] = [error.status, json.loads(error.body)["message"]]

    core.create_namespaced_config_map("default", CONFIGS)
    version_before = core.list_namespaced_config_map("default").metadata.resource_version
    core.delete_namespaced_config_map("conf", "default")
    stream = watch.Watch().stream(core.list_namespaced_config_map, "default", resource_version=version_before, timeout_seconds=1)
    seen["events"] = [f"{event['type']} {event['object'].metadata.name}" for event in stream]

    from kubernetes import dynamic

    dynamic_client = dynamic.DynamicClient(client.ApiClient())
    resource = dynamic_client.resources.get(api_version="v1", kind="ConfigMap")
    applied = resource.server_side_apply(body=CONFIGS, name="conf", namespace="default", field_manager="applier")
    seen["applied"] = [applied.data["a"], applied.metadata.managedFields[0].manager]
    try:
        resource.server_side_apply(body={**CONFIGS, "data": {"a": "2"}}, name="conf", namespace="default", field_manager="other")
    except ApiException as error:
        seen["conflict"] = [error.status, json.loads(error.body)["details"]["causes"][0]["field"]]
    custom = client.CustomObjectsApi()
    made = custom.create_namespaced_custom_object(
        "example.com",
        "v1",
        "default",
        "robots",
        {"apiVersion": "example.com/v1", "kind": "Robot", "metadata": {"name": "r2"}, "spec": {"arms": 2}},
    )
    seen["custom"] = made["spec"]
    apps.delete_namespaced_deployment("web", "default")
    seen["left"] = [pod.metadata.name for pod in core.list_namespaced_pod("default").items]
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()

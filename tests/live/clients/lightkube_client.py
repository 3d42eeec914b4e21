"""What a program does with lightkube: KUBECONFIG leads to the cluster. Prints what it saw as JSON."""

# Each version of a client has types of its own, or none.
# mypy: ignore-errors
from __future__ import annotations

import json
import sys
from typing import Any

from lightkube import ApiError, Client, codecs
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Node, Pod

TEXT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: "nginx:1"}]}
"""


def main() -> None:
    client = Client(field_manager="light")
    seen: dict[str, Any] = {"nodes": [node.metadata.name for node in client.list(Node, chunk_size=2)]}
    for obj in codecs.load_all_yaml(TEXT):
        client.apply(obj)
    deployment = client.get(Deployment, "web", namespace="default")
    seen["available"] = deployment.status.availableReplicas
    client.wait(Deployment, "web", for_conditions=["Available"], namespace="default")
    patched = client.patch(Deployment, "web", {"spec": {"replicas": 3}}, namespace="default")
    seen["patched"] = patched.spec.replicas
    client.replace(client.get(Deployment, "web", namespace="default"))
    conf = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "default"}, "data": {"a": "1"}}
    client.apply(codecs.from_dict(conf))
    try:
        client.apply(codecs.from_dict({**conf, "data": {"a": "2"}}), field_manager="other")
    except ApiError as error:
        seen["conflict"] = [error.status.code, error.status.details.causes[0].field]
    try:
        client.get(ConfigMap, "none", namespace="default")
    except ApiError as error:
        seen["missing"] = [error.status.code, error.status.reason]
    for event, obj in client.watch(Pod, namespace="default"):
        seen["watched"] = [event, obj.metadata.labels["app"]]
        break
    client.delete(Deployment, "web", namespace="default")
    seen["left"] = [pod.metadata.name for pod in client.list(Pod, namespace="default")]
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()

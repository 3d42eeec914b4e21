"""Every manifest that ``kubectl create`` and ``kubectl run`` can make goes through the renderer."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from archkit import AffinityRenderer
from archkit.testing import EmbeddedCluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

TERMS = [
    {
        "matchExpressions": [
            {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
            {"key": "kubernetes.io/arch", "operator": "In", "values": [arch]},
        ]
    }
    for arch in ("amd64", "arm64")
]
TEMPLATE = ("spec", "template", "spec")

MANIFESTS = [
    pytest.param(("run", "x", "--image=nginx:1.25", "--env=A=b", "--port=80"), ("spec",), id="pod"),
    pytest.param(("run", "x", "--image=busybox", "--", "sh", "-c", "echo 'a: {b}'"), ("spec",), id="pod with arguments"),
    pytest.param(("create", "deployment", "x", "--image=nginx", "--replicas=3", "--port=80"), TEMPLATE, id="deployment"),
    pytest.param(("create", "deployment", "x", "--image=nginx", "--image=busybox"), TEMPLATE, id="deployment of two images"),
    pytest.param(("create", "job", "x", "--image=busybox", "--", "date"), TEMPLATE, id="job"),
    pytest.param(("create", "cronjob", "x", "--image=busybox", "--schedule=*/1 * * * *"), ("spec", "jobTemplate", *TEMPLATE), id="cronjob"),
    pytest.param(("create", "clusterrole", "x", "--verb=get", "--resource=pods"), None, id="clusterrole"),
    pytest.param(("create", "clusterrolebinding", "x", "--clusterrole=view", "--user=u"), None, id="clusterrolebinding"),
    pytest.param(("create", "configmap", "x", "--from-literal=image=nginx", "--from-literal=a=containers: []\n"), None, id="configmap"),
    pytest.param(("create", "ingress", "x", "--rule=foo.com/*=svc:80"), None, id="ingress"),
    pytest.param(("create", "namespace", "x"), None, id="namespace"),
    pytest.param(("create", "poddisruptionbudget", "x", "--selector=app=x", "--min-available=1"), None, id="poddisruptionbudget"),
    pytest.param(("create", "priorityclass", "x", "--value=10"), None, id="priorityclass"),
    pytest.param(("create", "quota", "x", "--hard=cpu=1"), None, id="quota"),
    pytest.param(("create", "role", "x", "--verb=get", "--resource=pods"), None, id="role"),
    pytest.param(("create", "rolebinding", "x", "--role=view", "--serviceaccount=a:b"), None, id="rolebinding"),
    pytest.param(("create", "secret", "generic", "x", "--from-literal=image=nginx"), None, id="secret"),
    pytest.param(("create", "service", "clusterip", "x", "--tcp=80:80"), None, id="service"),
    pytest.param(("create", "serviceaccount", "x"), None, id="serviceaccount"),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """kubectl's environment: even in a dry run ``kubectl run`` and ``kubectl create role`` ask a cluster which kinds there are."""
    with EmbeddedCluster() as cluster:
        yield {"PATH": "", "HOME": str(tmp_path_factory.mktemp("home")), "KUBECONFIG": str(cluster.kubeconfig)}


def made(kubectl: Path, environment: dict[str, str], arguments: tuple[str, ...], form: str) -> str:
    verb, rest = arguments[: 2 if arguments[0] == "create" else 1], arguments[2 if arguments[0] == "create" else 1 :]
    command = [str(kubectl), *verb, "--dry-run=client", "-o", form, *rest]
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=60, check=True).stdout


def load(text: str, form: str) -> list[Any]:
    if form == "yaml":
        return list(yaml.safe_load_all(text))
    decoder, found, at = json.JSONDecoder(), [], 0
    while text[at:].strip():  # several objects stand one behind the other, without a list
        at += len(text[at:]) - len(text[at:].lstrip())
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize(("arguments", "path"), MANIFESTS)
def test_pods_get_affinity_and_nothing_else_changes(
    kubectl: Path, environment: dict[str, str], arguments: tuple[str, ...], path: tuple[str, ...] | None, form: str
) -> None:
    text = made(kubectl, environment, arguments, form)
    renderer = AffinityRenderer(platforms=dict.fromkeys(("nginx", "busybox"), "linux/amd64,linux/arm64"), affinity="always")

    rendered = renderer.render(text, name="kubectl")

    wanted = copy.deepcopy(load(text, form))
    for document in wanted:
        if path is not None and document["kind"] != "Service":
            pod = document
            for key in path:
                pod = pod[key]
            pod["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": TERMS}}}
    assert load(rendered.text, form) == wanted
    assert len(rendered.pods) == (path is not None)
    assert renderer.render(rendered.text).text == rendered.text
    if path is None:
        assert rendered.text == text


def test_of_a_pod_and_its_service_the_pod_gets_affinity(kubectl: Path, environment: dict[str, str]) -> None:
    text = made(kubectl, environment, ("run", "x", "--image=nginx", "--expose", "--port=80"), "yaml")

    rendered = AffinityRenderer(platforms={"nginx": "linux/arm64"}, affinity="always").render(text)

    documents = [document for document in load(rendered.text, "yaml") if document is not None]
    assert {document["kind"]: "affinity" in document["spec"] for document in documents} == {"Pod": True, "Service": False}

"""Published manifests of other projects go through the renderer; an independent walk over PyYAML's data says what must come out."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from archkit import AffinityRenderer

CORPUS = os.environ.get("ARCHKIT_CORPUS", "")

pytestmark = pytest.mark.skipif(not CORPUS, reason="set ARCHKIT_CORPUS to a folder of manifests (*.yaml, any depth)")

TERMS = [
    {
        "matchExpressions": [
            {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
            {"key": "kubernetes.io/arch", "operator": "In", "values": [arch]},
        ]
    }
    for arch in ("amd64", "arm64")
]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

TEMPLATE = ("spec", "template", "spec")
SPECS: dict[tuple[str, str], list[tuple[str, ...]]] = {
    ("", "Pod"): [("spec",)],
    ("", "ReplicationController"): [TEMPLATE],
    ("apps", "Deployment"): [TEMPLATE],
    ("apps", "StatefulSet"): [TEMPLATE],
    ("apps", "DaemonSet"): [TEMPLATE],
    ("batch", "Job"): [TEMPLATE],
    ("argoproj.io", "Rollout"): [TEMPLATE],
    ("argoproj.io", "Experiment"): [("spec", "templates", "*", "template", "spec")],
    ("argoproj.io", "AnalysisTemplate"): [("spec", "metrics", "*", "provider", "job", "spec", "template", "spec")],
    ("monitoring.coreos.com", "Prometheus"): [("spec",)],
    ("monitoring.coreos.com", "Alertmanager"): [("spec",)],
    ("ray.io", "RayCluster"): [("spec", "headGroupSpec", *TEMPLATE[1:]), ("spec", "workerGroupSpecs", "*", *TEMPLATE[1:])],
    ("ray.io", "RayService"): [
        ("spec", "rayClusterConfig", "headGroupSpec", *TEMPLATE[1:]),
        ("spec", "rayClusterConfig", "workerGroupSpecs", "*", *TEMPLATE[1:]),
    ],
}


class TextLoader(yaml.CSafeLoader):
    """Reads what YAML 1.1 says, except ``=``, which PyYAML itself cannot construct."""


TextLoader.add_constructor("tag:yaml.org,2002:value", lambda _loader, node: node.value)


def load(text: str) -> list[Any]:
    return list(yaml.load_all(text, TextLoader))


def matches(data: Any, path: tuple[str, ...]) -> list[Any]:
    if not path:
        return [data]
    if path[0] == "*":
        return [found for item in data or [] for found in matches(item, path[1:])]
    return matches(data[path[0]], path[1:]) if isinstance(data, dict) and path[0] in data else []


def pods_of(document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, dict) or "kind" not in document:
        return []
    if document["kind"].endswith("List"):
        return [pod for item in document.get("items") or [] for pod in pods_of(item)]
    key = (document["apiVersion"].rpartition("/")[0], document["kind"])
    return [pod for path in SPECS.get(key, []) for pod in matches(document, path) if isinstance(pod, dict) and images_of(pod)]


def images_of(pod: dict[str, Any]) -> list[str]:
    containers = [*(pod.get("initContainers") or []), *(pod.get("containers") or [])]
    found = [container["image"] for container in containers if container.get("image")]
    return [*found, pod["image"]] if isinstance(pod.get("image"), str) else found


def intended(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod as it should come out, for images of linux/amd64 and linux/arm64."""
    pod = copy.deepcopy(pod)
    affinity = pod.setdefault("affinity", {})
    node_affinity = affinity.setdefault("nodeAffinity", {})
    if REQUIRED not in node_affinity:
        node_affinity[REQUIRED] = {"nodeSelectorTerms": TERMS}
        return pod
    for term in node_affinity[REQUIRED]["nodeSelectorTerms"]:
        expressions = term["matchExpressions"]
        if not any(item["key"] == "kubernetes.io/os" for item in expressions):
            expressions.append({"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]})
        if not any(item["key"] == "kubernetes.io/arch" for item in expressions):
            expressions.append({"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]})
    return pod


def files() -> list[Path]:
    return sorted(Path(CORPUS).rglob("*.yaml")) if CORPUS else []


def test_the_corpus_is_there() -> None:
    assert files(), f"no *.yaml below {CORPUS}: the folder named by ARCHKIT_CORPUS is empty"


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(CORPUS))) for path in files()])
def test_every_pod_of_a_published_manifest_gets_affinity_and_nothing_else_changes(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = path.read_bytes().decode()
    before = load(text)
    pods = [pod for document in before for pod in pods_of(document)]
    renderer = AffinityRenderer(
        platforms={image.partition("@")[0]: "linux/amd64,linux/arm64" for pod in pods for image in images_of(pod)},
        affinity="always",
    )

    rendered = renderer.render(text, name=str(path))

    edited = {change.where.partition(" ")[2] for change in rendered.changes}
    with capsys.disabled():
        print(f"\n  {path.relative_to(CORPUS)}: {len(pods)} pods, {len(edited)} edited", end="")
    assert len(rendered.pods) == len(pods)
    assert len(edited) == len(pods)

    wanted = copy.deepcopy(before)
    for document in wanted:
        for pod in pods_of(document):
            pod.update(intended(pod))
    assert load(rendered.text) == wanted

    lines = iter(rendered.text.splitlines())
    assert all(line in lines for line in text.splitlines()), "a line of the input is gone or has moved"
    again = renderer.render(rendered.text, name=str(path))
    assert again.text == rendered.text
    assert not again.changes


def test_pinning_changes_image_values_and_nothing_else() -> None:
    from archkit import BuiltImage

    digest = "sha256:" + "0" * 64
    for path in files():
        text = path.read_bytes().decode()
        pods = [pod for document in load(text) for pod in pods_of(document)]
        images = sorted({image for pod in pods for image in images_of(pod) if "@" not in image})
        names = {image.rsplit(":", 1)[0] if ":" in image.rsplit("/", 1)[-1] else image for image in images}
        builds = [BuiltImage(name, f"pinned.example/{index}:t@{digest}") for index, name in enumerate(sorted(names))]

        rendered = AffinityRenderer(builds=builds, affinity="never").render(text, name=str(path))

        pairs = list(zip(text.splitlines(), rendered.text.splitlines(), strict=True))
        changed = [(old, new) for old, new in pairs if old != new]
        assert all("image" in old and "pinned.example/" in new for old, new in changed)
        after = [image for document in load(rendered.text) for pod in pods_of(document) for image in images_of(pod)]
        assert all(image.startswith("pinned.example/") or "@" in image for image in after)
        assert len(changed) == sum("@" not in image for pod in pods for image in images_of(pod))

"""What comes out is what the Kubernetes API accepts, as its published schemas say."""

from __future__ import annotations

from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from archkit import AffinityRenderer, Cluster, Node, Taint

VERSION = "1.34"
TEMPLATE = ("spec", "template", "spec")
CLUSTER = Cluster(
    nodes=[
        Node("a", {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}),
        Node("b", {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}, (Taint("kubernetes.io/arch", "arm64"),)),
    ]
)
KINDS = [
    ("v1", "Pod", ("spec",), {}),
    ("v1", "ReplicationController", TEMPLATE, {}),
    ("v1", "PodTemplate", ("template", "spec"), {}),
    ("apps/v1", "Deployment", TEMPLATE, {"selector": {}}),
    ("apps/v1", "ReplicaSet", TEMPLATE, {"selector": {}}),
    ("apps/v1", "StatefulSet", TEMPLATE, {"selector": {}, "serviceName": "x"}),
    ("apps/v1", "DaemonSet", TEMPLATE, {"selector": {}}),
    ("batch/v1", "Job", TEMPLATE, {}),
    ("batch/v1", "CronJob", ("spec", "jobTemplate", *TEMPLATE), {"schedule": "* * * * *"}),
]


def manifest(version: str, kind: str, path: tuple[str, ...], more: dict[str, Any], pod: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = {"containers": [{"name": "c", "image": "web"}], **pod}
    for key in reversed(path):
        value = {key: value}
    data: dict[str, Any] = {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, **value}
    data.setdefault("spec", {}).update(more)
    if not data["spec"]:
        del data["spec"]
    return data


@pytest.mark.parametrize(("version", "kind", "path", "more"), KINDS, ids=[kind for _, kind, _, _ in KINDS])
@pytest.mark.parametrize("shape", ["per-platform", "compact"])
@pytest.mark.parametrize(
    "pod",
    [
        pytest.param({}, id="bare"),
        pytest.param({"affinity": {}, "tolerations": []}, id="empty"),
        pytest.param(
            {
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [{"key": "disk", "operator": "Exists"}]},
                                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]},
                            ]
                        }
                    }
                },
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
            },
            id="narrowed",
        ),
    ],
)
def test_the_output_fits_the_schema(
    version: str, kind: str, path: tuple[str, ...], more: dict[str, Any], shape: Any, pod: dict[str, Any]
) -> None:
    data = manifest(version, kind, path, more, pod)
    kubernetes_validate.validate(data, VERSION, strict=True)
    renderer = AffinityRenderer(
        platforms={"web": "linux/amd64,linux/arm64,linux/386,windows(10.0.20348)/amd64"},
        cluster=CLUSTER,
        terms=shape,
        prefer={"linux/arm64": 60, "linux/386": 1},
        match_windows_build=True,
    )

    rendered = renderer.render(yaml.safe_dump(data))

    after = yaml.safe_load(rendered.text)
    assert len(rendered.changes) >= 2
    kubernetes_validate.validate(after, VERSION, strict=True)
